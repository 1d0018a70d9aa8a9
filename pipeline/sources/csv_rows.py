"""Rows of CSV → events.

A column's name is the path of its value in the event, with dots: ``type``, ``messageId``, ``properties.total``,
``context.traits.email``. Cells are text, and nothing is guessed: the mapping's types make numbers of them. In a column
whose name ends in ``:json`` cells are JSON: lists (``properties.products:json``), and numbers that a trigger compares
(``properties.revenue:json``). Empty cells are absent.

Two kinds of tables of a store are known by their columns, and read as from there: Segment's warehouse
(`transforms.warehouse_rows`), and what Pub/Sub's BigQuery subscriptions write, whose ``data`` holds the events.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import orjson

from pipeline.sources import BrokenFile
from pipeline.sources.table_files import table_of
from transforms.events import Event, UnreadableRest, UnreadableRow
from transforms.json_text import load_json, whole_characters
from transforms.misspelt import did_you_mean, misspelt
from transforms.stopping import STOPPING
from transforms.warehouse_rows import (
    MESSAGE,
    STATES,
    TABLES,
    canonical,
    event_of,
    of_events,
    row_of_segments,
    tells_kind,
)

_NAMES: Final = (".csv", ".csv.gz", ".csv.bz2")
_JSON: Final = ":json"
csv.field_size_limit(1 << 30)  # the default refuses cells over 128 kB


class BadHeader(Exception):
    """The columns of a file make no event: says which and why."""


def is_csv(path: str) -> bool:
    """Whether a file is CSV, by its name."""
    return path.lower().endswith(_NAMES)


def rows_of(chunks: Iterable[bytes], name: str) -> Iterator[tuple[int, bytes | Event | UnreadableRow]]:
    """The rows of a file that is read in chunks, each with its first line's number; ends early when STOPPING is set.

    Where reading raises BrokenFile, an `UnreadableRest` with the row that breaks off comes last.

    Args:
        name: the file's, for messages, and for the table of Segment's warehouse that it is called after.

    Raises:
        BadHeader
    """
    taken: list[str] = []
    reader = csv.reader(_lines(chunks, taken), strict=True)
    columns: _Columns | None = None
    while not STOPPING.is_set():
        taken.clear()
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except BrokenFile as error:
            yield line, UnreadableRest(_text(taken), str(error))
            return
        except csv.Error as error:
            if columns is None:
                _check_header("".join(taken))
                raise BadHeader(f"the header is no line of CSV ({error})") from None
            yield line, UnreadableRow(_text(taken), f"Line {line} of {name} is no line of CSV ({error}).")
            continue
        if cells is None:
            return
        if not cells or (len(cells) == 1 and not cells[0].strip() and (columns is None or len(columns) > 1)):
            continue  # a blank line
        if columns is None:
            _check_header("".join(taken))
            columns = _columns(cells, name)
            continue
        try:
            yield line, columns.event(cells)
        except _BadRow as error:
            yield line, UnreadableRow(_text(taken), f"Line {line} of {name} {error}.")


def _lines(chunks: Iterable[bytes], taken: list[str]) -> Iterator[str]:
    """The lines of a file with their ends, each of them added to `taken`; what is not UTF-8 as surrogates."""
    pending = ""
    try:
        for text in codecs.iterdecode(chunks, "utf-8-sig", "surrogateescape"):
            *lines, pending = (pending + text).split("\n")
            for line in lines:
                taken.append(line + "\n")
                yield taken[-1]
    except BrokenFile:
        taken.append(pending)
        raise
    if pending:
        taken.append(pending)
        yield pending


def _text(taken: Sequence[str]) -> bytes:
    return "".join(taken).rstrip("\r\n").encode("utf-8", "surrogateescape")


class _BadRow(Exception):
    """Why a row makes no event, as the end of a sentence, without values."""


@dataclasses.dataclass(frozen=True)
class _Column:
    number: int
    name: str
    parents: tuple[str, ...]
    key: str
    is_json: bool
    named: bool = False  # whether it certainly is a name

    @property
    def path(self) -> tuple[str, ...]:
        return (*self.parents, self.key)

    def is_known(self) -> bool:
        """Whether it is a key that an event of Segment's has at its root, or something below one."""
        return self.parents[0] in _OBJECTS if self.parents else self.key in _KEYS

    def __str__(self) -> str:
        """For messages, which must not quote a cell of a file that has no header."""
        return f"column {self.number} ({self.name})" if self.named or self.is_known() else f"column {self.number}"


_OBJECTS: Final = frozenset({"properties", "traits", "context", "integrations"})
_KEYS: Final = _OBJECTS | {
    *("type", "event", "name", "category", "channel", "version"),
    *("messageId", "userId", "anonymousId", "groupId", "previousId"),
    *("timestamp", "originalTimestamp", "sentAt", "receivedAt"),
}


def _check_header(line: str) -> None:
    """Raises BadHeader where a line can be none, whatever is in its cells."""
    try:
        line.encode()
    except UnicodeEncodeError:
        raise BadHeader("the header is not UTF-8") from None
    for sign, signs in ((";", "semicolons"), ("\t", "tabs")):
        if sign in line and "," not in line:
            raise BadHeader(f"the header has {signs} and no comma; {_LIKE}")


_LIKE: Final = "a header is like type,event,messageId,timestamp,userId,properties.total"


class _Columns:
    """What a header says: how to make events of the rows below it."""

    def __init__(self, columns: Sequence[_Column]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns)

    def event(self, cells: Sequence[str]) -> bytes | Event:
        """The event of a row, or its JSON. Raises _BadRow."""
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
            raise _BadRow(f"has {len(cells)} cells, the header {len(self._columns)}")
        return zip(cells, self._columns, strict=True)


class _WarehouseColumns(_Columns):
    """Those of a table of Segment's warehouse.

    Args:
        kind: the calls of the table, where the file is called after one that says so.
    """

    def __init__(self, columns: Sequence[_Column], kind: str | None) -> None:
        super().__init__(columns)
        self._kind = kind

    def event(self, cells: Sequence[str]) -> Event:
        row = {column.key: _value(cell, column) for cell, column in self._paired(cells) if cell not in _NULLS}
        event = event_of(row, self._kind)
        if event is None:
            raise _BadRow("has neither an event's name nor the type of a call")
        return event


_NULLS: Final = frozenset({"", "\\N"})  # the second is how Snowflake writes it, and PostgreSQL


class _MessageColumns(_Columns):
    """Those of a table that one of Pub/Sub's BigQuery subscriptions writes."""

    def event(self, cells: Sequence[str]) -> bytes:
        row = {canonical(column.key): _value(cell, column) for cell, column in self._paired(cells)}
        return orjson.dumps(row)  # an envelope, which is opened where it is parsed


def _columns(header: Sequence[str], file: str) -> _Columns:
    columns = []
    for number, cell in enumerate(header, 1):
        name = cell.strip()
        *parents, key = name.removesuffix(_JSON).split(".")
        columns.append(_Column(number, name, tuple(parents), key, name.endswith(_JSON)))
    of_a_store = None if any(column.parents for column in columns) else _of_a_store(columns, file)
    if of_a_store is None:
        _check_spelling(columns)
    seen: dict[tuple[str, ...], _Column] = {}
    for column in columns:
        path = column.path if of_a_store is None else (canonical(column.key),)
        if not all(path):
            raise BadHeader(f"{column} is no path like properties.total")
        if path in seen:
            raise BadHeader(f"{column} comes twice")
        seen[path] = column
    for column in columns:
        for end in range(1, len(column.path)):
            if column.path[:end] in seen:
                raise BadHeader(f"{seen[column.path[:end]]} and {column} cannot both be")
    return of_a_store or _Columns(columns)


def _of_a_store(columns: Sequence[_Column], file: str) -> _Columns | None:
    """The columns of a table of a store; None for those of events."""
    names = [column.key for column in columns]
    columns = [dataclasses.replace(column, named=True) for column in columns]
    if MESSAGE.issubset(map(canonical, names)):
        return _MessageColumns(columns)
    if not row_of_segments(names):
        return None
    table = table_of(file)
    if table in STATES:
        raise BadHeader(f"it holds the latest state of each of the {table}, not events; read {STATES[table]}")
    if table not in TABLES and not tells_kind(names):
        raise BadHeader(
            "its rows are of Segment's warehouse, and nothing says of which calls: give the file its table's name, as"
            " in pages.csv, or add a column type"
        )
    return _WarehouseColumns(columns, TABLES.get(table))


def _check_spelling(columns: Sequence[_Column]) -> None:
    """Raises BadHeader where no column is a key of an event, or where the most important ones are spelt otherwise."""
    found = misspelt(of_events(column.path[0] for column in columns))
    hint = did_you_mean(found)
    if not any(column.is_known() for column in columns):
        said = f"there is no header, or no column in it is a key of an event; {_LIKE}"
        raise BadHeader(f"{said}. {hint}" if hint else said)
    if not _WITHOUT_WHICH_NOTHING_IS_FOUND.isdisjoint(found.values()):
        raise BadHeader(f"the header has keys that are spelt otherwise than an event's. {hint}")


_WITHOUT_WHICH_NOTHING_IS_FOUND: Final = frozenset({"type", "properties", "traits", "context"})


def _value(cell: str, column: _Column) -> Any:
    """What a cell says. Raises _BadRow."""
    try:
        text = _whole(cell)
        return load_json(text) if column.is_json else text
    except UnicodeDecodeError:
        raise _BadRow(f"is not valid UTF-8 in {column}") from None
    except orjson.JSONDecodeError:
        raise _BadRow(f"is not valid JSON in {column}") from None


def _whole(cell: str) -> str:
    """A cell without halves of characters. Raises UnicodeDecodeError where it is not UTF-8 for another reason."""
    if cell.isascii() or _BYTES.search(cell) is None:
        return cell
    data = cell.encode("utf-8", "surrogateescape")
    return (whole_characters(data) or data).decode()


_BYTES: Final = re.compile("[\ud800-\udfff]")  # what stands for bytes that are not UTF-8
