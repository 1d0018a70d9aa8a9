"""Events from files: JSON lines or CSV by their names, packed ones too, by path, glob or any URL that Beam knows.

How a file is read is in `file_formats`; `csv_rows` has what a row of CSV is.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.fileio import EmptyMatchTreatment, MatchFiles
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from capybeam.pipeline.file_systems import reason_of, unavailable_reason
from capybeam.pipeline.schemes import is_glob, is_local, strip_file_scheme
from capybeam.pipeline.sources import NOT_ASKED, NoEvents, NoInput, ReadOptions, Size, Source, UnreadableFile
from capybeam.pipeline.sources.file_chunks import check_packing, chunks_of, display_name, open_file
from capybeam.pipeline.sources.file_formats import JSON_LINES, FileFormat, format_of
from capybeam.pipeline.sources.file_lines import lines_of
from capybeam.transforms.base import run_of
from capybeam.transforms.core.events import UnreadableRow
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.run_context import RunHandle


@dataclasses.dataclass
class ReadRows(beam.PTransform):
    """The rows of all files that `pattern` matches, as `file_formats.FileFormat.rows` has them.

    A file is read by one worker, in a row: by Beam's splittable ReadFromText a line costs several times as much, more
    than parsing it, and where a row of CSV begins cannot be found from the middle, which may be inside quotes.
    """

    pattern: str
    is_pattern: bool = False  # known to be one, so that no file of just that name is looked for

    def expand(self, root: Any) -> beam.PCollection:
        files = spread_files(root, self.pattern, self.is_pattern)
        return files | "Read" >> beam.ParDo(_ReadRows(run_of(root))).with_output_types(Any)


@dataclasses.dataclass
class ReadNumberedLines(beam.PTransform):
    """The lines of all files, as bytes, each with its place, for messages: ("Line 7 of dead-letters.jsonl", line)."""

    pattern: str
    is_pattern: bool = False

    def expand(self, root: Any) -> beam.PCollection:
        read = beam.ParDo(_ReadNumberedLines(run_of(root))).with_output_types(tuple[str, Any])
        return spread_files(root, self.pattern, self.is_pattern) | "Read" >> read


def spread_files(root: Any, pattern: str, is_pattern: bool = False) -> beam.PCollection:
    """What `pattern` matches when the job runs, file by file, over the workers. Nothing at all is an error."""
    found = None if is_pattern else _named_exactly(pattern)
    match = beam.Create([found]) if found else MatchFiles(anchored(pattern), EmptyMatchTreatment.DISALLOW)
    return root | "Match" >> match | "SpreadFiles" >> beam.Reshuffle()


class _Read(beam.DoFn):
    """Reads whole files, and no more lines of them once its run is shut down."""

    def __init__(self, run: RunHandle) -> None:
        self._run = run

    def setup(self) -> None:
        self._context = self._run.context()
        self._shutdown = self._context.shutdown

    def chunks(self, path: str) -> Iterator[bytes]:
        return chunks_of(path, self._context.progress.advance)


class _ReadRows(_Read):
    def process(self, element: FileMetadata) -> Iterator[Row]:
        name = display_name(element.path)
        numbered = format_of(element.path).rows(self.chunks(element.path), name, self._shutdown)
        return map(operator.itemgetter(1), numbered)


class _ReadNumberedLines(_Read):
    def process(self, element: FileMetadata) -> Iterator[tuple[str, bytes | UnreadableRow]]:
        name = display_name(element.path)
        for number, line in enumerate(lines_of(self.chunks(element.path), name, self._shutdown), 1):
            yield f"Line {number} of {name}", line


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
        return Source(text, NOT_ASKED, read(text, is_pattern=True), is_unseen=True)
    if options.is_dry:
        matches = _matches(text)
        paths, size = sorted(each.path for each in matches), sum(each.size_in_bytes for each in matches)
        for path in paths:
            if is_local(path) and not os.access(path, os.R_OK):
                raise NoInput(f"{path}: cannot be read (Permission denied)")
    else:
        paths, size = checked_paths(text, file_format), check_input(text)
    return Source(text, _extent(size), read(text), tuple(paths), size=Size(len(paths), size))


def _extent(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{math.ceil(size / 1e3)} kB"


def check_input(pattern: str) -> int:
    """The size in bytes of all that `pattern` matches. Raises NoInput where that is nothing that can be read."""
    matches = _matches(pattern)
    for found in matches:
        try:
            open_file(found.path).close()
        except Exception as error:
            raise NoInput(f"{found.path}: cannot be read ({reason_of(error)})") from None
    return sum(found.size_in_bytes for found in matches)


def matching(pattern: str) -> list[str]:
    """The paths of all that `pattern` matches. Raises NoInput."""
    return [found.path for found in _matches(pattern)]


def checked_paths(pattern: str, file_format: FileFormat | None = None) -> list[str]:
    """The paths of all that `pattern` matches, in order. Raises NoInput where one does not begin as its format does.

    Elsewhere a look may cost as much as reading many megabytes, and files of one pattern are alike: there it is the
    first file alone, and all that have a header.

    Args:
        file_format: of all of them; by default it is by their names.
    """
    paths = sorted(matching(pattern))
    local = is_local(strip_file_scheme(pattern))
    for path in paths:
        found = file_format or format_of(path)
        if not (local or found.has_header or path == paths[0]):
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
