"""Events from BigQuery: tables, views and queries, by the Storage Read API.

What a table holds is looked at before anything is read: its columns (`pipeline.sources.warehouse`), how many rows there
are and how many of them are past Meta's age limits. A query runs once, before the job, and so does one over a view,
which the Storage API cannot read: what is read is BigQuery's own temporary table of the result. It costs nothing, is
kept for a day, and only the account that ran the query can read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import orjson

from capybeam.pipeline.sinks.tables import BIGQUERY, split_table
from capybeam.pipeline.sources import NOT_ASKED, NoEvents, NoInput, ReadOptions, Size, Source
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.client import ErrorsAsNoInput, retry
from capybeam.pipeline.sources.bigquery.costs import Costs, check_limit, run_query, scanned_by
from capybeam.pipeline.sources.bigquery.reading import ReadTable, SplitTable, begin_to_read, patience
from capybeam.pipeline.sources.bigquery.sql import (
    Counting,
    columns_with_time,
    range_column,
    restriction_of,
    where_clause,
)
from capybeam.pipeline.sources.warehouse.columns import Column
from capybeam.pipeline.sources.warehouse.layout import EventColumns, JsonColumn, Layout, layout_of

SAMPLE: Final = 20  # values that are looked at to see whether a column holds JSON
MOST_SAMPLED: Final = 1000  # rows that are read for them; others have none


def open_source(text: str, options: ReadOptions, client: Any = None) -> Source:
    """Looks at ``bigquery:PROJECT.DATASET.TABLE`` or ``bigquery:SELECT …``. Raises NoInput.

    Args:
        client: google.cloud.bigquery.Client; made here by default.
    """
    given = text.removeprefix(BIGQUERY).strip()
    query = given if len(given.split()) > 1 else None
    table = given.replace("`", "")
    parts = split_table(table)
    if query is None and parts is None:
        raise NoInput(f"{text}: neither {BIGQUERY}PROJECT.DATASET.TABLE nor {BIGQUERY}SELECT …")
    name = f"{BIGQUERY}{_abbreviated(given)}"
    if options.is_offline:
        return Source(name, NOT_ASKED, ReadTable(*_UNKNOWN), is_query=query is not None, is_unseen=True)
    client = client or clients.new_client(name, options.project or (parts[0] if parts else None))
    with ErrorsAsNoInput(name):
        if query is None:
            found = client.get_table(table, retry=retry())
            return _opened(_Input(name, client, options), found, layout_of_schema(name, found.schema, found.table_id))
        return _of_query(_Input(name, client, options), query)


@dataclasses.dataclass(frozen=True)
class _Input:
    """What is looked at, by whom and how."""

    name: str
    client: Any
    options: ReadOptions


def _opened(given: _Input, found: Any, layout: Layout) -> Source:
    """A table, or a view over some."""
    time_range = given.options.time_range
    column = range_column(given.name, found, layout, time_range)
    restriction = restriction_of(column, time_range)
    path = f"{found.project}.{found.dataset_id}.{found.table_id}"
    columns = ", ".join(f"`{each}`" for each in columns_with_time(layout, column))
    if found.table_type != "TABLE":
        return _of_query(given, f"SELECT {columns} FROM `{path}`{where_clause(restriction)}", layout)
    counting = Counting(path, layout, restriction)
    wanted = ", ".join(f"`{each}`" for each in layout.columns)
    costs = Costs(
        scanned_by(given.client, counting.query).total_bytes_processed or 0,
        scanned_by(given.client, f"SELECT {wanted} FROM `{path}`{where_clause(restriction)}").total_bytes_processed
        or 0,
    )
    given.options.announce(costs.sentence(given.name))
    check_limit(given.name, costs.read, given.options)
    if given.options.is_dry:
        return _unread(given, f"{found.num_rows:,} rows in all of it", costs)
    return _counted(given, counting)


def _of_query(given: _Input, query: str, of_view: Layout | None = None) -> Source:
    """What a query yields.

    Args:
        of_view: the layout of a view whose rows it selects, in the range of time already; None for a user's query.
    """
    planned = scanned_by(given.client, query)
    costs, time_range = Costs(planned.total_bytes_processed or 0, 0), given.options.time_range
    given.options.announce(costs.sentence(given.name))
    if given.options.is_dry:
        return dataclasses.replace(_unread(given, "rows unknown before it is run", costs), is_query=of_view is None)
    found = given.client.get_table(result_of(given.client, query, given.options.max_bytes), retry=retry())
    layout = of_view or layout_of_schema(given.name, found.schema, "")
    restriction = ""
    if of_view is None:
        restriction = restriction_of(range_column(given.name, found, layout, time_range), time_range)
    counting = Counting(f"{found.project}.{found.dataset_id}.{found.table_id}", layout, restriction)
    return dataclasses.replace(_counted(given, counting, is_result=True), is_query=of_view is None)


def _unread(given: _Input, rows: str, costs: Costs) -> Source:
    """Of a dry run."""
    read = ReadTable(*_UNKNOWN)
    return Source(given.name, f"{rows}; {costs.sentence('').removeprefix(': ').rstrip('.')}", read)


def _counted(given: _Input, counting: Counting, is_result: bool = False) -> Source:
    """A table whose rows are counted."""
    name, options, layout = given.name, given.options, counting.layout
    (row,) = run_query(given.client, counting.query, options.max_bytes).result()
    count = counting.count(*row)
    read = ReadTable(counting.table, layout, counting.restriction)
    if not count.rows:
        if not (options.time_range or is_result):
            raise NoInput(f"{name}: has no rows")
        return Source(name, "no rows", read, size=Size(rows=0))
    extent = count.extent
    if isinstance(layout, EventColumns):
        if not layout.has_properties:
            extent += "; without properties, which Segment keeps in the event tables"
        if count.without_id:  # which get an event_id from a hash of the whole event
            extent += f"; {count.without_id:,} without {layout.id or 'an ID'}"
        else:
            layout = layout.without(options.unread)
    layout.compile()  # here rather than on the workers
    read = dataclasses.replace(read, layout=layout)
    _check_readable(name, read)
    split = SplitTable(counting.table, count.rows, layout, counting.restriction)
    return Source(name, extent, read, size=Size(rows=count.rows), split=split)


# What a graph reads whose input was not looked at: its steps are those of any table.
_UNKNOWN: Final = ("project.dataset.table", JsonColumn(Column("event", "STRING"), None))


def _abbreviated(text: str) -> str:
    """A query as messages name it: in full it would hide the rest of the sentence."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"


def layout_of_schema(name: str, schema: Sequence[Any], table: str) -> Layout:
    """How the rows of a table hold events, by its schema as BigQuery describes it. Raises NoInput."""
    try:
        return layout_of([_column(field) for field in schema], table)
    except NoEvents as error:
        raise NoInput(f"{name}: {error}") from None


def _column(field: Any) -> Column:
    return Column(field.name, field.field_type, field.mode == "REPEATED", tuple(_column(f) for f in field.fields))


def result_of(client: Any, query: str, max_bytes: int | None = None) -> Any:
    """BigQuery's own temporary table of a query's result."""
    job = run_query(client, query, max_bytes)
    job.result()
    return job.destination


def _check_readable(name: str, read: ReadTable) -> None:
    """Begins to read as the job will, which needs a separate permission.

    Raises NoInput where none of the first rows holds a JSON object: then it is the wrong column, not a bad row.
    """
    from apache_beam.io.gcp.bigquery import bq_storage

    session = begin_to_read(read.table, 1, read.layout.columns, read.restriction)
    if isinstance(read.layout, JsonColumn) and session.streams:
        column = read.layout.column.key
        client = bq_storage.BigQueryReadClient()
        rows = islice(client.read_rows(session.streams[0].name, **patience()).rows(), MOST_SAMPLED)
        values = list(islice((row[column] for row in rows if row[column] is not None), SAMPLE))
        if values and not any(_is_object(value) for value in values):
            raise NoInput(f"{name}: the column {column} holds no events as JSON ({len(values)} rows checked)")


def _is_object(value: Any) -> bool:
    try:
        return type(orjson.loads(value)) is dict
    except (orjson.JSONDecodeError, TypeError):
        return False
