"""What a mapping consists of: the paths that it looks up, and the texts that stand for themselves, with their places.

Which parts of a directive's options are mappings again is read from what the directive is registered with, so that a
new directive is looked through as well.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from capybeam.transforms.core.paths import get_keys, parse_path
from capybeam.transforms.language.directives.checks import ROOT_DIRECTIVE
from capybeam.transforms.language.directives.registry import DIRECTIVES, Option, Path, is_directive
from capybeam.transforms.language.directives.texts import template_parts
from capybeam.transforms.standards.javascript import MISSING

Chain = tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Lookup:
    """A place of an event that a mapping looks at.

    Attributes:
        place: of the path or template, in the mapping.
        kind: @arrayPath where only what its shape looks up in the items is taken.
        chain: keys from the event's root; further ones start at each item of the array that the keys before lead to.
    """

    place: Path
    kind: Literal["@path", "@arrayPath", "@template", "@liquid"]
    chain: Chain


@dataclasses.dataclass(frozen=True)
class Text:
    """A text that is meant, or taken, as it is."""

    place: Path
    text: str


def inspect_mapping(mapping: Mapping[str, Any], place: Path = ()) -> Iterator[Lookup | Text]:
    """All lookups and texts of a mapping that has been checked, or of one that has problems, as far as it is readable.

    What looks into the result of a @transform, and not into the event, is not among them; neither is what is below
    @literal, which says that it is meant as it is.
    """
    transformed = ROOT_DIRECTIVE in mapping
    for key, node in mapping.items():
        if key == ROOT_DIRECTIVE:
            yield from _visit(node, (*place, key), ())
        else:
            yield from _visit(node, (*place, key), None if transformed else ())


def _visit(node: Any, place: Path, scope: Chain | None) -> Iterator[Lookup | Text]:
    """Args:
    scope: the chain that paths go on from; None where they do not look into the event.
    """
    if isinstance(node, str):
        yield Text(place, node)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _visit(item, (*place, index), scope)
    elif is_directive(node):
        for name, options in node.items():
            if name in DIRECTIVES:
                yield from _visit_directive(name, options, (*place, name), scope)
    elif isinstance(node, dict):
        for key, item in node.items():
            yield from _visit(item, (*place, key), scope)


def _visit_directive(name: str, options: Any, place: Path, scope: Chain | None) -> Iterator[Lookup | Text]:
    if name == "@literal":
        return
    if name in ("@path", "@template", "@liquid") and isinstance(options, str):
        if scope is not None:
            yield from _lookups(name, options, place, scope)
        if name != "@path" and not _PLACEHOLDER.search(options):
            yield Text(place, options)
    elif name == "@arrayPath":
        yield from _visit_array(options, place, scope)
    elif name == "@transform":
        if isinstance(options, dict):
            yield from _visit(options.get("apply"), (*place, "apply"), scope)
            yield from _visit(options.get("mapping"), (*place, "mapping"), None)
    else:
        yield from _visit_options(name, options, place, scope)


def _visit_options(name: str, options: Any, place: Path, scope: Chain | None) -> Iterator[Lookup | Text]:
    accepts = DIRECTIVES[name].accepts
    if isinstance(accepts, Option):
        if accepts.kind in _MAPPINGS:
            yield from _visit(options, place, scope)
    elif accepts is not None and isinstance(options, dict):
        for key, option in accepts.items():
            if option.kind in _MAPPINGS and key in options:
                yield from _visit(options[key], (*place, key), scope)


_MAPPINGS: Final = frozenset({"any", "text", "list", "objects", "object"})
_PLACEHOLDER: Final = re.compile(r"\{\{|\{%")


def _visit_array(options: Any, place: Path, scope: Chain | None) -> Iterator[Lookup | Text]:
    if not isinstance(options, list) or not options:
        return
    path, *shapes = options
    inner: Chain | None = None
    if isinstance(path, str) and scope is not None:
        inner = (*scope, parse_path(path))
        is_shaped = bool(shapes) and isinstance(shapes[0], dict) and bool(shapes[0])
        yield Lookup((*place, 0), "@arrayPath" if is_shaped else "@path", inner)
    elif not isinstance(path, str):
        yield from _visit(path, (*place, 0), scope)
    for shape in shapes:
        yield from _visit(shape, (*place, 1), inner)


def _lookups(name: str, text: str, place: Path, scope: Chain) -> Iterator[Lookup]:
    if name == "@path":
        yield Lookup(place, "@path", (*scope, parse_path(text)))
    elif name == "@template":
        for part in template_parts(text):
            if isinstance(part, tuple):
                yield Lookup(place, "@template", (*scope, part))
    else:
        own = {found[1] for found in _LIQUID_NAMES.finditer(text)}
        for found in _LIQUID_VARIABLES.finditer(text):
            keys = tuple(found[1].split("."))
            if keys[0] not in own and keys[0] not in _LIQUID_WORDS:
                yield Lookup(place, "@liquid", (*scope, keys))


_LIQUID_NAMES: Final = re.compile(r"\{%-?\s*(?:assign|capture|for|tablerow|increment|decrement)\s+(\w+)")
_LIQUID_VARIABLES: Final = re.compile(r"\{\{-?\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
_LIQUID_WORDS: Final = frozenset({"true", "false", "nil", "null", "empty", "blank", "forloop"})


def finds(value: Any, chain: Chain) -> bool:
    """Whether an event has anything but null where a chain leads; of an array, in any of its items."""
    keys, *rest = chain
    found = get_keys(value, keys)
    if found is MISSING or found is None:
        return False
    if not rest:
        return True
    items = found if isinstance(found, list) else [found]
    return any(finds(item, tuple(rest)) for item in items)
