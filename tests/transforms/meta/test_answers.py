"""What each answer of the Graph API means for a sender, code by code, and how a request is put together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.transforms.delivery.answers import Answer, Kind, Trouble
from capybeam.transforms.meta.answers import RESPONSE_RULES, classify, failed, read_usage
from capybeam.transforms.meta.destinations import request_body

Json = dict[str, Any]


def error_body(code: int, subcode: int | None = None, **more: Any) -> bytes:
    error: Json = {"message": "Invalid parameter", "type": "OAuthException", "code": code, **more}
    if subcode is not None:
        error["error_subcode"] = subcode
    return json.dumps({"error": error}).encode()


def kind(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Kind:
    return classify(status, headers or {}, body, 3).kind


# --- success ----------------------------------------------------------------------------------------------------


def test_an_acknowledgement_of_every_event_is_a_delivery() -> None:
    body = b'{"events_received": 3, "messages": [], "fbtrace_id": "AbC"}'

    assert classify(200, {}, body, 3) == Answer("delivered", fbtrace_id="AbC")


def test_what_meta_remarks_on_a_delivery_is_kept() -> None:
    body = b'{"events_received": 3, "messages": ["one event has no fbp", "x"], "fbtrace_id": "AbC"}'

    assert classify(200, {}, body, 3) == Answer("delivered", fbtrace_id="AbC", messages=("one event has no fbp", "x"))


@pytest.mark.parametrize("received", [1, 2])
def test_a_short_acknowledgement_is_no_success(received: int) -> None:
    body = json.dumps({"events_received": received, "messages": [], "fbtrace_id": "AbC"}).encode()

    assert classify(200, {}, body, 3) == Answer("short", f"Meta acknowledged {received} of 3 events.", fbtrace_id="AbC")


@pytest.mark.parametrize("received", [0, -1])
def test_an_acknowledgement_of_nothing_is_a_failure_that_may_pass(received: int) -> None:
    body = json.dumps({"events_received": received, "messages": [], "fbtrace_id": "AbC"}).encode()
    message = f"Meta acknowledged {received} of 3 events."

    assert classify(200, {}, body, 3) == Answer("transient", message, fbtrace_id="AbC")


def test_an_acknowledgement_of_more_events_than_were_sent_is_not_a_success() -> None:
    body = b'{"events_received": 4, "messages": [], "fbtrace_id": "AbC"}'

    assert classify(200, {}, body, 3) == Answer("transient", "Meta acknowledged 4 of 3 events.", fbtrace_id="AbC")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html><body>Welcome</body></html>",
        b"{}",
        b"[]",
        b"null",
        b"3",
        b'{"events_received": "3"}',
        b'{"events_received": true}',
        b'{"events_received": null}',
        b'{"events_received": 3.0}',
        b'{"data": []}',
        b"\xff\xfe",
        b'{"events_received": 3',
    ],
    ids=repr,
)
def test_a_200_that_does_not_say_how_many_events_it_took_is_tried_again(body: bytes) -> None:
    assert classify(200, {}, body, 3) == Answer(
        "transient", "The server answered 200 without saying how many events it received."
    )


# --- errors, by Meta's code: one row for each -------------------------------------------------------------------

THROTTLED = [4, 17, 32, 613, *range(80000, 80015)]
TRANSIENT = [1, 2, 341, 5000, 21009]
DESTINATION = [190, 102, 10, 200, 210, 254, 275, 294, 299, 2635, 368, 3, 5, 12, 101, 103, 104, 803, 2500]
EVENT_SUBCODES = [
    2804001,
    2804003,
    2804007,
    2804009,
    2804010,
    2804016,
    2804017,
    2804019,
    2804036,
    2804048,
    2804050,
    2804066,
]

TABLE_OF_CODES: list[tuple[int, int | None, Kind]] = [
    *[(code, None, "throttled") for code in THROTTLED],
    *[(code, None, "transient") for code in TRANSIENT],
    *[(code, None, "destination") for code in DESTINATION],
    (190, 460, "destination"),
    (190, 463, "destination"),
    (190, 467, "destination"),
    (100, 33, "destination"),
    *[(100, subcode, "event") for subcode in EVENT_SUBCODES],
    (100, None, "unknown"),
    (100, 1, "unknown"),
    (100, 2804999, "event"),
    (100, 2805000, "unknown"),
    (105, None, "request"),
    # next to the ranges, and unknown
    (80015, None, "unknown"),
    (79999, None, "unknown"),
    (199, None, "unknown"),
    (300, None, "unknown"),
    (33, None, "unknown"),
    (12345, None, "unknown"),
    (0, None, "unknown"),
]


@pytest.mark.parametrize(("code", "subcode", "expected"), TABLE_OF_CODES)
def test_a_code_decides_what_an_error_means(code: int, subcode: int | None, expected: Kind) -> None:
    assert kind(400, error_body(code, subcode)) == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, error_body(4), "throttled"),
        (403, error_body(200), "destination"),
        (401, error_body(190), "destination"),
        (500, error_body(1), "transient"),
        (500, error_body(80004), "throttled"),
        (429, error_body(12345), "throttled"),
        (429, b"", "throttled"),
        (429, b"<html>slow down</html>", "throttled"),
        (413, b"", "request"),
        (413, b"<html>too large</html>", "request"),
        (413, error_body(12345), "request"),
        (400, error_body(100, is_transient=True), "transient"),
        (400, error_body(12345, is_transient=True), "transient"),
        (400, error_body(100, 2804003, is_transient=False), "event"),
        (400, error_body(12345, is_transient="yes"), "unknown"),
        (404, error_body(12345), "unknown"),
        (422, error_body(12345), "unknown"),
        (400, b'{"error": {"code": "190", "error_subcode": "463"}}', "destination"),
        (400, b'{"error": {"code": "100", "error_subcode": "2804050"}}', "event"),
        (400, b'{"error": {"code": "none"}}', "unknown"),
        (400, b'{"error": {"message": "no code"}}', "unknown"),
        (404, b'{"error": "not found"}', "unknown"),
        (400, b'{"error": {}}', "transient"),
        (400, error_body(100, type="GraphMethodException"), "destination"),
        (400, error_body(100, 33, type="GraphMethodException"), "destination"),
        (400, error_body(100, 2804050, type="GraphMethodException"), "event"),
        (500, error_body(12345), "transient"),
        (503, error_body(12345), "transient"),
        (599, error_body(12345), "transient"),
    ],
)
def test_status_and_code_together(status: int, body: bytes, expected: Kind) -> None:
    assert kind(status, body) == expected


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
@pytest.mark.parametrize(
    "body", [b"", b"<!DOCTYPE html><html>Sorry, something went wrong.</html>", b"{", b"[]", b'{"error": "x"}'], ids=repr
)
def test_a_server_error_without_metas_body_is_transient(status: int, body: bytes) -> None:
    assert classify(status, {}, body, 3) == Answer("transient", f"HTTP {status} without one of Meta's error bodies.")


@pytest.mark.parametrize("status", [400, 404, 405, 408, 425])
@pytest.mark.parametrize(
    "body", [b"<html><body>Bad gateway</body></html>", b"", b"upstream connect error", b"{"], ids=repr
)
def test_an_html_or_unparsable_body_is_transient_whatever_its_status(status: int, body: bytes) -> None:
    """It is no word of Meta's on any event, so no event may be given up for it."""
    assert kind(status, body) == "transient"


@pytest.mark.parametrize("status", [301, 302, 304, 307])
def test_a_redirect_stops_the_destination_with_a_word_on_the_endpoint(status: int) -> None:
    answer = classify(status, {"Location": "https://elsewhere.example"}, b"", 3)

    assert answer.kind == "destination"
    assert answer.meaning.todo == (
        "The endpoint redirects elsewhere. Set `endpoint` to that address, if you trust it with the token."
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(100, 599), st.binary(max_size=40), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_any_answer_at_all_means_something(status: int, body: bytes, headers: dict[str, str]) -> None:
    answer = classify(status, headers, body, 1)

    assert answer.kind in ("delivered", "short", "throttled", "transient", "destination", "event", "unknown", "request")
    assert answer.kind != "delivered" or 200 <= status < 300


_SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 90000) | st.text(max_size=4) | st.lists(st.integers(), max_size=1)
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([200, 400, 403, 500]),
    st.fixed_dictionaries(
        {},
        optional={
            "events_received": _SCALARS,
            "messages": _SCALARS,
            "fbtrace_id": _SCALARS,
            "error": st.fixed_dictionaries(
                {},
                optional={
                    "code": _SCALARS,
                    "error_subcode": _SCALARS,
                    "message": _SCALARS,
                    "error_user_msg": _SCALARS,
                    "is_transient": _SCALARS,
                    "fbtrace_id": _SCALARS,
                },
            ),
        },
    ),
)
def test_a_body_with_the_right_keys_and_the_wrong_types_breaks_nothing(status: int, body: Json) -> None:
    answer = classify(status, {}, json.dumps(body).encode(), 1)

    assert (type(answer.message), type(answer.messages)) == (str, tuple)
    assert answer.fbtrace_id is None or isinstance(answer.fbtrace_id, str)


# --- what an answer says ----------------------------------------------------------------------------------------


def test_an_error_is_described_for_people_with_code_subcode_and_trace() -> None:
    body = error_body(
        100,
        2804003,
        error_user_title="Event Timestamp Too Old",
        error_user_msg="The timestamp for this event is too far in the past.",
        is_transient=False,
        fbtrace_id="AbC123",
    )

    assert classify(400, {}, body, 3) == Answer(
        kind="event",
        message="Meta, code 100, subcode 2804003: The timestamp for this event is too far in the past.",
        code=100,
        subcode=2804003,
        fbtrace_id="AbC123",
        messages=(),
        wait=None,
    )


def test_without_a_text_for_users_the_message_describes_it() -> None:
    assert classify(400, {}, error_body(190), 3) == Answer("destination", "Meta, code 190: Invalid parameter", 190)


def test_without_any_text_the_numbers_do() -> None:
    assert classify(400, {}, b'{"error": {"code": 368, "error_subcode": 7}}', 3) == Answer(
        "destination", "Meta, code 368, subcode 7.", 368, 7
    )


def test_a_text_in_another_language_changes_nothing() -> None:
    english = classify(400, {}, error_body(100, 2804050, error_user_msg="temporarily blocked, rate limit"), 3)
    german = classify(400, {}, error_body(100, 2804050, error_user_msg="vorübergehend"), 3)

    assert (
        (english.kind, english.code, english.subcode)
        == (german.kind, german.code, german.subcode)
        == (
            "event",
            100,
            2804050,
        )
    )


@pytest.mark.parametrize(
    ("code", "subcode", "words"),
    [
        (
            190,
            None,
            "Store a new access token where the job file points.",
        ),
        (
            190,
            463,
            "Store a new access token where the job file points.",
        ),
        (
            102,
            None,
            "Store a new access token where the job file points.",
        ),
        (
            100,
            33,
            "The dataset does not exist, or the token may not use it. Check its ID; assign the dataset to the token.",
        ),
        (2635, None, "Set api_version to a newer one in the job file."),
        (
            368,
            None,
            "Meta has blocked the account for policy reasons. See the Account Quality page in Meta Business Suite.",
        ),
        (
            10,
            None,
            "The token lacks a permission. It needs ads_management or a system user with access to the dataset.",
        ),
        (
            200,
            None,
            "The token lacks a permission. It needs ads_management or a system user with access to the dataset.",
        ),
    ],
)
def test_an_operator_reads_what_to_do_about_a_destination(code: int, subcode: int | None, words: str) -> None:
    assert classify(400, {}, error_body(code, subcode), 3).meaning.todo == words


# --- how long to wait -------------------------------------------------------------------------------------------


def usage(*minutes: Any, business: str = "123") -> str:
    return json.dumps(
        {
            business: [
                {
                    "type": "ads_management",
                    "call_count": 100,
                    "total_cputime": 25,
                    "total_time": 25,
                    "estimated_time_to_regain_access": minute,
                }
                for minute in minutes
            ]
        }
    )


def waits() -> Iterator[Any]:
    header = "X-Business-Use-Case-Usage"
    yield pytest.param({}, None, id="no_header")
    yield pytest.param({header: usage(5)}, 300.0, id="minutes_of_meta")
    yield pytest.param({header: usage(1, 12, 3)}, 720.0, id="the_longest_of_several")
    yield pytest.param({header: usage(0)}, None, id="none_to_wait")
    yield pytest.param({header: usage(0.5)}, 30.0, id="half_a_minute")
    two = {**json.loads(usage(2, business="1")), **json.loads(usage(7, business="2"))}
    yield pytest.param({header: json.dumps(two)}, 420.0, id="two_businesses")
    yield pytest.param({"Retry-After": "30"}, 30.0, id="retry_after")
    yield pytest.param({"Retry-After": "30", header: usage(1)}, 60.0, id="both")
    dated = {"Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    yield pytest.param({"Retry-After": "Wed, 21 Oct 2026 07:30:00 GMT", **dated}, 120.0, id="retry_after_a_date")
    yield pytest.param({"Retry-After": "Wed, 21 Oct 2026 07:20:00 GMT", **dated}, 0.0, id="retry_after_a_past_date")
    yield pytest.param({"Retry-After": "1.5"}, 1.5, id="retry_after_a_fraction")
    for nonsense in ("-5", "soon", "1e999", "9" * 5000, "Wed, 99 Oct 2026", "nan", "inf"):
        yield pytest.param({"Retry-After": nonsense}, None, id=f"retry_after_{nonsense[:9]}")
    yield pytest.param(
        {"X-App-Usage": '{"call_count": 100, "total_time": 25, "total_cputime": 25}'}, None, id="app_usage"
    )
    for number, nonsense in enumerate(
        ["", "{", "[]", "5", '{"1": 5}', '{"1": [5]}', '{"1": [{}]}', '{"1": null}', usage(None), usage("5"), usage(-1)]
    ):
        yield pytest.param({header: nonsense}, None, id=f"nonsense_{number}")


@pytest.mark.parametrize(("headers", "seconds"), waits())
@pytest.mark.parametrize("body", [error_body(80004), error_body(2)], ids=["throttled", "transient"])
def test_the_headers_say_how_long_to_wait(headers: dict[str, str], seconds: float | None, body: bytes) -> None:
    assert classify(400, headers, body, 3).wait == seconds


@pytest.mark.parametrize("body", [error_body(190), error_body(100, 2804003), error_body(105)])
def test_nobody_waits_to_be_refused_again(body: bytes) -> None:
    assert classify(400, {"Retry-After": "30", "X-Business-Use-Case-Usage": usage(5)}, body, 3).wait is None


@pytest.mark.parametrize(
    ("headers", "usage_and_regain"),
    [
        ({}, (0.0, None)),
        ({"X-App-Usage": '{"call_count": 28, "total_time": 76.5, "total_cputime": 25}'}, (76.5, None)),
        ({"X-Ad-Account-Usage": '{"acc_id_util_pct": 9.67}'}, (9.67, None)),
        ({"X-Business-Use-Case-Usage": usage(0, 3)}, (100.0, 180.0)),
        ({"X-App-Usage": '{"call_count": 90}', "X-Business-Use-Case-Usage": "nonsense"}, (90.0, None)),
        ({"X-App-Usage": '{"call_count": "90", "total_time": true, "total_cputime": null}'}, (0.0, None)),
        ({"X-App-Usage": "[90]"}, (0.0, None)),
    ],
    ids=["none", "app", "ad account", "business", "fullest that can be read", "wrong types", "no object"],
)
def test_the_usage_headers_are_read_for_the_fullest_limit(
    headers: dict[str, str], usage_and_regain: tuple[float, float | None]
) -> None:
    assert read_usage(headers) == usage_and_regain


def test_a_delivery_tells_how_much_of_the_limit_is_used_up_and_when_it_is_regained() -> None:
    answer = classify(200, {"X-Business-Use-Case-Usage": usage(5)}, b'{"events_received": 3}', 3)

    assert (answer.kind, answer.usage, answer.regain, answer.wait) == ("delivered", 100.0, 300.0, None)


# --- no answer at all -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ("timeout", "transient"),
        ("unreachable", "transient"),
        ("broken", "transient"),
        ("endless", "transient"),
        ("repeated", "transient"),
        ("certificate", "destination"),
    ],
)
def test_what_keeps_an_answer_away_is_in_the_table_too(trouble: Any, expected: Kind) -> None:
    answer = failed(trouble, "It did not answer.")

    assert (answer.kind, answer.message, answer.meaning.trouble) == (expected, "It did not answer.", trouble)


def test_every_row_of_the_table_is_reached_and_destinations_say_what_to_do() -> None:
    reached = {
        id(answer.meaning)
        for answer in (
            *(classify(200, {}, b'{"events_received":%d}' % received, 2) for received in (0, 1, 2, 3)),
            classify(200, {}, b"{}", 2),
            classify(400, {}, b'{"error": "x"}', 2),
            classify(400, {}, error_body(100, type="GraphMethodException"), 2),
            *(failed(trouble, "") for trouble in get_args(Trouble)),
            *(classify(400, {}, error_body(code, subcode), 1) for code, subcode, _ in TABLE_OF_CODES),
            *(classify(status, {}, b"", 1) for status in (302, 401, 404, 413, 429, 500)),
            classify(400, {}, error_body(12345, is_transient=True), 1),
        )
    }

    assert reached == {id(row) for row in RESPONSE_RULES}
    assert [row.means for row in RESPONSE_RULES if (row.kind == "destination") != bool(row.todo)] == []


# --- what is not repeated ---------------------------------------------------------------------------------------


def test_a_token_that_meta_quotes_is_not_repeated_nor_are_its_words_in_the_summary() -> None:
    body = error_body(190, 463, message="Malformed access token EAABsbCS1iHgBAGZB4ZC9 of jane@example.com")
    answer = classify(400, {}, body, 1)

    assert answer.message == "Meta, code 190, subcode 463: Malformed access token … of jane@example.com"
    assert answer.summary == "Meta, code 190/463: the token is invalid or has expired."


# --- the request ------------------------------------------------------------------------------------------------


def test_a_request_holds_its_events_as_they_are() -> None:
    one, two = b'{"event_name":"Purchase","custom_data":{"value":9.50}}', '{"event_name":"Größe"}'.encode()

    assert request_body([one, two]) == b'{"data":[' + one + b"," + two + b"]}"
    assert request_body([one]) == b'{"data":[' + one + b"]}"


def test_a_test_event_code_goes_beside_them() -> None:
    assert request_body([b"{}"], upload_tag="läden") == '{"data":[{}],"upload_tag":"läden"}'.encode()
    assert request_body([b"{}"], "T", "Segment") == b'{"data":[{}],"test_event_code":"T","upload_tag":"Segment"}'
    assert request_body([b'{"event_name":"Lead"}'], "TEST123") == (
        b'{"data":[{"event_name":"Lead"}],"test_event_code":"TEST123"}'
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.dictionaries(st.text(max_size=8), st.integers(-9, 9) | st.text(max_size=8), max_size=3), max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
def test_a_request_reads_back_as_its_events_and_its_code(events: list[Json], code: str) -> None:
    read = json.loads(request_body([json.dumps(event).encode() for event in events], code))

    assert read == ({"data": events, "test_event_code": code} if code else {"data": events})
