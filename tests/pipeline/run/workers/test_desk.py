"""What a coordinator holds for its workers, and takes back from one that is gone."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from capybeam.pipeline.run.workers.desk import CALM, SIGNALS, WANTED, Desk
from capybeam.pipeline.run.workers.leases import leased_limits
from capybeam.pipeline.run.workers.messages import Call, Target
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.answers import Answer
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.meta.destinations import MetaDestination

WEB = MetaDestination("web", TokenReference("env:TOKEN"))
DATASET = ("web", "123")
DEAD_TOKEN = Answer("destination", "dead", 190)


class Direct:
    """A worker that calls the desk itself; `asked` are the calls for which it waited."""

    def __init__(self, desk: Desk, signals: mmap.mmap, number: int) -> None:
        self._desk, self._signals, self._number = desk, signals, number
        self.asked: list[str] = []

    def is_calm(self) -> bool:
        return bool(self._signals[CALM])

    def is_slot_wanted(self) -> bool:
        return bool(self._signals[WANTED])

    def when_recalled(self, give_back: Callable[[str], object]) -> None:
        self.give_back = give_back

    def call(self, target: Target, method: str, *arguments: Any, name: str = "") -> Any:
        self.asked.append(f"{target} {method}")
        answers: list[Any] = []
        self._desk.handle(self._number, Call(1, target, method, name, arguments), answers.append)
        (answer,) = answers  # else it would wait
        return answer

    def tell(self, target: Target, method: str, *arguments: Any, name: str = "") -> None:
        self._desk.handle(self._number, Call(None, target, method, name, arguments), lambda _: None)


@pytest.fixture
def signals() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, SIGNALS) as shared:
        yield shared


def two_workers(signals: mmap.mmap, delivery: Delivery) -> tuple[Desk, list[Direct], list[Any]]:
    workers: list[Direct] = []
    desk = Desk([WEB], delivery, [], signals, lambda number, name: workers[number].give_back(name))
    workers += [Direct(desk, signals, number) for number in (0, 1)]
    return desk, workers, [leased_limits(worker, [WEB], delivery) for worker in workers]


def test_what_holds_nothing_back_is_not_asked_for(signals: mmap.mmap) -> None:
    _, workers, (one, _) = two_workers(signals, Delivery())
    assert one.circuits.gate(DATASET, 0, False) == "go"
    assert (one.pacer.wait(), one.guards["web"].wait(), one.circuits.is_anything_open("web")) == (0.0, 0.0, False)
    one.guards["web"].observe(Answer("delivered", usage=10.0))
    one.circuits.delivered(DATASET)
    for _ in range(3):
        with one.slot("web"):
            pass
    assert workers[0].asked == ["slot acquire"]
    assert one.circuits.is_proven(DATASET)


def test_what_one_worker_finds_out_the_other_knows(signals: mmap.mmap) -> None:
    _, _, (one, other) = two_workers(signals, Delivery(requests_per_second=0.5))
    one.circuits.open(DATASET, DEAD_TOKEN, 1)
    assert other.circuits.gate(DATASET, 1, False) == DEAD_TOKEN
    assert other.circuits.is_open(DATASET)
    one.guards["web"].stop(30.0, Answer("throttled", "slow down"))
    assert 29 < other.guards["web"].wait() <= 30
    assert other.guards["web"].cause == Answer("throttled", "slow down")
    assert one.pacer.wait() == 0.0
    assert 1.9 < other.pacer.wait() <= 2.0


def test_retry_for_counts_from_the_first_failure_that_any_worker_meets(signals: mmap.mmap) -> None:
    _, workers, (one, other) = two_workers(signals, Delivery(retry_for=0.05))
    down = Answer("transient", "It is down.")
    assert 0 < one.outages.failed(DATASET, down, time.monotonic(), 0).outage <= 0.05
    time.sleep(0.06)
    since = time.monotonic()
    left = other.outages.failed(DATASET, down, since, 0)  # of a batch that has only begun to fail
    assert (left.request, left.outage <= 0) == (left.outage, True)
    other.outages.gave_up(DATASET, since, is_single=False, is_outage=True)
    assert one.outages.has_given_up(DATASET)
    one.outages.got_through(DATASET)
    assert not other.outages.has_given_up(DATASET)
    assert 0.04 < other.outages.failed(DATASET, down, time.monotonic(), 0).outage <= 0.05
    other.outages.got_through(DATASET)
    asked = [*workers[0].asked], [*workers[1].asked]
    one.outages.got_through(DATASET)  # nothing fails: nobody is asked
    assert not other.outages.has_given_up(DATASET)
    assert ([*workers[0].asked], [*workers[1].asked]) == asked


def test_events_that_fail_alone_in_one_worker_have_had_their_time_in_the_other(signals: mmap.mmap) -> None:
    _, _, (one, other) = two_workers(signals, Delivery(retry_for=60.0))
    assert 59 < one.outages.failed_alone(DATASET) <= 60
    time.sleep(0.05)
    assert 59 < other.outages.failed_alone(DATASET) <= 59.95
    assert one.outages.failed_alone(DATASET, is_over=True) <= 0
    assert other.outages.failed_alone(DATASET) <= 0


def test_slots_are_the_jobs_and_come_back_from_a_worker_that_is_gone(signals: mmap.mmap) -> None:
    desk = Desk([WEB], Delivery(concurrency=2), [], signals, lambda *_: None)
    given: list[str] = []

    def ask(worker: int, name: str) -> None:
        desk.handle(worker, Call(1, "slot", "acquire", "web"), lambda _: given.append(name))

    for worker, name in [(0, "a"), (0, "b"), (0, "never"), (1, "c"), (1, "d"), (1, "e")]:
        ask(worker, name)
    assert given == ["a", "b"]
    desk.gone(0)  # which waits for a third, too
    assert given == ["a", "b", "c", "d"]
    desk.handle(1, Call(None, "slot", "release", "web"), lambda _: None)
    assert given == ["a", "b", "c", "d", "e"]


def test_a_slot_that_is_kept_is_another_workers_as_soon_as_that_asks_for_it(signals: mmap.mmap) -> None:
    _, workers, (one, other) = two_workers(signals, Delivery(concurrency=2))
    with one.slot("web"), one.slot("web"):
        pass
    with other.slot("web"), other.slot("web"):
        assert not workers[0].is_slot_wanted()
    with one.slot("web"):
        pass
    assert workers[0].asked == ["slot acquire"] * 3
    assert workers[1].asked == ["slot acquire"] * 2


def test_no_slot_is_kept_for_which_somebody_waits(signals: mmap.mmap) -> None:
    desk, workers, (one, _) = two_workers(signals, Delivery(concurrency=1))
    given: list[str] = []
    with one.slot("web"):
        desk.handle(1, Call(1, "slot", "acquire", "web"), lambda _: given.append("other"))
        assert (given, workers[0].is_slot_wanted()) == ([], True)
    assert (given, workers[0].is_slot_wanted()) == (["other"], False)


def test_slots_that_a_worker_keeps_come_back_when_it_is_gone(signals: mmap.mmap) -> None:
    desk, _, (one, other) = two_workers(signals, Delivery(concurrency=1))
    with one.slot("web"):
        pass
    desk.gone(0)
    with other.slot("web"):
        pass


def test_one_of_all_workers_finds_out_for_a_dataset_until_it_is_gone(signals: mmap.mmap) -> None:
    desk, _, (one, other) = two_workers(signals, Delivery())
    assert one.circuits.finding_out(DATASET).acquire()
    assert not other.circuits.finding_out(DATASET).acquire(timeout=0.01)
    other.circuits.finding_out(DATASET).release()  # of what it does not have
    assert not other.circuits.finding_out(DATASET).acquire(blocking=False)
    desk.gone(0)
    assert other.circuits.finding_out(DATASET).acquire(timeout=0.0)


def test_seconds_of_waiting_end_with_the_worker_that_waits(signals: mmap.mmap) -> None:
    clock = [0.0]
    desk, _, (one, other) = two_workers(signals, Delivery())
    desk.throttled._clock = lambda: clock[0]
    with other.throttled.waiting():
        clock[0] = 5.0
    clock[0] = 9.0
    assert desk.throttled.take() == 5
    desk.handle(0, Call(None, "throttled", "begin"), lambda _: None)
    clock[0] = 11.0
    desk.gone(0)
    clock[0] = 99.0
    assert desk.throttled.take() == 2
    assert (one.throttled.take(), other.throttled.take()) == (0, 0)
