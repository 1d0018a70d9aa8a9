"""Events from a Pub/Sub subscription.

On this machine a subscription is worked off in batches by `Pulling`: pulled, kept leased while they are under way, and
acknowledged when every event of them is delivered, filtered or a dead letter. Beam's own local source acknowledges what
it has not processed yet, so a crash would lose it. Where a runner streams (Dataflow), Beam's source is the one to use.
"""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final

import apache_beam as beam

from pipeline.sources import NoInput, Source
from transforms.stopping import STOPPING
from transforms.tallies import LIVE

PUBSUB: Final = "pubsub:"
_SUBSCRIPTION: Final = re.compile(r"projects/[^/\s]+/subscriptions/[^/\s]+")
_CALL: Final = 10.0  # seconds that a call may take


@dataclasses.dataclass(frozen=True)
class Attributes:
    """Names of message attributes that a streaming runner reads: an ID to drop repeats by, the time of the event."""

    id: str | None = None
    timestamp: str | None = None

    def __bool__(self) -> bool:
        return self.id is not None or self.timestamp is not None


@dataclasses.dataclass(frozen=True)
class Message:
    """A pulled message. `ack_id` is what it is acknowledged by; `data` may hold personal data."""

    message_id: str
    ack_id: str
    data: bytes = dataclasses.field(repr=False)


def line_of(message: Message) -> bytes:
    """What a run is given for a message."""
    return message.data


def numbered_line_of(message: Message) -> tuple[str, bytes]:
    """What a replay is given for a message, as from `files.ReadNumberedLines`."""
    return f"Message {message.message_id}", message.data


def open_subscription(
    text: str, element: Callable[[Message], Any] = line_of, attributes: Attributes | None = None
) -> Source:
    """Looks at a subscription. Raises NoInput where there is none, or none that can be pulled from.

    Args:
        text: ``pubsub:projects/P/subscriptions/S``.
        element: what the graph is given for a message.
    """
    path = text.removeprefix(PUBSUB)
    if not _SUBSCRIPTION.fullmatch(path):
        raise NoInput(f"{text}: write it like pubsub:projects/P/subscriptions/S")
    try:
        import google.cloud.pubsub_v1  # noqa: F401
    except ImportError:
        raise NoInput(f"{text}: needs Google's client library: pip install 'capybeam[gcp]'") from None
    _check(path)
    attributes = attributes or Attributes()
    read = ReadMessages(path, element, attributes)
    return Source(text, "a subscription", read, subscription=Subscription(path, element, attributes))


@dataclasses.dataclass
class ReadMessages(beam.PTransform):
    """The messages of a subscription, for runners that stream."""

    path: str
    element: Callable[[Message], Any]
    attributes: Attributes

    def expand(self, root: Any) -> beam.PCollection:
        return (
            root
            | "Pull"
            >> beam.io.ReadFromPubSub(
                subscription=self.path,
                id_label=self.attributes.id,
                with_attributes=True,
                timestamp_attribute=self.attributes.timestamp,
            )
            | "Element" >> beam.Map(self._element)
        )

    def _element(self, message: Any) -> Any:
        return self.element(Message(message.message_id or "", "", message.data))


def _check(path: str) -> None:
    from google.api_core import exceptions
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud.pubsub_v1 import SubscriberClient

    try:
        with SubscriberClient() as client:
            try:
                found = client.get_subscription(subscription=path, retry=None, timeout=_CALL)
            except exceptions.PermissionDenied:  # which who may pull need not be allowed
                _try_to_pull(client, path)
                return
    except DefaultCredentialsError:
        raise NoInput(f"{path}: no Google credentials here; gcloud auth application-default login makes some") from None
    except exceptions.NotFound:
        raise NoInput(f"{path}: no such subscription") from None
    except exceptions.PermissionDenied:
        raise NoInput(f"{path}: no permission to pull; roles/pubsub.subscriber gives it") from None
    except exceptions.GoogleAPIError as error:
        raise NoInput(f"{path}: Pub/Sub does not answer ({type(error).__name__})") from None
    if found.push_config.push_endpoint or found.bigquery_config.table or found.cloud_storage_config.bucket:
        raise NoInput(f"{path}: is no pull subscription; its messages go elsewhere")


def _try_to_pull(client: Any, path: str) -> None:
    from google.api_core import exceptions

    try:
        pulled = client.pull(subscription=path, max_messages=1, retry=None, timeout=2.0)
    except exceptions.DeadlineExceeded:  # nothing there
        return
    ack_ids = [received.ack_id for received in pulled.received_messages]
    if ack_ids:
        client.modify_ack_deadline(subscription=path, ack_ids=ack_ids, ack_deadline_seconds=0, timeout=_CALL)


class SubscriptionLost(Exception):
    """A subscription cannot be pulled from any more: says which and why."""


@dataclasses.dataclass(frozen=True)
class Subscription:
    """A subscription that is there, and what the graph is given for its messages."""

    path: str
    element: Callable[[Message], Any]
    attributes: Attributes = Attributes()

    def pulling(self, max_delay: float, until_idle: float | None = None) -> Pulling:
        return Pulling(self.path, max_delay, until_idle)


_LEASE: Final = 60  # seconds that a message is ours, renewed at a third of it; after a crash it takes as long to return
_AT_ONCE: Final = 1000  # messages of one call
_MAX_MESSAGES: Final = 10_000  # of a batch
_MAX_BYTES: Final = 64 * 1024 * 1024
_TICK: Final = 0.05  # seconds between two looks


class Pulling:
    """Pulls batches of messages while earlier ones are under way, and keeps all of them leased. A context manager.

    Args:
        max_delay: seconds that a batch may wait for more messages.
        until_idle: seconds without a message after which there is no further batch; None waits for ever.
    """

    def __init__(self, path: str, max_delay: float, until_idle: float | None = None) -> None:
        from google.cloud.pubsub_v1 import SubscriberClient

        self._path, self._max_delay, self._until_idle = path, max_delay, until_idle
        self._client = SubscriberClient()
        self._pulling_client = SubscriberClient()  # of its own, to be closed in the middle of a call
        self._lock = threading.Lock()
        self._waiting: list[Message] = []
        self._bytes = 0
        self._first_at = self._last_at = time.monotonic()
        self._leased: set[str] = set()
        self._lost: Exception | None = None
        self._done, self._closed = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._pull, self._keep_leased)]

    def __enter__(self) -> Pulling:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_pulling()
        self._closed.set()
        self.give_back(self._waiting)
        self._client.close()

    def batches(self) -> Iterator[list[Message]]:
        """Batches, as they are full or have waited long enough. It ends when STOPPING is set, or nothing comes.

        Raises:
            SubscriptionLost
        """
        while True:
            batch = self._next()
            if not batch:
                return
            yield batch

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Lets go of messages for good. What cannot be acknowledged comes again, and Meta drops it."""
        from google.api_core.exceptions import GoogleAPIError

        ack_ids = [message.ack_id for message in messages]
        for part in _parts(ack_ids):
            try:
                self._client.acknowledge(subscription=self._path, ack_ids=part, timeout=_LEASE)
            except GoogleAPIError as error:
                LIVE.say(self._path, f"could not acknowledge ({type(error).__name__}): some messages come again.")
        self._release(ack_ids)

    def give_back(self, messages: Sequence[Message]) -> None:
        """Returns messages to the subscription, which delivers them again."""
        ack_ids = [message.ack_id for message in messages]
        self._release(ack_ids)
        self._set_deadline(ack_ids, 0)

    def _next(self) -> list[Message]:
        idle_since = time.monotonic()
        while True:
            with self._lock:
                if self._lost is not None and not self._waiting:
                    raise self._lost
                now = time.monotonic()
                full = len(self._waiting) >= _MAX_MESSAGES or self._bytes >= _MAX_BYTES
                due = bool(self._waiting) and now - self._first_at >= self._max_delay
                if full or due:
                    return self._take()
                idle = not self._waiting and now - max(idle_since, self._last_at) >= (self._until_idle or now + 1)
            if STOPPING.is_set() or idle:
                self._stop_pulling()
                with self._lock:  # what the last call brought
                    return self._take()
            time.sleep(_TICK)

    def _take(self) -> list[Message]:
        taken, self._waiting, self._bytes = self._waiting, [], 0
        return taken

    def _stop_pulling(self) -> None:
        self._done.set()
        self._pulling_client.close()
        self._threads[0].join()

    def _pull(self) -> None:
        from google.api_core import exceptions

        pause = 0.0
        while not self._done.wait(pause):
            with self._lock:
                room = 0 if self._bytes >= _MAX_BYTES else _MAX_MESSAGES - len(self._waiting)
            if room <= 0:
                pause = _TICK
                continue
            try:
                pulled = self._pulling_client.pull(
                    subscription=self._path, max_messages=min(room, _AT_ONCE), retry=None, timeout=_CALL
                )
            except exceptions.DeadlineExceeded:  # nothing there
                pause = 0.0
                continue
            except (exceptions.NotFound, exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
                self._lost = SubscriptionLost(f"{self._path} cannot be pulled from any more ({type(error).__name__})")
                return
            except Exception as error:
                if self._done.is_set():
                    return
                pause = min(30.0, 2 * pause or 0.5)
                LIVE.say(self._path, f"Pub/Sub does not answer ({type(error).__name__}). Trying again.")
                continue
            if pause:
                LIVE.say(self._path, "")
            pause = 0.0
            self._received([_message(received) for received in pulled.received_messages])

    def _received(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        ack_ids = [message.ack_id for message in messages]
        self._set_deadline(ack_ids, _LEASE)
        with self._lock:
            self._last_at = time.monotonic()
            if not self._waiting:
                self._first_at = self._last_at
            self._waiting += messages
            self._bytes += sum(len(message.data) for message in messages)
            self._leased.update(ack_ids)

    def _keep_leased(self) -> None:
        while not self._closed.wait(_LEASE / 3):
            with self._lock:
                ack_ids = list(self._leased)
            self._set_deadline(ack_ids, _LEASE)

    def _set_deadline(self, ack_ids: Sequence[str], seconds: int) -> None:
        for part in _parts(ack_ids):
            try:
                self._client.modify_ack_deadline(
                    subscription=self._path, ack_ids=part, ack_deadline_seconds=seconds, timeout=_CALL
                )
            except Exception:  # it comes again then, and Meta drops it
                return

    def _release(self, ack_ids: Iterable[str]) -> None:
        with self._lock:
            self._leased.difference_update(ack_ids)


def _message(received: Any) -> Message:
    return Message(received.message.message_id, received.ack_id, received.message.data)


def _parts(ack_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ack_ids[start : start + _AT_ONCE] for start in range(0, len(ack_ids), _AT_ONCE))
