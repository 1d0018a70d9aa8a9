"""Where dead letters and receipts are written."""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path

import apache_beam as beam
import orjson
import pytest

from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.dead_letters import WriteDeadLetters
from capybeam.pipeline.sinks.files import WriteLines, _WriteParts, read_back
from capybeam.pipeline.sinks.local_files import delete_earlier, fsync_file, open_for_append, rotate_previous
from capybeam.pipeline.sinks.receipts import WriteReceipts
from capybeam.transforms.base import share_run
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.core.run_context import RunHandle
from capybeam.transforms.delivery.batches import Receipt


def test_lines_are_appended_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"first\n")
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([b"second", b"third"], reshuffle=False) | WriteLines(str(path), "Lines")
    assert path.read_bytes() == b"first\nsecond\nthird\n"


@pytest.mark.parametrize("shards", [[None], [0, 1]], ids=["one process", "two processes"])
def test_no_files_at_a_url_replace_those_of_another_step_or_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: list[int | None]
) -> None:
    monkeypatch.setattr("capybeam.pipeline.sinks.files.is_local", lambda _: False)
    place = str(tmp_path / "dead")
    for shard in shards:
        with beam.Pipeline("FnApiRunner") as pipeline:
            share_run(pipeline, RunHandle(shard=shard))
            for series in range(3):
                rejection = Rejection("map", "mapping_failed", f"{series} {shard}")
                _ = (
                    pipeline
                    | f"Make{series}" >> beam.Create([rejection])
                    | f"{series}" >> WriteDeadLetters(place, series)
                )
    found = read_back(place)
    assert found is not None
    rows = [orjson.loads(line) for path in tmp_path.glob(Path(found.source).name) for line in path.open()]
    assert sorted(row["message"] for row in rows) == sorted(
        f"{series} {shard}" for series in range(3) for shard in shards
    )
    assert len(list(tmp_path.iterdir())) == 3 * len(shards)


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
        "conversions": [],
    }


@pytest.mark.parametrize("name", ["receipts", "receipts.jsonl", "receipts.jsonl.gz"])
def test_receipts_at_a_url_are_written_in_parts_before_their_bundle_ends(tmp_path: Path, name: str) -> None:
    """So that a job that is killed leaves them; a stage of a runner may be one bundle."""
    now = 0.0
    step = _WriteParts(str(tmp_path / name), "Receipts", clock=lambda: now)
    step.start_bundle()
    for now, line in ((1.0, b"one"), (11.0, b"two"), (12.0, b"three")):  # noqa: B007 the clock reads it
        step.process(line)
    stem, dot, ending = name.partition(".")

    def parts() -> list[bytes]:
        found = tmp_path.glob(f"{stem}-*{dot}{ending}")
        return sorted(gzip.decompress(data) if name.endswith(".gz") else data for data in map(Path.read_bytes, found))

    assert parts() == [b"one\ntwo\n"]
    step.finish_bundle()
    step.finish_bundle()
    assert parts() == [b"one\ntwo\n", b"three\n"]


def test_a_part_that_cannot_be_written_fails_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    step = _WriteParts(f"{tmp_path}/file/receipts.jsonl", "Receipts")
    step.start_bundle()
    step.process(b"one")
    with pytest.raises(SinkError, match=r"Receipts cannot be written to .*/file/receipts\.jsonl: "):
        step.finish_bundle()


def earlier(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_of_earlier_files_the_latest_are_kept_and_others_are_never_touched(tmp_path: Path) -> None:
    own = ["20261118T110640", "20261119T000000", "20261119T000000-2", "20261119T000000-10", "20261120T235959"]
    for moment in own:
        (tmp_path / f"receipts.{moment}.jsonl.gz").touch()
    others = [
        *("receipts.jsonl.gz", "receipts.20261118T110640.jsonl", "receipts.20261118.jsonl.gz", "old-receipts.jsonl.gz"),
        *("receipts.20261118T110640.jsonl.gz.bak", "xreceipts.20261118T110640.jsonl.gz", "receipts.notes.jsonl.gz"),
        *("receipts-web.20261118T110640.jsonl.gz", "receiptsX20261118T110640.jsonl.gz"),
    ]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / "receipts.20261101T000000.jsonl.gz").symlink_to(tmp_path / "receipts.jsonl.gz")
    (tmp_path / "receipts.20261102T000000.jsonl.gz").mkdir()
    untouched = [*others, "receipts.20261101T000000.jsonl.gz", "receipts.20261102T000000.jsonl.gz"]
    target = str(tmp_path / "receipts.jsonl.gz")
    delete_earlier(target, 3, [str(tmp_path / "receipts.20261118T110640.jsonl.gz")])
    left = ["20261118T110640", "20261119T000000-2", "20261119T000000-10", "20261120T235959"]
    assert earlier(tmp_path) == sorted([*untouched, *(f"receipts.{moment}.jsonl.gz" for moment in left)])
    delete_earlier(f"file://{target}", 0, [])
    assert earlier(tmp_path) == sorted(untouched)
    delete_earlier("gs://acme/receipts.jsonl.gz", 0, [])


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dead.jsonl"
    assert rotate_previous(str(path), "Dead letters") is None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_what_an_earlier_run_left_is_kept_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    kept = []
    for text in ("one\n", "two\n"):
        path.write_text(text)
        os.utime(path, (1_795_000_000, 1_795_000_000))
        kept.append(rotate_previous(str(path), "Dead letters"))
    assert kept == [str(tmp_path / "dead.20261118T110640.jsonl"), str(tmp_path / "dead.20261118T110640-2.jsonl")]
    assert [Path(name).read_text() for name in kept if name] == ["one\n", "two\n"]
    assert path.read_text() == ""


def test_an_empty_file_of_an_earlier_run_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_text("")
    assert rotate_previous(str(path), "Dead letters") is None
    assert os.listdir(tmp_path) == ["dead.jsonl"]


def test_a_place_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"Dead letters cannot be written to .*/file/dead\.jsonl: (Not a|File)"):
        rotate_previous(str(tmp_path / "file" / "dead.jsonl"), "Dead letters")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, the disk that is always full")
def test_a_full_disk_is_an_error_and_never_silence() -> None:
    error = pytest.raises(Exception, match="Dead letters cannot be written to /dev/full: No space left on device")
    with error, beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([b"x"]) | WriteLines("/dev/full", "Dead letters")


# --- whose the file is, and who may read it -----------------------------------------------------------------------


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("before", [0o644, 0o666, 0o640, 0o400 | 0o200 | 0o001])
def test_a_file_that_is_already_there_becomes_its_owners_alone(tmp_path: Path, before: int) -> None:
    path = tmp_path / "dead.jsonl"
    path.touch()
    path.chmod(before)
    assert rotate_previous(str(path), "Dead letters") is None
    assert mode_of(path) == 0o600


def test_so_does_what_an_earlier_run_left(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_text("jane@example.com\n")
    path.chmod(0o644)
    kept = rotate_previous(str(path), "Dead letters")
    assert kept is not None
    assert (mode_of(path), mode_of(Path(kept)), Path(kept).read_text()) == (0o600, 0o600, "jane@example.com\n")


def test_so_does_a_file_that_is_opened_while_a_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.touch(0o644)
    os.close(open_for_append(str(path), "Dead letters"))
    assert mode_of(path) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.touch()
    path.chmod(0o666)
    os.chown(path, 65534, 65534)
    os.chmod(tmp_path, 0o777)
    for folder in list(tmp_path.parents)[:3]:
        os.chmod(folder, 0o755)
    message = f"Dead letters cannot be written to {path}: the file belongs to another user, who could read it"
    os.seteuid(65533)
    try:
        with pytest.raises(SinkError) as raised:
            rotate_previous(str(path), "Dead letters")
    finally:
        os.seteuid(0)
    assert str(raised.value) == message


@pytest.mark.parametrize("what", ["Dead letters", "Receipts"])
@pytest.mark.parametrize("before", [None, "", "precious\n"], ids=["dangling", "empty", "full"])
def test_a_symbolic_link_is_refused_and_what_it_leads_to_stays(tmp_path: Path, what: str, before: str | None) -> None:
    path, victim = tmp_path / "dead.jsonl", tmp_path / "victim"
    path.symlink_to(victim)
    if before is not None:
        victim.write_text(before)
        victim.chmod(0o644)
    reason = "it is a symbolic link, which is not followed; give the path of the file itself"
    for write in (rotate_previous, open_for_append, fsync_file):
        with pytest.raises(SinkError) as raised:
            write(str(path), what)
        assert str(raised.value) == f"{what} cannot be written to {path}: {reason}"
    assert path.is_symlink()
    assert (victim.read_text(), mode_of(victim)) == (before, 0o644) if before is not None else not victim.exists()


def test_a_link_that_turns_up_while_a_run_goes_on_is_refused(tmp_path: Path) -> None:
    path, victim = tmp_path / "dead.jsonl", tmp_path / "victim"
    victim.write_text("precious\n")
    rotate_previous(str(path), "Dead letters")
    path.unlink()
    path.symlink_to(victim)
    error = pytest.raises(Exception, match=r"Dead letters cannot be written to .* it is a symbolic link")
    with error, beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([b"x"]) | WriteLines(str(path), "Dead letters")
    assert victim.read_text() == "precious\n"


def test_an_earlier_file_is_not_kept_under_a_name_that_leads_elsewhere(tmp_path: Path) -> None:
    path, victim = tmp_path / "dead.jsonl", tmp_path / "victim"
    path.write_text("one\n")
    os.utime(path, (1_795_000_000, 1_795_000_000))
    (tmp_path / "dead.20261118T110640.jsonl").symlink_to(victim)
    assert rotate_previous(str(path), "Dead letters") == str(tmp_path / "dead.20261118T110640-2.jsonl")
    assert not victim.exists()


def test_a_folder_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    path = tmp_path / "out" / "dead.jsonl"
    path.write_text("one\n")
    kept = rotate_previous(str(path), "Dead letters")
    assert kept is not None
    assert sorted(os.listdir(tmp_path / "disk")) == sorted(["dead.jsonl", Path(kept).name])


def test_a_device_keeps_its_mode_and_its_name() -> None:
    before = os.stat("/dev/null")
    assert rotate_previous("/dev/null", "Dead letters") is None
    fsync_file("/dev/null", "Dead letters")
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)


def test_a_descriptor_that_this_process_was_given_is_written_to(tmp_path: Path) -> None:
    """``/dev/fd/N`` and ``/dev/stdout`` are links by their nature, and lead where the user has said."""
    path = tmp_path / "out"
    path.write_text("before\n")
    path.chmod(0o644)
    given = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        assert rotate_previous(f"/dev/fd/{given}", "Receipts") is None
        file = open_for_append(f"/dev/fd/{given}", "Receipts")
        os.write(file, b"line\n")
        os.close(file)
        fsync_file(f"/dev/fd/{given}", "Receipts")
    finally:
        os.close(given)
    assert (path.read_text(), mode_of(path), os.listdir(tmp_path)) == ("before\nline\n", 0o644, ["out"])
