"""Meta's rules as the sandbox has them: each is a row in a table, once kept and once violated."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.pipeline.sandbox.server import SandboxServer
from tests.pipeline.sandbox.senders import (
    ACCEPTED,
    DAY,
    DIGEST,
    INVALID,
    NOW,
    Json,
    event,
    offline,
    post,
    refusal,
    upload,
)

IOS = ["i2", "com.acme", "1", "1.0", "18.1", *[""] * 11]


RULES: list[tuple[str, Json, tuple[int, int | None]]] = [
    ("a complete purchase", {}, ACCEPTED),
    ("no event_name", {"event_name": None}, INVALID),
    ("empty event_name", {"event_name": ""}, INVALID),
    ("unknown field", {"colour": "red"}, INVALID),
    ("no event_id", {"event_id": None}, ACCEPTED),
    ("numeric event_id", {"event_id": 5}, INVALID),
    # event_time
    ("no event_time", {"event_time": None}, INVALID),
    ("event_time in text", {"event_time": str(NOW)}, INVALID),
    ("event_time with a fraction", {"event_time": NOW - 0.5}, INVALID),
    ("event_time in milliseconds", {"event_time": NOW * 1000}, INVALID),
    ("seven days old", {"event_time": NOW - 7 * DAY}, ACCEPTED),
    ("older than seven days", {"event_time": NOW - 7 * DAY - 1}, (400, 2804003)),
    ("62 days old in a store", {"action_source": "physical_store", "event_time": NOW - 62 * DAY}, ACCEPTED),
    (
        "older than 62 days in a store",
        {"action_source": "physical_store", "event_time": NOW - 62 * DAY - 1},
        (400, 2804003),
    ),
    ("a minute ahead", {"event_time": NOW + 60}, ACCEPTED),
    ("over a minute ahead", {"event_time": NOW + 61}, INVALID),
    # action_source
    ("no action_source", {"action_source": None}, INVALID),
    ("unknown action_source", {"action_source": "web"}, INVALID),
    ("action_source in a list", {"action_source": ["website"]}, INVALID),
    ("website without user agent", {"user_data": {"em": DIGEST}}, INVALID),
    ("a custom event without user agent", {"user_data": {"em": DIGEST}, "event_name": "Quiz Done"}, ACCEPTED),
    ("website without URL", {"event_source_url": None}, ACCEPTED),
    ("app without app_data", {"action_source": "app"}, INVALID),
    (
        "app with app_data",
        {
            "action_source": "app",
            "app_data": {"advertiser_tracking_enabled": 1, "application_tracking_enabled": 0, "extinfo": IOS},
        },
        ACCEPTED,
    ),
    (
        "app with a flag missing",
        {"action_source": "app", "app_data": {"advertiser_tracking_enabled": 1, "extinfo": IOS}},
        INVALID,
    ),
    (
        "app with a boolean flag",
        {
            "action_source": "app",
            "app_data": {"advertiser_tracking_enabled": True, "application_tracking_enabled": 0, "extinfo": IOS},
        },
        INVALID,
    ),
    *(
        (
            f"app with extinfo {why}",
            {
                "action_source": "app",
                "app_data": {"advertiser_tracking_enabled": 1, "application_tracking_enabled": 1, "extinfo": extinfo},
            },
            INVALID,
        )
        for why, extinfo in [
            ("of 15 strings", IOS[:15]),
            ("of an unknown system", ["w1", *IOS[1:]]),
            ("without OS version", [*IOS[:4], "", *IOS[5:]]),
            ("with a number", [*IOS[:15], 0]),
        ]
    ),
    *(
        (
            f"business messaging on {channel}",
            {"action_source": "business_messaging", "messaging_channel": channel, "user_data": pair},
            ACCEPTED,
        )
        for channel, pair in [
            ("messenger", {"page_id": "1", "page_scoped_user_id": "2"}),
            ("whatsapp", {"whatsapp_business_account_id": "1", "ctwa_clid": "2"}),
            ("instagram", {"ig_account_id": "1", "ig_sid": "2"}),
        ]
    ),
    (
        "business messaging without channel",
        {"action_source": "business_messaging", "user_data": {"page_id": "1", "page_scoped_user_id": "2"}},
        INVALID,
    ),
    (
        "business messaging with half a pair",
        {"action_source": "business_messaging", "messaging_channel": "messenger", "user_data": {"page_id": "1"}},
        INVALID,
    ),
    (
        "business messaging on an unknown channel",
        {
            "action_source": "business_messaging",
            "messaging_channel": "telegram",
            "user_data": {"page_id": "1", "page_scoped_user_id": "2"},
        },
        INVALID,
    ),
    # user_data as a whole
    ("no user_data", {"user_data": None}, INVALID),
    ("user_data in text", {"user_data": "jane"}, INVALID),
    ("empty user_data", {"user_data": {}}, (400, 2804050)),
    ("user agent alone", {"user_data": {"client_user_agent": "Mozilla"}}, (400, 2804050)),
    (
        "place and user agent",
        {"user_data": dict.fromkeys(("ct", "country", "st", "zp", "ge"), DIGEST) | {"client_user_agent": "Mozilla"}},
        (400, 2804050),
    ),
    ("birthday and user agent", {"user_data": {"db": DIGEST, "client_user_agent": "Mozilla"}}, (400, 2804050)),
    ("first name and gender", {"action_source": "email", "user_data": {"fn": DIGEST, "ge": DIGEST}}, (400, 2804050)),
    ("last name and gender", {"action_source": "email", "user_data": {"ln": DIGEST, "ge": DIGEST}}, (400, 2804050)),
    ("both names", {"action_source": "email", "user_data": {"fn": DIGEST, "ln": DIGEST}}, ACCEPTED),
    ("address and user agent", {"user_data": {"client_ip_address": "::1", "client_user_agent": "Mozilla"}}, ACCEPTED),
    ("external_id alone", {"action_source": "email", "user_data": {"external_id": "u1"}}, ACCEPTED),
    # user_data, key by key
    *(
        (f"raw {key}", {f"user_data__{key}": "raw"}, INVALID)
        for key in ("em", "ph", "fn", "ln", "db", "ge", "ct", "st", "zp", "country")
    ),
    ("a list of digests", {"user_data__ph": [DIGEST, DIGEST]}, ACCEPTED),
    ("a list with one raw value", {"user_data__ph": [DIGEST, "16505551212"]}, INVALID),
    ("an empty list", {"user_data__ph": []}, INVALID),
    ("an upper-case digest", {"user_data__em": DIGEST.upper()}, INVALID),
    ("a digest too short", {"user_data__em": DIGEST[:63]}, INVALID),
    ("several external_ids", {"user_data__external_id": ["a", "b"]}, ACCEPTED),
    ("an empty external_id", {"user_data__external_id": ""}, INVALID),
    ("an unknown key", {"user_data__shoe_size": "44"}, INVALID),
    ("IPv4", {"user_data__client_ip_address": "192.0.2.7"}, ACCEPTED),
    ("IPv6", {"user_data__client_ip_address": "2001:db8::1"}, ACCEPTED),
    ("IPv4 with port", {"user_data__client_ip_address": "192.0.2.7:443"}, INVALID),
    ("IPv6 with port", {"user_data__client_ip_address": "[2001:db8::1]:443"}, INVALID),
    ("no IP address", {"user_data__client_ip_address": "unknown"}, INVALID),
    ("IPv4 of the param-builder", {"user_data__client_ip_address": "192.0.2.7.AQQAAQIB"}, ACCEPTED),
    ("IPv6 of the param-builder", {"user_data__client_ip_address": "2001:db8::1.AQ"}, ACCEPTED),
    ("IPv4 with another suffix", {"user_data__client_ip_address": "192.0.2.7.AQQ"}, INVALID),
    ("a digest of the param-builder", {"user_data__em": "ab" * 32 + ".AQQAAQIB"}, ACCEPTED),
    ("an older one of the param-builder", {"user_data__em": ["ab" * 32 + ".BA"]}, ACCEPTED),
    ("a digest with another suffix", {"user_data__em": "ab" * 32 + ".ABC"}, INVALID),
    ("MD5", {"user_data__em": "ab" * 16}, ACCEPTED),
    ("too short for MD5", {"user_data__em": "ab" * 15}, INVALID),
    ("fbc", {"user_data__fbc": "fb.1.1554763741205.AbCd-Ef_9"}, ACCEPTED),
    ("fbc that is a click id", {"user_data__fbc": "AbCd-Ef_9"}, INVALID),
    ("fbc with seconds", {"user_data__fbc": "fb.1.1554763741.AbCd"}, INVALID),
    ("fbp", {"user_data__fbp": "fb.1.1558571054389.1098115397"}, ACCEPTED),
    ("fbp of the param-builder", {"user_data__fbp": "fb.1.1558571054389.1098115397.AQQA-_IB"}, ACCEPTED),
    ("fbp with another suffix", {"user_data__fbp": "fb.1.1558571054389.1098115397.AQQ"}, INVALID),
    ("fbp without number", {"user_data__fbp": "fb.1.1558571054389."}, INVALID),
    ("lead_id", {"user_data__lead_id": 5251463194916511}, ACCEPTED),
    ("lead_id in text", {"user_data__lead_id": "5251463194916511"}, (400, 2804036)),
    ("fb_login_id", {"user_data__fb_login_id": 12}, ACCEPTED),
    ("fb_login_id in text", {"user_data__fb_login_id": "12"}, INVALID),
    # custom_data
    ("custom_data in a list", {"custom_data": []}, INVALID),
    ("a purchase without custom_data", {"custom_data": None}, (400, 2804010)),
    ("a purchase without currency", {"custom_data__currency": None}, (400, 2804010)),
    ("a purchase without value", {"custom_data__value": None}, (400, 2804009)),
    ("a page view without custom_data", {"event_name": "PageView", "custom_data": None}, ACCEPTED),
    ("a currency withdrawn of late", {"custom_data__currency": "HRK"}, ACCEPTED),
    ("a currency withdrawn long ago", {"custom_data__currency": "DEM"}, INVALID),
    ("currency in lower case", {"custom_data__currency": "usd"}, INVALID),
    ("unknown currency", {"custom_data__currency": "USX"}, INVALID),
    ("value in text", {"custom_data__value": "12.5"}, INVALID),
    ("value true", {"custom_data__value": True}, INVALID),
    ("value zero", {"custom_data__value": 0}, ACCEPTED),
    ("content_type", {"custom_data__content_type": "product_group"}, ACCEPTED),
    ("unknown content_type", {"custom_data__content_type": "shoe"}, INVALID),
    ("content_ids", {"custom_data__content_ids": ["a", 1]}, ACCEPTED),
    ("content_ids in text", {"custom_data__content_ids": "a"}, INVALID),
    (
        "contents",
        {"custom_data__contents": [{"id": "a", "quantity": 2, "item_price": 1.5, "delivery_category": "curbside"}]},
        ACCEPTED,
    ),
    ("contents without id", {"custom_data__contents": [{"quantity": 2}]}, INVALID),
    ("contents in text", {"custom_data__contents": '[{"id": "a"}]'}, INVALID),
    ("quantity in text", {"custom_data__contents": [{"id": "a", "quantity": "2"}]}, INVALID),
    ("unknown delivery", {"custom_data__contents": [{"id": "a", "delivery_category": "drone"}]}, INVALID),
    ("num_items in text", {"custom_data__num_items": "2"}, INVALID),
    ("numeric order_id", {"custom_data__order_id": 7}, INVALID),
    ("a free key", {"custom_data__colour": {"name": "red", "tags": ["warm"]}}, ACCEPTED),
    *(
        (f"{key} in custom_data", {f"custom_data__{key}": "x"}, INVALID)
        for key in ("email", "phone", "firstName", "last_name", "Street Address", "client_user_agent", "fbp")
    ),
    ("an email inside a free key", {"custom_data__customer": [{"email": "x"}]}, INVALID),
    *(
        (f"{key} in custom_data", {f"custom_data__{key}": "x"}, INVALID)
        for key in ("profile.email", "guests.0.email", "guests_0_email", "contact_number", "recipient", "cvv", "token")
    ),
    *(
        (f"{key} in custom_data", {f"custom_data__{key}": "x"}, ACCEPTED)
        for key in ("product_name", "token_count", "address_book", "mobile_app", "iphone", "products.0.name")
    ),
    *(
        (f"{key} that holds an email address", {f"custom_data__{key}": value}, INVALID)
        for key, value in (
            ("content_name", "Mail to jane@example.com"),
            ("search_string", "jane%40example.com"),
            ("order_id", "jane@example.com-1"),
            ("content_ids", ["jane@example.com"]),
            ("note", [[{"by": "jane@example.com"}]]),
            ("jane@example.com", 1),
        )
    ),
    *(
        (f"{text} in custom_data", {"custom_data__note": text}, ACCEPTED)
        for text in ("mug@2x.png", "Mugs @ home", "@jane", "https://maps.example/@1.5,2.5", "react@18.2.0")
    ),
    ("an email address in attribution_data", {"attribution_data": {"by": "jane@example.com"}}, INVALID),
    ("an email address as event_name", {"event_name": "to jane@example.com"}, INVALID),
    ("an email address in event_id", {"event_id": "jane@example.com-1"}, INVALID),
    ("an email address as anon_id", {"user_data__anon_id": "jane@example.com"}, INVALID),
    ("a browser that names an email address", {"user_data__client_user_agent": "Bot (bot@example.com)"}, ACCEPTED),
    *(
        (f"{url} as a URL", {"event_source_url": f"https://{url}"}, INVALID)
        for url in (
            "shop.example/?email=x",
            "shop.example/?phone=16505551212&p=2",
            "shop.example/?q=jane%40example.com",
            "shop.example/?q=jane%2540example.com",
            "shop.example/jane@example.com",
            "jane@shop.example/",
            "shop.example/#email=x",
        )
    ),
    *(
        (f"{url} as a URL", {"event_source_url": f"https://{url}", "referrer_url": f"https://{url}"}, ACCEPTED)
        for url in ("shop.example/?q=mug&utm_source=email", "maps.example/@48.85,2.35,15z", "shop.example/?email=")
    ),
    ("a referrer with an email address", {"referrer_url": "https://shop.example/?q=jane@example.com"}, INVALID),
    # the rest
    ("opt_out", {"opt_out": True}, ACCEPTED),
    ("opt_out as a number", {"opt_out": 1}, INVALID),
    (
        "limited data use",
        {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 1,
            "data_processing_options_state": 1000,
        },
        ACCEPTED,
    ),
    ("no limits on data use", {"data_processing_options": []}, ACCEPTED),
    ("an unknown option", {"data_processing_options": ["ldu"]}, INVALID),
    ("an unknown country", {"data_processing_options_country": 2}, INVALID),
    ("an unknown state", {"data_processing_options_state": 999}, INVALID),
    ("original_event_data", {"original_event_data": {"event_name": "Lead", "event_time": NOW - DAY}}, ACCEPTED),
    ("original_event_data with a text time", {"original_event_data": {"event_time": "yesterday"}}, INVALID),
    ("a URL that is none", {"event_source_url": 5}, INVALID),
]


@pytest.mark.parametrize(("changes", "expected"), [pytest.param(c, e, id=name) for name, c, e in RULES])
def test_an_event_is_taken_or_refused_by_the_rule(
    sandbox: SandboxServer, changes: Json, expected: tuple[int, int | None]
) -> None:
    response = post(sandbox, event(**changes))

    body = response.json()
    error = body.get("error", {})
    assert (response.status_code, error.get("error_subcode")) == expected
    assert error.get("code") == (None if expected == ACCEPTED else 100)
    assert sandbox.stats()["events_stored"] == (1 if expected == ACCEPTED else 0)


@pytest.mark.parametrize("not_an_event", [None, 1, "event", []])
def test_an_event_that_is_not_an_object_is_refused(sandbox: SandboxServer, not_an_event: Any) -> None:
    assert refusal(post(sandbox, not_an_event)) == (400, 100, 2804019)


OFFLINE_RULES: list[tuple[str, Json, tuple[int, int | None]]] = [
    ("a complete purchase", {}, ACCEPTED),
    ("no event_name", {"event_name": None}, INVALID),
    ("no event_time", {"event_time": None}, INVALID),
    ("event_time in text", {"event_time": str(NOW)}, INVALID),
    ("62 days old", {"event_time": NOW - 62 * DAY}, ACCEPTED),
    ("older than 62 days", {"event_time": NOW - 62 * DAY - 1}, (400, 2804003)),
    ("over a minute ahead", {"event_time": NOW + 61}, INVALID),
    ("no match_keys", {"match_keys": None}, INVALID),
    ("empty match_keys", {"match_keys": {}}, INVALID),
    ("match_keys in a list", {"match_keys": [DIGEST]}, INVALID),
    ("lead_id alone", {"match_keys": {"lead_id": 5}}, ACCEPTED),
    ("extern_id alone", {"match_keys": {"extern_id": DIGEST}}, ACCEPTED),
    ("email in the clear", {"match_keys__email": ["jane@example.com"]}, INVALID),
    ("one email, not in a list", {"match_keys__email": DIGEST}, INVALID),
    ("last names in a list", {"match_keys__ln": [DIGEST]}, INVALID),
    ("states and codes in lists", {"match_keys__st": [DIGEST], "match_keys__zip": [DIGEST]}, ACCEPTED),
    ("user id in the clear", {"match_keys__extern_id": "user-1"}, INVALID),
    ("lead_id that is a digest", {"match_keys__lead_id": DIGEST}, (400, 2804036)),
    ("a key of the Conversions API", {"match_keys__em": [DIGEST]}, INVALID),
    ("event_id, which it does not know", {"event_id": "m-1"}, INVALID),
    ("action_source, which it does not know", {"action_source": "physical_store"}, INVALID),
    ("a purchase without currency", {"currency": None}, (400, 2804010)),
    ("a purchase without value", {"value": None}, (400, 2804009)),
    ("a lead without either", {"event_name": "Lead", "currency": None, "value": None}, ACCEPTED),
    ("value in text", {"value": "12.50"}, INVALID),
    ("value of nothing", {"value": 0}, ACCEPTED),
    ("content_type unknown", {"content_type": "thing"}, INVALID),
    ("personal data in custom_data", {"custom_data__email": "jane@example.com"}, INVALID),
    ("custom_data in a list", {"custom_data": []}, INVALID),
    ("unknown field", {"colour": "red"}, INVALID),
]


@pytest.mark.parametrize(("changes", "expected"), [pytest.param(c, e, id=name) for name, c, e in OFFLINE_RULES])
def test_an_event_of_the_older_format_is_taken_or_refused_by_the_rule(
    sandbox: SandboxServer, changes: Json, expected: tuple[int, int | None]
) -> None:
    response = upload(sandbox, offline(**changes))

    assert (response.status_code, response.json().get("error", {}).get("error_subcode")) == expected
    assert sandbox.stats()["events_stored"] == (1 if expected == ACCEPTED else 0)


@pytest.mark.parametrize("not_an_event", [None, 1, "event", []])
def test_an_event_of_the_older_format_that_is_not_an_object_is_refused(
    sandbox: SandboxServer, not_an_event: Any
) -> None:
    assert refusal(upload(sandbox, not_an_event)) == (400, 100, 2804019)
