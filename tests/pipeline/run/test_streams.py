"""A stream of another scheme than Pub/Sub's, in memory, through the machinery of a run."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run import batches, execute
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.pipeline.schemes import SCHEMES, Scheme
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sources.message_attributes import MessageAttributes
from capybeam.transforms.core import run_context
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.core.run_context import RunContext
from tests.pipeline.jobs import TOKEN, job_file, order, rows
from tests.pipeline.sources import memory_source
from tests.pipeline.sources.memory_source import Queue

OUTPUTS = Outputs("dead.jsonl", "receipts.jsonl")


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as server:
        yield server


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Queue:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setitem(SCHEMES, "memory", Scheme(source=memory_source.__name__, has_attributes=True))
    made = Queue()
    monkeypatch.setitem(memory_source.QUEUES, "q", made)
    return made


def request(endpoint: str, outputs: Outputs = OUTPUTS) -> RunRequest:
    return RunRequest(parse_job(job_file(endpoint)), ["memory:q"], outputs, until_idle=0.1)


def test_the_messages_of_any_stream_are_delivered_or_dead_letters_and_acknowledged(
    queue: Queue, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [order(1), order(2), b"{", order(4), order(5)]
    queue.waiting += messages
    assert run_job(request(sandbox.url)) == DEAD_LETTERS
    assert sandbox.stats()["events_stored"] == 4
    assert [row["code"] for row in rows("dead.jsonl")] == ["invalid_json"]
    assert (queue.waiting, queue.leased, sorted(queue.acknowledged)) == ([], [], sorted(messages))
    error = " ".join(capsys.readouterr().err.split())
    assert "capybeam: queues forget messages when the process ends" in error
    assert "Reading memory:q (a queue), delivering to web" in error


def test_a_batch_that_fails_is_given_back_and_none_after_it_is_taken(
    queue: Queue, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [order(1), order(2), order(3)]
    queue.waiting += messages

    def fail(_path: str, _what: str) -> None:
        raise SinkError("Dead letters cannot be written to dead.jsonl: Input/output error")

    monkeypatch.setattr(batches, "fsync_file", fail)
    assert run_job(request(sandbox.url)) == FAILED
    assert (sorted(queue.waiting), queue.leased, queue.acknowledged) == (sorted(messages), [], [])


def test_a_batch_is_read_and_sent_while_earlier_ones_are_still_being_sent(
    queue: Queue, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults(latency=1.0)
    queue.waiting += [order(number) for number in range(6)]
    waiting_then: list[int] = []
    acknowledge = Queue.acknowledge

    def watched(self: Queue, messages: Sequence[bytes]) -> None:
        waiting_then.extend([len(self.waiting)] if messages else [])
        acknowledge(self, messages)

    monkeypatch.setattr(Queue, "acknowledge", watched)
    outputs = Outputs("dead.jsonl", "receipts.jsonl", "books.json")
    assert run_job(request(sandbox.url, outputs)) == OK
    assert (len(waiting_then), max(waiting_then), sandbox.stats()["events_stored"]) == (3, 0, 6)
    books = json.loads(Path("books.json").read_text())
    assert (books["read"], books["delivered"], books["balanced"]) == (6, 6, True)


def test_the_graph_is_built_and_translated_once_for_all_batches(
    queue: Queue, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    translated: list[beam.Pipeline] = []
    translate = beam.Pipeline.to_runner_api

    def watched(self: beam.Pipeline, *args: Any, **options: Any) -> Any:
        translated.append(self)
        return translate(self, *args, **options)

    monkeypatch.setattr(beam.Pipeline, "to_runner_api", watched)
    queue.waiting += [order(number) for number in range(10)]
    assert run_job(request(sandbox.url)) == OK
    assert (len(translated), len(queue.acknowledged)) == (1, 10)


def test_the_steps_are_set_up_before_the_first_message_has_come(
    queue: Queue, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    are_set_up = threading.Event()
    read = memory_source.QueueReader.batches

    def late(self: memory_source.QueueReader) -> Iterator[memory_source.QueueBatch]:
        assert are_set_up.wait(60)
        yield from read(self)

    monkeypatch.setattr(batches._NoMessages, "acknowledge", lambda _: are_set_up.set())
    monkeypatch.setattr(memory_source.QueueReader, "batches", late)
    queue.waiting += [order(1)]
    assert run_job(request(sandbox.url)) == OK
    assert len(queue.acknowledged) == 1


def test_messages_of_a_batch_are_computed_while_others_of_it_are_yet_to_come(
    queue: Queue, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[RunContext] = []
    computed_before: list[int] = []
    take, reader = Queue.take, memory_source.QueueStream.reader

    def watched(self: memory_source.QueueStream, run: RunContext, *args: Any) -> memory_source.QueueReader:
        runs.append(run)
        return reader(self, run, *args)

    def computed() -> int:
        return sum(run.progress.counts().get("read", 0) for run in runs)

    def late(self: Queue, most: int) -> list[bytes]:
        deadline = time.monotonic() + 60
        while runs and computed() < len(self.leased) and time.monotonic() < deadline:
            time.sleep(0.02)
        computed_before.append(computed())
        return take(self, most)

    monkeypatch.setattr(memory_source.QueueStream, "reader", watched)
    monkeypatch.setattr(Queue, "take", late)
    messages = [order(1), order(2)]  # of one batch
    queue.waiting += messages
    assert run_job(request(sandbox.url)) == OK
    assert (computed_before, queue.acknowledged) == ([0, 1, 2], messages)  # the first, of try_to_pull


def test_what_a_destination_refuses_is_held_while_later_batches_go_on(queue: Queue, tmp_path: Path) -> None:
    held = order(1)  # of web alone
    others = [b'{"type": "screen"}'] * 8  # of nobody
    queue.waiting += [held, *others]
    outputs = Outputs("dead.jsonl", "receipts.jsonl", "books.json")
    with SandboxServer(SandboxSettings(tokens=frozenset({"another"}))) as sandbox:
        asked = dataclasses.replace(request(sandbox.url, outputs), until_idle=None)
        running = threading.Thread(target=run_job, args=(asked,))
        running.start()
        deadline = time.monotonic() + 60
        while len(queue.acknowledged) < 7 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (queue.waiting, held in queue.leased, queue.acknowledged) == ([], True, others[:7])
        for context in list(run_context._CONTEXTS.values()):
            context.shutdown.set()
        running.join(60)
    assert (sorted(queue.waiting), queue.leased) == (sorted([held, others[0]]), [])
    assert (json.loads(Path("books.json").read_text())["read"], rows("dead.jsonl")) == (7, [])


def test_events_on_which_the_destination_fails_do_not_keep_all_others_from_being_read(
    queue: Queue, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.client._STANDSTILL", 0.5)
    sandbox.set_faults(poisoned_ids="order-7")
    for number in range(10):
        queue.waiting += [order(70 + number), order(10 + number)]  # of one batch
    queue.waiting += [order(number) for number in range(20, 30)]
    job = parse_job(job_file(sandbox.url, "{retry_for: 10m, timeout: 5s}"))
    asked = RunRequest(job, ["memory:q"], Outputs("dead.jsonl", "receipts.jsonl", "books.json"))
    running = threading.Thread(target=run_job, args=(asked,))
    running.start()
    deadline = time.monotonic() + 60
    while sandbox.stats()["events_stored"] < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sandbox.stats()["events_stored"] == 20
    for context in list(run_context._CONTEXTS.values()):
        context.shutdown.set()
    running.join(60)
    given_up = rows("dead.jsonl")
    assert {row["code"] for row in given_up} == {"gave_up_retrying"}
    assert len(given_up) + len([message for message in queue.waiting if b"order-7" in message]) == 10
    assert (queue.leased, json.loads(Path("books.json").read_text())["balanced"]) == ([], True)


def test_a_bundle_that_is_repeated_does_not_settle_its_batch_by_an_empty_one() -> None:
    handed = batches._HandedOver()
    handed.elements = iter([b"{}"])
    assert list(handed.take()) == [b"{}"]
    with pytest.raises(RuntimeError):
        handed.take()


def test_what_was_pulled_to_try_is_given_back_by_a_run_that_does_not_begin(queue: Queue) -> None:
    message = order(1)  # the time is in it
    queue.waiting += [message]
    assert run_job(request("http://127.0.0.1:9", Outputs("none.jsonl/dead.jsonl/x", "/proc/none/x"))) == CONFIGURATION
    assert (queue.waiting, queue.leased) == ([message], [])


@pytest.mark.parametrize(
    ("outputs", "replay_filter", "options", "message"),
    [
        (
            Outputs("memory:q", "receipts.jsonl"),
            ReplayFilter(),
            {},
            "Dead letters cannot be written to memory:q: memory:q receives what is written there",
        ),
        (OUTPUTS, ReplayFilter(retryable=True), {}, "memory:q: --only and --retryable are for files"),
        (OUTPUTS, ReplayFilter(), {"attributes": MessageAttributes(id="id")}, "--id-attribute"),
    ],
)
def test_what_a_stream_does_not_allow_is_refused(
    queue: Queue,
    capsys: pytest.CaptureFixture[str],
    outputs: Outputs,
    replay_filter: ReplayFilter,
    options: dict[str, Any],
    message: str,
) -> None:
    asked = dataclasses.replace(request("http://127.0.0.1:9", outputs), **options)
    code = run_job(asked) if options else replay_job(asked, replay_filter)
    assert (code, f"capybeam: {message}" in capsys.readouterr().err) == (CONFIGURATION, True)


@pytest.mark.parametrize(
    "options",
    [
        ["--direct_running_mode", "multi_threading"],
        ["--direct_num_workers", "2"],
        ["--runner", "BundleBasedDirectRunner"],
    ],
    ids=" ".join,
)
def test_a_stream_is_read_in_this_process_by_one_worker(
    queue: Queue, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    asked = dataclasses.replace(request("http://127.0.0.1:9"), beam_options=options)
    assert run_job(asked) == CONFIGURATION
    assert "capybeam: memory:q is read in this process, by FnApiRunner: leave out" in capsys.readouterr().err


def test_a_run_knows_no_kind_of_stream() -> None:
    """Help texts and the templates of Dataflow, in `options`, are about the kinds that there are."""
    for path in Path(execute.__file__).parent.glob("*.py"):
        assert path.name == "options.py" or "pubsub" not in path.read_text().lower(), path
