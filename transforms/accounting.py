"""CountByWindow: what steps have counted → rows of the books in windows."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, AfterWatermark
from apache_beam.transforms.window import GlobalWindows

from capybeam.transforms.core.windows import Tally, WindowRow, add_tally, rows_of


@dataclasses.dataclass
class CountByWindow(beam.PTransform):
    """(subscription key, tally) → rows, for each subscription, window and code.

    The windows of the books are not Beam's: counts stay in the global window, in which nothing is late, so that none is
    dropped, and a subscription has one key, however many windows there have been. What has come is written at
    intervals, and as differences; draining writes the rest.

    Args:
        seconds: of a window.
        every: seconds between two rows of the same window, for a stream; None for bounded input, which has one.
    """

    seconds: int
    every: float | None = None

    def expand(self, tallies: beam.PCollection) -> beam.PCollection:
        if self.every is not None:
            tallies = tallies | "Gather" >> beam.WindowInto(
                GlobalWindows(),
                trigger=AfterWatermark(early=AfterProcessingTime(self.every)),
                accumulation_mode=AccumulationMode.DISCARDING,
            )
        rows = beam.FlatMapTuple(functools.partial(rows_of, self.seconds)).with_output_types(WindowRow)
        return tallies | "Add" >> beam.CombinePerKey(_AddTallies()) | "Rows" >> rows


class _AddTallies(beam.CombineFn):
    def create_accumulator(self) -> Tally:
        return {}

    def add_input(self, mutable_accumulator: Tally, element: Tally) -> Tally:
        add_tally(mutable_accumulator, element)
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[Tally]) -> Tally:
        total: Tally = {}
        for accumulator in accumulators:
            add_tally(total, accumulator)
        return total

    def extract_output(self, accumulator: Tally) -> Any:
        return accumulator
