"""Receipts: what Meta took, one line for each request."""

from __future__ import annotations

import dataclasses
from typing import Any

import apache_beam as beam

from pipeline.sinks.lines import WriteLines
from pipeline.sinks.topics import WriteMessages, is_topic
from transforms.couriers import Receipt


@dataclasses.dataclass
class WriteReceipts(beam.PTransform):
    """Receipts → JSON lines at `path`, or messages of a topic (``pubsub:projects/P/topics/T``)."""

    path: str

    def expand(self, receipts: beam.PCollection) -> Any:
        write = WriteMessages if is_topic(self.path) else WriteLines
        return (
            receipts
            | "Encode" >> beam.Map(Receipt.encode).with_output_types(bytes)
            | "Write" >> write(self.path, "Receipts")
        )
