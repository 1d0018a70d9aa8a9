"""Ctrl-C, SIGTERM and SIGHUP while a run is under way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from capybeam.pipeline.run import terminal
from capybeam.pipeline.run.exit_codes import INTERRUPTED
from capybeam.pipeline.run.outcome import MAY_BE_RUNNING
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.report_display import render
from capybeam.pipeline.run.run_log import RunLog
from capybeam.transforms.core.run_context import RunContext


@contextmanager
def shutdown_on_signals(
    run: RunContext, log: RunLog, is_remote: bool, record: Callable[[RunReport], object]
) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP stops reading, and what has been read is still delivered; a second Ctrl-C or
    SIGTERM ends the process.

    A terminal that is closed sends SIGHUP more than once, from the system and from the shell, so a second one asks for
    nothing more. Where SIGHUP is ignored, as under nohup, it stays ignored. Signals do not reach workers elsewhere:
    their job is cancelled.

    Args:
        record: what writes the report of a run that ends at once.
    """
    doing = "cancelling the job" if is_remote else "delivering what has been read (Ctrl-C again to end at once)"

    def stop(number: int, _frame: FrameType | None) -> None:
        if not run.shutdown.is_set():
            run.shutdown.set()
            threading.Thread(
                target=log.info, args=(f"Stopping: {doing}.",)
            ).start()  # printing in a signal handler could interrupt a print of the same console
        elif number != signal.SIGHUP:
            try:
                report = RunReport.from_counts(run.progress.counts())
                if is_remote:
                    log.error(MAY_BE_RUNNING)
                else:
                    terminal.console().print(render(report))
                record(report)
                log.ended(report, INTERRUPTED)
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
