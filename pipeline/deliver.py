"""Deliver: the whole way as one step of somebody else's pipeline, in Python or in Beam YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import orjson
from apache_beam.utils.timestamp import Timestamp

from capybeam.pipeline.graph import Execution, convert_and_send
from capybeam.pipeline.job.loader import Job, load_job
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.delivery.batches import Receipt
from capybeam.transforms.lease_files import LeaseFolder


class Delivered(NamedTuple):
    """What becomes of events.

    Attributes:
        receipts: of `Receipt`, one for each request that a destination took.
        rejections: of `Rejection`, one for each event, or conversion of one, that could not be delivered. Its payload
            holds personal data; `Rejection.encode` makes the line of a dead letter of it, which ``capybeam replay``
            reads.
    """

    receipts: beam.PCollection
    rejections: beam.PCollection


@dataclasses.dataclass
class Deliver(beam.PTransform):
    """Events → `Delivered`.

    Events are JSON (bytes), or dicts in Segment's form; what else `ParseEvents` reads passes, too. Where they are
    bounded they are delivered as by ``capybeam run``: an event that a destination refuses is rejected. Unbounded ones
    are gathered for `max_batch_delay` and held where a destination refuses everything; the runner needs state and
    timers.

    Args:
        job: from `load_job`.
        workers: processes that send, at most; they share the job's requests_per_second.
        lease_folder: URL of a folder in which they find out how many of them send, for this pipeline alone; by default
            each has an equal share at all times.
    """

    job: Job
    workers: int = 1
    lease_folder: str | None = None

    def __post_init__(self) -> None:
        super().__init__()
        if self.workers < 1:
            raise ValueError(f"workers must be positive, not {self.workers}")

    def expand(self, events: beam.PCollection) -> Delivered:
        leases = LeaseFolder(self.lease_folder.rstrip("/")) if self.lease_folder else None
        execution = Execution(self.workers, "finite" if events.is_bounded else "stream", leases=leases)
        way = convert_and_send(events, self.job, execution)
        rejections = [step.rejections for step in way.rejecting.values()]
        return Delivered(way.sent.receipts, rejections | "Rejections" >> beam.Flatten())


class DeliverRows(beam.PTransform):
    """The same for Beam YAML: rows → ``receipts`` (rows as `ReceiptRow`) and ``rejections`` (as `RejectionRow`).

    Args:
        job: the job file's path or URL.
        column: of the rows, that holds the event as JSON; by default a row is the event, its columns the event's keys.
        workers: as of `Deliver`.
    """

    def __init__(self, job: str, column: str | None = None, workers: int = 1) -> None:
        super().__init__()
        self._deliver, self._column = Deliver(load_job(job), workers), column

    def expand(self, rows: beam.PCollection) -> Mapping[str, beam.PCollection]:
        delivered = rows | "Events" >> beam.Map(_event, self._column) | "Deliver" >> self._deliver
        return {
            "receipts": delivered.receipts | "ReceiptRows" >> beam.Map(_receipt_row).with_output_types(ReceiptRow),
            "rejections": delivered.rejections
            | "RejectionRows" >> beam.Map(_rejection_row).with_output_types(RejectionRow),
        }


class ReceiptRow(NamedTuple):
    """A `Receipt` without its lists. Times in Unix seconds."""

    destination: str
    dataset_id: str
    events: int
    first_event_time: int
    last_event_time: int
    fbtrace_id: str
    tries: int
    delivered_at: int


class RejectionRow(NamedTuple):
    """A `Rejection`; `dead_letter` is its whole line, payload included, as ``capybeam replay`` reads it."""

    stage: str
    code: str
    message: str
    destination: str
    subscription: str
    dataset_id: str
    event_id: str
    retryable: bool
    dead_letter: str


def _event(row: Any, column: str | None) -> Any:
    if column is not None:
        value = getattr(row, column)
        return value.encode() if isinstance(value, str) else value
    return _plain(row)


def _plain(value: Any) -> Any:
    """A row as a dict, nested rows too; times as ISO 8601, bytes as text. Columns that are null are left out."""
    if isinstance(value, beam.Row):
        value = value.as_dict()
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Timestamp):
        return value.to_rfc3339()
    return value if isinstance(value, (str, int, float)) else orjson.loads(orjson.dumps(value, default=str))


def _receipt_row(receipt: Receipt) -> ReceiptRow:
    found = {name: getattr(receipt, name) for name in ReceiptRow._fields}
    return ReceiptRow(**{**found, "fbtrace_id": receipt.fbtrace_id or ""})


def _rejection_row(rejection: Rejection) -> RejectionRow:
    texts = (rejection.destination, rejection.subscription, rejection.dataset_id, rejection.event_id)
    destination, subscription, dataset_id, event_id = (text or "" for text in texts)
    return RejectionRow(
        rejection.stage,
        rejection.code,
        rejection.message,
        destination,
        subscription,
        dataset_id,
        event_id,
        rejection.retryable,
        rejection.encode().decode(),
    )
