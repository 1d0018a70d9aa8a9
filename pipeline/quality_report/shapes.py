"""Which values were dropped or refused, by their shapes: `aaa@aaa`, `99-99`. Looks at an event once more: for few."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from capybeam.pipeline.coverage import MappedValues
from capybeam.pipeline.quality_report.bounded import BoundedCounter
from capybeam.pipeline.quality_report.numbers import OTHERS, Counted
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.placeholders import is_placeholder
from capybeam.transforms.language.fields import NOTHING, Field, FieldError, compile_check, left_out
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.meta.masking import leaves, shape
from capybeam.transforms.meta.normalised_forms import normalised_forms
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import KEYS

MOST_LOOKED_AT: Final = 500  # conversions, for one reason in one group
MOST_SHAPES: Final = 30  # that are told apart
SHOWN: Final = 8
_MOST_VALUES: Final = 20  # of one conversion


class ShapeCounts:
    """The shapes of the values that were dropped or refused for one reason.

    Attributes:
        looked_at: how many conversions they are of.
    """

    def __init__(self) -> None:
        self._shapes: BoundedCounter[str] = BoundedCounter(MOST_SHAPES)
        self.looked_at = 0

    @property
    def is_full(self) -> bool:
        return self.looked_at >= MOST_LOOKED_AT

    def add(self, shapes: Iterable[str]) -> None:
        """Counts the shapes of one conversion."""
        self.looked_at += 1
        for each in shapes:
            self._shapes.add(each)

    def merge(self, other: ShapeCounts) -> None:
        self.looked_at += other.looked_at
        self._shapes.merge(other._shapes)

    def numbers(self) -> tuple[Counted, ...]:
        """The most frequent ones, and all others together."""
        found = [Counted(name, count) for name, count in self._shapes.most_common(SHOWN)]
        others = self._shapes.total - sum(each.count for each in found)
        return (*found, Counted(OTHERS, others)) if others else tuple(found)


class ShapeFinder:
    """Finds the values of a subscription's events that were dropped or refused."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._country = subscription.default_country if isinstance(subscription, MetaSettings) else None
        self._places: dict[str, tuple[Field | None, Field]] = {}
        for field in subscription.fields:
            self._places.setdefault(left_out(field), (None, field))
            for inner in field.properties or ():
                self._places.setdefault(left_out(inner, field), (field, inner))
        self._owners = {inner.name: field.name for field in subscription.fields for inner in field.properties or ()}
        self._people = {f"dropped_{key.wire}": name for name, key in KEYS.items()}

    @functools.cached_property
    def values(self) -> MappedValues:
        """Compiled when it is first needed."""
        return MappedValues(self._subscription)

    def dropped(self, note: str, event: Event) -> Iterator[str]:
        """The shapes of what was dropped from an event's conversion."""
        values = self.values.of(event) or {}
        name = self._people.get(note)
        if name is not None:
            yield from _of_a_person(name, values.get("user_data"), self._country)
            return
        owner, field = self._places.get(note, (None, None))
        if field is None:
            return
        found = values if owner is None else values.get(owner.name)
        items = found if isinstance(found, list) else [found]
        inside = [item[field.name] for item in items[:_MOST_VALUES] if isinstance(item, Mapping) and field.name in item]
        check = compile_check(field)
        for each in inside:
            for value in each if isinstance(each, list) else [each]:
                if _is_wrong(check, value):
                    yield shape_of(value)

    def refused(self, field: str, event: Event) -> Iterator[str]:
        """The shapes of an event's value for a field, whatever is wrong with it.

        Args:
            field: as a rejection names it: `currency`, `contents.delivery_category`, or an inner one by its name alone.
        """
        name, _, rest = field.partition(".")
        values = self.values.of(event) or {}
        owner = name if name in values else self._owners.get(name)
        if owner is None:
            return
        inner = rest.rpartition(".")[2] if owner == name else name
        yield from map(shape_of, _few(_inside(values.get(owner), inner)))


def _inside(value: Any, name: str) -> Iterator[Any]:
    """The values of a key in an object, or in each of a list; without a name all values."""
    if not name:
        yield from leaves(value)
        return
    for each in value[:_MOST_VALUES] if isinstance(value, list) else [value]:
        if isinstance(each, Mapping) and each.get(name) is not None:
            yield from leaves(each[name])


def shape_of(value: Any) -> str:
    """A value by its shape; a placeholder such as `undefined`, which is nobody's, as it is."""
    if isinstance(value, (Mapping, list)):
        return "(a list)" if isinstance(value, list) else "(an object)"
    text = value if isinstance(value, str) else str(value)
    if not text.strip():
        return "(blank)"
    return text.strip() if is_placeholder(text) else shape(text)


def _of_a_person(name: str, user_data: Any, country: str | None) -> Iterator[str]:
    if not isinstance(user_data, Mapping) or name not in user_data:
        return
    if not KEYS[name].hashed:
        yield from map(shape_of, _few(leaves(user_data[name])))
        return
    texts = {key: _as_text(value) for key, value in user_data.items()}
    for form in normalised_forms(name, texts, country)[:_MOST_VALUES]:
        if not form.normalised:
            yield shape_of(form.given)


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(item) for item in value[:_MOST_VALUES]]
    return value if value is None or isinstance(value, (str, Mapping)) else str(value)


def _few(values: Iterator[Any]) -> Iterator[Any]:
    for _, value in zip(range(_MOST_VALUES), values, strict=False):
        yield value


def _is_wrong(check: Any, value: Any) -> bool:
    try:
        return value is None or value in NOTHING or check(value) is None
    except (FieldError, TypeError):
        return True
