"""The job as one sentence.

Every step has a second output, rejections. Each writes its own dead letters, right behind the step: gathered into one
collection first, those of a dead token would pile up in the memory of a local runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import apache_beam as beam

from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.sinks.dead_letters import WriteDeadLetters
from capybeam.pipeline.sinks.receipts import WriteReceipts
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
    sent = _send(replayed.ready, job, workers, flow)
    _ = sent.receipts | WriteReceipts(outputs.receipts)
    _write_rejections({"Unreplayed": replayed, "Undelivered": sent}, outputs.dead_letters)


def deliver(lines: beam.PCollection, job: Job, outputs: Outputs, workers: int = 1, flow: Flow = "finite") -> None:
    """Builds the way from lines of bytes to receipts and dead letters.

    Args:
        workers: processes that send, at most, and share the job's requests_per_second.
        flow: how the lines come. Those of an endless input are messages: a blank one counts, too, and events are held
            where a destination refuses everything.
    """
    steps, sent = convert_and_send(lines, job, workers, flow)
    _ = sent.receipts | WriteReceipts(outputs.receipts)
    _write_rejections(steps, outputs.dead_letters)


def convert_and_send(
    lines: beam.PCollection, job: Job, workers: int = 1, flow: Flow = "finite"
) -> tuple[dict[str, Any], Any]:
    """The steps that reject, by what becomes of an event there; and the last of them, which has ``receipts``."""
    subscriptions = job.subscriptions

    parsed = lines | ParseEvents(subscriptions, job.unwrap, skip_blank=flow == "finite")
    filtered = parsed.events | FilterEvents(subscriptions)
    named = filtered.matches | MapEventNames(subscriptions)
    mapped = named.conversions | MapProperties(subscriptions)
    hashed = mapped.conversions | HashUserData(subscriptions)
    validated = hashed.conversions | ValidateConversions(subscriptions, job.delivery.max_batch_bytes)
    sent = _send(validated.ready, job, workers, flow)

    steps = {
        "Unparsable": parsed,
        "Unfilterable": filtered,
        "Unnamed": named,
        "Unmapped": mapped,
        "Unhashed": hashed,
        "Invalid": validated,
        "Undelivered": sent,
    }
    return steps, sent


def _send(ready: beam.PCollection, job: Job, workers: int, flow: Flow) -> Any:
    delivery = job.delivery
    if job.deduplicate and flow != "finite":
        ready = ready | DropRepeats(job.deduplicate, streaming=flow == "stream")
    delay = delivery.max_batch_delay if flow == "stream" else None
    batches = ready | BatchByDestination(delivery.max_batch_events, delivery.max_batch_bytes, delay)
    return batches | SendBatches(job.destinations, delivery, workers, _ON_REFUSAL[flow])


def _write_rejections(steps: Mapping[str, Any], dead_letters: str) -> None:
    for name, step in steps.items():
        _ = step.rejections | name >> WriteDeadLetters(dead_letters)
