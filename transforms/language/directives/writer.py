"""Writes one Python function for a mapping.

Static parts become constants, and a path is looked up once per event however many directives share its beginning.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from capybeam.transforms.core.function_writer import FunctionWriter, literal
from capybeam.transforms.core.paths import get_key, parse_path
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.directives.registry import DIRECTIVES, Value, is_directive
from capybeam.transforms.language.records import Shape
from capybeam.transforms.standards.javascript import MISSING

Mapped = Callable[[Any], Any]


class MappingWriter(FunctionWriter):
    """One mapping's function in the making. Its first argument, ``e``, is the event or an item of an array.

    The mapping that it is given has been checked.

    Args:
        shape: of ``e`` where that is a record.
    """

    def __init__(self, *arguments: str, shape: Shape | None = None) -> None:
        super().__init__("mapped", "e", *arguments)
        self.shape = shape
        self._blocks: list[dict[tuple[str, ...], str]] = [{(): "e"}]  # what has been looked up, block within block
        self._used: set[str] = set()  # variables of what has been looked up that are read again
        self.constant(MISSING, "MISSING")

    @contextlib.contextmanager
    def block(self, header: str) -> Iterator[None]:
        self._blocks.append({})
        with super().block(header):
            yield
        self._blocks.pop()

    @contextlib.contextmanager
    def loop(self, items: Listed) -> Iterator[None]:
        """A block for each of some items, in which the argument is the item."""
        around, self._blocks = self._blocks, [{(): "e"}]
        shape, self.shape = self.shape, items.shape
        event = f"e{self.depth}"
        self.line(f"{event} = e")
        with super().block(f"for e in {items.code}:"):
            yield
        self._blocks, self.shape = around, shape
        self.line(f"e = {event}")

    def assign(self, expression: str, optional: bool = True) -> Value:
        return Value(self.variable(expression), optional, own=True)

    def mapping(self, mapping: Any, shape: Shape | None = None) -> str:
        """The constant that holds a mapping's function.

        Args:
            shape: of what it is to map, where that is a record.
        """
        return self.constant(function_of(mapping, shape))

    def aside(self, write: Callable[[MappingWriter], str], *arguments: str) -> str:
        """The call of a separate function for what is seldom needed, so that the rest fits in a processor's cache.

        Args:
            write: writes the function, and returns the expression of its result.
            arguments: variables that it uses, beside those that hold what has been looked up.
        """
        inner = MappingWriter(shape=self.shape)
        inner._blocks = [{keys: name for block in self._blocks for keys, name in block.items()}]
        inner._variables = self._variables
        looked_up = set(inner._blocks[0].values())
        result = write(inner)
        used = looked_up & inner._used
        self._used |= used
        inner.arguments = tuple(sorted({"e", *used, *arguments}))
        return f"{self.constant(inner.function(result))}({', '.join(inner.arguments)})"

    def lookup(self, keys: tuple[str, ...]) -> str:
        """The variable that holds what stands at `keys`: looked up where it is first needed, and once in its block."""
        for block in self._blocks:
            if keys in block:
                self._used.add(block[keys])
                return block[keys]
        *above, key = keys
        parent, shape = self._parent(tuple(above)), self._shape_at(above)
        looked_up = f"{parent}.get({literal(key)}, MISSING)" if shape is None else f"{parent}.{shape.attributes[key]}"
        name = self.variable(looked_up)
        self._blocks[-1][keys] = name
        return name

    def listed(self, path: Any) -> Listed:
        """The variable that holds the list at a path, or at what a directive yields: of one item, where there is an
        object in place of a list."""
        keys = parse_path(path) if isinstance(path, str) else ()
        found = self.lookup(keys) if isinstance(path, str) else self.value(path).code
        shape = self._shape_at(keys[:-1])
        if shape is None or not keys:
            return Listed(self.variable(f"[{found}] if type({found}) is dict else {found}"))
        inner = shape.records.get(keys[-1])
        if inner is None:
            return Listed(found, shape.lists.get(keys[-1]))
        absent = self.constant(inner.absent, "absent")
        return Listed(self.variable(f"MISSING if {found} is {absent} else [{found}]"), inner)

    def _shape_at(self, keys: Sequence[str]) -> Shape | None:
        """The shape of the record at `keys`; None where there is none."""
        shape = self.shape
        for key in keys:
            shape = None if shape is None else shape.records.get(key)
        return shape

    def _parent(self, keys: tuple[str, ...]) -> str:
        """The variable that holds what stands at `keys`, or a `_Parent` where that is no object."""
        if self._shape_at(keys) is not None:
            return self.lookup(keys)
        marked = ("", *keys)  # no key is empty, so this cannot be a path
        for block in self._blocks:
            if marked in block:
                self._used.add(block[marked])
                return block[marked]
        parent = self.lookup(keys)
        name = self.variable(f"{parent} if type({parent}) is dict else {self.call(_parent, parent)}")
        self._blocks[-1][marked] = name
        return name

    def value(self, node: Any) -> Value:
        """Writes what maps a part of a mapping."""
        if is_directive(node):
            name = next(key for key in node if key.startswith("@"))
            return DIRECTIVES[name].write(self, node[name])
        if not _has_directive(node):
            return Value(self.constant(node), False)
        if isinstance(node, list):
            items = [self.value(item) for item in node]
            return self.assign(
                f"[{', '.join(self.call(null, i.code) if i.optional else i.code for i in items)}]", optional=False
            )
        entries = {key: self.value(item) for key, item in node.items()}
        certain = ", ".join(f"{literal(key)}: {value.code}" for key, value in entries.items() if not value.optional)
        result = self.assign("{" + certain + "}", optional=False)
        for key, value in entries.items():
            if value.optional:
                there = f"{value.code} or {value.code} is not MISSING"
                self.line(f"if {there}: {result.code}[{literal(key)}] = {value.code}")
        return result


class Listed(NamedTuple):
    """The code of a list, or of what stands in place of one; and the shape of its items, where these are records."""

    code: str
    shape: Shape | None = None


def function_of(mapping: Any, shape: Shape | None = None) -> Mapped:
    """The function of a mapping that has been checked.

    Args:
        shape: of what it is to map, where that is a record.
    """
    code = MappingWriter(shape=shape)
    return code.function(code.value(mapping).code)


def _has_directive(node: Any) -> bool:
    if isinstance(node, dict):
        return is_directive(node) or any(_has_directive(item) for item in node.values())
    return isinstance(node, list) and any(_has_directive(item) for item in node)


# --- what the written functions call ----------------------------------------------------------------------------


def _parent(value: Any) -> Mapping[str, Any] | _Parent:
    return _NOWHERE if value is MISSING else _Parent(value)


_NOWHERE: Final[Mapping[str, Any]] = {}


class _Parent:
    """Looks up keys of a value that is not a dictionary, in the way of one."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self, key: str, _: Any) -> Any:
        return get_key(self._value, key)


def null(value: Any) -> Any:
    """A value as an item of a list has it."""
    return None if value is MISSING else value


def string(value: Any, name: str) -> str:
    """A value that has to be a string; Rejected otherwise."""
    if type(value) is not str:
        raise Rejected("mapping_failed", f"{name} needs a string here, but the event has none.")
    return value
