"""Restricted destinations: no custom parameters, no more of a URL than its domain."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.core.dead_letters import parse_dead_letter
from capybeam.transforms.core.envelope import Envelope, Ready
from capybeam.transforms.engine.replay import compile_replay
from capybeam.transforms.meta.restricted import ITEM_PARAMETERS, STANDARD_PARAMETERS, restrict
from tests.transforms.shop import NOW, ORDER, Json, convert, job, track, with_context, with_properties


def restricted(event: Json) -> tuple[Json, dict[str, int]]:
    notes: Counter[str] = Counter()
    return restrict(event, lambda name: notes.update([name])), dict(notes)


def test_an_order_keeps_its_standard_parameters_and_the_domain_of_its_page() -> None:
    mapping = {
        "content_name": "Test kit",
        "contents": [{"id": "kit-1", "quantity": 1, "item_price": 9.5, "title": "HIV test", "category": "Health"}],
        "custom_data": {"coupon": "SPRING", "diagnosis": "x", "num_items": 1},
        "attribution_data": {"visit": "clinic"},
    }
    event = with_context(
        with_properties(ORDER, revenue=25.5),
        page={"url": "https://shop.example.com/hiv-tests?positive=1#x", "referrer": "https://search.example/?q=hiv"},
    )

    _, sent, _ = convert(job("purchase", mapping), event)
    _, body, notes = convert(job("purchase", mapping, restricted=True), event)

    assert body == {
        **{key: value for key, value in sent.items() if key != "attribution_data"},
        "event_source_url": "https://shop.example.com/",
        "referrer_url": "https://search.example/",
        "custom_data": {
            "num_items": 1,
            "contents": [{"id": "kit-1", "quantity": 1, "item_price": 9.5}],
            "currency": "USD",
            "value": 25.5,
            "order_id": "50314b8e9bcf",
        },
    }
    assert notes == {
        "restricted_attribution_data": 1,
        "restricted_event_source_url": 1,
        "restricted_referrer_url": 1,
        "restricted_custom_data": 1,
    }


def test_a_click_in_the_pages_url_is_found_before_the_url_is_cut() -> None:
    event = with_context(track("Any", {}), page={"url": "https://shop.example.com/?fbclid=IwAR_new"})
    del event["properties"]["fbc"]

    _, body, notes = convert(job("pageView", restricted=True), event)

    assert (body["event_source_url"], notes) == (
        "https://shop.example.com/",
        {"derived_fbc": 1, "restricted_event_source_url": 1},
    )
    assert body["user_data"]["fbc"].endswith(".IwAR_new")


def test_an_event_with_nothing_to_restrict_is_sent_as_it_is_and_counted_as_nothing() -> None:
    event = with_context(ORDER, page={"url": "https://shop.example.com/"})

    assert convert(job("purchase", restricted=True), event) == convert(job("purchase"), event)


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("https://shop.example", "https://shop.example/"),
        ("https://shop.example/", "https://shop.example/"),
        ("https://shop.example/a/b.html", "https://shop.example/"),
        ("https://shop.example?q=1", "https://shop.example/"),
        ("https://shop.example#a", "https://shop.example/"),
        ("https://jane:secret@shop.example:8443/a", "https://shop.example:8443/"),
        ("http://[2001:db8::1]:80/a", "http://[2001:db8::1]:80/"),
        ("HTTPS://Shop.Example/A", "https://Shop.Example/"),
        ("https://bücher.example/hilfe", "https://bücher.example/"),
        ("https:///a", None),
        ("https://[broken/a", None),
        ("/a?b", None),
        (5, None),
        (["https://shop.example/a"], None),
    ],
)
@pytest.mark.parametrize("name", ["event_source_url", "referrer_url"])
def test_of_a_url_the_domain_is_left(name: str, url: Any, left: str | None) -> None:
    changed = {f"restricted_{name}": 1} if left != url else {}

    assert restricted({name: url}) == ({} if left is None else {name: left}, changed)


@pytest.mark.parametrize(
    ("custom_data", "left"),
    [
        ({"search_string": "hiv", "content_name": "a", "content_category": "b", "status": "c"}, None),
        ({"value": 5, "currency": "EUR", "order_id": None}, {"value": 5, "currency": "EUR", "order_id": None}),
        ({"value": {"diagnosis": "x"}, "order_id": ["x"], "num_items": 2}, {"num_items": 2}),
        ({"content_ids": ["a", {"diagnosis": "x"}, ["b"], 5]}, {"content_ids": ["a", 5]}),
        ({"content_ids": "a", "contents": "[]"}, {"content_ids": "a"}),
        ({"content_ids": [{}], "contents": [5, None, {"title": "x"}, {"id": {"a": 1}}]}, None),
        ({"contents": {"id": "a"}}, None),
        ({"contents": [{"id": "a", "delivery_category": "in_store", "brand": "b"}]},
         {"contents": [{"id": "a", "delivery_category": "in_store"}]}),
        ({"event_source": "crm", "lead_event_source": "In-house"},
         {"event_source": "crm", "lead_event_source": "In-house"}),
        ({"Value": 5}, None),
        ({}, {}),
        ("value=5", None),
    ],
)  # fmt: skip
def test_of_custom_data_the_standard_parameters_are_left(custom_data: Any, left: Any) -> None:
    changed = {"restricted_custom_data": 1} if left != custom_data else {}

    assert restricted({"custom_data": custom_data}) == ({} if left is None else {"custom_data": left}, changed)


def test_of_an_apps_data_the_install_referrer_is_not_left() -> None:
    given_ = {"extinfo": ["a2"], "campaign_ids": "5"}

    assert restricted({"app_data": {**given_, "install_referrer": "utm_term=hiv"}}) == (
        {"app_data": given_},
        {"restricted_app_data": 1},
    )
    assert restricted({"app_data": given_}) == ({"app_data": given_}, {})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("https://shop.example/a?b"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "title", "value"]), inner),
    max_leaves=8,
)
_KEYS = st.sampled_from([*STANDARD_PARAMETERS, "coupon", "search_string"])


@given(
    event=st.fixed_dictionaries(
        {},
        optional={"event_source_url": _JSON, "custom_data": _JSON | st.dictionaries(_KEYS, _JSON), "app_data": _JSON},
    )
)
def test_whatever_comes_is_restricted_once_and_holds_nothing_else(event: Json) -> None:
    once, _ = restricted(event)

    assert restricted(once) == (once, {})
    custom_data = once.get("custom_data", {})
    assert custom_data.keys() <= set(STANDARD_PARAMETERS)
    assert all(item.keys() <= set(ITEM_PARAMETERS) for item in custom_data.get("contents", ()))
    assert not any(isinstance(value, dict) for value in custom_data.values())


def test_a_body_that_was_made_before_the_destination_was_restricted_is_restricted_when_it_is_sent_again() -> None:
    subscriptions = job("purchase", restricted=True)
    _, body, _ = convert(job("purchase", {"custom_data": {"coupon": "SPRING"}}), ORDER)
    row = {"dead_lettered_at": NOW, "stage": "send", "code": "gave_up_retrying", "message": "…", "destination": "web",
           "subscription": "purchase", "dataset_id": "123321", "event_id": "m", "payload": body, "retryable": True,
           "meta_code": None}  # fmt: skip
    way = compile_replay(subscriptions, 4_194_304)

    (outcome,) = way(parse_dead_letter(orjson.dumps(row), ""), NOW, lambda _: None, lambda _: lambda _: None)

    assert isinstance(outcome, Ready)
    sent = orjson.loads(Envelope.decode(outcome.line).body)
    assert (sent["event_source_url"], sent["custom_data"]) == (
        "https://shop.example.com/",
        {key: value for key, value in body["custom_data"].items() if key != "coupon"},
    )
