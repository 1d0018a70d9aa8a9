"""Dead letters put through again: which step, for whom, and what of the first rejection stays."""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter
from typing import Any

import orjson
import pytest

from pipeline.config import parse_job
from transforms.conversions import Ready, destination_key
from transforms.rejections import Rejected, Rejection
from transforms.replays import Choice, Origin, compile_replay, marked, parse_dead_letter, unmarked, with_origin

NOW = 1_795_000_000
JOB = parse_job(
    """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: env:TOKEN
    subscriptions:
      - {action: pageView, name: pages}
      - {action: custom, name: all, trigger: all, mapping: {event_name: Seen}}
"""
)
OLDER_WIRE = """
destinations:
  - name: stores
    type: facebook_offline_conversions
    access_token: env:TOKEN
    wire: offline_events
    events: {Order Completed: "555"}
"""
EVENT = {
    "type": "page",
    "messageId": "m1",
    "userId": "u1",
    "timestamp": NOW - 60,
    "context": {"userAgent": "UA", "page": {"url": "https://shop.example/"}},
}
BODY = {
    "event_time": NOW - 60,
    "event_name": "PageView",
    "event_id": "m1",
    "action_source": "website",
    "user_data": {"external_id": ["bb82030dbc2bcaba32a90bf2e207a84a856fc5f033b77c480836ab6f77f40f19"],
                  "client_user_agent": "UA"},
    "event_source_url": "https://shop.example/",
}  # fmt: skip
KEY = destination_key("web", "123")


def letter(stage: str, payload: Any, **changes: Any) -> dict[str, Any]:
    row = {
        "dead_lettered_at": NOW - 600,
        "stage": stage,
        "code": "gave_up_retrying" if stage == "send" else "missing_required_field",
        "message": "…",
        "destination": "web",
        "subscription": "pages",
        "dataset_id": "123",
        "event_id": "m1",
        "payload": payload,
        "retryable": stage == "send",
        "meta_code": None,
    }
    return {**row, **changes}


UNDIRECTED = {"destination": None, "subscription": None, "dataset_id": None, "event_id": None}


def replay(row: dict[str, Any]) -> tuple[list[Ready | Rejection], dict[str, int]]:
    counts: Counter[str] = Counter()

    def count(name: str) -> None:
        counts[name] += 1

    way = compile_replay(JOB.subscriptions, 4096)
    outcomes = way(parse_dead_letter(orjson.dumps(row), "Line 1 of dead.jsonl"), NOW, count, lambda _: lambda _: None)
    return list(outcomes), dict(counts)


def ready(name: str, body: dict[str, Any], replays: int = 1) -> Ready:
    return Ready(KEY, f"{name}\x1f{NOW - 600},{replays}\t".encode() + orjson.dumps(body))


@pytest.mark.parametrize("stage", ["name", "map", "hash"])
def test_an_event_is_mapped_again_for_the_subscription_that_rejected_it_alone(stage: str) -> None:
    assert replay(letter(stage, EVENT)) == ([ready("pages", BODY)], {"read": 1, "taken": 1, "matched:web/pages": 1})


@pytest.mark.parametrize(
    ("stage", "payload", "encoding"),
    [
        ("parse", orjson.dumps(EVENT).decode(), {}),
        ("parse", base64.b64encode(orjson.dumps(EVENT)).decode(), {"payload_encoding": "base64"}),
        ("filter", EVENT, {}),
    ],
)
def test_what_was_rejected_before_any_subscription_goes_to_all(
    stage: str, payload: Any, encoding: dict[str, str]
) -> None:
    outcomes, counts = replay(letter(stage, payload, **UNDIRECTED, **encoding))
    assert outcomes == [ready("pages", BODY), ready("all", {**BODY, "event_name": "Seen"})]
    assert counts == {"read": 1, "taken": 1, "matched:web/pages": 1, "matched:web/all": 1}


@pytest.mark.parametrize("stage", ["validate", "send"])
def test_a_ready_body_is_sent_as_it_is(stage: str) -> None:
    assert replay(letter(stage, BODY)) == ([ready("pages", BODY)], {"read": 1, "taken": 1, "matched:web/pages": 1})


def test_what_a_defect_kept_from_being_made_is_looked_through_whole_when_it_comes_back() -> None:
    fields = {
        **BODY,
        "event_source_url": "https://shop.example/?email=x&p=2",
        "referrer_url": "https://shop.example/?q=jane@example.com",
        "user_data": {"em": "jane@example.com", "client_user_agent": "UA"},
    }
    ((outcome,), _) = replay(letter("validate", fields, code="internal_error"))
    assert isinstance(outcome, Rejection)
    assert (outcome.stage, outcome.code) == ("validate", "unhashed_user_data")

    fields["user_data"] = BODY["user_data"]
    ((outcome,), _) = replay(letter("validate", fields, code="internal_error"))
    assert outcome == ready("pages", {**BODY, "event_source_url": "https://shop.example/?p=2"})


def test_a_ready_body_from_a_store_that_orders_keys_anew_still_begins_with_its_time() -> None:
    ((outcome,), _) = replay(letter("send", dict(sorted(BODY.items()))))
    assert isinstance(outcome, Ready)
    assert b'\t{"event_time":' in outcome.line


def test_a_ready_body_that_has_grown_too_old_is_rejected_again_and_keeps_its_origin() -> None:
    old = {**BODY, "event_time": NOW - 8 * 86400}
    ((outcome,), _) = replay(letter("send", old, first_dead_lettered_at=NOW - 900_000, replays=2))
    message = "The event is more than 7 days old, and Meta takes no older ones."
    rejection = Rejection("validate", "event_too_old", message, "web", "pages", "123", "m1", old)
    assert outcome == dataclasses.replace(rejection, first_dead_lettered_at=NOW - 900_000, replays=3)


def test_an_event_rejected_again_is_the_same_dead_letter_with_one_more_replay() -> None:
    row = letter("map", {**EVENT, "timestamp": "soon"}, first_dead_lettered_at=NOW - 900, replays=1)
    ((outcome,), counts) = replay(row)
    assert isinstance(outcome, Rejection)
    again = orjson.loads(outcome.encode(NOW))
    assert again == {
        **row,
        "code": "invalid_event_time",
        "message": again["message"],
        "dead_lettered_at": NOW,
        "replays": 2,
    }
    assert counts == {"read": 1, "taken": 1, "matched:web/pages": 1}


def test_an_event_that_its_trigger_does_not_take_any_more_is_filtered() -> None:
    assert replay(letter("map", {**EVENT, "type": "track"})) == ([], {"read": 1, "filtered": 1})


def test_a_line_that_still_is_no_event_is_the_same_dead_letter() -> None:
    ((outcome,), counts) = replay(letter("parse", "{oops", **UNDIRECTED))
    assert isinstance(outcome, Rejection)
    assert (outcome.stage, outcome.code, outcome.payload, outcome.replays) == ("parse", "invalid_json", b"{oops", 1)
    assert counts == {"read": 1, "unparsable": 1}


@pytest.mark.parametrize(
    ("code", "payload"),
    [
        ("unreadable_row", {"id": "m1", "timestamp": "soon"}),
        ("unreadable_rest", '{"type":"pa'),
        ("not_a_dead_letter", '{"type":"page"}'),
    ],
)
def test_what_was_never_the_text_of_an_event_stays_the_same_dead_letter(code: str, payload: Any) -> None:
    row = letter("parse", payload, code=code, **UNDIRECTED)
    for _ in range(2):
        ((outcome,), counts) = replay(row)
        assert isinstance(outcome, Rejection)
        assert (outcome.stage, outcome.code, outcome.payload) == ("parse", code, payload)
        assert counts == {"read": 1, "unparsable": 1}
        row = orjson.loads(outcome.encode(NOW))
    assert row["replays"] == 2


def test_an_event_of_the_older_wire_is_sent_as_it_is() -> None:
    job = parse_job(OLDER_WIRE)
    body = {"event_time": NOW - 60, "event_name": "Purchase", "match_keys": {"em": ["a" * 64]}, "value": 5.0,
            "currency": "EUR"}  # fmt: skip
    (subscription,) = job.subscriptions
    row = letter("send", body, destination="stores", subscription=subscription.name, dataset_id="555", event_id=None)
    way = compile_replay(job.subscriptions, 4096)
    parsed = parse_dead_letter(orjson.dumps(row), "Line 1 of dead.jsonl")
    (outcome,) = way(parsed, NOW, lambda _: None, lambda _: lambda _: None)
    assert isinstance(outcome, Ready), outcome
    assert outcome.key == destination_key("stores", "555", "", subscription.upload_tag)
    assert orjson.loads(outcome.line.partition(b"\t")[2]) == body


@pytest.mark.parametrize("stage", ["map", "send"])
def test_a_subscription_that_is_gone_is_said_and_nothing_is_lost(stage: str) -> None:
    payload = EVENT if stage == "map" else BODY
    ((outcome,), counts) = replay(letter(stage, payload, subscription="gone"))
    assert isinstance(outcome, Rejection)
    assert (outcome.stage, outcome.code, outcome.subscription, outcome.payload) == (
        stage,
        "not_in_job",
        "gone",
        payload,
    )
    assert counts == {"read": 1, "taken": 1, "matched:web/gone": 1}


def test_a_dataset_that_the_job_file_has_mended_gets_what_was_meant_for_the_old_one() -> None:
    assert replay(letter("send", BODY, dataset_id="999"))[0] == [ready("pages", BODY)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "it is not JSON"),
        (b" ", "it is empty"),
        (b"[]", "it is no JSON object"),
        (orjson.dumps(EVENT), "it has no dead_lettered_at"),
        (orjson.dumps(letter("sent", BODY)), "stage, dead_lettered_at or replays is none that capybeam writes"),
        (orjson.dumps(letter("map", "text")), "its payload is no object"),
        (orjson.dumps(letter("parse", {"a": 1})), "its payload is no text"),
        (orjson.dumps(letter("map", EVENT, subscription=None)), "it names no subscription"),
        (orjson.dumps(letter("send", EVENT)), "its payload is no server event"),
        (orjson.dumps(letter("map", EVENT, destination=5)), "a name in it is no text"),
    ],
)
def test_a_line_that_is_no_dead_letter_is_named(line: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as raised:
        parse_dead_letter(line, "Line 7 of dead.jsonl")
    assert raised.value.code == "not_a_dead_letter"
    assert raised.value.message == f"Line 7 of dead.jsonl is no dead letter: {reason}."
    assert raised.value.payload == line


@pytest.mark.parametrize(
    ("choice", "takes"),
    [
        (Choice(), True),
        (Choice(frozenset({"gave_up_retrying"})), True),
        (Choice(frozenset({"missing_value"})), False),
        (Choice(retryable=True), True),
        (Choice(frozenset({"missing_value"}), retryable=True), False),
    ],
)
def test_dead_letters_are_chosen_by_code_and_by_whose_fault_it_was(choice: Choice, takes: bool) -> None:
    assert choice.takes(parse_dead_letter(orjson.dumps(letter("send", BODY)), "")) is takes


def test_an_origin_travels_in_the_line_and_leaves_no_trace_in_names() -> None:
    line = marked(Ready(KEY, b"pages\t{}"), Origin(NOW, 2)).line
    assert line == b"pages\x1f1795000000,2\t{}"
    assert unmarked("web/pages\x1f1795000000,2") == unmarked("web/pages") == "web/pages"
    rejection = Rejection("send", "interrupted", "…", "web", f"pages\x1f{NOW},2")
    assert with_origin(rejection) == Rejection(
        "send", "interrupted", "…", "web", "pages", first_dead_lettered_at=NOW, replays=2
    )
    assert with_origin(Rejection("send", "interrupted", "…", "web", "pages")).replays == 0
