"""Taking batches to Meta, until each of their events is delivered or rejected with a reason of its own."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson
import requests
import requests.adapters
import requests.auth

from transforms import meta_rules
from transforms.conversions import TIME_AT, event_time, split_key, split_line
from transforms.graph_api import Answer, Delivery, Destination, classify, request_body, what_to_do
from transforms.pacing import Pacer
from transforms.rejections import Rejected, Rejection, reject
from transforms.stopping import STOPPING
from transforms.tallies import LIVE


@dataclasses.dataclass(frozen=True)
class Receipt:
    """One delivered request. Times in Unix seconds, `seconds` from the first try to the answer."""

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

    def encode(self) -> bytes:
        return orjson.dumps(self)


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
        destination, _, test_event_code = split_key(key)
        cuts = [line.index(b"\t") for line in lines]
        names = Counter([line[:cut] for line, cut in zip(lines, cuts, strict=True)])
        bodies = [line[cut + 1 :] for line, cut in zip(lines, cuts, strict=True)]
        times = [body[TIME_AT] for body in bodies]
        return cls(
            key=key,
            lines=lines,
            body=request_body(bodies, test_event_code),
            counts={f"{destination}/{name.decode()}": count for name, count in names.items()},
            first_event_time=int(min(times)),
            last_event_time=int(max(times)),
        )

    def halves(self) -> tuple[Parcel, Parcel]:
        middle = len(self.lines) // 2
        return Parcel.pack(self.key, self.lines[:middle]), Parcel.pack(self.key, self.lines[middle:])


_BACK_OFF_FROM: Final = 0.5  # seconds; doubles at each try
_BACK_OFF_TO: Final = 30.0
_LONGEST_ANSWER: Final = 1024 * 1024


class _Bearer(requests.auth.AuthBase):
    """The token by header: it stays out of URLs and logs, and .netrc cannot replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def __repr__(self) -> str:
        return "_Bearer(…)"


class Courier:
    """A process's way to Meta: one pool of connections, one pacer, one memory of which destinations are out of order.

    Safe to use from many threads.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        delivery: Delivery,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = STOPPING.wait,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._destinations = {destination.name: destination for destination in destinations}
        self._tokens = {destination.name: _Bearer(destination.token.read()) for destination in destinations}
        self._delivery = delivery
        self._pacer = Pacer(delivery.requests_per_second)
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=delivery.concurrency))
        self._session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=delivery.concurrency))
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._lock = threading.Lock()
        self._refused: dict[str, Answer] = {}
        self._failing_since: dict[str, float] = {}

    def deliver(self, parcel: Parcel) -> Outcome:
        """Sends the events of one destination key until each is delivered or rejected.

        A batch that is refused, or acknowledged only in part, is halved until the event at fault stands alone; the
        event_id makes it harmless that some are sent twice. Never raises for what a server does.
        """
        outcome = Outcome()
        parcels = self._in_time(parcel, outcome)
        while parcels:
            parcel = parcels.pop()
            answer, tries, seconds = self._answer(parcel)
            if answer.kind == "delivered":
                self._delivered(parcel, answer, tries, seconds, outcome)
            elif answer.kind == "destination":
                self._reject(parcel, Rejected("destination_refused", answer.message), outcome, retryable=True)
            elif answer.kind in ("throttled", "transient"):
                code = "interrupted" if STOPPING.is_set() else "gave_up_retrying"
                self._reject(parcel, Rejected(code, answer.message), outcome, retryable=True)
            elif len(parcel.lines) > 1:
                parcels += reversed(parcel.halves())
            else:
                self._reject(parcel, Rejected("meta_refused_event", answer.message), outcome)
        return outcome

    def _answer(self, parcel: Parcel) -> tuple[Answer, int, float]:
        """The answer that settles a request, with how many tries and seconds it took."""
        destination, dataset_id, _ = split_key(parcel.key)
        started, tries = time.monotonic(), 0
        while True:
            if destination in self._refused:
                return self._refused[destination], tries, time.monotonic() - started
            self._sleep_unless_stopping(self._pacer.reserve())
            tries += 1
            answer = self._post(self._destinations[destination], dataset_id, parcel.body, len(parcel.lines))
            if answer.kind not in ("throttled", "transient"):
                self._settled(destination, answer)
                return answer, tries, time.monotonic() - started
            wait = self._wait_before_retry(destination, answer, tries)
            if wait is None:
                return answer, tries, time.monotonic() - started
            self._sleep_unless_stopping(wait)

    def _post(self, destination: Destination, dataset_id: str, body: bytes, sent: int) -> Answer:
        url = f"{destination.endpoint}/{destination.api_version}/{dataset_id}/events"
        try:
            with self._session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                auth=self._tokens[destination.name],
                timeout=self._delivery.timeout,
                allow_redirects=False,  # a redirect would take the token along
                stream=True,
            ) as response:
                content = response.raw.read(_LONGEST_ANSWER, decode_content=True)
                return classify(response.status_code, response.headers, content, sent)
        except requests.Timeout:
            return Answer("transient", f"{destination.endpoint} did not answer within {self._delivery.timeout:g} s.")
        except (requests.RequestException, OSError) as error:
            return Answer("transient", f"{destination.endpoint} cannot be reached ({_reason(error)}).")
        except Exception as error:  # urllib3 and http.client have errors of their own for broken answers
            return Answer("transient", f"{destination.endpoint} broke off its answer ({type(error).__name__}).")

    def _wait_before_retry(self, destination: str, answer: Answer, tries: int) -> float | None:
        """Seconds until the next try; None when retry_for is over, or the run is stopping.

        It is over when the destination has been failing for that long, whichever batch met it: otherwise every batch
        of a long outage would wait its own time.
        """
        now = time.monotonic()
        with self._lock:
            failing_for = now - self._failing_since.setdefault(destination, now)
        left = self._delivery.retry_for - failing_for
        wait = self._jitter(0, min(_BACK_OFF_TO, _BACK_OFF_FROM * 2.0 ** min(tries, 10)))
        if answer.wait is not None:
            wait = max(wait, answer.wait)
        if wait >= left or STOPPING.is_set():
            LIVE.say(destination, f"gave up: {answer.message}")
            return None
        LIVE.say(destination, f"{answer.message} Trying again in {wait:.0f} s, for another {left:.0f} s.")
        return wait

    def _settled(self, destination: str, answer: Answer) -> None:
        with self._lock:
            self._failing_since.pop(destination, None)
            if answer.kind == "destination":
                self._refused.setdefault(destination, answer)
                LIVE.say(destination, f"REFUSED. {answer.message.rstrip('.')}. {what_to_do(answer)}")
            else:
                LIVE.say(destination, "")

    def _sleep_unless_stopping(self, seconds: float) -> None:
        if seconds > 0:
            self._sleep(seconds)

    def _in_time(self, parcel: Parcel, outcome: Outcome) -> list[Parcel]:
        """The events that are still young enough: a batch may have waited, and one too old fails them all."""
        now = self._clock()
        if parcel.first_event_time >= now - meta_rules.MAX_AGE:
            return [parcel]
        kept = []
        for line in parcel.lines:
            _, body = split_line(line)
            source = "physical_store" if b'"action_source":"physical_store"' in body else None
            try:
                meta_rules.check_age(event_time(body), source, now)
                kept.append(line)
            except Rejected as cause:
                self._reject(Parcel.pack(parcel.key, [line]), cause, outcome)
        return [Parcel.pack(parcel.key, kept)] if kept else []

    def _delivered(self, parcel: Parcel, answer: Answer, tries: int, seconds: float, outcome: Outcome) -> None:
        destination, dataset_id, _ = split_key(parcel.key)
        for name, count in parcel.counts.items():
            outcome.delivered[name] = outcome.delivered.get(name, 0) + count
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
            )
        )

    def _reject(self, parcel: Parcel, cause: Rejected, outcome: Outcome, retryable: bool = False) -> None:
        destination, dataset_id, _ = split_key(parcel.key)
        for line in parcel.lines:
            subscription, body = split_line(line)
            payload = orjson.loads(body)
            outcome.rejections.append(
                reject(
                    "send",
                    cause,
                    destination=destination,
                    subscription=subscription,
                    dataset_id=dataset_id,
                    event_id=payload.get("event_id"),
                    payload=payload,
                    retryable=retryable,
                )
            )


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
