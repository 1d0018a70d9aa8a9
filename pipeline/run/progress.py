"""What is shown while a run is under way."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from capybeam.pipeline.log_lines import timestamp
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.run_log import RunLog
from capybeam.pipeline.runners.remote_job import RemoteJob
from capybeam.pipeline.sources import Size, Source
from capybeam.transforms.core.backlog import Backlog
from capybeam.transforms.core.progress import Progress, Status

_INTERVAL: Final = 1.0  # seconds
_LOG_INTERVAL: Final = 10.0  # seconds between two lines where there is no terminal
_RATE_OVER: Final = 10.0  # seconds whose mean is the current rate
_LEFT_OVER: Final = 60.0  # seconds by whose pace the time left is estimated

_UNKNOWN: Final = Size()


@dataclasses.dataclass(frozen=True)
class Watched:
    """A run that is looked at from outside.

    Attributes:
        destinations: their names.
        size: of all inputs together, as far as it is known before they are read.
    """

    progress: Progress
    destinations: tuple[str, ...] = ()
    size: Size = _UNKNOWN

    def share(self, read: int) -> float | None:
        """How much of the input has been read, 0 to 1: by the bytes of files, packed as they are, or by the rows of
        tables. None where nothing gives its size, or nothing tells how far its readers are."""
        done, size = (self.progress.position, self.size.bytes) if self.size.bytes else (read, self.size.rows)
        return min(1.0, done / size) if size and done else None


def size_of(sources: Sequence[Source]) -> Size:
    """The size of several inputs; unknown where it has no one unit, or one of them never ends."""
    sizes = [source.size for source in sources]

    def total(values: Sequence[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return Size(bytes=total([size.bytes for size in sizes]), rows=total([size.rows for size in sizes]))


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """How far a run is.

    Attributes:
        seconds: since its start.
        rate: events read per second, over the last seconds.
        refused: events that Meta is refusing, of batches that are not done.
        share: of the input that has been read, 0 to 1.
        seconds_left: until all of it has been read, by the pace of the last minute.
        backlog: of the stream that is read.
    """

    seconds: float
    read: int
    rate: float
    delivered: int
    dead_lettered: int
    refused: int
    share: float | None
    seconds_left: float | None
    destinations: Mapping[str, Status]
    backlog: Backlog | None = None

    def line(self) -> str:
        """For people."""
        parts = [
            f"{self.read:,} read ({self.rate:,.0f}/s)",
            f"{self.delivered:,} delivered",
            f"{self.dead_lettered:,} dead-lettered",
        ]
        if self.refused:
            parts.append(f"{self.refused:,} refused by Meta")
        if self.share is not None:
            parts.append(f"{100 * self.share:.0f} % of the input")
        if self.seconds_left is not None:
            parts.append(f"about {_duration(self.seconds_left)} left")
        if self.backlog is not None:
            parts.append(_backlog(self.backlog))
        parts.append(f"{self.seconds:,.0f} s")
        states = [f"{name} {_state(status)}" for name, status in self.destinations.items() if status.sentence]
        return "; ".join([", ".join(parts), *states])

    def fields(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kind": "progress",
            "seconds": round(self.seconds, 1),
            "read": self.read,
            "rate": round(self.rate, 1),
            "delivered": self.delivered,
            "dead_lettered": self.dead_lettered,
            "share": None if self.share is None else round(self.share, 4),
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left),
            "backlog": self.backlog and self.backlog.fields(timestamp),
            "destinations": {name: state_fields(status) for name, status in self.destinations.items()},
        }


def state_fields(status: Status) -> dict[str, Any]:
    """A destination's state for programs; `until` is None where nothing waits for a time."""
    is_known = status.until is not None and math.isfinite(status.until)
    return {"state": status.state, "until": timestamp(status.until) if is_known and status.until else None}


def _backlog(backlog: Backlog) -> str:
    age = "" if backlog.oldest_age is None else f" (the oldest is {_duration(backlog.oldest_age)} old)"
    if backlog.counted is None:
        return f"a backlog of at least {backlog.in_hand:,}{age}"
    messages, at, oldest_at = backlog.counted
    oldest = "" if oldest_at is None else f" (the oldest was {_duration(at - oldest_at)} old)"
    ago = _duration(max(0.0, time.time() - at))
    return f"a backlog of {messages:,}{oldest} {ago} ago, {backlog.in_hand:,} in hand{age}"


def _state(status: Status) -> str:
    if status.until is None or status.until <= time.time() or not math.isfinite(status.until):
        return status.state
    return f"{status.state} for another {_duration(status.until - time.time())}"


def _duration(seconds: float) -> str:
    """
    >>> [_duration(seconds) for seconds in (4.2, 100, 5400, 2e5)]
    ['4 s', '2 min', '1.5 h', '56 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"


class _Sample(NamedTuple):
    at: float
    read: int
    share: float


class Observer:
    """Looks at a run again and again; two looks make a rate.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, watched: Watched, clock: Callable[[], float] = time.monotonic) -> None:
        self._watched, self._clock = watched, clock
        self._started = clock()
        self._samples = deque([_Sample(self._started, 0, 0.0)])

    def look(self) -> Snapshot:
        progress, now = self._watched.progress, self._clock()
        report = RunReport.from_counts(progress.counts())
        share = self._watched.share(report.read)
        self._samples.append(_Sample(now, report.read, share or 0.0))
        while len(self._samples) > 2 and self._samples[1].at <= now - _LEFT_OVER:
            self._samples.popleft()
        return Snapshot(
            seconds=now - self._started,
            read=report.read,
            rate=self._rate(),
            delivered=report.total.delivered,
            dead_lettered=report.dead_letters,
            refused=sum(progress.refusals().values()),
            share=share,
            seconds_left=None if share is None or share == 1 else self._seconds_left(),
            destinations={name: progress.state(name) for name in self._watched.destinations},
            backlog=progress.backlog(),
        )

    def _rate(self) -> float:
        last = self._samples[-1]
        first = next(sample for sample in self._samples if sample.at >= last.at - _RATE_OVER or sample is last)
        # a failed batch of messages is counted again, from less than there was
        return max(0, last.read - first.read) / (last.at - first.at) if last.at > first.at else 0.0

    def _seconds_left(self) -> float | None:
        first, last = self._samples[0], self._samples[-1]
        gained = last.share - first.share
        return (1 - last.share) * (last.at - first.at) / gained if gained > 0 else None


@contextmanager
def show_progress(log: RunLog, watched: Watched, remote: RemoteJob | None) -> Iterator[None]:
    """A line each second on a terminal, each ten seconds elsewhere; a destination's problem at once."""
    done = threading.Event()
    thread = threading.Thread(target=_Display(log, watched, remote).run, args=(done,), daemon=True)
    thread.start()
    watched.progress.is_shown = True
    try:
        yield
    finally:
        watched.progress.is_shown = False
        done.set()
        thread.join()


class _Display:
    """What is shown of a run, and what of it has been shown."""

    def __init__(self, log: RunLog, watched: Watched, remote: RemoteJob | None) -> None:
        self._log, self._watched, self._remote = log, watched, remote
        self._observer = Observer(watched)
        self._remarked = 0
        self._shown: dict[str, str] = {}  # sentences about destinations and sources, by name

    def run(self, done: threading.Event) -> None:
        last_line = time.monotonic()
        with self._log.status("Starting …") as renew:
            while not done.wait(_INTERVAL):
                line, fields = self._line()
                if renew:
                    renew(line)
                elif time.monotonic() - last_line >= _LOG_INTERVAL:
                    last_line = time.monotonic()
                    self._log.info(line, **fields)
                self._show_remarks()
                self._show_statuses()
        self._show_remarks()  # of a run that ended before the first look
        if self._log.is_json:
            line, fields = self._line()
            self._log.info(line, **fields)

    def _line(self) -> tuple[str, dict[str, Any]]:
        snapshot = self._observer.look()
        if self._remote is None:
            return snapshot.line(), snapshot.fields()
        return self._remote.line(snapshot.seconds), {"kind": "progress", **self._remote.fields(snapshot.seconds)}

    def _show_remarks(self) -> None:
        remarks = self._watched.progress.remarks()
        for remark in remarks[self._remarked :]:
            self._log.warning(remark)
        self._remarked = len(remarks)

    def _show_statuses(self) -> None:
        statuses = self._watched.progress.statuses()
        for name, text in statuses.items():
            if text.partition(" Trying again")[0] != self._shown.get(name):
                self._shown[name] = text.partition(" Trying again")[0]
                self._log.warning(f"{name}: {text}", **self._fields(name))
        for name in [name for name in self._shown if name not in statuses]:
            del self._shown[name]
            self._log.warning(f"{name}: goes on.", **self._fields(name))

    def _fields(self, name: str) -> dict[str, Any]:
        if name not in self._watched.destinations:
            return {"kind": "source", "source": name}
        status = state_fields(self._watched.progress.state(name))
        return {"kind": "destination", "destination": name, **status}
