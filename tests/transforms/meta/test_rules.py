"""Meta's rules for one event: each kept by one event and broken by another."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.transforms.core.rejections import CODES, Rejected
from capybeam.transforms.meta.rules import app_data, check_event, check_offline_event

NOW = 1_795_000_000
DAY = 86_400
EMAIL = "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514"
IOS = ["i2", "com.example.shop", "1.0", "1.0.4", "18.1", "iPhone17,1", "en_GB", *[""] * 9]

Json = dict[str, Any]


def event(**changes: Any) -> Json:
    """A Purchase on a website as Meta wants it, with `changes`; None takes a field away."""
    made: Json = {
        "event_name": "Purchase",
        "event_time": NOW - 60,
        "event_id": "order-1",
        "action_source": "website",
        "event_source_url": "https://shop.example.com/thanks",
        "user_data": {"em": EMAIL, "client_user_agent": "Mozilla/5.0"},
        "custom_data": {"currency": "USD", "value": 12.5},
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def outcome(made: Json, *, needs_user_agent: bool = True, now: float = NOW) -> str:
    """The code that an event is rejected with, or "valid"."""
    before = copy.deepcopy(made)
    try:
        check_event(made, needs_user_agent=needs_user_agent, now=now)
    except Rejected as cause:
        return cause.code
    finally:
        assert made == before, "checking changes nothing"
    return "valid"


def message(made: Json) -> str:
    with pytest.raises(Rejected) as caught:
        check_event(made, needs_user_agent=True, now=NOW)
    return caught.value.message


# --- event_time: 7 days, in a store 62, a minute ahead ----------------------------------------------------------


@pytest.mark.parametrize(
    ("action_source", "age", "expected"),
    [
        ("website", 0, "valid"),
        ("website", 7 * DAY, "valid"),
        ("website", 7 * DAY + 1, "event_too_old"),
        ("email", 7 * DAY + 1, "event_too_old"),
        ("phone_call", 62 * DAY, "event_too_old"),
        ("system_generated", 8 * DAY, "event_too_old"),
        ("other", 7 * DAY, "valid"),
        ("physical_store", 7 * DAY + 1, "valid"),
        ("physical_store", 62 * DAY, "valid"),
        ("physical_store", 62 * DAY + 1, "event_too_old"),
        ("website", -60, "valid"),
        ("website", -61, "event_in_future"),
        ("physical_store", -61, "event_in_future"),
        ("website", NOW, "event_too_old"),
    ],
)
def test_an_event_is_neither_too_old_nor_ahead_of_its_time(action_source: str, age: int, expected: str) -> None:
    assert outcome(event(action_source=action_source, event_time=NOW - age)) == expected


def test_the_message_says_which_limit_counts() -> None:
    assert (
        message(event(event_time=NOW - 8 * DAY)) == "The event is more than 7 days old; Meta does not accept older"
        " events."
    )
    assert message(event(event_time=NOW - 63 * DAY, action_source="physical_store")) == (
        "The event is more than 62 days old; Meta does not accept older events."
    )
    assert message(event(event_time=NOW + 3600)) == "The event's time is more than 60 seconds in the future."


# --- match keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", "no_match_keys"),
        # every one of the broad ones alone, and their broad company
        ("ct", "match_keys_too_broad"),
        ("country", "match_keys_too_broad"),
        ("st", "match_keys_too_broad"),
        ("zp", "match_keys_too_broad"),
        ("ge", "match_keys_too_broad"),
        ("client_user_agent", "match_keys_too_broad"),
        ("ct country st zp ge client_user_agent", "match_keys_too_broad"),
        ("db", "match_keys_too_broad"),
        ("db client_user_agent", "match_keys_too_broad"),
        ("fn", "match_keys_too_broad"),
        ("fn ge", "match_keys_too_broad"),
        ("ln", "match_keys_too_broad"),
        ("ln ge", "match_keys_too_broad"),
        # one more, and they tell somebody
        ("db ge", "valid"),
        ("db ct", "valid"),
        ("fn ln", "valid"),
        ("fn ct", "valid"),
        ("fn client_user_agent", "valid"),
        ("ln zp", "valid"),
        ("fn db", "valid"),
        ("client_ip_address client_user_agent", "valid"),
        # enough alone
        ("em", "valid"),
        ("ph", "valid"),
        ("external_id", "valid"),
        ("client_ip_address", "valid"),
        ("fbc", "valid"),
        ("fbp", "valid"),
        ("madid", "valid"),
        ("lead_id", "valid"),
        ("subscription_id", "valid"),
    ],
)
def test_the_match_keys_must_tell_one_person_from_another(keys: str, expected: str) -> None:
    user_data = {key: EMAIL for key in keys.split()}

    assert outcome(event(action_source="email", user_data=user_data)) == expected


_BROAD = [
    {"ct", "country", "st", "zp", "ge", "client_user_agent"},
    {"db", "client_user_agent"},
    {"fn", "ge"},
    {"ln", "ge"},
]
_KEYS = [
    "em",
    "ph",
    "fn",
    "ln",
    "db",
    "ge",
    "ct",
    "st",
    "zp",
    "country",
    "external_id",
    "client_ip_address",
    "client_user_agent",
    "fbc",
    "fbp",
    "madid",
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.sampled_from(_KEYS), min_size=1))
def test_match_keys_are_refused_exactly_where_they_are_part_of_one_broad_set(keys: set[str]) -> None:
    expected = "match_keys_too_broad" if any(keys <= broad for broad in _BROAD) else "valid"

    assert outcome(event(action_source="email", user_data=dict.fromkeys(sorted(keys), EMAIL))) == expected


# --- website ----------------------------------------------------------------------------------------------------


def test_a_website_event_needs_a_user_agent() -> None:
    assert outcome(event(user_data={"em": EMAIL})) == "missing_client_user_agent"


def test_a_website_event_of_the_custom_action_needs_none() -> None:
    assert outcome(event(user_data={"em": EMAIL}), needs_user_agent=False) == "valid"


@pytest.mark.parametrize("source", ["email", "phone_call", "chat", "physical_store", "system_generated", "other"])
def test_elsewhere_nobody_has_a_user_agent(source: str) -> None:
    assert outcome(event(action_source=source, user_data={"em": EMAIL})) == "valid"


def test_a_website_event_without_a_url_is_sent_all_the_same() -> None:
    assert outcome(event(event_source_url=None)) == "valid"


# --- app --------------------------------------------------------------------------------------------------------


def app_event(**changes: Any) -> Json:
    data = {"advertiser_tracking_enabled": 1, "application_tracking_enabled": 0, "extinfo": IOS, **changes}
    return event(action_source="app", app_data=data)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (app_event(), "valid"),
        (app_event(extinfo=["a2", "", "", "", "15", *[""] * 11]), "valid"),
        (event(action_source="app"), "missing_app_data"),
        (event(action_source="app", app_data={}), "missing_app_data"),
        (app_event(extinfo=["", *IOS[1:]]), "invalid_extinfo"),
        (app_event(extinfo=["i1", *IOS[1:]]), "invalid_extinfo"),
        (app_event(extinfo=[*IOS[:4], "", *IOS[5:]]), "invalid_extinfo"),
        (app_event(extinfo=[""] * 16), "invalid_extinfo"),
    ],
    ids=["ios", "android", "none", "empty", "no_version", "old_version", "no_os_version", "all_blank"],
)
def test_an_app_event_needs_app_data_with_version_and_os_version(made: Json, expected: str) -> None:
    assert outcome(made) == expected


@pytest.mark.parametrize("source", ["website", "email", "other"])
def test_elsewhere_nobody_needs_app_data(source: str) -> None:
    assert outcome(event(action_source=source)) == "valid"


def test_app_data_has_both_flags_and_sixteen_strings_by_position() -> None:
    field = {
        "use_app_data": True,
        "advertiser_tracking_enabled": True,
        "application_tracking_enabled": False,
        "madId": "38400000-8cf0-11bd-b23e-10b96e40000d",
        "version": "a2",
        "packageName": "com.example.shop",
        "shortVersion": "1.0",
        "longVersion": "1.0 long",
        "osVersion": "15",
        "deviceName": "Pixel 9",
        "locale": "en_US",
        "timezone": "PST",
        "carrier": "Example Mobile",
        "width": "1080",
        "height": "2424",
        "density": "2.6",
        "cpuCores": "8",
        "storageSize": "128",
        "freeStorage": "64",
        "deviceTimezone": "America/Los_Angeles",
    }

    assert app_data(field) == {
        "advertiser_tracking_enabled": 1,
        "application_tracking_enabled": 0,
        "madid": "38400000-8cf0-11bd-b23e-10b96e40000d",
        "extinfo": [
            "a2",
            "com.example.shop",
            "1.0",
            "1.0 long",
            "15",
            "Pixel 9",
            "en_US",
            "PST",
            "Example Mobile",
            "1080",
            "2424",
            "2.6",
            "8",
            "128",
            "64",
            "America/Los_Angeles",
        ],
    }


def test_what_app_data_does_not_know_is_blank_and_not_left_out() -> None:
    assert app_data({"use_app_data": True, "version": "i2", "osVersion": "18.1"}) == {
        "advertiser_tracking_enabled": 0,
        "application_tracking_enabled": 0,
        "extinfo": ["i2", "", "", "", "18.1", *[""] * 11],
    }


@pytest.mark.parametrize("field", [{}, {"version": "i2"}, {"use_app_data": False, "version": "i2"}], ids=repr)
def test_there_is_app_data_only_where_use_app_data_asks_for_it(field: Json) -> None:
    assert app_data(field) is None


# --- business messaging -----------------------------------------------------------------------------------------


def message_event(channel: str | None, **ids: str) -> Json:
    return event(action_source="business_messaging", messaging_channel=channel, user_data={"em": EMAIL, **ids})


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (message_event("messenger", page_id="1", page_scoped_user_id="2"), "valid"),
        (message_event("whatsapp", whatsapp_business_account_id="1", ctwa_clid="2"), "valid"),
        (message_event("instagram", ig_account_id="1", ig_sid="2"), "valid"),
        (message_event(None, page_id="1", page_scoped_user_id="2"), "missing_messaging_channel"),
        (message_event("messenger"), "missing_messaging_ids"),
        (message_event("messenger", page_id="1"), "missing_messaging_ids"),
        (message_event("messenger", page_scoped_user_id="2"), "missing_messaging_ids"),
        (message_event("whatsapp", ctwa_clid="2"), "missing_messaging_ids"),
        (message_event("whatsapp", whatsapp_business_account_id="1"), "missing_messaging_ids"),
        (message_event("instagram", ig_account_id="1"), "missing_messaging_ids"),
        (message_event("instagram", ig_sid="2"), "missing_messaging_ids"),
        (message_event("whatsapp", page_id="1", page_scoped_user_id="2"), "missing_messaging_ids"),
        (message_event("instagram", whatsapp_business_account_id="1", ctwa_clid="2"), "missing_messaging_ids"),
    ],
)
def test_a_message_needs_its_channel_and_that_channels_pair_of_ids(made: Json, expected: str) -> None:
    assert outcome(made) == expected


def test_the_message_names_the_ids_that_are_wanted() -> None:
    assert message(message_event("whatsapp")) == "A whatsapp event needs whatsapp_business_account_id and ctwa_clid."


# --- custom_data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("custom_data", "expected"),
    [
        ({"currency": "USD", "value": 12.5}, "valid"),
        ({"currency": "JPY", "value": 0}, "valid"),
        ({"currency": "EUR", "value": -5}, "valid"),
        (None, "missing_currency"),
        ({"value": 12.5}, "missing_currency"),
        ({"currency": "", "value": 12.5}, "missing_currency"),
        ({"currency": None, "value": 12.5}, "missing_currency"),
        ({"currency": "XYZ", "value": 12.5}, "invalid_currency"),
        ({"currency": "dollars", "value": 12.5}, "invalid_currency"),
        ({"currency": 840, "value": 12.5}, "invalid_currency"),
        ({"currency": "USD"}, "missing_value"),
        ({"currency": "USD", "value": None}, "missing_value"),
        ({"currency": "USD", "value": "free"}, "missing_value"),
        ({"currency": "USD", "value": True}, "missing_value"),
    ],
)
def test_a_purchase_needs_currency_and_value(custom_data: Json | None, expected: str) -> None:
    assert outcome(event(custom_data=custom_data)) == expected


def test_a_currency_that_is_no_text_is_rejected_and_no_crash() -> None:
    assert outcome(event(custom_data={"currency": ["USD"], "value": 1})) == "invalid_currency"


@pytest.mark.parametrize("name", ["PageView", "AddToCart", "Lead", "purchase"])
def test_no_other_event_needs_them(name: str) -> None:
    assert outcome(event(event_name=name, custom_data=None)) == "valid"


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("product", "valid"),
        ("product_group", "valid"),
        ("products", "invalid_content_type"),
        ("Product", "invalid_content_type"),
        ("", "invalid_content_type"),
        (["product"], "invalid_content_type"),
    ],
)
def test_content_type_is_product_or_product_group(content_type: Any, expected: str) -> None:
    assert outcome(event(event_name="ViewContent", custom_data={"content_type": content_type})) == expected


# --- messages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        event(custom_data={"currency": "jane@example.com", "value": 1}),
        event(custom_data={"currency": "USD", "value": "jane@example.com"}),
        event(custom_data={"currency": "USD", "value": 1, "content_type": "jane@example.com"}),
        event(user_data={"fn": "jane@example.com"}),
        event(user_data={"client_ip_address": "jane@example.com"}),
    ],
)
def test_no_message_repeats_a_value_of_the_event(made: Json) -> None:
    assert "jane" not in message(made)


def test_every_code_has_a_sentence_of_its_own() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert all(sentence.endswith((".", ")")) for sentence in CODES.values())


# --- the older Offline Conversions API --------------------------------------------------------------------------

OFFLINE: dict[str, Any] = {
    "event_time": NOW - 60,
    "event_name": "Purchase",
    "match_keys": {"lead_id": 5},
    "value": 0,
    "currency": "EUR",
}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"event_time": NOW - 62 * DAY}, None),
        ({"event_time": NOW - 62 * DAY - 1}, "event_too_old"),
        ({"event_time": NOW + 60}, None),
        ({"event_time": NOW + 61}, "event_in_future"),
        ({"match_keys": {}}, "no_match_keys"),
        ({"match_keys": {"ct": "b" * 64}}, None),
        ({"currency": None}, "missing_currency"),
        ({"currency": "QQQ"}, "invalid_currency"),
        ({"value": None}, "missing_value"),
        ({"value": None, "currency": None, "event_name": "Lead"}, None),
    ],
    ids=repr,
)
def test_an_event_of_the_older_format_keeps_its_rules(changes: dict[str, Any], code: str | None) -> None:
    event = {key: value for key, value in {**OFFLINE, **changes}.items() if value is not None}
    try:
        check_offline_event(event, needs_user_agent=True, now=NOW)
        found = None
    except Rejected as rejected:
        found = rejected.code
    assert found == code
