"""Where dead letters and receipts are written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import apache_beam as beam
import orjson
import pytest

from pipeline.sinks.dead_letters import WriteDeadLetters
from pipeline.sinks.lines import SinkError, WriteLines, start_afresh
from pipeline.sinks.receipts import WriteReceipts
from transforms.parcels import Receipt
from transforms.rejections import Rejection


def test_lines_are_appended_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"first\n")
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([b"second", b"third"], reshuffle=False) | WriteLines(str(path), "Lines")
    assert path.read_bytes() == b"first\nsecond\nthird\n"


def test_dead_letters_are_rejections_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    rejection = Rejection("map", "mapping_failed", "…", "web", "orders", "123", "m1", {"email": "jane@example.com"})
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([rejection]) | WriteDeadLetters(str(path))
    row = orjson.loads(path.read_bytes())
    assert row.pop("dead_lettered_at") > 0
    assert row == {
        "stage": "map",
        "code": "mapping_failed",
        "message": "…",
        "destination": "web",
        "subscription": "orders",
        "dataset_id": "123",
        "event_id": "m1",
        "payload": {"email": "jane@example.com"},
        "retryable": False,
        "meta_code": None,
    }


def test_receipts_are_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    receipt = Receipt("web", "123", 2, 10, 20, "A1", (), 1, 0.25, 30)
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([receipt]) | WriteReceipts(str(path))
    assert orjson.loads(path.read_bytes()) == {
        "destination": "web",
        "dataset_id": "123",
        "events": 2,
        "first_event_time": 10,
        "last_event_time": 20,
        "fbtrace_id": "A1",
        "messages": [],
        "tries": 1,
        "seconds": 0.25,
        "delivered_at": 30,
    }


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dead.jsonl"
    assert start_afresh(str(path), "Dead letters") is None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_what_an_earlier_run_left_is_kept_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    kept = []
    for text in ("one\n", "two\n"):
        path.write_text(text)
        os.utime(path, (1_795_000_000, 1_795_000_000))
        kept.append(start_afresh(str(path), "Dead letters"))
    assert kept == [str(tmp_path / "dead.20261118T110640.jsonl"), str(tmp_path / "dead.20261118T110640-2.jsonl")]
    assert [Path(name).read_text() for name in kept if name] == ["one\n", "two\n"]
    assert path.read_text() == ""


def test_an_empty_file_of_an_earlier_run_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_text("")
    assert start_afresh(str(path), "Dead letters") is None
    assert os.listdir(tmp_path) == ["dead.jsonl"]


def test_a_place_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"Dead letters cannot be written to .*/file/dead\.jsonl: (Not a|File)"):
        start_afresh(str(tmp_path / "file" / "dead.jsonl"), "Dead letters")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, the disk that is always full")
def test_a_full_disk_is_an_error_and_never_silence() -> None:
    error = pytest.raises(Exception, match="Dead letters cannot be written to /dev/full: No space left on device")
    with error, beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([b"x"]) | WriteLines("/dev/full", "Dead letters")
