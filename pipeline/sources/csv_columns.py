"""A CSV header → how to make events of the rows below it; see `csv_rows` for what a column's name says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from capybeam.pipeline.sources import NoEvents
from capybeam.pipeline.sources.table_files import table_of
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.misspelled_keys import did_you_mean, misspelt
from capybeam.transforms.core.warehouse_rows import (
    MESSAGE,
    STATES,
    TABLES,
    canonical,
    event_of,
    of_events,
    row_of_segments,
    shows_kind,
)
from capybeam.transforms.language.directives.registry import MAX_KEYS
from capybeam.transforms.standards.json_text import load_json, whole_characters

_JSON: Final = ":json"


class BadHeader(NoEvents):
    """A header that cannot be made into events: says which column, and why."""


class BadRow(Exception):
    """A row that cannot be made into an event: the reason, as the end of a sentence, without values."""


@dataclasses.dataclass(frozen=True)
class _Column:
    number: int
    name: str
    parents: tuple[str, ...]
    key: str
    is_json: bool
    named: bool = False  # whether it is certainly a name, and no cell of a file without a header

    @property
    def path(self) -> tuple[str, ...]:
        return (*self.parents, self.key)

    def is_known(self) -> bool:
        """Whether it is a key that an event of Segment's has at its root, or something below one."""
        return self.parents[0] in _OBJECTS if self.parents else self.key in _KEYS

    def __str__(self) -> str:
        """For messages, which must not quote a cell of a file that has no header."""
        name = self.name if len(self.name) <= 100 else f"{self.name[:99]}…"
        return f"column {self.number} ({name})" if self.named or self.is_known() else f"column {self.number}"


_OBJECTS: Final = frozenset({"properties", "traits", "context", "integrations"})
_KEYS: Final = _OBJECTS | {
    *("type", "event", "name", "category", "channel", "version"),
    *("messageId", "userId", "anonymousId", "groupId", "previousId"),
    *("timestamp", "originalTimestamp", "sentAt", "receivedAt"),
}


def check_is_text(line: bytes | bytearray) -> None:
    """Raises BadHeader for a line that cannot be a header, whatever its cells are."""
    try:
        line.decode()
    except UnicodeDecodeError:
        raise BadHeader("the header is not UTF-8") from None
    for sign, signs in ((b";", "semicolons"), (b"\t", "tabs")):
        if sign in line and b"," not in line:
            raise BadHeader(f"the header has {signs} and no comma; {EXAMPLE}")


EXAMPLE: Final = "a header looks like type,event,messageId,timestamp,userId,properties.total"


class Columns:
    """What a header says: how to make events of the rows below it."""

    def __init__(self, columns: Sequence[_Column]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns)

    def event(self, cells: Sequence[str]) -> bytes | Event:
        """The event of a row, or its JSON. Raises BadRow."""
        event: Event = {}
        for cell, column in self._paired(cells):
            if cell != "":
                place = event
                for parent in column.parents:
                    place = place.setdefault(parent, {})
                place[column.key] = cell if cell.isascii() and not column.is_json else _value(cell, column)
        return event

    def _paired(self, cells: Sequence[str]) -> Iterable[tuple[str, _Column]]:
        if len(cells) != len(self._columns):
            raise BadRow(f"has {len(cells)} cells, the header {len(self._columns)}")
        return zip(cells, self._columns, strict=True)


class _WarehouseColumns(Columns):
    """The columns of a table of Segment's warehouse.

    Args:
        kind: the type of the table's calls, where the file's name says it.
    """

    def __init__(self, columns: Sequence[_Column], kind: str | None) -> None:
        super().__init__(columns)
        self._kind = kind

    def event(self, cells: Sequence[str]) -> Event:
        row = {column.key: _value(cell, column) for cell, column in self._paired(cells) if cell not in _NULLS}
        event = event_of(row, self._kind)
        if event is None:
            raise BadRow("has neither an event's name nor the type of a call")
        return event


_NULLS: Final = frozenset({"", "\\N"})  # Snowflake and PostgreSQL write \N


class _MessageColumns(Columns):
    """The columns of a table that a BigQuery subscription of Pub/Sub writes."""

    def event(self, cells: Sequence[str]) -> bytes:
        row = {canonical(column.key): _value(cell, column) for cell, column in self._paired(cells)}
        return orjson.dumps(row)  # an envelope, which is opened where it is parsed


def columns_of(header: Sequence[str], file: str) -> Columns:
    columns = []
    for number, cell in enumerate(header, 1):
        name = cell.strip()
        *parents, key = name.removesuffix(_JSON).split(".")
        columns.append(_Column(number, name, tuple(parents), key, name.endswith(_JSON)))
    of_a_store = None if any(column.parents for column in columns) else _of_warehouse(columns, file)
    if of_a_store is None:
        _check_spelling(columns)
    seen: dict[tuple[str, ...], _Column] = {}
    for column in columns:
        path = column.path if of_a_store is None else (canonical(column.key),)
        if not all(path) or len(path) > MAX_KEYS:
            raise BadHeader(f"{column} is not a path like properties.total")
        if path in seen:
            raise BadHeader(f"{column} appears twice")
        seen[path] = column
    for column in columns:
        for end in range(1, len(column.path)):
            if column.path[:end] in seen:
                raise BadHeader(f"{seen[column.path[:end]]} and {column} cannot both exist")
    return of_a_store or Columns(columns)


def _of_warehouse(columns: Sequence[_Column], file: str) -> Columns | None:
    """The columns, where they are those of a warehouse's table; None where they are paths in events."""
    names = [column.key for column in columns]
    columns = [dataclasses.replace(column, named=True) for column in columns]
    if MESSAGE.issubset(map(canonical, names)):
        return _MessageColumns(columns)
    if not row_of_segments(names):
        return None
    table = table_of(file)
    if table in STATES:
        raise BadHeader(f"it holds the latest state of each of the {table}, not events; read {STATES[table]}")
    if table not in TABLES and not shows_kind(names):
        raise BadHeader(
            "its rows are from Segment's warehouse, but the type of call is unknown: name the file after its table,"
            " as in pages.csv, or add a column type"
        )
    return _WarehouseColumns(columns, TABLES.get(table))


def _check_spelling(columns: Sequence[_Column]) -> None:
    """Raises BadHeader where no column is a key of an event, or where the most important keys are misspelt."""
    found = misspelt(of_events(column.path[0] for column in columns))
    hint = did_you_mean(found)
    if not any(column.is_known() for column in columns):
        text = f"no header, or none of its columns is a key of an event; {EXAMPLE}"
        raise BadHeader(f"{text}. {hint}" if hint else text)
    if not _ESSENTIAL_KEYS.isdisjoint(found.values()):
        raise BadHeader(f"the header spells keys differently from an event's. {hint}")


_ESSENTIAL_KEYS: Final = frozenset({"type", "properties", "traits", "context"})


def _value(cell: str, column: _Column) -> Any:
    """A cell's value. Raises BadRow."""
    try:
        text = _whole(cell)
        return load_json(text) if column.is_json else text
    except UnicodeDecodeError:
        raise BadRow(f"is not valid UTF-8 in {column}") from None
    except orjson.JSONDecodeError:
        raise BadRow(f"is not valid JSON in {column}") from None


def _whole(cell: str) -> str:
    """A cell, its halved characters replaced. Raises UnicodeDecodeError for other bytes that are not UTF-8."""
    if cell.isascii() or _BYTES.search(cell) is None:
        return cell
    data = cell.encode("utf-8", "surrogateescape")
    return (whole_characters(data) or data).decode()


_BYTES: Final = re.compile("[\ud800-\udfff]")  # surrogates: Python's escapes of bytes that are not UTF-8
