"""Whatever Meta answers: the event at fault is found, the others get through, no destination is blamed on events.

Against a real server that answers as each test says.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.graph_server import GraphServer, Json, Reply, error, graph_server, taken
from transforms import couriers
from transforms.conversions import destination_key
from transforms.couriers import Courier
from transforms.graph_api import Delivery, Destination
from transforms.isolation import spread
from transforms.parcels import DestinationHeld, Outcome, Parcel
from transforms.stopping import STOPPING
from transforms.tallies import LIVE
from transforms.tokens import TokenReference

KEY = destination_key("web", "123")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TOKEN", "EAAB-the-token")
    STOPPING.clear()
    LIVE.reset()
    yield
    STOPPING.clear()
    LIVE.reset()


def line(number: int) -> bytes:
    event = {"event_time": int(time.time() - 60), "event_name": "Lead", "event_id": f"e{number}", "n": number}
    return b"leads\t" + orjson.dumps({**event, "action_source": "email", "user_data": {"external_id": ["a" * 64]}})


def batch(count: int, start: int = 0) -> Parcel:
    return Parcel.pack(KEY, [line(number) for number in range(start, start + count)])


def courier(graph: GraphServer, hold: bool = False, **delivery: Any) -> Courier:
    settings = {"retry_for": 5.0, "timeout": 2.0, **delivery}
    destination = Destination("web", TokenReference("env:TOKEN"), endpoint=graph.url)
    return Courier((destination,), Delivery(**settings), hold=hold, jitter=lambda low, high: 0.01)


def reasons(*outcomes: Outcome) -> Counter[tuple[str, bool]]:
    return Counter((r.code, r.retryable) for outcome in outcomes for r in outcome.rejections)


def rejected(outcome: Outcome) -> set[int]:
    return {rejection.payload["n"] for rejection in outcome.rejections}


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
        sender = courier(graph)
        outcomes = [sender.deliver(batch(100, 100 * number)) for number in range(10)]
    assert reasons(*outcomes) == {("destination_refused", True): 1000}
    assert len(graph.requests) == 1
    assert LIVE.state("web").startswith("REFUSED. ")


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN)
def test_any_other_refusal_of_everything_is_found_out_by_single_events(answer: Reply) -> None:
    with graph_server(lambda _: answer) as graph:
        outcome = courier(graph).deliver(batch(1000))
    assert reasons(outcome) == {("destination_refused", True): 1000}
    assert graph.sizes == [1000] + [1] * 20
    assert LIVE.state("web").startswith("REFUSED. ")
    assert "Events sent one by one are all refused like this" in LIVE.state("web")


@pytest.mark.parametrize("concurrency", [1, 8])
def test_it_costs_about_forty_requests_however_many_events_there_are(concurrency: int) -> None:
    with graph_server(lambda _: error(4711)) as graph, ThreadPoolExecutor(concurrency) as pool:
        sender = courier(graph)
        outcomes = list(pool.map(lambda number: sender.deliver(batch(30, 30 * number)), range(1000)))
    assert reasons(*outcomes) == {("destination_refused", True): 30_000}
    assert len(graph.requests) <= 40


@pytest.mark.parametrize("count", [2, 5, 19])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [(error(4711), ("destination_refused", True)), (error(100, 2804050), ("meta_refused_event", False))],
    ids=["unknown", "about the event"],
)
def test_too_few_events_to_tell_are_blamed_only_where_meta_does(
    answer: Reply, expected: tuple[str, bool], count: int
) -> None:
    with graph_server(lambda _: answer) as graph:
        outcome = courier(graph).deliver(batch(count))
    assert reasons(outcome) == {expected: count}


def test_single_events_of_many_small_batches_add_up() -> None:
    with graph_server(lambda _: error(4711)) as graph:
        sender = courier(graph)
        outcomes = [sender.deliver(batch(1, number)) for number in range(1000)]
    assert reasons(*outcomes) == {("destination_refused", True): 1000}
    assert len(graph.requests) <= 40


def test_what_was_inferred_is_looked_into_again_and_what_passes_is_delivered() -> None:
    with graph_server(lambda _: error(4711)) as graph:
        sender = courier(graph)
        first = sender.deliver(batch(100))
        graph.answer = taken
        rest = [sender.deliver(batch(100, 100 * number)) for number in range(1, 10)]
    assert reasons(first) == {("destination_refused", True): 100}
    assert sum(outcome.delivered.get("web/leads", 0) for outcome in rest) >= 800


def test_a_destination_that_refuses_everything_later_on_is_found_out_as_well() -> None:
    with graph_server(taken) as graph:
        sender = courier(graph)
        sender.deliver(batch(1000))
        graph.answer = lambda _: error(4711)
        outcome = sender.deliver(batch(1000, 1000))
    assert reasons(outcome) == {("destination_refused", True): 1000}
    assert len(graph.requests) <= 60


def test_a_stream_holds_its_events_and_goes_on_when_something_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "_HOLD_PAUSE", 10.0)  # of which the courier here waits 0.01, by its jitter
    with graph_server(lambda _: error(4711)) as graph, ThreadPoolExecutor(1) as pool:
        sender = courier(graph, hold=True)
        sending = pool.submit(sender.deliver, batch(100))
        deadline = time.monotonic() + 10
        while not LIVE.state("web").startswith("HELD. ") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert LIVE.state("web").startswith("HELD. Dataset 123: Meta, code 4711: a refusal that is not in this table.")
        graph.answer = taken
        outcome = sending.result(timeout=10)
    assert (outcome.delivered, outcome.rejections) == ({"web/leads": 100}, [])
    assert LIVE.state("web") == ""


def test_a_stream_that_is_stopped_while_it_holds_rejects_nothing() -> None:
    with graph_server(lambda _: error(4711)) as graph, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(courier(graph, hold=True).deliver, batch(100))
        deadline = time.monotonic() + 10
        while not LIVE.state("web") and time.monotonic() < deadline:
            time.sleep(0.01)
        STOPPING.set()
        with pytest.raises(DestinationHeld, match="HELD"):
            sending.result(timeout=10)


def test_a_stream_is_not_held_by_events_that_are_invalid() -> None:
    with graph_server(holding(lambda n: n < 100, error(100, 2804050))) as graph:
        sender = courier(graph, hold=True)
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
        outcome = courier(graph).deliver(batch(400))
    assert rejected(outcome) == expected
    assert reasons(outcome) == {("meta_refused_event", False): len(expected)}
    assert outcome.delivered == {"web/leads": 400 - len(expected)}
    assert set(graph.stored.values()) == {1}
    assert len(graph.requests) <= min(2 * len(expected) * 9 + 2, 480)


def test_where_most_of_a_batch_is_bad_the_screen_says_that_the_rest_goes_one_by_one() -> None:
    with graph_server(holding(SHAPES["60 % mixed"], error(100, 2804050))) as graph:
        outcome = courier(graph).deliver(batch(400))
    assert LIVE.remarks() == [
        "web: refuses events. Meta, code 100/2804050: an invalid event. Looking for the events at fault.",
        "web: most events of a batch are refused or fail; the rest of it is sent one by one.",
    ]
    assert LIVE.refusals() == {("web", "Meta, code 100/2804050: an invalid event."): len(outcome.rejections)}


# --- one poison event, however it is answered -----------------------------------------------------------------------

POISONS = {
    "500": error(1, status=500),
    "500 in html": Reply(500, b"<html>Sorry</html>"),
    "is_transient": error(4711, is_transient=True),
    "no code": Reply(400, b'{"error": {"message": "x"}}'),
    "code as text": error("100"),
    "unparsable": Reply(400, b"<html>Bad request</html>"),
    "a 200 that says nothing": Reply(202, b"{}"),
    "a dropped connection": Reply(599, raw=b""),
    "half an answer": Reply(599, raw=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
    "time-out": Reply(599, raw=b"", after=0.4),
}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_poison_events_are_isolated_however_meta_answers_them(poison: Reply) -> None:
    bad = {7, 150, 298}
    with graph_server(holding(bad.__contains__, poison)) as graph:
        outcome = courier(graph, retry_for=1.0, timeout=0.3).deliver(batch(300))
    assert rejected(outcome) == bad
    assert outcome.delivered == {"web/leads": 297}
    assert {code for code, _ in reasons(outcome)} <= {"gave_up_retrying", "meta_refused_event"}
    assert len(graph.requests) <= 250


@pytest.mark.parametrize("retry_for", [0.0, 0.05, 1.0])
def test_a_batch_is_never_given_up_for_one_event_while_single_ones_get_through(retry_for: float) -> None:
    with graph_server(holding((42).__eq__, POISONS["500"])) as graph:
        outcome = courier(graph, retry_for=retry_for).deliver(batch(1000))
    assert rejected(outcome) == {42}
    assert outcome.delivered == {"web/leads": 999}


def test_poison_among_batches_that_get_through_does_not_wait_for_retry_for() -> None:
    with graph_server(holding((42).__eq__, POISONS["500"])) as graph, ThreadPoolExecutor(2) as pool:
        sender = courier(graph, retry_for=2.0)
        poisoned = pool.submit(sender.deliver, batch(100))
        while not poisoned.done() and graph.stored.total() < 99:
            sender.deliver(batch(1, 1000 + len(graph.requests)))
        assert poisoned.result(timeout=10).delivered == {"web/leads": 99}
    assert LIVE.remarks()[0].startswith("web: a batch keeps failing while others get through. Meta, code 1: ")


def test_an_outage_in_the_middle_of_isolating_is_waited_out() -> None:
    outage = [40]  # requests

    def answer(events: list[Json]) -> Reply:
        if len(graph.requests) > 5 and outage[0]:
            outage[0] -= 1
            return error(2, status=503)
        return holding((42).__eq__, POISONS["500"])(events)

    with graph_server(answer) as graph:
        outcome = courier(graph, retry_for=3.0).deliver(batch(200))
    assert rejected(outcome) <= {42}
    assert outcome.delivered["web/leads"] >= 199


def test_an_outage_costs_no_more_requests_than_tries_and_gives_up_in_time() -> None:
    with graph_server(lambda _: error(2, status=503)) as graph:
        sender = courier(graph, retry_for=0.5)
        started = time.monotonic()
        outcomes = [sender.deliver(batch(100, 100 * number)) for number in range(50)]
        seconds = time.monotonic() - started
    assert reasons(*outcomes) == {("gave_up_retrying", True): 5000}
    assert seconds < 10
    assert sum(graph.sizes) < 10 * 100 + len(graph.sizes), "what is down is asked by single events"


# --- no wait without an end -----------------------------------------------------------------------------------------


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
        sender = courier(graph, retry_for=0.5)
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
        sender = courier(graph, retry_for=5.0)
        outcomes = [sender.deliver(batch(10, 10 * number)) for number in range(5)]
    assert [outcome.delivered for outcome in outcomes] == [{"web/leads": 10}] * 5


def test_a_wait_ends_when_the_run_is_stopped() -> None:
    with (
        graph_server(lambda _: Reply(429, b"", {"Retry-After": "100"})) as graph,
        ThreadPoolExecutor(1) as pool,
    ):
        sending = pool.submit(courier(graph, retry_for=1000.0).deliver, batch(10))
        deadline = time.monotonic() + 10
        while not LIVE.state("web") and time.monotonic() < deadline:
            time.sleep(0.01)
        STOPPING.set()
        assert reasons(sending.result(timeout=5)) == {("interrupted", True): 10}


def test_more_events_acknowledged_than_sent_is_another_requests_answer() -> None:
    def answer(events: list[Json]) -> Reply:
        return Reply(200, b'{"events_received": 11}') if len(graph.requests) == 2 else taken(events)

    with graph_server(answer) as graph:
        sender = courier(graph)
        outcomes = [sender.deliver(batch(10, 10 * number)) for number in range(3)]
    assert [outcome.delivered for outcome in outcomes] == [{"web/leads": 10}] * 3
    assert graph.sizes == [10, 10, 10, 10]


def test_an_answer_too_many_on_a_connection_is_no_answer_to_the_next_request() -> None:
    """The server answers twice; the second answer must not deliver events that it then refuses."""
    answer_twice = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"events_received": 5}'

    def answer(events: list[Json]) -> Reply:
        return Reply(200, raw=answer_twice * 2, keep=True) if len(graph.requests) == 1 else error(100, 2804050)

    with graph_server(answer) as graph:
        sender = courier(graph)
        first = sender.deliver(batch(5))
        time.sleep(0.1)
        second = sender.deliver(batch(5, 5))
    assert first.delivered == {"web/leads": 5}
    assert reasons(second) == {("meta_refused_event", False): 5}


# --- the law ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 3000))
def test_an_order_that_is_spread_has_every_index_once(count: int) -> None:
    assert sorted(spread(count)) == list(range(count))


@given(st.integers(40, 3000))
def test_any_twenty_in_a_row_of_a_spread_order_reach_both_ends(count: int) -> None:
    order = list(spread(count))[:20]
    assert max(b - a for a, b in zip(sorted(order), sorted(order)[1:], strict=False)) <= count / 8 + 1
