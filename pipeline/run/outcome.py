"""How a run has ended: its report, what the user is shown, and the exit code."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich.console import Console

from capybeam.pipeline.bigquery_reasons import bigquery_reason
from capybeam.pipeline.run import terminal
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, GAVE_UP, INTERRUPTED, OK, REFUSED
from capybeam.pipeline.run.recording import record
from capybeam.pipeline.run.replay_command import replay_command
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.report_display import render
from capybeam.pipeline.run.report_document import Ending, Occasion
from capybeam.pipeline.run.request import RunRequest
from capybeam.pipeline.run.run_log import RunLog
from capybeam.pipeline.runners.errors import UnsupportedRunner, UserError, user_error
from capybeam.pipeline.runners.remote_job import RemoteJob
from capybeam.pipeline.schemes import join_names
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sources import UnreadableFile
from capybeam.pipeline.sources.streams import StreamLost
from capybeam.transforms.core.backlog import Backlog
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.delivery.answers import Refusal
from capybeam.transforms.delivery.batches import DestinationHeld, Stopped


class WorkerFailed(Exception):
    """A process that worked for the run has failed: says how."""


class WorkerLost(WorkerFailed):
    """One that is there no more, and has not told all that it counted."""


@dataclasses.dataclass(frozen=True)
class RunOutcome:
    """How a run has ended.

    Attributes:
        counts: by the names of counters.
        failure: what went wrong.
        was_stopped: whether it was asked to stop before it had ended.
        is_endless: whether its input ends only by being stopped.
        remote: the job, where workers elsewhere did it.
        backlog: of the stream that was read.
    """

    request: RunRequest
    occasion: Occasion
    counts: Mapping[str, int]
    failure: BaseException | None
    was_stopped: bool
    is_endless: bool
    remote: RemoteJob | None = None
    backlog: Backlog | None = None

    @property
    def may_be_running(self) -> bool:
        """Whether a job elsewhere was left and may still deliver."""
        is_left = self.was_stopped or self.failure is not None
        return self.remote is not None and self.remote.may_be_running and is_left


class Line(NamedTuple):
    """What the user is shown about the end of a run."""

    text: str
    is_problem: bool = True


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The exit code of a run, and what the user is told: what is wrong, and the one thing to do about it.

    Attributes:
        replay: the command that delivers the dead letters, where there are any.
    """

    exit_code: int
    lines: tuple[Line, ...] = ()
    replay: str | None = None


def report(outcome: RunOutcome, console: Console, log: RunLog) -> int:
    """Shows the books of a run that has ended, and writes its report where that is wanted; the exit code."""
    failure, remote = outcome.failure, outcome.remote
    sent = remote.sent if remote else None
    if outcome.may_be_running:
        log.error(MAY_BE_RUNNING)
    at_least = remote is not None and remote.guarantee == "unknown"
    restarts = remote.restarts if remote else 0
    found = RunReport.from_counts(
        outcome.counts, at_least, sent if failure is None else None, restarts, isinstance(failure, WorkerLost)
    )
    is_unstarted = isinstance(failure, UnsupportedRunner) and not sent
    if remote is not None and not outcome.counts and (failure is not None or outcome.was_stopped):
        if not is_unstarted:
            receipts = "See the receipts" if sent is None else f"By the receipts, {sent:,} events have been delivered"
            runner = outcome.occasion.runner
            console.print(f"{runner} reports counts only for a job that has succeeded. {receipts}.", highlight=False)
    elif not is_unstarted:
        if failure is not None:
            console.print("The books so far:")
        console.print(render(found))
        if reason := terminal.lost(console):
            log.error(f"The books cannot be shown on standard output: {reason}")
    verdict = verdict_of(found, outcome)
    for line in verdict.lines:
        (log.error if line.is_problem else log.info)(line.text)
    problems = tuple(line.text for line in verdict.lines if line.is_problem)
    ending = Ending(verdict.exit_code, problems, verdict.replay, outcome.backlog)
    write_error = record(outcome.request.outputs.report, outcome.occasion, found, ending)
    if write_error:
        log.error(f"capybeam: {write_error}")
    code = FAILED if write_error and verdict.exit_code == OK else verdict.exit_code
    log.ended(found, code)
    return code


def verdict_of(found: RunReport, outcome: RunOutcome) -> Verdict:
    """The exit code, and what the user can do.

    An endless input that was stopped, with everything done that was pulled, has ended like any other.
    """
    if isinstance(outcome.failure, UnsupportedRunner) and not (outcome.remote and outcome.remote.sent):
        return Verdict(CONFIGURATION, (Line(f"capybeam: {outcome.failure}"),))
    if outcome.may_be_running and outcome.failure is None:
        return Verdict(INTERRUPTED)
    ended = _verdict_of_failure(outcome)
    if ended is not None and ended.exit_code:
        return ended
    stopped = ended.lines if ended else ()
    if outcome.was_stopped and not outcome.is_endless:
        text = (
            "Stopped. Every event read so far is delivered or a dead letter. If any input is left, run again:"
            " event_id makes that safe for 48 hours."
        )
        return Verdict(INTERRUPTED, (Line(text), *_where(found, outcome)))
    if found.unfinished:
        cut = [Line(f"capybeam: {sentence}") for sentence in found.unfinished]
        text = (
            "What came before is delivered or a dead letter. Put the complete file in its place and run again:"
            " event_id makes that safe for 48 hours."
        )
        return Verdict(FAILED, (*stopped, *cut, Line(text), *_refusals(found), *_where(found, outcome)))
    if found.refused_destinations:
        lead = "Nothing is lost: the refused events are in {place}, marked retryable. Once the problem is fixed"
        return _with_replay(REFUSED, [*stopped, *_refusals(found)], outcome, found, lead)
    if not found.balanced and not found.at_least:
        text = "capybeam: the books do not balance. This is a bug; please report it with the books above."
        return Verdict(FAILED, (*stopped, Line(text)))
    if found.retryable:
        many = "1 conversion was" if found.retryable == 1 else f"{found.retryable:,} conversions were"
        lead = (
            f"{many} given up, as a destination could not be reached or kept failing. Nothing is lost: {{place}} has"
            " them, marked retryable. Once the destination takes events again"
        )
        return _with_replay(GAVE_UP, stopped, outcome, found, lead)
    if found.dead_letters:
        return _verdict_of_bad_events(found, outcome, stopped)
    if found.read and found.filtered == found.read and not outcome.is_endless:
        why = (
            "There is no consent for any of the events" if found.total.withheld else "No trigger took any of the events"
        )
        return Verdict(OK, (*stopped, Line(f"{why}. capybeam map shows what happens to each.", is_problem=False)))
    return Verdict(OK, (*stopped,))


def _verdict_of_failure(outcome: RunOutcome) -> Verdict | None:
    """None where nothing failed; OK where an endless input was stopped."""
    failure = outcome.failure
    if failure is None:
        return None
    error = user_error(failure, _USER_ERRORS)
    if outcome.is_endless and error and issubclass(error.kind, DestinationHeld):
        return Verdict(REFUSED, (Line(error.text),))
    if outcome.is_endless and error and issubclass(error.kind, Stopped):
        return Verdict(OK, (Line(error.text),))
    again = (
        "Messages that were not acknowledged are redelivered. Fix the problem and run again: Meta drops the events that"
        " it already has."
        if outcome.is_endless
        else "Events already delivered stay delivered. Fix the problem and run again: event_id makes that safe for 48"
        " hours."
    )
    return Verdict(FAILED, (Line(f"capybeam: the run failed: {cause_of(failure)}"), Line(again)))


def _verdict_of_bad_events(found: RunReport, outcome: RunOutcome, before: Sequence[Line]) -> Verdict:
    tolerate = outcome.request.tolerate
    is_covered = tolerate.covers(found)
    where = f"{_counted(found)} in {{place}}" + (f", within --tolerate {tolerate.text}" if is_covered else "")
    verdict = _with_replay(
        OK if is_covered else DEAD_LETTERS,
        [],
        outcome,
        found,
        f"{where}. Once the job file or the events are corrected",
    )
    return dataclasses.replace(verdict, lines=(*before, *(line._replace(is_problem=False) for line in verdict.lines)))


def _with_replay(code: int, before: Sequence[Line], outcome: RunOutcome, found: RunReport, sentence: str) -> Verdict:
    """A verdict that ends with the command to go on with. Its last sentence leads to that, and names a `place`."""
    request = outcome.request
    only_retryable = code in (REFUSED, GAVE_UP) and found.faulty > 0
    command = replay_command(request.config, request.outputs, request.beam_options, only_retryable=only_retryable)
    said = sentence.format(place=request.outputs.dead_letters)
    if command is None:
        return Verdict(code, (*before, Line(f"{said.rpartition('. ')[0]}.")))
    hint = f", {command.hint}" if command.hint else ""
    return Verdict(code, (*before, Line(f"{said}{hint}:\n  {command.line}")), command.line)


def _refusals(found: RunReport) -> list[Line]:
    """What is wrong with each destination that refuses everything; then what to do about it, each thing once."""
    lines, cures = [], dict[str, list[str]]()
    for name, refusals in found.refused_destinations.items():
        for each in refusals or (Refusal("It refuses everything; see the dead letters.", ""),):
            lines.append(Line(f"{name}: REFUSED. {each.problem}"))
            if each.cure:
                cures.setdefault(each.cure, []).append(name)
    for cure, names in cures.items():
        lines.append(Line(cure if len(cures) == 1 else f"{join_names(dict.fromkeys(names))}: {cure}"))
    return lines


def _where(found: RunReport, outcome: RunOutcome) -> list[Line]:
    place = outcome.request.outputs.dead_letters
    return [Line(f"{_counted(found)} in {place}.", is_problem=False)] if found.dead_letters else []


def _counted(found: RunReport) -> str:
    return "1 dead letter is" if found.dead_letters == 1 else f"{found.dead_letters:,} dead letters are"


_USER_ERRORS: Final = (
    SinkError,
    TokenError,
    StreamLost,
    DestinationHeld,
    Stopped,
    UnsupportedRunner,
    UnreadableFile,
    WorkerFailed,
)  # errors whose texts are for people

MAY_BE_RUNNING: Final = (
    "The job may keep running and delivering there: cancel it there. On Flink with --flink_master, capybeam does"
    " that and waits for its end."
)


def log_traceback(error: BaseException, is_verbose: bool) -> None:
    """Logs an error with its traceback, where the user asked for it."""
    if is_verbose and not isinstance(error, UnsupportedRunner):
        logging.getLogger(__name__).error("The run failed.", exc_info=error)


def user_error_of(failure: BaseException) -> UserError | None:
    """The error that is written for users, if a failure is one or was caused by one."""
    return user_error(failure, _USER_ERRORS)


def cause_of(failure: BaseException) -> str:
    """One line for people."""
    error = user_error_of(failure)
    if error is None and (said := bigquery_reason(failure)):
        return f"BigQuery: {said}"
    return error.text if error else f"{type(failure).__name__} (run again with --verbose for Beam's own log)"
