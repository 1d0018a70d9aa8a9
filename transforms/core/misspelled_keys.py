"""Keys that are spelt like one of Segment's and are not: ``Type``, ``user_id``, ``Message ID``.

No trigger and no mapping that was written for Segment finds what is under such a key, so it has to be said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

_KEYS: Final = (
    *("type", "event", "messageId", "userId", "anonymousId", "timestamp"),
    *("properties", "traits", "context"),
)


def _spellings(key: str) -> Iterator[str]:
    """Other spellings of a key in camel case: of other languages, of databases, of headings."""
    words = re.findall(r"[A-Z]?[a-z]+", key)
    lower = [word.lower() for word in words]
    for parts in (lower, [word.capitalize() for word in lower], [word.upper() for word in lower]):
        for joint in ("_", "-", " ", ""):
            yield joint.join(parts)
    if lower[-1] == "id":
        first = lower[0]
        for start in (first, first.capitalize()):
            for joint in ("_", "-", " ", ""):
                yield f"{start}{joint}ID"
    if key == "timestamp":
        yield from ("timeStamp", "TimeStamp", "time_stamp", "Time Stamp")


MEANT: Final = {spelling: key for key in _KEYS for spelling in _spellings(key) if spelling != key}
"""Spelling → the key of Segment's."""


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Those of the names that are spelt like a key which is not among them → that key.

    >>> misspelt(["Type", "event", "user_id", "userId"])
    {'Type': 'type'}
    """
    there = dict.fromkeys(names)
    return {name: MEANT[name] for name in there if name in MEANT and MEANT[name] not in there}


def did_you_mean(found: Mapping[str, str]) -> str:
    """A sentence about what `misspelt` has found; "" if that is nothing."""
    return " ".join(f"{name}: did you mean {key}?" for name, key in found.items())
