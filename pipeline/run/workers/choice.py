"""How many processes of this machine work for a run."""

from __future__ import annotations

import glob
import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from capybeam.pipeline.run.beam_options import BadOption, RunOptions
from capybeam.pipeline.run.options import MOST_WORKERS
from capybeam.pipeline.run.request import RunRequest
from capybeam.pipeline.schemes import UnknownScheme, find_scheme, is_local, strip_file_scheme

LARGE: Final = 50_000_000  # bytes of all inputs together from which on several processes are worth their start


def workers_of(request: RunRequest, options: RunOptions) -> int:
    """How many processes may be needed: as many as were asked for; else as there are cores, unless it is clear before
    anything is opened that the inputs are too small, or that one process has to read them. Raises BadOption.
    """
    given = request.workers
    if given is not None:
        reason = _why_not(request, options, given)
        if reason:
            raise BadOption(f"--workers {given}: {reason}")
        return given
    if _why_not(request, options, MOST_WORKERS) or options.direct_running_mode or not _may_be_large(request.inputs):
        return 1
    return cores()


def cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Of the machine, that this process may use: a container's share of them, rounded up, where it has one.

    1 where that is not known, as on macOS: processes that are forked there may not use all of the system's libraries.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 1
    return max(1, math.ceil(min(len(os.sched_getaffinity(0)), _quota(groups))))


def _quota(groups: Path) -> float:
    """Cores whose time a container may use, by the control groups of Linux, version 2 or 1."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((groups / file).read_text() for file in files).split()
            if int(quota) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):  # "max"
            continue
    return math.inf


def _why_not(request: RunRequest, options: RunOptions, workers: int) -> str | None:
    """Why so many processes cannot work for a run; None where they can."""
    if not options.is_local:
        return (
            f"is for runs on this machine; {options.runner} has options of its own, --max_num_workers (Dataflow) or"
            " --parallelism (Flink)"
        )
    if workers == 1:
        return None
    if options.direct_running_mode:
        return f"several processes do not go with --direct_running_mode {options.direct_running_mode}; leave that out"
    if not hasattr(os, "fork"):
        return "is not for Windows"
    if any(map(_is_subscription, request.inputs)):
        return "is for files and tables; a subscription is read by one process. Start several runs to share one"
    for path, record_type in request.outputs.by_record_type():
        if not _may_be_shared(path):
            return f"{record_type.name.lower()} go to {path}, where lines of several processes would be mixed"
    return None


def _is_subscription(text: str) -> bool:
    try:
        return find_scheme(text).has_attributes
    except UnknownScheme:  # which is said when it is opened
        return False


def _may_be_shared(path: str) -> bool:
    """Whether several processes can append lines to an output: not to a pipe, a socket or a terminal."""
    path = strip_file_scheme(path)
    if not is_local(path):
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or path == os.devnull


def _may_be_large(inputs: Iterable[str]) -> bool:
    total = 0
    for text in map(strip_file_scheme, inputs):
        if not is_local(text):
            return True
        for path in [text] if os.path.exists(text) else glob.iglob(text):
            try:
                total += os.path.getsize(path)
            except OSError:
                continue
    return total > LARGE
