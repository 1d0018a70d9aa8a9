"""Events from files: JSON lines or CSV by their names, packed ones too, by path, glob or any URL that Beam knows.

How a file is read is in `file_formats`; `csv_rows` has what a row of CSV is.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from capybeam.pipeline.file_systems import reason_of, unavailable_reason
from capybeam.pipeline.runners.support import is_one_thread
from capybeam.pipeline.schemes import is_glob, is_local, strip_file_scheme
from capybeam.pipeline.sources import NOT_ASKED, NoEvents, NoInput, ReadOptions, Size, Source, UnreadableFile
from capybeam.pipeline.sources.file_chunks import (
    check_packing,
    chunks_of,
    display_name,
    is_read_once,
    open_file,
    split_packing,
)
from capybeam.pipeline.sources.file_formats import JSON_LINES, FileFormat, format_of
from capybeam.pipeline.sources.file_lines import lines_of, lists_of_lines
from capybeam.pipeline.sources.file_ranges import (
    WHOLE,
    ByteRange,
    Identity,
    LineCount,
    chunks_of_range,
    identity_of,
    ranges,
)
from capybeam.pipeline.sources.table_files import rows_of_table
from capybeam.transforms.base import run_of
from capybeam.transforms.core.events import UnreadableRow
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.run_context import RunContext, RunHandle


@dataclasses.dataclass
class ReadRows(beam.PTransform):
    """The rows of all files that `pattern` matches, as `file_formats.FileFormat.lists` has them.

    Each list is one element, as an element costs Beam something in each step: of JSON lines, those of a chunk.

    A file is read by one worker, in a row: by Beam's splittable ReadFromText a line costs several times as much, more
    than parsing it, and where a row of CSV begins cannot be found from the middle, which may be inside quotes.
    """

    pattern: str

    def expand(self, root: Any) -> beam.PCollection:
        files = spread_files(root, self.pattern)
        return files | "Read" >> beam.ParDo(_ReadRows(run_of(root))).with_output_types(list[Any])


@dataclasses.dataclass
class ReadNumberedLines(beam.PTransform):
    """The lines of all files, as bytes, each with its place, for messages: ("Line 7 of dead-letters.jsonl", line)."""

    pattern: str

    def expand(self, root: Any) -> beam.PCollection:
        read = beam.ParDo(_ReadNumberedLines(run_of(root))).with_output_types(tuple[str, Any])
        return spread_files(root, self.pattern) | "Read" >> read


def spread_files(root: Any, pattern: str) -> beam.PCollection:
    """What `pattern` matches when the job runs, file by file, over the workers. Nothing at all is an error.

    For one thread nothing is spread: that takes five steps, each of which costs start-up milliseconds.
    """
    match = beam.ParDo(_Match(pattern)).with_output_types(FileMetadata)
    found = root | "Begin" >> beam.Impulse() | "Match" >> match
    return found if is_one_thread(root.pipeline.options) else found | "SpreadFiles" >> beam.Reshuffle()


class _Match(beam.DoFn):
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def process(self, element: bytes) -> list[FileMetadata]:
        return _matches(self._pattern)


class _Read(beam.DoFn):
    """Reads whole files, and no more lines of them once its run is shut down."""

    def __init__(self, run: RunHandle) -> None:
        self._run = run

    def setup(self) -> None:
        self._context = self._run.context()


def _rows(path: str, run: RunContext) -> Iterator[list[Row]]:
    """The rows of a whole file."""
    return format_of(path).lists(_chunks(path, format_of(path), run), display_name(path), run.shutdown)


def _numbered_lines(path: str, run: RunContext) -> Iterator[tuple[str, bytes | UnreadableRow]]:
    """The lines of a whole file, each with its place."""
    name = display_name(path)
    return _placed(lines_of(_chunks(path, JSON_LINES, run), name, run.shutdown), name)


def _chunks(path: str, file_format: FileFormat, run: RunContext) -> Iterator[bytes]:
    """Of a whole file. One that could not be looked at before is looked at now; raises UnreadableFile."""
    chunks, name = chunks_of(path, run.progress.advance), display_name(path)
    if not is_read_once(path):
        return chunks
    try:
        return file_format.checked(chunks, name)
    except NoEvents as error:
        raise UnreadableFile(f"{name}: {error}") from None


def _placed(
    lines: Iterable[bytes | UnreadableRow], name: str, before: int = 0
) -> Iterator[tuple[str, bytes | UnreadableRow]]:
    return ((f"Line {number} of {name}", line) for number, line in enumerate(lines, before + 1))


class _ReadRows(_Read):
    def process(self, element: FileMetadata) -> Iterator[list[Row]]:
        return _rows(element.path, self._context)


class _ReadNumberedLines(_Read):
    def process(self, element: FileMetadata) -> Iterator[tuple[str, bytes | UnreadableRow]]:
        return _numbered_lines(element.path, self._context)


@dataclasses.dataclass(frozen=True)
class FilePart:
    """A file, or the lines of it that begin in a range of its bytes: a `sources.Part`.

    Attributes:
        identity: of the file that was cut into ranges.
        with_places: whether lines come as `ReadNumberedLines` has them.
    """

    path: str
    size: int
    range: ByteRange = WHOLE
    identity: Identity | None = None
    with_places: bool = False

    def read(self, run: RunContext) -> Iterator[Any]:
        if self.range == WHOLE:
            return _numbered_lines(self.path, run) if self.with_places else _rows(self.path, run)
        return self._lines(run)

    def _lines(self, run: RunContext) -> Iterator[Any]:
        pieces = chunks_of_range(self.path, self.range, self.identity)
        begun = next(pieces, None)
        if begun is None:
            return iter(())
        count: LineCount = run.client(("lines", self.path), lambda: LineCount(self.path, self.identity))
        name = display_name(self.path)

        def chunks() -> Iterator[bytes]:
            for _, chunk in itertools.chain([begun], pieces):
                run.progress.advance(len(chunk))
                yield chunk

        def before() -> int:
            return count.before(begun[0])

        if self.with_places:
            return _placed(lines_of(chunks(), name, run.shutdown, before=before), name, before())
        lists = lists_of_lines(chunks(), name, run.shutdown, before=before)
        return (list(rows_of_table(lines, name)) for lines in lists)


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """Cuts files of JSON lines, unless they are packed, by ranges: a `sources.Split`.

    A row of CSV may begin inside of quotes, which only reading from the start tells; a packed file has no middle that
    could be read alone. Those stay whole, as does what is not a regular file.
    """

    pattern: str
    with_places: bool = False

    def __call__(self, size: int, workers: int) -> list[FilePart]:
        return [
            FilePart(found.path, found.size_in_bytes // len(cut), each, identity, self.with_places)
            for found in _matches(self.pattern)
            for cut in [self._ranges(found, size)]
            for identity in [identity_of(found.path) if len(cut) > 1 else None]
            for each in cut
        ]

    def _ranges(self, found: FileMetadata, size: int) -> Sequence[ByteRange]:
        path = strip_file_scheme(found.path)
        is_cut = (
            (self.with_places or format_of(path) is JSON_LINES)
            and not split_packing(path)[1]
            and (not is_local(path) or os.path.isfile(path))
        )
        return ranges(found.size_in_bytes, size) if is_cut else [WHOLE]


def open_source(text: str, options: ReadOptions) -> Source:
    """Looks at files of events. Raises NoInput."""
    return _source(text, ReadRows, options, None)


def open_dead_letters(text: str, options: ReadOptions) -> Source:
    """Looks at files of dead letters. Raises NoInput."""
    return _source(text, ReadNumberedLines, options, JSON_LINES)


def _source(
    text: str, read: type[ReadRows | ReadNumberedLines], options: ReadOptions, file_format: FileFormat | None
) -> Source:
    if options.is_offline and not is_local(strip_file_scheme(text)):
        return Source(text, NOT_ASKED, read(text), is_unseen=True)
    if options.is_dry:
        matches = _matches(text)
        paths, size = sorted(each.path for each in matches), sum(each.size_in_bytes for each in matches)
        for path in paths:
            if is_local(path) and not os.access(path, os.R_OK):
                raise NoInput(f"{path}: cannot be read (Permission denied)")
    else:
        paths, size = checked_paths(text, file_format), check_input(text)
    split = SplitFiles(text, with_places=read is ReadNumberedLines)
    return Source(text, _extent(size), read(text), tuple(paths), size=Size(len(paths), size), split=split)


def _extent(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{math.ceil(size / 1e3)} kB"


def check_input(pattern: str) -> int:
    """The size in bytes of all that `pattern` matches. Raises NoInput where that is nothing that can be read."""
    matches = _matches(pattern)
    for found in matches:
        try:
            if not is_read_once(found.path):
                open_file(found.path).close()
            elif not os.access(strip_file_scheme(found.path), os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except Exception as error:
            raise NoInput(f"{found.path}: cannot be read ({reason_of(error)})") from None
    return sum(found.size_in_bytes for found in matches)


def matching(pattern: str) -> list[str]:
    """The paths of all that `pattern` matches. Raises NoInput."""
    return [found.path for found in _matches(pattern)]


def checked_paths(pattern: str, file_format: FileFormat | None = None) -> list[str]:
    """The paths of all that `pattern` matches, in order. Raises NoInput where one does not begin as its format does.

    A pipe is not looked at: what was read of it would be missing when it is read. Elsewhere a look may cost as much as
    reading many megabytes, and files of one pattern are alike: there it is the first file alone, and all that have a
    header.

    Args:
        file_format: of all of them; by default it is by their names.
    """
    paths = sorted(matching(pattern))
    local = is_local(strip_file_scheme(pattern))
    for path in paths:
        found = file_format or format_of(path)
        if is_read_once(path) or not (local or found.has_header or path == paths[0]):
            continue
        try:
            found.checked(chunks_of(path), display_name(path))
        except NoEvents as error:
            raise NoInput(f"{display_name(path)}: {error}") from None
        except UnreadableFile as error:
            raise NoInput(str(error)) from None
    return paths


def _matches(pattern: str) -> list[FileMetadata]:
    unavailable = unavailable_reason(strip_file_scheme(pattern))
    if unavailable:
        raise NoInput(f"{pattern}: cannot be read: {unavailable}")
    try:
        named = _named_exactly(pattern)
        matches = [named] if named else list(FileSystems.match([anchored(pattern)])[0].metadata_list)
    except Exception as error:  # file systems raise what their clients raise
        raise NoInput(f"{pattern}: cannot be read ({reason_of(error)})") from None
    if not matches:
        raise NoInput(f"{pattern}: no such file")
    for found in matches:
        check_packing(found.path)
    return matches


def _named_exactly(pattern: str) -> FileMetadata | None:
    """The file that has a pattern for its name, such as ``export [1].jsonl``. Raises what the file system raises."""
    path = anchored(pattern)
    if not is_glob(path):
        return None
    files = FileSystems.get_filesystem(path)
    return files.metadata(path) if files.exists(path) else None


def anchored(pattern: str) -> str:
    """The pattern with a folder in front: Beam finds nothing by a bare glob, and does not know ``file://``."""
    pattern = strip_file_scheme(pattern)
    return pattern if "/" in pattern or "\\" in pattern else f"./{pattern}"
