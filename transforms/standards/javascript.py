"""JavaScript's reading of JSON values: as text, as a number, as true or false.

Segment's engine is written in JavaScript, and what it makes of a value depends on these rules (ECMA-262, chapters 6 and
7). Values are what JSON holds, and `MISSING` for JavaScript's undefined.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from typing import Any, Final


class _Missing(tuple[()]):
    """JavaScript's undefined. Falsy, as an empty tuple is."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()

SPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What ``trim()`` and ``\\s`` take for white space."""

LARGEST_LENGTH: Final = 2**53 - 1  # of a text or a list, were there room for it

_FIRST_EXPONENTS: Final = (-6, 21)  # a decimal point outside of these positions is written with an exponent
_DECIMAL: Final = re.compile(r"[0-9.eE+-]+", re.ASCII)
_INFINITY: Final = re.compile(r"[+-]?Infinity")
_RADIX: Final = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)", re.ASCII)
_RADICES: Final = {"x": 16, "o": 8, "b": 2}


def text(value: Any) -> str:
    """``String(value)``. An integer keeps all its digits, where JavaScript keeps 16.

    >>> text([1.0, None, ["a", {}]]), text(1e-7), text(True)
    ('1,,a,[object Object]', '1e-7', 'true')
    """
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        return number_text(value)
    if kind is list:
        return join(value, ",")
    if value is None:
        return "null"
    return "undefined" if value is MISSING else "[object Object]"


def join(items: list[Any], separator: str) -> str:
    """``items.join(separator)``: null and undefined are empty."""
    return separator.join("" if item is None or item is MISSING else text(item) for item in items)


def number_text(number: float) -> str:
    """``Number.prototype.toString``: the shortest digits that read back as the same number."""
    if type(number) is int:
        return str(number)
    if not math.isfinite(number):
        return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
    written = repr(number)
    if "e" not in written:
        return written.removesuffix(".0") if number else "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = written.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    lowest, highest = _FIRST_EXPONENTS
    if not lowest < point <= highest:
        tail = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{point - 1:+d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def number(value: Any) -> float:
    """``Number(value)``; NaN for what is not a number.

    >>> number(" 5 "), number("0x10"), number(["7"]), number(None), number("1,5")
    (5.0, 16.0, 7.0, 0.0, nan)
    """
    kind = type(value)
    if kind is float or kind is int or kind is bool:
        return float(value)
    if value is None:
        return 0.0
    if kind is list:
        value, kind = text(value), str
    if kind is not str:
        return math.nan
    digits = value.strip(SPACE)
    if not digits:
        return 0.0
    if _DECIMAL.fullmatch(digits):
        try:
            return float(digits)
        except ValueError:
            return math.nan
    if _INFINITY.fullmatch(digits):
        return float(digits)
    if _RADIX.fullmatch(digits):
        try:
            return float(int(digits[2:], _RADICES[digits[1].lower()]))
        except OverflowError:
            return math.inf
    return math.nan


def truthy(value: Any) -> bool:
    """``Boolean(value)``: an empty list and an empty object are true."""
    return (bool(value) and value == value) or type(value) in (list, dict)


def less(left: Any, right: Any) -> bool | None:
    """``left < right``: two texts by their characters, all else as numbers. None where one of them is NaN."""
    left, right = _primitive(left), _primitive(right)
    if type(left) is not str or type(right) is not str:
        left, right = number(left), number(right)
        if left != left or right != right:
            return None
    return bool(left < right)


def plus(left: Any, right: Any) -> Any:
    """``left + right``: joined where one of them is a text, else a sum."""
    left, right = _primitive(left), _primitive(right)
    if type(left) is str or type(right) is str:
        return text(left) + text(right)
    return number(left) + number(right)


def equals_empty(value: Any) -> bool:
    """``value == ''``: text that is empty, 0, false, and a list that is empty or holds one such list or text.

    >>> [equals_empty(v) for v in ("", 0, False, [], [""], [None], [[]], {}, [0], " ", None)]
    [True, True, True, True, True, True, True, False, False, False, False]
    """
    if type(value) is not list:
        return not value and value is not None and value is not MISSING and type(value) is not dict
    while type(value) is list and len(value) == 1:
        value = value[0]
    return value is None or value in ("", [])


def round_half_up(value: float) -> float:
    """``Math.round(value)``."""
    if not math.isfinite(value) or abs(value) >= 2**52:
        return value
    below = math.floor(value)
    return float(below + 1 if value - below >= 0.5 else below)


def json_text(value: Any, indent: str = "", charge: Callable[[int], None] = lambda count: None) -> str:
    """``JSON.stringify(value, null, indent)`` of anything but undefined.

    `charge` is called with the number of characters that a line is indented by, before that is done.

    Raises:
        RecursionError: it is nested too deeply.
    """
    parts: list[str] = []
    _write_json(value, indent, "\n" if indent else "", parts, charge)
    return "".join(parts)


def _write_json(value: Any, indent: str, line: str, parts: list[str], charge: Callable[[int], None]) -> None:
    kind = type(value)
    if kind is str:
        parts.append(json_string(value))
    elif kind is list or kind is dict:
        opening, closing = "[]" if kind is list else "{}"
        inner = line + indent
        parts.append(opening)
        entries = value.items() if kind is dict else enumerate(value)
        for position, (key, item) in enumerate(entries):
            if indent:
                charge(len(inner))
            parts.append(f",{inner}" if position else inner)
            if kind is dict:
                parts.append(f"{json_string(key)}: " if indent else f"{json_string(key)}:")
            _write_json(item, indent, inner, parts, charge)
        parts.append(f"{line}{closing}" if value else closing)
    elif kind is bool or kind is int or (kind is float and math.isfinite(value)):
        parts.append(text(value))
    else:
        parts.append("null")


_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def json_string(value: str) -> str:
    """A text as JSON: all but quotes, backslashes, control characters and lone surrogates stands for itself."""
    written = json.dumps(value, ensure_ascii=False)
    if written.isascii():
        return written
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):x}", written)


_UTF_16: Final = f"utf-16-{sys.byteorder[0]}e"


def units(value: str) -> str:
    """A text in JavaScript's units (UTF-16): a character beyond U+FFFF becomes two, as `len` then counts them."""
    if value.isascii() or max(value) <= "\uffff":
        return value
    return "".join(map(chr, memoryview(value.encode(_UTF_16, "surrogatepass")).cast("H")))


def length(value: str) -> int:
    """``value.length``: its units."""
    return len(value) if value.isascii() else len(value.encode("utf-16-le", "surrogatepass")) // 2


def from_units(value: str) -> str:
    """The text that such units make. A half character becomes U+FFFD: nothing else could carry it."""
    if value.isascii() or not _LONE_SURROGATE.search(value):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _primitive(value: Any) -> Any:
    return text(value) if type(value) in (list, dict) else value
