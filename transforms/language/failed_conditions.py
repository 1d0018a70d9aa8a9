"""Why a trigger does not take an event: the first of its conditions that fails, and what the event has there.

Each condition is compiled by what compiles whole triggers, so a condition holds here if and only if it holds in a run.
This is for people who look at single events; a run never asks.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from capybeam.transforms.core.events import Event
from capybeam.transforms.language import triggers
from capybeam.transforms.language.triggers import Trigger, TriggerNode


class FailedCondition(NamedTuple):
    """A condition that kept a trigger from taking an event.

    Attributes:
        condition: as a trigger would say it; with `not` where it holds and should not.
        field: the path that it looks at; "" for the condition `all`.
        type: of the value that the event has there, as `typeof` names it.
        value: that value.
        only_case_differs: whether the value is the wanted text but for upper and lower case, or blanks around it.
        passed: how many conditions were met on the way to this one.
        likeness: 0 to 1: how much the value resembles what is wanted.
    """

    condition: str
    field: str
    type: str
    value: Any
    only_case_differs: bool
    passed: int
    likeness: float

    @property
    def nearness(self) -> tuple[int, float]:
        """By which the nearest of several is found."""
        return self.passed, self.likeness


@dataclasses.dataclass(frozen=True)
class _Condition:
    kind: str
    text: str
    holds: Trigger
    parts: tuple[_Condition, ...] = ()
    field: str = ""
    value: Callable[[Event], Any] | None = None
    wanted: str | None = None


def compile_failed_condition(trigger: str) -> Callable[[Event], FailedCondition | None]:
    """The function from an event to the condition for which the trigger does not take it; None where it takes it.

    Of `and` it is the first part that fails, of `or` the part that came closest.

    >>> failed = compile_failed_condition('type = "track" and event = "Signed Up"')
    >>> failed({"type": "track", "event": "signed up"})[:4]
    ('event = "Signed Up"', 'event', 'string', 'signed up')

    Raises:
        TriggerError: as `compile_trigger`.
    """
    condition = _condition(triggers.parse_trigger(trigger))
    return lambda event: _failed(condition, event, True, 0)


def nearest(failed: Iterable[tuple[str, FailedCondition | None]]) -> tuple[str, FailedCondition] | None:
    """Of several triggers' failed conditions, each with a key, the one that most of its trigger held before."""
    found = [(key, condition) for key, condition in failed if condition is not None]
    return max(found, key=lambda pair: pair[1].nearness, default=None)


def _failed(condition: _Condition, event: Event, wanted: bool, passed: int) -> FailedCondition | None:
    """The condition that keeps `condition` from being as wanted; None where it is."""
    if condition.holds(event) is wanted:
        return None
    if condition.kind == "not":
        return _failed(condition.parts[0], event, not wanted, passed)
    if (condition.kind == "and") is wanted and condition.parts:  # all parts have to be as wanted
        for part in condition.parts:
            found = _failed(part, event, wanted, passed)
            if found:
                return found
            passed += 1
    if condition.parts:  # one would do
        each = [_failed(part, event, wanted, passed) for part in condition.parts]
        return max(filter(None, each), key=lambda one: one.nearness)
    value = condition.value(event) if condition.value else None
    given, meant = (text.strip().lower() if isinstance(text, str) else "" for text in (value, condition.wanted))
    return FailedCondition(
        condition.text if wanted else f"not {condition.text}",
        condition.field,
        triggers.type_of(value),
        value,
        wanted and bool(given) and given == meant,
        passed,
        _likeness(given[:_COMPARED], meant[:_COMPARED]) if given and meant else 0.0,
    )


_COMPARED = 100  # characters


@functools.lru_cache(maxsize=4096)  # events have few names
def _likeness(given: str, meant: str) -> float:
    return difflib.SequenceMatcher(None, given, meant).ratio()


def _condition(node: TriggerNode) -> _Condition:
    holds, text = triggers.compile_node(node), _written(node)
    if node.kind in ("and", "or", "not"):
        return _Condition(node.kind, text, holds, tuple(map(_condition, node.parts)))
    if node.kind == "all":
        return _Condition(node.kind, text, holds)
    field = _field(node.parts[0])
    literal = node.parts[-1]
    is_text = node.kind != "membership" and literal.kind == "string"
    wanted = triggers.value_of(literal) if is_text else None
    return _Condition(node.kind, text, holds, (), _written(field), triggers.compile_operand(field), wanted)


def _field(node: TriggerNode) -> TriggerNode:
    while node.kind != "field":
        (node,) = node.parts
    return node


def _written(node: TriggerNode) -> str:
    """A node as a trigger has it."""
    write = _WRITERS.get(node.kind)
    if write:
        return write(node.parts)
    if node.kind in ("field", "string", "number", "constant"):
        return str(node.parts[0]).strip()
    arguments = [_written(part) for part in node.parts]  # of a function
    return f"{node.kind}({', '.join(arguments)})"


def _group(node: TriggerNode) -> str:
    return f"({_written(node)})" if node.kind in ("and", "or") else _written(node)


_WRITERS: Mapping[str, Callable[[tuple[Any, ...]], str]] = {
    "and": lambda parts: " and ".join(map(_group, parts)),
    "or": lambda parts: " or ".join(map(_group, parts)),
    "not": lambda parts: f"not {_group(parts[0])}",
    "all": lambda parts: "all",
    "comparison": lambda parts: f"{_written(parts[0])} {parts[1].strip()} {_written(parts[2])}",
    "membership": lambda parts: f"{_written(parts[0])} in ({', '.join(map(_written, parts[1]))})",
}
