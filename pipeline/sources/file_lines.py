"""Chunks of a file's bytes → its lines. Of a line that is too long only the start is kept."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, ParamSpec, TypeVar, cast

from capybeam.pipeline.sources import BrokenFile
from capybeam.transforms.core import events
from capybeam.transforms.core.events import UnreadableRest, UnreadableRow

P = ParamSpec("P")
T = TypeVar("T")


def _none() -> int:
    return 0


def lists_of_lines(
    chunks: Iterable[bytes],
    name: str,
    shutdown: threading.Event | None = None,
    *,
    with_cr: bool = False,
    before: Callable[[], int] = _none,
) -> Iterator[list[bytes | UnreadableRow]]:
    """The lines of a file, without their line ends, each chunk's in a list; ends early when `shutdown` is set.

    A line of more than `events.MAX_LINE` bytes is a `LongLine`. Where reading raises BrokenFile, an `UnreadableRest`
    with the line that breaks off comes last.

    Args:
        name: the file's, for messages.
        with_cr: whether a carriage return in front of a line feed is kept.
        before: how many lines of the file come before these; asked only where a message names a line.
    """
    number, begun = 1, _BegunLine()

    def place() -> str:
        return f"Line {before() + number:,} of {name}"

    try:
        for chunk in chunks:
            if shutdown is not None and shutdown.is_set():
                return
            if begun.size:
                rest, end, chunk = chunk.partition(b"\n")
                begun.add(rest)
                if not end:
                    continue
                yield [begun.ended(place, b"" if with_cr else b"\r")]
                number, begun = number + 1, _BegunLine()
            if not with_cr and b"\r" in chunk:  # looking for one byte is ten times as fast as looking for two
                chunk = chunk.replace(b"\r\n", b"\n")
            *lines, rest = chunk.split(b"\n")
            del chunk
            number += len(lines)
            if lines:
                yield cast("list[bytes | UnreadableRow]", lines)
            begun.add(rest)
    except BrokenFile as error:
        yield [UnreadableRest(begun.text(), str(error))]
        return
    if begun.size and not (shutdown is not None and shutdown.is_set()):
        last = begun.ended(place)
        yield [last if with_cr or not isinstance(last, bytes) else last.rstrip(b"\r")]


def _one_by_one(lists: Callable[P, Iterator[list[T]]]) -> Callable[P, Iterator[T]]:
    return lambda *args, **kwargs: chain.from_iterable(lists(*args, **kwargs))


lines_of: Final = _one_by_one(lists_of_lines)
"""The same lines, one by one."""


class _BegunLine:
    """A line of which more is to come.

    Attributes:
        size: its bytes so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._text = io.BytesIO()  # which hands over what it holds without a copy

    def add(self, part: bytes) -> None:
        kept = self.size <= events.MAX_LINE
        self.size += len(part)
        if self.size <= events.MAX_LINE:
            self._text.write(part)
        elif kept:
            self._text.write(part[: events.SHOWN])
            self._text = io.BytesIO(self.text()[: events.SHOWN])

    def text(self) -> bytes:
        return self._text.getvalue()

    def ended(self, place: Callable[[], str], end: bytes = b"") -> bytes | UnreadableRow:
        """The line without its `end`, if it has it; `place` is asked where a line is too long only."""
        if self.size > events.MAX_LINE:
            return events.long_line(self.text(), self.size, place())
        return self.text().removesuffix(end)
