"""The engine's functions one by one, and their laws."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import apache_beam as beam
import orjson
import pytest
from apache_beam.testing.util import assert_that
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.job.presets import presets
from capybeam.pipeline.preview import preview
from capybeam.transforms.core.conversions import Conversion
from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.events import parse_event
from capybeam.transforms.core.rejections import CODES, Rejected, Rejection
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.filtering import FilterEvents
from capybeam.transforms.hashing import HashUserData
from capybeam.transforms.mapping import MapProperties
from capybeam.transforms.naming import MapEventNames
from capybeam.transforms.parsing import ParseEvents
from capybeam.transforms.validating import ValidateConversions
from tests.transforms.shop import (
    NOW,
    ORDER,
    TIME,
    USER_DATA,
    Json,
    Way,
    convert,
    job,
    payload,
    rejection,
    subscription,
)

# --- each function by itself ------------------------------------------------------------------------------------


def test_an_event_goes_to_every_subscription_whose_trigger_takes_it_in_the_jobs_order() -> None:
    matching = Engine(
        [
            subscription("pages", 'type = "page"'),
            subscription("orders", 'event = "Order Completed"'),
            subscription("all"),
            subscription("large", "properties.revenue > 100", destination="crm"),
        ]
    ).match

    assert matching({"type": "track", "event": "Order Completed", "properties": {"revenue": 500}}) == [
        "web/orders",
        "web/all",
        "crm/large",
    ]
    assert matching({"type": "page"}) == ["web/pages", "web/all"]


def test_an_event_that_no_trigger_takes_goes_nowhere() -> None:
    assert Engine([subscription("pages", 'type = "page"')]).match({"type": "track"}) == []


def test_a_conversion_has_its_name_and_one_dataset_each() -> None:
    event = {"event": "Form Sent"}
    leads = subscription("leads", mapping={"event_name": {"@path": "$.event"}}, dataset_ids=("555", "556"))
    fixed = subscription("fixed", mapping={"event_name": "Lead"})
    named = Engine([leads, fixed]).name

    assert named(event, "web/leads") == [
        Conversion("web/leads", "Form Sent", "555", event, {}),
        Conversion("web/leads", "Form Sent", "556", event, {}),
    ]
    assert named(event, "web/fixed") == [Conversion("web/fixed", "Lead", "1", event, {})]


def test_a_name_that_cannot_be_made_rejects_the_event_only() -> None:
    leads = subscription("leads", mapping={"event_name": {"@path": {"@path": "$.properties.key"}}})
    named = Engine([leads]).name

    with pytest.raises(Rejected) as caught:
        named({"event": "Form Sent"}, "web/leads")

    assert caught.value.code == "mapping_failed"


def test_conversions_that_fan_out_do_not_share_their_fields() -> None:
    subscriptions = job("purchase")
    named = Engine(subscriptions).name(ORDER, "web/purchase")
    fields = Engine(subscriptions).map(named[0]).fields

    assert Engine(subscriptions).name(ORDER, "web/purchase")[0].fields == {}
    assert fields["event_name"] == "Purchase"


def test_after_hashing_no_raw_personal_data_exists() -> None:
    subscriptions = job("purchase")
    (named,) = Engine(subscriptions).name(ORDER, "web/purchase")

    hashed = Engine(subscriptions).hash(Engine(subscriptions).map(named), lambda name: None)

    assert hashed.event is None
    assert hashed.fields["user_data"] == USER_DATA
    assert not [word for word in ("Jane", "Doe@", "555-0143", "O'Connor", "1990-05", "94107") if word in repr(hashed)]


def test_a_ready_conversion_is_its_destination_key_and_one_line_of_bytes() -> None:
    subscriptions = job("custom", {"event_name": "Größe"}, subscription={"name": "Größen v1.2"})
    key, body, _ = convert(subscriptions, ORDER)

    assert key == '["web","123321","",""]'
    assert body["event_name"] == "Größe"


@pytest.mark.parametrize("tag", ["", "Segment", "Läden, 2026"])
@pytest.mark.parametrize("code", ["", "TEST123"])
def test_a_destination_key_comes_apart_as_it_was_made(code: str, tag: str) -> None:
    assert Address.decode(Address("web shop", "123321", code, tag).encode()) == ("web shop", "123321", code, tag)


@pytest.mark.parametrize("code", ["TEST\t1", "TEST\n1", " TEST 1 ", "a\tb\tc"], ids=repr)
def test_a_test_event_code_cannot_break_a_destination_key(code: str) -> None:
    key, _, _ = convert(job("purchase", {"test_event_code": {"@path": "$.code"}}), {**ORDER, "code": code})

    destination, dataset_id, sent, upload_tag = Address.decode(key)
    assert (destination, dataset_id, sent.split(), upload_tag) == ("web", "123321", code.split(), "")


def test_an_event_larger_than_a_batch_may_be_is_rejected() -> None:
    size = len(json.dumps(payload("purchase", ORDER), separators=(",", ":"), ensure_ascii=False).encode())

    convert(job("purchase"), ORDER, max_bytes=size)
    with pytest.raises(Rejected) as caught:
        convert(job("purchase"), ORDER, max_bytes=size - 1)

    assert (caught.value.code, caught.value.message) == (
        "event_too_large",
        f"The event alone has {size} bytes, more than max_batch_bytes {size - 1}.",
    )


@pytest.mark.parametrize("value", [2**70, {"a": [2**70]}], ids=["integer", "inside"])
def test_what_json_cannot_carry_is_rejected(value: Any) -> None:
    event = {**ORDER, "custom": {"n": value}}

    assert rejection("custom", event, {"custom_data": {"@path": "$.custom"}}) == (
        "unencodable",
        CODES["unencodable"],
    )


def test_no_rejection_repeats_a_value_of_the_event() -> None:
    mappings: list[Json] = [
        {"currency": "jane@example.com"},
        {"value": "jane@example.com"},
        {"event_time": "jane@example.com"},
        {"action_source": "jane@example.com"},
        {"contents": [{"id": "1", "delivery_category": "jane@example.com"}]},
        {"user_data": "jane@example.com"},
        {"user_data": {"client_ip_address": "jane@example.com"}},
        {"opt_out": "jane@example.com"},
        {"content_type": "jane@example.com"},
        {"data_processing_options_state": "jane@example.com"},
        {"app_data_field": {"use_app_data": True, "version": "jane@example.com"}},
    ]

    for mapping in mappings:
        assert "jane" not in " ".join(rejection("purchase", ORDER, mapping)), mapping


# --- laws -------------------------------------------------------------------------------------------------------


_SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(
        ["USD", "website", "app", TIME, "jane@example.com", "2/16/1997", "+1 202 555 0143", "US", "California"]
    )
)
_ANY = st.recursive(
    _SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


_PLACES = [
    place.split(".")
    for place in [
        "type",
        "event",
        "messageId",
        "userId",
        "anonymousId",
        "timestamp",
        "traits",
        "context",
        "properties",
        "context.ip",
        "context.userAgent",
        "context.page",
        "context.page.url",
        "context.traits",
        "context.traits.email",
        "context.traits.phone",
        "context.traits.birthday",
        "context.traits.gender",
        "context.traits.firstName",
        "context.traits.name",
        "context.traits.address",
        "context.traits.address.city",
        "context.traits.address.state",
        "context.traits.address.postalCode",
        "context.traits.address.country",
        "properties.currency",
        "properties.revenue",
        "properties.price",
        "properties.action_source",
        "properties.fbc",
        "properties.fbp",
        "properties.query",
        "properties.product_id",
        "properties.order_id",
        "properties.products",
        "properties.products.0",
        "properties.products.0.product_id",
        "properties.products.0.price",
        "properties.products.1.quantity",
    ]
]


def altered(event: Json, changes: list[tuple[list[str], Any]]) -> Json:
    """The event with other values at some places, as far as the way there is still there."""
    event = copy.deepcopy(event)
    for (*parents, last), value in changes:
        target: Any = event
        for parent in parents:
            if isinstance(target, list):
                target = dict(enumerate(target)).get(int(parent) if parent.isdigit() else -1)
            else:
                target = target.get(parent) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target[last] = value
    return event


_WAYS = {action: Way(job(action)) for action in presets()}


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(presets())), st.lists(st.tuples(st.sampled_from(_PLACES), _ANY), max_size=4))
def test_any_event_at_all_becomes_a_conversion_or_a_rejection(
    action: str, changes: list[tuple[list[str], Any]]
) -> None:
    event = parse_event(json.dumps(altered(ORDER, changes)).encode())
    way = _WAYS[action]
    try:
        first = way(event)
    except Rejected:
        return
    _, body, _ = first

    assert way(event) == first, "the same event is the same bytes at every try"
    assert body["user_data"]
    assert body["event_id"]
    assert "jane@example.com" not in json.dumps(body["user_data"])


# --- map shows what run sends -----------------------------------------------------------------------------------

_SUBSCRIPTIONS = """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "1"
    access_token: env:TOKEN
    test_event_code: TEST1
    default_country: us
    subscriptions:
      - {action: purchase, trigger: 'event = "Order Completed"'}
      - {action: custom, name: dear, trigger: 'properties.total > 20', mapping: {event_name: {"@path": $.event}}}
      - {action: pageView, trigger: 'type = "page" or contains(context.page.url, "checkout")'}
  - name: stores
    type: facebook_offline_conversions
    access_token: env:TOKEN
    events: {Order Completed: ["5", "6"]}
    upload_tag: tag
"""
_JOB = parse_job(_SUBSCRIPTIONS)
_LINES = st.one_of(
    st.lists(st.tuples(st.sampled_from(_PLACES), _ANY), max_size=4).map(
        lambda changes: json.dumps(altered(ORDER, changes)).encode()
    ),
    _ANY.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=20),
)


# Few examples with many lines: most of the time goes into the pipelines.
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(_LINES, min_size=20, max_size=40))
def test_map_shows_byte_for_byte_what_the_steps_make(lines: list[bytes]) -> None:
    shown, refused, filtered = Counter[Any](), Counter[Any](), 0
    for outcome in preview(_JOB, lines, NOW):
        where = outcome.get("destination"), outcome.get("subscription")
        if outcome["status"] == "ready":
            said = outcome.get("test_event_code", ""), outcome.get("upload_tag", "")
            shown[(*where, outcome["dataset_id"], *said, orjson.dumps(outcome["payload"]))] += 1
        elif outcome["status"] == "rejected":
            refused[(*where, outcome["stage"], outcome["code"], outcome["message"])] += 1
        else:
            filtered += 1

    def check_ready(found: list[tuple[str, bytes]]) -> None:
        made = Counter[Any]()
        for key, line in found:
            address, envelope = Address.decode(key), Envelope.decode(line)
            said = address.dataset_id, address.test_event_code, address.upload_tag
            made[(address.destination, envelope.subscription, *said, envelope.body)] += 1
        assert made == shown

    def check_rejections(found: list[Rejection]) -> None:
        made = Counter((each.destination, each.subscription, each.stage, each.code, each.message) for each in found)
        assert made == refused

    with beam.Pipeline("FnApiRunner") as pipeline:
        steps = [
            ParseEvents(_JOB.subscriptions),
            FilterEvents(_JOB.subscriptions),
            MapEventNames(_JOB.subscriptions),
            MapProperties(_JOB.subscriptions),
            HashUserData(_JOB.subscriptions),
            ValidateConversions(_JOB.subscriptions, clock=_now),
        ]
        results, rejections = pipeline | beam.Create(lines, reshuffle=False), []
        for step, main in zip(steps, ("events", "matches", *["conversions"] * 3, "ready"), strict=True):
            done = results | step
            results, rejections = done[main], [*rejections, done.rejections]
        assert_that(results, check_ready, label="ready")
        assert_that(rejections | beam.Flatten(), check_rejections, label="rejections")


def _now() -> float:
    return NOW
