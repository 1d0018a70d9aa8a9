"""How far a run is: its counts so far, and what each destination is doing, for progress lines and reports.

The runner's own metrics come late: on one machine a bundle is as long as its file. So `Progress` watches counters that
are still being filled.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, Literal

from capybeam.transforms.core.counters import Counters, add_counts

_log = logging.getLogger(__name__)

State = Literal["delivering", "throttled", "retrying", "held", "refused"]
"""Of a destination: all is well; a rate limit; its last answer was an error; it refuses everything, and its events wait
for that to end, or are given up."""


@dataclasses.dataclass(frozen=True)
class Status:
    """What a destination is doing.

    Attributes:
        sentence: for people; "" when all is well.
        until: when the next request may start, in Unix seconds, where something waits for that.
    """

    state: State = "delivering"
    sentence: str = ""
    until: float | None = None


_BY_GRAVITY: Final[Sequence[State]] = ("delivering", "throttled", "retrying", "held", "refused")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What a process knows of a run at one moment; see `Progress`. Can be pickled.

    Attributes:
        remarks: by what they were noted once for.
        loads: requests in flight, by destination.
    """

    counts: Mapping[str, int]
    statuses: Mapping[str, Status]
    remarks: Mapping[str, str]
    refusals: Mapping[tuple[str, str], int]
    position: int
    loads: Mapping[str, int]


class Progress:
    """Running totals of a run in this process, and the status of each destination. Safe to use from many threads.

    What other processes that work for the same run have told of themselves is added (`include`).

    Attributes:
        is_shown: whether somebody sees it. Where nobody does, what matters is logged.
    """

    def __init__(self) -> None:
        self.is_shown = False
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._statuses: dict[str, Status] = {}
        self._remarks: dict[str, str] = {}  # in their order
        self._refusals: dict[tuple[str, str], int] = {}
        self._watched: list[Counters] = []
        self._position = 0
        self._loads: dict[str, Callable[[], int]] = {}
        self._others: dict[Hashable, Snapshot] = {}

    # --- other processes ---------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What this process knows."""
        with self._lock:
            loads = dict(self._loads)
        in_flight = {name: load() for name, load in loads.items()}
        with self._lock:
            counts = self._own_counts()
            return Snapshot(
                counts, dict(self._statuses), dict(self._remarks), dict(self._refusals), self._position, in_flight
            )

    def include(self, process: Hashable, snapshot: Snapshot) -> None:
        """Takes in what another process knows by now, in place of what it knew before."""
        with self._lock:
            self._others[process] = snapshot

    # --- counts ------------------------------------------------------------------------------------------------------

    def watch(self, counters: Counters, instead_of: Counters | None = None) -> None:
        """Includes counters that are still being filled in the totals.

        Args:
            instead_of: the counters of a bundle that has failed and is now repeated, which no longer count.
        """
        with self._lock:
            self._watched = [other for other in self._watched if other is not instead_of]
            self._watched.append(counters)

    def flush(self, counters: Counters) -> None:
        """Moves watched counters into the totals, and stops watching them."""
        with self._lock:
            counters.flush(functools.partial(add_counts, self._counts))
            self._watched = [other for other in self._watched if other is not counters]

    def update(self, counts: Mapping[str, int]) -> None:
        with self._lock:
            add_counts(self._counts, counts)

    def restore(self, counts: Mapping[str, int]) -> None:
        """Sets the totals, and drops what has not been flushed: a failed batch will be counted again."""
        with self._lock:
            self._counts = dict(counts)
            self._watched.clear()

    def count_refusal(self, destination: str, reason: str) -> None:
        """Counts an event that is being refused; the counts of its batch come only when all of it is done."""
        with self._lock:
            self._refusals[destination, reason] = self._refusals.get((destination, reason), 0) + 1

    def advance(self, size: int) -> None:
        """Counts bytes of an input, as it is stored, that have been read."""
        with self._lock:
            self._position += size

    def watch_load(self, destination: str, load: Callable[[], int]) -> None:
        """Includes a client's requests to a destination that are in flight, as `load` counts them."""
        with self._lock:
            self._loads[destination] = load

    # --- sentences ---------------------------------------------------------------------------------------------------

    def set_status(self, name: str, sentence: str, state: State = "delivering", wait: float | None = None) -> None:
        """Sets what a destination, or a source, is doing; "" when all is well.

        Args:
            wait: seconds until the next request may start.
        """
        status = Status(state, sentence, None if wait is None else time.time() + wait)
        with self._lock:
            self._statuses[name] = status

    def status(self, destination: str) -> str:
        """What a destination is doing, as last set; "" when all is well."""
        return self.state(destination).sentence

    def state(self, destination: str) -> Status:
        """The same as a whole: of several processes the gravest."""
        with self._lock:
            return self._all_statuses().get(destination, Status())

    def remark(self, about: str, text: str, once_for: str = "") -> bool:
        """Notes what deserves a line, once however often it happens; whether this was the first time.

        Where nobody sees it, it is logged.

        Args:
            once_for: what it is noted once for; the line itself by default.
        """
        line = f"{about}: {text}"
        with self._lock:
            is_first = self._remarks.setdefault(once_for or line, line) is line
        if is_first and not self.is_shown:
            _log.warning("%s", line)
        return is_first

    # --- what readers ask for ----------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """All counts so far, by the names of counters."""
        with self._lock:
            counts = self._own_counts()
            for other in self._others.values():
                add_counts(counts, other.counts)
            return counts

    def _own_counts(self) -> dict[str, int]:
        counts = dict(self._counts)
        for counters in self._watched:
            add_counts(counts, dict(counters))
        return counts

    def statuses(self) -> dict[str, str]:
        """What each destination is doing, of those that do not just deliver."""
        with self._lock:
            return {name: status.sentence for name, status in self._all_statuses().items() if status.sentence}

    def _all_statuses(self) -> dict[str, Status]:
        found = dict(self._statuses)
        for other in self._others.values():
            for name, status in other.statuses.items():
                found[name] = max(found.get(name, status), status, key=_gravity)
        return found

    def remarks(self) -> list[str]:
        """All that was noted, in its order; what several processes have noted, once."""
        with self._lock:
            for other in self._others.values():
                for once_for, line in other.remarks.items():
                    self._remarks.setdefault(once_for, line)
            return list(self._remarks.values())

    @property
    def position(self) -> int:
        """Bytes of the inputs, as they are stored, that have been read."""
        with self._lock:
            return self._position + sum(other.position for other in self._others.values())

    def load(self, destination: str) -> int:
        """Requests to a destination that are in flight, or wait to be sent again."""
        with self._lock:
            load = self._loads.get(destination)
            elsewhere = sum(other.loads.get(destination, 0) for other in self._others.values())
        return elsewhere + (load() if load else 0)

    def refusals(self) -> dict[tuple[str, str], int]:
        """Events refused so far, by destination and reason."""
        with self._lock:
            found = Counter(self._refusals)
            for other in self._others.values():
                found.update(other.refusals)
            return dict(found)


def _gravity(status: Status) -> tuple[int, float]:
    return _BY_GRAVITY.index(status.state), status.until or 0.0
