"""Files of lines that others are still writing: one that grows, and parts of which there are ever more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from capybeam.pipeline.sources import UnreadableFile
from capybeam.pipeline.sources.file_chunks import chunks_of, read_chunks, split_packing
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


class GrowingParts:
    """What has been written since the last look to files at a URL, each of which is there whole or not at all.

    Args:
        glob: of their URLs.
    """

    def __init__(self, glob: str) -> None:
        self._glob = glob
        self._read: set[str] = set()

    def new_lines(self) -> Iterator[bytes]:
        """Lines, without their ends. A file that cannot be read now is read at another look. Raises OSError."""
        from apache_beam.io.filesystems import FileSystems

        try:
            (found,) = FileSystems.match([self._glob])
        except Exception as error:  # file systems raise what their clients raise
            raise OSError(f"{self._glob} cannot be listed ({type(error).__name__})") from None
        for path in sorted(file.path for file in found.metadata_list if file.path not in self._read):
            with contextlib.suppress(UnreadableFile):
                content = b"".join(chunks_of(path))
                self._read.add(path)
                yield from content.splitlines()
