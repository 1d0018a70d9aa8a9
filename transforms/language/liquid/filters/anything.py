"""Filters of values of any type."""

from __future__ import annotations

from typing import Any

from capybeam.transforms.language.liquid import values as liquid_values
from capybeam.transforms.language.liquid.filters.registry import filter_named, integer
from capybeam.transforms.language.liquid.values import (
    Literal,
    Room,
    plain,
)
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING


@filter_named("default", most=None)
def _default(room: Room, value: Any, other: Any = MISSING, *options: Any) -> Any:
    value = plain(value)
    if type(value) in (list, str):
        return value or other
    named = {item[0]: item[1] for item in options if type(item) is list}
    if value is False and javascript.truthy(plain(named.get("allow_false"))):
        return False
    return value if liquid_values.is_true(value) else other


@filter_named("json", "jsonify", "inspect", most=1)
def _json(room: Room, value: Any, space: Any = 0) -> Any:
    if value is MISSING:
        return MISSING
    if type(value) is Literal:
        return "{}"
    space = plain(space)
    indent = space[:10] if type(space) is str else ""
    if type(space) in (int, float):
        indent = " " * min(integer(space), 10)
    return javascript.json_text(value, indent, room.take)


@filter_named("raw")
def _raw(room: Room, value: Any) -> Any:
    return value
