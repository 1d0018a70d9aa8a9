"""ParseEvents: lines of bytes, and rows of tables → events."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam

from transforms.events import Event, UnreadableRow, event_of_row, is_blank, parse_event
from transforms.steps import StepDoFn, note_unfinished, with_rejections


@dataclasses.dataclass
class ParseEvents(beam.PTransform):
    """Lines of JSON (bytes) → ``events`` (dicts), and ``rejections``.

    What a source has already made of a row (a dict, or an `UnreadableRow`) is counted, and passes or is rejected.

    Args:
        skip_blank: whether blank lines are passed over, as in a file. A blank message is one that came, and is
            rejected.

    >>> import apache_beam as beam
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     parsed = pipeline | beam.Create([b'{"type": "page"}']) | ParseEvents()
    ...     _ = parsed.events | beam.Map(print)
    {'type': 'page'}
    """

    skip_blank: bool = True

    def expand(self, lines: beam.PCollection) -> Any:
        return with_rejections(lines, _ParseEvents(self.skip_blank), main="events")


class _ParseEvents(StepDoFn[None]):
    stage = "parse"

    def __init__(self, skip_blank: bool) -> None:
        super().__init__()
        self._skip_blank = skip_blank

    def compile(self) -> None:
        return None

    def setup(self) -> None:
        pass

    def convert(self, element: bytes | Event | UnreadableRow) -> Iterable[Any]:
        if not isinstance(element, bytes):
            self.tally["read"] += 1
            return (event_of_row(element),)
        if element[:1] != b"{" and self._skip_blank and is_blank(element):
            return ()
        self.tally["read"] += 1
        return (parse_event(element),)

    def origin(self, element: bytes | UnreadableRow) -> Mapping[str, Any]:
        self.tally["unparsable"] += 1
        note_unfinished(element, self.tally)
        return {"payload": element}
