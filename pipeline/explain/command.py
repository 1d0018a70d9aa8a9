"""``capybeam explain``: finds the event that is asked for, and shows its way."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from capybeam.pipeline.explain.explanation import Explainer
from capybeam.transforms.core import events
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.rejections import Rejected

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which event is asked for; without both, the first that there is.

    Attributes:
        id: its messageId, or the event_id that it has without one.
        line: its line in the input.
    """

    id: str | None = None
    line: int | None = None

    def takes(self, place: Json, found: Event | Rejected) -> bool:
        if self.line is not None and place.get("line") != self.line:
            return False
        if self.id is None:
            return True
        return isinstance(found, dict) and self._has_id(found)

    def _has_id(self, event: Event) -> bool:
        if str(event.get("messageId")) == self.id:
            return True
        try:
            return events.event_id(event) == self.id
        except Rejected:
            return False


def explanations(explainer: Explainer, rows: Iterable[tuple[Json, Row]], wanted: Wanted) -> Iterator[Json]:
    """The explanation of the events that are wanted: all of their line, as an envelope may hold several; all that have
    the ID, as an event may come twice; else the first."""
    for place, row in rows:
        if wanted.line is not None and "file" not in place and place.get("line", 0) > wanted.line:
            return
        found = False
        for event in explainer.events(row):
            if wanted.takes(place, event):
                found = True
                yield {**place, **explainer.explain(event)}
        if found and wanted == Wanted():
            return
