"""How far a run is: no count is lost or doubled, and each destination has the status that was last set."""

from __future__ import annotations

import pickle
import threading
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.transforms.core.counters import Counters
from capybeam.transforms.core.progress import Progress

_COUNTS = st.tuples(st.sampled_from(["read", "filtered", "taken"]), st.integers(1, 9))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_COUNTS | st.just("flush")))
def test_however_often_it_is_flushed_the_totals_are_those_of_the_counts(steps: list[tuple[str, int] | str]) -> None:
    counters, progress, expected = Counters(), Progress(), Counter[str]()
    for step in steps:
        if isinstance(step, str):
            counters.flush(progress.update)
        else:
            counters[step[0]] += step[1]
            expected[step[0]] += step[1]
    counters.flush(progress.update)

    assert progress.counts() == expected


def test_totals_add_up_and_statuses_are_those_of_destinations_that_do_not_just_deliver() -> None:
    progress = Progress()

    progress.update({"read": 2})
    progress.update({"read": 3, "unparsable": 1})
    progress.set_status("web", "throttled, 40 s to go")
    progress.set_status("crm", "retrying")
    progress.set_status("crm", "")

    assert progress.counts() == {"read": 5, "unparsable": 1}
    assert progress.statuses() == {"web": "throttled, 40 s to go"}
    assert [progress.status(name) for name in ("web", "crm", "other")] == ["throttled, 40 s to go", "", ""]


def test_what_a_reader_was_given_does_not_change_under_it() -> None:
    progress = Progress()
    progress.update({"read": 1})
    progress.set_status("web", "retrying")

    given = progress.counts(), progress.statuses()
    progress.update({"read": 1})
    progress.set_status("web", "")

    assert given == ({"read": 1}, {"web": "retrying"})


def test_a_remark_is_noted_once_for_itself_or_for_what_it_is_about() -> None:
    progress = Progress()

    assert [progress.remark("web", text) for text in ("one", "one", "two")] == [True, False, True]
    assert [progress.remark("parse", text, once_for="parse") for text in ("one", "one", "two")] == [True, False, False]
    assert progress.remarks() == ["web: one", "web: two", "parse: one"]


def test_what_is_refused_is_counted_by_destination_and_reason() -> None:
    progress = Progress()
    for reason in ("a", "b", "a"):
        progress.count_refusal("web", reason)
    assert progress.refusals() == {("web", "a"): 2, ("web", "b"): 1}


def test_restored_totals_drop_what_was_being_counted() -> None:
    progress, counters = Progress(), Counters()
    progress.update({"read": 5})
    progress.watch(counters)
    counters["read"] += 1

    progress.restore({"read": 2})

    assert progress.counts() == {"read": 2}


def test_counters_of_a_bundle_that_is_repeated_take_the_place_of_the_failed_ones() -> None:
    progress, failed, repeated = Progress(), Counters(read=3), Counters()
    progress.watch(failed)
    progress.watch(repeated, instead_of=failed)
    repeated["read"] += 1

    assert progress.counts() == {"read": 1}


def test_a_remark_is_logged_where_nobody_sees_it(caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress()
    progress.remark("web", "unseen")
    progress.is_shown = True
    progress.remark("web", "seen")

    assert [record.getMessage() for record in caplog.records] == ["web: unseen"]


def test_no_count_is_lost_between_threads() -> None:
    progress = Progress()

    def work() -> None:
        for _ in range(2000):
            progress.update({"read": 1, "taken": 2})

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert progress.counts() == {"read": 8000, "taken": 16000}


def test_watched_counters_are_in_the_totals_before_and_after_they_are_flushed() -> None:
    progress, counters = Progress(), Counters()
    progress.watch(counters)
    counters["read"] += 2
    before = progress.counts()
    progress.flush(counters)
    counters["read"] += 5

    assert before == progress.counts() == {"read": 2}


def test_what_other_processes_know_is_added() -> None:
    ours, one, other = Progress(), Progress(), Progress()
    for number, progress in enumerate((one, other), 1):
        progress.update({"read": 10 * number, "first_event_time:web": 5 - number, "last_event_time:web": 5 + number})
        progress.advance(100 * number)
        progress.count_refusal("web", "why")
        progress.watch_load("web", lambda number=number: number)
        progress.is_shown = True
        progress.remark("web", "the same in both")
        progress.remark("parse", f"the first of {number}", once_for="parse")
    one.set_status("web", "near its rate limit", "throttled", 5.0)
    other.set_status("web", "REFUSED", "refused")
    ours.include(1, one.snapshot())
    ours.include(1, one.snapshot())  # in place of the first
    ours.include(2, pickle.loads(pickle.dumps(other.snapshot())))
    assert ours.counts() == {"read": 30, "first_event_time:web": 3, "last_event_time:web": 7}
    assert (ours.position, ours.load("web"), ours.load("crm")) == (300, 3, 0)
    assert ours.refusals() == {("web", "why"): 2}
    assert ours.statuses() == {"web": "REFUSED"}
    assert ours.state("web").state == "refused"
    assert ours.remarks() == ["web: the same in both", "parse: the first of 1"]
    other.set_status("web", "")
    ours.include(2, other.snapshot())
    assert ours.status("web") == "near its rate limit"
