"""Rows of a warehouse's tables → events, as they were sent.

There are two kinds of tables, recognised by their columns:

- one that holds each event whole, as JSON in one column (`JsonColumn`): an archive, or what Pub/Sub's BigQuery
  subscriptions write;
- Segment's warehouse schema (`EventColumns`): a row a call. `transforms.warehouse_rows` knows where a column belongs.

A schema is compiled once into a function of a row; nothing that the schema says is looked up again for each row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from capybeam.pipeline.sources import NoEvents
from capybeam.pipeline.sources.warehouse.columns import Column, Converter, TableRow
from capybeam.pipeline.sources.warehouse.row_function import row_function, unreadable
from capybeam.transforms.core.events import Event, UnreadableRow
from capybeam.transforms.core.warehouse_rows import (
    EVENT_NAMES,
    IDS,
    KINDS,
    MESSAGE,
    OBJECTS,
    ROOT_COLUMNS,
    STATES,
    TABLES,
    TIMES,
    canonical,
    id_of,
    is_context,
    of_events,
    paths_of,
)


@dataclasses.dataclass(frozen=True)
class JsonColumn:
    """A table with one event a row, as JSON (STRING, JSON or BYTES) in one column.

    Attributes:
        columns: what has to be read.
        time: the column with the time of an event, if there is one.
    """

    column: Column
    time: Column | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column.key,)

    def compile(self) -> Converter:
        """The function from a row to its event's bytes."""
        name = self.column.key

        def line(row: TableRow) -> bytes | UnreadableRow:
            value = row[name]
            if type(value) is str:
                return value.encode(errors="surrogatepass")
            if type(value) is bytes:
                return value
            return UnreadableRow({name: None if value is None else str(value)})

        return line


@dataclasses.dataclass(frozen=True)
class EventColumns:
    """A table with one event a row, in columns: Segment's tables, and queries over them.

    Attributes:
        read: the columns that belong to the event.
        kind: the events' ``type``; None where only the column ``type`` has it.
        typed: whether the column ``type`` has it, for each row that has one of `KINDS` there and no event's name.
        time: the column with the time of an event, if there is one.
    """

    read: tuple[Column, ...]
    kind: str | None
    typed: bool = False
    time: Column | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column.key for column in self.read)

    @property
    def has_properties(self) -> bool:
        """Whether any column is a property; True for events with traits instead."""
        if self.kind not in ("track", "page", "screen"):
            return True
        return any(path[0] == "properties" for column in self.read for path in paths_of(column.name, self.kind))

    @property
    def id(self) -> str:
        """The column of the events' messageId; "" if none has it."""
        by_name = {column.name: column.key for column in self.read}
        return by_name.get(id_of(by_name), "")

    def without(self, keys: Collection[str]) -> EventColumns:
        """The layout without the columns of some keys at the root of an event."""
        kept = tuple(column for column in self.read if ROOT_COLUMNS.get(column.name) not in keys)
        return dataclasses.replace(self, read=kept)

    def compile(self) -> Converter:
        """The function from a row to its event. A row that does not fit the schema becomes an UnreadableRow."""
        convert = unreadable if self.kind is None else row_function(self.read, self.kind)
        if not self.typed:
            return convert
        others = [column for column in self.read if column.name != "type"]
        by_kind = {kind: row_function(others, kind) for kind in KINDS}
        names = [column.key for column in self.read if column.name in EVENT_NAMES]
        kind_column = next(column.key for column in self.read if column.name == "type")

        def event(row: TableRow) -> bytes | Event | UnreadableRow:
            kind = row.get(kind_column)
            if kind != "track" and any(row.get(name) is not None for name in names):
                return convert(row)  # a track with a property called type
            return by_kind.get(str(kind), convert)(row)

        return event


Layout = JsonColumn | EventColumns


_JSON_NAMES: Final = (
    "event",
    "event_json",
    "payload",
    "data",
    "message",
    "body",
    "json",
    "raw",
    "raw_event",
    "event_data",
)
_JSON_TIMES: Final = (
    "timestamp", "event_timestamp", "event_time", "occurred_at", "received_at", "created_at", "publish_time",
)  # fmt: skip
_TEMPORAL: Final = frozenset({"TIMESTAMP", "DATETIME", "DATE"})


def layout_of(columns: Sequence[Column], table: str = "") -> Layout:
    """How a table's rows hold events. Raises NoEvents.

    Args:
        table: its name; "" for the result of a query.
    """
    known = canonical(table).removesuffix("_view")
    if known in STATES:
        raise NoEvents(f"holds the latest state of each of the {known}, not events; read {STATES[known]}")
    columns = [_spelt_canonically(column) for column in columns]
    by_name = {column.name: column for column in columns}
    if by_name.keys() >= MESSAGE:
        return JsonColumn(by_name["data"], by_name["publish_time"])
    of_event = {name: by_name[name] for name in of_events(by_name)}
    timed, identified = _has(of_event, TIMES), _has(of_event, IDS)
    # Columns of Segment's schema; of an event with an ID and a time; and those named like an event's keys.
    segments = timed and ("event_text" in of_event or any(map(is_context, of_event)))
    flat = timed and identified
    own = timed and _has(of_event, ("type", "event")) and _has(of_event, OBJECTS)
    if not (identified and (segments or (flat and known in TABLES))):
        column = _json_column(columns, named=(flat or own) and _has(of_event, EVENT_NAMES), alone=not own)
        if column is not None:
            return JsonColumn(column, _time_column(by_name, _JSON_TIMES))
    if segments or flat or own:
        return _event_columns(of_event, TABLES.get(known))
    raise NoEvents(
        "has neither a column that holds events as JSON nor the columns of Segment's warehouse schema"
        f" (id, timestamp, event_text, context_…); its columns are {', '.join(by_name) or 'none'}"
    )


def _spelt_canonically(column: Column) -> Column:
    name = canonical(column.name)
    return column if name == column.name else dataclasses.replace(column, name=name, spelt=column.name)


def _event_columns(by_name: Mapping[str, Column], kind: str | None) -> EventColumns:
    typed = kind is None and "type" in by_name and by_name["type"].type == "STRING"
    if kind is None and _has(by_name, EVENT_NAMES):
        kind = "track"
    if kind is None and not typed:
        raise NoEvents("does not give the type of its events: add a column, as in SELECT 'page' AS type, …")
    return EventColumns(tuple(by_name.values()), kind, typed, _time_column(by_name, TIMES))


def _json_column(columns: Sequence[Column], named: bool, alone: bool) -> Column | None:
    """The column that holds events: of type JSON, of a name that implies it, or the only text column.

    Args:
        named: whether only such a name counts, because other columns make events.
        alone: whether the only text will do.
    """
    single = [column for column in columns if not column.repeated]
    typed = [c for c in single if c.type == "JSON" and c.name not in (*OBJECTS, "attributes")]
    if named:
        typed = [column for column in typed if column.name in _JSON_NAMES]
    if len(typed) == 1:
        return typed[0]
    texts = [column for column in single if column.type in ("STRING", "BYTES")]
    for name in _JSON_NAMES:
        for column in typed or [c for c in texts if c.name != "event"]:
            if column.name == name:
                return column
    return texts[0] if alone and len(texts) == 1 and not typed and texts[0].name not in IDS else None


def _time_column(by_name: Mapping[str, Column], names: Sequence[str]) -> Column | None:
    found = (by_name[name] for name in names if name in by_name)
    return next((column for column in found if column.type in _TEMPORAL and not column.repeated), None)


def _has(by_name: Mapping[str, Column], names: Sequence[str]) -> bool:
    return any(name in by_name for name in names)
