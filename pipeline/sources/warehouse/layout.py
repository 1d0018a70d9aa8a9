"""Rows of a warehouse's tables → events, as they were sent.

Two kinds of tables, told apart by their columns:

- one that holds each event whole, as JSON in one column (`JsonColumn`): an archive, or what Pub/Sub's BigQuery
  subscriptions write;
- Segment's warehouse schema (`EventColumns`): a row a call. `transforms.warehouse_rows` knows where a column belongs.

A schema is compiled once into a function of a row; nothing is looked up per row that the schema tells.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from capybeam.transforms.core.events import Event, UnreadableRow
from capybeam.transforms.core.warehouse_rows import (
    EVENT_NAMES,
    EXACT,
    IDS,
    KINDS,
    MESSAGE,
    OBJECTS,
    ROOT_COLUMNS,
    STATES,
    TABLES,
    TIMES,
    by_id_first,
    canonical,
    id_of,
    is_context,
    is_plain_text,
    number,
    of_events,
    own_path,
    parsed,
    paths_of,
)
from capybeam.transforms.standards.json_text import load_json

Row = Mapping[str, Any]
Converter = Callable[[Row], "bytes | Event | UnreadableRow"]


class NoEvents(Exception):
    """A table's columns hold no events: says what was looked for."""


@dataclasses.dataclass(frozen=True)
class Column:
    """A column as BigQuery describes it.

    Attributes:
        name: in the case that Segment gave it.
        type: the legacy or the standard name.
        fields: those of a RECORD.
        spelt: its name in the table, where that is in another case.
    """

    name: str
    type: str = "STRING"
    repeated: bool = False
    fields: tuple[Column, ...] = ()
    spelt: str = ""

    @property
    def key(self) -> str:
        """Its name in a row, and in a query."""
        return self.spelt or self.name


@dataclasses.dataclass(frozen=True)
class JsonColumn:
    """A table with one event a row, as JSON (STRING, JSON or BYTES) in one column.

    Attributes:
        columns: what has to be read.
        time: the column that tells when an event happened, if there is one.
    """

    column: Column
    time: Column | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column.key,)

    def compile(self) -> Converter:
        """The function from a row to its event's bytes."""
        name = self.column.key

        def line(row: Row) -> bytes | UnreadableRow:
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
        kind: the events' ``type``; None where only the column ``type`` tells it.
        typed: whether the column ``type`` tells it, of each row that has one of `KINDS` there and no event's name.
        time: the column that tells when an event happened, if there is one.
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
        """Whether any column is a property; always, where events have none, but traits."""
        if self.kind not in ("track", "page", "screen"):
            return True
        return any(path[0] == "properties" for column in self.read for path in paths_of(column.name, self.kind))

    @property
    def id(self) -> str:
        """The column of the events' messageId; "" where there is none."""
        by_name = {column.name: column.key for column in self.read}
        return by_name.get(id_of(by_name), "")

    def without(self, keys: Collection[str]) -> EventColumns:
        """A layout that leaves out what stands under some keys at the root of an event."""
        kept = tuple(column for column in self.read if ROOT_COLUMNS.get(column.name) not in keys)
        return dataclasses.replace(self, read=kept)

    def compile(self) -> Converter:
        """The function from a row to its event. A row that does not fit the schema becomes an UnreadableRow."""
        plainly = _unreadable if self.kind is None else _written(self.read, self.kind)
        if not self.typed:
            return plainly
        others = [column for column in self.read if column.name != "type"]
        by_kind = {kind: _written(others, kind) for kind in KINDS}
        names = [column.key for column in self.read if column.name in EVENT_NAMES]
        told = next(column.key for column in self.read if column.name == "type")

        def event(row: Row) -> bytes | Event | UnreadableRow:
            kind = row.get(told)
            if kind != "track" and any(row.get(name) is not None for name in names):
                return plainly(row)  # a track with a property called type
            return by_kind.get(str(kind), plainly)(row)

        return event


Layout = JsonColumn | EventColumns


# --- which kind of table ----------------------------------------------------------------------------------------

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
    # Columns of Segment's, of an event with an ID and a time, and those called like an event's own keys.
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
        raise NoEvents("does not say what its events are: add a column, as in SELECT 'page' AS type, …")
    return EventColumns(tuple(by_name.values()), kind, typed, _time_column(by_name, TIMES))


def _json_column(columns: Sequence[Column], named: bool, alone: bool) -> Column | None:
    """The column that holds events: of type JSON, of a name that says so, or the only text there is.

    Args:
        named: whether only a name that says so will do, as there are other columns that make events.
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


# --- the function of a row --------------------------------------------------------------------------------------

_PLAIN: Final = frozenset({"INTEGER", "INT64", "BOOLEAN", "BOOL"})
_FLOATS: Final = frozenset({"FLOAT", "FLOAT64"})


def _written(columns: Sequence[Column], kind: str) -> Converter:
    """One Python function that puts a row's values where they belong in an event. Nulls have no key."""
    writer = _Writer(columns)
    tree: dict[str, Any] = {}
    by_name = {column.name: column for column in columns}
    for column in map(by_name.__getitem__, by_id_first(by_name)):
        if kind == "track" and column.name == "event" and writer.stand_in("event_text", "event"):
            continue
        for path in paths_of(column.name, kind, tree):
            _put(tree, path, column)
        if column.name in OBJECTS and column.type == "STRING" and not column.repeated:
            _put(tree, own_path(column.name, kind), writer.text_of(column))
    return writer.function(writer.object(tree, {"type": kind}))


def _put(tree: dict[str, Any], path: Sequence[str], column: Column) -> None:
    """Puts a column into a tree of objects. One that has others below it stands under "": no column has that name."""
    for key in path[:-1]:
        inner = tree.setdefault(key, {})
        if isinstance(inner, Column):
            inner = tree[key] = {"": inner}
        tree = inner
    if path == (column.name,) and column.name in OBJECTS:
        tree.setdefault(path[-1], {})
    if isinstance(tree.get(path[-1]), dict):
        tree[path[-1]][""] = column
    else:
        tree[path[-1]] = column


class _Writer:
    """Writes the function: all values of a row at once into variables, then objects of those that are there.

    An object is written twice: as a literal for rows that have all of its values, which is twice as fast, and value by
    value for the others.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._variables = {column.name: f"v{number}" for number, column in enumerate(columns)}
        self._wholes: set[str] = set()  # variables of what is an object or a value
        names = [column.key for column in columns]
        self._constants: dict[str, Any] = {
            "get": operator.itemgetter(*names, *names[:1]), "_object": _object, "unreadable": _unreadable,
            "dumps": orjson.dumps, "loads": orjson.loads, "JSONDecodeError": orjson.JSONDecodeError,
            "load_json": load_json,
        }  # fmt: skip
        self._lines = [f"{', '.join(self._variables.values())}, _ = get(row)"]  # _: of one alone there is no tuple
        times = [c for c in columns if c.name in ROOT_COLUMNS and c.type == "TIMESTAMP" and not c.repeated]
        if times:  # `_timestamp` of all of them at once
            joined = ", ".join(self._variables[column.name] for column in times)
            array = joined if len(times) == 1 else f"({joined})"
            self._lines.append(f"{joined} = loads(dumps({array}, None, {_UTC}).replace(b'000Z\"', b'Z\"'))")
            for value in joined.split(", "):
                self._lines.append(f"if {value} is not None and len({value}) == 20: {value} = {value}[:19] + '.000Z'")
        for column in columns:
            if column not in times:
                self._lines += self._converted(column)

    def stand_in(self, name: str, other: str) -> bool:
        """Whether there is a column `name`; another's value then takes the place of a null there."""
        if name in self._variables:
            self._lines.append(
                f"if {self._variables[name]} is None: {self._variables[name]} = {self._variables[other]}"
            )
        return name in self._variables

    def text_of(self, column: Column) -> Column:
        """What stands in a column of text that may hold an object, where it is none: a value of the customer's own."""
        value, text = self._variables[column.name], Column(f"{column.name} as text")
        self._variables[text.name] = variable = f"t{value}"
        self._lines.append(f"{variable} = None")
        self._lines.append(f"if {value} is not None and {value}[:1] != '{{': {variable}, {value} = {value}, None")
        return text

    def object(self, tree: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> str:
        """Writes what makes an object, the objects in it first; gives back the variable that holds it."""
        parts: dict[str, Column | str] = {key: node for key, node in tree.items() if isinstance(node, Column) and key}
        parts.update({key: self.object(node) for key, node in tree.items() if isinstance(node, dict)})
        name = f"o{len(self._lines)}"
        variables = {key: self._variable(part) for key, part in parts.items()}
        present = {key: self._present(part) for key, part in parts.items()}
        kept = [f"if {present[key]}: {name}[{key!r}] = {variable}" for key, variable in variables.items()]
        if "" in tree:  # a column that holds the object whole; flattened ones come on top
            column, whole = tree[""], self._variable(tree[""])
            if column.name in OBJECTS:
                self._lines += [f"{name} = {{}} if {whole} is None else _object({whole})", *kept]
            else:  # which, in another row's event, was none
                self._lines += [
                    f"{name} = {whole} if type({whole}) is dict else {{}}",
                    *kept,
                    f"{name} = {name} or {whole}",
                ]
                self._wholes.add(name)
            return name
        literal = [f"{key!r}: {value!r}" for key, value in (start or {}).items()]
        full = literal + [f"{key!r}: {variable}" for key, variable in variables.items()]
        self._lines += [
            f"if {' and '.join(present.values()) or True}:",
            f"    {name} = {{{', '.join(full)}}}",
            "else:",
            f"    {name} = {{{', '.join(literal)}}}",
            *(f"    {line}" for line in kept),
        ]
        return name

    def _variable(self, part: Column | str) -> str:
        return part if isinstance(part, str) else self._variables[part.name]

    def _present(self, part: Column | str) -> str:
        """What is true where there is a value; an object or an array with nothing in it is none."""
        always = part not in self._wholes if isinstance(part, str) else part.repeated
        return self._variable(part) + ("" if always else " is not None")

    def _converted(self, column: Column) -> Sequence[str]:
        """The lines that make of a value what JSON would hold."""
        value = self._variables[column.name]
        if not column.repeated:
            if column.type in _PLAIN or (column.type == "STRING" and is_plain_text(column.name)):
                return ()
            if column.type == "STRING":  # as `_text`
                array = f"if {value} is not None and {value}[:1] == '[':"
                return (
                    array,
                    "    try:",
                    f"        {value} = load_json({value})",
                    "    except JSONDecodeError:",
                    "        pass",
                )
            if column.type in _FLOATS:  # as `number`
                whole = f"not {value} % 1 and {-EXACT} < {value} < {EXACT}"
                return (f"if {value} is not None and {whole}: {value} = int({value})",)
        name = f"c_{value}"
        self._constants[name] = converter_of(column)
        return (f"if {self._present(column)}: {value} = {name}({value})",)

    def function(self, result: str) -> Converter:
        body = "\n        ".join([*self._lines, f"return {result}"])
        source = f"def event(row):\n    try:\n        {body}\n    except {_UNFIT}:\n        return unreadable(row)"
        exec(compile(source, "<schema>", "exec"), self._constants)
        function: Converter = self._constants["event"]
        return function


_UNFIT: Final = "(AttributeError, KeyError, TypeError, ValueError)"


def _unreadable(row: Row) -> UnreadableRow:
    return UnreadableRow({name: _readable(value) for name, value in row.items()})


def converter_of(column: Column) -> Callable[[Any], Any]:
    """The function from a value that is not null to what JSON would hold, by a column's type.

    Its input is what the BigQuery Storage API gives in Python.
    """
    convert = _record(column.fields) if column.type in ("RECORD", "STRUCT") else _CONVERTERS.get(column.type, _scalar)
    if not column.repeated:
        return convert
    return lambda items: [None if item is None else convert(item) for item in items]


def _record(fields: Sequence[Column]) -> Callable[[Any], Any]:
    converters = [(field.name, converter_of(field)) for field in fields]

    def convert(record: Mapping[str, Any]) -> dict[str, Any]:
        return {name: convert(record[name]) for name, convert in converters if record[name] not in (None, [])}

    return convert


def _object(value: Any) -> dict[str, Any]:
    found = load_json(value) if isinstance(value, (str, bytes)) else value
    if type(found) is not dict:
        raise TypeError("no object")
    return found


def _text(value: str) -> Any:
    return parsed(value) if value[:1] == "[" else value


def _decimal(value: Decimal) -> float | int:
    whole = int(value)
    return whole if whole == value and -(2**63) <= whole < 2**63 else float(value)


def _timestamp(value: dt.datetime) -> str:
    """As Segment's libraries write it: in UTC, with milliseconds; finer where the column is.

    By orjson, as isoformat() takes several times as long with a time zone. It leaves out a fraction that is zero.
    """
    text: str = orjson.loads(orjson.dumps(value, option=_UTC).replace(b'000Z"', b'Z"'))
    return text if len(text) > len("2026-11-22T17:16:43Z") else f"{text[:-1]}.000Z"


_UTC: Final = orjson.OPT_UTC_Z


def _datetime(value: dt.datetime | str) -> str:
    """Without a zone, as the column has none. BigQuery itself gives text."""
    return value if isinstance(value, str) else value.replace(tzinfo=None).isoformat()


def _isoformat(value: dt.date | dt.time) -> str:
    return value.isoformat()


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _scalar(value: Any) -> Any:
    return value if type(value) in (str, int, float, bool, dict) else str(value)


_CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "STRING": _text,
    "FLOAT": number,
    "FLOAT64": number,
    "NUMERIC": _decimal,
    "BIGNUMERIC": _decimal,
    "TIMESTAMP": _timestamp,
    "DATETIME": _datetime,
    "DATE": _isoformat,
    "TIME": _isoformat,
    "BYTES": _bytes,
    "JSON": load_json,
}


def _readable(value: Any) -> Any:
    """A value of a row for a dead letter, whatever it is."""
    if isinstance(value, dict):
        return {str(key): _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
