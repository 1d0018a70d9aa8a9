"""`capybeam explain`: one event's way, and nothing personal on the terminal."""

from __future__ import annotations

import copy
import functools
import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from capybeam.pipeline.cli import main
from capybeam.pipeline.explain.advice import ADVICE
from capybeam.pipeline.explain.display import show
from capybeam.pipeline.explain.explanation import Explainer
from capybeam.pipeline.job.loader import Job, parse_job
from capybeam.pipeline.preview import preview
from capybeam.transforms.core.rejections import CODES, json_bytes
from tests import adversary
from tests.transforms.edits import edited

NOW = 1_795_341_600  # 2026-11-22T10:00:00Z
Json = dict[str, Any]

JOB = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    default_country: US
    test_event_code: TEST1
    subscriptions:
      - action: purchase
        name: orders
        mapping:
          content_name: {"@template": "{{properties.note}} for {{context.traits.firstName}}"}
          custom_data: {"@path": $.properties}
      - action: pageView
      - action: custom
        name: groups
        trigger: type = "group"
        mapping: {event_name: Joined}
  - name: stores
    type: facebook_offline_conversions
    access_token: env:META_ACCESS_TOKEN
    wire: offline_events
    events: {Order Completed: ["555", "556"]}
"""
TRAITS = {
    "email": "Jane.Roe@Example.com",
    "phone": "(650) 555-1212",
    "firstName": "Janette",
    "lastName": "Roebuck",
    "birthday": "1990-01-31",
    "city": "Springfield",
    "zip": "94025",
    "nick": "capyfan99",
    "address": {"street": "Elm Street 51", "city": "Springfield"},
}
ORDER: Json = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m-1",
    "timestamp": "2026-11-22T09:59:00Z",
    "userId": "user_1042",
    "properties": {"revenue": "24.9", "currency": "usd", "note": "gift",
                   "products": [{"product_id": "mug", "price": 5}]},
    "context": {"userAgent": "Mozilla/5.0 Gecko", "ip": "203.0.113.77", "page": {"url": "https://shop.example/?x=1"},
                "traits": TRAITS},
}  # fmt: skip


def job(text: str = JOB) -> Job:
    return parse_job(text, "job.yaml", date(2026, 11, 22))


@functools.cache
def explainer(text: str = JOB, show_values: bool = False) -> Explainer:
    return Explainer(job(text), NOW, show_values)


EXPLAINED = job()


def explained(event: Any, text: str = JOB, show_values: bool = False) -> Json:
    (found,) = explainer(text, show_values).events(orjson.dumps(event))
    return explainer(text, show_values).explain(found)


def mapped(event: Any) -> list[Json]:
    line = event if isinstance(event, bytes) else orjson.dumps(event)
    return [orjson.loads(orjson.dumps(outcome)) for outcome in preview(EXPLAINED, [line], NOW)]


def rows(explanation: Json, table: str = "fields", key: str = "field") -> dict[str, Json]:
    return {row[key]: row for row in explanation["conversions"][0][table]}


def terminal(explanation: Json) -> str:
    console = Console(file=io.StringIO(), width=200, soft_wrap=True)
    show(explanation, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


# --- what is explained ------------------------------------------------------------------------------------------------


def test_a_trigger_that_does_not_take_the_event_names_its_failed_condition() -> None:
    found = explained({**ORDER, "event": "order completed"}, show_values=False)
    assert found["status"] == "filtered"
    assert found["conversions"] == []
    assert found["triggers"][:2] == [
        {
            "destination": "web",
            "subscription": "orders",
            "takes": False,
            "failed": {
                "condition": 'event = "Order Completed"',
                "field": "event",
                "type": "string",
                "value": "order completed",
                "hint": "the event's text differs only in upper and lower case, or by blanks around it",
            },
        },
        {
            "destination": "web",
            "subscription": "pageView",
            "takes": False,
            "failed": {"condition": 'type = "page"', "field": "type", "type": "string", "value": "track"},
        },
    ]


def test_the_value_at_which_a_condition_fails_is_shown_as_every_other_value() -> None:
    event = {**ORDER, "properties": {**ORDER["properties"], "coupon": "jane@example.com"}}
    text = JOB.replace('trigger: type = "group"', 'trigger: properties.coupon = "none"')
    masked, shown = (explained(event, text, show_values) for show_values in (False, True))
    assert masked["triggers"][2]["failed"]["value"] == "aaa@aaa.aaa"
    assert shown["triggers"][2]["failed"]["value"] == "jane@example.com"


def test_each_field_says_what_it_looked_up_found_and_became() -> None:
    fields = rows(explained(ORDER))
    assert fields["value"] == {
        "field": "value",
        "directives": ["@path"],
        "lookups": [{"path": "$.properties.revenue", "found": True, "type": "string", "value": "99.9"}],
        "mapped": "99.9",
        "type": "string",
        "becomes": 24.9,
    }
    assert fields["currency"]["becomes"] == "USD"
    assert fields["user_data.email"]["mapped"] == "Aaaa.Aaa@Aaaa.aaa"
    assert fields["referrer_url"]["lookups"] == [{"path": "$.context.page.referrer", "found": False}]


def test_user_data_says_what_is_normalised_to_what_and_what_is_sent() -> None:
    found = explained(
        {**ORDER, "context": {**ORDER["context"], "traits": {**TRAITS, "postal_code": "-"}}}, show_values=True
    )
    table = rows(found, "user_data", "key")
    assert table["ph"] == {"key": "ph", "given": "(650) 555-1212", "normalised": "16505551212", "sent": "e323ec62…"}
    assert table["zp"]["dropped"] == "nothing is left of it that Meta would accept"
    assert found["conversions"][0]["notes"]["dropped_zp"] == 1


def test_a_ready_conversion_says_which_batch_it_joins() -> None:
    found = explained(ORDER)
    assert [conversion["batch"]["dataset_id"] for conversion in found["conversions"]] == ["123321", "555", "556"]
    assert found["conversions"][0]["batch"]["destination"] == "web"
    assert found["conversions"][0]["batch"]["test_event_code"] == "TEST1"


def test_a_rejected_conversion_says_where_why_and_what_would_help() -> None:
    found = explained({**ORDER, "properties": {"revenue": 5, "order_currency": "EUR", "Currency": "EUR"}})
    rejected = found["conversions"][0]
    assert (rejected["status"], rejected["stage"], rejected["code"]) == ("rejected", "map", "missing_required_field")
    assert rejected["advice"] == (
        'The event has $.properties.Currency; if that is it: currency: {"@path": "$.properties.Currency"}'
    )


def test_an_event_without_consent_says_so() -> None:
    text = JOB.replace("default_country: US", "default_country: US\n    consent: {any_of: [Ads]}", 1)
    found = explained(ORDER, text)
    assert (found["triggers"][0]["takes"], found["conversions"][-1]["status"]) == (True, "filtered")
    assert found["conversions"][-1]["reason"] == "consent_unknown"
    assert "Filtered, consent_unknown" in terminal(found)


def test_a_line_that_is_no_event_is_explained() -> None:
    (found,) = explainer().events(b"[]")
    assert explainer().explain(found) == {
        "status": "rejected",
        "stage": "parse",
        "code": "not_an_object",
        "message": "The line is valid JSON, but an event is a JSON object.",
        "advice": "Put each event on a line of its own, as an object.",
    }


def test_user_data_of_a_group_call_is_looked_up_where_a_run_looks_for_it() -> None:
    group = {**ORDER, "type": "group", "traits": {"email": "sales@example.com"}, "context": {"userAgent": "x"}}
    assert "mapped" not in rows(explained(group))["user_data.email"]


def test_there_is_advice_for_every_code_that_an_event_can_have_before_it_is_sent() -> None:
    replayed = {"not_a_dead_letter", "not_in_job"}
    sent = {"meta_refused_event", "destination_refused", "gave_up_retrying", "interrupted"}
    assert ADVICE.keys() == CODES.keys() - replayed - sent


# --- the same as a run ------------------------------------------------------------------------------------------------


def test_the_payload_is_maps() -> None:
    payloads = [conversion["payload"] for conversion in explained(ORDER, show_values=True)["conversions"]]
    assert payloads == [outcome["payload"] for outcome in mapped(ORDER)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(event=edited(st.just(ORDER), "email", "products", "length"))
def test_whatever_an_event_holds_its_outcomes_are_maps(event: Any) -> None:
    line = json_bytes(event)
    theirs = [outcome for outcome in mapped(line) if outcome["status"] != "filtered"]
    found = [explainer(JOB, True).explain(each) for each in explainer(JOB, True).events(line)]
    ours = [conversion for each in found for conversion in each.get("conversions", [each])]
    for one, other in zip(ours, theirs, strict=True):
        for key in ("status", "stage", "code", "message"):
            assert one.get(key) == other.get(key)
        if "payload" in other and b"[" * 40 not in line and b'{"a":' * 40 not in line:
            assert one["payload"] == other["payload"]
    orjson.dumps(found)
    terminal(found[0])


# --- what is shown ----------------------------------------------------------------------------------------------------


def secrets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from secrets(item)
    else:
        yield str(value)


PERSONAL = [*secrets(TRAITS), "user_1042", "Mozilla/5.0 Gecko", "203.0.113.77", "jane.roe@example.com", "16505551212"]


def test_nothing_personal_is_shown_unless_it_is_asked_for() -> None:
    event = copy.deepcopy(ORDER)
    event["properties"] |= {"note": "call Janette on (650) 555-1212", "coupon": "CAPYFAN99", "plan": {"Roebuck": 1}}
    found = explained(event)
    for text in (json.dumps(found, ensure_ascii=False), terminal(found)):
        assert [secret for secret in PERSONAL if secret.lower() in text.lower()] == []
    shown = terminal(explained(event, show_values=True))
    assert "Jane.Roe@Example.com" in shown
    assert "16505551212" in shown


MARKED = st.text(st.sampled_from("bcxyBCX1357éß@. -_+"), min_size=6, max_size=20).filter(
    lambda text: sum(map(str.isalnum, text)) >= 5
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    traits=st.dictionaries(st.sampled_from([*TRAITS, "plan", "score"]), MARKED, min_size=1),
    note=st.data(),
)
def test_no_value_of_traits_or_user_data_is_shown_wherever_else_it_stands(traits: Json, note: Any) -> None:
    secret = note.draw(st.sampled_from(list(traits.values())))
    event = copy.deepcopy(ORDER)
    event["context"]["traits"] = traits
    event["properties"] |= {"note": f"for {secret}", "coupon": secret, "order_id": secret}
    event["event"] = note.draw(st.sampled_from(["Order Completed", secret]))
    event["messageId"] = note.draw(st.sampled_from(["m-1", secret]))
    found = explained(event)
    for text in (json.dumps(found, ensure_ascii=False), terminal(found)):
        assert [value for value in traits.values() if value in text] == []


def test_no_character_of_an_event_controls_the_terminal() -> None:
    event = {**ORDER, "event": "\x1b[2J\u202e[bold]x[/bold]", "messageId": "\x07m"}
    text = terminal(explained(event, show_values=True))
    assert not set(text) & {"\x1b", "\u202e", "\x07"}
    assert "[bold]x[/bold]" in text


def test_an_event_takes_time_in_proportion_to_its_size() -> None:
    def run(line: bytes) -> None:
        for found in explainer().events(line):
            explainer().explain(found)

    for name in ("many keys of properties", "many items", "many names", "deep"):
        adversary.check_time(name, lambda n, name=name: orjson.dumps(adversary.EVENTS[name](n)), run, slack=400)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(JOB)
    page = {"type": "page", "messageId": "m-2", "timestamp": "2026-11-22T09:59:00Z"}
    lines = [ORDER, page, {"batch": [page, ORDER]}]
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n\n" for line in lines))
    return tmp_path


def run(files: Path, *arguments: str) -> Result:
    command = ["explain", "--config", str(files / "job.yaml"), "--input", str(files / "events.jsonl")]
    result = CliRunner().invoke(main, [*command, "--now", "2026-11-22T10:00:00Z", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        ([], [(1, "m-1")]),
        (["--line", "3"], [(3, "m-2")]),
        (["--line", "5"], [(5, "m-2"), (5, "m-1")]),
        (["--id", "m-2"], [(3, "m-2"), (5, "m-2")]),
        (["--id", "m-1", "--line", "5"], [(5, "m-1")]),
    ],
)
def test_the_event_that_is_asked_for_is_explained(files: Path, arguments: list[str], places: list[Any]) -> None:
    result = run(files, "--format", "json", *arguments)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["line"], each["event"]["message_id"]) for each in found] == places


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--id", "m-9"], "there is no event with the messageId of --id"),
        (["--line", "2"], "there is no event on line 2"),
        (["--line", "99"], "there is no event on line 99"),
    ],
)
def test_an_event_that_is_not_there_exits_with_2(files: Path, arguments: list[str], said: str) -> None:
    result = run(files, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == f"capybeam: {files / 'events.jsonl'}: {said}"


def test_people_read_the_way_from_triggers_to_the_batch(files: Path) -> None:
    text = run(files).stdout
    steps = [
        "Event (line 1): track Order Completed, messageId m-1",
        "✓ web/orders takes it",
        "✗ web/pageView: failed at",
        "web/orders → dataset 123321, as Purchase",
        "← $.properties.revenue = 99.9",
        "normalised",
        "The destination reads:",
        "Ready. It joins a batch of up to 1000 events with the same destination web",
    ]
    places = [text.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


def test_an_input_that_is_not_there_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    result = CliRunner().invoke(main, ["explain", "--config", str(tmp_path / "job.yaml"), "--input", "/nowhere.jsonl"])
    assert result.exit_code == 2
    assert result.stderr.endswith("capybeam: /nowhere.jsonl: No such file or directory\n")
