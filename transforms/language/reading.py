"""Lines of JSON → records of events, with what a job reads of them and nothing else.

Most of an event is read by nobody: the page's experiments, the columns of a product, the library's name. What triggers
and mappings look up is known beforehand, so a decoder can pass over all else without making objects of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from capybeam.transforms.core.events import CALLS, NO_ID
from capybeam.transforms.core.message_formats import UNUSUAL_KEYS
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.language.consent import Consent
from capybeam.transforms.language.directives.registry import is_directive
from capybeam.transforms.language.directives.texts import template_parts
from capybeam.transforms.language.records import Items, Record, Shape, is_written_plainly
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.language.triggers import TriggerNode, keys_of, parse_trigger

Keys = tuple[str | None, ...]  # of a path; None is for each item of a list


class Reader(NamedTuple):
    """Reads lines into records.

    Attributes:
        read: from a line to the record of its event, whose ``type`` and ``messageId`` are there and as they should be.
        shape: of the records.
    """

    read: Callable[[bytes], Record]
    shape: Shape


def compile_reader(subscriptions: Iterable[Subscription]) -> Reader | None:
    """The reader of what these subscriptions look up. None where that depends on the event, or is all of it.

    It raises an exception for a line that is to be read whole, as it is not as most are: no event of a known type with
    a ``messageId``, an unusual key, an object or a list where another value is looked up, an integer of more than 64
    bits. What it passes over is valid JSON, but for numbers that are too large for a double.
    """
    looked_up = _Node()
    try:
        for subscription in subscriptions:
            for keys in _looked_up(subscription):
                looked_up.add(keys)
        looked_up_parts = looked_up.parts()
    except _Unknown:
        return None
    fixed = {"type": Literal[CALLS], "messageId": str}
    never = dict.fromkeys(UNUSUAL_KEYS & looked_up_parts.keys(), _NEVER)
    shape = Shape({**fixed, **looked_up_parts, **fixed, **never}, certain=fixed.keys())
    return Reader(_reading(shape), shape)


def _reading(shape: Shape) -> Callable[[bytes], Record]:
    """The function from a line to its record.

    Most events have no key at their root but Segment's. As these are few, a decoder that raises for any other takes
    three quarters of the time of one that knows the unusual keys. It is done without where many events have others.
    """
    of_segment = msgspec.json.Decoder(shape.beside(dict.fromkeys(SEGMENTS_KEYS, msgspec.Raw), is_all=True)).decode
    of_any = msgspec.json.Decoder(shape.beside(dict.fromkeys(UNUSUAL_KEYS, _NEVER))).decode
    decode, lines, in_vain = of_segment, 0, 0

    def read(line: bytes) -> Record:
        nonlocal decode, lines, in_vain
        if not line.isascii():
            line.decode()  # what is passed over is to be UTF-8, too
        lines += 1
        try:
            event = decode(line)
        except msgspec.ValidationError:
            in_vain += 1
            if in_vain > _FEW and in_vain > lines * _PART:
                decode = of_any
            event = of_any(line)
        if event.messageId in NO_ID:
            raise ValueError("the line has to be read whole")
        return event  # type: ignore[no-any-return]

    return read


SEGMENTS_KEYS: Final = (
    *("type", "event", "messageId", "anonymousId", "userId", "properties", "context", "integrations", "timestamp"),
    *("originalTimestamp", "sentAt", "receivedAt", "channel", "version", "projectId", "writeKey", "name", "category"),
    *("traits", "groupId", "previousId", "_metadata"),
)
"""At the root of events, by Segment's spec and in what it delivers."""

_NEVER: Final = Literal["\0"]  # of a key whose event is to be read whole, whatever its value is
_FEW: Final = 100  # lines that are decoded in vain before their share counts
_PART: Final = 0.25  # of all lines

_INTEGER: Final = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_SCALAR: Final[Any] = str | _INTEGER | float | bool | None
_VALUE: Final[Any] = _SCALAR | list[_SCALAR]


class _Unknown(Exception):
    """What is looked up cannot be known beforehand."""


class _Node:
    """What is looked up at a place of an event: the value there, or what is at keys of it, or of its items."""

    def __init__(self) -> None:
        self.is_value = False
        self.nodes: dict[str, _Node] = {}
        self.items: _Node | None = None

    def add(self, keys: Keys) -> None:
        """Adds a path. Raises _Unknown for that of the whole event, of its parts in place of a list's items, and of a
        key that records cannot have."""
        if not keys or keys[0] is None:
            raise _Unknown
        node = self
        for key in keys:
            if key is None:
                node.items = node.items or _Node()
                node = node.items
            elif key.isdecimal() or key == "length":  # of a list, or of a text
                break
            elif not is_written_plainly(key):
                raise _Unknown
            else:
                node = node.nodes.setdefault(key, _Node())
        if node is self:
            raise _Unknown
        node.is_value = True

    def merged(self, other: _Node) -> _Node:
        """What is looked up by either."""
        both = _Node()
        both.is_value = self.is_value or other.is_value
        for name in (*self.nodes, *other.nodes):
            one, two = self.nodes.get(name, _Node()), other.nodes.get(name, _Node())
            both.nodes[name] = one.merged(two)
        items = [node.items for node in (self, other) if node.items is not None]
        both.items = items[0].merged(items[1]) if len(items) == 2 else items[0] if items else None
        return both

    def parts(self) -> dict[str, Any]:
        """Those of the record that a decoder is to make; where it finds a value of another kind it raises."""
        return {key: node.part() for key, node in self.nodes.items()}

    def part(self) -> Any:
        """What a decoder is to make of what is there, as `Shape` has it."""
        if self.is_value:
            return _VALUE
        if self.items is None:
            return Shape(self.parts())
        if self.nodes:  # an object that is also taken for the only item of a list
            either = self.merged(self.items)
            either.items = None
            return either.part()
        item = self.items.part()
        if isinstance(item, Items):  # lists of lists
            raise _Unknown
        return Items(item) if isinstance(item, Shape) else list[item]  # type: ignore[valid-type]


def _looked_up(subscription: Subscription) -> Iterator[Keys]:
    """All that a subscription looks up in an event. Raises _Unknown."""
    yield from _in_trigger(parse_trigger(subscription.trigger))
    if subscription.consent is not None:
        yield from _in_consent(subscription.consent)
    if subscription.value_fallback:
        yield parse_path(subscription.value_fallback)
    for mapping in (subscription.mapping, subscription.routing and subscription.routing.mapping):
        yield from _in_mapping(mapping)


def _in_consent(consent: Consent) -> Iterator[Keys]:
    for condition in (consent.granted_if, consent.refused_if):
        if condition:
            yield from _in_trigger(parse_trigger(condition))
    for category in (*consent.any_of, *consent.all_of):
        yield (*parse_path(consent.path), category)


def _in_trigger(node: TriggerNode) -> Iterator[Keys]:
    if node.kind == "field":
        yield tuple(keys_of(node))
        return
    for part in node.parts:
        if isinstance(part, TriggerNode):
            yield from _in_trigger(part)


def _in_mapping(node: Any) -> Iterator[Keys]:
    if isinstance(node, list):
        for item in node:
            yield from _in_mapping(item)
    elif isinstance(node, dict):
        for name, part in node.items():
            yield from _READS.get(name, _in_mapping)(part) if is_directive(node) else _in_mapping(part)


def _in_path(path: Any) -> Iterator[Keys]:
    if not isinstance(path, str):
        raise _Unknown
    yield parse_path(path)


def _in_template(template: Any) -> Iterator[Keys]:
    if not isinstance(template, str):
        raise _Unknown
    for part in template_parts(template):
        if isinstance(part, tuple):
            yield part


def _in_array_path(options: list[Any]) -> Iterator[Keys]:
    path, *shapes = options
    (array,) = _in_path(path)
    shape = shapes[0] if shapes else None
    if not isinstance(shape, dict) or not shape:
        yield array
        return
    inside = list(_in_mapping(shape)) or [()]  # a shape that looks nothing up is made for each item all the same
    for keys in inside:
        yield (*array, None, *keys)


def _in_transform(options: Mapping[str, Any]) -> Iterator[Keys]:
    yield from _in_mapping(options["apply"])  # of which the mapping reads


def _in_liquid(_: Any) -> Iterator[Keys]:
    raise _Unknown


_READS: Final[Mapping[str, Callable[[Any], Iterator[Keys]]]] = {
    "@path": _in_path,
    "@template": _in_template,
    "@arrayPath": _in_array_path,
    "@transform": _in_transform,
    "@liquid": _in_liquid,
}
