"""Receipts: what Meta took, one line for each request."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.sinks.lines import WriteLines
from capybeam.pipeline.sinks.tables import Schema, WriteRows, is_table
from capybeam.pipeline.sinks.topics import WriteMessages, is_topic
from capybeam.transforms.core.batches import Receipt

WHAT: Final = "Receipts"
SCHEMA: Final = Schema.of(Receipt, "delivered_at")


@dataclasses.dataclass
class WriteReceipts(beam.PTransform):
    """Receipts → JSON lines at `path`, rows of a table (``bigquery:…``), or messages of a topic (``pubsub:…``)."""

    path: str

    def expand(self, receipts: beam.PCollection) -> Any:
        if is_table(self.path):
            return receipts | "Row" >> beam.Map(_row) | "Write" >> WriteRows(self.path, WHAT, SCHEMA)
        write = WriteMessages if is_topic(self.path) else WriteLines
        return (
            receipts | "Encode" >> beam.Map(Receipt.encode).with_output_types(bytes) | "Write" >> write(self.path, WHAT)
        )


def _row(receipt: Receipt) -> dict[str, Any]:
    row = dataclasses.asdict(receipt)
    return {**row, "messages": list(receipt.messages), "event_ids": [i for i in receipt.event_ids or () if i]}
