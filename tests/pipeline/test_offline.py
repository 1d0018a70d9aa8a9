"""Destination type facebook_offline_conversions, from a job file to what is sent, on both wires.

The numbered sections follow the rules of Segment's "Facebook Offline Conversions"; the last one is what other
implementations of it get wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import date
from typing import Any

import orjson
import pytest

from capybeam.pipeline.job.loader import Job, parse_job
from capybeam.pipeline.job.presets import offline_preset
from capybeam.pipeline.preview import preview

NOW = 1_795_341_600  # 2026-11-22T10:00:00Z
TIME = "2026-11-22T09:58:20.123Z"
SECONDS = NOW - 100
DAY = 86_400
WIRES = ("conversions_api", "offline_events")

Json = dict[str, Any]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def job(wire: str = "conversions_api", **settings: Any) -> Job:
    """A job with one offline destination; without maps of its own it sends the names of the seed to dataset 555."""
    if not settings.keys() & {"events", "lead_events", "complete_registration_events"}:
        settings["events"] = dict.fromkeys((*offline_preset().names, "Quiz Done"), "555")
    destination = {
        "name": "stores",
        "type": "facebook_offline_conversions",
        "access_token": "env:META_ACCESS_TOKEN",
        "wire": wire,
        "endpoint": "https://archive.example.com",
        **settings,
    }
    return parse_job(json.dumps({"destinations": [destination]}), today=date(2026, 11, 22))


def track(event: str, properties: Any = None, traits: Any = None, **changes: Any) -> Json:
    return {
        "type": "track",
        "event": event,
        "messageId": "m-1",
        "timestamp": TIME,
        "userId": "u-1",
        "properties": {} if properties is None else properties,
        "context": {"traits": {} if traits is None else traits},
        **changes,
    }


def outcomes(made: Job, event: Json, notes: Counter[str] | None = None) -> list[Json]:
    found = list(preview(made, [json.dumps(event).encode()], NOW, notes))
    return [{k: v for k, v in json.loads(orjson.dumps(outcome)).items() if k != "line"} for outcome in found]


def outcome(event: Json, wire: str = "conversions_api", notes: Counter[str] | None = None, **settings: Any) -> Json:
    (found,) = outcomes(job(wire, **settings), event, notes)
    return found


def payload(event: Json, wire: str = "conversions_api", **settings: Any) -> Json:
    found: Json = outcome(event, wire, **settings)["payload"]
    return found


def money(event: Json, wire: str = "conversions_api", **settings: Any) -> Json:
    """An event's fields beside time, name and person: in custom_data on one wire, in the event on the other."""
    made = payload(event, wire, **settings)
    if wire == "conversions_api":
        found: Json = made["custom_data"]
        return found
    return {k: v for k, v in made.items() if k not in ("event_time", "event_name", "match_keys", "custom_data")}


def rest(event: Json, wire: str, **settings: Any) -> Json:
    """The remaining properties alone."""
    custom_data: Json = payload(event, wire, **settings).get("custom_data", {})
    taken = ("value", "currency", "content_type", "content_ids", "order_id") if wire == "conversions_api" else ()
    return {key: value for key, value in custom_data.items() if key not in taken}


def person(event: Json, wire: str = "conversions_api", **settings: Any) -> Json:
    made: Json = payload(event, wire, **settings)
    keys: Json = made["user_data" if wire == "conversions_api" else "match_keys"]
    return keys


def rejection(event: Json, wire: str = "conversions_api", **settings: Any) -> tuple[str, str]:
    found = outcome(event, wire, **settings)
    assert found["status"] == "rejected"
    return found["code"], found["message"]


# --- the seed's two code examples, whole ------------------------------------------------------------------------

PRODUCT_ADDED: Json = {
    "type": "track",
    "messageId": "m-1",
    "timestamp": TIME,
    "userId": "hamsolo813",
    "event": "Product Added",
    "properties": {
        "cart_id": "cart1234",
        "product_id": "product12356",
        "sku": "G-32",
        "category": "Games",
        "name": "Monopoly: 3rd Edition",
        "brand": "Hasbro",
        "variant": "200 pieces",
        "price": 18.99,
        "quantity": 1,
        "coupon": "MAYDEALS",
        "position": 3,
    },
    "context": {
        "traits": {
            "email": "hamsolo813@hamsolo813.com",
            "phone": "4011234567",
            "gender": "m",
            "name": "ham solo",
            "address": {"city": "East Greenwich", "state": "RI", "postalCode": "02818", "country": "USA"},
        }
    },
}
ORDER: Json = {
    "type": "track",
    "messageId": "m-2",
    "timestamp": TIME,
    "userId": "hamsolo813",
    "event": "Order Completed",
    "properties": {
        "order_id": "o-50314",
        "revenue": 25,
        "total": 27.5,
        "currency": "USD",
        "coupon": "hasbros",
        "products": [
            {"product_id": "mug-1", "name": "Mug", "price": 19, "quantity": 1},
            {"product_id": 505, "name": "Hat", "price": 3, "quantity": 2},
        ],
    },
    "context": {"Facebook Offline Conversions": {"leadId": "525645896321548"}},
}
REMAINING: Json = {
    "cart_id": "cart1234",
    "sku": "G-32",
    "category": "Games",
    "brand": "Hasbro",
    "variant": "200 pieces",
    "price": 18.99,
    "quantity": 1,
    "coupon": "MAYDEALS",
    "position": 3,
}
GIVES: dict[tuple[str, str], Json] = {
    ("Product Added", "conversions_api"): {
        "event_time": SECONDS,
        "event_name": "AddToCart",
        "event_id": "m-1",
        "action_source": "physical_store",
        "user_data": {
            "external_id": [sha256("hamsolo813")],
            "em": sha256("hamsolo813@hamsolo813.com"),
            "ph": sha256("4011234567"),
            "ge": sha256("m"),
            "ln": sha256("solo"),
            "fn": sha256("ham"),
            "ct": sha256("eastgreenwich"),
            "st": sha256("ri"),
            "zp": sha256("02818"),
            "country": sha256("us"),
        },
        "custom_data": {**REMAINING, "content_type": "product", "content_ids": ["product12356"]},
    },
    ("Product Added", "offline_events"): {
        "event_time": SECONDS,
        "event_name": "AddToCart",
        "match_keys": {
            "email": [sha256("hamsolo813@hamsolo813.com")],
            "phone": [sha256("4011234567")],
            "gen": sha256("m"),
            "ln": sha256("solo"),
            "fn": sha256("ham"),
            "ct": sha256("eastgreenwich"),
            "st": [sha256("ri")],
            "zip": [sha256("02818")],
            "country": sha256("us"),
            "extern_id": sha256("hamsolo813"),
        },
        "content_type": "product",
        "content_ids": ["product12356"],
        "custom_data": REMAINING,
    },
    ("Order Completed", "conversions_api"): {
        "event_time": SECONDS,
        "event_name": "Purchase",
        "event_id": "m-2",
        "action_source": "physical_store",
        "user_data": {"external_id": [sha256("hamsolo813")], "lead_id": 525645896321548},
        "custom_data": {
            "total": 27.5,
            "coupon": "hasbros",
            "value": 25,
            "currency": "USD",
            "content_type": "product",
            "content_ids": ["mug-1", "505"],
            "order_id": "o-50314",
        },
    },
    ("Order Completed", "offline_events"): {
        "event_time": SECONDS,
        "event_name": "Purchase",
        "match_keys": {"extern_id": sha256("hamsolo813"), "lead_id": 525645896321548},
        "value": 25,
        "currency": "USD",
        "content_type": "product",
        "content_ids": ["mug-1", "505"],
        "order_id": "o-50314",
        "custom_data": {"total": 27.5, "coupon": "hasbros"},
    },
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("event", [PRODUCT_ADDED, ORDER], ids=lambda event: event["event"])
def test_the_seeds_example_becomes_exactly_this(event: Json, wire: str) -> None:
    assert outcome(event, wire) == {
        "destination": "stores",
        "subscription": f"events: {event['event']}",
        "status": "ready",
        "dataset_id": "555",
        "upload_tag": "Segment",
        "payload": GIVES[event["event"], wire],
    }


# --- 1. three maps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
def test_an_event_of_several_maps_and_datasets_goes_once_to_each_under_its_own_name(wire: str) -> None:
    made = job(
        wire,
        events={"Signed Up": ["1", 2, "1"], "Other": "9"},
        lead_events={"Signed Up": "1"},
        complete_registration_events={"Signed Up": ["3", "1"]},
    )

    found = outcomes(made, track("Signed Up"))

    assert [(o["subscription"], o["dataset_id"], o["payload"]["event_name"]) for o in found] == [
        ("events: Signed Up", "1", "Signed Up"),
        ("events: Signed Up", "2", "Signed Up"),
        ("lead_events: Signed Up", "1", "Lead"),
        ("complete_registration_events: Signed Up", "3", "CompleteRegistration"),
        ("complete_registration_events: Signed Up", "1", "CompleteRegistration"),
    ]


@pytest.mark.parametrize(
    "event",
    [
        track("order completed"),
        track("Order Completed "),
        track("Order  Completed"),
        track("Order"),
        {**track("Order Completed"), "type": "page"},
        {**track("Order Completed"), "type": "identify"},
        {**track("Order Completed"), "event": None},
        {**track("Order Completed"), "event": ["Order Completed"]},
    ],
    ids=lambda event: f"{event['type']} {event['event']!r}",
)
def test_only_track_events_of_exactly_that_name_are_sent(event: Json) -> None:
    (outcome,) = outcomes(job(events={"Order Completed": "555"}), event)
    assert outcome["status"] == "filtered"


ODD_NAMES = (
    'Say "yes"', "Don't", "C:\\new", "a/b/c", "Sale: 50%", "tab\there", "two\nlines", "[bold]", "Größe 鞋", "x = 1 and",
    "\\", '"', "{{x}}", "%s", "a\u2028b", "42", " padded ", "tab\\u0009here", "@path",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=repr)
def test_a_name_may_hold_anything(name: str) -> None:
    made = job(events={other: "555" for other in ODD_NAMES})

    (found,) = outcomes(made, track(name))

    assert (found["status"], found["payload"]["event_name"]) == ("ready", name)


def test_names_in_the_books_are_readable_unlike_each_other_and_hold_no_tab() -> None:
    made = job(events={name: "555" for name in ODD_NAMES}, lead_events={name: "555" for name in ODD_NAMES})
    names = [subscription.name for subscription in made.subscriptions]

    assert len(set(names)) == 2 * len(ODD_NAMES)
    assert [name for name in names if any(ord(character) < 32 for character in name)] == []
    assert {"events: a/b/c", "lead_events: Sale: 50%", "events: tab\\u0009here", "events: Größe 鞋"} <= set(names)


# --- 2. names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("Products Searched", "Search"),
        ("Product Viewed", "ViewContent"),
        ("Product List Viewed", "ViewContent"),
        ("Product Added to Wishlist", "AddToWishlist"),
        ("Product Added", "AddToCart"),
        ("Checkout Started", "InitiateCheckout"),
        ("Payment Info Entered", "AddPaymentInfo"),
        ("Order Completed", "Purchase"),
        ("Quiz Done", "Quiz Done"),
    ],
)
def test_an_event_has_metas_name_or_its_own(event: str, name: str) -> None:
    properties = {"revenue": 1, "currency": "EUR"}

    assert [payload(track(event, properties), wire)["event_name"] for wire in WIRES] == [name, name]


# --- 3 to 5. fields ---------------------------------------------------------------------------------------------


def test_the_upload_tag_is_a_setting() -> None:
    assert [outcome(track("Quiz Done"), wire, upload_tag="läden")["upload_tag"] for wire in WIRES] == ["läden", "läden"]


PRICES = {"value": 1, "price": 2, "revenue": 3, "currency": " eur "}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("event", "value_field", "value", "remaining"),
    [
        ("Product Viewed", "value", 1, {"price": 2, "revenue": 3}),
        ("Product Viewed", "price", 2, {"value": 1, "revenue": 3}),
        ("Quiz Done", "price", 2, {"value": 1, "revenue": 3}),
        ("Order Completed", "value", 3, {"value": 1, "price": 2}),
        ("Order Completed", "price", 3, {"value": 1, "price": 2}),
    ],
)
def test_an_order_is_worth_its_revenue_and_all_else_what_the_setting_says(
    event: str, value_field: str, value: int, remaining: Json, wire: str
) -> None:
    made = track(event, PRICES)
    if wire == "conversions_api":  # where the name belongs to the field
        remaining = {name: number for name, number in remaining.items() if name != "value"}

    found = money(made, wire, value_field=value_field)

    assert (found["value"], found["currency"]) == (value, "EUR")
    assert rest(made, wire, value_field=value_field) == remaining


@pytest.mark.parametrize("wire", WIRES)
def test_where_there_is_no_price_the_value_is_taken_and_counted(wire: str) -> None:
    made = track("Product Viewed", {"value": "7.5", "revenue": 3, "price": None})
    notes: Counter[str] = Counter()

    outcome(made, wire, notes, value_field="price")
    assert notes == {"value_fallback": 1}
    assert money(made, wire, value_field="price")["value"] == 7.5
    assert rest(made, wire, value_field="price") == {"revenue": 3}


@pytest.mark.parametrize("wire", WIRES)
def test_an_event_without_the_property_of_its_value_has_none(wire: str) -> None:
    assert "value" not in money(track("Product Viewed", {"value": "much", "revenue": 3}), wire, value_field="price")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("nothing", [{}, {"revenue": None}, {"revenue": ""}], ids=repr)
def test_an_order_without_revenue_is_rejected_with_what_was_looked_for(nothing: Json, wire: str) -> None:
    order = track("Order Completed", {"value": 5, "price": 5, "total": 5, "currency": "EUR", **nothing})

    assert rejection(order, wire) == (
        "missing_required_field",
        "The required field 'value' has no value (looked for $.properties.revenue).",
    )
    assert rejection(order, wire, lead_events={"Order Completed": "5"})[0] == "missing_required_field"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("currency", "code"), [(None, "missing_currency"), ("QQQ", "invalid_currency"), ("€", "invalid_currency")]
)
def test_a_purchase_needs_a_currency(currency: str | None, code: str, wire: str) -> None:
    assert rejection(track("Order Completed", {"revenue": 5, "currency": currency}), wire)[0] == code


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("event", "properties", "content_type", "content_ids"),
    [
        ("Product Viewed", {"product_id": "mug"}, "product", ["mug"]),
        ("Product Viewed", {"product_id": 505}, "product", ["505"]),
        ("Order Completed", {"products": [{"product_id": "mug"}, {"product_id": 5}]}, "product", ["mug", "5"]),
        ("Order Completed", {"products": [{"product_id": "mug"}], "product_id": "hat"}, "product", ["mug"]),
        ("Order Completed", {"products": [{"sku": "m"}, {"product_id": ""}, {"product_id": "b"}]}, "product", ["b"]),
        ("Order Completed", {"products": [], "product_id": "hat"}, "product", ["hat"]),
        ("Order Completed", {"products": [{"sku": "m"}]}, "product", None),
        ("Quiz Done", {}, "product", None),
        ("Product List Viewed", {"category": "Games", "product_id": "x"}, "product_group", ["Games"]),
        ("Product List Viewed", {"products": [{"product_id": "mug"}]}, "product_group", None),
    ],
)
def test_contents_are_products_and_of_a_list_its_category(
    event: str, properties: Json, content_type: str, content_ids: list[str] | None, wire: str
) -> None:
    found = money(track(event, {"revenue": 1, "currency": "EUR", **properties}), wire)

    assert (found["content_type"], found.get("content_ids")) == (content_type, content_ids)


@pytest.mark.parametrize("wire", WIRES)
def test_custom_data_is_what_no_field_was_made_of(wire: str) -> None:
    properties = {
        "order_id": "o-1",
        "revenue": 3,
        "currency": "EUR",
        "product_id": "p",
        "products": [{"product_id": "q"}],
        "category": "Games",
        "tax": 2,
        "coupon": None,
        "gift": {"wrap": True, "text": None},
        "tags": ["a", None],
    }

    assert rest(track("Order Completed", properties), wire) == {
        "category": "Games",
        "tax": 2,
        "gift": {"wrap": True},
        "tags": ["a", None],
    }
    listed = rest(track("Product List Viewed", properties), wire)
    assert listed.keys() == {"revenue", "product_id", "products", "tax", "gift", "tags"}


@pytest.mark.parametrize("wire", WIRES)
def test_without_remaining_properties_there_is_none(wire: str) -> None:
    for properties in ({"coupon": None}, {}):
        assert rest(track("Quiz Done", properties), wire) == {}
    bare = {key: value for key, value in track("Quiz Done").items() if key != "properties"}
    assert rest(bare, wire) == {}


def test_properties_named_like_fields_do_not_take_their_place() -> None:
    properties = {"content_type": "sandwich", "content_ids": "x", "order_id": 5}

    assert money(track("Quiz Done", properties)) == {"content_type": "product", "order_id": "5"}
    assert money(track("Quiz Done", properties), "offline_events") == {"content_type": "product", "order_id": "5"}
    assert rest(track("Quiz Done", properties), "offline_events") == {"content_type": "sandwich", "content_ids": "x"}


@pytest.mark.parametrize("wire", WIRES)
def test_personal_keys_leave_custom_data_unless_they_are_allowed(wire: str) -> None:
    event = track("Quiz Done", {"email": "jane@example.com", "name": "Mug", "gift": {"phone": "1"}, "size": 5})
    notes: Counter[str] = Counter()
    outcome(event, wire, notes)

    assert notes == {"removed_from_custom_data": 3}
    assert rest(event, wire) == {"gift": {}, "size": 5}
    assert rest(event, wire, allow_in_custom_data=["name"]) == {"name": "Mug", "gift": {}, "size": 5}


# --- 6. match keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traits", "first", "last"),
    [
        ({"name": "Ada Lovelace"}, "ada", "lovelace"),
        ({"name": "Ada King Lovelace"}, "ada", "kinglovelace"),
        ({"first_name": "Ada", "last_name": "Lovelace"}, "ada", "lovelace"),
        ({"name": "  Ada \t Lovelace "}, "ada", "lovelace"),
        ({"name": "Ada"}, "ada", None),
        ({"name": " "}, None, None),
        ({"name": 5}, None, None),
        ({"name": "Ada Lovelace", "firstName": "Augusta"}, "augusta", "lovelace"),
        ({"name": "Ada Lovelace", "lastName": "King"}, "ada", "king"),
        ({"name": "Ada Lovelace", "firstName": "Augusta", "lastName": "King"}, "augusta", "king"),
        ({"name": "Ada Lovelace", "firstName": "", "lastName": None}, "ada", "lovelace"),
        ({"name": "Ada Lovelace", "firstName": None, "lastName": ""}, "ada", "lovelace"),
        ({"firstName": "Augusta"}, "augusta", None),
    ],
    ids=repr,
)
def test_a_name_is_its_first_word_and_the_rest(traits: Json, first: str | None, last: str | None) -> None:
    expected = {key: sha256(name) for key, name in (("fn", first), ("ln", last)) if name}

    for wire in WIRES:
        found = person(track("Quiz Done", traits=traits), wire)
        assert {key: found[key] for key in ("fn", "ln") if key in found} == expected


@pytest.mark.parametrize("wire", WIRES)
def test_people_are_known_by_user_id_and_the_traits_of_the_context_only(wire: str) -> None:
    event = track("Quiz Done", anonymousId="anon-1", userId=1042, traits={"email": 5})
    event["context"] = {"ip": "203.0.113.7", "userAgent": "Mozilla/5.0", "page": {"url": "https://x.example/?fbclid=a"}}
    event["traits"] = {"email": "jane@example.com"}

    external_id: Any = {"external_id": [sha256("1042")]} if wire == "conversions_api" else {"extern_id": sha256("1042")}
    assert person(event, wire) == external_id


@pytest.mark.parametrize(
    ("lead_id", "sent"), [("525645896321548", 525645896321548), (525645896321548, 525645896321548)], ids=repr
)
def test_a_lead_id_goes_out_as_it_is_and_is_enough(lead_id: Any, sent: int) -> None:
    event = track("Quiz Done", userId=None, context={"Facebook Offline Conversions": {"leadId": lead_id}})

    assert [person(event, wire) for wire in WIRES] == [{"lead_id": sent}, {"lead_id": sent}]


@pytest.mark.parametrize("wire", WIRES)
def test_a_lead_id_that_is_no_number_is_left_out_and_counted(wire: str) -> None:
    event = track("Quiz Done", context={"Facebook Offline Conversions": {"leadId": "l:1"}})
    notes: Counter[str] = Counter()

    assert outcome(event, wire, notes)["status"] == "ready"
    assert notes == {"dropped_lead_id": 1}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("products", "ids", "left_out"),
    [
        ([{"product_id": "a"}, {"sku": "b"}, {"product_id": None}, {"product_id": {"c": 1}}], ["a"], 3),
        (["a", "b"], None, 2),
        ({"0": {"product_id": "a"}}, None, 1),
        ([{"product_id": "undefined"}, {"product_id": 7}], ["7"], 1),
    ],
    ids=repr,
)
def test_a_product_without_a_usable_id_is_counted(wire: str, products: Any, ids: Any, left_out: int) -> None:
    event = {**ORDER, "properties": {**ORDER["properties"], "products": products}}
    notes: Counter[str] = Counter()

    outcome(event, wire, notes)

    assert money(event, wire).get("content_ids") == ids
    assert notes == {"dropped_content_ids": left_out}


def test_what_the_older_wire_has_no_room_for_is_counted() -> None:
    event = track("Quiz Done", traits={"gender": ["f", "m"], "phone": ["+1 650 555 0100", "+1 650 555 0101"]})
    notes: Counter[str] = Counter()

    assert len(outcome(event, "offline_events", notes)["payload"]["match_keys"]["phone"]) == 2
    assert notes == {"dropped_ge": 1}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("traits", [{}, {"email": "none", "phone": "-", "gender": "x"}], ids=repr)
def test_an_event_that_could_be_anybodys_is_rejected(traits: Json, wire: str) -> None:
    assert rejection(track("Quiz Done", userId=None, traits=traits), wire)[0] == "no_match_keys"


def test_keys_that_are_too_broad_are_refused_by_the_conversions_api_alone() -> None:
    event = track("Quiz Done", userId=None, traits={"gender": "f", "address": {"city": "Oslo"}})

    assert rejection(event)[0] == "match_keys_too_broad"
    assert person(event, "offline_events") == {"gen": sha256("f"), "ct": sha256("oslo")}


def test_several_values_are_a_list_where_the_older_format_takes_one() -> None:
    traits = {"email": ["a@example.com", "b@example.com"], "firstName": ["Ada", "Augusta"]}

    found = person(track("Quiz Done", userId=None, traits=traits), "offline_events")

    assert found == {"email": [sha256("a@example.com"), sha256("b@example.com")], "fn": sha256("ada")}


def test_a_default_country_completes_phone_numbers() -> None:
    event = track("Quiz Done", traits={"phone": "(401) 123-4567"})

    assert person(event, default_country="US")["ph"] == sha256("14011234567")
    assert person(event, "offline_events", default_country="US")["phone"] == [sha256("14011234567")]


# --- 7. age -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("age", "status", "notes"),
    [
        (0, "ready", {}),
        (8 * DAY, "ready", {}),
        (28 * DAY, "ready", {}),
        (28 * DAY + 1, "ready", {"beyond_attribution_window": 1}),
        (62 * DAY, "ready", {"beyond_attribution_window": 1}),
        (62 * DAY + 1, "rejected", {}),
    ],
)
def test_over_62_days_is_rejected_and_over_28_is_sent_and_counted(
    age: int, status: str, notes: dict[str, int], wire: str
) -> None:
    counted: Counter[str] = Counter()

    assert outcome(track("Quiz Done", timestamp=NOW - age), wire, counted)["status"] == status
    assert counted == notes


@pytest.mark.parametrize("wire", WIRES)
def test_what_is_too_old_or_ahead_of_its_time_says_so(wire: str) -> None:
    assert rejection(track("Quiz Done", timestamp=NOW - 63 * DAY), wire) == (
        "event_too_old",
        "The event is more than 62 days old; Meta does not accept older events.",
    )
    assert rejection(track("Quiz Done", timestamp=NOW + 120), wire)[0] == "event_in_future"


# --- what other implementations get wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
def test_peers_hash_without_normalising_and_we_do_not(wire: str) -> None:
    traits = {"email": " Jane.Doe@Example.COM ", "firstName": "D'Andre", "address": {"postalCode": "02818-1234"}}
    plain = {"email": "jane.doe@example.com", "firstName": "dandre", "address": {"postalCode": "02818"}}

    assert person(track("Quiz Done", traits=traits), wire) == person(track("Quiz Done", traits=plain), wire)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("trait", ["birthday", "date_of_birth"])
def test_peers_give_every_user_the_same_date_of_birth_and_we_the_persons_own(wire: str, trait: str) -> None:
    found = person(track("Quiz Done", traits={trait: "1990-05-17"}), wire)

    if wire == "conversions_api":
        assert found.keys() == {"external_id", "db"}
        assert found["db"] == sha256("19900517")
    else:  # which wants day, month and year apart
        assert found.keys() == {"extern_id"}


@pytest.mark.parametrize("wire", WIRES)
def test_peers_drop_state_and_country_and_we_send_them(wire: str) -> None:
    found = person(track("Quiz Done", traits={"address": {"state": "Rhode Island", "country": "United States"}}), wire)

    assert (found["st"], found["country"]) == (
        sha256("ri") if wire == "conversions_api" else [sha256("ri")],
        sha256("us"),
    )


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("revenue", [0, 0.0, "0"], ids=repr)
def test_peers_take_a_revenue_of_zero_for_none_and_to_us_it_is_a_value(revenue: Any, wire: str) -> None:
    assert money(track("Order Completed", {"revenue": revenue, "value": 9, "currency": "EUR"}), wire)["value"] == 0


@pytest.mark.parametrize("wire", WIRES)
def test_peers_send_the_last_name_to_every_set_and_each_of_ours_has_its_own(wire: str) -> None:
    ids = {"Order Completed": ["1", "2"]}
    made = job(wire, events=ids, lead_events=ids, complete_registration_events=ids)

    found = outcomes(made, track("Order Completed", {"revenue": 1, "currency": "EUR"}))

    assert [(o["dataset_id"], o["payload"]["event_name"]) for o in found] == [
        (dataset_id, name) for name in ("Purchase", "Lead", "CompleteRegistration") for dataset_id in ("1", "2")
    ]
