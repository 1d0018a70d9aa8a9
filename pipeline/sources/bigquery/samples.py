"""Rows of BigQuery tables without Beam's reading, and without a read session: a sample, or all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from capybeam.pipeline.sinks.tables import BIGQUERY, split_table
from capybeam.pipeline.sources import NoInput, TimeRange
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.client import ErrorsAsNoInput, retry
from capybeam.pipeline.sources.bigquery.sql import columns_with_time, range_column, restriction_of, where_clause
from capybeam.pipeline.sources.bigquery.tables import layout_of_schema, result_of
from capybeam.pipeline.sources.warehouse.layout import Layout
from capybeam.transforms.core.message_formats import Row


def first_rows(text: str, most: int, client: Any = None) -> Iterator[Row]:
    """The first `most` rows of ``bigquery:PROJECT.DATASET.TABLE``, as the steps take them. Raises NoInput.

    Args:
        client: google.cloud.bigquery.Client; made here by default.
    """
    table, project = clients.named_table(
        text, f"a sample is the first rows of {BIGQUERY}PROJECT.DATASET.TABLE; a query is not read"
    )
    name = f"{BIGQUERY}{table}"
    client = client or clients.new_client(name, project)
    with ErrorsAsNoInput(name):
        found = client.get_table(table, retry=retry())
        if found.table_type != "TABLE":
            raise NoInput(f"{name}: is not a table but a {found.table_type.lower()}; a sample is read of tables")
        yield from _rows(client, found, layout_of_schema(name, found.schema, found.table_id), most)


def all_rows(text: str, between: TimeRange, client: Any = None) -> Iterator[Row]:
    """All rows of ``bigquery:PROJECT.DATASET.TABLE`` or ``bigquery:SELECT …``, as the steps take them. Raises NoInput.

    Args:
        between: the times of the events.
        client: google.cloud.bigquery.Client; made here by default.
    """
    given = text.removeprefix(BIGQUERY).strip()
    is_query, table = len(given.split()) > 1, given.replace("`", "")
    parts = split_table(table)
    if not is_query and parts is None:
        raise NoInput(f"{text}: neither {BIGQUERY}PROJECT.DATASET.TABLE nor {BIGQUERY}SELECT …")
    client = client or clients.new_client(text, parts[0] if parts else None)
    with ErrorsAsNoInput(text):
        found = client.get_table(result_of(client, given) if is_query else table, retry=retry())
        layout = layout_of_schema(text, found.schema, "" if is_query else found.table_id)
        column = range_column(text, found, layout, between)
        condition = where_clause(restriction_of(column, between))
        if condition or (not is_query and found.table_type != "TABLE"):
            columns = ", ".join(f"`{each}`" for each in columns_with_time(layout, column))
            name = f"{found.project}.{found.dataset_id}.{found.table_id}"
            result = result_of(client, f"SELECT {columns} FROM `{name}`{condition}")
            found = client.get_table(result, retry=retry())
        yield from _rows(client, found, layout)


def _rows(client: Any, table: Any, layout: Layout, most: int | None = None) -> Iterator[Row]:
    convert = layout.compile()
    wanted = [field for field in table.schema if field.name in layout.columns]
    as_text = [field.name for field in wanted if field.field_type == "JSON" and field.mode != "REPEATED"]
    for row in client.list_rows(table, selected_fields=wanted, max_results=most, retry=retry()):
        values = dict(row.items())
        for column in as_text:  # which this client decodes, and the Storage API does not
            if values[column] is not None:
                values[column] = orjson.dumps(values[column]).decode()
        yield convert(values)
