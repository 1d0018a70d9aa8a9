"""Dead letters and receipts to a topic."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
import orjson
import pytest

from capybeam.pipeline.sinks import SinkError, Writers, prepare
from capybeam.pipeline.sinks.dead_letters import DEAD_LETTERS, WriteDeadLetters
from capybeam.pipeline.sinks.receipts import WriteReceipts
from capybeam.pipeline.sinks.topics import LARGEST_MESSAGE, message_of
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.delivery.batches import Receipt
from tests.conftest import Topic

REJECTION = Rejection("map", "mapping_failed", "…", "web", "orders", "123", "m1", {"email": "jane@example.com"})


def test_each_dead_letter_is_a_message(topic: Topic) -> None:
    assert prepare(f"pubsub:{topic.path}", DEAD_LETTERS, Writers("FnApiRunner", local=True, endless=True)) is None
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([REJECTION]) | WriteDeadLetters(f"pubsub:{topic.path}")
    (message,) = topic.drain()
    row = orjson.loads(message)
    assert row == orjson.loads(REJECTION.encode(row["dead_lettered_at"]))


@pytest.mark.parametrize("size", [10_000_000, 30_000_000])
def test_a_dead_letter_too_large_for_a_topic_is_published_without_its_payload(
    topic: Topic, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    large = Rejection("map", "mapping_failed", "No.", "web", "orders", "123", "m1", {"email": "j" * size})
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([large]) | WriteDeadLetters(f"pubsub:{topic.path}")
    (message,) = topic.drain()
    row, whole = orjson.loads(message), len(large.encode())
    said = f"No. The payload is left out: {whole:,} bytes are more than Pub/Sub's 10 MB."
    expected = dataclasses.replace(large, message=said, payload=None)
    assert row == orjson.loads(expected.encode(row["dead_lettered_at"]))
    assert [
        record.getMessage() for record in caplog.records if record.name == "capybeam.pipeline.sinks.dead_letters"
    ] == [
        f"A dead letter, mapping_failed, has {whole:,} bytes, more than Pub/Sub's 10 MB: it is written without its"
        " payload."
    ]


def test_the_largest_dead_letter_that_is_published_whole_fits_a_request() -> None:
    types = pytest.importorskip("google.cloud.pubsub_v1", reason="needs the extra gcp").types
    topic = f"projects/{'p' * 30}/topics/{'t' * 255}"  # the longest name
    frame = len(Rejection("map", "mapping_failed", "No.", payload="").encode())
    message = message_of(
        Rejection("map", "mapping_failed", "No.", payload="j" * (LARGEST_MESSAGE - frame)), DEAD_LETTERS
    )
    assert len(message) == LARGEST_MESSAGE
    assert types.PublishRequest(topic=topic, messages=[{"data": message}])._pb.ByteSize() <= 10_000_000


def test_each_receipt_is_a_message(topic: Topic) -> None:
    receipt = Receipt("web", "123", 2, 10, 20, "A1", (), 1, 0.25, 30)
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([receipt]) | WriteReceipts(f"pubsub:{topic.path}")
    assert topic.drain() == [receipt.encode()]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pubsub:projects/capybeam-tests/topics/nowhere", "projects/capybeam-tests/topics/nowhere: no such topic"),
        ("pubsub:dead-letters", "pubsub:dead-letters: not of the form pubsub:projects/P/topics/T"),
    ],
)
def test_a_topic_that_is_not_there_is_an_error_with_its_name(pubsub: str, path: str, message: str) -> None:
    with pytest.raises(SinkError) as raised:
        prepare(path, DEAD_LETTERS, Writers("FnApiRunner", local=True))
    assert str(raised.value) == f"Dead letters cannot be published to {message}"


def test_a_topic_that_goes_away_fails_the_run_and_quotes_nothing(pubsub: str) -> None:
    path = "pubsub:projects/capybeam-tests/topics/gone"
    error = pytest.raises(Exception, match=f"Dead letters cannot be published to {path}: NotFound")
    with error as raised, beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([REJECTION]) | WriteDeadLetters(path)
    assert "jane" not in str(raised.value)


def test_files_elsewhere_are_not_for_a_subscription() -> None:
    with pytest.raises(SinkError, match=r"Dead letters of a subscription cannot go to gs://bucket/dead: .* a topic"):
        prepare("gs://bucket/dead", DEAD_LETTERS, Writers("FnApiRunner", local=True, endless=True))
