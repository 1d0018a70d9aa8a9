"""The books in windows: counts of bundles under the window of arrival, and rows that add up, on a stream, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import TaggedOutput
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue

from capybeam.transforms.accounting import CountByWindow
from capybeam.transforms.base import REJECTIONS
from capybeam.transforms.core.run_context import RunHandle
from capybeam.transforms.core.windows import Place, WindowCounts, WindowRow, Windows
from capybeam.transforms.parsing import _ParseEvents

_written: list[WindowRow] = []  # not assert_that: its grouping would drop what is late


def _write(row: WindowRow) -> None:
    _written.append(row)


@pytest.fixture(autouse=True)
def _nothing_written() -> None:
    _written.clear()


def counted(events: TestStream, every: int = 10) -> list[WindowRow]:
    with beam.Pipeline(options=PipelineOptions(["--streaming", "--runner", "BundleBasedDirectRunner"])) as pipeline:
        counts = pipeline | events | beam.Map(lambda pair: pair).with_output_types(tuple[str, Any])
        _ = counts | CountByWindow(60, every, clock=at_zero) | beam.Map(_write)
    return sorted(_written, key=lambda row: (row.window_start_time, row.destination or "", row.matched))


def at_zero() -> float:
    """The clock of the step: timers are set by it, and go off by the stream's, which starts at 0."""
    return 0.0


def some(window: int, **columns: int) -> tuple[str, WindowCounts]:
    return "web/orders", {Place(window): columns}


def row(window: int, **columns: int) -> WindowRow:
    return WindowRow(window, 60, "web", "orders", None, **columns)


def test_rows_of_a_window_are_differences_that_add_up() -> None:
    events = TestStream().add_elements([some(60, matched=2), some(60, matched=1), some(120, matched=5)])
    events = events.advance_processing_time(11).add_elements([some(60, delivered=3)]).advance_processing_time(11)
    rows = counted(events.advance_watermark_to_infinity())
    assert rows == [row(60, delivered=3), row(60, matched=3), row(120, matched=5)]


def test_counts_of_a_window_that_was_over_long_ago_are_written_in_whatever_order_they_come() -> None:
    events = TestStream().add_elements([some(600, matched=1)]).advance_processing_time(11)
    events = events.advance_watermark_to(1_000_000).add_elements([TimestampedValue(some(60, matched=4), 0)])
    events = events.add_elements([TimestampedValue(some(540, matched=2), 500)]).advance_processing_time(11)
    events = events.add_elements([TimestampedValue(some(60, delivered=4), 1)]).advance_processing_time(11)
    rows = counted(events.advance_watermark_to_infinity())
    assert rows == [row(60, delivered=4), row(60, matched=4), row(540, matched=2), row(600, matched=1)]


def test_draining_writes_what_is_waiting() -> None:
    assert counted(TestStream().add_elements([some(60, matched=1)]).advance_watermark_to_infinity(), every=3600) == [
        row(60, matched=1)
    ]


def test_codes_have_rows_of_their_own_and_what_belongs_to_no_subscription_too() -> None:
    pairs = [
        ("web/a/b", {Place(60): {"matched": 2}, Place(60, "too_old"): {"dead_lettered": 1}}),
        ("web/a/b", {Place(60, "too_old"): {"dead_lettered": 1}}),
        ("", {Place(60): {"read": 3, "filtered": 1}}),
    ]
    with beam.Pipeline("FnApiRunner") as pipeline:
        counts = pipeline | beam.Create(pairs).with_output_types(tuple[str, Any])
        _ = counts | CountByWindow(60) | beam.Map(_write)
    assert sorted(_written, key=str) == sorted(
        [
            WindowRow(60, 60, "web", "a/b", None, matched=2),
            WindowRow(60, 60, "web", "a/b", "too_old", dead_lettered=2),
            WindowRow(60, 60, None, None, None, read=3, filtered=1),
        ],
        key=str,
    )


def test_the_oldest_event_and_the_longest_lag_are_kept() -> None:
    one = some(60, delivered=1, oldest_event_time=50, lag_seconds=30)
    other = some(60, delivered=1, oldest_event_time=20, lag_seconds=10)
    assert counted(TestStream().add_elements([one, other]).advance_watermark_to_infinity()) == [
        row(60, delivered=2, oldest_event_time=20, lag_seconds=30)
    ]


# --- steps -----------------------------------------------------------------------------------------------------------

_now = [0.0]


def clock() -> float:
    return _now[0]


def parsing() -> _ParseEvents:
    step = _ParseEvents((), None, True)
    step.run = RunHandle(windows=Windows(60, clock))
    step.setup()
    step.start_bundle()
    return step


def bundle(step: _ParseEvents, *lines: tuple[float, bytes]) -> list[Any]:
    outputs: list[Any] = []
    for _now[0], line in lines:
        outputs += step.process(line)
    return outputs


def ended(step: _ParseEvents) -> Sequence[Any]:
    return [output.value.value for output in step.finish_bundle()]


def test_an_event_travels_with_the_window_in_which_it_was_read() -> None:
    page, broken = b'{"type": "page"}', b"{broken"
    step = parsing()
    outputs = bundle(step, (119.9, page), (120, page), (130, broken), (61, page))
    assert outputs[:2] + outputs[3:] == [(60, {"type": "page"}), (120, {"type": "page"}), (60, {"type": "page"})]
    assert isinstance(outputs[2], TaggedOutput)
    assert outputs[2].tag == REJECTIONS
    places = {Place(60): {"read": 2}, Place(120): {"read": 2}, Place(120, "invalid_json"): {"dead_lettered": 1}}
    assert ended(step) == [("", places)]


def test_what_a_failed_bundle_has_counted_is_in_no_window() -> None:
    step = parsing()
    bundle(step, (60, b'{"type": "page"}'), (120, b'{"type": "page"}'))
    step.start_bundle()  # of the retry
    bundle(step, (180, b'{"type": "page"}'))
    assert ended(step) == [("", {Place(180): {"read": 1}})]


def test_without_windows_elements_travel_as_they_are_and_nothing_is_counted_by_them() -> None:
    step = parsing()
    step.run = RunHandle()
    step.setup()
    assert bundle(step, (60, b'{"type": "page"}')) == [{"type": "page"}]
    assert step.finish_bundle() == []
