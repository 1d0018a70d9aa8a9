"""The request by which Dataflow would be asked for a job, made by Beam's own DataflowRunner, and not sent."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
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

_NOT_SENT: Final = "Beam adds it when the job is started"
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
    options: Mapping[str, Any]
    files: Mapping[str, str]
    cost: Estimate

    @property
    def pool(self) -> Mapping[str, Any]:
        """The workers."""
        found: Mapping[str, Any] = self.job["environment"]["workerPools"][0]
        return found


def request_of(pipeline: beam.Pipeline) -> JobRequest:
    """The request for a pipeline, whose options name Dataflow's runner. Asks nothing of a cloud, and changes nothing.

    What Beam would install on workers is left out: for that it would run pip, or have an image built.
    """
    from apache_beam.runners.dataflow.internal import apiclient

    options: PipelineOptions = pipeline.options
    files = _without_packages(options)
    cloud, given = options.view_as(GoogleCloudOptions), options.get_all_options(drop_default=True)
    is_update, cloud.update = cloud.update, False  # which Beam would look up in the list of jobs
    options.view_as(TestOptions).dry_run = True
    job = pipeline.run().job
    options.view_as(TestOptions).dry_run = False
    graph = job.proto_pipeline.SerializeToString()
    job.proto.environment = apiclient.Environment(
        packages=[],
        options=options,
        environment_version="8",  # of all jobs that Beam makes now
        proto_pipeline_staged_url=f"{cloud.staging_location}/pipeline.pb",
        proto_pipeline=job.proto_pipeline,
        pipeline_proto_hash=hashlib.sha256(graph).hexdigest(),
    ).proto
    content = _masked(json.loads(str(job)))
    if is_update:
        content["replaceJobId"] = _NOT_SENT
    given = {name: value for name, value in given.items() if name != "dry_run"}
    return JobRequest(content, _steps_of(job.proto_pipeline), len(graph), _masked(given), files, _cost_of(options))


def _without_packages(options: PipelineOptions) -> dict[str, str]:
    """Takes the options out for which Beam would run pip or build an image; what they were."""
    setup, found = options.view_as(SetupOptions), dict[str, str]()
    for name in ("setup_file", "requirements_file", "extra_packages", "prebuild_sdk_container_engine"):
        if value := getattr(setup, name):
            found[f"--{name}"] = ", ".join(value) if isinstance(value, list) else value
            setattr(setup, name, None)
    debug = options.view_as(DebugOptions)
    debug.add_experiment("disable_logging_submission_environment")  # by which Beam would run pip freeze
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


def _masked(value: Any, name: str = "") -> Any:
    """The same without the values of options that may hold a secret."""
    if name and _SECRET.search(name) and value not in (None, "", False) and not isinstance(value, (dict, list)):
        return MASK
    if isinstance(value, dict):
        key = str(value.get("key", ""))  # of what Beam calls display data
        return {
            each: MASK if each == "value" and key and _SECRET.search(key) else _masked(inner, each)
            for each, inner in value.items()
        }
    if isinstance(value, list):
        return [MASK if name and _SECRET.search(name) else _masked(inner) for inner in value]
    return value


def _cost_of(options: PipelineOptions) -> Estimate:
    cloud, worker = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    kind: Kind = (
        "streaming" if options.view_as(StandardOptions).streaming else "flexrs" if cloud.flexrs_goal else "batch"
    )
    workers = worker.num_workers, worker.max_num_workers
    region = worker.worker_region or cloud.region or "?"
    return estimate(kind, region, worker.machine_type, worker.disk_size_gb, workers)
