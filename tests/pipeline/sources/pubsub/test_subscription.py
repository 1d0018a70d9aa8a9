"""What a runner that streams is given for the messages of a subscription, and what it is told of their age."""

from __future__ import annotations

from datetime import datetime, timezone

import apache_beam as beam
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.metrics import MetricsFilter
from apache_beam.testing.util import assert_that, equal_to

from capybeam.pipeline.sources.pubsub.messages import line_of, numbered_line_of
from capybeam.pipeline.sources.pubsub.subscription import MESSAGE_AGE, _TakeElement
from capybeam.transforms.base import NAMESPACE

NOW = 1_795_000_000.0


def message(number: int, age: float | None) -> PubsubMessage:
    published = None if age is None else datetime.fromtimestamp(NOW - age, timezone.utc)
    return PubsubMessage(f"line {number}".encode(), {}, message_id=str(number), publish_time=published)


@pytest.mark.parametrize(
    ("ages", "oldest"),
    [
        ([5.0, 90.4, 30.0], (90, 90, 1)),
        ([-3.0], (0, 0, 1)),  # published by a clock that runs ahead
        ([None, None], None),
    ],
)
def test_the_age_of_a_bundles_oldest_message_is_a_distribution(
    ages: list[float | None], oldest: tuple[int, int, int] | None
) -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    messages = [message(number, age) for number, age in enumerate(ages)]
    taken = pipeline | beam.Create(messages, reshuffle=False) | beam.ParDo(_TakeElement(line_of, lambda: NOW))
    assert_that(taken, equal_to([each.data for each in messages]))
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE).with_name(MESSAGE_AGE))["distributions"]
    assert [(each.result.min, each.result.max, each.result.count) for each in found] == ([oldest] if oldest else [])


def test_a_replay_is_given_the_messages_number_too() -> None:
    step = _TakeElement(numbered_line_of)
    step.start_bundle()
    assert [*step.process(message(7, None))] == [("Message 7", b"line 7")]
