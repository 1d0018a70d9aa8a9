"""Paths into an event, such as ``$.a.b[0]["k k"]``, and what stands there."""

from __future__ import annotations

import re
import sys
from typing import Any, Final

from capybeam.transforms.standards.javascript import MISSING


def get_path(payload: Any, path: str) -> Any:
    """What stands at ``$.a.b[0]["k k"]`` of `payload`, or `MISSING`. A falsy parent is its own child, as at Segment."""
    return get_keys(payload, parse_path(path))


def get_keys(payload: Any, keys: tuple[str, ...]) -> Any:
    """As `get_path`, of a path that has been parsed."""
    for key in keys:
        payload = get_key(payload, key)
    return payload


def parse_path(path: str) -> tuple[str, ...]:
    """The keys of a path; none for the root, which is "" or "$.": "$" alone is a key like any other, as at Segment."""
    if path == "$":
        return ("$",)
    return tuple(quoted or quoted2 or plain for quoted, quoted2, plain in _PATH.findall(path.replace("$.", "", 1))
                 if quoted or quoted2 or plain != "$")  # fmt: skip


_PATH: Final = re.compile(r"""\["([^"]*)"\]|\['([^']*)'\]|([^\[\].]+)""")


def get_key(parent: Any, key: str) -> Any:
    """What stands at one key of a value, or `MISSING`."""
    if type(parent) is dict:
        return parent.get(key, MISSING)
    if type(parent) is list or (type(parent) is str and parent):
        if key == "length":
            return len(parent)
        index = index_of(key)
        return parent[index] if index < len(parent) else MISSING
    return parent if not parent else MISSING


def index_of(key: str) -> int:
    """The position in a list that a key of a path names; beyond the end of any list where it names none."""
    return int(key) if key.isdecimal() and len(key) < _LONGEST_INDEX else sys.maxsize


_LONGEST_INDEX: Final = 19  # digits; Python reads 4,300 at most
