"""The fields of an action: which types a mapped value may have, and what it becomes.

Types are Segment's (string, number, integer, boolean, object; ``multiple`` makes a list of them) and ours where Meta
wants more than a type: ``time`` (→ Unix seconds), ``currency`` (→ ISO 4217), ``strings`` (a string or a list of them).
Conversions are Segment's: "12.12" is a number, 12 a string; "$12", "1,000", NaN and booleans are no numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timezone
from typing import Any, Final

import ciso8601

from transforms.rejections import CODES, Rejected

Check = Callable[[Any, str], Any]


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of an action, as its preset lists it.

    Attributes:
        choices: the only values allowed, where there are any.
        properties: an object's own fields; its other keys are dropped. None: any object, kept whole.
    """

    name: str
    type: str
    required: bool = False
    multiple: bool = False
    choices: tuple[Any, ...] = ()
    properties: tuple[Field, ...] | None = None


class _Wrong(Exception):
    def __init__(self, path: str, should: str) -> None:
        self.path = path
        super().__init__(f"{path} {should}")


def compile_fields(fields: Sequence[Field]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """The function that checks and converts what a mapping yielded.

    At the root null, missing and "" count as no value. The function raises Rejected with all problems in one
    message: missing_required_field, invalid_<field> where `CODES` has it, else invalid_field.
    """
    checks = {field.name: _check(field) for field in fields}
    required = tuple(field.name for field in fields if field.required)

    def checked(mapped: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        wrong: list[_Wrong] = []
        for name, value in mapped.items():
            if value is None or value == "":
                continue
            check = checks.get(name)
            if check is not None:
                try:
                    value = check(value, name)
                except _Wrong as problem:
                    wrong.append(problem)
                    continue
                if value is not None:
                    values[name] = value
        if wrong or not values.keys() >= _required:
            raise _rejected([name for name in required if name not in values], wrong)
        return values

    _required = frozenset(required)
    return checked


def _rejected(missing: Sequence[str], wrong: Sequence[_Wrong]) -> Rejected:
    invalid = {problem.path.partition("[")[0].partition(".")[0] for problem in wrong}
    absent = [name for name in missing if name not in invalid]
    sentences = [f"The required field {name!r} has no value." for name in absent]
    sentences += [f"{problem}." for problem in wrong]
    code = "missing_required_field" if absent else _code(wrong[0].path)
    return Rejected(code, " ".join(sentences))


def _code(path: str) -> str:
    code = "invalid_" + path.rpartition(".")[2].partition("[")[0]
    code = "invalid_data_processing_options" if code.startswith("invalid_data_processing_options") else code
    return code if code in CODES else "invalid_field"


def _check(field: Field) -> Check:
    check = _object_check(field) if field.type == "object" else _CHECKS[field.type]
    if field.choices:
        check = _choice_check(check, field.choices)
    return _list_check(check, field) if field.multiple else check


def _choice_check(check: Check, choices: tuple[Any, ...]) -> Check:
    allowed = ", ".join(map(str, choices))

    def checked(value: Any, path: str) -> Any:
        value = check(value, path)
        if value not in choices:
            raise _Wrong(path, f"must be one of {allowed}")
        return value

    return checked


def _list_check(check: Check, field: Field) -> Check:
    """A list, of the one value where there is only one; empty items go, and nothing is left of an empty list."""

    def checked(value: Any, path: str) -> Any:
        items = value if type(value) is list else [value]
        kept = [check(item, f"{path}[{index}]") for index, item in enumerate(items) if item is not None]
        return [item for item in kept if item is not None] or None

    return checked


def _object_check(field: Field) -> Check:
    if field.properties is None:

        def whole(value: Any, path: str) -> Any:
            if type(value) is not dict:
                raise _Wrong(path, "should be an object")
            return value

        return whole
    checks = {inner.name: (_check(inner), inner.type in ("string", "strings")) for inner in field.properties}
    required = [inner.name for inner in field.properties if inner.required]

    def checked(value: Any, path: str) -> Any:
        if type(value) is not dict:
            raise _Wrong(path, "should be an object")
        kept: dict[str, Any] = {}
        for key, item in value.items():
            if item is None or key not in checks:
                continue
            check, takes_text = checks[key]
            if type(item) is not str or not takes_text:
                item = check(item, f"{path}.{key}")
            elif check is not _string and check is not _strings:  # choices
                item = check(item, f"{path}.{key}")
            if item is not None:
                kept[key] = item
        # An item of a list that lacks what it needs (contents without an id) is left out, not the whole event.
        return None if any(kept.get(name) in (None, "") for name in required) else kept

    return checked


def _string(value: Any, path: str) -> str:
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else str(value)
    raise _Wrong(path, "should be a string")


def _strings(value: Any, path: str) -> str | list[str]:
    if type(value) is list:
        return [_string(item, f"{path}[{index}]") for index, item in enumerate(value) if item is not None]
    return _string(value, path)


_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def _number(value: Any, path: str) -> int | float:
    if type(value) is int:
        return value
    if type(value) is str and _NUMBER.fullmatch(value):
        value = float(value)
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
    if type(value) is float and math.isfinite(value):
        return value
    raise _Wrong(path, "should be a number")


def _integer(value: Any, path: str) -> int:
    number = _number(value, path)
    if int(number) != number:
        raise _Wrong(path, "should be an integer")
    return int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else int(number)


def _boolean(value: Any, path: str) -> bool:
    if value is True or value == "true" or (value == 1 and type(value) in (int, float)):
        return True
    if value is False or value == "false" or (value == 0 and type(value) in (int, float)):
        return False
    raise _Wrong(path, "should be true or false")


MILLISECONDS_FROM: Final = 10**11  # as seconds the year 5138, as milliseconds 1973
_NO_TIME: Final = "is neither ISO 8601 nor Unix seconds or milliseconds"


def _time(value: Any, path: str) -> int:
    """Unix seconds of an ISO 8601 time (without a zone: UTC), of Unix seconds or of milliseconds."""
    if type(value) is str and not _NUMBER.fullmatch(value):
        try:
            moment = ciso8601.parse_datetime(value.strip().removesuffix(" UTC"))
            return math.floor((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())
        except (ValueError, OverflowError):
            raise _Wrong(path, _NO_TIME) from None
    try:
        number = _number(value, path)
    except _Wrong:
        raise _Wrong(path, _NO_TIME) from None
    if abs(number) >= MILLISECONDS_FROM:
        number /= 1000
    if abs(number) >= MILLISECONDS_FROM:
        raise _Wrong(path, _NO_TIME)
    return math.floor(number)


@functools.cache
def currencies() -> frozenset[str]:
    """The ISO 4217 codes."""
    import pycountry

    return frozenset(currency.alpha_3 for currency in pycountry.currencies)


def _currency(value: Any, path: str) -> str:
    code = value.strip().upper() if type(value) is str else ""
    if code not in currencies():
        raise _Wrong(path, "is not an ISO 4217 code such as USD")
    return code


_CHECKS: Final[Mapping[str, Check]] = {
    "string": _string,
    "strings": _strings,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "time": _time,
    "currency": _currency,
}
TYPES: Final = frozenset({*_CHECKS, "object"})
