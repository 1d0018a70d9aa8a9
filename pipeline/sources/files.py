"""Events from files: JSON lines, gzipped ones too, by path, glob or any URL that Beam's file systems know."""

from __future__ import annotations

import bz2
import dataclasses
import functools
import gzip
import math
import zlib
from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.fileio import EmptyMatchTreatment, MatchFiles
from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from capybeam.pipeline.file_systems import hindrance, reason_of
from capybeam.pipeline.sinks.lines import is_local, plain
from capybeam.pipeline.sources import BrokenFile, NoInput, Source, UnreadableFile
from capybeam.pipeline.sources.file_lines import CHUNK, lines_of
from capybeam.pipeline.sources.json_documents import NoLines, checked
from capybeam.pipeline.sources.table_files import rows_of_table
from capybeam.transforms.base import run_of
from capybeam.transforms.core.events import UnreadableRow
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.run_context import RunHandle


@dataclasses.dataclass
class ReadLines(beam.PTransform):
    """The lines of all files that `pattern` matches, as bytes without their line ends, or as `rows_of_table` has them.

    A line that is too long is a `LongLine`, which says so. A file that breaks off ends with an `UnreadableRest`: an
    exception would take what came before down with its bundle.
    A file is read by one worker, in a row: by Beam's splittable ReadFromText a line costs several times as much, more
    than parsing it. On the run's shutdown, the lines that are left are passed over.
    """

    pattern: str

    def expand(self, root: Any) -> beam.PCollection:
        return spread_files(root, self.pattern) | "Read" >> beam.ParDo(_ReadLines(run_of(root))).with_output_types(Any)


@dataclasses.dataclass
class ReadNumberedLines(beam.PTransform):
    """As `ReadLines`, each line with its place, for messages: ("Line 7 of dead-letters.jsonl", line)."""

    pattern: str

    def expand(self, root: Any) -> beam.PCollection:
        return spread_files(root, self.pattern) | "Read" >> beam.ParDo(
            _ReadNumberedLines(run_of(root))
        ).with_output_types(tuple[str, Any])


def spread_files(root: Any, pattern: str) -> beam.PCollection:
    """What `pattern` matches when the job runs, file by file, over the workers. Nothing at all is an error."""
    found = _called(pattern)
    match = beam.Create([found]) if found else MatchFiles(anchored(pattern), EmptyMatchTreatment.DISALLOW)
    return root | "Match" >> match | "SpreadFiles" >> beam.Reshuffle()


class _Read(beam.DoFn):
    def __init__(self, run: RunHandle) -> None:
        self._run = run

    def setup(self) -> None:
        self._shutdown = self._run.context().shutdown

    def lines(self, file: FileMetadata) -> Iterator[bytes | UnreadableRow]:
        return lines_of(chunks_of(file.path), _name(file.path), self._shutdown)


class _ReadLines(_Read):
    def process(self, element: FileMetadata) -> Iterator[Row]:
        return rows_of_table(self.lines(element), element.path)


class _ReadNumberedLines(_Read):
    def process(self, element: FileMetadata) -> Iterator[tuple[str, bytes | UnreadableRow]]:
        for number, line in enumerate(self.lines(element), 1):
            yield f"Line {number} of {_name(element.path)}", line


def _name(path: str) -> str:
    return path.removeprefix("./")


def chunks_of(path: str) -> Iterator[bytes]:
    """A file's bytes, unpacked by its name's ending, down to the last that can be had.

    gzip and bz2 by Python's own readers: Beam's takes a file that was cut off for a whole one.

    Raises:
        BrokenFile: where a packed file breaks off.
        UnreadableFile: for what the file system says, which may pass.
    """
    name = _name(path)
    compression = CompressionTypes.detect_compression_type(path)
    unpack: Any = {CompressionTypes.GZIP: gzip.open, CompressionTypes.BZIP2: bz2.open}.get(compression)
    try:
        if unpack is None:
            with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                yield from iter(functools.partial(file.read, CHUNK), b"")
        else:
            with (
                FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as packed,
                unpack(packed) as file,
            ):  # read1, as read forgets what it has when an error comes
                yield from iter(functools.partial(file.read1, CHUNK), b"")
    except EOFError:
        raise BrokenFile(f"{name} is incomplete: it was cut off. What came before is read.") from None
    except (OSError, zlib.error) as error:
        if unpack is not None and type(error) in _DAMAGE and not getattr(error, "errno", None):
            raise BrokenFile(
                f"{name} cannot be read to its end: it is damaged, or not packed as its name says."
                " What came before is read."
            ) from None
        raise UnreadableFile(f"{name} cannot be read to its end ({reason_of(error)})") from None


_DAMAGE: Final = (zlib.error, gzip.BadGzipFile, OSError)  # bz2's own is an OSError without a number


def check_input(pattern: str) -> int:
    """The size in bytes of all that `pattern` matches. Raises NoInput where that is nothing that can be read."""
    matches = _matches(pattern)
    for found in matches:
        try:
            FileSystems.open(found.path).close()
        except Exception as error:
            raise NoInput(f"{found.path}: cannot be read ({reason_of(error)})") from None
    return sum(found.size_in_bytes for found in matches)


def matching(pattern: str) -> list[str]:
    """The paths of all that `pattern` matches. Raises NoInput."""
    return [found.path for found in _matches(pattern)]


def check_lines(pattern: str) -> None:
    """Looks at how files begin. Raises NoInput where one is a JSON document in the place of JSON lines.

    Elsewhere a look may cost as much as reading many megabytes, and files of one pattern are alike: there it is the
    first file alone.
    """
    paths = sorted(matching(pattern))
    for path in paths if is_local(plain(pattern)) else paths[:1]:
        name = path.removeprefix("./")
        try:
            checked(chunks_of(path), name)
        except NoLines as error:
            raise NoInput(f"{name}: {error}") from None


def as_source(pattern: str, read: Any) -> Source:
    """The files that `pattern` matches, to be read by `read`. Raises NoInput."""
    size = check_input(pattern)
    extent = f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{math.ceil(size / 1e3)} kB"
    return Source(pattern, extent, read, tuple(matching(pattern)))


def _matches(pattern: str) -> list[FileMetadata]:
    hindered = hindrance(plain(pattern))
    if hindered:
        raise NoInput(f"{pattern}: cannot be read: {hindered}")
    try:
        called = _called(pattern)
        matches = [called] if called else list(FileSystems.match([anchored(pattern)])[0].metadata_list)
    except Exception as error:  # file systems raise what their clients raise
        raise NoInput(f"{pattern}: cannot be read ({reason_of(error)})") from None
    if not matches:
        raise NoInput(f"{pattern}: no such file")
    for found in matches:
        if CompressionTypes.detect_compression_type(found.path) not in _READ:
            raise NoInput(
                f"{found.path}: is packed in a way that does not show a file that was cut off; use .gz or .bz2"
            )
    return matches


def _called(pattern: str) -> FileMetadata | None:
    """The file that has a pattern for its name, such as ``export [1].jsonl``. Raises what the file system raises."""
    path = anchored(pattern)
    if _MAGIC.isdisjoint(path):
        return None
    files = FileSystems.get_filesystem(path)
    return files.metadata(path) if files.exists(path) else None


_MAGIC: Final = frozenset("*?[")
_READ: Final = (CompressionTypes.UNCOMPRESSED, CompressionTypes.GZIP, CompressionTypes.BZIP2)


def anchored(pattern: str) -> str:
    """The pattern with a folder in front: Beam looks for a bare glob nowhere, and knows no ``file://``."""
    pattern = plain(pattern)
    return pattern if "/" in pattern or "\\" in pattern else f"./{pattern}"
