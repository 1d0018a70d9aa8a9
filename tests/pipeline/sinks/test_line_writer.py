"""Lines that several threads and processes append to one file."""

from __future__ import annotations

import gzip
import multiprocessing
import stat
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.line_writer import LineWriter


def write_some(path: str, writer_number: int) -> None:
    writer = LineWriter(path, "Receipts")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer.write, [orjson.dumps([writer_number, n, "x" * 5_000]) for n in range(40)]))
    writer.close()


@pytest.mark.parametrize("name", ["receipts.jsonl", "receipts.jsonl.gz", "receipts.GZ"])
def test_lines_of_many_threads_and_processes_stay_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(write_some, [f"file://{path}"] * 3, range(3)))
    data = path.read_bytes() if name.endswith("jsonl") else gzip.decompress(path.read_bytes())
    found = sorted(tuple(orjson.loads(line)[:2]) for line in data.splitlines())
    assert found == [(writer, n) for writer in range(3) for n in range(40)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_writer_that_was_closed_opens_its_file_again(tmp_path: Path) -> None:
    writer = LineWriter(str(tmp_path / "receipts.jsonl"), "Receipts")
    for line in (b"one", b"two"):
        writer.write(line)
        writer.close()
        writer.close()
    assert (tmp_path / "receipts.jsonl").read_bytes() == b"one\ntwo\n"


def test_a_line_that_cannot_be_written_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SinkError) as raised:
        LineWriter("/dev/full", "Receipts").write(b"x")
    assert str(raised.value) == "Receipts cannot be written to /dev/full: No space left on device"
    with pytest.raises(SinkError, match=r"Receipts cannot be written to .*none/x: No such file or directory"):
        LineWriter(str(tmp_path / "none" / "x"), "Receipts").open()
