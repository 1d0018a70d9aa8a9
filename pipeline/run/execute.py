"""``capybeam run``: builds the graph, runs it, shows how it goes, and ends with the books."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import apache_beam as beam
import orjson
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from rich.console import Console

from capybeam.pipeline.graph import Flow, deliver, redeliver
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run import terminal
from capybeam.pipeline.run.options import OPTIONS, SAID_TWICE
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.runners.errors import told_by
from capybeam.pipeline.runners.support import (
    RUNNERS,
    CheckWorkers,
    RemoteJob,
    UnsupportedRunner,
    canonical,
    check_place,
    check_runner,
    count,
    flink_page,
    short,
    stage_nothing,
    unreachable,
)
from capybeam.pipeline.schemes import is_local, strip_file_scheme
from capybeam.pipeline.sinks import SinkError, Writers, prepare
from capybeam.pipeline.sinks.books import WHAT as BOOKS
from capybeam.pipeline.sinks.books import check_place as check_books
from capybeam.pipeline.sinks.books import write_books
from capybeam.pipeline.sinks.dead_letters import DEAD_LETTERS as DEAD_LETTER_RECORDS
from capybeam.pipeline.sinks.local_files import fsync_file
from capybeam.pipeline.sinks.receipts import RECEIPTS
from capybeam.pipeline.sinks.records import RecordType
from capybeam.pipeline.sources import (
    ANY_TIME,
    NoInput,
    ReadOptions,
    Source,
    TimeRange,
    UnreadableFile,
    open_dead_letters,
    open_source,
)
from capybeam.pipeline.sources.files import matching
from capybeam.pipeline.sources.streams import MessageAttributes, StreamLost, StreamReader
from capybeam.transforms.core.batches import DestinationHeld, Stopped
from capybeam.transforms.core.counters import LIVE
from capybeam.transforms.core.recent_ids import RECENT
from capybeam.transforms.core.shutdown import STOPPING
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.engine.replay import ReplayFilter
from capybeam.transforms.meta.answers import Destination
from capybeam.transforms.sending import KEPT

OK: Final = 0
DEAD_LETTERS: Final = 1
CONFIGURATION: Final = 2
REFUSED: Final = 3
FAILED: Final = 4
INTERRUPTED: Final = 130

DEFAULT_RUNNER: Final = "FnApiRunner"  # DirectRunner would choose one by the graph, and not the one for this graph
_LOCAL_RUNNERS: Final = frozenset(
    {"FnApiRunner", "DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner", "TestDirectRunner"}
)

_RECORD_TYPES: Final[tuple[RecordType[Any], ...]] = (DEAD_LETTER_RECORDS, RECEIPTS)


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where a run writes: its dead letters, its receipts and, as JSON, its books, if they are wanted."""

    dead_letters: str
    receipts: str
    books: str | None = None


def run_job(
    job: Job,
    inputs: Sequence[str],
    outputs: Outputs,
    beam_options: Sequence[str],
    until_idle: float | None = None,
    attributes: MessageAttributes | None = None,
    between: TimeRange = ANY_TIME,
    wait: bool = True,
) -> int:
    """Runs a job to its end, or starts it, and returns the exit code.

    Args:
        inputs: as `capybeam.pipeline.sources` takes them.
        beam_options: handed on to Beam.
        until_idle: seconds without a message after which a subscription is done with; None for never.
        attributes: of messages, for runners that stream.
        between: the times of the events to be read, where the inputs can tell.
        wait: for the job's end. One that workers elsewhere do can be started and left.
    """

    def build(lines: beam.PCollection, workers: int, flow: Flow) -> None:
        deliver(lines, job, outputs.dead_letters, outputs.receipts, workers, flow)

    def open_input(text: str, project: str | None) -> Source:
        return open_source(text, ReadOptions(between, attributes or MessageAttributes(), project, job.unread()))

    return _perform(job, inputs, open_input, build, outputs, beam_options, until_idle, wait)


def replay_job(
    job: Job,
    letters: Sequence[str],
    replay_filter: ReplayFilter,
    outputs: Outputs,
    beam_options: Sequence[str],
    until_idle: float | None = None,
) -> int:
    """Puts dead letters through a job once more and returns the exit code.

    Args:
        letters: as `capybeam.pipeline.sources` takes them; never written to.
        until_idle: as of `run_job`.
    """

    def build(lines: beam.PCollection, workers: int, flow: Flow) -> None:
        redeliver(lines, job, replay_filter, outputs.dead_letters, outputs.receipts, workers, flow)

    def open_chosen(text: str, project: str | None) -> Source:
        source = open_dead_letters(text, ReadOptions(project=project))
        if source.stream and replay_filter != ReplayFilter():
            raise NoInput(f"{text}: --only and --retryable are for files; what they leave out would be acknowledged")
        return source

    return _perform(job, letters, open_chosen, build, outputs, beam_options, until_idle)


def _perform(
    job: Job,
    inputs: Sequence[str],
    open_input: Callable[[str, str | None], Source],
    build: _Build,
    outputs: Outputs,
    beam_options: Sequence[str],
    until_idle: float | None,
    wait: bool = True,
) -> int:
    console, log = terminal.console(), terminal.console(stderr=True)
    try:
        setting = _setting(job, beam_options, wait)
        ready = _ready(job, setting, inputs, open_input, outputs, until_idle, log)
    except (BadOption, NoInput, TokenError, SinkError, UnsupportedRunner) as error:
        log.print(f"capybeam: {error}", style="red", highlight=False, markup=False)
        return CONFIGURATION
    LIVE.reset()
    STOPPING.clear()
    log.print(_greeting(job, ready.sources, setting.runner), highlight=False, markup=False)
    reads, options, flow = [source.read for source in ready.sources], setting.options, ready.flow

    def built(lines: beam.PCollection, flow: Flow) -> None:
        build(lines if setting.local else lines | CheckWorkers(), setting.workers or 1, flow)

    if not wait:
        return _start(functools.partial(_pipeline, reads, built, options, flow), options, console, log)
    remote = None if setting.local or flow == "stream" else RemoteJob(setting.runner, options, outputs.receipts)
    with _stopping_on_signals(log, remote):
        with _progress(log, remote):
            if flow != "batch":
                counts, failure = _run(reads, built, options, flow, remote)
            else:
                with ready.subscription.reader(job.delivery.max_batch_delay, until_idle, ready.first) as pulling:
                    counts, failure = _work_off(pulling, ready.subscription.element, built, outputs, options)
        if failure is None and flow == "stream" and not setting.local:
            text = f"The job goes on on {setting.runner}: its books are the metrics there. Drain it to end it."
            log.print(text, highlight=False)
            return OK
        end = _End(counts, failure, stopped=STOPPING.is_set(), endless=ready.subscription is not None)
        code = _account(end, setting.runner, remote, outputs, console, log)
    if failure is not None:
        STOPPING.set()  # what is still being sent, or waits to be, is not waited for
    return code


class BadOption(ValueError):
    """An option that makes no sense, in a sentence."""


@dataclasses.dataclass(frozen=True)
class _Setting:
    """What a job runs on.

    Attributes:
        local: whether its workers are on this machine.
        workers: processes that send at once, at most; None where nothing says so.
    """

    options: PipelineOptions
    runner: str
    local: bool
    workers: int | None


def _setting(job: Job, beam_options: Sequence[str], wait: bool) -> _Setting:
    """What Beam's options make of a run. Raises BadOption."""
    options = _beam_options(beam_options)
    FileSystems.set_options(options)  # what is looked at before the run needs them, too
    if not options.view_as(_Verbosity).verbose:
        for name in ("apache_beam", "google.auth"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    standard = options.view_as(StandardOptions)
    standard.runner = runner = canonical(standard.runner or DEFAULT_RUNNER)
    if "." not in runner and runner not in RUNNERS:
        close = difflib.get_close_matches(runner, RUNNERS, n=1)
        raise BadOption(f"there is no runner {runner}" + (f"; did you mean {close[0]}?" if close else ""))
    setting = _Setting(options, runner, short(runner) in _LOCAL_RUNNERS, _workers(options, runner))
    if setting.workers is None and job.delivery.requests_per_second is not None:
        raise BadOption(
            f"requests_per_second is shared out over the workers: say how many {runner} may use at most,"
            " by --max_num_workers (Dataflow) or --parallelism (Flink)"
        )
    if not wait and (setting.local or _given(options).get("environment_type") == "LOOPBACK"):
        raise BadOption(f"--no-wait: the workers of {runner} are in this process here, and would end with it")
    return setting


@dataclasses.dataclass(frozen=True)
class _Ready:
    """What has been looked at, so that a run may begin.

    Attributes:
        subscription: the one that is read, if any.
        first: messages that have been pulled from it.
    """

    sources: Sequence[Source]
    subscription: Any
    first: Sequence[Any]
    flow: Flow


def _ready(
    job: Job,
    setting: _Setting,
    inputs: Sequence[str],
    open_input: Callable[[str, str | None], Source],
    outputs: Outputs,
    until_idle: float | None,
    log: Console,
) -> _Ready:
    """Looks at all that a run needs, and then makes its outputs ready.

    Raises NoInput, TokenError, SinkError and UnsupportedRunner; only earlier output files have been touched then.
    """
    options, runner, local = setting.options, setting.runner, setting.local
    sources = [open_input(text, options.view_as(GoogleCloudOptions).project) for text in inputs]
    subscription = _subscription(sources)
    if subscription is not None and subscription.warning:
        log.print(f"capybeam: {subscription.warning}", style="yellow", highlight=False, markup=False)
    standard = options.view_as(StandardOptions)
    standard.streaming = subscription is not None and (standard.streaming or not local)
    check_runner(runner, options, standard.streaming)
    stage_nothing(options)
    if not local:
        for source in sources:
            check_place(source.name, source.paths, runner)
    if until_idle is not None and (subscription is None or standard.streaming):
        raise NoInput("--until-idle is for a subscription that is worked off on this machine")
    if subscription is not None and subscription.attributes and (local or not standard.streaming):
        raise NoInput(
            "--id-attribute and --timestamp-attribute are for runners that stream elsewhere, such as Dataflow; here"
            " delivery.deduplicate in the job file drops repeats"
        )
    for destination in job.destinations:
        _check_token(destination, options, runner, local)
    _tell_apart(outputs)
    if outputs.books:
        _keep_apart(outputs.books, BOOKS, sources)
    for path, record_type in zip((outputs.dead_letters, outputs.receipts), _RECORD_TYPES, strict=True):
        _keep_apart(path, record_type.name, sources)
    if outputs.books:
        check_books(outputs.books)
    first: Sequence[Any] = ()
    if subscription is not None and not (standard.streaming and subscription.is_inspected):
        first = subscription.try_to_pull()
    try:
        for path, record_type in zip((outputs.dead_letters, outputs.receipts), _RECORD_TYPES, strict=True):
            kept = prepare(path, record_type, Writers(runner, local, subscription is not None))
            if kept:
                log.print(f"{record_type.name} of an earlier run are kept in {kept}", highlight=False, markup=False)
        for source in sources:
            _keep_out(source)
    except (NoInput, SinkError):
        if subscription is not None:
            subscription.give_back(first)
        raise
    if standard.streaming and first:  # the runner pulls for itself
        subscription.give_back(first)
    flow: Flow = "finite" if subscription is None else "stream" if standard.streaming else "batch"
    return _Ready(sources, subscription, first, flow)


@dataclasses.dataclass(frozen=True)
class _End:
    """How a run has ended.

    Attributes:
        counts: of all that was done.
        failure: what went wrong.
        stopped: whether it was asked to stop before it had ended.
        endless: whether its input has no other end than being stopped.
    """

    counts: Mapping[str, int]
    failure: BaseException | None
    stopped: bool
    endless: bool


def _account(end: _End, runner: str, remote: RemoteJob | None, outputs: Outputs, console: Console, log: Console) -> int:
    """Shows the books of a run that has ended, and writes them where they are wanted; the exit code."""
    counts, failure = end.counts, end.failure
    sent = remote.sent if remote else None
    goes_on = remote is not None and remote.goes_on and (end.stopped or failure is not None)
    if goes_on:
        log.print(_GOES_ON, style="red", highlight=False, markup=False)
    if isinstance(failure, UnsupportedRunner) and not sent:
        log.print(f"capybeam: {failure}", style="red", highlight=False, markup=False)
        return CONFIGURATION
    at_least = remote is not None and remote.worth == "unknown"
    books = RunReport.from_counts(counts, at_least, sent if failure is None else None)
    if remote is not None and not counts and (failure is not None or end.stopped):
        receipts_say = "See the receipts" if sent is None else f"By the receipts, {sent:,} events have been delivered"
        console.print(f"{runner} counts a job only when it has ended well. {receipts_say}.", highlight=False)
    else:
        if failure is not None:
            console.print("The books so far:")
        console.print(books.render())
        if reason := terminal.lost(console):
            log.print(f"The books cannot be shown on standard output: {reason}", style="red", markup=False)
    unwritten = _write_books(books, outputs.books)
    code = INTERRUPTED if goes_on and failure is None else _conclude(books, end, outputs.dead_letters, log)
    if unwritten:
        log.print(f"capybeam: {unwritten}", style="red", highlight=False, markup=False)
    return FAILED if unwritten and code == OK else code


def _write_books(books: RunReport, path: str | None) -> str | None:
    """Writes the books where they are wanted; why they cannot be written."""
    if path is None:
        return None
    try:
        write_books(path, orjson.dumps(books.as_json(), option=orjson.OPT_INDENT_2))
    except SinkError as error:
        return str(error)
    return None


def _beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options. Raises BadOption for one that nobody knows, which Beam itself would pass over."""
    beam_says = logging.getLogger("apache_beam.options.pipeline_options")
    beam_says.addFilter(_is_no_guess)
    try:
        options = PipelineOptions(list(arguments))
        known = options.get_all_options()
        given = options.get_all_options(retain_unknown_options=True)
    except SystemExit:
        raise BadOption("Beam cannot read its options; see above") from None
    finally:
        beam_says.removeFilter(_is_no_guess)
    stray = [argument for argument in arguments if not argument.startswith("-") and "=" not in argument]
    unknown = [name for name in given if name not in known]
    if unknown:
        spelt = "--" + unknown[0].replace("_", "-")
        close = difflib.get_close_matches(spelt, _OWN_OPTIONS, n=1) or [
            f"--{name}" for name in difflib.get_close_matches(unknown[0], list(known), n=1)
        ]
        raise BadOption(f"no such option: {spelt}" + (f"; did you mean {close[0]}?" if close else ""))
    if arguments and stray and arguments[0] == stray[0]:
        raise BadOption(f"unexpected argument: {stray[0]}; input is given by --input")
    return options


_OWN_OPTIONS: Final = (
    *(f"--{option.name}" for option in OPTIONS), "--from", "--only", "--retryable", "--verbose", "--allow-unsafe-runner"
)  # fmt: skip


def _is_no_guess(record: logging.LogRecord) -> bool:
    """Beam says that it passes over what it does not know; here that is an error, and said as one."""
    return not record.getMessage().startswith("Discarding")


class _Verbosity(PipelineOptions):
    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--verbose", action="store_true", help="Show Beam's own log.")


class _SaidTwice(PipelineOptions):
    """What `launch` says twice; nobody here reads it."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        for name in SAID_TWICE.values():
            parser.add_argument(f"--{name}", help="As Terraform looks for it.")


def _workers(options: PipelineOptions, runner: str) -> int | None:
    """How many processes may send at once, at most; None where nothing says so.

    Dataflow starts a process for each virtual CPU of a machine, unless told otherwise. A machine type that is not given
    is Dataflow's choice, and counts as the largest of them.
    """
    given = _given(options)
    if short(runner) in _LOCAL_RUNNERS:
        separate = given.get("direct_running_mode") == "multi_processing"
        return (given.get("direct_num_workers") or os.cpu_count() or 1) if separate else 1
    machines = given.get("max_num_workers") or given.get("num_workers")
    if machines:
        single = "no_use_multiple_sdk_containers" in (given.get("experiments") or ())
        return int(machines) * (1 if single else _cpus(given.get("machine_type") or ""))
    parallelism = int(given.get("parallelism") or 0)
    return parallelism if parallelism > 0 else None


_MOST_CPUS: Final = 4  # of n1-standard-4, the largest that Google has named as a default


def _cpus(machine_type: str) -> int:
    """Virtual CPUs of a machine: n2-standard-8, c3-standard-4-lssd; n2-custom-4-8192 ends with its memory."""
    if machine_type.startswith("e2-") and re.search(r"-(micro|small|medium)\b", machine_type):
        return 2
    number = re.search(r"(?:^|-)[a-z]+-(\d+)(?:-|$)", machine_type)
    return int(number[1]) if number else _MOST_CPUS


def _given(options: PipelineOptions) -> dict[str, Any]:
    given: dict[str, Any] = options.get_all_options(retain_unknown_options=True)
    return given


def _check_token(destination: Destination, options: PipelineOptions, runner: str, local: bool) -> None:
    """Reads the token where this process is what the workers are: of this machine, or, launching a template, of their
    service account. Raises TokenError where workers will have none."""
    name = destination.name
    for key, reference in (("access_token", destination.token), ("app_secret", destination.app_secret)):
        if reference is None:
            continue
        if short(runner) == "DataflowRunner" and reference.kind != "secret":
            raise TokenError(
                f"destination {name}: Dataflow's workers cannot read {reference.text}. Keep it in Secret Manager and"
                f" write {key}: secret:projects/P/secrets/S/versions/latest"
            )
        if local or options.view_as(GoogleCloudOptions).template_location:
            try:
                reference.read()
            except TokenError as error:
                raise TokenError(f"destination {name}: {key}: {error}") from None


def _subscription(sources: Sequence[Source]) -> Any:
    """The subscription that is the input, if it is one. Raises NoInput where there are other inputs beside it."""
    found = [source for source in sources if source.stream]
    if found and len(sources) > 1:
        raise NoInput(f"{found[0].name}: a subscription never ends; give it a run of its own, without other inputs")
    return found[0].stream if found else None


def _tell_apart(outputs: Outputs) -> None:
    """Two kinds of lines in one place would be of no use."""
    given = [
        os.path.realpath(strip_file_scheme(place)) if is_local(strip_file_scheme(place)) else place
        for place in (outputs.dead_letters, outputs.receipts, outputs.books)
        if place
    ]
    if len(set(given)) < len(given):
        raise SinkError("Dead letters, receipts and the books each need a place of their own")


def _keep_out(source: Source) -> None:
    """What this run writes must not be among what it reads, as by a glob: it would read itself, without an end."""
    appeared = set(matching(source.name)) - set(source.paths) if source.paths else None
    if appeared:
        raise SinkError(f"{source.name} also matches what this run writes ({min(appeared)}); give another place")


def _keep_apart(path: str, what: str, sources: Sequence[Source]) -> None:
    """A file that is read must not be moved out of the way for a new one, nor a table be read and written at once. A
    subscription of the topic that is written to would bring what is written, without an end."""
    for source in sources:
        if source.stream and source.stream.is_fed_by(path):
            raise SinkError(
                f"{what} cannot be published to {path}: {source.name} is a subscription of that topic, so the run would"
                " read what it writes; give another topic"
            )
    if any(path == source.name for source in sources) or any(
        Path(read).exists() and Path(strip_file_scheme(path)).exists() and Path(read).samefile(strip_file_scheme(path))
        for s in sources
        for read in s.paths
    ):
        raise SinkError(f"{what} cannot be written to {path}: it is being read; give another place")


def _greeting(job: Job, sources: Sequence[Source], runner: str) -> str:
    destinations = ", ".join(f"{destination.name} ({destination.endpoint})" for destination in job.destinations)
    inputs = ", ".join(f"{source.name} ({source.extent})" for source in sources)
    return f"Reading {inputs}, delivering to {destinations}, on {runner}."


_Build = Callable[[Any, int, Flow], None]  # of a graph: from what is read, with so many workers


def _work_off(
    pulling: StreamReader[Any],
    element: Callable[[Any], Any],
    build: Callable[[Any, Flow], None],
    outputs: Outputs,
    options: PipelineOptions,
) -> tuple[Mapping[str, int], BaseException | None]:
    """Runs the graph on one batch of messages after the other; what was counted, and what went wrong.

    A batch is acknowledged when its graph has ended well: every message is delivered, filtered or a dead letter then.
    One that fails is given back, and what it counted is forgotten. One whose destination refuses everything waits, for
    as long as it takes or until the run is stopped, which gives it back.
    """
    totals: Counter[str] = Counter()
    KEPT.clear()
    try:
        for messages in pulling.batches():
            elements = beam.Create([element(message) for message in messages], reshuffle=False)
            counts, failure = _run([elements], build, options, "batch")
            failure = failure or _keep_safe(outputs)
            if failure is not None:
                RECENT.forget_unsettled()
                LIVE.restore(totals)
                pulling.give_back(messages)
                return totals, failure
            pulling.acknowledge(messages)
            RECENT.settle()
            totals.update(counts)
            LIVE.restore(totals)
    except StreamLost as error:
        return totals, error
    return totals, None


def _keep_safe(outputs: Outputs) -> SinkError | None:
    """Returns when what has been written would outlive the machine's power, or with the reason why it would not."""
    try:
        for path, record_type in zip((outputs.dead_letters, outputs.receipts), _RECORD_TYPES, strict=True):
            fsync_file(path, record_type.name)
    except SinkError as error:
        return error
    return None


def _pipeline(
    reads: Sequence[beam.PTransform], build: Callable[[Any, Flow], None], options: PipelineOptions, flow: Flow
) -> beam.Pipeline:
    pipeline = beam.Pipeline(options=options)
    inputs = [pipeline | f"Input{index or ''}" >> read for index, read in enumerate(reads)]
    build(inputs[0] if len(inputs) == 1 else inputs | beam.Flatten(), flow)
    return pipeline


def _start(build: Callable[[], beam.Pipeline], options: PipelineOptions, console: Console, log: Console) -> int:
    """Starts the graph and leaves it to its runner; the exit code."""
    try:
        result = build().run()
    except Exception as error:
        if unfit := unreachable(error, _runner_of(options)):
            log.print(f"capybeam: {unfit}", style="red", highlight=False, markup=False)
            return CONFIGURATION
        _show(error, options)
        log.print(f"capybeam: the job cannot be started: {_cause(error)}", style="red", highlight=False, markup=False)
        return FAILED
    console.print(_started(result, options), highlight=False, markup=False)
    return OK


def _runner_of(options: PipelineOptions) -> str:
    runner: str = options.view_as(StandardOptions).runner
    return runner


def _started(result: Any, options: PipelineOptions) -> str:
    """Where a job can be looked at that this process leaves."""
    cloud, runner = options.view_as(GoogleCloudOptions), _runner_of(options)
    if cloud.template_location:  # no job yet: Dataflow makes it of the graph
        return f"The graph is at {cloud.template_location}; Dataflow starts the job from it."
    if not hasattr(result, "job_id"):
        page = flink_page(options)
        if page is None:
            return f"Started on {runner}, whose own page shows how it goes."
        name = getattr(result, "_job_id", "the job")
        return f"Started {name}. Flink shows it once its job server has uploaded it, and can cancel it there:\n  {page}"
    job = result.job_id()
    return (
        f"Started job {job}. Look at it again:\n"
        f"  https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job}?project={cloud.project}\n"
        f"  gcloud dataflow jobs show {job} --region={cloud.region} --project={cloud.project}"
    )


def _run(
    reads: Sequence[beam.PTransform],
    build: Callable[[Any, Flow], None],
    options: PipelineOptions,
    flow: Flow,
    remote: RemoteJob | None = None,
) -> tuple[Mapping[str, int], BaseException | None]:
    """Runs the graph; what was counted, and what went wrong."""
    try:
        try:
            result = _pipeline(reads, build, options, flow).run()
        except Exception as error:
            if unfit := unreachable(error, _runner_of(options)):
                raise unfit from None
            raise
        if flow == "stream":
            _wait_or_leave(result)
            return LIVE.snapshot()[0], None
        if remote:
            remote.follow(result)
            return remote.counts(), None
        result.wait_until_finish()
    except Exception as error:
        _show(error, options)
        return remote.counts() if remote else LIVE.snapshot()[0], error
    return count(result), None


def _wait_or_leave(result: Any) -> None:
    """Waits for a streaming job. Ctrl-C ends one that runs in this process; one that runs elsewhere goes on."""
    ended = threading.Thread(target=result.wait_until_finish, daemon=True)
    ended.start()
    while ended.is_alive() and not STOPPING.wait(0.2):
        pass
    if ended.is_alive() and not hasattr(result, "job_id"):
        result.cancel()


def _conclude(books: RunReport, end: _End, dead_letters: str, log: Console) -> int:
    """The exit code, with a word on what to do.

    An endless input that was stopped, with all done that was pulled, has come to an end like any other.
    """
    failure, endless = end.failure, end.endless

    def say(text: str) -> None:
        log.print(text, style="red", highlight=False, markup=False)

    def tell_dead_letters() -> None:
        if books.dead_lettered:
            count = "1 dead letter is" if books.dead_lettered == 1 else f"{books.dead_lettered:,} dead letters are"
            log.print(f"{count} in {dead_letters}.", highlight=False, markup=False)

    told = told_by(failure, _TELLING) if failure is not None else None
    if failure is not None and endless and told and issubclass(told.kind, DestinationHeld):
        say(told.text)
        return REFUSED
    if failure is not None and endless and told and issubclass(told.kind, Stopped):
        say(told.text)
    elif failure is not None:
        say(f"capybeam: the run failed: {_cause(failure)}")
        if endless:
            say("What is not acknowledged comes again. Mend it and run again: Meta drops the events that it has.")
            return FAILED
        say(
            "What was delivered is delivered. Mend it and run again: events keep their event_id, and for 48 hours"
            " Meta drops those that it has."
        )
        return FAILED
    if end.stopped and not endless:
        say(
            "Stopped. What had been read is delivered or a dead letter; if anything of the input is left, run again:"
            " events keep their event_id, and for 48 hours Meta drops those that it has."
        )
        tell_dead_letters()
        return INTERRUPTED
    for sentence in books.unfinished:
        say(f"capybeam: {sentence}")
    if books.unfinished:
        say(
            "What came before is delivered, or a dead letter. Put the whole file in its place and run again: events"
            " keep their event_id, and for 48 hours Meta drops those that it has."
        )
    if books.refused_destinations:
        _, states = LIVE.snapshot()
        for name in books.refused_destinations:
            say(f"{name}: {states.get(name, 'refuses everything; see the dead letters')}")
        say(
            f"Nothing is lost: what they refused is in {dead_letters}, marked retryable. Once that is mended: capybeam"
            f" replay --config … --from {dead_letters} --retryable"
        )
        return FAILED if books.unfinished else REFUSED
    if not books.balanced and not books.at_least:
        say("capybeam: the books do not balance. This is a defect; please report it with the books above.")
        return FAILED
    if books.dead_lettered:
        tell_dead_letters()
        return FAILED if books.unfinished else DEAD_LETTERS
    if books.read and books.filtered == books.read and not endless:
        log.print("No trigger took any of the events. capybeam map shows what becomes of each.", style="yellow")
    return OK


_TELLING: Final = (
    SinkError,
    TokenError,
    StreamLost,
    DestinationHeld,
    Stopped,
    UnsupportedRunner,
    UnreadableFile,
)  # errors whose texts are for people


def _show(error: BaseException, options: PipelineOptions) -> None:
    """An error with all that led to it, where that is asked for."""
    if options.view_as(_Verbosity).verbose and not isinstance(error, UnsupportedRunner):
        logging.getLogger(__name__).error("The run failed.", exc_info=error)


def _cause(failure: BaseException) -> str:
    """One line for people."""
    told = told_by(failure, _TELLING)
    return told.text if told else f"{type(failure).__name__} (run again with --verbose for Beam's own log)"


_GOES_ON: Final = (
    "The job may go on there, and deliver: cancel it there. On Flink, with --flink_master, capybeam does, and waits for"
    " its end."
)


@contextmanager
def _stopping_on_signals(log: Console, remote: RemoteJob | None) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP lets what has been read go its way; a second Ctrl-C or SIGTERM ends the
    process.

    A terminal that is closed brings SIGHUP more than once, from the system and from the shell, so a second one asks for
    nothing more. Where SIGHUP is ignored, as under nohup, it stays ignored. Workers elsewhere do not hear of signals:
    their job is cancelled.
    """
    word = "cancelling the job" if remote else "delivering what has been read (Ctrl-C again to end at once)"

    def stop(number: int, _frame: FrameType | None) -> None:
        if not STOPPING.is_set():
            STOPPING.set()
            threading.Thread(
                target=log.print, args=(f"Stopping: {word}.",)
            ).start()  # printing in a signal handler could meet a print that it has interrupted
        elif number != signal.SIGHUP:
            try:
                if remote:
                    os.write(2, f"{_GOES_ON}\n".encode())
                else:
                    terminal.console().print(RunReport.from_counts(LIVE.snapshot()[0]).render())
            finally:
                os._exit(INTERRUPTED)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    try:
        previous = {number: signal.signal(number, stop) for number in numbers}
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _progress(log: Console, remote: RemoteJob | None) -> Iterator[None]:
    """A line each second on a terminal, each ten seconds elsewhere; a word at once when a destination has trouble."""
    done = threading.Event()
    thread = threading.Thread(target=_show_progress, args=(log, done, remote), daemon=True)
    thread.start()
    LIVE.shown = True
    try:
        yield
    finally:
        LIVE.shown = False
        done.set()
        thread.join()


def _show_progress(log: Console, done: threading.Event, remote: RemoteJob | None) -> None:
    started, last_line, said = time.monotonic(), time.monotonic(), dict[str, str]()
    remarked = 0

    def print_remarks() -> None:
        nonlocal remarked
        remarks = LIVE.remarks()
        for remark in remarks[remarked:]:
            log.print(remark, style="yellow", highlight=False, markup=False)
        remarked = len(remarks)

    status = log.status("Starting …") if log.is_terminal else None
    if status:
        status.start()
    while not done.wait(1.0):
        counts, states = LIVE.snapshot()
        seconds = time.monotonic() - started
        line = remote.line(seconds) if remote else _progress_line(counts, seconds)
        if status:
            status.update(line)
        elif time.monotonic() - last_line >= 10:
            last_line = time.monotonic()
            log.print(line, highlight=False)
        print_remarks()
        for name, state in states.items():
            if state.partition(" Trying again")[0] != said.get(name):
                said[name] = state.partition(" Trying again")[0]
                log.print(f"{name}: {state}", style="yellow", highlight=False, markup=False)
        for name in [name for name in said if name not in states]:
            del said[name]
            log.print(f"{name}: goes on.", style="yellow", highlight=False, markup=False)
    if status:
        status.stop()
    print_remarks()  # of a run that has ended sooner than it was looked at


def _progress_line(counts: Mapping[str, int], seconds: float) -> str:
    books = RunReport.from_counts(counts)
    refusals = LIVE.refusals()
    refused = f"{sum(refusals.values()):,} refused by Meta, " if refusals else ""
    return (
        f"{books.read:,} read ({books.read / max(seconds, 0.1):,.0f}/s), {books.delivered:,} delivered,"
        f" {books.dead_lettered:,} dead-lettered, {refused}{seconds:,.0f} s"
    )
