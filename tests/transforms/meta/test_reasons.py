"""Meta's own words without what they may quote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.meta.reasons import LONGEST, readable
from tests.timing import least_seconds

PERSONAL = [
    "jane.doe@example.com",
    "+44 20 7946 0123",
    "(030) 123-456-78",
    "192.0.2.7",
    "2001:db8::1",
    "a" * 64,
    "u-12345",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Invalid parameter", "Invalid parameter"),
        ("The parameter 'em' must be SHA-256.", "The parameter 'em' must be SHA-256."),
        ("data[0]['user_data']['em'] isn't hashed", "data[]['user_data']['em'] isn't hashed"),
        ("The value 'Jane Doe' is invalid.", "The value '…' is invalid."),
        ('The value "Jane Doe is cut off', 'The value "…"'),
        ("Der Wert „Jane“ folgt ISO 4217 nicht.", "Der Wert „…“ folgt ISO 4217 nicht."),
        ("It is 8 days old, 99% of it (#100)", "It is 8 days old, 99% of it (#100)"),
        ("event_time is 1795367810", "event_time is …"),
        ("See https://example.com/jane?x=1.", "See ….",),
        ("Meta's rules don't allow it", "Meta's rules don't allow it"),
        ("two\nlines\x1b[31m\ttext", "two lines [… text"),
        ("", ""),
    ],
)  # fmt: skip
def test_names_and_words_stay_and_values_do_not(text: str, shown: str) -> None:
    assert readable(text) == shown


@given(st.text(max_size=80), st.sampled_from(PERSONAL), st.text(max_size=80))
def test_no_value_with_the_form_of_personal_data_is_left_wherever_it_stands(
    before: str, value: str, after: str
) -> None:
    assert value not in readable(f"{before} {value} {after}")


@given(st.text(max_size=5000))
def test_whatever_a_text_is_what_is_left_is_one_short_line(text: str) -> None:
    shown = readable(text)
    assert len(shown) <= LONGEST
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["1(" * 5000, "'" * 10_000, "@" * 10_000, "+(" * 5000, "a" * 10_000, "[1]" * 3000])
def test_a_long_text_costs_no_more_than_a_short_one(text: str) -> None:
    assert least_seconds(lambda: readable(text)) < 0.2
