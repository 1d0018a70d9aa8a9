"""``capybeam map``: the event's way up to the bytes, without batching, network or Beam.

The functions are those of the Beam steps, so what it shows is what a run sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from capybeam.pipeline.explain.explanation import Triggers, called, failed_condition, known_texts
from capybeam.pipeline.job.loader import Job
from capybeam.transforms.core import events
from capybeam.transforms.core.conversions import split_key
from capybeam.transforms.core.envelope import Address, Envelope, Ready
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.engine.engine import Engine, Filtered, Refused, Withheld
from capybeam.transforms.meta.masking import Mask


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
    preview = _Preview(job, now, counters)
    for place, row in rows:
        if not (isinstance(row, bytes) and events.is_blank(row)):
            for outcome in preview.outcomes(row):
                yield {**place, **outcome}


class _Preview:
    def __init__(self, job: Job, now: float, notes: Counter[str]) -> None:
        self._engine = Engine(job.subscriptions, job.delivery.max_batch_bytes, job.unwrap)
        self._now, self._notes = now, notes
        self._triggers, self._known = Triggers(job.subscriptions), known_texts(job)
        self._destinations = {destination.name: destination for destination in job.destinations}

    def outcomes(self, row: Row) -> Iterator[dict[str, Any]]:
        for outcome in self._engine.outcomes(row, self._now, lambda _: self._note):
            if isinstance(outcome, Filtered):
                yield {"status": "filtered", **self._filtered(outcome.event)}
            elif isinstance(outcome, Withheld):
                yield {**_names(outcome.subscription), "status": "filtered", "reason": f"consent_{outcome.answer}"}
            elif isinstance(outcome, Refused):
                yield {**_names(outcome.subscription), **_rejected(outcome)}
            else:
                key, ready = outcome
                yield {**_names(key), **self._ready(ready)}

    def _filtered(self, event: Event) -> dict[str, Any]:
        """What an event is called, and the condition that failed in the trigger that came closest to taking it."""
        mask = Mask(event, self._known)
        said = called(event, mask)
        nearest = self._triggers.nearest(event)
        if nearest is not None:
            key, failed = nearest
            said["nearest"] = {**_names(key), **failed_condition(failed, mask)}
        return said

    def _ready(self, ready: Ready) -> dict[str, Any]:
        address = Address.decode(ready.key)
        described = self._destinations[address.destination].describe(address)
        return {
            "status": "ready",
            "dataset_id": address.dataset_id,
            **described,
            "payload": orjson.Fragment(Envelope.decode(ready.line).body),
        }

    def _note(self, name: str) -> None:
        self._notes[name] += 1


def _names(key: str) -> dict[str, str]:
    return dict(zip(("destination", "subscription"), split_key(key), strict=True)) if key else {}


def _rejected(refused: Refused) -> dict[str, Any]:
    cause = refused.cause
    return {"status": "rejected", "stage": refused.stage, "code": cause.code, "message": cause.message}
