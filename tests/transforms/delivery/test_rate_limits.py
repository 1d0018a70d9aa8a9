"""The law of the pacer: in no window are more requests started than its rate and burst allow, and none waits longer."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.transforms.delivery.answers import Answer
from capybeam.transforms.delivery.rate_limits import Pacer, RateLimitGuard, Stopwatch

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
        while (wait := pacer.wait()) > 0:
            clock.now += wait
        started.append(clock.now)
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
        waited = 0.0
        while (wait := pacer.wait()) > 0:
            clock.now += wait
            waited += wait
        started.append(clock.now)
        if waited > _ROUNDING:
            fullest = max(len(started) - first - rate * (started[-1] - start) for first, start in enumerate(started))
            assert fullest >= burst - _ROUNDING * rate - _ROUNDING, "some window ending here is full"


SHARES = st.lists(st.tuples(st.floats(0.05, 5.0), st.sampled_from([0.0, 0.1, 0.25, 1.0])), min_size=1, max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RATES, SHARES)
def test_a_share_that_changes_is_kept_at_each_moment(rate: float, shares: list[tuple[float, float]]) -> None:
    clock, share = Clock(), [0.0]
    pacer = Pacer(rate, clock=clock, share=lambda: share[0])
    started, allowed = 0, 0.0
    for seconds, share[0] in shares:
        end = clock.now + seconds
        while clock.now < end and started < 1000:
            wait = pacer.wait()
            started += wait == 0
            clock.now = min(end, clock.now + wait)
        allowed += rate * share[0] * seconds
        assert started <= allowed + 1 + _ROUNDING * (1 + rate)


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

    assert [pacer.wait() for _ in range(1000)] == [0.0] * 1000


def test_a_thread_that_sleeps_too_long_pushes_the_next_one_back() -> None:
    clock = Clock()
    pacer = Pacer(10.0, clock=clock)
    assert pacer.wait() == 0.0
    clock.now = 0.19  # it was told 0.1
    assert pacer.wait() == 0.0
    clock.now = 0.2
    assert pacer.wait() == pytest.approx(0.09)


def test_threads_share_one_pace() -> None:
    pacer = Pacer(10.0, burst=2, clock=Clock())
    waits: list[float] = []

    def work() -> None:
        waits.extend([pacer.wait() for _ in range(50)])

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(waits) == pytest.approx([0.0] * 2 + [0.1] * 198)


# --- before Meta has to refuse ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "pause"), [(0.0, 0.0), (74.9, 0.0), (75.0, 0.0), (80.0, 1.2), (90.0, 10.8), (95.0, 19.2), (99.9, 29.76)]
)
def test_from_three_quarters_of_the_limit_on_requests_are_spaced_out(usage: float, pause: float) -> None:
    clock = Clock()
    guard = RateLimitGuard(clock=clock)
    guard.observe(Answer("delivered", usage=usage))
    assert guard.wait() == 0.0
    assert guard.wait() == pytest.approx(pause, abs=0.01)


@pytest.mark.parametrize(("regain", "stop"), [(None, 60.0), (300.0, 300.0)])
def test_at_the_limit_nothing_starts_until_access_is_regained(regain: float | None, stop: float) -> None:
    clock = Clock()
    guard = RateLimitGuard(clock=clock)
    guard.observe(Answer("delivered", usage=100.0, regain=regain))
    assert guard.wait() == stop
    clock.now = stop - 1
    assert guard.wait() == 1.0
    clock.now = stop
    assert guard.wait() == 0.0
    assert guard.wait() == 30.0, "one request finds out how things stand"
    guard.observe(Answer("delivered", usage=20.0))
    clock.now += 30.0
    assert [guard.wait() for _ in range(5)] == [0.0] * 5


def test_a_guess_at_when_access_is_regained_yields_to_an_answer_that_knows_better() -> None:
    clock = Clock()
    guard = RateLimitGuard(clock=clock)
    guard.observe(Answer("delivered", usage=100.0))
    guard.observe(Answer("delivered", usage=20.0))
    assert guard.wait() == 0.0
    guard.observe(Answer("delivered", usage=100.0, regain=300.0))
    guard.observe(Answer("delivered", usage=20.0))
    assert guard.wait() == 300.0, "what Meta has said holds"


def test_a_stop_is_never_cut_short_by_a_shorter_one() -> None:
    clock = Clock()
    guard = RateLimitGuard(clock=clock)
    guard.stop(10.0, Answer("throttled"))
    guard.stop(2.0, Answer("throttled"))
    assert guard.wait() == 10.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RATES, BURSTS, PAUSES, st.lists(st.floats(0, 120), min_size=1))
def test_a_brake_only_ever_slows_down(rate: float, burst: int, pauses: list[float], usages: list[float]) -> None:
    clock = Clock()
    pacer, guard = Pacer(rate, burst, clock), RateLimitGuard(clock=clock)
    started = []
    for number, pause in enumerate(pauses):
        clock.now += pause
        guard.observe(Answer("delivered", usage=usages[number % len(usages)]))
        for gate in (guard, pacer):
            while (wait := gate.wait()) > 1e-9:
                clock.now += wait
        started.append(clock.now)

    for first, opening in enumerate(started):
        for last in range(first, len(started)):
            assert last - first + 1 <= rate * (started[last] - opening) + burst + _ROUNDING


# --- how long was waited ----------------------------------------------------------------------------------------


def test_time_that_several_wait_together_counts_once() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.waiting():
        clock.now = 2.0
        with watch.waiting():
            clock.now = 3.0
        clock.now = 3.5
    clock.now = 100.0
    assert [watch.take(), watch.take()] == [3, 0]
    with watch.waiting():
        clock.now = 100.5
        assert watch.take() == 1, "the half second from before, and what has been waited so far"


@pytest.mark.parametrize(("longest", "guess", "pause"), [(60.0, 60.0, 30.0), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0)])
def test_neither_pause_nor_guess_is_longer_than_allowed(longest: float, guess: float, pause: float) -> None:
    clock = Clock()
    guard = RateLimitGuard(longest, clock)
    guard.observe(Answer("delivered", usage=100.0))
    assert guard.wait() == guess
    clock.now += guess
    assert guard.wait() == 0.0
    assert guard.wait() == pause


def test_only_what_meta_asks_for_is_a_stop() -> None:
    clock = Clock()
    guard = RateLimitGuard(clock=clock)
    guard.observe(Answer("delivered", usage=100.0))
    assert guard.stopped() == 0.0
    asked = Answer("delivered", usage=100.0, regain=300.0)
    guard.observe(asked)
    guard.stop(10.0, Answer("throttled"))
    assert (guard.stopped(), guard.cause) == (300.0, asked)
