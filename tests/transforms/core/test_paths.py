"""Paths: what stands at one, and what a key of one names."""

from __future__ import annotations

import pytest

from capybeam.transforms.core.paths import index_of


@pytest.mark.parametrize(
    ("key", "found"), [("0", "a"), ("2", None), ("-1", None), ("1.0", None), ("٣", None), ("9" * 6000, None)]
)
def test_a_key_of_a_path_names_a_position_or_none(key: str, found: str | None) -> None:
    index = index_of(key)
    assert (["a", "b"][index] if index < 2 else None) == found
