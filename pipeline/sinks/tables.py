"""Records to BigQuery tables."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.bigquery_reasons import reason_of
from capybeam.pipeline.sinks import ReadBack, SinkError, Writers
from capybeam.pipeline.sinks.records import RecordType
from capybeam.pipeline.sinks.schema import Schema

BIGQUERY: Final = "bigquery:"
EXAMPLE: Final = f"a table ({BIGQUERY}PROJECT.DATASET.TABLE)"
LARGEST_ROW: Final = 9_000_000  # bytes; a request takes 10 MB, and Beam refuses rows of 9 MiB
RETRY_FOR: Final = 60.0  # seconds; the client's default is ten minutes, without a message


def prepare(path: str, record_type: RecordType[Any], writers: Writers) -> None:
    """Creates the table if it does not exist. As `sinks.prepare`."""
    prepare_table(path, record_type.name, record_type.schema)


def plan(path: str, record_type: RecordType[Any], writers: Writers) -> str:
    """As `sinks.plan`."""
    parts_of(path, record_type.name)
    return "rows are added to the table, which is made, partitioned by day, if there is none"


def write(records: beam.PCollection, path: str, record_type: RecordType[Any]) -> Any:
    """Records → rows. One that is larger than a row may be is written as its type's `shrink` has it."""
    rows = records | "Row" >> beam.Map(row_of, record_type)
    return rows | "Write" >> WriteRows(path, record_type.name, record_type.schema)


def read_back(path: str) -> ReadBack:
    """As `sinks.read_back`: a table cannot be read and written at once."""
    return ReadBack(path, f"{path}_replayed")


def row_of(record: Any, record_type: RecordType[Any]) -> dict[str, Any]:
    row = record_type.row(record)
    size = size_of(row)
    if size <= LARGEST_ROW or record_type.shrink is None:
        return row
    return record_type.row(record_type.shrink(record, size, "the 9 MB of a row"))


@dataclasses.dataclass
class WriteRows(beam.PTransform):
    """Dicts, times in Unix seconds → rows of a table that exists. A row that is refused fails the run.

    Rows are streamed (insertAll), with IDs by which BigQuery drops repeats. For those IDs Beam keeps the rows of a
    bundle together first: on a local runner they pass through memory.

    Args:
        path: ``bigquery:PROJECT.DATASET.TABLE``.
        what: the name of what is written, for errors.
    """

    path: str
    what: str
    schema: Schema

    def expand(self, rows: beam.PCollection) -> Any:
        project, dataset, table = parts_of(self.path, self.what)
        times = tuple(name for name, type_, _ in self.schema.columns if type_ == "TIMESTAMP")
        written = (
            rows
            | "Times" >> beam.Map(_with_times, times)
            | beam.io.WriteToBigQuery(
                f"{project}:{dataset}.{table}",
                schema=self.schema.as_json(),
                method=beam.io.WriteToBigQuery.Method.STREAMING_INSERTS,
                create_disposition=beam.io.BigQueryDisposition.CREATE_NEVER,
                write_disposition=beam.io.BigQueryDisposition.WRITE_APPEND,
                insert_retry_strategy="RETRY_ON_TRANSIENT_ERROR",  # the default retries any error for ever
            )
        )
        return written.failed_rows_with_errors | "Fail" >> beam.ParDo(_Fail(self.path, self.what))


def _with_times(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    times = {name: dt.datetime.fromtimestamp(row[name], dt.timezone.utc).isoformat() for name in names if name in row}
    return {**row, **times}


class _Fail(beam.DoFn):
    def __init__(self, path: str, what: str) -> None:
        self._path, self._what = path, what

    def process(self, element: tuple[Any, Any, Sequence[Mapping[str, Any]]]) -> Iterable[Any]:
        """The message leaves out BigQuery's own text, which may quote the row, and names its reason."""
        errors = element[2]
        reason = errors[0].get("reason") if isinstance(errors, list) and errors else None
        raise SinkError(
            f"{self._what} cannot be written to {self._path}: BigQuery refuses rows ({reason or 'unknown'})"
        )


def size_of(row: Mapping[str, Any]) -> int:
    """The bytes that a row takes in a request, or in memory, by which Beam judges it, whichever is more."""
    in_memory = sum(sys.getsizeof(value) for value in row.values())
    if in_memory <= LARGEST_ROW / 6:  # JSON has at most six bytes for one
        return in_memory
    return max(in_memory, len(json.dumps(row)))


# A project of a domain has the domain's dots in its ID: example.com:acme-prod.
_PARTS: Final = re.compile(r"((?:[^:.\s]+\.[^:\s]+:)?[^:.\s]+)\.([^:.\s]+)\.([^:.\s]+)")


def split_table(table: str) -> tuple[str, str, str] | None:
    """Project, dataset and table of ``PROJECT.DATASET.TABLE``; None where it is not that.

    >>> split_table("example.com:acme-prod.capybeam.dead_letters")
    ('example.com:acme-prod', 'capybeam', 'dead_letters')
    """
    found = _PARTS.fullmatch(table)
    return (found[1], found[2], found[3]) if found else None


def parts_of(path: str, what: str) -> tuple[str, str, str]:
    """Project, dataset and table. Raises SinkError."""
    parts = split_table(path.removeprefix(BIGQUERY).replace("`", ""))
    if parts is None:
        raise SinkError(f"{what} cannot be written to {path}: it is not {BIGQUERY}PROJECT.DATASET.TABLE")
    return parts


def prepare_table(path: str, what: str, schema: Schema, client: Any = None) -> None:
    """Creates the table, partitioned by day, if it does not exist. Raises SinkError if it cannot take the rows."""
    project, dataset, table = parts_of(path, what)

    def error(reason: str) -> SinkError:
        return SinkError(f"{what} cannot be written to {path}: {reason}")

    try:
        from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import bigquery
    except ImportError:
        raise error("it needs pip install 'capybeam[gcp]'") from None
    retry = bigquery.DEFAULT_RETRY.with_timeout(RETRY_FOR)
    try:
        client = client or bigquery.Client(project=project)
        wanted = bigquery.Table(
            f"{project}.{dataset}.{table}",
            schema=[bigquery.SchemaField(name, type_, mode) for name, type_, mode in schema.columns],
        )
        wanted.time_partitioning = bigquery.TimePartitioning(type_="DAY", field=schema.day)
        try:
            found = client.get_table(wanted.reference, retry=retry)
        except NotFound:
            client.get_dataset(f"{project}.{dataset}", retry=retry)
            found = client.create_table(wanted, exists_ok=True, retry=retry)
    except NotFound:
        raise error("no such dataset") from None
    except Forbidden:
        raise error("no permission; it needs the role BigQuery Data Editor on the dataset") from None
    except (GoogleAPICallError, GoogleAuthError, RetryError, OSError) as problem:
        raise error(str(reason_of(problem))) from None
    there = {field.name: (_standard(field.field_type), field.mode == "REPEATED") for field in found.schema}
    unlike = [name for name, type_, mode in schema.columns if there.get(name) != (_standard(type_), mode == "REPEATED")]
    if unlike:
        raise error(f"the existing table lacks the columns {', '.join(unlike)}, or has them with another type")


_NAMES: Final = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}


def _standard(type_: str) -> str:
    return _NAMES.get(type_, type_)
