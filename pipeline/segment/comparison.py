"""``capybeam import segment --compare``: a sample of events, by Segment's way and by the imported job's, and what
differs, counted. It holds counts, and one masked example for each difference, whatever the number of events.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import orjson

from capybeam.pipeline.explain.explanation import known_texts
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.sample_paths import OTHER
from capybeam.pipeline.segment.difference_rules import Rule, rule
from capybeam.pipeline.segment.expressions import expressions
from capybeam.pipeline.segment.field_differences import Kind, SentHere, field_differences, rule_of_rejection
from capybeam.pipeline.segment.importing import Carried
from capybeam.pipeline.segment.segments_output import (
    SegmentRefuses,
    SegmentSends,
    SegmentsWay,
    compile_segments_way,
)
from capybeam.pipeline.segment.segments_triggers import compile_segments_trigger, rules_of
from capybeam.transforms.core.conversions import Conversion, ignore
from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.rejections import CODES, Rejected, as_rejected
from capybeam.transforms.engine.engine import Engine, Refused
from capybeam.transforms.language.directives.registry import MappingError
from capybeam.transforms.language.fields import Field, FieldError, compile_check
from capybeam.transforms.meta.masking import Mask, is_name, leaves, shape
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import HASHED, KEYS
from capybeam.transforms.standards.javascript import MISSING

MOST_FIELDS: Final = 100  # of one subscription that are told apart; the keys of custom_data may be data
EVENT: Final = "(the event)"
EventKind = Literal[Kind, "event_only_capybeam", "event_only_segment"]


@dataclasses.dataclass
class Difference:
    """A kind of difference of one field, over all events.

    Attributes:
        code: of the rejection here, if it is one.
        example: of the first event that has it, masked: given (of user_data), capybeam, segment.
    """

    field: str
    kind: EventKind
    rule: Rule
    code: str = ""
    example: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    count: int = 0

    @property
    def reason(self) -> str:
        if self.rule.name == "rejected":
            return f"{self.rule.sentence} {CODES[self.code]}"
        return self.rule.sentence


class OfSubscription:
    """The counts of one subscription.

    Attributes:
        events: that one of the two takes.
        both, only_capybeam, only_segment, neither: who sends them.
        takes, way: whether Segment takes an event, and what it makes of it.
        why_trigger: the rule by which Segment reads the trigger otherwise, if it does.
        notes: of what is not compared, or is not known.
    """

    def __init__(self, carried: Carried, subscription: MetaSettings) -> None:
        self.key = carried.key
        self.events = self.both = self.only_capybeam = self.only_segment = self.neither = 0
        self.takes = compile_segments_trigger(subscription.trigger)
        self.why_trigger = next(iter(rules_of(subscription.trigger)), None)
        mapping = carried.exported.mapping or {}
        self._unknown = frozenset(_unknown(mapping))
        self.notes = tuple(_notes(self._unknown, mapping))
        self.way = _way(carried.action, mapping, subscription.test_event_code or "")
        self._differences: dict[tuple[str, EventKind, str, str], Difference] = {}
        self._fields: set[str] = set()

    @property
    def differences(self) -> list[Difference]:
        """Those of whole events first, then the most frequent; those of form alone last."""
        return sorted(
            self._differences.values(),
            key=lambda each: (each.field != EVENT, each.kind == "form", -each.count, each.field, each.rule.name),
        )

    def find(self, field: str, kind: EventKind, why: Rule, code: str = "") -> Difference | None:
        """Counts a difference; gives it back where it wants an example."""
        key = (field, kind, why.name, code)
        is_new = key not in self._differences
        found = self._differences.setdefault(key, Difference(field, kind, why, code))
        found.count += 1
        return found if is_new else None

    def name_of(self, field: str, is_personal: Callable[[str], bool]) -> str:
        """What a field is called in the counts; "" where it is not compared.

        A key of custom_data may be data: it is shown if it looks like a name, is nothing of the event's person, and is
        one of not too many.
        """
        root, _, key = field.partition(".")
        if field in self._unknown or root in self._unknown:
            return ""
        if field not in self._fields:
            if not is_name(key or root) or is_personal(key) or len(self._fields) >= MOST_FIELDS:
                return f"{root if is_name(root) else OTHER}.{OTHER}"
            self._fields.add(field)
        return field


class Comparison:
    """What becomes of the events of a sample at Segment and here.

    An event is judged as at the time at which Segment received it (``receivedAt``, else its own time), since last
    week's events are too old for Meta by now.

    Attributes:
        events: how many there have been.
        unreadable: rows that are not events, by code.
    """

    def __init__(self, job: Job, carried: Iterable[Carried]) -> None:
        self._engine = Engine(job.subscriptions, job.delivery.max_batch_bytes, job.unwrap)
        self._known = known_texts(job)
        there = {each.key: each for each in job.subscriptions if isinstance(each, MetaSettings)}
        self.subscriptions = [OfSubscription(each, there[each.key]) for each in carried if each.key in there]
        self.events = 0
        self.unreadable: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        """Compares the events in a row of an input."""
        for found in self._engine.parse(row, ignore):
            if isinstance(found, Rejected):
                self.unreadable[found.code] += 1
            else:
                self._add_event(found)

    def _add_event(self, event: Event) -> None:
        self.events += 1
        taken: dict[str, Conversion | Refused] = {}
        for outcome in self._engine.conversions(event):
            if isinstance(outcome, (Conversion, Refused)):
                taken[outcome.subscription] = outcome
        for each in self.subscriptions:
            here = taken.get(each.key)
            at_segment = each.takes(event)
            if here is not None or at_segment:
                self._compare(each, here, at_segment, event)

    def _compare(self, of: OfSubscription, here: Conversion | Refused | None, at_segment: bool, event: Event) -> None:
        of.events += 1
        ours = None if here is None else self._sent(here, event)
        segments = of.way(event) if at_segment else None
        if isinstance(ours, SentHere) and isinstance(segments, SegmentSends):
            of.both += 1
            self._compare_fields(of, ours, segments, event)
        elif isinstance(ours, SentHere):
            of.only_capybeam += 1
            refused = segments if isinstance(segments, SegmentRefuses) else None
            why = (refused.rule or rule("segments checks")) if refused else of.why_trigger
            new = of.find(EVENT, "event_only_capybeam", why or rule("unexplained"))
            if new is not None:
                new.example = {"segment": refused.why if refused else "its trigger does not take the event there"}
        elif isinstance(segments, SegmentSends):
            of.only_segment += 1
            rejected = ours if isinstance(ours, Rejected) else None
            why = rule_of_rejection(rejected) if rejected else of.why_trigger
            new = of.find(EVENT, "event_only_segment", why or rule("unexplained"), rejected.code if rejected else "")
            if new is not None:
                new.example = {"capybeam": rejected.message if rejected else "its trigger does not take the event here"}
        else:
            of.neither += 1

    def _compare_fields(self, of: OfSubscription, ours: SentHere, segments: SegmentSends, event: Event) -> None:
        @functools.cache
        def mask() -> Mask:
            masked = Mask(event, self._known)
            masked.learn(leaves(dict(ours.given)))
            return masked

        for each in field_differences(ours, segments, event):
            field = of.name_of(each.field, lambda key: mask().is_value_of_person(key))
            new = of.find(field, each.kind, each.rule) if field else None
            if new is not None:
                new.example = dict(_example(each.field, (each.here, each.at_segment), ours.given, mask()))

    def _sent(self, here: Conversion | Refused, event: Event) -> SentHere | Rejected:
        if isinstance(here, Refused):
            return here.cause
        try:
            fields = self._engine.map(here, ignore).fields
        except Exception as error:  # as in `Engine.ready`
            return as_rejected(error)
        notes: Counter[str] = Counter()
        now = _received(event, fields["event_time"])
        ready = self._engine.ready(here, now, lambda name: notes.update((name,)))
        if isinstance(ready, Refused):
            return ready.cause
        body = orjson.loads(Envelope.decode(ready.line).body)
        return SentHere(body, fields["user_data"], notes, Address.decode(ready.key).test_event_code)


_time: Final = compile_check(Field("receivedAt", "time"))


def _received(event: Event, event_time: int) -> float:
    try:
        return float(_time(event["receivedAt"]))
    except (KeyError, FieldError):
        return float(event_time)


# --- what is not known ------------------------------------------------------------------------------------------------


def _way(action: str, mapping: Mapping[str, Any], test_event_code: str) -> SegmentsWay:
    try:
        return compile_segments_way(action, mapping, test_event_code)
    except MappingError:
        refused = SegmentRefuses(rule("directive"), "the mapping cannot be run")
        return lambda event: refused


def _unknown(mapping: Mapping[str, Any]) -> Iterator[str]:
    """The fields, by their names at Meta, of which the export alone does not say what Segment sends."""
    for name, node in mapping.items():
        if name == "user_data" and isinstance(node, Mapping) and not any(key.startswith("@") for key in node):
            yield from (f"user_data.{KEYS[key].wire}" for key, item in node.items() if key in KEYS and _is_open(item))
        elif _is_open(node):
            yield from (name, f"custom_data.{name}")


def _is_open(node: Any) -> bool:
    return next(expressions(node), None) is not None or "__segment_entities" in str(node)


def _notes(unknown: frozenset[str], mapping: Mapping[str, Any]) -> Iterator[str]:
    named = sorted(field for field in unknown if field.removeprefix("custom_data.") not in unknown - {field})
    if named:
        yield (
            f"not compared, as the export alone does not say what Segment sends: {', '.join(named)}"
            " (Terraform's expressions, or __segment_entities)"
        )
    text = str(mapping)
    doubtful = [name for name in ("@flatten", "@merge") if name in text]
    doubtful += ["{{{…}}}"] if "{{{" in text else []
    if doubtful:
        yield (
            f"{', '.join(doubtful)}: rendered for Segment as it is here; docs/mapping.md#coming-from-segment says where"
            " Segment's engine does otherwise"
        )


# --- examples ---------------------------------------------------------------------------------------------------------


def _example(field: str, values: tuple[Any, Any], given: Mapping[str, Any], mask: Mask) -> Iterator[tuple[str, Any]]:
    """The two values as they may be seen; of user_data by their shapes, with what both were made of."""
    root, _, key = field.partition(".")
    if root == "user_data":
        name = next((name for name, each in KEYS.items() if each.wire == key), "")
        if key in HASHED and name in given:
            yield "given", _shapes(given[name])
    for side, value in zip(("capybeam", "segment"), values, strict=True):
        if value is not MISSING:
            yield side, _shapes(value) if root == "user_data" else mask.value(value, *field.split("."))


def _shapes(value: Any) -> Any:
    texts = [shape(str(each)) for each in (value if isinstance(value, (list, tuple)) else (value,))[:3]]
    return texts[0] if len(texts) == 1 else texts
