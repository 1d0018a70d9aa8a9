"""Lines of bytes to where a user keeps them: what the dead letters and the receipts have in common."""

from __future__ import annotations

import dataclasses
import errno
import os
import time
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.coders import BytesCoder

MODE: Final = 0o600  # dead letters hold personal data


class SinkError(Exception):
    """Something cannot be written: says what, where and why."""


@dataclasses.dataclass
class WriteLines(beam.PTransform):
    """Bytes → lines of a file.

    A local path is one file, appended to line by line as it happens, so that it can be followed, and a run that is
    killed leaves what it had; so is ``file:///…``, which says that workers elsewhere have the folder as well.
    Elsewhere (``gs://…``) Beam writes shards named after the path.

    Args:
        path: where to.
        what: the name of what is written, for errors.
    """

    path: str
    what: str

    def expand(self, lines: beam.PCollection) -> Any:
        path = plain(self.path)
        if is_local(path):
            return lines | "Append" >> beam.ParDo(_Append(path, self.what))
        return lines | beam.io.WriteToText(self.path, coder=BytesCoder())


class _Append(beam.DoFn):
    def __init__(self, path: str, what: str) -> None:
        self._path, self._what = path, what
        self._file: int | None = None

    def setup(self) -> None:
        self._file = open_for_append(self._path, self._what)

    def process(self, element: bytes) -> None:
        assert self._file is not None
        line = element + b"\n"
        try:
            while line:  # one call writes a whole line, but for a disk that is filling up
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise SinkError(f"{self._what} cannot be written to {self._path}: {error.strerror}") from None

    def teardown(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def is_local(path: str) -> bool:
    """Whether only this machine is known to have the path."""
    return "://" not in path and not path.startswith(_ELSEWHERE)


_ELSEWHERE: Final = ("pubsub:", "bigquery:")  # places that are no files, with modules of their own


def plain(path: str) -> str:
    """The path of a ``file://`` URL; any other place as it is."""
    return path.removeprefix("file://localhost").removeprefix("file://")


def open_for_append(path: str, what: str) -> int:
    """A descriptor that appends whole lines, whatever other workers do. Raises SinkError."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, MODE)
    except OSError as error:
        raise SinkError(f"{what} cannot be written to {path}: {error.strerror}") from None


def keep_safe(path: str, what: str) -> None:
    """Returns when what has been written to a local file would outlive the machine's power. Raises SinkError."""
    path = plain(path)
    if not is_local(path):
        return
    file = open_for_append(path, what)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a device that is no disk
            raise SinkError(f"{what} cannot be written to {path}: {error.strerror}") from None
    finally:
        os.close(file)


def start_afresh(path: str, what: str) -> str | None:
    """Makes an empty file for a new run. What an earlier run left is kept under another name, which is returned."""
    path = plain(path)
    if not is_local(path):
        return None
    target, kept = Path(path), None
    try:
        if target.parent != Path():
            target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and target.stat().st_size:
            written = time.strftime("%Y%m%dT%H%M%S", time.gmtime(target.stat().st_mtime))
            earlier = target.with_name(f"{target.stem}.{written}{target.suffix}")
            number = 1
            while earlier.exists():
                number += 1
                earlier = target.with_name(f"{target.stem}.{written}-{number}{target.suffix}")
            target.rename(earlier)
            kept = str(earlier)
    except OSError as error:
        raise SinkError(f"{what} cannot be written to {path}: {error.strerror}") from None
    os.close(open_for_append(path, what))
    return kept
