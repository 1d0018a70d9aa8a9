"""The counts of the conversions of one destination with one event name. Bounded, whatever the events hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from capybeam.pipeline.coverage import is_nothing
from capybeam.pipeline.quality_report.ages import AGES, age_of
from capybeam.pipeline.quality_report.bounded import BoundedCounter
from capybeam.pipeline.quality_report.match_keys import STRONG, in_order, strength
from capybeam.pipeline.quality_report.meta_events import MetaEvent
from capybeam.pipeline.quality_report.numbers import (
    OTHERS,
    Combination,
    Counted,
    Dropped,
    EventIds,
    Group,
    KeyCoverage,
    Purchases,
    Rejections,
    Strength,
    Values,
    Website,
)
from capybeam.pipeline.quality_report.shapes import ShapeCounts
from capybeam.pipeline.quality_report.value_counts import ValueCounts
from capybeam.transforms.meta.user_data import WIRES
from capybeam.transforms.standards.currencies import CURRENCIES

PURCHASE: Final = "Purchase"
_MOST_COMBINATIONS: Final = 500
_SHOWN_COMBINATIONS: Final = 8
_MOST_CURRENCIES: Final = 40
_SHOWN_CURRENCIES: Final = 12
_MOST_NOTES: Final = 100
_MOST_REASONS: Final = 50
_DROPPED: Final = "dropped_"
_REMOVED: Final = "removed_from_"

Reason = tuple[str, str, str]  # stage, code, field


class GroupCounts:
    """Counts conversions.

    Args:
        earlier: how many more there were that are counted elsewhere.

    Attributes:
        lost: by match key, conversions that do not have it because its values were dropped.
    """

    def __init__(self, earlier: int = 0) -> None:
        self.earlier = earlier
        self.subscriptions: set[str] = set()
        self.conversions = self.ready = self.examined = 0
        self.combinations: BoundedCounter[tuple[str, ...]] = BoundedCounter(_MOST_COMBINATIONS)
        self.lost: Counter[str] = Counter()
        self.reasons: BoundedCounter[Reason] = BoundedCounter(_MOST_REASONS)
        self.messages: dict[Reason, str] = {}
        self._other_keys: Counter[str] = Counter()  # of the other combinations
        self._other_strengths: Counter[Strength] = Counter()
        self._ages: Counter[str] = Counter()
        self._derived = self._given = 0
        self._website: Counter[str] = Counter()
        self._values: dict[str, ValueCounts] = {}
        self._purchases: Counter[str] = Counter()
        self._notes: BoundedCounter[str] = BoundedCounter(_MOST_NOTES)
        self._shapes: dict[str | Reason, ShapeCounts] = {}

    @property
    def frequency(self) -> int:
        """Conversions, and those counted elsewhere."""
        return self.conversions + self.earlier

    # --- counting -----------------------------------------------------------------------------------------------------

    def examine(self, event: MetaEvent, is_derived: bool, now: float) -> None:
        """Counts what an event as it goes out has.

        Args:
            event: a ready one, or one that the last stage has rejected.
            is_derived: whether its event_id was made of its content.
        """
        keys = event.keys
        self.examined += 1
        if not self.combinations.add(keys):
            self._other_keys.update(keys)
            self._other_strengths[strength(frozenset(keys))] += 1
        self._ages[age_of(event.event_time, now)] += 1
        self._derived += is_derived
        self._given += event.event_id is not None and not is_derived
        if event.is_website:
            self._website["count"] += 1
            self._website["with_fbp"] += "fbp" in keys
            self._website["with_fbc"] += "fbc" in keys
            self._website["without_url"] += not event.has_url
        value = event.data.get("value")
        if type(value) is float or type(value) is int:
            self._value(value, event.data.get("currency"))

    def _value(self, value: float, currency: Any) -> None:
        name = currency if type(currency) is str and currency in CURRENCIES else ""
        if name not in self._values and len(self._values) >= _MOST_CURRENCIES:
            name = OTHERS
        counts = self._values.get(name)
        if counts is None:
            counts = self._values[name] = ValueCounts()
        counts.add(value)

    def purchase(self, fields: Mapping[str, Any] | None) -> None:
        """Counts what a purchase has not: its custom_data as it goes out, or what the mapping finds."""
        there = {name for name, value in (fields or {}).items() if not is_nothing(value) and value != []}
        counts = self._purchases
        counts["count"] += 1
        counts["without_currency"] += "currency" not in there
        counts["without_value"] += "value" not in there
        counts["without_content_ids"] += there.isdisjoint(("content_ids", "contents"))
        counts["without_order_id"] += "order_id" not in there

    def note(self, name: str, keys: tuple[str, ...] | None) -> ShapeCounts | None:
        """Counts a conversion's note; gives back where its values' shapes go, as long as any are wanted.

        Args:
            keys: the match keys that the conversion has, where they are known.
        """
        if not self._notes.add(name) or not name.startswith(_DROPPED):
            return None
        key = name.removeprefix(_DROPPED)
        if keys is not None and key not in keys and key in WIRES:
            self.lost[key] += 1
        return self._wanted(name)

    def reject(self, reason: Reason, message: str) -> ShapeCounts | None:
        """Counts a rejection; gives back where its value's shapes go, as long as any are wanted."""
        if not self.reasons.add(reason):
            return None
        self.messages.setdefault(reason, message)
        _, code, field = reason
        return self._wanted(reason) if field and code.startswith("invalid_") else None

    def _wanted(self, what: str | Reason) -> ShapeCounts | None:
        shapes = self._shapes.get(what)
        if shapes is None:
            shapes = self._shapes[what] = ShapeCounts()
        return None if shapes.is_full else shapes

    def merge(self, other: GroupCounts) -> None:
        self.subscriptions |= other.subscriptions
        self.conversions += other.conversions
        self.ready += other.ready
        self.examined += other.examined
        for keys, number in other.combinations.most_common():
            if not self.combinations.add(keys, number):
                self._other_keys.update(dict.fromkeys(keys, number))
                self._other_strengths[strength(frozenset(keys))] += number
        self.combinations.others += other.combinations.others
        self._other_keys.update(other._other_keys)
        self._other_strengths.update(other._other_strengths)
        self.lost.update(other.lost)
        self.reasons.merge(other.reasons)
        self.messages = {**other.messages, **self.messages}
        self._ages.update(other._ages)
        self._derived += other._derived
        self._given += other._given
        self._website.update(other._website)
        self._purchases.update(other._purchases)
        self._notes.merge(other._notes)
        for currency, values in other._values.items():
            room = currency in self._values or len(self._values) < _MOST_CURRENCIES
            self._values.setdefault(currency if room else OTHERS, ValueCounts()).merge(values)
        for what, shapes in other._shapes.items():
            self._shapes.setdefault(what, ShapeCounts()).merge(shapes)

    def shapes_of(self, note: str) -> tuple[Counted, ...]:
        """The most frequent shapes of the values that a note is of."""
        shapes = self._shapes.get(note)
        return shapes.numbers() if shapes else ()

    # --- what came of it ----------------------------------------------------------------------------------------------

    def keys(self) -> Counter[str]:
        """By match key, how many of the examined have it."""
        counts = Counter(self._other_keys)
        for keys, number in self.combinations.most_common():
            for key in keys:
                counts[key] += number
        return counts

    def numbers(self, destination: str, event_name: str, repeats: int, sampled: int) -> Group:
        """The counts of a group.

        Args:
            repeats, sampled: of its event_ids; see `EventIds`.
        """
        keys = self.keys()
        combinations: Counter[frozenset[str]] = Counter()
        strengths: Counter[Strength] = Counter(self._other_strengths)
        for each, number in self.combinations.most_common():
            combinations[frozenset(each)] += number
            strengths[strength(frozenset(each))] += number
        frequent = sorted(combinations.items(), key=lambda item: (-item[1], in_order(item[0])))
        return Group(
            destination=destination,
            event_name=event_name,
            subscriptions=tuple(sorted(self.subscriptions)),
            conversions=self.conversions,
            earlier=self.earlier,
            ready=self.ready,
            rejected=self.conversions - self.ready,
            examined=self.examined,
            keys=tuple(KeyCoverage(key, keys[key], key in STRONG) for key in in_order(keys)),
            strength={each: strengths[each] for each in ("strong", "weak", "none")},
            combinations=tuple(
                Combination(in_order(each), number, strength(each)) for each, number in frequent[:_SHOWN_COMBINATIONS]
            ),
            ages={name: self._ages[name] for name in AGES},
            event_ids=EventIds(self._given, self._derived, repeats, sampled),
            website=Website(**{name: self._website[name] for name in ("count", "with_fbp", "with_fbc", "without_url")}),
            values=tuple(self._currencies()),
            purchases=Purchases(**self._purchases) if self._purchases else None,
            dropped=tuple(self._dropped()),
            notes=tuple(self._others()),
            rejections=tuple(self._rejections()),
        )

    def _currencies(self) -> Iterator[Values]:
        ordered = sorted(self._values.items(), key=lambda item: (item[0] == OTHERS, -item[1].count, item[0]))
        others = ValueCounts()
        for place, (currency, counts) in enumerate(ordered):
            if place < _SHOWN_CURRENCIES and currency != OTHERS:
                yield counts.numbers(currency)
            else:
                others.merge(counts)
        if others.count:
            yield others.numbers(OTHERS)

    def _dropped(self) -> Iterator[Dropped]:
        for name, number in self._notes.most_common():
            if name.startswith((_DROPPED, _REMOVED)):
                shapes = self._shapes.get(name)
                found = (shapes.numbers(), shapes.looked_at) if shapes else ((), 0)
                yield Dropped(name, number, _why(name), *found)

    def _others(self) -> Iterator[Counted]:
        for name, number in self._notes.most_common():
            if not name.startswith((_DROPPED, _REMOVED)):
                yield Counted(name, number)
        if self._notes.others:
            yield Counted(OTHERS, self._notes.others)

    def _rejections(self) -> Iterator[Rejections]:
        for reason, number in self.reasons.most_common():
            stage, code, field = reason
            shapes = self._shapes.get(reason)
            found = (shapes.numbers(), shapes.looked_at) if shapes else ((), 0)
            yield Rejections(stage, code, field, number, self.messages[reason], *found)
        if self.reasons.others:
            yield Rejections("", OTHERS, "", self.reasons.others, "", (), 0)


def _why(note: str) -> str:
    if note.startswith(_REMOVED):
        return f"Personal data was removed from {note.removeprefix(_REMOVED)}, and what remained was sent."
    name = note.removeprefix(_DROPPED)
    if name.startswith("from_"):
        return f"Keys that {name.removeprefix('from_')} does not have."
    return f"Values from which nothing valid was left for {name}."
