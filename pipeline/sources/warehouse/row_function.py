"""The Python function that makes events of the rows of a table with Segment's columns, written for its schema."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from capybeam.pipeline.sources.warehouse.columns import Column, Converter, TableRow
from capybeam.pipeline.sources.warehouse.converters import UTC, converter_of, object_of
from capybeam.transforms.core.events import UnreadableRow
from capybeam.transforms.core.function_writer import FunctionWriter, literal
from capybeam.transforms.core.warehouse_rows import (
    EXACT,
    OBJECTS,
    ROOT_COLUMNS,
    by_id_first,
    is_plain_text,
    own_path,
    paths_of,
)
from capybeam.transforms.standards.json_text import load_json

_PLAIN: Final = frozenset({"INTEGER", "INT64", "BOOLEAN", "BOOL"})
_FLOATS: Final = frozenset({"FLOAT", "FLOAT64"})


def row_function(columns: Sequence[Column], kind: str) -> Converter:
    """Compiles the function from a row to its event. A null has no key there."""
    writer = _Writer(columns)
    with writer.block("try:"):
        event = writer.event(kind)
    with writer.block(f"except {_MISFITS}:"):
        writer.line(f"return {writer.call(unreadable, 'row')}")
    return writer.function(event)


def _put(tree: dict[str, Any], path: Sequence[str], column: Column) -> None:
    """Puts a column into a tree of objects. One with others below it has the key "", which no column has."""
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


class _Writer(FunctionWriter):
    """Writes the function: all values of a row at once into variables, then objects of those that are there.

    An object is written twice: as a literal for rows that have all of its values, which is twice as fast, and value by
    value for the others.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__("event", "row")
        self._columns = columns
        self._values = {column.name: f"v{number}" for number, column in enumerate(columns)}  # variables
        self._objects: list[str] = []
        self._wholes: set[str] = set()  # variables of what is an object or a value

    def event(self, kind: str) -> str:
        """Writes what makes the event; gives back the variable that holds it."""
        self._write_values()
        tree: dict[str, Any] = {}
        by_name = {column.name: column for column in self._columns}
        for column in map(by_name.__getitem__, by_id_first(by_name)):
            if kind == "track" and column.name == "event" and self.stand_in("event_text", "event"):
                continue
            for path in paths_of(column.name, kind, tree):
                _put(tree, path, column)
            if column.name in OBJECTS and column.type == "STRING" and not column.repeated:
                _put(tree, own_path(column.name, kind), self.text_of(column))
        return self.object(tree, {"type": kind})

    def _write_values(self) -> None:
        names = [column.key for column in self._columns]
        get = self.constant(operator.itemgetter(*names, *names[:1]), "get")
        # The first name twice, as `_`: itemgetter of a single key returns no tuple.
        self.line(f"{', '.join(self._values.values())}, _ = {get}(row)")
        times = [c for c in self._columns if c.name in ROOT_COLUMNS and c.type == "TIMESTAMP" and not c.repeated]
        if times:  # `_timestamp` of all of them at once
            variables = [self._values[column.name] for column in times]
            joined = ", ".join(variables)
            array = joined if len(times) == 1 else f"({joined})"
            written = self.call(orjson.dumps, array, "None", literal(UTC))
            parsed = self.call(orjson.loads, f"{written}.replace(b'000Z\"', b'Z\"')")
            self.line(f"{joined} = {parsed}")
            for value in variables:
                self.line(f"if {value} is not None and len({value}) == 20: {value} = {value}[:19] + '.000Z'")
        for column in self._columns:
            if column not in times:
                self._write_conversion(column)

    def stand_in(self, name: str, other: str) -> bool:
        """Whether there is a column `name`; another's value then takes the place of a null there."""
        if name in self._values:
            self.line(f"if {self._values[name]} is None: {self._values[name]} = {self._values[other]}")
        return name in self._values

    def text_of(self, column: Column) -> Column:
        """A text column that may hold an object, but does not: a value of the customer's own."""
        value, text = self._values[column.name], Column(f"{column.name} as text")
        self._values[text.name] = variable = f"t{value}"
        self.line(f"{variable} = None")
        self.line(f"if {value} is not None and {value}[:1] != '{{': {variable}, {value} = {value}, None")
        return text

    def object(self, tree: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> str:
        """Writes the lines that make an object, inner objects first; returns the variable that holds it."""
        parts: dict[str, Column | str] = {key: node for key, node in tree.items() if isinstance(node, Column) and key}
        parts.update({key: self.object(node) for key, node in tree.items() if isinstance(node, dict)})
        name = f"o{len(self._objects)}"
        self._objects.append(name)
        variables = {key: self._variable(part) for key, part in parts.items()}
        present = {key: self._present(part) for key, part in parts.items()}
        kept = [f"if {present[key]}: {name}[{literal(key)}] = {variable}" for key, variable in variables.items()]
        if "" in tree:  # a column that holds the object whole; flattened ones come on top
            column, whole = tree[""], self._variable(tree[""])
            if column.name in OBJECTS:
                self.line(f"{name} = {{}} if {whole} is None else {self.call(object_of, whole)}")
                self._write_lines(kept)
            else:  # which, in another row's event, was none
                self.line(f"{name} = {whole} if type({whole}) is dict else {{}}")
                self._write_lines([*kept, f"{name} = {name} or {whole}"])
                self._wholes.add(name)
            return name
        constant = [f"{literal(key)}: {literal(value)}" for key, value in (start or {}).items()]
        full = constant + [f"{literal(key)}: {variable}" for key, variable in variables.items()]
        with self.block(f"if {' and '.join(present.values()) or True}:"):
            self.line(f"{name} = {{{', '.join(full)}}}")
        with self.block("else:"):
            self._write_lines([f"{name} = {{{', '.join(constant)}}}", *kept])
        return name

    def _write_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.line(line)

    def _variable(self, part: Column | str) -> str:
        return part if isinstance(part, str) else self._values[part.name]

    def _present(self, part: Column | str) -> str:
        """The condition that there is a value; an empty object or array does not count as one."""
        always = part not in self._wholes if isinstance(part, str) else part.repeated
        return self._variable(part) + ("" if always else " is not None")

    def _write_conversion(self, column: Column) -> None:
        """Writes what makes of a value what JSON would hold."""
        value = self._values[column.name]
        if not column.repeated:
            if column.type in _PLAIN or (column.type == "STRING" and is_plain_text(column.name)):
                return
            if column.type == "STRING":  # as `_text`
                error = self.constant(orjson.JSONDecodeError, "JSONDecodeError")
                with self.block(f"if {value} is not None and {value}[:1] == '[':"):
                    with self.block("try:"):
                        self.line(f"{value} = {self.call(load_json, value)}")
                    with self.block(f"except {error}:"):
                        self.line("pass")
                return
            if column.type in _FLOATS:  # as `number`
                whole = f"not {value} % 1 and {-EXACT} < {value} < {EXACT}"
                self.line(f"if {value} is not None and {whole}: {value} = int({value})")
                return
        convert = self.constant(converter_of(column))
        self.line(f"if {self._present(column)}: {value} = {convert}({value})")


_MISFITS: Final = "(AttributeError, KeyError, TypeError, ValueError)"


def unreadable(row: TableRow) -> UnreadableRow:
    return UnreadableRow({name: _readable(value) for name, value in row.items()})


def _readable(value: Any) -> Any:
    """A row's value of any type, as JSON can hold it in a dead letter."""
    if isinstance(value, dict):
        return {str(key): _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
