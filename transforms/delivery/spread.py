"""Orders in which any few of many are spread over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_GOLDEN: Final = 0.6180339887498949  # whose multiples, less their whole part, are spread evenly however many there are


def spread_index(number: int, count: int) -> int:
    """The `number`-th of places spread over `count`.

    >>> [spread_index(number, 1000) for number in range(5)]
    [0, 618, 236, 854, 472]
    """
    return int(number * _GOLDEN % 1.0 * count)


def spread(count: int) -> Iterator[int]:
    """All of `count` indices in an order in which any few in a row are spread over the whole.

    >>> list(spread(8))
    [0, 4, 1, 6, 3, 2, 5, 7]
    """
    seen = bytearray(count)
    for number in range(count):
        index = spread_index(number, count)
        while seen[index]:
            index = (index + 1) % count
        seen[index] = 1
        yield index
