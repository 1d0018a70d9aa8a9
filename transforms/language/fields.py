"""The fields of an action: which types a mapped value may have, and what it becomes.

Types are Segment's (string, number, integer, boolean, object; ``multiple`` makes a list of them) and ours where Meta
wants more than a type: ``time`` (→ Unix seconds), ``currency`` (→ ISO 4217), ``strings`` (a string or a list of them).
Conversions are Segment's: "12.12" is a number, 12 a string; "$12", "1,000", NaN and booleans are not numbers.

What cannot be converted rejects the event where it is a field's own value. Inside an object or a list it is left out
instead, and so is an item without the id that it needs, and a key that an object does not know. Each is counted, as
``dropped_<field>``, ``<field>_without_<required>``, ``dropped_from_<object>``; see `left_out`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timezone
from typing import Any, Final

from ciso8601 import parse_datetime

from capybeam.transforms.core.conversions import Count, ignore
from capybeam.transforms.core.placeholders import SPELLINGS
from capybeam.transforms.core.rejections import CODES, Rejected
from capybeam.transforms.standards import countries
from capybeam.transforms.standards.currencies import CURRENCIES
from capybeam.transforms.standards.javascript import number_text

Check = Callable[[Any], Any]
DroppingCheck = Callable[[Any, Count], Any]  # drops what it can, and counts it

NOTHING: Final = SPELLINGS | {""}  # texts that cannot be an id


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of an action, as its preset lists it.

    Attributes:
        choices: the only values allowed, where there are any.
        named: what a text may name in place of a number, of `NUMBERS`.
        properties: an object's own fields; its other keys are dropped. None: any object, kept whole.
        counted_as: what a dropped value of an object's field is counted as, where it is not by the names of both.
        incidental: whether an item without its required fields is skipped without being counted.
    """

    name: str
    type: str
    required: bool = False
    multiple: bool = False
    choices: tuple[Any, ...] = ()
    properties: tuple[Field, ...] | None = None
    named: str | None = None
    incidental: bool = False
    counted_as: str = ""


class FieldError(Exception):
    """A value that does not fit; its path is written only then, from the inside out."""

    def __init__(self, should: str, path: str = "") -> None:
        self.should, self.path = should, path
        super().__init__(should)

    def inside(self, key: str) -> FieldError:
        return type(self)(self.should, key + self.path)

    def __str__(self) -> str:
        return f"{self.path} {self.should}."


class NoChoice(FieldError):
    """A value other than the allowed ones. It rejects the event wherever it is, as at Segment."""


def compile_fields(
    fields: Sequence[Field], mapped: Iterable[str] | None = None, sources: Mapping[str, str] | None = None
) -> Callable[..., dict[str, Any]]:
    """The function that checks and converts what a mapping yielded.

    It takes the values and `count`, which is called for each value that is dropped from an event that goes on.
    At the root null, missing and "" count as no value. It raises Rejected with all problems in one message:
    missing_required_field, invalid_<field> where `CODES` has it, else invalid_field.

    Args:
        mapped: the only fields that the mapping can yield, where that is known; others are not looked for.
        sources: field → where the mapping looks for it, for those who read that it was not there.
    """
    names = None if mapped is None else set(mapped)
    check = _object_checks([field for field in fields if names is None or field.name in names])
    required = [field.name for field in fields if field.required]

    def checked(values: Mapping[str, Any], count: Count = ignore) -> dict[str, Any]:
        notes: list[str] = []
        kept, problems = check(values, notes.append)
        missing = [name for name in required if name not in kept]
        if problems or missing:
            raise _rejected(missing, problems, sources or {})
        for note in notes:
            count(note)
        return kept

    return checked


def compile_check(field: Field) -> Check:
    """The function that checks and converts one value, to None if nothing is left of it.

    It raises FieldError, also where something would be left out: counting that is for `compile_fields`.
    """
    if field.type in _CHECKS and not field.multiple:
        return _simple_check(field)
    check = _dropping_check(field, None)
    return lambda value: check(value, _refuse)


def _refuse(_: str) -> None:
    raise FieldError("would lose a part")


# What a value of a type mostly is, as a Python condition on {0}; such a value is kept as it is.
FAST_CHECKS: Final[Mapping[str, str]] = {
    "string": "type({0}) is str",
    "strings": "type({0}) is str",
    "number": "(type({0}) is float and {0} - {0} == 0) or type({0}) is int",  # infinity less itself is NaN
    "integer": "type({0}) is int",
    "boolean": "type({0}) is bool",
    "currency": "type({0}) is str and {0} in CURRENCIES",
}


def left_out(field: Field, owner: Field | None = None) -> str:
    """The note of a value, or of an item of a list, that is left out.

    Args:
        owner: the field that is the object in which it is; None at the root.
    """
    needed = _needed(field)
    if needed:
        return f"{field.name}_without_{needed[0]}"
    if owner is None:
        return f"dropped_{field.name}"
    return f"dropped_{field.counted_as or f'{owner.name}_{field.name}'}"


def _simple_check(field: Field) -> Check:
    check = _CHECKS[field.type]
    if field.named:
        check = _named_check(check, NUMBERS[field.named])
    return _choice_check(check, field.choices) if field.choices else check


def _dropping_check(field: Field, owner: Field | None) -> DroppingCheck:
    check: DroppingCheck
    if field.type == "object":
        check = _object_check(field)
    elif field.type == "strings":
        check = _strings_check(left_out(field, owner))
    else:
        plain = _simple_check(field)

        def check(value: Any, _: Count) -> Any:
            return plain(value)

    return _list_check(check, left_out(field, owner)) if field.multiple else check


def _object_checks(
    fields: Sequence[Field], owner: Field | None = None
) -> Callable[[Mapping[str, Any], Count], tuple[dict[str, Any], list[FieldError]]]:
    """The function from an object to its fields, checked, and all that is wrong with them.

    Args:
        owner: the field that the object is the value of; None at the root, where what does not fit is wrong.
    """
    prefix = "." if owner else ""
    checks = [
        (field.name, prefix + field.name, _dropping_check(field, owner), left_out(field, owner), not field.required)
        for field in fields
    ]

    def checked(values: Mapping[str, Any], drop: Count) -> tuple[dict[str, Any], list[FieldError]]:
        kept: dict[str, Any] = {}
        problems: list[FieldError] = []
        for name, path, check, note, optional in checks:
            value = values.get(name)
            if value is not None and (owner or value != ""):
                try:
                    value = check(value, drop)
                except FieldError as problem:
                    if owner is None or type(problem) is NoChoice:
                        problems.append(problem.inside(path))
                    elif optional:  # what lacks what it needs is left out as a whole
                        drop(note)
                else:
                    if value is not None:
                        kept[name] = value
        return kept, problems

    return checked


def _rejected(missing: Sequence[str], wrong: Sequence[FieldError], sources: Mapping[str, str]) -> Rejected:
    invalid = {re.split(r"[.\[]", problem.path)[0] for problem in wrong}
    absent = [name for name in missing if name not in invalid]
    sentences = [f"The required field {name!r} has no value{_looked_for(sources.get(name))}." for name in absent]
    sentences += [str(problem) for problem in wrong]
    names = dict.fromkeys([*absent, *(re.sub(r"\[\d+\]", "", problem.path) for problem in wrong)])
    code = "missing_required_field" if absent else _code(wrong[0].path)
    return Rejected(code, " ".join(sentences), field=", ".join(names))


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
            raise NoChoice(f"must be one of {allowed}")
        return value

    return checked


def _named_check(check: Check, number: Callable[[str], int | None]) -> Check:
    def checked(value: Any) -> Any:
        named = number(value) if type(value) is str else None
        return check(value) if named is None else named

    return checked


def _list_check(check: DroppingCheck, note: str) -> DroppingCheck:
    """A list, of the one value where there is only one; nothing is left of an empty list.

    Args:
        note: of an item that is left out.
    """

    def checked(value: Any, drop: Count) -> Any:
        kept = []
        for index, item in enumerate(value if type(value) is list else (value,)):
            if item is None or (type(item) is str and item in NOTHING):
                drop(note)
                continue
            try:
                item = check(item, drop)
            except NoChoice as problem:
                raise problem.inside(f"[{index}]") from None
            except FieldError:
                drop(note)
                continue
            if item is not None:
                kept.append(item)
        return kept or None

    return checked


def _object_check(field: Field) -> DroppingCheck:
    """An object with the fields it knows; None where it lacks one that it needs: an item of contents without an id."""
    if field.properties is None:
        return lambda value, _: _object(value)
    check, known = _object_checks(field.properties, field), frozenset(inner.name for inner in field.properties)
    needed = _needed(field)
    unknown = f"dropped_from_{field.name}"

    def checked(value: Any, drop: Count) -> Any:
        notes: list[str] = []
        kept, problems = check(_object(value), notes.append)
        if problems:
            raise problems[0]
        if any(name not in kept or kept[name] in NOTHING for name in needed):
            if not field.incidental:
                drop(left_out(field))
            return None
        for note in notes:
            drop(note)
        if not value.keys() <= known:
            for key, item in value.items():
                if key not in known and item is not None:
                    drop(unknown)
        return kept

    return checked


def _needed(field: Field) -> list[str]:
    return [inner.name for inner in field.properties or () if inner.required]


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise FieldError("should be an object")
    return value


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(value)
    raise FieldError("should be a string")


def _strings_check(note: str) -> DroppingCheck:
    """One string, or those of a list, in which null does not count.

    Args:
        note: of an item that is left out.
    """

    def checked(value: Any, drop: Count) -> str | list[str]:
        if type(value) is not list:
            return _string(value)
        kept = []
        for item in value:
            if item is not None:
                try:
                    kept.append(_string(item))
                except FieldError:
                    drop(note)
        return kept

    return checked


# No two parts of it can take the same character, so a text that is not a number is recognised without backtracking.
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
    raise FieldError("should be a number")


def _integer(value: Any) -> int:
    number = _number(value)
    if int(number) != number:
        raise FieldError("should be an integer")
    if isinstance(value, str) and (digits := value.strip().lstrip("+-")).isdecimal():
        whole = int(digits.lstrip("0") or "0")  # at most 309 digits, as it is a finite number; Python reads 4,300
        return -whole if "-" in value else whole
    return int(number)


def _boolean(value: Any) -> bool:
    if value is True or value == "true" or (value == 1 and type(value) in (int, float)):
        return True
    if value is False or value == "false" or (value == 0 and type(value) in (int, float)):
        return False
    raise FieldError("should be true or false")


MILLISECONDS_FROM: Final = 10**11  # as seconds the year 5138, as milliseconds 1973
_NO_TIME: Final = "is neither ISO 8601 nor Unix seconds or milliseconds"


def _time(value: Any) -> int:
    """Unix seconds of an ISO 8601 time (without a zone: UTC), or of Unix seconds, milli-, micro- or nanoseconds."""
    if type(value) is not str or (value[4:5] != "-" and _NUMBER.fullmatch(value)):
        return _unix_time(value)
    try:
        moment = parse_datetime(value)
    except ValueError:
        try:
            moment = parse_datetime(_with_zone(value.strip().removesuffix(" UTC")))
        except ValueError:
            raise FieldError(_NO_TIME) from None
    return math.floor((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


def _with_zone(text: str) -> str:
    """The text without the blank in front of the offset that warehouses write: ``2026-11-26 10:00:00.000 +0000``."""
    time, blank, offset = text.rpartition(" ")
    return time.rstrip() + offset if blank and offset[:1] in ("+", "-", "Z") else text


def _unix_time(value: Any) -> int:
    try:
        number = _number(value)
    except FieldError:
        raise FieldError(_NO_TIME) from None
    if abs(number) >= MILLISECONDS_FROM * 1000**3:
        raise FieldError(_NO_TIME)
    while abs(number) >= MILLISECONDS_FROM:  # at most three times; an integer stays exact
        number //= 1000
    return math.floor(number)


def _currency(value: Any) -> str:
    if type(value) is str and value in CURRENCIES:
        return value
    code = value.strip().upper() if type(value) is str else ""
    if code not in CURRENCIES:
        raise FieldError("is not an ISO 4217 code such as USD")
    return code


_CHECKS: Final[Mapping[str, Check]] = {
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "time": _time,
    "currency": _currency,
}
TYPES: Final = frozenset({*_CHECKS, "strings", "object"})


def _ldu_country(text: str) -> int | None:
    code = countries.country(text)
    return int(code == "us") if code else None


def _ldu_state(text: str) -> int | None:
    code = countries.state(text, "us")
    return LDU_STATES.get(code, 0) if code in countries.load().inside["us"].values() else None


# Meta's numbers for Limited Data Use, by name. With 0, Meta locates the person.
NUMBERS: Final[Mapping[str, Callable[[str], int | None]]] = {"ldu_country": _ldu_country, "ldu_state": _ldu_state}
LDU_STATES: Final[Mapping[str, int]] = {
    "ca": 1000, "co": 1001, "ct": 1002, "fl": 1003, "or": 1004, "tx": 1005, "mt": 1006, "de": 1007, "ne": 1008,
    "nh": 1009, "nj": 1010,
}  # fmt: skip
