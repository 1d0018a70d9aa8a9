"""What Segment sends for an event, by each of the rules in which it differs from what is sent here."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from capybeam.pipeline.segment.segments_output import (
    SegmentRefuses,
    SegmentSends,
    compile_segments_way,
    segments_form,
)
from capybeam.transforms.language.directives.registry import MappingError

DIGEST = "0123456789ABCDEF" * 4


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def made(action: str = "purchase", **fields: Any) -> SegmentSends | SegmentRefuses:
    """What Segment makes of mapped fields, over those of an event with nothing remarkable; None leaves one out."""
    plain = {
        "action_source": "email",
        "event_time": "2026-11-20T10:00:00Z",
        "currency": "USD",
        "value": 10,
        "user_data": {"email": "jane@example.com"},
    }
    given = {name: value for name, value in {**plain, **fields}.items() if value is not None}
    event = {"properties": given}
    return compile_segments_way(action, {name: {"@path": f"$.properties.{name}"} for name in given})(event)


def event_of(result: SegmentSends | SegmentRefuses) -> dict[str, Any]:
    assert isinstance(result, SegmentSends), result
    return dict(result.event)


def test_an_event_is_the_fields_with_user_data_hashed() -> None:
    assert made(event_id="m1", content_ids="a", custom_data={"plan": "pro"}) == SegmentSends(
        {
            "event_name": "Purchase",
            "event_time": "2026-11-20T10:00:00Z",
            "action_source": "email",
            "user_data": {"em": sha("jane@example.com")},
            "event_id": "m1",
            "custom_data": {"plan": "pro", "currency": "USD", "value": 10, "content_ids": ["a"]},
        },
        {"em": ("jane@example.com",)},
    )


FIELDS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "a time passes through": ({"event_time": "soon"}, "event_time", "soon"),
    "a number in a text": ({"value": " 12.5 "}, "custom_data", {"currency": "USD", "value": 12.5}),
    "true is a number": ({"value": True}, "custom_data", {"currency": "USD", "value": 1}),
    "a list of one is its item": ({"user_data": {"email": ["J@x.co"]}}, "user_data", {"em": sha("j@x.co")}),
    "user_data may be empty": ({"user_data": {}}, "user_data", {}),
    "any key of user_data that is unknown goes": ({"user_data": {"nick": "j"}}, "user_data", {}),
    "a null leadID is 0": ({"user_data": {"leadID": None}}, "user_data", {"lead_id": 0}),
    "an ID is sent as it is": ({"user_data": {"fbc": " IwAR2F4"}}, "user_data", {"fbc": " IwAR2F4"}),
    "each externalId is hashed": (
        {"user_data": {"externalId": ["U 1", "", "u1"]}},
        "user_data",
        {"external_id": [sha("u1"), sha("u1")]},
    ),
    "any URL is sent": ({"event_source_url": "ftp://x"}, "event_source_url", "ftp://x"),
    "LDU without a place": ({"data_processing_options": "true"}, "data_processing_options", ["LDU"]),
    "LDU with a state alone": (
        {"data_processing_options": True, "data_processing_options_state": 1000},
        "data_processing_options_country",
        0,
    ),
    "an item's null price is 0": (
        {"contents": {"id": 7, "item_price": None, "title": "Mug"}},
        "custom_data",
        {"currency": "USD", "value": 10, "contents": [{"id": "7", "item_price": 0}]},
    ),
    "contents may be empty": (
        {"contents": []},
        "custom_data",
        {"currency": "USD", "value": 10, "contents": []},
    ),
    "order_id is no field of purchase": ({"order_id": "9"}, "custom_data", {"currency": "USD", "value": 10}),
    "a field wins over custom_data": (
        {"custom_data": {"currency": "EUR", "email": "j@x.co"}},
        "custom_data",
        {"currency": "USD", "value": 10, "email": "j@x.co"},
    ),
    "app_data where it is asked for": (
        {"app_data_field": {"use_app_data": True, "application_tracking_enabled": 1, "version": "i2", "osVersion": 16}},
        "app_data",
        {
            "advertiser_tracking_enabled": 0,
            "application_tracking_enabled": 1,
            "extinfo": ["i2", "", "", "", "16", *[""] * 11],
        },
    ),
}


@pytest.mark.parametrize(("fields", "name", "expected"), FIELDS.values(), ids=FIELDS.keys())
def test_a_field_goes_out_by_segments_rules(fields: dict[str, Any], name: str, expected: Any) -> None:
    assert event_of(made(**fields))[name] == expected


def test_what_is_empty_at_the_root_is_left_out() -> None:
    assert event_of(made(event_id="", content_name=None)).keys() == {
        "event_name",
        "event_time",
        "action_source",
        "user_data",
        "custom_data",
    }


@pytest.mark.parametrize(
    ("action", "fields", "custom_data"),
    [
        ("addToCart", {"currency": None, "value": None}, {"value": 5, "plan": "pro"}),
        ("viewContent", {"currency": None, "value": None}, {"plan": "pro"}),
        ("custom", {"event_name": "Lead"}, {"currency": "EUR", "value": 5, "plan": "pro"}),
        ("purchase2", {"order_id": "9"}, {"currency": "USD", "value": 10, "plan": "pro", "order_id": "9"}),
    ],
)
def test_a_field_that_is_not_mapped_deletes_the_free_key(
    action: str, fields: dict[str, Any], custom_data: dict[str, Any]
) -> None:
    free = {"currency": "EUR", "value": 5, "plan": "pro"}
    assert event_of(made(action, custom_data=free, **fields))["custom_data"] == custom_data


def test_a_page_view_has_no_custom_data() -> None:
    assert "custom_data" not in event_of(made("pageView", custom_data={"plan": "pro"}))


def test_the_mappings_test_event_code_wins_over_the_settings() -> None:
    mapping = {
        "action_source": "email",
        "event_time": "1",
        "user_data": {},
        "test_event_code": {"@path": "$.properties.code"},
    }
    way = compile_segments_way("pageView", mapping, "SETTINGS")
    assert [
        sent.test_event_code
        for sent in map(way, ({"properties": {"code": "EVENT"}}, {"properties": {"code": ""}}))
        if isinstance(sent, SegmentSends)
    ] == ["EVENT", "SETTINGS"]


REFUSED: dict[str, tuple[str, dict[str, Any], str | None, str]] = {
    "currency": ("purchase", {"currency": "usd"}, "currency", "currency is not a code of ISO 4217 in capitals"),
    "no currency": ("purchase", {"currency": None}, None, "currency has no value"),
    "no value": ("purchase", {"value": ""}, None, "value has no value"),
    "not a number": ("purchase", {"value": "$12"}, None, "value is not a number"),
    "half an item": ("purchase", {"num_items": 2.5}, None, "num_items is not an integer"),
    "source": (
        "purchase",
        {"action_source": "business_messaging"},
        "business messaging",
        "action_source is not one of Segment's",
    ),
    "no id": ("search", {"contents": [{"quantity": 1}]}, "contents without an id", "an item of contents has no id"),
    "an unusable price": (
        "purchase",
        {"contents": [{"id": "1", "item_price": "x"}]},
        "unusable value",
        "contents.item_price is not a number",
    ),
    "an unusable name": (
        "purchase",
        {"user_data": {"firstName": {"a": 1}}},
        "unusable value",
        "user_data.firstName is not a string",
    ),
    "two emails": (
        "purchase",
        {"user_data": {"email": ["a@x.co", "b@x.co"]}},
        "several values",
        "user_data.email is not a string",
    ),
    "a state of ours": (
        "purchase",
        {"data_processing_options_state": 1012},
        "ldu states",
        "data_processing_options_state is not one of Segment's",
    ),
    "a state by name": (
        "purchase",
        {"data_processing_options_state": "California"},
        "ldu states",
        "data_processing_options_state is not a number",
    ),
    "website": (
        "purchase",
        {"action_source": "website"},
        None,
        "action_source is website, and there is no client_user_agent",
    ),
}


@pytest.mark.parametrize(("action", "fields", "rule", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_an_event_is_refused_whole(action: str, fields: dict[str, Any], rule: str | None, why: str) -> None:
    refused = made(action, **fields)

    assert isinstance(refused, SegmentRefuses)
    assert (refused.rule and refused.rule.name, refused.why) == (rule, why)


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("pageView", {"currency": "usd"}),
        ("custom", {"event_name": "Purchase", "action_source": "website"}),
    ],
)
def test_page_views_and_custom_events_are_checked_less(action: str, fields: dict[str, Any]) -> None:
    assert isinstance(made(action, **fields), SegmentSends)


FORMS = [
    ("em", " Jane.Doe@Example.COM ", "jane.doe@example.com"),
    ("em", "Jane <j@x.co>", "jane<j@x.co>"),
    ("ph", "+44 (0)161 496 0000", "4401614960000"),
    ("ph", "0044 161", "0044161"),
    ("ph", "none", ""),
    ("ge", "Female", "f"),
    ("ge", "Mrs.", ""),
    ("ln", "O'Connor", "o'connor"),
    ("fn", "Mary\u00a0Ann\ufeff", "maryann"),
    ("db", "2/16/1997", "2/16/1997"),
    ("ct", "St. John's", "st.john's"),
    ("st", "New York", "ny"),
    ("st", "Ontario", "ontario"),
    ("st", "Washington DC", "washingtondc"),
    ("zp", "94103-1234", "94103-1234"),
    ("country", "United States", "us"),
    ("country", "Deutschland", "deutschland"),
]


@pytest.mark.parametrize(("wire", "value", "text"), FORMS)
def test_a_value_is_hashed_in_segments_form(wire: str, value: str, text: str) -> None:
    assert segments_form(wire, value) == text


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("email", f" {DIGEST} ", {"em": DIGEST.lower()}),
        ("email", DIGEST[:32], {"em": sha(DIGEST[:32].lower())}),
        ("phone", f"tel {DIGEST}", {"ph": f"tel {DIGEST}"}),
        ("gender", DIGEST, {"ge": DIGEST}),
    ],
)
def test_a_digest_is_recognised_by_segments_rules(name: str, value: str, sent: dict[str, str]) -> None:
    assert event_of(made(user_data={name: value}))["user_data"] == sent


def test_a_mapping_that_cannot_be_run_is_an_error_at_once() -> None:
    with pytest.raises(MappingError):
        compile_segments_way("custom", {"event_name": {"@nope": 1}})
