"""The events of `benchmarks.events` as rows of Segment's warehouse tables, one table for each event's name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pipeline.sources.warehouse import Column, Converter, layout_of, snake_case

TYPES = {str: "STRING", int: "INTEGER", float: "FLOAT", bool: "BOOLEAN", dt.datetime: "TIMESTAMP"}
TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")


def rows(lines: Iterable[bytes]) -> Iterator[tuple[bytes, Converter, dict[str, Any]]]:
    """For each event its line, the compiled function of its table, and its row as the Storage API gives it."""
    tables: dict[str, Converter] = {}
    for line in lines:
        event = orjson.loads(line)
        row = _row(event)
        if row["event"] not in tables:
            columns = [Column(name, TYPES[type(value)]) for name, value in row.items()]
            tables[row["event"]] = layout_of(columns, row["event"]).compile()
        yield line, tables[row["event"]], row


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
