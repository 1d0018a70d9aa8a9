"""The last minutes, in steps."""

from __future__ import annotations

import pytest

from capybeam.pipeline.sandbox.timeline import ANSWER_KINDS, STEP, STEPS, Timeline
from tests.pipeline.sandbox.senders import NOW


def test_events_and_answers_are_per_second_of_each_step() -> None:
    timeline = Timeline()
    for second in range(2 * STEP):
        timeline.note(NOW + second, "accepted", 0.001, 3)
    timeline.note(NOW + STEP, "refused", 0.001, 0)
    shown = timeline.show(NOW + 2 * STEP)

    assert (shown["step"], shown["end"], len(shown["events"])) == (STEP, NOW + 2 * STEP, STEPS)
    assert shown["events"][-3:] == [0, 3, 3]
    assert {kind: shown["answers"][kind][-2:] for kind in ANSWER_KINDS} == {
        "accepted": [1, 1],
        "refused": [0, 1 / STEP],
        "throttled": [0, 0],
        "failed": [0, 0],
    }


def test_the_step_that_is_not_over_is_not_shown_yet() -> None:
    timeline = Timeline()
    timeline.note(NOW, "accepted", 0.001, 5)

    assert timeline.show(NOW + STEP - 1)["events"][-1] == 0
    assert timeline.show(NOW + STEP)["events"][-1] == 1


def test_percentiles_are_exact_to_a_fifth() -> None:
    timeline = Timeline()
    for n in range(1, 101):
        timeline.note(NOW, "accepted", n / 1000, 1)
    latency = timeline.show(NOW + STEP)["latency"]

    for name, exact in (("p50", 50), ("p95", 95), ("p99", 99)):
        assert latency[name][-1] == pytest.approx(exact, rel=0.2)
        assert latency[name][-2] is None


def test_what_is_older_than_the_window_is_forgotten() -> None:
    timeline = Timeline()
    for second in range(0, 10 * STEP * STEPS, STEP):
        timeline.note(NOW + second, "failed", 0.1, 0)

    assert len(timeline._steps) == STEPS
