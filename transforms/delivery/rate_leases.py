"""How processes that send for one job share its requests_per_second: by leases in a place that all of them can reach.

A process that sends keeps a lease there. It may use one part in as many as there are leases, itself included, for as
long as it has looked lately. Two rules keep the sum of all shares within the whole:

- One that joins writes its lease before it looks. Where nobody holds more than the cautious share, one part in as many
  processes as there may be, it may use that much at once. Otherwise it sends nothing until all that hold more have had
  to look again, and so have counted it.
- A lease is shared by its holder for less time than it takes the others to forget it.

A place that cannot be reached leaves each process with its cautious share, as if there were no leases. Only then can
the sum be exceeded: by one cautious share for each process that the others do not see.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

_log = logging.getLogger(__name__)

VALID: Final = 2  # intervals after which a process that could not look has its cautious share
FORGOTTEN: Final = 3  # intervals without renewal after which a lease of another process counts no more
REMOVED: Final = 20  # intervals without renewal after which it is removed
IDLE: Final = 20  # intervals without a request after which a process gives its own lease back
SOON: Final = 0.2  # seconds until it is worth asking again for a share that is 0


class Lease(NamedTuple):
    """A lease as others see it.

    Attributes:
        stamp: another one after each renewal.
        is_joining: whether its holder uses its cautious share or nothing.
    """

    stamp: object
    is_joining: bool


class LeasePlace(Protocol):
    """Where leases are. What is written is seen at once by all that list. Methods raise what their clients raise.

    Attributes:
        interval: seconds between two looks.
    """

    @property
    def interval(self) -> float: ...

    def renew(self, name: str, is_joining: bool) -> None:
        """Writes a lease."""
        ...

    def leases(self) -> Mapping[str, Lease]:
        """All leases by their names."""
        ...

    def remove(self, name: str) -> None:
        """Removes a lease, if it is there."""
        ...


class Share(Protocol):
    """What part of the job's rate a process may use, 0 to 1."""

    def __call__(self) -> float: ...

    def close(self) -> None:
        """Says that nothing more is sent for now."""
        ...


@dataclasses.dataclass(frozen=True)
class EvenShare:
    """The same part at all times."""

    share: float = 1.0

    def __call__(self) -> float:
        return self.share

    def close(self) -> None:
        pass


class _Seen(NamedTuple):
    stamp: object
    at: float  # seconds of the clock, when that stamp was first seen


class LeasedShare:
    """A process's share of a rate, by leases. Safe to use from many threads.

    Args:
        workers: processes that there may be, at most.
        remark: is told, once, why leases cannot be used.
    """

    def __init__(
        self,
        place: LeasePlace,
        workers: int,
        remark: Callable[[str], object] = _log.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._cautious, self._remark, self._clock = place, 1 / workers, remark, clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._given_back = threading.Event()
        self._used_at = 0.0
        self._renewals = _Renewals(place, self._cautious, clock)

    def __call__(self) -> float:
        now = self._clock()
        with self._lock:
            self._used_at = now
            if self._thread is None:
                self._given_back = threading.Event()
                self._renewals = _Renewals(self._place, self._cautious, self._clock)
                self._thread = threading.Thread(
                    target=self._keep, args=(self._renewals, self._given_back), daemon=True, name="rate-lease"
                )
                self._thread.start()
            return self._renewals.share(now)

    def close(self) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
            self._given_back.set()
        if thread is not None:
            thread.join(SOON)

    def _keep(self, renewals: _Renewals, given_back: threading.Event) -> None:
        interval = self._place.interval
        while True:
            try:
                renewals.renew()
            except Exception as error:  # file systems raise what their clients raise
                self._remark(f"leases of requests_per_second cannot be kept ({type(error).__name__}): shared evenly")
            if given_back.wait(interval):
                break
            with self._lock:
                if self._clock() - self._used_at > IDLE * interval:
                    self._thread = None
                    break
        renewals.give_back()


class _Renewals:
    """One lease, from its first renewal on."""

    def __init__(self, place: LeasePlace, cautious: float, clock: Callable[[], float]) -> None:
        self._place, self._cautious, self._clock = place, cautious, clock
        self._name = uuid.uuid4().hex
        self._taken = 0.0, clock() + place.interval  # a share, and until when; the first look takes a moment
        self._joined_at: float | None = None
        self._seen: dict[str, _Seen] = {}

    def share(self, now: float) -> float:
        share, valid_until = self._taken
        return share if now < valid_until else self._cautious

    def renew(self) -> None:
        """Writes the lease, looks at the others', and takes the share that follows. Raises what the place raises."""
        started, span = self._clock(), VALID * self._place.interval
        if started >= self._taken[1]:
            self._joined_at = None  # the others may have forgotten this one
        is_joining = self._joined_at is None or started - self._joined_at < span
        self._place.renew(self._name, is_joining)
        if self._joined_at is None:
            self._joined_at = self._clock()
        others = self._others()
        if not is_joining:
            share = 1 / (1 + len(others))
        elif all(other.is_joining for other in others.values()):
            share = self._cautious
        else:
            share = 0.0
        self._taken = share, started + span

    def _others(self) -> Mapping[str, Lease]:
        """The leases of others that are alive. What has not been renewed for long is removed."""
        interval, found = self._place.interval, dict(self._place.leases())
        found.pop(self._name, None)
        now = self._clock()
        for name, lease in found.items():
            if name not in self._seen or self._seen[name].stamp != lease.stamp:
                self._seen[name] = _Seen(lease.stamp, now)
        self._seen = {name: seen for name, seen in self._seen.items() if name in found}
        for name, seen in self._seen.items():
            if now - seen.at > REMOVED * interval:
                self._place.remove(name)
        return {name: lease for name, lease in found.items() if now - self._seen[name].at <= FORGOTTEN * interval}

    def give_back(self) -> None:
        self._taken = 0.0, float("inf")
        try:
            self._place.remove(self._name)
        except Exception:  # the others forget it
            _log.debug("a lease was not given back", exc_info=True)
