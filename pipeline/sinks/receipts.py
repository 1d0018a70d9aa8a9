"""Receipts: what Meta took, one line for each request."""

from __future__ import annotations

import dataclasses
from typing import Any

import apache_beam as beam

from pipeline.sinks.lines import WriteLines
from transforms.couriers import Receipt


@dataclasses.dataclass
class WriteReceipts(beam.PTransform):
    """Receipts → JSON lines at `path`."""

    path: str

    def expand(self, receipts: beam.PCollection) -> Any:
        return (
            receipts
            | "Encode" >> beam.Map(Receipt.encode).with_output_types(bytes)
            | "Write" >> WriteLines(self.path, "Receipts")
        )
