"""Which conversions have been processed: a multiset of digests in a file."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.transforms.core import processed
from capybeam.transforms.core.processed import SIZE, Digests, DigestSorter, Names, conversion_digest

PURCHASE = Names("web", "123", "orders", "Purchase")


def sorted_digests(*digests: bytes) -> Digests:
    sorter = DigestSorter()
    for digest in digests:
        sorter.add(digest)
    return sorter.sorted()


# Of few different bytes, so that the end of one digest and the beginning of the next often look like a third.
alike = st.lists(st.lists(st.sampled_from([0, 1, 255]), min_size=SIZE, max_size=SIZE).map(bytes), max_size=60)


@settings(deadline=None, max_examples=25)  # each makes a file
@given(alike)
def test_a_multiset_has_what_was_added_as_often_as_it_was(digests: list[bytes]) -> None:
    found, given_ = sorted_digests(*digests), Counter(digests)
    others = {digest[1:] + digest[:1] for digest in digests} - set(digests)
    assert len(found) == len(digests)
    assert {digest: found.count(digest) for digest in given_} == given_
    assert list(found.distinct()) == sorted(given_.items())
    assert not [digest for digest in others if digest in found or found.count(digest)]


def test_what_does_not_fit_into_memory_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processed, "_BUFFERED", 1000 * SIZE)
    digests = [hashlib.blake2b(str(n % 9_000).encode(), digest_size=SIZE).digest() for n in range(10_500)]
    assert Counter(dict(sorted_digests(*digests).distinct())) == Counter(digests)


def test_an_empty_one_has_nothing() -> None:
    empty = sorted_digests()
    assert (len(empty), bytes(SIZE) in empty, empty.count(bytes(SIZE)), list(empty.distinct())) == (0, False, 0, [])


@pytest.mark.parametrize("name", Names._fields)
def test_conversions_that_differ_in_one_name_are_two(name: str) -> None:
    assert conversion_digest(PURCHASE, "m-1") != conversion_digest(PURCHASE._replace(**{name: "other"}), "m-1")


def test_a_conversion_is_known_by_the_same_digest_in_every_process() -> None:
    assert conversion_digest(PURCHASE, "m-1").hex() == "4a0f54b6ac2d6a4db87c9b9e353c26ea"
    assert conversion_digest(PURCHASE, "m-2") != conversion_digest(PURCHASE, "m-1")
    shifted = PURCHASE._replace(subscription="order", event_name="sPurchase")
    assert conversion_digest(shifted, "m-1") != conversion_digest(PURCHASE, "m-1")
