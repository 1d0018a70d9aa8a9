"""The values of conversions in one currency: their distribution, and those that do not look like the others.

Values are counted in ten ranges for each power of ten, by the preferred numbers R10 of ISO 3: a factor of 100 is twenty
ranges, and each third or fourth begins at 1, 2, 5, 10, …
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from capybeam.pipeline.quality_report.numbers import Outliers, ValueBucket, Values

_R10: Final = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")
# Where ranges begin. What is below the first or above the last is counted with it.
EDGES: Final = tuple(float(f"{number}e{decade}") for decade in range(-3, 12) for number in _R10)
_HUNDREDFOLD: Final = 2 * len(_R10)
_AROUND: Final = 3  # ranges: a factor of 50 to 200
_SHOWN: Final = tuple(_R10.index(number) for number in ("1", "2", "5"))  # of ten, where a range of the histogram begins
_LARGEST: Final = 1e300
_FEWEST: Final = 20  # values that say what is usual
_FEWEST_OUTLIERS: Final = 3  # and a share of
_LEAST_SHARE: Final = 0.002


class ValueCounts:
    """Counts values, of which there may be any number."""

    def __init__(self) -> None:
        self._ranges: Counter[int] = Counter()
        self._whole: Counter[int] = Counter()  # those without decimals
        self._count = self._zero = self._negative = 0
        self._total, self._minimum, self._maximum = 0.0, math.inf, -math.inf

    def add(self, value: float) -> None:
        value = min(max(value, -_LARGEST), _LARGEST)  # JSON has integers that no float holds
        self._count += 1
        self._total += value
        if value < self._minimum:
            self._minimum = value
        if value > self._maximum:
            self._maximum = value
        if value > 0:
            place = max(bisect.bisect_right(EDGES, value) - 1, 0)
            self._ranges[place] += 1
            if value % 1 == 0:
                self._whole[place] += 1
        elif value < 0:
            self._negative += 1
        else:
            self._zero += 1

    @property
    def count(self) -> int:
        return self._count

    def merge(self, other: ValueCounts) -> None:
        self._ranges += other._ranges
        self._whole += other._whole
        self._count += other._count
        self._zero += other._zero
        self._negative += other._negative
        self._total += other._total
        self._minimum = min(self._minimum, other._minimum)
        self._maximum = max(self._maximum, other._maximum)

    def numbers(self, currency: str) -> Values:
        """The distribution; there has been a value at least."""
        middle = self._median(self._ranges) if self._ranges else None
        return Values(
            currency=currency,
            count=self._count,
            total=round(self._total, 2),
            minimum=self._minimum,
            maximum=self._maximum,
            median=None if middle is None else _middle(middle),
            buckets=tuple(self._buckets()),
            outliers=tuple(self._outliers()),
        )

    @staticmethod
    def _median(ranges: Counter[int]) -> int:
        """The range that half of the values are up to; there is a value at least."""
        middle = sum(ranges.values()) / 2
        places = sorted(ranges)
        return places[bisect.bisect_left(list(itertools.accumulate(ranges[place] for place in places)), middle)]

    def _buckets(self) -> Iterator[ValueBucket]:
        counts: Counter[int] = Counter()
        for place, count in self._ranges.items():
            counts[_shown(place)] += count
        if counts:
            for bucket in range(min(counts), max(counts) + 1):
                yield ValueBucket(_edge(bucket), _edge(bucket + 1), counts[bucket])

    def _outliers(self) -> Iterator[Outliers]:
        positive = sum(self._ranges.values())
        if positive >= _FEWEST:
            modes = [mode for mode in map(self._second_mode, (1, -1)) if mode]
            yield from modes or self._far(self._median(self._ranges))
        if self._negative:
            yield Outliers("negative", self._negative, None, 0.0, f"{_counted(self._negative)} below zero: refunds?")
        if self._zero:
            yield Outliers(
                "zero", self._zero, 0.0, 0.0, f"{_counted(self._zero)} zero: Meta cannot optimise for these."
            )

    def _second_mode(self, sign: int) -> Outliers | None:
        """The values beyond a valley above (1) or below (-1) the main peak, if they are about 100 times the others.

        A valley is at most half as high as what comes beyond it. Of several the lowest one counts, and then the next
        one to the peak.
        """
        heights = Counter(
            {place: sum(self._ranges[place + step] for step in (-1, 0, 1)) for place in range(len(EDGES))}
        )
        main = max(heights, key=heights.__getitem__)
        least = max(_FEWEST_OUTLIERS, sum(self._ranges.values()) * _LEAST_SHARE)
        valleys: list[tuple[int, int, int, Counter[int]]] = []
        for valley in range(main + sign, len(EDGES) if sign > 0 else -1, sign):
            beyond = Counter({p: count for p, count in self._ranges.items() if (p - valley) * sign > 0})
            others = self._ranges - beyond
            if sum(beyond.values()) < least:
                break
            apart = (self._median(beyond) - self._median(others)) * sign - _HUNDREDFOLD
            peak = max(heights[place] for place in beyond)
            if abs(apart) <= _AROUND and heights[valley] * 2 <= peak:
                valleys.append((heights[valley], len(valleys), valley, beyond))
        if not valleys:
            return None
        _, _, valley, beyond = min(valleys, key=lambda found: found[:2])
        low, high = (EDGES[valley + 1], None) if sign > 0 else (None, EDGES[valley])
        return Outliers("second_mode", sum(beyond.values()), low, high, self._said(beyond, sign))

    def _said(self, beyond: Counter[int], sign: int) -> str:
        count = sum(beyond.values())
        peak = f"{_counted(count, 'form')} a peak of their own, about 100 times"
        if sign < 0:
            return f"{peak} below the others: whole units among cents?"
        without = ", all without decimals" if sum(self._whole[place] for place in beyond) == count else ""
        return f"{peak} above the others{without}: cents where the others are whole units?"

    def _far(self, middle: int) -> Iterator[Outliers]:
        for sign, where in ((1, "above"), (-1, "below")):
            edge = middle + sign * _HUNDREDFOLD
            count = sum(count for place, count in self._ranges.items() if (place - edge) * sign > 0)
            if count:
                low, high = (EDGES[edge + 1], None) if sign > 0 else (None, EDGES[edge])
                message = f"{_counted(count)} more than 100 times {where} the median."
                yield Outliers("far", count, low, high, message)


def _counted(number: int, verb: str = "are") -> str:
    singular: Mapping[str, str] = {"are": "is", "form": "forms"}
    return f"{number:,} value {singular[verb]}" if number == 1 else f"{number:,} values {verb}"


def _middle(place: int) -> float:
    """The middle of a range, as the edges of all of them are spaced."""
    return float(f"{EDGES[place] * 10 ** (0.5 / len(_R10)):.2g}")


def _shown(place: int) -> int:
    """The number of the range of the histogram that a range belongs to."""
    decade, rest = divmod(place, len(_R10))
    return len(_SHOWN) * decade + bisect.bisect_right(_SHOWN, rest) - 1


def _edge(bucket: int) -> float:
    """Where a range of the histogram begins: 1, 2, 5, 10, …"""
    decade, part = divmod(bucket, len(_SHOWN))
    begins = len(_R10) * decade + _SHOWN[part]
    return EDGES[begins] if begins < len(EDGES) else 10 * EDGES[-len(_R10)]
