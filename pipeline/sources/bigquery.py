"""Events from BigQuery: tables, views and queries, by the Storage Read API.

What a table holds is looked at before anything is read: its columns (`pipeline.sources.warehouse`), how many rows there
are and how many of them are past Meta's age limits. A query runs once, before the job, and so does one over a view,
which the Storage API cannot read: what is read is BigQuery's own temporary table of the result. It costs nothing, is
kept for a day, and only the account that ran the query can read it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import apache_beam as beam
import orjson

from capybeam.pipeline.sinks.tables import split_table
from capybeam.pipeline.sources import BIGQUERY, NoInput, Source, TimeRange
from capybeam.pipeline.sources.warehouse.layout import Column, EventColumns, JsonColumn, Layout, NoEvents, layout_of
from capybeam.transforms.base import run_of
from capybeam.transforms.core.run_context import RunHandle
from capybeam.transforms.core.warehouse_rows import PUBSUB
from capybeam.transforms.meta.rules import DAY, MAX_AGE, MAX_STORE_AGE

SAMPLE: Final = 20  # values that are looked at to see whether a column holds JSON
MOST_SAMPLED: Final = 1000  # rows that are read for them; others have none


def _split(table: str) -> tuple[str, str, str]:
    """The parts of a name that has been looked at."""
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
        return (
            root
            | "Read" >> _read(self.table, **chosen)
            | "ToEvents" >> beam.ParDo(_ToEvents(self.layout, run_of(root)))
        )


def _read(table: str, **chosen: Any) -> Any:
    """A table's rows, or those and their columns that are chosen, by the Storage API."""
    project, dataset, name = _split(table)
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
class ReadLetters(beam.PTransform):
    """The rows of a table of dead letters → (place, line), as from `files.ReadNumberedLines`.

    Args:
        table: ``PROJECT.DATASET.TABLE``.
    """

    table: str

    def expand(self, root: Any) -> beam.PCollection:
        to_line = beam.Map(_letter, f"A row of {self.table}").with_output_types(tuple[str, bytes])
        return root | "Read" >> _read(self.table) | "ToLines" >> to_line


def _letter(row: Mapping[str, Any], place: str) -> tuple[str, bytes]:
    """A row as the line that it would be in a file; see `capybeam.pipeline.sinks.tables` for how rows are written."""
    line: dict[str, Any] = {
        name: int(value.timestamp()) if isinstance(value, dt.datetime) else value
        for name, value in row.items()
        if value is not None
    }
    if isinstance(line.get("payload"), str):  # JSON text
        line["payload"] = orjson.Fragment(line["payload"])
    return place, orjson.dumps(line, default=str)


_OF_LETTERS: Final = frozenset({"dead_lettered_at", "stage", "code", "payload"})


def open_letters(text: str, project: str | None = None, client: Any = None) -> Source:
    """Looks at a table of dead letters, ``bigquery:PROJECT.DATASET.TABLE``. Raises NoInput.

    Args:
        project, client: as of `open_table`.
    """
    table = text.removeprefix(BIGQUERY).strip().replace("`", "")
    parts = split_table(table)
    if parts is None:
        raise NoInput(f"{text}: not {BIGQUERY}PROJECT.DATASET.TABLE")
    name = f"{BIGQUERY}{table}"
    client = client or _client(name, project or parts[0])
    with _Named(name):
        lacking = _OF_LETTERS - {field.name for field in client.get_table(table, retry=_retry()).schema}
        if lacking:
            raise NoInput(f"{name}: is no table of dead letters: it has no column {', '.join(sorted(lacking))}")
        ((rows,),) = client.query(f"SELECT COUNT(*) FROM `{table}`").result()
    if not rows:
        raise NoInput(f"{name}: has no rows")
    return Source(name, f"{rows:,} row{'s' * (rows != 1)}", ReadLetters(table))


def open_table(
    text: str, between: TimeRange, project: str | None, unread: Collection[str] = (), client: Any = None
) -> Source:
    """Looks at ``bigquery:PROJECT.DATASET.TABLE`` or ``bigquery:SELECT …``. Raises NoInput.

    Args:
        project: that pays for queries; by default the table's, else the environment's.
        unread: keys at the root of an event whose columns are left out, where every row has an ID.
        client: google.cloud.bigquery.Client; made here by default.
    """
    given = text.removeprefix(BIGQUERY).strip()
    query = given if len(given.split()) > 1 else None
    table = given.replace("`", "")
    parts = split_table(table)
    if query is None and parts is None:
        raise NoInput(f"{text}: neither {BIGQUERY}PROJECT.DATASET.TABLE nor {BIGQUERY}SELECT …")
    name = f"{BIGQUERY}{_shortened(given)}"
    client = client or _client(name, project or (parts[0] if parts else None))
    with _Named(name):
        if query is None:
            found = client.get_table(table, retry=_retry())
            layout = _layout(name, found.schema, found.table_id)
            if found.table_type != "TABLE":
                columns = ", ".join(f"`{column}`" for column in _with_time(layout))
                where = _where(_restriction(name, layout, between))
                result = _result(client, f"SELECT {columns} FROM `{table}`{where}")
                found = client.get_table(result, retry=_retry())
        else:
            found = client.get_table(_result(client, query), retry=_retry())
            layout = _layout(name, found.schema, "")
        restriction = _restriction(name, layout, between)
        path = f"{found.project}.{found.dataset_id}.{found.table_id}"
        rows, nameless, extent = _count(client, path, layout, restriction)
        if not rows:
            raise NoInput(f"{name}: has no rows" + (" between --since and --until" if between else ""))
        if isinstance(layout, EventColumns):
            if not layout.has_properties:
                extent += "; without properties, which Segment keeps in the event tables"
            if nameless:  # their event_id is made of all that they hold
                extent += f"; {nameless:,} without {layout.id or 'an ID'}"
            else:
                layout = layout.without(unread)
        layout.compile()  # here rather than on the workers
        read = ReadTable(path, layout, restriction)
        _check_rows(name, read)
    return Source(name, extent, read)


def _shortened(text: str) -> str:
    """A query in the words of a message: the whole of it would hide the rest."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"


def _client(name: str, project: str | None) -> Any:
    try:
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import bigquery
    except ImportError:
        raise NoInput(f"{name}: needs pip install 'capybeam[gcp]'") from None
    try:
        return bigquery.Client(project=project)
    except (GoogleAuthError, OSError) as error:
        raise NoInput(f"{name}: no Google Cloud credentials, or no project ({_reason(error)})") from None


def _retry() -> Any:
    """A minute's patience; the client's own is ten, without a word."""
    from google.cloud import bigquery

    return bigquery.DEFAULT_RETRY.with_timeout(60)


class _Named:
    """Errors of BigQuery as NoInput, with what was to be read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: Any, error: BaseException | None, _traceback: Any) -> None:
        from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPICallError, NotFound, RetryError
        from google.auth.exceptions import GoogleAuthError

        if isinstance(error, NotFound):
            raise NoInput(f"{self._name}: no such table ({_reason(error)})") from None
        if isinstance(error, Forbidden):
            raise NoInput(
                f"{self._name}: no permission ({_reason(error)}); reading takes the roles BigQuery Data Viewer,"
                " BigQuery Job User and BigQuery Read Session User"
            ) from None
        if isinstance(error, BadRequest) and not _POSITION.search(str(error)):
            job = _JOB.search(str(error))
            more = f"; bq show -j {job[1]} tells" if job else ""
            raise NoInput(
                f"{self._name}: cannot be read (the query failed, in words that may quote rows{more})"
            ) from None
        if isinstance(error, (GoogleAPICallError, GoogleAuthError, RetryError, OSError)):
            raise NoInput(f"{self._name}: cannot be read ({_reason(error)})") from None


_POSITION: Final = re.compile(r" at \[\d+:\d+\](?:;|\s+Location:|\s*$)")  # ends what is wrong with the query itself
_JOB: Final = re.compile(r"Job ID: (\S+)")


def _reason(error: BaseException) -> str:
    """One line of what Google says."""
    text = str(getattr(error, "message", None) or error).strip()
    return " ".join(text.split())[:300] or type(error).__name__


def _layout(name: str, schema: Sequence[Any], table: str) -> Layout:
    try:
        return layout_of([_column(field) for field in schema], table)
    except NoEvents as error:
        raise NoInput(f"{name}: {error}") from None


def _column(field: Any) -> Column:
    return Column(field.name, field.field_type, field.mode == "REPEATED", tuple(_column(f) for f in field.fields))


def _result(client: Any, query: str) -> Any:
    job = client.query(query)
    job.result()
    return job.destination


def _with_time(layout: Layout) -> list[str]:
    time_column = () if layout.time is None else (layout.time.key,)
    return list(dict.fromkeys((*layout.columns, *time_column)))


def _restriction(name: str, layout: Layout, between: TimeRange) -> str:
    if not between:
        return ""
    if layout.time is None:
        raise NoInput(f"{name}: has no column of time for --since and --until; give a query with a WHERE of its own")
    column = layout.time
    bounds = ((">=", between.since), ("<", between.until))
    return " AND ".join(f"`{column.key}` {sign} {_literal(column, at)}" for sign, at in bounds if at is not None)


def _literal(column: Column, moment: float) -> str:
    """Unix seconds as SQL of a column's type."""
    if column.type == "DATE":  # an event of a date happened as it began
        return f"DATE '{dt.datetime.fromtimestamp(math.ceil(moment / DAY) * DAY, dt.timezone.utc):%Y-%m-%d}'"
    at = dt.datetime.fromtimestamp(moment, dt.timezone.utc)
    text = at.strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"DATETIME '{text}'" if column.type == "DATETIME" else f"TIMESTAMP '{text}+00:00'"


def _where(*conditions: str) -> str:
    given = [condition for condition in conditions if condition]
    return f" WHERE {' AND '.join(given)}" if given else ""


def _count(client: Any, table: str, layout: Layout, restriction: str) -> tuple[int, int, str]:
    """How many rows there are, how many lack an ID, and in words, how many are past Meta's age limits."""
    nameless = "0"
    if isinstance(layout, EventColumns):
        nameless = f"COUNTIF(IFNULL(CAST(`{layout.id}` AS STRING), '') = '')" if layout.id else "COUNT(*)"
    counts = ["COUNT(*)", nameless]
    when, column = _when(layout)
    if when:
        now = time.time()
        counts += [f"COUNTIF({when} < {_literal(column, now - age)})" for age in (MAX_AGE, MAX_STORE_AGE)]
    ((rows, without_id, *old),) = client.query(
        f"SELECT {', '.join(counts)} FROM `{table}`{_where(restriction)}"
    ).result()
    extent = f"{rows:,} row{'s' * (rows != 1)}"
    if not old:
        return rows, without_id, f"{extent}, ages unknown"
    return (
        rows,
        without_id,
        (
            f"{extent}, {old[0]:,} older{_by(layout)} than the {MAX_AGE // DAY} days that Meta takes,"
            f" {old[1]:,} older than the {MAX_STORE_AGE // DAY} days of store events"
        ),
    )


def _by(layout: Layout) -> str:
    """By which time rows are that old, where it is the transport's: their events are older still."""
    return f" by {layout.time.key}" if layout.time is not None and layout.time.name in PUBSUB else ""


def _when(layout: Layout) -> tuple[str, Column]:
    """SQL for when a row's event happened, and a column of the SQL's type; "" where nothing tells."""
    if layout.time is not None:
        return f"`{layout.time.key}`", layout.time
    moment = Column("", "TIMESTAMP")
    if isinstance(layout, JsonColumn) and layout.column.type in ("STRING", "JSON"):
        return f"SAFE_CAST(SAFE.JSON_VALUE(`{layout.column.key}`, '$.timestamp') AS TIMESTAMP)", moment
    return "", moment


def _check_rows(name: str, read: ReadTable) -> None:
    """Begins to read as the job will, which takes a permission of its own.

    Raises NoInput where none of the first rows holds a JSON object: then it is the wrong column, not a bad row.
    """
    from apache_beam.io.gcp.bigquery import bq_storage
    from google.api_core.exceptions import ServiceUnavailable
    from google.api_core.retry import Retry, if_exception_type

    project, dataset, table = _split(read.table)
    wanted = bq_storage.types.ReadSession(
        table=f"projects/{project}/datasets/{dataset}/tables/{table}", data_format=bq_storage.types.DataFormat.AVRO
    )
    wanted.read_options.selected_fields = read.layout.columns
    wanted.read_options.row_restriction = read.restriction
    client = bq_storage.BigQueryReadClient()
    patience = {"retry": Retry(if_exception_type(ServiceUnavailable), timeout=60), "timeout": 60}
    session = client.create_read_session(
        parent=f"projects/{project}", read_session=wanted, max_stream_count=1, **patience
    )
    if isinstance(read.layout, JsonColumn) and session.streams:
        column = read.layout.column.key
        rows = islice(client.read_rows(session.streams[0].name, **patience).rows(), MOST_SAMPLED)
        values = list(islice((row[column] for row in rows if row[column] is not None), SAMPLE))
        if values and not any(_is_object(value) for value in values):
            raise NoInput(f"{name}: the column {column} holds no events as JSON ({len(values)} rows looked at)")


def _is_object(value: Any) -> bool:
    try:
        return type(orjson.loads(value)) is dict
    except (orjson.JSONDecodeError, TypeError):
        return False
