"""Filters that encode and decode: parts of addresses, base64, digests."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

from capybeam.transforms.language.liquid.filters.registry import SPACES, failed, filter_named
from capybeam.transforms.language.liquid.values import (
    Room,
    plain,
    shown,
)
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING

_UNRESERVED: Final = "-_.!~*'()"
_HALF_ENCODED: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def _percent_encoded(value: Any, safe: str) -> str:
    try:
        return urllib.parse.quote(javascript.from_units(shown(value)), safe=safe)
    except UnicodeEncodeError:
        raise failed("a lone surrogate cannot be percent-encoded.") from None


@filter_named("url_encode")
def _url_encode(room: Room, value: Any) -> str:
    return _percent_encoded(value, _UNRESERVED).replace("%20", "+")


@filter_named("cgi_escape")
def _cgi_escape(room: Room, value: Any) -> str:
    return _percent_encoded(value, "-_.~").replace("%20", "+")


@filter_named("uri_escape")
def _uri_escape(room: Room, value: Any) -> str:
    return _percent_encoded(value, f"{_UNRESERVED};,/?:@&=+$#[]")


@filter_named("url_decode")
def _url_decode(room: Room, value: Any) -> str:
    text = shown(value).replace("+", " ")
    try:
        if not _HALF_ENCODED.search(text):
            return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        pass
    raise failed("url_decode was given a text that is not percent-encoded.")


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
    "raw": lambda text: SPACES.sub("-", text),
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


@filter_named("slugify", most=2)
def _slugify(room: Room, value: Any, mode: Any = MISSING, cased: Any = MISSING) -> str:
    slug = shown(value)
    mode = "default" if mode is MISSING else plain(mode)
    if type(mode) is str and mode in _SLUGS:
        slug = _SLUGS[mode](slug).removeprefix("-").removesuffix("-")
    return slug if javascript.truthy(plain(cased)) else slug.lower()


def _bytes(value: Any) -> bytes:
    return javascript.from_units(shown(value)).encode()


@filter_named("base64_encode")
def _base64_encode(room: Room, value: Any) -> str:
    return base64.b64encode(_bytes(value)).decode()


_BASE64: Final = re.compile("[A-Za-z0-9+/]*")


@filter_named("base64_decode")
def _base64_decode(room: Room, value: Any) -> str:
    text = re.sub("[\t\n\f\r ]", "", shown(value))
    if len(text) % 4 == 0:
        text = re.sub("==?$", "", text)
    if len(text) % 4 == 1 or not _BASE64.fullmatch(text):
        raise failed("base64_decode was given a text that is not base64.")
    return binascii.a2b_base64(text + "=" * (-len(text) % 4)).decode("utf-8", "replace")


@filter_named("sha256")
def _sha256(room: Room, value: Any) -> str:
    return hashlib.sha256(_bytes(value)).hexdigest()


@filter_named("hmac_sha256", most=1)
def _hmac_sha256(room: Room, value: Any, key: Any = "") -> str:
    return hmac.new(_bytes(key), _bytes(value), hashlib.sha256).hexdigest()
