"""Events by Segment's way and by the imported job's: what differs is counted, with its rule and a masked example."""

from __future__ import annotations

import io
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.segment.comparison import MOST_FIELDS, Comparison
from capybeam.pipeline.segment.comparison_display import as_json, show
from capybeam.pipeline.segment.exports import read_export
from capybeam.pipeline.segment.importing import import_segment
from tests.pipeline.segment.exports import TRACK, answer, subscription

USER_DATA = (
    "email phone gender dateOfBirth lastName firstName city state zip country externalId client_ip_address"
    " client_user_agent fbc fbp leadID madId"
).split()
FIELDS = (
    "action_source event_time event_id event_source_url currency value content_ids content_type contents custom_data"
    " data_processing_options data_processing_options_country data_processing_options_state app_data_field"
    " test_event_code num_items"
).split()
MAPPING: dict[str, Any] = {
    **{name: {"@path": f"$.properties.{name}"} for name in FIELDS},
    "user_data": {name: {"@path": f"$.traits.{name}"} for name in USER_DATA},
}
TIME = "2026-11-20T10:00:00Z"
FORM = ("event_time", "form", "event_time")  # of each event whose time is a text


def comparison_of(*subscriptions: dict[str, Any]) -> Comparison:
    imported = import_segment(read_export(answer(*subscriptions), "a.json"))
    return Comparison(parse_job(imported.text), imported.subscriptions)


def event(properties: dict[str, Any] | None = None, traits: dict[str, Any] | None = None, **root: Any) -> bytes:
    """An event with nothing remarkable but what is given; None leaves a property out."""
    plain = {
        "action_source": "email",
        "event_time": TIME,
        "event_id": "m1",
        "currency": "USD",
        "value": 10,
    }
    mapped = {name: value for name, value in {**plain, **(properties or {})}.items() if value is not None}
    whole = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m1",
        "properties": mapped,
        "traits": {"email": "jane@example.com"} if traits is None else traits,
        **root,
    }
    return json.dumps(whole).encode()


def compared(row: bytes, **changes: Any) -> dict[str, Any]:
    """What is found for one event and one subscription."""
    comparison = comparison_of(subscription(**{"settings": MAPPING, "name": "Orders", **changes}))
    comparison.add(row)
    (found,) = as_json(comparison, ())["subscriptions"]
    return dict(found)


def found_in(row: bytes, **changes: Any) -> set[tuple[str, str, str]]:
    differences = compared(row, **changes)["differences"]
    return {(each["field"], each["kind"], each["rule"]) for each in differences} - {FORM}


UNREMARKABLE = event({"event_time": "1795168800"})


def test_an_event_that_comes_out_alike_has_no_difference_but_the_form_of_its_time() -> None:
    assert compared(UNREMARKABLE) == {
        "destination": "meta",
        "subscription": "Orders",
        "events": 1,
        "both": 1,
        "only_capybeam": 0,
        "only_segment": 0,
        "neither": 0,
        "differences": [
            {
                "field": "event_time",
                "kind": "form",
                "count": 1,
                "share": 1.0,
                "rule": "event_time",
                "reason": "The same moment: Segment passes the text on, here it is Unix seconds.",
                "docs": "docs/normalisation.md#from-event-to-request",
                "example": {"capybeam": 1795168800, "segment": "9999999999"},
            }
        ],
        "notes": [],
    }


URL = "https://shop.example/"
TRAITS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "email": ({"email": "Jane <jane@example.com>"}, "em", "value", "emails"),
    "email in no form": ({"email": "jane at example", "phone": "16505551212"}, "em", "only_segment", "nothing left"),
    "phone": ({"phone": "+44 (0)161 496 0000"}, "ph", "value", "phone"),
    "name": ({"email": "j@x.co", "lastName": "O'Connor"}, "ln", "value", "names"),
    "placeholder": ({"email": "j@x.co", "firstName": "undefined"}, "fn", "only_segment", "nothing left"),
    "accents": ({"email": "j@x.co", "lastName": "Bu\u0308low"}, "ln", "value", "composed form"),
    "gender": ({"email": "j@x.co", "gender": "woman"}, "ge", "only_capybeam", "genders"),
    "birthday": ({"email": "j@x.co", "dateOfBirth": "2/16/1997"}, "db", "value", "dates"),
    "city": ({"email": "j@x.co", "city": "St. John's"}, "ct", "value", "places"),
    "state": ({"email": "j@x.co", "state": "Ontario"}, "st", "value", "places"),
    "zip": ({"email": "j@x.co", "zip": "94103-1234"}, "zp", "value", "places"),
    "country": ({"email": "j@x.co", "country": "GBR"}, "country", "value", "countries"),
    "country by a name": ({"email": "j@x.co", "country": "South Korea"}, "country", "unknown", "country names"),
    "MD5": ({"email": "0123456789ABCDEF" * 2}, "em", "value", "already hashed"),
    "with a suffix": ({"email": f"{'0123456789abcdef' * 4}.AQ"}, "em", "value", "already hashed"),
    "repeated": ({"externalId": ["u1", "U1"]}, "external_id", "value", "repeats"),
    "one of two": ({"externalId": ["u1", "undefined"]}, "external_id", "value", "nothing left"),
    "address": ({"email": "j@x.co", "client_ip_address": "203.0.113.7:80"}, "client_ip_address", "value",
                "client_ip_address"),
    "private address": ({"email": "j@x.co", "client_ip_address": "10.0.0.1"}, "client_ip_address", "only_segment",
                        "client_ip_address"),
    "agent": ({"email": "j@x.co", "client_user_agent": " UA "}, "client_user_agent", "value", "trimmed"),
    "no device": ({"email": "j@x.co", "madId": "undefined"}, "madid", "only_segment", "nothing left"),
    "null ID": ({"email": "j@x.co", "leadID": None}, "lead_id", "only_segment", "null ids"),
    "click ID": ({"email": "j@x.co", "fbc": "IwAR2F4"}, "fbc", "value", "fbc"),
    "old click": ({"email": "j@x.co", "fbc": "fb.1.1600000000000.IwAR2F4"}, "fbc", "only_segment", "fbc"),
    "no click": ({"email": "j@x.co", "fbc": "none"}, "fbc", "only_segment", "malformed fbc"),
    "no browser": ({"email": "j@x.co", "fbp": "1098115397"}, "fbp", "only_segment", "malformed fbc"),
}  # fmt: skip


@pytest.mark.parametrize(("traits", "key", "kind", "rule"), TRAITS.values(), ids=TRAITS.keys())
def test_a_key_of_user_data_differs_by_its_rule(traits: dict[str, Any], key: str, kind: str, rule: str) -> None:
    assert found_in(event(traits=traits)) == {(f"user_data.{key}", kind, rule)}


PROPERTIES: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "no event_id": ({"event_id": None}, ("event_id", "only_capybeam", "event_id")),
    "event_id that is nothing": ({"event_id": "null"}, ("event_id", "value", "event_id")),
    "email as event_id": ({"event_id": "jim@example.com"}, ("event_id", "value", "personal texts")),
    "no URL": ({"event_source_url": "app://x"}, ("event_source_url", "only_segment", "event_source_url")),
    "blanks": ({"event_source_url": f" {URL}"}, ("event_source_url", "value", "event_source_url")),
    "person in a URL": ({"event_source_url": f"{URL}?email=a&b=1"}, ("event_source_url", "value", "personal texts")),
    "click in a URL": ({"event_source_url": f"{URL}?fbclid=IwAR2F4"}, ("user_data.fbc", "only_capybeam", "fbc")),
    "personal key": ({"custom_data": {"email": "x"}}, ("custom_data.email", "only_segment", "personal keys")),
    "email in a text": ({"custom_data": {"note": "a@b.co"}}, ("custom_data.note", "only_segment", "personal texts")),
    "null price": (
        {"contents": [{"id": "1", "item_price": None}]},
        ("custom_data.contents", "value", "null numbers"),
    ),
    "no contents": ({"contents": []}, ("custom_data.contents", "only_segment", "empty contents")),
    "brand": ({"contents": [{"id": "1", "brand": "B"}]}, ("custom_data.contents", "value", "more fields")),
    "empty id": ({"content_ids": ["a", ""]}, ("custom_data.content_ids", "value", "nothing left")),
    "blank in a code": ({"test_event_code": " T1"}, ("test_event_code", "value", "trimmed")),
    "state alone": (
        {"data_processing_options": True, "data_processing_options_state": 1000},
        ("data_processing_options_country", "value", "ldu country"),
    ),
}


@pytest.mark.parametrize(("properties", "expected"), PROPERTIES.values(), ids=PROPERTIES.keys())
def test_a_field_differs_by_its_rule(properties: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert found_in(event(properties)) == {expected}


ONE_SENDS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str, str]] = {
    "currency": ({"currency": "usd"}, {}, "capybeam", "currency", ""),
    "no id": ({"contents": [{"quantity": 1}]}, {}, "capybeam", "contents without an id", ""),
    "two emails": ({}, {"email": ["a@x.co", "b@x.co"]}, "capybeam", "several values", ""),
    "an object": ({}, {"email": "j@x.co", "city": {}}, "capybeam", "unusable value", ""),
    "a state": ({"data_processing_options_state": 1013}, {}, "capybeam", "ldu states", ""),
    "nobody": ({}, {"email": ""}, "segment", "no user_data", "no_match_keys"),
    "anybody": ({}, {"gender": "f"}, "segment", "no user_data", "match_keys_too_broad"),
    "time": ({"event_time": "soon"}, {}, "segment", "unreadable time", "invalid_event_time"),
    "number": ({"value": "Infinity"}, {}, "segment", "numbers", "invalid_field"),
    "content_type": ({"content_type": "mug"}, {}, "segment", "content_type", "invalid_content_type"),
    "app": ({"action_source": "app"}, {}, "segment", "app events", "missing_app_data"),
    "user agent": (
        {"action_source": "website"},
        {"email": "j@x.co", "client_user_agent": ""},
        "segment",
        "rejected",
        "missing_client_user_agent",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("properties", "traits", "sender", "rule", "code"), ONE_SENDS.values(), ids=ONE_SENDS.keys())
def test_an_event_that_only_one_of_the_two_sends_is_counted_with_its_reason(
    properties: dict[str, Any], traits: dict[str, Any], sender: str, rule: str, code: str
) -> None:
    found = compared(event(properties, traits or None))

    assert (found["both"], found["neither"], found[f"only_{sender}"]) == (0, 0, 1)
    (difference,) = found["differences"]
    assert (difference["field"], difference["kind"], difference["rule"], difference.get("code", "")) == (
        "(the event)",
        f"event_only_{sender}",
        rule,
        code,
    )


def test_what_both_refuse_is_no_difference() -> None:
    found = compared(event({"currency": "FAKE"}))

    assert (found["neither"], found["differences"]) == (1, [])


def test_a_purchase_of_the_custom_action_without_a_currency_is_sent_by_segment_only() -> None:
    mapping = {name: MAPPING[name] for name in ("action_source", "event_time", "user_data")}
    custom = {"actionSlug": "custom", "settings": {**mapping, "event_name": "Purchase"}}

    assert found_in(event(), **custom) == {("(the event)", "event_only_segment", "purchase")}


def test_a_currency_of_custom_data_is_lost_at_segment_where_the_field_is_not_mapped() -> None:
    mapping = {name: node for name, node in MAPPING.items() if name not in ("currency", "value")}

    assert found_in(
        event({"custom_data": {"currency": "USD", "value": 5}}), actionSlug="viewContent", settings=mapping
    ) == {
        ("custom_data.currency", "only_capybeam", "custom_data"),
        ("custom_data.value", "only_capybeam", "custom_data"),
    }


def test_a_page_views_custom_data_and_an_order_id_are_sent_here_only() -> None:
    page = {name: MAPPING[name] for name in ("action_source", "event_time", "event_id", "user_data", "custom_data")}
    order = {**MAPPING, "order_id": {"@path": "$.properties.order_id"}}

    assert found_in(event({"custom_data": {"plan": "pro"}}), actionSlug="pageView", settings=page) == {
        ("custom_data.plan", "only_capybeam", "pageView")
    }
    assert found_in(event({"order_id": "9"}), settings=order) == {("custom_data.order_id", "only_capybeam", "order_id")}
    assert found_in(event({"order_id": "9"}), settings=order, actionSlug="purchase2") == set()


def test_the_traits_of_a_group_call_are_a_persons_at_segment() -> None:
    assert found_in(
        event(traits={"externalId": "u1", "email": "info@example.com"}, type="group"),
        trigger='event = "Order Completed"',
    ) == {("user_data.em", "only_segment", "group")}


@pytest.mark.parametrize(
    ("trigger", "kind", "rule"),
    [
        (f'name = "x" or {TRACK}', "event_only_capybeam", "and, or"),
        ('type = "track" and ((event = "Order Completed"))', "event_only_capybeam", "parentheses"),
        ('type = "track" and not event = "Order Completed"', "event_only_segment", "not"),
        ('match(event, "xCompleted")', "event_only_segment", "match"),
    ],
)
def test_a_trigger_that_segment_reads_otherwise_is_the_reason(trigger: str, kind: str, rule: str) -> None:
    assert found_in(event(), trigger=trigger) == {("(the event)", kind, rule)}


def test_a_directive_that_segment_does_not_have_fails_there() -> None:
    """It cannot be in an export; what `check` knows is then only known here."""
    unknown = {**MAPPING, "content_name": {"@nope": 1}}

    assert found_in(event(), settings=unknown) == {("(the event)", "event_only_capybeam", "directive")}


def test_an_event_is_judged_as_at_the_time_at_which_segment_received_it() -> None:
    late = event(receivedAt="2026-11-28T10:00:00Z")

    assert found_in(event({"event_time": "2019-01-01"})) == set()
    assert found_in(late) == {("(the event)", "event_only_segment", "age")}


def test_what_the_export_does_not_say_is_not_guessed_at() -> None:
    entities = {"@path": "$.__segment_entities.users.email"}
    mapping = {
        **MAPPING,
        "content_name": {"@template": "{{__segment_entities.a.b}}"},
        "user_data": {**MAPPING["user_data"], "lastName": entities},
        "custom_data": {"@flatten": {"value": {"@path": "$.properties"}, "separator": "_"}},
    }

    named = {"users": {"email": "O'Connor"}}  # which would differ
    found = compared(event({"content_name": "x"}, __segment_entities=named), settings=mapping)

    assert found["notes"] == [
        "not compared, as the export alone does not say what Segment sends: content_name, user_data.ln"
        " (Terraform's expressions, or __segment_entities)",
        "@flatten: rendered for Segment as it is here; docs/mapping.md#coming-from-segment says where Segment's engine"
        " does otherwise",
    ]
    assert {each["field"] for each in found["differences"]} == {"event_time"}


def test_differences_are_counted_over_all_events_those_of_whole_events_first() -> None:
    comparison = comparison_of(subscription(settings=MAPPING, name="Orders"), subscription(settings=MAPPING, name="B"))
    for row in (event(), event({"currency": "usd"}), event(traits={"phone": "0044 161 496 0000"}), b"nonsense"):
        comparison.add(row)
    comparison.add(event(type="page"))

    shown = as_json(comparison, ("Bad",))

    assert {name: shown[name] for name in ("events", "unreadable", "not_compared")} == {
        "events": 4,
        "unreadable": {"invalid_json": 1},
        "not_compared": ["Bad"],
    }
    assert [each["subscription"] for each in shown["subscriptions"]] == ["Orders", "B"]
    assert [(each["field"], each["count"], each["share"]) for each in shown["subscriptions"][0]["differences"]] == [
        ("(the event)", 1, 0.3333),
        ("user_data.ph", 1, 0.3333),
        ("event_time", 2, 0.6667),
    ]


PERSON = {
    "email": "Jane.Quxley@example.com,",
    "phone": "0049 30 1234567",
    "lastName": "O'Quxley",
    "city": "Quxburg-City",
    "externalId": ["qux-4711", "qux-4711"],
    "client_ip_address": "203.0.113.77:80",
}
SECRETS = ("quxley", "1234567", "quxburg", "4711", "203.0.113")


def test_no_value_of_a_person_is_shown() -> None:
    data = {"note": "call Quxley 1234567", "jane.quxley@example.com": 1, "o'quxley": 2, "email": "quxley"}
    row = event({"custom_data": data, "event_source_url": f" {URL}quxley?email=quxley"}, PERSON)
    comparison = comparison_of(subscription(settings=MAPPING))
    comparison.add(row)
    console = Console(record=True, width=400, file=io.StringIO())
    show(comparison, (), console)

    for text in (console.export_text(), orjson.dumps(as_json(comparison, ())).decode()):
        assert "user_data.ph" in text
        assert [secret for secret in SECRETS if secret in text.lower()] == []


def test_memory_does_not_grow_with_the_keys_of_custom_data() -> None:
    comparison = comparison_of(subscription(settings=MAPPING))
    for number in range(3 * MOST_FIELDS):
        key = "email" + "".join(chr(97 + int(digit)) for digit in str(number))
        comparison.add(event({"custom_data": {f"{key}_email": "x", str(number): "a@b.co"}}))

    (found,) = as_json(comparison, ())["subscriptions"]
    assert found["events"] == 3 * MOST_FIELDS
    assert len(found["differences"]) <= MOST_FIELDS + 2
    assert "custom_data.*" in {each["field"] for each in found["differences"]}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", " x ", "undefined", "12", "Infinity", "a@b.co", "usd", "é", "a" * 64, TIME, URL])
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "a", "email"]), inner, max_size=2)
    ),
    max_leaves=4,
)
EVERY = (
    subscription(settings=MAPPING, name="Orders"),
    subscription(settings={**MAPPING, "event_name": {"@path": "$.event"}}, actionSlug="custom", name="Any"),
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3),
    st.dictionaries(st.sampled_from(USER_DATA), VALUES, max_size=3),
)
def test_every_event_is_compared_and_every_difference_has_a_rule(
    properties: dict[str, Any], traits: dict[str, Any]
) -> None:
    compared = comparison_of(*EVERY)
    compared.add(event(properties, {"email": "jane@example.com", **traits}))

    shown = as_json(compared, ())
    orjson.dumps(shown)
    for each in shown["subscriptions"]:
        assert each["events"] == each["both"] + each["only_capybeam"] + each["only_segment"] + each["neither"]
        assert [found for found in each["differences"] if found["rule"] == "unexplained"] == []
