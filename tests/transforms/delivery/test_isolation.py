"""Whatever Meta answers: the event at fault is found, the others get through, no destination is blamed on events.

Against a real server that answers as each test says.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery import transport
from capybeam.transforms.delivery.batches import DestinationHeld, EncodedBatch, OnRefusal, Outcome
from capybeam.transforms.delivery.client import Client
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.delivery.spread import spread
from capybeam.transforms.meta.destinations import MetaDestination
from tests.transforms.envelopes import pack, sealed
from tests.transforms.graph_server import GraphServer, Json, Reply, error, graph_server, taken

pytestmark = pytest.mark.slow

KEY = Address("web", "123").encode()


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "EAAB-the-token")


def line(number: int) -> bytes:
    event = {"event_time": int(time.time() - 60), "event_name": "Lead", "event_id": f"e{number}", "n": number}
    return sealed({**event, "action_source": "email", "user_data": {"external_id": ["a" * 64]}})


def batch(count: int, start: int = 0, key: str = KEY) -> EncodedBatch:
    return pack(key, [line(number) for number in range(start, start + count)])


def client(graph: GraphServer, on_refusal: OnRefusal = "reject", **delivery: Any) -> Client:
    settings = {"retry_for": 5.0, "timeout": 8.0, **delivery}
    destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint=graph.url)
    return Client((destination,), Delivery(**settings), on_refusal=on_refusal, jitter=lambda low, high: 0.01)


def reasons(*outcomes: Outcome) -> Counter[tuple[str, bool]]:
    return Counter((r.code, r.retryable) for outcome in outcomes for r in outcome.rejections)


def rejected(outcome: Outcome) -> set[int]:
    return {rejection.payload["n"] for rejection in outcome.rejections}


def codes(outcome: Outcome) -> dict[int, str]:
    return {rejection.payload["n"]: rejection.code for rejection in outcome.rejections}


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def holding(bad: Callable[[int], bool], refusal: Reply) -> Callable[[list[Json]], Reply]:
    """A server that answers with `refusal` where one of the events is bad."""
    return lambda events: refusal if any(bad(event["n"]) for event in events) else taken(events)


# --- a refusal of everything is the destination's -------------------------------------------------------------------

KNOWN = {
    "capability": error(3),
    "address": error(5),
    "deprecated": error(12),
    "app": error(101),
    "signature": error(104),
    "no such object": error(803),
    "path": error(2500),
    "appsecret_proof": error(100, type="GraphMethodException"),
    "token": error(190, 463),
}
UNKNOWN = {
    "a code that is not listed": error(4711),
    "a subcode that is not listed": error(100, 1234567),
    "code 100 alone": error(100),
    "a code as text that is none": error("no-code"),
    "an error that is text": Reply(400, b'{"error": "bad request"}'),
    "404": Reply(404, b'{"error": {"message": "not found"}}'),
    "422": error(4711, status=422),
    "events all called invalid": error(100, 2804050),
    "too large": Reply(413, b"<html>413</html>"),
}


@pytest.mark.parametrize("answer", KNOWN.values(), ids=KNOWN)
def test_an_answer_known_to_concern_everybody_costs_one_request(answer: Reply) -> None:
    with graph_server(lambda _: answer) as graph:
        sender = client(graph)
        outcomes = [sender.deliver(batch(100, 100 * number)) for number in range(10)]
    assert reasons(*outcomes) == {("destination_refused", True): 1000}
    assert len(graph.requests) == 1
    assert sender.progress.status("web").startswith("REFUSED. ")


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN)
def test_any_other_refusal_of_everything_is_found_out_by_single_events(answer: Reply) -> None:
    with graph_server(lambda _: answer) as graph:
        sender = client(graph)
        outcome = sender.deliver(batch(1000))
    assert reasons(outcome) == {("destination_refused", True): 1000}
    assert graph.sizes == [1000] + [1] * 20
    assert sender.progress.status("web").startswith("REFUSED. ")
    assert "Events sent one by one are all refused like this" in sender.progress.status("web")


@pytest.mark.parametrize("concurrency", [1, 8])
def test_it_costs_about_forty_requests_however_many_events_there_are(concurrency: int) -> None:
    with graph_server(lambda _: error(4711)) as graph, ThreadPoolExecutor(concurrency) as pool:
        sender = client(graph)
        outcomes = list(pool.map(lambda number: sender.deliver(batch(30, 30 * number)), range(1000)))
    assert reasons(*outcomes) == {("destination_refused", True): 30_000}
    assert len(graph.requests) <= 40


ALTERNATING = {
    "two codes": [error(4711), error(4712)],
    "three codes": [error(4711), error(100), error("no-code")],
    "two reasons against events": [error(100, 2804050), error(100, 2804019)],
    "a code and a reason against events": [error(4711), error(100, 2804050)],
    "a code and a failure": [error(4711), error(1, status=500)],
    "a code and a guard": [error(4711), Reply(429, b"", {"Retry-After": "0"})],
}


@pytest.mark.parametrize("answers", ALTERNATING.values(), ids=ALTERNATING)
@pytest.mark.parametrize("concurrency", [1, 8])
def test_refusals_by_turns_are_a_refusal_of_everything_as_well(answers: list[Reply], concurrency: int) -> None:
    turns = itertools.cycle(answers)
    with graph_server(lambda _: next(turns)) as graph, ThreadPoolExecutor(concurrency) as pool:
        sender = client(graph)
        outcomes = list(pool.map(lambda number: sender.deliver(batch(100, 100 * number)), range(30)))
    assert reasons(*outcomes) == {("destination_refused", True): 3000}
    assert len(graph.requests) <= 2 * (40 + 30 * concurrency)


@pytest.mark.parametrize("count", [2, 5, 19])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(4711), ("destination_refused", True)),
        (UNKNOWN["too large"], ("destination_refused", True)),
        (error(100, 2804050), ("meta_refused_event", False)),
    ],
    ids=["unknown", "too large", "about the event"],
)
def test_too_few_events_to_tell_are_blamed_only_where_meta_does(
    answer: Reply, expected: tuple[str, bool], count: int
) -> None:
    with graph_server(lambda _: answer) as graph:
        outcome = client(graph).deliver(batch(count))
    assert reasons(outcome) == {expected: count}


def test_single_events_of_many_small_batches_add_up() -> None:
    with graph_server(lambda _: error(4711)) as graph:
        sender = client(graph)
        outcomes = [sender.deliver(batch(1, number)) for number in range(1000)]
    assert reasons(*outcomes) == {("destination_refused", True): 1000}
    assert len(graph.requests) <= 40


def test_what_was_inferred_is_looked_into_again_and_what_passes_is_delivered() -> None:
    with graph_server(lambda _: error(4711)) as graph:
        sender = client(graph)
        first = sender.deliver(batch(100))
        graph.answer = taken
        rest = [sender.deliver(batch(100, 100 * number)) for number in range(1, 10)]
    assert reasons(first) == {("destination_refused", True): 100}
    assert sum(outcome.delivered.get("web/leads", 0) for outcome in rest) >= 800


def test_a_destination_that_refuses_everything_later_on_is_found_out_as_well() -> None:
    with graph_server(taken) as graph:
        sender = client(graph)
        sender.deliver(batch(1000))
        graph.answer = lambda _: error(4711)
        outcome = sender.deliver(batch(1000, 1000))
    assert reasons(outcome) == {("destination_refused", True): 1000}
    assert len(graph.requests) <= 60


@pytest.mark.parametrize("size", [1, 10, 200])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_no_event_is_blamed_where_a_destination_turns_to_refusing_everything(size: int, concurrency: int) -> None:
    """The refusal begins while an event is being looked for that is invalid indeed."""

    def answer(events: list[Json]) -> Reply:
        return error(4711) if len(graph.requests) > 9 else holding((3).__eq__, error(100, 2804050))(events)

    with graph_server(answer) as graph, ThreadPoolExecutor(concurrency) as pool:
        sender = client(graph)
        outcomes = list(pool.map(lambda start: sender.deliver(batch(size, start)), range(0, 600, size)))
    blamed = {n for outcome in outcomes for n in rejected(outcome) if codes(outcome)[n] == "meta_refused_event"}
    assert blamed <= {3}
    assert set(reasons(*outcomes)) <= {("destination_refused", True), ("meta_refused_event", False)}
    assert sum(outcome.delivered.get("web/leads", 0) for outcome in outcomes) + reasons(*outcomes).total() == 600
    assert len(graph.requests) <= 100 + 16 * concurrency


def test_a_code_that_was_an_events_once_is_the_destinations_when_nothing_gets_through_any_more() -> None:
    with graph_server(holding((3).__eq__, error(4711))) as graph:
        sender = client(graph)
        first = sender.deliver(batch(10))
        graph.answer = lambda _: error(4711)
        later = [sender.deliver(batch(20, 20 * number)) for number in range(1, 10)]
    assert reasons(first) == {("meta_refused_event", False): 1}
    assert reasons(*later) == {("destination_refused", True): 180}


def test_a_stream_holds_its_events_and_goes_on_when_something_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "capybeam.transforms.delivery.limits.HOLD_PAUSE", 10.0
    )  # of which the client here waits 0.01, by its jitter
    with graph_server(lambda _: error(4711)) as graph, ThreadPoolExecutor(1) as pool:
        sender = client(graph, on_refusal="hold")
        sending = pool.submit(sender.deliver, batch(100))
        deadline = time.monotonic() + 10
        while not sender.progress.status("web").startswith("HELD. ") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sender.progress.status("web").startswith(
            "HELD. Dataset 123: Meta, code 4711: a refusal that is not listed."
        )
        graph.answer = taken
        outcome = sending.result(timeout=10)
    assert (outcome.delivered, outcome.rejections) == ({"web/leads": 100}, [])
    assert sender.progress.status("web") == ""


def test_a_stream_holds_its_events_whatever_the_turns_of_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.limits.HOLD_PAUSE", 10.0)
    turns = itertools.cycle([error(4711), error(4712)])
    with graph_server(lambda _: next(turns)) as graph, ThreadPoolExecutor(4) as pool:
        sender = client(graph, on_refusal="hold")
        sending = [pool.submit(sender.deliver, batch(100, 100 * number)) for number in range(4)]
        wait_until(lambda: sender.progress.status("web").startswith("HELD. "))
        graph.answer = taken
        outcomes = [future.result(timeout=20) for future in sending]
    assert reasons(*outcomes) == {}
    assert sum(outcome.delivered["web/leads"] for outcome in outcomes) == 400


def test_a_stream_goes_on_with_a_token_that_is_replaced_while_it_is_held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.client._LOOK", 0.02)
    monkeypatch.setattr(transport, "TOKEN_PAUSE", 0.1)
    token = tmp_path / "token"
    token.write_text("old")
    with graph_server(lambda _: error(190, 463)) as graph, ThreadPoolExecutor(4) as pool:
        destination = MetaDestination("web", TokenReference(f"file:{token}"), endpoint=graph.url)
        sender = Client((destination,), Delivery(retry_for=1.0), on_refusal="hold")
        sending = [pool.submit(sender.deliver, batch(20, 20 * number)) for number in range(8)]
        wait_until(lambda: sender.progress.status("web").startswith("HELD. "))
        held = len(graph.requests)
        graph.answer = taken
        token.write_text("new")
        outcomes = [future.result(timeout=20) for future in sending]
    assert held <= 4
    assert reasons(*outcomes) == {}
    assert sum(outcome.delivered["web/leads"] for outcome in outcomes) == 160


def test_of_two_datasets_of_a_destination_the_one_that_refuses_everything_stops_alone() -> None:
    def answer(events: list[Json]) -> Reply:
        return error(4711) if graph.paths[-1] == "/v25.0/1/events" else taken(events)

    keys = [Address("web", dataset).encode() for dataset in "12"]
    with graph_server(answer) as graph, ThreadPoolExecutor(2) as pool:
        sender = client(graph)
        batches = [batch(20, 20 * number, keys[number % 2]) for number in range(20)]
        outcomes = list(pool.map(sender.deliver, batches))
    assert reasons(*outcomes[::2]) == {("destination_refused", True): 200}
    assert [outcome.delivered for outcome in outcomes[1::2]] == [{"web/leads": 20}] * 10
    assert sum(path == "/v25.0/1/events" for path in graph.paths) <= 40


def test_a_stream_that_is_stopped_while_it_holds_rejects_nothing() -> None:
    with graph_server(lambda _: error(4711)) as graph, ThreadPoolExecutor(1) as pool:
        sender = client(graph, on_refusal="hold")
        sending = pool.submit(sender.deliver, batch(100))
        deadline = time.monotonic() + 10
        while not sender.progress.status("web") and time.monotonic() < deadline:
            time.sleep(0.01)
        sender.shutdown.set()
        with pytest.raises(DestinationHeld, match="HELD"):
            sending.result(timeout=10)


def test_a_stream_is_not_held_by_events_that_are_invalid() -> None:
    with graph_server(holding(lambda n: n < 100, error(100, 2804050))) as graph:
        sender = client(graph, on_refusal="hold")
        outcomes = [sender.deliver(batch(100)), sender.deliver(batch(100, 100))]
    assert reasons(*outcomes) == {("meta_refused_event", False): 100}
    assert outcomes[1].delivered == {"web/leads": 100}


# --- bad events among good ones -------------------------------------------------------------------------------------

REFUSALS = {"2804050": error(100, 2804050), "not listed": error(4711)}
SHAPES: dict[str, Callable[[int], bool]] = {  # of 400 events
    "one": lambda n: n == 217,
    "the first": lambda n: n == 0,
    "the last": lambda n: n == 399,
    "one in a hundred": lambda n: n % 100 == 7,
    "a fifth": lambda n: n % 5 == 0,
    "60 % in a row": lambda n: n < 240,
    "60 % at the end": lambda n: n >= 160,
    "60 % mixed": lambda n: n * 2654435761 % 1000 < 600,
    "a block in the middle": lambda n: 120 <= n < 160,
}


@pytest.mark.parametrize("bad", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_bad_events_are_isolated_one_by_one_and_all_others_delivered(
    refusal: Reply, bad: Callable[[int], bool]
) -> None:
    expected = {number for number in range(400) if bad(number)}
    with graph_server(holding(bad, refusal)) as graph:
        outcome = client(graph).deliver(batch(400))
    assert rejected(outcome) == expected
    assert reasons(outcome) == {("meta_refused_event", False): len(expected)}
    assert outcome.delivered == {"web/leads": 400 - len(expected)}
    assert set(graph.stored.values()) == {1}
    assert len(graph.requests) <= min(2 * len(expected) * 9 + 2, 480)


def test_where_most_of_a_batch_is_bad_the_screen_says_that_the_rest_goes_one_by_one() -> None:
    with graph_server(holding(SHAPES["60 % mixed"], error(100, 2804050))) as graph:
        sender = client(graph)
        outcome = sender.deliver(batch(400))
    assert sender.progress.remarks() == [
        "web: refuses events. Meta, code 100/2804050: an invalid event. Looking for the events at fault.",
        "web: most events of a batch are refused or fail; the rest of it is sent one by one.",
    ]
    assert sender.progress.refusals() == {("web", "Meta, code 100/2804050: an invalid event."): len(outcome.rejections)}


# --- one poison event, however it is answered -----------------------------------------------------------------------

POISONS = {
    "500": error(1, status=500),
    "500 in html": Reply(500, b"<html>Sorry</html>"),
    "is_transient": error(4711, is_transient=True),
    "no code": Reply(400, b'{"error": {"message": "x"}}'),
    "code as text": error("100"),
    "unparsable": Reply(400, b"<html>Bad request</html>"),
    "a 200 that says nothing": Reply(202, b"{}"),
    "none acknowledged": Reply(200, b'{"events_received": 0}'),
    "a failure with a long wait": Reply(503, b"", {"Retry-After": "3600"}),
    "a dropped connection": Reply(599, raw=b""),
    "half an answer": Reply(599, raw=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
    "time-out": Reply(599, raw=b"", after=0.4),
}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_poison_events_are_isolated_however_meta_answers_them(poison: Reply) -> None:
    bad = {7, 150, 298}
    with graph_server(holding(bad.__contains__, poison)) as graph:
        outcome = client(graph, retry_for=1.0, timeout=0.3).deliver(batch(300))
    assert rejected(outcome) == bad
    assert outcome.delivered == {"web/leads": 297}
    assert {code for code, _ in reasons(outcome)} <= {"gave_up_retrying", "meta_refused_event"}
    assert len(graph.requests) <= 500


@pytest.mark.parametrize("retry_for", [0.0, 0.05, 1.0])
def test_a_batch_is_never_given_up_for_one_event_while_single_ones_get_through(retry_for: float) -> None:
    with graph_server(holding((42).__eq__, POISONS["500"])) as graph:
        outcome = client(graph, retry_for=retry_for).deliver(batch(1000))
    assert rejected(outcome) == {42}
    assert outcome.delivered == {"web/leads": 999}


def test_poison_among_batches_that_get_through_does_not_wait_for_retry_for() -> None:
    with graph_server(holding((42).__eq__, POISONS["500"])) as graph, ThreadPoolExecutor(2) as pool:
        sender = client(graph, retry_for=2.0)
        poisoned = pool.submit(sender.deliver, batch(100))
        while not poisoned.done() and graph.stored.total() < 99:
            sender.deliver(batch(1, 1000 + len(graph.requests)))
        assert poisoned.result(timeout=10).delivered == {"web/leads": 99}
    assert sender.progress.remarks()[0].startswith(
        "web: a batch keeps failing while others get through. Meta, code 1: "
    )


@pytest.mark.parametrize("bad", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("retry_for", [0.05, 1.0])
def test_no_good_event_is_given_up_for_the_poison_in_its_batch(bad: Callable[[int], bool], retry_for: float) -> None:
    expected = {number for number in range(400) if bad(number)}
    with graph_server(holding(bad, POISONS["500"])) as graph, ThreadPoolExecutor(2) as pool:
        sender = client(graph, retry_for=retry_for)
        others = pool.submit(lambda: [sender.deliver(batch(1, 1000 + number)) for number in range(200)])
        outcome = sender.deliver(batch(400))
        others.result(timeout=20)
    assert rejected(outcome) == expected
    assert reasons(outcome) == {("gave_up_retrying", True): len(expected)}
    if retry_for < 0.1:
        assert len(graph.requests) - 200 <= min(2 * len(expected) * 9, 800) + 4 * len(expected) + 60


def test_poison_that_times_out_is_isolated_while_many_requests_are_in_flight() -> None:
    def bad(number: int) -> bool:
        return number % 40 == 7

    with graph_server(holding(bad, POISONS["time-out"])) as graph, ThreadPoolExecutor(8) as pool:
        sender = client(graph, retry_for=0.5, timeout=0.3)
        outcomes = list(pool.map(lambda number: sender.deliver(batch(40, 40 * number)), range(8)))
    assert {n for outcome in outcomes for n in rejected(outcome)} == {n for n in range(320) if bad(n)}
    assert set(reasons(*outcomes)) == {("gave_up_retrying", True)}


@pytest.mark.alone
@pytest.mark.parametrize("size", [1, 20])
def test_poison_in_many_batches_is_waited_for_once(size: int) -> None:
    def bad(number: int) -> bool:
        return number % 20 == 7

    with graph_server(holding(bad, POISONS["500"])) as graph:
        sender = client(graph, retry_for=1.0)
        started = time.monotonic()
        outcomes = [sender.deliver(batch(size, start)) for start in range(0, 600, size)]
        seconds = time.monotonic() - started
    assert reasons(*outcomes) == {("gave_up_retrying", True): 30}
    assert seconds < 12, "with 1 s for each of the 30 it is at least 30 s"


def test_after_poison_an_outage_is_still_waited_for() -> None:
    with graph_server(holding(lambda n: n < 3, POISONS["500"])) as graph:
        sender = client(graph, retry_for=1.0)
        given_up = [sender.deliver(batch(1, number)) for number in (0, 10, 1, 11, 2, 12)]
        down_until = time.monotonic() + 0.5
        graph.answer = lambda events: taken(events) if time.monotonic() > down_until else error(1, status=500)
        outcomes = [sender.deliver(batch(1, number)) for number in range(20, 60)]
    assert reasons(*given_up) == {("gave_up_retrying", True): 3}
    assert reasons(*outcomes).total() <= 8, "as many as in a row may be poison"


@pytest.mark.alone
def test_of_two_datasets_of_a_destination_the_one_that_fails_is_waited_for_once() -> None:
    def answer(events: list[Json]) -> Reply:
        return error(1, status=500) if graph.paths[-1] == "/v25.0/1/events" else taken(events)

    keys = [Address("web", dataset).encode() for dataset in "12"]
    with graph_server(answer) as graph, ThreadPoolExecutor(2) as pool:
        sender = client(graph, retry_for=1.0)
        batches = [batch(20, 20 * number, keys[number % 2]) for number in range(40)]
        started = time.monotonic()
        outcomes = list(pool.map(sender.deliver, batches))
        seconds = time.monotonic() - started
    assert reasons(*outcomes[::2]) == {("gave_up_retrying", True): 400}
    assert [outcome.delivered for outcome in outcomes[1::2]] == [{"web/leads": 20}] * 20
    assert seconds < 8, "with 1 s for each batch it is at least 10 s"


TOO_MANY = {
    "413": Reply(413, b"<html>413</html>"),
    "500": POISONS["500"],
    "a code that is not listed": error(4711),
    "a dropped connection": POISONS["a dropped connection"],
    "time-out": POISONS["time-out"],
}


@pytest.mark.parametrize("most", [1, 37])
@pytest.mark.parametrize("answer", TOO_MANY.values(), ids=TOO_MANY)
def test_a_batch_that_is_too_large_is_halved_until_it_fits_however_that_is_reported(answer: Reply, most: int) -> None:
    count = 4 * most
    with graph_server(lambda events: answer if len(events) > most else taken(events)) as graph:
        sender = client(graph, timeout=0.3, retry_for=1.0)
        outcomes = [sender.deliver(batch(count, count * number)) for number in range(2)]
    assert [outcome.delivered for outcome in outcomes] == [{"web/leads": count}] * 2
    assert len(graph.requests) <= 100


def test_an_outage_while_events_go_one_by_one_costs_a_few_requests_of_each_batch() -> None:
    def answer(events: list[Json]) -> Reply:
        bad = holding(SHAPES["60 % mixed"], error(100, 2804050))
        return POISONS["time-out"] if len(graph.requests) > 60 else bad(events)

    with graph_server(answer) as graph:
        outcome = client(graph, timeout=0.1, retry_for=0.5).deliver(batch(400))
    assert outcome.delivered["web/leads"] + len(outcome.rejections) == 400
    assert {codes(outcome)[n] for n in rejected(outcome) if not SHAPES["60 % mixed"](n)} == {"gave_up_retrying"}
    assert len(graph.requests) <= 60 + 60


def test_an_outage_while_it_is_found_out_who_refuses_costs_a_few_requests_of_each_batch() -> None:
    """Batches are refused, and single events not answered."""
    with graph_server(lambda events: error(4711) if len(events) > 1 else POISONS["500"]) as graph:
        sender = client(graph, retry_for=0.2)
        outcomes = [sender.deliver(batch(100, 100 * number)) for number in range(10)]
    assert reasons(*outcomes) == {("gave_up_retrying", True): 1000}
    assert len(graph.requests) <= 100


def test_a_run_that_is_stopped_while_poison_is_isolated_ends_soon() -> None:
    with (
        graph_server(holding(SHAPES["60 % mixed"], POISONS["time-out"])) as graph,
        ThreadPoolExecutor(1) as pool,
    ):
        sender = client(graph, timeout=0.2, retry_for=1000.0)
        sending = pool.submit(sender.deliver, batch(400))
        wait_until(lambda: any("sent in parts" in remark for remark in sender.progress.remarks()), seconds=30)
        sender.shutdown.set()
        outcome = sending.result(timeout=5)
    assert set(reasons(outcome)) == {("interrupted", True)}
    assert outcome.delivered["web/leads"] + len(outcome.rejections) == 400


def test_an_outage_in_the_middle_of_isolating_is_waited_out() -> None:
    outage = [40]  # requests

    def answer(events: list[Json]) -> Reply:
        if len(graph.requests) > 5 and outage[0]:
            outage[0] -= 1
            return error(2, status=503)
        return holding((42).__eq__, POISONS["500"])(events)

    with graph_server(answer) as graph:
        outcome = client(graph, retry_for=3.0).deliver(batch(200))
    assert rejected(outcome) <= {42}
    assert outcome.delivered["web/leads"] >= 199


@pytest.mark.alone
def test_an_outage_costs_no_more_requests_than_tries_and_gives_up_in_time() -> None:
    with graph_server(lambda _: error(2, status=503)) as graph:
        sender = client(graph, retry_for=0.5)
        started = time.monotonic()
        outcomes = [sender.deliver(batch(100, 100 * number)) for number in range(50)]
        seconds = time.monotonic() - started
    assert reasons(*outcomes) == {("gave_up_retrying", True): 5000}
    assert seconds < 10
    assert sum(graph.sizes) < 10 * 100 + len(graph.sizes), "what is down is asked by single events"


# --- no wait without an end -----------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize(
    "throttling",
    [
        Reply(429, b"", {"Retry-After": "3600"}),
        Reply(429, b"", {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}),
        Reply(
            200,
            orjson.dumps({"events_received": 10}),
            {
                "X-Business-Use-Case-Usage": orjson.dumps(
                    {"1": [{"call_count": 100, "estimated_time_to_regain_access": 100_000}]}
                ).decode()
            },
        ),
    ],
    ids=["seconds", "date", "usage"],
)
def test_one_long_wait_among_many_answers_ends_within_retry_for(throttling: Reply) -> None:
    with graph_server(lambda events: throttling if len(graph.requests) == 20 else taken(events)) as graph:
        sender = client(graph, retry_for=0.5)
        started = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(lambda number: sender.deliver(batch(10, 10 * number)), range(100)))
        seconds = time.monotonic() - started
    assert seconds < 10
    delivered = sum(outcome.delivered.get("web/leads", 0) for outcome in outcomes)
    assert delivered + reasons(*outcomes).total() == 1000
    assert set(reasons(*outcomes)) == {("gave_up_retrying", True)}
    assert delivered >= 180


def test_a_short_wait_is_waited_for() -> None:
    with graph_server(
        lambda events: Reply(429, b"", {"Retry-After": "1"}) if len(graph.requests) == 2 else taken(events)
    ) as graph:
        sender = client(graph, retry_for=5.0)
        outcomes = [sender.deliver(batch(10, 10 * number)) for number in range(5)]
    assert [outcome.delivered for outcome in outcomes] == [{"web/leads": 10}] * 5


def test_a_wait_ends_when_the_run_is_stopped() -> None:
    with (
        graph_server(lambda _: Reply(429, b"", {"Retry-After": "100"})) as graph,
        ThreadPoolExecutor(1) as pool,
    ):
        sender = client(graph, retry_for=1000.0)
        sending = pool.submit(sender.deliver, batch(10))
        deadline = time.monotonic() + 10
        while not sender.progress.status("web") and time.monotonic() < deadline:
            time.sleep(0.01)
        sender.shutdown.set()
        assert reasons(sending.result(timeout=5)) == {("interrupted", True): 10}


def test_more_events_acknowledged_than_sent_is_another_requests_answer() -> None:
    def answer(events: list[Json]) -> Reply:
        return Reply(200, b'{"events_received": 11}') if len(graph.requests) == 2 else taken(events)

    with graph_server(answer) as graph:
        sender = client(graph)
        outcomes = [sender.deliver(batch(10, 10 * number)) for number in range(3)]
    assert [outcome.delivered for outcome in outcomes] == [{"web/leads": 10}] * 3
    assert graph.sizes == [10, 10, 10, 10]


def test_an_answer_too_many_on_a_connection_is_no_answer_to_the_next_request() -> None:
    """The server answers twice; the second answer must not deliver events that it then refuses."""
    answer_twice = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"events_received": 5}'

    def answer(events: list[Json]) -> Reply:
        return Reply(200, raw=answer_twice * 2, keep=True) if len(graph.requests) == 1 else error(100, 2804050)

    with graph_server(answer) as graph:
        sender = client(graph)
        first = sender.deliver(batch(5))
        time.sleep(0.1)
        second = sender.deliver(batch(5, 5))
    assert first.delivered == {"web/leads": 5}
    assert reasons(second) == {("meta_refused_event", False): 5}


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("trace", ["its own", "always the same", "none"])
@pytest.mark.parametrize("again", [0.0, 0.001])
def test_an_answer_that_comes_twice_is_never_the_answer_to_another_request(
    again: float, trace: str, concurrency: int
) -> None:
    """Each third answer is sent twice, mostly when the next request is under way. Some refuse, some acknowledge."""
    taken_events: set[int] = set()

    def answer(events: list[Json]) -> Reply:
        number = len(graph.requests)
        traced = {"its own": {"fbtrace_id": f"A{number}"}, "always the same": {"fbtrace_id": "A"}, "none": {}}[trace]
        numbers = {event["n"] for event in events}
        if any(n % 17 == 3 for n in numbers):
            reply = error(100, 2804050, **traced)
        else:
            taken_events.update(numbers)
            reply = Reply(200, orjson.dumps({"events_received": len(events), **traced}))
        return dataclasses.replace(reply, again=again if number % 3 == 1 else None)

    with graph_server(answer) as graph, ThreadPoolExecutor(concurrency) as pool:
        sender = client(graph)
        outcomes = list(pool.map(lambda number: sender.deliver(batch(10, 10 * number)), range(30)))
    expected = {n for n in range(300) if n % 17 == 3}
    assert {n for outcome in outcomes for n in rejected(outcome)} == expected
    assert sum(outcome.delivered["web/leads"] for outcome in outcomes) == 300 - len(expected)
    assert taken_events == set(range(300)) - expected


# --- the law ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 3000))
def test_an_order_that_is_spread_has_every_index_once(count: int) -> None:
    assert sorted(spread(count)) == list(range(count))


@given(st.integers(40, 3000))
def test_any_twenty_in_a_row_of_a_spread_order_reach_both_ends(count: int) -> None:
    order = list(spread(count))[:20]
    assert max(b - a for a, b in zip(sorted(order), sorted(order)[1:], strict=False)) <= count / 8 + 1


# --- what a report says of it ---------------------------------------------------------------------------------------


def test_a_code_that_nobody_listed_shows_with_metas_own_words_and_without_what_they_quote() -> None:
    words = "The event of Jane Roe at 'x' with id e3 from jane@example.com is odd"
    odd = error(4711, message=words)
    with graph_server(holding(lambda n: n == 3, odd)) as graph:
        sender = client(graph)
        outcome = sender.deliver(named_batch("jane roe"))
    (rejection,) = outcome.rejections
    assert (rejection.code, rejection.meta_code, rejection.retryable) == ("meta_refused_event", "4711", False)
    assert rejection.about == "The event of … at '…' with id … from … is odd"
    assert words in rejection.message, "the dead letter has all of it"
    (remark,) = sender.progress.remarks()
    assert remark.startswith(
        "web: refuses events. Meta, code 4711: a refusal that is not listed. It says: “The event of …"
    )
    assert "jane" not in remark.lower()


def named_batch(name: str) -> EncodedBatch:
    events = [
        {"event_time": int(time.time() - 60), "event_name": "Lead", "event_id": f"e{number}", "n": number,
         "action_source": "email", "user_data": {"external_id": ["a" * 64]}, "custom_data": {"note": name}}
        for number in range(8)
    ]  # fmt: skip
    return pack(KEY, [sealed(event) for event in events])


@pytest.mark.parametrize(
    ("answer", "code", "about"),
    [
        (Reply(400, b'{"error": {"message": "no such thing"}}'), None, "no such thing"),
        (Reply(400, b'{"error": "bad request"}'), None, "bad request"),
        (error(4711, message=""), "4711", "a refusal that is not listed"),
    ],
)
def test_an_answer_with_few_words_or_without_a_code_does_not_vanish(
    answer: Reply, code: str | None, about: str
) -> None:
    with graph_server(holding(lambda n: n == 3, answer)) as graph:
        outcome = client(graph).deliver(batch(8))
    (rejection,) = outcome.rejections
    assert (rejection.code, rejection.meta_code, rejection.about) == ("meta_refused_event", code, about)
    assert (about if code is None else "Meta, code 4711.") in rejection.message


def test_requests_that_fail_or_are_refused_are_tries_and_those_that_are_taken_are_receipts() -> None:
    with graph_server(holding(lambda n: n == 3, error(100, 2804019))) as graph:
        outcome = client(graph).deliver(batch(8))
    assert outcome.tries == len(graph.requests) > len(outcome.receipts) > 0
    assert outcome.bytes == sum(len(orjson.dumps(body)) for body in graph.bodies)
    assert outcome.refusals == {}


@pytest.mark.parametrize("answer", [KNOWN["token"], KNOWN["no such object"], *UNKNOWN.values()])
def test_a_destination_that_refuses_everything_says_why_for_all_that_it_refused(answer: Reply) -> None:
    with graph_server(lambda _: answer) as graph:
        outcome = client(graph).deliver(batch(50))
    assert sum(outcome.refusals.values()) == 50
    assert all(refusal.problem and refusal.cure for refusal in outcome.refusals)
