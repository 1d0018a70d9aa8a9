"""Personal data known by its form: email addresses."""

from __future__ import annotations

import re
from typing import Final

Span = tuple[int, int]  # of a text, as a slice has it

_AT: Final = re.compile(r"[@\uff20\ufe6b]|%(?:25)*40|&#(?:0*64|x0*40);|&commat;", re.IGNORECASE)
_UNSEEN: Final = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_DOMAIN: Final = re.compile(
    rf"(?:(?:[^\W_]|[{_UNSEEN}-])+(?:\.|%2e|[\u3002\uff0e]))+(xn--[\w-]+|[^\W\d_]{{2,}})", re.IGNORECASE
)
_IN_LOCAL_PART: Final = frozenset(f".+-_%'~{_UNSEEN}")
# mug@2x.png is a picture, and react@18.2.min.js a script.
_FILE_ENDINGS: Final = frozenset(
    "png jpg jpeg gif webp svg avif ico bmp tif tiff pdf css js mjs cjs ts map json html htm php woff".split()
)


def emails(text: str) -> list[Span]:
    """Where email addresses are, also with an at sign that is percent-encoded, HTML's or full-width."""
    if "@" not in text and "%" not in text and "&" not in text and text.isascii():
        return []
    found: list[Span] = []
    free = 0
    for at in _AT.finditer(text):
        start = at.start()
        while start > free and (text[start - 1].isalnum() or text[start - 1] in _IN_LOCAL_PART):
            start -= 1
        free = at.end()
        domain = _DOMAIN.match(text, free) if start < at.start() else None
        if domain and domain[1].lower() not in _FILE_ENDINGS:
            free = domain.end()
            found.append((start, free))
    return found
