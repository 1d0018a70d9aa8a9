"""Rows of CSV → events.

A column's name is the path of its value in the event, with dots: ``type``, ``messageId``, ``properties.total``,
``context.traits.email``. Cells are text, and nothing is guessed: the mapping's types make numbers of them. In a column
whose name ends in ``:json`` cells are JSON: lists (``properties.products:json``), and numbers that a trigger compares
(``properties.revenue:json``). Empty cells are absent.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import orjson

from pipeline.sources import BrokenFile
from transforms.events import Event, UnreadableRest, UnreadableRow
from transforms.json_text import load_json, whole_characters
from transforms.stopping import STOPPING

_NAMES: Final = (".csv", ".csv.gz", ".csv.bz2")
_JSON: Final = ":json"
csv.field_size_limit(1 << 30)  # the default refuses cells over 128 kB


class BadHeader(Exception):
    """The columns of a file make no event: says which and why."""


def is_csv(path: str) -> bool:
    """Whether a file is CSV, by its name."""
    return path.lower().endswith(_NAMES)


def rows_of(chunks: Iterable[bytes], name: str) -> Iterator[tuple[int, Event | UnreadableRow]]:
    """The rows of a file that is read in chunks, each with its first line's number; ends early when STOPPING is set.

    Where reading raises BrokenFile, an `UnreadableRest` with the row that breaks off comes last.

    Args:
        name: the file's, for messages.

    Raises:
        BadHeader
    """
    taken: list[str] = []
    reader = csv.reader(_lines(chunks, taken), strict=True)
    columns: list[_Column] | None = None
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
            columns = _columns(cells)
            continue
        try:
            yield line, _event(cells, columns)
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

    @property
    def path(self) -> tuple[str, ...]:
        return (*self.parents, self.key)

    def is_known(self) -> bool:
        """Whether it is a key that an event of Segment's has at its root, or something below one."""
        return self.parents[0] in _OBJECTS if self.parents else self.key in _KEYS

    def __str__(self) -> str:
        """For messages, which must not quote a cell of a file that has no header."""
        return f"column {self.number} ({self.name})" if self.is_known() else f"column {self.number}"


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


def _columns(header: Sequence[str]) -> list[_Column]:
    columns = []
    for number, cell in enumerate(header, 1):
        name = cell.strip()
        *parents, key = name.removesuffix(_JSON).split(".")
        columns.append(_Column(number, name, tuple(parents), key, name.endswith(_JSON)))
    if not any(column.is_known() for column in columns):
        raise BadHeader(f"there is no header, or no column in it is a key of an event; {_LIKE}")
    seen: dict[tuple[str, ...], _Column] = {}
    for column in columns:
        if not all(column.path):
            raise BadHeader(f"{column} is no path like properties.total")
        if column.path in seen:
            raise BadHeader(f"{column} comes twice")
        seen[column.path] = column
    for column in columns:
        for end in range(1, len(column.path)):
            if column.path[:end] in seen:
                raise BadHeader(f"{seen[column.path[:end]]} and {column} cannot both be")
    return columns


def _event(cells: Sequence[str], columns: Sequence[_Column]) -> Event:
    if len(cells) != len(columns):
        raise _BadRow(f"has {len(cells)} cells, the header {len(columns)}")
    event: Event = {}
    for cell, column in zip(cells, columns, strict=True):
        if cell == "":
            continue
        try:
            text = _whole(cell)
            value = load_json(text) if column.is_json else text
        except UnicodeDecodeError:
            raise _BadRow(f"is not valid UTF-8 in {column}") from None
        except orjson.JSONDecodeError:
            raise _BadRow(f"is not valid JSON in {column}") from None
        place = event
        for parent in column.parents:
            place = place.setdefault(parent, {})
        place[column.key] = value
    return event


def _whole(cell: str) -> str:
    """A cell without halves of characters. Raises UnicodeDecodeError where it is not UTF-8 for another reason."""
    if cell.isascii() or _BYTES.search(cell) is None:
        return cell
    data = cell.encode("utf-8", "surrogateescape")
    return (whole_characters(data) or data).decode()


_BYTES: Final = re.compile("[\ud800-\udfff]")  # what stands for bytes that are not UTF-8
