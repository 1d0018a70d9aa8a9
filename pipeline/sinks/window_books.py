"""Books in windows: rows of counts, which are sums of what is written for the same window."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.sinks import write
from capybeam.pipeline.sinks.records import RecordType
from capybeam.pipeline.sinks.schema import Schema
from capybeam.transforms.core.windows import WindowRow

SCHEMA: Final = Schema.of(WindowRow, "window_start_time")
WINDOW_BOOKS: Final = RecordType("Window books", SCHEMA, WindowRow.encode, WindowRow.row)


@dataclasses.dataclass
class WriteWindowBooks(beam.PTransform):
    """Rows → an output: JSON lines, rows of a table (``bigquery:…``), or messages of a topic (``pubsub:…``)."""

    path: str

    def expand(self, rows: beam.PCollection) -> Any:
        return write(rows, self.path, WINDOW_BOOKS)
