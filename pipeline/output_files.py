"""Files that a command writes for people to go on with: never over one that is there, unless that is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

STDOUT: Final = "-"


class CommandError(Exception):
    """A mistake of the user's, or of their machine, in a sentence for them."""


def check_output(output: str, force: bool) -> None:
    """Raises CommandError where a file is there already, or where it has no folder: before any work is done."""
    if output == STDOUT:
        return
    path = Path(output)
    if path.is_dir():
        raise CommandError(f"{output}: is a folder; give the name of a file")
    if path.exists() and not force:
        raise CommandError(f"{output}: is there already; choose another --output, or overwrite it with --force")
    if not path.parent.is_dir():
        raise CommandError(f"{output}: there is no folder {path.parent}")


def write_output(output: str, text: str, force: bool) -> None:
    """Writes a file in UTF-8, or to standard output. Raises CommandError."""
    if output == STDOUT:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    try:
        with open(output, "w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror}") from None
