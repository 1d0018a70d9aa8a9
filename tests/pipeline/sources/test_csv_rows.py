"""Rows of CSV as events."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.pipeline.sources.csv_columns import BadHeader
from capybeam.pipeline.sources.csv_rows import rows_of
from capybeam.transforms.core import events as limits
from capybeam.transforms.core.events import LongLine, UnreadableRow
from capybeam.transforms.core.message_formats import compile_parsing

LIKE = "a header looks like type,event,messageId,timestamp,userId,properties.total"
NO_HEADER = f"no header, or none of its columns is a key of an event; {LIKE}"


SPELT = "the header spells keys differently from an event's"
UNTOLD = (
    "its rows are from Segment's warehouse, but the type of call is unknown: name the file after its table, as in"
    " pages.csv, or add a column type"
)


def events(text: str | bytes, size: int = 7, name: str = "orders.csv") -> list[Any]:
    data = text if isinstance(text, bytes) else text.encode()
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return [row for _, row in rows_of(chunks, name)]


def test_a_columns_name_is_the_path_of_its_value() -> None:
    text = "type,messageId,properties.total,context.traits.email\ntrack,m-1,24.90,jane@example.com\n"
    assert events(text) == [
        {
            "type": "track",
            "messageId": "m-1",
            "properties": {"total": "24.90"},
            "context": {"traits": {"email": "jane@example.com"}},
        }
    ]


def test_cells_stay_text_but_in_a_column_of_json() -> None:
    text = 'userId,active,properties.products:json\n007,true,"[{""id"": ""a"", ""price"": 5}]"\n'
    assert events(text) == [{"userId": "007", "active": "true", "properties": {"products": [{"id": "a", "price": 5}]}}]


def test_an_empty_cell_is_absent() -> None:
    assert events("type,userId,properties.total\npage,,\n") == [{"type": "page"}]


def test_quoted_new_lines_commas_and_quotes_belong_to_the_cell() -> None:
    assert events('type,event\r\ntrack,"one\r\ntwo, ""three"""\r\nscreen,b\r\n') == [
        {"type": "track", "event": 'one\r\ntwo, "three"'},
        {"type": "screen", "event": "b"},
    ]


def test_a_byte_order_mark_and_blank_lines_are_passed_over() -> None:
    assert events(b"\xef\xbb\xbftype,event\n\npage,a\n   \n\npage,b") == [
        {"type": "page", "event": "a"},
        {"type": "page", "event": "b"},
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"page", "has 1 cells, the header 3"),
        (b"page,a,1,2", "has 4 cells, the header 3"),
        (b'page,"a"b,1', "is not valid CSV (',' expected after '\"')"),
        (b"page,a,{1", "is not valid JSON in column 3 (properties:json)"),
        (b"page,\xff,1", "is not valid UTF-8 in column 2 (event)"),
    ],
)
def test_a_row_that_does_not_fit_is_unreadable_and_the_next_is_read(row: bytes, message: str) -> None:
    text = b'type,event,properties:json\npage,"two\nlines",1\n' + row + b"\npage,b,2\n"
    found = events(text)
    assert found[1] == UnreadableRow(row, f"Line 4 of orders.csv {message}.")
    assert found[2] == {"type": "page", "event": "b", "properties": 2}


def test_a_character_that_was_cut_costs_itself_and_not_the_row() -> None:
    text = b'type,event,properties:json\npage,a\xf0\x9f\x98,"""\\ud83d"""\npage,\xed\xa0\xbd,"""\\ud83d\\ude00"""\n'
    assert events(text) == [
        {"type": "page", "event": "a\ufffd", "properties": "\ufffd"},
        {"type": "page", "event": "\ufffd", "properties": "\U0001f600"},
    ]


def test_an_escape_in_a_cell_of_text_is_its_characters() -> None:
    assert events(rb"type,event" + b"\n" + rb"page,\ud83d") == [{"type": "page", "event": r"\ud83d"}]


def test_a_quote_that_is_never_closed_makes_one_unreadable_row() -> None:
    assert events('type,event\npage,a\npage,"b\npage,c\n') == [
        {"type": "page", "event": "a"},
        UnreadableRow(b'page,"b\npage,c', "Line 3 of orders.csv is not valid CSV (unexpected end of data)."),
    ]


def test_a_cell_of_a_megabyte_is_a_cell() -> None:
    assert events("type,event\npage," + "x" * 1_000_000 + "\n", 1 << 18) == [{"type": "page", "event": "x" * 1_000_000}]


@pytest.mark.parametrize(
    ("row", "message", "rest"),
    [
        pytest.param("page," + "x" * 100, "Line 3 of orders.csv has 105 bytes", [], id="a line"),
        pytest.param(
            'page,"' + "x\n" * 38 + 'x"',
            "The row that begins in line 3 of orders.csv has 82 bytes",
            [UnreadableRow(b'x"', "Line 41 of orders.csv has 1 cells, the header 2.")],
            id="a cell",
        ),
        pytest.param(
            'page,"open' + "\npage,b" * 10 + "\npage,c",
            "The row that begins in line 3 of orders.csv has 81 bytes",
            [{"type": "page", "event": "c"}],
            id="a quote that is never closed",
        ),
    ],
)
def test_a_row_that_is_too_long_is_passed_over_and_the_lines_behind_it_are_read(
    monkeypatch: pytest.MonkeyPatch, row: str, message: str, rest: list[Any]
) -> None:
    monkeypatch.setattr(limits, "MAX_LINE", 80)
    monkeypatch.setattr(limits, "SHOWN", 9)
    long = LongLine(row[:9], f"{message}, and one of more than 0 MB is not read.")
    found = events(f"type,event\npage,a\n{row}\npage,z\n")
    assert found == [{"type": "page", "event": "a"}, long, *rest, {"type": "page", "event": "z"}]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("type,type", "column 2 (type) appears twice"),
        ("type,a..b", "column 2 is not a path like properties.total"),
        ("type,traits..b", "column 2 (traits..b) is not a path like properties.total"),
        ("type,properties.a,properties", "column 3 (properties) and column 2 (properties.a) cannot both exist"),
        ("type,", "column 2 is not a path like properties.total"),
        ("type,plan,plan", "column 3 appears twice"),
        (
            "type,properties" + ".a" * 200_000,
            "column 2 (properties" + ".a" * 44 + ".…) is not a path like properties.total",
        ),
        ("jane@example.com,jane@example.com", NO_HEADER),
        ("Jane D.,jane@example.com,2026-11-22T10:00:00Z", NO_HEADER),
        ("track,Order Completed,o-1", NO_HEADER),
        ("Type,Event", f"{NO_HEADER}. Type: did you mean type? Event: did you mean event?"),
        ("User ID,email", f"{NO_HEADER}. User ID: did you mean userId?"),
        ("Type,Event,messageId", f"{SPELT}. Type: did you mean type? Event: did you mean event?"),
        ("type,event,Properties.total", f"{SPELT}. Properties: did you mean properties?"),
        ("id,received_at,context_ip,url", UNTOLD),
        ("ID,TIMESTAMP,ANONYMOUS_ID,URL", UNTOLD),
        ("id,received_at,event,ID", "column 4 appears twice"),
        ("id,received_at,event,", "column 4 is not a path like properties.total"),
        ("type;event;properties.total", f"the header has semicolons and no comma; {LIKE}"),
        ("properties.a;type", f"the header has semicolons and no comma; {LIKE}"),
        ('"type";"event"', f"the header has semicolons and no comma; {LIKE}"),
        ("type\tevent", f"the header has tabs and no comma; {LIKE}"),
        (b"type,event,gr\xf6\xdfe", "the header is not UTF-8"),
        ("type,event".encode("utf-16"), "the header is not UTF-8"),
        ("type,event".encode("utf-16-le"), NO_HEADER),
        (b'type,"gr\xf6\xdfe"x', "the header is not UTF-8"),
    ],
)
def test_a_header_that_makes_no_event_is_refused_without_quoting_what_may_be_a_value(
    header: str | bytes, message: str
) -> None:
    data = header if isinstance(header, bytes) else header.encode()
    with pytest.raises(BadHeader) as raised:
        events(data + b"\n")
    assert str(raised.value) == message


ROW = 'o-1,2026-11-26 10:00:00.000 +0000,Order Completed,u-1,24.9,"[{""product_id"":""mug""}]",jane@example.com,'
ROW_HEADER = "id,timestamp,event_text,user_id,revenue,products,context_traits_email,coupon"
EVENT = {
    "type": "track",
    "messageId": "o-1",
    "timestamp": "2026-11-26 10:00:00.000 +0000",
    "event": "Order Completed",
    "userId": "u-1",
    "properties": {"revenue": "24.9", "products": [{"product_id": "mug"}]},
    "context": {"traits": {"email": "jane@example.com"}},
}


@pytest.mark.parametrize("header", [ROW_HEADER, ROW_HEADER.upper()])
@pytest.mark.parametrize("coupon", ["", "\\N"])
def test_rows_of_segments_warehouse_are_the_events_that_were_sent(header: str, coupon: str) -> None:
    assert events(f"{header}\n{ROW}{coupon}\n") == [EVENT]


def test_a_warehouses_column_of_json_is_json() -> None:
    header = ROW_HEADER.replace("revenue", "revenue:json")
    assert events(f"{header}\n{ROW}\n") == [{**EVENT, "properties": {**EVENT["properties"], "revenue": 24.9}}]


@pytest.mark.parametrize("name", ["pages.csv", "gs://acme/export/PAGES_view.csv.gz", "C:\\export\\pages.csv"])
def test_a_file_that_is_called_after_a_table_has_its_calls(name: str) -> None:
    assert events("id,received_at,context_ip,url\np,1,192.0.2.1,u\n", name=name) == [
        {
            "type": "page",
            "messageId": "p",
            "receivedAt": "1",
            "context": {"ip": "192.0.2.1"},
            "properties": {"url": "u"},
        }
    ]


def test_a_table_of_the_latest_state_is_refused() -> None:
    with pytest.raises(BadHeader, match="holds the latest state of each of the users, not events; read identifies"):
        events("id,received_at,context_ip,email\n", name="users.csv")


def test_a_row_of_a_warehouse_that_tells_no_call_is_unreadable() -> None:
    assert events("id,received_at,type,url\np,1,page,u\nq,1,,u\n") == [
        {"type": "page", "messageId": "p", "receivedAt": "1", "properties": {"url": "u"}},
        UnreadableRow(b"q,1,,u", "Line 3 of orders.csv has neither an event's name nor the type of a call."),
    ]


def test_a_row_of_a_warehouse_that_does_not_fit_its_header_is_named() -> None:
    found = events(b"id,received_at,event,a:json\no,1,Sold\no,1,\xff,1\no,1,Sold,{\n")
    assert [row.message.partition(" of orders.csv ")[2] for row in found] == [
        "has 3 cells, the header 4.",
        "is not valid UTF-8 in column 3 (event).",
        "is not valid JSON in column 4 (a:json).",
    ]


def test_the_table_of_a_pubsub_subscription_is_read_by_its_data() -> None:
    header = "subscription_name,message_id,publish_time,data,attributes"
    rows = events(f'{header}\ns,77,2026-11-26 10:00:00 UTC,"{{""type"":""page""}}",{{}}\n')
    assert [list(compile_parsing(lambda _: False)(row, lambda _: None)) for row in rows] == [[{"type": "page"}]]


@pytest.mark.parametrize(
    "header", ["userId,email", "properties.total,plan", "context:json,plan", "type,user_id,timestamp"]
)
def test_one_key_of_an_event_makes_a_header_and_other_names_are_free(header: str) -> None:
    row = ",".join(str(number) for number, _ in enumerate(header.split(",")))
    (event,) = events(f"{header}\n{row}\n")
    assert isinstance(event, dict)


def test_a_row_is_known_by_its_first_line() -> None:
    text = b'type,event\npage,"a\nb"\n\npage,c,d\npage,e\n'
    assert [line for line, _ in rows_of([text], "orders.csv")] == [2, 5, 6]
