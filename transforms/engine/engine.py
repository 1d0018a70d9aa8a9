"""One event's way to the bytes that a destination reads, as pure functions: parse, match, name, map, hash, validate.

Beam steps, ``capybeam map``, replay and benchmarks all go this way, so they yield the same bytes.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

from capybeam.transforms.core import message_formats
from capybeam.transforms.core.conversions import Conversion, Count, ignore, new_tuple
from capybeam.transforms.core.envelope import Ready, with_subscription
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Found, Row
from capybeam.transforms.core.rejections import Rejected, Stage, as_rejected
from capybeam.transforms.engine.on_demand import OnDemand
from capybeam.transforms.engine.sharing import NO_SHARE, Share, Sharing, Target
from capybeam.transforms.language.completed_fields import compile_completed_fields
from capybeam.transforms.language.consent import Answer, Consent, compile_consent
from capybeam.transforms.language.directives.checks import check_mapping
from capybeam.transforms.language.dispatch import compile_triggers
from capybeam.transforms.language.fields import Field
from capybeam.transforms.language.mapped_fields import check_event_fields, compile_event_fields
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.language.reading import Reader, compile_reader
from capybeam.transforms.language.records import Record
from capybeam.transforms.language.routing import compile_routing
from capybeam.transforms.language.subscriptions import Encode, Hash, Revalidate, Subscription, Validate

MAX_BYTES: Final = 4 * 1024 * 1024
BLOCK: Final = 32  # events that go from one function to the next together: so many stay in a processor's caches


class Refused(NamedTuple):
    """What could not go on.

    Attributes:
        subscription: its key; "" before an event is a subscription's.
        conversion: None before the map stage.
        payload: what a dead letter is to hold.
    """

    stage: Stage
    cause: Rejected
    subscription: str
    conversion: Conversion | None
    payload: Any


class Encoded(NamedTuple):
    """What events become that one subscription takes.

    Attributes:
        ready_key: where the lines go.
        lines: encoded envelopes, of the events that make one line each.
        others: the other events, each with what it becomes.
    """

    ready_key: str
    lines: list[bytes]
    others: list[tuple[Event | Record, list[Ready | Refused]]]


class Filtered(NamedTuple):
    """An event that no trigger takes."""

    event: Event


class Withheld(NamedTuple):
    """An event that a subscription's trigger takes, and for which there is no consent.

    Attributes:
        subscription: its key.
        answer: what the event says: ``refused`` or ``unknown``.
    """

    event: Event
    subscription: str
    answer: Answer


Withhold = Callable[[Event, list[str]], tuple[list[str], list[tuple[str, Answer]]]]


class Engine:
    """The functions of a job's subscriptions. Each is made when it is first asked for, once.

    Triggers are compiled and mappings checked then; the rest is compiled for a subscription when its first event comes,
    as most events of a large job are those of a few subscriptions.

    Args:
        max_bytes: of one event; a larger one fits no batch.
        unwrap: path of the events in the input's objects; None: envelopes that are known are opened.
        is_edited: whether conversions may have been changed since they were hashed.
    """

    def __init__(
        self,
        subscriptions: Iterable[Subscription],
        max_bytes: int = MAX_BYTES,
        unwrap: str | None = None,
        is_edited: bool = False,
    ) -> None:
        self.subscriptions = tuple(subscriptions)
        self._max_bytes, self._unwrap, self._is_edited = max_bytes, unwrap, is_edited

    @functools.cached_property
    def parse(self) -> Callable[[Row, Count], tuple[Event] | Iterator[Found]]:
        """From what a source yields to its events, by `message_formats.compile_parsing`."""
        return message_formats.compile_parsing(self.match, self._unwrap)

    @functools.cached_property
    def reader(self) -> Reader | None:
        """Reads lines into records, without what no subscription looks up, where that is known and all there is to see.

        A record goes to `match_record` and `encode`, or `encode_alone`; everything else takes events: `plain`.
        """
        return None if self._unwrap or self._is_edited else compile_reader(self.subscriptions)

    @functools.cached_property
    def match_record(self) -> Callable[[Record], list[str]]:
        """As `match`, for the reader's records."""
        assert self.reader is not None
        triggers = ((subscription.key, subscription.trigger) for subscription in self.subscriptions)
        return compile_triggers(triggers, shape=self.reader.shape)

    def plain(self, event: Event | Record) -> Event:
        """A record as an event, with what has been read of it; an event as it is."""
        if type(event) is dict:
            return event
        assert self.reader is not None
        return self.reader.shape.plain(event)

    @functools.cached_property
    def match(self) -> Callable[[Event], list[str]]:
        """From an event to the keys of the subscriptions whose trigger takes it, in the job file's order."""
        return compile_triggers((subscription.key, subscription.trigger) for subscription in self.subscriptions)

    @functools.cached_property
    def withhold(self) -> Withhold | None:
        """None where no subscription asks for consent.

        From an event and the keys of those that take it to the keys of those that may have it, and to the others, each
        with the event's answer.
        """
        asked = {s.key: s.consent for s in self.subscriptions if s.consent is not None}
        return _compile_withholding(asked) if asked else None

    @functools.cached_property
    def name(self) -> Callable[[Event, str], list[Conversion]]:
        """From an event and a subscription's key to its conversions, one for each dataset. Raises Rejected.

        Raises:
            MappingError: of an event's name or dataset; the property does, before there are events.
        """
        for subscription in self.subscriptions:
            _check_names(subscription)
        namers = OnDemand(self.subscriptions, _namer)
        return lambda event, key: namers[key](event)

    @functools.cached_property
    def map(self) -> Callable[..., Conversion]:
        """Fills a conversion's fields by its subscription's mapping, typed and complete.

        It takes the conversion and `count`, which is called with what is left out or comes from elsewhere, and raises
        Rejected: missing_required_field, invalid_<field>, invalid_field, mapping_failed. Where a mapping cannot be
        compiled, asking for the function raises MappingError.
        """
        return _compile_mapping(self.subscriptions)

    @functools.cached_property
    def hash(self) -> Hash:
        """Replaces a conversion's user_data by its hashed form, and lets go of the event. Raises Rejected."""
        hashers = OnDemand(self.subscriptions, lambda subscription: subscription.compile_hashing())
        return lambda conversion, count: hashers[conversion[0]](conversion, count)

    @functools.cached_property
    def validate(self) -> Validate:
        """From a hashed conversion to its envelope, valid at the time given in Unix seconds. Raises Rejected."""
        validators = OnDemand(
            self.subscriptions, lambda subscription: subscription.compile_validation(self._max_bytes, self._is_edited)
        )
        return lambda conversion, now, count, window=0: validators[conversion[0]](conversion, now, count, window)

    @functools.cached_property
    def revalidate(self) -> Mapping[str, Revalidate]:
        """By subscription key: from a body that was valid once to its envelope. Raises Rejected."""
        return OnDemand(self.subscriptions, lambda subscription: subscription.compile_revalidation(self._max_bytes))

    # --- the whole way ------------------------------------------------------------------------------------------------

    def outcomes(
        self, row: Row, now: float, notes: Callable[[str], Count]
    ) -> Iterator[tuple[str, Ready] | Filtered | Withheld | Refused]:
        """What becomes of a row: its ready conversions, each with its subscription's key, and what goes no further.

        Args:
            now: Unix seconds.
            notes: by subscription key, or "" before one is known: the counter of what is left out.
        """
        for found in self.parse(row, notes("")):
            if isinstance(found, Rejected):
                yield Refused("parse", found, "", None, row)
                continue
            for conversion in self.conversions(found):
                if not isinstance(conversion, Conversion):
                    yield conversion
                    continue
                ready = self.ready(conversion, now, notes(conversion.subscription))
                yield ready if isinstance(ready, Refused) else (conversion.subscription, ready)

    def conversions(
        self, event: Event, only: str | None = None
    ) -> Iterator[Conversion | Filtered | Withheld | Refused]:
        """An event's conversions, named but not yet mapped.

        Args:
            only: the key of the one subscription that may take the event; None for all.
        """
        try:
            keys = self.match(event)
        except Exception as error:
            yield Refused("filter", as_rejected(error), "", None, event)
            return
        if only is not None:
            keys = [key for key in keys if key == only]
        if not keys:
            yield Filtered(event)
        withheld: list[tuple[str, Answer]] = []
        if keys and self.withhold is not None:
            keys, withheld = self.withhold(event, keys)
        for key in keys:
            try:
                yield from self.name(event, key)
            except Exception as error:
                yield Refused("name", as_rejected(error), key, None, event)
        for key, answer in withheld:
            yield Withheld(event, key, answer)

    def encode(
        self, event: Event | Record, keys: Sequence[str], now: float, window: int, notes: Mapping[str, Count]
    ) -> list[Ready | Refused]:
        """What an event becomes for the subscriptions of these keys, which take it and may have it: in their order, a
        ready conversion for each dataset, or what kept it from becoming one.

        Args:
            now: Unix seconds.
            window: in which the event arrived, as of `core.windows`.
            notes: by subscription key, the counter of what is left out.
        """
        shares = self._shares_of(event)
        outcomes: list[Ready | Refused] = []
        made: dict[Encode, tuple[bytes | Refused, list[str]]] = {}
        for key in keys:
            encode, name, targets, choose, _ = shares[key]
            if choose is not None:
                targets = choose(self.plain(event))
            if targets is None:
                note = notes[key]
                outcomes += [
                    named if isinstance(named, Refused) else self.ready(named, now, note, window)
                    for named in self._named(event, key)
                ]
                continue
            if encode in made:
                outcome, noted = made[encode]
            else:
                noted = []
                try:
                    outcome = encode(event, now, window, noted.append)
                except Exception:  # not as most events are, or with a defect: the stages will tell
                    outcome, noted = self._staged(event, key, now, window)
                made[encode] = outcome, noted
            outcomes += _spread(key, name, targets, outcome, noted, notes)
        return outcomes

    def encode_alone(
        self, key: str, events: Sequence[Event | Record], now: float, window: int, notes: Mapping[str, Count]
    ) -> Encoded:
        """`encode` of events that this subscription alone takes, all of them records or none. One after the other takes
        less time than among others, as the function that makes their lines stays in the processor's caches.
        """
        encode, name, targets, _, ready_key = self._shares_of(events[0])[key]
        if ready_key is None or targets is None:
            each_alone = [(event, self.encode(event, (key,), now, window, notes)) for event in events]
            return Encoded("", [], each_alone)
        lines: list[bytes] = []
        others: list[tuple[Event | Record, list[Ready | Refused]]] = []
        noted: list[str] = []
        left, always = iter(events), (repeat(now), repeat(window), repeat(noted.append))
        while True:
            try:
                lines.extend(map(encode, left, *always))  # which keeps what has been made when one raises
                break
            except Exception:  # as above
                event = events[len(lines) + len(others)]
                _take_back(noted, encode, event, now, window)
                outcome, staged = self._staged(event, key, now, window)
                others.append((event, _spread(key, name, targets, outcome, staged, notes)))
        if noted:
            _count(noted, notes[key])
        return Encoded(ready_key, lines, others)

    def _shares_of(self, event: Event | Record) -> Mapping[str, Share]:
        return self._shares if type(event) is dict else self._shares_of_records

    @functools.cached_property
    def _shares(self) -> Mapping[str, Share]:
        if self._is_edited:
            return dict.fromkeys((subscription.key for subscription in self.subscriptions), NO_SHARE)
        return OnDemand(self.subscriptions, Sharing(self._max_bytes).share)

    @functools.cached_property
    def _shares_of_records(self) -> Mapping[str, Share]:
        assert self.reader is not None
        return OnDemand(self.subscriptions, Sharing(self._max_bytes, self.reader.shape).share)

    def _staged(self, event: Event | Record, key: str, now: float, window: int) -> tuple[bytes | Refused, list[str]]:
        """What the stages make of an event for its first dataset, a line or a rejection, and what is to be counted."""
        notes: list[str] = []
        named, *_ = self._named(event, key)
        outcome = named if isinstance(named, Refused) else self.ready(named, now, notes.append, window)
        return (outcome if isinstance(outcome, Refused) else outcome.line), notes

    def _named(self, event: Event | Record, key: str) -> Sequence[Conversion | Refused]:
        event = self.plain(event)
        try:
            return self.name(event, key)
        except Exception as error:
            return [Refused("name", as_rejected(error), key, None, event)]

    def ready(self, conversion: Conversion, now: float, note: Count, window: int = 0) -> Ready | Refused:
        """A named conversion's envelope, or what kept it from becoming one."""
        stage: Stage = "map"
        payload: Any = conversion.event
        try:
            conversion = self.map(conversion, note)
            stage = "hash"
            conversion = self.hash(conversion, note)
            stage, payload = "validate", conversion.fields
            return self.validate(conversion, now, note, window)
        except Exception as error:  # as in the steps: a defect costs one event, not the run
            cause = as_rejected(error)
            payload = payload if cause.payload is None else cause.payload
            return Refused(stage, cause, conversion.subscription, conversion, payload)


def _take_back(noted: list[str], encode: Encode, event: Event | Record, now: float, window: int) -> None:
    """Takes off what an event that raises has noted last, which is what it notes again."""
    again: list[str] = []
    with contextlib.suppress(Exception):
        encode(event, now, window, again.append)
    del noted[len(noted) - len(again) :]


def _spread(
    key: str,
    name: bytes | None,
    targets: Sequence[Target],
    outcome: bytes | Refused,
    noted: list[str],
    notes: Mapping[str, Count],
) -> list[Ready | Refused]:
    """What was made once of an event, for each of a subscription's targets, and counted for each."""
    if noted:
        _count(noted * len(targets), notes[key])
    if type(outcome) is bytes:
        line = outcome if name is None else with_subscription(outcome, name)
        return [new_tuple(Ready, (ready_key, line)) for _, ready_key in targets]
    assert isinstance(outcome, Refused)
    return [*_refused_for(outcome, key, targets)]


def _count(noted: Iterable[str], note: Count) -> None:
    for each in noted:
        note(each)


def _refused_for(refused: Refused, key: str, targets: Sequence[Target]) -> list[Refused]:
    """What kept an event from becoming ready, as it is another subscription's, for each of its datasets."""
    conversion = refused.conversion
    if conversion is None:
        return [refused._replace(subscription=key)]
    return [
        refused._replace(subscription=key, conversion=conversion._replace(subscription=key, dataset_id=dataset_id))
        for dataset_id, _ in targets
    ]


def _check_names(subscription: Subscription) -> None:
    """Raises MappingError."""
    name = subscription.mapping.get("event_name")
    check_mapping({"event_name": name} if isinstance(name, dict) else {})
    if subscription.routing is not None:
        check_mapping({"dataset_id": subscription.routing.mapping})


def _namer(subscription: Subscription) -> Callable[[Event], list[Conversion]]:
    key, dataset_ids = subscription.key, subscription.dataset_ids
    name = _compile_name(subscription.mapping.get("event_name"))
    if subscription.routing is not None:
        return _routing_namer(key, name, compile_routing(subscription.routing))

    def named(event: Event) -> list[Conversion]:
        event_name = name(event) if callable(name) else name
        return [new_tuple(Conversion, (key, event_name, dataset_id, event, _NO_FIELDS)) for dataset_id in dataset_ids]

    if len(dataset_ids) > 1 or callable(name):
        return named
    (dataset_id,) = dataset_ids
    return lambda event: [new_tuple(Conversion, (key, name, dataset_id, event, _NO_FIELDS))]


def _routing_namer(
    key: str, name: Any, datasets_of: Callable[[Event], tuple[str, ...]]
) -> Callable[[Event], list[Conversion]]:
    def named(event: Event) -> list[Conversion]:
        dataset_ids = datasets_of(event)
        event_name = name(event) if callable(name) else name
        return [new_tuple(Conversion, (key, event_name, dataset_id, event, _NO_FIELDS)) for dataset_id in dataset_ids]

    return named


_NO_FIELDS: Final[dict[str, Any]] = {}


def _compile_withholding(asked: Mapping[str, Consent]) -> Withhold:
    """A destination's subscriptions have one consent, which is asked for once per event."""
    consents = list(dict.fromkeys(asked.values()))
    answers = [compile_consent(consent) for consent in consents]
    places = {key: consents.index(consent) for key, consent in asked.items()}

    def withhold(event: Event, keys: list[str]) -> tuple[list[str], list[tuple[str, Answer]]]:
        said: dict[int, Answer] = {}
        allowed, withheld = [], []
        for key in keys:
            place = places.get(key)
            if place is None:
                allowed.append(key)
                continue
            if place not in said:
                said[place] = answers[place](event)
            if consents[place].reaction(said[place]) == "filter":
                withheld.append((key, said[place]))
            else:
                allowed.append(key)
        return allowed, withheld

    return withhold


def _compile_name(node: Any) -> Any:
    """A function, or the name itself where it is the same for all events."""
    if not isinstance(node, dict):
        return node
    name = compile_mapping({"event_name": node})
    return lambda event: name(event).get("event_name")


def _compile_mapping(subscriptions: Sequence[Subscription]) -> Callable[..., Conversion]:
    shared: dict[tuple[str, tuple[Field, ...]], Callable[..., dict[str, Any]]] = {}
    checked: set[tuple[str, tuple[Field, ...]]] = set()
    for each in subscriptions:
        what = _what_is_mapped(each)
        if what not in checked:
            check_event_fields(each.mapping, each.fields)
            checked.add(what)

    def compiled(subscription: Subscription) -> Callable[..., dict[str, Any]]:
        what = _what_is_mapped(subscription)
        if what not in shared:
            shared[what] = compile_event_fields(subscription.mapping, subscription.fields)
        return compile_completed_fields(subscription, shared[what])

    by_key = OnDemand(subscriptions, compiled)

    def mapped(conversion: Conversion, count: Count = ignore) -> Conversion:
        subscription, event_name, dataset_id, event, _ = conversion
        assert event is not None
        fields = by_key[subscription](event, event_name, count)
        return new_tuple(Conversion, (subscription, fields["event_name"], dataset_id, event, fields))

    return mapped


def _what_is_mapped(subscription: Subscription) -> tuple[str, tuple[Field, ...]]:
    """The same for subscriptions that map events in the same way; as text, for 1, 1.0 and true are equal in Python."""
    return repr(subscription.mapping), subscription.fields
