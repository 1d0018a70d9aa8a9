"""Rows of Segment's warehouse as text and JSON, from any store → the events that were sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.pipeline.sources.warehouse.columns import Column
from capybeam.pipeline.sources.warehouse.layout import layout_of
from capybeam.transforms.core.events import UnreadableRow
from capybeam.transforms.core.warehouse_rows import (
    KINDS,
    TABLES,
    canonical,
    event_of,
    id_of,
    of_events,
    paths_of,
    row_of_segments,
    snake_case,
)

Json = dict[str, Any]

AT = "2026-11-26 10:00:00.000 +0000"
ROW: Json = {
    "id": "o-1",
    "anonymous_id": None,
    "user_id": "u-1",
    "received_at": AT,
    "event": "order_completed",
    "event_text": "Order Completed",
    "timestamp": AT,
    "revenue": 24.0,
    "currency": "USD",
    "products": '[{"product_id":"mug"}]',
    "context_ip": "192.0.2.1",
    "context_traits_email": "jane@example.com",
    "context_traits_address_postal_code": "10115",
    "uuid_ts": AT,
    "_fivetran_synced": AT,
}
EVENT: Json = {
    "type": "track",
    "messageId": "o-1",
    "userId": "u-1",
    "receivedAt": AT,
    "event": "Order Completed",
    "timestamp": AT,
    "properties": {"revenue": 24, "currency": "USD", "products": [{"product_id": "mug"}]},
    "context": {"ip": "192.0.2.1", "traits": {"email": "jane@example.com", "address": {"postalCode": "10115"}}},
}


def capitals(row: Json) -> Json:
    return {name.upper(): value for name, value in row.items()}


# --- from any store ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [ROW, capitals(ROW), {name: value for name, value in ROW.items() if value is not None}])
def test_a_row_is_the_event_that_was_sent_in_whatever_case_its_columns_are(row: Json) -> None:
    assert row_of_segments(row) == "certain"
    assert event_of(row) == EVENT


def test_the_row_itself_stays_as_it_is() -> None:
    row = {**ROW, "context": {"app": {"name": "shop"}}, "properties": {"plan": "pro"}}
    before = repr(row)

    assert event_of(row) == {
        **EVENT,
        "context": {**EVENT["context"], "app": {"name": "shop"}},
        "properties": {**EVENT["properties"], "plan": "pro"},
    }
    assert repr(row) == before


@pytest.mark.parametrize("at", [1795687200123456, "1795687200123456", AT])
def test_times_are_left_to_the_mapping(at: Any) -> None:
    event = event_of({**ROW, "timestamp": at})
    assert event is not None
    assert event["timestamp"] == at


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"EVENT": "order_completed", "EVENT_TEXT": None}, {"type": "track", "event": "order_completed"}),
        ({"type": "track", "event": "sold"}, {"type": "track", "event": "sold"}),
        ({"type": "page", "name": "Home"}, {"type": "page", "name": "Home", "properties": {"name": "Home"}}),
        ({"type": "gift", "event_text": "Sold"}, {"type": "track", "event": "Sold", "properties": {"type": "gift"}}),
        ({"type": "identify", "first_name": "Jane"}, {"type": "identify", "traits": {"firstName": "Jane"}}),
        ({"type": "group", "group_id": "g"}, {"type": "group", "groupId": "g"}),
        ({"type": "click"}, None),
        ({"url": "https://shop.example"}, None),
        ({}, None),
    ],
)
def test_a_row_tells_of_which_call_it_is(row: Json, expected: Json | None) -> None:
    assert event_of(row) == expected


def test_a_table_tells_of_which_calls_its_rows_are() -> None:
    assert event_of({"url": "u", "type": "x"}, "page") == {"type": "page", "properties": {"url": "u", "type": "x"}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"properties": '{"a":1}', "b": 2}, {"properties": {"a": 1, "b": 2}}),
        ({"properties": '{"a":1'}, {"properties": {"properties": '{"a":1'}}),
        ({"properties": "text"}, {"properties": {"properties": "text"}}),
        ({"context": {"ip": "1"}, "context_ip": "2"}, {"context": {"ip": "2"}}),
        ({"context": "{}", "properties": {}}, {}),
        ({"context_page": "text", "context_page_url": "u"}, {"context": {"page": {"url": "u"}}}),
        ({"context_page_url": "u", "context_page": "text"}, {"context": {"page": {"url": "u"}}}),
        ({"context_page_url": "u", "context_page": {"path": "/"}}, {"context": {"page": {"url": "u", "path": "/"}}}),
        ({"list": "[1", "tags": "[1]", "title": "[1]"}, {"properties": {"list": "[1", "tags": [1], "title": "[1]"}}),
        ({"ID": "a", "id": "b"}, {"messageId": "b", "properties": {"ID": "a"}}),
        ({"id": "a", "message_id": "b"}, {"messageId": "a", "properties": {"message_id": "b"}}),
        ({"id": "row-7", "messageId": "a"}, {"messageId": "a", "properties": {"id": "row-7"}}),
    ],
)
def test_a_value_goes_where_it_belongs(row: Json, expected: Json) -> None:
    assert event_of({"event": "Sold", **row}) == {"type": "track", "event": "Sold", **expected}


# --- what a transport says --------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_message", [{"messageId": "own"}, {"id": "own"}, {}])
@pytest.mark.parametrize("case", [str, str.upper])
def test_the_id_and_the_time_of_a_message_are_not_the_events(of_message: Json, case: Any) -> None:
    message = {"subscription_name": "s", "message_id": "77", "publish_time": AT, "attributes": "{}"}
    row = {case(name): value for name, value in message.items()} | {"event": "Sold", **of_message}

    expected = {"type": "track", "event": "Sold"} | ({"messageId": "own"} if of_message else {})
    assert event_of(row) == expected


def test_a_column_that_is_called_like_one_of_them_alone_is_the_events_own() -> None:
    assert of_events(["message_id", "attributes", "event"]) == ["message_id", "attributes", "event"]
    assert of_events(["publish_time", "event"]) == ["publish_time", "event"]


# --- which rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "certainty"),
    [
        ("id received_at event_text", "certain"),
        ("timestamp context_ip", "certain"),
        ("ID RECEIVED_AT CONTEXT_IP", "certain"),
        ("id timestamp event anonymous_id", "likely"),
        ("message_id timestamp event revenue", "likely"),
        ("ID TIMESTAMP EVENT REVENUE", "likely"),
        ("id timestamp event revenue", None),
        ("event timestamp user_id revenue", None),
        ("type event messageId timestamp anonymous_id", None),
        ("type timestamp userId context_ip", None),
        ("id event_text context_ip", None),
        ("message_id publish_time data", None),
        ("Id Timestamp Event Anonymous_Id", None),
        ("", None),
    ],
)
def test_a_row_is_known_by_its_columns(names: str, certainty: str | None) -> None:
    assert row_of_segments(names.split()) == certainty


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("firstName", "first_name"),
        ("sample 2 Text", "sample_2_text"),
        ("SAMPLE", "sample"),
        ("$a%", "a"),
        ("a__b", "a_b"),
    ],
)
def test_names_are_spelt_as_warehouses_do(name: str, snake: str) -> None:
    assert snake_case(name) == snake


@pytest.mark.parametrize(("name", "spelt"), [("CONTEXT_IP", "context_ip"), ("messageId", "messageId"), ("_", "_")])
def test_capitals_alone_are_another_stores(name: str, spelt: str) -> None:
    assert canonical(name) == spelt


def test_a_long_name_costs_what_it_is_long() -> None:
    name = "context_" + "_" * 200_000

    assert paths_of(name, "track") == (("context", name.removeprefix("context_")),)


# --- as from BigQuery -------------------------------------------------------------------------------------------

_NAMES = st.sampled_from(
    "id message_id messageId anonymous_id user_id userId group_id timestamp sent_at event event_text type name category"
    " properties traits context context_ip context_page context_page_url context_traits context_traits_email"
    " context_traits_address context_traits_address_city first_name address_city revenue products uuid __v".split()
)
_TEXTS = st.none() | st.sampled_from(
    ["", "a", "track", "page", "group", "[1]", "[1", '{"a":1}', '{"city":{"b":[]}}', "{}"]
)


@given(st.dictionaries(_NAMES, _TEXTS), st.sampled_from(["", "pages", "identifies", "groups"]))
def test_text_is_the_event_that_the_same_table_in_bigquery_gives(row: Mapping[str, Any], table: str) -> None:
    whole = {"timestamp": None, "id": None, "context_ip": None, "type": None, **row}
    found = layout_of([Column(name) for name in whole], table).compile()(whole)

    expected = event_of(whole, TABLES.get(table))
    if expected is None:  # a table's columns say what they can, a row of text only what is in it
        assert isinstance(found, UnreadableRow) or "event" not in found
    else:
        assert found == expected


def test_an_id_is_looked_for_by_its_own_name_first() -> None:
    assert (id_of(["message_id", "id"]), id_of(["id", "messageId"]), id_of(["x"])) == ("id", "messageId", "")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_call_has_rows(kind: str) -> None:
    assert event_of({"type": kind, "id": "m"}) == {"type": kind, "messageId": "m"}
