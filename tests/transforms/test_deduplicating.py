"""DropRepeats where this process remembers: within a run, in every pipeline of it, and in no other run."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.testing.util import assert_that, equal_to

from capybeam.transforms.base import NAMESPACE, share_run
from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.deduplicating import DropRepeats
from tests.transforms.envelopes import sealed


def ready(event_id: str) -> tuple[str, bytes]:
    event = {"event_time": 1_795_000_000, "event_name": "Lead", "event_id": event_id, "action_source": "website"}
    return Address("web", "1").encode(), sealed(event)


def passed(conversions: list[tuple[str, bytes]], expected: list[tuple[str, bytes]], run: RunContext | None) -> Any:
    """Runs DropRepeats alone over conversions; the result of the pipeline."""
    pipeline = beam.Pipeline("FnApiRunner")
    if run:
        share_run(pipeline, run.handle)
    typed = pipeline | beam.Create(conversions).with_output_types(tuple[str, bytes])
    assert_that(typed | DropRepeats(600, streaming=False), equal_to(expected))
    result = pipeline.run()
    result.wait_until_finish()
    return result


def test_alone_and_twice_in_a_process_it_drops_repeats_and_nothing_else() -> None:
    for _ in range(2):
        result = passed([ready("a"), ready("b"), ready("a")], [ready("a"), ready("b")], run=None)
        (counter,) = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
        assert (counter.key.metric.name, counter.result) == ("repeated:web/leads", 1)


def test_two_of_them_in_one_pipeline_do_not_take_each_others_conversions_for_repeats() -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        typed = pipeline | beam.Create([ready("a")]).with_output_types(tuple[str, bytes])
        for label in ("first", "second"):
            assert_that(typed | label >> DropRepeats(600, streaming=False), equal_to([ready("a")]), label=f"{label} ok")


def test_the_pipelines_of_a_run_drop_each_others_repeats() -> None:
    run = RunContext()
    passed([ready("a")], [ready("a")], run)
    passed([ready("a"), ready("b")], [ready("b")], run)
    passed([ready("a")], [ready("a")], RunContext())
