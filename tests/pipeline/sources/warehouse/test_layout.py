"""Rows of warehouse tables → the events that were sent."""

from __future__ import annotations

import datetime as dt
import pickle
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import rows
from benchmarks.events import events
from capybeam.pipeline.sources import NoEvents
from capybeam.pipeline.sources.warehouse.columns import Column
from capybeam.pipeline.sources.warehouse.converters import converter_of
from capybeam.pipeline.sources.warehouse.layout import EventColumns, JsonColumn, layout_of
from capybeam.transforms.core.events import UnreadableRow
from capybeam.transforms.core.warehouse_rows import KINDS, paths_of, snake_case

UTC = dt.timezone.utc
AT = dt.datetime(2026, 11, 22, 17, 16, 43, 123000, UTC)


def columns(text: str) -> list[Column]:
    """Columns from "name:TYPE name:TYPE[] name"; STRING by default."""
    found = []
    for word in text.split():
        name, _, type_ = word.partition(":")
        found.append(Column(name, type_.removesuffix("[]") or "STRING", type_.endswith("[]")))
    return found


COMMON = (
    "id anonymous_id user_id timestamp:TIMESTAMP original_timestamp:TIMESTAMP sent_at:TIMESTAMP received_at:TIMESTAMP"
)
BOOKKEEPING = "uuid uuid_ts:TIMESTAMP loaded_at:TIMESTAMP __version"
TRACK = f"{COMMON} {BOOKKEEPING} event event_text context_ip"


def event(table: str, schema: str, row: Mapping[str, Any]) -> Any:
    """The event of a row that has these values and null in all other columns."""
    layout = layout_of(columns(schema), table)
    return layout.compile()({**dict.fromkeys(layout.columns), **row})


# --- events -----------------------------------------------------------------------------------------------------


def test_an_order_comes_back_as_it_was_sent() -> None:
    schema = (
        f"{TRACK} context_user_agent context_locale context_library_name context_page_url context_campaign_source"
        " context_traits_email context_traits_first_name context_traits_address_postal_code context_traits_loyalty_tier"
        " context_device_advertising_id context_app_rating order_id revenue:FLOAT total:NUMERIC tax:FLOAT currency"
        " first_order:BOOLEAN items:INTEGER products content_ids:STRING[] delivery_date:DATE unused"
    )
    row = {
        "id": "m-1",
        "anonymous_id": "a-1",
        "user_id": "u-1",
        "event": "order_completed",
        "event_text": "Order Completed",
        "timestamp": AT,
        "original_timestamp": AT.replace(microsecond=123456),
        "sent_at": AT.replace(microsecond=0),
        "received_at": AT.replace(microsecond=900000),
        "context_ip": "192.0.2.7",
        "context_user_agent": "Mozilla/5.0",
        "context_locale": "en-US",
        "context_library_name": "analytics.js",
        "context_page_url": "https://shop.example/thanks",
        "context_campaign_source": "mail",
        "context_traits_email": "jane@example.com",
        "context_traits_first_name": "Jane",
        "context_traits_address_postal_code": "94035",
        "context_traits_loyalty_tier": "gold",
        "context_device_advertising_id": "7A3C",
        "context_app_rating": "5",
        "order_id": "1001",
        "revenue": 24.9,
        "total": Decimal("29.80"),
        "tax": 0.0,
        "currency": "USD",
        "first_order": False,
        "items": 2,
        "products": '[{"product_id":"mug","quantity":2,"price":12.45}]',
        "content_ids": ["mug"],
        "delivery_date": dt.date(2026, 11, 24),
    }
    assert event("order_completed", schema, row) == {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m-1",
        "anonymousId": "a-1",
        "userId": "u-1",
        "timestamp": "2026-11-22T17:16:43.123Z",
        "originalTimestamp": "2026-11-22T17:16:43.123456Z",
        "sentAt": "2026-11-22T17:16:43.000Z",
        "receivedAt": "2026-11-22T17:16:43.900Z",
        "context": {
            "ip": "192.0.2.7",
            "userAgent": "Mozilla/5.0",
            "locale": "en-US",
            "library": {"name": "analytics.js"},
            "page": {"url": "https://shop.example/thanks"},
            "campaign": {"source": "mail"},
            "traits": {
                "email": "jane@example.com",
                "firstName": "Jane",
                "address": {"postalCode": "94035"},
                "loyalty_tier": "gold",
            },
            "device": {"advertisingId": "7A3C"},
            "app": {"rating": "5"},
        },
        "properties": {
            "order_id": "1001",
            "revenue": 24.9,
            "total": 29.8,
            "tax": 0,
            "currency": "USD",
            "first_order": False,
            "items": 2,
            "products": [{"product_id": "mug", "quantity": 2, "price": 12.45}],
            "content_ids": ["mug"],
            "delivery_date": "2026-11-24",
        },
    }


@pytest.mark.parametrize(
    ("table", "schema", "row", "expected"),
    [
        (
            "pages",
            "name category url path title search referrer",
            {"name": "Home", "category": "Shop", "url": "https://shop.example/", "title": "Mugs"},
            {
                "type": "page",
                "name": "Home",
                "category": "Shop",
                "properties": {"name": "Home", "category": "Shop", "url": "https://shop.example/", "title": "Mugs"},
            },
        ),
        ("pages_view", "url", {"url": "/"}, {"type": "page", "properties": {"url": "/"}}),
        (
            "screens",
            "name level:INTEGER",
            {"name": "Cart", "level": 3},
            {"type": "screen", "name": "Cart", "properties": {"name": "Cart", "level": 3}},
        ),
        (
            "identifies",
            "email last_name created_at:TIMESTAMP address_city address_postal_code company_name plan_tier",
            {
                "email": "jane@example.com",
                "last_name": "Doe",
                "created_at": AT,
                "address_city": "Paris",
                "address_postal_code": "75001",
                "company_name": "Acme",
                "plan_tier": "pro",
            },
            {
                "type": "identify",
                "traits": {
                    "email": "jane@example.com",
                    "lastName": "Doe",
                    "createdAt": "2026-11-22T17:16:43.123Z",
                    "address": {"city": "Paris", "postalCode": "75001"},
                    "company": {"name": "Acme"},
                    "plan_tier": "pro",
                },
            },
        ),
        (
            "groups",
            "group_id name",
            {"group_id": "g-1", "name": "Acme"},
            {"type": "group", "groupId": "g-1", "traits": {"name": "Acme"}},
        ),
        ("aliases", "previous_id", {"previous_id": "u-0"}, {"type": "alias", "previousId": "u-0"}),
        ("tracks", "event event_text", {"event_text": "Signed Up"}, {"type": "track", "event": "Signed Up"}),
        ("tracks", "event event_text", {"event": "signed_up"}, {"type": "track", "event": "signed_up"}),
        ("", "event", {"event": "Signed Up"}, {"type": "track", "event": "Signed Up"}),
    ],
)
def test_each_kind_of_table_has_its_kind_of_events(
    table: str, schema: str, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert event(table, f"{COMMON} {schema}", {"id": "m", **row}) == {"messageId": "m", **expected}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("page", {"type": "page", "properties": {"plan": "pro"}}),
        ("gift", {"type": "track", "event": "Sold", "properties": {"plan": "pro", "type": "gift"}}),
        (None, {"type": "track", "event": "Sold", "properties": {"plan": "pro"}}),
    ],
)
def test_a_column_called_type_tells_the_kind_of_a_row_or_is_a_property(
    value: str | None, expected: dict[str, Any]
) -> None:
    row = {"id": "m", "event_text": "Sold" if value != "page" else None, "type": value, "plan": "pro"}
    assert event("", f"{COMMON} event_text type plan", row) == {"messageId": "m", **expected}


def test_a_track_that_is_called_so_keeps_no_property_of_it() -> None:
    row = {"id": "m", "event": "Sold", "type": "track", "properties": '{"a": 1}'}
    found = event("", "id timestamp:TIMESTAMP event type properties:JSON", row)
    assert found == {"type": "track", "messageId": "m", "event": "Sold", "properties": {"a": 1}}


@pytest.mark.parametrize("kind", ["page", "group", "standard"])
def test_the_type_of_a_track_is_a_property_of_its_own(kind: str) -> None:
    row = {"id": "m", "event_text": "Sold", "type": kind}
    assert event("sold", f"{COMMON} event_text type", row) == {
        "type": "track",
        "messageId": "m",
        "event": "Sold",
        "properties": {"type": kind},
    }


@pytest.mark.parametrize("schema", ["id message_id", "message_id id"])
@pytest.mark.parametrize("value", ["campaign-9", None])
def test_what_is_called_like_an_id_beside_the_id_is_a_property(schema: str, value: str | None) -> None:
    found = event("sold", f"{schema} timestamp:TIMESTAMP event_text", {"id": "m", "message_id": value})
    properties = {} if value is None else {"properties": {"message_id": value}}
    assert found == {"type": "track", "messageId": "m", **properties}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("sold", {"type": "track", "properties": {"group_id": "g", "previous_id": "p"}}),
        ("pages", {"type": "page", "properties": {"group_id": "g", "previous_id": "p"}}),
        ("identifies", {"type": "identify", "traits": {"group_id": "g", "previous_id": "p"}}),
        ("groups", {"type": "group", "groupId": "g", "traits": {"previous_id": "p"}}),
        ("aliases", {"type": "alias", "previousId": "p", "properties": {"group_id": "g"}}),
    ],
)
def test_the_ids_of_groups_and_aliases_are_others_properties(table: str, expected: dict[str, Any]) -> None:
    schema = f"{COMMON} {'event_text' if table == 'sold' else ''} context_ip group_id previous_id"
    row = {"id": "m", "group_id": "g", "previous_id": "p"}
    assert event(table, schema, row) == {"messageId": "m", **expected}


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_says_the_kind_by_a_column(kind: str) -> None:
    assert event("", f"{COMMON} type", {"type": kind, "id": "m"}) == {"type": kind, "messageId": "m"}


def test_a_row_of_no_kind_is_unreadable() -> None:
    found = event("", f"{COMMON} type", {"type": "click", "id": "m"})
    assert isinstance(found, UnreadableRow)
    assert (found.row["type"], found.row["id"]) == ("click", "m")


def test_objects_that_are_columns_are_objects_of_the_event() -> None:
    schema = [
        *columns(f"{COMMON} event_text context_ip properties:JSON"),
        Column("context", "RECORD", False, tuple(columns("userAgent ip"))),
    ]
    layout = layout_of(schema)
    row = {
        **dict.fromkeys(layout.columns),
        "id": "m",
        "properties": '{"total": 5}',
        "context": {"userAgent": "UA", "ip": None},
        "context_ip": "192.0.2.1",
    }
    assert layout.compile()(row) == {
        "type": "track",
        "messageId": "m",
        "properties": {"total": 5},
        "context": {"userAgent": "UA", "ip": "192.0.2.1"},
    }


@pytest.mark.parametrize(
    ("type_", "values", "expected"),
    [
        ("STRING", ("1 Main St", None), "1 Main St"),
        ("STRING", (None, "Bonn"), {"city": "Bonn"}),
        ("STRING", ("1 Main St", "Bonn"), {"city": "Bonn"}),
        ("STRING", ("", None), ""),
        ("INTEGER", (0, None), 0),
        ("JSON", ('{"street": "Main St", "city": "Köln"}', "Bonn"), {"street": "Main St", "city": "Bonn"}),
        ("JSON", ('{"street": "Main St"}', None), {"street": "Main St"}),
        ("JSON", ("5", None), 5),
        ("RECORD", ({"street": "Main St"}, "Bonn"), {"street": "Main St", "city": "Bonn"}),
        ("STRING", (None, None), None),
    ],
)
@pytest.mark.parametrize("order", [1, -1], ids=["the whole first", "a part first"])
@pytest.mark.parametrize(("table", "prefix"), [("sold", "context_traits_"), ("identifies", "")])
def test_a_column_may_be_the_parent_of_another(
    table: str, prefix: str, order: int, type_: str, values: tuple[Any, Any], expected: Any
) -> None:
    whole = Column(f"{prefix}address", type_, False, (Column("street"),) if type_ == "RECORD" else ())
    pair = [whole, Column(f"{prefix}address_city")][::order]
    layout = layout_of([*columns(f"{COMMON} event_text"), *pair], table)
    row = {**dict.fromkeys(layout.columns), "id": "m", whole.name: values[0], f"{prefix}address_city": values[1]}
    traits = {} if expected is None else {"traits": {"address": expected}}
    if table == "sold":
        assert layout.compile()(row) == {"type": "track", "messageId": "m", **({"context": traits} if traits else {})}
    else:
        assert layout.compile()(row) == {"type": "identify", "messageId": "m", **traits}


@pytest.mark.parametrize("name", ["context", "traits", "integrations", "properties"])
def test_a_text_that_is_no_object_is_a_property_of_that_name(name: str) -> None:
    schema = f"{COMMON} event_text context_ip total:INTEGER {name}"
    row = {"id": "m", "context_ip": "192.0.2.1", "total": 5}
    of_text = event("sold", schema, {**row, name: "checkout"})
    of_object = event("sold", schema, {**row, name: '{"b": 1}'})
    common = {"type": "track", "messageId": "m", "context": {"ip": "192.0.2.1"}, "properties": {"total": 5}}
    assert of_text == {**common, "properties": {"total": 5, name: "checkout"}}
    assert of_object == {**common, name: {**common.get(name, {}), "b": 1}}
    assert isinstance(event("sold", schema, {**row, name: '{"b'}), UnreadableRow)


@pytest.mark.parametrize(
    "changes", [{"created": "no date"}, {"properties": "[1]"}, {"properties": "{"}, {"id": None, "properties": 5}]
)
def test_a_row_that_does_not_fit_its_schema_is_unreadable_and_kept(changes: dict[str, Any]) -> None:
    layout = layout_of(columns(f"{COMMON} event_text properties:JSON created:DATE"))
    row = {**dict.fromkeys(layout.columns), "id": "m", "timestamp": AT, **changes}
    found = layout.compile()(row)
    assert found == UnreadableRow({**row, "timestamp": str(AT)})
    assert "no date" not in repr(found)


def test_a_row_without_a_column_of_its_schema_is_unreadable() -> None:
    assert layout_of(columns(TRACK)).compile()({"id": "m"}) == UnreadableRow({"id": "m"})


def test_a_text_where_a_time_should_be_is_left_to_the_mapping() -> None:
    found = event("", f"{COMMON} event_text".replace("timestamp:TIMESTAMP", "timestamp"), {"timestamp": "soon"})
    assert found == {"type": "track", "timestamp": "soon"}


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (Column("x"), "text", "text"),
        (Column("x"), "[1, 2]", [1, 2]),
        (Column("x"), "[Sale] Mug", "[Sale] Mug"),
        (Column("x"), '{"a": 1}', '{"a": 1}'),
        (Column("x"), "", ""),
        (Column("x", "INTEGER"), 2**62, 2**62),
        (Column("x", "FLOAT"), 24.0, 24),
        (Column("x", "FLOAT64"), 24.5, 24.5),
        (Column("x", "FLOAT"), 1e300, 1e300),
        (Column("x", "NUMERIC"), Decimal("24.000000000"), 24),
        (Column("x", "NUMERIC"), Decimal("-0.5"), -0.5),
        (Column("x", "BIGNUMERIC"), Decimal(10) ** 30, 1e30),
        (Column("x", "BOOLEAN"), True, True),
        (Column("x", "TIMESTAMP"), AT, "2026-11-22T17:16:43.123Z"),
        (Column("x", "TIMESTAMP"), AT.replace(microsecond=0), "2026-11-22T17:16:43.000Z"),
        (Column("x", "TIMESTAMP"), AT.replace(microsecond=1), "2026-11-22T17:16:43.000001Z"),
        (Column("x", "DATETIME"), "2026-11-22T17:16:43", "2026-11-22T17:16:43"),
        (Column("x", "DATETIME"), AT, "2026-11-22T17:16:43.123000"),
        (Column("x", "DATE"), dt.date(2026, 11, 22), "2026-11-22"),
        (Column("x", "TIME"), dt.time(17, 16), "17:16:00"),
        (Column("x", "BYTES"), b"hi", "aGk="),
        (Column("x", "JSON"), '{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        (Column("x", "GEOGRAPHY"), "POINT(1 2)", "POINT(1 2)"),
        (Column("x", "NUMERIC", True), [Decimal("1.5"), None], [1.5, None]),
        (
            Column("x", "RECORD", True, (Column("a"), Column("n", "NUMERIC"), Column("t", "STRING", True))),
            [{"a": "q", "n": Decimal("2"), "t": []}, {"a": None, "n": None, "t": ["z"]}],
            [{"a": "q", "n": 2}, {"t": ["z"]}],
        ),
    ],
    ids=str,
)
def test_a_value_becomes_what_json_would_hold(column: Column, value: Any, expected: Any) -> None:
    found = converter_of(column)(value)
    assert (found, type(found)) == (expected, type(expected))
    row = {"id": "m", "event_text": "E", "timestamp": None, "x": value}
    assert layout_of([*columns("id event_text timestamp:TIMESTAMP"), column]).compile()(row) == {
        "type": "track",
        "messageId": "m",
        "event": "E",
        "properties": {"x": expected},
    }


def test_the_rows_of_the_benchmark_are_its_events() -> None:
    lines = list(events(30, seed=3))
    assert [each.convert(each.read()) for each in rows.stored(lines, ())] == [orjson.loads(line) for line in lines]


@pytest.mark.parametrize("unread", [("sentAt", "receivedAt"), ("sentAt", "receivedAt", "originalTimestamp")])
def test_what_no_job_reads_is_left_out(unread: tuple[str, ...]) -> None:
    lines = list(events(30, seed=3))
    expected = [{key: value for key, value in orjson.loads(line).items() if key not in unread} for line in lines]
    assert [each.convert(each.read()) for each in rows.stored(lines, unread)] == expected


# --- laws -------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=8).filter(lambda text: text[:1] != "[")
SPEC_CONTEXT = {
    "ip": TEXTS,
    "userAgent": TEXTS,
    "page": st.fixed_dictionaries({}, optional={"url": TEXTS, "path": TEXTS, "title": TEXTS}),
    "traits": st.fixed_dictionaries(
        {},
        optional={
            "email": TEXTS,
            "firstName": TEXTS,
            "address": st.fixed_dictionaries({"postalCode": TEXTS}, optional={"city": TEXTS, "state": TEXTS}),
        },
    ),
}
SENT = st.fixed_dictionaries(
    {
        "type": st.just("track"),
        "event": TEXTS,
        "messageId": TEXTS,
        "timestamp": st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1)).map(
            lambda at: at.isoformat(timespec="milliseconds") + "Z"
        ),
    },
    optional={
        "userId": TEXTS,
        "context": st.fixed_dictionaries({}, optional=SPEC_CONTEXT),
        "properties": st.dictionaries(
            st.from_regex(r"q[a-z]{0,5}(_[a-z]{1,4})?", fullmatch=True),
            TEXTS | st.integers(-(2**53), 2**53) | st.booleans() | st.lists(st.integers(0, 9)),
            max_size=5,
        ),
    },
)


def stored(event: Mapping[str, Any]) -> dict[str, tuple[Column, Any]]:
    """What Segment's warehouse keeps of a track, by column."""
    cells: dict[str, tuple[Column, Any]] = {}

    def put(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                put(f"{name}_{snake_case(key)}" if name else snake_case(key), item)
        elif isinstance(value, list):
            cells[name] = (Column(name), orjson.dumps(value).decode())
        else:
            type_ = {bool: "BOOLEAN", int: "INTEGER", str: "STRING", dt.datetime: "TIMESTAMP"}[type(value)]
            cells[name] = (Column(name, type_), value)

    put("id", event["messageId"])
    put("event_text", event["event"])
    put("timestamp", dt.datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")))
    put("user_id", event.get("userId", ""))
    put("context", event.get("context", {}))
    put("", event.get("properties", {}))
    return cells


@settings(deadline=None)
@given(SENT)
def test_storing_and_reading_back_gives_the_event_that_was_sent(sent: dict[str, Any]) -> None:
    cells = stored(sent)
    layout = layout_of([column for column, _ in cells.values()])
    found = layout.compile()({name: value for name, (_, value) in cells.items()})
    expected = {"userId": "", **sent}
    assert without_empty(found) == without_empty(expected)


def without_empty(value: Any) -> Any:
    """An object without keys leaves no column behind."""
    if not isinstance(value, dict):
        return value
    kept = {key: without_empty(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item != {}}


@given(st.lists(st.sampled_from(("id", "user_id", "context_ip", "context_page_url", "total", "sku")), unique=True))
def test_a_column_without_a_value_leaves_no_key(empty: list[str]) -> None:
    values = {"id": "m", "user_id": "u", "context_ip": "i", "context_page_url": "p", "total": "1", "sku": "s"}
    schema = "id user_id context_ip context_page_url total sku event_text timestamp"
    row = {**values, **dict.fromkeys(empty)}
    kept = {name: value for name, value in row.items() if value is not None}
    expected: dict[str, Any] = {"type": "track"}
    for name, value in kept.items():
        for *objects, key in paths_of(name, "track"):
            node = expected
            for part in objects:
                node = node.setdefault(part, {})
            node[key] = value
    assert event("", schema, row) == expected


# --- layouts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "column", "time"),
    [
        ("subscription_name message_id publish_time:TIMESTAMP data attributes:JSON", "data", "publish_time"),
        ("subscription_name message_id publish_time:TIMESTAMP data:JSON attributes:JSON", "data", "publish_time"),
        ("message_id publish_time:TIMESTAMP data:BYTES attributes", "data", "publish_time"),
        ("data", "data", None),
        ("id received_at:TIMESTAMP payload:JSON", "payload", "received_at"),
        ("event:JSON", "event", None),
        ("id name:STRING timestamp:TIMESTAMP event_json", "event_json", "timestamp"),
        ("day:DATE blob", "blob", None),
        ("a:JSON payload:JSON created_at:DATE", "payload", "created_at"),
        ("id timestamp:TIMESTAMP event payload:JSON address:JSON", "payload", "timestamp"),
        ("SUBSCRIPTION_NAME MESSAGE_ID PUBLISH_TIME:TIMESTAMP DATA:JSON ATTRIBUTES:JSON", "DATA", "publish_time"),
        ("data message_id timestamp:TIMESTAMP event", "data", "timestamp"),
        ("timestamp:TIMESTAMP context_id payload:JSON", "payload", "timestamp"),
    ],
)
def test_a_column_of_json_is_found(schema: str, column: str, time: str | None) -> None:
    layout = layout_of(columns(schema))
    assert isinstance(layout, JsonColumn)
    assert (layout.columns, layout.time and layout.time.name) == ((column,), time)


@pytest.mark.parametrize(
    ("value", "expected"),
    [('{"é": 1}', '{"é": 1}'.encode()), (b"\xff", b"\xff"), (None, UnreadableRow({"data": None}))],
)
def test_a_column_of_json_gives_its_bytes(value: Any, expected: Any) -> None:
    assert layout_of(columns("data")).compile()({"data": value}) == expected


@pytest.mark.parametrize(
    ("schema", "kind", "time"),
    [
        (TRACK, "track", "timestamp"),
        ("id received_at:TIMESTAMP event_text data", "track", "received_at"),
        ("id sent_at:DATETIME timestamp event", "track", "sent_at"),
        ("messageId timestamp:TIMESTAMP event properties:JSON", "track", "timestamp"),
        ("id timestamp:TIMESTAMP event user_id revenue:FLOAT address:JSON", "track", "timestamp"),
        ("id timestamp context_ip type", None, None),
        ("ID TIMESTAMP:TIMESTAMP EVENT_TEXT CONTEXT_IP", "track", "timestamp"),
        ("timestamp:TIMESTAMP event_text context_ip", "track", "timestamp"),
        ("type event userId timestamp:TIMESTAMP properties:JSON context:JSON", "track", "timestamp"),
        ("event timestamp:TIMESTAMP properties:JSON", "track", "timestamp"),
    ],
)
def test_columns_of_events_are_found(schema: str, kind: str | None, time: str | None) -> None:
    layout = layout_of(columns(schema))
    assert isinstance(layout, EventColumns)
    assert (layout.kind, layout.time and layout.time.name) == (kind, time)
    assert not {"uuid", "uuid_ts", "loaded_at", "__version"} & set(layout.columns)


@pytest.mark.parametrize("case", [str, str.upper])
@pytest.mark.parametrize(
    ("own", "id_", "expected"),
    [
        ("messageId", "messageId", {"messageId": "own"}),
        ("id", "id", {"messageId": "own"}),
        ("userId", "", {"userId": "own"}),
    ],
)
def test_a_messages_id_and_time_are_not_the_events(case: Any, own: str, id_: str, expected: dict[str, Any]) -> None:
    schema = " ".join(f"{case(name)}:STRING" for name in ("subscription_name", "message_id", "attributes"))
    schema += f" {case('publish_time')}:TIMESTAMP type event {own} timestamp properties:JSON"
    layout = layout_of(columns(schema))
    row = {case("message_id"): "77", case("publish_time"): AT, case("subscription_name"): "s", case("attributes"): "{}"}
    values = {"type": "track", "event": "Sold", own: "own", "timestamp": None, "properties": '{"a":1}'}

    assert isinstance(layout, EventColumns)
    assert (layout.id, set(layout.columns)) == (id_, set(values))
    assert layout.compile()({**row, **values}) == {
        "type": "track", "event": "Sold", "properties": {"a": 1}, **expected,
    }  # fmt: skip
    assert layout.time is None or layout.time.name != "publish_time"


def test_the_ids_own_name_wins_over_a_tables_key() -> None:
    layout = layout_of(columns("id:INTEGER messageId timestamp event"))
    assert isinstance(layout, EventColumns)
    assert layout.id == "messageId"


def test_columns_in_capitals_are_read_as_they_are_spelt() -> None:
    schema = "ID TIMESTAMP:TIMESTAMP EVENT_TEXT USER_ID REVENUE:FLOAT CONTEXT_TRAITS_EMAIL TYPE"
    row = {"ID": "m", "TIMESTAMP": AT, "EVENT_TEXT": "Sold", "USER_ID": None, "REVENUE": 5.0, "TYPE": "gift"}
    layout = layout_of(columns(schema), "ORDERS")

    assert layout.compile()({**row, "CONTEXT_TRAITS_EMAIL": "jane@example.com"}) == {
        "type": "track",
        "messageId": "m",
        "timestamp": "2026-11-22T17:16:43.123Z",
        "event": "Sold",
        "properties": {"revenue": 5, "type": "gift"},
        "context": {"traits": {"email": "jane@example.com"}},
    }
    assert (layout.time and layout.time.key) == "TIMESTAMP"


@pytest.mark.parametrize(
    ("table", "schema", "message"),
    [
        ("users", f"{COMMON} email", "holds the latest state of each of the users, not events; read identifies"),
        ("USERS", "ID RECEIVED_AT", "holds the latest state of each of the users, not events; read identifies"),
        ("", f"{COMMON} url", "does not give the type of its events: add a column, as in SELECT 'page' AS type, …"),
        ("orders", "order total:NUMERIC buyer", "its columns are order, total, buyer"),
        ("", "", "its columns are none"),
    ],
)
def test_a_table_without_events_is_refused_with_what_was_looked_for(table: str, schema: str, message: str) -> None:
    with pytest.raises(NoEvents, match=re.escape(message)):
        layout_of(columns(schema), table)


def test_a_layout_pickles() -> None:
    for layout in (layout_of(columns(TRACK)), layout_of(columns("data"))):
        assert pickle.loads(pickle.dumps(layout)) == layout


@settings(deadline=None)
@given(st.text(min_size=1), st.sampled_from(["'", '"', "\\", "\n", "']\n", "{v0}", "'] = exit(", "\x00"]))
def test_no_name_of_a_column_breaks_out_of_the_written_function(text: str, odd: str) -> None:
    name = f"x {text}{odd}"  # a name that belongs to nothing of Segment's
    layout = layout_of([*columns("id event_text timestamp:TIMESTAMP"), Column(name), Column(f"{name}1", "FLOAT")])
    row = {"id": "m", "event_text": "Lead", "timestamp": None, name: "a", f"{name}1": 2.0}
    found = layout.compile()(row)
    assert found == {"type": "track", "messageId": "m", "event": "Lead", "properties": {name: "a", f"{name}1": 2}}
