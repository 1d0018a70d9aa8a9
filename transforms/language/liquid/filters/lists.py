"""Filters of lists."""

from __future__ import annotations

import random
from typing import Any

from capybeam.transforms.language.liquid import expressions as liquid_expressions
from capybeam.transforms.language.liquid import values as liquid_values
from capybeam.transforms.language.liquid.filters.registry import failed, filter_named, integer, loop_count
from capybeam.transforms.language.liquid.values import (
    Rendering,
    Room,
    as_list,
    below,
    equal,
    plain,
    shown,
    size,
)
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING


@filter_named("join", most=1)
def _join(room: Room, value: Any, separator: Any = None) -> str:
    items, separator = as_list(value), plain(separator)
    between = " " if separator is None or separator is MISSING else shown(separator)
    room.take(len(between) * max(len(items) - 1, 0))
    return javascript.join(items, between)


@filter_named("first")
def _first(room: Room, value: Any) -> Any:
    return _at(plain(value), 0)


@filter_named("last")
def _last(room: Room, value: Any) -> Any:
    return _at(plain(value), -1)


def _at(value: Any, index: int) -> Any:
    if type(value) is str:
        return javascript.units(value[index])[index] if value else ""
    if type(value) is list:
        return value[index] if value else MISSING
    return ""


@filter_named("size")
def _size(room: Room, value: Any) -> Any:
    if type(value) is str:
        return javascript.length(value)
    if type(value) is list:
        return len(value)
    length = value.get("length") if type(value) is dict else 0
    return length if javascript.truthy(length) else 0


@filter_named("slice", most=2)
def _slice(room: Room, value: Any, begin: Any = MISSING, length: Any = MISSING) -> Any:
    value, begin = plain(value), plain(begin)
    length = 1 if length is MISSING else plain(length)
    if value is None or value is MISSING:
        return []
    items = value if type(value) is list else shown(value)
    if javascript.less(begin, 0):
        begin = javascript.plus(len(items), begin)
    if javascript.less(begin, 0) or javascript.less(length, 0):
        return items[:0]
    if type(items) is str:
        return items[loop_count(begin) : loop_count(begin) + loop_count(length)]
    return items[integer(begin) : integer(javascript.plus(begin, length))]


@filter_named("compact")
def _compact(room: Room, value: Any) -> list[Any]:
    return [item for item in as_list(value) if plain(item) is not None and item is not MISSING]


@filter_named("push", most=1)
def _push(room: Room, value: Any, item: Any = MISSING) -> list[Any]:
    room.take(size(item))  # or a list that holds itself twice, and so on, would be without an end
    return [*as_list(value), item]


@filter_named("unshift", most=1)
def _unshift(room: Room, value: Any, item: Any = MISSING) -> list[Any]:
    room.take(size(item))
    return [item, *as_list(value)]


@filter_named("pop")
def _pop(room: Room, value: Any) -> list[Any]:
    return as_list(value)[:-1]


@filter_named("shift")
def _shift(room: Room, value: Any) -> list[Any]:
    return as_list(value)[1:]


@filter_named("sum", most=1)
def _sum(room: Room, value: Any, key: Any = MISSING) -> float:
    keys = shown(key).split(".") if javascript.truthy(plain(key)) else []
    total = 0.0
    for item in as_list(value):
        for name in keys:
            item = below(item, name)
        number = javascript.number(plain(item))
        total += number if number == number else 0
    return total


@filter_named("where", most=2)
def _where(room: Room, value: Any, key: Any = MISSING, wanted: Any = MISSING) -> list[Any]:
    try:
        path = liquid_expressions.path(shown(key))
    except liquid_expressions.ExpressionError:
        raise failed("where was given a key that cannot be read.") from None
    chosen: list[Any] = []
    for item in as_list(value):
        found = path(Rendering(item, room)) if path else MISSING
        if liquid_values.is_true(found) if wanted is MISSING else equal(found, wanted):
            chosen.append(item)
    return chosen


@filter_named("sample", most=1)
def _sample(room: Room, value: Any, count: Any = MISSING) -> Any:
    """Some of the items, the same ones whenever the same event is mapped again: a repeat must not become another."""
    value = plain(value)
    if value is None or value is MISSING:
        return []
    items = list(value if type(value) is list else shown(value))
    chosen = range(len(items))[: 1 if count is MISSING else integer(count)]
    sampled = random.Random(shown(value)).sample(items, len(chosen))
    if count is MISSING or plain(count) == 1:
        return sampled[0] if sampled else MISSING
    return sampled
