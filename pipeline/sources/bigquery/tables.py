"""Events from BigQuery: tables, views and queries, by the Storage Read API.

What a table holds is looked at before anything is read: its columns (`pipeline.sources.warehouse`), how many rows there
are and how many of them are past Meta's age limits. A query runs once, before the job, and so does one over a view,
which the Storage API cannot read: what is read is BigQuery's own temporary table of the result. It costs nothing, is
kept for a day, and only the account that ran the query can read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import orjson

from capybeam.pipeline.sinks.tables import BIGQUERY, split_table
from capybeam.pipeline.sources import NOT_ASKED, NoEvents, NoInput, ReadOptions, Size, Source
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.client import ErrorsAsNoInput, retry
from capybeam.pipeline.sources.bigquery.reading import ReadTable, parts_of_known
from capybeam.pipeline.sources.bigquery.sql import columns_with_time, count_rows, restriction_of, where_clause
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
            layout = layout_of_schema(name, found.schema, found.table_id)
            if found.table_type != "TABLE":
                columns = ", ".join(f"`{column}`" for column in columns_with_time(layout))
                condition = where_clause(restriction_of(name, layout, options.time_range))
                result = result_of(client, f"SELECT {columns} FROM `{table}`{condition}")
                found = client.get_table(result, retry=retry())
        else:
            found = client.get_table(result_of(client, query), retry=retry())
            layout = layout_of_schema(name, found.schema, "")
        restriction = restriction_of(name, layout, options.time_range)
        path = f"{found.project}.{found.dataset_id}.{found.table_id}"
        count = count_rows(client, path, layout, restriction)
        extent = count.extent
        if not count.rows:
            raise NoInput(f"{name}: has no rows" + (" between --since and --until" if options.time_range else ""))
        if isinstance(layout, EventColumns):
            if not layout.has_properties:
                extent += "; without properties, which Segment keeps in the event tables"
            if count.without_id:  # which get an event_id from a hash of the whole event
                extent += f"; {count.without_id:,} without {layout.id or 'an ID'}"
            else:
                layout = layout.without(options.unread)
        layout.compile()  # here rather than on the workers
        read = ReadTable(path, layout, restriction)
        _check_readable(name, read)
    return Source(name, extent, read, size=Size(rows=count.rows), is_query=query is not None)


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


def result_of(client: Any, query: str) -> Any:
    """BigQuery's own temporary table of a query's result."""
    job = client.query(query)
    job.result()
    return job.destination


def _check_readable(name: str, read: ReadTable) -> None:
    """Begins to read as the job will, which needs a separate permission.

    Raises NoInput where none of the first rows holds a JSON object: then it is the wrong column, not a bad row.
    """
    from apache_beam.io.gcp.bigquery import bq_storage
    from google.api_core.exceptions import ServiceUnavailable
    from google.api_core.retry import Retry, if_exception_type

    project, dataset, table = parts_of_known(read.table)
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
            raise NoInput(f"{name}: the column {column} holds no events as JSON ({len(values)} rows checked)")


def _is_object(value: Any) -> bool:
    try:
        return type(orjson.loads(value)) is dict
    except (orjson.JSONDecodeError, TypeError):
        return False
