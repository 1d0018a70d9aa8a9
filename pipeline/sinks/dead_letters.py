"""Dead letters: what could not be delivered, with the reason and what is needed to try again."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.sinks.lines import WriteLines
from capybeam.pipeline.sinks.tables import LARGEST_ROW, Schema, WriteRows, is_table, size_of
from capybeam.pipeline.sinks.topics import LARGEST_MESSAGE, WriteMessages, is_topic
from capybeam.transforms.core.rejections import Rejection

WHAT: Final = "Dead letters"
SCHEMA: Final = Schema.of(
    Rejection,
    "dead_lettered_at",
    ("dead_lettered_at", "TIMESTAMP", "REQUIRED"),
    ("payload_encoding", "STRING", "NULLABLE"),
)

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class WriteDeadLetters(beam.PTransform):
    """Rejections → JSON lines at `path`, rows of a table (``bigquery:…``), or messages of a topic (``pubsub:…``).

    One that is larger than a table or a topic takes goes there without its payload, and says so: failing the run would
    bring it again, to every run.
    """

    path: str

    def expand(self, rejections: beam.PCollection) -> Any:
        if is_table(self.path):
            return rejections | "Row" >> beam.Map(_row) | "Write" >> WriteRows(self.path, WHAT, SCHEMA)
        encode, write = (_message, WriteMessages) if is_topic(self.path) else (Rejection.encode, WriteLines)
        return rejections | "Encode" >> beam.Map(encode).with_output_types(bytes) | "Write" >> write(self.path, WHAT)


def _message(rejection: Rejection) -> bytes:
    message = rejection.encode()
    return message if len(message) <= LARGEST_MESSAGE else _fitting(rejection, len(message), "Pub/Sub's 10 MB").encode()


def _row(rejection: Rejection) -> dict[str, Any]:
    row = rejection.row()
    size = size_of(row)
    return row if size <= LARGEST_ROW else _fitting(rejection, size, "the 9 MB of a row").row()


def _fitting(rejection: Rejection, size: int, limit: str) -> Rejection:
    _log.warning(
        "A dead letter, %s, has %s bytes, more than %s: it is written without its payload.",
        rejection.code,
        f"{size:,}",
        limit,
    )
    return rejection.without_payload(size, limit)
