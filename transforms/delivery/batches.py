"""A batch as one request, its tries, and the outcome of its events."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from capybeam.transforms.core.envelope import HEADER, NOT_AN_ENVELOPE, START, VERSION, Address, body_identity
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.delivery.answers import Refusal
from capybeam.transforms.delivery.destination import Destination

OnRefusal = Literal["reject", "hold", "hold_forever"]
"""What happens to the events of a destination that refuses everything.

- reject: they are rejected.
- hold: they wait until it accepts them again; after minutes `DestinationHeld` is raised.
- hold_forever: they wait for as long as that takes.
"""


class DeliveredEvents(NamedTuple):
    """Events of a request that have their subscription and their event name in common."""

    subscription: str
    event_name: str
    events: int


@dataclasses.dataclass(frozen=True)
class Receipt:
    """One delivered request. Times in Unix seconds, `seconds` from the first try to the answer.

    Attributes:
        conversions: what the request held; the events add up to `events`.
        event_ids: those of the first entry of `conversions`, then those of the next; None on brief receipts.
            `Envelope.identity` says what names an event without an event_id.
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
    conversions: tuple[DeliveredEvents, ...] = ()
    event_ids: tuple[str, ...] | None = None

    def row(self) -> dict[str, Any]:
        """The receipt as an object of JSON."""
        row = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        row["conversions"] = [each._asdict() for each in self.conversions]
        if self.event_ids is None:
            del row["event_ids"]
        return row

    def encode(self) -> bytes:
        return orjson.dumps(self.row())


class Recorder(Protocol):
    """Writes receipts in one process. Safe to use from many threads."""

    def __call__(self, receipt: Receipt) -> None:
        """Returns when the receipt would survive the end of the process. What it raises fails the run."""
        ...

    def close(self) -> None:
        """Lets go of what it holds open; the next receipt opens it again."""
        ...


class Journal(Protocol):
    """Where receipts are written by the threads that send, as soon as there is an answer; is pickled."""

    def open(self) -> Recorder: ...


class InWindow(NamedTuple):
    """Events of a subscription that arrived in the same window."""

    events: int
    oldest_event_time: int
    lag_seconds: int = 0


@dataclasses.dataclass
class Outcome:
    """The outcome of a batch: every event of it is in `delivered` (by subscription key) or in `rejections`.

    Attributes:
        destination: its name.
        tries: requests that were sent, those that failed or were refused included.
        bytes: of their bodies.
        refusals: how many events were rejected for which state of the destination.
        windows: what was delivered, by the window in which it arrived and its subscription's key; empty in runs that
            have none.
    """

    delivered: dict[str, int] = dataclasses.field(default_factory=dict)
    receipts: list[Receipt] = dataclasses.field(default_factory=list)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)
    tries: int = 0
    bytes: int = 0
    refusals: Counter[Refusal] = dataclasses.field(default_factory=Counter)
    destination: str = ""
    windows: dict[tuple[int, str], InWindow] = dataclasses.field(default_factory=dict)

    def add_windows(self, batch: EncodedBatch, now: float) -> None:
        """Adds a batch that was delivered `now`, Unix seconds, to `windows`."""
        for key, part in batch.windows.items():
            lag = max(int(now) - part.oldest_event_time, 0)
            before = self.windows.get(key)
            if before is not None:
                events, oldest = before.events + part.events, min(before.oldest_event_time, part.oldest_event_time)
                self.windows[key] = InWindow(events, oldest, max(before.lag_seconds, lag))
            else:
                self.windows[key] = part._replace(lag_seconds=lag)


@dataclasses.dataclass(frozen=True)
class EncodedBatch:
    """A batch as one request: its events' lines, and what is read off them once.

    Attributes:
        lines: encoded envelopes.
        body: of the request.
        event_ids: what names each event on a receipt, by subscription and event name.
        windows: what arrived in windows, by window and subscription key.
        first_event_time, last_event_time: Unix seconds.
        expires: Unix seconds after which the destination does not take the first of them any more.
    """

    destination: Destination
    key: str
    lines: Sequence[bytes] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)
    event_ids: Mapping[tuple[str, str], Sequence[str]]
    windows: Mapping[tuple[int, str], InWindow]
    first_event_time: int
    last_event_time: int
    expires: int

    @classmethod
    def pack(cls, destination: Destination, key: str, lines: Sequence[bytes]) -> EncodedBatch:
        """Packs at least one line.

        A step does that in its own thread, not in one that sends: what one core has just written another would have to
        fetch.
        """
        read, address = _read(lines), Address.decode(key)
        windows: dict[tuple[int, str], list[int]] = {}
        for (window, name, _), times in read.times.items():
            if window:
                windows.setdefault((window, f"{address.destination}/{name}"), []).extend(times)
        return cls(
            destination=destination,
            key=key,
            lines=lines,
            body=destination.join(read.bodies, address),
            event_ids=read.event_ids,
            windows={place: InWindow(len(times), min(times)) for place, times in windows.items()},
            first_event_time=min(map(min, read.times.values())),
            last_event_time=max(map(max, read.times.values())),
            expires=min(min(times) + age_limit for (_, _, age_limit), times in read.times.items()),
        )

    def halves(self) -> tuple[EncodedBatch, EncodedBatch]:
        middle = len(self.lines) // 2
        return self._of(self.lines[:middle]), self._of(self.lines[middle:])

    def parted(self, index: int) -> tuple[EncodedBatch, EncodedBatch]:
        """One of several events, and the others."""
        others = [*self.lines[:index], *self.lines[index + 1 :]]
        return self._of([self.lines[index]]), self._of(others)

    def _of(self, lines: Sequence[bytes]) -> EncodedBatch:
        return EncodedBatch.pack(self.destination, self.key, lines)


class _Read(NamedTuple):
    """What is read off lines.

    Attributes:
        event_ids: by subscription and event name.
        times: of events, by the window in which they arrived, their subscription and their age limit.
    """

    bodies: list[bytes]
    event_ids: dict[tuple[str, str], list[str]]
    times: dict[tuple[int, str, int], list[int]]


def _read(lines: Iterable[bytes]) -> _Read:
    """As `Envelope.decode` reads each. Neighbours mostly have all but time, ID and body in common, in the same places,
    which is then not read again.
    """
    read = _Read([], {}, {})
    bodies, event_ids, times_by = read
    unpack, common_at, common, id_at, body_at = START.unpack_from, START.size, b"", 0, 0
    ids: list[str] = []
    times: list[int] = []
    for line in lines:
        version, time = unpack(line)
        if version != VERSION:
            raise ValueError(NOT_AN_ENVELOPE)
        if not common or line[common_at:id_at] != common:
            _, _, age_limit, window, _, _, subscription, name, event_id = HEADER.unpack_from(line)
            name_at = HEADER.size + subscription  # from lengths to places
            id_at = name_at + name
            body_at = id_at + event_id
            common = line[common_at:id_at]
            of, called = line[HEADER.size : name_at].decode(), line[name_at:id_at].decode()
            ids = event_ids.setdefault((of, called), [])
            times = times_by.setdefault((window, of, age_limit), [])
        body = line[body_at:]
        bodies.append(body)
        times.append(time)
        ids.append(line[id_at:body_at].decode() or body_identity(body))
    return read


@dataclasses.dataclass
class Attempt:
    """What has been tried for a part of a batch. Seconds of the monotonic clock.

    Attributes:
        started: when it was first to be sent.
        tries: requests so far.
        failing_since: when a try first failed in a way that may pass; None where none has.
        over: whether to stop trying.
    """

    started: float = dataclasses.field(default_factory=time.monotonic)
    tries: int = 0
    failing_since: float | None = None
    over: bool = False


class DestinationHeld(Exception):
    """A destination refuses everything; its events are redelivered by the runner or the stream."""


class Stopped(Exception):
    """The process stops before everything is delivered; the rest is redelivered by the runner or the stream."""
