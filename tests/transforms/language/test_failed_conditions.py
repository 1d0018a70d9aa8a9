"""Why a trigger does not take an event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.transforms.language.failed_conditions import compile_failed_condition, nearest
from capybeam.transforms.language.triggers import compile_trigger

TRACK = {"type": "track", "event": "Signed Up", "properties": {"n": "5", "tags": ["a", "b"]}}


@pytest.mark.parametrize(
    ("trigger", "condition", "field", "type_"),
    [
        ('type = "page"', 'type = "page"', "type", "string"),
        ('type = "track" and event = "Order"', 'event = "Order"', "event", "string"),
        ('type = "track" and (event = "X" or event = "Sign Up")', 'event = "Sign Up"', "event", "string"),
        ('event = "A" or (type = "track" and properties.n >= 3)', "properties.n >= 3", "properties.n", "string"),
        ('type = "track" and not (event = "Signed Up")', 'not event = "Signed Up"', "event", "string"),
        ('!contains(event, "Up")', 'not contains(event, "Up")', "event", "string"),
        ('match(properties.plan, "pro*")', 'match(properties.plan, "pro*")', "properties.plan", "null"),
        ('properties.n in (5, "6")', 'properties.n in (5, "6")', "properties.n", "string"),
        ("length(properties.tags) > 2", "length(properties.tags) > 2", "properties.tags", "array"),
        ('lowercase(event) = "order"', 'lowercase(event) = "order"', "event", "string"),
        ("not (all and all)", "not all", "", "null"),
    ],
)  # fmt: skip
def test_the_first_condition_that_fails_is_named(trigger: str, condition: str, field: str, type_: str) -> None:
    failed = compile_failed_condition(trigger)(TRACK)
    assert failed is not None
    assert (failed.condition, failed.field, failed.type) == (condition, field, type_)


def test_the_nearest_trigger_is_the_one_that_failed_last_and_came_closest() -> None:
    triggers = {"page": 'type = "page"', "order": 'type = "track" and event = "Order"',
                "sign up": 'type = "track" and event = "Sign Up"'}  # fmt: skip
    found = nearest((key, compile_failed_condition(text)(TRACK)) for key, text in triggers.items())
    assert found is not None
    assert (found[0], found[1].condition) == ("sign up", 'event = "Sign Up"')


@pytest.mark.parametrize(
    ("event", "differs"), [("signed up ", True), ("SIGNED UP", True), ("Signed", False), ("", False)]
)
def test_a_difference_in_case_only_is_reported(event: str, differs: bool) -> None:
    failed = compile_failed_condition('event = "Signed Up"')({"event": event})
    assert failed is not None
    assert failed.only_case_differs is differs


CONDITIONS = st.sampled_from(
    [
        "all",
        'type = "track"',
        'event != "A"',
        "properties.n > 1",
        'contains(event, "A")',
        'properties.n in (1, "2", null)',
    ]
)
TRIGGERS = st.recursive(
    CONDITIONS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})")
        | inner.map(lambda part: f"not ({part})")
    ),
    max_leaves=8,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "page"]),
        "event": st.sampled_from(["A", "B", "AB", None]),
        "properties": st.fixed_dictionaries({}, optional={"n": st.sampled_from([0, 1, 2, "2", None])}),
    },
)


@settings(deadline=None)
@given(trigger=TRIGGERS, event=EVENTS)
def test_a_condition_is_named_if_and_only_if_the_trigger_does_not_take_the_event(
    trigger: str, event: dict[str, Any]
) -> None:
    failed = compile_failed_condition(trigger)(event)
    assert (failed is None) is compile_trigger(trigger)(event)
    if failed is not None:
        assert not compile_trigger(failed.condition)(event)
