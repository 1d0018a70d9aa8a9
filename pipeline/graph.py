"""The job as one sentence.

Every step has a second output, rejections. Each writes its own dead letters, right behind the step: gathered into one
collection first, those of a dead token would pile up in the memory of a local runner.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from pipeline.config import Job
from pipeline.sinks.dead_letters import WriteDeadLetters
from pipeline.sinks.receipts import WriteReceipts
from transforms.batching import BatchByDestination
from transforms.filtering import FilterEvents
from transforms.hashing import HashUserData
from transforms.mapping import MapProperties
from transforms.naming import MapEventNames
from transforms.parsing import ParseEvents
from transforms.sending import SendBatches
from transforms.validating import ValidateConversions


def deliver(lines: beam.PCollection, job: Job, dead_letters: str, receipts: str, workers: int = 1) -> None:
    """Builds the way from lines of bytes to receipts and dead letters.

    Args:
        dead_letters, receipts: where they are written; see `pipeline.sinks`.
        workers: processes that send, at most, and share the job's requests_per_second.
    """
    subscriptions, delivery = job.subscriptions, job.delivery

    parsed = lines | ParseEvents()
    filtered = parsed.events | FilterEvents(subscriptions)
    named = filtered.matches | MapEventNames(subscriptions)
    mapped = named.conversions | MapProperties(subscriptions)
    hashed = mapped.conversions | HashUserData(subscriptions)
    validated = hashed.conversions | ValidateConversions(subscriptions, delivery.max_batch_bytes)
    batches = validated.ready | BatchByDestination(delivery.max_batch_events, delivery.max_batch_bytes)
    sent = batches | SendBatches(job.destinations, delivery, workers)
    _ = sent.receipts | WriteReceipts(receipts)

    steps: dict[str, Any] = {
        "Unparsable": parsed,
        "Unfilterable": filtered,
        "Unnamed": named,
        "Unmapped": mapped,
        "Unhashed": hashed,
        "Invalid": validated,
        "Undelivered": sent,
    }
    for name, step in steps.items():
        _ = step.rejections | name >> WriteDeadLetters(dead_letters)
