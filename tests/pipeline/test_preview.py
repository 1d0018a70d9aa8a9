"""`capybeam map` as a function: one outcome a conversion, rejection or filtered event, in input order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.loader import Job, parse_job
from capybeam.pipeline.preview import _Preview, preview
from capybeam.transforms.core.envelope import Envelope
from capybeam.transforms.core.rejections import json_bytes
from capybeam.transforms.engine.engine import Engine
from tests.transforms.edits import edited

NOW = 1_795_341_600  # 2026-11-22T10:00:00Z
TODAY = date(2026, 11, 22)
BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"

Json = dict[str, Any]

JOB = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: purchase
        name: orders
      - action: pageView
  - name: crm
    type: facebook_conversions_api
    dataset_id: "456654"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: custom
        name: leads
        trigger: event = "Order Completed" or event = "Lead Submitted"
        mapping: {event_name: Lead}
"""


def job(text: str = JOB) -> Job:
    return parse_job(text, "job.yaml", TODAY)


def event(name: str = "Order Completed", **changes: Any) -> Json:
    made: Json = {
        "type": "track",
        "event": name,
        "messageId": "m-1",
        "timestamp": "2026-11-22T09:59:00Z",
        "userId": "user_1042",
        "context": {"ip": "203.0.113.7", "userAgent": BROWSER, "page": {"url": "https://shop.example.com/"}},
        "properties": {"currency": "USD", "revenue": 25.5},
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


def outcomes(lines: list[bytes | Json], text: str = JOB, notes: Counter[str] | None = None) -> list[Json]:
    """The outcomes as they are written, read back."""
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines]
    return [orjson.loads(orjson.dumps(outcome)) for outcome in preview(job(text), encoded, NOW, notes)]


USER_DATA = {
    "external_id": [hashlib.sha256(b"user_1042").hexdigest()],
    "client_ip_address": "203.0.113.7",
    "client_user_agent": BROWSER,
}
PURCHASE = {
    "event_name": "Purchase",
    "event_time": NOW - 60,
    "event_id": "m-1",
    "event_source_url": "https://shop.example.com/",
    "action_source": "website",
    "user_data": USER_DATA,
    "custom_data": {"currency": "USD", "value": 25.5},
}
LEAD = {**{key: value for key, value in PURCHASE.items() if key != "custom_data"}, "event_name": "Lead"}


PRODUCT_ADDED_IS_FILTERED = {
    "status": "filtered",
    "type": "track",
    "name": "Product Added",
    "nearest": {
        "destination": "web",
        "subscription": "orders",
        "condition": 'event = "Order Completed"',
        "field": "event",
        "type": "string",
        "value": "Product Added",
    },
}


# --- what a line looks like -------------------------------------------------------------------------------------


def test_a_ready_event_shows_its_dataset_and_payload() -> None:
    page = event(type="page", event=None, properties={})

    assert outcomes([page]) == [
        {
            "line": 1,
            "destination": "web",
            "subscription": "pageView",
            "status": "ready",
            "dataset_id": "123321",
            "payload": {**LEAD, "event_name": "PageView"},
        }
    ]


def test_the_keys_of_a_line_stand_in_the_order_people_read_them() -> None:
    ready, rejected = outcomes([event(type="page", event="x"), b"{"])

    assert list(ready) == ["line", "destination", "subscription", "status", "dataset_id", "payload"]
    assert list(rejected) == ["line", "status", "stage", "code", "message"]


def test_an_event_that_no_trigger_takes_is_filtered() -> None:
    assert outcomes([event("Product Added")]) == [{"line": 1, **PRODUCT_ADDED_IS_FILTERED}]


def test_a_filtered_line_names_the_trigger_that_came_closest_and_the_condition_that_failed() -> None:
    (shouted,) = outcomes([event("ORDER COMPLETED ")])
    (unnamed,) = outcomes([{"type": "screen"}])
    assert (shouted["name"], shouted["nearest"]["hint"]) == (
        "ORDER COMPLETED ",
        "the event's text differs only in upper and lower case, or by blanks around it",
    )
    assert (unnamed["type"], unnamed["name"]) == ("screen", None)


def test_a_filtered_line_shows_a_name_with_somebodys_data_by_its_shape() -> None:
    (found,) = outcomes([event("Mail to jane@example.com", traits={"email": "x@example.com"})])
    assert found["name"] == "Aaaa aa aaa@aaa.aaa"


def test_a_line_with_several_events_in_an_envelope_has_the_outcomes_of_each() -> None:
    page = event(type="page", event=None, properties={})
    found = outcomes(
        [{"batch": [page, event("Product Added"), {"x": 1}]}, {"detail": page}], "unwrap: $.detail\n" + JOB
    )
    assert [(outcome["line"], outcome["status"], outcome.get("code")) for outcome in found] == [
        (1, "ready", None),
        (1, "filtered", None),
        (1, "rejected", "not_an_event"),
        (2, "ready", None),
    ]
    assert found[0]["payload"] == found[3]["payload"] == {**LEAD, "event_name": "PageView"}


def test_a_character_that_was_cut_costs_itself_and_is_counted() -> None:
    notes: Counter[str] = Counter()
    cut = json.dumps(event("Lead Submitted", context={"userAgent": "UA \ud83d"})).encode()
    (outcome,) = outcomes([cut], notes=notes)
    assert (outcome["status"], outcome["payload"]["user_data"]["client_user_agent"]) == ("ready", "UA \ufffd")
    assert notes["replaced_characters"] == 1


def test_an_event_that_two_subscriptions_take_has_two_outcomes_in_the_jobs_order() -> None:
    assert outcomes([event()]) == [
        {
            "line": 1,
            "destination": "web",
            "subscription": "orders",
            "status": "ready",
            "dataset_id": "123321",
            "payload": PURCHASE,
        },
        {
            "line": 1,
            "destination": "crm",
            "subscription": "leads",
            "status": "ready",
            "dataset_id": "456654",
            "payload": LEAD,
        },
    ]


def test_of_two_outcomes_one_may_be_a_rejection() -> None:
    orders, leads = outcomes([event(properties={"revenue": 25.5})])

    assert orders == {
        "line": 1,
        "destination": "web",
        "subscription": "orders",
        "status": "rejected",
        "stage": "map",
        "code": "missing_required_field",
        "message": "The required field 'currency' has no value (looked for $.properties.currency).",
    }
    assert (leads["destination"], leads["status"]) == ("crm", "ready")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b'{"type": "track"', "invalid_json", None),
        (b"not json", "invalid_json", None),
        (b"[]", "not_an_object", "The line is valid JSON, but an event is a JSON object."),
        (b'"track"', "not_an_object", "The line is valid JSON, but an event is a JSON object."),
        (b"null", "not_an_object", "The line is valid JSON, but an event is a JSON object."),
        (b'{"type": "\xff"}', "invalid_utf8", None),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "too_deeply_nested", None),
    ],
    ids=["torn", "words", "list", "text", "null", "no_utf8", "deep"],
)
def test_a_line_that_is_no_event_is_rejected_without_a_destination(line: bytes, code: str, message: str | None) -> None:
    (outcome,) = outcomes([line])

    said = outcome.pop("message")
    assert outcome == {"line": 1, "status": "rejected", "stage": "parse", "code": code}
    assert said == message or (message is None and said.endswith("."))


@pytest.mark.parametrize(
    ("made", "stage", "code"),
    [
        (event(properties={"currency": "points", "revenue": 5}), "map", "invalid_currency"),
        (event(timestamp="yesterday"), "map", "invalid_event_time"),
        (event(timestamp="2026-11-01T00:00:00Z"), "validate", "event_too_old"),
        (event(timestamp="2026-11-22T11:00:00Z"), "validate", "event_in_future"),
        (event(context={"page": {}}), "validate", "missing_client_user_agent"),
        (event(userId=None, context={"userAgent": BROWSER}), "validate", "match_keys_too_broad"),
        (event(userId=None, context={}), "validate", "no_match_keys"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rejected_event_says_at_which_stage_and_why(made: Json, stage: str, code: str) -> None:
    orders = outcomes([made])[0]

    message = orders.pop("message")
    assert orders == {
        "line": 1,
        "destination": "web",
        "subscription": "orders",
        "status": "rejected",
        "stage": stage,
        "code": code,
    }
    assert message.endswith((".", ")."))


def test_an_event_whose_name_cannot_be_mapped_is_rejected_and_the_rest_goes_on() -> None:
    text = JOB.replace("event_name: Lead", 'event_name: {"@path": {"@path": $.properties.key}}')

    rejected, ready = outcomes([event("Lead Submitted"), event(type="page")], text)[:2]

    assert rejected == {
        "line": 1,
        "destination": "crm",
        "subscription": "leads",
        "status": "rejected",
        "stage": "name",
        "code": "mapping_failed",
        "message": "@path needs a string here, but the event has none.",
    }
    assert ready["line"] == 2


def test_a_test_event_code_is_shown_beside_the_dataset() -> None:
    text = JOB.replace('    dataset_id: "123321"\n', '    dataset_id: "123321"\n    test_event_code: TEST123\n')

    assert outcomes([event(type="page", event="Home")], text) == [
        {
            "line": 1,
            "destination": "web",
            "subscription": "pageView",
            "status": "ready",
            "dataset_id": "123321",
            "test_event_code": "TEST123",
            "payload": {**LEAD, "event_name": "PageView"},
        }
    ]


def test_no_outcome_but_a_payload_repeats_a_value_of_the_event() -> None:
    made = event(
        properties={"currency": "jane@example.com", "revenue": "jane@example.com"}, timestamp="jane@example.com"
    )

    assert "jane" not in json.dumps(outcomes([made, b'{"email": "jane@example.com"']))


# --- order and line numbers -------------------------------------------------------------------------------------


def test_outcomes_come_in_input_order_whatever_becomes_of_the_events() -> None:
    lines: list[bytes | Json] = [
        event("Product Added"),
        event(),
        b"nonsense",
        event(type="page"),
        event("Lead Submitted"),
    ]

    assert [(o["line"], o["status"], o.get("subscription")) for o in outcomes(lines)] == [
        (1, "filtered", None),
        (2, "ready", "orders"),
        (2, "ready", "leads"),
        (3, "rejected", None),
        (4, "ready", "pageView"),
        (4, "ready", "leads"),
        (5, "ready", "leads"),
    ]


def test_blank_lines_have_no_outcome_and_are_counted_all_the_same() -> None:
    page = event(type="page", event="Home")

    assert [outcome["line"] for outcome in outcomes([b"\n", page, b"   \r\n", b"", b"\t\n", page, b"\n"])] == [2, 6]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_an_event() -> None:
    line = b"\xef\xbb\xbf" + json.dumps(event("Product Added")).encode() + b"\r\n"

    assert outcomes([line, b"\xef\xbb\xbf\r\n"]) == [{"line": 1, **PRODUCT_ADDED_IS_FILTERED}]


def test_no_line_at_all_has_no_outcome() -> None:
    assert outcomes([]) == []


def test_outcomes_come_while_the_input_is_still_being_read() -> None:
    read: list[int] = []

    def lines() -> Any:
        for number in range(3):
            read.append(number)
            yield json.dumps(event("Product Added")).encode()

    shown = preview(job(), lines(), NOW)

    assert next(shown) == {"line": 1, **PRODUCT_ADDED_IS_FILTERED}
    assert read == [0]


# --- notes ------------------------------------------------------------------------------------------------------


def test_what_is_dropped_or_left_out_on_the_way_is_noted() -> None:
    notes: Counter[str] = Counter()
    traits = {"email": "nobody", "phone": "none", "firstName": "Jane"}
    context = {"userAgent": BROWSER, "ip": "203.0.113.7", "traits": traits}

    outcomes([event(type="page", event="Home", context=context)] * 2, notes=notes)

    assert notes == {"dropped_em": 2, "dropped_ph": 2, "website_without_url": 2}


def test_what_the_mapping_leaves_out_is_noted() -> None:
    notes: Counter[str] = Counter()
    traits = {"email": "jane@example.com", "birthday": {"day": 16}}
    context = {"userAgent": BROWSER, "ip": "203.0.113.7", "traits": traits}
    products = [{"sku": "mug"}, {"product_id": "cup", "price": "Free"}]
    made = event(properties={"revenue": 5, "currency": "EUR", "products": products}, context=context)

    assert [row["subscription"] for row in outcomes([made], notes=notes)] == ["orders", "leads"]
    assert notes == {
        "contents_without_id": 1, "dropped_contents_item_price": 1, "dropped_db": 2, "website_without_url": 2
    }  # fmt: skip


def test_nothing_dropped_is_nothing_noted() -> None:
    notes: Counter[str] = Counter()

    outcomes([event(), b"nonsense", event("Product Added")], notes=notes)

    assert notes == {}


# --- the same as a run ------------------------------------------------------------------------------------------


def test_the_payload_is_byte_for_byte_what_the_steps_make() -> None:
    subscriptions = job().subscriptions
    (named,) = Engine(subscriptions).name(event(), "web/orders")
    mapped = Engine(subscriptions).map(named)
    hashed = Engine(subscriptions).hash(mapped, lambda name: None)
    ready = Engine(subscriptions, 4_194_304).validate(hashed, NOW, lambda name: None)

    line = orjson.dumps(next(preview(job(), [json.dumps(event()).encode()], NOW)))

    assert line.endswith(b'"payload":' + Envelope.decode(ready.line).body + b"}")


def test_the_largest_batch_is_the_largest_event() -> None:
    text = JOB + "delivery: {max_batch_bytes: 1024}\n"
    mapping = 'mapping: {event_name: Lead, custom_data: {note: "' + "x" * 1024 + '"}}'

    (outcome,) = outcomes([event("Lead Submitted")], text.replace("mapping: {event_name: Lead}", mapping))

    assert (outcome["status"], outcome["stage"], outcome["code"]) == ("rejected", "validate", "event_too_large")


# --- whatever an event holds ----------------------------------------------------------------------------------------

EVERYTHING = """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: env:TOKEN
    default_country: DE
    subscriptions:
      - {action: purchase, trigger: all}
      - {action: initiateCheckout, trigger: all}
      - {action: addToCart, trigger: all}
      - {action: viewContent, trigger: all}
      - {action: search, trigger: all}
      - {action: pageView, trigger: all}
      - action: custom
        name: triggers
        trigger: >-
          properties.revenue > 5 or contains(event, "x") or match(userId, "a*b") or length(properties.products) > 3
          or lowercase(event) = "a" or typeof(traits) = "null" or properties.products[0].id in ["1", 5]
          or not type = "x"
        mapping:
          event_name: {"@template": "{{type}} {{properties}}"}
          event_id: {"@json": {mode: encode, value: {"@path": $.properties}}}
          event_source_url: {"@path": {"@template": "$.properties.products.{{event}}"}}
          opt_out: {"@path": $.properties.revenue}
          data_processing_options: {"@path": $.properties.flag}
          data_processing_options_country: {"@path": $.properties.revenue}
          action_source: {"@case": {operator: lower, value: {"@path": $.properties.source}}}
          messaging_channel: {"@if": {blank: {"@path": $.event}, then: {"@path": $.event}, else: {"@path": $.userId}}}
          app_data_field: {"@path": $.properties.app}
          test_event_code: {"@path": $.properties.flag}
          original_event_data: {"@omit": {object: {"@path": $.properties}, keys: [app]}}
          custom_data:
            "@merge":
              direction: left
              objects:
                - {"@flatten": {value: {"@path": $}, separator: {"@path": $.event}, omitArrays: true}}
                - {"@json": {mode: decode, value: {"@path": $.event}}}
                - {"@transform": {apply: {a: {"@path": $.properties}}, mapping: {b: {"@path": $.a.revenue.length}}}}
                - c: {"@liquid": "{{ properties.revenue | times: 2 | modulo: event }}{{ timestamp | date: '%Y' }}"}
                - {d: {"@replace": {pattern: a, replacement: b, value: {"@path": $.event}}}}
                - {e: {"@excludeWhenNull": {"@path": $.properties}}}
                - {f: {"@words": {value: {"@path": $.event}, take: rest}}}
                - {g: {"@arrayPath": [$.properties.products, {x: {"@path": $.id}, y: {"@template": "{{price}}"}}]}}
          user_data: {"@path": $.context.traits}
  - name: stores
    type: facebook_offline_conversions
    access_token: env:TOKEN
    events: {Order Completed: ["555", "556"]}
  - name: archive
    type: facebook_offline_conversions
    access_token: env:TOKEN
    wire: offline_events
    events: {Order Completed: "999"}
"""
EVERYTHING_WAY = _Preview(job(EVERYTHING), NOW, Counter())  # compiled once
TRAITS = {
    "email": "jane@example.com",
    "phone": "+49 30 1234567",
    "firstName": "Jane",
    "lastName": "Doe",
    "gender": "f",
    "city": "Berlin",
    "state": "BE",
    "zip": "10115",
    "country": "DE",
    "dateOfBirth": "1990-01-31",
    "leadID": 5,
    "externalId": "u1",
    "fbc": "fb.1.1.abc",
    "birthday": "1990-01-31",
    "address": {"street": "x", "city": "Berlin"},
}
RICH = event(
    anonymousId="a-1",
    traits=TRAITS,
    context={"ip": "203.0.113.7", "userAgent": BROWSER, "page": {"url": "https://shop.example/?fbclid=abc"},
             "traits": TRAITS},
    properties={
        "revenue": 25.5, "total": 3, "currency": "USD", "order_id": "o1", "query": "q", "flag": True, "source": "app",
        "products": [{"product_id": "mug", "id": "1", "quantity": 2, "price": 12.45, "name": "Mug"}],
        "app": {"use_app_data": True, "version": "a2", "osVersion": "1"},
    },
)  # fmt: skip


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(event=edited(st.just(RICH), "email", "products", "length"))
def test_whatever_an_event_holds_no_code_of_its_outcomes_is_a_defects(event: Any) -> None:
    """`internal_error` is for defects: all that an event can bring about has a code that says what it is."""
    outcomes = list(EVERYTHING_WAY.outcomes(json_bytes(event)))
    assert outcomes
    assert [outcome for outcome in outcomes if outcome.get("code") == "internal_error"] == []


def test_a_trigger_that_fails_costs_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_event: Any) -> list[str]:
        raise KeyError("jane@example.com")

    monkeypatch.setattr(Engine, "match", staticmethod(fail))
    (outcome,) = preview(job(), [json.dumps(event()).encode()], NOW)
    assert outcome == {
        "line": 1,
        "status": "rejected",
        "stage": "filter",
        "code": "internal_error",
        "message": "capybeam failed on this event; this is a bug in capybeam. (KeyError)",
    }
