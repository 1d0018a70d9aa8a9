"""Receipts and dead letters from BigQuery tables, as `pipeline.sinks.tables` has written them, without a pipeline."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import orjson

from capybeam.pipeline.sinks.tables import BIGQUERY
from capybeam.pipeline.sources import NoInput
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.client import ErrorsAsNoInput, retry
from capybeam.pipeline.sources.bigquery.reading import dead_letter_line

_OF_RECEIPTS: Final = ("destination", "dataset_id", "events", "delivered_at", "conversions", "event_ids")


def record_lines(place: str, client: Any = None) -> Iterator[bytes]:
    """The rows of ``bigquery:PROJECT.DATASET.TABLE`` as lines of receipts or of dead letters. Raises NoInput.

    Args:
        client: google.cloud.bigquery.Client; made here by default.
    """
    table, project = clients.named_table(place)
    name = f"{BIGQUERY}{table}"
    client = client or clients.new_client(name, project)
    with ErrorsAsNoInput(name):
        found = client.get_table(table, retry=retry())
        columns = {field.name for field in found.schema}
        if "dead_lettered_at" in columns:
            for row in client.list_rows(found, retry=retry()):
                yield dead_letter_line(dict(row.items()))
            return
        lacking = [column for column in _OF_RECEIPTS if column not in columns]
        if lacking:
            raise NoInput(f"{name}: is not a table of receipts that name their events: it has no column {lacking[0]}")
        wanted = [field for field in found.schema if field.name in _OF_RECEIPTS]
        for row in client.list_rows(found, selected_fields=wanted, retry=retry()):
            yield orjson.dumps({key: _seconds(value) for key, value in row.items()})


def _seconds(value: Any) -> Any:
    return int(value.timestamp()) if isinstance(value, dt.datetime) else value
