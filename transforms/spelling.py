"""How texts are compared: white space, Unicode's forms, punctuation, diacritics."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable
from typing import Final

# JavaScript's white space, which the browser's side trims by: U+FEFF is, U+001C to U+001F and U+0085 are not.
BLANKS: Final = (
    "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
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
_INVISIBLE: Final = Without("ZC", BLANKS)


def composed(text: str) -> str:
    """Unicode's composed form (NFC): é can be written in two ways, with two digests."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def squeezed(text: str) -> str:
    """Letters and digits in lower case, without blanks, punctuation, symbols and control characters.

    What goes goes first: whether a Greek sigma is a word's last depends on it.

    >>> squeezed("St. John's"), squeezed("Île-de-France")
    ('stjohns', 'îledefrance')
    """
    if text.isalnum() and text.isascii():
        return text.lower()
    return composed(composed(text).translate(_SPECIAL).lower())


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
    bare = unicodedata.normalize("NFD", bare.translate(_LATIN))
    return unicodedata.normalize("NFC", "".join(c for c in bare if not "\u0300" <= c <= "\u036f"))


# Latin letters that have no decomposition.
_LATIN: Final = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ß": "ss", "æ": "ae", "œ": "oe"}
)


def with_ascii_digits(text: str) -> str:
    """The text with the digits of all scripts, full-width ones too, as 0 to 9."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in text)


PUNCTUATION: Final = string.punctuation + "´"  # the acute accent is often an apostrophe
