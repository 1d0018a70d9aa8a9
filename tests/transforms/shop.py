"""A shop's events, and their way to a payload, for the tests of what becomes of them."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections import Counter
from datetime import date
from typing import Any

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.job.presets import merged_mapping, presets
from capybeam.transforms.core.envelope import Envelope
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.meta.subscriptions import MetaSubscription

NOW = 1_795_341_600  # 2026-11-22T10:00:00Z
TIME = "2026-11-22T09:58:20.123Z"
SECONDS = NOW - 100
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:154.0) Gecko/20100101 Firefox/154.0"

Json = dict[str, Any]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


CONTEXT: Json = {
    "ip": "203.0.113.7",
    "userAgent": BROWSER,
    "locale": "en-US",
    "library": {"name": "analytics.js", "version": "2.11.1"},
    "page": {"url": "https://shop.example.com/checkout?step=3", "path": "/checkout", "referrer": "", "title": "Thanks"},
    "traits": {
        "email": " Jane.Doe@Example.com ",
        "phone": "+1 (202) 555-0143",
        "birthday": "1990-05-17",
        "gender": "Female",
        "firstName": "Jane",
        "lastName": "O'Connor",
        "address": {
            "street": "1 Example Street",
            "city": "San Francisco",
            "state": "California",
            "postalCode": "94107-1234",
            "country": "United States",
        },
    },
}
USER_DATA: Json = {
    "external_id": [sha256("user_1042")],
    "em": sha256("jane.doe@example.com"),
    "ph": sha256("12025550143"),
    "ge": sha256("f"),
    "db": sha256("19900517"),
    "ln": sha256("oconnor"),
    "fn": sha256("jane"),
    "ct": sha256("sanfrancisco"),
    "st": sha256("ca"),
    "zp": sha256("94107"),
    "country": sha256("us"),
    "client_ip_address": "203.0.113.7",
    "client_user_agent": BROWSER,
    "fbc": "fb.1.1795341000000.IwAR0_xY-z",
    "fbp": "fb.1.1795341000000.1098115397",
}
COOKIES: Json = {"fbc": "fb.1.1795341000000.IwAR0_xY-z", "fbp": "fb.1.1795341000000.1098115397"}


def track(event: str, properties: Json, **changes: Any) -> Json:
    return {
        "type": "track",
        "event": event,
        "messageId": "ajs-next-1795341500123-77",
        "timestamp": TIME,
        "sentAt": "2026-11-22T09:58:21.000Z",
        "receivedAt": "2026-11-22T09:58:21.400Z",
        "userId": "user_1042",
        "anonymousId": "anon-77",
        "context": CONTEXT,
        "properties": {**properties, **COOKIES},
        **changes,
    }


ORDER = track(
    "Order Completed",
    {
        "order_id": "50314b8e9bcf",
        "revenue": "25.50",
        "total": 30,
        "currency": "USD",
        "coupon": "SPRING",
        "products": [
            {"product_id": "mug-1", "sku": "G-32", "name": "Capybara mug", "price": 9.5, "quantity": 2},
            {"product_id": 505, "sku": "G-33", "name": "Capybara hat", "price": "6.50", "quantity": "1"},
        ],
    },
)


def job(
    action: str, mapping: Json | None = None, *, subscription: Json | None = None, **destination: Any
) -> tuple[MetaSubscription, ...]:
    """The subscriptions of a job file with one subscription to `action`.

    The mapping may be one that `check` refuses, because no event can pass it: the engine has to reject each event then.
    """
    given = {**(subscription or {})}
    use_defaults = given.pop("use_default_mapping", True)
    trigger = {} if presets()[action].trigger else {"trigger": "all"}
    name = {"mapping": {"event_name": "Lead"}} if action == "custom" else {}
    text = {
        "destinations": [
            {
                "name": "web",
                "type": "facebook_conversions_api",
                "dataset_id": "123321",
                "access_token": "env:META_ACCESS_TOKEN",
                "subscriptions": [{"action": action, **trigger, **name, **given}],
                **destination,
            }
        ]
    }
    merged = merged_mapping(presets()[action], mapping or {}, use_defaults)
    subscriptions = parse_job(json.dumps(text), today=date(2026, 11, 22)).subscriptions
    return tuple(dataclasses.replace(each, mapping=merged) for each in subscriptions)


class Way:
    """All of an event's way, compiled once."""

    def __init__(self, subscriptions: tuple[MetaSubscription, ...], max_bytes: int = 4_194_304) -> None:
        self.subscription = subscriptions[0]
        self.engine = Engine(subscriptions, max_bytes)

    def __call__(self, event: Json) -> tuple[str, Json, dict[str, int]]:
        """The destination key, the payload and the notes of an event's conversion."""
        notes: Counter[str] = Counter()

        def count(name: str) -> None:
            notes[name] += 1

        before = copy.deepcopy(event)
        engine = self.engine
        (conversion,) = engine.name(event, self.subscription.key)
        ready = engine.validate(engine.hash(engine.map(conversion, count), count), NOW, count)
        assert repr(event) == repr(before), "the event itself stays as it is"
        envelope = Envelope.decode(ready.line)
        body = json.loads(envelope.body)
        assert envelope == Envelope(
            self.subscription.name,
            body["event_name"],
            body.get("event_id"),
            body["event_time"],
            62 * 86_400 if body.get("action_source", "physical_store") == "physical_store" else 7 * 86_400,
            envelope.body,
        )
        return ready.key, body, dict(notes)


def convert(
    subscriptions: tuple[MetaSubscription, ...], event: Json, max_bytes: int = 4_194_304
) -> tuple[str, Json, dict[str, int]]:
    return Way(subscriptions, max_bytes)(event)


def payload(action: str, event: Json, mapping: Json | None = None, **destination: Any) -> Json:
    _, body, _ = convert(job(action, mapping, **destination), event)
    return body


def custom_data(action: str, event: Json, mapping: Json | None = None, **destination: Any) -> Json | None:
    return payload(action, event, mapping, **destination).get("custom_data")


def user_data(event: Json, mapping: Json | None = None, action: str = "purchase") -> Json:
    found: Json = payload(action, event, mapping)["user_data"]
    return found


def rejection(action: str, event: Json, mapping: Json | None = None, **destination: Any) -> tuple[str, str]:
    """Code and message of the rejection that an event ends in."""
    subscriptions = job(action, mapping, **destination)
    with pytest.raises(Rejected) as caught:
        convert(subscriptions, event)
    return caught.value.code, caught.value.message


def with_properties(event: Json, **changes: Any) -> Json:
    """The event with changed properties; None takes one away."""
    properties = {key: value for key, value in {**event["properties"], **changes}.items() if value is not None}
    return {**event, "properties": properties}


def with_traits(event: Json, **traits: Any) -> Json:
    return {**event, "context": {**event["context"], "traits": traits}}


def with_context(event: Json, **changes: Any) -> Json:
    context = {key: value for key, value in {**event["context"], **changes}.items() if value is not None}
    return {**event, "context": context}


def subscription(name: str, trigger: str = "all", **changes: Any) -> MetaSubscription:
    fields: Json = {
        "destination": "web",
        "name": name,
        "trigger": trigger,
        "mapping": {},
        "fields": (),
        "dataset_ids": ("1",),
    }
    return MetaSubscription(**{**fields, **changes})
