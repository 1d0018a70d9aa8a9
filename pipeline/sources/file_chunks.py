"""A file's bytes in chunks, unpacked, from this machine or a URL. Beam is imported for URLs only."""

from __future__ import annotations

import bz2
import functools
import gzip
import itertools
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Final

from capybeam.pipeline.schemes import strip_file_scheme
from capybeam.pipeline.sources import BrokenFile, NoInput, UnreadableFile

# Bytes read at once. Every read lets go of Python's lock, for which the threads that send are waiting; reading line by
# line, by the usual 8 kB, they would take turns with the rest of the job fifty times as often.
CHUNK: Final = 1 << 18

# Python's own readers: Beam's takes a file that was cut off for a whole one.
_UNPACK: Final[dict[str, Callable[[Any], Any]]] = {".gz": gzip.open, ".bz2": bz2.open}
_NOT_UNPACKED: Final = (".deflate", ".lzma", ".xz", ".zst", ".zstd")
_DAMAGE: Final = (zlib.error, gzip.BadGzipFile, OSError)  # bz2's own is an OSError without a number


def split_packing(path: str) -> tuple[str, str]:
    """The path without the ending that says how the file is packed, and that ending; "" for a file that is not.

    >>> split_packing("orders.csv.GZ")
    ('orders.csv', '.gz')
    """
    ending = next((ending for ending in _UNPACK if path.lower().endswith(ending)), "")
    return path[: len(path) - len(ending)], ending


def check_packing(path: str) -> None:
    """Raises NoInput for a packing whose readers do not notice a file that was cut off."""
    if path.lower().endswith(_NOT_UNPACKED):
        raise NoInput(f"{path}: this compression cannot show whether a file is complete; use .gz or .bz2")


def display_name(path: str) -> str:
    """A path as messages name it."""
    return path.removeprefix("./")


def is_read_once(path: str) -> bool:
    """Whether what has been read of a path is gone, as of a pipe: it is opened once, by what reads all of it."""
    path = strip_file_scheme(path)
    try:
        mode = os.stat(path).st_mode if "://" not in path else 0
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def open_file(path: str) -> IO[bytes]:
    """A file as it is, packed or not. Raises OSError, and for URLs what the clients of their file systems raise."""
    path = strip_file_scheme(path)
    if "://" not in path:
        return open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    file: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


def chunks_of(path: str, advance: Callable[[int], object] | None = None) -> Iterator[bytes]:
    """A file's bytes, unpacked by its name's ending, down to the last that can be had.

    Args:
        advance: is called with how many more bytes of the file, as it is stored, have been read.

    Raises:
        BrokenFile: where a packed file breaks off.
        UnreadableFile: for what the file system says, which may pass.
    """
    try:
        file = open_file(path)
    except OSError as error:
        raise unreadable(path, error) from None
    with file:
        chunks = unpacked_chunks(file, path)
        yield from chunks if advance is None or not file.seekable() else _advancing(chunks, file, path, advance)


def _advancing(
    chunks: Iterator[bytes], file: IO[bytes], path: str, advance: Callable[[int], object]
) -> Iterator[bytes]:
    before, is_packed = 0, split_packing(path)[1] != ""
    for chunk in chunks:
        position = file.tell() if is_packed else before + len(chunk)  # asking takes a system call
        advance(position - before)
        before = position
        yield chunk


def unpacked_chunks(file: IO[bytes], path: str) -> Iterator[bytes]:
    """As `chunks_of`, of a file that is open.

    Args:
        path: for its ending, and for messages.
    """
    name, unpack = display_name(path), _UNPACK.get(split_packing(path)[1])
    try:
        if unpack is None:
            yield from read_chunks(file)
        else:
            with unpack(file) as unpacked:
                yield from read_chunks(unpacked)
    except EOFError:
        raise BrokenFile(f"{name} is incomplete: it was cut off. What came before is read.") from None
    except (OSError, zlib.error) as error:
        if unpack is not None and type(error) in _DAMAGE and not getattr(error, "errno", None):
            raise BrokenFile(
                f"{name} cannot be read to its end: it is damaged, or not compressed as its name says."
                " What came before is read."
            ) from None
        raise unreadable(path, error) from None


def read_chunks(file: Any) -> Iterator[bytes]:
    """A file's bytes, as they come. `read` of a packed file would forget what it has when an error comes."""
    return iter(functools.partial(getattr(file, "read1", file.read), CHUNK), b"")


def unreadable(path: str, error: BaseException) -> UnreadableFile:
    """What a file system says of a file that is being read."""
    from capybeam.pipeline.file_systems import reason_of

    return UnreadableFile(f"{display_name(path)} cannot be read to its end ({reason_of(error)})")


class LookAhead:
    """Chunks whose beginning is looked at before they are read.

    What reading them raises is raised again, after the chunks that were read before it.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._rest = iter(chunks)
        self._taken: list[bytes] = []

    def look(self) -> Iterator[bytes]:
        """The chunks from the first on, as far as they are asked for."""
        try:
            for chunk in self._rest:
                self._taken.append(chunk)
                yield chunk
        except Exception as error:
            self._rest = _raising(error)
            raise

    def all(self) -> Iterator[bytes]:
        """All chunks, those that have been looked at first."""
        return itertools.chain(self._taken, self._rest)


def _raising(error: Exception) -> Iterator[bytes]:
    raise error
    yield b""
