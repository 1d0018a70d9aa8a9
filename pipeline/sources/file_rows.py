"""The rows of files without a pipeline: what ``capybeam map`` reads. Beam is imported for globs and URLs only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from capybeam.pipeline.schemes import FILES, NAMED_STDIN, STDIN, UnknownScheme, find_scheme, is_glob, strip_file_scheme
from capybeam.pipeline.sources import BrokenFile, NoInput
from capybeam.pipeline.sources.file_chunks import (
    check_packing,
    chunks_of,
    display_name,
    open_file,
    read_chunks,
    unpacked_chunks,
)
from capybeam.pipeline.sources.file_formats import JSON_LINES, FileFormat, NumberedRows, format_of
from capybeam.transforms.core.events import UnreadableRest
from capybeam.transforms.core.message_formats import Row


class PlacedRows(NamedTuple):
    """Rows of an input, each with its place: ``{"line": 3}``; of a glob ``{"file": "a.jsonl", "line": 3}``.

    Attributes:
        paths: of the files that are read.
    """

    paths: Sequence[str]
    rows: Iterator[tuple[dict[str, Any], Row]]


@contextmanager
def placed_rows(text: str) -> Iterator[PlacedRows]:
    """The rows of a file, of all files that a glob or a URL names, or of standard input (-): those that a run reads.

    Raises:
        NoInput, NoEvents, OSError: at once.
        UnreadableFile: while they are read; a BrokenFile comes after all rows, the `UnreadableRest` among them.
    """
    if text == STDIN:
        yield PlacedRows((), _placed([({}, _checked_rows(JSON_LINES, read_chunks(sys.stdin.buffer), text))]))
        return
    try:
        scheme = find_scheme(text)
    except UnknownScheme as error:
        raise NoInput(f"{text}: {error}") from None
    if scheme is not FILES:
        raise NoInput(f"{text}: map reads files, or standard input; put some events into one as JSON lines")
    path = strip_file_scheme(text)
    if "://" not in path and (not is_glob(path) or os.path.exists(path)):
        check_packing(path)
        with open_file(path) as file:
            rows = _checked_rows(format_of(path), unpacked_chunks(file, path), display_name(path))
            yield PlacedRows((path,), _placed([({}, rows)]))
        return
    from capybeam.pipeline.sources.files import checked_paths

    paths = checked_paths(text)
    yield PlacedRows(paths, _placed(_rows_of_files(paths, with_names=paths != [path])))


def _checked_rows(file_format: FileFormat, chunks: Iterator[bytes], name: str) -> NumberedRows:
    return file_format.rows(file_format.checked(chunks, name), NAMED_STDIN if name == STDIN else name, None)


def _rows_of_files(paths: Iterable[str], with_names: bool) -> Iterator[tuple[dict[str, Any], NumberedRows]]:
    for path in paths:
        name = display_name(path)
        yield {"file": name} if with_names else {}, format_of(path).rows(chunks_of(path), name, None)


def _placed(files: Iterable[tuple[dict[str, Any], NumberedRows]]) -> Iterator[tuple[dict[str, Any], Row]]:
    broken: str | None = None
    for place, rows in files:
        for number, row in rows:
            yield {**place, "line": number}, row
            if isinstance(row, UnreadableRest):
                broken = broken or row.message
    if broken:
        raise BrokenFile(broken)
