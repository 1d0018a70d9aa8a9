"""How texts are compared: white space, Unicode's forms, punctuation, diacritics."""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Iterable
from typing import Final, Literal

from capybeam.transforms.standards import javascript

BLANKS: Final = javascript.SPACE  # which the browser's side trims by; U+001C to U+001F and U+0085 are not among them
_JOINERS: Final = "\u200c\u200d"  # which some scripts write words with


class Without(dict[int, int | None]):
    """A table for str.translate that drops characters of some of Unicode's categories, filled as characters turn up."""

    def __init__(self, categories: Iterable[str], also: str = "", but: str = "") -> None:
        super().__init__({ord(character): None for character in also})
        self.update({ord(character): ord(character) for character in but})
        self._categories = tuple(categories)

    def __missing__(self, code: int) -> int | None:
        kept = None if unicodedata.category(chr(code)).startswith(self._categories) else code
        if len(self) < 0x4000:
            self[code] = kept
        return kept


_SPECIAL: Final = Without("PSZC", BLANKS, _JOINERS)
_ASCII_SPECIAL: Final = bytes(code for code in range(128) if _SPECIAL[code] is None)
_INVISIBLE: Final = Without("ZC", BLANKS)


def composed(text: str) -> str:
    """Unicode's composed form (NFC): é can be written in two ways, with two digests."""
    if text.isascii() or (len(text) <= _SHORT and unicodedata.is_normalized("NFC", text)):
        return text
    return normalised("NFC", text)


def normalised(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """A Unicode normalisation form, in time linear in the text.

    Python sorts the marks behind a character by insertion, in time quadratic in their number, so all but the first 30
    go. Source of the bound: UAX #15, Stream-Safe Text Format, by which no text of any language has more.
    """
    if len(text) > _SHORT:
        for mark, two in _DOUBLE_MARKS.items():
            text = text.replace(mark, two)
        text = _MAYBE_MARKS.sub(lambda found: _many_marks().sub(_first_marks, found[0]), text)
    return unicodedata.normalize(form, text)


def _first_marks(found: re.Match[str]) -> str:
    return found[0][:_MOST_MARKS]


_MOST_MARKS: Final = 30
_SHORT: Final = 4 * _MOST_MARKS  # characters of a text whose marks, however many, take no time worth saving
_DOUBLE_MARKS: Final = {mark: unicodedata.normalize("NFKD", mark) for mark in "\u0344\u0f73\u0f75\u0f81"}
_MAYBE_MARKS: Final = re.compile(f"[\u0300-\U0001ffff]{{{_MOST_MARKS + 1},}}")


@functools.cache
def _many_marks() -> re.Pattern[str]:
    """What finds marks beyond the 30th: characters that are some, or fall apart into some."""
    characters = map(chr, range(0x300, 0x20000))
    marks = "".join(c for c in characters if unicodedata.combining(unicodedata.normalize("NFKD", c)[0]))
    return re.compile(f"[{marks}][{marks}]{{{_MOST_MARKS - 1}}}[{marks}]+")


def squeezed(text: str) -> str:
    """Letters and digits in lower case, without blanks, punctuation, symbols and control characters.

    What goes goes first: whether a Greek sigma is a word's last depends on it.

    >>> squeezed("St. John's"), squeezed("Île-de-France")
    ('stjohns', 'îledefrance')
    """
    if text.isascii():
        return text.lower() if text.isalnum() else text.lower().encode().translate(None, _ASCII_SPECIAL).decode()
    return composed((composed(text) if text.isalnum() else composed(text).translate(_SPECIAL)).lower())


def visible(text: str) -> str:
    """The text without white space and invisible characters, such as U+200B."""
    return text.translate(_INVISIBLE)


def plain(text: str) -> str:
    """`squeezed`, and without the marks on Latin letters; only for comparing.

    >>> plain("Türkiye"), plain("Łódź")
    ('turkiye', 'lodz')
    """
    bare = squeezed(text)
    if bare.isascii():
        return bare
    bare = normalised("NFD", bare.translate(_LATIN))
    return normalised("NFC", "".join(c for c in bare if not "\u0300" <= c <= "\u036f"))


# Latin letters that have no decomposition.
_LATIN: Final = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ß": "ss", "æ": "ae", "œ": "oe"}
)


def with_ascii_digits(text: str) -> str:
    """The text with the digits of all scripts, full-width ones too, as 0 to 9."""
    if text.isascii():
        return text
    return normalised("NFKC", text).translate(_DIGITS)


class _Digits(dict[int, int | str]):
    """A table for str.translate that makes ASCII digits of all others, filled as characters turn up."""

    def __missing__(self, code: int) -> int | str:
        character = chr(code)
        digit = str(unicodedata.digit(character)) if character.isdigit() else code
        if len(self) < 0x4000:
            self[code] = digit
        return digit


_DIGITS: Final = _Digits()


PUNCTUATION: Final = string.punctuation + "´"  # the acute accent is often an apostrophe
