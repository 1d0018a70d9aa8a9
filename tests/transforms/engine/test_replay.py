"""Dead letters put through again: which step, for whom, and what of the first rejection stays."""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter
from typing import Any

import orjson
import pytest
from apache_beam.pvalue import TaggedOutput
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.report import RunReport
from capybeam.transforms.core.dead_letters import ReplayFilter, parse_dead_letter
from capybeam.transforms.core.envelope import Address, Envelope, Ready, ReplayHistory
from capybeam.transforms.core.rejections import Rejected, Rejection, json_bytes
from capybeam.transforms.delivery.isolation import rejection_of
from capybeam.transforms.engine.replay import compile_body_check, compile_replay, with_history
from capybeam.transforms.replaying import _ReplayDeadLetters
from tests.transforms.edits import edited
from tests.transforms.envelopes import sealed

NOW = 1_795_000_000
JOB_FILE = """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: env:TOKEN
    subscriptions:
      - {action: pageView, name: pages}
      - {action: custom, name: all, trigger: all, mapping: {event_name: Seen}}
"""
JOB = parse_job(JOB_FILE)
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
KEY = Address("web", "123").encode()


def letter(stage: Any, payload: Any, **changes: Any) -> dict[str, Any]:
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


def replay(row: dict[str, Any], unwrap: str | None = None) -> tuple[list[Ready | Rejection], dict[str, int]]:
    counts: Counter[str] = Counter()

    def count(name: str) -> None:
        counts[name] += 1

    way = compile_replay(JOB.subscriptions, 4096, unwrap)
    outcomes = way(parse_dead_letter(orjson.dumps(row), "Line 1 of dead.jsonl"), NOW, count, lambda _: lambda _: None)
    return list(outcomes), dict(counts)


def ready(name: str, body: dict[str, Any], replays: int = 1) -> Ready:
    return with_history(Ready(KEY, sealed(body, name)), ReplayHistory(NOW - 600, replays))


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
    urls = {"event_source_url": "https://shop.example/?p=2", "referrer_url": "https://shop.example/"}
    assert outcome == ready("pages", {**BODY, **urls})


def test_a_ready_body_from_a_store_that_orders_keys_anew_still_begins_with_its_time() -> None:
    ((outcome,), _) = replay(letter("send", dict(sorted(BODY.items()))))
    assert isinstance(outcome, Ready)
    assert Envelope.decode(outcome.line).body.startswith(b'{"event_time":')


def test_a_ready_body_that_has_grown_too_old_is_rejected_again_and_keeps_its_origin() -> None:
    old = {**BODY, "event_time": NOW - 8 * 86400}
    ((outcome,), _) = replay(letter("send", old, first_dead_lettered_at=NOW - 900_000, replays=2))
    message = "The event is more than 7 days old; Meta does not accept older events."
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


def test_a_line_that_was_no_event_is_unwrapped_by_the_job_file_as_it_is_now() -> None:
    row = letter("parse", orjson.dumps({"detail": EVENT}).decode(), code="not_an_event", **UNDIRECTED)
    outcomes, counts = replay(row, "$.detail")
    assert outcomes == [ready("pages", BODY), ready("all", {**BODY, "event_name": "Seen"})]
    assert counts == {"read": 1, "taken": 1, "matched:web/pages": 1, "matched:web/all": 1}


def test_a_line_of_several_events_is_opened_again_and_what_is_still_none_stays_a_dead_letter_of_its_own() -> None:
    line = orjson.dumps({"batch": [EVENT, 5], "context": {"locale": "en"}}).decode()
    outcomes, counts = replay(letter("parse", line, code="unreadable_envelope", **UNDIRECTED))
    *delivered, rejected = outcomes
    assert delivered == [ready("pages", BODY), ready("all", {**BODY, "event_name": "Seen"})]
    assert isinstance(rejected, Rejection)
    assert (rejected.code, rejected.payload, rejected.replays) == ("not_an_object", b"5", 1)
    assert counts == {"read": 2, "taken": 1, "unparsable": 1, "matched:web/pages": 1, "matched:web/all": 1}


def test_a_character_that_was_cut_costs_no_dead_letter_its_replay() -> None:
    cut = orjson.dumps(letter("parse", "LINE", code="invalid_json", **UNDIRECTED)).replace(b"LINE", b"\\ud83d")
    assert parse_dead_letter(cut, "Line 1").payload == "\ufffd".encode()
    line = orjson.dumps({**EVENT, "context": {**EVENT["context"], "userAgent": "CUT"}}).decode()
    ((first, _), counts) = replay(letter("parse", line.replace("CUT", "\\ud83d"), code="invalid_json", **UNDIRECTED))
    assert isinstance(first, Ready)
    assert '"client_user_agent":"\ufffd"'.encode() in first.line
    assert counts["note::replaced_characters"] == 1


@pytest.mark.parametrize(
    ("code", "payload"),
    [
        ("line_too_long", '{"type":"pa'),
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
    assert outcome.key == Address("stores", "555", "", subscription.upload_tag).encode()
    assert orjson.loads(Envelope.decode(outcome.line).body) == body


@pytest.mark.parametrize("stage", ["map", "send"])
def test_a_subscription_that_is_gone_is_reported_and_nothing_is_lost(stage: str) -> None:
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


def test_a_dataset_that_the_job_file_has_corrected_gets_what_was_meant_for_the_old_one() -> None:
    assert replay(letter("send", BODY, dataset_id="999"))[0] == [ready("pages", BODY)]


ROUTED = """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: {"@path": $.properties.brand}
    dataset_ids: LISTED
    access_token: env:TOKEN
    subscriptions:
      - {action: pageView, name: pages}
"""
OF_A_BRAND = {**EVENT, "properties": {"brand": "mugs"}}
UNLISTED = letter("name", OF_A_BRAND, code="unlisted_dataset", dataset_id=None)


@pytest.mark.parametrize(
    ("listed", "row", "expected"),
    [
        # An event is asked again, and goes where the job file says now, but never to another's dataset.
        ("{mugs: '123'}", letter("map", OF_A_BRAND), ["123"]),
        ("{mugs: '123'}", UNLISTED, ["123"]),
        (
            "{mugs: ['123', '456']}",
            UNLISTED,
            ["123", "456"],
        ),
        ("{mugs: ['123', '456']}", letter("map", OF_A_BRAND), ["123"]),
        ("{mugs: '456', hats: '123'}", letter("map", OF_A_BRAND), ["456"]),
        ("{mugs: ['456', '789'], hats: '123'}", letter("map", OF_A_BRAND), [("map", "not_in_job")]),
        ("{hats: '123'}", letter("map", OF_A_BRAND), [("name", "unlisted_dataset")]),
        # A body has no value to be asked, so that only its own dataset will do.
        ("{mugs: '123', hats: '456'}", letter("send", BODY), ["123"]),
        ("{mugs: '123', hats: '456'}", letter("send", BODY, dataset_id="999"), [("send", "not_in_job")]),
        ("{hats: '456'}", letter("send", BODY), [("send", "not_in_job")]),
    ],
)
def test_where_events_choose_their_dataset_nothing_goes_to_one_that_they_do_not_choose(
    listed: str, row: dict[str, Any], expected: list[Any]
) -> None:
    way = compile_replay(parse_job(ROUTED.replace("LISTED", listed)).subscriptions, 4096)
    found = way(parse_dead_letter(orjson.dumps(row), ""), NOW, lambda _: None, lambda _: lambda _: None)

    assert [
        Address.decode(each.key).dataset_id if isinstance(each, Ready) else (each.stage, each.code) for each in found
    ] == expected


@pytest.mark.parametrize("body", [BODY, {"event_time": NOW, "event_name": "PageView", "match_keys": {"em": ["a"]}}])
def test_a_body_of_another_wire_than_the_subscriptions_is_reported_and_nothing_is_lost(body: dict[str, Any]) -> None:
    offline = "match_keys" not in body
    job = parse_job(OLDER_WIRE) if offline else JOB
    subscription = job.subscriptions[0]
    names = {"destination": subscription.destination, "subscription": subscription.name, "dataset_id": None}
    parsed = parse_dead_letter(orjson.dumps(letter("send", body, **names)), "")
    counts: Counter[str] = Counter()
    way = compile_replay(job.subscriptions, 4096)
    (outcome,) = way(parsed, NOW, lambda name: counts.update([name]), lambda _: lambda _: None)
    assert isinstance(outcome, Rejection)
    assert (outcome.stage, outcome.code, outcome.payload) == ("send", "not_in_job", body)
    assert outcome.message == (
        "The subscription uses another wire in the job file, so its events have another format. Run the input again."
    )
    assert counts == {"read": 1, "taken": 1, f"matched:{subscription.key}": 1}


@pytest.mark.parametrize("code", ["internal_error", "too_deeply_nested"])
def test_fields_of_which_no_event_was_made_are_made_one_now(code: str) -> None:
    """What validating met as a surprise has the mapped fields as its payload, and not a body to be sent as it is."""
    mapping = "{custom_data: {'@path': $.properties}}"
    job = parse_job(JOB_FILE.replace("{action: pageView, name: pages}", f"{{action: pageView, mapping: {mapping}}}"))
    fields = {**BODY, "custom_data": {"email": "jane@example.com", "size": "L"}}
    row = letter("validate", fields, code=code, subscription="pageView")
    way = compile_replay(job.subscriptions, 4096)
    (outcome,) = way(parse_dead_letter(orjson.dumps(row), ""), NOW, lambda _: None, lambda _: lambda _: None)
    assert outcome == ready("pageView", {**BODY, "custom_data": {"size": "L"}})


def test_a_byte_order_mark_in_front_is_passed_over() -> None:
    line = b"\xef\xbb\xbf" + orjson.dumps(letter("send", BODY))
    assert parse_dead_letter(line, "").payload == BODY


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "it is not JSON"),
        (b" ", "it is empty"),
        (b"[]", "it is not a JSON object"),
        (orjson.dumps(EVENT), "it has no dead_lettered_at"),
        (orjson.dumps(letter("sent", BODY)), "its stage is not one of capybeam's"),
        (orjson.dumps(letter(["send"], BODY)), "its stage is not one of capybeam's"),
        (orjson.dumps(letter("parse", "{", code=["invalid_json"], **UNDIRECTED)), "its code is not text"),
        (orjson.dumps(letter("send", BODY, code="")), "its code is not text"),
        (orjson.dumps(letter("send", BODY, dead_lettered_at=NOW + 0.5)), "its time is not in Unix seconds"),
        (orjson.dumps(letter("send", BODY, dead_lettered_at=-1)), "its time is not in Unix seconds"),
        (orjson.dumps(letter("send", BODY, first_dead_lettered_at=None)), "its time is not in Unix seconds"),
        (orjson.dumps(letter("send", BODY, first_dead_lettered_at=2**63)), "its time is not in Unix seconds"),
        (orjson.dumps(letter("send", BODY, replays=True)), "its replays are not a count"),
        (orjson.dumps(letter("send", BODY, replays=2**63)), "its replays are not a count"),
        (orjson.dumps(letter("map", "text")), "its payload is not an object"),
        (orjson.dumps(letter("parse", {"a": 1}, **UNDIRECTED)), "its payload is not text"),
        (orjson.dumps(letter("parse", "{}", **UNDIRECTED, payload_encoding="gzip")), "its payload cannot be decoded"),
        (
            orjson.dumps(letter("parse", "e30!", **UNDIRECTED, payload_encoding="base64")),
            "its payload cannot be decoded",
        ),
        (orjson.dumps(letter("parse", "{}")), "it names a subscription, and at the stage parse an event has none yet"),
        (
            orjson.dumps(letter("filter", EVENT, destination=None)),
            "it names a subscription, and at the stage filter an event has none yet",
        ),
        (orjson.dumps(letter("map", EVENT, subscription="")), "it names no subscription"),
        (orjson.dumps(letter("map", EVENT, destination="")), "it names no subscription"),
        (
            orjson.dumps(letter("map", EVENT, destination="web/pages", subscription="x")),
            "its destination has a name that a job file cannot give",
        ),
        (orjson.dumps(letter("map", EVENT, subscription=None)), "it names no subscription"),
        (orjson.dumps(letter("send", EVENT)), "its payload is not an event of its destination"),
        (orjson.dumps(letter("map", EVENT, destination=5)), "a name in it is not text"),
        (orjson.dumps(letter("map", EVENT, event_id=["m1"])), "a name in it is not text"),
        *(
            (orjson.dumps(letter(stage, body)), "its payload is not an event of its destination")
            for stage in ("validate", "send")
            for body in (
                {key: value for key, value in BODY.items() if key != "user_data"},
                {**BODY, "user_data": [BODY["user_data"]]},
                {**BODY, "action_source": None},
                {**BODY, "event_time": True},
                {**BODY, "event_time": str(BODY["event_time"])},
                {**BODY, "custom_data": None},
                {**BODY, "custom_data": [1]},
                {**BODY, "app_data": ["i2"]},
                {**BODY, "messaging_channel": ["messenger"]},
                {**BODY, "event_id": 5},
                {**BODY, "match_keys": [1]},
            )
        ),
        (
            orjson.dumps(
                letter("validate", {"match_keys": {"em": ["a" * 64]}, **BODY, "user_data": 1}, code="internal_error")
            ),
            "its payload is not an event of its destination",
        ),
        (
            orjson.dumps(letter("validate", {**BODY, "user_data": {"fn": []}}, code="internal_error")),
            "its payload is not an event of its destination",
        ),
    ],
)
def test_a_line_that_capybeam_has_not_written_so_is_named(line: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as raised:
        parse_dead_letter(line, "Line 7 of dead.jsonl", compile_body_check(JOB.subscriptions))
    assert raised.value.code == "not_a_dead_letter"
    assert raised.value.message == f"Line 7 of dead.jsonl is not a capybeam dead letter: {reason}."
    assert raised.value.payload == line


@pytest.mark.parametrize(
    ("choice", "takes"),
    [
        (ReplayFilter(), True),
        (ReplayFilter(frozenset({"gave_up_retrying"})), True),
        (ReplayFilter(frozenset({"missing_value"})), False),
        (ReplayFilter(retryable=True), True),
        (ReplayFilter(frozenset({"missing_value"}), retryable=True), False),
    ],
)
def test_dead_letters_are_chosen_by_code_and_by_whose_fault_it_was(choice: ReplayFilter, takes: bool) -> None:
    assert choice.takes(parse_dead_letter(orjson.dumps(letter("send", BODY)), "")) is takes


def test_a_history_travels_in_the_envelope() -> None:
    ready = Ready(KEY, sealed(BODY, "pages"))
    envelope = Envelope.decode(with_history(ready, ReplayHistory(NOW, 2)).line)
    assert envelope == Envelope.decode(ready.line)._replace(history=ReplayHistory(NOW, 2))
    rejection = rejection_of(KEY, envelope.encode(), Rejected("interrupted"))
    assert (rejection.subscription, rejection.first_dead_lettered_at, rejection.replays) == ("pages", NOW, 2)


# --- whatever is edited ---------------------------------------------------------------------------------------------

EDITED_JOB = parse_job(
    """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: env:TOKEN
    default_country: US
    subscriptions:
      - {action: pageView, name: pages}
      - {action: purchase, trigger: 'type != "page"'}
      - action: custom
        name: all
        trigger: all
        mapping:
          event_name: {"@template": "{{type}} {{event}}"}
          action_source: {"@path": $.properties.source}
          app_data_field: {"@path": $.properties.app}
          messaging_channel: {"@path": $.properties.channel}
          custom_data: {"@merge": {direction: right, objects: [{"@path": $.properties}, {"@path": $.context}]}}
          user_data: {"@path": $.context.traits}
  - name: stores
    type: facebook_offline_conversions
    access_token: env:TOKEN
    events: {Order Completed: ["555", "556"]}
  - name: archive
    type: facebook_offline_conversions
    access_token: env:TOKEN
    wire: offline_events
    events: {Order Completed: "999"}
"""
)
PERSON = {"email": "jane@example.com", "externalId": "u1", "dateOfBirth": "1990-01-31", "zip": "94025", "gender": "f"}
PURCHASE = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m1",
    "userId": "u1",
    "timestamp": NOW - 60,
    "properties": {
        "revenue": 5,
        "currency": "USD",
        "source": "app",
        "channel": "messenger",
        "products": [{"product_id": "mug"}],
        "app": {"use_app_data": True, "version": "a2", "osVersion": "1"},
    },
    "context": {"userAgent": "UA", "ip": "203.0.113.7", "traits": PERSON},
}
APP_BODY = {**BODY, "action_source": "app", "app_data": {"extinfo": ["a2"] + ["x"] * 15}, "custom_data": {"value": 1}}
OLD_BODY = {
    "event_time": NOW - 60,
    "event_name": "Purchase",
    "match_keys": {"em": ["a" * 64]},
    "value": 5,
    "currency": "EUR",
}
LETTERS = [
    letter("parse", orjson.dumps(PURCHASE).decode(), code="invalid_json", **UNDIRECTED),
    letter("parse", base64.b64encode(b"{}").decode(), payload_encoding="base64", **UNDIRECTED),
    letter("parse", {"id": 1}, code="unreadable_row", **UNDIRECTED),
    letter("filter", PURCHASE, **UNDIRECTED),
    *(letter(stage, PURCHASE, subscription=name) for stage in ("name", "map", "hash") for name in ("purchase", "all")),
    letter("map", PURCHASE, destination="stores", subscription="events: Order Completed", dataset_id="556"),
    letter("map", PURCHASE, destination="archive", subscription="events: Order Completed", dataset_id="999"),
    letter("send", BODY),
    letter("validate", APP_BODY, code="invalid_extinfo", subscription="all"),
    letter("validate", {**APP_BODY, "value": 5, "test_event_code": "T"}, code="internal_error", subscription="all"),
    letter("send", OLD_BODY, destination="archive", subscription="events: Order Completed", dataset_id="999"),
    letter("send", BODY, first_dead_lettered_at=NOW - 900, replays=1),
]


@pytest.fixture(scope="module")
def step() -> _ReplayDeadLetters:
    step = _ReplayDeadLetters(EDITED_JOB.subscriptions, 4 * 1024 * 1024, ReplayFilter(), lambda: NOW, False, None)
    step.setup()
    return step


KEYS = ("match_keys", "payload_encoding", "replays", "first_dead_lettered_at", "event_time", "email", "app_data_field")


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(row=edited(st.sampled_from(LETTERS), *KEYS) | st.sampled_from(LETTERS))
def test_whatever_is_edited_becomes_what_it_can_and_the_books_balance(step: _ReplayDeadLetters, row: Any) -> None:
    step.start_bundle()
    outcomes = list(step.process(("Line 1", json_bytes(row))))
    counts = Counter(step.counters)
    for outcome in outcomes:
        if isinstance(outcome, TaggedOutput):
            assert outcome.value.code != "internal_error"
            parse_dead_letter(outcome.value.encode(NOW), "What is rejected again")
        else:
            envelope = Envelope.decode(outcome.line)
            assert orjson.loads(envelope.body)["event_time"] == envelope.event_time > 0
            counts[f"delivered:{Address.decode(outcome.key).destination}/{envelope.subscription}"] += 1
    assert counts["read"] == 1
    assert RunReport.from_counts(counts).balanced
