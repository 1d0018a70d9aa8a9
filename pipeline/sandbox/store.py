"""The events and requests received, as counts and recent samples, and the answer to a request.

Its size does not grow with the events that it takes, except for the IDs of the deduplication window, which are capped.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import random
import re
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NoReturn

import orjson

from capybeam.pipeline.sandbox.faults import FAULT_KINDS, Faults, Poisoned
from capybeam.pipeline.sandbox.fields import OFFLINE_PARAMETERS, PARAMETERS, is_text
from capybeam.pipeline.sandbox.personal_data import leaks
from capybeam.pipeline.sandbox.refusals import Json, Refusal, RefusalGroups, shown
from capybeam.pipeline.sandbox.rules import DAY, check_event, check_offline_event
from capybeam.pipeline.sandbox.timeline import Timeline
from capybeam.pipeline.sandbox.totals import OFFLINE, Part, Totals, purchase_value

MAX_EVENTS: Final = 1000
MAX_OFFLINE_EVENTS: Final = 2000
OLDEST_LIVE_VERSION: Final = 21
OFFLINE_VERSION: Final = 16
DEDUPLICATION_WINDOW: Final = 48 * 3600
OFFLINE_DEDUPLICATION_WINDOW: Final = 7 * DAY
ALL_SCOPES: Final = ("ads_management", "ads_read", "business_management")


@dataclass(frozen=True)
class SandboxSettings:
    """How the sandbox behaves.

    ``tokens``: those accepted; empty accepts any. ``expired_tokens`` answer 190/463. ``datasets``: those that exist;
    empty accepts any number. ``null``: answer without checking or storing, for benchmarks of the sender.
    ``app_secret``: of the app, where it requires one; requests then need an appsecret_proof. ``max_ids``: event ids
    remembered; past it the older half is forgotten. ``keep_events``: stored events that are kept whole, the newest.
    ``hosts``: names under which the server may be called, besides the loopback's. ``scopes``: the permissions of the
    tokens. ``clock``: Unix time, in seconds.
    """

    tokens: frozenset[str] = field(default=frozenset(), repr=False)
    expired_tokens: frozenset[str] = field(default=frozenset(), repr=False)
    datasets: frozenset[str] = frozenset()
    app_secret: str | None = field(default=None, repr=False)
    null: bool = False
    faults: Faults = field(default_factory=Faults)
    max_ids: int = 4_000_000
    keep_events: int = 20
    hosts: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ALL_SCOPES
    clock: Callable[[], float] = time.time


class DeduplicationWindow:
    """Event ids of the last 48 hours, by dataset and event name; in the older format, their substitutes of 7 days.

    At most `capacity` of them: the older half is forgotten when it is full.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        # Nested, so that a name is kept once, not once an event.
        self._seen: defaultdict[str, defaultdict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))

    def is_new(
        self, dataset: str, event_name: str, event_id: str, now: float, within: float = DEDUPLICATION_WINDOW
    ) -> bool:
        """Whether the event did not come before within the window; remembers it if so."""
        ids = self._seen[dataset][event_name]
        first = ids.get(event_id)
        if first is not None:
            if now - first < within:
                return False
            del ids[event_id]  # to take its place among the newest
            self._size -= 1
        ids[event_id] = now
        self._size += 1
        if self._size > self._capacity:
            self._forget_half()
        return True

    def ids(self, dataset: str) -> list[tuple[str, str]]:
        """(event name, event id) of the events stored in `dataset`, in order of first arrival within each name."""
        return [(name, event_id) for name, ids in self._seen.get(dataset, {}).items() for event_id in ids]

    def _forget_half(self) -> None:
        for by_name in self._seen.values():
            for name, ids in by_name.items():
                by_name[name] = dict(itertools.islice(ids.items(), (len(ids) + 1) // 2, None))
        self._size = sum(len(ids) for by_name in self._seen.values() for ids in by_name.values())


class Sandbox:
    """Counts and recent samples of what was received, and the answer to a request. One thread only."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.faults = settings.faults
        self.reset()

    def reset(self) -> None:
        """Forget everything that arrived, and start the random draws again. The faults stay as they are."""
        self._random = random.Random(self.faults.seed)
        self.counts: Counter[str] = Counter()
        self.totals = Totals()
        self.upload_tags: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.refusal_groups = RefusalGroups()
        self.timeline = Timeline()
        self.injected: Counter[str] = Counter()
        self.window = DeduplicationWindow(self.settings.max_ids)
        self.last_errors: deque[Json] = deque(maxlen=50)
        self.last_events: deque[Json] = deque(maxlen=self.settings.keep_events)

    def set_faults(self, changes: Mapping[str, Any]) -> None:
        """Change some faults. A seed among them starts the draws again. Raises ``ValueError``, changing nothing."""
        self.faults = self.faults.changed(changes)
        if "seed" in changes:
            self._random = random.Random(self.faults.seed)

    def draw(self) -> tuple[str | None, float]:
        """The fault for the next request, and the delay of its answer in seconds."""
        faults = self.faults
        # Always two draws a request, so that one switch does not shift what the others do.
        slow, share = self._random.random(), self._random.random()
        delay = faults.latency + (faults.slow_seconds if slow < faults.slow_rate else 0.0)
        for counter, kind in (("fail_next", "error"), ("throttle_next", "throttle")):
            left = getattr(faults, counter)
            if left:
                self.faults = replace(faults, **{counter: left - 1})
                return kind, delay
        for kind in FAULT_KINDS:
            share -= getattr(faults, f"{kind}_rate")
            if share < 0:
                return kind, delay
        return None, delay

    def receive(self, version: str, dataset: str, token: str | None, body: bytes, *, short: bool = False) -> int:
        """Take a request's batch and return events_received. Raises `Refusal`; then nothing of the batch is stored.

        `token` is the one in the header or URL; without it the body's counts. `short` loses the last event.
        """
        settings = self.settings
        try:
            parameters = orjson.loads(body)
        except orjson.JSONDecodeError:
            parameters = None
        is_object = type(parameters) is dict  # Meta finds no parameters in a body of any other form
        major = _major(version)
        offline = major == OFFLINE_VERSION and is_object and not _has_server_events(parameters.get("data"))
        if major < OLDEST_LIVE_VERSION and not offline:
            raise _gone(version)
        token = token or (parameters.get("access_token") if is_object else None)
        self.check_token(token)
        self._check_proof(token, parameters.get("appsecret_proof") if is_object else None)
        if not self.has_dataset(dataset):
            raise Refusal("Unsupported post request: no such dataset, or no permission for it", 33)
        if not is_object:
            raise Refusal("the body must be a JSON object, with Content-Type application/json", None)
        self._check_parameters(parameters, offline)

        self._check_everything(len(parameters["data"]))
        check = check_offline_event if offline else check_event
        events: list[Json] = parameters["data"]
        now = settings.clock()
        self._check_poisoned(events)
        for index, event in enumerate(events):
            try:
                check(event, now)
                self._check_refused(event)
            except Refusal as refusal:
                refusal.where = f"event {index + 1} of {len(events)}"
                self.counts.update(leak for event in events for leak in leaks(event))
                raise
        if short:
            events.pop()
        agent = parameters.get("partner_agent", "").lower()
        for event in events:
            (self._store_offline if offline else self._store)(dataset, event, now, agent)
        if "upload_tag" in parameters:
            self.upload_tags[parameters["upload_tag"]] += len(events)
        self.counts["events_received"] += len(events)
        return len(events)

    def receive_unread(self, events: int, *, short: bool = False) -> int:
        """The same for a batch of so many events that nobody looks at. Raises `Refusal` of a dead token only."""
        if self.faults.dead_token:
            _refuse_expired()
        self.counts["events_received"] += events - short
        return events - short

    def check_reading(self, version: str, token: str | None, proof: str | None) -> None:
        """What every request has to fulfil that reads. Raises `Refusal`."""
        if _major(version) < OLDEST_LIVE_VERSION:
            raise _gone(version)
        self.check_token(token)
        self._check_proof(token, proof)
        faults = self.faults
        if faults.refused_code and not faults.refused_after:
            raise Refusal("everything is refused", faults.refused_subcode or None, code=faults.refused_code)

    def has_dataset(self, dataset: str) -> bool:
        known = self.settings.datasets
        return dataset.isascii() and dataset.isdigit() and (not known or dataset in known)

    def _check_everything(self, count: int) -> None:
        faults = self.faults
        if faults.refused_code and faults.refused_after:
            self.faults = replace(faults, refused_after=faults.refused_after - 1)
        elif faults.refused_code:
            self.injected["refused"] += 1
            raise Refusal("everything is refused", faults.refused_subcode or None, code=faults.refused_code)
        if faults.max_events and count > faults.max_events:
            self.injected["too_large"] += 1
            raise Refusal("the request body is too large", None, status=413)

    def _check_poisoned(self, events: list[Json]) -> None:
        text = self.faults.poisoned_ids
        if text and any(text in event.get("event_id", "") for event in events if type(event) is dict):
            raise Poisoned

    def _check_refused(self, event: Json) -> None:
        text = self.faults.refused_ids
        if text and text in event.get("event_id", ""):
            raise Refusal("the event is refused for a reason that only Meta knows")

    def check_token(self, token: Any) -> None:
        """Raises `Refusal` for a token that is missing, unknown or expired."""
        settings = self.settings
        if not is_text(token):
            raise Refusal("An access token is required", None, code=190)
        if self.faults.dead_token or token in settings.expired_tokens:
            _refuse_expired()
        if settings.tokens and token not in settings.tokens:
            raise Refusal("Invalid OAuth access token", None, code=190)

    def _check_proof(self, token: Any, proof: Any) -> None:
        """Meta, "Securing Graph API Requests": HMAC-SHA256 of the token, keyed by the app's secret, in hexadecimal."""
        secret = self.settings.app_secret
        if secret is None:
            return
        if proof is None:
            raise Refusal(
                "API calls from the server require an appsecret_proof argument", None, kind="GraphMethodException"
            )
        right = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        if not is_text(proof) or not hmac.compare_digest(proof.encode(), right.encode()):
            raise Refusal("Invalid appsecret_proof provided in the API argument", None, kind="GraphMethodException")

    def _check_parameters(self, parameters: Json, offline: bool) -> None:
        rules, most = (OFFLINE_PARAMETERS, MAX_OFFLINE_EVENTS) if offline else (PARAMETERS, MAX_EVENTS)
        for key, value in parameters.items():
            rule = rules.get(key)
            if rule is None:
                raise Refusal(f"{shown(key)} is not a known parameter", None, rule="… is not a known parameter")
            if not rule.check(value):
                raise Refusal(f"{key} must be {rule.wants}", None)
        if "data" not in parameters:
            raise Refusal("data is required", None)
        if offline and "upload_tag" not in parameters:
            raise Refusal("upload_tag is required", None)
        if len(parameters["data"]) > most:
            raise Refusal(f"(#105) data holds more than {most} events", None, code=105)

    def _store(self, dataset: str, event: Json, now: float, agent: str) -> None:
        event_id = event.get("event_id")
        if event_id is None:
            self.counts["without_event_id"] += 1
        elif not self.window.is_new(dataset, event["event_name"], event_id, now):
            self.counts["duplicates"] += 1
            return
        if event["action_source"] == "website" and "event_source_url" not in event:
            self.counts["website_without_url"] += 1
        part = Part(dataset, event["event_name"], event["action_source"], agent)
        self._keep(dataset, event)
        self.totals.count(part, event, event["user_data"], event.get("custom_data") or {}, now)

    def _store_offline(self, dataset: str, event: Json, now: float, agent: str) -> None:
        # Without an event_id, an event is identified by its order, else its person, with time and name.
        who = event.get("order_id") or hashlib.sha256(orjson.dumps(event["match_keys"])).hexdigest()
        identity = f"{event['event_time']}/{who}/{event.get('item_number', '')}"
        if self.window.is_new(dataset, event["event_name"], identity, now, OFFLINE_DEDUPLICATION_WINDOW):
            self._keep(dataset, event)
            part = Part(dataset, event["event_name"], OFFLINE, agent)
            self.totals.count(part, event, event["match_keys"], event, now)
        else:
            self.counts["duplicates"] += 1

    def _keep(self, dataset: str, event: Json) -> None:
        self.counts["events_stored"] += 1
        self.last_events.append({"dataset": dataset, **event})

    def note_refusal(self, refusal: Refusal, dataset: str, fbtrace_id: str) -> None:
        """Count and remember a refusal."""
        self.counts["refused_requests"] += 1
        self.refusals[f"{refusal.code}/{refusal.subcode}" if refusal.subcode else str(refusal.code)] += 1
        now = self.settings.clock()
        self.refusal_groups.note(refusal, dataset, now)
        self.last_errors.append(
            {
                "time": now,
                "dataset": dataset,
                "code": refusal.code,
                "subcode": refusal.subcode,
                "reason": refusal.reason,
                "where": refusal.where,
                "fbtrace_id": fbtrace_id,
            }
        )

    def stats(self) -> Json:
        """All counts, the last events and errors, ready for JSON.

        Counts are of events unless the name says requests or tokens; ``raw_pii``, ``pii_in_custom_data`` and
        ``pii_in_urls`` count the events, of refused batches, that showed personal data.
        """
        by_event = self.totals.by_event()
        return {
            **{name: self.counts[name] for name in COUNTS},
            "by_event": {d: {name: sums.stored for name, sums in names.items()} for d, names in by_event.items()},
            "match_keys": self.totals.match_keys(),
            "upload_tags": dict(self.upload_tags),
            "purchase_value": dict(purchase_value(by_event)),
            "refusals": dict(self.refusals),
            "errors": list(self.last_errors),
            "last_events": list(self.last_events),
            "faults": asdict(self.faults),
            "active_faults": self.faults.active(),
            "injected_faults": dict(self.injected),
            "null": self.settings.null,
        }


COUNTS: Final = (
    "requests",
    "events_received",
    "events_stored",
    "duplicates",
    "refused_requests",
    "tokens_in_url",
    "raw_pii",
    "pii_in_custom_data",
    "pii_in_urls",
    "website_without_url",
    "without_event_id",
)


def _has_server_events(data: Any) -> bool:
    return type(data) is list and any(type(event) is dict and "user_data" in event for event in data)


def _major(version: str) -> int:
    """The 25 of v25.0. Raises `Refusal` for what is not a version."""
    if not re.fullmatch(r"v[0-9]{1,9}\.[0-9]+", version):
        raise Refusal("Unknown path components", None, code=2500)
    return int(version[1:].partition(".")[0])


def _gone(version: str) -> Refusal:
    text = f"(#2635) {version} of the Graph API is gone; use v25.0"
    return Refusal(text, None, code=2635, rule="(#2635) the version of the Graph API is gone")


def _refuse_expired() -> NoReturn:
    raise Refusal("Error validating access token: Session has expired", 463, code=190)
