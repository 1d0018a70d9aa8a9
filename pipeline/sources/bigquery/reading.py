"""Rows of BigQuery tables by the Storage Read API, as Beam transforms."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import orjson

from capybeam.pipeline.sinks.tables import split_table
from capybeam.pipeline.sources.warehouse.layout import Layout
from capybeam.transforms.base import run_of
from capybeam.transforms.core.run_context import RunHandle


def parts_of_known(table: str) -> tuple[str, str, str]:
    """Project, dataset and table of a name that has been checked."""
    parts = split_table(table)
    assert parts is not None
    return parts


@dataclasses.dataclass
class ReadTable(beam.PTransform):
    """The rows of a table → lines of bytes, or events, as its layout has it.

    Args:
        table: ``PROJECT.DATASET.TABLE``.
        layout: how its rows hold events.
        restriction: SQL over columns that rows must satisfy; "" for all rows.
    """

    table: str
    layout: Layout
    restriction: str = ""

    def expand(self, root: Any) -> beam.PCollection:
        chosen = {"selected_fields": list(self.layout.columns), "row_restriction": self.restriction or None}
        to_events = beam.ParDo(_ToEvents(self.layout, run_of(root)))
        return root | "Read" >> _read(self.table, **chosen) | "ToEvents" >> to_events


def _read(table: str, **chosen: Any) -> Any:
    """A table's rows by the Storage API; `chosen` has the columns and the restriction of rows."""
    project, dataset, name = parts_of_known(table)
    reading = beam.io.ReadFromBigQuery
    return reading(method=reading.Method.DIRECT_READ, table=f"{project}:{dataset}.{name}", **chosen)


class _ToEvents(beam.DoFn):
    def __init__(self, layout: Layout, run: RunHandle) -> None:
        self._layout, self._run = layout, run

    def setup(self) -> None:
        self._convert = self._layout.compile()
        self._shutdown = self._run.context().shutdown

    def process(self, element: Any) -> Iterable[Any]:
        """On the run's shutdown, the rows that are left are passed over."""
        return () if self._shutdown.is_set() else (self._convert(element),)


@dataclasses.dataclass
class ReadDeadLetters(beam.PTransform):
    """The rows of a table of dead letters → (place, line), as from `files.ReadNumberedLines`.

    Args:
        table: ``PROJECT.DATASET.TABLE``.
        restriction: SQL over columns that rows must satisfy; "" for all rows.
    """

    table: str
    restriction: str = ""

    def expand(self, root: Any) -> beam.PCollection:
        chosen = {"row_restriction": self.restriction or None}
        to_line = beam.Map(_dead_letter, f"A row of {self.table}").with_output_types(tuple[str, bytes])
        return root | "Read" >> _read(self.table, **chosen) | "ToLines" >> to_line


def _dead_letter(row: Mapping[str, Any], place: str) -> tuple[str, bytes]:
    return place, dead_letter_line(row)


def dead_letter_line(row: Mapping[str, Any]) -> bytes:
    """A row as the line of a file; `pipeline.sinks.tables` has how rows are written."""
    line: dict[str, Any] = {
        name: int(value.timestamp()) if isinstance(value, dt.datetime) else value
        for name, value in row.items()
        if value is not None
    }
    if isinstance(line.get("payload"), str):  # JSON text
        line["payload"] = orjson.Fragment(line["payload"])
    return orjson.dumps(line, default=str)
