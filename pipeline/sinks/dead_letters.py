"""Dead letters: what could not be delivered, with the reason and what is needed to try again."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.sinks import write
from capybeam.pipeline.sinks.records import RecordType
from capybeam.pipeline.sinks.schema import Schema
from capybeam.transforms.core.rejections import Rejection

SCHEMA: Final = Schema.of(
    Rejection,
    "dead_lettered_at",
    ("dead_lettered_at", "TIMESTAMP", "REQUIRED"),
    ("payload_encoding", "STRING", "NULLABLE"),
)

_log = logging.getLogger(__name__)


def _without_payload(rejection: Rejection, size: int, limit: str) -> Rejection:
    _log.warning(
        "A dead letter, %s, has %s bytes, more than %s: it is written without its payload.",
        rejection.code,
        f"{size:,}",
        limit,
    )
    return rejection.without_payload(size, limit)


DEAD_LETTERS: Final = RecordType("Dead letters", SCHEMA, Rejection.encode, Rejection.row, _without_payload)


@dataclasses.dataclass
class WriteDeadLetters(beam.PTransform):
    """Rejections → an output: JSON lines, rows of a table (``bigquery:…``), or messages of a topic (``pubsub:…``).

    One that is larger than a table or a topic takes goes there without its payload, with a note: failing the run would
    bring it again, to every run.

    Args:
        series: as of `RecordType`: which of the collections of rejections that are written to the same output.
    """

    path: str
    series: int = 0

    def expand(self, rejections: beam.PCollection) -> Any:
        return write(rejections, self.path, dataclasses.replace(DEAD_LETTERS, series=self.series))
