"""How inputs are cut into parts for several processes, and in which order the parts are handed out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from capybeam.pipeline.sources import ROW, Part, Source

SMALLEST: Final = 1 << 16  # bytes of a part, where there is more
LARGEST: Final = 1 << 23
_ROUNDS: Final = 8  # parts for each worker, at least, so that all of them end at about the same time


def size_of(sources: Iterable[Source]) -> int:
    """Bytes of all inputs, about; nothing for one of which nothing is known."""
    return sum(source.size.bytes or ROW * (source.size.rows or 0) for source in sources)


def part_size(total: int, workers: int) -> int:
    """Bytes of a part, of inputs that have so many together.

    >>> part_size(1_000, 2), part_size(16_000_000, 2), part_size(3_000_000_000, 2)
    (65536, 1000000, 8388608)
    """
    return min(LARGEST, max(SMALLEST, total // (_ROUNDS * workers)))


def parts_of(sources: Sequence[Source], workers: int) -> list[Part] | None:
    """The parts of all inputs, the largest first; None where one of them cannot be cut, and one process has to read.

    Those of one file are in its order. Raises what opening an input raises.
    """
    size = part_size(size_of(sources), workers)
    parts: list[Part] = []
    for source in sources:
        if source.split is None:
            return None
        parts += source.split(size, workers)
    return sorted(parts, key=lambda part: -part.size)
