"""The mapping language: Segment's "mapping-kit", checked and compiled to Python functions.

A mapping is JSON in which an object with one ``@`` key is a directive and all else stands for itself::

    {"value": {"@path": "$.properties.total"}, "source": "shop"}

`compile_mapping` checks the whole mapping first (all problems at once, each with its path) and then writes one Python
function for it. A new directive is one function in a module of `directives`, registered with what it accepts.

What a directive does is what Segment's engine does; ``@omit`` (the rest of an object), ``@words`` (the first word of a
text, or the rest) and ``@coalesce`` (the first value that there is) are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from capybeam.transforms.language.directives.checks import check_mapping
from capybeam.transforms.language.directives.writer import Mapped, function_of


def compile_mapping(mapping: Any) -> Mapped:
    """The mapping as a function from an event to what it maps to, or `MISSING`.

    The result may share parts with the event and with the mapping: treat it as read-only.

    >>> compile_mapping({"id": {"@path": "$.messageId"}, "gone": {"@path": "$.a.b"}})({"messageId": "m1"})
    {'id': 'm1'}

    Raises:
        MappingError: at once, with every problem. The function itself raises Rejected (mapping_failed) where a
            directive meets an event that it cannot be applied to.
    """
    return function_of(check_mapping(mapping))


def paths(node: Any) -> tuple[str, ...]:
    """The paths into the event that a mapping may look up, each once.

    >>> paths({"@if": {"exists": {"@path": "$.a"}, "then": {"@path": "$.a"}, "else": {"@arrayPath": ["$.b", {}]}}})
    ('$.a', '$.b')
    """
    return tuple(dict.fromkeys(_paths(node)))


def _paths(node: Any) -> Iterator[str]:
    for key, part in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "@path" and isinstance(part, str):
            yield part
        elif key == "@arrayPath" and isinstance(part, list):
            yield from _paths({"@path": part[0]} if part else None)  # its shape looks things up in the item
        elif key == "@transform" and isinstance(part, dict):
            yield from _paths(part.get("apply"))
        else:
            yield from _paths(part)
