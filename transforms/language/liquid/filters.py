"""LiquidJS's filters, as of its version 10.30, but for those that Segment leaves out.

A filter is one function here. What an argument that is missing stands for is LiquidJS's default, and a value of another
type is taken as JavaScript takes it: a filter fails only where LiquidJS does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import random
import re
import time
import unicodedata
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.liquid import dates as liquid_dates
from capybeam.transforms.language.liquid import expressions as liquid_expressions
from capybeam.transforms.language.liquid import values as liquid_values
from capybeam.transforms.language.liquid.expressions import Filter
from capybeam.transforms.language.liquid.values import (
    Literal,
    Rendering,
    Room,
    as_list,
    below,
    equal,
    numeric,
    plain,
    shown,
    size,
)
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING, SPACE

_FILTERS: Final[dict[str, Filter]] = {}
FILTERS: Final[Mapping[str, Filter]] = _FILTERS

_SPACES: Final = re.compile(f"[{SPACE}]+")


def _filter(
    *names: str, most: int | None = 0, exactly: int | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _FILTERS.update(dict.fromkeys(names, Filter(function, most, exactly)))
        return function

    return register


def _failed(sentence: str) -> Rejected:
    return Rejected("template_failed", f"The Liquid template failed: {sentence}")


# --- numbers ----------------------------------------------------------------------------------------------------


def _arithmetic(name: str, function: Callable[..., float], operands: int = 2, most: int | None = 1) -> None:
    """A filter of numbers. An operand that is not there makes NaN of all; one without a value is 0."""

    def calculated(room: Room, *values: Any) -> float:
        numbers = [numeric(value) for value in values]
        missing = [math.nan] * (operands - len(numbers))
        try:
            return function(*numbers, *missing)
        except (OverflowError, ValueError):  # of infinite numbers
            return math.nan

    _filter(name, most=most)(calculated)


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


@_filter("round", most=1)
def _round(room: Room, value: Any, places: Any = 0) -> float:
    number, digits = numeric(value), numeric(places)
    scaled = _shifted(abs(number), digits)
    if not scaled < 2**53:
        return number
    rounded = _shifted(javascript.round_half_up(scaled), -digits)
    return -rounded if number < 0 else rounded


@_filter("to_integer")
def _to_integer(room: Room, value: Any) -> float:
    return javascript.number(plain(value))


# --- texts ------------------------------------------------------------------------------------------------------


@_filter("append", most=1, exactly=1)
def _append(room: Room, value: Any, text: Any) -> str:
    return shown(value) + shown(text)


@_filter("prepend", most=1, exactly=1)
def _prepend(room: Room, value: Any, text: Any) -> str:
    return shown(text) + shown(value)


@_filter("upcase")
def _upcase(room: Room, value: Any) -> str:
    return shown(value).upper()


@_filter("downcase")
def _downcase(room: Room, value: Any) -> str:
    return shown(value).lower()


@_filter("capitalize")
def _capitalize(room: Room, value: Any) -> str:
    text = shown(value)
    first = text[:1]
    return (first.upper() if first <= "\uffff" else first) + text[1:].lower()


def _stripped(strip: Callable[[str, str], str]) -> Callable[[Room, Any, Any], str]:
    def stripped(room: Room, value: Any, characters: Any = None) -> str:
        chosen = shown(characters) if javascript.truthy(plain(characters)) else SPACE
        return strip(shown(value), chosen) if chosen else shown(value)

    return stripped


_filter("strip", most=1)(_stripped(str.strip))
_filter("lstrip", most=1)(_stripped(str.lstrip))
_filter("rstrip", most=1)(_stripped(str.rstrip))


@_filter("strip_newlines")
def _strip_newlines(room: Room, value: Any) -> str:
    return shown(value).replace("\r\n", "").replace("\n", "")


@_filter("normalize_whitespace")
def _normalize_whitespace(room: Room, value: Any) -> str:
    return _SPACES.sub(" ", shown(value))


@_filter("squish")
def _squish(room: Room, value: Any) -> str:
    return _SPACES.sub(" ", shown(value)).strip(" ")


def _pieces(text: str, separator: str) -> list[str]:
    """``text.split(separator)``: without a separator every unit on its own."""
    return text.split(separator) if separator else list(javascript.units(text))


@_filter("split", most=1)
def _split(room: Room, value: Any, separator: Any = "") -> list[str]:
    pieces = _pieces(shown(value), shown(separator))
    while pieces and not pieces[-1]:
        pieces.pop()
    return pieces


@_filter("replace", most=2)
def _replace(room: Room, value: Any, pattern: Any = "", replacement: Any = "") -> str:
    text, old, new = shown(value), shown(pattern), shown(replacement)
    found = text.count(old) if old else max(len(text) - 1, 0)
    room.take(found * len(new))
    return text.replace(old, new) if old else javascript.from_units(new.join(_pieces(text, "")))


@_filter("replace_first", most=2)
def _replace_first(room: Room, value: Any, pattern: Any = "", replacement: Any = "") -> str:
    return shown(value).replace(shown(pattern), shown(replacement), 1)


@_filter("replace_last", most=2)
def _replace_last(room: Room, value: Any, pattern: Any = "", replacement: Any = "") -> str:
    text, old = shown(value), shown(pattern)
    at = text.rfind(old)
    return text if at < 0 else text[:at] + shown(replacement) + text[at + len(old) :]


@_filter("remove", most=1)
def _remove(room: Room, value: Any, pattern: Any = "") -> str:
    return shown(value).replace(shown(pattern), "") if shown(pattern) else shown(value)


@_filter("remove_first", most=1)
def _remove_first(room: Room, value: Any, pattern: Any = "") -> str:
    return shown(value).replace(shown(pattern), "", 1)


@_filter("remove_last", most=1)
def _remove_last(room: Room, value: Any, pattern: Any = "") -> str:
    return str(_replace_last(room, value, pattern))


def _count(number: Any) -> int:
    """How often a loop runs that counts from 0 to below `number`."""
    count = javascript.number(plain(number))
    return math.ceil(min(count, javascript.LARGEST_LENGTH)) if count > 0 else 0


@_filter("truncate", most=2)
def _truncate(room: Room, value: Any, length: Any = MISSING, ending: Any = MISSING) -> Any:
    text, end = shown(value), "..." if ending is MISSING else shown(ending)
    limit = 50.0 if length is MISSING else javascript.number(plain(length))
    return value if len(text) <= _count(limit) else text[: _count(limit - len(end))] + end


@_filter("truncatewords", most=2)
def _truncatewords(room: Room, value: Any, words: Any = MISSING, ending: Any = MISSING) -> str:
    count = 15.0 if words is MISSING else javascript.number(plain(words))
    if count <= 0:
        count = 1.0
    all_words = _SPACES.split(shown(value).lstrip(SPACE))
    kept = " ".join(all_words[: _integer(count)])
    return kept + ("..." if ending is MISSING else shown(ending)) if len(all_words) >= count else kept


@_filter("number_of_words", most=1)
def _number_of_words(room: Room, value: Any, mode: Any = MISSING) -> int:
    text = shown(value).strip(SPACE)
    mode = plain(mode)
    if mode == "cjk" or (mode == "auto" and _CJK.search(text)):
        return len(_CJK.findall(text)) + len(_NOT_CJK.findall(text))
    return len(_SPACES.split(text)) if text else 0


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


@_filter("escape", "xml_escape")
def _escape(room: Room, value: Any) -> str:
    return _escaped(shown(value))


@_filter("escape_once")
def _escape_once(room: Room, value: Any) -> str:
    return _escaped(_ENTITY.sub(lambda found: _UNESCAPES[found[0]], shown(value)))


_TAG_ENDS: Final = {"<script": "</script>", "<style": "</style>", "<!--": "-->", "<": ">"}
_TAG_BEGIN: Final = re.compile("|".join(_TAG_ENDS))


@_filter("strip_html")
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


# --- addresses and digests --------------------------------------------------------------------------------------

_UNRESERVED: Final = "-_.!~*'()"
_HALF_ENCODED: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def _percent_encoded(value: Any, safe: str) -> str:
    try:
        return urllib.parse.quote(javascript.from_units(shown(value)), safe=safe)
    except UnicodeEncodeError:
        raise _failed("half a character cannot be percent-encoded.") from None


@_filter("url_encode")
def _url_encode(room: Room, value: Any) -> str:
    return _percent_encoded(value, _UNRESERVED).replace("%20", "+")


@_filter("cgi_escape")
def _cgi_escape(room: Room, value: Any) -> str:
    return _percent_encoded(value, "-_.~").replace("%20", "+")


@_filter("uri_escape")
def _uri_escape(room: Room, value: Any) -> str:
    return _percent_encoded(value, f"{_UNRESERVED};,/?:@&=+$#[]")


@_filter("url_decode")
def _url_decode(room: Room, value: Any) -> str:
    text = shown(value).replace("+", " ")
    try:
        if not _HALF_ENCODED.search(text):
            return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        pass
    raise _failed("url_decode was given a text that is not percent-encoded.")


_ACCENTS: Final = str.maketrans(
    {
        **{letter: plain_letter for letters, plain_letter in (
            ("àáâãäå", "a"), ("ç", "c"), ("èéêë", "e"), ("ìíîï", "i"), ("ð", "d"), ("ñ", "n"), ("òóôõöø", "o"),
            ("ùúûü", "u"), ("ýÿ", "y"),
        ) for letter in letters},
        "æ": "ae", "ß": "ss", "œ": "oe", "þ": "th", "ẞ": "SS", "Œ": "OE", "Þ": "TH",
    }
)  # fmt: skip
_SLUGS: Final[Mapping[str, Callable[[str], str]]] = {
    "raw": lambda text: _SPACES.sub("-", text),
    "default": lambda text: _dashed(text, ""),
    "latin": lambda text: _dashed(text.translate(_ACCENTS), ""),
    "pretty": lambda text: _dashed(text, "._~!$&'()+,;=@"),
    "ascii": lambda text: re.sub("[^A-Za-z0-9]+", "-", text),
}


def _dashed(text: str, kept: str) -> str:
    """The text with one dash for all between its letters, marks, digits and the characters to be kept."""
    dashes = {
        ord(character): "-"
        for character in set(text)
        if character not in kept
        and unicodedata.category(character)[0] not in "LM"
        and unicodedata.category(character) != "Nd"
    }
    return re.sub("-+", "-", text.translate(dashes)) if dashes else text


@_filter("slugify", most=2)
def _slugify(room: Room, value: Any, mode: Any = MISSING, cased: Any = MISSING) -> str:
    slug = shown(value)
    mode = "default" if mode is MISSING else plain(mode)
    if type(mode) is str and mode in _SLUGS:
        slug = _SLUGS[mode](slug).removeprefix("-").removesuffix("-")
    return slug if javascript.truthy(plain(cased)) else slug.lower()


def _bytes(value: Any) -> bytes:
    return javascript.from_units(shown(value)).encode()


@_filter("base64_encode")
def _base64_encode(room: Room, value: Any) -> str:
    return base64.b64encode(_bytes(value)).decode()


_BASE64: Final = re.compile("[A-Za-z0-9+/]*")


@_filter("base64_decode")
def _base64_decode(room: Room, value: Any) -> str:
    text = re.sub("[\t\n\f\r ]", "", shown(value))
    if len(text) % 4 == 0:
        text = re.sub("==?$", "", text)
    if len(text) % 4 == 1 or not _BASE64.fullmatch(text):
        raise _failed("base64_decode was given a text that is not base64.")
    return binascii.a2b_base64(text + "=" * (-len(text) % 4)).decode("utf-8", "replace")


@_filter("sha256")
def _sha256(room: Room, value: Any) -> str:
    return hashlib.sha256(_bytes(value)).hexdigest()


@_filter("hmac_sha256", most=1)
def _hmac_sha256(room: Room, value: Any, key: Any = "") -> str:
    return hmac.new(_bytes(key), _bytes(value), hashlib.sha256).hexdigest()


# --- lists ------------------------------------------------------------------------------------------------------


@_filter("join", most=1)
def _join(room: Room, value: Any, separator: Any = None) -> str:
    items, separator = as_list(value), plain(separator)
    between = " " if separator is None or separator is MISSING else shown(separator)
    room.take(len(between) * max(len(items) - 1, 0))
    return javascript.join(items, between)


@_filter("first")
def _first(room: Room, value: Any) -> Any:
    return _at(plain(value), 0)


@_filter("last")
def _last(room: Room, value: Any) -> Any:
    return _at(plain(value), -1)


def _at(value: Any, index: int) -> Any:
    if type(value) is str:
        return javascript.units(value[index])[index] if value else ""
    if type(value) is list:
        return value[index] if value else MISSING
    return ""


@_filter("size")
def _size(room: Room, value: Any) -> Any:
    if type(value) is str:
        return javascript.length(value)
    if type(value) is list:
        return len(value)
    length = value.get("length") if type(value) is dict else 0
    return length if javascript.truthy(length) else 0


def _integer(number: Any) -> int:
    """``ToIntegerOrInfinity``, within what a list can hold."""
    whole = javascript.number(plain(number))
    largest = javascript.LARGEST_LENGTH
    return int(min(max(whole, -largest), largest)) if whole == whole else 0


@_filter("slice", most=2)
def _slice(room: Room, value: Any, begin: Any = MISSING, length: Any = MISSING) -> Any:
    value, begin = plain(value), plain(begin)
    length = 1 if length is MISSING else plain(length)
    if value is None or value is MISSING:
        return []
    items = value if type(value) is list else shown(value)
    if javascript.less(begin, 0):
        begin = javascript.plus(len(items), begin)
    if javascript.less(begin, 0) or javascript.less(length, 0):
        return items[:0]
    if type(items) is str:
        return items[_count(begin) : _count(begin) + _count(length)]
    return items[_integer(begin) : _integer(javascript.plus(begin, length))]


@_filter("compact")
def _compact(room: Room, value: Any) -> list[Any]:
    return [item for item in as_list(value) if plain(item) is not None and item is not MISSING]


@_filter("push", most=1)
def _push(room: Room, value: Any, item: Any = MISSING) -> list[Any]:
    room.take(size(item))  # or a list that holds itself twice, and so on, would be without an end
    return [*as_list(value), item]


@_filter("unshift", most=1)
def _unshift(room: Room, value: Any, item: Any = MISSING) -> list[Any]:
    room.take(size(item))
    return [item, *as_list(value)]


@_filter("pop")
def _pop(room: Room, value: Any) -> list[Any]:
    return as_list(value)[:-1]


@_filter("shift")
def _shift(room: Room, value: Any) -> list[Any]:
    return as_list(value)[1:]


@_filter("sum", most=1)
def _sum(room: Room, value: Any, key: Any = MISSING) -> float:
    keys = shown(key).split(".") if javascript.truthy(plain(key)) else []
    total = 0.0
    for item in as_list(value):
        for name in keys:
            item = below(item, name)
        number = javascript.number(plain(item))
        total += number if number == number else 0
    return total


@_filter("where", most=2)
def _where(room: Room, value: Any, key: Any = MISSING, wanted: Any = MISSING) -> list[Any]:
    try:
        path = liquid_expressions.path(shown(key))
    except liquid_expressions.ExpressionError:
        raise _failed("where was given a key that cannot be read.") from None
    chosen: list[Any] = []
    for item in as_list(value):
        found = path(Rendering(item, room)) if path else MISSING
        if liquid_values.is_true(found) if wanted is MISSING else equal(found, wanted):
            chosen.append(item)
    return chosen


@_filter("sample", most=1)
def _sample(room: Room, value: Any, count: Any = MISSING) -> Any:
    """Some of the items, the same ones whenever the same event is mapped again: a repeat must not become another."""
    value = plain(value)
    if value is None or value is MISSING:
        return []
    items = list(value if type(value) is list else shown(value))
    chosen = range(len(items))[: 1 if count is MISSING else _integer(count)]
    sampled = random.Random(shown(value)).sample(items, len(chosen))
    if count is MISSING or plain(count) == 1:
        return sampled[0] if sampled else MISSING
    return sampled


# --- dates ------------------------------------------------------------------------------------------------------


def _dated(room: Room, value: Any, pattern: str, zone: Any = None) -> Any:
    at = liquid_dates.moment(plain(value), time.time)
    try:
        written = None if at is None else liquid_dates.formatted(at, pattern, plain(zone), room.take)
    except liquid_dates.UnknownZone:
        raise _failed("date was given a time zone that is not known.") from None
    return value if written is None else written


@_filter("date", most=2)
def _date(room: Room, value: Any, pattern: Any = None, zone: Any = None) -> Any:
    pattern = plain(pattern)
    chosen = liquid_dates.DEFAULT_FORMAT if pattern is None or pattern is MISSING else shown(pattern)
    return _dated(room, value, chosen, zone)


@_filter("date_to_xmlschema")
def _date_to_xmlschema(room: Room, value: Any) -> Any:
    return _dated(room, value, "%Y-%m-%dT%H:%M:%S%:z")


@_filter("date_to_rfc822")
def _date_to_rfc822(room: Room, value: Any) -> Any:
    return _dated(room, value, "%a, %d %b %Y %H:%M:%S %z")


@_filter("date_to_string", most=2)
def _date_to_string(room: Room, value: Any, kind: Any = MISSING, style: Any = MISSING) -> Any:
    return _dated(room, value, _written_out("%b", kind, style))


@_filter("date_to_long_string", most=2)
def _date_to_long_string(room: Room, value: Any, kind: Any = MISSING, style: Any = MISSING) -> Any:
    return _dated(room, value, _written_out("%B", kind, style))


def _written_out(month: str, kind: Any, style: Any) -> str:
    if kind != "ordinal":
        return f"%d {month} %Y"
    return f"{month} %-d%q, %Y" if style == "US" else f"%-d%q {month} %Y"


# --- anything ---------------------------------------------------------------------------------------------------


@_filter("default", most=None)
def _default(room: Room, value: Any, other: Any = MISSING, *options: Any) -> Any:
    value = plain(value)
    if type(value) in (list, str):
        return value or other
    named = {item[0]: item[1] for item in options if type(item) is list}
    if value is False and javascript.truthy(plain(named.get("allow_false"))):
        return False
    return value if liquid_values.is_true(value) else other


@_filter("json", "jsonify", "inspect", most=1)
def _json(room: Room, value: Any, space: Any = 0) -> Any:
    if value is MISSING:
        return MISSING
    if type(value) is Literal:
        return "{}"
    space = plain(space)
    indent = space[:10] if type(space) is str else ""
    if type(space) in (int, float):
        indent = " " * min(_integer(space), 10)
    return javascript.json_text(value, indent, room.take)


@_filter("raw")
def _raw(room: Room, value: Any) -> Any:
    return value
