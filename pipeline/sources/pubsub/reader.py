"""Pulls batches of messages from a subscription, and keeps them leased while they are delivered."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final

from capybeam.pipeline.sources.pubsub.client import (
    CALL_TIMEOUT,
    MAX_MESSAGES_PER_CALL,
    in_calls,
    is_too_large,
    new_client,
    set_deadline,
    sizes_of,
)
from capybeam.pipeline.sources.pubsub.messages import Message, message_of
from capybeam.pipeline.sources.streams import StreamLost
from capybeam.transforms.core.run_context import RunContext

LEASE: Final = (
    60  # seconds that a message is leased, renewed after a third of it; after a crash it is redelivered that much later
)
_MAX_MESSAGES: Final = 10_000  # of a batch
_MAX_BYTES: Final = 64 * 1024 * 1024
_TICK: Final = 0.05  # seconds between two checks
SILENCE_LIMIT: Final = 60.0  # seconds without an answer that a run with --until-idle waits for, at least
_LONGEST_DEADLINE: Final = 600.0  # seconds of acknowledgement that Pub/Sub allows
_SEEN: Final = 2.0  # seconds within which the screen shows a status


@dataclasses.dataclass(frozen=True)
class SubscriptionDetails:
    """What Pub/Sub says of a subscription.

    Attributes:
        topic: ``projects/P/topics/T``, of which it is one.
        ack_deadline: seconds after which a message that was sent but never arrived is redelivered.
        dead_letter_topic: where Pub/Sub moves a message after `max_delivery_attempts`; "" without a dead-letter policy.
    """

    topic: str
    ack_deadline: float
    dead_letter_topic: str = ""
    max_delivery_attempts: int = 0


def lease(client: Any, path: str, ack_ids: Sequence[str]) -> None:
    """Keeps messages from other readers for a while."""
    set_deadline(client, path, ack_ids, LEASE)


class PullSize:
    """How many messages a pull asks for.

    The messages of an answer that was too large are leased, unknown to the client, and are delivered again after the
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


# Pub/Sub counts delivery attempts only for subscriptions with a dead-letter policy.
_POLICY_UNSEEN: Final = (
    "the subscription has a dead-letter policy, so Pub/Sub moves away events that are held through several restarts."
    " To see the policy: gcloud pubsub subscriptions describe."
)


class SubscriptionReader:
    """Pulls batches of messages while earlier ones are under way, and keeps all of them leased. A context manager.

    Args:
        run: whose progress it updates, and whose shutdown ends it.
        max_delay: seconds that a batch may wait for more messages.
        until_idle: seconds without a message after which no further batch follows; None waits for ever. Time in which
            Pub/Sub does not answer is not idle: when that lasts for as long, or a minute, the subscription is lost.
        first: messages that have been pulled already.
        details: what Pub/Sub says of the subscription; None without the permission to ask.
    """

    def __init__(
        self,
        path: str,
        run: RunContext,
        max_delay: float,
        until_idle: float | None = None,
        first: Sequence[Message] = (),
        details: SubscriptionDetails | None = None,
    ) -> None:
        self._progress, self._shutdown = run.progress, run.shutdown
        self._path, self._max_delay, self._until_idle, self._first = path, max_delay, until_idle, first
        self._details, self._pull_size = details, PullSize(MAX_MESSAGES_PER_CALL)
        self._client = new_client()
        self._pulling_client = new_client()  # a second one, as it is closed in the middle of a call
        self._lock = threading.Lock()
        self._waiting: list[Message] = []
        self._bytes = 0
        self._first_at = self._quiet_since = self._answered_at = time.monotonic()
        self._back_at = 0.0  # when messages of answers that were too large have been redelivered
        self._leased: set[str] = set()
        self._lost: Exception | None = None
        self._done, self._closed = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._pull, self._keep_leased)]

    def __enter__(self) -> SubscriptionReader:
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
        """Batches, when they are full or have waited long enough. It ends on the run's shutdown, or when nothing comes.

        Raises:
            StreamLost
        """
        while True:
            batch = self._next()
            if not batch:
                return
            yield batch

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledges messages. One that cannot be acknowledged is delivered again, and dropped by Meta."""
        from google.api_core.exceptions import GoogleAPIError

        ack_ids = [message.ack_id for message in messages]
        for part in in_calls(ack_ids):
            try:
                self._client.acknowledge(subscription=self._path, ack_ids=part, timeout=LEASE)
            except GoogleAPIError as error:
                self._progress.set_status(
                    self._path, f"could not acknowledge ({type(error).__name__}): some messages will be redelivered."
                )
        self._release(ack_ids)

    def give_back(self, messages: Sequence[Message]) -> None:
        """Returns messages to the subscription, which delivers them again."""
        ack_ids = [message.ack_id for message in messages]
        self._release(ack_ids)
        set_deadline(self._client, self._path, ack_ids, 0)

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
                asked = min(room, self._pull_size.size)
                messages = self._pull_once(asked)
            except (exceptions.NotFound, exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
                self._lost = StreamLost(f"{self._path} can no longer be pulled from ({type(error).__name__})")
                return
            except Exception as error:
                if self._done.is_set():
                    return
                if is_too_large(error):
                    self._reduce_pull_size(asked, error)
                    pause, failing_since = _TICK, None
                    continue
                now = time.monotonic()
                failing_since = failing_since or now
                with self._lock:
                    self._quiet_since = now
                silent = now - failing_since
                if self._until_idle is not None and silent >= max(self._until_idle, SILENCE_LIMIT):
                    reason = f"({type(error).__name__}), and --until-idle does not wait for ever"
                    self._lost = StreamLost(f"{self._path}: no answer from Pub/Sub for {silent:.0f} s {reason}")
                    return
                pause = min(30.0, 2 * pause or 0.5)
                self._progress.set_status(
                    self._path, f"Pub/Sub does not answer ({type(error).__name__}). Trying again."
                )
                continue
            self._progress.set_status(self._path, "")
            pause, failing_since = 0.0, None
            if messages:
                self._pull_size.taken()
            self._received(messages)

    def _reduce_pull_size(self, asked: int, error: Exception) -> None:
        """After an answer that was too large. What was in it is delivered again, which `until_idle` waits for; but not
        for a single message that is too large, which would never end."""
        self._pull_size.too_large(asked)
        wait = _SEEN
        if asked > 1:
            wait += self._details.ack_deadline if self._details else _LONGEST_DEADLINE
            text = f"{asked:,} messages do not fit into one answer{sizes_of(error)}. Asking for fewer: they will be"
            self._progress.set_status(self._path, f"{text} redelivered within {wait:.0f} s.")
        elif not self._progress.remark(
            self._path,
            f"a message is larger than an answer can be{sizes_of(error)}. It stays in the subscription.",
            once_for=f"{self._path} too large",
        ):
            return
        with self._lock:
            self._answered_at = time.monotonic()
            self._back_at = max(self._back_at, self._answered_at + wait)

    def _pull_once(self, most: int) -> list[Message]:
        """What a pull brings. A call that times out says nothing: Pub/Sub keeps it open while there are no
        messages. So another one asks for an answer at once."""
        from google.api_core.exceptions import DeadlineExceeded

        call = functools.partial(self._pulling_client.pull, subscription=self._path, max_messages=most, retry=None)
        try:
            pulled = call(
                timeout=CALL_TIMEOUT if self._until_idle is None else min(CALL_TIMEOUT, max(1.0, self._until_idle / 4))
            )
        except DeadlineExceeded:
            pulled = call(return_immediately=True, timeout=CALL_TIMEOUT)
        if self._details is None and any(received.delivery_attempt for received in pulled.received_messages[:1]):
            self._progress.remark(self._path, _POLICY_UNSEEN)
        return [message_of(received) for received in pulled.received_messages]

    def _received(self, messages: Sequence[Message]) -> None:
        """Leases the messages of an answer, and lets them wait for their batch."""
        ack_ids = [message.ack_id for message in messages]
        lease(self._client, self._path, ack_ids)
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
        while not self._closed.wait(LEASE / 3):
            with self._lock:
                ack_ids = list(self._leased)
            lease(self._client, self._path, ack_ids)

    def set_deadline(self, ack_ids: Sequence[str], seconds: int) -> None:
        set_deadline(self._client, self._path, ack_ids, seconds)

    def _release(self, ack_ids: Iterable[str]) -> None:
        with self._lock:
            self._leased.difference_update(ack_ids)
