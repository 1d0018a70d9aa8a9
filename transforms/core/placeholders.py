"""Texts that programs write where there is no value: a JavaScript ``undefined``, a database's NULL."""

from __future__ import annotations

from typing import Final

_WORDS: Final = (
    "undefined null none nil n/a #n/a (not_set) not_set (none) (null) <null> [null] (not_provided) not_provided "
    "[object_object] false unknown (unknown)"
)
PLACEHOLDERS: Final = frozenset(word.replace("_", " ") for word in _WORDS.split())
# Compared as they are spelt: Nan is a name.
NOT_A_NUMBER: Final = frozenset({"nan", "NaN", "NAN"})
_LONGEST: Final = max(map(len, PLACEHOLDERS))
# As they mostly are spelt, for a look-up that need not change the text first.
SPELLINGS: Final = NOT_A_NUMBER.union(*({word, word.upper(), word.title(), word.capitalize()} for word in PLACEHOLDERS))


def is_placeholder(text: str) -> bool:
    """Whether a text stands for no value: ``undefined``, ``NULL``, ``N/A``, ``(not set)`` and so on, in any case.

    >>> is_placeholder(" Undefined "), is_placeholder("NaN"), is_placeholder("Nan")
    (True, True, False)
    """
    bare = text.strip()
    return len(bare) <= _LONGEST and (bare.lower() in PLACEHOLDERS or bare in NOT_A_NUMBER)
