"""JSON text → values. A character that was cut in half costs that character, which becomes U+FFFD, and nothing else.

What was cut is an emoji, as a rule, by a sender that counts UTF-16 units or bytes. It arrives as an escape without its
other half (``\\ud83d``), as half a pair in bytes (CESU-8, which Java writes), or as the first bytes of four. All other
bytes that are not UTF-8 mean another encoding, in which every name would be hashed wrongly: they stay an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import orjson

REPLACED: Final = "replaced_characters"  # how it is counted


def load_json(text: bytes | str, count: Callable[[str], None] | None = None) -> Any:
    """What a JSON text says. Good text costs nothing more than reading it; other text is read a second time.

    Args:
        count: is called with `REPLACED` where characters were.

    Raises:
        orjson.JSONDecodeError
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        given = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        whole = whole_characters(given)
        whole = whole and _ESCAPES.sub(_whole_escape, whole)
        if whole is None or whole == given:
            raise
    value = orjson.loads(whole)
    if count is not None:
        count(REPLACED)
    return value


def whole_characters(text: bytes) -> bytes | None:
    """UTF-8 without halves of characters; None where bytes are not UTF-8 for another reason."""
    try:
        text.decode()
    except UnicodeDecodeError:
        pass
    else:
        return text
    try:
        pairs = _CUT_EMOJI.sub("\ufffd".encode(), text).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return pairs.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


# The first two or three bytes of one of U+1F000 to U+1FFFF, where the emoji are. No text in an encoding of one byte a
# character has them: the second would be a control character there.
_CUT_EMOJI: Final = re.compile(rb"\xf0\x9f[\x80-\xbf]?(?![\x80-\xbf])")

# Every escape, so that an escaped backslash is not taken for the beginning of another; group 1 is half a pair.
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def _whole_escape(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found[1] else found[0]
