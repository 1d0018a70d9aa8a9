"""Reads parts of inputs, one after the other, as they are handed out to the processes that share a run's work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.sources import Part
from capybeam.transforms.base import run_of
from capybeam.transforms.core.run_context import RunHandle

NEXT_PART: Final = "next part"
"""The client of a run's context that hands the parts out: ``() -> Part | None``, None when there are no more."""

Take = Callable[[], "Part | None"]


@dataclasses.dataclass
class ReadParts(beam.PTransform):
    """The elements of all parts that this process is given."""

    def expand(self, root: Any) -> beam.PCollection:
        read = beam.ParDo(_ReadParts(run_of(root))).with_output_types(Any)
        return root | "Begin" >> beam.Create([None], reshuffle=False) | "Read" >> read


class _ReadParts(beam.DoFn):
    def __init__(self, run: RunHandle) -> None:
        self._run = run

    def setup(self) -> None:
        self._context = self._run.context()
        self._take: Take = self._context.client(NEXT_PART, lambda: _nothing)

    def process(self, element: None) -> Iterator[Any]:
        while not self._context.shutdown.is_set():
            part = self._take()
            if part is None:
                return
            yield from part.read(self._context)


def _nothing() -> None:
    return None
