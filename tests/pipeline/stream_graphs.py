"""The graphs that Dataflow is handed for streams: what of them a running job's update depends on, as plain data.

``python -m tests.pipeline.stream_graphs`` (``make stream-graphs``) keeps those of this version beside this module, for
the next version to be compared with.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import orjson
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.portability.python_urns import PICKLED_CODER
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.dataflow.ptransform_overrides import get_dataflow_transform_overrides
from apache_beam.runners.pipeline_context import PipelineContext
from google.protobuf import wrappers_pb2

from capybeam import __version__
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run import execute, preflight
from capybeam.pipeline.run.exit_codes import OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sources import Source
from capybeam.pipeline.sources.message_attributes import MessageAttributes
from capybeam.pipeline.sources.pubsub.messages import line_of, lists_of_lines, numbered_line_of
from capybeam.pipeline.sources.pubsub.reader import SubscriptionDetails
from capybeam.pipeline.sources.pubsub.subscription import PubSubStream, ReadMessages
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.recent_ids import repeat_key
from capybeam.transforms.core.windows import Place
from tests.pipeline.jobs import job_file
from tests.transforms.envelopes import sealed

RELEASED: Final = Path(__file__).with_name("stream_graphs.json")
SECRET: Final = "secret:projects/acme-shop/secrets/meta/versions/latest"
DETAILS: Final = SubscriptionDetails("projects/acme-shop/topics/events", ack_deadline=600.0)
_TABLES: Final = ("bigquery:acme-shop.capybeam.dead_letters", "bigquery:acme-shop.capybeam.receipts")
_TOPICS: Final = ("pubsub:projects/acme-shop/topics/dead", "pubsub:projects/acme-shop/topics/receipts")
_BOOKS: Final = "bigquery:acme-shop.capybeam.window_books"

Json = dict[str, Any]

# Steps of Beam's. What is inside of them another version of Beam may call otherwise: such an update takes a drain, and
# nothing here can change that.
BEAMS: Final = ("Input/Pull", "BatchByDestination/Gather", "CountByWindow/Gather", "WriteToBigQuery", "WriteToPubSub")


# --- graphs -----------------------------------------------------------------------------------------------------------


@functools.cache
def streamed(
    details: SubscriptionDetails = DETAILS,
    delivery: str = "{deduplicate: 10m}",
    outputs: Outputs = Outputs(*_TABLES),  # noqa: B008 frozen
    command: str = "run",
) -> Any:
    """The graph that Dataflow is handed for a stream, as Beam's DataflowRunner has changed it."""
    job = parse_job(job_file("https://graph.facebook.com", delivery, SECRET))
    handed: list[Any] = []
    element: Any = line_of if command == "run" else numbered_line_of

    def take(_runner: DataflowRunner, pipeline: beam.Pipeline, options: PipelineOptions) -> Any:
        pipeline.replace_all([*DataflowRunner._PTRANSFORM_OVERRIDES, *get_dataflow_transform_overrides(options)])
        handed.append(pipeline.to_runner_api())
        return object()

    def opened(text: str, *_: Any) -> Source:
        path, attributes = text.removeprefix("pubsub:"), MessageAttributes(id="id")
        subscription = PubSubStream(path, lists_of_lines, attributes, details)  # which are for this machine
        return Source(text, "a subscription", ReadMessages(path, element, attributes), stream=subscription)

    with pytest.MonkeyPatch.context() as patch:  # where the cloud would be asked
        patch.setattr(execute, "open_source", opened)
        patch.setattr(execute, "open_dead_letters", opened)
        patch.setattr(preflight, "prepare", lambda *_: None)
        patch.setattr(PipelineOptionsValidator, "validate", lambda _validator: [])
        patch.setattr(DataflowRunner, "run_pipeline", take)
        options = ["--runner=DataflowRunner", "--streaming", "--project=acme-shop", "--region=europe-west1"]
        options += ["--max_num_workers=5", "--temp_location=gs://acme/temp", "--sdk_container_image=acme/capybeam:1"]
        inputs = ["pubsub:projects/acme-shop/subscriptions/events"]
        request = RunRequest(job, inputs, outputs, options, wait=False)
        code = execute.run_job(request) if command == "run" else execute.replay_job(request, ReplayFilter())
        assert code == OK
    return handed[0]


def graphs() -> Mapping[str, Any]:
    """A graph for each way in which a stream's steps differ, by a name."""
    return {
        "plain": streamed(delivery="{}"),
        "everything": streamed(outputs=Outputs(*_TABLES, window_books=_BOOKS)),
        "to topics": streamed(delivery="{}", outputs=Outputs(*_TOPICS)),
        "replay": streamed(delivery="{}", command="replay"),
    }


def own_steps(graph: Any) -> Iterator[Any]:
    """The steps but for those inside of Beam's, and the whole."""
    for transform in graph.components.transforms.values():
        name = transform.unique_name
        if not name.startswith("ref_") and not any(f"{beams}/" in name for beams in BEAMS):
            yield transform


# --- what an update depends on ----------------------------------------------------------------------------------------


def described(graph: Any) -> Json:
    """By the name of a step: what Dataflow compares of it, and what it keeps for it over an update.

    Of composite steps that is the name alone. State and timers are also those of steps inside of Beam's.
    """
    components = graph.components
    producers = {
        id_: (transform.unique_name, tag)
        for transform in components.transforms.values()
        if not transform.subtransforms
        for tag, id_ in transform.outputs.items()
    }
    own = {transform.unique_name for transform in own_steps(graph)}
    steps: Json = {}
    for transform in components.transforms.values():
        name = transform.unique_name
        step = _state_of(transform, components)
        if name not in own and not step:
            continue
        if name in own and (name.endswith(BEAMS) or not transform.subtransforms):
            step["urn"] = transform.spec.urn
            step["inputs"] = sorted(_source(producers, id_, own) for id_ in transform.inputs.values())
            step["outputs"] = {
                tag: _collection(components.pcollections[id_], components)
                for tag, id_ in sorted(transform.outputs.items())
            }
        steps[name] = step
    return dict(sorted(steps.items()))


def _source(producers: Mapping[str, tuple[str, str]], id_: str, own: set[str]) -> str:
    """Where a collection comes from: a step and its output, or the step of Beam's that it comes out of."""
    name, tag = producers[id_]
    while name not in own:
        name, tag = name.rpartition("/")[0], "None"
    return name if tag == "None" else f"{name}.{tag}"


def _collection(collection: Any, components: Any) -> str:
    windowing = components.windowing_strategies[collection.windowing_strategy_id]
    window = windowing.window_fn.urn.split(":")[-2]
    is_bounded = collection.is_bounded == beam_runner_api_pb2.IsBounded.BOUNDED
    return f"{coder_text(collection.coder_id, components)} in {window}{', bounded' if is_bounded else ''}"


def coder_text(coder_id: str, components: Any) -> str:
    """A coder with its components; one that is pickled by its class, as what else is pickled differs by Python."""
    coder = components.coders[coder_id]
    if coder.spec.urn == PICKLED_CODER:
        pickled = wrappers_pb2.BytesValue.FromString(coder.spec.payload).value
        return pickled.partition(b"$")[0].decode()  # as Beam writes it: class$pickle
    parts = [coder_text(part, components) for part in coder.component_coder_ids]
    return coder.spec.urn.split(":")[-2] + (f"({', '.join(parts)})" if parts else "")


def _state_of(transform: Any, components: Any) -> Json:
    if transform.spec.urn != "beam:transform:pardo:v1":
        return {}
    payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
    state = {name: _state_text(spec, components) for name, spec in sorted(payload.state_specs.items())}
    timers = {
        name: f"{beam_runner_api_pb2.TimeDomain.Enum.Name(spec.time_domain)}"
        f" {coder_text(spec.timer_family_coder_id, components)}"
        for name, spec in sorted(payload.timer_family_specs.items())
    }
    return {"state": state, "timers": timers} if state or timers else {}


def _state_text(spec: Any, components: Any) -> str:
    kind = spec.WhichOneof("spec")
    found = getattr(spec, kind)
    coders = [getattr(found, field.name) for field in found.DESCRIPTOR.fields if field.name.endswith("coder_id")]
    return f"{kind.removesuffix('_spec')}({', '.join(coder_text(coder, components) for coder in coders)})"


def broken_by(old: Json, new: Json, is_same_beam: bool = True) -> list[str]:
    """Why Dataflow would refuse to update a job with the steps `old` to `new`, or would lose what it keeps: sentences.

    What a new version adds breaks nothing. Without `is_same_beam`, state inside of Beam's steps is not looked at.
    """
    found = []
    for name, before in old.items():
        if not is_same_beam and "urn" not in before:
            continue
        after = new.get(name)
        if after is None:
            found.append(f"{name}: is not there any more, or has another name")
            continue
        if before.get("urn") != after.get("urn"):
            found.append(f"{name}: was {before.get('urn')}, is {after.get('urn')}")
        if before.get("inputs") != after.get("inputs"):
            found.append(f"{name}: read {before.get('inputs')}, reads {after.get('inputs')}")
        for kind, what in (("outputs", "output"), ("state", "state"), ("timers", "timer")):
            found += [
                f"{name}: {what} {each} was {text}, {'is ' + now if now else 'is not there any more'}"
                for each, text in before.get(kind, {}).items()
                if (now := after.get(kind, {}).get(each)) != text
            ]
    return found


# --- what is in the state of a running job ----------------------------------------------------------------------------


def kept_values() -> Mapping[str, Any]:
    """For each step that keeps elements, one that may wait there when a job is updated."""
    event = {"event_time": 1_795_000_000, "event_name": "Lead", "event_id": "a-1", "action_source": "website"}
    key = Address("web", "123").encode()
    counts = {
        Place(1_794_999_960): {"matched": 3, "delivered": 2},
        Place(1_794_999_960, "too_old"): {"dead_lettered": 1},
    }
    return {"BatchByDestination/Gather": (key, sealed(event)), "CountByWindow/Gather": ("web/purchase", counts)}


def coder_before(step: str) -> Any:
    """The coder by which a step's elements, and so what it keeps, are encoded."""
    graph = graphs()["everything"]
    (found,) = (each for each in graph.components.transforms.values() if each.unique_name == step)
    (collection,) = found.inputs.values()
    coder = PipelineContext(graph.components).coders.get_by_id(graph.components.pcollections[collection].coder_id)
    assert isinstance(coder, beam.coders.Coder)
    return coder


def release() -> Json:
    """All that a later version is compared with."""
    key, line = kept_values()["BatchByDestination/Gather"]
    return {
        "version": __version__,
        "beam": beam.__version__,
        "graphs": {name: described(graph) for name, graph in graphs().items()},
        "kept": {
            step: base64.b64encode(coder_before(step).encode(value)).decode() for step, value in kept_values().items()
        },
        "repeat_key": repeat_key(key, line).hex(),
    }


def written(kept: Json) -> str:
    """The file: a step on a line, so that a version's changes can be read."""
    parts = []
    for name, steps in kept["graphs"].items():
        lines = ",\n".join(
            f"      {orjson.dumps(step).decode()}: {orjson.dumps(what).decode()}" for step, what in steps.items()
        )
        parts.append(f"    {orjson.dumps(name).decode()}: {{\n{lines}\n    }}")
    rest = {key: value for key, value in kept.items() if key != "graphs"}
    head = orjson.dumps(rest, option=orjson.OPT_INDENT_2).decode().removesuffix("\n}")
    return f'{head},\n  "graphs": {{\n' + ",\n".join(parts) + "\n  }\n}\n"


if __name__ == "__main__":
    RELEASED.write_text(written(release()), encoding="utf-8")
