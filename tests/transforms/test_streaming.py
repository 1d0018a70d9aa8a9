"""The steps that only a stream has, under a clock of their own: gathering across bundles, and dropping repeats."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue

from capybeam.transforms.batching import BatchByDestination
from capybeam.transforms.core.envelope import Address
from capybeam.transforms.deduplicating import DropRepeats
from tests.transforms.envelopes import sealed


def stream() -> TestStream:
    """A stream whose clock starts at 0."""
    return TestStream()


def at_zero() -> float:
    """The clock of the steps under test: timers are set by it, and go off by the stream's."""
    return 0.0


def outputs(events: TestStream, step: beam.PTransform, expected: list[Any]) -> None:
    options = PipelineOptions(["--streaming", "--runner", "BundleBasedDirectRunner"])
    with beam.Pipeline(options=options) as pipeline:
        typed = pipeline | events | beam.Map(lambda ready: ready).with_output_types(tuple[str, bytes])
        _ = typed | step | beam.Map(_collect)
    assert sorted(_collected) == sorted(expected)


_collected: list[Any] = []  # not assert_that: its grouping would drop what is late


def _collect(output: Any) -> None:
    key, value = output
    _collected.append((key, sorted(value) if isinstance(value, list) else value))


@pytest.fixture(autouse=True)
def _nothing_collected() -> None:
    _collected.clear()


def test_a_batch_goes_when_it_has_waited_long_enough() -> None:
    events = stream().add_elements([("web", b"1")]).advance_processing_time(5).add_elements([("web", b"2")])
    events = events.advance_processing_time(6).add_elements([("web", b"3")]).advance_watermark_to_infinity()
    outputs(events, BatchByDestination(max_delay=10, clock=at_zero), [("web", [b"1", b"2"]), ("web", [b"3"])])


def test_a_batch_goes_when_it_is_full_and_keys_stay_apart() -> None:
    events = stream().add_elements([("web", b"1"), ("crm", b"2"), ("web", b"3"), ("web", b"4")])
    outputs(
        events.advance_watermark_to_infinity(),
        BatchByDestination(max_events=2, max_delay=10, clock=at_zero),
        [("web", [b"1", b"3"]), ("web", [b"4"]), ("crm", [b"2"])],
    )


def test_a_batch_is_cut_where_it_has_too_many_bytes() -> None:
    events = stream().add_elements([("web", b"123"), ("web", b"123"), ("web", b"12345678")])
    outputs(
        events.advance_watermark_to_infinity(),
        BatchByDestination(max_bytes=6, max_delay=10, clock=at_zero),
        [("web", [b"123", b"123"]), ("web", [b"12345678"])],
    )


def test_draining_sends_what_is_waiting() -> None:
    events = stream().add_elements([("web", b"1")]).advance_watermark_to_infinity()
    outputs(events, BatchByDestination(max_delay=3600, clock=at_zero), [("web", [b"1"])])


def test_an_event_that_comes_days_late_is_not_dropped() -> None:
    events = stream().advance_watermark_to(1_000_000).add_elements([TimestampedValue(("web", b"late"), 0)])
    outputs(
        events.advance_watermark_to_infinity(), BatchByDestination(max_delay=10, clock=at_zero), [("web", [b"late"])]
    )


def test_a_delay_of_nothing_is_no_delay_for_ever() -> None:
    events = stream().add_elements([("web", b"1")]).advance_processing_time(1).add_elements([("web", b"2")])
    outputs(
        events.advance_watermark_to_infinity(),
        BatchByDestination(max_delay=0, clock=at_zero),
        [("web", [b"1"]), ("web", [b"2"])],
    )


def ready(event_id: str, name: str = "Lead", time: int = 1_795_000_000, dataset: str = "1") -> tuple[str, bytes]:
    event = {"event_time": time, "event_name": name, "event_id": event_id, "action_source": "website"}
    return Address("web", dataset).encode(), sealed(event)


def test_repeats_are_dropped_for_a_while() -> None:
    events = stream().add_elements([ready("a"), ready("b"), ready("a", time=1_795_000_009)])
    events = events.advance_processing_time(601).add_elements([ready("a")]).advance_watermark_to_infinity()
    outputs(events, DropRepeats(600, streaming=True, clock=at_zero), [ready("a"), ready("b"), ready("a")])


@pytest.mark.parametrize("other", [ready("b"), ready("a", name="Purchase"), ready("a", dataset="2")])
def test_another_id_name_or_dataset_is_no_repeat(other: tuple[str, bytes]) -> None:
    events = stream().add_elements([ready("a"), other]).advance_watermark_to_infinity()
    outputs(events, DropRepeats(600, streaming=True, clock=at_zero), [ready("a"), other])
