"""Events out of the envelopes that transports put around them, and what is no event at all."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.core import message_formats
from capybeam.transforms.core.events import UnreadableRow, event_id
from capybeam.transforms.core.message_formats import compile_parsing
from capybeam.transforms.core.rejections import CODES, Rejected
from capybeam.transforms.language.triggers import compile_trigger
from capybeam.transforms.standards.json_text import REPLACED

ORDER = {"type": "track", "event": "Order Completed", "messageId": "o-1", "properties": {"total": 5}}
PAGE = {"type": "page", "messageId": "p-1"}

takes_orders = compile_trigger('event = "Order Completed"')


def line(value: Any) -> bytes:
    return json.dumps(value).encode()


def in_base64(value: Any) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else line(value)).decode()


def push(value: Any, **message: Any) -> dict[str, Any]:
    return {
        "message": {"data": in_base64(value), "messageId": "99", "publishTime": "2026-11-22T10:00:00Z", **message},
        "subscription": "projects/p/subscriptions/s",
    }


def found(row: Any, unwrap: str | None = None, takes: Any = takes_orders) -> list[Any]:
    """The events of a row, and code and payload of what was rejected."""
    return [
        (each.code, each.payload) if isinstance(each, Rejected) else each
        for each in compile_parsing(takes, unwrap)(row, lambda _: None)
    ]


def message_of(row: Any, unwrap: str | None = None) -> str:
    (each,) = compile_parsing(takes_orders, unwrap)(row, lambda _: None)
    assert isinstance(each, Rejected)
    return each.message


# --- what is an event as it is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(ORDER, id="a call of Segment's"),
        pytest.param({**PAGE, "message": {"data": "eyJ9"}}, id="a call with keys of envelopes"),
        pytest.param({"type": "widget", "x": 1}, id="a type of one's own"),
        pytest.param({"event": "Order Completed"}, id="no type, but a trigger takes it"),
        pytest.param({"type": None, "event": "Order Completed"}, id="null as type, but a trigger takes it"),
        pytest.param({"event": "Order Completed", "batch": "A12"}, id="a word of envelopes as a key"),
        pytest.param({"event": "Order Completed", "batch": [1, 2]}, id="a batch of no objects"),
        pytest.param({"event": "Order Completed", "message": {"data": "x"}}, id="a message among other keys"),
        pytest.param({"type": "order", "data": {"type": "page"}, "source": "s"}, id="data without a specversion"),
    ],
)
def test_an_event_is_left_as_it_is(event: dict[str, Any]) -> None:
    assert found(line(event)) == [event]
    assert found(event) == [event]


def test_a_call_of_segments_comes_without_anything_being_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_formats, "_Opening", None)
    parsed = compile_parsing(lambda _: pytest.fail("no trigger has to be asked"))
    assert parsed(line(ORDER), lambda _: None) == (ORDER,)


# --- envelopes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "envelope",
    [
        pytest.param(push(ORDER), id="push body"),
        pytest.param({"message": {"data": in_base64(ORDER)}}, id="push body, nothing else"),
        pytest.param({**push(ORDER), "deliveryAttempt": 3}, id="push body with an attempt"),
        pytest.param({**push(ORDER), "ackId": "a"}, id="pulled by REST"),
        pytest.param({"message": {"data": ORDER}, "subscription": "s"}, id="push body that is decoded already"),
        pytest.param({"insertId": "a", "jsonPayload": ORDER, "logName": "projects/p/logs/l"}, id="log entry"),
        pytest.param({"logName": "l", "textPayload": json.dumps(ORDER)}, id="log entry of text"),
        pytest.param({"batch": [ORDER]}, id="batch of one"),
        pytest.param({"batch": [ORDER], "writeKey": "k", "type": "batch"}, id="batch with a key and a type"),
        pytest.param({"specversion": "1.0", "type": "com.shop.order", "data": ORDER}, id="CloudEvent"),
        pytest.param({"specversion": "1.0", "type": "t", "data_base64": in_base64(ORDER)}, id="CloudEvent in base64"),
        pytest.param({"specversion": "1.0", "type": "t", "data": push(ORDER)}, id="CloudEvent of a push body"),
        pytest.param(push(push({"batch": [ORDER]})), id="batch in a push body in a push body"),
        pytest.param(push(gzip.compress(line(ORDER))), id="gzip in a push body"),
    ],
)
def test_the_event_in_a_known_envelope_is_taken_out(envelope: dict[str, Any]) -> None:
    assert found(line(envelope)) == [ORDER]
    assert found(gzip.compress(line(envelope))) == [ORDER]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        pytest.param(line(ORDER), [ORDER], id="one event"),
        pytest.param(line(ORDER) + b"\n" + line(PAGE) + b"\n\n", [ORDER, PAGE], id="one a line"),
        pytest.param(line([ORDER, PAGE]), [ORDER, PAGE], id="a list"),
        pytest.param(gzip.compress(line(ORDER)), [ORDER], id="gzip"),
        pytest.param(b"", [("invalid_json", None)], id="nothing"),
    ],
)
def test_gzip_is_unpacked(data: bytes, events: list[Any]) -> None:
    assert found(gzip.compress(data)) == events


def test_several_members_of_gzip_are_one_text() -> None:
    assert found(gzip.compress(line(ORDER)[:20]) + gzip.compress(line(ORDER)[20:])) == [ORDER]


def test_several_lines_in_one_message_are_an_event_each() -> None:
    assert found(line(ORDER) + b"\n{broken\r\n\n" + line(PAGE)) == [ORDER, ("invalid_json", b"{broken\r"), PAGE]


@pytest.mark.parametrize("text", [b'{\n"type": "page",\n}', b"one\ntwo"], ids=["pretty-printed", "prose"])
def test_broken_text_of_several_lines_is_rejected_once(text: bytes) -> None:
    assert found(text) == [("invalid_json", None)]


def test_pretty_printed_json_is_one_event() -> None:
    assert found(json.dumps(ORDER, indent=2).encode()) == [ORDER]


def test_a_batch_shares_context_integrations_and_the_time_of_sending() -> None:
    batch = {
        "batch": [PAGE, {**ORDER, "context": {"page": {"path": "/a"}, "ip": "192.0.2.1"}, "sentAt": "own"}],
        "context": {"userAgent": "UA", "ip": "192.0.2.9", "page": {"path": "/", "title": "Shop"}},
        "integrations": {"All": True},
        "sentAt": "2026-11-22T10:00:00Z",
        "writeKey": "secret",
        "messageId": "of the batch",
        "timestamp": "of the batch",
    }
    first, second = found(line(batch))
    assert first == {
        **PAGE,
        "context": batch["context"],
        "integrations": {"All": True},
        "sentAt": "2026-11-22T10:00:00Z",
    }
    assert second == {
        **ORDER,
        "context": {"userAgent": "UA", "ip": "192.0.2.1", "page": {"path": "/a", "title": "Shop"}},
        "integrations": {"All": True},
        "sentAt": "own",
    }


def test_what_is_rejected_of_several_is_a_part_that_can_be_parsed_again() -> None:
    batch = {"batch": [PAGE, 5, {"x": 1}], "context": {"userAgent": "UA"}}
    outcomes = found(line(batch))
    assert outcomes == [
        PAGE | {"context": {"userAgent": "UA"}},
        ("not_an_object", b"5"),
        ("not_an_event", b'{"context":{"userAgent":"UA"},"x":1}'),
    ]
    for code, payload in [*outcomes[1:], *found(line({"batch": [PAGE, push(b"{broken")]}))[1:]]:
        assert [again[0] for again in found(payload)] == [code]


def test_what_is_rejected_of_one_is_the_whole() -> None:
    assert found(line(push({"x": 1}))) == [("not_an_event", None)]
    assert found(gzip.compress(b"{broken")) == [("invalid_json", None)]


def test_the_id_and_the_time_of_a_message_are_not_those_of_its_event() -> None:
    anonymous = {"type": "track", "event": "Order Completed", "properties": {"total": 5}}
    (one,) = found(line(push(anonymous, messageId="1")))
    (other,) = found(line(push(anonymous, messageId="2", publishTime="2026-11-23T10:00:00Z")))
    assert one == other == anonymous
    assert event_id(one) == event_id(anonymous)


# --- unwrap -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unwrap", "envelope"),
    [
        pytest.param("$.detail", {"version": "0", "detail-type": "t", "detail": ORDER}, id="EventBridge"),
        pytest.param("$.Message", {"Type": "Notification", "Message": json.dumps(ORDER)}, id="SNS"),
        pytest.param("$.payload", {"schema": {"type": "struct"}, "payload": ORDER}, id="Kafka Connect"),
        pytest.param("$.Records[0].Sns.Message", {"Records": [{"Sns": {"Message": json.dumps(ORDER)}}]}, id="Lambda"),
        pytest.param("$.body.Message", {"body": json.dumps({"Message": json.dumps(ORDER)})}, id="SNS in SQS"),
        pytest.param("$.data", {"data": in_base64(ORDER)}, id="base64"),
        pytest.param("$.data", {"data": in_base64(ORDER).rstrip("=")}, id="base64 without its end"),
        pytest.param("$.data", {"data": base64.urlsafe_b64encode(line(ORDER)).decode()}, id="base64 for URLs"),
        pytest.param("$.data", {"data": in_base64(gzip.compress(line(ORDER)))}, id="gzip in base64"),
        pytest.param("$.data", {"type": "track", "data": ORDER}, id="an envelope that looks like a call"),
        pytest.param("$.data", {"data": [ORDER]}, id="a list of one"),
        pytest.param('$["a b"].c', {"a b": {"c": ORDER}}, id="a key in brackets"),
        pytest.param("$.detail", push({"detail": ORDER}), id="behind a known envelope"),
        pytest.param("$.detail", {"detail": push(ORDER)}, id="before a known envelope"),
        pytest.param("$.detail", ORDER, id="an event without the envelope"),
    ],
)
def test_unwrap_leads_to_the_event(unwrap: str, envelope: dict[str, Any]) -> None:
    assert found(line(envelope), unwrap) == [ORDER]


def test_unwrap_leads_to_several_events() -> None:
    assert found(line({"Records": [ORDER, PAGE]}), "$.Records") == [ORDER, PAGE]


@pytest.mark.parametrize("nothing", [None, "", {}, [], 0], ids=str)
def test_an_object_with_nothing_where_unwrap_leads_to_is_taken_as_it_is(nothing: Any) -> None:
    assert found(line({**ORDER, "detail": nothing}), "$.detail") == [{**ORDER, "detail": nothing}]


def test_unwrap_is_followed_once() -> None:
    event = {**ORDER, "detail": {"type": "page"}}
    assert found(line({"detail": event}), "$.detail") == [event]


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        (5, "not_an_object"),
        ("Server started", "not_an_event"),
        ("{broken", "invalid_json"),
        ({"x": 1}, "not_an_event"),
        ([5], "not_an_object"),
    ],
)
def test_what_unwrap_leads_to_and_is_no_event_is_rejected_as_a_whole(inside: Any, code: str) -> None:
    assert found(line({"detail": inside}), "$.detail") == [(code, None)]


# --- what is no event -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "object_",
    [
        pytest.param({}, id="empty"),
        pytest.param({"x": 1}, id="any other"),
        pytest.param({"type": "", "x": 1}, id="an empty type"),
        pytest.param({"type": None}, id="null as type"),
        pytest.param({"type": ["track"]}, id="a list as type"),
        pytest.param({"event": "Order Cancelled"}, id="an event that no trigger takes"),
        pytest.param({"detail": ORDER}, id="an unknown envelope"),
        pytest.param({"message": {"attributes": {"a": "b"}}, "subscription": "s"}, id="a push body without data"),
        pytest.param({"batch": []}, id="an empty batch"),
        pytest.param({"logName": "l", "protoPayload": {}}, id="an audit log entry"),
        pytest.param({"logName": "l", "textPayload": "Server started"}, id="a log entry of prose"),
        pytest.param({"message": {"data": "%%%"}, "subscription": "s"}, id="a push body of no base64"),
    ],
)
def test_an_object_without_a_type_that_no_trigger_takes_is_not_an_event(object_: dict[str, Any]) -> None:
    assert found(line(object_)) == [("not_an_event", None)]


def test_a_row_without_a_type_that_no_trigger_takes_is_not_an_event_either_and_is_never_opened() -> None:
    assert found({"event": "Other"}) == [("not_an_event", b'{"event":"Other"}')]
    assert found({"detail": ORDER}, "$.detail") == [("not_an_event", orjson.dumps({"detail": ORDER}))]
    assert found(UnreadableRow({"id": 1})) == [("unreadable_row", {"id": 1})]


NO_EVENT = "The object is not an event: it has no type, and no trigger takes it."


@pytest.mark.parametrize(
    ("object_", "shown"),
    [
        ({}, "It is empty."),
        ({"b": 1, "a": "text"}, "Its keys: b, a."),
        ({"@timestamp": 1, "detail-type": 2, "$set": 3, "_id": 4}, "Its keys: @timestamp, detail-type, $set, _id."),
        (dict.fromkeys("abcdefghijkl", 1), "Its keys: a, b, c, d, e, f, g, h, i, j and 2 more."),
        (
            {"jane@example.com": 1, "+49 151 1234567": 2, "4915112345678": 3, "id": 4, "u1234567": 5, "Jane Doe": 6},
            "Its keys: id and 5 more.",
        ),
        ({"x" * 31: 1, "12": 2}, "Its keys are not names."),
        (
            {"id": 1, "detail": ORDER},
            "Its keys: id, detail. If detail holds the event, add unwrap: $.detail to the job file.",
        ),
        (
            {"Type": "Notification", "Message": json.dumps(ORDER)},
            "Its keys: Type, Message. If Message holds the event, add unwrap: $.Message to the job file.",
        ),
    ],
)  # fmt: skip
def test_its_keys_are_shown_where_they_look_like_names_and_never_its_values(
    object_: dict[str, Any], shown: str
) -> None:
    assert message_of(line(object_)) == f"{NO_EVENT} {shown}"


def test_unwrap_that_finds_nothing_says_so() -> None:
    assert (
        message_of(line({"a": 1}), "$.detail.inner")
        == f"{NO_EVENT} Its keys: a. unwrap finds nothing at $.detail.inner."
    )


# --- rows of tables ---------------------------------------------------------------------------------------------------

AT = "2026-11-26 10:00:00.000 +0000"
ROW = {"id": "o-1", "received_at": AT, "timestamp": AT, "event_text": "Order Completed", "total": 5}
OF_ROW = {"type": "track", "messageId": "o-1", "receivedAt": AT, "timestamp": AT, "event": "Order Completed"}


@pytest.mark.parametrize(
    ("row", "event"),
    [
        (ROW, {**OF_ROW, "properties": {"total": 5}}),
        ({name.upper(): value for name, value in ROW.items()}, {**OF_ROW, "properties": {"total": 5}}),
        ({**ROW, "type": "track"}, {**OF_ROW, "properties": {"total": 5}}),
        (
            {"type": "page", "id": "p", "timestamp": AT, "anonymous_id": "a", "context_ip": "192.0.2.1"},
            {"type": "page", "messageId": "p", "timestamp": AT, "anonymousId": "a", "context": {"ip": "192.0.2.1"}},
        ),
        (
            {"id": "o-1", "timestamp": AT, "anonymous_id": "a", "event": "Other"},
            {"type": "track", "messageId": "o-1", "timestamp": AT, "anonymousId": "a", "event": "Other"},
        ),
    ],
)
def test_a_row_of_segments_warehouse_is_the_event_that_was_sent(row: dict[str, Any], event: dict[str, Any]) -> None:
    assert found(line(row)) == [event]
    assert found(line({"batch": [row, PAGE]})) == [event, PAGE]
    assert found(line({"detail": row}), "$.detail") == [event]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"event": "Order Completed", "user_id": "u", "timestamp": AT, "total": 5}, id="of one's own"),
        pytest.param(
            {"event": "Order Completed", "id": "1", "timestamp": AT, "sent_at": AT, "total": 5},
            id="that a trigger takes, and may be a row",
        ),
        pytest.param({**ROW, "messageId": "m", "type": "track"}, id="with an ID of Segment's"),
        pytest.param({**ROW, "properties": {"total": 5}, "type": "track"}, id="with an object of Segment's"),
    ],
)
def test_an_event_with_names_of_a_warehouse_is_left_as_it_is(event: dict[str, Any]) -> None:
    assert found(line(event)) == [event]


def test_a_row_that_does_not_say_of_which_call_it_is_says_what_is_missing() -> None:
    row = {"id": "p", "received_at": AT, "context_ip": "192.0.2.1"}

    assert found(line(row)) == [("not_an_event", None)]
    assert message_of(line(row)) == (
        f"{NO_EVENT} It looks like a row of Segment's warehouse, which needs an event's name in event_text or event, or"
        " a column type, such as page. Its keys: id, received_at, context_ip."
    )


@pytest.mark.parametrize("data", [ORDER, json.dumps(ORDER), in_base64(ORDER), in_base64(gzip.compress(line(ORDER)))])
def test_a_row_of_a_pubsub_subscriptions_table_is_the_event_in_its_data(data: Any) -> None:
    row = {"subscription_name": "s", "message_id": "77", "publish_time": AT, "attributes": "{}", "data": data}

    assert found(line(row)) == [ORDER]


def test_the_id_of_a_message_in_a_row_is_not_the_events() -> None:
    row = {"message_id": "77", "publish_time": AT, "event_text": "Sold", "timestamp": AT}

    assert found(line(row)) == [{"type": "track", "event": "Sold", "timestamp": AT}]


# --- keys that are spelt otherwise ------------------------------------------------------------------------------------


def notes_of(row: Any) -> dict[str, int]:
    counted: Counter[str] = Counter()

    def count(name: str) -> None:
        counted[name] += 1

    for _ in compile_parsing(takes_orders)(row, count):
        pass
    return dict(counted)


@pytest.mark.parametrize(
    ("event", "notes"),
    [
        ({"type": "track", "Event": "Order Completed"}, {"misspelt_event": 1}),
        ({**ORDER, "user_id": "u", "Anonymous_ID": "a"}, {"misspelt_userId": 1, "misspelt_anonymousId": 1}),
        ({"type": "page", "message_id": "m", "Properties": {}}, {"misspelt_messageId": 1, "misspelt_properties": 1}),
        ({"type": "Track", "event": "Order Completed"}, {"misspelt_type": 1}),
        ({"event": "Order Completed", "TIMESTAMP": AT}, {"misspelt_timestamp": 1}),
        ({**ORDER, "user_id": "u", "userId": "u"}, {}),
        ({**ORDER, "received_at": AT, "Name": "x"}, {}),
        ({**ORDER, "messageId": "m", "message_id": "77", "publish_time": AT}, {}),
        ({"type": "page", "message_id": "77", "publish_time": AT, "subscription_name": "s"}, {}),
    ],
)
def test_a_key_that_is_spelt_like_one_of_segments_is_counted(event: dict[str, Any], notes: dict[str, int]) -> None:
    assert notes_of(line(event)) == notes
    assert notes_of(event) == notes
    assert found(line(event)) == [event]


def test_what_is_no_event_for_the_spelling_of_its_keys_is_asked_what_was_meant() -> None:
    assert message_of(line({"Type": "track", "user_id": "u"})) == (
        f"{NO_EVENT} Type: did you mean type? user_id: did you mean userId? Its keys: Type, user_id."
    )
    assert message_of({"Type": "track"}) == f"{NO_EVENT} Type: did you mean type? Its keys: Type."


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_formats, "MOST_UNPACKED", 2 * 1024**2)


def filled(size: int) -> bytes:
    return line({**PAGE, "x": "a" * size})


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(gzip.compress(filled(3_000_000)), id="gzip"),
        pytest.param(gzip.compress(gzip.compress(bytes(3_000_000))), id="gzip in gzip"),
        pytest.param(line(push(gzip.compress(filled(3_000_000)))), id="gzip in a push body"),
        pytest.param(
            line({"batch": [PAGE] * 1000, "context": {"x": "a" * 3000}}), id="a batch that shares much with many"
        ),
    ],
)
def test_what_would_unpack_to_too_much_is_a_rejection(row: bytes) -> None:
    assert found(row) == [("unreadable_envelope", None)]
    assert message_of(row) == "Unpacked, it would be larger than 2 MB."


@pytest.mark.usefixtures("small")
def test_the_bound_is_one_for_all_that_a_message_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Recording(gzip.GzipFile):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(-1 if size is None else size)
            return super().read(size)

    monkeypatch.setattr("capybeam.transforms.core.message_formats.gzip.GzipFile", Recording)
    packed = push(gzip.compress(filled(900_000)))
    outcomes = found(line({"batch": [packed] * 50}))
    assert Counter(type(outcome) for outcome in outcomes) == {dict: 2, tuple: 48}
    assert {outcome[0] for outcome in outcomes[2:]} == {"unreadable_envelope"}
    assert (min(asked), len(asked)) == (1, 50)
    assert max(asked) <= message_formats.MOST_UNPACKED + 1
    assert [found(payload) for _, payload in outcomes[2:4]] == [[json.loads(filled(900_000))]] * 2


def test_a_message_may_unpack_to_64_mb() -> None:
    assert message_formats.MOST_UNPACKED == 64 * 1024**2
    assert "64 MB" in CODES["unreadable_envelope"]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(gzip.compress(line(ORDER))[:-9], id="cut off"),
        pytest.param(gzip.compress(line(ORDER))[:-4] + b"\0\0\0\0", id="of another length"),
        pytest.param(b"\x1f\x8b" + b"rubbish" * 9, id="no gzip"),
        pytest.param(b"\x1f\x8b", id="its first bytes"),
    ],
)
def test_damaged_gzip_is_a_rejection(row: bytes) -> None:
    assert found(row) == [("unreadable_envelope", None)]
    assert message_of(row) == "The gzip data is damaged or incomplete."


def test_envelopes_in_one_another_have_an_end() -> None:
    envelope: Any = ORDER
    for _ in range(8):
        envelope = push(envelope) if len(line(envelope)) < 10_000 else {"batch": [envelope]}
    assert [outcome if isinstance(outcome, dict) else outcome[0] for outcome in found(line(push(push(envelope))))] == [
        "unreadable_envelope"
    ]
    assert found(line({"a": json.loads("[" * 500 + "]" * 500)}), "$.a") == [("unreadable_envelope", None)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6) | st.sampled_from(["page", in_base64(ORDER)]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "type", "message", "data", "subscription", "batch", "context", "integrations", "sentAt", "jsonPayload",
            "textPayload", "logName", "specversion", "data_base64", "detail", "event", "ackId", "id", "timestamp",
            "received_at", "context_ip", "properties", "Type", "user_id", "message_id", "publish_time",
        ]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(_JSON, st.sampled_from([None, "$.detail", "$.message.data"]))
def test_anything_at_all_is_events_or_rejections_that_say_nothing_of_its_values(value: Any, unwrap: str | None) -> None:
    outcomes = list(compile_parsing(takes_orders, unwrap)(line(value), lambda _: None))
    assert outcomes
    for outcome in outcomes:
        assert isinstance(outcome, (dict, Rejected))
        if isinstance(outcome, Rejected):
            assert outcome.code in CODES
            assert outcome.payload is None or isinstance(outcome.payload, bytes)


def test_characters_that_were_cut_are_counted_also_inside_of_an_envelope() -> None:
    counted: list[str] = []
    parsed = compile_parsing(takes_orders)
    cut = rb'{"type":"page","name":"\ud83d"}'
    for row in (cut, line(push(cut)), gzip.compress(cut)):
        assert list(parsed(row, counted.append)) == [{"type": "page", "name": "\ufffd"}]
    assert counted == [REPLACED] * 3


def test_every_code_of_parsing_has_its_sentence() -> None:
    listed = re.findall(r"[a-z_]+_[a-z_0-9]+", str(compile_parsing.__doc__).partition("Rejected:")[2].partition(".")[0])
    assert set(listed) <= CODES.keys()
    assert {"not_an_event", "unreadable_envelope"} <= set(listed)
