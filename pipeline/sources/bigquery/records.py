"""Receipts and dead letters from BigQuery tables, as `pipeline.sinks.tables` has written them, without a pipeline."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from capybeam.pipeline.sinks.tables import BIGQUERY
from capybeam.pipeline.sources import NoInput
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.client import ErrorsAsNoInput, retry
from capybeam.pipeline.sources.bigquery.reading import dead_letter_line

_OF_RECEIPTS: Final = ("destination", "dataset_id", "events", "delivered_at", "conversions", "event_ids")


def record_lines(place: str, client: Any = None) -> Iterator[bytes]:
    """The rows of ``bigquery:PROJECT.DATASET.TABLE``, or of a query over one, as lines of receipts or of dead letters.

    Raises NoInput.

    Args:
        client: google.cloud.bigquery.Client; made here by default.
    """
    query = place.removeprefix(BIGQUERY).strip()
    if len(query.split()) > 1:
        named = _FROM.search(query)
        name, project = place, None if named is None else clients.named_table(named[1])[1]
        client = client or clients.new_client(name, project)
        with ErrorsAsNoInput(name):
            rows = client.query(query).result()
            yield from _lines(name, rows.schema, lambda _wanted: rows)
        return
    table, project = clients.named_table(place)
    name = f"{BIGQUERY}{table}"
    client = client or clients.new_client(name, project)
    with ErrorsAsNoInput(name):
        found = client.get_table(table, retry=retry())
        yield from _lines(
            name, found.schema, lambda wanted: client.list_rows(found, selected_fields=wanted, retry=retry())
        )


_FROM: Final = re.compile(r"(?i)\bFROM\s+(`[^`]+`)")


def _lines(name: str, schema: Sequence[Any], rows: Callable[[Sequence[Any] | None], Any]) -> Iterator[bytes]:
    """Rows as lines; `rows` gives those of some columns, or of all of them."""
    columns = {field.name for field in schema}
    if "dead_lettered_at" in columns:
        for row in rows(None):
            yield dead_letter_line(dict(row.items()))
        return
    lacking = [column for column in _OF_RECEIPTS if column not in columns]
    if lacking:
        raise NoInput(f"{name}: is not a table of receipts that name their events: it has no column {lacking[0]}")
    for row in rows([field for field in schema if field.name in _OF_RECEIPTS]):
        yield orjson.dumps({key: _seconds(value) for key, value in row.items() if key in _OF_RECEIPTS})


def _seconds(value: Any) -> Any:
    return int(value.timestamp()) if isinstance(value, dt.datetime) else value
