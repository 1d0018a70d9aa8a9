"""What is shown as normalised is what is hashed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.transforms.core.conversions import ignore
from capybeam.transforms.meta.normalised_forms import NormalisedForm, normalised_forms
from capybeam.transforms.meta.user_data import KEYS, compile_user_data, digest

HASHED = [name for name, key in KEYS.items() if key.hashed]
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["Jane@Example.com", "+1 (650) 555-1212", "0171 1234567", "1990-01-31", "F", "St. Louis", "California", "US-CA",
         "94025-1234", "10115", "Germany", "us", "null", "u_1", "5D41402ABC4B2A76B9719D911017C592"]
    ),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    user_data=st.dictionaries(st.sampled_from(HASHED), VALUES | st.lists(VALUES, max_size=3), max_size=6),
    home=st.sampled_from([None, "US", "DE"]),
)
def test_the_digest_of_a_normalised_form_is_what_is_sent(user_data: dict[str, Any], home: str | None) -> None:
    sent = compile_user_data(home)(user_data, ignore, 1_795_341_600)
    for name in user_data:
        forms = normalised_forms(name, user_data, home)
        hashes = [
            form.normalised if form.already_hashed else digest(form.normalised) for form in forms if form.normalised
        ]
        there = sent.get(KEYS[name].wire, [])
        assert list(dict.fromkeys(hashes)) == ([there] if isinstance(there, str) else there)


@pytest.mark.parametrize(
    ("name", "user_data", "normalised"),
    [
        ("email", {"email": " Jane@Example.com "}, "jane@example.com"),
        ("state", {"state": "California", "country": "US"}, "ca"),
        ("state", {"state": "California", "country": "Germany"}, "california"),
        ("email", {"email": "nobody"}, ""),
    ],
)
def test_the_form_of_a_value(name: str, user_data: dict[str, str], normalised: str) -> None:
    assert normalised_forms(name, user_data) == (NormalisedForm(user_data[name], normalised),)
