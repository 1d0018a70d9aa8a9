"""Directives that look something up: @path, @literal, @arrayPath."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from capybeam.transforms.core.paths import get_path, parse_path
from capybeam.transforms.language.directives.checks import described, node_problems, option_problems
from capybeam.transforms.language.directives.registry import (
    Option,
    Path,
    Problem,
    Value,
    check_path,
    directive,
    is_directive,
)
from capybeam.transforms.language.directives.writer import MappingWriter, function_of, null, string


@directive("@path", Option("text"), check_path)
def _path(code: MappingWriter, path: Any) -> Value:
    if isinstance(path, str):
        return Value(code.lookup(parse_path(path)))
    return code.assign(code.call(get_path, "e", code.call(string, code.value(path).code, "'@path'")))


@directive("@literal", Option("any"))
def _literal(code: MappingWriter, value: Any) -> Value:
    return code.value(value)


def _check_array_path(options: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(options, list):
        yield Problem(path, f"should be an array but it is {described(options)}")
    elif not 1 <= len(options) <= 2:
        yield Problem(path, "should have a path and, optionally, the shape of an item")
    else:
        yield from check_path(options[0], (*path, 0))
        yield from option_problems(options[0], Option("text"), (*path, 0))
        for shape in options[1:]:
            yield from node_problems(shape, (*path, 1))


@directive("@arrayPath", None, _check_array_path)
def _array_path(code: MappingWriter, options: list[Any]) -> Value:
    path, shape = options[0], options[1] if len(options) > 1 else None
    if not isinstance(shape, dict) or not shape:
        return Value(code.lookup(parse_path(path)) if isinstance(path, str) else code.value(path).code)
    array, of_items = code.listed(path)
    shaped = function_of(shape, of_items)
    # A directive may yield nothing for an item; an object never does.
    item = code.constant((lambda i: null(shaped(i))) if is_directive(shape) else shaped)
    return code.assign(f"[{item}(i) for i in {array}] if type({array}) is list else {array}")
