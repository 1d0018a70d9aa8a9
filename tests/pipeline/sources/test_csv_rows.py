"""Rows of CSV as events."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.sources.csv_rows import BadHeader, rows_of
from transforms import events as limits
from transforms.events import LongLine, UnreadableRow

LIKE = "a header is like type,event,messageId,timestamp,userId,properties.total"
NO_HEADER = f"there is no header, or no column in it is a key of an event; {LIKE}"


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
        UnreadableRow(b'page,"b\npage,c', "Line 3 of orders.csv is no line of CSV (unexpected end of data)."),
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
        ("type,type", "column 2 (type) comes twice"),
        ("type,a..b", "column 2 is no path like properties.total"),
        ("type,traits..b", "column 2 (traits..b) is no path like properties.total"),
        ("type,properties.a,properties", "column 3 (properties) and column 2 (properties.a) cannot both be"),
        ("type,", "column 2 is no path like properties.total"),
        ("type,plan,plan", "column 3 comes twice"),
        (
            "type,properties" + ".a" * 200_000,
            "column 2 (properties" + ".a" * 44 + ".…) is no path like properties.total",
        ),
        ("jane@example.com,jane@example.com", NO_HEADER),
        ("Jane D.,jane@example.com,2026-11-22T10:00:00Z", NO_HEADER),
        ("track,Order Completed,o-1", NO_HEADER),
        ("Type,Event", NO_HEADER),
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


@pytest.mark.parametrize("header", ["userId,email", "properties.total,plan", "context:json,plan"])
def test_one_key_of_an_event_makes_a_header_and_other_names_are_free(header: str) -> None:
    assert len(events(f"{header}\n1,2\n")) == 1


def test_a_row_is_known_by_its_first_line() -> None:
    text = b'type,event\npage,"a\nb"\n\npage,c,d\npage,e\n'
    assert [line for line, _ in rows_of([text], "orders.csv")] == [2, 5, 6]
