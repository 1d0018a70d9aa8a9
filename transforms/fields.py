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
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timezone
from typing import Any, Final

import ciso8601

from transforms.rejections import CODES, Rejected

Check = Callable[[Any], Any]


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
    """A value that does not fit; its path is written only then, from the inside out."""

    def __init__(self, should: str, path: str = "") -> None:
        self.should, self.path = should, path
        super().__init__(should)

    def inside(self, key: str) -> _Wrong:
        return _Wrong(self.should, key + self.path)

    def __str__(self) -> str:
        return f"{self.path} {self.should}."


def compile_fields(
    fields: Sequence[Field], mapped: Iterable[str] | None = None
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """The function that checks and converts what a mapping yielded.

    At the root null, missing and "" count as no value. The function raises Rejected with all problems in one
    message: missing_required_field, invalid_<field> where `CODES` has it, else invalid_field.

    Args:
        mapped: the only fields that the mapping can yield, where that is known; others are not looked for.
    """
    names = None if mapped is None else set(mapped)
    check = _compile([field for field in fields if names is None or field.name in names], root=True)
    required = frozenset(field.name for field in fields if field.required)

    def checked(values: Mapping[str, Any]) -> dict[str, Any]:
        wrong: list[_Wrong] = []
        kept = check(values, wrong)
        if wrong or not kept.keys() >= required:
            raise _rejected([field.name for field in fields if field.name in required - kept.keys()], wrong)
        return kept

    return checked


# What a value of a type mostly is, as a Python condition; what is not goes through the type's check.
_PLAINLY: Final[Mapping[str, str]] = {
    "string": "type(v) is str",
    "strings": "type(v) is str",
    "number": "type(v) is int or (type(v) is float and v - v == 0)",  # infinity and NaN less themselves are NaN
    "integer": "type(v) is int",
    "boolean": "type(v) is bool",
}


def _compile(fields: Sequence[Field], root: bool) -> Callable[[Mapping[str, Any], list[_Wrong]], dict[str, Any]]:
    """One Python function for an object's fields, in a row: looked up, checked, kept."""
    namespace: dict[str, Any] = {"_Wrong": _Wrong}
    lines = ["def checked(values, wrong):", "    get = values.get", "    kept = {}"]
    for index, field in enumerate(fields):
        name, path, plainly = field.name, field.name if root else f".{field.name}", _PLAINLY.get(field.type)
        namespace[f"check{index}"] = _check(field)
        lines += [f"    v = get({name!r})"]
        if plainly and not field.multiple:
            if field.choices:
                namespace[f"choices{index}"] = frozenset(field.choices)
                plainly = f"({plainly}) and v in choices{index}"
            keep = f"kept[{name!r}] = v"
            lines += [f"    if {plainly}:", f"        if v != '': {keep}" if root else f"        {keep}"]
        lines += [
            f"    {'elif' if plainly and not field.multiple else 'if'} v is not None{' and v != str()' if root else ''}:",
            f"        try: v = check{index}(v)",
            f"        except _Wrong as problem: wrong.append(problem.inside({path!r})); v = None",
            f"        if v is not None: kept[{name!r}] = v",
        ]
    exec(compile("\n".join([*lines, "    return kept"]), "<fields>", "exec"), namespace)
    function: Callable[[Mapping[str, Any], list[_Wrong]], dict[str, Any]] = namespace["checked"]
    return function


def _rejected(missing: Sequence[str], wrong: Sequence[_Wrong]) -> Rejected:
    invalid = {re.split(r"[.\[]", problem.path)[0] for problem in wrong}
    absent = [name for name in missing if name not in invalid]
    sentences = [f"The required field {name!r} has no value." for name in absent] + [str(problem) for problem in wrong]
    return Rejected("missing_required_field" if absent else _code(wrong[0].path), " ".join(sentences))


def _code(path: str) -> str:
    code = "invalid_" + path.rpartition(".")[2].partition("[")[0]
    code = "invalid_data_processing_options" if code.startswith("invalid_data_processing_options") else code
    return code if code in CODES else "invalid_field"


def _check(field: Field) -> Check:
    check = _object_check(field.properties) if field.type == "object" else _CHECKS[field.type]
    if field.choices:
        check = _choice_check(check, field.choices)
    return _list_check(check) if field.multiple else check


def _choice_check(check: Check, choices: tuple[Any, ...]) -> Check:
    allowed = ", ".join(map(str, choices))
    texts = frozenset(choice for choice in choices if isinstance(choice, str))

    def checked(value: Any) -> Any:
        if type(value) is str and value in texts:
            return value
        value = check(value)
        if value not in choices:
            raise _Wrong(f"must be one of {allowed}")
        return value

    return checked


def _list_check(check: Check) -> Check:
    """A list, of the one value where there is only one; empty items go, and nothing is left of an empty list."""

    def checked(value: Any) -> Any:
        kept = []
        for index, item in enumerate(value if type(value) is list else (value,)):
            if item is not None:
                try:
                    item = check(item)
                except _Wrong as problem:
                    raise problem.inside(f"[{index}]") from None
                if item is not None:
                    kept.append(item)
        return kept or None

    return checked


def _object_check(properties: tuple[Field, ...] | None) -> Check:
    if properties is None:
        return _object
    check = _compile(properties, root=False)
    texts = frozenset(inner.name for inner in properties if inner.type in ("string", "strings") and not inner.choices)
    required = [inner.name for inner in properties if inner.required]
    nothing_but_text = {str}

    def checked(value: Any) -> Any:
        if not required and texts.issuperset(_object(value)) and set(map(type, value.values())) == nothing_but_text:
            return value  # as user_data nearly always is
        wrong: list[_Wrong] = []
        kept = check(_object(value), wrong)
        if wrong:
            raise wrong[0]
        # An item of a list that lacks what it needs (contents without an id) is left out, not the whole event.
        for name in required:
            if kept.get(name) in (None, ""):
                return None
        return kept

    return checked


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Wrong("should be an object")
    return value


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else str(value)
    raise _Wrong("should be a string")


def _strings(value: Any) -> str | list[str]:
    if type(value) is list:
        return [_string(item) for item in value if item is not None]
    return _string(value)


_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def _number(value: Any) -> int | float:
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is str and _NUMBER.fullmatch(value):
        value = float(value)
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
        if math.isfinite(value):
            return value
    raise _Wrong("should be a number")


def _integer(value: Any) -> int:
    number = _number(value)
    if int(number) != number:
        raise _Wrong("should be an integer")
    return int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else int(number)


def _boolean(value: Any) -> bool:
    if value is True or value == "true" or (value == 1 and type(value) in (int, float)):
        return True
    if value is False or value == "false" or (value == 0 and type(value) in (int, float)):
        return False
    raise _Wrong("should be true or false")


MILLISECONDS_FROM: Final = 10**11  # as seconds the year 5138, as milliseconds 1973
_NO_TIME: Final = "is neither ISO 8601 nor Unix seconds or milliseconds"


def _time(value: Any) -> int:
    """Unix seconds of an ISO 8601 time (without a zone: UTC), of Unix seconds or of milliseconds."""
    if type(value) is str and (value[4:5] == "-" or not _NUMBER.fullmatch(value)):
        try:
            moment = ciso8601.parse_datetime(value.strip().removesuffix(" UTC"))
            return math.floor((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())
        except (ValueError, OverflowError):
            raise _Wrong(_NO_TIME) from None
    try:
        number = _number(value)
    except _Wrong:
        raise _Wrong(_NO_TIME) from None
    if abs(number) >= MILLISECONDS_FROM:
        number /= 1000
    if abs(number) >= MILLISECONDS_FROM:
        raise _Wrong(_NO_TIME)
    return math.floor(number)


@functools.cache
def currencies() -> frozenset[str]:
    """The ISO 4217 codes."""
    import pycountry

    return frozenset(currency.alpha_3 for currency in pycountry.currencies)


def _currency(value: Any) -> str:
    if type(value) is str and value in currencies():
        return value
    code = value.strip().upper() if type(value) is str else ""
    if code not in currencies():
        raise _Wrong("is not an ISO 4217 code such as USD")
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
