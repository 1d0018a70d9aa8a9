"""The sandbox, over HTTP as a sender meets it. Each rule of Meta's is a row in a table, once kept and once broken."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from capybeam.pipeline.sandbox.faults import Faults, parse_fault
from capybeam.pipeline.sandbox.server import SandboxServer, serve
from capybeam.pipeline.sandbox.store import SandboxSettings

NOW = 1_790_000_000
DAY = 86_400
DATASET = "123321"
DIGEST = hashlib.sha256(b"jane@example.com").hexdigest()
IOS = ["i2", "com.acme", "1", "1.0", "18.1", *[""] * 11]

Json = dict[str, Any]


class Clock:
    """Stands still at `now`, in Unix seconds, until a test moves it."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings(clock=Clock())) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    """The module's one server, as good as new."""
    quiet = Faults()
    server.set_faults(**{name: getattr(quiet, name) for name in Faults.__dataclass_fields__})
    server.reset()
    return server


def event(**changes: Any) -> Json:
    """A valid Purchase with `changes`; None takes a field away, and a dotted name (with __) reaches inside."""
    made: Json = {
        "event_name": "Purchase",
        "event_time": NOW - 60,
        "event_id": "order-1",
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {"em": DIGEST, "client_user_agent": "Mozilla/5.0"},
        "custom_data": {"currency": "USD", "value": 12.5},
    }
    for path, value in changes.items():
        *parents, name = path.split("__")
        target = made
        for parent in parents:
            target = target.setdefault(parent, {})
        if value is None:
            del target[name]
        else:
            target[name] = value
    return made


def post(
    sandbox: SandboxServer, *events: Any, dataset: str = DATASET, version: str = "v25.0", **parameters: Any
) -> requests.Response:
    return requests.post(
        f"{sandbox.url}/{version}/{dataset}/events",
        json={"data": list(events), **parameters},
        headers={"Authorization": "Bearer a-token"},
        timeout=10,
    )


def refusal(response: requests.Response) -> tuple[int, int, int | None]:
    """(HTTP status, code, subcode) of an error answer."""
    error = response.json()["error"]
    return response.status_code, error["code"], error.get("error_subcode")


ACCEPTED = (200, None)
INVALID = (400, 2804019)

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
def test_an_event_that_is_no_object_is_refused(sandbox: SandboxServer, not_an_event: Any) -> None:
    assert refusal(post(sandbox, not_an_event)) == (400, 100, 2804019)


def test_an_accepted_batch_is_answered_as_meta_does(sandbox: SandboxServer) -> None:
    response = post(sandbox, event(), event(event_id="order-2"))

    body = response.json()
    assert body.pop("fbtrace_id").startswith("A")
    assert (response.status_code, body) == (200, {"events_received": 2, "messages": []})


def test_one_invalid_event_refuses_the_batch_and_the_answer_does_not_say_which(sandbox: SandboxServer) -> None:
    response = post(sandbox, event(), event(event_id="order-2", event_time=NOW - 8 * DAY), event(event_id="order-3"))

    error = response.json()["error"]
    trace = error.pop("fbtrace_id")
    assert error == {
        "message": "Invalid parameter",
        "type": "OAuthException",
        "code": 100,
        "error_subcode": 2804003,
        "is_transient": False,
        "error_user_title": "Event Timestamp Too Old",
        "error_user_msg": "event_time is over 7 days ago",
    }
    stats = sandbox.stats()
    assert (stats["events_received"], stats["events_stored"], stats["refused_requests"]) == (0, 0, 1)
    assert sandbox.event_ids(DATASET) == []
    assert stats["errors"] == [
        {
            "time": NOW,
            "dataset": DATASET,
            "code": 100,
            "subcode": 2804003,
            "reason": "event_time is over 7 days ago",
            "where": "event 2 of 3",
            "fbtrace_id": trace,
        }
    ]


# --- The request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "accepted"),
    [
        ({"test_event_code": "TEST123"}, True),
        ({"partner_agent": "capybeam", "upload_tag": "May", "upload_id": "1", "upload_source": "s"}, True),
        ({"partner_agent": "a" * 23}, False),
        ({"partner_agent": "a1"}, False),
        ({"dry_run": True}, False),
        ({"data": []}, False),
        ({"data": {}}, False),
    ],
)
def test_top_level_parameters_are_checked(sandbox: SandboxServer, parameters: Json, accepted: bool) -> None:
    response = post(sandbox, event(), **parameters)

    if accepted:
        assert response.status_code == 200
    else:
        assert refusal(response) == (400, 100, None)


def test_a_thousand_events_are_taken_and_one_more_is_too_many(sandbox: SandboxServer) -> None:
    events = [event(event_id=f"order-{n}") for n in range(1001)]

    assert refusal(post(sandbox, *events)) == (400, 105, None)
    assert post(sandbox, *events[:1000]).json()["events_received"] == 1000
    assert sandbox.event_ids(DATASET) == [("Purchase", f"order-{n}") for n in range(1000)]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v26.0", None),
        ("v21.0", None),
        ("v20.0", (400, 2635, None)),
        ("v16.0", (400, 2635, None)),
        ("25", (400, 2500, None)),
    ],
)
def test_dead_versions_are_refused(
    sandbox: SandboxServer, version: str, expected: tuple[int, int, int | None] | None
) -> None:
    response = post(sandbox, event(), version=version)

    assert (None if response.status_code == 200 else refusal(response)) == expected


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'{"data": [', "application/json"),
        (b'{"data": [{"event_time": NaN}]}', "application/json"),
        (json.dumps({"data": [event()]}).encode(), "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(sandbox: SandboxServer, body: bytes, content_type: str) -> None:
    response = requests.post(
        f"{sandbox.url}/v25.0/{DATASET}/events",
        data=body,
        headers={"Authorization": "Bearer a-token", "Content-Type": content_type},
        timeout=10,
    )

    assert refusal(response) == (400, 100, None)


def test_a_body_over_the_limit_is_refused_with_413(sandbox: SandboxServer) -> None:
    response = requests.post(
        f"{sandbox.url}/v25.0/{DATASET}/events",
        data=b" " * (64 * 2**20 + 1),
        headers={"Authorization": "Bearer a-token", "Content-Type": "application/json"},
        timeout=10,
    )

    assert response.status_code == 413


@pytest.mark.parametrize(("method", "path"), [("GET", "/v25.0/1/events"), ("POST", "/v25.0/1"), ("GET", "/nothing")])
def test_other_paths_are_unknown(sandbox: SandboxServer, method: str, path: str) -> None:
    assert refusal(requests.request(method, sandbox.url + path, timeout=10)) == (400, 2500, None)


SEND: dict[str, Callable[[str, str], requests.Response]] = {
    "header": lambda url, token: requests.post(
        url, json={"data": [event()]}, headers={"Authorization": f"Bearer {token}"}, timeout=10
    ),
    "query": lambda url, token: requests.post(
        url, json={"data": [event()]}, params={"access_token": token}, timeout=10
    ),
    "body": lambda url, token: requests.post(url, json={"data": [event()], "access_token": token}, timeout=10),
}


@pytest.mark.parametrize("way", SEND)
@pytest.mark.parametrize(
    ("token", "expected"),
    [("good", None), ("unknown", (400, 190, None)), ("old", (400, 190, 463)), ("", (400, 190, None))],
)
def test_tokens_are_checked_however_they_come_and_counted_in_urls(
    way: str, token: str, expected: tuple[int, int, int | None] | None
) -> None:
    settings = SandboxSettings(tokens=frozenset({"good"}), expired_tokens=frozenset({"old"}), clock=Clock())
    with SandboxServer(settings) as sandbox:
        response = SEND[way](f"{sandbox.url}/v25.0/{DATASET}/events", token)

        assert (None if response.status_code == 200 else refusal(response)) == expected
        assert sandbox.stats()["tokens_in_url"] == (1 if way == "query" else 0)


@pytest.mark.parametrize("dataset", ["999", "abc", "12x"])
def test_unknown_datasets_are_refused(dataset: str) -> None:
    with SandboxServer(SandboxSettings(datasets=frozenset({DATASET}), clock=Clock())) as sandbox:
        assert post(sandbox, event()).status_code == 200
        assert refusal(post(sandbox, event(), dataset=dataset)) == (400, 100, 33)


# --- The older format -------------------------------------------------------------------------------------------------


def offline(**changes: Any) -> Json:
    """A valid Purchase in the older format with `changes`, as `event` has them."""
    made: Json = {
        "event_time": NOW - 60,
        "event_name": "Purchase",
        "match_keys": {"email": [DIGEST], "ln": DIGEST, "lead_id": 525645896321548},
        "value": 12.5,
        "currency": "USD",
        "content_type": "product",
        "content_ids": ["mug"],
        "order_id": "o-1",
        "custom_data": {"coupon": "SPRING"},
    }
    for path, value in changes.items():
        *parents, name = path.split("__")
        target = made
        for parent in parents:
            target = target[parent]
        if value is None:
            del target[name]
        else:
            target[name] = value
    return made


def upload(sandbox: SandboxServer, *events: Any, **parameters: Any) -> requests.Response:
    return post(sandbox, *events, **{"version": "v16.0", "upload_tag": "Segment", **parameters})


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
def test_an_event_of_the_older_format_that_is_no_object_is_refused(sandbox: SandboxServer, not_an_event: Any) -> None:
    assert refusal(upload(sandbox, not_an_event)) == (400, 100, 2804019)


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ({}, None),
        ({"upload_tag": ""}, (400, 100, None)),
        ({"test_event_code": "TEST1"}, (400, 100, None)),
        ({"version": "v15.0"}, (400, 2635, None)),
        ({"version": "v20.0"}, (400, 2635, None)),
        ({"version": "v25.0"}, (400, 100, 2804019)),
    ],
)
def test_the_older_format_is_spoken_on_its_last_version_with_a_tag(
    sandbox: SandboxServer, parameters: Json, answer: tuple[int, int, int | None] | None
) -> None:
    response = upload(sandbox, offline(), **parameters)

    assert (None if response.status_code == 200 else refusal(response)) == answer


def test_a_request_in_the_older_format_needs_an_upload_tag(sandbox: SandboxServer) -> None:
    assert refusal(post(sandbox, offline(), version="v16.0")) == (400, 100, None)


def test_two_thousand_events_of_the_older_format_are_taken_and_one_more_is_too_many(sandbox: SandboxServer) -> None:
    events = [offline(order_id=f"o-{n}") for n in range(2001)]

    assert refusal(upload(sandbox, *events)) == (400, 105, None)
    assert upload(sandbox, *events[:2000]).json()["events_received"] == 2000


def test_the_books_tell_of_the_older_format_too(sandbox: SandboxServer) -> None:
    anonymous = offline(event_name="Lead", order_id=None, value=None, currency=None)
    upload(sandbox, offline(), offline(), offline(event_time=NOW - 61))
    upload(sandbox, anonymous, anonymous, dataset="555", upload_tag="stores")

    stats = sandbox.stats()
    kept = (
        "events_received", "events_stored", "duplicates", "without_event_id", "by_event", "match_keys", "upload_tags",
        "value_by_currency",
    )  # fmt: skip
    assert {name: stats[name] for name in kept} == {
        "events_received": 5,
        "events_stored": 3,
        "duplicates": 2,
        "without_event_id": 0,
        "by_event": {DATASET: {"Purchase": 2}, "555": {"Lead": 1}},
        "match_keys": {"email": 3, "ln": 3, "lead_id": 3},
        "upload_tags": {"Segment": 3, "stores": 2},
        "value_by_currency": {"USD": 25.0},
    }


@pytest.mark.parametrize(
    ("changes", "raw_pii", "pii_in_custom_data"),
    [
        ({"match_keys__email": ["jane@example.com"]}, 1, 0),
        ({"match_keys__extern_id": "user-1"}, 1, 0),
        ({"match_keys__firstName": "Jane"}, 1, 0),
        ({"custom_data__email": "jane@example.com"}, 0, 1),
        ({"event_time": 1}, 0, 0),
    ],
)
def test_personal_data_in_the_clear_is_counted_in_the_older_format(
    sandbox: SandboxServer, changes: Json, raw_pii: int, pii_in_custom_data: int
) -> None:
    response = upload(sandbox, offline(**changes))

    assert "jane@example.com" not in response.text + json.dumps(sandbox.stats())
    assert (sandbox.stats()["raw_pii"], sandbox.stats()["pii_in_custom_data"]) == (raw_pii, pii_in_custom_data)


# --- The books --------------------------------------------------------------------------------------------------------


def test_stats_tell_what_was_stored(sandbox: SandboxServer) -> None:
    first = event(custom_data__value=10)
    second = event(event_name="AddToCart", event_source_url=None, user_data__fbp="fb.1.1558571054389.1")
    third = event(event_name="Quiz", event_id=None, user_data={"external_id": "u1"}, custom_data=None)
    post(sandbox, first, second)
    post(sandbox, third, dataset="555")

    assert requests.get(f"{sandbox.url}/sandbox/stats", timeout=10).json() == sandbox.stats()
    assert sandbox.stats() == {
        "requests": 2,
        "events_received": 3,
        "events_stored": 3,
        "duplicates": 0,
        "refused_requests": 0,
        "tokens_in_url": 0,
        "raw_pii": 0,
        "pii_in_custom_data": 0,
        "pii_in_urls": 0,
        "website_without_url": 1,
        "without_event_id": 1,
        "by_event": {DATASET: {"Purchase": 1, "AddToCart": 1}, "555": {"Quiz": 1}},
        "match_keys": {"em": 2, "client_user_agent": 2, "fbp": 1, "external_id": 1},
        "upload_tags": {},
        "value_by_currency": {"USD": 22.5},
        "refusals": {},
        "errors": [],
        "last_events": [{"dataset": DATASET, **first}, {"dataset": DATASET, **second}, {"dataset": "555", **third}],
        "faults": {name: f.default for name, f in Faults.__dataclass_fields__.items()},
        "active_faults": {},
        "injected_faults": {},
        "null": False,
    }


@pytest.mark.parametrize(
    ("changes", "raw_pii", "pii_in_custom_data"),
    [
        ({"user_data__em": "jane@example.com"}, 1, 0),
        ({"user_data__ph": 16505551212}, 1, 0),
        ({"user_data__ph": [DIGEST, "16505551212"], "event_time": 1}, 1, 0),
        ({"user_data__email": "jane@example.com"}, 1, 0),
        ({"email": "jane@example.com"}, 1, 0),
        ({"user_data__em": DIGEST.upper()}, 0, 0),
        ({"user_data__em": []}, 0, 0),
        ({"custom_data__email": "jane@example.com", "event_time": 1}, 0, 1),
        ({"custom_data__customer": {"contact": [{"firstName": "Jane"}]}}, 0, 1),
        ({"custom_data__guests.0.email": "x"}, 0, 1),
        ({"custom_data__note": "jane@example.com"}, 0, 1),
        ({"event_id": "jane@example.com"}, 1, 0),
        ({"user_data__anon_id": "jane@example.com"}, 1, 0),
        ({"event_time": 1}, 0, 0),
    ],
)
def test_personal_data_in_the_clear_is_counted_and_never_shown(
    sandbox: SandboxServer, changes: Json, raw_pii: int, pii_in_custom_data: int
) -> None:
    response = post(sandbox, event(**changes))

    stats = sandbox.stats()
    assert response.status_code == 400
    assert (stats["raw_pii"], stats["pii_in_custom_data"]) == (raw_pii, pii_in_custom_data)
    seen = response.text + json.dumps(stats)
    assert not [secret for secret in ("jane@example.com", "16505551212", "Jane") if secret in seen]


def test_personal_data_is_counted_behind_any_other_fault_of_the_batch(sandbox: SandboxServer) -> None:
    hidden = event(user_data__lead_id="none", user_data__em="jane@example.com", custom_data__email="jane@example.com")
    post(sandbox, event(event_time=1), hidden, event(), None)

    stats = sandbox.stats()
    assert (stats["raw_pii"], stats["pii_in_custom_data"]) == (1, 1)
    assert stats["errors"][0]["reason"] == "event_time is over 7 days ago"


def test_personal_data_in_urls_is_counted(sandbox: SandboxServer) -> None:
    urls = ("?email=jane@example.com", "?p=2", "?q=jane%40example.com")
    response = post(sandbox, *(event(event_source_url=f"https://shop.example/{tail}") for tail in urls))

    stats = sandbox.stats()
    assert (stats["raw_pii"], stats["pii_in_custom_data"], stats["pii_in_urls"]) == (0, 0, 2)
    assert response.json()["error"]["error_user_msg"] == "event_source_url must not carry personal data"
    assert "example.com" not in json.dumps(stats)


JANE = {
    "ph": hashlib.sha256(b"16505551212").hexdigest(),
    "fn": [hashlib.sha256(b"jane").hexdigest()],
    "ln": hashlib.sha256(b"oconnor").hexdigest(),
    "ct": hashlib.sha256(b"paris").hexdigest(),
    "zp": hashlib.sha256(b"75001").hexdigest(),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_data__note": "call +1 (650) 555-1212"},
        {"custom_data__note": 16505551212},
        {"custom_data__search_string": "16505551212"},
        {"custom_data__note": ["for Jane O'Connor"]},
        {"custom_data__note": "O’Connor, Jane"},
        {"custom_data__note": "75001 Paris"},
        {"custom_data__note": "Jane"},
        {"event_source_url": "https://shop.example/?who=Jane+O%27Connor"},
        {"event_source_url": "https://shop.example/?n=%2B16505551212"},
        {"referrer_url": "https://shop.example/?who=jane"},
    ],
    ids=repr,
)
def test_what_user_data_has_hashed_is_found_in_texts_by_hashing_their_pieces(
    sandbox: SandboxServer, changes: Json
) -> None:
    made = event(**changes)
    made["user_data"].update(JANE)

    assert refusal(post(sandbox, made)) == (400, 100, 2804019)
    assert sandbox.stats()["pii_in_custom_data"] + sandbox.stats()["pii_in_urls"] == 1
    del made["user_data"]["ph"], made["user_data"]["fn"], made["user_data"]["zp"]
    assert post(sandbox, made).status_code == 200, "it is about somebody else"


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_data__order_id": "16505551212"},
        {"custom_data__contents": [{"id": "16505551212"}]},
        {"custom_data__note": "9916505551212"},
        {"custom_data__content_name": "Jane"},
        {"custom_data__search_string": "Paris 2026"},
        {"custom_data__note": "Jane shoes by O'Connor"},
        {"event_source_url": "https://shop.example/jane?utm_campaign=jane"},
    ],
    ids=repr,
)
def test_what_only_looks_like_it_is_taken(sandbox: SandboxServer, changes: Json) -> None:
    made = event(**changes)
    made["user_data"].update(JANE)

    assert post(sandbox, made).status_code == 200


def test_hashing_the_pieces_of_texts_has_a_bound(sandbox: SandboxServer) -> None:
    made = event(custom_data__note="a b " * 100_000, custom_data__more=["1 " * 100_000] * 3)
    made["user_data"].update(JANE)
    started = time.process_time()

    assert post(sandbox, made).status_code == 200
    assert time.process_time() - started < 5


def test_keys_that_may_be_data_are_not_shown(sandbox: SandboxServer) -> None:
    response = post(sandbox, event(**{"user_data__jane@example.com": "x"}))

    assert response.json()["error"]["error_user_msg"] == "user_data.(a key that is no name) is not a known field"


@pytest.mark.parametrize(
    ("again", "dataset", "stored"),
    [
        ({}, DATASET, 1),
        ({"custom_data__value": 99}, DATASET, 1),
        ({"event_id": "order-2"}, DATASET, 2),
        ({"event_name": "Subscribe"}, DATASET, 2),
        ({}, "555", 2),
    ],
)
def test_the_same_name_and_id_in_one_dataset_is_received_and_dropped(
    sandbox: SandboxServer, again: Json, dataset: str, stored: int
) -> None:
    post(sandbox, event())

    assert post(sandbox, event(**again), dataset=dataset).json()["events_received"] == 1
    stats = sandbox.stats()
    assert (stats["events_received"], stats["events_stored"], stats["duplicates"]) == (2, stored, 2 - stored)


def test_events_without_id_are_all_stored(sandbox: SandboxServer) -> None:
    post(sandbox, event(event_id=None), event(event_id=None))

    stats = sandbox.stats()
    assert (stats["events_stored"], stats["duplicates"], stats["without_event_id"]) == (2, 0, 2)


def test_a_duplicate_counts_anew_after_48_hours() -> None:
    clock = Clock()
    with SandboxServer(SandboxSettings(clock=clock)) as sandbox:
        stored = []
        for hours in (0, 47, 48, 95, 96):
            clock.now = NOW + hours * 3600
            post(sandbox, event())
            stored.append(sandbox.stats()["events_stored"])

    assert stored == [1, 1, 2, 2, 3]


def test_memory_is_bounded_by_forgetting_the_oldest_ids() -> None:
    with SandboxServer(SandboxSettings(clock=Clock(), max_ids=4)) as sandbox:
        for n in range(60):
            post(sandbox, event(event_id=f"order-{n}"))
            post(sandbox, event(event_time=n))

        stats = sandbox.stats()
        assert sandbox.event_ids(DATASET) == [("Purchase", f"order-{n}") for n in range(57, 60)]
        assert (stats["events_stored"], len(stats["last_events"]), len(stats["errors"])) == (60, 20, 50)


def test_event_ids_are_listed_line_by_line(sandbox: SandboxServer) -> None:
    post(sandbox, event(), event(event_name="Lead"), event(event_id="order-2"))

    response = requests.get(f"{sandbox.url}/sandbox/event_ids", params={"dataset": DATASET}, timeout=10)
    assert response.text == "Purchase\torder-1\nPurchase\torder-2\nLead\torder-1\n"
    assert sandbox.event_ids(DATASET) == [("Purchase", "order-1"), ("Purchase", "order-2"), ("Lead", "order-1")]
    assert sandbox.event_ids("555") == []


def test_reset_forgets_events_and_keeps_faults(sandbox: SandboxServer) -> None:
    empty = sandbox.stats()
    post(sandbox, event(), event(event_id=None))
    post(sandbox, event(event_time=1))
    sandbox.set_faults(latency=0.001)

    requests.post(f"{sandbox.url}/sandbox/reset", timeout=10)
    faults = {"faults": {**empty["faults"], "latency": 0.001}, "active_faults": {"latency": 0.001}}
    assert sandbox.stats() == {**empty, **faults}
    assert sandbox.event_ids(DATASET) == []


# --- Faults -----------------------------------------------------------------------------------------------------------


def test_error_rate_answers_a_transient_500(sandbox: SandboxServer) -> None:
    sandbox.set_faults(error_rate=1)

    response = post(sandbox, event())
    assert refusal(response) == (500, 2, None)
    assert response.json()["error"]["is_transient"] is True
    assert sandbox.stats()["events_stored"] == 0


def test_html_rate_answers_a_502_in_html(sandbox: SandboxServer) -> None:
    sandbox.set_faults(html_rate=1)

    response = post(sandbox, event())
    assert (response.status_code, response.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert response.text.startswith("<!DOCTYPE html>")
    assert sandbox.stats()["events_stored"] == 0


@pytest.mark.parametrize("status", [400, 429])
def test_throttle_rate_says_when_to_come_back(sandbox: SandboxServer, status: int) -> None:
    sandbox.set_faults(throttle_rate=1, throttle_status=status, retry_minutes=3)

    response = post(sandbox, event())
    assert refusal(response) == (status, 80004, 2446079)
    assert json.loads(response.headers["X-Business-Use-Case-Usage"]) == {
        DATASET: [
            {
                "type": "ads_management",
                "call_count": 100,
                "total_cputime": 100,
                "total_time": 100,
                "estimated_time_to_regain_access": 3,
            }
        ]
    }
    assert sandbox.stats()["events_stored"] == 0


def test_usage_percent_is_said_in_the_headers_of_good_answers(sandbox: SandboxServer) -> None:
    sandbox.set_faults(usage_percent=80)

    headers = post(sandbox, event()).headers
    usage = {"call_count": 80, "total_cputime": 80, "total_time": 80}
    assert json.loads(headers["X-App-Usage"]) == usage
    assert json.loads(headers["X-Business-Use-Case-Usage"]) == {
        DATASET: [{"type": "ads_management", **usage, "estimated_time_to_regain_access": 0}]
    }


@pytest.mark.parametrize(("fault", "stored"), [("drop_before_rate", 0), ("drop_after_rate", 1)])
def test_a_dropped_connection_has_no_answer(sandbox: SandboxServer, fault: str, stored: int) -> None:
    sandbox.set_faults(**{fault: 1})

    with pytest.raises(requests.ConnectionError):
        post(sandbox, event())
    assert sandbox.stats()["events_stored"] == stored


def test_short_rate_loses_the_last_event(sandbox: SandboxServer) -> None:
    sandbox.set_faults(short_rate=1)

    assert post(sandbox, event(), event(event_id="order-2")).json()["events_received"] == 1
    assert sandbox.event_ids(DATASET) == [("Purchase", "order-1")]


def test_excess_rate_says_that_more_was_received_than_was_sent(sandbox: SandboxServer) -> None:
    sandbox.set_faults(excess_rate=1)

    assert post(sandbox, event()).json()["events_received"] == 2
    assert sandbox.event_ids(DATASET) == [("Purchase", "order-1")]


def test_double_rate_sends_an_answer_twice_on_its_connection(sandbox: SandboxServer) -> None:
    sandbox.set_faults(double_rate=1)
    body = json.dumps({"data": [event()], "access_token": "a-token"}).encode()

    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port), timeout=10) as sender:
        head = f"POST /v25.0/{DATASET}/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        sender.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        received = b""
        while len(traces := re.findall(rb'"fbtrace_id":"([^"]+)"', received)) < 2:
            received += sender.recv(4096)
    assert traces[0] == traces[1]


@pytest.mark.parametrize("faults", [{"latency": 0.2}, {"slow_rate": 1, "slow_seconds": 0.2}])
def test_slow_answers_are_late_but_good(sandbox: SandboxServer, faults: dict[str, float]) -> None:
    sandbox.set_faults(**faults)

    start = time.monotonic()
    assert post(sandbox, event()).status_code == 200
    assert time.monotonic() - start >= 0.2


def test_a_batch_is_stored_although_the_sender_gave_up_waiting(sandbox: SandboxServer) -> None:
    sandbox.set_faults(latency=0.3)

    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{sandbox.url}/v25.0/{DATASET}/events",
            json={"data": [event()]},
            headers={"Authorization": "Bearer a-token"},
            timeout=0.1,
        )
    time.sleep(0.4)
    assert sandbox.event_ids(DATASET) == [("Purchase", "order-1")]


def test_dead_token_refuses_every_request_until_it_is_switched_off(sandbox: SandboxServer) -> None:
    sandbox.set_faults(dead_token=True)
    assert refusal(post(sandbox, event())) == (400, 190, 463)

    sandbox.set_faults(dead_token=False)
    assert post(sandbox, event()).status_code == 200


def test_an_event_that_meta_alone_knows_to_be_bad_fails_its_whole_batch(sandbox: SandboxServer) -> None:
    sandbox.set_faults(refused_ids="cursed")
    assert refusal(post(sandbox, event(), event(event_id="cursed-1"))) == (400, 100, 2804019)
    assert post(sandbox, event(), event(event_id=None)).json()["events_received"] == 2
    assert sandbox.stats()["events_stored"] == 2


@pytest.mark.parametrize(("subcode", "expected"), [(0, (400, 4711, None)), (12, (400, 4711, 12))])
def test_from_a_request_on_everything_is_refused_with_any_code(
    sandbox: SandboxServer, subcode: int, expected: tuple[int, int, int | None]
) -> None:
    sandbox.set_faults(refused_code=4711, refused_subcode=subcode, refused_after=2)
    assert [post(sandbox, event(event_id=f"e{n}")).status_code for n in range(2)] == [200, 200]
    assert [refusal(post(sandbox, event(event_id=f"e{n}"))) for n in (2, 3)] == [expected] * 2
    assert sandbox.stats()["injected_faults"] == {"refused": 2}
    assert sandbox.stats()["events_stored"] == 2


def test_a_request_of_too_many_events_is_too_large(sandbox: SandboxServer) -> None:
    sandbox.set_faults(max_events=2)
    events = [event(event_id=f"e{n}") for n in range(3)]
    assert post(sandbox, *events).status_code == 413
    assert post(sandbox, *events[:2]).status_code == 200
    assert sandbox.stats()["injected_faults"] == {"too_large": 1}


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        ("error", 500, {"error": {"message": "An unknown error occurred", "type": "OAuthException", "code": 1}}),
        ("transient", 400, {"error": {"message": "Try again later", "code": 4711, "is_transient": True}}),
        ("html", 502, None),
        ("no_code", 400, {"error": {"message": "Something is wrong"}}),
        ("text_code", 400, {"error": {"message": "Something is wrong", "code": "1", "is_transient": "true"}}),
        ("text_error", 400, {"error": "Something is wrong"}),
        ("unknown", 400, {"error": {"message": "Something is wrong", "type": "OAuthException", "code": 4711}}),
        ("silence", 200, {}),
    ],
)
def test_an_event_that_the_server_fails_on_fails_its_whole_batch_as_asked(
    sandbox: SandboxServer, answer: str, status: int, body: Json | None
) -> None:
    sandbox.set_faults(poisoned_ids="venom", poison_answer=answer)
    failed = post(sandbox, event(), event(event_id="venom-1"))
    assert (failed.status_code, failed.json() if body is not None else None) == (status, body)
    assert post(sandbox, event()).status_code == 200
    assert sandbox.stats()["events_stored"] == 1
    assert sandbox.stats()["injected_faults"] == {"poisoned": 1}


@pytest.mark.parametrize(
    ("answer", "error"), [("drop", requests.ConnectionError), ("hang", requests.Timeout)], ids=["drop", "hang"]
)
def test_an_event_that_the_server_fails_on_may_be_left_without_an_answer(
    sandbox: SandboxServer, answer: str, error: type[Exception]
) -> None:
    sandbox.set_faults(poisoned_ids="venom", poison_answer=answer)
    url = f"{sandbox.url}/v25.0/{DATASET}/events"
    with pytest.raises(error):
        requests.post(url, json={"data": [event(event_id="venom-1")], "access_token": "t"}, timeout=0.3)
    assert post(sandbox, event()).status_code == 200
    assert sandbox.stats()["events_stored"] == 1


def test_a_sender_that_dies_in_the_middle_of_a_request_leaves_no_trace(
    sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port)) as sender:
        head = f"POST /v25.0/{DATASET}/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        sender.sendall(f'{head}Content-Length: 100\r\n\r\n{{"data": ['.encode())
        while not sandbox.stats()["requests"]:
            time.sleep(0.005)
    assert post(sandbox, event()).status_code == 200
    assert (sandbox.stats()["events_received"], caplog.text) == (1, "")


def test_slow_answers_are_counted(sandbox: SandboxServer) -> None:
    sandbox.set_faults(slow_rate=1, slow_seconds=0.01)
    post(sandbox, event())
    assert sandbox.stats()["injected_faults"] == {"slow": 1}


@pytest.mark.parametrize(("fault", "status", "code"), [("fail_next", 500, 2), ("throttle_next", 400, 80004)])
def test_the_next_requests_fail_and_then_all_is_well(
    sandbox: SandboxServer, fault: str, status: int, code: int
) -> None:
    sandbox.set_faults(**{fault: 2})

    answers = [post(sandbox, event()) for _ in range(3)]
    assert [a.status_code for a in answers] == [status, status, 200]
    assert [a.json()["error"]["code"] for a in answers[:2]] == [code, code]
    assert sandbox.stats()["faults"][fault] == 0


def test_the_seed_repeats_the_faults_and_each_has_its_share(sandbox: SandboxServer) -> None:
    def run(seed: int) -> list[int]:
        sandbox.set_faults(seed=seed, error_rate=0.3, html_rate=0.3)
        return [post(sandbox, event()).status_code for _ in range(200)]

    first, again, other = run(1), run(1), run(2)
    assert first == again
    assert first != other
    assert all(40 <= first.count(status) <= 110 for status in (200, 500, 502))


def test_faults_are_switched_and_shown_over_http(sandbox: SandboxServer) -> None:
    url = f"{sandbox.url}/sandbox/faults"
    default = requests.get(url, timeout=10).json()

    changed = requests.post(url, json={"error_rate": 0.5, "fail_next": 2}, timeout=10)
    assert (changed.status_code, changed.json()) == (200, {**default, "error_rate": 0.5, "fail_next": 2})
    assert requests.get(url, timeout=10).json() == changed.json()


@pytest.mark.parametrize(
    "faults",
    [
        {"no_such_fault": 1},
        {"error_rate": 1.5},
        {"error_rate": -0.1},
        {"error_rate": "often"},
        {"error_rate": True},
        {"error_rate": 0.6, "html_rate": 0.6},
        {"fail_next": 1.5},
        {"dead_token": 1},
        {"refused_ids": 7},
        {"throttle_status": 503},
        [],
    ],
)
def test_faults_that_make_no_sense_are_refused_and_change_nothing(sandbox: SandboxServer, faults: Any) -> None:
    before = sandbox.stats()

    response = requests.post(f"{sandbox.url}/sandbox/faults", json=faults, timeout=10)
    assert (response.status_code, list(response.json())) == (400, ["error"])
    assert sandbox.stats() == before
    if isinstance(faults, dict):
        with pytest.raises(ValueError, match=r"\w"):
            sandbox.set_faults(**faults)


def test_null_mode_counts_without_checking() -> None:
    with SandboxServer(SandboxSettings(null=True)) as sandbox:
        tricky = event(original_event_data={"event_name": "Lead"}, custom_data__note='"user_data": {}', event_time=1)

        assert post(sandbox, tricky, tricky, tricky).json()["events_received"] == 3
        sandbox.set_faults(short_rate=1)
        assert post(sandbox, tricky, tricky, tricky).json()["events_received"] == 2
        stats = sandbox.stats()
        assert (stats["requests"], stats["events_received"], stats["events_stored"]) == (2, 5, 0)


# --- The page and the command line ------------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_elsewhere(sandbox: SandboxServer) -> None:
    response = requests.get(sandbox.url, timeout=10)

    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "capybeam sandbox" in response.text
    assert [part for part in ("http://", "https://", "src=", "@import", "innerHTML") if part in response.text] == []
    assert requests.get(f"{sandbox.url}/sandbox/healthz", timeout=10).text == "ok"


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("error_rate=0.25", ("error_rate", 0.25)),
        ("fail_next=3", ("fail_next", 3)),
        ("dead_token", ("dead_token", True)),
        ("dead_token=false", ("dead_token", False)),
        ("refused_ids=cursed", ("refused_ids", "cursed")),
    ],
)
def test_a_fault_is_switched_on_by_name(text: str, change: tuple[str, object]) -> None:
    assert parse_fault(text) == change


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eror_rate=1", "no fault is named eror_rate"),
        ("error_rate=much", "error_rate must be a number"),
        ("fail_next", "fail_next must be a number"),
        ("dead_token=maybe", "dead_token must be true or false"),
    ],
)
def test_a_fault_that_makes_no_sense_says_so(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


def test_tokens_are_not_shown_by_the_settings() -> None:
    settings = SandboxSettings(tokens=frozenset({"secret"}), expired_tokens=frozenset({"former"}))

    assert [token for token in ("secret", "former") if token in repr(settings)] == []


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        serve(SandboxSettings(), host=host)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_serve_says_where_it_is_and_leaves_cleanly_when_it_is_stopped(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from capybeam.pipeline.sandbox.server import serve; serve(port=0)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    url = line.split()[2]
    healthy = requests.get(f"{url}/sandbox/healthz", timeout=10).text
    process.send_signal(number)
    rest, errors = process.communicate(timeout=10)

    assert (
        line == f"Sandbox at {url} (open it to see what arrives); send to it with `endpoint: {url}`. Ctrl-C stops it.\n"
    )
    assert (healthy, rest, errors, process.returncode) == ("ok", "", "", 0)


def test_the_sandbox_reads_the_rules_on_its_own() -> None:
    imported = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, capybeam.pipeline.sandbox.server; print([m for m in sys.modules if 'transforms' in m])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert imported.stdout == "[]\n"
