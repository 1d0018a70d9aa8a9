"""How a job on workers elsewhere is followed, cancelled and given up."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from capybeam.pipeline.runners import remote_job
from capybeam.pipeline.runners.errors import UnsupportedRunner
from capybeam.pipeline.runners.remote_job import RemoteJob, counters_of
from capybeam.transforms.base import add_to_metrics
from tests.pipeline.runners.fake_flink import TRACEBACK, Flink, options


class Result:
    """A job of PortableRunner that goes on until it is cancelled, or ends as it is made to."""

    _job_id = "BeamApp-1_4f6c"
    state = "RUNNING"

    def __init__(self, error: Exception | None = None, ends: bool = False) -> None:
        self._error, self.cancelled, self._end = error, False, threading.Event()
        if ends or error:
            self._end.set()

    def wait_until_finish(self) -> None:
        self._end.wait(30)
        if self._error:
            raise self._error

    def cancel(self) -> None:
        self.cancelled = True
        self._end.set()

    def metrics(self) -> Any:
        raise RuntimeError("not yet")


def job_on(flink: Flink, receipts: str = "gs://bucket/receipts") -> RemoteJob:
    given = options("--job_endpoint", "x:1", "--flink_master", flink.master, "--parallelism", "4")
    there = flink.answers["/jobs/overview"]
    flink.answers["/jobs/overview"] = {"jobs": []}  # before it is started
    job = RemoteJob("PortableRunner", given, receipts, threading.Event())
    flink.answers["/jobs/overview"] = there
    return job


def test_a_job_is_not_taken_for_another_of_a_name_like_its_own(flink: Flink) -> None:
    jobs = flink.answers["/jobs/overview"]["jobs"]
    jobs[:0] = [{**jobs[0], "jid": "other", "name": "BeamApp"}]
    job = job_on(flink)
    job.shutdown.set()
    job.follow(Result())
    assert flink.cancelled == ["/jobs/j1?mode=cancel"]


def test_a_job_is_not_taken_for_an_earlier_one_of_its_name(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_job, "WAIT_FOR_END", 1.0)
    flink.job("FAILED")
    flink.failures("TokenError: an old story")
    job = RemoteJob(
        "PortableRunner",
        options("--job_endpoint", "x:1", "--flink_master", flink.master),
        "gs://b/r",
        threading.Event(),
    )
    job.shutdown.set()
    job.follow(Result())
    assert flink.cancelled == []
    assert job.may_be_running


def test_a_job_that_was_on_its_way_when_it_was_cancelled_is_cancelled_once_it_is_there(flink: Flink) -> None:
    there = flink.answers["/jobs/overview"]
    flink.answers["/jobs/overview"] = {"jobs": []}
    job = RemoteJob(
        "PortableRunner",
        options("--job_endpoint", "x:1", "--flink_master", flink.master),
        "gs://b/r",
        threading.Event(),
    )
    threading.Timer(1.0, flink.answers.__setitem__, ["/jobs/overview", there]).start()
    job.shutdown.set()
    job.follow(Result())
    assert flink.cancelled == ["/jobs/j1?mode=cancel"]
    assert not job.may_be_running


def test_a_job_whose_job_server_is_lost_may_go_on(flink: Flink) -> None:
    job = job_on(flink)
    with pytest.raises(RuntimeError, match="Socket closed"):
        job.follow(Result(RuntimeError("Socket closed")))
    assert job.may_be_running


def test_a_lost_job_server_that_cannot_be_asked_either_hides_no_error() -> None:
    class Lost(Result):
        @property
        def state(self) -> str:  # type: ignore[override]
            raise RuntimeError("unavailable")

    job = RemoteJob("PortableRunner", options("--job_endpoint", "x:1"), "gs://bucket/receipts", threading.Event())
    with pytest.raises(RuntimeError, match="Socket closed"):
        job.follow(Lost(RuntimeError("Socket closed")))
    assert job.may_be_running


def test_a_job_that_waits_for_slots_is_given_up(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_job, "WAIT_FOR_SLOTS", 0.0)
    flink.job("RUNNING", scheduled=20)
    job, result = job_on(flink), Result()
    with pytest.raises(UnsupportedRunner, match="Flink did not have 4 slots"):
        job.follow(result)
    assert result.cancelled


def test_one_that_has_run_may_wait_for_a_machine_to_come_back(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_job, "WAIT_FOR_SLOTS", 0.0)
    job, result = job_on(flink), Result(ends=True)
    job.follow(result)
    flink.job("RUNNING", scheduled=20)
    flink.failures("TaskManagerLost")
    assert job._look() is None
    assert job.line(10) == "PortableRunner: waiting for 4 slots, work lost and restarted once, 10 s"


def test_a_job_whose_workers_lack_the_token_is_not_tried_for_ever(flink: Flink) -> None:
    flink.failures(
        TRACEBACK.format("capybeam.transforms.core.tokens.TokenError: The environment variable T is not set.")
    )
    result = Result()
    with pytest.raises(UnsupportedRunner, match="The environment variable T is not set"):
        job_on(flink).follow(result)
    assert result.cancelled
    assert flink.cancelled == ["/jobs/j1?mode=cancel"]


def test_a_run_that_is_stopped_cancels_the_job(flink: Flink) -> None:
    result, job = Result(), job_on(flink)
    job.shutdown.set()
    job.follow(result)
    assert result.cancelled
    assert flink.cancelled == ["/jobs/j1?mode=cancel"]
    assert not job.may_be_running


def test_a_job_that_does_not_end_when_it_is_cancelled_is_known_to_go_on(
    flink: Flink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_job, "WAIT_FOR_END", 1.0)
    flink.obeys = False
    job = job_on(flink)
    job.shutdown.set()
    job.follow(Result())
    assert job.may_be_running


def test_without_the_address_of_flink_nobody_knows_whether_a_cancelled_job_has_ended() -> None:
    job = RemoteJob("PortableRunner", options("--job_endpoint", "x:1"), "gs://bucket/receipts", threading.Event())
    job.shutdown.set()
    job.follow(Result())
    assert job.may_be_running


def test_what_ends_a_job_is_raised(flink: Flink) -> None:
    with pytest.raises(RuntimeError, match="the cluster burns"):
        job_on(flink).follow(Result(RuntimeError("the cluster burns")))
    with pytest.raises(UnsupportedRunner, match="lack the package orjson"):
        job_on(flink).follow(Result(RuntimeError("No module named 'orjson'")))


def test_receipts_that_this_machine_has_are_added_up_as_they_are_written(flink: Flink, tmp_path: Path) -> None:
    receipts = tmp_path / "receipts.jsonl"
    job = job_on(flink, f"file://{receipts}")
    assert job.sent is None  # there is none yet
    receipts.write_bytes(b'{"events": 1000}\n{"events": 5')
    assert job.sent == 1000
    with receipts.open("ab") as file:
        file.write(b"00}\n")
    assert job.sent == 1500
    assert job.line(10) == "PortableRunner: starting, 1,500 delivered (150/s), 10 s"
    assert job_on(flink).sent is None


def test_a_job_that_runs_and_delivers_nothing_says_where_to_look(flink: Flink, tmp_path: Path) -> None:
    (tmp_path / "receipts.jsonl").write_bytes(b"")
    job = job_on(flink, f"file://{tmp_path}/receipts.jsonl")
    job.follow(Result(ends=True))
    assert job.line(30) == "PortableRunner: running, 0 delivered (0/s), 30 s"
    assert job.line(90) == (
        "PortableRunner: running, 0 delivered (0/s), no receipt yet (do the Python workers start? See the logs of"
        " their pools), 90 s"
    )


def test_where_nothing_shows_how_a_job_goes_a_word_says_what_to_look_at() -> None:
    job = RemoteJob("PortableRunner", options("--parallelism", "4"), "gs://bucket/receipts", threading.Event())
    assert job.line(30) == "PortableRunner: starting, 30 s"
    assert job.line(90) == "PortableRunner: starting, no sign of work (has the cluster 4 free slots?), 90 s"


class _Counting(beam.DoFn):
    def process(self, element: dict[str, int]) -> None:
        add_to_metrics(element)


def test_counters_of_a_result_are_added_up_and_times_are_the_first_and_the_last() -> None:
    counts = [{"read": 2, "first_event_time:w": 9, "last_event_time:w": 9}, {"read": 3, "first_event_time:w": 5}]
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | beam.Create(counts) | beam.ParDo(_Counting())
    result = pipeline.run()
    result.wait_until_finish()
    assert counters_of(result) == {"read": 5, "first_event_time:w": 5, "last_event_time:w": 9}
