"""Documents of JSON as people and programs garble them, for laws that hold whatever is in an event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
from hypothesis import strategies as st

# Values that mean something else than they seem to, somewhere: no value, the edges of numbers, times that are none,
# digits in other scripts, words that a rule looks for, nesting.
_VALUES: Final = (
    *(None, "", 0, -1, 1, True, False, [], {}, [None], [[]], [{}], ["a"], {"a": 1}, {"": ""}, [1, "a", {}]),
    *(2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1e308, -1e308, 5e-324, 0.1, -0.0),
    *("0" * 5000 + "1", "1" * 5000, "9" * 20, "1e999", "-1e999", "1e-999", "Infinity", "NaN", "-", "+", ".", " " * 500),
    *(
        "x" * 5000,
        "\x00",
        "\t\n",
        "\u2028",
        "\ufeff",
        "é",
        "İ",
        "ß",
        "ﬃ",
        "😀" * 3,
        "²",
        "١٢٣",
        "Ⅷ",
        "\x1f",
        "a/b",
        "a:b",
    ),
    *("0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00", "1990-02-30", "00/00/0000", "99999999999999", "24:00"),
    *("a@b", "@", "http://[", "https://[::1?fbclid=%", "?fbclid=", "%" * 50, "{{", "{{{", "{%", "$.a", "$", "[", '["'),
    *("email", "length", "map", "send", "parse", "validate", "internal_error", "unreadable_row", "base64", "messenger"),
    *("physical_store", "business_messaging", "app", "Purchase", "US", "us-ca", "web", "pages", "__proto__"),
)
JUNK: Final = (
    *map(orjson.dumps, _VALUES),
    *(b'{"a":' * levels + b"1" + b"}" * levels for levels in (100, 300, 1000)),
    *(b"[" * levels + b"]" * levels for levels in (100, 300, 1000)),
)


@st.composite
def edited(draw: st.DrawFn, documents: st.SearchStrategy[Any], *keys: str) -> Any:
    """A document with up to three edits, anywhere in it: a value replaced or removed, a key added.

    Args:
        keys: that may be added, besides odd ones.
    """
    document = orjson.loads(orjson.dumps(draw(documents)))
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in _places(document) if place]
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        parent = document
        for key in parents:
            parent = parent[key]
        how = draw(st.sampled_from(("replace", "replace", "replace", "remove", "add")))
        if how == "remove":
            del parent[last]
        elif how == "add" and isinstance(parent, dict):
            parent[draw(st.sampled_from(("", "0", "length", "a.b", *keys)))] = draw(junk())
        else:
            parent[last] = draw(junk())
    return document


def junk() -> st.SearchStrategy[Any]:
    return st.sampled_from(JUNK).map(orjson.loads)


def _places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys and indices that lead to each part of a document, but for what is far down."""
    yield place
    if isinstance(document, (dict, list)) and len(place) < 20:
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from _places(value, (*place, key))
