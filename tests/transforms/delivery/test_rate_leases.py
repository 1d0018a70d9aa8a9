"""A rate that processes share: one that sends alone has nearly all of it, and together they never have more."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.transforms.delivery.rate_leases import (
    FORGOTTEN,
    IDLE,
    REMOVED,
    VALID,
    EvenShare,
    Lease,
    LeasedShare,
    _Renewals,
)

INTERVAL = 10.0


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """Leases in memory. `broken` raises what is asked of it."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self.interval = interval
        self.found: dict[str, Lease] = {}
        self.broken = False
        self._stamp = 0

    def renew(self, name: str, is_joining: bool) -> None:
        self._check()
        self._stamp += 1
        self.found[name] = Lease(self._stamp, is_joining)

    def leases(self) -> Mapping[str, Lease]:
        self._check()
        return dict(self.found)

    def remove(self, name: str) -> None:
        self._check()
        self.found.pop(name, None)

    def _check(self) -> None:
        if self.broken:
            raise PermissionError("s3cret")


class Process:
    """One that looks each interval, at times of its own."""

    def __init__(self, place: Place, clock: Clock, workers: int = 5) -> None:
        self.renewals = _Renewals(place, 1 / workers, clock)
        self._clock = clock
        self.next_look = clock.now

    def look_if_due(self) -> None:
        if self._clock.now >= self.next_look:
            self.next_look = self._clock.now + INTERVAL
            with contextlib.suppress(PermissionError):
                self.renewals.renew()

    @property
    def share(self) -> float:
        return self.renewals.share(self._clock.now)


def pass_time(clock: Clock, processes: list[Process], seconds: float) -> float:
    """Lets processes look for so long; the largest sum of their shares at any moment."""
    most, end = 0.0, clock.now + seconds
    while clock.now < end:
        for process in processes:
            process.look_if_due()
            most = max(most, sum(each.share for each in processes))
        clock.now += 1.0
    return most


def test_one_of_five_has_the_cautious_share_first_and_then_all() -> None:
    clock, place = Clock(), Place()
    process = Process(place, clock)
    assert process.share == 0.0
    pass_time(clock, [process], 1)
    assert process.share == 0.2
    pass_time(clock, [process], VALID * INTERVAL)
    assert process.share == 1.0


def test_processes_that_start_together_send_at_once_and_then_share_evenly() -> None:
    clock, place = Clock(), Place()
    processes = [Process(place, clock) for _ in range(3)]
    pass_time(clock, processes, 1)
    assert [process.share for process in processes] == [0.2, 0.2, 0.2]
    pass_time(clock, processes, (VALID + 1) * INTERVAL)
    assert [round(process.share, 3) for process in processes] == [0.333, 0.333, 0.333]


def test_one_that_joins_waits_until_the_others_have_counted_it() -> None:
    clock, place = Clock(), Place()
    first = Process(place, clock)
    pass_time(clock, [first], 35)
    second = Process(place, clock)
    pass_time(clock, [first, second], 1)
    assert (first.share, second.share) == (1.0, 0.0)
    pass_time(clock, [first, second], VALID * INTERVAL + 5)
    assert (first.share, second.share) == (0.5, 0.5)


def test_the_share_of_one_that_is_gone_goes_to_the_others_and_its_lease_is_removed() -> None:
    clock, place = Clock(), Place()
    gone, left = Process(place, clock), Process(place, clock)
    pass_time(clock, [gone, left], 40)
    assert left.share == 0.5
    pass_time(clock, [left], (FORGOTTEN + 2) * INTERVAL)
    assert (left.share, len(place.found)) == (1.0, 2)
    pass_time(clock, [left], REMOVED * INTERVAL)
    assert len(place.found) == 1


def test_one_that_gives_its_lease_back_leaves_its_share_at_once() -> None:
    clock, place = Clock(), Place()
    gone, left = Process(place, clock), Process(place, clock)
    pass_time(clock, [gone, left], 40)
    gone.renewals.give_back()
    assert gone.share == 0.0
    pass_time(clock, [left], INTERVAL)
    assert left.share == 1.0


def test_a_place_that_fails_leaves_the_cautious_share_and_one_that_is_back_is_joined_again() -> None:
    clock, place = Clock(), Place()
    processes = [Process(place, clock), Process(place, clock)]
    pass_time(clock, processes, 40)
    place.broken = True
    most = pass_time(clock, processes, 300)
    assert ([process.share for process in processes], most) == ([0.2, 0.2], 1.0)
    place.broken = False
    assert pass_time(clock, processes, 60) <= 1.0
    assert [process.share for process in processes] == [0.5, 0.5]


def test_a_place_that_never_answers_leaves_the_cautious_share() -> None:
    clock, place = Clock(), Place()
    place.broken = True
    process = Process(place, clock)
    assert process.share == 0.0
    pass_time(clock, [process], INTERVAL + 1)
    assert process.share == 0.2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 8))
def test_however_processes_come_and_go_together_they_never_have_more_than_the_whole(seed: int, workers: int) -> None:
    chance = random.Random(seed)
    clock, place = Clock(), Place()
    processes: list[Process] = []
    for _ in range(12):
        if len(processes) < workers and chance.random() < 0.7:
            processes.append(Process(place, clock, workers))
        elif processes and chance.random() < 0.5:
            process = processes.pop(chance.randrange(len(processes)))
            if chance.random() < 0.5:
                process.renewals.give_back()
        assert pass_time(clock, processes, chance.choice([1, 3, 12, 25, 50])) <= 1.0 + 1e-9


def test_leases_are_kept_by_a_thread_while_somebody_asks_and_given_back_then() -> None:
    place = Place(interval=0.02)
    share = LeasedShare(place, workers=5)
    deadline = time.monotonic() + 30
    while share() < 1.0 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert (share(), len(place.found)) == (1.0, 1)
    share.close()
    while place.found and time.monotonic() < deadline:
        time.sleep(0.005)
    assert place.found == {}
    assert share() <= 0.2, "it joins anew"
    share.close()


def test_one_that_sends_nothing_for_long_gives_its_lease_back() -> None:
    clock, place = Clock(), Place(interval=0.02)
    share = LeasedShare(place, workers=5, clock=clock)
    share()
    deadline = time.monotonic() + 30
    while not place.found and time.monotonic() < deadline:
        time.sleep(0.005)
    clock.now += IDLE * 0.02 + 1
    while place.found and time.monotonic() < deadline:
        time.sleep(0.005)
    assert place.found == {}


def test_a_place_that_fails_is_remarked_upon_without_what_it_says() -> None:
    place, said, heard = Place(interval=0.02), list[str](), threading.Event()
    place.broken = True

    def remark(text: str) -> None:
        said.append(text)
        heard.set()

    share = LeasedShare(place, 5, remark)
    share()
    assert heard.wait(30)
    share.close()
    assert said[0] == "leases of requests_per_second cannot be kept (PermissionError): shared evenly"


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_an_even_share_does_not_change(share: float) -> None:
    even = EvenShare(share)
    even.close()
    assert even() == share
