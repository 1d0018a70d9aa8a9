"""Conditions of a trigger that no event can fulfil, or that say something else than they seem to."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from capybeam.transforms.core.events import CALLS
from capybeam.transforms.language.triggers import TriggerNode, compile_node, parse_trigger, value_of

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
    by_field: dict[str, list[TriggerNode]] = {}
    for node in _required(root):
        fields = set(_fields(node))
        if len(fields) == 1:
            by_field.setdefault(fields.pop(), []).append(node)
    for field, nodes in by_field.items():
        if len(nodes) > 1:
            yield from _contradiction(field, nodes)
    kind, event = (
        next((values[0] for values in map(_equal_to, by_field.get(field, ())) if len(values) == 1), None)
        for field in ("type", "event")
    )
    if kind in CALLS and kind != "track" and isinstance(event, str):
        hint = "; they have a name" if kind in ("page", "screen") else ""
        yield Doubt(root.offset, f"{kind} calls have no event{hint}", False)


def _required(node: TriggerNode) -> Iterator[TriggerNode]:
    """The conditions that all have to hold."""
    if node.kind != "and":
        yield node
        return
    for part in node.parts:
        yield from _required(part)


def _fields(node: TriggerNode) -> Iterator[str]:
    if node.kind == "field":
        yield node.parts[0]
    for part in node.parts:
        if isinstance(part, TriggerNode):
            yield from _fields(part)


def _contradiction(field: str, nodes: Sequence[TriggerNode]) -> Iterator[Doubt]:
    """Values that one of the conditions on a field asks for are tried on all of them; else ranges are compared."""
    values = next(filter(None, map(_equal_to, nodes)), [])
    if not values:
        yield from _empty_range(field, nodes)
        return
    for node in nodes:
        holds = compile_node(_about_event(node))
        values = [value for value in values if holds({"event": value})]
        if not values:
            together = f"no {field} fulfils this and the other conditions on it"
            twice = f"{field} cannot equal two values at once; use `or`, or `in [...]`"
            yield Doubt(node.offset, twice if all(map(_is_equality, nodes)) else together, True)
            return


def _is_equality(node: TriggerNode) -> bool:
    return node.kind == "comparison" and node.parts[1] == "=" and node.parts[0].kind == "field"


def _equal_to(node: TriggerNode) -> list[Any]:
    """The values of which a field has to have one; none where a condition names no such values."""
    if _is_equality(node):
        return [value_of(node.parts[2])]
    if node.kind == "membership" and node.parts[0].kind == "field":
        return [value_of(item) for item in node.parts[1]]
    return []


def _about_event(node: Any) -> Any:
    """The same condition on an event's own field `event`, to try values on."""
    if not isinstance(node, TriggerNode):
        return node
    parts = ("event",) if node.kind == "field" else tuple(map(_about_event, node.parts))
    return node._replace(parts=parts)


def _empty_range(field: str, nodes: Sequence[TriggerNode]) -> Iterator[Doubt]:
    """A number that has to be above one number and below another one that is no larger."""
    least, most = (-math.inf, False), (math.inf, False)  # each with whether it is left out itself
    for node in nodes:
        if node.kind != "comparison" or node.parts[0].kind != "field" or node.parts[1] not in ("<", "<=", ">", ">="):
            continue
        bound = value_of(node.parts[2]), len(node.parts[1]) == 1
        if node.parts[1].startswith(">"):
            least = max(least, bound)
        elif (bound[0], not bound[1]) < (most[0], not most[1]):
            most = bound
        if least[0] > most[0] or (least[0] == most[0] and (least[1] or most[1])):
            yield Doubt(node.offset, f"no {field} fulfils this and the other conditions on it", True)
            return
