"""A request to run: a job, its inputs and outputs, and how to run it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.tolerance import NO_TOLERANCE, Tolerance
from capybeam.pipeline.sinks.dead_letters import DEAD_LETTERS
from capybeam.pipeline.sinks.receipts import RECEIPTS
from capybeam.pipeline.sinks.records import RecordType
from capybeam.pipeline.sinks.window_books import WINDOW_BOOKS
from capybeam.pipeline.sources import ANY_TIME, ReadOptions, SinceLast, TimeRange
from capybeam.pipeline.sources.message_attributes import MessageAttributes


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where a run writes: dead letters, receipts and, if they are wanted, its report and its books in windows."""

    dead_letters: str
    receipts: str
    report: str | None = None
    window_books: str | None = None

    def by_record_type(self) -> tuple[tuple[str, RecordType[Any]], ...]:
        """Where records of each type are written."""
        always = (self.dead_letters, DEAD_LETTERS), (self.receipts, RECEIPTS)
        return (*always, (self.window_books, WINDOW_BOOKS)) if self.window_books else always


@dataclasses.dataclass(frozen=True)
class RunRequest:
    """What ``run`` or ``replay`` is asked to do.

    Attributes:
        inputs: as `capybeam.pipeline.sources` takes them; of ``replay``, dead letters, which are never written to.
        beam_options: passed on to Beam.
        until_idle: seconds without a message after which a stream is left; None for never.
        attributes: of messages, for runners that stream.
        between: the times of the events to be read, where the inputs support it.
        since_last: how `between` goes on from the last run; None where it says itself when it begins.
        max_bytes: that BigQuery may bill for each query, and that are read of a table; None for no limit.
        wait: for the job's end. One that workers elsewhere do can be started and left.
        config: path or URL of the job file, if it is in one.
        tolerate: how many events may be bad.
        resume: receipts and dead letters of earlier runs, of which nothing is sent again.
        keep: how many files of earlier runs stay beside each output; None for all.
        workers: processes of this machine that share the work; None for as many as are worth their start.
        metrics: ``PORT`` or ``HOST:PORT`` at which the counters are served while it runs.
        is_dry: whether it is only said what would be done.
    """

    job: Job
    inputs: Sequence[str]
    outputs: Outputs
    beam_options: Sequence[str] = ()
    until_idle: float | None = None
    attributes: MessageAttributes = dataclasses.field(default_factory=MessageAttributes)
    between: TimeRange = ANY_TIME
    since_last: SinceLast | None = None
    max_bytes: int | None = None
    wait: bool = True
    config: str | None = None
    tolerate: Tolerance = NO_TOLERANCE
    resume: Sequence[str] = ()
    keep: int | None = None
    metrics: str | None = None
    workers: int | None = None
    is_dry: bool = False

    def reading(self, project: str | None, announce: Callable[[str], None] = lambda _sentence: None) -> ReadOptions:
        """How its inputs are read, where this Google Cloud project pays for queries."""
        options = ReadOptions(self.between, self.attributes, project, is_dry=self.is_dry, max_bytes=self.max_bytes)
        return dataclasses.replace(options, announce=announce)
