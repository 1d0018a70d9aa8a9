"""The fields of an action: which types a mapped value may have, and what it becomes.

Types are Segment's (string, number, integer, boolean, object; ``multiple`` makes a list of them) and ours where Meta
wants more than a type: ``time`` (→ Unix seconds), ``currency`` (→ ISO 4217), ``strings`` (a string or a list of them).
Conversions are Segment's: "12.12" is a number, 12 a string; "$12", "1,000", NaN and booleans are no numbers.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timezone
from typing import Any, Final

import ciso8601

from transforms import countries
from transforms.currencies import CURRENCIES
from transforms.rejections import CODES, Rejected

Check = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of an action, as its preset lists it.

    Attributes:
        choices: the only values allowed, where there are any.
        named: what a text may name in place of a number, of `NUMBERS`.
        properties: an object's own fields; its other keys are dropped. None: any object, kept whole.
    """

    name: str
    type: str
    required: bool = False
    multiple: bool = False
    choices: tuple[Any, ...] = ()
    properties: tuple[Field, ...] | None = None
    named: str | None = None


class Unfit(Exception):
    """A value that does not fit; its path is written only then, from the inside out."""

    def __init__(self, should: str, path: str = "") -> None:
        self.should, self.path = should, path
        super().__init__(should)

    def inside(self, key: str) -> Unfit:
        return Unfit(self.should, key + self.path)

    def __str__(self) -> str:
        return f"{self.path} {self.should}."


def compile_fields(
    fields: Sequence[Field], mapped: Iterable[str] | None = None, sources: Mapping[str, str] | None = None
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """The function that checks and converts what a mapping yielded.

    At the root null, missing and "" count as no value. The function raises Rejected with all problems in one
    message: missing_required_field, invalid_<field> where `CODES` has it, else invalid_field.

    Args:
        mapped: the only fields that the mapping can yield, where that is known; others are not looked for.
        sources: field → where the mapping looks for it, for those who read that it was not there.
    """
    names = None if mapped is None else set(mapped)
    check = _object_checks([field for field in fields if names is None or field.name in names], root=True)
    required = [field.name for field in fields if field.required]

    def checked(values: Mapping[str, Any]) -> dict[str, Any]:
        kept, problems = check(values)
        missing = [name for name in required if name not in kept]
        if problems or missing:
            raise _rejected(missing, problems, sources or {})
        return kept

    return checked


def compile_check(field: Field) -> Check:
    """The function that checks and converts one value; None where nothing is left of it. It raises Unfit."""
    check = _object_check(field.properties) if field.type == "object" else _CHECKS[field.type]
    if field.named:
        check = _named_check(check, NUMBERS[field.named])
    if field.choices:
        check = _choice_check(check, field.choices)
    return _list_check(check) if field.multiple else check


# What a value of a type mostly is, as a Python condition on {0}; such a value is kept as it is.
PLAINLY: Final[Mapping[str, str]] = {
    "string": "type({0}) is str",
    "strings": "type({0}) is str",
    "number": "type({0}) is int or (type({0}) is float and {0} - {0} == 0)",  # infinity less itself is NaN
    "integer": "type({0}) is int",
    "boolean": "type({0}) is bool",
}


def _object_checks(
    fields: Sequence[Field], root: bool
) -> Callable[[Mapping[str, Any]], tuple[dict[str, Any], list[Unfit]]]:
    """The function from an object to its fields, checked, and all that is wrong with them."""
    checks = [(field.name, field.name if root else f".{field.name}", compile_check(field)) for field in fields]

    def checked(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Unfit]]:
        kept: dict[str, Any] = {}
        problems: list[Unfit] = []
        for name, path, check in checks:
            value = values.get(name)
            if value is not None and not (root and value == ""):
                try:
                    value = check(value)
                except Unfit as problem:
                    problems.append(problem.inside(path))
                else:
                    if value is not None:
                        kept[name] = value
        return kept, problems

    return checked


def _rejected(missing: Sequence[str], wrong: Sequence[Unfit], sources: Mapping[str, str]) -> Rejected:
    invalid = {re.split(r"[.\[]", problem.path)[0] for problem in wrong}
    absent = [name for name in missing if name not in invalid]
    sentences = [f"The required field {name!r} has no value{_looked_for(sources.get(name))}." for name in absent]
    sentences += [str(problem) for problem in wrong]
    return Rejected("missing_required_field" if absent else _code(wrong[0].path), " ".join(sentences))


def _looked_for(source: str | None) -> str:
    return f" (looked for {source})" if source else ""


def _code(path: str) -> str:
    code = "invalid_" + path.rpartition(".")[2].partition("[")[0]
    code = "invalid_data_processing_options" if code.startswith("invalid_data_processing_options") else code
    return code if code in CODES else "invalid_field"


def _choice_check(check: Check, choices: tuple[Any, ...]) -> Check:
    allowed = ", ".join(map(str, choices))
    texts = frozenset(choice for choice in choices if isinstance(choice, str))

    def checked(value: Any) -> Any:
        if type(value) is str and value in texts:
            return value
        value = check(value)
        if value not in choices:
            raise Unfit(f"must be one of {allowed}")
        return value

    return checked


def _named_check(check: Check, number: Callable[[str], int | None]) -> Check:
    def checked(value: Any) -> Any:
        named = number(value) if type(value) is str else None
        return check(value) if named is None else named

    return checked


def _list_check(check: Check) -> Check:
    """A list, of the one value where there is only one; empty items go, and nothing is left of an empty list."""

    def checked(value: Any) -> Any:
        kept = []
        for index, item in enumerate(value if type(value) is list else (value,)):
            if item is not None:
                try:
                    item = check(item)
                except Unfit as problem:
                    raise problem.inside(f"[{index}]") from None
                if item is not None:
                    kept.append(item)
        return kept or None

    return checked


def _object_check(properties: tuple[Field, ...] | None) -> Check:
    if properties is None:
        return _object
    check = _object_checks(properties, root=False)
    required = [inner.name for inner in properties if inner.required]

    def checked(value: Any) -> Any:
        kept, problems = check(_object(value))
        if problems:
            raise problems[0]
        # An item of a list that lacks what it needs (contents without an id) is left out, not the whole event.
        for name in required:
            if kept.get(name) in (None, ""):
                return None
        return kept

    return checked


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise Unfit("should be an object")
    return value


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else str(value)
    raise Unfit("should be a string")


def _strings(value: Any) -> str | list[str]:
    if type(value) is list:
        return [_string(item) for item in value if item is not None]
    return _string(value)


# No two parts of it can take the same character, so that a text that is no number is found out in one go.
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def _number(value: Any) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if type(value) is str and _NUMBER.fullmatch(value):
        number = float(value)
        if number.is_integer() and abs(number) < 2**53:
            return int(number)
        if math.isfinite(number):
            return number
    raise Unfit("should be a number")


def _integer(value: Any) -> int:
    number = _number(value)
    if int(number) != number:
        raise Unfit("should be an integer")
    if isinstance(value, str) and (digits := value.strip().lstrip("+-")).isdecimal():
        whole = int(digits.lstrip("0") or "0")  # at most 309 digits, as it is a finite number; Python reads 4,300
        return -whole if "-" in value else whole
    return int(number)


def _boolean(value: Any) -> bool:
    if value is True or value == "true" or (value == 1 and type(value) in (int, float)):
        return True
    if value is False or value == "false" or (value == 0 and type(value) in (int, float)):
        return False
    raise Unfit("should be true or false")


MILLISECONDS_FROM: Final = 10**11  # as seconds the year 5138, as milliseconds 1973
_NO_TIME: Final = "is neither ISO 8601 nor Unix seconds or milliseconds"


_MINUTES: Final[dict[str, int]] = {}  # "2026-11-22T09:58:" → Unix seconds; what `_time` remembers
_SECONDS: Final[dict[str, int]] = {}  # "20.123Z" → 20
_REMEMBERED: Final = 65_536  # of either; a minute has 60,000 milliseconds
_IN_UTC: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?(Z|\+00:?00)?", re.ASCII)


def _time(value: Any) -> int:
    """Unix seconds of an ISO 8601 time (without a zone: UTC), or of Unix seconds or a thousandth of them, as often as
    three times."""
    if type(value) is not str:
        return _unix_time(value)
    minute, second = _MINUTES.get(value[:17]), _SECONDS.get(value[17:])
    if minute is not None and second is not None:
        return minute + second
    if value[4:5] != "-" and _NUMBER.fullmatch(value):
        return _unix_time(value)
    try:
        moment = ciso8601.parse_datetime(_with_zone(value.strip().removesuffix(" UTC")))
        seconds = math.floor((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())
    except (ValueError, OverflowError):
        raise Unfit(_NO_TIME) from None
    if len(_MINUTES) < _REMEMBERED and len(_SECONDS) < _REMEMBERED and _IN_UTC.fullmatch(value):
        _SECONDS[value[17:]] = moment.second
        _MINUTES[value[:17]] = seconds - moment.second
    return seconds


def _with_zone(text: str) -> str:
    """The text without the blank in front of the offset that warehouses write: ``2026-11-26 10:00:00.000 +0000``."""
    time, blank, offset = text.rpartition(" ")
    return time.rstrip() + offset if blank and offset[0] in "+-" else text


def _unix_time(value: Any) -> int:
    try:
        number = _number(value)
    except Unfit:
        raise Unfit(_NO_TIME) from None
    if abs(number) >= 10**9 * MILLISECONDS_FROM:
        raise Unfit(_NO_TIME)
    while abs(number) >= MILLISECONDS_FROM:  # milli-, micro- or nanoseconds
        number /= 1000
    return math.floor(number)


def _currency(value: Any) -> str:
    if type(value) is str and value in CURRENCIES:
        return value
    code = value.strip().upper() if type(value) is str else ""
    if code not in CURRENCIES:
        raise Unfit("is not an ISO 4217 code such as USD")
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


def _ldu_country(text: str) -> int | None:
    code = countries.country(text)
    return int(code == "us") if code else None


def _ldu_state(text: str) -> int | None:
    code = countries.state(text, "us")
    return LDU_STATES.get(code, 0) if code in countries.load().inside["us"].values() else None


# Meta's numbers for Limited Data Use, by name. 0 has Meta find out where the person is.
NUMBERS: Final[Mapping[str, Callable[[str], int | None]]] = {"ldu_country": _ldu_country, "ldu_state": _ldu_state}
LDU_STATES: Final[Mapping[str, int]] = {
    "ca": 1000, "co": 1001, "ct": 1002, "fl": 1003, "or": 1004, "tx": 1005, "mt": 1006, "de": 1007, "ne": 1008,
    "nh": 1009, "nj": 1010,
}  # fmt: skip
