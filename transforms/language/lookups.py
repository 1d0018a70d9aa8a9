"""What each part of a mapping looks up in an event, and whether that is there: for people who look at single events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from capybeam.transforms.core.events import Event
from capybeam.transforms.core.paths import get_path
from capybeam.transforms.core.rejections import as_rejected
from capybeam.transforms.language.directives.checks import ROOT_DIRECTIVE
from capybeam.transforms.language.directives.registry import is_directive
from capybeam.transforms.language.directives.texts import template_parts
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.standards.javascript import MISSING


class Lookup(NamedTuple):
    """A path that a mapping looks up.

    Attributes:
        path: as the mapping has it; inside the shape of ``@arrayPath`` with the list's own before it, and ``[*]``.
        value: what is there; `MISSING` where nothing is. Of a list's items the first that is there.
        found, items: in how many of a list's items it is, and how many there are; None outside of lists.
    """

    path: str
    value: Any
    found: int | None = None
    items: int | None = None


class MappedPart(NamedTuple):
    """A part of a mapping that stands for one value: a field, or a key of an object that the mapping spells out.

    Attributes:
        path: ``("user_data", "email")``.
        directives: the directives in it, each once, outermost first; none in a constant.
        value: what it yields; `MISSING` for nothing.
        error: why it cannot be applied to the event; "" where it can.
    """

    path: tuple[str, ...]
    directives: tuple[str, ...]
    lookups: tuple[Lookup, ...]
    value: Any
    error: str = ""


def mapped_parts(mapping: Mapping[str, Any], event: Event, person: Event) -> Iterator[MappedPart]:
    """The parts of a mapping, in its order, with what each finds in an event.

    Args:
        person: the event as user_data is mapped from it; see `mapped_fields.of_a_person`.
    """
    if is_directive(mapping) or ROOT_DIRECTIVE in mapping:  # only the event tells which fields there are
        yield _part(dict(mapping), event, ())
        return
    for name, node in mapping.items():
        yield from _parts({name: node}, person if name == "user_data" else event, ())


def _parts(mapping: Mapping[str, Any], event: Event, path: tuple[str, ...]) -> Iterator[MappedPart]:
    for name, node in mapping.items():
        if isinstance(node, dict) and node and not is_directive(node):
            yield from _parts(node, event, (*path, name))
        else:
            yield _part(node, event, (*path, name))


def _part(node: Any, event: Event, path: tuple[str, ...]) -> MappedPart:
    value, error = MISSING, ""
    try:
        found = compile_mapping({"value": node} if path else node)(event)
        value = found.get("value", MISSING) if path else found
    except Exception as failed:
        error = as_rejected(failed).message
    return MappedPart(path, tuple(dict.fromkeys(_directives(node))), tuple(_lookups(node, event)), value, error)


def _directives(node: Any) -> Iterator[str]:
    for key, part in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if isinstance(key, str) and key.startswith("@"):
            yield key
        yield from _directives(part)


def _lookups(node: Any, event: Any) -> Iterator[Lookup]:
    """Each path once. Of ``@transform`` only what is looked up in the event itself."""
    seen: dict[str, Lookup] = {}
    for lookup in _each(node, event):
        seen.setdefault(lookup.path, lookup)
    yield from seen.values()


def _each(node: Any, event: Any) -> Iterator[Lookup]:
    for key, part in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "@path" and isinstance(part, str):
            yield Lookup(part, get_path(event, part))
        elif key == "@template" and isinstance(part, str):
            yield from (Lookup(path, get_path(event, path)) for path in _template_paths(part))
        elif key == "@arrayPath" and isinstance(part, list) and part and isinstance(part[0], str):
            found = get_path(event, part[0])
            yield Lookup(part[0], found)
            yield from _in_items(part[0], part[1:], found)
        elif key == "@transform" and isinstance(part, dict):
            yield from _each(part.get("apply"), event)
        else:
            yield from _each(part, event)


def _template_paths(template: str) -> Iterator[str]:
    for keys in template_parts(template):
        if isinstance(keys, tuple):
            yield "$" + "".join(f".{key}" if re.fullmatch(r"[\w-]+", key) else f'["{key}"]' for key in keys)


def _in_items(path: str, shape: list[Any], found: Any) -> Iterator[Lookup]:
    items = found if type(found) is list else [found] if type(found) is dict else []
    each = [list(_each(shape, item)) for item in items[:_MOST_ITEMS]]
    for place, first in enumerate(each[0] if each else ()):
        there = [one[place].value for one in each if place < len(one) and one[place].value is not MISSING]
        inside = first.path.removeprefix("$.").removeprefix("$")
        name = f"{path}[*]{'' if inside.startswith('[') else '.'}{inside}"
        yield Lookup(name, there[0] if there else MISSING, len(there), len(each))


_MOST_ITEMS = 1_000  # of a list that are looked into
