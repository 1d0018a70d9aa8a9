"""Lines on standard error: text for people, or one JSON object each for programs (``--log-format json``).

The form is the process's, as its standard error is. With JSON, everything else that reaches standard error becomes
lines of that form, too: what Python's logging and warnings say, what libraries in C and other processes print.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, Final, Literal

import click

LogFormat = Literal["text", "json"]
Level = Literal["info", "warning", "error"]
OPTION: Final = "--log-format"
HELP: Final = "json: each line on standard error is an object, for programs."

_JOINED_FOR: Final = 1.0  # seconds that what other processes print last has for arriving


def timestamp(seconds: float) -> str:
    """ISO 8601, UTC.

    >>> timestamp(1795367810.25)
    '2026-11-22T17:16:50.250Z'
    """
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines:
    """Writes JSON objects with `time`, `level`, `message` and the fields given, one a line. Safe to use from many
    threads, and from signal handlers. A reader that has left fails nothing.

    Attributes:
        ended: whether a line of the `kind` end has been written.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self.ended = write, False
        self._lock = threading.RLock()

    def emit(self, level: str, message: str, **fields: Any) -> None:
        row = {"time": timestamp(time.time()), "level": level, "message": message, **fields}
        self.ended = self.ended or fields.get("kind") == "end"
        line = json.dumps(row, ensure_ascii=False, default=str)
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._write(f"{line}\n")


class JsonHandler(logging.Handler):
    """What Python's logging says, as JSON lines, with the `logger` and the `traceback` of an exception."""

    def __init__(self, lines: JsonLines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            self._lines.emit(record.levelname.lower(), record.getMessage(), **fields)
        except Exception:
            self.handleError(record)


_json: JsonLines | None = None


def json_lines() -> JsonLines | None:
    """What writes JSON lines, where standard error has that form."""
    return _json


def forget() -> None:
    """Leaves standard error's form to the process that this one was forked from."""
    global _json
    _json = None


def say(message: str, level: Level = "info", **fields: Any) -> None:
    """Writes a line to standard error; the fields are of JSON alone."""
    if _json is None:
        click.echo(message, err=True)
    else:
        _json.emit(level, message, **fields)


def format_of(arguments: Sequence[str]) -> str:
    """The form that a command line asks for. It is decided before anything else of a command line is read, so that what
    is wrong with the rest is said in that form."""
    found = "text"
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == "--":
            break
        if argument == OPTION:
            found = following
        elif argument.startswith(f"{OPTION}="):
            found = argument.partition("=")[2]
    return found


def option() -> click.Option:
    """The option of every command; `format_of` has read it by then."""
    return click.Option(
        [OPTION],
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        expose_value=False,
        help=HELP,
    )


@contextlib.contextmanager
def as_json() -> Iterator[JsonLines]:
    """Gives standard error the form of JSON lines."""
    global _json
    sys.stderr.flush()
    with _own_stderr() as write:
        lines = JsonLines(write)
        handler = JsonHandler(lines)
        logging.getLogger().addHandler(handler)
        logging.captureWarnings(True)
        _json = lines
        try:
            with _stray_lines(lines):
                yield lines
        finally:
            _json = None
            logging.captureWarnings(False)
            logging.getLogger().removeHandler(handler)


def _is_descriptor_2() -> bool:
    """Whether Python's standard error is the process's, rather than what a test has put in its place."""
    try:
        return sys.stderr.fileno() == 2
    except (OSError, ValueError, io.UnsupportedOperation):
        return False


@contextlib.contextmanager
def _own_stderr() -> Iterator[Callable[[str], object]]:
    """A way to standard error that stays where it is when descriptor 2 is led elsewhere."""
    if not _is_descriptor_2():
        yield sys.stderr.write
        return
    with open(os.dup(2), "wb", buffering=0) as stream:  # closed, it refuses what comes too late

        def write(text: str) -> None:
            data = text.encode("utf-8", "replace")
            while data:
                data = data[stream.write(data) :]

        yield write


@contextlib.contextmanager
def _stray_lines(lines: JsonLines) -> Iterator[None]:
    """Makes JSON lines of all that is written to descriptor 2, by whatever means: Python, libraries in C, children."""
    if not _is_descriptor_2():
        yield
        return
    reading, writing = os.pipe()
    before = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)
    reader = threading.Thread(target=_read_stray_lines, args=(reading, lines), daemon=True)
    reader.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
        reader.join(_JOINED_FOR)


def _read_stray_lines(descriptor: int, lines: JsonLines) -> None:
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.strip():
                lines.emit("warning", line.rstrip())
