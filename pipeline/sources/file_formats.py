"""Formats of files: one reading function each, which runs and ``capybeam map`` share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from capybeam.pipeline.file_kinds import HEAD, kind_of
from capybeam.pipeline.sources import NoEvents, csv_rows, json_documents
from capybeam.pipeline.sources.file_chunks import LookAhead, split_packing
from capybeam.pipeline.sources.file_lines import lines_of, lists_of_lines
from capybeam.pipeline.sources.table_files import rows_of_table
from capybeam.transforms.core.message_formats import Row

NumberedRows = Iterator[tuple[int, Row]]


class FileFormat(NamedTuple):
    """How files of a format are read. Both functions take a file's chunks, and its name for messages.

    Attributes:
        checked: the same chunks, once their beginning has been looked at. Raises `sources.NoEvents`, and BrokenFile for
            one that breaks off before it can be judged.
        rows: its rows, as `transforms.parsing` takes them, each with its first line's number. One that is too long or
            cannot be read is an `UnreadableRow`; a file that breaks off ends with an `UnreadableRest`: an exception
            would take what came before down with its bundle. Ends early when the event is set.
        lists: the same rows without their numbers, as many at once as a reader has together.
        has_header: whether each file begins with a line that says what the others hold.
    """

    checked: Callable[[Iterable[bytes], str], Iterator[bytes]]
    rows: Callable[[Iterable[bytes], str, threading.Event | None], NumberedRows]
    lists: Callable[[Iterable[bytes], str, threading.Event | None], Iterator[list[Row]]]
    has_header: bool = False


def _json_rows(chunks: Iterable[bytes], name: str, shutdown: threading.Event | None) -> NumberedRows:
    return enumerate(rows_of_table(lines_of(chunks, name, shutdown), name), 1)


def _json_lists(chunks: Iterable[bytes], name: str, shutdown: threading.Event | None) -> Iterator[list[Row]]:
    return (list(rows_of_table(lines, name)) for lines in lists_of_lines(chunks, name, shutdown))


def _csv_lists(chunks: Iterable[bytes], name: str, shutdown: threading.Event | None) -> Iterator[list[Row]]:
    return ([row] for _, row in csv_rows.rows_of(chunks, name, shutdown))


def _text_checked(checked: Callable[[Iterable[bytes], str], Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
    """`FileFormat.checked` of a format that is text."""

    def text_checked(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
        return checked(_text(chunks), name)

    return text_checked


def _text(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same chunks; what reading raises comes later. Raises NoEvents where they begin as another kind of file."""
    ahead, head = LookAhead(chunks), b""
    with contextlib.suppress(Exception):  # raised again when that is read
        for chunk in ahead.look():
            head += chunk[:HEAD]
            if len(head) >= HEAD:
                break
    kind = kind_of(head)
    if kind:
        raise NoEvents(f"it is {kind}")
    return ahead.all()


JSON_LINES: Final = FileFormat(_text_checked(json_documents.checked), _json_rows, _json_lists)
FORMATS: Final = {
    ".csv": FileFormat(_text_checked(csv_rows.checked), csv_rows.rows_of, _csv_lists, has_header=True),
}
"""By the ending of a file's name; all others are JSON lines."""


def format_of(path: str) -> FileFormat:
    """The format of a file, by its name."""
    name = split_packing(path)[0].lower()
    return next((found for ending, found in FORMATS.items() if name.endswith(ending)), JSON_LINES)
