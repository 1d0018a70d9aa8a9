"""Rows of files without a pipeline: those that a run reads."""

from __future__ import annotations

import bz2
import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from capybeam.pipeline.sources import BrokenFile, NoEvents, NoInput, UnreadableFile
from capybeam.pipeline.sources.file_rows import placed_rows
from capybeam.pipeline.sources.files import ReadRows
from capybeam.transforms.core.events import UnreadableRest

PAGE = b'{"id":"p","received_at":1,"context_ip":"i","url":"u"}\n'  # a row of Segment's table `pages`
LINES = b'{"type":"page"}\r\n\n{"type":"screen"}'
CSV = b'type,event\ntrack,"a\nb"\ntrack\n'


def exhaust(rows: Iterator[tuple[dict[str, Any], Any]], seen: list[Any]) -> None:
    for _, row in rows:
        seen.append(row)


def read(text: str) -> list[tuple[dict[str, Any], Any]]:
    with placed_rows(text) as found:
        return list(found.rows)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", LINES),
        ("a.jsonl.gz", gzip.compress(LINES)),
        ("A.JSONL.BZ2", bz2.compress(LINES)),
        ("a.jsonl.gz", gzip.compress(LINES) + gzip.compress(LINES)),
        ("a.csv", CSV),
        ("A.CSV.GZ", gzip.compress(CSV)),
        ("pages.jsonl", PAGE),
        ("pages.json.gz", gzip.compress(PAGE)),
        ("x [1].csv", CSV),
        ("empty.jsonl", b""),
    ],
)
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_the_rows_are_those_that_a_run_reads(tmp_path: Path, name: str, data: bytes, prefix: str) -> None:
    (tmp_path / name).write_bytes(data)
    text = f"{prefix}{tmp_path / name}"
    rows = [row for _, row in read(text)]
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | ReadRows(text) | beam.FlatMap(list), equal_to(rows))


def test_a_row_has_its_first_lines_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    assert [place for place, _ in read(str(tmp_path / "a.csv"))] == [{"line": 2}, {"line": 4}]


def test_rows_of_a_glob_have_their_file_too_each_in_its_own_format(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b.csv").write_bytes(b"type\nscreen\n")
    Path("a.jsonl").write_bytes(b'{"type":"page"}\n{}\n')
    assert read("*") == [
        ({"file": "a.jsonl", "line": 1}, b'{"type":"page"}'),
        ({"file": "a.jsonl", "line": 2}, b"{}"),
        ({"file": "b.csv", "line": 2}, {"type": "screen"}),
    ]
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | ReadRows("*") | beam.FlatMap(list), equal_to([row for _, row in read("*")]))


def test_standard_input_is_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINES)))
    assert read("-") == [({"line": 1}, b'{"type":"page"}'), ({"line": 2}, b""), ({"line": 3}, b'{"type":"screen"}')]


@pytest.mark.parametrize("text", ["{}/a.jsonl.gz", "{}/*.jsonl*"])
def test_a_file_that_breaks_off_ends_with_its_rest_and_an_error_comes_after_all_rows(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"1\n2")[:-8])
    (tmp_path / "b.jsonl").write_bytes(b"3\n")
    message = f"{tmp_path}/a.jsonl.gz is incomplete: it was cut off. What came before is read."
    seen: list[Any] = []
    with placed_rows(text.format(tmp_path)) as found, pytest.raises(BrokenFile) as raised:
        exhaust(found.rows, seen)
    assert str(raised.value) == message
    assert seen == [b"1", UnreadableRest(b"2", message), *([b"3"] if "*" in text else [])]


@pytest.mark.parametrize(
    ("name", "data", "kind", "message"),
    [
        ("a.json", b'[\n  {"type": "page"},\n  {"type": "page"}\n]\n', NoEvents, "it is one pretty-printed JSON"),
        ("a.csv", b"type,type\n", NoEvents, "column 2 (type) appears twice"),
        ("a.jsonl.xz", b"x", NoInput, "this compression cannot show whether a file is complete"),
        ("a.csv.gz", gzip.compress(b"type,event\npage,a")[:-8], UnreadableFile, "is incomplete: it was cut off"),
    ],
)
def test_what_does_not_begin_as_its_format_does_is_found_at_once(
    tmp_path: Path, name: str, data: bytes, kind: type[Exception], message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(kind) as raised, placed_rows(str(tmp_path / name)):
        pass
    assert message in str(raised.value)
    with pytest.raises(NoInput) as in_a_glob, placed_rows(f"{tmp_path}/a*"):
        pass
    assert message in str(in_a_glob.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "bigquery:a.b.c",
            "bigquery:a.b.c: map reads files, or standard input; put some events into one as JSON lines",
        ),
        ("bigqery:a.b.c", "bigqery:a.b.c: unknown scheme bigqery:; did you mean bigquery:?"),
        ("no*.jsonl", "no*.jsonl: no such file"),
        ("gss://a/b", "gss://a/b: cannot be read: unknown scheme gss://; did you mean gs://?"),
    ],
)
def test_what_is_not_read_is_reported(text: str, message: str) -> None:
    with pytest.raises(NoInput) as raised, placed_rows(text):
        pass
    assert str(raised.value) == message
