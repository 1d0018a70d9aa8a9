"""Which runners are refused, what is looked at before a job starts on a cluster, and how one is followed."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from capybeam.pipeline.runners import support
from capybeam.pipeline.runners.support import (
    RemoteJob,
    UnsupportedRunner,
    Versions,
    _CheckWorkers,
    check_place,
    check_runner,
    explain,
    worth,
)
from capybeam.pipeline.sources import NoInput
from capybeam.transforms.core.shutdown import STOPPING


class Flink:
    """What a JobManager's web interface answers, by path; and its address."""

    def __init__(self, master: str) -> None:
        self.master = master
        self.cancelled: list[str] = []
        self.obeys = True
        self.answers: dict[str, Any] = {"/jobmanager/config": [{"key": "rest.port", "value": "8081"}], "/jobs/j1": {}}
        self.slots(4)
        self.job("RUNNING", running=4)
        self.failures()

    def slots(self, free: int) -> None:
        self.answers["/overview"] = {"slots-available": free}

    def job(self, state: str, **tasks: int) -> None:
        counts = {"running": 0, "finished": 0, "scheduled": 0, **tasks}
        jobs = [{"jid": "j1", "name": "BeamApp-1", "state": state, "tasks": counts}]
        self.answers["/jobs/overview"] = {"jobs": jobs}

    def failures(self, *stacktraces: str) -> None:
        entries = [{"stacktrace": text} for text in stacktraces]
        self.answers["/jobs/j1/exceptions"] = {"exceptionHistory": {"entries": entries}}


@pytest.fixture
def flink() -> Iterator[Flink]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(found.answers[self.path.partition("?")[0]]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PATCH(self) -> None:
            found.cancelled.append(self.path)
            if found.obeys:
                found.job("CANCELED")
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Flink(f"127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def job_server() -> Iterator[str]:
    """The address of a job server that does nothing."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(beam_job_api_pb2_grpc.JobServiceServicer(), server)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def deaf_server() -> Iterator[str]:
    """The address of something that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address at which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def options(*arguments: str) -> PipelineOptions:
    return PipelineOptions(list(arguments))


# --- runners ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runner", "streaming", "reason"),
    [
        ("PrismRunner", False, "loses events"),
        ("apache_beam.runners.portability.prism_runner.PrismRunner", True, "loses events"),
        ("DirectRunner", False, "may choose Prism"),
        ("SwitchingDirectRunner", False, "may choose Prism"),
        ("prism", False, "loses events"),
        ("PRISMRUNNER", True, "loses events"),
        ("direct", False, "may choose Prism"),
        ("directrunner", True, "acknowledges a message when it is pulled"),
        ("TestDirectRunner", True, "acknowledges a message when it is pulled"),
        ("DirectRunner", True, "acknowledges a message when it is pulled"),
        ("BundleBasedDirectRunner", True, "acknowledges a message when it is pulled"),
    ],
)
def test_a_runner_that_loses_events_is_refused(runner: str, streaming: bool, reason: str) -> None:
    with pytest.raises(UnsupportedRunner, match=reason) as refused:
        check_runner(runner, options(), streaming)
    assert "Leave --runner" in str(refused.value)
    check_runner(runner, options("--allow-unsafe-runner"), streaming)


@pytest.mark.parametrize("runner", ["FnApiRunner", "DataflowRunner", "BundleBasedDirectRunner"])
def test_other_runners_are_not(runner: str) -> None:
    check_runner(runner, options(), streaming=False)


def test_an_input_that_only_this_machine_has_is_refused_for_workers_elsewhere() -> None:
    with pytest.raises(NoInput, match=r"PortableRunner cannot read events/\*.jsonl: .* file:///"):
        check_place("events/*.jsonl", ["./events/1.jsonl"], "PortableRunner")
    check_place("file:///mnt/*.jsonl", ["/mnt/1.jsonl"], "PortableRunner")
    check_place("gs://bucket/*.jsonl", ["gs://bucket/1.jsonl"], "PortableRunner")
    check_place("bigquery:acme.segment.tracks", [], "PortableRunner")


def test_what_counters_are_worth() -> None:
    assert worth("DataflowRunner", options()) == "once"
    assert worth("dataflow", options()) == "once"
    assert worth("PortableRunner", options("--flink_master", "flink:8081")) == "once"
    assert worth("PortableRunner", options()) == "unknown"
    assert worth("SparkRunner", options()) == "unknown"


# --- clusters ---------------------------------------------------------------------------------------------------


def test_a_job_server_that_is_not_named_or_not_there_is_said_at_once(nobody: str) -> None:
    with pytest.raises(UnsupportedRunner, match="needs the address of a job server: --job_endpoint"):
        check_runner("PortableRunner", options(), streaming=False)
    started = time.monotonic()
    for endpoint in (nobody, "no port", "localhost:seven"):
        with pytest.raises(UnsupportedRunner, match=f"No job server answers at {endpoint}"):
            check_runner("PortableRunner", options("--job_endpoint", endpoint), streaming=False)
    assert time.monotonic() - started < 2


def test_what_is_no_job_server_is_said_at_once(deaf_server: str, flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "PATIENCE", 0.5)
    for endpoint in (deaf_server, flink.master):
        with pytest.raises(UnsupportedRunner) as raised:
            check_runner("PortableRunner", options("--job_endpoint", endpoint), streaming=False)
        assert str(raised.value) == (
            f"Something else than a job server answers at {endpoint}. Start Beam's job server there, or mend"
            " --job_endpoint (docs/clusters.md)"
        )


def test_artifacts_that_cannot_be_handed_over_are_said_in_a_sentence(nobody: str) -> None:
    with grpc.insecure_channel(nobody) as channel:
        stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.DescribePipelineOptions(beam_job_api_pb2.DescribePipelineOptionsRequest())
    assert str(support.unreachable(raised.value, "PortableRunner")) == (
        "The job server takes artifacts at an address that does not answer from here. Give the right one:"
        " --artifact_endpoint HOST:PORT (docs/clusters.md)"
    )
    assert support.unreachable(RuntimeError("other"), "PortableRunner") is None
    assert support.unreachable(raised.value, "DataflowRunner") is None


@pytest.mark.parametrize(
    ("kind", "experiments"), [("EXTERNAL", ["disable_logging_submission_environment"]), ("DOCKER", None)]
)
def test_nothing_is_staged_for_a_pool_that_has_all_it_needs(kind: str, experiments: list[str] | None) -> None:
    given = options("--environment_type", kind)
    support.stage_nothing(given)
    assert given.view_as(DebugOptions).experiments == experiments


def test_a_job_manager_that_is_not_there_is_said_at_once(job_server: str, nobody: str) -> None:
    given = options("--job_endpoint", job_server, "--flink_master", nobody)
    with pytest.raises(UnsupportedRunner, match=f"No Flink JobManager answers at {nobody}"):
        check_runner("PortableRunner", given, streaming=False)


def test_too_few_slots_are_said_before_the_job_waits_for_ever(job_server: str, flink: Flink) -> None:
    given = options("--job_endpoint", job_server, "--flink_master", f"http://{flink.master}", "--parallelism", "4")
    check_runner("PortableRunner", given, streaming=False)
    flink.slots(1)
    with pytest.raises(UnsupportedRunner, match=r"1 free slot and the job needs 4.*--parallelism 1"):
        check_runner("PortableRunner", given, streaming=False)


def test_flink_that_starts_task_managers_on_demand_may_have_no_slots_yet(job_server: str, flink: Flink) -> None:
    flink.slots(0)
    flink.answers["/jobmanager/config"].append({"key": "kubernetes.cluster-id", "value": "history"})
    check_runner("PortableRunner", options("--job_endpoint", job_server, "--flink_master", flink.master), False)


# --- workers ----------------------------------------------------------------------------------------------------


def test_workers_of_the_same_versions_pass_elements_on() -> None:
    step = _CheckWorkers(Versions.here())
    step.setup()
    assert list(step.process(b"line")) == [b"line"]


@pytest.mark.parametrize("field", ["python", "beam", "capybeam"])
def test_workers_of_another_version_refuse_before_the_first_event(field: str) -> None:
    step = _CheckWorkers(dataclasses.replace(Versions.here(), **{field: "0.0"}))
    with pytest.raises(UnsupportedRunner, match=f"{field.capitalize()} is 0.0 here and .* on the workers"):
        step.setup()


TRACEBACK = """java.util.concurrent.ExecutionException: java.lang.RuntimeException: Error received from SDK harness
for instruction 4: Traceback (most recent call last):
  File "sdk_worker.py", line 331, in _execute
{}

\tat java.base/java.util.concurrent.CompletableFuture.reportGet(Unknown Source)
"""


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (
            "capybeam.transforms.core.tokens.TokenError: The environment variable T is not set. Set it."
            " [while running 'Send']",
            "The environment variable T is not set. Set it.",
        ),
        (
            "capybeam.pipeline.runners.support.UnsupportedRunner: Versions do not match: Beam is 1 here.",
            "Versions do not match: Beam is 1",
        ),
        (
            "capybeam.pipeline.sinks.SinkError: Receipts cannot be written to /mnt/r: No such file",
            "Receipts cannot be",
        ),
        ("ModuleNotFoundError: No module named 'capybeam'", "The Python workers do not have capybeam."),
        ("ModuleNotFoundError: No module named 'orjson'", "The Python workers lack the package orjson."),
        ("AttributeError: Can't get attribute 'Delivery' on <module", "The Python workers cannot read the job."),
        ("SystemError: unknown opcode", "The Python workers cannot read the job."),
        ("org.apache.flink…NoResourceAvailableException: Could not", "Flink has too few free slots"),
        (
            "StatusRuntimeException: UNAVAILABLE: io exception\nCaused by: Connection refused: localhost:50000",
            "The TaskManagers cannot reach the pool of Python workers.",
        ),
        ("BeamIOError: No files found based on the file pattern /x", "The workers do not find the files of the input."),
    ],
)
def test_an_error_of_setting_up_is_told_in_a_sentence(text: str, meaning: str) -> None:
    explained = explain(TRACEBACK.format(text))
    assert explained is not None
    assert explained.startswith(meaning)
    assert "while running" not in explained


@pytest.mark.parametrize(
    "text",
    [
        "org.apache.flink.runtime.taskexecutor.TaskManagerLost: The TaskManager is gone",
        TRACEBACK.format("google.auth.RefreshTokenError: of jane@example.com"),
        TRACEBACK.format("oauth.errors.TokenError: of jane@example.com"),
        TRACEBACK.format("ValueError: capybeam.transforms.core.tokens.TokenError: of jane@example.com"),
    ],
)
def test_other_errors_are_left_to_the_runner(text: str) -> None:
    assert explain(text) is None


# --- following a job --------------------------------------------------------------------------------------------


class Result:
    """A job of PortableRunner that goes on until it is cancelled, or ends as it is told to."""

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


def remote_job(flink: Flink, receipts: str = "gs://bucket/receipts") -> RemoteJob:
    given = options("--job_endpoint", "x:1", "--flink_master", flink.master, "--parallelism", "4")
    there = flink.answers["/jobs/overview"]
    flink.answers["/jobs/overview"] = {"jobs": []}  # before it is started
    job = RemoteJob("PortableRunner", given, receipts)
    flink.answers["/jobs/overview"] = there
    return job


def test_a_job_is_not_taken_for_another_of_a_name_like_its_own(flink: Flink) -> None:
    jobs = flink.answers["/jobs/overview"]["jobs"]
    jobs[:0] = [{**jobs[0], "jid": "other", "name": "BeamApp"}]
    job = remote_job(flink)
    STOPPING.set()
    job.follow(Result())
    assert flink.cancelled == ["/jobs/j1?mode=cancel"]


def test_a_job_is_not_taken_for_an_earlier_one_of_its_name(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "WAIT_FOR_END", 1.0)
    flink.job("FAILED")
    flink.failures("TokenError: an old story")
    job = RemoteJob("PortableRunner", options("--job_endpoint", "x:1", "--flink_master", flink.master), "gs://b/r")
    STOPPING.set()
    job.follow(Result())
    assert flink.cancelled == []
    assert job.goes_on


def test_a_job_that_was_on_its_way_when_it_was_cancelled_is_cancelled_once_it_is_there(flink: Flink) -> None:
    there = flink.answers["/jobs/overview"]
    flink.answers["/jobs/overview"] = {"jobs": []}
    job = RemoteJob("PortableRunner", options("--job_endpoint", "x:1", "--flink_master", flink.master), "gs://b/r")
    threading.Timer(1.0, flink.answers.__setitem__, ["/jobs/overview", there]).start()
    STOPPING.set()
    job.follow(Result())
    assert flink.cancelled == ["/jobs/j1?mode=cancel"]
    assert not job.goes_on


def test_a_job_whose_job_server_is_lost_may_go_on(flink: Flink) -> None:
    job = remote_job(flink)
    with pytest.raises(RuntimeError, match="Socket closed"):
        job.follow(Result(RuntimeError("Socket closed")))
    assert job.goes_on


def test_a_lost_job_server_that_cannot_be_asked_either_hides_no_error() -> None:
    class Lost(Result):
        @property
        def state(self) -> str:  # type: ignore[override]
            raise RuntimeError("unavailable")

    job = RemoteJob("PortableRunner", options("--job_endpoint", "x:1"), "gs://bucket/receipts")
    with pytest.raises(RuntimeError, match="Socket closed"):
        job.follow(Lost(RuntimeError("Socket closed")))
    assert job.goes_on


def test_a_job_that_waits_for_slots_is_given_up(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "WAIT_FOR_SLOTS", 0.0)
    flink.job("RUNNING", scheduled=20)
    job, result = remote_job(flink), Result()
    with pytest.raises(UnsupportedRunner, match="Flink has not had 4 slots"):
        job.follow(result)
    assert result.cancelled


def test_one_that_has_run_may_wait_for_a_machine_to_come_back(flink: Flink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "WAIT_FOR_SLOTS", 0.0)
    job, result = remote_job(flink), Result(ends=True)
    job.follow(result)
    flink.job("RUNNING", scheduled=20)
    flink.failures("TaskManagerLost")
    assert job._look() is None
    assert job.line(10) == "PortableRunner: waiting for 4 slots, work lost and begun again once, 10 s"


def test_a_job_whose_workers_lack_the_token_is_not_tried_for_ever(flink: Flink) -> None:
    flink.failures(
        TRACEBACK.format("capybeam.transforms.core.tokens.TokenError: The environment variable T is not set.")
    )
    result = Result()
    with pytest.raises(UnsupportedRunner, match="The environment variable T is not set"):
        remote_job(flink).follow(result)
    assert result.cancelled
    assert flink.cancelled == ["/jobs/j1?mode=cancel"]


def test_a_run_that_is_stopped_cancels_the_job(flink: Flink) -> None:
    result, job = Result(), remote_job(flink)
    STOPPING.set()
    job.follow(result)
    assert result.cancelled
    assert flink.cancelled == ["/jobs/j1?mode=cancel"]
    assert not job.goes_on


def test_a_job_that_does_not_end_when_it_is_cancelled_is_known_to_go_on(
    flink: Flink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "WAIT_FOR_END", 1.0)
    flink.obeys = False
    job = remote_job(flink)
    STOPPING.set()
    job.follow(Result())
    assert job.goes_on


def test_without_the_address_of_flink_nobody_knows_whether_a_cancelled_job_has_ended() -> None:
    job = RemoteJob("PortableRunner", options("--job_endpoint", "x:1"), "gs://bucket/receipts")
    STOPPING.set()
    job.follow(Result())
    assert job.goes_on


def test_the_page_of_flinks_jobs_is_told() -> None:
    assert support.flink_page(options("--flink_master", "flink:8081")) == "http://flink:8081/#/overview"
    assert support.flink_page(options("--flink_master", "https://flink/")) == "https://flink/#/overview"
    assert support.flink_page(options("--job_endpoint", "x:1")) is None


def test_what_ends_a_job_is_raised(flink: Flink) -> None:
    with pytest.raises(RuntimeError, match="the cluster burns"):
        remote_job(flink).follow(Result(RuntimeError("the cluster burns")))
    with pytest.raises(UnsupportedRunner, match="lack the package orjson"):
        remote_job(flink).follow(Result(RuntimeError("No module named 'orjson'")))


def test_receipts_that_this_machine_has_are_added_up_as_they_are_written(flink: Flink, tmp_path: Path) -> None:
    receipts = tmp_path / "receipts.jsonl"
    job = remote_job(flink, f"file://{receipts}")
    assert job.sent is None  # there is none yet
    receipts.write_bytes(b'{"events": 1000}\n{"events": 5')
    assert job.sent == 1000
    with receipts.open("ab") as file:
        file.write(b"00}\n")
    assert job.sent == 1500
    assert job.line(10) == "PortableRunner: starting, 1,500 delivered (150/s), 10 s"
    assert remote_job(flink).sent is None


def test_a_job_that_runs_and_delivers_nothing_says_where_to_look(flink: Flink, tmp_path: Path) -> None:
    (tmp_path / "receipts.jsonl").write_bytes(b"")
    job = remote_job(flink, f"file://{tmp_path}/receipts.jsonl")
    job.follow(Result(ends=True))
    assert job.line(30) == "PortableRunner: running, 0 delivered (0/s), 30 s"
    assert job.line(90) == (
        "PortableRunner: running, 0 delivered (0/s), no receipt yet (do the Python workers start? The logs of their"
        " pools tell), 90 s"
    )


def test_where_nothing_shows_how_a_job_goes_a_word_says_what_to_look_at() -> None:
    job = RemoteJob("PortableRunner", options("--parallelism", "4"), "gs://bucket/receipts")
    assert job.line(30) == "PortableRunner: starting, 30 s"
    assert job.line(90) == "PortableRunner: starting, no sign of work (has the cluster 4 free slots?), 90 s"
