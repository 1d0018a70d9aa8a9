"""``capybeam run`` and ``replay``: checks the request, builds the graph, runs it, and ends with the report."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions
from rich.console import Console

from capybeam.pipeline.graph import Execution, Flow, deliver, redeliver
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.reconciliation.index import sentences
from capybeam.pipeline.run import terminal
from capybeam.pipeline.run.batches import BatchWork, RunResult, TranslatedOnce, run_batches
from capybeam.pipeline.run.beam_options import BadOption, RunOptions, lease_folder, resolve_options
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, INTERRUPTED, OK
from capybeam.pipeline.run.metrics import BadAddress, MetricsServer, RunCollector, serve_metrics
from capybeam.pipeline.run.outcome import RunOutcome, cause_of, log_traceback, report
from capybeam.pipeline.run.preflight import NothingToRead, OpenInput, RunPlan, continuation, look_at, preflight
from capybeam.pipeline.run.progress import Watched, show_progress, size_of
from capybeam.pipeline.run.recording import NOTHING, inputs_by_name, inputs_of, record, record_early
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.report_document import Ending, Occasion
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.run.run_log import RunLog
from capybeam.pipeline.run.signals import shutdown_on_signals
from capybeam.pipeline.run.tolerance import NO_TOLERANCE
from capybeam.pipeline.run.watermarks import Continuation
from capybeam.pipeline.run.workers.choice import workers_of
from capybeam.pipeline.run.workers.shared_work import SharedWork, shared_work
from capybeam.pipeline.run.workers.team import Serve, Team, forked
from capybeam.pipeline.run.workers.worker import Result, Serving, Work
from capybeam.pipeline.runners import dataflow, flink
from capybeam.pipeline.runners.errors import UnsupportedRunner
from capybeam.pipeline.runners.job_server import submission_problem
from capybeam.pipeline.runners.remote_job import RemoteJob, counters_of
from capybeam.pipeline.runners.support import runner_class_name
from capybeam.pipeline.runners.workers import CheckWorkers
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sources import NoInput, ReadOptions, Source, open_dead_letters, open_source
from capybeam.pipeline.sources.parts import ReadParts
from capybeam.transforms.base import share_run
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.core.run_context import RunContext, RunHandle
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.core.windows import Windows

Command = Literal["run", "replay"]
Steps = Callable[[Any, Outputs, Execution], None]  # applies a job's steps to what is read


def run_job(request: RunRequest) -> int:
    """Runs a job to its end, or starts it, and returns the exit code."""
    job = request.job

    def add_steps(lines: beam.PCollection, outputs: Outputs, execution: Execution) -> None:
        deliver(lines, job, outputs, execution)

    def open_input(text: str, options: ReadOptions) -> Source:
        return open_source(text, dataclasses.replace(options, unread=job.unread()))

    return execute("run", request, open_input, add_steps)


def replay_job(request: RunRequest, replay_filter: ReplayFilter) -> int:
    """Puts dead letters through a job once more and returns the exit code."""
    job = request.job

    def add_steps(lines: beam.PCollection, outputs: Outputs, execution: Execution) -> None:
        redeliver(lines, job, replay_filter, outputs, execution)

    def open_input(text: str, options: ReadOptions) -> Source:
        source = open_dead_letters(text, options)
        if source.stream and replay_filter != ReplayFilter():
            raise NoInput(
                f"{text}: --only and --retryable are for files; on a subscription, what they leave out would be"
                " acknowledged"
            )
        return source

    return execute("replay", request, open_input, add_steps)


def execute(command: Command, request: RunRequest, open_input: OpenInput, add_steps: Steps) -> int:
    """Checks a request and carries it out; the exit code. However it ends, there is a report where one is wanted."""
    task = _Task(command, request, open_input, add_steps, RunLog())
    with task.log.of_python(), contextlib.ExitStack() as stack:
        return _check_and_carry_out(task, stack)


@dataclasses.dataclass(frozen=True)
class _Task:
    """What is to be carried out, and where lines about it go."""

    command: Command
    request: RunRequest
    open_input: OpenInput
    add_steps: Steps
    log: RunLog


def _check_and_carry_out(task: _Task, stack: contextlib.ExitStack) -> int:
    request, log = task.request, task.log
    occasion = Occasion(
        task.command,
        time.time(),
        job=request.job,
        config=request.config,
        inputs=inputs_by_name(request.inputs),
        tolerate=None if request.tolerate == NO_TOLERANCE else request.tolerate.text,
    )

    def ended_early(code: int, *problems: str) -> int:
        for problem in problems:
            log.mistake(problem)
        if not request.is_dry:
            record_early(request.outputs.report, occasion, Ending(code, problems))
        log.ended(NOTHING, code)
        return code

    try:
        options = resolve_options(request)
        if request.is_dry:
            return _dry_run(task, options)
        team = stack.enter_context(forked(workers_of(request, options), _serving(task, options)))
        metrics = stack.enter_context(serve_metrics(request.metrics, options))
        plan = preflight(request, options, task.open_input, log)
    except (BadOption, BadAddress, NoInput, TokenError, SinkError, UnsupportedRunner) as error:
        return ended_early(CONFIGURATION, f"capybeam: {error}")
    except NothingToRead as nothing:
        return _nothing_to_do(nothing, task, occasion)
    except KeyboardInterrupt:
        return ended_early(INTERRUPTED)
    except Exception as error:
        log_traceback(error, "--verbose" in request.beam_options)
        return ended_early(FAILED, f"capybeam: the run cannot begin: {cause_of(error)}")
    occasion = dataclasses.replace(occasion, runner=options.runner, inputs=inputs_of(plan.sources))
    try:
        return _carry_out(task, options, plan, occasion, metrics, team)
    except Exception as error:  # of capybeam's own, or a library's
        log_traceback(error, options.is_verbose)
        problem = f"capybeam: the run failed: {cause_of(error)}"
        log.error(problem)
        record(request.outputs.report, occasion, NOTHING, Ending(FAILED, (problem,)))
        log.ended(NOTHING, FAILED)
        return FAILED


def _carry_out(
    task: _Task,
    options: RunOptions,
    plan: RunPlan,
    occasion: Occasion,
    metrics: MetricsServer | None,
    team: Team | None,
) -> int:
    request, console, log = task.request, terminal.console(), task.log
    windows = Windows(request.job.books_window) if request.outputs.window_books else None
    run = RunContext(RunHandle(windows=windows))
    if plan.processed is not None and plan.loaded is not None:
        if options.is_local:
            run.client(plan.processed.key, lambda: plan.loaded)
        for text in sentences(plan.loaded):
            log.info(text)
    destinations = tuple(destination.name for destination in request.job.destinations)
    watched = Watched(run.progress, destinations, size_of(plan.sources))
    shared = shared_work(team, request, plan.sources) if team is not None else None
    log.info(_greeting(request.job, plan.sources, options.runner, shared), kind="start")
    if metrics is not None:
        metrics.registry.register(RunCollector(watched, request.job, occasion.started))
        log.info(f"Metrics: {metrics.url}", kind="metrics", url=metrics.url)

    graph = _graph_of(task, options, plan, run)
    reads = [source.read for source in plan.sources]
    if not request.wait:
        return _start(functools.partial(graph.build, reads), options, console, log)
    remote = None
    if not options.is_local and plan.flow != "stream":
        remote = RemoteJob(options.runner, options.beam, request.outputs.receipts, run.shutdown)

    def record_now(report: RunReport) -> None:
        record(request.outputs.report, occasion, report, Ending(INTERRUPTED))

    with shutdown_on_signals(run, log, remote is not None, record_now):
        with show_progress(log, watched, remote):
            if plan.flow == "batch":
                counts, failure = _run_batches(request, plan, graph)
            elif shared is not None:
                counts, failure = shared.carry_out(run, plan.processed)
            else:
                counts, failure = graph.run(functools.partial(graph.build, reads), remote)
        if failure is None and plan.flow == "stream" and not options.is_local:
            text = f"The job keeps running on {options.runner}: its books are the metrics there. Drain it to end it."
            log.info(text)
            log.left()
            return OK
        outcome = RunOutcome(
            request=request,
            occasion=occasion,
            counts=counts,
            failure=failure,
            was_stopped=run.shutdown.is_set(),
            is_endless=plan.stream is not None,
            remote=remote,
            backlog=run.progress.backlog(),
        )
        code = report(outcome, console, log)
        if plan.onward is not None and code in (OK, DEAD_LETTERS):
            code = _go_on_from_here(plan.onward, code, log)
    if failure is not None:
        run.shutdown.set()  # what is still being sent, or waits to be, is not waited for
    return code


def _serving(task: _Task, options: RunOptions) -> Serve:
    """What a process does that works for the run: the same graph, over the parts that it is given."""
    job, outputs = task.request.job, task.request.outputs

    def carry_out(work: Work) -> Result:
        def add_steps(lines: beam.PCollection) -> None:
            task.add_steps(lines, work.outputs, Execution(processed=work.start.processed, is_local=True))

        graph = _Graph(work.run, options, "finite", add_steps)
        return graph.run(functools.partial(graph.build, [ReadParts()]))

    return Serving(job, outputs, carry_out)


def _nothing_to_do(nothing: NothingToRead, task: _Task, occasion: Occasion) -> int:
    """Ends a run whose inputs have no rows; the exit code."""
    task.log.info(str(nothing))
    code = OK if nothing.onward is None else _go_on_from_here(nothing.onward, OK, task.log)
    occasion = dataclasses.replace(occasion, inputs=inputs_of(nothing.sources))
    problem = record(task.request.outputs.report, occasion, NOTHING, Ending(code))
    if problem:
        task.log.error(f"capybeam: {problem}")
        code = code or FAILED
    task.log.ended(NOTHING, code)
    return code


def _go_on_from_here(onward: Continuation, code: int, log: RunLog) -> int:
    """Keeps the watermarks of a run that has succeeded; the exit code."""
    problem = onward.keep()
    if problem is None:
        return code
    log.error(f"capybeam: {problem}")
    return FAILED


def _graph_of(task: _Task, options: RunOptions, plan: RunPlan, run: RunContext) -> _Graph:
    def add_checked_steps(lines: beam.PCollection) -> None:
        processed = plan.processed and dataclasses.replace(plan.processed, run_id=run.handle.run_id)
        leases = lease_folder(options, task.request.job.delivery, run.handle)
        execution = Execution(options.workers or 1, plan.flow, processed, leases, is_local=options.is_local)
        task.add_steps(lines if options.is_local else lines | CheckWorkers(), task.request.outputs, execution)

    return _Graph(run, options, plan.flow, add_checked_steps)


def _dry_run(task: _Task, options: RunOptions) -> int:
    """Shows what the run would do; the exit code. Raises what `preflight` raises."""
    from capybeam.pipeline.run import dry_run

    request = task.request

    def open_inputs(is_offline: bool) -> list[Source]:
        def open_input(text: str, reading: ReadOptions) -> Source:
            return task.open_input(text, dataclasses.replace(reading, is_offline=is_offline))

        onward = None if is_offline and request.since_last else continuation(request, options, task.log)
        return look_at(request, options, open_input, task.log, onward)

    def build(plan: RunPlan) -> beam.Pipeline:
        windows = Windows(request.job.books_window) if request.outputs.window_books else None
        graph = _graph_of(task, options, plan, RunContext(RunHandle(windows=windows)))
        return graph.build([source.read for source in plan.sources])

    found = dry_run.look(dry_run.Task(task.command, request, options, open_inputs, build), task.log)
    return dry_run.show(found, terminal.console(), task.log)


def _greeting(job: Job, sources: Sequence[Source], runner: str, shared: SharedWork | None) -> str:
    destinations = ", ".join(f"{destination.name} ({destination.endpoint})" for destination in job.destinations)
    inputs = ", ".join(f"{source.name} ({source.extent})" for source in sources)
    processes = "" if shared is None else f", with {shared.workers} processes"
    return f"Reading {inputs}, delivering to {destinations}, on {runner}{processes}."


class _Graph:
    """A run's graph: how it is built, and run."""

    def __init__(
        self, run: RunContext, options: RunOptions, flow: Flow, add_steps: Callable[[beam.PCollection], None]
    ) -> None:
        self.context, self._options, self._flow, self._add_steps = run, options, flow, add_steps

    def build(self, reads: Sequence[beam.PTransform], kind: type[beam.Pipeline] = beam.Pipeline) -> beam.Pipeline:
        pipeline = kind(options=self._options.beam)
        share_run(pipeline, self.context.handle)
        inputs = [pipeline | f"Input{index or ''}" >> read for index, read in enumerate(reads)]
        self._add_steps(inputs[0] if len(inputs) == 1 else inputs | beam.Flatten())
        return pipeline

    def run(self, build: Callable[[], beam.Pipeline], remote: RemoteJob | None = None) -> RunResult:
        """Runs the graph."""
        try:
            try:
                result = build().run()
            except Exception as error:
                if problem := _problem_of_start(error, self._options):
                    raise problem from None
                raise
            if self._flow == "stream":
                _wait_or_leave(result, self.context.shutdown)
                return self.context.progress.counts(), None
            if remote:
                remote.follow(result)
                return remote.counts(), None
            result.wait_until_finish()
        except Exception as error:
            log_traceback(error, self._options.is_verbose)
            return remote.counts() if remote else self.context.progress.counts(), error
        return counters_of(result), None


def _run_batches(request: RunRequest, plan: RunPlan, graph: _Graph) -> RunResult:
    """Runs the graph on one batch of messages after the other, as `run_batches` does."""
    stream, run = plan.stream, graph.context
    assert stream is not None

    def build(read: beam.PTransform) -> beam.Pipeline:
        return graph.build([read], TranslatedOnce)

    work = BatchWork(run, stream, request.outputs, build, graph.run)
    with stream.reader(run, request.job.delivery.max_batch_delay, request.until_idle, plan.first) as reader:
        return run_batches(work, reader)


def _wait_or_leave(result: Any, shutdown: threading.Event) -> None:
    """Waits for a streaming job. Ctrl-C ends one that runs in this process; one that runs elsewhere goes on."""
    waiting = threading.Thread(target=result.wait_until_finish, daemon=True)
    waiting.start()
    while waiting.is_alive() and not shutdown.wait(0.2):
        pass
    if waiting.is_alive() and not hasattr(result, "job_id"):
        result.cancel()


def _start(build: Callable[[], beam.Pipeline], options: RunOptions, console: Console, log: RunLog) -> int:
    """Starts the graph and leaves it to its runner; the exit code."""
    try:
        result = build().run()
    except Exception as error:
        if problem := _problem_of_start(error, options):
            log.mistake(f"capybeam: {problem}")
            log.ended(NOTHING, CONFIGURATION)
            return CONFIGURATION
        log_traceback(error, options.is_verbose)
        log.mistake(f"capybeam: the job cannot be started: {cause_of(error)}")
        log.ended(NOTHING, FAILED)
        return FAILED
    console.print(_started(result, options), highlight=False, markup=False)
    log.left()
    return OK


def _problem_of_start(error: BaseException, options: RunOptions) -> UnsupportedRunner | None:
    """The error to show where a runner elsewhere does not take the graph."""
    name = runner_class_name(options.runner)
    return submission_problem(error, name) or dataflow.submission_problem(error, name)


def _started(result: Any, options: RunOptions) -> str:
    """Where a job can be looked at that this process leaves."""
    cloud = options.beam.view_as(GoogleCloudOptions)
    if cloud.template_location:  # no job yet: Dataflow makes it of the graph
        return f"The graph is at {cloud.template_location}; Dataflow starts the job from it."
    if not hasattr(result, "job_id"):
        page = flink.jobs_page(options.beam)
        if page is None:
            return f"Started on {options.runner}; see its own page for progress."
        name = getattr(result, "_job_id", "the job")
        return f"Started {name}. Flink shows it once its job server has uploaded it, and can cancel it there:\n  {page}"
    job = result.job_id()
    return (
        f"Started job {job}. To look at it again:\n"
        f"  https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job}?project={cloud.project}\n"
        f"  gcloud dataflow jobs show {job} --region={cloud.region} --project={cloud.project}"
    )
