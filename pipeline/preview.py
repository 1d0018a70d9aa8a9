"""``capybeam map``: the event's way up to the bytes, without batching, network or Beam.

The functions are those of the Beam steps, so what it shows is what a run sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from capybeam.pipeline.job.loader import Job
from capybeam.transforms.core import events
from capybeam.transforms.core.conversions import Conversion, split_key, split_line
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.rejections import Rejected, Stage, as_rejected
from capybeam.transforms.engine import conversions


def preview(
    job: Job, lines: Iterable[bytes], now: float, notes: Counter[str] | None = None
) -> Iterator[dict[str, Any]]:
    """`preview_rows` of events as JSON; numbered from 1, blank lines included."""
    return preview_rows(job, (({"line": number}, line) for number, line in enumerate(lines, 1)), now, notes)


def preview_rows(
    job: Job, rows: Iterable[tuple[dict[str, Any], Row]], now: float, notes: Counter[str] | None = None
) -> Iterator[dict[str, Any]]:
    """One outcome for each conversion, rejection or filtered event, in input order. Blank lines have none.

    Args:
        rows: lines of JSON, or what a source made of its rows; each with its place, such as ``{"line": 7}``.
        now: Unix seconds, for the age limits.
        notes: filled with what was dropped or left out on the way.
    """
    counters: Counter[str] = Counter() if notes is None else notes
    way = _Way(job, now, counters)
    for place, row in rows:
        if not (isinstance(row, bytes) and events.is_blank(row)):
            for outcome in way.outcomes(row):
                yield {**place, **outcome}


class _Way:
    def __init__(self, job: Job, now: float, notes: Counter[str]) -> None:
        subscriptions = job.subscriptions
        self._now, self._notes = now, notes
        self._parsed = conversions.compile_parsing(subscriptions, job.unwrap)
        self._parameters = {destination.name: dict(destination.parameters) for destination in job.destinations}
        self._matching = conversions.compile_filter(subscriptions)
        self._named = conversions.compile_naming(subscriptions)
        self._mapped = conversions.compile_properties(subscriptions)
        self._hashed = conversions.compile_hashing(subscriptions)
        self._validated = conversions.compile_validation(subscriptions, job.delivery.max_batch_bytes)

    def outcomes(self, row: Row) -> Iterator[dict[str, Any]]:
        for found in self._parsed(row, self._note):
            if isinstance(found, Rejected):
                yield _rejected("parse", found)
            else:
                yield from self._event(found)

    def _event(self, event: Event) -> Iterator[dict[str, Any]]:
        try:
            keys = self._matching(event)
        except Exception as error:
            yield _rejected("filter", as_rejected(error))
            return
        if not keys:
            yield {"status": "filtered"}
        for key in keys:
            destination, _, subscription = key.partition("/")
            where = {"destination": destination, "subscription": subscription}
            try:
                named = self._named(event, key)
            except Exception as error:
                yield {**where, **_rejected("name", as_rejected(error))}
                continue
            for conversion in named:
                yield {**where, **self._conversion(conversion)}

    def _conversion(self, conversion: Conversion) -> dict[str, Any]:
        stage: Stage = "map"
        try:
            conversion = self._mapped(conversion, self._note)
            stage = "hash"
            conversion = self._hashed(conversion, self._note)
            stage = "validate"
            ready = self._validated(conversion, self._now, self._note)
        except Exception as error:  # as the steps do: a defect of ours costs one event, not the run
            return _rejected(stage, as_rejected(error))
        address = split_key(ready.key)
        outcome: dict[str, Any] = {"status": "ready", "dataset_id": address.dataset_id}
        if address.test_event_code:
            outcome["test_event_code"] = address.test_event_code
        if address.upload_tag:
            outcome["upload_tag"] = address.upload_tag
        outcome.update(self._parameters[address.destination])
        return {**outcome, "payload": orjson.Fragment(split_line(ready.line)[1])}

    def _note(self, name: str) -> None:
        self._notes[name] += 1


def _rejected(stage: Stage, cause: Rejected) -> dict[str, Any]:
    return {"status": "rejected", "stage": stage, "code": cause.code, "message": cause.message}
