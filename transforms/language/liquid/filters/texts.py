"""Filters of texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from capybeam.transforms.language.liquid.filters.registry import SPACES, filter_named, integer, loop_count
from capybeam.transforms.language.liquid.values import (
    Room,
    plain,
    shown,
)
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING, SPACE


@filter_named("append", most=1, exactly=1)
def _append(room: Room, value: Any, text: Any) -> str:
    return shown(value) + shown(text)


@filter_named("prepend", most=1, exactly=1)
def _prepend(room: Room, value: Any, text: Any) -> str:
    return shown(text) + shown(value)


@filter_named("upcase")
def _upcase(room: Room, value: Any) -> str:
    return shown(value).upper()


@filter_named("downcase")
def _downcase(room: Room, value: Any) -> str:
    return shown(value).lower()


@filter_named("capitalize")
def _capitalize(room: Room, value: Any) -> str:
    text = shown(value)
    first = text[:1]
    return (first.upper() if first <= "\uffff" else first) + text[1:].lower()


def _stripped(strip: Callable[[str, str], str]) -> Callable[[Room, Any, Any], str]:
    def stripped(room: Room, value: Any, characters: Any = None) -> str:
        chosen = shown(characters) if javascript.truthy(plain(characters)) else SPACE
        return strip(shown(value), chosen) if chosen else shown(value)

    return stripped


filter_named("strip", most=1)(_stripped(str.strip))
filter_named("lstrip", most=1)(_stripped(str.lstrip))
filter_named("rstrip", most=1)(_stripped(str.rstrip))


@filter_named("strip_newlines")
def _strip_newlines(room: Room, value: Any) -> str:
    return shown(value).replace("\r\n", "").replace("\n", "")


@filter_named("normalize_whitespace")
def _normalize_whitespace(room: Room, value: Any) -> str:
    return SPACES.sub(" ", shown(value))


@filter_named("squish")
def _squish(room: Room, value: Any) -> str:
    return SPACES.sub(" ", shown(value)).strip(" ")


def _pieces(text: str, separator: str) -> list[str]:
    """``text.split(separator)``: without a separator every unit on its own."""
    return text.split(separator) if separator else list(javascript.units(text))


@filter_named("split", most=1)
def _split(room: Room, value: Any, separator: Any = "") -> list[str]:
    pieces = _pieces(shown(value), shown(separator))
    while pieces and not pieces[-1]:
        pieces.pop()
    return pieces


@filter_named("replace", most=2)
def _replace(room: Room, value: Any, pattern: Any = "", replacement: Any = "") -> str:
    text, old, new = shown(value), shown(pattern), shown(replacement)
    found = text.count(old) if old else max(len(text) - 1, 0)
    room.take(found * len(new))
    return text.replace(old, new) if old else javascript.from_units(new.join(_pieces(text, "")))


@filter_named("replace_first", most=2)
def _replace_first(room: Room, value: Any, pattern: Any = "", replacement: Any = "") -> str:
    return shown(value).replace(shown(pattern), shown(replacement), 1)


@filter_named("replace_last", most=2)
def _replace_last(room: Room, value: Any, pattern: Any = "", replacement: Any = "") -> str:
    text, old = shown(value), shown(pattern)
    at = text.rfind(old)
    return text if at < 0 else text[:at] + shown(replacement) + text[at + len(old) :]


@filter_named("remove", most=1)
def _remove(room: Room, value: Any, pattern: Any = "") -> str:
    return shown(value).replace(shown(pattern), "") if shown(pattern) else shown(value)


@filter_named("remove_first", most=1)
def _remove_first(room: Room, value: Any, pattern: Any = "") -> str:
    return shown(value).replace(shown(pattern), "", 1)


@filter_named("remove_last", most=1)
def _remove_last(room: Room, value: Any, pattern: Any = "") -> str:
    return str(_replace_last(room, value, pattern))


@filter_named("truncate", most=2)
def _truncate(room: Room, value: Any, length: Any = MISSING, ending: Any = MISSING) -> Any:
    text, end = shown(value), "..." if ending is MISSING else shown(ending)
    limit = 50.0 if length is MISSING else javascript.number(plain(length))
    return value if len(text) <= loop_count(limit) else text[: loop_count(limit - len(end))] + end


@filter_named("truncatewords", most=2)
def _truncatewords(room: Room, value: Any, words: Any = MISSING, ending: Any = MISSING) -> str:
    count = 15.0 if words is MISSING else javascript.number(plain(words))
    if count <= 0:
        count = 1.0
    all_words = SPACES.split(shown(value).lstrip(SPACE))
    kept = " ".join(all_words[: integer(count)])
    return kept + ("..." if ending is MISSING else shown(ending)) if len(all_words) >= count else kept


@filter_named("number_of_words", most=1)
def _number_of_words(room: Room, value: Any, mode: Any = MISSING) -> int:
    text = shown(value).strip(SPACE)
    mode = plain(mode)
    if mode == "cjk" or (mode == "auto" and _CJK.search(text)):
        return len(_CJK.findall(text)) + len(_NOT_CJK.findall(text))
    return len(SPACES.split(text)) if text else 0


_CJK_RANGES: Final = "\u4e00-\u9fff\uf900-\ufaff\u3400-\u4dbf\u3040-\u309f\u30a0-\u30ff\uac00-\ud7af"
_CJK: Final = re.compile(f"[{_CJK_RANGES}]")
_NOT_CJK: Final = re.compile(f"[^{_CJK_RANGES}{SPACE}]+")

_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}  # & is to be the first
_UNESCAPES: Final = {escaped: character for character, escaped in _ESCAPES.items()}
_ENTITY: Final = re.compile("|".join(_UNESCAPES))


def _escaped(text: str) -> str:
    for character, escaped in _ESCAPES.items():
        text = text.replace(character, escaped)
    return text


@filter_named("escape", "xml_escape")
def _escape(room: Room, value: Any) -> str:
    return _escaped(shown(value))


@filter_named("escape_once")
def _escape_once(room: Room, value: Any) -> str:
    return _escaped(_ENTITY.sub(lambda found: _UNESCAPES[found[0]], shown(value)))


_TAG_ENDS: Final = {"<script": "</script>", "<style": "</style>", "<!--": "-->", "<": ">"}
_TAG_BEGIN: Final = re.compile("|".join(_TAG_ENDS))


@filter_named("strip_html")
def _strip_html(room: Room, value: Any) -> str:
    text = shown(value)
    unclosed: set[str] = set()  # what nothing further on closes is not looked for again
    kept: list[str] = []
    position = 0
    while found := _TAG_BEGIN.search(text, position):
        begin = found.start()
        kept.append(text[position:begin])
        position = begin
        for opening in (found[0], "<"):
            end = -1 if opening in unclosed else text.find(_TAG_ENDS[opening], begin + len(opening))
            if end >= 0:
                position = end + len(_TAG_ENDS[opening])
                break
            unclosed.add(opening)
        if position == begin:
            break
    return "".join(kept) + text[position:]
