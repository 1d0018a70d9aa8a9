"""Dead letters: what could not be delivered, with the reason and what is needed to try again."""

from __future__ import annotations

import dataclasses
from typing import Any

import apache_beam as beam

from pipeline.sinks.lines import WriteLines
from pipeline.sinks.topics import WriteMessages, is_topic
from transforms.rejections import Rejection


@dataclasses.dataclass
class WriteDeadLetters(beam.PTransform):
    """Rejections → JSON lines at `path`, or messages of a topic (``pubsub:projects/P/topics/T``)."""

    path: str

    def expand(self, rejections: beam.PCollection) -> Any:
        write = WriteMessages if is_topic(self.path) else WriteLines
        return (
            rejections
            | "Encode" >> beam.Map(Rejection.encode).with_output_types(bytes)
            | "Write" >> write(self.path, "Dead letters")
        )
