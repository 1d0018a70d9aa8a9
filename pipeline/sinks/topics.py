"""Records to Pub/Sub topics, as messages."""

from __future__ import annotations

import dataclasses
import re
from concurrent.futures import Future
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.sinks import ReadBack, SinkError, Writers
from capybeam.pipeline.sinks.records import RecordType
from capybeam.pipeline.sources.pubsub.client import name_of, patience

PUBSUB: Final = "pubsub:"
EXAMPLE: Final = f"a topic ({PUBSUB}projects/P/topics/T)"
_TOPIC: Final = re.compile(r"projects/[^/\s]+/topics/[^/\s]+")
_CALL_TIMEOUT: Final = 10.0  # seconds
LARGEST_MESSAGE: Final = 9_999_000  # bytes; a request takes 10 MB, with the topic's name
_PUBLISHED_WITHIN: Final = 120.0  # seconds, with the retries of Google's client


def prepare(path: str, record_type: RecordType[Any], writers: Writers) -> None:
    """Makes sure that the topic exists. As `sinks.prepare`."""
    check_topic(path, record_type.name)


def plan(path: str, record_type: RecordType[Any], writers: Writers) -> str:
    """As `sinks.plan`."""
    _topic_of(path, record_type.name)
    return "a message each"


def write(records: beam.PCollection, path: str, record_type: RecordType[Any]) -> Any:
    """Records → messages. One that is larger than a message may be is written as its type's `shrink` has it."""
    messages = records | "Encode" >> beam.Map(message_of, record_type).with_output_types(bytes)
    return messages | "Write" >> WriteMessages(path, record_type.name)


def read_back(path: str) -> ReadBack:
    """As `sinks.read_back`: by a subscription, whose name only the user knows."""
    project = path.partition("/topics/")[0]
    return ReadBack(f"{project}/subscriptions/SUBSCRIPTION", hint="with a subscription of that topic")


def message_of(record: Any, record_type: RecordType[Any]) -> bytes:
    message = record_type.encode(record)
    if len(message) <= LARGEST_MESSAGE or record_type.shrink is None:
        return message
    return record_type.encode(record_type.shrink(record, len(message), "Pub/Sub's 10 MB"))


@dataclasses.dataclass
class WriteMessages(beam.PTransform):
    """Bytes → messages of a topic. A bundle ends when Pub/Sub has all of its messages, or fails.

    Args:
        path: ``pubsub:projects/P/topics/T``.
        what: the name of what is written, for errors.
    """

    path: str
    what: str

    def expand(self, lines: beam.PCollection) -> Any:
        return lines | "Publish" >> beam.ParDo(_Publish(self.path, self.what))


class _Publish(beam.DoFn):
    def __init__(self, path: str, what: str) -> None:
        self._path, self._what = path, what

    def setup(self) -> None:
        from google.cloud.pubsub_v1 import PublisherClient

        self._publisher = PublisherClient()

    def start_bundle(self) -> None:
        self._published: list[Future[str]] = []

    def process(self, element: bytes) -> None:
        try:
            self._published.append(self._publisher.publish(self._path.removeprefix(PUBSUB), element))
        except Exception as error:  # such as a message that is too large; the texts of Google's errors may quote it
            raise self._failed(error) from None

    def finish_bundle(self) -> None:
        for published in self._published:
            try:
                published.result(timeout=_PUBLISHED_WITHIN)
            except Exception as error:
                raise self._failed(error) from None

    def teardown(self) -> None:
        self._publisher.stop()

    def _failed(self, error: Exception) -> SinkError:
        return SinkError(f"{self._what} cannot be published to {self._path}: {type(error).__name__}")


def _topic_of(path: str, what: str) -> str:
    """The topic's name. Raises SinkError."""
    topic = path.removeprefix(PUBSUB)
    if not _TOPIC.fullmatch(topic):
        raise SinkError(f"{what} cannot be published to {path}: not of the form pubsub:projects/P/topics/T")
    return topic


def check_topic(path: str, what: str) -> None:
    """Makes sure that a topic is there. Raises SinkError."""
    topic = _topic_of(path, what)
    try:
        from google.api_core import exceptions
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud.pubsub_v1 import PublisherClient
    except ImportError:
        raise SinkError(
            f"{what} cannot be published to {path}: Google's client library is missing: pip install 'capybeam[gcp]'"
        ) from None
    try:
        PublisherClient().get_topic(topic=topic, retry=patience(), timeout=_CALL_TIMEOUT)
    except exceptions.PermissionDenied:  # publishing does not need the permission to look
        return
    except exceptions.NotFound:
        raise SinkError(f"{what} cannot be published to {topic}: no such topic") from None
    except DefaultCredentialsError:
        raise SinkError(f"{what} cannot be published to {topic}: no Google credentials here") from None
    except exceptions.GoogleAPIError as error:
        raise SinkError(f"{what} cannot be published to {topic}: {name_of(error)}") from None
