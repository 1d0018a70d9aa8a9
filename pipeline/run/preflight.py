"""Checks all that a run needs before the first event is read, and only then makes its outputs ready."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions

from capybeam.pipeline.graph import Flow
from capybeam.pipeline.reconciliation.index import LoadIndex, ProcessedIndex
from capybeam.pipeline.reconciliation.records import resolved
from capybeam.pipeline.run.beam_options import DEFAULT_RUNNER, RunOptions
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.run.run_log import RunLog
from capybeam.pipeline.run.watermarks import Continuation, continued
from capybeam.pipeline.runners import dataflow
from capybeam.pipeline.runners.job_server import stage_no_package_list
from capybeam.pipeline.runners.support import check_place, check_runner, is_one_thread, runner_class_name
from capybeam.pipeline.schemes import FILES, find_scheme, is_local, strip_file_scheme
from capybeam.pipeline.sinks import SinkError, Writers, prepare
from capybeam.pipeline.sinks.local_files import delete_earlier
from capybeam.pipeline.sinks.report_file import WHAT as REPORT
from capybeam.pipeline.sinks.report_file import check_place as check_report
from capybeam.pipeline.sources import NoInput, ReadOptions, Source
from capybeam.pipeline.sources.files import matching
from capybeam.pipeline.sources.streams import Stream
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.delivery.destination import Destination

OpenInput = Callable[[str, ReadOptions], Source]  # from an input's name


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """What has been checked, so that a run may begin.

    Attributes:
        stream: the one that is read, if any.
        first: messages that have been pulled from it.
        processed: loads what earlier runs have processed, and what attempts of this one do that fail; None for nothing.
        loaded: the same, loaded in this process; None where earlier runs are not asked for.
        onward: how the run goes on from the last one; None where it does not.
    """

    sources: Sequence[Source]
    stream: Stream[Any] | None
    first: Sequence[Any]
    flow: Flow
    processed: LoadIndex | None = None
    loaded: ProcessedIndex | None = None
    onward: Continuation | None = None


def preflight(request: RunRequest, options: RunOptions, open_input: OpenInput, log: RunLog) -> RunPlan:
    """Checks all that a run needs, and then makes its outputs ready.

    Raises NoInput, TokenError, SinkError and UnsupportedRunner; only earlier output files have been touched then.
    """
    outputs, is_local_run = request.outputs, options.is_local
    onward = continuation(request, options, log)
    plan = check_request(request, options, look_at(request, options, open_input, log, onward), log)
    sources, stream, standard = plan.sources, plan.stream, options.beam.view_as(StandardOptions)
    if sources and all(source.size.rows == 0 for source in sources) and not launches_template(options):
        raise NothingToRead(sources, onward)
    resume = (*request.resume, *(onward.resume if onward else ()))
    processed = LoadIndex(
        resolved(resume, "--resume"), request.job.subscriptions, request.job.unwrap, sends_retryable=onward is not None
    )
    loaded = processed() if resume else None
    first: Sequence[Any] = ()
    if stream is not None and not (standard.streaming and stream.is_inspected):
        first = stream.try_to_pull()
    try:
        writers = Writers(options.runner, is_local_run, stream is not None)
        for path, record_type in outputs.by_record_type():
            kept = prepare(path, record_type, writers)
            if kept:
                processed = dataclasses.replace(processed, places=moved(processed.places, path, kept))
                log.info(f"{record_type.name} of an earlier run are kept in {kept}")
            if request.keep is not None:
                delete_earlier(path, request.keep, processed.places)
        for source in sources:
            check_glob_excludes_outputs(source)
    except (NoInput, SinkError):
        if stream is not None:
            stream.give_back(first)
        raise
    if stream is not None and standard.streaming and first:  # the runner pulls for itself
        stream.give_back(first)
    if not is_local_run and plan.flow == "finite":
        processed = dataclasses.replace(processed, own=own_receipts(request, options, log))
    processed_or_none = processed if processed.places or processed.own else None
    return dataclasses.replace(plan, first=first, processed=processed_or_none, loaded=loaded, onward=onward)


class NothingToRead(Exception):
    """All inputs have been looked at, and none has a row: nothing has been touched, and nothing is to be done."""

    def __init__(self, sources: Sequence[Source], onward: Continuation | None) -> None:
        self.sources, self.onward = sources, onward
        super().__init__(f"Nothing to deliver: no rows in {', '.join(source.name for source in sources)}.")


def launches_template(options: RunOptions) -> bool:
    """Whether Dataflow waits for a graph, and takes it for a failure where there is none."""
    return bool(options.beam.view_as(GoogleCloudOptions).template_location)


def continuation(request: RunRequest, options: RunOptions, log: RunLog) -> Continuation | None:
    """How the run goes on from the last one; None where it does not. Raises NoInput and SinkError."""
    if request.since_last is None:
        if request.between:
            log.info(request.between.sentence())
        return None
    if not request.wait or launches_template(options):
        raise NoInput(
            "--since last keeps its place once the job has succeeded, which a process that leaves it does not see:"
            " leave --no-wait out, or give --since and --until, such as yesterday and today"
        )
    return continued(request, request.since_last, log.info)


def look_at(
    request: RunRequest, options: RunOptions, open_input: OpenInput, log: RunLog, onward: Continuation | None
) -> list[Source]:
    """The inputs. Raises NoInput."""
    reading = request.reading(options.project, log.info)
    if onward is None:
        return [open_input(text, reading) for text in request.inputs]
    return [
        open_input(
            text,
            dataclasses.replace(reading, time_range=dataclasses.replace(reading.time_range, since=onward.since[text])),
        )
        for text in request.inputs
    ]


def check_request(request: RunRequest, options: RunOptions, sources: Sequence[Source], log: RunLog) -> RunPlan:
    """Checks what is known without reading or touching anything; the plan of that. Raises what `preflight` raises."""
    outputs, is_local_run = request.outputs, options.is_local
    stream = _stream(sources)
    if stream is not None and stream.warning:
        log.warning(f"capybeam: {stream.warning}")
    standard = options.beam.view_as(StandardOptions)
    standard.streaming = stream is not None and (standard.streaming or not is_local_run)
    check_runner(options.runner, options.beam, standard.streaming)
    stage_no_package_list(options.beam)
    if runner_class_name(options.runner) in dataflow.RUNNERS:
        for text in dataflow.package_warnings(options.beam):
            log.warning(f"capybeam: {text}")
    if not is_local_run:
        for source in sources:
            check_place(source.name, source.paths, options.runner)
    if request.until_idle is not None and (stream is None or standard.streaming):
        raise NoInput("--until-idle is for a subscription that is read on this machine")
    if stream is not None and stream.attributes and (is_local_run or not standard.streaming):
        raise NoInput(
            "--id-attribute and --timestamp-attribute are for streaming runners such as Dataflow; on this machine,"
            " delivery.deduplicate in the job file drops repeats"
        )
    if stream is not None and not standard.streaming and not is_one_thread(options.beam):
        raise NoInput(
            f"{sources[0].name} is read in this process, by {DEFAULT_RUNNER}: leave out --direct_running_mode and"
            " --direct_num_workers"
        )
    for destination in request.job.destinations:
        check_tokens(destination, options, request.is_dry)
    check_distinct_outputs(outputs)
    if outputs.report:
        check_outputs_not_inputs(outputs.report, REPORT, sources)
    for path, record_type in outputs.by_record_type():
        check_outputs_not_inputs(path, record_type.name, sources)
    if outputs.report and not request.is_dry:
        check_report(outputs.report)
    if request.resume and stream is not None:
        raise NoInput("--resume is for files and tables; a subscription delivers again what was not acknowledged")
    if not is_local_run:
        for text in request.resume:
            check_place(text, (text,), options.runner)
    check_keep(request)
    flow: Flow = "finite" if stream is None else "stream" if standard.streaming else "batch"
    return RunPlan(sources, stream, (), flow)


def own_receipts(request: RunRequest, options: RunOptions, log: RunLog) -> str:
    """Where all workers write receipts, so that work that is repeated can skip what they name; "" for nowhere.

    Dataflow repeats single bundles: for those its workers need not read all receipts.
    """
    path, is_brief = strip_file_scheme(request.outputs.receipts), request.job.delivery.receipts == "brief"
    if runner_class_name(options.runner) == "DataflowRunner":
        return ""
    if is_brief or find_scheme(path) is not FILES:
        what = "brief receipts" if is_brief else "receipts that are not in files"
        log.info(f"If a worker is lost, all unfinished work of the job is sent again: {what} are not read back.")
        return ""
    return path


def moved(places: Sequence[str], path: str, kept: str) -> tuple[str, ...]:
    """Places to read, where the file at `path` now has the name `kept`."""
    path = os.path.realpath(strip_file_scheme(path))
    return tuple(kept if is_local(place) and os.path.realpath(place) == path else place for place in places)


def check_keep(request: RunRequest) -> None:
    """Raises SinkError where files of earlier runs are to be deleted and there are none of this machine."""
    places = [strip_file_scheme(path) for path, _ in request.outputs.by_record_type()]
    if request.keep is not None and not any(map(is_local, places)):
        raise SinkError(
            "--keep is for files of this machine: buckets and tables delete what is old by rules of their own"
        )


def _stream(sources: Sequence[Source]) -> Stream[Any] | None:
    """The stream that is the input, if it is one. Raises NoInput where there are other inputs beside it."""
    found = [source for source in sources if source.stream is not None]
    if found and len(sources) > 1:
        raise NoInput(f"{found[0].name}: a subscription never ends; run it alone, without other inputs")
    return found[0].stream if found else None


def check_tokens(destination: Destination, options: RunOptions, is_dry: bool = False) -> None:
    """Reads the tokens where this process has what the workers have: those of this machine, or, when it launches a
    template, those of their service account. Raises TokenError where the workers will have none."""
    name = destination.name
    for key, reference in destination.secrets.items():
        if runner_class_name(options.runner) in dataflow.RUNNERS and reference.kind != "secret":
            raise TokenError(
                f"destination {name}: Dataflow's workers cannot read {reference.text}. Keep it in Secret Manager and"
                f" write {key}: secret:projects/P/secrets/S/versions/latest"
            )
        is_here = options.is_local or options.beam.view_as(GoogleCloudOptions).template_location
        if is_here and not (is_dry and reference.kind == "secret"):
            try:
                reference.read()
            except TokenError as error:
                raise TokenError(f"destination {name}: {key}: {error}") from None


def check_distinct_outputs(outputs: Outputs) -> None:
    """Raises SinkError where two kinds of lines would go to the same place."""
    given = [
        os.path.realpath(strip_file_scheme(place)) if is_local(strip_file_scheme(place)) else place
        for place in (outputs.dead_letters, outputs.receipts, outputs.report, outputs.window_books)
        if place
    ]
    if len(set(given)) < len(given):
        raise SinkError("--dead-letters, --receipts, --report and --window-books must be different paths")


def check_outputs_not_inputs(path: str, what: str, sources: Sequence[Source]) -> None:
    """Raises SinkError for an output that is read.

    A file that is read must not be renamed to make room for a new one, nor a table be read and written at once. A
    stream that is fed by the output would bring what is written, without an end.
    """
    for source in sources:
        if source.stream is not None and source.stream.is_fed_by(path):
            raise SinkError(
                f"{what} cannot be written to {path}: {source.name} receives what is written there, so the run would"
                " read its own output; choose another path"
            )
    if any(path == source.name for source in sources) or any(
        Path(read).exists() and Path(strip_file_scheme(path)).exists() and Path(read).samefile(strip_file_scheme(path))
        for source in sources
        for read in source.paths
    ):
        raise SinkError(f"{what} cannot be written to {path}: it is being read; choose another path")


def check_glob_excludes_outputs(source: Source) -> None:
    """Raises SinkError where a source's glob matches what this run writes: it would read itself, without an end."""
    appeared = set(matching(source.name)) - set(source.paths) if source.paths else None
    if appeared:
        raise SinkError(f"{source.name} also matches what this run writes ({min(appeared)}); choose another path")
