"""ParseEvents: lines of bytes, and rows of tables → events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from capybeam.transforms.base import StepDoFn, with_rejections
from capybeam.transforms.core.conversions import Count
from capybeam.transforms.core.counters import NoteNames
from capybeam.transforms.core.events import Event, is_blank
from capybeam.transforms.core.message_formats import Found, Row
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.language.subscriptions import Subscription

Parse = Callable[[Row, Count], "tuple[Event] | Iterator[Found]"]


@dataclasses.dataclass
class ParseEvents(beam.PTransform):
    """Lines of JSON (bytes) → ``events`` (dicts), and ``rejections``.

    Events come out of the envelopes that `core.message_formats` knows. What a source has already made of a row (a dict,
    or an `UnreadableRow`) is counted, and passes or is rejected.

    Args:
        subscriptions: the job's: an object without a type is an event if one of their triggers takes it.
        unwrap: the path in a message to the event, of messages in an envelope of their own.
        skip_blank: whether blank lines are passed over, as in a file. A blank message is one that came, and is
            rejected.

    >>> import apache_beam as beam
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     parsed = pipeline | beam.Create([b'{"type": "page"}']) | ParseEvents()
    ...     _ = parsed.events | beam.Map(print)
    {'type': 'page'}
    """

    subscriptions: tuple[Subscription, ...] = ()
    unwrap: str | None = None
    skip_blank: bool = True

    def expand(self, lines: beam.PCollection) -> Any:
        step = _ParseEvents(self.subscriptions, self.unwrap, self.skip_blank)
        return with_rejections(lines, step, main="events")


class _ParseEvents(StepDoFn[Parse]):
    stage = "parse"

    def __init__(self, subscriptions: tuple[Subscription, ...], unwrap: str | None, skip_blank: bool) -> None:
        super().__init__()
        self._subscriptions, self._unwrap, self._skip_blank = subscriptions, unwrap, skip_blank

    def setup(self) -> None:
        super().setup()
        self._note_names = NoteNames(subscription="")

    def process_in_window(self, element: Row) -> Iterable[Any]:
        return self.process_arriving(element)

    def compile(self) -> Parse:
        return Engine(self._subscriptions, unwrap=self._unwrap).parse

    def convert(self, element: Row) -> Iterable[Any]:
        if type(element) is bytes and element[:1] != b"{" and self._skip_blank and is_blank(element):
            return ()
        found = self.machinery(element, self._note)
        if type(found) is not tuple:
            return self._opened(element, found)
        self.counters["read"] += 1
        return found

    def _opened(self, element: Row, found: Iterable[Found]) -> Iterator[Any]:
        """One after the other, as an envelope may hold a great many, and rejections are large."""
        try:
            for each in found:
                if isinstance(each, Rejected):
                    self.show_not_an_event(each)
                    yield self.refused(element, each)
                else:
                    self.counters["read"] += 1
                    yield each
        except Exception as error:
            yield self.refused(element, error)

    def origin(self, element: Row) -> Mapping[str, Any]:
        self.counters["read"] += 1
        self.counters["unparsable"] += 1
        self.count_unfinished(element)
        return {"payload": element}

    def _note(self, name: str) -> None:
        self.counters[self._note_names[name]] += 1
