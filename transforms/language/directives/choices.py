"""Directives that choose between values: @if, @coalesce."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from capybeam.transforms.core.placeholders import SPELLINGS
from capybeam.transforms.language.directives.registry import Option, Path, Problem, Value, directive
from capybeam.transforms.language.directives.writer import MappingWriter
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING

MAX_COALESCE: Final = 20  # values of @coalesce


def _check_if(options: Any, path: Path) -> Iterator[Problem]:
    if isinstance(options, dict) and not any(javascript.truthy(options.get(key)) for key in ("exists", "blank")):
        yield Problem(path, 'should have field "exists" or "blank" but it doesn\'t')


@directive("@if", {key: Option("any") for key in ("exists", "blank", "then", "else")}, _check_if)
def _if(code: MappingWriter, options: dict[str, Any]) -> Value:
    exists = "exists" in options
    tested = options["exists" if exists else "blank"]
    value = code.value(tested).code
    # Cheap tests first: most values are texts or missing. What is false may be there all the same: 0, false, [] exist.
    there = f"{value} is not MISSING and {value} is not None"
    blank = code.call(javascript.equals_empty, value)
    if exists:
        there = f"({value} or {there})"
    else:
        there = f"({value} and type({value}) is not list or {there} and {value} != '' and not {blank})"
    itself = options.get("then") == tested
    result = code.assign(value if itself else "MISSING")

    def branch(key: str) -> None:
        code.line(f"{result.code} = {code.value(options[key]).code}")

    otherwise = bool(options.get("else"))  # as at Segment, a falsy else does not count
    if itself:
        with code.block(f"if not {there}:"):
            if otherwise:
                branch("else")
            else:
                code.line(f"{result.code} = MISSING")
        return result
    with code.block(f"if {there}:"):
        if "then" in options:
            branch("then")
        else:
            code.line("pass")
    if otherwise:
        with code.block("else:"):
            branch("else")
    return result


def _check_coalesce(options: Any, path: Path) -> Iterator[Problem]:
    if isinstance(options, list) and not 1 <= len(options) <= MAX_COALESCE:
        yield Problem(path, f"should list 1 to {MAX_COALESCE} values")


@directive("@coalesce", Option("list", True), _check_coalesce)
def _coalesce(code: MappingWriter, options: list[Any]) -> Value:
    """The first of several values that is neither blank nor a placeholder.

    Without one, the first that exists at all, so that the field's check can say why it drops it.
    """
    first = code.value(options[0]).code
    result = code.assign(first)
    r = result.code
    if len(options) == 1:
        return result

    def otherwise(code: MappingWriter) -> str:
        code.line(f"if {there(code, r)}: return {r}")
        values = [r]
        for option in options[1:]:
            value = code.value(option).code
            values.append(value)
            code.line(f"if {there(code, value)}: return {value}")
        return f"MISSING if {' is '.join([*values, 'MISSING'])} else {code.call(_first_existing, *values)}"

    def there(code: MappingWriter, value: str) -> str:
        known, is_nothing = f"{value} not in {nothing(code)}", code.call(_is_nothing, value)
        return f"{value} is not MISSING and ({known} if type({value}) is str else not {is_nothing})"

    def nothing(code: MappingWriter) -> str:
        return code.constant(_NOTHING, "NOTHING")

    with code.block(f"if type({r}) is not str or {r} in {nothing(code)}:"):
        code.line(f"{r} = {code.aside(otherwise, r)}")
    return dataclasses.replace(result, text=True)


_NOTHING: Final = SPELLINGS | {""}


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value in ([], {}, [""])


def _first_existing(*values: Any) -> Any:
    return next((value for value in values if value is not MISSING and value is not None and value != ""), MISSING)
