"""The job as one sentence.

Every step has a second output, rejections. Each writes its own dead letters, right behind the step: gathered into one
collection first, those of a dead token would pile up in the memory of a local runner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import apache_beam as beam

from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.sinks.dead_letters import WriteDeadLetters
from capybeam.pipeline.sinks.receipts import WriteReceipts
from capybeam.pipeline.sinks.window_books import WriteWindowBooks
from capybeam.transforms.accounting import CountByWindow
from capybeam.transforms.base import run_of
from capybeam.transforms.batching import BatchByDestination
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.deduplicating import DropRepeats
from capybeam.transforms.delivery.batches import OnRefusal
from capybeam.transforms.filtering import FilterEvents
from capybeam.transforms.hashing import HashUserData
from capybeam.transforms.mapping import MapProperties
from capybeam.transforms.naming import MapEventNames
from capybeam.transforms.parsing import ParseEvents
from capybeam.transforms.replaying import ReplayDeadLetters
from capybeam.transforms.sending import SendBatches
from capybeam.transforms.validating import ValidateConversions

# How lines come: all of a finite input; a batch of one that never ends, on this machine; or all of one that never ends,
# to a runner with timers, which gathers requests across bundles.
Flow = Literal["finite", "batch", "stream"]
_ON_REFUSAL: Final[Mapping[Flow, OnRefusal]] = {"finite": "reject", "batch": "hold_forever", "stream": "hold"}


def redeliver(
    dead_letters: beam.PCollection,
    job: Job,
    replay_filter: ReplayFilter,
    outputs: Outputs,
    workers: int = 1,
    flow: Flow = "finite",
) -> None:
    """Builds the way from dead letters, each a pair of its place and its line, to receipts and new dead letters."""
    replayed = dead_letters | ReplayDeadLetters(
        job.subscriptions, job.delivery.max_batch_bytes, replay_filter, skip_blank=flow == "finite", unwrap=job.unwrap
    )
    dropped, sent = _send(replayed.ready, job, workers, flow)
    _ = sent.receipts | WriteReceipts(outputs.receipts)
    _write_rejections({"Unreplayed": replayed, "Undelivered": sent}, outputs.dead_letters)
    _write_windows([replayed, *dropped, sent], outputs.window_books, flow)


def deliver(lines: beam.PCollection, job: Job, outputs: Outputs, workers: int = 1, flow: Flow = "finite") -> None:
    """Builds the way from lines of bytes to receipts and dead letters.

    Args:
        workers: processes that send, at most, and share the job's requests_per_second.
        flow: how the lines come. Those of an endless input are messages: a blank one counts, too, and events are held
            where a destination refuses everything.
    """
    way = convert_and_send(lines, job, workers, flow)
    _ = way.sent.receipts | WriteReceipts(outputs.receipts)
    _write_rejections(way.rejecting, outputs.dead_letters)
    _write_windows([*way.rejecting.values(), *way.dropped], outputs.window_books, flow)


class Way(NamedTuple):
    """The steps of a graph, each with its outputs.

    Attributes:
        rejecting: those that reject, by what becomes of an event there.
        dropped: of repeats, where they are dropped: one or none.
        sent: the last of those that reject, which has ``receipts``.
    """

    rejecting: dict[str, Any]
    dropped: list[Any]
    sent: Any


def convert_and_send(lines: beam.PCollection, job: Job, workers: int = 1, flow: Flow = "finite") -> Way:
    """Builds the way from lines of bytes to what comes of them."""
    subscriptions = job.subscriptions

    parsed = lines | ParseEvents(subscriptions, job.unwrap, skip_blank=flow == "finite")
    filtered = parsed.events | FilterEvents(subscriptions)
    named = filtered.matches | MapEventNames(subscriptions)
    mapped = named.conversions | MapProperties(subscriptions)
    hashed = mapped.conversions | HashUserData(subscriptions)
    validated = hashed.conversions | ValidateConversions(subscriptions, job.delivery.max_batch_bytes)
    dropped, sent = _send(validated.ready, job, workers, flow)

    steps = {
        "Unparsable": parsed,
        "Unfilterable": filtered,
        "Unnamed": named,
        "Unmapped": mapped,
        "Unhashed": hashed,
        "Invalid": validated,
        "Undelivered": sent,
    }
    return Way(steps, dropped, sent)


def _send(ready: beam.PCollection, job: Job, workers: int, flow: Flow) -> tuple[list[Any], Any]:
    delivery, dropped = job.delivery, []
    if job.deduplicate and flow != "finite":
        kept = ready | DropRepeats(job.deduplicate, streaming=flow == "stream")
        if run_of(ready).windows is None:
            ready = kept
        else:
            dropped, ready = [kept], kept.ready
    delay = delivery.max_batch_delay if flow == "stream" else None
    batches = ready | BatchByDestination(delivery.max_batch_events, delivery.max_batch_bytes, delay)
    return dropped, batches | SendBatches(job.destinations, delivery, workers, _ON_REFUSAL[flow])


def _write_rejections(steps: Mapping[str, Any], dead_letters: str) -> None:
    for name, step in steps.items():
        _ = step.rejections | name >> WriteDeadLetters(dead_letters)


def _write_windows(steps: Sequence[Any], place: str | None, flow: Flow) -> None:
    """Writes the books in windows, of a run that has windows."""
    counts = [step.window_counts for step in steps] if place else []
    windows = run_of(counts[0]).windows if counts else None
    if place and windows:
        every = windows.seconds if flow == "stream" else None
        rows = counts | "Windows" >> beam.Flatten() | CountByWindow(windows.seconds, every)
        _ = rows | WriteWindowBooks(place)
