"""Rejections: codes with sentences, and one line of JSON for the dead letters whatever the payload."""

from __future__ import annotations

import json
import re
import time
import weakref
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capybeam import transforms
from capybeam.transforms.core.rejections import ANSWERED, CODES, FIELDS, Rejected, Rejection, as_rejected, reject


def strict(line: bytes) -> Any:
    """What a strict JSON reader makes of a line: no NaN, no Infinity."""

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(line, parse_constant=refuse)


# --- codes ------------------------------------------------------------------------------------------------------


def test_every_code_that_is_raised_is_listed() -> None:
    raised = {
        code
        for module in Path(transforms.__file__).parent.rglob("*.py")
        for code in re.findall(r'Rejected\(\s*"(\w+)"', module.read_text(encoding="utf-8"))
    }
    assert len(raised) > 10
    assert raised - CODES.keys() == set()


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_a_word_with_a_sentence(code: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]+", code)
    assert re.fullmatch(r"\S.* .*\.", CODES[code])


def test_the_message_is_the_codes_own_sentence() -> None:
    rejected = Rejected("not_an_object")
    assert (rejected.code, rejected.message) == ("not_an_object", CODES["not_an_object"])


def test_a_detail_takes_the_sentences_place() -> None:
    rejected = Rejected("invalid_currency", "currency is not an ISO 4217 code.")
    assert (rejected.code, rejected.message) == ("invalid_currency", "currency is not an ISO 4217 code.")
    assert str(rejected) == "invalid_currency: currency is not an ISO 4217 code."


def test_an_unknown_code_cannot_be_raised_without_notice() -> None:
    with pytest.raises(KeyError):
        Rejected("no_such_code")


def test_a_rejection_takes_code_message_and_field_of_its_cause() -> None:
    cause = Rejected("missing_value")
    assert reject("validate", cause, destination="web", subscription="orders", event_id="m1") == Rejection(
        stage="validate",
        code="missing_value",
        message="A Purchase needs a value.",
        destination="web",
        subscription="orders",
        dataset_id=None,
        event_id="m1",
        payload=None,
        about="value",
        retryable=False,
    )


def test_the_payload_is_never_shown() -> None:
    rejection = Rejection("map", "mapping_failed", "No.", payload={"email": "jane@example.com"})
    assert "jane" not in repr(rejection)
    assert "jane" not in str(rejection)


# --- one line of JSON -------------------------------------------------------------------------------------------


def test_fields_are_those_of_codes_that_there_are() -> None:
    assert set(FIELDS) | ANSWERED <= set(CODES)
    assert not set(FIELDS) & ANSWERED, "what a destination answers is about no field"


def test_what_a_rejection_is_about_is_for_the_report_and_not_in_the_row() -> None:
    rejection = reject("map", Rejected("missing_required_field", field="currency, value"))
    assert rejection.about == "currency, value"
    assert "about" not in orjson.loads(rejection.encode())
    assert "about" not in rejection.row()


def test_a_row_carries_every_field() -> None:
    rejection = Rejection(
        stage="send",
        code="meta_refused_event",
        message="Meta refused the event.",
        destination="web",
        subscription="orders",
        dataset_id="123321",
        event_id="m1",
        payload={"event_name": "Purchase", "custom_data": {"value": 12.5}},
        retryable=True,
    )
    assert strict(rejection.encode(now=1_790_000_000.9)) == {
        "dead_lettered_at": 1_790_000_000,
        "stage": "send",
        "code": "meta_refused_event",
        "message": "Meta refused the event.",
        "destination": "web",
        "subscription": "orders",
        "dataset_id": "123321",
        "event_id": "m1",
        "payload": {"event_name": "Purchase", "custom_data": {"value": 12.5}},
        "retryable": True,
        "meta_code": None,
    }


@pytest.mark.parametrize(
    ("payload", "columns"),
    [
        ({"a": [1, "é"]}, {"payload": '{"a":[1,"é"]}'}),
        (b"{broken", {"payload": '"{broken"'}),
        (b"\xff", {"payload": '"/w=="', "payload_encoding": "base64"}),
        (None, {"payload": None}),
    ],
)
def test_in_a_table_the_payload_is_json_text(payload: Any, columns: dict[str, Any]) -> None:
    row = Rejection("parse", "invalid_json", "No.", payload=payload).row(now=7)
    assert {name: row[name] for name in columns} == columns
    assert row["dead_lettered_at"] == 7


@pytest.mark.parametrize(("event_id", "kept"), [("m1", "m1"), (None, None), ("m" * 20_000, None)])
def test_what_is_too_large_goes_without_its_payload_and_says_so(event_id: str | None, kept: str | None) -> None:
    whole = Rejection("map", "mapping_failed", "No.", "web", "orders", "123", event_id, {"email": "jane@example.com"})
    message = "No. The payload is left out: 12,345,678 bytes are more than Pub/Sub's 10 MB."
    assert whole.without_payload(12_345_678, "Pub/Sub's 10 MB") == Rejection(
        "map", "mapping_failed", message, "web", "orders", "123", kept, None
    )


def test_the_time_is_now_unless_it_is_given() -> None:
    before = int(time.time())
    row = strict(Rejection("parse", "invalid_json", "No.").encode())
    assert before <= row["dead_lettered_at"] <= time.time()


@pytest.mark.parametrize(
    ("payload", "columns"),
    [
        pytest.param(b'{"type":', {"payload": '{"type":'}, id="text that is no JSON stays text"),
        pytest.param("é\n".encode(), {"payload": "é\n"}, id="a newline is escaped"),
        pytest.param(b"\xff\x00", {"payload": "/wA=", "payload_encoding": "base64"}, id="not UTF-8: base64"),
        pytest.param(b"", {"payload": ""}, id="no bytes"),
        pytest.param(None, {"payload": None}, id="no payload"),
    ],
)
def test_bytes_travel_as_text_or_else_as_base64(payload: Any, columns: dict[str, Any]) -> None:
    assert strict(Rejection("parse", "invalid_json", "No.", payload=payload).encode(now=0)) == {
        "dead_lettered_at": 0,
        "stage": "parse",
        "code": "invalid_json",
        "message": "No.",
        "destination": None,
        "subscription": None,
        "dataset_id": None,
        "event_id": None,
        "retryable": False,
        "meta_code": None,
        **columns,
    }


@pytest.mark.parametrize("levels", [250, 260, 1000])
def test_a_payload_is_written_as_deep_as_events_can_be_read(levels: int) -> None:
    payload: Any = 1
    for _ in range(levels):
        payload = {"a": payload}
    written = orjson.loads(Rejection("map", "mapping_failed", "No.", payload=payload).encode(now=0))["payload"]
    for _ in range(levels):
        assert written.keys() == {"a"}
        written = written["a"]
    assert written == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(Rejected("missing_value"), "missing_value", id="a rejection stays itself"),
        pytest.param(RecursionError("jane@example.com"), "too_deeply_nested", id="endless depth is the event's fault"),
        pytest.param(KeyError("jane@example.com"), "internal_error", id="anything else is ours"),
    ],
)
def test_an_unforeseen_error_costs_one_event_and_is_not_quoted(error: Exception, code: str) -> None:
    rejected = as_rejected(error)
    assert rejected.code == code
    assert "jane" not in rejected.message


def test_a_rejection_keeps_no_event_alive() -> None:
    class Event(dict[str, Any]):
        pass

    def convert(event: Event) -> Rejected:
        try:
            raise Rejected("mapping_failed")
        except Exception as error:
            cause = as_rejected(error)
        return cause

    event = Event()
    kept = weakref.ref(event)
    cause = convert(event)
    del event
    assert (kept(), cause.code) == (None, "mapping_failed")


_PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=20) | _PAYLOADS, message=st.text(max_size=20), event_id=st.none() | st.text())
@example(payload={"total": 2**70, "rate": float("nan")}, message="No.", event_id=None)
@example(payload=[float("inf"), 2**64], message="No.", event_id=None)
@example(payload="\ud800", message="No.", event_id=None)
def test_any_rejection_is_one_line_of_json(payload: Any, message: str, event_id: str | None) -> None:
    line = Rejection("map", "mapping_failed", message, event_id=event_id, payload=payload).encode(now=0)
    assert b"\n" not in line
    row = strict(line)
    assert (row["code"], row["message"], row["event_id"]) == ("mapping_failed", message, event_id)
