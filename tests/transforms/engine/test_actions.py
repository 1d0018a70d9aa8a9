"""The actions with their own mappings: what an event becomes.

The numbered sections follow Segment's "Facebook Conversions API (Actions)", and what capybeam does better on purpose.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from capybeam.pipeline.job.presets import presets
from capybeam.pipeline.segment.importing import SEGMENT_ACTIONS
from capybeam.transforms.core.envelope import Address
from capybeam.transforms.engine.engine import Engine
from tests.transforms.shop import (
    BROWSER,
    CONTEXT,
    COOKIES,
    ORDER,
    SECONDS,
    TIME,
    USER_DATA,
    Json,
    Way,
    convert,
    custom_data,
    job,
    payload,
    rejection,
    sha256,
    track,
    user_data,
    with_context,
    with_properties,
    with_traits,
)

# --- the seven actions, whole -----------------------------------------------------------------------------------


def test_an_order_becomes_a_purchase() -> None:
    assert convert(job("purchase"), ORDER) == (
        Address("web", "123321").encode(),
        {
            "event_name": "Purchase",
            "event_time": SECONDS,
            "event_id": "ajs-next-1795341500123-77",
            "event_source_url": "https://shop.example.com/checkout?step=3",
            "action_source": "website",
            "user_data": USER_DATA,
            "custom_data": {
                "currency": "USD",
                "value": 25.5,
                "order_id": "50314b8e9bcf",
                "contents": [
                    {"id": "mug-1", "quantity": 2, "item_price": 9.5},
                    {"id": "505", "quantity": 1, "item_price": 6.5},
                ],
            },
        },
        {},
    )


COMMON: Json = {
    "event_time": SECONDS,
    "event_id": "ajs-next-1795341500123-77",
    "event_source_url": "https://shop.example.com/checkout?step=3",
    "action_source": "website",
    "user_data": USER_DATA,
}


def test_a_started_checkout_becomes_an_initiate_checkout() -> None:
    event = track(
        "Checkout Started",
        {
            "order_id": "50314b8e9bcf",
            "revenue": 25,
            "value": 30,
            "currency": "GBP",
            "products": [{"product_id": "mug-1", "price": 9.5, "quantity": 2}],
        },
    )

    assert payload("initiateCheckout", event) == {
        **COMMON,
        "event_name": "InitiateCheckout",
        "custom_data": {
            "currency": "GBP",
            "value": 25,
            "contents": [{"id": "mug-1", "quantity": 2, "item_price": 9.5}],
        },
    }


PRODUCT: Json = {
    "product_id": "mug-1",
    "sku": "G-32",
    "category": "Kitchen",
    "name": "Capybara mug",
    "price": 18.99,
    "quantity": 1,
    "currency": "EUR",
    "value": 99,
}


def test_an_added_product_becomes_an_add_to_cart() -> None:
    assert payload("addToCart", track("Product Added", PRODUCT)) == {
        **COMMON,
        "event_name": "AddToCart",
        "custom_data": {
            "currency": "EUR",
            "value": 18.99,
            "contents": [{"id": "mug-1", "quantity": 1, "item_price": 18.99}],
        },
    }


def test_a_viewed_product_becomes_a_view_content() -> None:
    assert payload("viewContent", track("Product Viewed", PRODUCT)) == {
        **COMMON,
        "event_name": "ViewContent",
        "custom_data": {
            "currency": "EUR",
            "value": 18.99,
            "content_ids": ["mug-1"],
            "contents": [{"id": "mug-1", "quantity": 1, "item_price": 18.99}],
        },
    }


def test_a_product_search_becomes_a_search() -> None:
    assert payload("search", track("Products Searched", {"query": "capybara mug"})) == {
        **COMMON,
        "event_name": "Search",
        "custom_data": {"search_string": "capybara mug"},
    }


def test_a_search_has_no_value_unless_it_is_mapped() -> None:
    event = track(
        "Products Searched", {"query": "mug", "price": 9.5, "value": 9.5, "currency": "USD", "product_id": "m"}
    )

    assert custom_data("search", event) == {
        "currency": "USD",
        "search_string": "mug",
        "contents": [{"id": "m", "item_price": 9.5}],
    }


WORTH: Json = {"value": 12.5, "currency": "EUR"}


@pytest.mark.parametrize(
    ("action", "event", "event_name", "sent"),
    [
        (
            "addPaymentInfo",
            track("Payment Info Entered", {"step": 3, "payment_method": "Visa", "currency": "EUR", "revenue": "25.50",
                                           "products": [{"product_id": "mug-1", "price": 9.5, "quantity": 2}]}),
            "AddPaymentInfo",
            {"currency": "EUR", "value": 25.5, "contents": [{"id": "mug-1", "quantity": 2, "item_price": 9.5}]},
        ),
        (
            "addToWishlist",
            track("Product Added to Wishlist", {"wishlist_id": "w-1", **PRODUCT}),
            "AddToWishlist",
            {"currency": "EUR", "value": 18.99, "contents": [{"id": "mug-1", "quantity": 1, "item_price": 18.99}]},
        ),
        ("completeRegistration", track("Signed Up", {"type": "organic"}), "CompleteRegistration", None),
        ("completeRegistration", track("Signed Up", WORTH), "CompleteRegistration", WORTH),
        ("contact", track("Live Chat Conversation Started", {"agent_name": "Robin"}), "Contact", None),
        ("lead", track("Demo Requested", WORTH), "Lead", WORTH),
        ("schedule", track("Visit Booked", WORTH), "Schedule", WORTH),
        ("startTrial", track("Trial Started", {**WORTH, "plan": "pro"}), "StartTrial", WORTH),
        ("submitApplication", track("Application Sent", WORTH), "SubmitApplication", WORTH),
        ("subscribe", track("Plan Paid", {**WORTH, "revenue": 99}), "Subscribe", {"value": 99, "currency": "EUR"}),
        ("subscribe", track("Plan Paid", WORTH), "Subscribe", WORTH),
        ("findLocation", track("Stores Searched", WORTH), "FindLocation", WORTH),
        ("donate", track("Gift Made", {"revenue": 50, "currency": "eur"}), "Donate", {"value": 50, "currency": "EUR"}),
        (
            "customizeProduct",
            track("Product Customized", PRODUCT),
            "CustomizeProduct",
            {"currency": "EUR", "value": 18.99, "contents": [{"id": "mug-1", "quantity": 1, "item_price": 18.99}]},
        ),
        ("customizeProduct", track("Colour Chosen", {"colour": "sand"}), "CustomizeProduct", None),
    ],
)  # fmt: skip
def test_an_event_becomes_another_of_metas_standard_events(
    action: str, event: Json, event_name: str, sent: Json | None
) -> None:
    subscriptions = job(action)
    custom_data = {} if sent is None else {"custom_data": sent}

    assert Engine(subscriptions).match(event) == [f"web/{action}"]
    assert convert(subscriptions, event)[1:] == ({**COMMON, "event_name": event_name, **custom_data}, {})


def test_the_other_standard_events_send_nothing_unless_a_job_lists_them() -> None:
    subscriptions = [each for action in SEGMENT_ACTIONS[:6] for each in job(action)]
    names = ("Payment Info Entered", "Product Added to Wishlist", "Signed Up", "Trial Started")

    assert [Engine(subscriptions).match(track(name, {})) for name in names] == [[], [], [], []]


def test_a_page_call_becomes_a_page_view() -> None:
    event = {
        "type": "page",
        "name": "Home",
        "messageId": "ajs-next-1795341500123-77",
        "timestamp": TIME,
        "anonymousId": "anon-77",
        "userId": "user_1042",
        "context": CONTEXT,
        "properties": {"path": "/", "title": "Capybara Supplies", "url": "https://shop.example.com/", **COOKIES},
    }

    assert payload("pageView", event) == {**COMMON, "event_name": "PageView"}


def test_any_event_becomes_a_custom_event_under_its_own_name() -> None:
    assert payload("custom", track("Newsletter Signed Up", {"list": "weekly"})) == {
        **COMMON,
        "event_name": "Newsletter Signed Up",
    }


def test_a_custom_event_may_be_another_of_metas_standard_events() -> None:
    mapping = {
        "event_name": "CompleteRegistration",
        "custom_data": {"content_name": {"@path": "$.properties.plan"}, "currency": "USD", "status": True},
    }

    assert payload("custom", track("Signed Up", {"plan": "pro"}), mapping) == {
        **COMMON,
        "event_name": "CompleteRegistration",
        "custom_data": {"content_name": "pro", "currency": "USD", "status": True},
    }


def test_an_identify_call_brings_its_traits_at_its_root() -> None:
    event = {
        "type": "identify",
        "messageId": "m-1",
        "timestamp": TIME,
        "userId": "user_1042",
        "traits": CONTEXT["traits"],
        "context": {"ip": "203.0.113.7", "userAgent": BROWSER},
    }

    assert payload("custom", event, {"event_name": "Identified"}) == {
        "event_name": "Identified",
        "event_time": SECONDS,
        "event_id": "m-1",
        "action_source": "website",
        "user_data": {key: value for key, value in USER_DATA.items() if key not in ("fbc", "fbp")},
    }


# --- 1. mapping, defaults, action_source ------------------------------------------------------------------------


def test_a_mapping_of_user_data_replaces_all_of_its_defaults() -> None:
    mapping = {"user_data": {"email": {"@path": "$.properties.buyer"}, "client_user_agent": "agent"}}

    assert user_data(with_properties(ORDER, buyer="joe@example.com"), mapping) == {
        "em": sha256("joe@example.com"),
        "client_user_agent": "agent",
    }


@pytest.mark.parametrize(
    ("properties", "action_source"),
    [
        ({}, "website"),
        ({"action_source": "email"}, "email"),
        ({"actionSource": "chat"}, "chat"),
        ({"action_source": "email", "actionSource": "chat"}, "email"),
        ({"action_source": "", "actionSource": "chat"}, "chat"),
        ({"action_source": "", "actionSource": ""}, "website"),
    ],
)
def test_action_source_is_the_events_own_in_snake_or_camel_case_else_website(
    properties: Json, action_source: str
) -> None:
    assert payload("purchase", with_properties(ORDER, **properties))["action_source"] == action_source


@pytest.mark.parametrize(
    "source",
    ["email", "website", "phone_call", "chat", "physical_store", "system_generated", "other"],
)
def test_every_source_that_needs_nothing_more_is_taken(source: str) -> None:
    assert payload("purchase", with_properties(ORDER, action_source=source))["action_source"] == source


@pytest.mark.parametrize("source", ["Website", "web", "mobile", 5])
def test_no_other_action_source_is_taken(source: Any) -> None:
    code, message = rejection("purchase", with_properties(ORDER, action_source=source))

    assert (code, message) == (
        "invalid_field",
        "action_source must be one of email, website, app, phone_call, chat, physical_store, system_generated,"
        " business_messaging, other.",
    )


def test_all_problems_of_an_event_are_in_one_message() -> None:
    event = with_properties(ORDER, currency=None, revenue="$12", action_source="web", products="none")

    code, message = rejection("purchase", event)

    sentences = [
        "The required field 'currency' has no value (looked for $.properties.currency).",
        "action_source must be one of email, website, app, phone_call, chat, physical_store, system_generated,"
        " business_messaging, other.",
        "value should be a number.",
    ]
    assert code == "missing_required_field"
    assert [sentence for sentence in sentences if sentence not in message] == []
    assert len(message) == len(" ".join(sentences)), "and nothing else"


# --- 2. missing fields and unknown keys -------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, ""], ids=repr)
@pytest.mark.parametrize("name", ["action_source", "event_time", "user_data", "currency", "value"])
def test_a_required_field_of_a_purchase_that_is_null_or_empty_is_missing(name: str, nothing: Any) -> None:
    assert rejection("purchase", ORDER, {name: nothing}) == (
        "missing_required_field",
        f"The required field {name!r} has no value.",
    )


@pytest.mark.parametrize("action", ["initiateCheckout", "addToCart", "viewContent", "search", "pageView", "custom"])
@pytest.mark.parametrize("name", ["action_source", "event_time", "user_data"])
def test_every_action_requires_source_time_and_user_data(action: str, name: str) -> None:
    assert rejection(action, ORDER, {name: None}) == (
        "missing_required_field",
        f"The required field {name!r} has no value.",
    )


def test_a_custom_event_requires_its_name() -> None:
    event = {key: value for key, value in ORDER.items() if key != "event"}

    assert rejection("custom", event) == (
        "missing_required_field",
        "The required field 'event_name' has no value (looked for $.event).",
    )


def test_what_is_missing_says_where_it_was_looked_for() -> None:
    either = {"@if": {"exists": {"@path": "$.properties.due"}, "then": {"@path": "$.properties.due"}}}

    assert rejection("purchase", with_properties(ORDER, revenue=None, currency=None), {"value": either}) == (
        "missing_required_field",
        "The required field 'currency' has no value (looked for $.properties.currency)."
        " The required field 'value' has no value (looked for $.properties.due).",
    )


def test_a_value_of_zero_is_a_value() -> None:
    assert custom_data("purchase", with_properties(ORDER, revenue=0), {"contents": None}) == {
        "currency": "USD",
        "value": 0,
        "order_id": "50314b8e9bcf",
    }


def test_unknown_keys_go_everywhere_but_in_custom_data() -> None:
    mapping = {
        "unknown": 1,
        "user_data": {"email": "jane@example.com", "client_user_agent": "agent", "shoe_size": "38"},
        "contents": [{"id": "1", "colour": "blue"}],
        "content_type": "product",
        "app_data_field": {"use_app_data": True, "version": "a2", "osVersion": "15", "colour": "blue"},
        "custom_data": {"anything": {"at": ["all", None]}},
        "order_id": None,
    }

    assert payload("purchase", ORDER, mapping) == {
        **COMMON,
        "event_name": "Purchase",
        "user_data": {"em": sha256("jane@example.com"), "client_user_agent": "agent"},
        "app_data": {
            "advertiser_tracking_enabled": 0,
            "application_tracking_enabled": 0,
            "extinfo": ["a2", "", "", "", "15", *[""] * 11],
        },
        "custom_data": {
            "anything": {"at": ["all", None]},
            "currency": "USD",
            "value": 25.5,
            "contents": [{"id": "1"}],
            "content_type": "product",
        },
    }


# --- 3. currency ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "sent"), [("USD", "USD"), ("usd", "USD"), (" Eur ", "EUR"), ("\tjpy\n", "JPY"), ("XAU", "XAU")]
)
def test_a_currency_is_trimmed_and_upper_cased(given_: str, sent: str) -> None:
    for action in ("purchase", "initiateCheckout", "addToCart", "viewContent", "search"):
        found = custom_data(action, with_properties(ORDER, currency=given_))
        assert found is not None
        assert found["currency"] == sent


@pytest.mark.parametrize("currency", ["US", "USDX", "XYZ", "$", "U S D", 840, True, ["USD"]], ids=repr)
@pytest.mark.parametrize("action", ["purchase", "initiateCheckout", "addToCart", "viewContent", "search"])
def test_what_is_no_iso_4217_code_is_rejected(action: str, currency: Any) -> None:
    assert rejection(action, with_properties(ORDER, currency=currency)) == (
        "invalid_currency",
        "currency is not an ISO 4217 code such as USD.",
    )


@pytest.mark.parametrize("action", ["initiateCheckout", "addToCart", "viewContent", "search"])
def test_only_a_purchase_needs_a_currency(action: str) -> None:
    body = payload(action, with_properties(ORDER, currency=None, price=5, query="mug"))

    assert "currency" not in body["custom_data"]


@pytest.mark.parametrize("action", ["pageView", "custom"])
def test_page_views_and_custom_events_do_not_check_it(action: str) -> None:
    assert custom_data(action, ORDER, {"custom_data": {"currency": "points"}}) == {"currency": "points"}


def test_a_custom_purchase_needs_one_all_the_same() -> None:
    mapping = {"event_name": "Purchase", "custom_data": {"currency": "points", "value": 5}}

    assert rejection("custom", ORDER, mapping) == ("invalid_currency", "currency is not an ISO 4217 code such as USD.")
    mapping["custom_data"] = {"value": 5}
    assert rejection("custom", ORDER, mapping) == ("missing_currency", "A Purchase needs a currency.")
    mapping["custom_data"] = {"currency": "USD"}
    assert rejection("custom", ORDER, mapping) == ("missing_value", "A Purchase needs a value.")


# --- 4. custom_data and explicit fields -------------------------------------------------------------------------


def test_an_explicit_field_overrides_custom_data_only_where_it_is_defined() -> None:
    mapping = {
        "custom_data": {"currency": "EUR", "value": 1, "content_name": "Mug", "season": "autumn"},
        "value": {"@path": "$.properties.price"},
        "content_name": {"@path": "$.properties.title"},
        "contents": None,
    }

    assert custom_data("addToCart", with_properties(ORDER, price=9.5, currency=None), mapping) == {
        "currency": "EUR",
        "value": 9.5,
        "content_name": "Mug",
        "season": "autumn",
    }


def test_personal_data_does_not_leave_in_custom_data() -> None:
    event = with_properties(ORDER, email="jane@example.com", first_name="Jane", Phone="+1 202 555 0143")
    mapping = {"custom_data": {"@omit": {"object": {"@path": "$.properties"}, "keys": ["fbc", "fbp"]}}}

    _, body, notes = convert(job("custom", mapping), event)

    assert body["custom_data"] == {key: ORDER["properties"][key] for key in ORDER["properties"] if key not in COOKIES}
    assert notes == {"removed_from_custom_data": 3}


def test_personal_data_that_a_destination_allows_leaves_as_it_is() -> None:
    mapping = {"custom_data": {"name": "Capybara mug", "email": "jane@example.com"}}

    assert custom_data("custom", ORDER, mapping, allow_in_custom_data=["name"]) == {"name": "Capybara mug"}


FLAT = {"custom_data": {"@flatten": {"value": {"@path": "$.properties"}, "separator": "."}}}


def notes_of(action: str, event: Json, mapping: Json | None = None, **destination: Any) -> tuple[Json, dict[str, int]]:
    _, body, notes = convert(job(action, mapping, **destination), event)
    return body, notes


def test_personal_data_does_not_leave_in_keys_that_were_made_flat() -> None:
    properties = {"profile": {"email": "x", "plan": "pro"}, "guests": [{"email": "x", "name": "VIP", "seat": 4}]}

    body, notes = notes_of("custom", {**ORDER, "properties": properties}, FLAT)

    assert body["custom_data"] == {"profile.plan": "pro", "guests.0.name": "VIP", "guests.0.seat": 4}
    assert notes == {"removed_from_custom_data": 2}


@pytest.mark.parametrize("name", ["custom_data", "attribution_data"])
def test_personal_data_does_not_leave_in_any_object_with_free_keys(name: str) -> None:
    given_ = {"email": "x", "note": "to jane@example.com", "order_id": {"email": "x", "n": 1}, "by": "Jane O'Connor"}

    body, notes = notes_of("custom", ORDER, {name: given_})

    assert body[name] == {"note": "to", "order_id": {"n": 1}}
    assert notes == {f"removed_from_{name}": 4}
    body, notes = notes_of("custom", ORDER, {name: given_}, personal_data_in_text="allow")
    assert body[name] == {"note": "to jane@example.com", "order_id": {"n": 1}, "by": "Jane O'Connor"}
    assert notes == {f"removed_from_{name}": 2}


TEXTS_WITH = [
    ("search", {"query": "jane@example.com"}, None, {"removed_from_custom_data": 1}),
    ("search", {"query": "mugs for jane%40example.com"}, "mugs for", {"removed_from_custom_data": 1}),
    ("search", {"query": "+1 202-555-0143"}, None, {"removed_from_custom_data": 1}),
    ("search", {"query": "mugs for Jane O'Connor"}, "mugs for", {"removed_from_custom_data": 1}),
    ("search", {"query": "94107-1234 San Francisco"}, None, {"removed_from_custom_data": 1}),
    ("search", {"query": "San Francisco hotels"}, "San Francisco hotels", {}),
    ("search", {"query": "Jane"}, "Jane", {}),
    ("search", {"query": "12025550144"}, "12025550144", {}),
    ("search", {"query": "94107"}, "94107", {}),
]


@pytest.mark.parametrize(("action", "properties", "sent", "notes"), TEXTS_WITH, ids=repr)
def test_personal_data_is_cut_out_of_a_search(action: str, properties: Json, sent: str | None, notes: Json) -> None:
    body, found = notes_of(action, with_properties(ORDER, **properties), {"contents": None})

    assert body.get("custom_data", {}).get("search_string") == sent
    assert found == notes


@pytest.mark.parametrize("field", ["content_name", "order_id", "content_ids"])
def test_an_email_address_leaves_no_field_of_custom_data(field: str) -> None:
    mapping: Json = {"contents": None, field: "jane@example.com", "custom_data": {"season": "autumn"}}

    body, notes = notes_of("purchase", ORDER, mapping)

    assert "jane" not in json.dumps(body)
    assert notes == {"removed_from_custom_data": 1}


def test_what_a_destination_allows_in_texts_and_urls_leaves_as_it_is() -> None:
    event = with_context(
        with_properties(ORDER, query="jane@example.com"), page={"url": "https://x.example/?email=a&b=1"}
    )
    mapping = {"contents": None, "custom_data": {"email": "a"}}

    body, notes = notes_of("search", event, mapping, personal_data_in_text="allow")

    assert (body["custom_data"]["search_string"], body["event_source_url"], notes) == (
        "jane@example.com", "https://x.example/?email=a&b=1", {"removed_from_custom_data": 1},
    )  # fmt: skip
    body, notes = notes_of("search", event, mapping, allow_in_custom_data=["search_string", "email"])
    assert (body["custom_data"]["search_string"], body["event_source_url"], notes) == (
        "jane@example.com", "https://x.example/?email=a&b=1", {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "sent", "removed"),
    [
        ("https://shop.example/ok?email=jane%40example.com&phone=16505551212", "https://shop.example/ok", 2),
        ("https://shop.example/ok?a=%20b&email=x&c=+#d", "https://shop.example/ok?a=%20b&c=+#d", 1),
        ("https://shop.example/ok?who=Jane+O%27Connor&c=1", "https://shop.example/ok?c=1", 1),
        ("https://shop.example/ok?n=12025550143&c=1", "https://shop.example/ok?c=1", 1),
        (
            "https://shop.example/ok?n=12025550144&utm_source=jane",
            "https://shop.example/ok?n=12025550144&utm_source=jane",
            0,
        ),
        ("https://jane@shop.example/jane%40example.com/ok", "https://shop.example//ok", 2),
    ],
)
def test_urls_lose_personal_data_and_keep_their_other_parameters(url: str, sent: str, removed: int) -> None:
    event = with_context(ORDER, page={"url": url, "referrer": url})

    body, notes = notes_of("pageView", event, {"referrer_url": {"@path": "$.context.page.referrer"}})

    assert (body["event_source_url"], body["referrer_url"]) == (sent, sent)
    assert notes == (
        {"removed_from_event_source_url": removed, "removed_from_referrer_url": removed} if removed else {}
    )


def test_a_url_is_looked_through_for_every_person_anew() -> None:
    way = Way(job("pageView"))
    event = with_context(ORDER, page={"url": "https://shop.example/?who=Jane"})
    joan = {**event, "context": {**event["context"], "traits": {**CONTEXT["traits"], "firstName": "Joan"}}}

    urls = [way(each)[1]["event_source_url"] for each in (joan, event, joan)]

    assert urls == ["https://shop.example/?who=Jane", "https://shop.example/", "https://shop.example/?who=Jane"]


def test_a_click_id_is_still_read_off_a_url_that_loses_parameters() -> None:
    event = with_context(with_properties(ORDER, fbc=None), page={"url": "https://x.example/?email=a&fbclid=IwAR0"})

    body, notes = notes_of("purchase", event)

    assert body["event_source_url"] == "https://x.example/?fbclid=IwAR0"
    assert body["user_data"]["fbc"] == f"fb.1.{SECONDS}000.IwAR0"
    assert notes == {"removed_from_event_source_url": 1, "derived_fbc": 1}


def test_an_event_name_loses_personal_data_and_an_event_without_another_name_is_rejected() -> None:
    body, notes = notes_of("custom", {**ORDER, "event": "Mail to jane@example.com"})

    assert (body["event_name"], notes) == ("Mail to", {"removed_from_event_name": 1})
    assert rejection("custom", {**ORDER, "event": "jane@example.com"}) == (
        "missing_required_field", "event_name holds nothing but personal data.",
    )  # fmt: skip


def test_an_event_id_that_holds_an_email_address_leaves_as_a_digest_the_same_at_every_run() -> None:
    body, notes = notes_of("pageView", {**ORDER, "messageId": "jane@example.com-1"})

    assert (body["event_id"], notes) == (sha256("jane@example.com-1")[:32], {"hashed_event_id": 1})


def test_of_what_leaves_in_user_data_unhashed_only_the_browser_may_hold_an_email_address() -> None:
    event = with_context(ORDER, userAgent="Bot (bot@example.com)")
    mapping = {
        "user_data": {
            "externalId": "5",
            "anonId": "jane@example.com",
            "client_user_agent": {"@path": "$.context.userAgent"},
        }
    }

    body, notes = notes_of("pageView", event, mapping)

    assert body["user_data"] == {"external_id": [sha256("5")], "client_user_agent": "Bot ()"}
    assert notes == {"dropped_anon_id": 1, "removed_from_user_data": 1}


def test_an_at_sign_that_is_no_address_costs_nothing_but_a_look() -> None:
    body, notes = notes_of("purchase", ORDER, {"content_name": "Mug @ home", "contents": None})

    assert (body["custom_data"]["content_name"], notes) == ("Mug @ home", {})


def test_custom_data_of_which_nothing_is_left_is_left_out() -> None:
    assert "custom_data" not in payload("custom", ORDER, {"custom_data": {"email": "jane@example.com"}})


@pytest.mark.parametrize("value", ["text", 5, ["list"], True], ids=repr)
def test_custom_data_is_an_object(value: Any) -> None:
    assert rejection("custom", ORDER, {"custom_data": value}) == ("invalid_field", "custom_data should be an object.")


# --- 5. types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        (5, 5),
        (12.12, 12.12),
        ("12.12", 12.12),
        (" 12 ", 12),
        ("1e3", 1000),
        ("-3.5", -3.5),
        ("+7", 7),
        (".5", 0.5),
        ("5.", 5),
        (0, 0),
        ("0", 0),
        (-1, -1),
    ],
    ids=repr,
)
def test_a_number_is_a_number_or_text_that_reads_as_one(given_: Any, sent: float) -> None:
    found = custom_data("purchase", with_properties(ORDER, revenue=given_))

    assert found is not None
    assert (found["value"], type(found["value"]) is bool) == (sent, False)


@pytest.mark.parametrize(
    "value",
    [
        "$12",
        "abc",
        "1,000",
        "12,50",
        "Infinity",
        "-Infinity",
        "NaN",
        "1e999",
        "--1",
        "1_000",
        "0x10",
        "٣",
        " ",
        True,
        False,
        float("nan"),
        float("inf"),
        [5],
        {"a": 5},
    ],
    ids=repr,
)
def test_anything_else_is_no_number(value: Any) -> None:
    assert rejection("purchase", with_properties(ORDER, revenue=value)) == (
        "invalid_field",
        "value should be a number.",
    )


@pytest.mark.parametrize(("given_", "sent"), [(3, 3), ("3", 3), (3.0, 3), ("3.0", 3), (0, 0)], ids=repr)
def test_an_integer_is_a_whole_number(given_: Any, sent: int) -> None:
    found = custom_data("purchase", ORDER, {"num_items": given_})

    assert found is not None
    assert found["num_items"] == sent


@pytest.mark.parametrize("value", [2.5, "2.5", "two", True, [3]], ids=repr)
def test_anything_else_is_no_integer(value: Any) -> None:
    code, message = rejection("purchase", ORDER, {"num_items": value})

    assert (code, message in ("num_items should be an integer.", "num_items should be a number.")) == (
        "invalid_field",
        True,
    )


@pytest.mark.parametrize(
    ("value", "on"),
    [(True, True), ("true", True), (1, True), (False, False), ("false", False), (0, False)],
    ids=repr,
)
def test_a_boolean_is_true_or_false_in_three_forms(value: Any, on: bool) -> None:
    assert payload("purchase", ORDER, {"opt_out": value})["opt_out"] is on


@pytest.mark.parametrize("value", ["yes", "True", "1", "0", 2, -1, [True], {"a": True}], ids=repr)
def test_anything_else_is_no_boolean(value: Any) -> None:
    assert rejection("purchase", ORDER, {"opt_out": value}) == ("invalid_field", "opt_out should be true or false.")


@pytest.mark.parametrize(
    ("given_", "sent"),
    [("Mug", "Mug"), (5, "5"), (5.0, "5"), (2.5, "2.5"), (True, "true"), (False, "false"), (0, "0")],
    ids=repr,
)
def test_a_string_takes_numbers_and_booleans(given_: Any, sent: str) -> None:
    found = custom_data("purchase", ORDER, {"content_name": given_})

    assert found is not None
    assert found["content_name"] == sent


@pytest.mark.parametrize("value", [{"a": 1}, ["Mug"]], ids=repr)
def test_an_object_or_a_list_is_no_string(value: Any) -> None:
    assert rejection("purchase", ORDER, {"content_name": value}) == (
        "invalid_field",
        "content_name should be a string.",
    )


# --- 6. content_ids ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        ("a", ["a"]),
        (123, ["123"]),
        ("a,b", ["a,b"]),
        (["a", 5, True], ["a", "5", "true"]),
        (["a", None, "b"], ["a", "b"]),
        ([], None),
        ([None], None),
        ("", None),
        (None, None),
    ],
    ids=repr,
)
def test_content_ids_are_a_list_of_strings(given_: Any, sent: list[str] | None) -> None:
    found = custom_data("purchase", ORDER, {"content_ids": given_})

    assert found is not None
    assert found.get("content_ids") == sent


def test_an_object_is_no_content_id_and_is_counted() -> None:
    _, body, notes = convert(job("purchase", {"content_ids": ["a", {"id": "b"}, None]}), ORDER)

    assert body["custom_data"]["content_ids"] == ["a"]
    assert notes == {"dropped_content_ids": 2}


# --- 7. event_time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22T09:58:20.123Z",
        "2026-11-22T09:58:20Z",
        "2026-11-22T09:58:20",
        "2026-11-22 09:58:20",
        "2026-11-22T10:58:20+01:00",
        "2026-11-22T01:58:20.999999-08:00",
        "20261122T095820Z",
        SECONDS,
        float(SECONDS) + 0.9,
        str(SECONDS),
        f" {SECONDS} ",
        SECONDS * 1000,
        SECONDS * 1000 + 999,
        str(SECONDS * 1000),
        SECONDS * 1_000_000 + 123_456,
        str(SECONDS * 1_000_000_000),
        "2026-11-22 09:58:20.000 +0000",
        "2026-11-22 01:58:20.000 -0800",
        "2026-11-22 09:58:20 +0000",
        "2026-11-22 09:58:20 UTC",
    ],
    ids=repr,
)
def test_event_time_is_unix_seconds_whatever_form_it_came_in(value: Any) -> None:
    sent = payload("purchase", {**ORDER, "timestamp": value})["event_time"]

    assert (sent, type(sent)) == (SECONDS, int)


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "22/11/2026",
        "2026-13-01T00:00:00Z",
        "2026-11-22T25:00:00Z",
        "NaN",
        "Infinity",
        True,
        [SECONDS],
        {},
        float("nan"),
        float("inf"),
        SECONDS * 10**12,
        10**30,
        "2026-11-22 09:58:20 +",
        "1e400",
    ],
    ids=repr,
)
def test_any_other_time_is_rejected(value: Any) -> None:
    assert rejection("purchase", {**ORDER, "timestamp": value}) == (
        "invalid_event_time",
        "event_time is neither ISO 8601 nor Unix seconds or milliseconds.",
    )


# --- 8. contents ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("products", "contents"),
    [
        ([{"product_id": "1", "quantity": 2, "price": 5}], [{"id": "1", "quantity": 2, "item_price": 5}]),
        ({"product_id": "1", "price": 5}, [{"id": "1", "item_price": 5}]),
        ([{"product_id": 1}], [{"id": "1"}]),
        ([{"product_id": "1"}, {"price": 5}, {"product_id": "3"}], [{"id": "1"}, {"id": "3"}]),
        ([{"product_id": "1"}, {"product_id": None}, {"product_id": ""}], [{"id": "1"}]),
        ([{"price": 5, "quantity": 1}], None),
        ([{"product_id": "1", "price": None, "quantity": None}], [{"id": "1"}]),
        ([{"product_id": "1", "price": "9.50", "quantity": "2"}], [{"id": "1", "item_price": 9.5, "quantity": 2}]),
        ([{"product_id": "1", "price": 0, "quantity": 0}], [{"id": "1", "item_price": 0, "quantity": 0}]),
        ([], None),
        (None, None),
        ([{}], None),
    ],
    ids=repr,
)
def test_contents_are_the_items_that_have_an_id(products: Any, contents: list[Json] | None) -> None:
    found = custom_data("purchase", with_properties(ORDER, products=products))

    assert found is not None
    assert found.get("contents") == contents


@pytest.mark.parametrize("category", ["in_store", "curbside", "home_delivery"])
def test_a_delivery_category_is_one_of_three(category: str) -> None:
    found = custom_data("purchase", ORDER, {"contents": [{"id": "1", "delivery_category": category}]})

    assert found is not None
    assert found["contents"] == [{"id": "1", "delivery_category": category}]


@pytest.mark.parametrize("category", ["drone", "In_Store", "home delivery", 5])
def test_any_other_delivery_category_is_rejected(category: Any) -> None:
    code, message = rejection(
        "purchase", ORDER, {"contents": [{"id": "0"}, {"id": "1", "delivery_category": category}]}
    )

    assert (code, message) == (
        "invalid_delivery_category",
        "contents[1].delivery_category must be one of in_store, curbside, home_delivery.",
    )


WITHOUT = "contents_without_id"


@pytest.mark.parametrize(
    ("products", "contents", "notes"),
    [
        ([{"id": "mug", "price": 5}], None, {WITHOUT: 1}),
        ([{"sku": "mug", "price": 5}, {"product_id": "cup"}], [{"id": "cup"}], {WITHOUT: 1}),
        ([{"product_id": None}, {"product_id": ""}, {"product_id": "undefined"}], None, {WITHOUT: 3}),
        ([{"product_id": {"a": 1}}, {"product_id": ["mug"]}, {"product_id": 0}], [{"id": "0"}], {WITHOUT: 2}),
        ({"0": {"product_id": "mug"}}, None, {WITHOUT: 1}),
        (["mug", "cup"], None, {WITHOUT: 2}),
        ("mug", None, {WITHOUT: 1}),
        (7, None, {WITHOUT: 1}),
        ([None, [{"product_id": "mug"}]], None, {WITHOUT: 2}),
        ([{"quantity": 1.5, "price": "Free"}], None, {WITHOUT: 1}),
        ([{"product_id": "silk", "quantity": 1.5}], [{"id": "silk"}], {"dropped_contents_quantity": 1}),
        ([{"product_id": "gift", "price": "Free"}], [{"id": "gift"}], {"dropped_contents_item_price": 1}),
        (
            [{"sku": "a"}, {"product_id": "b", "quantity": {}, "price": "1,5"}],
            [{"id": "b"}],
            {WITHOUT: 1, "dropped_contents_quantity": 1, "dropped_contents_item_price": 1},
        ),
        ([], None, {}),
        (None, None, {}),
        ("", None, {}),
    ],
    ids=repr,
)
def test_what_is_no_use_of_a_product_is_left_out_and_counted(products: Any, contents: Any, notes: Json) -> None:
    _, body, counted = convert(job("purchase"), {**ORDER, "properties": {**ORDER["properties"], "products": products}})

    assert body["custom_data"].get("contents") == contents
    assert counted == notes


def test_an_item_of_a_mapping_of_ones_own_is_left_out_and_counted_too() -> None:
    items = [{"id": "1", "quantity": 2.5, "colour": "red"}, {"id": {"a": 1}}, "mug-1"]

    _, body, counted = convert(job("purchase", {"contents": {"@path": "$.items"}}), {**ORDER, "items": items})

    assert body["custom_data"]["contents"] == [{"id": "1"}]
    assert counted == {WITHOUT: 2, "dropped_contents_quantity": 1, "dropped_from_contents": 1}


def test_a_search_is_seldom_for_a_product() -> None:
    _, _, counted = convert(job("search"), track("Products Searched", {"query": "mug", "price": 5}))

    assert counted == {}


@pytest.mark.parametrize(
    ("event", "mapping", "notes"),
    [
        (with_traits(ORDER, birthday={"day": 16}, email="jane@example.com"), {}, {"dropped_db": 1}),
        (with_traits(ORDER, phone={"number": 1}), {}, {"dropped_ph": 1}),
        (with_traits(ORDER, email=["jane@example.com", {"a": 1}]), {}, {"dropped_em": 1}),
        (with_traits(ORDER, address={"country": {"code": "US"}, "city": ["Oslo"]}), {}, {"dropped_country": 1}),
        (with_traits(ORDER, name={"first": "Jane"}), {}, {"dropped_fn": 1, "dropped_ln": 1}),
        (with_context(ORDER, ip=["203.0.113.7"]), {}, {"dropped_client_ip_address": 1}),
        (ORDER, {"user_data": {"email": "jane@example.com", "leadID": "l:1", "fax": "1"}}, {"dropped_lead_id": 1}),
        (
            {**ORDER, "user": {"email": "jane@example.com", "fax": "1"}},
            {"user_data": {"@path": "$.user"}},
            {"dropped_from_user_data": 1},
        ),
    ],
)
def test_an_unusable_value_of_user_data_does_not_cost_the_purchase(event: Json, mapping: Json, notes: Json) -> None:
    _, body, counted = convert(job("purchase", mapping, subscription=None), _with_user_agent(event))

    assert body["user_data"]
    assert {name: counted.get(name) for name in notes} == notes


def _with_user_agent(event: Json) -> Json:
    return {**event, "properties": {**event["properties"], "action_source": "phone_call"}}


def test_a_value_that_a_field_takes_the_place_of_is_counted() -> None:
    custom_data = {"value": 99, "currency": "USD", "order_id": 7, "plan": "pro"}

    _, body, counted = convert(job("purchase", {"custom_data": custom_data, "order_id": "7"}), ORDER)

    assert (body["custom_data"]["value"], body["custom_data"]["order_id"]) == (25.5, "7")
    assert counted == {"replaced_in_custom_data": 1}


@pytest.mark.parametrize("message_id", ["undefined", "null", "N/A", "(not set)", "false"])
def test_an_id_that_many_events_would_share_is_none(message_id: str) -> None:
    events = [{**with_properties(ORDER, order_id=number), "messageId": message_id} for number in ("1", "2")]
    found = [convert(job("purchase"), event) for event in events]

    assert [notes for *_, notes in found] == [{"dropped_event_id": 1}] * 2
    assert len({body["event_id"] for _, body, _ in found} | {message_id}) == 3
    assert convert(job("purchase", {"event_id": None}), events[0])[1]["event_id"] == found[0][1]["event_id"]


# --- group calls ------------------------------------------------------------------------------------------------

COMPANY: Json = {
    "name": "Initech Ltd",
    "email": "info@initech.example",
    "phone": "+16505550100",
    "address": {"city": "Oslo", "country": "NO", "postalCode": "0150", "state": "03"},
    "birthday": "1999-02-19",
    "owner_email": "jane@example.com",
}


def group(**context: Any) -> Json:
    traits = {"type": "group", "messageId": "m-1", "timestamp": TIME, "userId": "user_1042", "traits": COMPANY}
    return {**traits, "context": {"userAgent": "Mozilla/5.0", **context}}


def sent_of(event: Json, mapping: Json | None = None) -> set[str]:
    _, body, _ = convert(job("custom", {"event_name": "Joined", **(mapping or {})}), event)
    return set(body["user_data"]) - {"external_id", "client_user_agent"}


def test_a_group_calls_traits_are_the_companys() -> None:
    assert sent_of(group()) == set()
    assert sent_of(group(traits={"email": "jane@example.com", "name": "Jane Doe"})) == {"em", "fn", "ln"}
    assert sent_of({**group(), "type": "identify"}) >= {"em", "ph", "fn", "ln", "ct", "country"}


def test_a_mapping_that_was_copied_from_segment_does_not_find_them_either() -> None:
    email = {"@if": {"exists": {"@path": "$.context.traits.email"}, "else": {"@path": "$.traits.email"}}}

    assert sent_of(group(), {"user_data": {"externalId": "u", "email": email}}) == set()
    assert sent_of(group(), {"user_data": {"externalId": "u", "email": {"@template": "{{traits.email}}"}}}) == set()


def test_a_group_calls_traits_are_there_for_anything_else() -> None:
    mapping = {
        "user_data": {"externalId": "u", "email": {"@path": "$.traits.owner_email"}},
        "custom_data": {"plan": {"@path": "$.traits.address.city"}},
    }

    assert sent_of(group(), mapping) == {"em"}
    assert custom_data("custom", group(), {"event_name": "Joined", **mapping}) == {"plan": "Oslo"}


# --- 9. user_data must tell somebody ----------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", [{}, {"email": ""}, {"email": None}, {"email": "not an email"}], ids=repr)
def test_user_data_without_any_usable_key_is_rejected(mapping: Json) -> None:
    event = with_properties(ORDER, action_source="email")

    assert rejection("purchase", event, {"user_data": mapping}) == (
        "no_match_keys",
        "user_data has no usable match key, so Meta could not attribute the event to anybody.",
    )


@pytest.mark.parametrize(
    "mapping",
    [{"client_user_agent": BROWSER}, {"city": "Bergen", "country": "NO"}, {"firstName": "Jane", "gender": "f"}],
    ids=repr,
)
def test_user_data_that_fits_too_many_is_rejected(mapping: Json) -> None:
    event = with_properties(ORDER, action_source="email")

    assert rejection("purchase", event, {"user_data": mapping}) == (
        "match_keys_too_broad",
        "The match keys are too broad to tell one person from another (Meta, subcode 2804050).",
    )


@pytest.mark.parametrize("action", [action for action in presets() if action != "custom"])
def test_a_website_event_without_a_user_agent_is_rejected(action: str) -> None:
    event = with_context(with_properties(ORDER, price=5), userAgent=None)

    assert rejection(action, event) == ("missing_client_user_agent", "A website event needs client_user_agent.")


def test_but_for_the_custom_action() -> None:
    sent = user_data(with_context(ORDER, userAgent=None), action="custom")

    assert sent == {key: value for key, value in USER_DATA.items() if key != "client_user_agent"}


@pytest.mark.parametrize(
    ("page", "url", "notes"),
    [
        ({"url": "https://shop.example.com/"}, "https://shop.example.com/", {}),
        ({"url": "http://shop.example.com/"}, "http://shop.example.com/", {}),
        ({}, None, {"website_without_url": 1}),
        ({"url": ""}, None, {"website_without_url": 1}),
        ({"url": None}, None, {"website_without_url": 1}),
        ({"url": "/checkout"}, None, {"dropped_event_source_url": 1, "website_without_url": 1}),
        ({"url": "app://home"}, None, {"dropped_event_source_url": 1, "website_without_url": 1}),
    ],
    ids=repr,
)
def test_a_website_event_without_a_url_is_sent_and_counted(page: Json, url: str | None, notes: dict[str, int]) -> None:
    _, body, counted = convert(job("purchase"), with_context(ORDER, page=page))

    assert (body.get("event_source_url"), counted) == (url, notes)


def test_elsewhere_a_missing_url_is_worth_no_note() -> None:
    event = with_context(with_properties(ORDER, action_source="phone_call"), page={})

    assert convert(job("purchase"), event)[2] == {}


# --- 10. already hashed -----------------------------------------------------------------------------------------

HASH = sha256("jane@example.com")
HASHED_KEYS = {
    "email": "em",
    "phone": "ph",
    "gender": "ge",
    "dateOfBirth": "db",
    "lastName": "ln",
    "firstName": "fn",
    "city": "ct",
    "state": "st",
    "zip": "zp",
    "country": "country",
}


@pytest.mark.parametrize(("name", "wire"), HASHED_KEYS.items())
@pytest.mark.parametrize("form", [HASH, HASH.upper(), f"  {HASH}\n"], ids=["lower", "upper", "padded"])
def test_what_is_already_hashed_is_not_hashed_again(name: str, wire: str, form: str) -> None:
    sent = user_data(ORDER, {"user_data": {"client_ip_address": "203.0.113.7", "client_user_agent": "a", name: form}})

    assert sent == {"client_ip_address": "203.0.113.7", "client_user_agent": "a", wire: HASH}


def test_an_external_id_that_is_already_hashed_is_not_hashed_again() -> None:
    assert user_data({**ORDER, "userId": HASH.upper()})["external_id"] == [HASH]


@pytest.mark.parametrize("name", HASHED_KEYS)
@pytest.mark.parametrize(
    "text", [f"x{HASH}", f"{HASH}0", f"jane {HASH}", HASH[:-1]], ids=["before", "after", "word", "short"]
)
def test_what_only_looks_hashed_never_goes_out_raw(name: str, text: str) -> None:
    sent = user_data(ORDER, {"user_data": {"client_ip_address": "203.0.113.7", "client_user_agent": "a", name: text}})

    assert sent.get(HASHED_KEYS[name]) != text
    assert HASH not in json.dumps(sent)


# --- 11. normalisation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traits", "key", "normalised"),
    [
        ({"email": " JANE@Example.COM"}, "em", "jane@example.com"),
        ({"phone": "1.202.555.0143"}, "ph", "12025550143"),
        ({"phone": "0044 1632 960001"}, "ph", "441632960001"),
        ({"firstName": "O'Connor"}, "fn", "oconnor"),
        ({"firstName": "Rene\u0301e"}, "fn", "ren\u00e9e"),
        ({"birthday": "2/16/1997"}, "db", "19970216"),
        ({"gender": "M"}, "ge", "m"),
        ({"address": {"city": "Zürich"}}, "ct", "zürich"),
        ({"address": {"state": "New South Wales", "country": "AU"}}, "st", "newsouthwales"),
        ({"address": {"postalCode": "M1 1AE", "country": "GB"}}, "zp", "m11ae"),
        ({"address": {"country": "usa"}}, "country", "us"),
    ],
    ids=repr,
)
def test_values_are_normalised_as_metas_document_says(traits: Json, key: str, normalised: str) -> None:
    assert user_data(with_traits(ORDER, **traits))[key] == sha256(normalised)


@pytest.mark.parametrize(
    ("traits", "note"),
    [
        ({"phone": "call me"}, "dropped_ph"),
        ({"email": "jane at example.com"}, "dropped_em"),
        ({"birthday": "a Monday"}, "dropped_db"),
        ({"gender": "x"}, "dropped_ge"),
        ({"firstName": "!!!"}, "dropped_fn"),
        ({"address": {"country": "Atlantis"}}, "dropped_country"),
    ],
    ids=repr,
)
def test_a_value_of_which_nothing_is_left_drops_its_key_counted_and_never_the_event(traits: Json, note: str) -> None:
    _, body, notes = convert(job("purchase"), with_traits(ORDER, **traits))

    assert body["user_data"] == {
        key: USER_DATA[key] for key in ("external_id", "client_ip_address", "client_user_agent", "fbc", "fbp")
    }
    assert notes == {note: 1}


def test_a_bad_click_id_drops_itself_only() -> None:
    _, body, notes = convert(job("purchase"), with_properties(ORDER, fbc="click", fbp="browser"))

    assert body["user_data"] == {key: value for key, value in USER_DATA.items() if key not in ("fbc", "fbp")}
    assert notes == {"dropped_fbc": 1, "dropped_fbp": 1}


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:51234", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("unknown", None),
    ],
)
def test_an_ip_address_has_no_port(address: str, sent: str | None) -> None:
    assert user_data(with_context(ORDER, ip=address)).get("client_ip_address") == sent


@pytest.mark.parametrize(
    ("traits", "key", "normalised"),
    [
        ({"date_of_birth": "1997-02-16"}, "db", "19970216"),
        ({"birthday": "1997-02-16", "date_of_birth": "2001-01-01"}, "db", "19970216"),
        ({"address": {"postal_code": "SW1A 1AA"}}, "zp", "sw1a1aa"),
        ({"postal_code": "SW1A 1AA"}, "zp", "sw1a1aa"),
        ({"address": {"postalCode": "E1 6AN", "postal_code": "SW1A 1AA"}}, "zp", "e16an"),
        ({"city": "Leeds"}, "ct", "leeds"),
        ({"state": "Texas"}, "st", "tx"),
        ({"country": "UK"}, "country", "gb"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["context", "root"])
def test_traits_in_snake_case_stand_behind_those_in_camel_case(
    where: str, traits: Json, key: str, normalised: str
) -> None:
    event = (
        with_context(ORDER, traits=traits)
        if where == "context"
        else with_context({**ORDER, "traits": traits}, traits={})
    )

    assert user_data(event)[key] == sha256(normalised)


def test_clicks_and_browsers_are_also_looked_for_in_the_traits() -> None:
    cookies = {"fbc": "fb.1.1795341000000.Own", "fbp": "fb.1.1795341000000.7"}
    event = with_context(with_properties(ORDER, fbc=None, fbp=None), traits=cookies)

    sent = user_data(event)
    assert {key: sent[key] for key in cookies} == cookies


@pytest.mark.parametrize("nobody", ["undefined", "null", "N/A", "(not set)", False, "", None], ids=repr)
def test_a_placeholder_for_a_user_id_leaves_the_anonymous_id(nobody: Any) -> None:
    event = {**ORDER, "userId": nobody, "anonymousId": "Anon 1"}

    assert user_data(event)["external_id"] == [sha256("anon1")]


def test_a_placeholder_without_anything_behind_it_is_counted() -> None:
    event = {key: value for key, value in ORDER.items() if key != "anonymousId"}
    _, body, notes = convert(job("purchase"), {**event, "userId": False})

    assert "external_id" not in body["user_data"]
    assert notes == {"dropped_external_id": 1}


def test_a_national_phone_number_gets_the_country_code_of_the_destination() -> None:
    event = with_traits(ORDER, phone="(202) 555-0143")

    assert payload("purchase", event)["user_data"]["ph"] == sha256("2025550143")
    assert payload("purchase", event, default_country="US")["user_data"]["ph"] == sha256("12025550143")


def test_keys_that_are_never_hashed_go_out_as_they_are() -> None:
    mapping = {
        "subscriptionID": "Sub-1",
        "leadID": "525645896321548",
        "fbLoginID": 1002,
        "anonId": "Anon-1",
        "madId": "38400000-8CF0-11BD-B23E-10B96E40000D",
        "partner_id": "Faf12",
        "partner_name": "Partner",
        "ctwa_clid": "Ctwa",
        "page_id": "1",
        "page_scoped_user_id": "2",
        "whatsapp_business_account_id": "3",
        "ig_account_id": "4",
        "ig_sid": "5",
        "client_user_agent": "Agent",
    }

    assert user_data(ORDER, {"user_data": mapping}) == {
        "subscription_id": "Sub-1",
        "lead_id": 525645896321548,
        "fb_login_id": 1002,
        "anon_id": "Anon-1",
        "madid": "38400000-8CF0-11BD-B23E-10B96E40000D",
        "partner_id": "Faf12",
        "partner_name": "Partner",
        "ctwa_clid": "Ctwa",
        "page_id": "1",
        "page_scoped_user_id": "2",
        "whatsapp_business_account_id": "3",
        "ig_account_id": "4",
        "ig_sid": "5",
        "client_user_agent": "Agent",
    }


def test_several_values_of_a_hashed_key_are_a_list() -> None:
    mapping = {
        "email": ["jane@example.com", " Joe@example.com", "JANE@example.com", "nobody"],
        "client_user_agent": "a",
    }

    assert user_data(ORDER, {"user_data": mapping}) == {
        "em": [sha256("jane@example.com"), sha256("joe@example.com")],
        "client_user_agent": "a",
    }


# --- 12. external_id --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "normalised"),
    [
        ({"userId": "user_1042", "anonymousId": "anon-77"}, "user_1042"),
        ({"userId": None, "anonymousId": "anon-77"}, "anon-77"),
        ({"userId": "", "anonymousId": "anon-77"}, "anon-77"),
        ({"anonymousId": "anon-77"}, "anon-77"),
        ({"userId": " User 10\t42 "}, "user1042"),
        ({"userId": 1042}, "1042"),
    ],
    ids=repr,
)
def test_the_external_id_is_the_user_id_else_the_anonymous_id(ids: Json, normalised: str) -> None:
    event = {key: value for key, value in ORDER.items() if key not in ("userId", "anonymousId")}

    assert user_data({**event, **ids})["external_id"] == [sha256(normalised)]


def test_several_external_ids_are_all_sent() -> None:
    mapping = {
        "user_data": {"externalId": [{"@path": "$.userId"}, {"@path": "$.anonymousId"}], "client_user_agent": "a"}
    }

    assert user_data(ORDER, mapping) == {
        "external_id": [sha256("user_1042"), sha256("anon-77")],
        "client_user_agent": "a",
    }


# --- 13. test_event_code ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_mapping", "of_settings", "sent"),
    [
        (None, None, ""),
        (None, "TEST1", "TEST1"),
        ("TEST2", None, "TEST2"),
        ("TEST2", "TEST1", "TEST2"),
        ("", "TEST1", "TEST1"),
        ({"@path": "$.properties.nothing"}, "TEST1", "TEST1"),
        ({"@path": "$.properties.order_id"}, "TEST1", "50314b8e9bcf"),
        ("", "", ""),
    ],
    ids=repr,
)
def test_the_test_event_code_of_the_mapping_wins_over_the_destinations(
    of_mapping: Any, of_settings: str | None, sent: str
) -> None:
    key, body, _ = convert(job("purchase", {"test_event_code": of_mapping}, test_event_code=of_settings), ORDER)

    assert Address.decode(key) == ("web", "123321", sent, "")
    assert "test_event_code" not in body, "it goes beside the events, once a request"


# --- 14. data processing options --------------------------------------------------------------------------------


def options(mapping: Json) -> Json:
    body = payload("purchase", ORDER, mapping)
    return {key: value for key, value in body.items() if key.startswith("data_processing")}


@pytest.mark.parametrize(
    ("on", "country", "state", "sent"),
    [
        (True, None, None, (["LDU"], 0, 0)),
        (True, 1, 1000, (["LDU"], 1, 1000)),
        ("true", "1", "1013", (["LDU"], 1, 1013)),
        (1, 0, 0, (["LDU"], 0, 0)),
        (True, None, 1000, (["LDU"], 1, 1000)),
        (True, 0, 1000, (["LDU"], 0, 1000)),
        (True, "US", "California", (["LDU"], 1, 1000)),
        (True, "United States", "CO", (["LDU"], 1, 1001)),
        (True, None, "US-TX", (["LDU"], 1, 1005)),
        (True, None, "new jersey", (["LDU"], 1, 1010)),
        (True, None, "Ohio", (["LDU"], 0, 0)),
        (True, "DE", None, (["LDU"], 0, 0)),
        (None, 1, 1000, None),
    ],
    ids=repr,
)
def test_limited_data_use_is_sent_whole_or_not_at_all(
    on: Any, country: Any, state: Any, sent: tuple[list[str], int, int] | None
) -> None:
    names = ("data_processing_options", "data_processing_options_country", "data_processing_options_state")

    assert options(dict(zip(names, (on, country, state), strict=True))) == (
        dict(zip(names, sent, strict=True)) if sent else {}
    )


@pytest.mark.parametrize("no", [False, "false", 0], ids=repr)
def test_a_mapping_can_say_that_the_use_is_not_limited(no: Any) -> None:
    assert options({"data_processing_options": no, "data_processing_options_state": 1000}) == {
        "data_processing_options": []
    }


def test_an_event_that_says_false_says_nothing_as_at_segment() -> None:
    event = with_properties(ORDER, limited=False)
    assert "data_processing_options" not in payload(
        "purchase", event, {"data_processing_options": {"@path": "$.properties.limited"}}
    )


@pytest.mark.parametrize(
    "mapping",
    [
        {"data_processing_options_state": "Bavaria"},
        {"data_processing_options_country": "Narnia"},
        {"data_processing_options_country": 2},
        {"data_processing_options_country": -1},
        {"data_processing_options_state": 1},
        {"data_processing_options_state": 999},
        {"data_processing_options_state": 1014},
    ],
    ids=repr,
)
def test_a_country_or_state_that_meta_does_not_know_is_rejected(mapping: Json) -> None:
    code, _ = rejection("purchase", ORDER, {"data_processing_options": True, **mapping})

    assert code == "invalid_data_processing_options"


@pytest.mark.parametrize("state", range(1000, 1014))
def test_every_state_that_meta_knows_is_taken(state: int) -> None:
    mapping = {"data_processing_options": True, "data_processing_options_state": state}

    assert options(mapping)["data_processing_options_state"] == state


# --- 15. app_data -----------------------------------------------------------------------------------------------


APP_ORDER = with_properties(ORDER, action_source="app")


def test_an_app_event_carries_its_app_data() -> None:
    mapping = {
        "app_data_field": {
            "use_app_data": "true",
            "version": "i2",
            "advertiser_tracking_enabled": {"@path": "$.context.device.adTrackingEnabled"},
            "application_tracking_enabled": 0,
            "packageName": {"@path": "$.context.app.namespace"},
            "osVersion": {"@path": "$.context.os.version"},
            "width": {"@path": "$.context.screen.width"},
            "madId": "38400000-8cf0-11bd-b23e-10b96e40000d",
        }
    }
    event = with_context(
        APP_ORDER,
        device={"adTrackingEnabled": True},
        app={"namespace": "com.example.shop"},
        os={"version": 18.1},
        screen={"width": 1170},
    )

    assert payload("purchase", event, mapping)["app_data"] == {
        "advertiser_tracking_enabled": 1,
        "application_tracking_enabled": 0,
        "madid": "38400000-8cf0-11bd-b23e-10b96e40000d",
        "extinfo": ["i2", "com.example.shop", "", "", "18.1", "", "", "", "", "1170", *[""] * 6],
    }


def test_what_else_metas_sdk_has_in_app_data_goes_out_under_its_name() -> None:
    more = {
        "campaign_ids": "c-1",
        "consider_views": True,
        "include_dwell_data": "false",
        "include_video_data": 1,
        "install_referrer": "utm_source=x",
        "installer_package": "com.android.vending",
        "receipt_data": "r",
        "url_schemes": ["capy", "capys"],
        "vendor_id": "v",
        "windows_attribution_id": 7,
    }
    mapping = {"app_data_field": {"use_app_data": True, "version": "i2", "osVersion": "18.1", **more}}

    sent = payload("purchase", ORDER, mapping)["app_data"]
    assert {key: sent[key] for key in more} == {
        **more,
        "include_dwell_data": False,
        "include_video_data": True,
        "windows_attribution_id": "7",
    }


def test_what_else_metas_sdk_has_in_contents_goes_out() -> None:
    item = {"id": "mug", "title": "Mug", "description": "Holds tea", "brand": "Example & Sons", "category": "Kitchen"}

    assert payload("purchase", ORDER, {"contents": [item]})["custom_data"]["contents"] == [item]


def test_without_use_app_data_there_is_none() -> None:
    assert "app_data" not in payload("purchase", with_context(ORDER, app={"namespace": "com.example"}))
    assert "app_data" not in payload("purchase", ORDER, {"app_data_field": {"use_app_data": False, "version": "a2"}})
    assert "app_data" not in payload("purchase", ORDER, {"app_data_field": {"use_app_data": {"@path": "$.x"}}})


def test_an_app_event_without_app_data_is_rejected() -> None:
    assert rejection("purchase", APP_ORDER) == (
        "missing_app_data",
        "An app event needs app_data with its tracking flags and extinfo.",
    )


def test_an_app_event_of_an_unknown_version_is_rejected() -> None:
    mapping = {"app_data_field": {"use_app_data": True, "version": "android", "osVersion": "15"}}

    assert rejection("purchase", APP_ORDER, mapping) == (
        "invalid_field",
        "app_data_field.version must be one of i2, a2.",
    )


# --- 16. net_revenue, order_id, predicted_ltv -------------------------------------------------------------------


def test_a_purchase_may_carry_net_revenue_order_id_and_predicted_ltv() -> None:
    mapping = {
        "net_revenue": "20.4",
        "predicted_ltv": 120,
        "order_id": {"@path": "$.properties.total"},
        "contents": None,
    }

    assert custom_data("purchase", ORDER, mapping) == {
        "currency": "USD",
        "value": 25.5,
        "net_revenue": 20.4,
        "predicted_ltv": 120,
        "order_id": "30",
    }


# --- 19. fbc ----------------------------------------------------------------------------------------------------


def visit(url: str, **properties: Any) -> Json:
    return with_context(with_properties(ORDER, **{"fbc": None, **properties}), page={"url": url})


@pytest.mark.parametrize(
    ("url", "fbc"),
    [
        ("https://shop.example.com/?fbclid=IwAR0_xY-z", f"fb.1.{SECONDS}000.IwAR0_xY-z"),
        ("https://shop.example.com/p?utm_source=fb&fbclid=AbC&x=1#top", f"fb.1.{SECONDS}000.AbC"),
        ("https://shop.example.com/", None),
        ("https://shop.example.com/?fbclid=", None),
        ("https://shop.example.com/?notfbclid=AbC", None),
        ("https://shop.example.com/?x=1#fbclid=AbC", None),
    ],
)
def test_a_click_id_in_the_url_becomes_fbc(url: str, fbc: str | None) -> None:
    _, body, notes = convert(job("purchase"), visit(url))

    assert body["user_data"].get("fbc") == fbc
    assert notes == ({"derived_fbc": 1} if fbc else {})


@pytest.mark.parametrize(
    ("cookie", "fbc"),
    [
        ("fb.1.1795341000000.Old", f"fb.1.{SECONDS}000.AbC"),
        ("fb.1.1795341000000.AbC", "fb.1.1795341000000.AbC"),
        ("fb.1.1795341000000.AbC.AQQAAQIB", "fb.1.1795341000000.AbC.AQQAAQIB"),
        (f"fb.1.{SECONDS + 60}000.New", f"fb.1.{SECONDS + 60}000.New"),
        ("fb.1.1700000000000.Older", f"fb.1.{SECONDS}000.AbC"),
    ],
)
def test_the_newer_click_wins(cookie: str, fbc: str) -> None:
    assert user_data(visit("https://shop.example.com/?fbclid=AbC", fbc=cookie))["fbc"] == fbc


def test_a_click_older_than_ninety_days_is_dropped_and_counted() -> None:
    _, body, notes = convert(job("purchase"), visit("https://shop.example.com/", fbc="fb.1.1700000000000.Older"))

    assert "fbc" not in body["user_data"]
    assert notes == {"dropped_fbc": 1}


def test_a_click_id_mapped_as_fbc_becomes_the_cookie() -> None:
    _, body, notes = convert(job("purchase"), visit("https://shop.example.com/", fbc="IwAR2F4"))

    assert body["user_data"]["fbc"] == f"fb.1.{SECONDS}000.IwAR2F4"
    assert notes == {"derived_fbc": 1}


def test_blanks_around_a_url_go() -> None:
    event = with_context(ORDER, page={"url": " https://shop.example/thanks ", "referrer": "\thttps://search.example/ "})

    body = payload("purchase", event)
    assert (body["event_source_url"], body["referrer_url"]) == (
        "https://shop.example/thanks",
        "https://search.example/",
    )


@pytest.mark.parametrize("referrer", ["$direct", "android-app://com.example", "not a url"])
def test_a_referrer_that_is_no_web_address_is_dropped_and_counted(referrer: str) -> None:
    url = "https://shop.example/"
    _, body, notes = convert(job("purchase"), with_context(ORDER, page={"url": url, "referrer": referrer}))

    assert "referrer_url" not in body
    assert notes == {"dropped_referrer_url": 1}


def test_the_url_stands_in_for_an_fbc_that_is_none() -> None:
    _, body, notes = convert(job("purchase"), visit("https://shop.example.com/?fbclid=AbC", fbc="undefined"))

    assert body["user_data"]["fbc"] == f"fb.1.{SECONDS}000.AbC"
    assert notes == {"dropped_fbc": 1, "derived_fbc": 1}


# --- 20. event_id -----------------------------------------------------------------------------------------------


def event_id(event: Json, mapping: Json | None = None) -> Any:
    return payload("purchase", event, mapping)["event_id"]


def without_message_id(**changes: Any) -> Json:
    return {**{key: value for key, value in ORDER.items() if key != "messageId"}, **changes}


def test_the_event_id_is_the_message_id_unless_it_is_mapped() -> None:
    assert event_id(ORDER) == "ajs-next-1795341500123-77"
    assert event_id(ORDER, {"event_id": {"@path": "$.properties.order_id"}}) == "50314b8e9bcf"
    assert event_id({**ORDER, "messageId": 5}) == "5"


def test_without_a_message_id_the_event_id_is_made_from_the_content() -> None:
    first = event_id(without_message_id())

    assert isinstance(first, str)
    assert len(first) >= 16
    assert event_id(without_message_id()) == first
    assert event_id(without_message_id(messageId=None)) != ""
    assert event_id({key: without_message_id()[key] for key in sorted(without_message_id())}) == first


def test_a_made_event_id_is_the_same_however_often_the_event_was_transmitted() -> None:
    assert event_id(without_message_id(sentAt="2026-11-22T09:59:59Z", receivedAt="2026-11-22T09:59:59Z")) == event_id(
        without_message_id()
    )


@pytest.mark.parametrize(
    "changed",
    [without_message_id(userId="user_1043"), with_properties(without_message_id(), revenue=26)],
    ids=["user", "revenue"],
)
def test_another_event_has_another_event_id(changed: Json) -> None:
    assert event_id(changed) != event_id(without_message_id())


def test_the_mapped_event_id_falls_back_where_the_event_has_none() -> None:
    assert event_id(ORDER, {"event_id": {"@path": "$.properties.nothing"}}) == "ajs-next-1795341500123-77"


# --- 21. page views ---------------------------------------------------------------------------------------------


def test_a_page_view_sends_its_custom_data() -> None:
    assert custom_data("pageView", ORDER, {"custom_data": {"section": "sale", "content_ids": ["a"]}}) == {
        "section": "sale",
        "content_ids": ["a"],
    }


# --- 22. traits -------------------------------------------------------------------------------------------------


def test_traits_of_the_context_come_before_those_of_the_root() -> None:
    event = {
        **with_traits(ORDER, email="context@example.com", phone="", firstName=None),
        "traits": {
            "email": "root@example.com",
            "phone": "+44 1632 960001",
            "firstName": "Root",
            "lastName": "Person",
            "gender": "male",
            "birthday": "1980-01-02",
            "address": {"city": "Leeds", "state": "England", "postalCode": "LS1 1AA", "country": "GB"},
        },
    }

    assert user_data(event) == {
        **{key: USER_DATA[key] for key in ("external_id", "client_ip_address", "client_user_agent", "fbc", "fbp")},
        "em": sha256("context@example.com"),
        "ph": sha256("441632960001"),
        "fn": sha256("root"),
        "ln": sha256("person"),
        "ge": sha256("m"),
        "db": sha256("19800102"),
        "ct": sha256("leeds"),
        "st": sha256("england"),
        "zp": sha256("ls11aa"),
        "country": sha256("gb"),
    }


@pytest.mark.parametrize(
    ("traits", "first", "last"),
    [
        ({"name": "Jane Doe"}, "jane", "doe"),
        ({"name": "Jane van der Berg"}, "jane", "vanderberg"),
        ({"name": "undefined undefined"}, None, None),
        ({"first_name": "Jane", "last_name": "Doe"}, "jane", "doe"),
        ({"name": "Janet Roe", "first_name": "Jane"}, "jane", "roe"),
        ({"firstName": "null", "first_name": "Jane", "lastName": "undefined"}, "jane", None),
        ({"name": "Jane"}, "jane", None),
        ({"name": "Jane Doe", "firstName": "Janet", "lastName": "Roe"}, "janet", "roe"),
        ({"name": ""}, None, None),
        ({"name": "  "}, None, None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["context", "root"])
def test_a_name_stands_in_for_first_and_last_name(
    where: str, traits: Json, first: str | None, last: str | None
) -> None:
    event = with_traits(ORDER, **traits) if where == "context" else {**with_traits(ORDER), "traits": traits}

    sent = user_data(event)

    assert (sent.get("fn"), sent.get("ln")) == (first and sha256(first), last and sha256(last))


# --- beside custom_data -----------------------------------------------------------------------------------------


def test_every_other_field_of_an_event_goes_beside_custom_data() -> None:
    mapping = {
        "opt_out": "true",
        "referrer_url": "https://search.example.net/",
        "customer_segmentation": "new_customer_to_business",
        "attribution_data": {"attribution_share": "0.3"},
        "original_event_data": {"event_name": "Lead", "event_time": TIME, "order_id": 5, "event_id": "m-0", "x": 1},
        "messaging_channel": "whatsapp",
        "store_data": {"store_page_id": 1, "brand_page_id": "2", "store_code": "3", "x": 1},
        "contents": None,
        "order_id": None,
    }

    assert payload("purchase", ORDER, mapping) == {
        **COMMON,
        "event_name": "Purchase",
        "custom_data": {"currency": "USD", "value": 25.5},
        "opt_out": True,
        "referrer_url": "https://search.example.net/",
        "customer_segmentation": "new_customer_to_business",
        "attribution_data": {"attribution_share": "0.3"},
        "original_event_data": {"event_name": "Lead", "event_time": SECONDS, "order_id": "5", "event_id": "m-0"},
        "messaging_channel": "whatsapp",
        "store_data": {"store_page_id": "1", "brand_page_id": "2", "store_code": "3"},
    }


def test_a_business_message_is_sent_with_its_channel_and_ids() -> None:
    mapping = {
        "action_source": "business_messaging",
        "messaging_channel": "whatsapp",
        "user_data": {"whatsapp_business_account_id": 101, "ctwa_clid": "ARAk"},
        "contents": None,
        "order_id": None,
    }

    assert payload("purchase", ORDER, mapping) == {
        **COMMON,
        "event_name": "Purchase",
        "action_source": "business_messaging",
        "messaging_channel": "whatsapp",
        "user_data": {"whatsapp_business_account_id": "101", "ctwa_clid": "ARAk"},
        "custom_data": {"currency": "USD", "value": 25.5},
    }


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"action_source": "business_messaging"}, "missing_messaging_channel"),
    ],
)
def test_a_business_message_without_them_is_rejected(properties: Json, code: str) -> None:
    assert rejection("purchase", with_properties(ORDER, **properties))[0] == code


@pytest.mark.parametrize(
    ("timestamp", "source", "code"),
    [
        ("2026-11-15T09:59:59Z", "website", "event_too_old"),
        ("2026-09-21T09:59:59Z", "physical_store", "event_too_old"),
        ("2026-11-22T10:01:01Z", "website", "event_in_future"),
    ],
)
def test_an_event_beyond_the_age_limits_is_rejected(timestamp: str, source: str, code: str) -> None:
    event = with_properties({**ORDER, "timestamp": timestamp}, action_source=source)

    assert rejection("purchase", event)[0] == code


@pytest.mark.parametrize(
    ("timestamp", "source"),
    [
        ("2026-11-15T10:00:00Z", "website"),
        ("2026-09-21T10:00:00Z", "physical_store"),
        ("2026-11-22T10:01:00Z", "website"),
    ],
)
def test_an_event_at_the_age_limits_is_sent(timestamp: str, source: str) -> None:
    event = with_properties({**ORDER, "timestamp": timestamp}, action_source=source)

    assert payload("purchase", event)["action_source"] == source
