"""Parts of inputs: all of them, once, of a size that keeps all workers busy to the end."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline.run.workers.partition import part_size, parts_of
from capybeam.pipeline.sources import Source, open_dead_letters, open_source
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.standards.json_text import load_json


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def row(number: int) -> bytes:
    return b'{"type": "track", "event": "A", "messageId": "%06d", "more": "%s"}\n' % (number, b"x" * 100)


def elements(sources: list[Source], workers: int) -> list[Any]:
    run = RunContext()
    read = [element for part in parts_of(sources, workers) or () for element in part.read(run)]
    return [row for element in read for row in (element if isinstance(element, list) else [element])]


def test_files_of_all_kinds_are_read_once_and_those_of_json_lines_in_parts() -> None:
    Path("plain.jsonl").write_bytes(b"\xef\xbb\xbf" + b"".join(map(row, range(4000))).replace(b"\n", b"\r\n")[:-2])
    Path("packed.jsonl.gz").write_bytes(gzip.compress(b"".join(map(row, range(4000, 8000)))))
    Path("table.csv").write_text("type,event,messageId\n" + "".join(f"track,A,{n:06}\n" for n in range(8000, 9000)))
    sources = [open_source(name) for name in ("plain.jsonl", "packed.jsonl.gz", "*.csv")]
    parts = parts_of(sources, 2)
    assert parts is not None
    by_path = [Path(part.path).name for part in parts]  # type: ignore[attr-defined]
    assert {name: by_path.count(name) > 1 for name in by_path} == {
        "plain.jsonl": True, "packed.jsonl.gz": False, "table.csv": False,
    }  # fmt: skip
    found = [
        load_json(each.removeprefix(b"\xef\xbb\xbf")) if type(each) is bytes else each for each in elements(sources, 2)
    ]
    assert sorted(each["messageId"] for each in found) == [f"{number:06}" for number in range(9000)]


def test_dead_letters_keep_the_numbers_of_their_lines() -> None:
    lines = [row(number) for number in range(3000)]
    Path("dead.jsonl").write_bytes(b"".join(lines))
    found = elements([open_dead_letters("dead.jsonl")], 2)
    assert len(parts_of([open_dead_letters("dead.jsonl")], 2) or ()) > 3
    assert sorted(found, key=lambda each: each[1]) == [
        (f"Line {number} of dead.jsonl", line.rstrip()) for number, line in enumerate(lines, 1)
    ]


def test_a_line_that_is_too_long_is_named_by_its_number_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capybeam.transforms.core.events.MAX_LINE", 1000)
    monkeypatch.setattr("capybeam.pipeline.sources.file_chunks.CHUNK", 512)
    Path("a.jsonl").write_bytes(b"".join(map(row, range(3000))) + b"y" * 2000 + b"\n" + row(3000))
    (long,) = [each for each in elements([open_source("a.jsonl")], 2) if type(each) is not bytes]
    assert "Line 3,001 of a.jsonl" in long.message


def test_an_input_that_cannot_be_cut_leaves_all_of_them_to_one_process() -> None:
    Path("a.jsonl").write_bytes(row(1))
    assert parts_of([open_source("a.jsonl"), Source("other", "", read=None)], 2) is None


def test_parts_are_small_beside_the_whole_and_not_too_many() -> None:
    for workers in (2, 8, 64):
        for total in (10_000, 10_000_000, 10_000_000_000):
            size = part_size(total, workers)
            assert size <= max(1 << 16, total // (8 * workers))
            assert (1 << 16) <= size <= (1 << 23)
