"""Dead letters: what could not be delivered, with the reason and what is needed to try again."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import apache_beam as beam

from pipeline.sinks.lines import WriteLines
from pipeline.sinks.tables import Schema, WriteRows, is_table
from pipeline.sinks.topics import WriteMessages, is_topic
from transforms.rejections import Rejection

WHAT: Final = "Dead letters"
SCHEMA: Final = Schema.of(
    Rejection,
    "dead_lettered_at",
    ("dead_lettered_at", "TIMESTAMP", "REQUIRED"),
    ("payload_encoding", "STRING", "NULLABLE"),
)


@dataclasses.dataclass
class WriteDeadLetters(beam.PTransform):
    """Rejections → JSON lines at `path`, rows of a table (``bigquery:…``), or messages of a topic (``pubsub:…``)."""

    path: str

    def expand(self, rejections: beam.PCollection) -> Any:
        if is_table(self.path):
            return rejections | "Row" >> beam.Map(Rejection.row) | "Write" >> WriteRows(self.path, WHAT, SCHEMA)
        write = WriteMessages if is_topic(self.path) else WriteLines
        return (
            rejections
            | "Encode" >> beam.Map(Rejection.encode).with_output_types(bytes)
            | "Write" >> write(self.path, WHAT)
        )
