"""Lines of bytes → events: what is accepted, what is rejected, and the event_id that survives retries."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capybeam.transforms.core.events import MAX_LINE, event_id, is_blank, parse_event
from capybeam.transforms.core.rejections import Rejected

BOM = b"\xef\xbb\xbf"


def nested(levels: int) -> bytes:
    """An event of that many objects, one inside the other."""
    return b'{"a":' * levels + b"1" + b"}" * levels


# --- parsing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "event"),
    [
        pytest.param(b"{}", {}, id="an empty object"),
        pytest.param(b'{"type":"track","n":1.5,"z":null}', {"type": "track", "n": 1.5, "z": None}, id="plain"),
        pytest.param(b'{"type":"track"}\r\n', {"type": "track"}, id="CRLF"),
        pytest.param(b' \t{"type":"track"} ', {"type": "track"}, id="white space around"),
        pytest.param(BOM + b'{"type":"track"}', {"type": "track"}, id="byte order mark"),
        pytest.param(BOM + b' {"type":"track"}\n', {"type": "track"}, id="byte order mark and white space"),
        pytest.param('{"name":"Zoë 정"}'.encode(), {"name": "Zoë 정"}, id="UTF-8"),
        pytest.param(b'{"userid":"a","userId":"b"}', {"userid": "a", "userId": "b"}, id="nothing renamed"),
        pytest.param(rb'{"name":"Zoe \ud83d"}', {"name": "Zoe \ufffd"}, id="an emoji that was cut"),
    ],
)
def test_a_json_object_is_an_event_as_it_was_sent(line: bytes, event: dict[str, Any]) -> None:
    assert parse_event(line) == event


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param(b"", "invalid_json", id="nothing"),
        pytest.param(b"   ", "invalid_json", id="white space"),
        pytest.param(BOM, "invalid_json", id="byte order mark alone"),
        pytest.param(b"type=track", "invalid_json", id="no JSON"),
        pytest.param(b'{"type":"track"', "invalid_json", id="cut off"),
        pytest.param(b'{"type":"track"}{}', "invalid_json", id="two objects on a line"),
        pytest.param(b"{'type':'track'}", "invalid_json", id="single quotes"),
        pytest.param(b'{"a":NaN}', "invalid_json", id="NaN"),
        pytest.param(b'{"a":"\xff"}', "invalid_utf8", id="Latin-1"),
        pytest.param('{"a":"é"}'.encode("utf-16"), "invalid_utf8", id="UTF-16"),
        pytest.param(b"[]", "not_an_object", id="a list"),
        pytest.param(b'"track"', "not_an_object", id="a string"),
        pytest.param(b"5", "not_an_object", id="a number"),
        pytest.param(b"null", "not_an_object", id="null"),
        pytest.param(nested(5000), "too_deeply_nested", id="deep objects"),
        pytest.param(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "too_deeply_nested", id="deep lists"),
    ],
)
def test_what_is_no_event_is_rejected_by_code(line: bytes, code: str) -> None:
    with pytest.raises(Rejected) as raised:
        parse_event(line)
    assert raised.value.code == code


def test_an_event_of_two_hundred_levels_can_be_read_written_and_identified() -> None:
    event = parse_event(nested(200))
    assert orjson.loads(orjson.dumps(event)) == event
    assert len(event_id(event)) == 32


@pytest.mark.parametrize("levels", [250, 255, 300, 600, 1000])
def test_an_event_nested_too_deeply_is_rejected_at_the_latest_when_it_gets_its_id(levels: int) -> None:
    try:
        outcome = f"{len(event_id(parse_event(nested(levels))))} digits"
    except Rejected as rejected:
        outcome = rejected.code
    assert outcome in {"32 digits", "too_deeply_nested"}


def test_a_line_that_is_too_long_is_not_read_and_its_dead_letter_has_its_start() -> None:
    line = b'{"type":"page","text":"' + b"x" * MAX_LINE + b'"}'
    with pytest.raises(Rejected) as raised:
        parse_event(line)
    assert (raised.value.code, raised.value.payload) == ("line_too_long", line[:1000].decode())
    assert raised.value.message == "The line has 67,108,889 bytes, and one of more than 64 MB is not read."


def test_many_siblings_are_not_taken_for_depth() -> None:
    line = b'{"products":[' + b",".join([b'{"id":[1]}'] * 1000) + b"]}"
    assert parse_event(line) == {"products": [{"id": [1]}] * 1000}


def test_a_rejection_says_where_the_line_breaks_and_quotes_none_of_it() -> None:
    with pytest.raises(Rejected) as raised:
        parse_event(b'{"email":"jane@example.com",}')
    assert "column 28" in raised.value.message
    assert "jane" not in raised.value.message


_LINES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=30).map(str.encode),
    st.lists(st.sampled_from([BOM, b"{", b"}", b"[", b"]", b'"', b":", b",", b"1", b"a", b" ", b"\xff"])).map(b"".join),
)


@settings(max_examples=200, deadline=None)
@given(_LINES)
@example(BOM * 5000)
@example(BOM * 5000 + b"{}")
def test_any_bytes_are_an_event_or_rejected(line: bytes) -> None:
    try:
        outcome = type(parse_event(line)).__name__
    except Rejected as rejected:
        outcome = rejected.code
    assert outcome in {"dict", "invalid_json", "invalid_utf8", "not_an_object", "too_deeply_nested"}


# --- blank lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"", b"\n", b" \t\r\n", BOM, BOM + b"\r\n"])
def test_white_space_and_a_byte_order_mark_are_no_event_at_all(line: bytes) -> None:
    assert is_blank(line) is True


@pytest.mark.parametrize("line", [b"{}", b" x ", BOM + b"{}", b"\x00", b"\xff"])
def test_anything_else_is_a_line_that_counts(line: bytes) -> None:
    assert is_blank(line) is False


# --- event_id ---------------------------------------------------------------------------------------------------

ORDER = {"type": "track", "event": "Order Completed", "userId": "u1", "properties": {"total": 5, "currency": "USD"}}


@pytest.mark.parametrize(
    ("message_id", "expected"),
    [("m-1", "m-1"), ("0", "0"), (5, "5"), (0, "0"), (5.0, "5")],
    ids=["text", "zero", "number", "0", "fraction"],
)
def test_the_message_id_is_the_event_id(message_id: Any, expected: str) -> None:
    assert event_id({**ORDER, "messageId": message_id}) == expected


def test_without_a_message_id_the_content_makes_one_that_never_changes() -> None:
    # SHA-256 of the event as compact JSON with sorted keys, 32 digits: a new version must not make new IDs, as the
    # same history may be sent again.
    assert event_id({"type": "track", "userId": "u1"}) == "25eee89e50b00eb85f731df1b4a34c1f"


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({**ORDER, "messageId": ""}, id="an empty messageId"),
        pytest.param({**ORDER, "messageId": None}, id="a null messageId"),
    ],
)
def test_a_blank_message_id_is_made_up_for(same: dict[str, Any]) -> None:
    made = event_id(same)
    assert len(made) == 32
    assert int(made, 16) >= 0
    assert made == event_id(dict(reversed(same.items())))


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(dict(reversed(ORDER.items())), id="keys in another order"),
        pytest.param({**ORDER, "properties": {"currency": "USD", "total": 5}}, id="inner keys in another order"),
        pytest.param({**ORDER, "receivedAt": "2026-11-22T10:00:01Z"}, id="received at another time"),
        pytest.param({**ORDER, "sentAt": "2026-11-22T10:00:02Z"}, id="sent at another time"),
    ],
)
def test_a_copy_that_comes_twice_has_the_same_event_id(copy: dict[str, Any]) -> None:
    assert event_id(copy) == event_id(ORDER)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({**ORDER, "userId": "u2"}, id="another user"),
        pytest.param({**ORDER, "properties": {"total": 6, "currency": "USD"}}, id="another total"),
        pytest.param({**ORDER, "timestamp": "2026-11-22T10:00:00Z"}, id="another time"),
        pytest.param({**ORDER, "properties": {"total": "5", "currency": "USD"}}, id="text for a number"),
    ],
)
def test_another_event_has_another_event_id(other: dict[str, Any]) -> None:
    assert event_id(other) != event_id(ORDER)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=8), _JSON, max_size=5))
def test_the_event_id_survives_a_round_trip_through_json(event: dict[str, Any]) -> None:
    assert event_id(parse_event(orjson.dumps(event))) == event_id(event)
