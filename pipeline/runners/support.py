"""Which runners can do a job without losing events, and how far their counters can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from capybeam.pipeline.runners import dataflow, flink, job_server
from capybeam.pipeline.runners.errors import UnsupportedRunner
from capybeam.pipeline.schemes import is_local
from capybeam.pipeline.sources import NoInput

Guarantee = Literal["once", "unknown"]
"""What a runner's counters guarantee.

``once``: they hold the work that succeeded, once; what lost work had sent is in the receipts only.
``unknown``: repeated work may be counted again.
"""


class _Safety(PipelineOptions):
    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument(
            "--allow-unsafe-runner",
            "--allow_unsafe_runner",
            action="store_true",
            help="Run on a runner that is known to lose events.",
        )


RUNNERS: Final = tuple(path.rpartition(".")[2] for path in StandardOptions.ALL_KNOWN_RUNNERS)
_RUNNERS_OF_BEAMS_CHOICE: Final = ("DirectRunner", "SwitchingDirectRunner", "TestDirectRunner")


def full_runner_name(runner: str) -> str:
    """The name of a runner's class, where Beam has one of that name: in any case, and without "Runner".

    >>> full_runner_name("flink"), full_runner_name("acme.runners.MyRunner")
    ('FlinkRunner', 'acme.runners.MyRunner')
    """
    known = {name.lower(): name for name in RUNNERS}
    return known.get(runner.lower()) or known.get(f"{runner.lower()}runner") or runner


def runner_class_name(runner: str) -> str:
    """The same without the module.

    >>> runner_class_name("acme.runners.MyRunner")
    'MyRunner'
    """
    return full_runner_name(runner).rpartition(".")[2]


def is_one_thread(options: PipelineOptions) -> bool:
    """Whether the thread that runs a graph does the work of its steps: FnApiRunner's, unless it is asked for more."""
    direct = options.view_as(DirectOptions)
    is_default = direct.direct_num_workers == 1 and direct.direct_running_mode == "in_memory"
    return is_default and runner_class_name(options.view_as(StandardOptions).runner or "") == "FnApiRunner"


def check_runner(runner: str, options: Any, streaming: bool) -> None:
    """Refuses runners that are known to lose events, and clusters that are not there. Raises UnsupportedRunner.

    Args:
        streaming: whether a subscription is streamed, rather than worked off in batches.
    """
    name = runner_class_name(runner)
    reason = _unsafe_reason(name, streaming)
    if reason and not options.view_as(_Safety).allow_unsafe_runner:
        raise UnsupportedRunner(f"{reason} To use it anyway: --allow-unsafe-runner")
    if name in job_server.JOB_SERVER_RUNNERS:
        job_server.check_cluster(name, options)


def _unsafe_reason(name: str, streaming: bool) -> str | None:
    if name == "PrismRunner":
        return "PrismRunner loses events. Leave --runner out: FnApiRunner does the same on this machine."
    if streaming and name in (*_RUNNERS_OF_BEAMS_CHOICE, "BundleBasedDirectRunner"):
        return (
            f"{name} acknowledges a message when it is pulled, not when it is delivered: a crash loses what is in"
            " flight. Leave --runner and --streaming out: a subscription is then read in batches, each"
            " acknowledged when it is delivered."
        )
    if name in _RUNNERS_OF_BEAMS_CHOICE:
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


def counter_guarantee(runner: str, options: Any) -> Guarantee:
    """What the counters of a runner elsewhere guarantee.

    Flink, measured: nothing of a failed attempt is counted. Dataflow counts what is committed.
    """
    if runner_class_name(runner) in (*dataflow.RUNNERS, "FlinkRunner") or flink.master_of(options):
        return "once"
    return "unknown"
