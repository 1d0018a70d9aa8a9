"""Where watermarks are kept: whole or not at all, for their owner, and only ever forward."""

from __future__ import annotations

import gzip
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io import localfilesystem

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.run.watermarks import continued, key_of, store_of
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sources import NoInput, SinceLast, TimeRange
from tests.pipeline.jobs import job_file

TABLE = "bigquery:acme.shop.orders"
NOW = 1_795_676_400.0
HOUR = 3600.0


class Bucket(localfilesystem.LocalFileSystem):  # type: ignore[misc]
    """Objects by URL, in a folder of this machine."""

    @classmethod
    def scheme(cls) -> str:
        return "bucket"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join((basepath, *paths))

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def create(self, path: str, *more: Any, **options: Any) -> Any:
        return super().create(_local(path), *more, **options)

    def open(self, path: str, *more: Any, **options: Any) -> Any:
        return super().open(_local(path), *more, **options)

    def exists(self, path: str) -> bool:
        return Path(_local(path)).exists()

    def match(self, patterns: list[str], limits: Any = None) -> Any:
        return super().match([_local(pattern) for pattern in patterns], limits)


def _local(path: str) -> str:
    return path.replace("bucket://", "objects/")


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("objects").mkdir()


def request(receipts: str = "receipts.jsonl.gz", delivery: str = "{}", **more: Any) -> RunRequest:
    between = TimeRange(None, more.pop("until", NOW), more.pop("column", "loaded_at"), goes_on=True)
    job = parse_job(job_file("http://127.0.0.1:1", delivery))
    return RunRequest(job, more.pop("inputs", [TABLE]), Outputs("dead.jsonl", receipts), between=between, **more)


def onward(given: RunRequest, **last: Any) -> Any:
    said: list[str] = []
    return continued(given, SinceLast(**{"now": NOW, **last}), said.append), said


@pytest.mark.parametrize(
    "place", ["out/receipts.jsonl.gz", "bucket://acme/receipts", "bucket://acme/november/receipts.jsonl"]
)
def test_a_watermark_goes_forward_alone_and_others_stay(place: str) -> None:
    Path("out").mkdir()
    store = store_of(place)
    assert store.load() == {}
    store.save({"a": 100, "b": 200})
    store.save({"a": 50, "b": 300, "c": 1})
    assert store_of(place).load() == {"a": 100, "b": 300, "c": 1}


def test_a_file_of_watermarks_is_its_owners_and_no_part_of_one_is_left() -> None:
    os.umask(0o022)
    store_of("receipts.jsonl.gz").save({key_of(TABLE, "loaded_at"): int(NOW)})
    assert sorted(os.listdir()) == ["objects", "receipts.watermarks.json"]
    assert stat.S_IMODE(os.stat("receipts.watermarks.json").st_mode) == 0o600
    assert json.loads(Path("receipts.watermarks.json").read_text()) == {
        "format": "capybeam watermarks 1",
        "watermarks": [
            {"input": f"{TABLE} by loaded_at", "until": 1_795_676_400, "until_text": "2026-11-26T07:00:00Z"}
        ],
    }


def test_a_disk_that_is_full_leaves_the_old_watermark(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of("receipts.jsonl")
    store.save({"a": 1})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SinkError, match=r"^The watermark cannot be kept in receipts\.watermarks\.json: No space left"):
        store.save({"a": 2})
    assert store.load() == {"a": 1}
    assert sorted(os.listdir()) == ["objects", "receipts.watermarks.json"]


@pytest.mark.parametrize(
    "content", ["", "{}", '{"format": "capybeam watermarks 1"}', '{"format": 1, "watermarks": []}', "[]"]
)
def test_a_file_that_is_none_of_watermarks_is_neither_read_nor_replaced(content: str) -> None:
    Path("receipts.watermarks.json").write_text(content)
    for use in (lambda: store_of("receipts.jsonl").load(), lambda: store_of("receipts.jsonl").save({"a": 1})):
        with pytest.raises(SinkError, match=r"^receipts\.watermarks\.json holds no watermarks of capybeam"):
            use()
    assert Path("receipts.watermarks.json").read_text() == content


def test_a_link_is_not_followed() -> None:
    Path("receipts.watermarks.json").symlink_to("elsewhere")
    with pytest.raises(SinkError, match="it is a symbolic link, which is not followed"):
        store_of("receipts.jsonl").load()


@pytest.mark.parametrize("place", ["pubsub:projects/p/topics/t", "/dev/stdout", "/dev/null"])
def test_a_place_that_keeps_nothing_is_refused(place: str) -> None:
    with pytest.raises(SinkError, match="--since last needs receipts in a file, at a URL or in a table of BigQuery"):
        store_of(place)


def test_a_query_is_named_by_its_digest_since_its_text_may_hold_anything() -> None:
    one, other = (key_of(f"bigquery:SELECT * FROM t WHERE email = '{name}'", None) for name in ("jane", "joe"))
    assert one != other
    assert one.startswith("bigquery: a query ")
    assert "jane" not in one
    assert key_of("bigquery:`acme.shop.orders`", "x") == "bigquery:acme.shop.orders by x"


def test_a_run_begins_an_overlap_before_where_the_last_one_ended() -> None:
    store_of("receipts.jsonl.gz").save({key_of(TABLE, "loaded_at"): int(NOW - 24 * HOUR)})
    found, said = onward(request(), overlap=HOUR)
    assert found.since == {TABLE: NOW - 25 * HOUR}
    assert found.marks == {f"{TABLE} by loaded_at": int(NOW)}
    assert said[0] == (
        f"{TABLE}: the last run ended at 2026-11-25T07:00:00Z; from 2026-11-25T06:00:00Z, an overlap of 3,600 s."
    )


def test_a_watermark_is_never_later_than_the_run_was_asked_for() -> None:
    """What lands between then and a later --until is read by the next run."""
    found, _ = onward(request(until=NOW + HOUR), first=NOW - HOUR)
    assert set(found.marks.values()) == {int(NOW)}
    found, _ = onward(request(until=NOW - 0.5 * HOUR), first=NOW - HOUR)
    assert set(found.marks.values()) == {int(NOW - 0.5 * HOUR)}


def test_each_input_and_each_column_has_a_watermark_of_its_own() -> None:
    store_of("receipts.jsonl.gz").save({key_of(TABLE, "loaded_at"): int(NOW - HOUR)})
    other = "bigquery:acme.shop.pages"
    found, _ = onward(request(inputs=[TABLE, other]), first=NOW - 48 * HOUR)
    assert found.since == {TABLE: NOW - 2 * HOUR, other: NOW - 48 * HOUR}
    for given in (request(inputs=[other]), request(column="received_at"), request(receipts="others.jsonl")):
        with pytest.raises(NoInput, match=r"has left a watermark for .*: --since last,2d$"):
            onward(given)


def test_without_a_column_what_lands_late_is_warned_of() -> None:
    _, said = onward(request(column=None), first=NOW - HOUR)
    assert any("Those that land later than the overlap are not read" in sentence for sentence in said)


def test_receipts_and_dead_letters_that_may_name_what_is_read_again_are_resumed() -> None:
    def write(name: str, age: float) -> None:
        Path(name).write_bytes(gzip.compress(b"{}\n"))
        os.utime(name, (0, NOW - age))

    write("receipts.jsonl.gz", HOUR)
    write("receipts.20261126T060000.jsonl.gz", 20 * HOUR)
    write("receipts.20261101T060000.jsonl.gz", 500 * HOUR)  # before anything that is read now
    write("receipts-mine.jsonl.gz", HOUR)  # no file of an earlier run
    write("dead.jsonl", HOUR)
    store_of("receipts.jsonl.gz").save({key_of(TABLE, "loaded_at"): int(NOW - 24 * HOUR)})
    found, _ = onward(request())
    assert sorted(found.resume) == ["./receipts.20261126T060000.jsonl.gz", "dead.jsonl", "receipts.jsonl.gz"]
    brief, said = onward(request(delivery="{receipts: brief}"))
    assert brief.resume == ()
    assert any("Receipts are brief: what is read again is sent again" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (request, "--until is not after"),
        (
            lambda **more: request(inputs=["events.jsonl"], **more),
            "events.jsonl: --since and --until are for bigquery:",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(given: Any, said: str) -> None:
    store_of("receipts.jsonl.gz").save({key_of(TABLE, "loaded_at"): int(NOW)})
    with pytest.raises(NoInput, match=said):
        onward(given(until=NOW - 2 * HOUR))
