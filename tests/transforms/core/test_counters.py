"""Counts of what happens to events: flushed whole, never twice, and none lost between threads."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.transforms.core.counters import Counters, LiveTotals


def test_counters_flush_what_was_counted_to_every_sink() -> None:
    counters = Counters()
    one: list[dict[str, int]] = []
    two: list[dict[str, int]] = []

    counters["read"] += 1
    counters["read"] += 1
    counters["delivered:web/orders"] += 500
    counters.flush(lambda counts: one.append(dict(counts)), lambda counts: two.append(dict(counts)))

    assert one == two == [{"read": 2, "delivered:web/orders": 500}]


def test_a_flush_hands_over_only_what_came_since_the_last() -> None:
    counters = Counters()
    flushed: list[dict[str, int]] = []

    counters["read"] += 3
    counters.flush(lambda counts: flushed.append(dict(counts)))
    counters["filtered"] += 1
    counters.flush(lambda counts: flushed.append(dict(counts)))

    assert flushed == [{"read": 3}, {"filtered": 1}]


def test_empty_counters_reach_no_sink() -> None:
    counters = Counters()
    flushed: list[dict[str, int]] = []

    counters.flush(lambda counts: flushed.append(dict(counts)))
    counters["read"] += 1
    counters.flush(lambda counts: flushed.append(dict(counts)))
    counters.flush(lambda counts: flushed.append(dict(counts)))

    assert flushed == [{"read": 1}]


def test_what_a_sink_was_given_does_not_change_under_it() -> None:
    counters = Counters()
    kept: list[object] = []

    counters["read"] += 1
    counters.flush(kept.append)
    counters["read"] += 99

    assert kept == [{"read": 1}]


_COUNTS = st.tuples(st.sampled_from(["read", "filtered", "taken"]), st.integers(1, 9))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_COUNTS | st.just("flush")))
def test_however_often_it_is_flushed_the_totals_are_those_of_the_counts(steps: list[tuple[str, int] | str]) -> None:
    counters, live, expected = Counters(), LiveTotals(), Counter[str]()
    for step in steps:
        if isinstance(step, str):
            counters.flush(live.add)
        else:
            counters[step[0]] += step[1]
            expected[step[0]] += step[1]
    counters.flush(live.add)

    assert live.snapshot() == (dict(expected), {})


def test_live_totals_add_up_and_say_what_a_destination_is_doing() -> None:
    live = LiveTotals()

    live.add({"read": 2})
    live.add({"read": 3, "unparsable": 1})
    live.say("web", "throttled, 40 s to go")
    live.say("crm", "retrying")
    live.say("crm", "")

    assert live.snapshot() == ({"read": 5, "unparsable": 1}, {"web": "throttled, 40 s to go"})


def test_a_snapshot_stays_as_it_was_taken() -> None:
    live = LiveTotals()
    live.add({"read": 1})
    live.say("web", "retrying")

    snapshot = live.snapshot()
    live.add({"read": 1})
    live.say("web", "")

    assert snapshot == ({"read": 1}, {"web": "retrying"})


def test_a_remark_is_noted_once_for_itself_or_for_what_it_is_about() -> None:
    live = LiveTotals()

    assert [live.remark("web", text) for text in ("one", "one", "two")] == [True, False, True]
    assert [live.remark("parse", text, once_for="parse") for text in ("one", "one", "two")] == [True, False, False]
    assert live.remarks() == ["web: one", "web: two", "parse: one"]
    live.reset()
    assert live.remarks() == []


def test_what_is_refused_is_counted_by_destination_and_reason() -> None:
    live = LiveTotals()
    for reason in ("a", "b", "a"):
        live.refused("web", reason)
    assert live.refusals() == {("web", "a"): 2, ("web", "b"): 1}
    live.reset()
    assert live.refusals() == {}


def test_a_reset_forgets_counts_and_states() -> None:
    live = LiveTotals()
    live.add({"read": 1})
    live.say("web", "retrying")

    live.reset()

    assert live.snapshot() == ({}, {})


def test_no_count_is_lost_between_threads() -> None:
    live = LiveTotals()

    def work() -> None:
        for _ in range(2000):
            live.add({"read": 1, "taken": 2})

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert live.snapshot() == ({"read": 8000, "taken": 16000}, {})


def test_watched_counters_are_in_the_totals_before_and_after_they_are_settled() -> None:
    live, counters = LiveTotals(), Counters()
    live.watch(counters)
    counters["read"] += 2
    before = live.snapshot()
    live.settle(counters)
    counters["read"] += 5

    assert before == live.snapshot() == ({"read": 2}, {})
