"""A file's lines by ranges of its bytes: a line is of the range in which its first byte is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Final, NamedTuple

from capybeam.pipeline.schemes import strip_file_scheme
from capybeam.pipeline.sources import UnreadableFile
from capybeam.pipeline.sources.file_chunks import CHUNK, display_name, open_file, read_chunks, unreadable


class ByteRange(NamedTuple):
    """Bytes from `start` up to, and without, `end`; None for all that follow."""

    start: int = 0
    end: int | None = None


WHOLE: Final = ByteRange()


def ranges(size: int, each: int) -> Sequence[ByteRange]:
    """Ranges of about `each` bytes that together are a file of `size` bytes, and what is appended to it meanwhile.

    >>> ranges(25, 10)
    [ByteRange(start=0, end=12), ByteRange(start=12, end=None)]
    """
    count = max(1, size // max(1, each))
    starts = [size * number // count for number in range(count)]
    return [ByteRange(*each) for each in zip(starts, [*starts[1:], None], strict=True)]


def chunks_in(file: IO[bytes], of: ByteRange) -> Iterator[tuple[int, bytes]]:
    """The bytes of all lines that begin within a range, with their line ends; each chunk with its offset.

    No more than the range is read to find its first line, so that a line that is longer than many ranges is not read
    by each of them. The last line is read to its end, wherever that is.
    """
    position = of.start
    if position:
        position -= 1  # a line that begins with the range has its predecessor's end there
        file.seek(position)
    is_inside = of.start == 0
    for chunk in read_chunks(file):
        start, position = position, position + len(chunk)
        if not is_inside:
            found = chunk.find(b"\n")
            if found < 0 or (of.end is not None and start + found + 1 >= of.end):
                if of.end is not None and position >= of.end:
                    return
                continue
            start, chunk, is_inside = start + found + 1, chunk[found + 1 :], True
        if of.end is not None and position >= of.end:
            end = chunk.find(b"\n", max(0, of.end - 1 - start))
            if end >= 0:
                yield start, chunk[: end + 1]
                return
        if chunk:
            yield start, chunk


Identity = tuple[int, int]
"""Of a file on this machine, whatever its name: its device and its number there."""


def identity_of(path: str) -> Identity | None:
    """None for a URL, and for what is not there."""
    path = strip_file_scheme(path)
    try:
        return None if "://" in path else _identity(os.stat(path))
    except OSError:
        return None


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _opened(path: str, identity: Identity | None) -> IO[bytes]:
    """A file that others read parts of, too. Raises OSError, and UnreadableFile where it is not the one it was: the
    lines of one file in the ranges of another would pass for its own.
    """
    file = open_file(path)
    if identity is not None and _identity(os.fstat(file.fileno())) != identity:
        file.close()
        raise UnreadableFile(
            f"{display_name(path)} was replaced by another file while it was read; what was left of it is not sent"
        )
    return file


def chunks_of_range(path: str, of: ByteRange, identity: Identity | None = None) -> Iterator[tuple[int, bytes]]:
    """As `chunks_in`, of a file that is not packed. Raises UnreadableFile, also where it is not the one it was."""
    try:
        with _opened(path, identity) as file:
            yield from chunks_in(file, of)
    except OSError as error:
        raise unreadable(path, error) from None


class LineCount:
    """How many lines a file has before an offset. Counted when it is asked for, from where it was last."""

    def __init__(self, path: str, identity: Identity | None = None) -> None:
        self._path, self._identity = path, identity
        self._lock = threading.Lock()
        self._offset = self._lines = 0

    def before(self, offset: int) -> int:
        """Line ends in front of an offset. Raises UnreadableFile."""
        with self._lock:
            if offset < self._offset:
                self._offset = self._lines = 0
            try:
                with _opened(self._path, self._identity) as file:
                    if self._offset:
                        file.seek(self._offset)
                    while self._offset < offset:
                        chunk = file.read(min(CHUNK, offset - self._offset))
                        if not chunk:
                            break
                        self._lines += chunk.count(b"\n")
                        self._offset += len(chunk)
            except OSError as error:
                raise unreadable(self._path, error) from None
            return self._lines
