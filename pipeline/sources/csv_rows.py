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
import threading
from collections.abc import Iterable, Iterator

from capybeam.pipeline.sources import BrokenFile
from capybeam.pipeline.sources.csv_columns import EXAMPLE, BadHeader, BadRow, Columns, check_is_text, columns_of
from capybeam.pipeline.sources.file_chunks import LookAhead
from capybeam.pipeline.sources.file_lines import lines_of
from capybeam.transforms.core import events
from capybeam.transforms.core.events import Event, LongLine, UnreadableRest, UnreadableRow

csv.field_size_limit(events.MAX_LINE)  # the default refuses cells over 128 kB


def checked(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The same chunks, once their header has been read. Raises BadHeader, and BrokenFile where a file has no whole row.

    Args:
        name: as of `rows_of`.
    """
    ahead = LookAhead(chunks)
    _, first = next(rows_of(ahead.look(), name), (0, None))
    if isinstance(first, UnreadableRest):
        raise BrokenFile(first.message)
    return ahead.all()


def rows_of(
    chunks: Iterable[bytes], name: str, shutdown: threading.Event | None = None
) -> Iterator[tuple[int, bytes | Event | UnreadableRow]]:
    """The rows of a file that is read in chunks, each with its first line's number; ends early when `shutdown` is set.

    A row of more than `events.MAX_LINE` bytes is a `LongLine`; reading continues with the next line, as after any
    other line that is not a row. If reading raises BrokenFile, an `UnreadableRest` with the incomplete row comes last.

    Args:
        name: the file's, for messages, and for the table of Segment's warehouse that it is called after.

    Raises:
        BadHeader
    """
    lines = _Lines(lines_of(chunks, name, shutdown, with_cr=True), name)
    reader = csv.reader(lines, strict=True)
    columns: Columns | None = None
    while shutdown is None or not shutdown.is_set():
        line = lines.next_row()
        try:
            cells = next(reader, None)
        except _UnreadableLine as found:
            if columns is None and isinstance(found.row, LongLine):
                raise BadHeader(f"no header; {EXAMPLE}") from None
            yield line, found.row
            if isinstance(found.row, UnreadableRest):
                return
            continue
        except csv.Error as error:
            if columns is None:
                check_is_text(lines.taken)
                raise BadHeader(f"the header is not valid CSV ({error})") from None
            yield line, UnreadableRow(lines.row(), f"Line {line} of {name} is not valid CSV ({error}).")
            continue
        if cells is None:
            return
        if not cells or (len(cells) == 1 and not cells[0].strip() and (columns is None or len(columns) > 1)):
            continue  # a blank line
        if columns is None:
            check_is_text(lines.taken)
            columns = columns_of(cells, name)
            continue
        try:
            yield line, columns.event(cells)
        except BadRow as error:
            yield line, UnreadableRow(lines.row(), f"Line {line} of {name} {error}.")


class _UnreadableLine(Exception):
    """The next line of a row cannot be read; `row` takes its place."""

    def __init__(self, row: UnreadableRow) -> None:
        super().__init__()
        self.row = row


class _Lines:
    """The lines of a file for the CSV reader, as text with their ends; what is not UTF-8 as surrogates.

    A class, because a generator ends with the first exception that it raises.

    Attributes:
        taken: of the row that is being read.
    """

    def __init__(self, lines: Iterator[bytes | UnreadableRow], name: str) -> None:
        self._lines, self._name = lines, name
        self._number = self._first = 0
        self.taken = bytearray()

    def next_row(self) -> int:
        """Begins a row. Returns its first line's number."""
        self.taken = bytearray()
        self._first = self._number + 1
        return self._first

    def row(self) -> bytes:
        """What has been taken, without the last line's end."""
        return bytes(self.taken.rstrip(b"\r\n"))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        if isinstance(line, UnreadableRest):
            self.taken += line.row
            raise _UnreadableLine(UnreadableRest(self.row(), line.message))
        if isinstance(line, UnreadableRow):
            raise _UnreadableLine(line)
        if self._number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        self.taken += line
        self.taken += b"\n"
        if len(self.taken) > events.MAX_LINE:
            place = f"The row that begins in line {self._first:,} of {self._name}"
            raise _UnreadableLine(events.long_line(bytes(self.taken[: events.SHOWN]), len(self.taken), place))
        return line.decode(errors="surrogateescape") + "\n"
