"""Files that others still append to: what is new in them, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from capybeam.pipeline.sinks.line_writer import LineWriter
from capybeam.pipeline.sources.growing_files import GrowingFile


@pytest.mark.parametrize("name", ["receipts.jsonl", "receipts.jsonl.gz"])
def test_each_line_comes_once_when_it_is_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    writer, growing = LineWriter(str(path), "Receipts"), GrowingFile(str(path))
    with pytest.raises(FileNotFoundError):
        list(growing.new_lines())
    for line in (b"one", b"two"):
        writer.write(line)
    assert list(growing.new_lines()) == [b"one", b"two"]
    assert list(growing.new_lines()) == []
    writer.write(b"three")
    size = path.stat().st_size
    writer.write(b"four")
    rest = path.read_bytes()[size:]
    with path.open("r+b") as file:
        file.truncate(size + 2)
    assert list(growing.new_lines()) == [b"three"]
    with path.open("ab") as file:
        file.write(rest[2:])
    assert list(growing.new_lines()) == [b"four"]
    writer.close()
