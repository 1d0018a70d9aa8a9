"""A batch as one request, its tries, and the outcome of its events."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import orjson

from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.delivery.answers import Refusal
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


@dataclasses.dataclass
class Outcome:
    """The outcome of a batch: every event of it is in `delivered` (by subscription key) or in `rejections`.

    Attributes:
        destination: its name.
        tries: requests that were sent, those that failed or were refused included.
        bytes: of their bodies.
        refusals: how many events were rejected for which state of the destination.
    """

    delivered: dict[str, int] = dataclasses.field(default_factory=dict)
    receipts: list[Receipt] = dataclasses.field(default_factory=list)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)
    tries: int = 0
    bytes: int = 0
    refusals: Counter[Refusal] = dataclasses.field(default_factory=Counter)
    destination: str = ""


@dataclasses.dataclass(frozen=True)
class EncodedBatch:
    """A batch as one request: its events' lines, and what is read off them once.

    Attributes:
        lines: encoded envelopes.
        body: of the request.
        counts: events by subscription key.
        first_event_time, last_event_time: Unix seconds.
        expires: Unix seconds after which the destination does not take the first of them any more.
    """

    destination: Destination
    key: str
    lines: Sequence[bytes] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)
    counts: Mapping[str, int]
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
