"""CountByWindow: what steps have counted → rows of the books in windows."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Final

import apache_beam as beam

from capybeam.transforms.core.windows import WindowCounts, WindowRow, add_window_counts, rows_of


@dataclasses.dataclass
class CountByWindow(beam.PTransform):
    """(subscription key, entries) → rows, for each subscription, window and code.

    The windows of the books are not Beam's: counts stay in the global window, in which nothing is late, so that none is
    dropped, and a subscription has one key, however many windows there have been. What has come is written at
    intervals, and as differences; draining writes the rest.

    Args:
        seconds: of a window.
        every: seconds between two rows of the same window, for a stream; None for bounded input, which has one.
        clock: Unix seconds.
    """

    seconds: int
    every: float | None = None
    clock: Callable[[], float] = time.time

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        gather = (
            beam.GroupByKey()
            if self.every is None
            else beam.GroupIntoBatches(_AT_ONCE, self.every, self.clock)  # as for the batches that are counted
        )
        return counts | "Gather" >> gather | "Add" >> beam.FlatMapTuple(_Add(self.seconds))


_AT_ONCE: Final = 10_000  # counts of a key, of a bundle each, that wait to be added up


@dataclasses.dataclass(frozen=True)
class _Add:
    seconds: int

    def __call__(self, subscription: str, counts: Iterable[WindowCounts]) -> list[WindowRow]:
        total: WindowCounts = {}
        for entries in counts:
            add_window_counts(total, entries)
        return rows_of(self.seconds, subscription, total)
