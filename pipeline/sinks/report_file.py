"""The report of a run as JSON, in a file of this machine: written whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from capybeam.pipeline.schemes import is_local, strip_file_scheme
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.local_files import own_descriptor, refuse_link, sync_folder

WHAT: Final = "The report"
_ROOM: Final = 64 * 1024  # bytes that must fit on the disk; a report is rarely longer


def check_place(path: str) -> None:
    """Makes sure that a report can be written to `path`, without changing it. Raises SinkError.

    A full disk or a folder without write permission is found here, before anything is sent.
    """
    if not is_local(strip_file_scheme(path)):
        raise SinkError(f"{WHAT} cannot be written to {path}: they must go to a file on this machine")
    try:
        target = _target(path)
        if target is None:
            os.close(_open_device(strip_file_scheme(path)))
            return
        if target.is_dir():
            raise IsADirectoryError(0, "Is a directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.unlink(_written_beside(target, b" " * _ROOM))
    except OSError as error:
        raise _failure(path, error) from None


def write_report(path: str, report: bytes) -> None:
    """Writes a report to a file, or replaces it. Raises SinkError, and leaves the old file as it was."""
    try:
        target = _target(path)
        if target is None:
            file = _open_device(strip_file_scheme(path))
            try:
                _write(file, report)
            finally:
                os.close(file)
            return
        temporary = _written_beside(target, report)
        try:
            os.replace(temporary, target)
        except OSError:
            os.unlink(temporary)
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise _failure(path, error) from None


def _failure(path: str, error: OSError) -> SinkError:
    return SinkError(f"{WHAT} cannot be written to {path}: {error.strerror}")


def _target(path: str) -> Path | None:
    """The file that a place names; None for a device, a pipe or a descriptor. Raises OSError for a symbolic link."""
    path = strip_file_scheme(path)
    if own_descriptor(path) is not None:
        return None
    refuse_link(path)
    target = Path(path)
    return None if target.exists() and not target.is_file() and not target.is_dir() else target


def _open_device(path: str) -> int:
    own = own_descriptor(path)
    return os.open(path, os.O_WRONLY | os.O_NOFOLLOW) if own is None else os.dup(own)


def _written_beside(target: Path, data: bytes) -> Path:
    """A temporary file in the target's folder, with the target's mode, that holds `data` safely. Raises OSError."""
    temporary = target.with_name(f".capybeam-{secrets.token_hex(8)}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            with contextlib.suppress(FileNotFoundError, PermissionError):  # no such file, or no modes here
                os.fchmod(file, stat.S_IMODE(target.stat().st_mode))
            _write(file, data)
            os.fsync(file)
        finally:
            os.close(file)
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
