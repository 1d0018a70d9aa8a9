"""Delivery against the sandbox, a real server: what is sent arrives once, and whatever is not has a reason."""

from __future__ import annotations

import contextlib
import http.server
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme

from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery import transport
from capybeam.transforms.delivery.answers import Refusal
from capybeam.transforms.delivery.batches import DestinationHeld, OnRefusal, Outcome, Receipt, Stopped
from capybeam.transforms.delivery.client import Client, _Queue
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.delivery.limits import own_limits
from capybeam.transforms.delivery.rate_leases import EvenShare
from capybeam.transforms.meta.destinations import MetaDestination
from tests.transforms.envelopes import pack, sealed
from tests.transforms.graph_server import Reply, error, graph_server

KEY = Address("web", "123").encode()
TOKEN = "EAAB-the-token"
DAY = 86_400
GOOD_USER = {"external_id": ["a" * 64], "client_ip_address": "192.0.2.1"}


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as server:
        yield server


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)


def line(number: int, *, age: float = 60, subscription: str = "leads", **changes: Any) -> bytes:
    event = {
        "event_time": int(time.time() - age),
        "event_name": "Lead",
        "event_id": f"e{number}",
        "action_source": "email",
        "user_data": GOOD_USER,
        **changes,
    }
    return sealed(event, subscription)


def client(endpoint: str, run: RunContext | None = None, **delivery: Any) -> Client:
    settings = {"retry_for": 5.0, "timeout": 2.0, **delivery}
    destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint=endpoint)
    return Client((destination,), Delivery(**settings), run=run, jitter=lambda low, high: 0.01)


def reasons(outcome: Outcome) -> list[tuple[str | None, str, bool]]:
    return sorted((rejection.event_id, rejection.code, rejection.retryable) for rejection in outcome.rejections)


def test_a_batch_is_one_request_and_one_receipt(sandbox: SandboxServer) -> None:
    lines = [line(1, age=300), line(2, age=60, subscription="other")]
    outcome = client(sandbox.url).deliver(pack(KEY, lines))
    (receipt,) = outcome.receipts
    assert outcome.delivered == {"web/leads": 1, "web/other": 1}
    assert outcome.rejections == []
    assert (receipt.destination, receipt.dataset_id, receipt.events, receipt.tries) == ("web", "123", 2, 1)
    assert receipt.last_event_time - receipt.first_event_time == 240
    assert receipt.fbtrace_id
    assert sandbox.stats()["requests"] == 1
    assert sorted(sandbox.event_ids("123")) == [("Lead", "e1"), ("Lead", "e2")]


def test_the_token_travels_in_the_header_alone(sandbox: SandboxServer) -> None:
    client(sandbox.url).deliver(pack(KEY, [line(1)]))
    assert sandbox.stats()["tokens_in_url"] == 0
    assert TOKEN not in repr(client(sandbox.url).__dict__)


def test_a_test_event_code_goes_to_the_top_of_the_request(sandbox: SandboxServer) -> None:
    outcome = client(sandbox.url).deliver(pack(Address("web", "123", "TEST1").encode(), [line(1)]))
    assert outcome.delivered == {"web/leads": 1}


def test_a_destinations_parameters_go_to_the_top_of_each_request() -> None:
    bodies: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(orjson.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = orjson.dumps({"events_received": len(bodies[-1]["data"])})
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    parameters = (("partner_agent", "acme"), ("upload_id", "läden 1"))
    with _serving(Handler) as url:
        destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint=url, parameters=parameters)
        sender = Client((destination,), Delivery())
        outcome = sender.deliver(pack(Address("web", "123", "TEST1").encode(), [line(1), line(2)]))

    assert outcome.delivered == {"web/leads": 2}
    (body,) = bodies
    assert len(body.pop("data")) == 2
    assert body == {"test_event_code": "TEST1", "partner_agent": "acme", "upload_id": "läden 1"}


# --- the older wire ---------------------------------------------------------------------------------------------

OFFLINE_KEY = Address("stores", "555", "", "Segment").encode()


def offline_line(number: int, *, age: float = 60, **changes: Any) -> bytes:
    event = {
        "event_time": int(time.time() - age),
        "event_name": "Lead",
        "match_keys": {"email": ["a" * 64], "lead_id": 5},
        "order_id": f"o{number}",
        **changes,
    }
    return sealed(event, "lead_events: Form Submitted")


def offline_client(endpoint: str) -> Client:
    destination = MetaDestination("stores", TokenReference("env:TOKEN"), "v16.0", endpoint=endpoint)
    return Client((destination,), Delivery(retry_for=5.0, timeout=10.0), jitter=lambda low, high: 0.01)


@pytest.mark.parametrize(
    ("sender", "key", "lines"),
    [
        (client, Address("web", "123", "", "Segment").encode(), [line(1)]),
        (offline_client, OFFLINE_KEY, [offline_line(1)]),
    ],
    ids=["conversions_api", "offline_events"],
)
def test_an_upload_tag_goes_to_the_top_of_the_request(
    sandbox: SandboxServer, sender: Callable[[str], Client], key: str, lines: list[bytes]
) -> None:
    assert reasons(sender(sandbox.url).deliver(pack(key, lines))) == []
    assert sandbox.stats()["upload_tags"] == {"Segment": 1}


def test_two_thousand_events_of_the_older_wire_are_one_request(sandbox: SandboxServer) -> None:
    lines = [offline_line(n) for n in range(2000)]

    outcome = offline_client(sandbox.url).deliver(pack(OFFLINE_KEY, lines))

    assert outcome.delivered == {"stores/lead_events: Form Submitted": 2000}
    assert sandbox.stats()["requests"] == 1


def test_a_refused_batch_of_the_older_wire_is_halved_and_keeps_its_tag(sandbox: SandboxServer) -> None:
    lines = [offline_line(n, **({"colour": "red"} if n == 3 else {})) for n in range(8)]

    outcome = offline_client(sandbox.url).deliver(pack(OFFLINE_KEY, lines))

    assert reasons(outcome) == [(None, "meta_refused_event", False)]
    assert outcome.rejections[0].payload["order_id"] == "o3"
    assert outcome.rejections[0].subscription == "lead_events: Form Submitted"
    assert sandbox.stats()["upload_tags"] == {"Segment": 7}


def test_events_of_a_store_may_wait_until_they_are_62_days_old(sandbox: SandboxServer) -> None:
    day = 86_400
    old = [offline_line(1, age=61 * day), offline_line(2, age=63 * day)]
    outcome = offline_client(sandbox.url).deliver(pack(OFFLINE_KEY, old))
    assert outcome.delivered == {"stores/lead_events: Form Submitted": 1}
    assert reasons(outcome) == [(None, "event_too_old", False)]

    store = {"action_source": "physical_store"}
    old = [line(1, age=61 * day, **store), line(2, age=63 * day, **store), line(3, age=8 * day)]
    outcome = client(sandbox.url).deliver(pack(KEY, old))
    assert outcome.delivered == {"web/leads": 1}
    assert reasons(outcome) == [("e2", "event_too_old", False), ("e3", "event_too_old", False)]


@pytest.mark.parametrize(
    ("sender", "key", "lines", "path"),
    [
        (client, KEY, [line(1)], "/v25.0/123/events"),
        (offline_client, OFFLINE_KEY, [offline_line(1)], "/v16.0/555/events"),
    ],
    ids=["conversions_api", "offline_events"],
)
def test_peers_put_personal_data_and_token_into_the_url_and_ours_has_neither(
    sender: Callable[[str], Client], key: str, lines: list[bytes], path: str
) -> None:
    with _answering(200, b'{"events_received": 1}') as (url, asked):
        sender(url).deliver(pack(key, lines))

    assert asked == [path]


@pytest.mark.parametrize(
    "faults",
    [{"fail_next": 2}, {"throttle_next": 2}, {"drop_before_rate": 0.5}, {"html_rate": 0.5}, {"drop_after_rate": 0.5}],
    ids=lambda faults: next(iter(faults)),
)
def test_trouble_that_passes_is_tried_again_until_all_is_delivered_once(
    sandbox: SandboxServer, faults: dict[str, Any]
) -> None:
    sandbox.set_faults(seed=3, **faults)
    sender = client(sandbox.url)
    outcomes = [sender.deliver(pack(KEY, [line(10 * batch + n) for n in range(10)])) for batch in range(8)]
    assert [outcome.delivered for outcome in outcomes] == [{"web/leads": 10}] * 8
    assert sandbox.stats()["events_stored"] == 80
    assert sum(receipt.tries for outcome in outcomes for receipt in outcome.receipts) > 8


@pytest.mark.parametrize("bad", [set(), {0}, {63}, {5, 6}, {0, 31, 32, 63}, set(range(0, 64, 2))], ids=str)
def test_halving_delivers_every_good_event_and_names_every_bad_one(sandbox: SandboxServer, bad: set[int]) -> None:
    lines = [line(n, user_data={"ct": ["b" * 64]} if n in bad else GOOD_USER) for n in range(64)]
    outcome = client(sandbox.url).deliver(pack(KEY, lines))
    assert outcome.delivered.get("web/leads", 0) == 64 - len(bad)
    assert reasons(outcome) == sorted((f"e{n}", "meta_refused_event", False) for n in bad)
    assert sorted(id for _, id in sandbox.event_ids("123")) == sorted(f"e{n}" for n in range(64) if n not in bad)
    assert all("subcode 2804050" in rejection.message for rejection in outcome.rejections)
    assert {rejection.meta_code for rejection in outcome.rejections} <= {"100/2804050"}
    assert sandbox.stats()["requests"] <= 2 * len(bad) * 6 + 2
    assert sandbox.stats()["duplicates"] == 0


def test_one_bad_event_in_a_thousand_costs_two_requests_a_halving_at_most(sandbox: SandboxServer) -> None:
    for number, bad in enumerate((0, 499, 500, 999)):
        lines = [line(1000 * number + n, user_data={} if n == bad else GOOD_USER) for n in range(1000)]
        before = sandbox.stats()["requests"]
        outcome = client(sandbox.url).deliver(pack(KEY, lines))
        assert outcome.delivered == {"web/leads": 999}
        assert reasons(outcome) == [(f"e{1000 * number + bad}", "meta_refused_event", False)]
        assert sandbox.stats()["requests"] - before <= 2 * 10 + 2


def test_a_short_acknowledgement_is_no_success(sandbox: SandboxServer) -> None:
    sandbox.set_faults(short_rate=0.7, seed=4)
    outcome = client(sandbox.url).deliver(pack(KEY, [line(n) for n in range(32)]))
    assert (outcome.delivered, outcome.rejections) == ({"web/leads": 32}, [])
    assert sandbox.stats()["events_stored"] == 32
    assert sandbox.stats()["requests"] > 1


def test_an_event_that_is_never_acknowledged_may_be_sent_again_later(sandbox: SandboxServer) -> None:
    sandbox.set_faults(short_rate=1.0)
    outcome = client(sandbox.url, retry_for=0.1).deliver(pack(KEY, [line(1), line(2)]))
    assert reasons(outcome) == [("e1", "gave_up_retrying", True), ("e2", "gave_up_retrying", True)]
    assert outcome.rejections[0].message == "Meta acknowledged 0 of 1 events."


def test_a_dead_token_stops_the_destination_and_keeps_its_events(sandbox: SandboxServer) -> None:
    sandbox.set_faults(dead_token=True)
    sender = client(sandbox.url)
    first, second = (sender.deliver(pack(KEY, [line(2 * n), line(2 * n + 1)])) for n in range(2))
    assert reasons(first) == [("e0", "destination_refused", True), ("e1", "destination_refused", True)]
    assert reasons(second) == [("e2", "destination_refused", True), ("e3", "destination_refused", True)]
    assert sandbox.stats()["requests"] == 1
    problem = "Meta, code 190/463: the token is invalid or has expired."
    assert sender.progress.statuses()["web"] == f"REFUSED. {problem}"
    refusal = Refusal(problem, "Store a new access token where the job file points.")
    assert (first.refusals, second.refusals) == ({refusal: 2}, {refusal: 2})


def test_one_refused_destination_does_not_stop_another(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRONG", "another-token")
    destinations = (
        MetaDestination("web", TokenReference("env:WRONG"), endpoint=sandbox.url),
        MetaDestination("crm", TokenReference("env:TOKEN"), endpoint=sandbox.url),
    )
    sender = Client(destinations, Delivery())
    assert reasons(sender.deliver(pack(KEY, [line(1)]))) == [("e1", "destination_refused", True)]
    assert sender.deliver(pack(Address("crm", "123").encode(), [line(2)])).delivered == {"crm/leads": 1}


@pytest.mark.alone
def test_an_unreachable_endpoint_gives_up_after_retry_for_and_then_at_once() -> None:
    sender = client("http://127.0.0.1:9", retry_for=0.5)
    started = time.monotonic()
    first = sender.deliver(pack(KEY, [line(1)]))
    middle = time.monotonic()
    second = sender.deliver(pack(KEY, [line(2)]))
    assert reasons(first) + reasons(second) == [("e1", "gave_up_retrying", True), ("e2", "gave_up_retrying", True)]
    assert "http://127.0.0.1:9 cannot be reached (connection refused)" in first.rejections[0].message
    assert middle - started >= 0.3
    assert time.monotonic() - middle < (middle - started) / 2


def test_a_missing_dataset_stops_that_dataset_alone() -> None:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}), datasets=frozenset({"123"}))) as sandbox:
        sender = client(sandbox.url)
        unknown = [sender.deliver(pack(Address("web", "999").encode(), [line(n)])) for n in (1, 2)]
        assert [reasons(outcome) for outcome in unknown] == [
            [("e1", "destination_refused", True)],
            [("e2", "destination_refused", True)],
        ]
        assert sandbox.stats()["requests"] == 1
        assert sender.deliver(pack(KEY, [line(3)])).delivered == {"web/leads": 1}


def test_a_detailed_receipt_names_its_events_and_a_brief_one_does_not(sandbox: SandboxServer) -> None:
    for number, receipts in enumerate(("brief", "detailed")):
        lines = [line(10 * number), line(10 * number + 1)]
        (receipt,) = client(sandbox.url, receipts=receipts).deliver(pack(KEY, lines)).receipts
        row = orjson.loads(receipt.encode())
        assert row.get("event_ids") == (["e10", "e11"] if receipts == "detailed" else None)
        assert ("event_ids" in row) == (receipts == "detailed")


class Recorded(list[Receipt]):
    """A journal that keeps receipts in memory, and refuses them once it is full."""

    def __init__(self, room: int = 1_000) -> None:
        super().__init__()
        self._room = room

    def open(self) -> Recorded:
        return self

    def __call__(self, receipt: Receipt) -> None:
        if len(self) >= self._room:
            raise OSError("the disk is full")
        self.append(receipt)

    def close(self) -> None:
        pass


def test_a_receipt_is_in_the_journal_before_anything_else_is_sent() -> None:
    """Of a batch that is halved for a bad event, too: the outcome of all of it may be minutes away."""
    recorded, answered, states = Recorded(), set[int](), list[bool]()

    def answer(events: list[Any]) -> Reply:
        named = {event_id for receipt in recorded for event_id in receipt.event_ids or ()}
        states.append(named == {f"e{number}" for number in answered})
        numbers = {int(event["event_id"][1:]) for event in events}
        if 5 in numbers:
            return error(100, 2804050)
        answered.update(numbers)
        return Reply(200, orjson.dumps({"events_received": len(events)}))

    with graph_server(answer) as graph:
        destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint=graph.url)
        sender = Client((destination,), Delivery(), journal=recorded, jitter=lambda low, high: 0.01)
        outcome = sender.deliver(pack(KEY, [line(number) for number in range(16)]))
    assert len(states) > 4
    assert all(states)
    assert recorded == outcome.receipts
    assert reasons(outcome) == [("e5", "meta_refused_event", False)]


def test_a_receipt_that_cannot_be_recorded_fails_the_run(sandbox: SandboxServer) -> None:
    destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint=sandbox.url)
    sender = Client((destination,), Delivery(), journal=Recorded(room=1))
    sender.open()
    assert sender.submit(pack(KEY, [line(1)])).result(10).delivered == {"web/leads": 1}
    with pytest.raises(OSError, match="the disk is full"):
        sender.submit(pack(KEY, [line(2)])).result(10)
    sender.close()


def test_who_opens_a_client_while_the_last_one_closes_it_has_all_of_his_batches_sent(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, submitted = client(sandbox.url, concurrency=1), list[Future[Outcome]]()

    def use() -> None:
        sender.open()
        submitted.extend(sender.submit(pack(KEY, [line(number)])) for number in range(20))

    other, stop = threading.Thread(target=use), _Queue.stop

    def stop_late(queue: _Queue) -> None:
        other.start()
        other.join(0.2)  # which is not over as long as the client is being closed
        stop(queue)

    monkeypatch.setattr(_Queue, "stop", stop_late)
    sender.open()
    sender.close()
    other.join()
    assert [sending.result(10).delivered for sending in submitted] == [{"web/leads": 1}] * 20


def test_a_receipt_lists_event_ids_by_subscription_and_event_name(sandbox: SandboxServer) -> None:
    lines = [line(1), line(2, subscription="other"), line(3), line(4, event_name="Contact")]
    (receipt,) = client(sandbox.url).deliver(pack(KEY, lines)).receipts
    assert receipt.row()["conversions"] == [
        {"subscription": "leads", "event_name": "Lead", "events": 2},
        {"subscription": "other", "event_name": "Lead", "events": 1},
        {"subscription": "leads", "event_name": "Contact", "events": 1},
    ]
    assert receipt.event_ids == ("e1", "e3", "e2", "e4")


# --- a stream holds its events ----------------------------------------------------------------------------------


def holding(
    endpoint: str, token: str, monkeypatch: pytest.MonkeyPatch, hold_for: float = 30.0, on_refusal: OnRefusal = "hold"
) -> Client:
    monkeypatch.setattr("capybeam.transforms.delivery.limits.HOLD_PAUSE", 0.5)
    monkeypatch.setattr(transport, "TOKEN_PAUSE", 0.1)
    monkeypatch.setattr("capybeam.transforms.delivery.client._HOLD_FOR", hold_for)
    destination = MetaDestination("web", TokenReference(token), endpoint=endpoint)
    return Client((destination,), Delivery(), on_refusal=on_refusal)


def test_a_held_destination_is_taken_up_again_with_a_new_token(
    sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "token").write_text("an-old-token")
    sender = holding(sandbox.url, f"file:{tmp_path / 'token'}", monkeypatch)
    renewal = threading.Timer(0.5, lambda: (tmp_path / "token").write_text(TOKEN))
    renewal.start()
    outcome = sender.deliver(pack(KEY, [line(1)]))
    renewal.join()
    assert (outcome.delivered, outcome.rejections) == ({"web/leads": 1}, [])
    assert sender.progress.statuses() == {}
    assert "HELD" in caplog.text
    assert "an-old-token" not in caplog.text


def test_what_is_shown_to_somebody_is_not_logged_as_well(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sender = holding(sandbox.url, "env:TOKEN", monkeypatch, hold_for=0.0)
    sender.progress.is_shown = True
    sandbox.set_faults(dead_token=True)
    with pytest.raises(DestinationHeld):
        sender.deliver(pack(KEY, [line(1)]))
    assert sender.progress.statuses()["web"].startswith("HELD. ")
    assert caplog.text == ""


def test_a_held_destination_is_taken_up_again_when_the_same_token_works_again(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults(dead_token=True)
    sender = holding(sandbox.url, "env:TOKEN", monkeypatch)
    recovery = threading.Timer(0.5, lambda: sandbox.set_faults(dead_token=False))
    recovery.start()
    assert sender.deliver(pack(KEY, [line(1)])).delivered == {"web/leads": 1}
    recovery.join()


def test_a_held_destination_is_asked_by_one_for_all_and_its_token_read_once_in_a_while(
    sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("an-old-token")
    read: list[str] = []
    monkeypatch.setattr(TokenReference, "read", lambda self: read.append(self.text) or "an-old-token")
    sender = holding(sandbox.url, f"file:{tmp_path / 'token'}", monkeypatch, on_refusal="hold_forever")
    monkeypatch.setattr(transport, "TOKEN_PAUSE", 1.0)
    monkeypatch.setattr("capybeam.transforms.delivery.client._LOOK", 0.05)
    with ThreadPoolExecutor(8) as pool:
        batches = [pack(KEY, [line(10 * number), line(10 * number + 1)]) for number in range(8)]
        sending = [pool.submit(sender.deliver, batch) for batch in batches]
        time.sleep(3.0)
        requests, reads = sandbox.stats()["requests"], len(read)
        sender.shutdown.set()
        assert all(isinstance(future.exception(timeout=10), DestinationHeld) for future in sending)
    assert 2 <= reads <= 1 + 5
    assert requests <= 8 + 3.5 / 0.25, "eight at first, then one in a pause of 0.25 to 0.75 s"


def test_a_patient_stream_holds_for_as_long_as_it_takes(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults(dead_token=True)
    sender = holding(sandbox.url, "env:TOKEN", monkeypatch, hold_for=0.1, on_refusal="hold_forever")
    recovery = threading.Timer(1.0, lambda: sandbox.set_faults(dead_token=False))
    recovery.start()
    assert sender.deliver(pack(KEY, [line(1)])).delivered == {"web/leads": 1}
    recovery.join()


def test_held_for_too_long_the_runner_is_reported_and_nothing_is_rejected(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults(dead_token=True)
    with pytest.raises(DestinationHeld, match="Store a new access token where the job file points") as raised:
        holding(sandbox.url, "env:TOKEN", monkeypatch, hold_for=0.1).deliver(pack(KEY, [line(1)]))
    assert TOKEN not in str(raised.value)


# --- pacing -----------------------------------------------------------------------------------------------------


def test_requests_start_no_faster_than_the_share_of_the_rate(sandbox: SandboxServer) -> None:
    destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint=sandbox.url)
    delivery = Delivery(requests_per_second=40.0)
    sender = Client(
        (destination,), delivery, limits=own_limits((destination,), delivery, EvenShare(0.5), random.uniform)
    )
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: sender.deliver(pack(KEY, [line(n)])), range(11)))
    assert time.monotonic() - started >= 10 / 20
    assert sum(outcome.delivered["web/leads"] for outcome in outcomes) == 11


def test_a_limit_nearly_used_up_slows_requests_down_before_meta_refuses(sandbox: SandboxServer) -> None:
    sandbox.set_faults(usage_percent=80)  # 1.2 s between requests
    sender = client(sandbox.url)
    sender.deliver(pack(KEY, [line(1)]))
    sender.deliver(pack(KEY, [line(2)]))
    started = time.monotonic()
    assert sender.deliver(pack(KEY, [line(3)])).delivered == {"web/leads": 1}
    assert time.monotonic() - started >= 1.0
    assert sender.throttled.take() >= 1


def test_a_throttled_destination_is_left_alone_by_all_of_its_batches(sandbox: SandboxServer) -> None:
    sandbox.set_faults(throttle_next=1, retry_minutes=0.01)  # 0.6 s
    sender = client(sandbox.url)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(sender.deliver, pack(KEY, [line(0)]))
        time.sleep(0.2)
        rest = list(pool.map(lambda n: sender.deliver(pack(KEY, [line(n)])), range(1, 4)))
    assert [outcome.delivered for outcome in [first.result(), *rest]] == [{"web/leads": 1}] * 4
    assert sandbox.stats()["requests"] == 5


def test_a_wait_longer_than_retry_for_asks_no_more_and_keeps_the_events(sandbox: SandboxServer) -> None:
    sandbox.set_faults(throttle_next=1, retry_minutes=60.0)
    sender = client(sandbox.url)
    outcomes = [sender.deliver(pack(KEY, [line(n)])) for n in range(3)]
    assert [reasons(outcome) for outcome in outcomes] == [[(f"e{n}", "gave_up_retrying", True)] for n in range(3)]
    assert sandbox.stats()["requests"] == 1


def test_a_rate_limit_service_that_is_away_costs_no_event() -> None:
    def away(_: str) -> float:
        raise ConnectionError

    destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint="http://127.0.0.1:9")
    sender = Client((destination,), Delivery(retry_for=0.2), ask=away)
    (rejection,) = sender.deliver(pack(KEY, [line(1)])).rejections
    assert (rejection.code, rejection.message, rejection.retryable) == (
        "gave_up_retrying",
        "The rate limit service cannot be reached (ConnectionError).",
        True,
    )


# --- servers that misbehave -------------------------------------------------------------------------------------


def test_a_batch_that_keeps_failing_is_given_up_although_others_get_through() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500 if b'"e666"' in body else 200)
            self.end_headers()
            self.wfile.write(b'{"events_received": 1}')

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as url, ThreadPoolExecutor(1) as pool:
        sender = client(url, retry_for=0.5)
        failing = pool.submit(sender.deliver, pack(KEY, [line(666)]))
        deadline = time.monotonic() + 5
        while not failing.done() and time.monotonic() < deadline:
            assert sender.deliver(pack(KEY, [line(1)])).delivered == {"web/leads": 1}
            time.sleep(0.01)
        assert failing.done()
    assert reasons(failing.result()) == [("e666", "gave_up_retrying", True)]


def test_events_that_fail_alone_are_given_up_early_once_a_stream_has_stood_still_for_them(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.client._STANDSTILL", 0.2)
    sandbox.set_faults(poisoned_ids="e66")
    run = RunContext()
    sender = client(sandbox.url, run, retry_for=600)
    run.standstill.begin("eight batches wait")
    first = sender.deliver(pack(KEY, [line(660), *map(line, range(5))]))
    run.standstill.end("eight batches wait")
    later = sender.deliver(pack(KEY, [line(661), *map(line, range(5, 10))]))
    assert [reasons(outcome) for outcome in (first, later)] == [
        [("e660", "gave_up_retrying", True)],
        [("e661", "gave_up_retrying", True)],
    ]
    assert sandbox.stats()["events_stored"] == 10


def test_an_outage_of_long_ago_does_not_shorten_the_patience_with_the_next(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.outages._FORGOTTEN_AFTER", -10.0)
    sender = client(sandbox.url, retry_for=0.3)
    sandbox.set_faults(fail_next=1000)
    assert reasons(sender.deliver(pack(KEY, [line(1)]))) == [("e1", "gave_up_retrying", True)]
    time.sleep(0.4)
    sandbox.set_faults(fail_next=1)
    assert sender.deliver(pack(KEY, [line(2)])).delivered == {"web/leads": 1}


def test_a_stream_that_is_stopped_keeps_its_events(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.set_faults(fail_next=1000)
    sender = holding(sandbox.url, "env:TOKEN", monkeypatch)
    sender.shutdown.set()
    with pytest.raises(Stopped, match="stopped before everything was delivered"):
        sender.deliver(pack(KEY, [line(1)]))


def test_what_is_wrong_with_one_dataset_is_not_forgotten_when_another_takes_its_events() -> None:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}), datasets=frozenset({"123"}))) as sandbox:
        sender = client(sandbox.url)
        sender.deliver(pack(Address("web", "999").encode(), [line(1)]))
        sender.deliver(pack(KEY, [line(2)]))
    assert sender.progress.statuses() == {
        "web": "REFUSED. Dataset 999: Meta, code 100/33: no such dataset, or no permission for it."
    }


def test_a_stopping_run_waits_for_nothing(sandbox: SandboxServer) -> None:
    sandbox.set_faults(fail_next=1000)
    sender = client(sandbox.url)
    sender.shutdown.set()
    assert reasons(sender.deliver(pack(KEY, [line(1)]))) == [("e1", "interrupted", True)]


def test_a_website_event_stays_one_whatever_its_custom_data_says_of_its_source(sandbox: SandboxServer) -> None:
    website = {
        "action_source": "website",
        "user_data": {**GOOD_USER, "client_user_agent": "UA"},
        "custom_data": {"action_source": "physical_store", "match_keys": {}},
    }
    lines = [line(1, age=8 * DAY, **website), line(2, **website), line(3, age=8 * DAY, action_source="physical_store")]

    outcome = client(sandbox.url).deliver(pack(KEY, lines))

    assert (outcome.delivered, reasons(outcome)) == ({"web/leads": 2}, [("e1", "event_too_old", False)])
    assert sandbox.stats()["refused_requests"] == 0


def test_an_event_that_grew_too_old_while_waiting_is_not_sent(sandbox: SandboxServer) -> None:
    day = 86_400
    lines = [
        line(1),
        line(2, age=8 * day),
        line(3, age=8 * day, action_source="physical_store"),
        line(4, age=63 * day, action_source="physical_store"),
    ]
    outcome = client(sandbox.url).deliver(pack(KEY, lines))
    assert outcome.delivered == {"web/leads": 2}
    assert reasons(outcome) == [("e2", "event_too_old", False), ("e4", "event_too_old", False)]


@contextlib.contextmanager
def _answering(status: int, body: bytes, headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer to everything; yields its URL and the paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as url:
        yield url, asked


@contextlib.contextmanager
def _serving(handler: type[http.server.BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"nonsense"), (200, b"[]"), (200, b'{"events_received": true}'), (502, b"<html>Bad gateway</html>")],
    ids=["no json", "no object", "no number", "html"],
)
def test_an_answer_that_says_nothing_is_tried_again_and_nothing_is_lost(status: int, body: bytes) -> None:
    with _answering(status, body) as (url, asked):
        outcome = client(url, retry_for=0.2).deliver(pack(KEY, [line(1)]))
    assert reasons(outcome) == [("e1", "gave_up_retrying", True)]
    assert len(asked) > 1


def test_a_redirect_is_not_followed_with_the_token() -> None:
    with (
        _answering(200, b'{"events_received": 1}') as (elsewhere, stolen),
        _answering(302, b"", {"Location": elsewhere}) as (url, _),
    ):
        outcome = client(url, retry_for=0.2).deliver(pack(KEY, [line(1)]))
    assert reasons(outcome) == [("e1", "destination_refused", True)]
    assert stolen == []


@pytest.mark.parametrize(
    ("start", "more", "pause", "message"),
    [
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n", b" " * 65536, 0.0, "sent an answer that did not end.", id="fast"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n", b" ", 0.05, "did not answer within 0.5 s.", id="a body in a trickle"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nX-Long: ", b"x", 0.05, "did not answer within 0.5 s.", id="a head in a trickle"
        ),
        pytest.param(b"", b"H", 0.05, "did not answer within 0.5 s.", id="a first line in a trickle"),
    ],
)
def test_an_answer_without_an_end_is_cut_off(start: bytes, more: bytes, pause: float, message: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with contextlib.suppress(OSError):
                self.wfile.write(start)
                for _ in range(1000):
                    self.wfile.write(more)
                    time.sleep(pause)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as url:
        outcome = client(url, retry_for=0.1, timeout=0.5).deliver(pack(KEY, [line(1)]))
    assert reasons(outcome) == [("e1", "gave_up_retrying", True)]
    assert outcome.rejections[0].message == f"{url} {message}"


def test_an_answer_that_comes_in_parts_within_the_time_out_is_an_answer() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            for part in (b"HTTP/1.1 200 OK\r\nContent-", b'Length: 22\r\n\r\n{"events_', b'received": 1}'):
                self.wfile.write(part)
                time.sleep(0.5)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as url:
        sending = client(url, retry_for=0.1, timeout=3.0)
        for number in (1, 2, 3):  # on one connection: the time of one answer is not taken off the next's
            assert sending.deliver(pack(KEY, [line(number)])).delivered == {"web/leads": 1}


def test_a_wrong_certificate_gets_no_token() -> None:
    received: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(str(self.headers["Authorization"]))

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with _serving(Handler, context) as url:
        outcome = client(url, retry_for=0.1).deliver(pack(KEY, [line(1)]))
    assert reasons(outcome) == [("e1", "destination_refused", True)]
    assert outcome.rejections[0].message == f"The certificate of {url} is not valid."
    assert received == []


def test_a_token_that_the_server_quotes_is_repeated_nowhere() -> None:
    body = orjson.dumps({"error": {"code": 190, "message": f"Malformed access token {TOKEN}"}})
    with _answering(400, body) as (url, _):
        sender = client(url)
        outcome = sender.deliver(pack(KEY, [line(1)]))
    (rejection,) = outcome.rejections
    assert rejection.message == "Meta, code 190: Malformed access token …"
    assert TOKEN not in f"{rejection.encode()!r}{sender.progress.statuses()}{sender.progress.remarks()}"


def test_a_rejected_event_can_be_sent_again_as_it_is(sandbox: SandboxServer) -> None:
    sandbox.set_faults(dead_token=True)
    (rejection,) = client(sandbox.url).deliver(pack(KEY, [line(1)])).rejections
    sandbox.set_faults(dead_token=False)
    again = sealed(rejection.payload)
    assert client(sandbox.url).deliver(pack(KEY, [again])).delivered == {"web/leads": 1}
