"""Directives of objects: @merge, @flatten, @omit, @excludeWhenNull, @transform, and @json."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.directives.registry import Option, Value, directive
from capybeam.transforms.language.directives.writer import MappingWriter, string
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING
from capybeam.transforms.standards.json_text import load_json


@directive("@merge", {"direction": Option("choice", True, ("left", "right")), "objects": Option("objects", True)})
def _merge(code: MappingWriter, options: dict[str, Any]) -> Value:
    objects = [code.value(item).code for item in options["objects"]]
    result = code.assign("{}", optional=False)
    for item in objects if options["direction"] == "right" else reversed(objects):
        code.line(f"if type({item}) is dict: {result.code}.update({item})")
    return result


@directive(
    "@flatten",
    {"value": Option("any", True), "separator": Option("text", True), "omitArrays": Option("boolean")},
)
def _flatten(code: MappingWriter, options: dict[str, Any]) -> Value:
    value, separator = code.value(options["value"]).code, code.value(options["separator"]).code
    keep_arrays = bool(options.get("omitArrays"))
    return code.assign(code.call(_flattened, value, code.call(string, separator, "'@flatten'"), str(keep_arrays)))


def _flattened(value: Any, separator: str, keep_arrays: bool) -> Any:
    """One level of an object; Rejected where its keys would be out of all proportion to the keys that they are made of,
    as those of many values below a very long or deep one are.
    """
    if not isinstance(value, (dict, list)):
        return value
    flat: dict[str, Any] = {}
    room = _FLAT_ROOM

    def visit(node: Any, prefix: str, level: int) -> None:
        nonlocal room
        if level > _WRITTEN_LEVELS:
            raise Rejected("too_deeply_nested")
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            name = f"{prefix}{key}"
            room += _FLAT_GROWTH * (len(name) - len(prefix) + 1) - len(name)
            if room < 0:
                raise Rejected("mapping_failed", "@flatten makes keys of this event that are too long.")
            if isinstance(item, dict) or (isinstance(item, list) and not keep_arrays):
                visit(item, name + separator, level + 1)
            else:
                flat[name] = item

    visit(value, "", 1)
    return flat


_WRITTEN_LEVELS: Final = 254  # that orjson writes; it reads 1024
_FLAT_ROOM: Final = 100_000  # characters
_FLAT_GROWTH: Final = 30  # levels of nesting, on average


@directive("@transform", {"apply": Option("object", True), "mapping": Option("any", True)})
def _transform(code: MappingWriter, options: dict[str, Any]) -> Value:
    return code.assign(f"{code.mapping(options['mapping'])}({code.mapping(options['apply'], code.shape)}(e))")


@directive("@excludeWhenNull", Option("any"))
def _exclude_when_null(code: MappingWriter, value: Any) -> Value:
    return code.assign(code.call(_without_nulls, code.value(value).code))


@directive("@omit", {"object": Option("any", True), "keys": Option("strings", True)})
def _omit(code: MappingWriter, options: dict[str, Any]) -> Value:
    value = code.value(options["object"]).code
    keys = code.constant(frozenset(options["keys"]))
    return code.assign(f"{{k: i for k, i in {value}.items() if k not in {keys}}} if type({value}) is dict else {value}")


def _without_nulls(value: Any) -> Any:
    if value is None:
        return MISSING
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


@directive("@json", {"mode": Option("choice", True, ("encode", "decode")), "value": Option("any", True)})
def _json(code: MappingWriter, options: dict[str, Any]) -> Value:
    change = _encode if options["mode"] == "encode" else _decode
    return code.assign(code.call(change, code.value(options["value"]).code))


def _encode(value: Any) -> Any:
    """``JSON.stringify``. Numbers are where it differs from orjson, which writes 3.0 and 1e-07."""
    if value is MISSING:
        return MISSING
    try:
        written = orjson.dumps(value).decode()
    except TypeError as error:
        code = "too_deeply_nested" if "ecursion" in str(error) else "unencodable"  # more than 254 levels
        raise Rejected(code, "A value of the event is nested too deeply for JSON, or JSON cannot carry it.") from None
    suspicious = ".0" in written or "e-" in written or "e+" in written
    return javascript.json_text(value) if suspicious and _FLOAT.search(written) else written


_FLOAT: Final = re.compile(r"[0-9](?:\.0\b|e[-+])")


def _decode(value: Any) -> Any:
    if type(value) is not str:
        return value
    try:
        return load_json(value)
    except orjson.JSONDecodeError:
        return value
