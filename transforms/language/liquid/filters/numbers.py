"""Filters of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from capybeam.transforms.language.liquid.filters.registry import filter_named
from capybeam.transforms.language.liquid.values import (
    Room,
    numeric,
    plain,
)
from capybeam.transforms.standards import javascript


def _arithmetic(name: str, function: Callable[..., float], operands: int = 2, most: int | None = 1) -> None:
    """A filter of numbers. An operand that is not there makes NaN of all; one without a value is 0."""

    def calculated(room: Room, *values: Any) -> float:
        numbers = [numeric(value) for value in values]
        missing = [math.nan] * (operands - len(numbers))
        try:
            return function(*numbers, *missing)
        except (OverflowError, ValueError):  # of infinite numbers
            return math.nan

    filter_named(name, most=most)(calculated)


def _divided(dividend: float, divisor: float) -> float:
    if divisor:
        return dividend / divisor
    if not dividend or dividend != dividend or divisor != divisor:
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1, divisor)


def _divided_by(dividend: float, divisor: float, floored: float = 0) -> float:
    return _whole(math.floor, _divided(dividend, divisor)) if floored else _divided(dividend, divisor)


def _whole(rounding: Callable[[float], int], number: float) -> float:
    return float(rounding(number)) if math.isfinite(number) else number


def _modulo(value: float, divisor: float) -> float:
    """The rest of a division, with the divisor's sign."""
    return math.fmod(math.fmod(value, divisor) + divisor, divisor)


_arithmetic("abs", abs, operands=1, most=0)
_arithmetic("at_least", lambda *numbers: max(numbers), operands=1, most=None)
_arithmetic("at_most", lambda *numbers: min(numbers), operands=1, most=None)
_arithmetic("ceil", lambda number: _whole(math.ceil, number), operands=1, most=0)
_arithmetic("floor", lambda number: _whole(math.floor, number), operands=1, most=0)
_arithmetic("minus", lambda number, other: number - other)
_arithmetic("plus", lambda number, other: number + other)
_arithmetic("times", lambda number, other: number * other)
_arithmetic("divided_by", _divided_by, most=2)
_arithmetic("modulo", _modulo)


def _shifted(number: float, places: float) -> float:
    """number x 10^places, as written down: without the errors of a multiplication. NaN where it cannot be written."""
    mantissa, _, exponent = repr(number).partition("e")
    try:
        return float(f"{mantissa}e{int(exponent or 0) + int(places)}") if places.is_integer() else math.nan
    except (OverflowError, ValueError):
        return math.nan


@filter_named("round", most=1)
def _round(room: Room, value: Any, places: Any = 0) -> float:
    number, digits = numeric(value), numeric(places)
    scaled = _shifted(abs(number), digits)
    if not scaled < 2**53:
        return number
    rounded = _shifted(javascript.round_half_up(scaled), -digits)
    return -rounded if number < 0 else rounded


@filter_named("to_integer")
def _to_integer(room: Room, value: Any) -> float:
    return javascript.number(plain(value))
