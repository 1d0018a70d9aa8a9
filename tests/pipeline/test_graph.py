"""The graph as a runner that streams runs it, under a clock of its own."""

from __future__ import annotations

import base64
import bz2
import contextlib
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue
from jobs import TOKEN, job_file, order, rows

from pipeline.config import parse_job
from pipeline.graph import deliver
from pipeline.sandbox import SandboxServer, SandboxSettings
from pipeline.sources.pubsub import Attributes, ReadMessages, line_of


def test_a_stream_is_sharded_by_the_runner_and_travels_to_it() -> None:
    transforms = streamed().to_runner_api().components.transforms.values()
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
            deliver(read, job, str(tmp_path / "dead.jsonl"), str(tmp_path / "receipts.jsonl"), flow="stream")
        stats = sandbox.stats()
    assert (stats["by_event"], stats["duplicates"]) == ({"123": {"Purchase": 3}}, 0)
    assert [row["code"] for row in rows(str(tmp_path / "dead.jsonl"))] == ["invalid_json"]
    assert sum(row["events"] for row in rows(str(tmp_path / "receipts.jsonl"))) == 3


def streamed() -> beam.Pipeline:
    """The graph of a stream, as it is handed to a runner."""
    pipeline = beam.Pipeline(options=PipelineOptions(["--streaming"]))
    job = parse_job(job_file("http://127.0.0.1:9", "{deduplicate: 10m}"))
    lines = pipeline | "Input" >> ReadMessages("projects/acme-shop/subscriptions/events", line_of, Attributes(id="id"))
    deliver(lines, job, "d", "r", 1, "stream")
    return pipeline


def test_steps_keep_their_names_so_that_a_running_job_can_be_updated_in_place() -> None:
    """Dataflow matches the steps of the old job and the new one by name: a change here is one that needs a drain."""
    names = {transform.unique_name for transform in streamed().to_runner_api().components.transforms.values()}
    assert sorted(name for name in names if "/" not in name and not name.startswith("ref_")) == [
        "BatchByDestination",
        "DropRepeats",
        "FilterEvents",
        "HashUserData",
        "Input",
        "Invalid",
        "MapEventNames",
        "MapProperties",
        "ParseEvents",
        "SendBatches",
        "Undelivered",
        "Unfilterable",
        "Unhashed",
        "Unmapped",
        "Unnamed",
        "Unparsable",
        "ValidateConversions",
        "WriteReceipts",
    ]
    again = {transform.unique_name for transform in streamed().to_runner_api().components.transforms.values()}
    assert names == again


def test_the_graph_is_small_and_carries_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    graph = streamed().to_runner_api()
    assert len(graph.SerializeToString()) < 1_000_000, "Dataflow takes 10 MB"
    carried = [graph.SerializeToString()]
    for transform in graph.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload).do_fn.payload
            carried.append(payload)
            with contextlib.suppress(ValueError, OSError):  # as Beam packs what it has pickled
                carried.append(bz2.decompress(base64.b64decode(payload)))
    assert len(carried) > 20
    assert not any(TOKEN.encode() in part for part in carried)
    assert any(b"env:TOKEN" in part for part in carried), "the reference travels"
