"""``--dry-run``: what a run would read, send and write, and on what, without doing any of it.

On this machine no event is read and no file is touched; BigQuery is asked for columns, sizes and estimates, which is
free. For Dataflow the request is made that would start the job, by Beam's own runner, and is not sent. That takes
neither credentials nor a network: where there are credentials, the inputs are looked at as well.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, PipelineOptions
from rich.console import Console

from capybeam.pipeline.run.beam_options import RunOptions
from capybeam.pipeline.run.exit_codes import CONFIGURATION, OK
from capybeam.pipeline.run.preflight import RunPlan, check_request
from capybeam.pipeline.run.recording import inputs_of
from capybeam.pipeline.run.request import RunRequest
from capybeam.pipeline.run.run_log import RunLog
from capybeam.pipeline.runners import dataflow
from capybeam.pipeline.runners.dataflow_request import JobRequest, masked, request_of
from capybeam.pipeline.runners.support import runner_class_name
from capybeam.pipeline.schemes import is_local, strip_file_scheme
from capybeam.pipeline.sinks import Writers, plan
from capybeam.pipeline.sinks.local_files import beyond, plan_of_file
from capybeam.pipeline.sinks.report_file import WHAT as REPORT
from capybeam.pipeline.sources import Source

Document = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """What would be carried out.

    Attributes:
        command: run or replay.
        open_inputs: looks at the inputs; given is whether no cloud is to be asked.
        build: the graph, once the inputs have been looked at.
    """

    command: str
    request: RunRequest
    options: RunOptions
    open_inputs: Callable[[bool], Sequence[Source]]
    build: Callable[[RunPlan], beam.Pipeline]


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes:
        job: as Dataflow would be asked for it; None on other runners.
        outputs: what would be written, where, and what that would do there.
        deleted: files of earlier runs that --keep would delete.
        given: Beam's options that are not as by default, without secrets.
    """

    task: Task
    sources: Sequence[Source]
    outputs: Sequence[tuple[str, str, str]]
    deleted: Sequence[str]
    given: Mapping[str, Any]
    job: JobRequest | None = None

    def document(self) -> Document:
        """For programs."""
        request, options = self.task.request, self.task.options
        job = request.job
        found: Document = {
            "dry_run": True,
            "command": self.task.command,
            "runner": options.runner,
            "job_file": request.config,
            "inputs": [
                {**model.model_dump(), "extent": source.extent, "looked_at": not source.is_unseen}
                for source, model in zip(self.sources, inputs_of(self.sources), strict=True)
            ],
            "destinations": [
                {
                    "name": destination.name,
                    "endpoint": destination.endpoint,
                    "secrets": {key: reference.text for key, reference in destination.secrets.items()},
                    "subscriptions": [
                        {"name": each.name, "dataset_ids": list(each.dataset_ids)}
                        for each in job.subscriptions
                        if each.destination == destination.name
                    ],
                }
                for destination in job.destinations
            ],
            "outputs": [{"what": what, "place": place, "effect": effect} for what, place, effect in self.outputs],
            "deleted": list(self.deleted),
            "not_sent_again": list(request.resume),
            "beam_options": dict(self.given),
        }
        if self.job is not None:
            found["dataflow"] = {
                "steps": list(self.job.steps),
                "graph_bytes": self.job.graph_bytes,
                "installed_on_workers": dict(self.job.files),
                "cost": self.job.cost.document(),
                "request": self.job.job,
            }
        return found


def _given(options: PipelineOptions) -> Mapping[str, Any]:
    found: Mapping[str, Any] = masked(options.get_all_options(drop_default=True))
    return {name: value for name, value in found.items() if name != "runner"}


def look(task: Task, log: RunLog) -> DryRun:
    """Looks at all that a run needs. Raises what `preflight` raises."""
    request, options = task.request, task.options
    given = _given(options.beam)
    is_dataflow = runner_class_name(options.runner) in dataflow.RUNNERS
    is_offline = is_dataflow and not has_credentials()
    if is_offline:
        log.info("There are no Google Cloud credentials here: inputs in the cloud are not looked at.")
    sources = task.open_inputs(is_offline)
    plan_ = check_request(request, options, sources, log)
    writers = Writers(options.runner, options.is_local, plan_.stream is not None)
    outputs = [
        (record_type.name, path, plan(path, record_type, writers))
        for path, record_type in request.outputs.by_record_type()
    ]
    if request.outputs.report:
        place = strip_file_scheme(request.outputs.report)
        plan_of_file(place, REPORT)
        outputs.append((REPORT, place, "a JSON document, in place of what is there"))
    deleted = [
        old
        for path, _ in request.outputs.by_record_type()
        if request.keep is not None
        for old in beyond(path, max(0, request.keep - _is_rotated(path)), ())
    ]
    job = request_of(lambda: task.build(plan_), options.beam) if is_dataflow else None
    return DryRun(task, sources, outputs, deleted, given, job)


def _is_rotated(path: str) -> bool:
    """Whether there is a file of an earlier run, which would be kept beside the new one."""
    path = strip_file_scheme(path)
    return is_local(path) and os.path.isfile(path) and os.path.getsize(path) > 0


def has_credentials() -> bool:
    """Whether Google Cloud can be asked as somebody. A machine elsewhere does not wait for a metadata server."""
    try:
        import google.auth
    except ImportError:
        return False
    before = os.environ.get(_NO_GCE)
    try:
        if not _is_googles_machine():
            os.environ[_NO_GCE] = "true"
        google.auth.default()
    except Exception:  # of which there are many kinds: none, broken, of a machine that does not answer
        return False
    finally:
        if before is None:
            os.environ.pop(_NO_GCE, None)
        else:
            os.environ[_NO_GCE] = before
    return True


_NO_GCE: Final = "NO_GCE_CHECK"  # as google.auth reads it


def _is_googles_machine() -> bool:
    try:
        return "Google" in Path("/sys/class/dmi/id/product_name").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def show(found: DryRun, console: Console, log: RunLog) -> int:
    """Shows it to people, or as one JSON document on standard output with ``--log-format json``; the exit code."""
    place = found.task.options.beam.view_as(DebugOptions).dataflow_job_file
    if place and found.job is not None:
        try:
            with open(place, "w", encoding="utf-8") as file:
                json.dump(found.job.job, file, indent=2, sort_keys=True)
        except OSError as error:
            log.mistake(f"capybeam: --dataflow_job_file {place}: {error.strerror}")
            return CONFIGURATION
    if log.is_json:
        console.print(json.dumps(found.document(), indent=2, default=str), highlight=False, markup=False)
    else:
        for line in lines(found):
            console.print(line, highlight=False, markup=False)
    log.info("Nothing was read, sent, written or started.", kind="end", state="dry_run", exit_code=OK)
    return OK


def lines(found: DryRun) -> list[str]:
    """For people."""
    document, said = found.document(), list[str]()

    def section(title: str, rows: Sequence[str]) -> None:
        if rows:
            said.extend((title, *(f"  {row}" for row in rows)))

    said.append(f"Dry run: capybeam {found.task.command} on {found.task.options.runner}")
    section("Input", [f"{model['name']} ({model['extent']})" for model in document["inputs"]])
    section(
        "Destinations",
        [
            f"{each['name']} ({each['endpoint']}): "
            + "; ".join(f"{one['name']} to {', '.join(one['dataset_ids'])}" for one in each["subscriptions"])
            for each in document["destinations"]
        ],
    )
    section("Output", [f"{what}: {place}: {effect}" for what, place, effect in found.outputs])
    section("Deleted, as --keep wants", found.deleted)
    section("Not sent again: what is named in", found.task.request.resume)
    if found.job is not None:
        section("Dataflow job", _job_lines(found.job, found.task.options.beam))
        section("Cost", found.job.cost.lines())
        section(f"Graph ({len(found.job.steps)} steps, {found.job.graph_bytes / 1e6:.1f} MB)", found.job.steps)
    section("Beam's options", [f"--{name}={value}" for name, value in sorted(document["beam_options"].items())])
    return said


def _job_lines(job: JobRequest, options: PipelineOptions) -> list[str]:
    cloud, pool = options.view_as(GoogleCloudOptions), job.pool
    scaling = pool.get("autoscalingSettings", {})
    most = scaling.get("maxNumWorkers")
    return [
        f"name {job.job['name']}, {job.job['type'].rpartition('_')[2].lower()}, project {cloud.project},"
        f" region {cloud.region or 'of gcloud'}",
        f"workers: {pool.get('numWorkers') or 'as Dataflow chooses'} at first,"
        f" {most or 'as many as Dataflow chooses'} at most; machine type"
        f" {pool.get('machineType') or 'as Dataflow chooses'}",
        f"image: {pool.get('workerHarnessContainerImage')}",
        f"account of the workers: {cloud.service_account_email or 'the default one of Compute Engine'}",
        f"network: {pool.get('subnetwork') or pool.get('network') or 'default'},"
        f" {'private' if pool.get('ipConfiguration') == 'WORKER_IP_PRIVATE' else 'public'} addresses",
        *(f"installed on workers: {option}={value}" for option, value in job.files.items()),
    ]
