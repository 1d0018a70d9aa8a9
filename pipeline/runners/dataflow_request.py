"""The request by which Dataflow would be asked for a job, made by Beam's own DataflowRunner, and not sent."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)

from capybeam.pipeline.runners.dataflow_prices import Estimate, Kind, estimate

_ADDED: Final = "Beam adds it when the job is started"
_NO_FREEZE: Final = "disable_logging_submission_environment"  # without it Beam would run pip freeze
_SECRET: Final = re.compile(
    r"secret|password|token|credential|connection_string|access_key|private_key|sasl", re.IGNORECASE
)
MASK: Final = "…"


@dataclasses.dataclass(frozen=True)
class JobRequest:
    """A job as Dataflow would be asked for it.

    Attributes:
        job: the request's content, in the JSON form of Dataflow's API, without secrets. The graph is beside it, in a
            file of its own that Beam stages: `steps` and `graph_bytes` are about that.
        steps: the full names of the graph's steps, but for those inside of composites of Beam's own.
        files: what Beam would build or copy for the workers besides, by option.
    """

    job: Mapping[str, Any]
    steps: tuple[str, ...]
    graph_bytes: int
    files: Mapping[str, str]
    cost: Estimate

    @property
    def pool(self) -> Mapping[str, Any]:
        """The workers."""
        found: Mapping[str, Any] = self.job["environment"]["workerPools"][0]
        return found


def request_of(build: Callable[[], beam.Pipeline], options: PipelineOptions) -> JobRequest:
    """The request for a pipeline that is built with these options, which are changed. Asks nothing of a cloud.

    What Beam would install on workers is left out: for that it would run pip, or have an image built.
    """
    from apache_beam.runners.dataflow.internal import apiclient

    files = _without_packages(options)
    is_update = options.view_as(GoogleCloudOptions).update
    options.view_as(GoogleCloudOptions).update = False  # Beam would look the job up in the list of jobs
    options.view_as(TestOptions).dry_run = True
    job = build().run().job
    made: PipelineOptions = job.options  # to which Beam has added what the service wants to know
    made.view_as(TestOptions).dry_run = False
    made.view_as(DebugOptions).experiments.remove(_NO_FREEZE)
    graph = job.proto_pipeline.SerializeToString()
    job.proto.environment = apiclient.Environment(
        packages=[],
        options=made,
        environment_version="8",  # of all jobs that Beam makes now
        proto_pipeline_staged_url=f"{made.view_as(GoogleCloudOptions).staging_location}/pipeline.pb",
        proto_pipeline=job.proto_pipeline,
        pipeline_proto_hash=hashlib.sha256(graph).hexdigest(),
    ).proto
    content = masked(json.loads(str(job)))
    if is_update:
        content["replaceJobId"] = _ADDED
    return JobRequest(content, _steps_of(job.proto_pipeline), len(graph), files, _cost_of(made))


def _without_packages(options: PipelineOptions) -> dict[str, str]:
    """Takes the options out for which Beam would run pip or build an image; what they were."""
    setup, found = options.view_as(SetupOptions), dict[str, str]()
    for name in ("setup_file", "requirements_file", "extra_packages", "prebuild_sdk_container_engine"):
        if value := getattr(setup, name):
            found[f"--{name}"] = ", ".join(value) if isinstance(value, list) else value
            setattr(setup, name, None)
    options.view_as(DebugOptions).add_experiment(_NO_FREEZE)
    return found


def _steps_of(graph: Any) -> tuple[str, ...]:
    """Steps in the order of the graph; of a composite of Beam's own, its name alone."""
    transforms, names = graph.components.transforms, list[str]()

    def add(key: str, depth: int) -> None:
        step = transforms[key]
        if step.unique_name and depth:
            names.append(step.unique_name)
        if depth < _DEPTH:
            for each in step.subtransforms:
                add(each, depth + 1)

    for root in graph.root_transform_ids:
        add(root, 0 if transforms[root].subtransforms and not transforms[root].spec.urn else 1)
    return tuple(dict.fromkeys(names))


_DEPTH: Final = 2


def masked(value: Any, name: str = "") -> Any:
    """The same without the values of options that may hold a secret."""
    if name and _SECRET.search(name) and value not in (None, "", False) and not isinstance(value, (dict, list)):
        return MASK
    if isinstance(value, dict):
        key = str(value.get("key", ""))  # of what Beam calls display data
        return {
            each: MASK if each == "value" and key and _SECRET.search(key) else masked(inner, each)
            for each, inner in value.items()
        }
    if isinstance(value, list):
        return [MASK if name and _SECRET.search(name) else masked(inner) for inner in value]
    return value


def _cost_of(options: PipelineOptions) -> Estimate:
    cloud, worker = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    kind: Kind = (
        "streaming" if options.view_as(StandardOptions).streaming else "flexrs" if cloud.flexrs_goal else "batch"
    )
    workers = worker.num_workers, worker.max_num_workers
    region = worker.worker_region or cloud.region or "?"
    return estimate(kind, region, worker.machine_type, worker.disk_size_gb, workers)
