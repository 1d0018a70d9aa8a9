"""ConvertEvents: lines of bytes, and rows of tables → conversions that are ready to be sent, in one step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import apache_beam as beam
from apache_beam import typehints
from apache_beam.pvalue import TaggedOutput

from capybeam.transforms.base import origin_of, with_rejections
from capybeam.transforms.batching import Batch, BatchByDestination, Gathering
from capybeam.transforms.core.conversions import new_tuple
from capybeam.transforms.core.envelope import Address, Ready, subscription_of
from capybeam.transforms.core.events import Event, parse_event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.rejections import Rejected, as_rejected
from capybeam.transforms.engine.engine import BLOCK, MAX_BYTES, Engine, Refused
from capybeam.transforms.filtering import consented
from capybeam.transforms.language.records import Record
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
        self._engine, self._parse, self._withhold = engine, engine.parse, engine.withhold
        self._read = None if engine.reader is None else engine.reader.read
        self._matched = matched_counters(self.subscriptions)

    def compile(self) -> Engine:
        engine = Engine(self.subscriptions, self._max_bytes, self.unwrap)
        _ = engine.parse, engine.reader, engine.withhold  # what is wrong shows at setup, not with an event
        _ = engine.name, engine.map
        return engine

    def start_bundle(self) -> None:
        super().start_bundle()
        self._in_vain = 0
        self._note = self.notes[""]
        batching = self._batching
        self._gathering = None if batching is None else Gathering(batching.max_events, batching.max_bytes)

    def process(self, element: Row | list[Row]) -> Iterator[Any]:
        engine = self._engine
        for rows in self._blocks(element if isinstance(element, list) else [element]):
            block = self._records_of(rows)
            if block.records:
                self.counters["read"] += len(block.records)
                yield from self._converted(block.records, engine.match_record, block)
            events: list[Event] = []
            for row in block.others:
                for each in self._events_of(row):
                    if type(each) is TaggedOutput:
                        yield each
                        continue
                    events.append(each)
                    if len(events) == BLOCK:
                        yield from self._converted(events, engine.match, block)
                        events = []
            if events:
                yield from self._converted(events, engine.match, block)

    def _blocks(self, rows: list[Row]) -> Iterator[list[Row]]:
        """Rows that are converted together. They arrive in the same window, which has been entered."""
        windows = self._windows
        if windows is None:
            yield from (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
            return
        block: list[Row] = []
        for row in rows:
            if not self.is_open(now := windows.clock()):
                if block:
                    yield block
                block = []
                self.open(windows, now)
            block.append(row)
            if len(block) == BLOCK:
                yield block
                block = []
        if block:
            yield block

    def _records_of(self, rows: list[Row]) -> _Block:
        """Reads rows in part, as far as that is possible."""
        read, records, odd = self._read, list[Record](), list[int]()
        left: Iterator[Any] = iter(rows)
        while read is not None:
            try:
                records.extend(map(read, left))  # which keeps what has been read when one raises
                break
            except Exception:
                odd.append(len(records) + len(odd))
                read = self._after_reading_in_vain()
        else:
            odd.extend(range(len(records) + len(odd), len(rows)))
        if not odd:
            return _Block(records, rows, [])
        others = [rows[place] for place in odd]
        without = set(odd)
        return _Block(records, [row for place, row in enumerate(rows) if place not in without], others)

    def finish_bundle(self) -> Iterator[Any]:
        if self._gathering is not None:
            yield from self._gathering.rest()
        yield from super().finish_bundle()

    def _after_reading_in_vain(self) -> Callable[[bytes], Record] | None:
        """How to read further lines: where many have to be read whole, trying that first only takes time."""
        self._in_vain += 1
        if self._in_vain > _IN_VAIN and self._in_vain > self.counters["read"] / 4:
            self._read = None
        return self._read

    def _events_of(self, row: Row) -> Iterable[Event | TaggedOutput]:
        try:
            if type(row) is bytes and row[:1] == b"{":  # as `events_of`, without its look for blank lines
                found = self._parse(row, self._note)
                if type(found) is not tuple:
                    return self.opened(row, found)
                self.counters["read"] += 1
                return found
            return self.events_of(self._parse, row)
        except Exception as error:  # one event must never stop a run, nor its values reach a log
            return (self.refused(row, error),)

    def _converted(self, events: Iterable[Any], match: Callable[[Any], list[str]], block: _Block) -> Iterator[Any]:
        counters, withhold, now, window = self.counters, self._withhold, self._clock(), self._entered
        alone: dict[str, list[Any]] = {}
        for event in events:
            try:  # as `taken_by`, without a call for each event
                keys = match(event)
                if keys and withhold is not None:
                    keys = consented(withhold, self._engine.plain(event), keys, counters)
            except Exception as error:
                yield self.refused_at("filter", as_rejected(error), {"payload": self._whole(event, block)})
                continue
            if not keys:
                counters["filtered"] += 1
                continue
            if len(keys) == 1:
                key = keys[0]
                if key in alone:
                    alone[key].append(event)
                else:
                    alone[key] = [event]
                continue
            counters["taken"] += 1
            outcomes = self._engine.encode(event, keys, now, window, self.notes)
            for outcome in outcomes:
                counters[self._matched[_subscription_of(outcome)]] += 1
            yield from self._each(event, outcomes, block)
        for key, group in alone.items():
            ready_key, lines, others = self._engine.encode_alone(key, group, now, window, self.notes)
            counters["taken"] += len(group)
            counters[self._matched[key]] += len(lines) + sum([len(outcomes) for _, outcomes in others])
            yield from self._ready(ready_key, lines)
            for event, outcomes in others:
                yield from self._each(event, outcomes, block)

    def _each(self, event: Event | Record, outcomes: Iterable[Ready | Refused], block: _Block) -> Iterator[Any]:
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                conversion = outcome.conversion or unnamed(self._whole(event, block), outcome.subscription)
                if conversion.event is not None:
                    conversion = conversion._replace(event=self._whole(event, block))
                yield self.refused_at(outcome.stage, outcome.cause, origin_of(conversion))
            else:
                yield from self._ready(outcome.key, [outcome.line])

    def _whole(self, event: Event | Record, block: _Block) -> Event:
        """An event with all that its line has, as a dead letter holds it."""
        if isinstance(event, dict):
            return event
        try:
            return parse_event(block.line_of(event))
        except Rejected:  # for what nobody reads
            return self._engine.plain(event)

    def _ready(self, key: str, lines: list[bytes]) -> Iterable[Ready | Batch]:
        if self._gathering is None:
            return [new_tuple(Ready, (key, line)) for line in lines]
        return self._gathering.add_all(key, lines)


_IN_VAIN: Final = 100  # lines that are read in vain before their share counts


class _Block(NamedTuple):
    """Rows that are converted together.

    Attributes:
        records: of what the job reads of them.
        lines: of those.
        others: rows that have to be read whole.
    """

    records: list[Record]
    lines: list[Row]
    others: list[Row]

    def line_of(self, record: Record) -> Any:
        return next(line for each, line in zip(self.records, self.lines, strict=True) if each is record)


def _subscription_of(outcome: Ready | Refused) -> str:
    if isinstance(outcome, Refused):
        return outcome.subscription
    return f"{Address.decode(outcome.key).destination}/{subscription_of(outcome.line)}"
