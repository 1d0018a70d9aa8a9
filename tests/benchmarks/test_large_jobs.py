"""The jobs that large ones are measured with: what they are said to be, and of the same events."""

from __future__ import annotations

import pytest

from benchmarks.events import events
from benchmarks.large_jobs import _process, job_text
from capybeam.pipeline.job.loader import parse_job


@pytest.mark.parametrize(("subscriptions", "destinations"), [(6, 1), (200, 1), (6, 50)])
def test_a_large_job_has_as_many_subscriptions_as_it_says_and_sends_each_event_to_every_destination(
    subscriptions: int, destinations: int
) -> None:
    text = job_text(subscriptions, destinations)
    process = _process(text)

    assert len(parse_job(text).subscriptions) == subscriptions * destinations
    assert [process(line) for line in events(20, seed=7)] == [destinations] * 20
