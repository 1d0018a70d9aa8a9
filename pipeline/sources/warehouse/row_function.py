"""The Python function that makes events of the rows of a table with Segment's columns, written for its schema."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from capybeam.pipeline.sources.warehouse.columns import Column, Converter, Row
from capybeam.pipeline.sources.warehouse.converters import UTC, converter_of, object_of
from capybeam.transforms.core.events import UnreadableRow
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


class _Writer:
    """Writes the function: all values of a row at once into variables, then objects of those that are there.

    An object is written twice: as a literal for rows that have all of its values, which is twice as fast, and value by
    value for the others.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._variables = {column.name: f"v{number}" for number, column in enumerate(columns)}
        self._wholes: set[str] = set()  # variables that hold an object in some rows and a value in others
        names = [column.key for column in columns]
        self._constants: dict[str, Any] = {
            "get": operator.itemgetter(*names, *names[:1]), "object_of": object_of, "unreadable": unreadable,
            "dumps": orjson.dumps, "loads": orjson.loads, "JSONDecodeError": orjson.JSONDecodeError,
            "load_json": load_json,
        }  # fmt: skip
        self._lines = [
            f"{', '.join(self._variables.values())}, _ = get(row)"
        ]  # `_` makes it a tuple where there is only one
        times = [c for c in columns if c.name in ROOT_COLUMNS and c.type == "TIMESTAMP" and not c.repeated]
        if times:  # `converters._timestamp` of all of them at once
            joined = ", ".join(self._variables[column.name] for column in times)
            array = joined if len(times) == 1 else f"({joined})"
            self._lines.append(f"{joined} = loads(dumps({array}, None, {UTC}).replace(b'000Z\"', b'Z\"'))")
            for value in joined.split(", "):
                self._lines.append(f"if {value} is not None and len({value}) == 20: {value} = {value}[:19] + '.000Z'")
        for column in columns:
            if column not in times:
                self._lines += self._converted(column)

    def stand_in(self, name: str, other: str) -> bool:
        """Whether there is a column `name`. If so, nulls in it are replaced by the value of another column."""
        if name in self._variables:
            self._lines.append(
                f"if {self._variables[name]} is None: {self._variables[name]} = {self._variables[other]}"
            )
        return name in self._variables

    def text_of(self, column: Column) -> Column:
        """A column for the texts that are not objects in a column that may hold objects: the customer's own values."""
        value, text = self._variables[column.name], Column(f"{column.name} as text")
        self._variables[text.name] = variable = f"t{value}"
        self._lines.append(f"{variable} = None")
        self._lines.append(f"if {value} is not None and {value}[:1] != '{{': {variable}, {value} = {value}, None")
        return text

    def object(self, tree: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> str:
        """Writes the lines that make an object, inner objects first; returns the variable that holds it."""
        parts: dict[str, Column | str] = {key: node for key, node in tree.items() if isinstance(node, Column) and key}
        parts.update({key: self.object(node) for key, node in tree.items() if isinstance(node, dict)})
        name = f"o{len(self._lines)}"
        variables = {key: self._variable(part) for key, part in parts.items()}
        present = {key: self._present(part) for key, part in parts.items()}
        kept = [f"if {present[key]}: {name}[{key!r}] = {variable}" for key, variable in variables.items()]
        if "" in tree:  # a column that holds the object whole; flattened ones come on top
            column, whole = tree[""], self._variable(tree[""])
            if column.name in OBJECTS:
                self._lines += [f"{name} = {{}} if {whole} is None else object_of({whole})", *kept]
            else:  # in other rows it is not an object
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
        """The condition that there is a value; an empty object or array does not count as one."""
        always = part not in self._wholes if isinstance(part, str) else part.repeated
        return self._variable(part) + ("" if always else " is not None")

    def _converted(self, column: Column) -> Sequence[str]:
        """The lines that convert a value to what JSON would hold."""
        value = self._variables[column.name]
        if not column.repeated:
            if column.type in _PLAIN or (column.type == "STRING" and is_plain_text(column.name)):
                return ()
            if column.type == "STRING":  # as `converters._text`
                array = f"if {value} is not None and {value}[:1] == '[':"
                return (
                    array,
                    "    try:",
                    f"        {value} = load_json({value})",
                    "    except JSONDecodeError:",
                    "        pass",
                )
            if column.type in _FLOATS:  # as `warehouse_rows.number`
                whole = f"not {value} % 1 and {-EXACT} < {value} < {EXACT}"
                return (f"if {value} is not None and {whole}: {value} = int({value})",)
        name = f"c_{value}"
        self._constants[name] = converter_of(column)
        return (f"if {self._present(column)}: {value} = {name}({value})",)

    def function(self, result: str) -> Converter:
        body = "\n        ".join([*self._lines, f"return {result}"])
        source = f"def event(row):\n    try:\n        {body}\n    except {_MISFITS}:\n        return unreadable(row)"
        exec(compile(source, "<schema>", "exec"), self._constants)
        function: Converter = self._constants["event"]
        return function


_MISFITS: Final = "(AttributeError, KeyError, TypeError, ValueError)"


def unreadable(row: Row) -> UnreadableRow:
    return UnreadableRow({name: _readable(value) for name, value in row.items()})


def _readable(value: Any) -> Any:
    """A row's value of any type, as JSON can hold it in a dead letter."""
    if isinstance(value, dict):
        return {str(key): _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
