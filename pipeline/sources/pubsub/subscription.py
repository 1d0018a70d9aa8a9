"""Events from a Pub/Sub subscription.

On this machine a subscription is worked off in batches by `SubscriptionReader`: pulled, kept leased while they are
under way, and acknowledged when every event of them is delivered, filtered or a dead letter. Beam's own local source
acknowledges what it has not processed yet, so a crash would lose it. Where a runner streams (Dataflow), Beam's source
is the one to use.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import apache_beam as beam
from apache_beam.metrics import Metrics

from capybeam.pipeline.sources import NoInput, ReadOptions, Source
from capybeam.pipeline.sources.message_attributes import MessageAttributes
from capybeam.pipeline.sources.pubsub.client import (
    CALL_TIMEOUT,
    client_for,
    is_too_large,
    patience,
    pulling,
    set_deadline,
)
from capybeam.pipeline.sources.pubsub.messages import (
    NO_MESSAGES,
    Message,
    Messages,
    line_of,
    lists_of_lines,
    numbered_line_of,
    numbered_lines_of,
)
from capybeam.pipeline.sources.pubsub.reader import SubscriptionDetails, SubscriptionReader, lease
from capybeam.transforms.base import NAMESPACE
from capybeam.transforms.core.run_context import RunContext

PUBSUB: Final = "pubsub:"
MESSAGE_AGE: Final = "message_age_seconds"
_SUBSCRIPTION: Final = re.compile(r"projects/[^/\s]+/subscriptions/[^/\s]+")


def open_source(text: str, options: ReadOptions) -> Source:
    """A subscription of events. Raises NoInput."""
    return _open(text, line_of, lists_of_lines, options)


def open_dead_letters(text: str, options: ReadOptions) -> Source:
    """A subscription of dead letters. Raises NoInput."""
    return _open(text, numbered_line_of, numbered_lines_of, options)


def _open(
    text: str,
    element: Callable[[Message], Any],
    elements: Callable[[Messages], Iterable[Any]],
    options: ReadOptions,
) -> Source:
    """Looks at a subscription. Raises NoInput where it does not exist, or is not a pull subscription.

    Args:
        text: ``pubsub:projects/P/subscriptions/S``.
        element: what the graph is given for a message, where a runner streams.
        elements: what it is given for messages that have come together, on this machine.
    """
    path = text.removeprefix(PUBSUB)
    if not _SUBSCRIPTION.fullmatch(path):
        raise NoInput(f"{text}: not of the form pubsub:projects/P/subscriptions/S")
    try:
        import google.cloud.pubsub_v1  # noqa: F401
    except ImportError:
        raise NoInput(f"{text}: needs Google's client library: pip install 'capybeam[gcp]'") from None
    details, attributes = None if options.is_offline else _details_of(path), options.attributes
    read = ReadMessages(path, element, attributes)
    stream = PubSubStream(path, elements, attributes, details)
    return Source(text, "a subscription", read, stream=stream, is_unseen=options.is_offline)


@dataclasses.dataclass
class ReadMessages(beam.PTransform):
    """The messages of a subscription, for runners that stream."""

    path: str
    element: Callable[[Message], Any]
    attributes: MessageAttributes

    def expand(self, root: Any) -> beam.PCollection:
        take = beam.ParDo(_TakeElement(self.element))
        take.label = "Element"
        return (
            root
            | "Pull"
            >> beam.io.ReadFromPubSub(
                subscription=self.path,
                id_label=self.attributes.id,
                with_attributes=True,
                timestamp_attribute=self.attributes.timestamp,
            )
            | take
        )


class _TakeElement(beam.DoFn):
    """Messages as Beam has them → what the graph is given for each.

    The age of the oldest message of each bundle, in seconds since its publication, is the distribution `MESSAGE_AGE` of
    the runner's metrics.
    """

    def __init__(self, element: Callable[[Message], Any], clock: Callable[[], float] = time.time) -> None:
        self._element, self._clock = element, clock

    def start_bundle(self) -> None:
        self._oldest: Any = None

    def process(self, message: Any) -> Iterable[Any]:
        published = message.publish_time
        if published is not None and (self._oldest is None or published < self._oldest):
            self._oldest = published
        return (self._element(Message(message.message_id or "", "", message.data)),)

    def finish_bundle(self) -> None:
        if self._oldest is not None:
            age = self._clock() - self._oldest.timestamp()
            Metrics.distribution(NAMESPACE, MESSAGE_AGE).update(max(0, round(age)))


def _details_of(path: str) -> SubscriptionDetails | None:
    """What Pub/Sub says of a subscription; None without the permission to ask, which pulling does not need.

    Raises NoInput.
    """
    from google.api_core import exceptions

    with client_for(path) as client:
        try:
            found = client.get_subscription(subscription=path, retry=patience(), timeout=CALL_TIMEOUT)
        except exceptions.PermissionDenied:
            return None
    if found.push_config.push_endpoint or found.bigquery_config.table or found.cloud_storage_config.bucket:
        raise NoInput(f"{path}: is not a pull subscription; its messages are delivered elsewhere")
    policy = found.dead_letter_policy
    return SubscriptionDetails(
        topic=str(found.topic),
        ack_deadline=float(found.ack_deadline_seconds),
        dead_letter_topic=str(policy.dead_letter_topic),
        max_delivery_attempts=int(policy.max_delivery_attempts) or _DEFAULT_ATTEMPTS,
    )


_DEFAULT_ATTEMPTS: Final = 5  # of a policy that gives no number


@dataclasses.dataclass(frozen=True)
class PubSubStream:
    """A subscription that exists, as a `streams.Stream`, and what the graph is given for its messages.

    Attributes:
        details: what Pub/Sub says of it; None without the permission to ask.
    """

    path: str
    elements: Callable[[Messages], Iterable[Any]]
    attributes: MessageAttributes = dataclasses.field(default_factory=MessageAttributes)
    details: SubscriptionDetails | None = None

    @property
    def is_inspected(self) -> bool:
        return self.details is not None

    def is_fed_by(self, output: str) -> bool:
        return self.details is not None and output == f"{PUBSUB}{self.details.topic}"

    @property
    def warning(self) -> str:
        """What should be known before events are held; "" for nothing."""
        if self.details is None or not self.details.dead_letter_topic:
            return ""
        name = self.path.rpartition("/")[2]
        return (
            f"{self.path} has a dead-letter policy: Pub/Sub moves a message to {self.details.dead_letter_topic} after"
            f" {self.details.max_delivery_attempts} delivery attempts, and each stop or restart is one. Events that are"
            " held, because a destination refuses everything, can end up there: undelivered, and not in the dead"
            f" letters of this run. To keep them: gcloud pubsub subscriptions update {name} --clear-dead-letter-policy"
        )

    def try_to_pull(self) -> Messages:
        """Pulls once, to see that it is allowed. What that brings is leased: pass it to `reader`, or give it back.

        Given back at once it could stay away for as long as the subscription's retry policy says, and for good from a
        run that leaves before that.

        Raises:
            NoInput
        """
        from google.api_core import exceptions

        with client_for(self.path) as client:
            pull = pulling(client, self.path)

            def try_once() -> Messages:
                try:
                    return Messages.of(pull(max_messages=1, timeout=2.0, return_immediately=True))
                except exceptions.DeadlineExceeded:  # nothing there
                    return NO_MESSAGES
                except exceptions.ResourceExhausted as error:
                    if is_too_large(error):  # it is redelivered, and `SubscriptionReader` reports it
                        return NO_MESSAGES
                    raise

            messages = patience()(try_once)()
            lease(client, self.path, messages.ack_ids)
        return messages

    def give_back(self, messages: Messages) -> None:
        """Returns messages to the subscription, which delivers them again."""
        if messages:
            with client_for(self.path) as client:
                set_deadline(client, self.path, messages.ack_ids, 0)

    def reader(
        self, run: RunContext, max_delay: float, until_idle: float | None = None, first: Messages | None = None
    ) -> SubscriptionReader:
        return SubscriptionReader(self.path, run, max_delay, until_idle, first or NO_MESSAGES, self.details)
