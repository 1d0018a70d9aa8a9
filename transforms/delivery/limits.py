"""What all senders of one job share: its pace, the state of its destinations, and how many requests may be in flight.

In one process these are plain objects. Where several processes send for one job, one of them holds the objects, and
the others have stand-ins of the same form that ask it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from capybeam.transforms.delivery.answers import Answer
from capybeam.transforms.delivery.circuits import Circuits, Dataset, Gate
from capybeam.transforms.delivery.destination import Delivery, Destination
from capybeam.transforms.delivery.outages import Left, Outages
from capybeam.transforms.delivery.rate_leases import EvenShare, Share
from capybeam.transforms.delivery.rate_limits import Pacer, RateLimitGuard, Stopwatch

HOLD_PAUSE: Final = 15.0  # seconds, on average, between looks at a destination that is held


class Pacing(Protocol):
    """As `rate_limits.Pacer`."""

    def wait(self) -> float: ...


class Guard(Protocol):
    """As `rate_limits.RateLimitGuard`."""

    @property
    def cause(self) -> Answer | None: ...

    def observe(self, answer: Answer) -> None: ...

    def stop(self, seconds: float, cause: Answer) -> None: ...

    def stopped(self) -> float: ...

    def wait(self) -> float: ...


class Waiting(Protocol):
    """As `rate_limits.Stopwatch`."""

    def waiting(self) -> AbstractContextManager[None]: ...

    def take(self) -> int: ...


class Failures(Protocol):
    """As `outages.Outages`."""

    def failed(self, dataset: Dataset, answer: Answer, since: float, tries_alone: int) -> Left: ...

    def gave_up(self, dataset: Dataset, since: float, is_single: bool, is_outage: bool) -> None: ...

    def failed_alone(self, dataset: Dataset, is_over: bool = False) -> float: ...

    def got_through(self, dataset: Dataset) -> None: ...

    def has_given_up(self, dataset: Dataset) -> bool: ...


class FindingOut(Protocol):
    """As a `threading.Lock`."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...


class Breakers(Protocol):
    """As `circuits.Circuits`."""

    def gate(self, dataset: Dataset, access: int, hold: bool) -> Gate: ...

    def is_open(self, dataset: Dataset) -> bool: ...

    def open_for(self, dataset: Dataset) -> float: ...

    def open(self, dataset: Dataset, answer: Answer, access: int, inferred: bool = False) -> None: ...

    def delivered(self, dataset: Dataset, started: float = ...) -> None: ...

    def understood(self, dataset: Dataset, answer: Answer) -> None: ...

    def refused(self, dataset: Dataset, answer: Answer, hold: bool) -> bool: ...

    def is_of_events(self, dataset: Dataset, answer: Answer, is_mixed: bool) -> bool: ...

    def is_proven(self, dataset: Dataset) -> bool: ...

    def is_anything_open(self, name: str) -> bool: ...

    def delivered_at(self, dataset: Dataset) -> float: ...

    def finding_out(self, dataset: Dataset) -> FindingOut: ...


@dataclasses.dataclass(frozen=True)
class Limits:
    """What holds for all that is sent for a job.

    Attributes:
        pacer: of requests, whatever their destination.
        guards: by the names of destinations.
        circuits: of all datasets.
        outages: of all datasets.
        throttled: seconds in which anything waited for a rate limit.
        slot: held while a batch is delivered to the destination of that name, besides one of the process's own threads.
        share: of the job's rate that the pacer keeps to.
    """

    pacer: Pacing
    guards: Mapping[str, Guard]
    circuits: Breakers
    outages: Failures
    throttled: Waiting = dataclasses.field(default_factory=Stopwatch)
    slot: Callable[[str], AbstractContextManager[object]] = contextlib.nullcontext
    share: Share = dataclasses.field(default_factory=EvenShare)


def own_limits(
    destinations: Sequence[Destination],
    delivery: Delivery,
    share: Share,
    jitter: Callable[[float, float], float],
) -> Limits:
    """The limits of one process.

    Args:
        share: of the job's requests_per_second that this process may use.
    """
    circuits = Circuits(lambda: jitter(0.5, 1.5) * HOLD_PAUSE)
    return Limits(
        Pacer(delivery.requests_per_second, share=share),
        {destination.name: RateLimitGuard(delivery.retry_for) for destination in destinations},
        circuits,
        Outages(delivery, circuits.delivered_at),
        share=share,
    )
