"""A sink in memory: what a scheme of one's own takes."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from capybeam.pipeline.sinks import ReadBack, Writers
from capybeam.pipeline.sinks.records import RecordType

EXAMPLE = "a list (memory:NAME)"
LISTS: dict[str, list[bytes]] = {}


def prepare(path: str, record_type: RecordType[Any], writers: Writers) -> None:
    LISTS[path] = []


def write(records: beam.PCollection, path: str, record_type: RecordType[Any]) -> Any:
    return records | "Append" >> beam.Map(_append, path, record_type)


def read_back(path: str) -> ReadBack:
    return ReadBack(path)


def _append(record: Any, path: str, record_type: RecordType[Any]) -> None:
    LISTS[path].append(record_type.encode(record))
