"""Triggers: which events a subscription takes, in Segment's filter language (FQL).

    type = "track" and (event = "Order Completed" or properties.total >= 100)

A trigger is parsed once, by the grammar in ``triggers.lark``, and compiled to one Python function. What a plain
condition means is Segment's: ``= "5"`` wants the string, ``= 5`` the number, ``!= "x"`` holds for a missing field,
``!= 5`` wants a number, ``= null`` a missing or null field; ``<`` and its kin compare numbers only; contains and match
are case-sensitive and only for strings. Precedence is the usual one (not, and, or), which Segment's own parser lacks.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any, Final

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

from transforms.events import Event

Trigger = Callable[[Event], bool]

FIELDS: Final = ("type", "event", "name", "userId", "anonymousId", "messageId")
FIELD_GROUPS: Final = ("properties", "traits", "context", "integrations")

_SEGMENT: Final = re.compile(r"""\[(?:"([^"]*)"|'([^']*)'|(\d+))\]|((?:[^.\[\\]|\\.)+)""", re.DOTALL)
_HINTS: Final = {"&": "use `and`", "|": "use `or`", "“": 'use straight quotes: "', "”": 'use straight quotes: "'}


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
    expression = _expression(_parse(text))
    namespace: dict[str, Any] = {"_at": _at, "_glob": _glob, "_kind": _kind, "_lower": _lower, "_size": _size}
    namespace["_NUMBERS"] = (int, float)
    exec(compile(f"def trigger(event):\n    return {expression}\n", "<trigger>", "exec"), namespace)
    trigger: Trigger = namespace["trigger"]
    return trigger


@functools.cache
def _grammar() -> Lark:
    grammar = resources.files("transforms").joinpath("triggers.lark").read_text()
    return Lark(grammar, parser="lalr", propagate_positions=True)


def _parse(text: str) -> Tree[Token]:
    try:
        return _grammar().parse(text)
    except UnexpectedEOF:
        raise TriggerError("the trigger ends too early", len(text)) from None
    except UnexpectedToken as error:
        if error.token.type == "$END":
            raise TriggerError("the trigger ends too early", len(text)) from None
        raise _unexpected(text, error.token.start_pos or 0, str(error.token), error.expected) from None
    except UnexpectedCharacters as error:
        offset = error.pos_in_stream
        raise _unexpected(text, offset, text[offset], error.allowed or ()) from None


def _unexpected(text: str, offset: int, found: str, expected: Iterable[str]) -> TriggerError:
    hint = _HINTS.get(found[0])
    if found == "=" and text[:offset].endswith("="):
        hint = "use a single ="
    elif hint is None and "COMPARE" in expected:
        hint = "a condition reads: field = value"
    elif hint is None and "STRING" in expected:
        hint = 'a text value goes in double quotes: "…"'
    return TriggerError(f"unexpected {found!r}" + (f"; {hint}" if hint else ""), offset)


def _expression(node: Tree[Token]) -> str:
    """The Python expression, over the variable `event`, that a parsed trigger stands for."""
    kind, parts = node.data, node.children
    if kind in ("or", "and"):
        return "(" + f" {kind} ".join(_expression(part) for part in parts) + ")"  # type: ignore[arg-type]
    if kind == "negation":
        return f"(not {_expression(parts[0])})"  # type: ignore[arg-type]
    if kind == "everything":
        return "True"
    operand = _operand(parts[0])  # type: ignore[arg-type]
    if kind == "comparison":
        return _comparison(operand, str(parts[1]), parts[2])  # type: ignore[arg-type]
    if kind == "membership":
        return "(" + " or ".join(_comparison(operand, "=", item) for item in parts[1].children) + ")"  # type: ignore
    text = _literal(parts[1])  # type: ignore[arg-type]
    if kind == "contains":
        return f"(type(v := {operand}) is str and {text!r} in v)"
    pattern = _glob_pattern(text)
    return f"(type(v := {operand}) is str and _glob({pattern!r}, v) is not None)"


def _comparison(operand: str, operator: str, literal: Tree[Token]) -> str:
    value = _literal(literal)
    if operator in ("=", "!="):
        if value is None:
            return f"({operand} is {'not ' if operator == '!=' else ''}None)"
        if isinstance(value, bool):
            return f"({operand} is {'not ' if operator == '!=' else ''}{value})"
        if isinstance(value, str):
            return f"({operand} {'==' if operator == '=' else '!='} {value!r})"
        python = "==" if operator == "=" else "!="
    else:
        if isinstance(value, (str, bool)) or value is None:
            raise TriggerError(f"{operator} compares numbers: write the number without quotes", literal.meta.start_pos)
        python = operator
    return f"(type(v := {operand}) in _NUMBERS and v {python} {value!r})"


def _operand(node: Tree[Token]) -> str:
    if node.data == "field":
        return _field(node.children[0])  # type: ignore[arg-type]
    inner = _operand(node.children[0])  # type: ignore[arg-type]
    return f"{ {'lowercase': '_lower', 'length': '_size', 'typeof': '_kind'}[node.data] }({inner})"


def _field(token: Token) -> str:
    keys = [
        quoted or quoted2 or index or re.sub(r"\\(.)", r"\1", plain)
        for quoted, quoted2, index, plain in _SEGMENT.findall(str(token))
    ]
    root, rest = keys[0], keys[1:]
    if root not in FIELD_GROUPS and (root not in FIELDS or rest):
        known = difflib.get_close_matches(root, (*FIELDS, *FIELD_GROUPS), n=1)
        hint = f"; did you mean {'.'.join([known[0], *rest])}?" if known else ""
        choices = ", ".join(FIELDS) + ", " + ", ".join(f"{group}.…" for group in FIELD_GROUPS)
        raise TriggerError(f"unknown field {token}{hint or f' (there are {choices})'}", token.start_pos or 0)
    return f"event.get({root!r})" if not rest else f"_at(event.get({root!r}), {tuple(rest)!r})"


def _literal(node: Tree[Token]) -> Any:
    if node.data == "string":
        return re.sub(r"\\(.)", r"\1", str(node.children[0])[1:-1], flags=re.DOTALL)
    if node.data == "number":
        number = float(node.children[0])  # type: ignore[arg-type]
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return {"true": True, "false": False, "null": None}[node.data]


def _glob_pattern(glob: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in glob)


def _at(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if type(value) is dict:
            value = value.get(key)
        elif type(value) is list and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _glob(pattern: str, value: str) -> re.Match[str] | None:
    return re.fullmatch(pattern, value, re.DOTALL)


def _lower(value: Any) -> Any:
    return value.lower() if type(value) is str else None


def _size(value: Any) -> Any:
    return len(value) if type(value) in (str, list) else None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]
