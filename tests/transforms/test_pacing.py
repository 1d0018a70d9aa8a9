"""The law of the pacer: in no window are more requests started than its rate and burst allow, and none waits longer."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.pacing import Pacer

_ROUNDING = 1e-6  # seconds and requests


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def starts(rate: float, burst: int, pauses: list[float], origin: float = 0.0) -> list[float]:
    """When requests start that are asked for after `pauses`, each as soon as the pacer lets it."""
    clock = Clock(origin)
    pacer = Pacer(rate, burst, clock)
    started = []
    for pause in pauses:
        clock.now += pause
        started.append(clock.now + pacer.reserve())
    return started


RATES = st.sampled_from([0.5, 1.0, 3.0, 10.0, 1000.0]) | st.floats(0.1, 500.0)
BURSTS = st.integers(1, 8)
PAUSES = st.lists(st.just(0.0) | st.floats(0.0, 0.3) | st.floats(0.0, 20.0), min_size=1, max_size=40)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RATES, BURSTS, PAUSES)
def test_in_no_window_start_more_requests_than_rate_times_window_plus_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    started = sorted(starts(rate, burst, pauses))

    for first, opening in enumerate(started):
        for last in range(first, len(started)):
            window = started[last] - opening
            assert last - first + 1 <= rate * window + burst + _ROUNDING


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RATES, BURSTS, PAUSES)
def test_a_request_waits_only_where_starting_now_would_break_the_limit(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    pacer = Pacer(rate, burst, clock)
    started: list[float] = []
    for pause in pauses:
        clock.now += pause
        wait = pacer.reserve()
        started.append(clock.now + wait)
        if wait > _ROUNDING:
            fullest = max(len(started) - first - rate * (started[-1] - start) for first, start in enumerate(started))
            assert fullest >= burst - _ROUNDING * rate - _ROUNDING, "some window ending here is full"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RATES, BURSTS, PAUSES)
def test_requests_start_in_the_order_they_asked(rate: float, burst: int, pauses: list[float]) -> None:
    started = starts(rate, burst, pauses)

    assert started == sorted(started)


def test_a_burst_starts_at_once_and_the_rest_at_the_rate() -> None:
    assert starts(rate=2.0, burst=3, pauses=[0.0] * 6) == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


def test_without_a_burst_requests_are_evenly_spaced() -> None:
    assert starts(rate=4.0, burst=1, pauses=[0.0] * 4) == [0.0, 0.25, 0.5, 0.75]


def test_idle_time_saves_up_no_more_than_a_burst() -> None:
    assert starts(rate=2.0, burst=2, pauses=[0.0, 1000.0, 0.0, 0.0, 0.0]) == [0.0, 1000.0, 1000.0, 1000.5, 1001.0]


def test_a_clock_that_starts_anywhere_makes_no_difference() -> None:
    assert starts(rate=2.0, burst=2, pauses=[0.0] * 4, origin=-64.0) == [-64.0, -64.0, -63.5, -63.0]


def test_without_a_rate_nothing_waits() -> None:
    pacer = Pacer(None, clock=Clock())

    assert [pacer.reserve() for _ in range(1000)] == [0.0] * 1000


@pytest.mark.parametrize("threads", [4])
def test_threads_share_one_pace(threads: int) -> None:
    pacer = Pacer(10.0, burst=2, clock=Clock())
    waits: list[float] = []

    def work() -> None:
        waits.extend([pacer.reserve() for _ in range(50)])

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(waits) == pytest.approx([0.0] + [number / 10 for number in range(199)])
