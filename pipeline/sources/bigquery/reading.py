"""Rows of BigQuery tables by the Storage Read API, as Beam transforms."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import orjson

from capybeam.pipeline.sinks.tables import split_table
from capybeam.pipeline.sources import ROW
from capybeam.pipeline.sources.warehouse.layout import Layout
from capybeam.transforms.base import run_of
from capybeam.transforms.core.run_context import RunContext, RunHandle


def parts_of_known(table: str) -> tuple[str, str, str]:
    """Project, dataset and table of a name that has been checked."""
    parts = split_table(table)
    assert parts is not None
    return parts


PATIENCE: Final = 60.0  # seconds in which the Storage API has to answer


def begin_to_read(table: str, streams: int, columns: Sequence[str] = (), restriction: str = "") -> Any:
    """A session of the Storage API that reads a table by so many streams at most, as Beam's reader would.

    Args:
        columns: all of them where none are named.
    """
    from apache_beam.io.gcp.bigquery import bq_storage

    project, dataset, name = parts_of_known(table)
    wanted = bq_storage.types.ReadSession(
        table=f"projects/{project}/datasets/{dataset}/tables/{name}", data_format=bq_storage.types.DataFormat.AVRO
    )
    wanted.read_options.selected_fields = columns
    wanted.read_options.row_restriction = restriction
    client = bq_storage.BigQueryReadClient()
    return client.create_read_session(
        parent=f"projects/{project}", read_session=wanted, max_stream_count=streams, **patience()
    )


def patience() -> dict[str, Any]:
    """How calls of the Storage API are tried again, and for how long."""
    from google.api_core.exceptions import ServiceUnavailable
    from google.api_core.retry import Retry, if_exception_type

    return {"retry": Retry(if_exception_type(ServiceUnavailable), timeout=PATIENCE), "timeout": PATIENCE}


_STREAMS: Final = 4  # of a session for each worker: they end at different times


@dataclasses.dataclass(frozen=True)
class StreamPart:
    """The rows of one stream of a session: a `sources.Part`.

    Attributes:
        layout: how rows hold events; None of dead letters, which have places.
        table: for the places of dead letters.
    """

    name: str
    size: int
    table: str
    layout: Layout | None

    def read(self, run: RunContext) -> Iterator[Any]:
        from apache_beam.io.gcp.bigquery import _CustomBigQueryStorageStreamSource as StreamSource

        layout = self.layout
        convert = dead_letter(self.table) if layout is None else layout.compile()
        for row in StreamSource(self.name, use_native_datetime=False).read_avro():
            if run.shutdown.is_set():
                return
            yield convert(row)


@dataclasses.dataclass(frozen=True)
class SplitTable:
    """Cuts a table by the streams of one session: a `sources.Split`.

    Attributes:
        layout, restriction: as of `ReadTable`; dead letters have no layout.
        rows: that the table has.
    """

    table: str
    rows: int
    layout: Layout | None = None
    restriction: str = ""

    def __call__(self, size: int, workers: int) -> list[StreamPart]:
        columns = () if self.layout is None else self.layout.columns
        streams = begin_to_read(self.table, _STREAMS * workers, columns, self.restriction).streams
        each = ROW * self.rows // max(1, len(streams))
        return [StreamPart(stream.name, each, self.table, self.layout) for stream in streams]


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
        to_line = beam.Map(dead_letter(self.table)).with_output_types(tuple[str, bytes])
        return root | "Read" >> _read(self.table, **chosen) | "ToLines" >> to_line


def dead_letter(table: str) -> Callable[[Mapping[str, Any]], tuple[str, bytes]]:
    """Makes the place and the line of a row."""
    place = f"A row of {table}"
    return lambda row: (place, dead_letter_line(row))


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
