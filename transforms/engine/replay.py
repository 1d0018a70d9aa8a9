"""Dead letters, put through the step that rejected them once more.

Up to hashing a dead letter holds the event: it is mapped again, but only for the subscription and dataset that rejected
it, for others may have it. After hashing it holds the ready body: it is checked again, for it may have grown too old,
and sent as it is. What is rejected again is the same dead letter with the new reason: payloads never nest, and the
`ReplayHistory`, the time at which it first became one, stays.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

import orjson

from capybeam.transforms.core.conversions import Conversion, Ready
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.events import Event, is_blank, without_mark
from capybeam.transforms.core.message_formats import Found
from capybeam.transforms.core.rejections import UNFORESEEN, Rejected, Rejection, Stage, as_rejected, reject
from capybeam.transforms.engine import conversions
from capybeam.transforms.engine.conversions import Subscription
from capybeam.transforms.meta.user_data import Count
from capybeam.transforms.standards.json_text import load_json

_READY: Final = ("validate", "send")  # stages whose payload is the ready body


class ReplayHistory(NamedTuple):
    """Where a dead letter began: Unix seconds, and how many replays it has been through."""

    first_dead_lettered_at: int
    replays: int


@dataclasses.dataclass(frozen=True)
class DeadLetter:
    """A row of the dead letters, as `Rejection.encode` writes it; `origin` is that of what a replay makes of it."""

    stage: Stage
    code: str
    destination: str | None
    subscription: str | None
    dataset_id: str | None
    event_id: str | None
    payload: Any = dataclasses.field(repr=False)
    retryable: bool
    origin: ReplayHistory

    @property
    def key(self) -> str | None:
        return f"{self.destination}/{self.subscription}" if self.subscription else None

    def rejected(self, stage: Stage, cause: Rejected, **where: Any) -> Rejection:
        """What rejects it again."""
        fields = {
            "destination": self.destination,
            "subscription": self.subscription,
            "dataset_id": self.dataset_id,
            "event_id": self.event_id,
            "payload": self.payload if cause.payload is None else cause.payload,
            **where,
        }
        return reject(stage, cause, **fields, **self.origin._asdict())


@dataclasses.dataclass(frozen=True)
class ReplayFilter:
    """Which dead letters are replayed.

    Attributes:
        codes: only those; all, where there are none.
        retryable: only those that are retryable.
    """

    codes: frozenset[str] = frozenset()
    retryable: bool = False

    def takes(self, letter: DeadLetter) -> bool:
        return (not self.codes or letter.code in self.codes) and (letter.retryable or not self.retryable)


# Of the parse stage, and not the text of an event: the start of a line, a row of a table, what was left of a file, and
# a line that was taken for a dead letter.
_NEVER_EVENTS: Final = frozenset({"line_too_long", "unreadable_row", "unreadable_rest", "not_a_dead_letter"})
_UNDIRECTED: Final = ("parse", "filter")  # stages before an event is a subscription's
_STAGES: Final[Mapping[str, Stage]] = {stage: stage for stage in get_args(Stage)}
_LATEST: Final = 253_402_300_799  # Unix seconds of the end of the year 9999, the last that tables of dead letters hold
_MOST_REPLAYS: Final = 1_000_000

# What a server event has at least (and the fields of a conversion, where a defect has kept it from becoming one), and
# what an event of the older wire has. Other keys are Meta's to judge.
_SERVER_EVENT: Final[Mapping[str, type]] = {
    "event_time": int,
    "event_name": str,
    "event_id": str,
    "action_source": str,
    "user_data": dict,
}
_OFFLINE_EVENT: Final[Mapping[str, type]] = {"event_time": int, "event_name": str, "match_keys": dict}
_OPTIONAL: Final[Mapping[str, type]] = {
    "custom_data": dict,
    "app_data": dict,
    "messaging_channel": str,
    "app_data_field": dict,
    "event_source_url": str,
    "test_event_code": str,
}


def parse_dead_letter(line: bytes, place: str) -> DeadLetter:
    """A line of dead letters.

    Args:
        place: of the line, for the message: "Line 7 of dead-letters.jsonl".

    Raises:
        Rejected: not_a_dead_letter, with the line as payload.
    """

    def no(reason: str) -> Rejected:
        return Rejected("not_a_dead_letter", f"{place} is no dead letter: {reason}.", line)

    try:
        row = load_json(without_mark(line))
    except orjson.JSONDecodeError:
        raise no("it is empty" if is_blank(line) else "it is not JSON") from None
    if not isinstance(row, dict):
        raise no("it is no JSON object")
    missing = [key for key in ("dead_lettered_at", "stage", "code", "payload") if row.get(key) is None]
    if missing:
        raise no(f"it has no {missing[0]}")
    stage, code = _STAGES.get(row["stage"]) if type(row["stage"]) is str else None, row["code"]
    if stage is None:
        raise no("its stage is none of capybeam's")
    if type(code) is not str or not code:
        raise no("its code is no text")
    first: Any = row.get("first_dead_lettered_at", row["dead_lettered_at"])
    replays = row.get("replays", 0)
    if not (_is_whole(first, _LATEST) and _is_whole(row["dead_lettered_at"], _LATEST)):
        raise no("its time is not in Unix seconds")
    if not _is_whole(replays, _MOST_REPLAYS):
        raise no("its replays are no number of them")
    names = [row.get(key) for key in ("destination", "subscription", "dataset_id", "event_id")]
    if not all(name is None or type(name) is str for name in names):
        raise no("a name in it is no text")
    destination, subscription, dataset_id, event_id = names
    if stage in _UNDIRECTED:
        if any(name is not None for name in (destination, subscription, dataset_id)):
            raise no(f"it names a subscription, and at the stage {stage} an event has none yet")
    elif not destination or not subscription:
        raise no("it names no subscription")
    elif "/" in destination:
        raise no("its destination has a name that a job file cannot give")
    payload = _payload(stage, code, row, no)
    retryable = row.get("retryable") is True
    origin = ReplayHistory(first, replays + 1)
    return DeadLetter(stage, code, destination, subscription, dataset_id, event_id, payload, retryable, origin)


def _payload(stage: Stage, code: str, row: Mapping[str, Any], no: Callable[[str], Rejected]) -> Any:
    """The payload as the stage's step takes it. Raises what `no` makes of a reason."""
    payload, encoding = row["payload"], row.get("payload_encoding")
    if stage == "parse" and code in _NEVER_EVENTS:
        return payload
    if stage == "parse":
        if type(payload) is not str:
            raise no("its payload is no text")
        if encoding is None:
            return payload.encode()
        try:
            if encoding == "base64":
                return base64.b64decode(payload, validate=True)
        except ValueError:
            pass
        raise no("its payload cannot be decoded")
    if not isinstance(payload, dict):
        raise no("its payload is no object")
    if stage in _READY and not _is_event(payload, made=not _is_unmade(stage, code)):
        raise no("its payload is no server event")
    return payload


def _is_unmade(stage: Stage, code: str) -> bool:
    """Whether a payload is the fields of which a server event was to be made, and what that met came as a surprise."""
    return stage == "validate" and code in UNFORESEEN


def _is_whole(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_event(body: Mapping[str, Any], made: bool) -> bool:
    """Whether a body has the parts that the rules look at, each of its type.

    Args:
        made: whether it is an event as it goes out, rather than the fields of one.
    """
    required = _OFFLINE_EVENT if made and "match_keys" in body else _SERVER_EVENT
    return (
        all(type(body.get(key)) is kind for key, kind in required.items())
        and all(key not in body or type(body[key]) is kind for key, kind in _OPTIONAL.items())
        and (made or all(body["user_data"].values()))
    )


# --- the way --------------------------------------------------------------------------------------------------------


def compile_replay(
    subscriptions: Sequence[Subscription], max_bytes: int, unwrap: str | None = None
) -> Callable[[DeadLetter, float, Count, Callable[[str], Count]], Iterator[Ready | Rejection]]:
    """The function from a dead letter to what becomes of it: nothing where no trigger takes it any more.

    Besides the dead letter it takes the time (Unix seconds) and two ways to count, named as in `transforms.counters`:
    what happened, and by subscription key what was dropped on the way.
    """
    return _Way(subscriptions, max_bytes, unwrap).outcomes


class _Way:
    def __init__(self, subscriptions: Sequence[Subscription], max_bytes: int, unwrap: str | None) -> None:
        self._datasets = {subscription.key: subscription.dataset_ids for subscription in subscriptions}
        self._matched = {key: CounterKey("matched", key).encode() for key in self._datasets}
        self._parsed = conversions.compile_parsing(subscriptions, unwrap)
        self._wires = {subscription.key: subscription.wire for subscription in subscriptions}
        self._matching = conversions.compile_filter(subscriptions)
        self._named = conversions.compile_naming(subscriptions)
        self._mapped = conversions.compile_properties(subscriptions)
        self._hashed = conversions.compile_hashing(subscriptions)
        self._validated = conversions.compile_validation(subscriptions, max_bytes)
        self._validated_again = conversions.compile_validation(subscriptions, max_bytes, unseen=True)
        self._revalidated = conversions.compile_revalidation(subscriptions, max_bytes)

    def outcomes(
        self, letter: DeadLetter, now: float, count: Count, notes: Callable[[str], Count]
    ) -> Iterator[Ready | Rejection]:
        if letter.stage == "parse":
            yield from self._line_again(letter, now, count, notes)
            return
        count("read")
        if letter.key is not None and letter.key not in self._datasets:
            yield self._not_in_job(letter, letter.key, count)
        elif letter.stage in _READY:
            yield self._ready_again(letter, now, count, notes)
        else:
            yield from self._event_again(letter, letter.payload, now, count, notes)

    def _ready_again(
        self, letter: DeadLetter, now: float, count: Count, notes: Callable[[str], Count]
    ) -> Ready | Rejection:
        key, body = str(letter.key), letter.payload
        dataset_id = self._dataset(key, letter.dataset_id)
        if dataset_id is None:
            return self._not_in_job(letter, key, count)
        unmade = _is_unmade(letter.stage, letter.code)
        if not unmade and ("match_keys" in body) is not (self._wires[key] == "offline_events"):
            return self._not_in_job(letter, key, count, _OTHER_WIRE)
        count("taken")
        count(self._matched[key])
        try:
            if unmade:
                conversion = Conversion(key, body["event_name"], dataset_id, None, body)
                ready = self._validated_again(conversion, now, notes(key))
            else:
                ready = self._revalidated(key, dataset_id, body, now, notes(key))
        except Exception as error:
            return letter.rejected("validate", as_rejected(error), dataset_id=dataset_id)
        return marked(ready, letter.origin)

    def _line_again(
        self, letter: DeadLetter, now: float, count: Count, notes: Callable[[str], Count]
    ) -> Iterator[Ready | Rejection]:
        """A line, which holds one event or several, or none."""
        found: Iterable[Found] = (
            [Rejected(letter.code)]
            if letter.stage == "parse" and letter.code in _NEVER_EVENTS
            else self._parsed(letter.payload, lambda name: count(CounterKey("note", detail=name).encode()))
        )
        for each in found:
            count("read")
            if isinstance(each, Rejected):
                count("unparsable")
                yield letter.rejected("parse", each)
            else:
                yield from self._event_again(letter, each, now, count, notes)

    def _event_again(
        self, letter: DeadLetter, event: Event, now: float, count: Count, notes: Callable[[str], Count]
    ) -> Iterator[Ready | Rejection]:
        try:
            keys = [key for key in self._matching(event) if letter.key in (None, key)]
        except Exception as error:
            yield letter.rejected("filter", as_rejected(error), destination=None, subscription=None, payload=event)
            return
        count("taken" if keys else "filtered")
        for key in keys:
            for outcome in self._conversions(letter, event, key, count):
                yield outcome if isinstance(outcome, Rejection) else self._ready(letter, outcome, now, notes(key))

    def _conversions(
        self, letter: DeadLetter, event: Event, key: str, count: Count
    ) -> Iterable[Conversion | Rejection]:
        """An event's conversions for one subscription: those for the dataset that rejected it, if one did."""
        try:
            named = self._named(event, key)
        except Exception as error:
            count(self._matched[key])
            return [letter.rejected("name", as_rejected(error), **_names(key), payload=event)]
        if letter.dataset_id:
            dataset_id = self._dataset(key, letter.dataset_id)
            if dataset_id is None:
                count(self._matched[key])
                return [letter.rejected(letter.stage, Rejected("not_in_job"))]
            named = [conversion for conversion in named if conversion.dataset_id == dataset_id]
        for _ in named:
            count(self._matched[key])
        return named

    def _ready(self, letter: DeadLetter, conversion: Conversion, now: float, note: Count) -> Ready | Rejection:
        stage: Stage = "map"
        payload: Mapping[str, Any] | None = conversion.event
        try:
            conversion = self._mapped(conversion, note)
            stage = "hash"
            conversion = self._hashed(conversion, note)
            stage, payload = "validate", conversion.fields
            return marked(self._validated(conversion, now, note), letter.origin)
        except Exception as error:
            cause = as_rejected(error)
            event_id = conversion.fields.get("event_id", letter.event_id)
            return letter.rejected(
                stage,
                cause,
                **_names(conversion.subscription),
                dataset_id=conversion.dataset_id,
                event_id=event_id if isinstance(event_id, str) else None,
                payload=payload if cause.payload is None else cause.payload,
            )

    def _dataset(self, key: str, dataset_id: str | None) -> str | None:
        """The dataset that a dead letter is for: where there is only one, the job file may have been mended."""
        datasets: Collection[str] = self._datasets[key]
        return dataset_id if dataset_id in datasets else next(iter(datasets)) if len(datasets) == 1 else None

    def _not_in_job(self, letter: DeadLetter, key: str, count: Count, detail: str | None = None) -> Rejection:
        count("taken")
        count(CounterKey("matched", key).encode())
        return letter.rejected(letter.stage, Rejected("not_in_job", detail))


_OTHER_WIRE: Final = (
    "The subscription has another wire in the job file, and its events another form. Run the input again."
)


def _names(key: str) -> dict[str, str]:
    destination, _, subscription = key.partition("/")
    return {"destination": destination, "subscription": subscription}


# --- the origin, on its way through batches -------------------------------------------------------------------------

_MARK: Final = "\x1f"  # which no name of a subscription contains


def marked(ready: Ready, origin: ReplayHistory) -> Ready:
    """A conversion whose line carries its origin, behind the subscription's name."""
    name, tab, body = ready.line.partition(b"\t")
    return Ready(ready.key, name + f"{_MARK}{origin.first_dead_lettered_at},{origin.replays}".encode() + tab + body)


def unmarked(name: str) -> str:
    """A subscription's name or key without an origin."""
    return name.partition(_MARK)[0]


def with_origin(rejection: Rejection) -> Rejection:
    """A rejection of a line, with the origin that the line carried, if it did, in its place."""
    name, mark, origin = (rejection.subscription or "").partition(_MARK)
    if not mark:
        return rejection
    first, _, replays = origin.partition(",")
    return dataclasses.replace(rejection, subscription=name, first_dead_lettered_at=int(first), replays=int(replays))
