"""Spelling: a text is squeezed the same way whether or not it could be told beforehand that nothing has to go."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.standards import spelling
from capybeam.transforms.standards.spelling import composed, squeezed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("St. John's", "stjohns"),
        ("Île-de-France", "îledefrance"),
        ("New_York\t(NY)", "newyorkny"),
        ("Ñuñoa", "ñuñoa"),
        ("N\u0303un\u0303oa", "ñuñoa"),
        ("ΟΔΟΣ", "οδος"),
        ("東京", "東京"),
        ("", ""),
        ("--", ""),
    ],
)
def test_letters_and_digits_stay_in_lower_case(text: str, expected: str) -> None:
    assert squeezed(text) == expected


def as_the_rule_says(text: str) -> str:
    return composed(composed(text).translate(spelling._SPECIAL).lower())


def test_every_character_is_squeezed_as_the_rule_says() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    assert [c for c in characters if squeezed(c) != as_the_rule_says(c)] == []


@given(st.text())
def test_every_text_is_squeezed_as_the_rule_says(text: str) -> None:
    assert squeezed(text) == as_the_rule_says(text)
