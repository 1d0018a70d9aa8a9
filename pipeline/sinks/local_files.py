"""Local files that only their owner may read, written line by line: dead letters hold personal data."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from capybeam.pipeline.schemes import is_local, strip_file_scheme
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sources.file_chunks import split_packing

MODE: Final = 0o600


def open_for_append(path: str, what: str) -> int:
    """A descriptor that appends whole lines, also while other workers do. Raises SinkError.

    The file gets mode 0600 if it has another. A symbolic link is not followed: its creator would choose where
    personal data goes.
    """
    try:
        return _open_for_append(path)
    except OSError as error:
        raise SinkError(f"{what} cannot be written to {path}: {error.strerror}") from None


def _open_for_append(path: str) -> int:
    own = own_descriptor(path)
    if own is not None:
        return os.dup(own)
    refuse_link(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, MODE)
    try:
        _make_private(file)
    except OSError:
        os.close(file)
        raise
    return file


def own_descriptor(path: str) -> int | None:
    """The descriptor that a path names: ``/dev/stdout``, ``/dev/stderr`` and ``/dev/fd/N`` are links to what this
    process has been given."""
    if found := _DESCRIPTOR.fullmatch(path):
        return int(found[1])
    return {"/dev/stdout": 1, "/dev/stderr": 2}.get(path)


_DESCRIPTOR: Final = re.compile(r"/dev/fd/(\d{1,9})")


def refuse_link(path: str) -> None:
    """Raises OSError where a path is a symbolic link. Links among the folders above it are fine."""
    if os.path.islink(path):
        raise OSError(errno.ELOOP, "it is a symbolic link, which is not followed; give the path of the file itself")


def _make_private(file: int) -> None:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) == MODE:
        return
    try:
        os.fchmod(file, MODE)
    except PermissionError:
        if found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "the file belongs to another user, who could read it") from None
        # else a file system without modes, such as FAT


def fsync_file(path: str, what: str) -> None:
    """Returns when what has been written to a local file would survive a power failure. Raises SinkError."""
    path = strip_file_scheme(path)
    if not is_local(path):
        return
    file = open_for_append(path, what)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a device that is not a disk
            raise SinkError(f"{what} cannot be written to {path}: {error.strerror}") from None
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    """Makes a new name in a folder survive a power failure, where the file system can."""
    folder = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(folder)
    finally:
        os.close(folder)


def rotate_previous(path: str, what: str) -> str | None:
    """Makes an empty file for a new run. The file of an earlier run is renamed, and its new name is returned.

    Raises:
        SinkError
    """
    path = strip_file_scheme(path)
    if not is_local(path):
        return None
    try:
        return _rotate_previous(Path(path))
    except OSError as error:
        raise SinkError(f"{what} cannot be written to {path}: {error.strerror}") from None


def _rotate_previous(target: Path) -> str | None:
    if target.parent != Path():
        target.parent.mkdir(parents=True, exist_ok=True)
    os.close(_open_for_append(str(target)))
    if own_descriptor(str(target)) is not None or not target.is_file():
        return None
    kept = None
    if target.stat().st_size:
        earlier = _kept_name(target)
        target.rename(earlier)
        os.close(_open_for_append(str(target)))
        kept = str(earlier)
    sync_folder(target.parent)
    return kept


def _kept_name(target: Path) -> Path:
    """The name that a file of an earlier run gets."""
    written = time.strftime("%Y%m%dT%H%M%S", time.gmtime(target.stat().st_mtime))
    stem, ending = stem_and_ending(target.name)
    earlier = target.with_name(f"{stem}.{written}{ending}")
    number = 1
    while os.path.lexists(earlier):
        number += 1
        earlier = target.with_name(f"{stem}.{written}-{number}{ending}")
    return earlier


def plan_of_file(path: str, what: str) -> str:
    """What `rotate_previous` would do, in a phrase for people; nothing is touched. Raises SinkError."""
    target = Path(path)
    if own_descriptor(path) is not None:
        return "written as it comes"
    try:
        refuse_link(path)
        if target.exists() and not target.is_file():
            return "written as it comes"
        folder = next(each for each in (target, *target.absolute().parents) if each.exists())
        if not os.access(folder, os.W_OK) or (folder != target and not folder.is_dir()):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        size = target.stat().st_size if target.exists() else 0
        if size:
            return f"a new file; that of an earlier run ({size:,} bytes) is kept in {_kept_name(target)}"
    except OSError as error:
        raise SinkError(f"{what} cannot be written to {path}: {error.strerror}") from None
    return "a new file" if folder in (target, target.absolute().parent) else f"a new file, in a new folder of {folder}"


def stem_and_ending(name: str) -> tuple[str, str]:
    """Of the name of a file.

    >>> stem_and_ending("receipts.jsonl.gz")
    ('receipts', '.jsonl.gz')
    """
    name, packing = split_packing(name)
    plain = Path(name)
    return plain.stem, plain.suffix + packing


def sibling(path: str, what: str) -> str:
    """A name in the same folder.

    >>> sibling("out/receipts.jsonl.gz", "2")
    'out/receipts-2.jsonl.gz'
    """
    folder, slash, name = path.rpartition("/")
    stem, ending = stem_and_ending(name)
    return f"{folder}{slash}{stem}-{what}{ending}"


def delete_earlier(path: str, keep: int, read: Collection[str]) -> None:
    """Deletes what `rotate_previous` has kept of earlier runs, beyond the latest `keep` of them.

    Nothing else: only regular files in the same folder whose names are those that it gives, to the letter.

    Args:
        read: paths that the run still reads, which stay.

    Raises:
        SinkError
    """
    for old in beyond(path, keep, read):
        try:
            os.unlink(old)
        except OSError as error:
            raise SinkError(f"{old} cannot be deleted, as --keep {keep} wants: {error.strerror}") from None


def beyond(path: str, keep: int, read: Collection[str]) -> list[str]:
    """The files that `delete_earlier` deletes. Raises SinkError."""
    path = strip_file_scheme(path)
    if not is_local(path) or own_descriptor(path) is not None:
        return []
    target, still_read = Path(path), {os.path.realpath(each) for each in read}
    stem, ending = stem_and_ending(target.name)
    named = re.compile(rf"{re.escape(stem)}\.(\d{{8}}T\d{{6}})(?:-(\d+))?{re.escape(ending)}", re.ASCII)
    earlier: list[tuple[str, int, str]] = []
    try:
        with os.scandir(target.parent) as entries:
            for entry in entries:
                found = named.fullmatch(entry.name)
                if found and entry.is_file(follow_symlinks=False):
                    earlier.append((found[1], int(found[2] or 1), entry.path))
    except FileNotFoundError:  # no folder yet
        return []
    except OSError as error:
        raise SinkError(
            f"earlier files beside {path} cannot be found, as --keep {keep} wants: {error.strerror}"
        ) from None
    return [old for *_, old in sorted(earlier, reverse=True)[keep:] if os.path.realpath(old) not in still_read]
