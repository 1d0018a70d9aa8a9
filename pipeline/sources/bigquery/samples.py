"""The first rows of a BigQuery table, for a sample: without Beam's reading, and without a read session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from capybeam.pipeline.sinks.tables import BIGQUERY, split_table
from capybeam.pipeline.sources import NoInput
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.client import ErrorsAsNoInput, retry
from capybeam.pipeline.sources.bigquery.tables import layout_of_schema
from capybeam.transforms.core.message_formats import Row


def first_rows(text: str, most: int, client: Any = None) -> Iterator[Row]:
    """The first `most` rows of ``bigquery:PROJECT.DATASET.TABLE``, as the steps take them. Raises NoInput.

    Args:
        client: google.cloud.bigquery.Client; made here by default.
    """
    table = text.removeprefix(BIGQUERY).strip().replace("`", "")
    parts = split_table(table)
    if parts is None:
        raise NoInput(f"{text}: a sample is the first rows of {BIGQUERY}PROJECT.DATASET.TABLE; a query is not read")
    name = f"{BIGQUERY}{table}"
    client = client or clients.new_client(name, parts[0])
    with ErrorsAsNoInput(name):
        found = client.get_table(table, retry=retry())
        if found.table_type != "TABLE":
            raise NoInput(f"{name}: is not a table but a {found.table_type.lower()}; a sample is read of tables")
        layout = layout_of_schema(name, found.schema, found.table_id)
        convert = layout.compile()
        wanted = [field for field in found.schema if field.name in layout.columns]
        as_text = [field.name for field in wanted if field.field_type == "JSON" and field.mode != "REPEATED"]
        for row in client.list_rows(found, selected_fields=wanted, max_results=most, retry=retry()):
            values = dict(row.items())
            for column in as_text:  # which this client decodes, and the Storage API does not
                if values[column] is not None:
                    values[column] = orjson.dumps(values[column]).decode()
            yield convert(values)
