"""ConvertEvents: lines of bytes, and rows of tables → conversions that are ready to be sent, in one step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import typehints
from apache_beam.pvalue import TaggedOutput

from capybeam.transforms.base import origin_of, with_rejections
from capybeam.transforms.core.envelope import Address, Ready, subscription_of
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.rejections import as_rejected
from capybeam.transforms.core.windows import NO_WINDOW
from capybeam.transforms.engine.engine import MAX_BYTES, Engine, Refused
from capybeam.transforms.filtering import taken_by
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.naming import matched_counters, unnamed
from capybeam.transforms.parsing import RowStepDoFn


@dataclasses.dataclass
class ConvertEvents(beam.PTransform):
    """Rows, as of `ParseEvents` → ``ready``, as of `ValidateConversions`, and ``rejections`` of all stages.

    It gives and counts what ParseEvents, FilterEvents, MapEventNames, MapProperties, HashUserData and
    ValidateConversions do one after the other, without their cost for each element between two steps.

    Args:
        max_bytes: of one event; a larger one fits no batch.
        unwrap, skip_blank: as of `ParseEvents`.
        clock: Unix seconds, for the age limits.

    >>> import apache_beam as beam
    >>> from capybeam.transforms.core.envelope import Envelope
    >>> from capybeam.transforms.language.fields import Field
    >>> from capybeam.transforms.meta.rules import DAY
    >>> from capybeam.transforms.meta.subscriptions import MetaSubscription
    >>> mapping = {"event_name": "Lead", "action_source": "email", "event_time": DAY, "user_data": {"externalId": "1"}}
    >>> types = ("string", "string", "time", "object")
    >>> fields = tuple(Field(name, type_) for name, type_ in zip(mapping, types))
    >>> leads = MetaSubscription("web", "leads", "all", mapping, fields, ("1",))
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     rows = pipeline | beam.Create([b'{"type": "track", "messageId": "m"}'])
    ...     converted = rows | ConvertEvents((leads,), clock=lambda: DAY)
    ...     _ = converted.ready | beam.Map(lambda ready: print(Envelope.decode(ready[1]).event_id))
    m
    """

    subscriptions: tuple[Subscription, ...]
    max_bytes: int = MAX_BYTES
    unwrap: str | None = None
    skip_blank: bool = True
    clock: Callable[[], float] = time.time

    def expand(self, rows: beam.PCollection) -> Any:
        converted = with_rejections(rows, _ConvertEvents(self), main="ready")
        converted.ready.element_type = typehints.Tuple[str, bytes]
        return converted


class _ConvertEvents(RowStepDoFn[Engine]):
    def __init__(self, given: ConvertEvents) -> None:
        super().__init__(given.subscriptions, given.unwrap, given.skip_blank)
        self._max_bytes, self._clock = given.max_bytes, given.clock

    def setup(self) -> None:
        super().setup()
        self._parse = self.machinery.parse
        self._matched = matched_counters(self.subscriptions)

    def compile(self) -> Engine:
        engine = Engine(self.subscriptions, self._max_bytes, self.unwrap)
        _ = engine.parse, engine.withhold, engine.name, engine.map  # what is wrong shows at setup, not with an event
        return engine

    def process_in_window(self, element: Row) -> Iterable[Any]:
        window = self.arrive()
        try:
            return self.convert(element, window)
        except Exception as error:
            return (self.refused(element, error),)

    def convert(self, element: Row, window: int = NO_WINDOW) -> Iterable[Any]:
        found = self.events_of(self._parse, element)
        if type(found) is not tuple:
            return self._each_converted(found, window)
        return self._converted(found[0], window) if found else ()

    def _each_converted(self, found: Iterable[Event | TaggedOutput], window: int) -> Iterator[Any]:
        for each in found:
            if type(each) is TaggedOutput:
                yield each
            else:
                yield from self._converted(each, window)

    def _converted(self, event: Event, window: int) -> Iterable[Any]:
        try:
            keys = taken_by(self.machinery, event, self.counters)
        except Exception as error:
            return (self.refused_at("filter", as_rejected(error), {"payload": event}),)
        if not keys:
            return ()
        outcomes = self.machinery.encode(event, keys, self._clock(), window, self.notes)
        self._count_matched(keys, outcomes)
        for outcome in outcomes:
            if type(outcome) is Refused:
                return [self._rejected(event, each) if type(each) is Refused else each for each in outcomes]
        return outcomes

    def _count_matched(self, keys: Sequence[str], outcomes: Sequence[Ready | Refused]) -> None:
        if len(keys) == 1:
            self.counters[self._matched[keys[0]]] += len(outcomes)
            return
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                key = outcome.subscription
            else:
                key = f"{Address.decode(outcome.key).destination}/{subscription_of(outcome.line)}"
            self.counters[self._matched[key]] += 1

    def _rejected(self, event: Event, refused: Refused) -> TaggedOutput:
        conversion = refused.conversion or unnamed(event, refused.subscription)
        return self.refused_at(refused.stage, refused.cause, origin_of(conversion))
