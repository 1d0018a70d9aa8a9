"""A batch as one request, its tries, and the outcome of its events."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import orjson

from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.delivery.destination import Destination

OnRefusal = Literal["reject", "hold", "hold_forever"]
"""What happens to the events of a destination that refuses everything.

- reject: they are rejected.
- hold: they wait until it accepts them again; after minutes `DestinationHeld` is raised.
- hold_forever: they wait for as long as that takes.
"""


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


class InWindow(NamedTuple):
    """Events of a subscription that arrived in the same window."""

    events: int
    oldest_event_time: int
    lag_seconds: int = 0


@dataclasses.dataclass
class Outcome:
    """The outcome of a batch: every event of it is in `delivered` (by subscription key) or in `rejections`.

    Attributes:
        windows: what was delivered, by the window in which it arrived and its subscription's key; empty in runs that
            have none.
    """

    delivered: dict[str, int] = dataclasses.field(default_factory=dict)
    receipts: list[Receipt] = dataclasses.field(default_factory=list)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)
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
        counts: events by subscription key.
        windows: the same by window and subscription key, of events that have a window.
        first_event_time, last_event_time: Unix seconds.
        expires: Unix seconds after which the destination does not take the first of them any more.
    """

    destination: Destination
    key: str
    lines: Sequence[bytes] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)
    counts: Mapping[str, int]
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
        address = Address.decode(key)
        events = [Envelope.decode(line) for line in lines]
        names = Counter([event.subscription for event in events])
        times = [event.event_time for event in events]
        return cls(
            destination=destination,
            key=key,
            lines=lines,
            body=destination.join([event.body for event in events], address),
            counts={f"{address.destination}/{name}": count for name, count in names.items()},
            windows=_by_window(address.destination, events),
            first_event_time=min(times),
            last_event_time=max(times),
            expires=min([event.event_time + event.age_limit for event in events]),
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


def _by_window(destination: str, events: Sequence[Envelope]) -> dict[tuple[int, str], InWindow]:
    if not any([event.window for event in events]):
        return {}
    times: dict[tuple[int, str], list[int]] = {}
    for event in events:
        if event.window:
            times.setdefault((event.window, event.subscription), []).append(event.event_time)
    return {(window, f"{destination}/{name}"): InWindow(len(each), min(each)) for (window, name), each in times.items()}


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
