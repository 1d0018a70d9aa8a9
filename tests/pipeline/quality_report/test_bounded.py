"""Counting in bounded memory: exact as long as there is room, honest beyond."""

from __future__ import annotations

import hashlib
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.pipeline.quality_report.bounded import BoundedCounter, Frequent, RepeatedIds


def hashed(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


@settings(deadline=None)
@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_a_bounded_counter_loses_no_count_and_keeps_no_more_keys_than_it_may(keys: list[int], most: int) -> None:
    counter: BoundedCounter[int] = BoundedCounter(most)
    kept = [key for key in keys if counter.add(key)]

    first = list(dict.fromkeys(keys))[:most]
    assert Counter(kept) == Counter(key for key in keys if key in first)
    assert dict(counter.most_common()) == Counter(kept)
    assert counter.others == len(keys) - len(kept)
    assert counter.total == len(keys)


def test_the_most_frequent_come_first_and_others_are_what_is_left() -> None:
    counter: BoundedCounter[str] = BoundedCounter(3)
    for key in "bacabadda":
        counter.add(key)

    assert counter.most_common(2) == [("a", 4), ("b", 2)]
    assert counter.others == 2


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=300), st.integers(1, 6))
def test_a_frequent_key_is_never_missed_and_none_is_counted_more_often_than_it_was_there(
    keys: list[int], most: int
) -> None:
    frequent: Frequent[int] = Frequent(most)
    for key in keys:
        frequent.add(key)

    for key, count in Counter(keys).items():
        assert count - len(keys) / most <= frequent[key] <= count
        assert frequent[key] or count <= len(keys) / most
    assert len(frequent) <= 2 * most


def test_the_ids_of_two_groups_are_counted_as_those_of_one() -> None:
    counted = RepeatedIds()
    for group, number in (("a", 1), ("a", 2), ("b", 2), ("b", 2), ("b", 3)):
        counted.add(group, hashed(number))
    counted.move("b", "a")

    assert (counted.repeats("a"), counted.repeats("b")) == (2, 0)
    assert counted._size == 3


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 20))))
def test_repeats_are_exact_as_long_as_all_ids_are_remembered(ids: list[tuple[str, int]]) -> None:
    counted = RepeatedIds(most=100)
    for group, number in ids:
        counted.add(group, hashed(number))

    for group in "xy":
        of_group = [number for name, number in ids if name == group]
        assert counted.repeats(group) == len(of_group) - len(set(of_group))
    assert counted.sampled == 1


def test_repeats_of_more_ids_than_are_remembered_are_an_estimate() -> None:
    counted = RepeatedIds(most=2_000)
    for number in range(50_000):
        for _ in range(3 if number % 10 == 0 else 1):  # 10,000 repeats
            counted.add("x", hashed(number))

    assert counted.sampled in (32, 64)
    assert 8_000 <= counted.repeats("x") <= 12_000
    assert sum(map(len, counted._counts.values())) <= 2_000
