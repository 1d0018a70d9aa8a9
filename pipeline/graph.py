"""The job as one sentence.

Every step has a second output, rejections. Each writes its own dead letters, right behind the step: gathered into one
collection first, those of a dead token would pile up in the memory of a local runner.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import apache_beam as beam

from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.sinks.dead_letters import WriteDeadLetters
from capybeam.pipeline.sinks.receipts import WriteReceipts, journal_of
from capybeam.pipeline.sinks.window_books import WriteWindowBooks
from capybeam.transforms.accounting import CountByWindow
from capybeam.transforms.base import run_of
from capybeam.transforms.batching import BatchByDestination
from capybeam.transforms.converting import ConvertEvents
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.deduplicating import DropRepeats
from capybeam.transforms.delivery.batches import Journal, OnRefusal
from capybeam.transforms.filtering import FilterEvents
from capybeam.transforms.hashing import HashUserData
from capybeam.transforms.lease_files import LeaseFolder
from capybeam.transforms.mapping import MapProperties
from capybeam.transforms.naming import MapEventNames
from capybeam.transforms.parsing import ParseEvents
from capybeam.transforms.replaying import ReplayDeadLetters
from capybeam.transforms.resuming import LoadProcessed, SkipProcessed
from capybeam.transforms.sending import SendBatches
from capybeam.transforms.validating import ValidateConversions

# How lines come: all of a finite input; a batch of one that never ends, on this machine; or all of one that never ends,
# to a runner with timers, which gathers requests across bundles.
Flow = Literal["finite", "batch", "stream"]
_ON_REFUSAL: Final[Mapping[Flow, OnRefusal]] = {"finite": "reject", "batch": "hold_forever", "stream": "hold"}


@dataclasses.dataclass(frozen=True)
class Execution:
    """How a job's graph is carried out.

    Attributes:
        workers: processes that send, at most, and share the job's requests_per_second.
        flow: how the lines come. Those of an endless input are messages: a blank one counts, too, and events are held
            where a destination refuses everything.
        processed: what earlier runs have delivered or dead-lettered, which is not sent; None to send everything.
        leases: where those processes find out how many of them send; None gives each an equal share at all times.
        journal: where receipts are written as they come, besides being the output of the step that sends.
        is_local: whether the graph is built, run and forgotten on this machine. What is not a stream is then converted
            by one step; elsewhere a running job is updated to a new graph by the names of its steps.
    """

    workers: int = 1
    flow: Flow = "finite"
    processed: LoadProcessed | None = None
    leases: LeaseFolder | None = None
    journal: Journal | None = None
    is_local: bool = False


def redeliver(
    dead_letters: beam.PCollection,
    job: Job,
    replay_filter: ReplayFilter,
    outputs: Outputs,
    execution: Execution = Execution(),
) -> None:
    """Builds the way from dead letters, each a pair of its place and its line, to receipts and new dead letters."""
    replayed = dead_letters | ReplayDeadLetters(
        job.subscriptions,
        job.delivery.max_batch_bytes,
        replay_filter,
        skip_blank=execution.flow == "finite",
        unwrap=job.unwrap,
    )
    execution = dataclasses.replace(execution, journal=journal_of(outputs.receipts))
    dropping, sent = _send(replayed.ready, job, execution)
    _write_receipts(sent, outputs, execution)
    _write_rejections({"Unreplayed": replayed, "Undelivered": sent}, outputs.dead_letters)
    _write_windows([replayed, *dropping, sent], outputs, execution)


def deliver(lines: beam.PCollection, job: Job, outputs: Outputs, execution: Execution = Execution()) -> None:
    """Builds the way from lines of bytes to receipts and dead letters."""
    execution = dataclasses.replace(execution, journal=journal_of(outputs.receipts))
    way = convert_and_send(lines, job, execution)
    _write_receipts(way.sent, outputs, execution)
    _write_rejections(way.rejecting, outputs.dead_letters)
    _write_windows([*way.rejecting.values(), *way.dropping], outputs, execution)


class Way(NamedTuple):
    """The steps of a graph, each with its outputs.

    Attributes:
        rejecting: those that reject, by what becomes of an event there.
        dropping: those that drop what has come before, where they count by windows.
        sent: the last of those that reject, which has ``receipts``.
    """

    rejecting: dict[str, Any]
    dropping: list[Any]
    sent: Any


def convert_and_send(lines: beam.PCollection, job: Job, execution: Execution = Execution()) -> Way:
    """Builds the way from lines of bytes to what comes of them."""
    if execution.is_local and execution.flow != "stream":
        return _convert_at_once_and_send(lines, job, execution)
    subscriptions = job.subscriptions

    parsed = lines | ParseEvents(subscriptions, job.unwrap, skip_blank=execution.flow == "finite")
    filtered = parsed.events | FilterEvents(subscriptions)
    named = filtered.matches | MapEventNames(subscriptions)
    mapped = named.conversions | MapProperties(subscriptions)
    hashed = mapped.conversions | HashUserData(subscriptions)
    validated = hashed.conversions | ValidateConversions(subscriptions, job.delivery.max_batch_bytes)
    dropping, sent = _send(validated.ready, job, execution)

    steps = {
        "Unparsable": parsed,
        "Unfilterable": filtered,
        "Unnamed": named,
        "Unmapped": mapped,
        "Unhashed": hashed,
        "Invalid": validated,
        "Undelivered": sent,
    }
    return Way(steps, dropping, sent)


def _convert_at_once_and_send(lines: beam.PCollection, job: Job, execution: Execution) -> Way:
    convert = ConvertEvents(
        job.subscriptions, job.delivery.max_batch_bytes, job.unwrap, skip_blank=execution.flow == "finite"
    )
    dropping: list[Any] = []
    if _drops(job, execution):
        converted = lines | convert
        dropping, sent = _send(converted.ready, job, execution)
    else:
        converted = lines | dataclasses.replace(convert, batching=_batching(job, execution))
        sent = _send_batches(converted.batches, job, execution)
    return Way({"Unconverted": converted, "Undelivered": sent}, dropping, sent)


def _send(ready: beam.PCollection, job: Job, execution: Execution) -> tuple[list[Any], Any]:
    """The steps that drop what has come before, where they count by windows, and the one that sends."""
    dropping: list[Any] = []
    for drop in _drops(job, execution):
        kept = ready | drop
        if run_of(ready).windows is None:
            ready = kept
        else:
            dropping.append(kept)
            ready = kept.ready
    return dropping, _send_batches(ready | _batching(job, execution), job, execution)


def _drops(job: Job, execution: Execution) -> list[beam.PTransform]:
    flow = execution.flow
    drops: list[beam.PTransform] = []
    if execution.processed is not None:
        drops.append(SkipProcessed(execution.processed))
    if job.deduplicate and flow != "finite":
        drops.append(DropRepeats(job.deduplicate, streaming=flow == "stream"))
    return drops


def _batching(job: Job, execution: Execution) -> BatchByDestination:
    delivery = job.delivery
    delay = delivery.max_batch_delay if execution.flow == "stream" else None
    return BatchByDestination(delivery.max_batch_events, delivery.max_batch_bytes, delay)


def _send_batches(batches: beam.PCollection, job: Job, execution: Execution) -> Any:
    return batches | SendBatches(
        job.destinations,
        job.delivery,
        execution.workers,
        _ON_REFUSAL[execution.flow],
        journal=execution.journal,
        leases=execution.leases,
    )


def _write_receipts(sent: Any, outputs: Outputs, execution: Execution) -> None:
    if execution.journal is None:
        _ = sent.receipts | WriteReceipts(outputs.receipts)


def _write_rejections(steps: Mapping[str, Any], dead_letters: str) -> None:
    for series, (name, step) in enumerate(steps.items()):
        _ = step.rejections | name >> WriteDeadLetters(dead_letters, series)


def _write_windows(steps: Sequence[Any], outputs: Outputs, execution: Execution) -> None:
    """Writes the books in windows, if they are wanted; the run of the pipeline has windows then."""
    if outputs.window_books is None:
        return
    counts = [step.window_counts for step in steps]
    windows = run_of(counts[0]).windows
    assert windows is not None
    every = windows.seconds if execution.flow == "stream" else None
    rows = counts | "Windows" >> beam.Flatten() | CountByWindow(windows.seconds, every)
    _ = rows | WriteWindowBooks(outputs.window_books)
