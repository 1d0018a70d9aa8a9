"""Conditions of a trigger that no event can fulfil, or that say something else than they seem to."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Any, Final

from capybeam.transforms.core.events import CALLS
from capybeam.transforms.language.triggers import TriggerNode, parse_trigger, value_of

_KINDS: Final = ("string", "number", "boolean", "array", "object", "null")  # what typeof() yields


@dataclasses.dataclass(frozen=True)
class Doubt:
    """Something about a trigger that can be parsed.

    Attributes:
        offset: characters from the trigger's start.
        never: whether no event can pass the whole trigger.
    """

    offset: int
    message: str
    never: bool


def doubts(text: str) -> tuple[Doubt, ...]:
    """All there are, in the trigger's order. Raises TriggerError where it cannot be parsed.

    >>> [doubt.message for doubt in doubts('type = "trak"')]
    ['no event has this type; did you mean track?']
    """
    root = parse_trigger(text)
    found = [*_never_equal(root, required=True), *_contradictions(root)]
    return tuple(sorted(found, key=lambda doubt: doubt.offset))


def _never_equal(node: TriggerNode, required: bool) -> Iterator[Doubt]:
    """Comparisons with a value that what is compared never has.

    Args:
        required: whether the whole trigger depends on this condition.
    """
    kind, _, parts = node
    if kind in ("and", "or"):
        for part in parts:
            yield from _never_equal(part, required and kind == "and")
    elif kind == "not":
        yield from _never_equal(parts[0], required=False)
    elif kind == "comparison" and parts[1] in ("=", "!="):
        yield from _doubt(parts[0], parts[2], required and parts[1] == "=")
    elif kind == "membership":
        found = [list(_doubt(parts[0], item, required)) for item in parts[1]]
        all_never = all(each and each[0].never for each in found)
        for each in found:
            yield from (dataclasses.replace(doubt, never=all_never) for doubt in each)


def _doubt(operand: TriggerNode, item: TriggerNode, required: bool) -> Iterator[Doubt]:
    value = value_of(item)
    if operand.kind == "field" and operand.parts[0] == "type" and value not in CALLS:
        if value is not None:
            yield _type_doubt(item.offset, value, required)
    elif operand.kind == "typeof" and value not in _KINDS:
        yield Doubt(item.offset, f"typeof() is one of {', '.join(_KINDS)}", required)
    elif operand.kind == "lowercase" and isinstance(value, str) and value != value.lower():
        yield Doubt(item.offset, "a text in lower case never equals one with capital letters", required)


def _type_doubt(offset: int, value: Any, required: bool) -> Doubt:
    """A type that is nearly one of the spec's is a mistake; quite another one may be of a source of somebody's own."""
    text = str(value)
    if text.lower() in CALLS:  # capital letters do come, and are counted as misspelt
        return Doubt(offset, f"no event has this type; did you mean {text.lower()}?", False)
    close = difflib.get_close_matches(text, CALLS, n=1, cutoff=0.7)
    hint = f"; did you mean {close[0]}?" if close else f" (Segment's are {', '.join(CALLS)})"
    return Doubt(offset, f"no event has this type{hint}", required and (bool(close) or not isinstance(value, str)))


def _contradictions(root: TriggerNode) -> Iterator[Doubt]:
    """Conditions that all have to hold, and cannot hold together."""
    equal: dict[str, Any] = {}
    for node in root.parts if root.kind == "and" else (root,):
        if node.kind != "comparison" or node.parts[1] != "=" or node.parts[0].kind != "field":
            continue
        path, value = node.parts[0].parts[0], value_of(node.parts[2])
        if path in equal and (type(equal[path]), equal[path]) != (type(value), value):
            yield Doubt(node.offset, f"{path} cannot equal two values at once; use `or`, or `in [...]`", True)
        equal.setdefault(path, value)
    kind = equal.get("type")
    if kind in CALLS and kind != "track" and isinstance(equal.get("event"), str):
        hint = "; they have a name" if kind in ("page", "screen") else ""
        yield Doubt(root.offset, f"{kind} calls have no event{hint}", False)
