"""Counting what happens to events, for the books of a run.

A step counts into its own `Counters`, which costs a dictionary update per event. At the end of a bundle the counters is
flushed to wherever it is wanted: the runner's metrics, and `LIVE`, the running totals of this process, which progress
lines and the books of a run that failed are read from. `LIVE` watches counters that are still being filled: on one
machine a bundle is as long as its file.

Names: ``read``, ``unparsable``, ``filtered``, ``taken`` (events that at least one trigger took), and with a
subscription's key: ``matched:KEY``, ``delivered:KEY``, ``rejected:KEY:STAGE:CODE``, ``note:KEY:NOTE``; the key is
empty for what happens before any subscription. With a sentence: ``unfinished:SENTENCE``, for an input that breaks off,
and ``no_event:SENTENCE``, for the first object in a process that is no event.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


class Counters(dict[str, int]):
    """Counts since the last flush, by name: ``counters["read"] += 1``. Not for sharing between threads."""

    def __missing__(self, name: str) -> int:
        return 0

    def flush(self, *sinks: Callable[[Mapping[str, int]], None]) -> None:
        counts = dict(self)
        self.clear()
        if counts:
            for sink in sinks:
                sink(counts)


class LiveTotals:
    """Running totals of this process, and what each destination is doing if that is worth a word.

    Attributes:
        shown: whether somebody is shown what is said here. Where nobody is, what matters has to be logged.
    """

    shown = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._states: dict[str, str] = {}
        self._remarks: dict[str, str] = {}  # in their order
        self._refusals: dict[tuple[str, str], int] = {}
        self._watched: list[Counters] = []

    def watch(self, counters: Counters, instead_of: Counters | None = None) -> None:
        """Takes what a counters has not flushed yet into the totals.

        Args:
            instead_of: the counters of a bundle that has failed and is now done again, which no longer counts.
        """
        with self._lock:
            self._watched = [other for other in self._watched if other is not instead_of]
            self._watched.append(counters)

    def settle(self, counters: Counters) -> None:
        """Flushes a watched counters and lets go of it."""
        with self._lock:
            counters.flush(self._counts.update)
            self._watched = [other for other in self._watched if other is not counters]

    def add(self, counts: Mapping[str, int]) -> None:
        with self._lock:
            self._counts.update(counts)

    def restore(self, counts: Mapping[str, int]) -> None:
        """Sets the totals, and forgets what has not been settled: what a failed batch has counted will come again."""
        with self._lock:
            self._counts = Counter(counts)
            self._watched.clear()

    def say(self, destination: str, state: str) -> None:
        """Sets what a destination is doing; "" when nothing is worth saying."""
        with self._lock:
            self._states[destination] = state

    def state(self, destination: str) -> str:
        """What a destination is doing, as it was last said."""
        with self._lock:
            return self._states.get(destination, "")

    def remark(self, about: str, text: str, once_for: str = "") -> bool:
        """Notes what is worth a line of its own, once however often it happens; whether this was the first time.

        Where nobody is shown it, it is logged.

        Args:
            once_for: what it is noted once for; the line itself by default.
        """
        line = f"{about}: {text}"
        with self._lock:
            is_first = self._remarks.setdefault(once_for or line, line) is line
        if is_first and not self.shown:
            _log.warning("%s", line)
        return is_first

    def refused(self, destination: str, why: str) -> None:
        """Counts an event that is being refused; the counts of a batch come only when all of it is settled."""
        with self._lock:
            self._refusals[destination, why] = self._refusals.get((destination, why), 0) + 1

    def remarks(self) -> list[str]:
        """All that was noted, in its order."""
        with self._lock:
            return list(self._remarks.values())

    def refusals(self) -> dict[tuple[str, str], int]:
        """Events refused so far, by destination and reason."""
        with self._lock:
            return dict(self._refusals)

    def snapshot(self) -> tuple[dict[str, int], dict[str, str]]:
        with self._lock:
            counts = sum((Counter(counters) for counters in self._watched), self._counts)
            return dict(counts), {name: state for name, state in self._states.items() if state}

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()
            self._states.clear()
            self._remarks.clear()
            self._refusals.clear()
            self._watched.clear()


LIVE = LiveTotals()
