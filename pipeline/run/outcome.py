"""How a run has ended: its report, what the user is shown, and the exit code."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Final

import orjson
from rich.console import Console

from capybeam.pipeline.run import terminal
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, INTERRUPTED, OK, REFUSED
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.runners.errors import UnsupportedRunner, user_error
from capybeam.pipeline.runners.remote_job import RemoteJob
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.books import write_books
from capybeam.pipeline.sources import UnreadableFile
from capybeam.pipeline.sources.streams import StreamLost
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.delivery.batches import DestinationHeld, Stopped


@dataclasses.dataclass(frozen=True)
class RunOutcome:
    """How a run has ended.

    Attributes:
        runner: the name of its class.
        counts: by the names of counters.
        statuses: of destinations, in sentences.
        failure: what went wrong.
        was_stopped: whether it was asked to stop before it had ended.
        is_endless: whether its input ends only by being stopped.
        remote: the job, where workers elsewhere did it.
    """

    runner: str
    outputs: Outputs
    counts: Mapping[str, int]
    statuses: Mapping[str, str]
    failure: BaseException | None
    was_stopped: bool
    is_endless: bool
    remote: RemoteJob | None = None

    @property
    def may_be_running(self) -> bool:
        """Whether a job elsewhere was left and may still deliver."""
        is_left = self.was_stopped or self.failure is not None
        return self.remote is not None and self.remote.may_be_running and is_left


def report(outcome: RunOutcome, console: Console, log: Console) -> int:
    """Shows the books of a run that has ended, and writes them where they are wanted; the exit code."""
    failure, remote = outcome.failure, outcome.remote
    sent = remote.sent if remote else None
    if outcome.may_be_running:
        log.print(MAY_BE_RUNNING, style="red", highlight=False, markup=False)
    if isinstance(failure, UnsupportedRunner) and not sent:
        log.print(f"capybeam: {failure}", style="red", highlight=False, markup=False)
        return CONFIGURATION
    at_least = remote is not None and remote.guarantee == "unknown"
    books = RunReport.from_counts(outcome.counts, at_least, sent if failure is None else None)
    if remote is not None and not outcome.counts and (failure is not None or outcome.was_stopped):
        receipts = "See the receipts" if sent is None else f"By the receipts, {sent:,} events have been delivered"
        console.print(
            f"{outcome.runner} reports counts only for a job that has succeeded. {receipts}.", highlight=False
        )
    else:
        if failure is not None:
            console.print("The books so far:")
        console.print(books.render())
        if reason := terminal.lost(console):
            log.print(f"The books cannot be shown on standard output: {reason}", style="red", markup=False)
    write_error = _write_books(books, outcome.outputs.books)
    is_interrupted = outcome.may_be_running and failure is None
    code = INTERRUPTED if is_interrupted else exit_code(books, outcome, log)
    if write_error:
        log.print(f"capybeam: {write_error}", style="red", highlight=False, markup=False)
    return FAILED if write_error and code == OK else code


def _write_books(books: RunReport, path: str | None) -> str | None:
    """Writes the books, where a path is given; why they cannot be written."""
    if path is None:
        return None
    try:
        write_books(path, orjson.dumps(books.as_json(), option=orjson.OPT_INDENT_2))
    except SinkError as error:
        return str(error)
    return None


def exit_code(books: RunReport, outcome: RunOutcome, log: Console) -> int:
    """The exit code; says on `log` what the user can do.

    An endless input that was stopped, with everything done that was pulled, has ended like any other.
    """
    failure, is_endless, dead_letters = outcome.failure, outcome.is_endless, outcome.outputs.dead_letters

    def show(text: str) -> None:
        log.print(text, style="red", highlight=False, markup=False)

    def name_dead_letters() -> None:
        if books.dead_lettered:
            count = "1 dead letter is" if books.dead_lettered == 1 else f"{books.dead_lettered:,} dead letters are"
            log.print(f"{count} in {dead_letters}.", highlight=False, markup=False)

    error = user_error(failure, _USER_ERRORS) if failure is not None else None
    if failure is not None and is_endless and error and issubclass(error.kind, DestinationHeld):
        show(error.text)
        return REFUSED
    if failure is not None and is_endless and error and issubclass(error.kind, Stopped):
        show(error.text)
    elif failure is not None:
        show(f"capybeam: the run failed: {cause_of(failure)}")
        if is_endless:
            show(
                "Messages that were not acknowledged are redelivered. Fix the problem and run again: Meta drops"
                " the events that it already has."
            )
            return FAILED
        show(
            "Events already delivered stay delivered. Fix the problem and run again: event_id makes that safe for 48"
            " hours."
        )
        return FAILED
    if outcome.was_stopped and not is_endless:
        show(
            "Stopped. Every event read so far is delivered or a dead letter. If any input is left, run again:"
            " event_id makes that safe for 48 hours."
        )
        name_dead_letters()
        return INTERRUPTED
    for sentence in books.unfinished:
        show(f"capybeam: {sentence}")
    if books.unfinished:
        show(
            "What came before is delivered or a dead letter. Put the complete file in its place and run again:"
            " event_id makes that safe for 48 hours."
        )
    if books.refused_destinations:
        for name in books.refused_destinations:
            show(f"{name}: {outcome.statuses.get(name, 'refuses everything; see the dead letters')}")
        show(
            f"Nothing is lost: the refused events are in {dead_letters}, marked retryable. Once the problem is"
            " fixed: capybeam"
            f" replay --config … --from {dead_letters} --retryable"
        )
        return FAILED if books.unfinished else REFUSED
    if not books.balanced and not books.at_least:
        show("capybeam: the books do not balance. This is a bug; please report it with the books above.")
        return FAILED
    if books.dead_lettered:
        name_dead_letters()
        return FAILED if books.unfinished else DEAD_LETTERS
    if books.read and books.filtered == books.read and not is_endless:
        why = "There is no consent for any of the events" if books.withheld else "No trigger took any of the events"
        log.print(f"{why}. capybeam map shows what happens to each.", style="yellow")
    return OK


_USER_ERRORS: Final = (
    SinkError,
    TokenError,
    StreamLost,
    DestinationHeld,
    Stopped,
    UnsupportedRunner,
    UnreadableFile,
)  # errors whose texts are for people

MAY_BE_RUNNING: Final = (
    "The job may keep running and delivering there: cancel it there. On Flink with --flink_master, capybeam does"
    " that and waits for its end."
)


def log_traceback(error: BaseException, is_verbose: bool) -> None:
    """Logs an error with its traceback, where the user asked for it."""
    if is_verbose and not isinstance(error, UnsupportedRunner):
        logging.getLogger(__name__).error("The run failed.", exc_info=error)


def cause_of(failure: BaseException) -> str:
    """One line for people."""
    error = user_error(failure, _USER_ERRORS)
    return error.text if error else f"{type(failure).__name__} (run again with --verbose for Beam's own log)"
