"""What of an event may be seen on a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.transforms.meta.masking import Mask, shape

EVENT = {
    "userId": "user_1042",
    "traits": {"email": "jane@example.com", "nick": "Capy", "orders": 20260, "vip": True},
    "properties": {"billing_address": {"street": "Elm Street 5"}, "plan": "pro"},
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jane@example.com", "aaa@aaa.aaa"),
        ("+1 (650) 555-1212", "+9 (999) 999-9999"),
        ("Élise Müller", "Aaaa Aaaa"),
        ("\x1b[2J", "·[9A".replace("[", "·")),
        ("x1" * 500, "a9" * 20 + "…"),
        ("", ""),
    ],
)
def test_the_shape_of_a_text(text: str, shown: str) -> None:
    assert shape(text) == shown


@pytest.mark.parametrize(
    ("value", "path", "shown"),
    [
        (24.9, ("properties", "revenue"), 24.9),
        (True, ("traits", "vip"), True),
        (20260, ("properties", "count"), "99999"),
        ("website", ("action_source",), "website"),
        ("eur", ("properties", "currency"), "eur"),
        ("2026-11-22T09:59:00Z", ("timestamp",), "2026-11-22T09:59:00Z"),
        ("m-1", ("messageId",), "m-1"),
        ("m-jane@example.com", ("messageId",), "a-aaa@aaa.aaa"),
        ("order of capy", ("event",), "aaa aa aaa"),
        ("Signed Up", ("event",), "Signed Up"),
        ("call me", ("properties", "note"), "aaa aa"),
        ("website", ("traits", "source"), "aaa"),
        ("website", ("properties", "customer_email"), "aaa"),
        ("https://shop.example/jane", ("event_source_url",), "https://shop.example/…"),
        ("elm street 5", ("properties", "note"), "aaa aaa 9"),
        (["website", {"email": "x1"}], ("custom_data",), ["website", {"email": "a9"}]),
        ({"jane@example.com": 1}, ("custom_data",), {"aaa@aaa.aaa": "9"}),
        ("8c87b489ce35cf2e2f39f80e282cb2e804932a56a213983eeeb428407d43b52d", ("user_data", "em"), "8c87b489…"),
    ],
)
def test_what_is_personal_is_shown_by_its_shape(value: Any, path: tuple[str, ...], shown: Any) -> None:
    assert Mask(EVENT, frozenset({"website"})).value(value, *path) == shown


def test_everything_is_shown_where_values_are_asked_for() -> None:
    assert Mask(EVENT, show_values=True).value(EVENT) == EVENT


def test_keys_that_are_no_names_are_shown_by_their_shape_unless_the_job_file_has_them() -> None:
    value = {"Jane Doe": {"gift wrap": 1, "plan": 2}, "+49 170 1234567": 3, "u_491701234567": 4, "héllo": 5}

    shown = Mask({}, frozenset({"gift wrap"})).value(value, "custom_data")

    assert shown == {"Aaaa Aaa": {"gift wrap": 1, "plan": 2}, "+99 999 9999999": 3, "a_999999999999": 4, "aaa": 5}
    assert Mask({}, show_values=True).value(value, "custom_data") == value
