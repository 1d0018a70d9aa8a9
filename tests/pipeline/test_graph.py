"""The graph as a runner that streams runs it, under a clock of its own."""

from __future__ import annotations

import base64
import bz2
import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue

from capybeam.pipeline.graph import Execution, convert_and_send, deliver
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.pipeline.sources.pubsub.reader import SubscriptionDetails
from capybeam.transforms.base import share_run
from capybeam.transforms.core import tokens
from capybeam.transforms.core.run_context import RunHandle
from capybeam.transforms.core.windows import Windows
from tests.pipeline.jobs import TOKEN, job_file, order, rows
from tests.pipeline.stream_graphs import DETAILS, SECRET, graphs, own_steps, streamed


def test_a_stream_is_sharded_by_the_runner_and_travels_to_it() -> None:
    transforms = streamed().components.transforms.values()
    assert "beam:transform:group_into_batches_with_sharded_key:v1" in {transform.spec.urn for transform in transforms}


def test_a_stream_is_delivered_late_events_and_drained_ones_too_and_repeats_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    lines = TestStream().advance_watermark_to(1_000_000).add_elements([order(1), b"{broken", order(2)])
    lines = lines.add_elements([TimestampedValue(order(3), 0), order(1)]).advance_watermark_to_infinity()
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        job = parse_job(job_file(sandbox.url, "{max_batch_delay: 1h, deduplicate: 10m}"))
        options = PipelineOptions(["--streaming", "--runner", "BundleBasedDirectRunner"])
        with beam.Pipeline(options=options) as pipeline:
            read = pipeline | lines | beam.Map(bytes).with_output_types(bytes)
            deliver(
                read,
                job,
                Outputs(str(tmp_path / "dead.jsonl"), str(tmp_path / "receipts.jsonl")),
                Execution(flow="stream"),
            )
        stats = sandbox.stats()
    assert (stats["by_event"], stats["duplicates"]) == ({"123": {"Purchase": 3}}, 0)
    assert [row["code"] for row in rows(str(tmp_path / "dead.jsonl"))] == ["invalid_json"]
    assert sum(row["events"] for row in rows(str(tmp_path / "receipts.jsonl"))) == 3


def test_draining_a_stream_flushes_every_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain stops the input and moves the watermark to infinity, as at the end of this stream. Batches would wait
    for an hour, and so would the rows of the books: both are buffers of GroupIntoBatches."""
    monkeypatch.setenv("TOKEN", TOKEN)
    outputs = Outputs(*(str(tmp_path / f"{name}.jsonl") for name in ("dead", "receipts")))
    outputs = dataclasses.replace(outputs, window_books=str(tmp_path / "books.jsonl"))
    orders = [order(number) for number in range(95, 105)]  # five of which go to a second destination
    _received.clear()
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        monkeypatch.setitem(_watched, "sandbox", sandbox)
        job = parse_job(job_file(sandbox.url, "{max_batch_delay: 1h, deduplicate: 10m}"))
        events = TestStream().advance_watermark_to(1_000_000).add_elements([*orders[:5], b"{broken"])
        events = events.advance_processing_time(5).add_elements([*orders[5:], orders[0]])
        options = PipelineOptions(["--streaming", "--runner", "BundleBasedDirectRunner"])
        with beam.Pipeline(options=options) as pipeline:
            share_run(pipeline, RunHandle(windows=Windows(3600)))
            read = pipeline | events.advance_watermark_to_infinity() | beam.Map(_look).with_output_types(bytes)
            deliver(read, job, outputs, Execution(flow="stream"))
        stats = sandbox.stats()
    assert _received == [0] * 12, "sent before the drain"
    assert (stats["by_event"], stats["duplicates"]) == ({"123": {"Purchase": 10}, "456": {"Purchase": 5}}, 0)
    assert [row["code"] for row in rows(outputs.dead_letters)] == ["invalid_json"]
    receipts = rows(outputs.receipts)
    assert sorted((row["destination"], row["events"]) for row in receipts) == [("crm", 5), ("web", 10)]
    books: Counter[tuple[str | None, str]] = Counter()
    for row in rows(outputs.window_books or ""):
        for column in ("read", "taken", "filtered", "matched", "delivered", "skipped", "dead_lettered"):
            books[row.get("destination"), column] += row[column]
    assert +books == {
        (None, "read"): 12,
        (None, "taken"): 11,
        (None, "dead_lettered"): 1,
        ("web", "matched"): 11,
        ("web", "delivered"): 10,
        ("web", "skipped"): 1,
        ("crm", "matched"): 5,
        ("crm", "delivered"): 5,
    }


_watched: dict[str, SandboxServer] = {}  # steps are pickled, servers are not
_received: list[int] = []


def _look(line: bytes) -> bytes:
    _received.append(_watched["sandbox"].stats()["events_received"])
    return bytes(line)


def test_no_step_is_called_after_a_class_or_a_function() -> None:
    names = {step.unique_name for graph in graphs().values() for step in own_steps(graph)}
    assert [name for name in names if "(" in name] == []


def test_a_stream_checks_its_workers_before_they_take_an_event() -> None:
    found = {step.unique_name: step for step in streamed().components.transforms.values()}
    assert set(found["CheckWorkers"].inputs.values()) == set(found["Input"].outputs.values())
    assert set(found["ParseEvents"].inputs.values()) == set(found["CheckWorkers"].outputs.values())


def carried_by(graph: Any) -> Iterator[bytes]:
    """What the steps carry to the workers, as it is and as Beam has packed it."""
    for transform in graph.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload).do_fn.payload
            yield payload
            with contextlib.suppress(ValueError, OSError):
                yield bz2.decompress(base64.b64decode(payload))


@pytest.mark.parametrize(
    ("delivery", "is_leased"),
    [
        ("{requests_per_second: 5}", True),
        ("{requests_per_second: 5, share_unused_rate: false}", False),
        ("{deduplicate: 10m}", False),
    ],
)
def test_workers_lease_their_shares_of_the_rate_in_the_temp_location(delivery: str, is_leased: bool) -> None:
    place = b"gs://acme/temp/capybeam-rate/"
    assert any(place in part for part in carried_by(streamed(delivery=delivery))) == is_leased


COMPOSABLE = ["ParseEvents", "FilterEvents", "MapEventNames", "MapProperties", "HashUserData", "ValidateConversions"]


@pytest.mark.parametrize(
    ("execution", "converting"),
    [
        (Execution(is_local=True), ["ConvertEvents"]),
        (Execution(flow="batch", is_local=True), ["ConvertEvents"]),
        (Execution(flow="stream", is_local=True), COMPOSABLE),
        (Execution(), COMPOSABLE),
    ],
    ids=["a file", "a batch of messages", "a stream", "elsewhere"],
)
def test_what_is_not_a_stream_is_converted_on_this_machine_by_one_step(
    execution: Execution, converting: list[str]
) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    lines = pipeline | beam.Create([b""])
    way = convert_and_send(lines, parse_job(job_file("http://127.0.0.1:1")), execution)
    labels = [part.full_label for part in pipeline.transforms_stack[0].parts]
    assert [label for label in labels if label in ("ConvertEvents", *COMPOSABLE)] == converting
    assert len(way.rejecting) == len(converting) + 1


def test_the_graph_is_small_and_carries_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_from_secret_manager", lambda _name: TOKEN)
    graph = streamed()
    assert len(graph.SerializeToString()) < 1_000_000, "Dataflow takes 10 MB"
    carried = [graph.SerializeToString(), *carried_by(graph)]
    assert len(carried) > 20
    assert not any(TOKEN.encode() in part for part in carried)
    assert any(SECRET.encode() in part for part in carried), "the reference travels"


def test_a_dead_letter_policy_is_warned_of_where_the_job_is_dataflows(capsys: pytest.CaptureFixture[str]) -> None:
    streamed()
    assert "dead-letter policy" not in capsys.readouterr().err
    streamed(SubscriptionDetails(DETAILS.topic, 600.0, "projects/acme-shop/topics/dead", 100))
    moved = "Pub/Sub moves a message to projects/acme-shop/topics/dead after 100 delivery attempts"
    assert moved in capsys.readouterr().err
