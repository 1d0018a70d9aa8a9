"""Receipts: what Meta took, one line for each request."""

from __future__ import annotations

import dataclasses
from operator import methodcaller
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.sinks import write
from capybeam.pipeline.sinks.records import RecordType
from capybeam.pipeline.sinks.schema import Schema
from capybeam.transforms.delivery.batches import Receipt

SCHEMA: Final = Schema.of(Receipt, "delivered_at")


def _row(receipt: Receipt) -> dict[str, Any]:
    row = dataclasses.asdict(receipt)
    return {**row, "messages": list(receipt.messages), "event_ids": [i for i in receipt.event_ids or () if i]}


RECEIPTS: Final = RecordType("Receipts", SCHEMA, methodcaller("encode"), _row)


@dataclasses.dataclass
class WriteReceipts(beam.PTransform):
    """Receipts → an output: JSON lines, rows of a table (``bigquery:…``), or messages of a topic (``pubsub:…``)."""

    path: str

    def expand(self, receipts: beam.PCollection) -> Any:
        return write(receipts, self.path, RECEIPTS)
