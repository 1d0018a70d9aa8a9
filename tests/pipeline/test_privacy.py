"""Two readings of the same rules: what capybeam makes ready never shows its sandbox anything personal."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.preview import preview
from capybeam.pipeline.sandbox.personal_data import leaks

NOW = 1_795_341_600  # 2026-11-22T10:00:00Z
TRAITS = {
    "email": "Jane.Doe@Example.com",
    "phone": "+1 (650) 555-1212",
    "firstName": "Jane",
    "lastName": "O'Connor",
    "birthday": "1990-05-17",
    "address": {"city": "Paris", "state": "Texas", "postalCode": "75460", "country": "US"},
}
DESTINATION = {"name": "shop", "access_token": "env:TOKEN"}
JOB = parse_job(
    json.dumps(
        {
            "destinations": [
                {
                    **DESTINATION,
                    "type": "facebook_conversions_api",
                    "dataset_id": "1",
                    "subscriptions": [
                        {"action": "search", "trigger": "all", "mapping": {"contents": None}},
                        {
                            "action": "custom",
                            "trigger": "all",
                            "mapping": {
                                "custom_data": {"@path": "$.properties"},
                                "attribution_data": {
                                    "@flatten": {"value": {"@path": "$.properties"}, "separator": "_"}
                                },
                                "referrer_url": {"@path": "$.context.page.referrer"},
                            },
                        },
                    ],
                },
                {
                    **DESTINATION,
                    "name": "stores",
                    "type": "facebook_offline_conversions",
                    "wire": "offline_events",
                    "events": {"Signed": "2"},
                },
            ]
        }
    )
)

_PIECES = st.sampled_from(
    [
        *("jane.doe@example.com", "jane", "Jane", "O'Connor", "oconnor", "JANE O’CONNOR", "O'Connor, Jane", "Connor"),
        *("16505551212", "+1 650-555-1212", "650 555 1212", "5551212", "75460", "Paris", "75460 Paris", "Texas"),
        *("1990-05-17", "@", "%40", "%2540", "x@y.zz", "a@b.png", "example.com", "mug", "Mugs", "99", ".", "_", "-"),
        *(" ", "  ", ",", "?", "&", "=", "#", ";", "/", "email=", "phone=", "q=", "https://x.example/", "://", "+"),
        *("%20", '{"email":"a"}', "[", '"', "ä", "\u200b", "\n", "utm_source=", "first_name", "guests.0.", "name"),
    ]
)
_TEXTS = st.lists(_PIECES, min_size=1, max_size=7).map("".join)
_KEYS = st.sampled_from(
    [
        *("note", "email", "profile", "guests", "name", "first_name", "contact_number", "order_id", "content_name"),
        *("content_ids", "products", "token", "search_string", "city", "who", "jane@example.com", "Customer Phone"),
        *("16505551212", "phone_2", "b2b_email", "日本 em", "zip", "shipping", "ip6", "storeEmail", "card-number"),
    ]
)
_VALUES = st.recursive(
    _TEXTS | st.sampled_from([16505551212, 6505551212, 75460, 1.5, None, True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_KEYS, _VALUES, max_size=6), _TEXTS, _TEXTS, _TEXTS)
def test_what_is_made_ready_shows_nothing_personal(properties: Any, tail: str, query: str, message_id: str) -> None:
    event = {
        "type": "track",
        "event": "Signed",
        "messageId": message_id,
        "userId": "user-1",
        "timestamp": NOW - 60,
        "properties": {"query": query, "currency": "USD", **properties},
        "context": {
            "userAgent": "UA",
            "traits": TRAITS,
            "page": {"url": f"https://shop.example/{tail}", "referrer": f"https://shop.example/?{tail}"},
        },
    }

    outcomes = [orjson.loads(orjson.dumps(each)) for each in preview(JOB, [orjson.dumps(event)], NOW)]

    assert Counter(each["status"] for each in outcomes) <= Counter({"ready": 3}) or {
        each["code"] for each in outcomes if each["status"] == "rejected"
    } <= {"invalid_field"}
    for outcome in outcomes:
        if outcome["status"] == "ready":
            assert leaks(outcome["payload"]) == []
            assert "jane.doe@example.com" not in json.dumps(outcome).lower()
