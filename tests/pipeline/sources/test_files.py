"""Lines from files."""

from __future__ import annotations

import bz2
import gzip
import os
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to, is_empty, is_not_empty

from capybeam.pipeline.sources import NoInput, UnreadableFile, files, open_dead_letters, open_source
from capybeam.pipeline.sources.file_chunks import chunks_of
from capybeam.pipeline.sources.file_rows import placed_rows
from capybeam.pipeline.sources.files import ReadNumberedLines, ReadRows, check_input, matching
from capybeam.transforms.base import share_run
from capybeam.transforms.core import events
from capybeam.transforms.core.events import LongLine, UnreadableRest
from capybeam.transforms.core.run_context import RunContext


def read(pattern: str, expected: list[Any]) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | ReadRows(pattern) | beam.FlatMap(list), equal_to(expected))


def test_lines_are_bytes_without_their_ends(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"one\r\ntwo\n\n\xff\x00\nlast")
    read(str(tmp_path / "events"), [b"one", b"two", b"", b"\xff\x00", b"last"])


def test_the_lines_of_a_chunk_are_one_element(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capybeam.pipeline.sources.file_chunks.CHUNK", 5)
    (tmp_path / "events").write_bytes(b"1\n2\n3456\n7\n")
    with beam.Pipeline("FnApiRunner") as pipeline:
        lists = pipeline | ReadRows(str(tmp_path / "events"))
        assert_that(lists, equal_to([[b"1", b"2"], [b"3456"], [b"7"]]))


def test_globs_and_gzip_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wb") as file:
        file.write(b"2\n3\n")
    read(str(tmp_path / "*.jsonl*"), [b"1", b"2", b"3"])


def test_a_glob_without_a_folder_looks_in_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    assert check_input("*.jsonl") == 2
    read("*.jsonl", [b"1"])


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    read(str(tmp_path / "empty"), [])


def test_rows_of_a_file_that_is_called_after_a_table_are_its_calls(tmp_path: Path) -> None:
    row, event, broken = b'{"id":"p","received_at":1,"context_ip":"i","url":"u"}', b'{"type":"page"}', b'{"id":'
    (tmp_path / "pages.jsonl").write_bytes(b"\n".join([row, event, broken]))
    (tmp_path / "others.jsonl").write_bytes(row)
    page = {"type": "page", "messageId": "p", "receivedAt": 1, "context": {"ip": "i"}, "properties": {"url": "u"}}
    for name, expected in (("pages.jsonl", [page, event, broken]), ("others.jsonl", [row])):
        read(str(tmp_path / name), expected)
        with placed_rows(str(tmp_path / name)) as found:
            assert [row for _, row in found.rows] == expected


def test_a_line_of_ten_megabytes_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 10_000_000 + b"\nafter\n")
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(
            pipeline | ReadRows(str(tmp_path / "big")) | beam.FlatMap(list) | beam.Map(len), equal_to([10_000_000, 5])
        )


@pytest.mark.parametrize(("name", "text"), [("events.jsonl", b'{"type":"page"}\n'), ("events.csv", b"type\npage\n")])
@pytest.mark.parametrize("read", [ReadRows, ReadNumberedLines])
def test_a_run_that_is_shut_down_reads_no_more(tmp_path: Path, name: str, text: bytes, read: Any) -> None:
    (tmp_path / name).write_bytes(text)
    for is_shut_down in (False, True):
        run = RunContext()
        if is_shut_down:
            run.shutdown.set()
        with beam.Pipeline("FnApiRunner") as pipeline:
            share_run(pipeline, run.handle)
            rows = pipeline | read(str(tmp_path / name))
            assert_that(rows | beam.Map(lambda _: True), is_empty() if is_shut_down else is_not_empty())


@pytest.mark.parametrize(("threads", "is_spread"), [(1, False), (2, True)])
def test_files_are_spread_where_several_threads_read_them(tmp_path: Path, threads: int, is_spread: bool) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(name.encode())
    options = PipelineOptions(["--runner=FnApiRunner", f"--direct_num_workers={threads}"])
    with beam.Pipeline(options=options) as pipeline:
        rows = pipeline | ReadRows(str(tmp_path / "*.jsonl")) | beam.FlatMap(list)
        assert_that(rows, equal_to([b"a.jsonl", b"b.jsonl"]))
    steps = {step.unique_name for step in pipeline.to_runner_api().components.transforms.values()}
    assert ("ReadRows/SpreadFiles" in steps) == is_spread


def test_files_that_are_no_longer_there_are_an_error_of_the_run(tmp_path: Path) -> None:
    with (
        pytest.raises(NoInput, match=r"gone-\*\.jsonl: no such file"),
        beam.Pipeline("FnApiRunner") as pipeline,
    ):
        _ = pipeline | ReadRows(str(tmp_path / "gone-*.jsonl"))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"nothing-\*\.jsonl: no such file"):
        check_input(str(tmp_path / "nothing-*.jsonl"))


def test_the_size_of_all_that_matches_is_reported(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"12345")
    assert check_input(str(tmp_path / "*")) == 10


def test_a_line_that_is_too_long_is_passed_over_in_packed_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_LINE", 1_000_000)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"1\n" + b"x" * 3_000_000 + b"\n3\n"))
    message = f"Line 2 of {path} has 3,000,000 bytes, and one of more than 0 MB is not read."
    read(str(path), [b"1", LongLine("x" * 1000, message), b"3"])
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(
            pipeline | ReadNumberedLines(str(path)),
            equal_to(
                [(f"Line {n} of {path}", line) for n, line in enumerate((b"1", LongLine("x" * 1000, message), b"3"), 1)]
            ),
        )


@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.jsonl.xz", "a.jsonl.deflate"])
def test_a_packing_that_hides_a_cut_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"packed")
    with pytest.raises(NoInput, match=rf"{name}: this compression cannot show whether a file is complete"):
        check_input(str(tmp_path / name))


CUT = "is incomplete: it was cut off. What came before is read."
DAMAGED = "cannot be read to its end: it is damaged, or not compressed as its name says. What came before is read."


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("ending", "pack", "unpacker", "damage"),
    [
        pytest.param(".gz", gzip.compress, lambda: zlib.decompressobj(31), cut, id="gz"),
        pytest.param(".bz2", lambda data: bz2.compress(data, 1), bz2.BZ2Decompressor, cut, id="bz2"),
        pytest.param(".gz", gzip.compress, lambda: zlib.decompressobj(31), lambda data: data[:-8], id="no checksum"),
    ],
)
def test_a_packed_file_that_was_cut_off_is_read_to_the_last_byte_and_not_taken_for_a_whole_one(
    tmp_path: Path,
    ending: str,
    pack: Callable[[bytes], bytes],
    unpacker: Callable[[], Any],
    damage: Callable[[bytes], bytes],
) -> None:
    packed = damage(pack(b"".join(b'{"messageId":"m-%d"}\n' % n for n in range(20_000))))
    path = tmp_path / f"events.jsonl{ending}"
    path.write_bytes(packed)
    *whole, last = unpacker().decompress(packed).split(b"\n")
    assert len(whole) > 5_000
    read(str(path), [*whole, UnreadableRest(last, f"{path} {CUT}")])


def test_what_becomes_of_numbered_lines_of_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl.gz"
    path.write_bytes(gzip.compress(b"1\n2")[:-8])
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(
            pipeline | ReadNumberedLines(str(path)),
            equal_to([(f"Line 1 of {path}", b"1"), (f"Line 2 of {path}", UnreadableRest(b"2", f"{path} {CUT}"))]),
        )


@pytest.mark.parametrize("ending", [".gz", ".bz2"])
def test_a_file_that_is_not_packed_as_its_name_says_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"events.jsonl{ending}"
    path.write_bytes(b'{"type":"page"}\n')
    read(str(path), [UnreadableRest(b"", f"{path} {DAMAGED}")])


def test_a_file_system_that_fails_is_no_broken_file(tmp_path: Path) -> None:
    """The runner may try again."""
    path = tmp_path / "none.gz"
    with pytest.raises(UnreadableFile) as raised:
        list(chunks_of(str(path)))
    reason = "cannot be read to its end (No such file or directory)"
    assert (type(raised.value), str(raised.value)) == (UnreadableFile, f"{path} {reason}")


def test_a_packed_file_of_several_members_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "events.gz").write_bytes(gzip.compress(b"1\n") + gzip.compress(b"2\n"))
    read(str(tmp_path / "events.gz"), [b"1", b"2"])


@pytest.mark.parametrize(
    "name", ["x [1].jsonl", "x [1-3].jsonl", "x [!a].jsonl", "[x].jsonl", "a*.jsonl", "who?.jsonl"]
)
@pytest.mark.parametrize("prefix", ["", "./", "folder [2]/"])
def test_a_file_is_meant_by_its_name_before_that_is_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder [2]").mkdir()
    for other in ("x 1.jsonl", "x.jsonl", "ab.jsonl", "whom.jsonl", "x b.jsonl"):
        (tmp_path / prefix / other).write_bytes(b"another\n")
    (tmp_path / prefix / name).write_bytes(b"this\n")
    assert check_input(f"{prefix}{name}") == 5
    assert [Path(path) for path in matching(f"{prefix}{name}")] == [Path(f"{prefix}{name}")]
    read(f"{prefix}{name}", [b"this"])
    read(f"file://{tmp_path}/{prefix}{name}", [b"this"])


def test_a_pattern_that_is_no_files_name_is_a_pattern(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"x {number}.jsonl").write_bytes(b"%d\n" % number)
    read(str(tmp_path / "x [12].jsonl"), [b"1", b"2"])
    (tmp_path / "x [12].jsonl").write_bytes(b"this\n")
    read(str(tmp_path / "x [12].jsonl"), [b"this"])
    read(str(tmp_path / "x ?.jsonl"), [b"1", b"2", b"3"])


def test_a_csv_file_is_meant_by_its_name_too(tmp_path: Path) -> None:
    (tmp_path / "x [1].csv").write_text("type,messageId\npage,m-1\n")
    source = open_source(str(tmp_path / "x [1].csv"))
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | source.read, equal_to([[{"type": "page", "messageId": "m-1"}]]))


@pytest.mark.parametrize("open_", [open_source, open_dead_letters])
def test_a_document_in_the_place_of_lines_is_no_input(tmp_path: Path, open_: Callable[[str], Any]) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"type": "page"}\n')
    (tmp_path / "b [1].json").write_bytes(b'[\n  {"type": "page"},\n  {"type": "page"}\n]\n')
    with gzip.open(tmp_path / "c.json.gz", "wb") as file:
        file.write(b'{\n  "type": "page"\n}\n')
    assert open_(str(tmp_path / "a.jsonl")).extent == "1 kB"
    for pattern, path, said in (
        ("*.json*", "b [1].json", "it is one pretty-printed JSON document, an array, and not JSON lines"),
        ("b [1].json", "b [1].json", "it is one pretty-printed JSON document, an array, and not JSON lines"),
        ("c*", "c.json.gz", "it is one pretty-printed JSON document and not JSON lines"),
    ):
        with pytest.raises(NoInput) as raised:
            open_(str(tmp_path / pattern))
        assert str(raised.value).startswith(f"{tmp_path / path}: {said}")


@pytest.mark.parametrize("open_", [open_source, open_dead_letters])
def test_nothing_is_read_of_a_pipe_before_all_of_it_is(tmp_path: Path, open_: Callable[[str], Any]) -> None:
    os.mkfifo(tmp_path / "events.pipe")  # to open it would wait for who writes
    assert open_(str(tmp_path / "events.pipe")).paths == (str(tmp_path / "events.pipe"),)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{\n  "type": "page"\n}\n', "it is one pretty-printed JSON document"), (b"PK\x03\x04", "it is a .zip archive")],
)
def test_what_a_pipe_holds_is_looked_at_when_it_is_read(tmp_path: Path, content: bytes, said: str) -> None:
    pipe = tmp_path / "events.pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(content))
    writer.start()
    with pytest.raises(UnreadableFile, match=said):
        list(files._rows(str(pipe), RunContext()))
    writer.join()


def test_a_packed_file_that_was_cut_off_is_looked_at_and_read_later(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"type": "page"')[:-8])
    assert open_source(str(path)).paths == (str(path),)


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.jsonl.bz2"])
def test_how_far_a_file_is_read_is_counted_in_bytes_as_it_is_stored(name: str, tmp_path: Path) -> None:
    path, lines = tmp_path / name, b"".join(b'{"messageId": "%d"}\n' % number for number in range(200_000))
    opened = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    with opened(path, "wb") as file:
        file.write(lines)
    steps: list[int] = []
    assert b"".join(chunks_of(str(path), steps.append)) == lines
    assert sum(steps) == path.stat().st_size
    assert len(steps) > 2
    assert min(steps) >= 0
