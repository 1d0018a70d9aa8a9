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
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import orjson

from transforms.events import Event, UnreadableRow
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
        except csv.Error as error:
            if columns is None:
                raise BadHeader(f"the header is no line of CSV ({error})") from None
            yield line, _unreadable(taken, f"Line {line} of {name} is no line of CSV ({error}).")
            continue
        if cells is None:
            return
        if not cells or (len(cells) == 1 and not cells[0].strip() and (columns is None or len(columns) > 1)):
            continue  # a blank line
        if columns is None:
            columns = _columns(cells)
            continue
        try:
            yield line, _event(cells, columns)
        except _BadRow as error:
            yield line, _unreadable(taken, f"Line {line} of {name} {error}.")


def _lines(chunks: Iterable[bytes], taken: list[str]) -> Iterator[str]:
    """The lines of a file with their ends, each of them added to `taken`; what is not UTF-8 as surrogates."""
    pending = ""
    for text in codecs.iterdecode(chunks, "utf-8-sig", "surrogateescape"):
        *lines, pending = (pending + text).split("\n")
        for line in lines:
            taken.append(line + "\n")
            yield taken[-1]
    if pending:
        taken.append(pending)
        yield pending


def _unreadable(taken: Sequence[str], message: str) -> UnreadableRow:
    return UnreadableRow("".join(taken).rstrip("\r\n").encode("utf-8", "surrogateescape"), message)


class _BadRow(Exception):
    """Why a row makes no event, as the end of a sentence, without values."""


@dataclasses.dataclass(frozen=True)
class _Column:
    name: str
    parents: tuple[str, ...]
    key: str
    is_json: bool


def _columns(header: Sequence[str]) -> list[_Column]:
    columns = []
    seen: dict[tuple[str, ...], str] = {}
    for cell in header:
        name = cell.strip()
        path = tuple(name.removesuffix(_JSON).split("."))
        if not all(path):
            raise BadHeader(f"column {name!r} is no path like properties.total")
        if path in seen:
            raise BadHeader(f"column {name!r} comes twice")
        seen[path] = name
        columns.append(_Column(name, path[:-1], path[-1], name.endswith(_JSON)))
    for path, name in seen.items():
        for end in range(1, len(path)):
            if path[:end] in seen:
                raise BadHeader(f"columns {seen[path[:end]]!r} and {name!r} cannot both be")
    return columns


def _event(cells: Sequence[str], columns: Sequence[_Column]) -> Event:
    if len(cells) != len(columns):
        raise _BadRow(f"has {len(cells)} cells, the header {len(columns)}")
    event: Event = {}
    for cell, column in zip(cells, columns, strict=True):
        if cell == "":
            continue
        try:
            cell.encode()
            value = orjson.loads(cell) if column.is_json else cell
        except UnicodeEncodeError:
            raise _BadRow(f"is not valid UTF-8 in column {column.name}") from None
        except orjson.JSONDecodeError:
            raise _BadRow(f"is not valid JSON in column {column.name}") from None
        place = event
        for parent in column.parents:
            place = place.setdefault(parent, {})
        place[column.key] = value
    return event
