"""Texts that stand for no value."""

from __future__ import annotations

import pytest

from capybeam.transforms.core.placeholders import SPELLINGS, is_placeholder


@pytest.mark.parametrize(
    "text",
    ["undefined", "null", "NULL", " Null ", "None", "N/A", "n/a", "(not set)", "(Not Set)", "[object Object]", "false",
     "nan", "NaN", "nil", "unknown"],
)  # fmt: skip
def test_a_placeholder_is_known_in_any_case(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["", "Nan", "na", "Nullarbor", "nobody", "0", "x" * 1000])
def test_another_text_is_none(text: str) -> None:
    assert not is_placeholder(text)


def test_all_spellings_are_placeholders() -> None:
    assert all(map(is_placeholder, SPELLINGS))
