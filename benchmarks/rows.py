"""The events of `benchmarks.events` as rows of Segment's warehouse tables, one table for each event's name.

A row is what Beam's reader of the Storage API hands on: a dict that fastavro has just decoded.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import fastavro
import orjson

from capybeam.pipeline.sources.warehouse.columns import Column, Converter
from capybeam.pipeline.sources.warehouse.layout import EventColumns, layout_of
from capybeam.transforms.core.warehouse_rows import snake_case

TYPES: dict[type, tuple[str, Any]] = {  # as BigQuery names them, and as Avro does
    str: ("STRING", "string"),
    int: ("INTEGER", "long"),
    float: ("FLOAT", "double"),
    bool: ("BOOLEAN", "boolean"),
    dt.datetime: ("TIMESTAMP", {"type": "long", "logicalType": "timestamp-micros"}),
}
TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")


@dataclasses.dataclass(frozen=True)
class Stored:
    """An event, and the same in a table: the row in Avro, and the table's compiled function."""

    line: bytes
    data: bytes
    schema: Any
    convert: Converter

    def read(self) -> dict[str, Any]:
        row = fastavro.schemaless_reader(io.BytesIO(self.data), self.schema)
        assert isinstance(row, dict)
        return row


def stored(lines: Iterable[bytes], unread: Collection[str]) -> Iterator[Stored]:
    """Each event's row, without the keys at the event's root that no job reads."""
    tables: dict[str, tuple[Any, Converter]] = {}
    for line in lines:
        row = _row(orjson.loads(line))
        name = row["event"]
        if name not in tables:
            layout = layout_of([Column(key, TYPES[type(value)][0]) for key, value in row.items()], name)
            assert isinstance(layout, EventColumns)
            layout = layout.without(unread)
            fields = [{"name": key, "type": ["null", TYPES[type(row[key])][1]]} for key in layout.columns]
            schema = fastavro.parse_schema({"type": "record", "name": "__root__", "fields": fields})
            tables[name] = schema, layout.compile()
        schema, convert = tables[name]
        written = io.BytesIO()
        fastavro.schemaless_writer(written, schema, row)
        yield Stored(line, written.getvalue(), schema, convert)


def _row(event: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": event["messageId"],
        "anonymous_id": event["anonymousId"],
        "user_id": event["userId"],
        "event": snake_case(event["event"]),
        "event_text": event["event"],
    }
    for name in TIMES:
        row[snake_case(name)] = dt.datetime.fromisoformat(event[name].replace("Z", "+00:00"))
    _flatten(event["context"], "context_", row)
    _flatten(event["properties"], "", row)
    return row


def _flatten(values: dict[str, Any], prefix: str, row: dict[str, Any]) -> None:
    for key, value in values.items():
        name = prefix + snake_case(key)
        if isinstance(value, dict):
            _flatten(value, f"{name}_", row)
        else:
            row[name] = orjson.dumps(value).decode() if isinstance(value, list) else value
