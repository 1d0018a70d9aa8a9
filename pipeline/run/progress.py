"""What is shown while a run is under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.runners.remote_job import RemoteJob
from capybeam.transforms.core.progress import Progress

_INTERVAL: Final = 1.0  # seconds
_LOG_INTERVAL: Final = 10.0  # seconds between two lines where there is no terminal


@contextmanager
def show_progress(log: Console, progress: Progress, remote: RemoteJob | None) -> Iterator[None]:
    """A line each second on a terminal, each ten seconds elsewhere; a destination's problem at once."""
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(log, progress, done, remote), daemon=True)
    thread.start()
    progress.is_shown = True
    try:
        yield
    finally:
        progress.is_shown = False
        done.set()
        thread.join()


def _show(log: Console, progress: Progress, done: threading.Event, remote: RemoteJob | None) -> None:
    started, last_line, shown = time.monotonic(), time.monotonic(), dict[str, str]()
    remarked = 0

    def print_remarks() -> None:
        nonlocal remarked
        remarks = progress.remarks()
        for remark in remarks[remarked:]:
            log.print(remark, style="yellow", highlight=False, markup=False)
        remarked = len(remarks)

    status = log.status("Starting …") if log.is_terminal else None
    if status:
        status.start()
    while not done.wait(_INTERVAL):
        statuses = progress.statuses()
        seconds = time.monotonic() - started
        line = remote.line(seconds) if remote else _line(progress, seconds)
        if status:
            status.update(line)
        elif time.monotonic() - last_line >= _LOG_INTERVAL:
            last_line = time.monotonic()
            log.print(line, highlight=False)
        print_remarks()
        for name, text in statuses.items():
            if text.partition(" Trying again")[0] != shown.get(name):
                shown[name] = text.partition(" Trying again")[0]
                log.print(f"{name}: {text}", style="yellow", highlight=False, markup=False)
        for name in [name for name in shown if name not in statuses]:
            del shown[name]
            log.print(f"{name}: goes on.", style="yellow", highlight=False, markup=False)
    if status:
        status.stop()
    print_remarks()  # of a run that ended before the first look


def _line(progress: Progress, seconds: float) -> str:
    report = RunReport.from_counts(progress.counts())
    refusals = progress.refusals()
    refused = f"{sum(refusals.values()):,} refused by Meta, " if refusals else ""
    return (
        f"{report.read:,} read ({report.read / max(seconds, 0.1):,.0f}/s), {report.total.delivered:,} delivered,"
        f" {report.dead_letters:,} dead-lettered, {refused}{seconds:,.0f} s"
    )
