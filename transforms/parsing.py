"""ParseEvents: lines of bytes, and rows of tables → events."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from capybeam.transforms.base import M, SubscriptionStepDoFn, with_rejections
from capybeam.transforms.core.conversions import Count
from capybeam.transforms.core.events import Event, is_blank
from capybeam.transforms.core.message_formats import Found, Row
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.language.subscriptions import Subscription

Parse = Callable[[Row, Count], "tuple[Event] | Iterator[Found]"]


@dataclasses.dataclass
class ParseEvents(beam.PTransform):
    """Lines of JSON (bytes), each alone or in lists of them → ``events`` (dicts), and ``rejections``.

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


class RowStepDoFn(SubscriptionStepDoFn[M]):
    """A step that reads rows, each alone or in lists of them."""

    stage = "parse"

    def __init__(self, subscriptions: tuple[Subscription, ...], unwrap: str | None, skip_blank: bool) -> None:
        super().__init__(subscriptions)
        self.unwrap, self._skip_blank = unwrap, skip_blank

    def process(self, element: Row | list[Row]) -> Iterable[Any]:
        if type(element) is list:
            return itertools.chain.from_iterable(map(super().process, element))
        return super().process(element)

    def events_of(self, parse: Parse, row: Row) -> tuple[()] | tuple[Event] | Iterator[Event | TaggedOutput]:
        """A row's events, counted, and for what is none its rejection; nothing of a blank line."""
        if type(row) is bytes and row[:1] != b"{" and self._skip_blank and is_blank(row):
            return ()
        found = parse(row, self.notes[""])
        if type(found) is not tuple:
            return self.opened(row, found)
        self.counters["read"] += 1
        return found

    def opened(self, element: Row, found: Iterable[Found]) -> Iterator[Any]:
        """The events of what parsing had to open, counted, and the rejections of what is none.

        One after the other, as an envelope may hold a great many, and rejections are large."""
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

    def origin(self, element: Any) -> Mapping[str, Any]:
        self.counters["read"] += 1
        self.counters["unparsable"] += 1
        self.count_unfinished(element)
        return {"payload": element}


class _ParseEvents(RowStepDoFn[Parse]):
    def process_in_window(self, element: Row) -> Iterable[Any]:
        return self.process_arriving(element)

    def compile(self) -> Parse:
        return Engine(self.subscriptions, unwrap=self.unwrap).parse

    def convert(self, element: Row) -> Iterable[Any]:
        return self.events_of(self.machinery, element)
