"""Appends lines to a local file, packed where its name ends in .gz; several threads and processes may do so at once.

Each line is written by one call, and in a packed file it is a gzip member of its own: a process that is killed leaves
whole lines behind, and at most one torn one, which spoils none that others write after it
(`pipeline.sources.gzip_members`).
"""

from __future__ import annotations

import os
import threading
import zlib
from typing import Final

from capybeam.pipeline.schemes import strip_file_scheme
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.local_files import open_for_append
from capybeam.pipeline.sources.file_chunks import split_packing

_GZIP: Final = 31  # zlib's name for a gzip header and trailer around 32 kB of history


class LineWriter:
    """Appends lines to a file. Safe to use from many threads.

    Args:
        path: may begin with ``file://``.
        what: the name of what is written, for errors.
    """

    def __init__(self, path: str, what: str) -> None:
        self._path, self._what = strip_file_scheme(path), what
        self._is_packed = split_packing(self._path)[1] == ".gz"
        self._lock = threading.Lock()
        self._file: int | None = None

    def open(self) -> None:
        """Raises SinkError. `write` does it where it has not been done."""
        with self._lock:
            self._opened()

    def write(self, line: bytes) -> None:
        """Appends a line that has no line end. Raises SinkError."""
        data = pack(line + b"\n") if self._is_packed else line + b"\n"
        with self._lock:
            file = self._opened()
            try:
                while data:  # one call writes a whole line, but for a disk that is filling up
                    data = data[os.write(file, data) :]
            except OSError as error:
                raise SinkError(f"{self._what} cannot be written to {self._path}: {error.strerror}") from None

    def close(self) -> None:
        """Closes the file; the next line opens it again."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _opened(self) -> int:
        if self._file is None:
            self._file = open_for_append(self._path, self._what)
        return self._file


def pack(data: bytes) -> bytes:
    """A gzip member.

    Huffman codes only: random IDs, of which receipts consist, have no repetitions to look for. That takes a third of
    the time, and no more space.
    """
    packing = zlib.compressobj(1, zlib.DEFLATED, _GZIP, strategy=zlib.Z_HUFFMAN_ONLY)
    return packing.compress(data) + packing.flush()
