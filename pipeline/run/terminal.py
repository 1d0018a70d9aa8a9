"""What people are shown. A terminal that has been closed, or a reader that has left, never fails a run."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO, cast

from rich.console import Console


def console(stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=cast(TextIO, _Lasting(stream)), soft_wrap=True, emoji=False)


def lost(console: Console) -> str | None:
    """Why a console cannot be written to any more; None where it can."""
    file: Any = console.file
    return file.lost if isinstance(file, _Lasting) else None


class _Lasting:
    """A stream that may be lost: what is written from then on goes nowhere.

    A terminal that has been closed answers EIO, a pipe whose reader has left EPIPE.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: str | None = None

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError as error:
            return self._stream.write(text.encode(error.encoding, "replace").decode(error.encoding))
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Leads the descriptor elsewhere, so that what Python still holds for it fails nothing when it exits."""
        self.lost = self.lost or error.strerror or type(error).__name__
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
