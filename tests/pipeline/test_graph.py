"""The graph as a runner that streams runs it, under a clock of its own."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue
from jobs import TOKEN, job_file, order, rows

from pipeline.config import parse_job
from pipeline.graph import deliver
from pipeline.sandbox import SandboxServer, SandboxSettings
from pipeline.sources.pubsub import Attributes, ReadMessages, line_of


def test_a_stream_is_sharded_by_the_runner_and_travels_to_it() -> None:
    job = parse_job(job_file("http://127.0.0.1:9", "{deduplicate: 10m}"))
    pipeline = beam.Pipeline(options=PipelineOptions(["--streaming"]))
    deliver(
        pipeline | ReadMessages("projects/acme-shop/subscriptions/events", line_of, Attributes(id="id")),
        job,
        "d",
        "r",
        1,
        "stream",
    )
    transforms = pipeline.to_runner_api().components.transforms.values()
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
