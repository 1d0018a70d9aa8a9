"""Rows of CSV as events."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.sources.csv_rows import BadHeader, rows_of
from transforms.events import UnreadableRow


def events(text: str | bytes, size: int = 7) -> list[Any]:
    data = text if isinstance(text, bytes) else text.encode()
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return [row for _, row in rows_of(chunks, "orders.csv")]


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
        (b'page,"a"b,1', "is no line of CSV (',' expected after '\"')"),
        (b"page,a,{1", "is not valid JSON in column properties:json"),
        (b"page,\xff,1", "is not valid UTF-8 in column event"),
    ],
)
def test_a_row_that_does_not_fit_is_unreadable_and_the_next_is_read(row: bytes, message: str) -> None:
    text = b'type,event,properties:json\npage,"two\nlines",1\n' + row + b"\npage,b,2\n"
    found = events(text)
    assert found[1] == UnreadableRow(row, f"Line 4 of orders.csv {message}.")
    assert found[2] == {"type": "page", "event": "b", "properties": 2}


def test_a_quote_that_is_never_closed_makes_one_unreadable_row() -> None:
    assert events('type,event\npage,a\npage,"b\npage,c\n') == [
        {"type": "page", "event": "a"},
        UnreadableRow(b'page,"b\npage,c', "Line 3 of orders.csv is no line of CSV (unexpected end of data)."),
    ]


def test_a_cell_of_a_megabyte_is_a_cell() -> None:
    assert events("type,event\npage," + "x" * 1_000_000 + "\n", 1 << 18) == [{"type": "page", "event": "x" * 1_000_000}]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("type,type", "column 'type' comes twice"),
        ("type,a..b", "column 'a..b' is no path like properties.total"),
        ("type,properties.a,properties", "columns 'properties' and 'properties.a' cannot both be"),
        ("type,", "column '' is no path like properties.total"),
    ],
)
def test_a_header_that_makes_no_event_is_refused(header: str, message: str) -> None:
    with pytest.raises(BadHeader) as raised:
        events(f"{header}\n")
    assert str(raised.value) == message


def test_a_row_is_known_by_its_first_line() -> None:
    text = b'type,event\npage,"a\nb"\n\npage,c,d\npage,e\n'
    assert [line for line, _ in rows_of([text], "orders.csv")] == [2, 5, 6]
