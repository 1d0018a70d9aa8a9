"""What is known of runners: which are fit, what a cluster needs before a job starts, and how one is followed.

A cluster tells of trouble in tracebacks, if at all: a job that waits for slots, or whose workers lack a token, starts
again and again in silence. So what can be looked at is looked at before the job is built, and what the cluster says
while it runs is read for the few things that go wrong (`explain`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, Final, Literal

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import DebugOptions, FlinkRunnerOptions, PortableOptions, StandardOptions

from capybeam.pipeline.runners.errors import told_in
from capybeam.pipeline.schemes import is_local, strip_file_scheme
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sources import NoInput
from capybeam.transforms.base import NAMESPACE
from capybeam.transforms.core.shutdown import STOPPING
from capybeam.transforms.core.tokens import TokenError

PATIENCE: Final = 5.0  # seconds for a server to answer
WAIT_FOR_SLOTS: Final = 60.0  # seconds until a job that has not got its slots is given up
WAIT_FOR_WORK: Final = 60.0  # seconds until a job that runs and delivers nothing is odd
WAIT_FOR_END: Final = 30.0  # seconds that a job has for ending when it is cancelled

Worth = Literal["once", "unknown"]
"""What a runner's counters are worth.

``once``: the work that ended well, once; what was sent by work that was lost and done again is on the receipts only.
``unknown``: work done again may be counted again.
"""


class UnsupportedRunner(Exception):
    """A runner, or its cluster, that must not or cannot do this job: says why, and what to do."""


class _Safety(beam.options.pipeline_options.PipelineOptions):
    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument(
            "--allow-unsafe-runner",
            "--allow_unsafe_runner",
            action="store_true",
            help="Run on a runner that is known to lose events.",
        )


RUNNERS: Final = tuple(path.rpartition(".")[2] for path in StandardOptions.ALL_KNOWN_RUNNERS)


def canonical(runner: str) -> str:
    """The name of a runner's class, where Beam knows one by the name: in any case, and without "Runner"."""
    known = {name.lower(): name for name in RUNNERS}
    return known.get(runner.lower()) or known.get(f"{runner.lower()}runner") or runner


def check_runner(runner: str, options: Any, streaming: bool) -> None:
    """Refuses runners that are known to lose events, and clusters that are not there. Raises UnsupportedRunner.

    Args:
        streaming: whether a subscription is streamed, rather than worked off in batches.
    """
    name = short(runner)
    unfit = _unfit(name, streaming)
    if unfit and not options.view_as(_Safety).allow_unsafe_runner:
        raise UnsupportedRunner(f"{unfit} To use it all the same: --allow-unsafe-runner")
    if name in _ON_JOB_SERVERS:
        _check_cluster(name, options)


_CHOOSING: Final = ("DirectRunner", "SwitchingDirectRunner", "TestDirectRunner")


def _unfit(name: str, streaming: bool) -> str | None:
    if name == "PrismRunner":
        return "PrismRunner loses events. Leave --runner out: FnApiRunner does the same on this machine."
    if streaming and name in (*_CHOOSING, "BundleBasedDirectRunner"):
        return (
            f"{name} acknowledges a message when it is pulled, not when it is delivered: a crash loses what is in"
            " flight. Leave --runner and --streaming out: a subscription is then worked off in batches, each"
            " acknowledged when it is delivered."
        )
    if name in _CHOOSING:
        return (
            f"{name} chooses a runner by the graph, and may choose Prism, which loses events. Leave --runner out:"
            " FnApiRunner does the same on this machine."
        )
    return None


def check_place(name: str, paths: Iterable[str], runner: str) -> None:
    """Refuses an input that only this machine has, for workers elsewhere. Raises NoInput.

    Args:
        name: of the input, as the user gave it.
        paths: of its files.
    """
    if "file://" not in name and any(is_local(path) for path in paths):
        raise NoInput(
            f"{runner} cannot read {name}: its workers are elsewhere; give a URL (gs://…), or file:///… where this"
            " machine and all workers have the folder at the same path"
        )


def short(runner: str) -> str:
    """The name of a runner's class, without its module."""
    return canonical(runner).rpartition(".")[2]


def worth(runner: str, options: Any) -> Worth:
    """What the counters of a runner elsewhere are worth.

    Flink, measured: of an attempt that failed nothing is counted. Dataflow counts what is committed.
    """
    if short(runner) in ("DataflowRunner", "FlinkRunner") or _flink_master(options):
        return "once"
    return "unknown"


# --- clusters ---------------------------------------------------------------------------------------------------------


def _check_cluster(name: str, options: Any) -> None:
    master, portable = _flink_master(options), options.view_as(PortableOptions)
    endpoint = portable.job_endpoint
    if name == "PortableRunner" and not endpoint:
        raise UnsupportedRunner("PortableRunner needs the address of a job server: --job_endpoint HOST:PORT")
    if endpoint and endpoint != "embed":
        trouble = _trouble_with(endpoint)
        if trouble:
            raise UnsupportedRunner(
                f"{trouble} at {endpoint}. Start Beam's job server there, or mend --job_endpoint (docs/clusters.md)"
            )
    if master:
        _check_slots(master, options.view_as(FlinkRunnerOptions).parallelism)


def _check_slots(master: str, parallelism: int) -> None:
    try:
        overview = ask_flink(master, "/overview")
        on_demand = any(
            setting["key"].startswith(("kubernetes.cluster-id", "yarn.application.id"))
            for setting in ask_flink(master, "/jobmanager/config")
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise UnsupportedRunner(
            f"No Flink JobManager answers at {master}. Start one, or mend --flink_master (its web address)"
        ) from None
    free, slots = overview["slots-available"], max(parallelism, 1)
    if free < slots and not on_demand:  # such a cluster starts TaskManagers as they are needed
        raise UnsupportedRunner(
            f"Flink at {master} has {_count(free, 'free slot')} and the job needs {slots}: it would wait for ever."
            f" Start more TaskManagers, wait for other jobs to end{f', or give --parallelism {free}' if free else ''}"
        )


def _trouble_with(endpoint: str) -> str | None:
    """Why nothing can be sent to a job server."""
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]") or "localhost", int(port)), timeout=PATIENCE).close()
    except (OSError, ValueError):
        return "No job server answers"
    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
        try:
            stub.DescribePipelineOptions(beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=PATIENCE)
        except grpc.RpcError as error:
            return None if error.code() == grpc.StatusCode.UNIMPLEMENTED else "Something else than a job server answers"
    return None


_ON_JOB_SERVERS: Final = ("PortableRunner", "FlinkRunner")


def unreachable(error: BaseException, runner: str) -> UnsupportedRunner | None:
    """What is wrong where a graph cannot be handed over to a job server that has answered."""
    import grpc

    if short(runner) not in _ON_JOB_SERVERS:
        return None
    silent = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call) and error.code() in silent:
        return UnsupportedRunner(
            "The job server takes artifacts at an address that does not answer from here. Give the right one:"
            " --artifact_endpoint HOST:PORT (docs/clusters.md)"
        )
    return None


def stage_nothing(options: Any) -> None:
    """Keeps Beam from staging a list of packages for workers that have all they need.

    Beside a pool each worker would fetch it from the job server's disk, which a TaskManager elsewhere does not have.
    """
    portable = options.view_as(PortableOptions)
    if portable.environment_type == "EXTERNAL":
        options.view_as(DebugOptions).add_experiment("disable_logging_submission_environment")


def _flink_master(options: Any) -> str | None:
    """The address of Flink's web interface, where the options have it."""
    master: str = options.view_as(FlinkRunnerOptions).flink_master or ""
    return None if master.startswith("[") or not master else master


def flink_page(options: Any) -> str | None:
    """Where Flink shows its jobs, if that is known."""
    master = _flink_master(options)
    return None if master is None else f"{_base(master)}/#/overview"


def _job_of(result: Any, master: str, others: Collection[str]) -> Mapping[str, Any] | None:
    """What Flink says of a job of Beam's; None where it has none such. Raises as `ask_flink` does.

    Args:
        others: IDs of jobs that were there before, which may have the same name.
    """
    name = str(getattr(result, "_job_id", "")).rpartition("_")[0]  # Beam's is NAME_UUID
    jobs = ask_flink(master, "/jobs/overview")["jobs"]
    return next((job for job in jobs if job["name"] == name and job["jid"] not in others), None)


def _base(master: str) -> str:
    return (master if "://" in master else f"http://{master}").rstrip("/")


def ask_flink(master: str, path: str, method: str = "GET") -> Any:
    """What Flink's web interface answers. Raises OSError, ValueError."""
    request = urllib.request.Request(_base(master) + path, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


# --- workers ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Versions:
    """What the machine that builds a graph and those that work on it must share.

    Attributes:
        python: major and minor version.
    """

    python: str
    beam: str
    capybeam: str

    @classmethod
    def here(cls) -> Versions:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        try:
            capybeam = metadata.version("capybeam")
        except metadata.PackageNotFoundError:  # from a checkout
            capybeam = "a checkout"
        return cls(python, beam.__version__, capybeam)

    def difference(self, other: Versions) -> str | None:
        """How the workers' versions (`other`) differ from these."""
        for field in dataclasses.fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if ours != theirs:
                return (
                    f"Versions do not match: {field.name.capitalize()} is {ours} here and {theirs} on the workers."
                    " Install the same on both (docs/clusters.md)"
                )
        return None


@dataclasses.dataclass
class CheckWorkers(beam.PTransform):
    """Passes lines, or events, on, on workers of the same versions; on others it fails before the first one.

    The steps behind it are set up with it, which reads the tokens: so that, too, fails before an event is sent.
    """

    def expand(self, lines: beam.PCollection) -> beam.PCollection:
        check = beam.ParDo(_CheckWorkers(Versions.here()))
        return lines | "Compare" >> check.with_output_types(lines.element_type)


class _CheckWorkers(beam.DoFn):
    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def setup(self) -> None:
        difference = self._versions.difference(Versions.here())
        if difference:
            raise UnsupportedRunner(difference)

    def process(self, element: Any) -> tuple[Any]:
        return (element,)


_OWN_ERRORS: Final = (UnsupportedRunner, TokenError, SinkError)
_KNOWN: Final = (
    (
        r"No module named 'capybeam",
        "The Python workers do not have capybeam. Install the same version there as here (docs/clusters.md)",
    ),
    (
        r"No module named '(?P<name>[\w.]+)'",
        "The Python workers lack the package {name}. Install capybeam there with all it needs (docs/clusters.md)",
    ),
    (
        r"Can't get (?:local )?(?:object|attribute)|unknown opcode|bad marshal data|unexpected keyword argument"
        r"|code\(\) (?:argument|takes)|unsupported pickle protocol",
        "The Python workers cannot read the job. Versions of Python, Beam and capybeam must be the same there as here"
        " (docs/clusters.md)",
    ),
    (
        r"NoResourceAvailableException|Could not acquire the minimum required resources",
        "Flink has too few free slots for the job. Start more TaskManagers, or lower --parallelism",
    ),
    (
        r"(?s)UNAVAILABLE: io exception.*(?:Connection refused|No route to host|UnknownHost)",
        "The TaskManagers cannot reach the pool of Python workers. Start it where --environment_config says, as seen"
        " from each TaskManager (docs/clusters.md)",
    ),
    (
        r"No files found based on the file pattern|FileNotFoundError",
        "The workers do not find the files of the input. Give a URL (gs://…), or a folder that all of them have at"
        " the same path",
    ),
)


def explain(text: str) -> str | None:
    """What a cluster's error means, where it is the setting up that is at fault, and no repetition will help."""
    own = told_in(text, _OWN_ERRORS)
    if own:
        return own.text
    for pattern, sentence in _KNOWN:
        found = re.search(pattern, text)
        if found:
            return sentence.format(**found.groupdict())
    return None


# --- following a job --------------------------------------------------------------------------------------------------


_OVER: Final = ("CANCELED", "FAILED", "FINISHED")  # states of Flink's


class RemoteJob:
    """A job that workers elsewhere do, from its start to its end.

    Args:
        receipts: where they are written. A file that this machine has is read for progress, as many runners count only
            once a job has ended, and shows what was sent more than once.
    """

    def __init__(self, runner: str, options: Any, receipts: str) -> None:
        self._runner = short(runner)
        self._master = _flink_master(options)
        self._slots = max(options.view_as(FlinkRunnerOptions).parallelism, 1)
        self._receipts = _Receipts(receipts)
        self.worth: Worth = worth(runner, options)
        self._result: Any = None
        self._since, self._has_run = time.monotonic(), False
        self._state = "starting"
        self._counts: dict[str, int] = {}
        self.restarts = 0
        self.ended = False  # certainly, rather than left running where it cannot be looked at
        self._others: set[str] = set()
        self._seen = False  # by Flink, which has to get it from the job server first
        if self._master:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                self._others = {job["jid"] for job in ask_flink(self._master, "/jobs/overview")["jobs"]}

    @property
    def goes_on(self) -> bool:
        """Whether it has been started and has not ended, as far as can be told."""
        return self._result is not None and not self.ended

    @property
    def sent(self) -> int | None:
        """Events on the receipts so far, repeats included; None where they cannot be read from here."""
        return self._receipts.count()

    def line(self, seconds: float) -> str:
        """How it goes, for people."""
        parts = [f"{self._runner}: {self._state}"]
        if self._counts.get("read"):
            parts.append(f"{self._counts['read']:,} read")
        if self.sent is not None:
            parts.append(f"{self.sent:,} delivered ({self.sent / max(seconds, 0.1):,.0f}/s)")
        if self.restarts:
            parts.append(f"work lost and begun again {'once' if self.restarts == 1 else f'{self.restarts} times'}")
        if self._master is None and not self._counts and not self.sent and seconds > WAIT_FOR_SLOTS:
            parts.append(f"no sign of work (has the cluster {_count(self._slots, 'free slot')}?)")
        elif self._has_run and not self._counts and self.sent == 0 and seconds > WAIT_FOR_WORK:
            parts.append("no receipt yet (do the Python workers start? The logs of their pools tell)")
        return ", ".join([*parts, f"{seconds:,.0f} s"])

    def follow(self, result: Any) -> None:
        """Waits for the job's end; cancels it when the run is to stop. Raises UnsupportedRunner and Beam's errors."""
        self._result, self._since = result, time.monotonic()
        failure: list[BaseException] = []

        def wait() -> None:
            try:
                result.wait_until_finish()
            except Exception as error:
                failure.append(error)

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        while waiting.is_alive():
            trouble = self._look()
            if trouble or STOPPING.is_set():
                self._cancel()
                self.ended = self._has_ended(waiting)
                if trouble:
                    raise UnsupportedRunner(trouble)
                return
            waiting.join(2.0)
        self._look()
        self.ended = not failure or self._is_over()
        if failure:
            known = explain(str(failure[0]))
            raise UnsupportedRunner(known) if known else failure[0]

    def counts(self) -> dict[str, int]:
        """What the runner has counted so far; many count only when a job has ended."""
        if self._result is None:
            return {}
        with contextlib.suppress(Exception):  # while it runs, or has failed, a runner may have nothing to say
            if hasattr(self._result, "_metrics"):
                self._result._metrics = None  # what was asked before is kept there
            return count(self._result)
        return {}

    def _cancel(self) -> None:
        """Ends the job. Beam's job server may stop listening to it and let it run on, so Flink is told as well."""
        with contextlib.suppress(Exception):
            self._cancel_on_flink()
        with contextlib.suppress(Exception):
            self._result.cancel()

    def _has_ended(self, waiting: threading.Thread) -> bool:
        """Waits for the end of a job that was cancelled; whether it is certain. Only Flink itself tells of its jobs."""
        if self._master is None:
            waiting.join(WAIT_FOR_END)
            return self._runner == "DataflowRunner" and not waiting.is_alive()
        deadline = time.monotonic() + WAIT_FOR_END
        while not self._is_over():
            if time.monotonic() > deadline:
                return False
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                if not self._seen:  # it was on its way when it was cancelled
                    self._cancel_on_flink()
            time.sleep(0.5)
        return True

    def _cancel_on_flink(self) -> None:
        """Cancels the job where Flink has it. Raises as `ask_flink` does."""
        if self._master and (job := _job_of(self._result, self._master, self._others)):
            self._seen = True
            ask_flink(self._master, f"/jobs/{job['jid']}?mode=cancel", "PATCH")

    def _is_over(self) -> bool:
        """Whether the job has certainly ended on the cluster, too. A job server that is lost tells nothing."""
        with contextlib.suppress(Exception):
            if self._master is None:
                return str(self._result.state) in ("FAILED", "CANCELLED", "DONE")
            job = _job_of(self._result, self._master, self._others)
            return job["state"] in _OVER if job else self._seen
        return False

    def _look(self) -> str | None:
        """Takes in how the job goes; a sentence where it cannot go well any more."""
        with contextlib.suppress(Exception):
            self._state = str(self._result.state).lower()
        self._counts = self.counts()
        if self._master is None:
            return None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return self._look_at_flink(self._master)
        return None

    def _look_at_flink(self, master: str) -> str | None:
        job = _job_of(self._result, master, self._others)
        self._seen = self._seen or job is not None
        if job is None:
            self._state, self._since = "uploading", time.monotonic()
            return None
        errors = ask_flink(master, f"/jobs/{job['jid']}/exceptions?maxExceptions=20")
        texts = [entry.get("stacktrace") or "" for entry in errors["exceptionHistory"]["entries"]]
        self.restarts = len(texts)
        for text in texts:
            known = explain(text)
            if known:
                return known
        return self._waiting(job)

    def _waiting(self, job: Mapping[str, Any]) -> str | None:
        tasks = job["tasks"]
        if tasks["running"] or tasks["finished"] or job["state"] != "RUNNING":
            self._since, self._has_run = time.monotonic(), True
        elif tasks["scheduled"]:
            self._state = f"waiting for {_count(self._slots, 'slot')}"
            if not self._has_run and time.monotonic() - self._since > WAIT_FOR_SLOTS:
                return (
                    f"Flink has not had {_count(self._slots, 'slot')} for the job within {WAIT_FOR_SLOTS:.0f} s."
                    " Start more TaskManagers, or lower --parallelism"
                )
        return None


def count(result: Any) -> dict[str, int]:
    """capybeam's counters, those of the same name added up."""
    counts: dict[str, int] = {}
    for counter in result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]:
        counts[counter.key.metric.name] = counts.get(counter.key.metric.name, 0) + counter.result
    return counts


class _Receipts:
    """Adds up a file of receipts that is still being written."""

    def __init__(self, path: str) -> None:
        self._path = strip_file_scheme(path) if is_local(strip_file_scheme(path)) else None
        self._at, self._events = 0, 0

    def count(self) -> int | None:
        if self._path is None:
            return None
        try:
            for line in self._new_lines(self._path):
                self._events += int(json.loads(line)["events"])
        except (OSError, ValueError, KeyError):
            return None
        return self._events

    def _new_lines(self, path: str) -> Iterator[bytes]:
        with open(path, "rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):  # half a line, so far
                    return
                self._at += len(line)
                yield line


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
