"""The lines of a run on standard error: for people on a terminal, with time stamps elsewhere, or as JSON objects."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from capybeam.pipeline.log_lines import Level, json_lines, timestamp
from capybeam.pipeline.run import terminal
from capybeam.pipeline.run.exit_codes import state_of
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.report_display import sentence

_STYLES: Final[dict[Level, str | None]] = {"info": None, "warning": "yellow", "error": "red"}


class RunLog:
    """Where a run writes its lines.

    Attributes:
        is_terminal: whether a line can be renewed in place.
    """

    def __init__(self) -> None:
        self._json = json_lines()
        self._console = terminal.console(stderr=True)
        self.is_json = self._json is not None
        self.is_terminal = self._console.is_terminal and not self.is_json

    def info(self, message: str, **fields: Any) -> None:
        self._write("info", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        self._write("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        self._write("error", message, fields)

    def ended(self, report: RunReport, exit_code: int) -> None:
        """The last line of JSON: how the run ended. For people, the books and what they mean say it."""
        if self._json is not None:
            state = state_of(exit_code, report.dead_letters > 0)
            self._json.emit(
                "info" if state.startswith("succeeded") else "error",
                f"The run ended: {state}. {sentence(report)}",
                kind="end",
                state=state,
                exit_code=exit_code,
                counts=_counts(report),
            )

    def left(self) -> None:
        """The last line of JSON where the job goes on elsewhere."""
        if self._json is not None:
            self._json.emit("info", "The job goes on without this process.", kind="end", state="started", exit_code=0)

    @contextlib.contextmanager
    def status(self, text: str) -> Iterator[Callable[[str], None] | None]:
        """A line that is renewed in place by what is yielded; None where there is no terminal."""
        if not self.is_terminal:
            yield None
            return
        with self._console.status(text) as status:
            yield status.update

    @contextlib.contextmanager
    def of_python(self) -> Iterator[None]:
        """Takes in what Python's logging says, unless something else does, as with JSON something always does."""
        root = logging.getLogger()
        if root.handlers:
            yield
            return
        handler = _Handler(self)
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    def _write(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        if self._json is not None:
            self._json.emit(level, message, **fields)
            return
        stamp = "" if self.is_terminal else f"{timestamp(time.time())} "
        self._console.print(f"{stamp}{message}", style=_STYLES[level], highlight=False, markup=False)


class _Handler(logging.Handler):
    def __init__(self, log: RunLog) -> None:
        super().__init__()
        self._log = log
        self.setFormatter(logging.Formatter("%(message)s"))  # with the traceback of an exception

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
            write(self.format(record))
        except Exception:
            self.handleError(record)


def _counts(report: RunReport) -> dict[str, int]:
    """The counts of the whole run, by the names that they have in its report."""
    total = report.total
    return {
        "read": report.read,
        "taken": report.taken,
        "filtered": report.filtered,
        "unreadable": report.unreadable,
        "matched": total.matched,
        "delivered": total.delivered,
        "dead_lettered": total.dead,
        "without_consent": total.without_consent,
        "repeated": total.repeated,
        "already_delivered": total.already_delivered,
        "already_dead_lettered": total.already_dead_lettered,
        "in_flight": sum(account.in_flight for account in report.accounts),
        "dead_letters": report.dead_letters,
        "retryable": report.retryable,
    }
