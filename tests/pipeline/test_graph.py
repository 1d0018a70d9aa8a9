"""The graph as a runner that streams runs it, under a clock of its own."""

from __future__ import annotations

import base64
import bz2
import contextlib
import functools
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.dataflow.ptransform_overrides import get_dataflow_transform_overrides
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue

from capybeam.pipeline.graph import Execution, convert_and_send, deliver
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run import execute, preflight
from capybeam.pipeline.run.exit_codes import OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.pipeline.sources import Source
from capybeam.pipeline.sources.message_attributes import MessageAttributes
from capybeam.pipeline.sources.pubsub.messages import line_of
from capybeam.pipeline.sources.pubsub.reader import SubscriptionDetails
from capybeam.pipeline.sources.pubsub.subscription import PubSubStream, ReadMessages
from capybeam.transforms.core import tokens
from tests.pipeline.jobs import TOKEN, job_file, order, rows

SECRET = "secret:projects/acme-shop/secrets/meta/versions/latest"


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


STEPS = Path(__file__).parent / "steps_of_a_stream.txt"
# Steps of Beam's. What is inside of them another version of Beam may call otherwise: such an update takes a drain, and
# nothing here can change that.
BEAMS = ("Input/Pull", "BatchByDestination/Gather", "WriteToBigQuery")
OUTPUTS = Outputs("bigquery:acme-shop.capybeam.dead_letters", "bigquery:acme-shop.capybeam.receipts")


DETAILS = SubscriptionDetails("projects/acme-shop/topics/events", ack_deadline=600.0)


@functools.cache
def streamed(details: SubscriptionDetails = DETAILS) -> Any:
    """The graph that Dataflow is handed by `run` for a stream, as Beam's DataflowRunner has changed it."""
    job = parse_job(job_file("https://graph.facebook.com", "{deduplicate: 10m}", SECRET))
    handed: list[Any] = []

    def take(_runner: DataflowRunner, pipeline: beam.Pipeline, options: PipelineOptions) -> Any:
        pipeline.replace_all([*DataflowRunner._PTRANSFORM_OVERRIDES, *get_dataflow_transform_overrides(options)])
        handed.append(pipeline.to_runner_api())
        return object()

    def opened(text: str, *_: Any) -> Source:
        path, attributes = text.removeprefix("pubsub:"), MessageAttributes(id="id")
        read = ReadMessages(path, line_of, attributes)
        subscription = PubSubStream(path, line_of, attributes, details)
        return Source(text, "a subscription", read, stream=subscription)

    with pytest.MonkeyPatch.context() as patch:  # where the cloud would be asked
        patch.setattr(execute, "open_source", opened)
        patch.setattr(preflight, "prepare", lambda *_: None)
        patch.setattr(PipelineOptionsValidator, "validate", lambda _validator: [])
        patch.setattr(DataflowRunner, "run_pipeline", take)
        options = ["--runner=DataflowRunner", "--streaming", "--project=acme-shop", "--region=europe-west1"]
        inputs = ["pubsub:projects/acme-shop/subscriptions/events"]
        assert (
            execute.run_job(
                RunRequest(
                    job,
                    inputs,
                    OUTPUTS,
                    [*options, "--temp_location=gs://acme/temp", "--sdk_container_image=acme/capybeam:1"],
                    wait=False,
                )
            )
            == OK
        )
    return handed[0]


def steps() -> list[str]:
    """The full names of the stream's steps, but for those inside of Beam's."""
    names = {transform.unique_name for transform in streamed().components.transforms.values()}
    own = {name for name in names if not any(f"{beams}/" in name for beams in BEAMS)}
    return sorted(name for name in own if not name.startswith("ref_"))  # which is the whole


def test_steps_keep_their_names_so_that_a_running_job_can_be_updated_in_place() -> None:
    """Dataflow matches the steps of the old job and the new one by name: a change here is one that needs a drain.

    Where it is meant, `PYTHONPATH=. python tests/pipeline/test_graph.py` writes the names anew.
    """
    assert steps() == STEPS.read_text(encoding="utf-8").splitlines()


def test_no_step_is_called_after_a_class_or_a_function() -> None:
    assert [name for name in steps() if "(" in name] == []


def test_a_stream_checks_its_workers_before_they_take_an_event() -> None:
    found = {step.unique_name: step for step in streamed().components.transforms.values()}
    assert set(found["CheckWorkers"].inputs.values()) == set(found["Input"].outputs.values())
    assert set(found["ParseEvents"].inputs.values()) == set(found["CheckWorkers"].outputs.values())


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
    carried = [graph.SerializeToString()]
    for transform in graph.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload).do_fn.payload
            carried.append(payload)
            with contextlib.suppress(ValueError, OSError):  # as Beam packs what it has pickled
                carried.append(bz2.decompress(base64.b64decode(payload)))
    assert len(carried) > 20
    assert not any(TOKEN.encode() in part for part in carried)
    assert any(SECRET.encode() in part for part in carried), "the reference travels"


if __name__ == "__main__":
    STEPS.write_text("".join(f"{name}\n" for name in steps()), encoding="utf-8")


def test_a_dead_letter_policy_is_warned_of_where_the_job_is_dataflows(capsys: pytest.CaptureFixture[str]) -> None:
    streamed()
    assert "dead-letter policy" not in capsys.readouterr().err
    streamed(SubscriptionDetails(DETAILS.topic, 600.0, "projects/acme-shop/topics/dead", 100))
    moved = "Pub/Sub moves a message to projects/acme-shop/topics/dead after 100 delivery attempts"
    assert moved in capsys.readouterr().err
