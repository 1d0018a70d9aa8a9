"""Many triggers in one function, whose time hardly depends on how many there are.

Most triggers name the events that they want: ``type = "track" and event = "Order Completed"``. Such a trigger is looked
up by that text and evaluated only for events that have it; others are evaluated for every event. Triggers with the same
text, as of destinations that take the same events, are evaluated once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from capybeam.transforms.core.events import Event
from capybeam.transforms.core.function_writer import literal
from capybeam.transforms.language.records import Shape
from capybeam.transforms.language.triggers import (
    Trigger,
    TriggerNode,
    TriggerWriter,
    compile_node,
    keys_of,
    parse_trigger,
    value_of,
)

Collect = Callable[[Event, list[str]], None]  # adds the keys of what takes an event

FIELDS: Final = ("event", "name", "type")  # by the first of these that a trigger names texts of, it is looked up
FEW: Final = 16  # triggers that are all evaluated in about the time that a look-up takes


def compile_triggers(
    triggers: Iterable[tuple[str, str]], few: int = FEW, shape: Shape | None = None
) -> Callable[[Any], list[str]]:
    """Several triggers, as pairs of a key, which no other has, and a text, in one function: from an event to the keys
    of those that take it, in the order given.

    What is evaluated only for events of some name is compiled when the first of them comes.

    Args:
        few: up to so many texts, all are evaluated for every event.
        shape: of events that are records.

    >>> matching = compile_triggers([("a", 'event = "A"'), ("b", 'event = "B"'), ("all", "all")])
    >>> matching({"event": "B"})
    ['b', 'all']

    Raises:
        TriggerError: as `compile_trigger`; every trigger is looked at, though not all are compiled.
    """
    by_text: dict[str, list[str]] = {}
    places: dict[str, int] = {}
    for key, text in triggers:
        by_text.setdefault(text, []).append(key)
        places[key] = len(places)
    distinct = [_Distinct.of(text, keys, shape) for text, keys in by_text.items()]
    tables: dict[str, dict[str, list[_Distinct]]] = {field: {} for field in FIELDS}
    others = []
    for trigger in distinct:
        field = next((field for field in FIELDS if field in trigger.wanted), None)
        if field is None or len(distinct) <= few:
            others.append(trigger)
        else:
            for text in trigger.wanted[field]:
                tables[field].setdefault(text, []).append(trigger)
    if len(others) == len(places):
        return _in_order(others, shape)
    return _dispatching(
        {field: _on_demand(table, shape) for field, table in tables.items() if table}, others, distinct, places, shape
    )


class _Distinct(NamedTuple):
    """A trigger's text.

    Attributes:
        keys: of the triggers that have it, in order.
        wanted: as of `wanted_texts`.
        takes: the trigger alone, compiled when it is first asked for.
    """

    node: TriggerNode
    keys: tuple[str, ...]
    wanted: Mapping[str, frozenset[str]]
    takes: Callable[[], Trigger]

    @classmethod
    def of(cls, text: str, keys: Iterable[str], shape: Shape | None) -> _Distinct:
        node = parse_trigger(text)
        TriggerWriter().expression(node)  # raises TriggerError now, not with the first event
        return cls(node, tuple(keys), wanted_texts(node), functools.cache(lambda: compile_node(node, shape)))


def _in_order(triggers: Sequence[_Distinct], shape: Shape | None) -> Callable[[Event], list[str]]:
    writer = TriggerWriter(shape=shape)
    found = writer.variable("[]")
    for trigger in triggers:
        _write_adding(writer, trigger, writer.expression(trigger.node), found)
    return writer.function(found)


def _dispatching(
    tables: Mapping[str, Mapping[str, Collect]],
    others: Sequence[_Distinct],
    distinct: Sequence[_Distinct],
    places: Mapping[str, int],
    shape: Shape | None,
) -> Callable[[Event], list[str]]:
    all_in_a_row = functools.cache(lambda: _collecting(distinct, shape))

    def one_by_one(event: Event) -> list[str]:
        """For an event whose field is neither a text nor null: whether it equals one is for the triggers to say."""
        found: list[str] = []
        all_in_a_row()(event, found)
        return sorted(found, key=places.__getitem__)

    writer = TriggerWriter(shape=shape)
    found = writer.variable("[]")
    for field, table in tables.items():
        value, by_text = writer.root(field), writer.constant(table, f"by_{field}")
        with writer.block(f"if type({value}) is str:"):
            writer.line(f"if {value} in {by_text}: {by_text}[{value}](event, {found})")
        writer.line(f"elif {value} is not None: return {writer.call(one_by_one, 'event')}")
    for trigger in others:
        _write_adding(writer, trigger, writer.expression(trigger.node), found)
    writer.line(f"if len({found}) > 1: {found}.sort(key={writer.constant(places.__getitem__, 'place')})")
    return writer.function(found)


def _on_demand(table: Mapping[str, Sequence[_Distinct]], shape: Shape | None) -> dict[str, Collect]:
    """By text, the function of the triggers that want it, which replaces itself by a compiled one when it is called.

    Several threads may compile the same one; each of them is right.
    """
    functions: dict[str, Collect] = {}
    compiled = functools.cache(lambda numbers: _collecting([listed[number] for number in numbers], shape))
    listed = list({id(trigger): trigger for triggers in table.values() for trigger in triggers}.values())
    numbers = {id(trigger): number for number, trigger in enumerate(listed)}

    def first(text: str, wanting: tuple[int, ...]) -> Collect:
        def collect(event: Event, found: list[str]) -> None:
            functions[text] = compiled(wanting)
            functions[text](event, found)

        return collect

    for text, triggers in table.items():
        functions[text] = first(text, tuple(numbers[id(trigger)] for trigger in triggers))
    return functions


def _collecting(triggers: Sequence[_Distinct], shape: Shape | None) -> Collect:
    """A trigger that belongs into several such functions is compiled once, as one of its own, which they call."""
    writer = TriggerWriter("found", shape=shape)
    for trigger in triggers:
        is_shared = any(len(texts) > 1 for texts in trigger.wanted.values())
        takes = writer.call(trigger.takes(), "event") if is_shared else writer.expression(trigger.node)
        _write_adding(writer, trigger, takes, "found")
    return writer.function("None")


def _write_adding(writer: TriggerWriter, trigger: _Distinct, takes: str, found: str) -> None:
    one = len(trigger.keys) == 1
    add = f"append({literal(trigger.keys[0])})" if one else f"extend({writer.constant(trigger.keys, 'keys')})"
    writer.line(f"if {takes}: {found}.{add}")


def wanted_texts(node: TriggerNode) -> dict[str, frozenset[str]]:
    """By field of `FIELDS`: texts of which it has one in every event that the trigger takes.

    For an event with another text, or null, the trigger is false before it comes to a part that may raise.
    """
    if node.kind == "comparison" and node.parts[1] == "=":
        return _of_field(node.parts[0], [node.parts[2]])
    if node.kind == "membership":
        return _of_field(node.parts[0], node.parts[1])
    if node.kind == "and":
        found: dict[str, frozenset[str]] = {}
        for part in node.parts:
            for field, texts in wanted_texts(part).items():
                found[field] = found.get(field, texts) & texts
            if _may_raise(part):
                break
        return found
    if node.kind == "or":
        first, *others = map(wanted_texts, node.parts)
        return {
            field: texts.union(*(other[field] for other in others))
            for field, texts in first.items()
            if all(field in other for other in others)
        }
    return {}


def _of_field(operand: TriggerNode, items: Iterable[TriggerNode]) -> dict[str, frozenset[str]]:
    """Of a condition that an operand equals one of the items."""
    if operand.kind != "field" or any(item.kind != "string" for item in items):
        return {}
    field, *rest = keys_of(operand)
    return {field: frozenset(map(value_of, items))} if field in FIELDS and not rest else {}


def _may_raise(node: TriggerNode) -> bool:
    """Whether an event that is not of JSON may be too much for a part."""
    return node.kind == "typeof" or any(_may_raise(part) for part in node.parts if isinstance(part, TriggerNode))
