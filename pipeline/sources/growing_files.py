"""A local file of lines that others are still appending to."""

from __future__ import annotations

from collections.abc import Iterator

from capybeam.pipeline.sources.file_chunks import read_chunks, split_packing
from capybeam.pipeline.sources.gzip_members import GzipMembers


class GrowingFile:
    """What has been appended since the last look. Packed files are those that `sinks.line_writer` makes.

    Args:
        path: of a file, which need not be there yet.
    """

    def __init__(self, path: str) -> None:
        self._path, self._offset, self._begun = path, 0, b""
        self._members = GzipMembers() if split_packing(path)[1] == ".gz" else None

    def new_lines(self) -> Iterator[bytes]:
        """Whole lines, without their ends. Raises OSError."""
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            for chunk in read_chunks(file):
                self._offset += len(chunk)
                for text in (chunk,) if self._members is None else self._members.feed(chunk):
                    *lines, self._begun = (self._begun + text).split(b"\n")
                    yield from lines
