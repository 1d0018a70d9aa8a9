"""The faults of the sandbox: how they are switched on, and what a sender sees."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from capybeam.pipeline.sandbox.faults import SWITCHES, Faults, parse_fault
from capybeam.pipeline.sandbox.server import SandboxServer
from tests.pipeline.sandbox.senders import DATASET, Json, event, post, refusal


def test_error_rate_answers_a_transient_500(sandbox: SandboxServer) -> None:
    sandbox.set_faults(error_rate=1)

    response = post(sandbox, event())
    assert refusal(response) == (500, 2, None)
    assert response.json()["error"]["is_transient"] is True
    assert sandbox.stats()["events_stored"] == 0


def test_html_rate_answers_a_502_in_html(sandbox: SandboxServer) -> None:
    sandbox.set_faults(html_rate=1)

    response = post(sandbox, event())
    assert (response.status_code, response.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert response.text.startswith("<!DOCTYPE html>")
    assert sandbox.stats()["events_stored"] == 0


@pytest.mark.parametrize("status", [400, 429])
def test_throttle_rate_says_when_to_come_back(sandbox: SandboxServer, status: int) -> None:
    sandbox.set_faults(throttle_rate=1, throttle_status=status, retry_minutes=3)

    response = post(sandbox, event())
    assert refusal(response) == (status, 80004, 2446079)
    assert json.loads(response.headers["X-Business-Use-Case-Usage"]) == {
        DATASET: [
            {
                "type": "ads_management",
                "call_count": 100,
                "total_cputime": 100,
                "total_time": 100,
                "estimated_time_to_regain_access": 3,
            }
        ]
    }
    assert sandbox.stats()["events_stored"] == 0


def test_usage_percent_is_reported_in_the_headers_of_good_answers(sandbox: SandboxServer) -> None:
    sandbox.set_faults(usage_percent=80)

    headers = post(sandbox, event()).headers
    usage = {"call_count": 80, "total_cputime": 80, "total_time": 80}
    assert json.loads(headers["X-App-Usage"]) == usage
    assert json.loads(headers["X-Business-Use-Case-Usage"]) == {
        DATASET: [{"type": "ads_management", **usage, "estimated_time_to_regain_access": 0}]
    }


@pytest.mark.parametrize(("fault", "stored"), [("drop_before_rate", 0), ("drop_after_rate", 1)])
def test_a_dropped_connection_has_no_answer(sandbox: SandboxServer, fault: str, stored: int) -> None:
    sandbox.set_faults(**{fault: 1})

    with pytest.raises(requests.ConnectionError):
        post(sandbox, event())
    assert sandbox.stats()["events_stored"] == stored


def test_short_rate_loses_the_last_event(sandbox: SandboxServer) -> None:
    sandbox.set_faults(short_rate=1)

    assert post(sandbox, event(), event(event_id="order-2")).json()["events_received"] == 1
    assert sandbox.event_ids(DATASET) == [("Purchase", "order-1")]


def test_excess_rate_reports_that_more_was_received_than_was_sent(sandbox: SandboxServer) -> None:
    sandbox.set_faults(excess_rate=1)

    assert post(sandbox, event()).json()["events_received"] == 2
    assert sandbox.event_ids(DATASET) == [("Purchase", "order-1")]


def test_double_rate_sends_an_answer_twice_on_its_connection(sandbox: SandboxServer) -> None:
    sandbox.set_faults(double_rate=1)
    body = json.dumps({"data": [event()], "access_token": "a-token"}).encode()

    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port), timeout=10) as sender:
        head = f"POST /v25.0/{DATASET}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        sender.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        received = b""
        while len(traces := re.findall(rb'"fbtrace_id":"([^"]+)"', received)) < 2:
            received += sender.recv(4096)
    assert traces[0] == traces[1]


@pytest.mark.parametrize("faults", [{"latency": 0.2}, {"slow_rate": 1, "slow_seconds": 0.2}])
def test_slow_answers_are_late_but_good(sandbox: SandboxServer, faults: dict[str, float]) -> None:
    sandbox.set_faults(**faults)

    start = time.monotonic()
    assert post(sandbox, event()).status_code == 200
    assert time.monotonic() - start >= 0.2


def test_a_batch_is_stored_although_the_sender_gave_up_waiting(sandbox: SandboxServer) -> None:
    sandbox.set_faults(latency=0.3)

    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{sandbox.url}/v25.0/{DATASET}/events",
            json={"data": [event()]},
            headers={"Authorization": "Bearer a-token"},
            timeout=0.1,
        )
    time.sleep(0.4)
    assert sandbox.event_ids(DATASET) == [("Purchase", "order-1")]


def test_dead_token_refuses_every_request_until_it_is_switched_off(sandbox: SandboxServer) -> None:
    sandbox.set_faults(dead_token=True)
    assert refusal(post(sandbox, event())) == (400, 190, 463)

    sandbox.set_faults(dead_token=False)
    assert post(sandbox, event()).status_code == 200


def test_an_event_that_meta_alone_knows_to_be_bad_fails_its_whole_batch(sandbox: SandboxServer) -> None:
    sandbox.set_faults(refused_ids="cursed")
    assert refusal(post(sandbox, event(), event(event_id="cursed-1"))) == (400, 100, 2804019)
    assert post(sandbox, event(), event(event_id=None)).json()["events_received"] == 2
    assert sandbox.stats()["events_stored"] == 2


@pytest.mark.parametrize(("subcode", "expected"), [(0, (400, 4711, None)), (12, (400, 4711, 12))])
def test_from_a_request_on_everything_is_refused_with_any_code(
    sandbox: SandboxServer, subcode: int, expected: tuple[int, int, int | None]
) -> None:
    sandbox.set_faults(refused_code=4711, refused_subcode=subcode, refused_after=2)
    assert [post(sandbox, event(event_id=f"e{n}")).status_code for n in range(2)] == [200, 200]
    assert [refusal(post(sandbox, event(event_id=f"e{n}"))) for n in (2, 3)] == [expected] * 2
    assert sandbox.stats()["injected_faults"] == {"refused": 2}
    assert sandbox.stats()["events_stored"] == 2


def test_a_request_of_too_many_events_is_too_large(sandbox: SandboxServer) -> None:
    sandbox.set_faults(max_events=2)
    events = [event(event_id=f"e{n}") for n in range(3)]
    assert post(sandbox, *events).status_code == 413
    assert post(sandbox, *events[:2]).status_code == 200
    assert sandbox.stats()["injected_faults"] == {"too_large": 1}


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        ("error", 500, {"error": {"message": "An unknown error occurred", "type": "OAuthException", "code": 1}}),
        ("transient", 400, {"error": {"message": "Try again later", "code": 4711, "is_transient": True}}),
        ("html", 502, None),
        ("no_code", 400, {"error": {"message": "Something is wrong"}}),
        ("text_code", 400, {"error": {"message": "Something is wrong", "code": "1", "is_transient": "true"}}),
        ("text_error", 400, {"error": "Something is wrong"}),
        ("unknown", 400, {"error": {"message": "Something is wrong", "type": "OAuthException", "code": 4711}}),
        ("silence", 200, {}),
    ],
)
def test_an_event_that_the_server_fails_on_fails_its_whole_batch_as_asked(
    sandbox: SandboxServer, answer: str, status: int, body: Json | None
) -> None:
    sandbox.set_faults(poisoned_ids="venom", poison_answer=answer)
    failed = post(sandbox, event(), event(event_id="venom-1"))
    assert (failed.status_code, failed.json() if body is not None else None) == (status, body)
    assert post(sandbox, event()).status_code == 200
    assert sandbox.stats()["events_stored"] == 1
    assert sandbox.stats()["injected_faults"] == {"poisoned": 1}


@pytest.mark.parametrize(
    ("answer", "error"), [("drop", requests.ConnectionError), ("hang", requests.Timeout)], ids=["drop", "hang"]
)
def test_an_event_that_the_server_fails_on_may_be_left_without_an_answer(
    sandbox: SandboxServer, answer: str, error: type[Exception]
) -> None:
    sandbox.set_faults(poisoned_ids="venom", poison_answer=answer)
    url = f"{sandbox.url}/v25.0/{DATASET}/events"
    with pytest.raises(error):
        requests.post(url, json={"data": [event(event_id="venom-1")], "access_token": "t"}, timeout=0.3)
    assert post(sandbox, event()).status_code == 200
    assert sandbox.stats()["events_stored"] == 1


def test_slow_answers_are_counted(sandbox: SandboxServer) -> None:
    sandbox.set_faults(slow_rate=1, slow_seconds=0.01)
    post(sandbox, event())
    assert sandbox.stats()["injected_faults"] == {"slow": 1}


@pytest.mark.parametrize(("fault", "status", "code"), [("fail_next", 500, 2), ("throttle_next", 400, 80004)])
def test_the_next_requests_fail_and_then_all_is_well(
    sandbox: SandboxServer, fault: str, status: int, code: int
) -> None:
    sandbox.set_faults(**{fault: 2})

    answers = [post(sandbox, event()) for _ in range(3)]
    assert [a.status_code for a in answers] == [status, status, 200]
    assert [a.json()["error"]["code"] for a in answers[:2]] == [code, code]
    assert sandbox.stats()["faults"][fault] == 0


def test_the_seed_repeats_the_faults_and_each_has_its_share(sandbox: SandboxServer) -> None:
    def run(seed: int) -> list[int]:
        sandbox.set_faults(seed=seed, error_rate=0.3, html_rate=0.3)
        return [post(sandbox, event()).status_code for _ in range(200)]

    first, again, other = run(1), run(1), run(2)
    assert first == again
    assert first != other
    assert all(40 <= first.count(status) <= 110 for status in (200, 500, 502))


def test_faults_are_switched_and_shown_over_http(sandbox: SandboxServer) -> None:
    url = f"{sandbox.url}/sandbox/faults"
    default = requests.get(url, timeout=10).json()

    changed = requests.post(url, json={"error_rate": 0.5, "fail_next": 2}, timeout=10)
    assert (changed.status_code, changed.json()) == (200, {**default, "error_rate": 0.5, "fail_next": 2})
    assert requests.get(url, timeout=10).json() == changed.json()


@pytest.mark.parametrize(
    "faults",
    [
        {"no_such_fault": 1},
        {"error_rate": 1.5},
        {"error_rate": -0.1},
        {"error_rate": "often"},
        {"error_rate": True},
        {"error_rate": 0.6, "html_rate": 0.6},
        {"fail_next": 1.5},
        {"dead_token": 1},
        {"refused_ids": 7},
        {"throttle_status": 503},
        [],
    ],
)
def test_invalid_faults_are_refused_and_change_nothing(sandbox: SandboxServer, faults: Any) -> None:
    before = sandbox.stats()

    response = requests.post(f"{sandbox.url}/sandbox/faults", json=faults, timeout=10)
    assert (response.status_code, list(response.json())) == (400, ["error"])
    assert sandbox.stats() == before
    if isinstance(faults, dict):
        with pytest.raises(ValueError, match=r"\w"):
            sandbox.set_faults(**faults)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("error_rate=0.25", ("error_rate", 0.25)),
        ("fail_next=3", ("fail_next", 3)),
        ("dead_token", ("dead_token", True)),
        ("dead_token=false", ("dead_token", False)),
        ("refused_ids=cursed", ("refused_ids", "cursed")),
    ],
)
def test_a_fault_is_switched_on_by_name(text: str, change: tuple[str, object]) -> None:
    assert parse_fault(text) == change


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eror_rate=1", "unknown fault eror_rate"),
        ("error_rate=much", "error_rate must be a number"),
        ("fail_next", "fail_next must be a number"),
        ("dead_token=maybe", "dead_token must be true or false"),
    ],
)
def test_an_invalid_fault_is_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


def test_every_fault_is_a_switch_or_says_more_of_one() -> None:
    named = [name for switch in SWITCHES for name in (switch.name, *switch.parameters)]

    assert {*named, "seed"} == set(Faults.__dataclass_fields__)
    assert all(Faults().changed(switch["sample"]).is_on(SWITCHES[i]) for i, switch in enumerate(Faults().switches()))


@pytest.mark.parametrize(
    ("changes", "active"),
    [
        ({}, {}),
        ({"slow_seconds": 5.0, "throttle_status": 429, "refused_after": 3, "poison_answer": "html", "seed": 1}, {}),
        ({"slow_rate": 0.5}, {}),  # by no seconds
        ({"slow_rate": 0.5, "slow_seconds": 5.0}, {"slow_rate": 0.5, "slow_seconds": 5.0}),
        ({"throttle_next": 2, "retry_minutes": 1.0}, {"throttle_next": 2, "retry_minutes": 1.0}),
        ({"dead_token": True, "retry_minutes": 1.0}, {"dead_token": True}),
    ],
)
def test_faults_that_have_no_effect_are_not_active(changes: dict[str, Any], active: dict[str, Any]) -> None:
    assert Faults().changed(changes).active() == active
