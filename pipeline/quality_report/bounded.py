"""Counting in bounded memory, whatever comes: keys up to a number, frequent keys, event_ids by a sample of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

MOST_IDS: Final = 200_000  # that are remembered, over all groups


class BoundedCounter(Generic[Key]):
    """Counts by key. Of what comes after the first `most` different keys only the number is kept.

    Attributes:
        others: how many had a key that is not among them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: Counter[Key] = Counter()
        self.others = 0

    def add(self, key: Key, number: int = 1) -> bool:
        """Counts; whether the key is one of those that are told apart."""
        if key not in self._counts and len(self._counts) >= self._most:
            self.others += number
            return False
        self._counts[key] += number
        return True

    def merge(self, other: BoundedCounter[Key]) -> None:
        for key, number in other._counts.items():
            self.add(key, number)
        self.others += other.others

    def most_common(self, number: int | None = None) -> list[tuple[Key, int]]:
        """The most frequent first; equally frequent ones in the order of their texts."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], str(item[0])))[:number]

    def __getitem__(self, key: Key) -> int:
        return self._counts[key]

    @property
    def total(self) -> int:
        return sum(self._counts.values()) + self.others


class Frequent(Generic[Key]):
    """Counts the frequent ones of any number of keys, however late they become frequent.

    Up to twice `most` different keys are counted exactly. Beyond, the median of the counts is taken off all of them and
    those without a rest are forgotten, so a count is a lower bound, and a key that is more than one in `most` of all
    that was counted is certainly there. Source: Anderson and others, "A High-Performance Algorithm for Identifying
    Frequent Items in Data Streams", 2017, after Misra and Gries, 1982. Unlike Space-Saving it never gives a key the
    count of another one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[Key, int] = {}

    def add(self, key: Key, number: int = 1) -> int:
        """Counts; gives back how often the key was there at least."""
        count = self._counts.get(key, 0) + number
        self._counts[key] = count
        if len(self._counts) > 2 * self._most:
            median = sorted(self._counts.values())[len(self._counts) // 2]
            self._counts = {each: rest - median for each, rest in self._counts.items() if rest > median}
        return count

    def take(self, key: Key) -> None:
        """Forgets a key."""
        self._counts.pop(key, None)

    def __getitem__(self, key: Key) -> int:
        return self._counts.get(key, 0)

    def __len__(self) -> int:
        return len(self._counts)


class RepeatedIds:
    """How often IDs are repeated, exactly up to `most` different ones, and by a sample of them beyond.

    An ID belongs to the sample by its hash, so all its repeats do; whenever the sample is full, half of the IDs leave
    it ("distinct sampling", Gibbons 2001). Repeats are as rare as one in thousands, where a sketch that only counts
    different IDs (HyperLogLog) errs by more than there are.
    """

    def __init__(self, most: int = MOST_IDS) -> None:
        self._most = most
        self._limit = 1 << 64  # hashes below it are in the sample
        self._counts: dict[Hashable, dict[int, int]] = {}
        self._size = 0

    def add(self, group: Hashable, hashed: bytes) -> None:
        """Counts an ID by its hash, of which the first 8 bytes are evenly distributed."""
        number = int.from_bytes(hashed[:8], "big")
        if number >= self._limit:
            return
        counts = self._counts.setdefault(group, {})
        if number in counts:
            counts[number] += 1
            return
        counts[number] = 1
        self._size += 1
        while self._size > self._most:
            self._halve()

    def _halve(self) -> None:
        self._limit >>= 1
        self._size = 0
        for group, counts in self._counts.items():
            kept = {number: count for number, count in counts.items() if number < self._limit}
            self._counts[group] = kept
            self._size += len(kept)

    def move(self, source: Hashable, target: Hashable) -> None:
        """Counts the IDs of a group with those of another one."""
        moved = self._counts.pop(source, {})
        counts = self._counts.setdefault(target, {})
        for number, count in moved.items():
            self._size -= number in counts
            counts[number] = counts.get(number, 0) + count

    @property
    def sampled(self) -> int:
        """One in how many IDs is counted; 1 for all."""
        return (1 << 64) // self._limit

    def repeats(self, group: Hashable) -> int:
        """How many of a group's IDs had been there before."""
        return sum(count - 1 for count in self._counts.get(group, {}).values()) * self.sampled
