"""Events from a Pub/Sub subscription.

On this machine a subscription is worked off in batches by `Pulling`: pulled, kept leased while they are under way, and
acknowledged when every event of them is delivered, filtered or a dead letter. Beam's own local source acknowledges what
it has not processed yet, so a crash would lose it. Where a runner streams (Dataflow), Beam's source is the one to use.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.sources import NoInput, Source
from capybeam.transforms.core.run_context import RunContext

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
    """Looks at a subscription. Raises NoInput where there is none, or none of the kind that is pulled from.

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
    look = _look_at(path)
    attributes = attributes or Attributes()
    read = ReadMessages(path, element, attributes)
    return Source(text, "a subscription", read, subscription=Subscription(path, element, attributes, look))


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


@dataclasses.dataclass(frozen=True)
class Look:
    """What a subscription says of itself.

    Attributes:
        topic: ``projects/P/topics/T``, of which it is one.
        ack_deadline: seconds after which a message comes again that was sent and never arrived.
        dead_letter_topic: where Pub/Sub moves a message after `max_delivery_attempts`; "" without a dead-letter policy.
    """

    topic: str
    ack_deadline: float
    dead_letter_topic: str = ""
    max_delivery_attempts: int = 0


def _look_at(path: str) -> Look | None:
    """None where a subscription may not be looked at, which who may pull need not be allowed. Raises NoInput."""
    from google.api_core import exceptions

    with _client_for(path) as client:
        try:
            found = client.get_subscription(subscription=path, retry=None, timeout=_CALL)
        except exceptions.PermissionDenied:
            return None
    if found.push_config.push_endpoint or found.bigquery_config.table or found.cloud_storage_config.bucket:
        raise NoInput(f"{path}: is no pull subscription; its messages go elsewhere")
    policy = found.dead_letter_policy
    return Look(
        topic=str(found.topic),
        ack_deadline=float(found.ack_deadline_seconds),
        dead_letter_topic=str(policy.dead_letter_topic),
        max_delivery_attempts=int(policy.max_delivery_attempts) or _DEFAULT_ATTEMPTS,
    )


_DEFAULT_ATTEMPTS: Final = 5  # of a policy that gives no number


def _subscriber() -> Any:
    """Google's client, which takes answers of any size; where it finds an emulator, gRPC's 4 MB unless it is told."""
    from google.cloud.pubsub_v1 import SubscriberClient

    emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
    if not emulator:
        return SubscriberClient()
    import grpc
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    channel = grpc.insecure_channel(emulator, options=[("grpc.max_receive_message_length", -1)])
    return SubscriberClient(transport=SubscriberGrpcTransport(host=emulator, channel=channel))


@contextmanager
def _client_for(path: str) -> Iterator[Any]:
    """Google's client, its errors as NoInput with the subscription's name."""
    from google.api_core import exceptions
    from google.auth.exceptions import DefaultCredentialsError

    try:
        with _subscriber() as client:
            yield client
    except DefaultCredentialsError:
        raise NoInput(f"{path}: no Google credentials here; gcloud auth application-default login makes some") from None
    except exceptions.NotFound:
        raise NoInput(f"{path}: no such subscription") from None
    except exceptions.PermissionDenied:
        raise NoInput(f"{path}: no permission to pull; it takes the role Pub/Sub Subscriber on it") from None
    except exceptions.GoogleAPIError as error:
        raise NoInput(f"{path}: Pub/Sub does not answer ({type(error).__name__})") from None


class SubscriptionLost(Exception):
    """A subscription cannot be pulled from any more: says which and why."""


_LEASE: Final = 60  # seconds that a message is ours, renewed at a third of it; after a crash it takes as long to return


@dataclasses.dataclass(frozen=True)
class Subscription:
    """A subscription that is there, and what the graph is given for its messages.

    Attributes:
        look: what it says of itself; None where it may not be looked at.
    """

    path: str
    element: Callable[[Message], Any]
    attributes: Attributes = Attributes()
    look: Look | None = None

    @property
    def topic(self) -> str | None:
        return self.look.topic if self.look else None

    @property
    def warning(self) -> str:
        """What should be known before events are held; "" for nothing."""
        if self.look is None or not self.look.dead_letter_topic:
            return ""
        name = self.path.rpartition("/")[2]
        return (
            f"{self.path} has a dead-letter policy: Pub/Sub moves a message to {self.look.dead_letter_topic} after"
            f" {self.look.max_delivery_attempts} delivery attempts, and each stop or restart is one. Events that are"
            " held, because a destination refuses everything, can end there: undelivered, in no dead letters of this"
            f" run. To keep them: gcloud pubsub subscriptions update {name} --clear-dead-letter-policy"
        )

    def try_to_pull(self) -> list[Message]:
        """Pulls once, to see that it is allowed. What that brings is leased: pass it to `pulling`, or give it back.

        Given back at once it could stay away for as long as the subscription's retry policy says, and for good from a
        run that leaves before that.

        Raises:
            NoInput
        """
        from google.api_core import exceptions

        with _client_for(self.path) as client:
            try:
                pulled = client.pull(
                    subscription=self.path, max_messages=1, return_immediately=True, retry=None, timeout=2.0
                )
            except exceptions.DeadlineExceeded:  # nothing there
                return []
            except exceptions.ResourceExhausted as error:
                if _is_too_large(error):  # it comes again, and `Pulling` says so
                    return []
                raise
            messages = [_message(received) for received in pulled.received_messages]
            _set_deadline(client, self.path, [message.ack_id for message in messages], _LEASE)
        return messages

    def give_back(self, messages: Sequence[Message]) -> None:
        """Returns messages to the subscription, which delivers them again."""
        if messages:
            with _client_for(self.path) as client:
                _set_deadline(client, self.path, [message.ack_id for message in messages], 0)

    def pulling(
        self, run: RunContext, max_delay: float, until_idle: float | None = None, first: Sequence[Message] = ()
    ) -> Pulling:
        return Pulling(self.path, run, max_delay, until_idle, first, self.look)


_AT_ONCE: Final = 1000  # messages of one call
_MAX_MESSAGES: Final = 10_000  # of a batch
_MAX_BYTES: Final = 64 * 1024 * 1024
_TICK: Final = 0.05  # seconds between two looks
_PATIENCE: Final = 60.0  # seconds without an answer, at least, that a run which is to end some time waits out
_LONGEST_DEADLINE: Final = 600.0  # seconds of acknowledgement that Pub/Sub allows
_SEEN: Final = 2.0  # seconds within which the screen has shown what was said


def _is_too_large(error: Exception) -> bool:
    """Whether an answer was larger than the client, the server or what is between them takes, as gRPC has it in its
    several languages; running out of a quota has the same code."""
    from google.api_core.exceptions import ResourceExhausted

    return isinstance(error, ResourceExhausted) and re.search(r"larger than max|exceeds max", str(error)) is not None


def _sizes(error: Exception) -> str:
    found = re.search(r"\((\d+) vs\. (\d+)\)", str(error))
    return f" ({int(found[1]):,} bytes, at most {int(found[2]):,})" if found else ""


class _Portion:
    """How many messages a pull asks for.

    What an answer that was too large would have brought is leased to nobody who knows of it, and comes again after the
    acknowledgement deadline: so the next pull asks for one message, later ones for twice as many up to half of what was
    too many. It goes beyond that again, after more pulls each time that this was too early.
    """

    def __init__(self, most: int) -> None:
        self.size = self._bound = self._most = most
        self._taken, self._needed = 0, 1

    def too_large(self, asked: int) -> None:
        self._bound, self.size = max(1, asked // 2), 1
        self._taken, self._needed = 0, min(64, 2 * self._needed)

    def taken(self) -> None:
        """A pull has brought messages."""
        if self.size == self._bound < self._most:
            self._taken += 1
            if self._taken >= self._needed:
                self._bound, self._taken = min(2 * self._bound, self._most), 0
        self.size = min(2 * self.size, self._bound)


# Pub/Sub counts attempts for nobody else.
_POLICY_UNSEEN: Final = (
    "the subscription has a dead-letter policy, by which Pub/Sub moves events away that are held through several"
    " restarts. Which one shows gcloud pubsub subscriptions describe."
)


class Pulling:
    """Pulls batches of messages while earlier ones are under way, and keeps all of them leased. A context manager.

    Args:
        run: whose progress it updates, and whose shutdown ends it.
        max_delay: seconds that a batch may wait for more messages.
        until_idle: seconds without a message after which there is no further batch; None waits for ever. Time in which
            Pub/Sub does not answer is not idle: when that lasts for as long, or a minute, the subscription is lost.
        first: messages that have been pulled already.
        look: what the subscription says of itself, if it may be looked at.
    """

    def __init__(
        self,
        path: str,
        run: RunContext,
        max_delay: float,
        until_idle: float | None = None,
        first: Sequence[Message] = (),
        look: Look | None = None,
    ) -> None:
        self._progress, self._shutdown = run.progress, run.shutdown
        self._path, self._max_delay, self._until_idle, self._first = path, max_delay, until_idle, first
        self._look, self._portion = look, _Portion(_AT_ONCE)
        self._client = _subscriber()
        self._pulling_client = _subscriber()  # of its own, to be closed in the middle of a call
        self._lock = threading.Lock()
        self._waiting: list[Message] = []
        self._bytes = 0
        self._first_at = self._quiet_since = self._answered_at = time.monotonic()
        self._back_at = 0.0  # when messages of answers that were too large have come again
        self._leased: set[str] = set()
        self._lost: Exception | None = None
        self._done, self._closed = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._pull, self._keep_leased)]

    def __enter__(self) -> Pulling:
        self._received(self._first)
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
        """Batches, as they are full or have waited long enough. It ends on the run's shutdown, or nothing comes.

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
                self._progress.set_status(
                    self._path, f"could not acknowledge ({type(error).__name__}): some messages come again."
                )
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
                quiet = self._answered_at - max(idle_since, self._quiet_since, self._back_at)
                idle = self._until_idle is not None and not self._waiting and quiet >= self._until_idle
            if self._shutdown.is_set() or idle:
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

        pause, failing_since = 0.0, None
        while not self._done.wait(pause):
            with self._lock:
                room = 0 if self._bytes >= _MAX_BYTES else _MAX_MESSAGES - len(self._waiting)
            if room <= 0:
                pause = _TICK
                continue
            try:
                asked = min(room, self._portion.size)
                messages = self._ask(asked)
            except (exceptions.NotFound, exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
                self._lost = SubscriptionLost(f"{self._path} cannot be pulled from any more ({type(error).__name__})")
                return
            except Exception as error:
                if self._done.is_set():
                    return
                if _is_too_large(error):
                    self._ask_for_less(asked, error)
                    pause, failing_since = _TICK, None
                    continue
                now = time.monotonic()
                failing_since = failing_since or now
                with self._lock:
                    self._quiet_since = now
                silent = now - failing_since
                if self._until_idle is not None and silent >= max(self._until_idle, _PATIENCE):
                    reason = f"({type(error).__name__}), and --until-idle does not wait for ever"
                    self._lost = SubscriptionLost(f"{self._path}: no answer from Pub/Sub for {silent:.0f} s {reason}")
                    return
                pause = min(30.0, 2 * pause or 0.5)
                self._progress.set_status(
                    self._path, f"Pub/Sub does not answer ({type(error).__name__}). Trying again."
                )
                continue
            self._progress.set_status(self._path, "")
            pause, failing_since = 0.0, None
            if messages:
                self._portion.taken()
            self._received(messages)

    def _ask_for_less(self, asked: int, error: Exception) -> None:
        """After an answer that was too large. What was in it comes again, which an idle subscription waits for; but not
        for a message that is too large alone, as it would for ever."""
        self._portion.too_large(asked)
        wait = _SEEN
        if asked > 1:
            wait += self._look.ack_deadline if self._look else _LONGEST_DEADLINE
            text = f"{asked:,} messages are more than one answer can hold{_sizes(error)}. Asking for less: they come"
            self._progress.set_status(self._path, f"{text} again within {wait:.0f} s.")
        elif not self._progress.remark(
            self._path,
            f"a message is larger than an answer can be{_sizes(error)}. It stays in the subscription.",
            once_for=f"{self._path} too large",
        ):
            return
        with self._lock:
            self._answered_at = time.monotonic()
            self._back_at = max(self._back_at, self._answered_at + wait)

    def _ask(self, most: int) -> list[Message]:
        """What a pull brings. A call that runs out of time tells nothing: Pub/Sub keeps it open where nothing is there,
        so it is asked for an answer at once."""
        from google.api_core.exceptions import DeadlineExceeded

        call = functools.partial(self._pulling_client.pull, subscription=self._path, max_messages=most, retry=None)
        try:
            pulled = call(timeout=_CALL if self._until_idle is None else min(_CALL, max(1.0, self._until_idle / 4)))
        except DeadlineExceeded:
            pulled = call(return_immediately=True, timeout=_CALL)
        if self._look is None and any(received.delivery_attempt for received in pulled.received_messages[:1]):
            self._progress.remark(self._path, _POLICY_UNSEEN)
        return [_message(received) for received in pulled.received_messages]

    def _received(self, messages: Sequence[Message]) -> None:
        """Takes in an answer."""
        ack_ids = [message.ack_id for message in messages]
        self._set_deadline(ack_ids, _LEASE)
        with self._lock:
            self._answered_at = time.monotonic()
            if not messages:
                return
            self._quiet_since = self._answered_at
            if not self._waiting:
                self._first_at = self._answered_at
            self._waiting += messages
            self._bytes += sum(len(message.data) for message in messages)
            self._leased.update(ack_ids)

    def _keep_leased(self) -> None:
        while not self._closed.wait(_LEASE / 3):
            with self._lock:
                ack_ids = list(self._leased)
            self._set_deadline(ack_ids, _LEASE)

    def _set_deadline(self, ack_ids: Sequence[str], seconds: int) -> None:
        _set_deadline(self._client, self._path, ack_ids, seconds)

    def _release(self, ack_ids: Iterable[str]) -> None:
        with self._lock:
            self._leased.difference_update(ack_ids)


def _set_deadline(client: Any, path: str, ack_ids: Sequence[str], seconds: int) -> None:
    for part in _parts(ack_ids):
        try:
            client.modify_ack_deadline(subscription=path, ack_ids=part, ack_deadline_seconds=seconds, timeout=_CALL)
        except Exception:  # it comes again then, and Meta drops it
            return


def _message(received: Any) -> Message:
    return Message(received.message.message_id, received.ack_id, received.message.data)


def _parts(ack_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ack_ids[start : start + _AT_ONCE] for start in range(0, len(ack_ids), _AT_ONCE))
