"""Taking batches to Meta, until each of their events is delivered or rejected with a reason of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
import requests
import requests.auth
import urllib3.exceptions

from transforms import meta_rules
from transforms.connections import TimedAdapter
from transforms.conversions import TIME_AT, action_source, event_time, split_key, split_line
from transforms.graph_api import Answer, Delivery, Destination, classify, failed, request_body, with_parameters
from transforms.pacing import Brake, Pacer, Stopwatch
from transforms.rejections import Rejected, Rejection, reject
from transforms.stopping import STOPPING
from transforms.tallies import LIVE
from transforms.tokens import TokenError

_log = logging.getLogger(__name__)

Circuit = tuple[str, str | None]  # destination, and dataset where only that is out of order


@dataclasses.dataclass(frozen=True)
class Receipt:
    """One delivered request. Times in Unix seconds, `seconds` from the first try to the answer.

    Attributes:
        event_ids: only on detailed receipts.
    """

    destination: str
    dataset_id: str
    events: int
    first_event_time: int
    last_event_time: int
    fbtrace_id: str | None
    messages: tuple[str, ...]
    tries: int
    seconds: float
    delivered_at: int
    event_ids: tuple[str | None, ...] | None = None

    def encode(self) -> bytes:
        row = dataclasses.asdict(self)
        if self.event_ids is None:
            del row["event_ids"]
        return orjson.dumps(row)


@dataclasses.dataclass
class Outcome:
    """What became of a batch: every event of it is in `delivered` (by subscription key) or in `rejections`."""

    delivered: dict[str, int] = dataclasses.field(default_factory=dict)
    receipts: list[Receipt] = dataclasses.field(default_factory=list)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Parcel:
    """A batch as one request: its events' lines, and what is read off them once.

    Attributes:
        lines: `Ready` lines.
        body: of the request.
        counts: events by subscription key.
        first_event_time, last_event_time: Unix seconds.
    """

    key: str
    lines: Sequence[bytes] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)
    counts: Mapping[str, int]
    first_event_time: int
    last_event_time: int

    @classmethod
    def pack(cls, key: str, lines: Sequence[bytes]) -> Parcel:
        """Packs at least one line.

        A step does that in its own thread, not in one that sends: what one core has just written another would have to
        fetch.
        """
        address = split_key(key)
        cuts = [line.index(b"\t") for line in lines]
        names = Counter([line[:cut] for line, cut in zip(lines, cuts, strict=True)])
        bodies = [line[cut + 1 :] for line, cut in zip(lines, cuts, strict=True)]
        times = [body[TIME_AT] for body in bodies]
        return cls(
            key=key,
            lines=lines,
            body=request_body(bodies, address.test_event_code, address.upload_tag),
            counts={f"{address.destination}/{name.decode()}": count for name, count in names.items()},
            first_event_time=int(min(times)),
            last_event_time=int(max(times)),
        )

    def halves(self) -> tuple[Parcel, Parcel]:
        middle = len(self.lines) // 2
        return Parcel.pack(self.key, self.lines[:middle]), Parcel.pack(self.key, self.lines[middle:])


_BACK_OFF_FROM: Final = 0.5  # seconds; doubles at each try
_BACK_OFF_TO: Final = 30.0
_LONGEST_ANSWER: Final = 1024 * 1024  # bytes
_HOLD_PAUSE: Final = 15.0  # seconds, on average, between looks at a destination that is held
_HOLD_FOR: Final = 300.0  # seconds until the runner is told, which then brings the events again
_FORGOTTEN_AFTER: Final = 2 * _BACK_OFF_TO  # seconds without a further failure after which one is an old story


class DestinationHeld(Exception):
    """A destination refuses everything, and its events are kept by whoever brings them again."""


class Stopped(Exception):
    """The process is to stop before all is delivered, and the events are kept by whoever brings them again."""


class _Bearer(requests.auth.AuthBase):
    """The token by header: it stays out of URLs and logs, and .netrc cannot replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bearer) and self._token == other._token

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "_Bearer(…)"

    def withheld(self, answer: Answer) -> Answer:
        """The answer without the token, should the server have quoted it."""
        if self._token not in f"{answer.message}{answer.messages}":
            return answer
        messages = tuple(message.replace(self._token, "…") for message in answer.messages)
        return dataclasses.replace(answer, message=answer.message.replace(self._token, "…"), messages=messages)


@dataclasses.dataclass(frozen=True)
class _Failing:
    """A destination that fails: since when, when last, and how. Seconds of the monotonic clock."""

    since: float
    last: float
    answer: Answer


class _Endless(Exception):
    """An answer that goes on for too long."""


class Courier:
    """A process's way to Meta: one pool of connections, one pacer, one memory of which destinations are out of order.

    Safe to use from many threads. No lock is held while anything is waited for.

    Args:
        share: of the job's requests_per_second that this process may use, 0 to 1.
        hold: whether the events of a destination that refuses everything are held until it takes them again, as a
            stream wants, rather than rejected.
        patient: whether they are held for as long as it takes; otherwise `DestinationHeld` is raised after minutes.
        allow: blocks until a request to the destination of that name may start; for limits over all workers.
        clock: Unix seconds.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        delivery: Delivery,
        *,
        share: float = 1.0,
        hold: bool = False,
        patient: bool = False,
        allow: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._destinations = {destination.name: destination for destination in destinations}
        self._tokens = {destination.name: _Bearer(destination.token.read()) for destination in destinations}
        self._delivery, self._hold, self._patient, self._allow = delivery, hold, patient, allow
        rate = delivery.requests_per_second
        self._pacer = Pacer(None if rate is None else rate * share)
        self._brakes = {destination.name: Brake() for destination in destinations}
        self.throttled = Stopwatch()
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            connections = delivery.concurrency * max(1, len(destinations))
            self._session.mount(scheme, TimedAdapter(pool_maxsize=connections))
        self._clock, self._jitter = clock, jitter
        self._lock = threading.Lock()
        self._refused: dict[Circuit, Answer] = {}
        self._held_since: dict[Circuit, float] = {}
        self._failing: dict[str, _Failing] = {}

    def deliver(self, parcel: Parcel) -> Outcome:
        """Sends the events of one destination key until each is delivered or rejected.

        A batch that is refused, or acknowledged only in part, is halved until the event at fault stands alone; the
        event_id makes it harmless that some are sent twice. Of n events k bad ones cost at most about
        2 · k · log2(n) + 1 requests. Never raises for what a server does.

        Raises:
            DestinationHeld: with `hold`, where the destination has been refusing everything for minutes, or the
                process is to stop meanwhile.
            Stopped: with `hold`, where the process is to stop before all is settled.
        """
        outcome = Outcome()
        for young in self._in_time(parcel, outcome):
            self._settle(young, outcome)
        return outcome

    def _settle(self, parcel: Parcel, outcome: Outcome) -> bool:
        """Delivers or rejects every event; gives back whether all were delivered."""
        answer, tries, seconds = self._answer(parcel)
        if answer.kind == "delivered":
            self._delivered(parcel, answer, tries, seconds, outcome)
            return True
        if answer.kind == "destination":
            self._reject(parcel, "destination_refused", answer, outcome, retryable=True)
        elif answer.kind in ("throttled", "transient") or (answer.kind == "short" and len(parcel.lines) == 1):
            if self._hold and STOPPING.is_set():
                name = split_key(parcel.key).destination
                raise Stopped(f"{name}: stopped before all was delivered; the rest comes again. {answer.summary}")
            code = "interrupted" if STOPPING.is_set() else "gave_up_retrying"
            self._reject(parcel, code, answer, outcome, retryable=True)
        elif len(parcel.lines) == 1:
            self._reject(parcel, "meta_refused_event", answer, outcome)
        else:
            return self._settle_halves(parcel, answer.kind == "event", outcome)
        return False

    def _settle_halves(self, parcel: Parcel, holds_bad: bool, outcome: Outcome) -> bool:
        """As `_settle`, half by half. Where one event at least is known to be bad and the first half has none, the
        second has it, and need not be sent whole to find out."""
        first, second = parcel.halves()
        clean = self._settle(first, outcome)
        if clean and holds_bad and len(second.lines) > 1:
            return self._settle_halves(second, holds_bad, outcome)
        return self._settle(second, outcome) and clean

    def _answer(self, parcel: Parcel) -> tuple[Answer, int, float]:
        """The answer that settles a request, with how many tries and seconds it took."""
        name, dataset_id, *_ = split_key(parcel.key)
        started, tries = time.monotonic(), 0
        failing_since: float | None = None  # this very request; others may fare better
        while True:
            answer = self._refused_already(name, dataset_id) or self._await_turn(name)
            if answer is None:
                tries += 1
                answer = self._post(self._destinations[name], dataset_id, parcel)
                if self._is_passing(answer, parcel):
                    failing_since = failing_since or time.monotonic()
                    wait = self._wait_before_retry(name, answer, tries, failing_since)
                    if wait is not None:
                        self._wait(wait, answer.kind == "throttled")
                        continue
                else:
                    self._settled(name, dataset_id, answer)
                    if answer.kind == "destination" and self._hold:
                        self._wait_while_held(name, dataset_id, answer)
                        continue
            return answer, tries, time.monotonic() - started

    def _is_passing(self, answer: Answer, parcel: Parcel) -> bool:
        """Whether the same request may fare better later. One event that is not acknowledged cannot be halved."""
        return answer.kind in ("throttled", "transient") or (answer.kind == "short" and len(parcel.lines) == 1)

    # --- one request ---------------------------------------------------------------------------------------------

    def _post(self, destination: Destination, dataset_id: str, parcel: Parcel) -> Answer:
        url = f"{destination.endpoint}/{destination.api_version}/{dataset_id}/events"
        token, timeout = self._tokens[destination.name], self._delivery.timeout
        try:
            with self._session.post(
                url,
                data=with_parameters(parcel.body, destination.parameters),
                headers={"Content-Type": "application/json"},
                auth=token,
                timeout=timeout,
                allow_redirects=False,  # a redirect would take the token along
                stream=True,
            ) as response:
                content = _read(response.raw)
                return token.withheld(classify(response.status_code, response.headers, content, len(parcel.lines)))
        except requests.exceptions.SSLError as error:
            if "certificate" in str(error):
                return failed("certificate", f"The certificate of {destination.endpoint} is not valid.")
            return failed("broken", f"No secure connection to {destination.endpoint} ({type(error).__name__}).")
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            return failed("timeout", f"{destination.endpoint} did not answer within {timeout:g} s.")
        except _Endless:
            return failed("endless", f"{destination.endpoint} gave an answer without an end.")
        except (requests.RequestException, OSError) as error:
            return failed("unreachable", f"{destination.endpoint} cannot be reached ({_reason(error)}).")
        except Exception as error:  # urllib3 and http.client have errors of their own for broken answers
            return failed("broken", f"{destination.endpoint} broke off its answer ({type(error).__name__}).")

    # --- waiting -------------------------------------------------------------------------------------------------

    def _await_turn(self, name: str) -> Answer | None:
        """Waits until a request to the destination may start; the answer that settles it where it is too long."""
        while (wait := self._brakes[name].wait()) > 0:
            failing = self._failing.get(name)
            if failing is not None and wait >= self._left(failing.since):
                return failing.answer
            if STOPPING.is_set():
                return Answer("throttled", "The destination is near its rate limit, and the run was stopped.")
            LIVE.say(name, f"near its rate limit at Meta; the next request may start in {wait:.0f} s.")
            self._wait(min(wait, 60.0), throttled=True)
        while (wait := self._pacer.wait()) > 0:
            with self.throttled.waiting():
                time.sleep(wait)  # a run that is to stop keeps its pace
        if self._allow is not None:
            try:
                with self.throttled.waiting():
                    self._allow(name)
            except Exception as error:  # of gRPC
                return failed("unreachable", f"The rate limit service cannot be reached ({type(error).__name__}).")
        return None

    def _wait_before_retry(self, name: str, answer: Answer, tries: int, failing_since: float) -> float | None:
        """Seconds until the next try; None when retry_for is over, or the run is stopping.

        It is over when the destination has been failing for that long, whichever batch met it: otherwise every batch
        of a long outage would wait its own time. It is over as well when this request has, though others get through.
        """
        with self._lock:
            now = time.monotonic()
            failing = self._failing.get(name)
            patience = _FORGOTTEN_AFTER + self._delivery.timeout + (failing.answer.wait or 0.0 if failing else 0.0)
            since = now if failing is None or now - failing.last > patience else failing.since
            self._failing[name] = _Failing(since, now, answer)
        left = min(self._left(since), self._left(failing_since))
        wait = self._jitter(0, min(_BACK_OFF_TO, _BACK_OFF_FROM * 2.0 ** min(tries, 10)))
        if answer.wait is not None:
            wait = max(wait, answer.wait)
        if answer.kind == "throttled":
            self._brakes[name].stop(wait)  # of all that goes there, not of this request alone
        if wait >= left or STOPPING.is_set():
            LIVE.say(name, f"gave up: {answer.summary}")
            return None
        LIVE.say(name, f"{answer.summary} Trying again in {wait:.0f} s, for another {left:.0f} s.")
        return wait

    def _left(self, failing_since: float) -> float:
        return self._delivery.retry_for - (time.monotonic() - failing_since)

    def _wait(self, seconds: float, throttled: bool = False) -> None:
        with self.throttled.waiting() if throttled else contextlib.nullcontext():
            STOPPING.wait(seconds)

    # --- destinations out of order --------------------------------------------------------------------------------

    def _refused_already(self, name: str, dataset_id: str) -> Answer | None:
        return self._refused.get((name, None)) or self._refused.get((name, dataset_id))

    def _settled(self, name: str, dataset_id: str, answer: Answer) -> None:
        """Takes in an answer that will not change by itself: the destination is there, in order or not."""
        self._brakes[name].told(answer.usage or 0.0, answer.regain)
        with self._lock:
            self._failing.pop(name, None)
            circuit = _circuit(name, dataset_id, answer)
            if answer.kind != "destination":
                self._held_since.pop((name, None), None)
                self._held_since.pop((name, dataset_id), None)
                if not any(refused == name for refused, _ in self._refused):
                    LIVE.say(name, "")
            elif not self._hold:
                self._refused.setdefault(circuit, answer)
                dataset = f"Dataset {circuit[1]}: " if circuit[1] else ""
                LIVE.say(name, f"REFUSED. {dataset}{answer.summary} {answer.row.todo}")

    def _wait_while_held(self, name: str, dataset_id: str, answer: Answer) -> None:
        """Waits until a destination that refuses everything may be worth another try: at once with another token."""
        with self._lock:
            now = time.monotonic()
            since = self._held_since.setdefault(_circuit(name, dataset_id, answer), now)
        todo = answer.row.todo
        if self._destinations[name].token.kind in ("file", "secret"):  # which are read again
            todo = todo.replace(" and run again.", ": the run picks it up by itself.")
        state = f"HELD. {answer.summary} {todo} Nothing is lost: its events wait."
        LIVE.say(name, state)
        if not LIVE.shown:
            _log.error("%s: %s", name, state)
        until = now + self._jitter(0.5, 1.5) * _HOLD_PAUSE
        while not self._has_new_token(name):
            if STOPPING.is_set() or (not self._patient and time.monotonic() - since > _HOLD_FOR):
                raise DestinationHeld(f"{name}: {state}")
            if time.monotonic() > until:
                return
            STOPPING.wait(1.0)

    def _has_new_token(self, name: str) -> bool:
        """Reads the token again; whether it is another than the one that was refused."""
        try:
            token = _Bearer(self._destinations[name].token.read())
        except TokenError:
            return False
        if token == self._tokens[name]:
            return False
        self._tokens[name] = token
        return True

    # --- outcomes -------------------------------------------------------------------------------------------------

    def _in_time(self, parcel: Parcel, outcome: Outcome) -> list[Parcel]:
        """The events that are still young enough: a batch may have waited, and one too old fails them all."""
        now = self._clock()
        if parcel.first_event_time >= now - meta_rules.MAX_AGE:
            return [parcel]
        kept = []
        for line in parcel.lines:
            _, body = split_line(line)
            try:
                meta_rules.check_age(event_time(body), action_source(body), now)
                kept.append(line)
            except Rejected as cause:
                outcome.rejections.append(_rejection(parcel.key, line, cause))
        return [Parcel.pack(parcel.key, kept)] if kept else []

    def _delivered(self, parcel: Parcel, answer: Answer, tries: int, seconds: float, outcome: Outcome) -> None:
        destination, dataset_id, *_ = split_key(parcel.key)
        for name, count in parcel.counts.items():
            outcome.delivered[name] = outcome.delivered.get(name, 0) + count
        event_ids = None
        if self._delivery.receipts == "detailed":
            event_ids = tuple(orjson.loads(split_line(line)[1]).get("event_id") for line in parcel.lines)
        outcome.receipts.append(
            Receipt(
                destination=destination,
                dataset_id=dataset_id,
                events=len(parcel.lines),
                first_event_time=parcel.first_event_time,
                last_event_time=parcel.last_event_time,
                fbtrace_id=answer.fbtrace_id,
                messages=answer.messages,
                tries=tries,
                seconds=round(seconds, 3),
                delivered_at=int(self._clock()),
                event_ids=event_ids,
            )
        )

    def _reject(self, parcel: Parcel, code: str, answer: Answer, outcome: Outcome, retryable: bool = False) -> None:
        cause = Rejected(code, answer.message)
        outcome.rejections += [
            _rejection(parcel.key, line, cause, meta_code=answer.meta_code, retryable=retryable)
            for line in parcel.lines
        ]


def _circuit(name: str, dataset_id: str, answer: Answer) -> Circuit:
    return name, dataset_id if answer.row.scope == "dataset" else None


def _rejection(key: str, line: bytes, cause: Rejected, **more: Any) -> Rejection:
    destination, dataset_id, *_ = split_key(key)
    subscription, body = split_line(line)
    payload = orjson.loads(body)
    return reject(
        "send",
        cause,
        destination=destination,
        subscription=subscription,
        dataset_id=dataset_id,
        event_id=payload.get("event_id"),
        payload=payload,
        **more,
    )


def _read(raw: Any) -> bytes:
    """The body of an answer, decoded. Raises _Endless where it is too long."""
    parts, size = [], 0
    while part := raw.read1(1 << 16, decode_content=True):
        parts.append(part)
        size += len(part)
        if size > _LONGEST_ANSWER:
            raise _Endless
    return b"".join(parts)


_REASONS: Final = (
    "Connection refused",
    "Connection reset",
    "Connection aborted",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "certificate verify failed",
)


def _reason(error: BaseException) -> str:
    """Why nothing was reached, in words that hold nothing of the request."""
    text = str(error)
    return next((reason.lower() for reason in _REASONS if reason in text), type(error).__name__)
