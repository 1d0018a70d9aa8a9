"""Receipts: what Meta took, one line for each request.

In files of this machine, and of folders that workers share, they are written by the threads that send: a run that is
killed leaves a receipt of every request that was answered. Elsewhere they are the output of the step that sends.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import apache_beam as beam
import orjson

from capybeam.pipeline.schemes import is_local, strip_file_scheme
from capybeam.pipeline.sinks import write
from capybeam.pipeline.sinks.line_writer import LineWriter
from capybeam.pipeline.sinks.records import RecordType
from capybeam.pipeline.sinks.schema import Schema
from capybeam.transforms.delivery.batches import Receipt, Recorder

SCHEMA: Final = Schema.of(Receipt, "delivered_at")


def _row(receipt: Receipt) -> dict[str, Any]:
    """The receipt as a row of a table, where each of its conversions is JSON text."""
    row = receipt.row()
    conversions = [orjson.dumps(each).decode() for each in row["conversions"]]
    lists = {"messages": list(receipt.messages), "event_ids": list(receipt.event_ids or ())}
    return {**row, **lists, "conversions": conversions}


RECEIPTS: Final = RecordType("Receipts", SCHEMA, Receipt.encode, _row, is_prompt=True)


@dataclasses.dataclass(frozen=True)
class ReceiptFile:
    """A `Journal` in a file that workers append to."""

    path: str

    def open(self) -> Recorder:
        return _Recorder(LineWriter(self.path, RECEIPTS.name))


class _Recorder:
    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def __call__(self, receipt: Receipt) -> None:
        self._writer.write(RECEIPTS.encode(receipt))

    def close(self) -> None:
        self._writer.close()


def journal_of(path: str) -> ReceiptFile | None:
    """The journal for an output of receipts; None where they are written by `WriteReceipts`."""
    path = strip_file_scheme(path)
    return ReceiptFile(path) if is_local(path) else None


@dataclasses.dataclass
class WriteReceipts(beam.PTransform):
    """Receipts → an output: JSON lines, rows of a table (``bigquery:…``), or messages of a topic (``pubsub:…``)."""

    path: str

    def expand(self, receipts: beam.PCollection) -> Any:
        return write(receipts, self.path, RECEIPTS)
