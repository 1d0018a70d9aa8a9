"""Directives that make texts: @template, @case, @replace, @words, @liquid."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from capybeam.transforms.core.function_writer import literal
from capybeam.transforms.core.paths import get_keys, parse_path
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.directives.checks import described
from capybeam.transforms.language.directives.registry import Option, Path, Problem, Value, check_keys, directive
from capybeam.transforms.language.directives.writer import MappingWriter, string
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING

MAX_REPLACE: Final = 10  # characters of @replace's pattern and replacement, as at Segment
MAX_LIQUID: Final = 1000  # characters of a template, as at Segment
MAX_RENDERED: Final = 1_000_000  # characters made by a template that the event itself brings


def _check_template(template: Any, path: Path) -> Iterator[Problem]:
    parts = template_parts(template) if isinstance(template, str) else ()
    return check_keys((part for part in parts if isinstance(part, tuple)), path)


@directive("@template", Option("text"), _check_template)
def _template(code: MappingWriter, template: Any) -> Value:
    if not isinstance(template, str):
        return code.assign(
            code.call(_render, "e", code.call(string, code.value(template).code, "'@template'")), optional=False
        )
    # Literals side by side, which Python makes one of: it would take additions for so many levels of nesting.
    pieces = [
        literal(part) if isinstance(part, str) else f"f'{{{code.call(_text, code.lookup(part))}}}'"
        for part in template_parts(template)
    ]
    return code.assign(" ".join(pieces) or "''", optional=False)


def template_parts(template: str) -> Iterator[str | tuple[str, ...]]:
    """The text of a template, and the keys of its paths. As at Segment, {{{ }}} are looked for first, then {{ }}."""
    for index, part in enumerate(_split_placeholders(template, 3)):
        if index % 2:
            yield parse_path(part.strip(javascript.SPACE))
            continue
        for inner, piece in enumerate(_split_placeholders(part, 2)):
            if inner % 2:
                yield parse_path(piece.strip(javascript.SPACE))
            elif piece:
                yield piece


def _split_placeholders(template: str, braces: int) -> Iterator[str]:
    """Text and placeholders in turns, as ``re.split`` by ``{{([^}]+)}}``, which takes the square of many braces."""
    begin = behind_braces = 0
    for found in _CLOSING.finditer(template):
        end = found.start()
        opening = template.find("{" * braces, behind_braces, end)
        inside, behind_braces = opening + braces, found.end()
        if opening >= 0 and inside < end and behind_braces - end >= braces:
            yield template[begin:opening]
            yield template[inside:end]
            begin = end + braces
    yield template[begin:]


_CLOSING: Final = re.compile(r"\}+")


def _text(value: Any) -> str:
    """A value as JavaScript's String() writes it, missing and null as nothing."""
    if type(value) is str:
        return value
    if value is None or value is MISSING:
        return ""
    try:
        return javascript.text(value)
    except RecursionError:
        raise Rejected("too_deeply_nested") from None


def _render(payload: Any, template: str) -> str:
    """The text of a template that the event brings; its values, put in over and over, could be the square of it."""
    room = MAX_RENDERED
    pieces: list[str] = []
    texts: dict[tuple[str, ...], str] = {}
    for part in template_parts(template):
        if isinstance(part, str):
            piece = part
        elif part in texts:
            piece = texts[part]
        else:
            piece = texts[part] = _text(get_keys(payload, part))
        room -= len(piece)
        if room < 0:
            raise Rejected("mapping_failed", f"@template makes more than {MAX_RENDERED:,} characters of this event.")
        pieces.append(piece)
    return "".join(pieces)


@directive("@case", {"operator": Option("choice", True, ("lower", "upper")), "value": Option("text")})
def _case(code: MappingWriter, options: dict[str, Any]) -> Value:
    if not options.get("value"):
        return Value("MISSING")
    value = code.value(options["value"]).code
    return code.assign(f"{value}.{options['operator']}() if type({value}) is str else {value}")


@directive(
    "@replace",
    {
        "pattern": Option("string", True, shortest=1, longest=MAX_REPLACE),
        "replacement": Option("string", longest=MAX_REPLACE),
        "pattern2": Option("string", longest=MAX_REPLACE),
        "replacement2": Option("string", longest=MAX_REPLACE),
        "value": Option("text", True),
        "ignorecase": Option("boolean"),
        "global": Option("boolean"),
    },
)
def _replace(code: MappingWriter, options: dict[str, Any]) -> Value:
    if not options["value"]:
        return Value("MISSING")
    flags = re.IGNORECASE if options.get("ignorecase") else re.RegexFlag(0)
    count = 0 if options.get("global", True) else 1
    rules = [
        _replacer(re.compile(re.escape(options[pattern]), flags), options.get(replacement) or "", count)
        for pattern, replacement in (("pattern", "replacement"), ("pattern2", "replacement2"))
        if options.get(pattern)
    ]

    def replaced(value: Any) -> str:
        if not isinstance(value, (str, bool, int, float)):
            return ""
        text = _text(value)
        for replace in rules:
            text = replace(text)
        return text

    return code.assign(f"{code.constant(replaced)}({code.value(options['value']).code})", optional=False)


_REPLACED: Final = re.compile(r"\$([$&`'])")
_REPLACE_ROOM: Final = (20_000, 16)  # characters that may be put in, and so many more for each of the text's own


def _replacer(pattern: re.Pattern[str], replacement: str, count: int) -> Callable[[str], str]:
    """Replaces the matches of a pattern. As in JavaScript, $& is the match, $` and $' what stands before and behind it,
    and $$ a dollar. The middle two repeat the text, and so there is a bound: Rejected (mapping_failed).
    """
    pieces = _REPLACED.split(replacement)  # literal text, and the signs between
    if not {"`", "'"} & set(pieces[1::2]):
        around = [""]  # the text around each match
        for index, piece in enumerate(pieces):
            if index % 2 and piece == "&":
                around.append("")
            else:
                around[-1] += piece
        split = re.compile(f"({pattern.pattern})", pattern.flags)

        def surround(text: str) -> str:
            parts = split.split(text, maxsplit=count)
            parts[1::2] = [found.join(around) for found in parts[1::2]]
            return "".join(parts)

        return surround

    def replace(text: str) -> str:
        base, factor = _REPLACE_ROOM
        room = base + factor * len(text)

        def written(found: re.Match[str]) -> str:
            nonlocal room
            parts = []
            for index, part in enumerate(pieces):
                if index % 2 and part != "$":
                    part = found[0] if part == "&" else text[: found.start()] if part == "`" else text[found.end() :]
                parts.append(part)
                room -= len(part)
                if room < 0:
                    raise Rejected("mapping_failed", "@replace makes too much text of this event.")
            return "".join(parts)

        return pattern.sub(written, text, count=count)

    return replace


@directive("@words", {"value": Option("any", True), "take": Option("choice", True, ("first", "rest"))})
def _words(code: MappingWriter, options: dict[str, Any]) -> Value:
    take = _first_words if options["take"] == "first" else _rest_words
    return code.assign(code.call(take, code.value(options["value"]).code))


def _first_words(value: Any) -> Any:
    if type(value) is not str:
        return _no_words(value)
    words = value.split(None, 1)
    return words[0] if words else MISSING


def _rest_words(value: Any) -> Any:
    if type(value) is not str:
        return _no_words(value)
    words = value.split(None, 1)
    return words[1] if len(words) > 1 else MISSING


def _no_words(value: Any) -> Any:
    """An object or a list stays, for the field to refuse and to count."""
    return value if type(value) in (dict, list) else MISSING


def _check_liquid(template: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(template, str):
        yield Problem(path, f"should be a string but it is {described(template)}")
    elif len(template) > MAX_LIQUID:
        yield Problem(path, f"liquid template values are limited to {MAX_LIQUID} characters")
    else:
        from capybeam.transforms.language.liquid import (
            templates as liquid_templates,
        )  # the Liquid engine is slow to import and seldom needed

        yield from (Problem(path, message) for message in liquid_templates.problems(template))


@directive("@liquid", None, _check_liquid)
def _liquid(code: MappingWriter, template: str) -> Value:
    from capybeam.transforms.language.liquid import templates as liquid_templates

    return code.assign(f"{code.constant(liquid_templates.compile_template(template))}(e)", optional=False)
