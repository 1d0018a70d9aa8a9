"""Triggers: which events a subscription takes, in Segment's filter language (FQL).

    type = "track" and (event = "Order Completed" or properties.total >= 100)

A trigger is parsed once and compiled to one Python function. What a plain condition means is Segment's: ``= "5"`` wants
the string, ``= 5`` the number, ``!= "x"`` holds for a missing field, ``!= 5`` wants a number, ``= null`` a missing or
null field; ``<`` and its kin compare numbers only; contains and match are case-sensitive and only for strings.
Precedence is the usual one (not, and, or), which Segment's own parser lacks.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import parsy

from capybeam.transforms.core.events import Event
from capybeam.transforms.core.function_writer import FunctionWriter, literal
from capybeam.transforms.core.paths import index_of
from capybeam.transforms.language.records import Shape
from capybeam.transforms.standards.javascript import MISSING

Trigger = Callable[[Event], bool]

FIELDS: Final = ("type", "event", "name", "userId", "anonymousId", "messageId")
FIELD_GROUPS: Final = ("properties", "traits", "context", "integrations")


class TriggerError(ValueError):
    """A trigger that cannot be used. `offset` counts characters from its start."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def compile_trigger(text: str) -> Trigger:
    """The trigger as a function from an event to whether it is taken.

    >>> takes = compile_trigger('type = "track" and properties.value > 10')
    >>> takes({"type": "track", "properties": {"value": 11}})
    True

    Raises:
        TriggerError: the text cannot be parsed or names an unknown field; says what and where.
    """
    return compile_node(parse_trigger(text))


def compile_node(node: TriggerNode, shape: Shape | None = None) -> Trigger:
    """A part of a parsed trigger that holds or does not, as `compile_trigger` compiles it within the whole.

    Args:
        shape: of events that are records.
    """
    writer = TriggerWriter(shape=shape)
    return writer.function(writer.expression(node))


def compile_operand(node: TriggerNode) -> Callable[[Event], Any]:
    """A part of a parsed trigger that has a value, as the function from an event to that value."""
    writer = TriggerWriter()
    return writer.function(writer.operand(node, 1))


def quoted(text: str) -> str:
    """Text as a literal of the language, whatever it holds.

    >>> quoted('12" shelf')
    '"12\\\\" shelf"'
    """
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


# --- parsing ----------------------------------------------------------------------------------------------------


class TriggerNode(NamedTuple):
    """A part of a parsed trigger: what it is, where it starts, what it is made of."""

    kind: str
    offset: int
    parts: tuple[Any, ...]


_KEY: Final = r"(?:[^\s()!=<>,\"'\[\]\\.&|]|\\.)+"
_FIELD: Final = re.compile(rf"(?![\d.]){_KEY}(?:\.{_KEY}|\[\d+\]|\[\"[^\"]*\"\]|\['[^']*'\])*")
_SEGMENT: Final = re.compile(r"""\[(?:"([^"]*)"|'([^']*)'|(\d+))\]|((?:[^.\[\\]|\\.)+)""", re.DOTALL)
_STRING: Final = re.compile(r"""\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'""", re.DOTALL)
_HINTS: Final = {"&": "use `and`", "|": "use `or`", "“": 'use straight quotes: "', "”": 'use straight quotes: "'}


@functools.lru_cache(maxsize=1024)  # a large job's: parsing takes far longer than all else about a trigger
def parse_trigger(text: str) -> TriggerNode:
    """A trigger's conditions. Raises TriggerError."""
    with _LIMITED:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + _DEEPEST)
        try:
            node: TriggerNode = _grammar().parse(text)
        except RecursionError:
            raise TriggerError(_TOO_DEEP) from None
        except parsy.ParseError as error:
            offset = len(text[: error.index].rstrip()) if not text[error.index :].strip() else error.index
            if not text[offset:].strip():
                raise TriggerError("the trigger ends too early", offset) from None
            raise _unexpected(text, offset, error.expected) from None
        finally:
            sys.setrecursionlimit(limit)
    return node


_LIMITED: Final = threading.Lock()  # the limit is one for all threads
_DEEPEST: Final = 8000  # frames; a pair of parentheses takes about fifty
_LEVELS: Final = 80  # of conditions and functions; Python reads 200 of parentheses
_TOO_DEEP: Final = "the trigger is nested too deeply"


@functools.cache
def _grammar() -> parsy.Parser:
    """not > and > or; made of parts that each swallow the white space behind them."""

    def token(pattern: str | re.Pattern[str], label: str, flags: int = 0) -> parsy.Parser:
        return (parsy.regex(pattern, flags) << parsy.regex(r"\s*")).desc(label)

    def word(name: str) -> parsy.Parser:
        return token(rf"{name}(?![\w.])", name, re.IGNORECASE)

    def call(name: str, *arguments: parsy.Parser) -> parsy.Parser:
        opening = token(rf"{name}\s*\(", f"{name}(", re.IGNORECASE)
        listed = parsy.seq(*(part if index == 0 else comma >> part for index, part in enumerate(arguments)))
        return located(name, opening >> listed << closed)

    def located(kind: str, parts: parsy.Parser) -> parsy.Parser:
        return parsy.seq(parsy.index, parts).combine(lambda offset, found: TriggerNode(kind, offset, tuple(found)))

    def chained(kind: str, part: parsy.Parser) -> parsy.Parser:
        several = located(kind, part.sep_by(word(kind), min=1))
        return several.map(lambda node: node.parts[0] if len(node.parts) == 1 else node)

    opened, closed, comma = token(r"\(", "("), token(r"\)", ")"), token(",", ",")
    string = located("string", token(_STRING, "text").map(lambda quoted: [quoted]))
    number = located("number", token(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", "number").map(lambda digits: [digits]))
    constants = [word(name).map(lambda _, name=name: [name]) for name in ("true", "false", "null")]
    literal = string | number | located("constant", parsy.alt(*constants))
    items = literal.sep_by(comma, min=1)
    listed = (token(r"\[", "[") >> items << token(r"\]", "]")) | (opened >> items << closed)
    operand = parsy.forward_declaration()
    operand.become(
        parsy.alt(
            *(call(name, operand) for name in ("lowercase", "length", "typeof")),
            located("field", token(_FIELD, "field").map(lambda path: [path])),
        )
    )
    expression = parsy.forward_declaration()
    negated = parsy.forward_declaration()
    condition = parsy.alt(
        opened >> expression << closed,
        call("contains", operand, string),
        call("match", operand, string),
        located("all", word("all").map(lambda _: [])),
        located("comparison", parsy.seq(operand, token("!=|<=|>=|=|<|>", "operator"), literal)),
        located("membership", parsy.seq(operand, word("in") >> listed)),
    )
    negated.become(located("not", ((word("not") | token("!", "!")) >> negated).map(lambda node: [node])) | condition)
    expression.become(chained("or", chained("and", negated)))
    return parsy.regex(r"\s*") >> expression


def _unexpected(text: str, offset: int, expected: Iterable[str]) -> TriggerError:
    found = re.match(r"\w+|.", text[offset:], re.DOTALL)
    assert found
    hint = _HINTS.get(found[0][0])
    if found[0] == "=" and text[:offset].endswith("="):
        hint = "use a single ="
    elif hint is None and "operator" in expected:
        hint = "a condition reads: field = value"
    elif hint is None and "text" in expected:
        hint = 'a text value goes in double quotes: "…"'
    return TriggerError(f"unexpected {found[0]!r}" + (f"; {hint}" if hint else ""), offset)


# --- writing the function ---------------------------------------------------------------------------------------


class TriggerWriter(FunctionWriter):
    """Writes Python expressions for parsed triggers, over variables that hold the fields of an event's root.

    Args:
        more: names of arguments behind the event.
        shape: of the event, where it is a record.
    """

    def __init__(self, *more: str, shape: Shape | None = None) -> None:
        super().__init__("trigger", "event", *more)
        self._shape = shape
        self._fields: dict[str, str] = {}

    def expression(self, node: TriggerNode, level: int = 1) -> str:
        kind, offset, parts = node
        if level > _LEVELS:
            raise TriggerError(_TOO_DEEP, offset)
        if kind in ("or", "and"):
            return "(" + f" {kind} ".join(self.expression(part, level + 1) for part in parts) + ")"
        if kind == "not":
            return f"(not {self.expression(parts[0], level + 1)})"
        if kind == "all":
            return "True"
        operand = self.operand(parts[0], level)
        if kind == "comparison":
            return self._comparison(operand, parts[1], parts[2])
        if kind == "membership":
            return self._membership(operand, parts[1])
        text = value_of(parts[1])
        if kind == "contains":
            return f"(type(v := {operand}) is str and {literal(text)} in v)"
        return f"(type(v := {operand}) is str and {self.constant(compile_glob(text))}(v))"

    def _membership(self, operand: str, items: Sequence[TriggerNode]) -> str:
        """One look-up, however many items there are."""
        values = [value_of(item) for item in items]
        texts = self.constant(frozenset(value for value in values if isinstance(value, str)))
        numbers = self.constant(frozenset(v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)))
        others = [f"v is {value}" for value in (True, False, None) if any(value is item for item in values)]
        is_number = f"type(v) in {self._numeric}"
        held = f"(v in {texts} if type(v := {operand}) is str else v in {numbers} if {is_number} else False)"
        return "(" + " or ".join([held, *others]) + ")"

    def _comparison(self, operand: str, operator: str, node: TriggerNode) -> str:
        value = value_of(node)
        python = "==" if operator == "=" else operator
        if operator in ("=", "!=") and (value is None or isinstance(value, bool)):
            return f"({operand} is {'not ' if operator == '!=' else ''}{value})"
        if operator in ("=", "!=") and isinstance(value, str):
            return f"({operand} {python} {literal(value)})"
        if isinstance(value, (str, bool)) or value is None:
            raise TriggerError(f"{operator} compares numbers: write the number without quotes", node.offset)
        return f"(type(v := {operand}) in {self._numeric} and v {python} {literal(value)})"

    @property
    def _numeric(self) -> str:
        return self.constant(_NUMBERS, "numbers")

    def operand(self, node: TriggerNode, level: int) -> str:
        if level > _LEVELS:
            raise TriggerError(_TOO_DEEP, node.offset)
        if node.kind == "field":
            return self._field(node)
        return self.call(_FUNCTIONS[node.kind], self.operand(node.parts[0], level + 1))

    def _field(self, node: TriggerNode) -> str:
        root, *rest = keys_of(node)
        if root not in FIELD_GROUPS and (root not in FIELDS or rest):
            known = difflib.get_close_matches(root, (*FIELDS, *FIELD_GROUPS), n=1)
            choices = ", ".join([*FIELDS, *(f"{group}.…" for group in FIELD_GROUPS)])
            hint = f"; did you mean {'.'.join([known[0], *rest])}?" if known else f" (there are {choices})"
            raise TriggerError(f"unknown field {node.parts[0]}{hint}", node.offset)
        if self._shape is not None:
            attributes, rest = self._shape.place((root, *rest))
            value = self._attribute(".".join(("event", *attributes)))
        else:
            value = self.root(root)
        return self.call(_at, value, literal(tuple(rest))) if rest else value

    def root(self, key: str) -> str:
        """The variable that holds a field of the event's root, None where that is not there."""
        if self._shape is not None:
            return self._attribute(f"event.{self._shape.attributes[key]}")
        if key not in self._fields:
            self._fields[key] = self.variable(f"event.get({literal(key)})")
        return self._fields[key]

    def _attribute(self, expression: str) -> str:
        if expression not in self._fields:
            name = self._fields[expression] = self.variable(expression)
            self.line(f"if {name} is {self.constant(MISSING, 'MISSING')}: {name} = None")
        return self._fields[expression]


def keys_of(field: TriggerNode) -> list[str]:
    """The keys that lead to a field."""
    return [
        double or single or index or re.sub(r"\\(.)", r"\1", plain)
        for double, single, index, plain in _SEGMENT.findall(field.parts[0])
    ]


def value_of(node: TriggerNode) -> Any:
    """The value of a literal."""
    (text,) = node.parts
    if node.kind == "string":
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    if node.kind == "number":
        number = float(text)
        if math.isinf(number):
            raise TriggerError("the number is too large", node.offset)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return {"true": True, "false": False, "null": None}[text]


def compile_glob(glob: str) -> Callable[[str], bool]:
    """The function from a text to whether the whole of it fits: ``*`` is any text, ``?`` is one character.

    It takes time in proportion to both at most. What stands between two stars is looked for once, where it comes first,
    as Python's fnmatch does it: a look-ahead, and a reference to what it has found, are never tried again.
    """
    first, *others = (
        "".join("." if character == "?" else re.escape(character) for character in part)
        for part in re.split(r"\*+", glob)
    )
    if others:
        *middle, last = others
        found = "".join(f"(?=(?P<g{number}>.*?{part}))(?P=g{number})" for number, part in enumerate(middle))
        first = f"{first}{found}.*{last}"
    fullmatch = re.compile(first, re.DOTALL).fullmatch
    return lambda text: fullmatch(text) is not None


def _at(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if type(value) is dict:
            value = value.get(key)
        elif type(value) is list and (index := index_of(key)) < len(value):
            value = value[index]
        else:
            return None
    return value


def _lowercase(value: Any) -> Any:
    return value.lower() if type(value) is str else None


def _length(value: Any) -> Any:
    return len(value) if type(value) in (str, list) else None


def type_of(value: Any) -> str:
    """A value's type, by the names that JSON has."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    kinds: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


_FUNCTIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "lowercase": _lowercase,
    "length": _length,
    "typeof": type_of,
}
_NUMBERS: Final = (int, float)
