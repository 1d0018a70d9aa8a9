"""``capybeam run``: builds the graph, runs it, shows how it goes, and ends with the books."""

from __future__ import annotations

import difflib
import functools
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import apache_beam as beam
import orjson
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from rich.console import Console

from pipeline.config import Job
from pipeline.graph import deliver
from pipeline.options import OPTIONS
from pipeline.sinks import SINKS, prepare
from pipeline.sinks.lines import SinkError
from pipeline.sources import ALWAYS, Between, NoInput, Source, open_source
from pipeline.summary import Books
from transforms.graph_api import Destination
from transforms.steps import NAMESPACE
from transforms.stopping import STOPPING
from transforms.tallies import LIVE
from transforms.tokens import TokenError

OK: Final = 0
DEAD_LETTERS: Final = 1
CONFIGURATION: Final = 2
REFUSED: Final = 3
FAILED: Final = 4
INTERRUPTED: Final = 130

DEFAULT_RUNNER: Final = "FnApiRunner"  # DirectRunner would choose one by the graph, and not the one for this graph
_LOCAL_RUNNERS: Final = frozenset({"FnApiRunner", "DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner"})


def run_job(
    job: Job,
    inputs: Sequence[str],
    dead_letters: str,
    receipts: str,
    books: str | None,
    beam_options: Sequence[str],
    between: Between = ALWAYS,
    wait: bool = True,
) -> int:
    """Runs a job to its end, or starts it, and returns the exit code.

    Args:
        inputs: as `pipeline.sources` takes them.
        dead_letters, receipts: where they are written.
        books: where the books are written as JSON, if anywhere.
        beam_options: handed on to Beam.
        between: the times of the events to be read, where the inputs can tell.
        wait: for the job's end. One that workers elsewhere do can be started and left.
    """
    console, log = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    try:
        options = _beam_options(beam_options)
    except ValueError as error:
        log.print(f"capybeam: {error}", style="red", highlight=False, markup=False)
        return CONFIGURATION
    runner = options.view_as(StandardOptions).runner or DEFAULT_RUNNER
    options.view_as(StandardOptions).runner = runner
    local = runner.rpartition(".")[2] in _LOCAL_RUNNERS
    try:
        workers = _workers(options, runner)
        if workers is None and job.delivery.requests_per_second is not None:
            raise ValueError(
                f"requests_per_second is shared out over the workers: say how many {runner} may use at most,"
                " by --max_num_workers (Dataflow) or --parallelism (Flink)"
            )
        if not wait and (local or _given(options).get("environment_type") == "LOOPBACK"):
            raise ValueError(f"--no-wait: the workers of {runner} are in this process here, and would end with it")
    except ValueError as error:
        log.print(f"capybeam: {error}", style="red", highlight=False, markup=False)
        return CONFIGURATION
    try:
        project = options.view_as(GoogleCloudOptions).project
        sources = [open_source(text, between, project) for text in inputs]
        for destination in job.destinations:
            _check_token(destination, options, runner, local)
        for path, what in zip((dead_letters, receipts), SINKS, strict=True):
            kept = prepare(path, what, local, runner)
            if kept:
                log.print(f"{what} of an earlier run are kept in {kept}", highlight=False)
    except (NoInput, TokenError, SinkError) as error:
        log.print(f"capybeam: {error}", style="red", highlight=False, markup=False)
        return CONFIGURATION
    LIVE.reset()
    STOPPING.clear()
    if not options.view_as(_Verbosity).verbose:
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    log.print(_greeting(job, sources, runner), highlight=False, markup=False)
    build = functools.partial(_pipeline, job, sources, dead_letters, receipts, workers or 1, options)
    if not wait:
        return _start(build, options, console, log)

    with _stopping_on_ctrl_c(log), _progress(log):
        counts, failure = _run(build)
    result = Books.from_counts(counts)
    if failure is not None:
        console.print("The books so far:")
    console.print(result.render())
    if books:
        try:
            Path(books).write_bytes(orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2))
        except OSError as error:
            log.print(f"capybeam: the books cannot be written to {books}: {error.strerror}", style="red")
            return FAILED
    return _conclude(result, failure, dead_letters, log)


def _beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options. Raises ValueError for one that nobody knows, which Beam itself would pass over."""
    try:
        options = PipelineOptions([*arguments, "--pipeline_type_check"])
        known = options.get_all_options()
        given = options.get_all_options(retain_unknown_options=True)
    except SystemExit:
        raise ValueError("Beam cannot read its options; see above") from None
    stray = [argument for argument in arguments if not argument.startswith("-") and "=" not in argument]
    unknown = [name for name in given if name not in known]
    if unknown:
        spelt = "--" + unknown[0].replace("_", "-")
        close = difflib.get_close_matches(spelt, _OWN_OPTIONS, n=1) or [
            f"--{name}" for name in difflib.get_close_matches(unknown[0], list(known), n=1)
        ]
        raise ValueError(f"no such option: {spelt}" + (f"; did you mean {close[0]}?" if close else ""))
    if arguments and stray and arguments[0] == stray[0]:
        raise ValueError(f"unexpected argument: {stray[0]}; input is given by --input")
    return options


_OWN_OPTIONS: Final = tuple(f"--{option.name}" for option in OPTIONS)


class _Verbosity(PipelineOptions):
    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--verbose", action="store_true", help="Show Beam's own log.")


def _workers(options: PipelineOptions, runner: str) -> int | None:
    """How many processes may send at once, at most; None where nothing says so.

    Dataflow starts a process for each virtual CPU of a machine, unless told otherwise.
    """
    given = _given(options)
    if runner.rpartition(".")[2] in _LOCAL_RUNNERS:
        separate = given.get("direct_running_mode") == "multi_processing"
        return (given.get("direct_num_workers") or os.cpu_count() or 1) if separate else 1
    machines = given.get("max_num_workers") or given.get("num_workers")
    if machines:
        cpus = re.search(r"-(\d+)$", given.get("machine_type") or "")
        single = "no_use_multiple_sdk_containers" in (given.get("experiments") or ())
        return int(machines) * (int(cpus[1]) if cpus and not single else 1)
    parallelism = int(given.get("parallelism") or 0)
    return parallelism if parallelism > 0 else None


def _given(options: PipelineOptions) -> dict[str, Any]:
    given: dict[str, Any] = options.get_all_options(retain_unknown_options=True)
    return given


def _check_token(destination: Destination, options: PipelineOptions, runner: str, local: bool) -> None:
    """Reads the token where this process is what the workers are: of this machine, or, launching a template, of their
    service account. Raises TokenError where workers will have none."""
    name, token = destination.name, destination.token
    if runner.rpartition(".")[2] == "DataflowRunner" and token.kind != "secret":
        raise TokenError(
            f"destination {name}: Dataflow's workers cannot read {token.text}. Keep the token in Secret Manager and"
            " write access_token: secret:projects/P/secrets/S/versions/latest"
        )
    if local or options.view_as(GoogleCloudOptions).template_location:
        try:
            token.read()
        except TokenError as error:
            raise TokenError(f"destination {name}: {error}") from None


def _greeting(job: Job, sources: Sequence[Source], runner: str) -> str:
    destinations = ", ".join(f"{destination.name} ({destination.endpoint})" for destination in job.destinations)
    inputs = ", ".join(f"{source.name} ({source.extent})" for source in sources)
    return f"Reading {inputs}, delivering to {destinations}, on {runner}."


def _pipeline(
    job: Job, sources: Sequence[Source], dead_letters: str, receipts: str, workers: int, options: PipelineOptions
) -> beam.Pipeline:
    pipeline = beam.Pipeline(options=options)
    reads = [pipeline | f"Input{index or ''}" >> source.read for index, source in enumerate(sources)]
    lines = reads[0] if len(reads) == 1 else reads | beam.Flatten()
    deliver(lines, job, dead_letters, receipts, workers)
    return pipeline


def _start(build: Callable[[], beam.Pipeline], options: PipelineOptions, console: Console, log: Console) -> int:
    """Starts the graph and leaves it to its runner; the exit code."""
    try:
        result = build().run()
    except Exception as error:
        log.print(f"capybeam: the job cannot be started: {_cause(error)}", style="red", highlight=False, markup=False)
        return FAILED
    console.print(_started(result, options), highlight=False, markup=False)
    return OK


def _started(result: Any, options: PipelineOptions) -> str:
    """Where a job can be looked at that this process leaves."""
    cloud, runner = options.view_as(GoogleCloudOptions), options.view_as(StandardOptions).runner
    if cloud.template_location:  # no job yet: Dataflow makes it of the graph
        return f"The graph is at {cloud.template_location}; Dataflow starts the job from it."
    if not hasattr(result, "job_id"):
        return f"Started on {runner}, whose own page shows how it goes."
    job = result.job_id()
    return (
        f"Started job {job}. Look at it again:\n"
        f"  https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job}?project={cloud.project}\n"
        f"  gcloud dataflow jobs show {job} --region={cloud.region} --project={cloud.project}"
    )


def _run(build: Callable[[], beam.Pipeline]) -> tuple[Mapping[str, int], BaseException | None]:
    """Runs the graph; what was counted, and what went wrong."""
    try:
        result = build().run()
        result.wait_until_finish()
    except Exception as error:
        return LIVE.snapshot()[0], error
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    counts: dict[str, int] = {}
    for counter in found:
        counts[counter.key.metric.name] = counts.get(counter.key.metric.name, 0) + counter.result
    return counts, None


def _conclude(books: Books, failure: BaseException | None, dead_letters: str, log: Console) -> int:
    """The exit code, with a word on what to do."""

    def say(text: str) -> None:
        log.print(text, style="red", highlight=False, markup=False)

    if failure is not None:
        say(f"capybeam: the run failed: {_cause(failure)}")
        say(
            "What was delivered is delivered. Mend it and run again: events keep their event_id, and for 48 hours"
            " Meta drops those that it has."
        )
        return FAILED
    if STOPPING.is_set():
        say(
            "Stopped. The rest of the input has not been read; run again to deliver it: events keep their event_id,"
            " and for 48 hours Meta drops those that it has."
        )
        return INTERRUPTED
    if books.refused_destinations:
        _, states = LIVE.snapshot()
        for name in books.refused_destinations:
            say(f"{name}: {states.get(name, 'refuses everything; see the dead letters')}")
        say(f"Nothing is lost: its events are in {dead_letters}, marked retryable.")
        return REFUSED
    if not books.balanced:
        say("capybeam: the books do not balance. This is a defect; please report it with the books above.")
        return FAILED
    if books.dead_lettered:
        count = "1 dead letter is" if books.dead_lettered == 1 else f"{books.dead_lettered:,} dead letters are"
        log.print(f"{count} in {dead_letters}.", highlight=False, markup=False)
        return DEAD_LETTERS
    return OK


def _cause(failure: BaseException) -> str:
    """One line for people: runners add the step's name to an error's text, or wrap it in tracebacks."""
    for line in reversed(str(failure).splitlines()):
        _, named, text = line.rpartition("SinkError: ") if "SinkError: " in line else line.rpartition("TokenError: ")
        if named or isinstance(failure, (SinkError, TokenError)):
            return text.partition(" [while running")[0]
    return f"{type(failure).__name__} (run again with --verbose for Beam's own log)"


@contextmanager
def _stopping_on_ctrl_c(log: Console) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) lets what has been read go its way; the second ends the process."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if STOPPING.is_set():
            Console().print(Books.from_counts(LIVE.snapshot()[0]).render())
            sys.stdout.flush()
            os._exit(INTERRUPTED)
        STOPPING.set()
        threading.Thread(
            target=log.print, args=("Stopping: delivering what has been read (Ctrl-C again to end at once).",)
        ).start()  # printing in a signal handler could meet a print that it has interrupted

    try:
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _progress(log: Console) -> Iterator[None]:
    """A line each second on a terminal, each ten seconds elsewhere; a word at once when a destination has trouble."""
    done = threading.Event()
    thread = threading.Thread(target=_show_progress, args=(log, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show_progress(log: Console, done: threading.Event) -> None:
    started, last_line, said = time.monotonic(), time.monotonic(), dict[str, str]()
    status = log.status("Starting …") if log.is_terminal else None
    if status:
        status.start()
    while not done.wait(1.0):
        counts, states = LIVE.snapshot()
        line = _progress_line(counts, time.monotonic() - started)
        if status:
            status.update(line)
        elif time.monotonic() - last_line >= 10:
            last_line = time.monotonic()
            log.print(line, highlight=False)
        for name, state in states.items():
            if state.partition(" Trying again")[0] != said.get(name):
                said[name] = state.partition(" Trying again")[0]
                log.print(f"{name}: {state}", style="yellow", highlight=False, markup=False)
    if status:
        status.stop()


def _progress_line(counts: Mapping[str, int], seconds: float) -> str:
    books = Books.from_counts(counts)
    return (
        f"{books.read:,} read ({books.read / max(seconds, 0.1):,.0f}/s), {books.delivered:,} delivered,"
        f" {books.dead_lettered:,} dead-lettered, {seconds:,.0f} s"
    )
