"""Beam's options of a run, and what follows from them: which runner, where its workers are, and how many."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import logging
import re
from collections.abc import Sequence
from typing import Any, Final

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions, PipelineOptions, StandardOptions

from capybeam.pipeline.run.options import JAVA_ALIASES, OPTIONS
from capybeam.pipeline.run.request import RunRequest
from capybeam.pipeline.runners import dataflow
from capybeam.pipeline.runners.errors import UnsupportedRunner
from capybeam.pipeline.runners.support import RUNNERS, full_runner_name, runner_class_name
from capybeam.pipeline.schemes import is_local, is_stream, strip_file_scheme
from capybeam.transforms.core.run_context import RunHandle
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.lease_files import LeaseFolder

DEFAULT_RUNNER: Final = "FnApiRunner"  # DirectRunner would choose one by the graph, and not the one for this graph
_LOCAL_RUNNERS: Final = frozenset(
    {"FnApiRunner", "DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner", "TestDirectRunner"}
)


class BadOption(ValueError):
    """An option that makes no sense, in a sentence."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What a job runs on.

    Attributes:
        runner: the name of its class, with the module where that is not Beam's.
        is_local: whether its workers are on this machine.
        workers: processes that send at once, at most; None where nothing gives their number.
    """

    beam: PipelineOptions
    runner: str
    is_local: bool
    workers: int | None

    @property
    def direct_running_mode(self) -> str | None:
        """How Beam's own runner of this machine divides the work, where that is asked for."""
        mode: str = self.beam.view_as(DirectOptions).direct_running_mode
        return None if mode == "in_memory" else mode

    @property
    def project(self) -> str | None:
        """The Google Cloud project, if one is given."""
        project: str | None = self.beam.view_as(GoogleCloudOptions).project
        return project

    @property
    def is_verbose(self) -> bool:
        verbose: bool = self.beam.view_as(_Verbosity).verbose
        return verbose


def resolve_options(request: RunRequest) -> RunOptions:
    """What a run's options result in. Raises BadOption."""
    beam = parse_beam_options(request.beam_options)
    FileSystems.set_options(beam)  # what is looked at before the run needs them, too
    if not beam.view_as(_Verbosity).verbose:
        for name in ("apache_beam", "google.auth"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    standard = beam.view_as(StandardOptions)
    standard.runner = runner = full_runner_name(standard.runner or DEFAULT_RUNNER)
    if "." not in runner and runner not in RUNNERS:
        close = difflib.get_close_matches(runner, RUNNERS, n=1)
        raise BadOption(f"unknown runner '{runner}'" + (f"; did you mean {close[0]}?" if close else ""))
    options = RunOptions(beam, runner, runner_class_name(runner) in _LOCAL_RUNNERS, max_workers(beam, runner))
    if options.is_local and options.direct_running_mode == "multi_processing":
        raise BadOption(
            "--direct_running_mode multi_processing: give --workers N instead, which has one pace and one set of books"
            " for all processes"
        )
    if options.workers is None and request.job.delivery.requests_per_second is not None:
        raise BadOption(
            f"requests_per_second is divided among the workers: say how many {runner} may use at most, with"
            " --max_num_workers (Dataflow) or --parallelism (Flink)"
        )
    if not request.wait and (options.is_local or _given(beam).get("environment_type") == "LOOPBACK"):
        raise BadOption(f"--no-wait: the workers of {runner} run in this process and would end with it")
    check_for_runner(options, request)
    return options


def check_for_runner(options: RunOptions, request: RunRequest) -> None:
    """Checks what the runner wants of Beam's options, before anything is read or started. Raises BadOption."""
    streams = any(map(is_stream, request.inputs)) and not options.is_local
    try:
        problems = dataflow.option_problems(options.beam, streams or options.beam.view_as(StandardOptions).streaming)
    except Exception as error:  # a runner of the user's, which cannot be made
        raise BadOption(f"{options.runner} cannot be used: {type(error).__name__}") from None
    if runner_class_name(options.runner) in dataflow.RUNNERS:
        try:
            dataflow.check_packages(options.beam)
        except UnsupportedRunner as error:
            problems.append(str(error))
    if problems:
        raise BadOption("\n".join(problems))


def parse_beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options. Raises BadOption for an unknown one, which Beam itself would ignore."""
    beam_log = logging.getLogger("apache_beam.options.pipeline_options")
    beam_log.addFilter(_is_not_discarding)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = _Options(list(arguments))
            known = options.get_all_options()
            given = _given(options)
    except SystemExit:
        reason = said.getvalue().rpartition(" error: ")[2].strip()  # what is before it is the usage of all options
        raise BadOption(reason or "Beam cannot read its options") from None
    finally:
        beam_log.removeFilter(_is_not_discarding)
    stray = [argument for argument in arguments if not argument.startswith("-") and "=" not in argument]
    unknown = [name for name in given if name not in known]
    if unknown:
        spelt = "--" + unknown[0].replace("_", "-")
        names = {**{f"--{name}".replace("_", "-"): f"--{name}" for name in known}, **{own: own for own in _OWN_OPTIONS}}
        close = [names[name] for name in difflib.get_close_matches(spelt, names, n=1)]
        raise BadOption(f"no such option: {spelt}" + (f"; did you mean {close[0]}?" if close else ""))
    if arguments and stray and arguments[0] == stray[0]:
        raise BadOption(f"unexpected argument: {stray[0]}; input is given by --input")
    return options


_OWN_OPTIONS: Final = (
    *(f"--{option.name}" for option in OPTIONS),
    *("--from", "--only", "--retryable", "--books", "--verbose", "--allow-unsafe-runner"),
)  # fmt: skip


def _is_not_discarding(record: logging.LogRecord) -> bool:
    """Beam logs which options it ignores; here that is an error, with a message of its own."""
    return not record.getMessage().startswith("Discarding")


class _Options(PipelineOptions):
    """Beam's options, each view of them made once: Beam asks for several in each step, and making one parses them.

    What is set in one is there in all, as views share their values.
    """

    def view_as(self, cls: type[PipelineOptions]) -> Any:
        views = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


class _Verbosity(PipelineOptions):
    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--verbose", action="store_true", help="Show Beam's own log.")


class _JavaAliases(PipelineOptions):
    """Options that `launch` gives twice, under Java's names too, which nothing here reads."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        for name in JAVA_ALIASES.values():
            parser.add_argument(f"--{name}", help="As Terraform looks for it.")


def max_workers(options: PipelineOptions, runner: str) -> int | None:
    """How many processes may send at once, at most; None where nothing gives their number.

    Dataflow starts a process for each virtual CPU of a machine, unless an experiment forbids it. A machine type that is
    not given is Dataflow's choice, and counts as the largest of them.
    """
    if runner_class_name(runner) in _LOCAL_RUNNERS:
        return 1
    given = _given(options)
    machines = given.get("max_num_workers") or given.get("num_workers")
    if machines:
        single = "no_use_multiple_sdk_containers" in (given.get("experiments") or ())
        return int(machines) * (1 if single else _cpus(given.get("machine_type") or ""))
    parallelism = int(given.get("parallelism") or 0)
    return parallelism if parallelism > 0 else None


def lease_folder(options: RunOptions, delivery: Delivery, run: RunHandle) -> LeaseFolder | None:
    """Where workers elsewhere share requests_per_second; None where they have nothing to share, or no place for it.

    That is the job's temp_location, to which a runner's workers write anyway.
    """
    place: str | None = options.beam.view_as(GoogleCloudOptions).temp_location
    is_shared = delivery.requests_per_second is not None and (options.workers or 1) > 1 and delivery.share_unused_rate
    if options.is_local or not is_shared or not place or is_local(place):
        return None
    return LeaseFolder(f"{strip_file_scheme(place).rstrip('/')}/capybeam-rate/{run.run_id}")


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
