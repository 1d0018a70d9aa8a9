"""ConvertEvents: lines of bytes, and rows of tables → conversions that are ready to be sent, in one step."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import typehints
from apache_beam.pvalue import TaggedOutput

from capybeam.transforms.base import origin_of, with_rejections
from capybeam.transforms.batching import Batch, BatchByDestination, Gathering
from capybeam.transforms.core.envelope import Address, Ready, subscription_of
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.rejections import as_rejected
from capybeam.transforms.core.windows import NO_WINDOW
from capybeam.transforms.engine.engine import MAX_BYTES, Engine, Refused
from capybeam.transforms.filtering import consented
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.naming import matched_counters, unnamed
from capybeam.transforms.parsing import RowStepDoFn


@dataclasses.dataclass
class ConvertEvents(beam.PTransform):
    """Rows, as of `ParseEvents` → ``ready``, as of `ValidateConversions`, and ``rejections`` of all stages.

    With `batching` there are ``batches`` instead of ``ready``.

    It gives and counts what ParseEvents, FilterEvents, MapEventNames, MapProperties, HashUserData and
    ValidateConversions do one after the other, without their cost for each element between two steps.

    Args:
        max_bytes: of one event; a larger one fits no batch.
        unwrap, skip_blank: as of `ParseEvents`.
        clock: Unix seconds, for the age limits.
        batching: of bounded input, where nothing is to come between converting and batching.

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
    batching: BatchByDestination | None = None

    def expand(self, rows: beam.PCollection) -> Any:
        if self.batching is None:
            converted = with_rejections(rows, _ConvertEvents(self), main="ready")
            converted.ready.element_type = typehints.Tuple[str, bytes]
        else:
            converted = with_rejections(rows, _ConvertEvents(self), main="batches")
            converted.batches.element_type = typehints.Tuple[str, typehints.List[bytes]]
        return converted


class _ConvertEvents(RowStepDoFn[Engine]):
    def __init__(self, given: ConvertEvents) -> None:
        super().__init__(given.subscriptions, given.unwrap, given.skip_blank)
        self._max_bytes, self._clock, self._batching = given.max_bytes, given.clock, given.batching

    def setup(self) -> None:
        super().setup()
        engine = self.machinery
        self._parse, self._match, self._withhold = engine.parse, engine.match, engine.withhold
        self._encode = engine.encode
        self._matched = matched_counters(self.subscriptions)

    def compile(self) -> Engine:
        engine = Engine(self.subscriptions, self._max_bytes, self.unwrap)
        _ = engine.parse, engine.withhold, engine.name, engine.map  # what is wrong shows at setup, not with an event
        return engine

    def start_bundle(self) -> None:
        super().start_bundle()
        self._note = self.notes[""]
        batching = self._batching
        self._gathering = None if batching is None else Gathering(batching.max_events, batching.max_bytes)

    def process(self, element: Row | list[Row]) -> Iterable[Any]:
        rows = element if isinstance(element, list) else (element,)
        outputs = itertools.chain.from_iterable(map(self._convert_row, rows))
        return outputs if self._gathering is None else self._gathered(self._gathering, outputs)

    def finish_bundle(self) -> Iterator[Any]:
        if self._gathering is not None:
            yield from self._gathering.rest()
        yield from super().finish_bundle()

    @staticmethod
    def _gathered(gathering: Gathering, outputs: Iterable[Any]) -> Iterator[Batch | TaggedOutput]:
        add = gathering.add
        for output in outputs:
            if type(output) is TaggedOutput:
                yield output
                continue
            batch = add(*output)
            if batch is not None:
                yield batch

    def _convert_row(self, row: Row) -> Iterable[Any]:
        window = NO_WINDOW if self._windows is None else self.arrive()
        try:
            if type(row) is bytes and row[:1] == b"{":  # as `events_of`, without its look for blank lines
                found = self._parse(row, self._note)
                if type(found) is not tuple:
                    return self._each_converted(self.opened(row, found), window)
                self.counters["read"] += 1
                return self._converted(found[0], window)
            events = self.events_of(self._parse, row)
            if type(events) is not tuple:
                return self._each_converted(events, window)
            return self._converted(events[0], window) if events else ()
        except Exception as error:  # one event must never stop a run, nor its values reach a log
            return (self.refused(row, error),)

    def _each_converted(self, found: Iterable[Event | TaggedOutput], window: int) -> Iterator[Any]:
        for each in found:
            if type(each) is TaggedOutput:
                yield each
            else:
                yield from self._converted(each, window)

    def _converted(self, event: Event, window: int) -> Iterable[Any]:
        counters = self.counters
        try:  # as `taken_by`, without a call for each event
            keys = self._match(event)
            if keys and self._withhold is not None:
                keys = consented(self._withhold, event, keys, counters)
        except Exception as error:
            return (self.refused_at("filter", as_rejected(error), {"payload": event}),)
        if not keys:
            counters["filtered"] += 1
            return ()
        counters["taken"] += 1
        outcomes = self._encode(event, keys, self._clock(), window, self.notes)
        if len(keys) == 1:
            counters[self._matched[keys[0]]] += len(outcomes)
        else:
            self._count_matched(outcomes)
        for outcome in outcomes:
            if type(outcome) is Refused:
                return [self._rejected(event, each) if type(each) is Refused else each for each in outcomes]
        return outcomes

    def _count_matched(self, outcomes: Sequence[Ready | Refused]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                key = outcome.subscription
            else:
                key = f"{Address.decode(outcome.key).destination}/{subscription_of(outcome.line)}"
            self.counters[self._matched[key]] += 1

    def _rejected(self, event: Event, refused: Refused) -> TaggedOutput:
        conversion = refused.conversion or unnamed(event, refused.subscription)
        return self.refused_at(refused.stage, refused.cause, origin_of(conversion))
