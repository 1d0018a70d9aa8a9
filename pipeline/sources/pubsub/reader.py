"""Pulls messages from a subscription, and keeps them leased while they are delivered, in batches."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Any, Final

from capybeam.pipeline.sources.pubsub.client import (
    CALL_TIMEOUT,
    MAX_MESSAGES_PER_CALL,
    acknowledge,
    in_calls,
    is_too_large,
    new_client,
    pulling,
    set_deadline,
    sizes_of,
)
from capybeam.pipeline.sources.pubsub.messages import NO_MESSAGES, Messages
from capybeam.pipeline.sources.pubsub.monitoring import watch
from capybeam.pipeline.sources.pubsub.pull_size import PullSize
from capybeam.pipeline.sources.streams import StreamLost
from capybeam.transforms.core.backlog import Tally
from capybeam.transforms.core.run_context import RunContext

LEASE: Final = (
    60  # seconds that a message is leased, renewed after a third of it; after a crash it is redelivered that much later
)
_LEASE_TICK: Final = 0.5  # seconds between two looks at what has to be leased
_UNLEASED: Final = 4  # looks until what has come is leased: most is settled by then, and Pub/Sub waits for ten seconds
_PULLS: Final = 3  # under way at once
_MAX_MESSAGES: Final = 60_000  # of a batch
_IN_HAND_MESSAGES: Final = 2 * _MAX_MESSAGES  # that wait for their batch, or are in one that is under way
_ALL_IN_HAND: Final = "as many messages as may be are under way"
_WAITING_BYTES: Final = 6 * 1024 * 1024  # that wait for their batch, or have been asked for
_ANSWER_BYTES: Final = 1 * 1024 * 1024  # that a pull asks for, by the size of messages so far
_LIST: Final = 256  # messages that a batch gives at once; a list costs what a message alone would
_EXPECTED_SIZE: Final = 40_000.0  # bytes of a message, before one has come; a guess on the safe side
_TICK: Final = 0.05  # seconds between two checks
SILENCE_LIMIT: Final = 60.0  # seconds without an answer that a run with --until-idle waits for, at least
_SHORTEST_CALL: Final = 5.0  # seconds; messages of an answer that comes later are away until they are redelivered
_LONGEST_DEADLINE: Final = 600.0  # seconds of acknowledgement that Pub/Sub allows
_SETTLED_WITHIN: Final = 10.0  # seconds for acknowledging when the run is to end; who stops it may wait for thirty
_SHORTEST_PAUSE: Final = 0.5  # seconds between two tries to acknowledge; doubles at each
_LONGEST_PAUSE: Final = 10.0
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


# Pub/Sub counts delivery attempts only for subscriptions with a dead-letter policy.
_POLICY_UNSEEN: Final = (
    "the subscription has a dead-letter policy, so Pub/Sub moves away events that are held through several restarts."
    " To see the policy: gcloud pubsub subscriptions describe."
)


class SubscriptionBatch:
    """Messages that are settled together, in lists as they come: a `streams.StreamBatch`.

    Args:
        take: gives at most so many of those that come until a monotonic time; none when there are no more of them.
        acknowledge, give_back: what becomes of them, by their IDs and the Unix seconds of their publications.
        until: that time.
    """

    def __init__(
        self,
        take: Callable[[int, float], Messages],
        acknowledge: Callable[[Sequence[str], Sequence[int]], None],
        give_back: Callable[[Sequence[str], Sequence[int]], None],
        until: float,
    ) -> None:
        self._take, self._acknowledge, self._give_back, self._until = take, acknowledge, give_back, until
        # Without their data, which is done with long before they are settled.
        self._message_ids: list[str] = []
        self._published: list[int] = []

    def __iter__(self) -> Iterator[Messages]:
        while room := max(0, _MAX_MESSAGES - len(self._message_ids)):
            taken = self._take(room, self._until)
            if not taken:
                return
            self._message_ids += taken.ids
            self._published += taken.published
            yield taken

    def acknowledge(self) -> None:
        self._acknowledge(self._message_ids, self._published)

    def give_back(self) -> None:
        self._give_back(self._message_ids, self._published)


class SubscriptionReader:
    """Pulls messages into batches while earlier ones are under way, and keeps all of them leased. A context manager.

    Several pulls are open at once. A message that is redelivered while it is in hand is in no second batch: it is
    acknowledged, or given back, by the ID that it came with last.

    Args:
        run: whose progress it updates, and whose shutdown ends it.
        max_delay: seconds after its first message in which a batch takes more.
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
        first: Messages = NO_MESSAGES,
        details: SubscriptionDetails | None = None,
    ) -> None:
        self._progress, self._shutdown, self._standstill = run.progress, run.shutdown, run.standstill
        self._path, self._max_delay, self._until_idle, self._first = path, max_delay, until_idle, first
        self._details, self._pull_size = details, PullSize(MAX_MESSAGES_PER_CALL)
        self._pull_timeout = CALL_TIMEOUT
        if until_idle is not None:  # an answer that there is nothing is waited for
            self._pull_timeout = min(CALL_TIMEOUT, max(_SHORTEST_CALL, until_idle / 4))
        self._client = new_client()
        self._pulling_client = new_client()  # a second one, as it is closed in the middle of a call
        self._call = pulling(self._pulling_client, path)
        lock = threading.RLock()  # guards what follows
        self._changed, self._room = threading.Condition(lock), threading.Condition(lock)  # the second: for another pull
        self._waiting: deque[tuple[float, Messages, int]] = deque()  # for their batch; when they came, and their bytes
        self._messages = self._bytes = 0  # of those
        self._tally = Tally()
        self._ack_ids: dict[str, str] = {}  # of all messages in hand, by message ID
        self._new: list[str] = []  # IDs of those that have come since leases were looked after
        self._unleased: deque[list[str]] = deque()  # and of those that had come at earlier looks
        self._asked, self._mean_size = 0, _EXPECTED_SIZE
        self._quiet_since = self._answered_at = time.monotonic()
        self._back_at = 0.0  # when messages of answers that were too large have been redelivered
        self._failing_since: float | None = None
        self._settled_by: float | None = None  # when what cannot be acknowledged is left, as the run is to end
        self._lost: Exception | None = None
        self._leasing = threading.Lock()  # held by calls that lease or give back: the last of them is what counts
        self._done, self._closed = threading.Event(), threading.Event()
        self._pulls = [threading.Thread(target=self._pull, daemon=True) for _ in range(_PULLS)]
        self._leases = threading.Thread(target=self._keep_leased, daemon=True)

    def __enter__(self) -> SubscriptionReader:
        self._progress.watch_backlog(self._tally.look)
        watch(self._path, self._tally.counted, self._closed)
        self._received(self._first)
        for thread in (*self._pulls, self._leases):
            thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_pulling()
        self._closed.set()
        self._leases.join()  # a lease that is renewed now would keep back what is given back
        with self._changed:
            in_hand = list(self._ack_ids.values())
        set_deadline(self._client, self._path, in_hand, 0)
        self._client.close()

    def batches(self) -> Iterator[SubscriptionBatch]:
        """Batches, each as soon as its first message is there, with all that wait by then. It ends on the run's
        shutdown, or when nothing comes.

        Raises:
            StreamLost
        """
        while self._is_more():
            until = max(self._waiting[0][0] + self._max_delay, time.monotonic())
            yield SubscriptionBatch(self.take, self.acknowledge, self.give_back, until)

    def take(self, most: int, until: float) -> Messages:
        """Messages that come until a monotonic time, which are waited for; none when there are no more of them."""
        with self._changed:
            while not self._waiting:
                left = until - time.monotonic()
                if left <= 0 or self._is_ending():
                    return NO_MESSAGES
                self._changed.wait(min(_TICK, left))
            come_at, messages, size = self._waiting[0]
            if come_at > until:
                return NO_MESSAGES
            self._waiting.popleft()
            if len(messages) > most:
                messages, rest = messages[:most], messages[most:]
                self._waiting.appendleft((come_at, rest, rest.size))
                size -= rest.size
            self._messages -= len(messages)
            self._bytes -= size
            if self._room_for():
                self._room.notify()
            return messages

    def acknowledge(self, message_ids: Sequence[str], published: Sequence[int]) -> None:
        """Acknowledges messages, which are in hand until that has worked: leased, and in no second batch when they are
        redelivered meanwhile. It is tried for as long as the run goes on, and a little longer; what is left then is
        delivered again, and dropped by Meta."""
        missed = 0
        for part, times in zip(in_calls(message_ids), in_calls(published), strict=True):
            if self._acknowledge(part):
                self._tally.acknowledged(times)
            else:
                self._tally.gave_back(part, times)
                missed += len(part)
            self._release(part)
        if missed:
            self._progress.set_status(self._path, "")
            text = f"{missed:,} messages that were delivered could not be acknowledged: they will be redelivered."
            self._progress.remark(self._path, text)

    def _acknowledge(self, message_ids: Sequence[str]) -> bool:
        """Acknowledges messages by the IDs that they came with last; whether that worked."""
        from google.api_core import exceptions

        final = (exceptions.NotFound, exceptions.PermissionDenied)
        acknowledged: dict[str, str] = {}
        pause = 0.0
        while True:
            with self._changed:
                ack_ids = {each: self._ack_ids[each] for each in message_ids}
            left = [ack_id for each, ack_id in ack_ids.items() if acknowledged.get(each) != ack_id]
            timeout = self._time_to_acknowledge()
            if not left:
                break
            if timeout <= 0:
                return False
            try:
                acknowledge(self._client, self._path, left, timeout)
                acknowledged = ack_ids
            except exceptions.GoogleAPIError as error:
                pause = min(_LONGEST_PAUSE, 2 * pause or _SHORTEST_PAUSE)
                said = f"Pub/Sub does not take acknowledgements ({type(error).__name__})."
                if isinstance(error, final):
                    return False
                self._progress.set_status(self._path, f"{said} Trying again.")
                if self._shutdown.wait(pause):
                    time.sleep(_SHORTEST_PAUSE)
        if pause:
            self._progress.set_status(self._path, "")
        return True

    def _time_to_acknowledge(self) -> float:
        """Seconds that a call may take: those that are left of `_SETTLED_WITHIN` once the run is to end."""
        with self._changed:
            if self._shutdown.is_set() and self._settled_by is None:
                self._settled_by = time.monotonic() + _SETTLED_WITHIN
            left = math.inf if self._settled_by is None else self._settled_by - time.monotonic()
        return min(CALL_TIMEOUT, left)

    def give_back(self, message_ids: Sequence[str], published: Sequence[int]) -> None:
        """Returns messages to the subscription, which delivers them again."""
        self._tally.gave_back(message_ids, published)
        ack_ids = self._release(message_ids)
        with self._leasing:
            set_deadline(self._client, self._path, ack_ids, 0)

    def _is_more(self) -> bool:
        """Waits for a message; whether one has come before the end."""
        with self._changed:
            while not self._waiting:
                if self._lost is not None:
                    raise self._lost
                quiet = self._answered_at - max(self._quiet_since, self._back_at)
                idle = self._until_idle is not None and not self._ack_ids and quiet >= self._until_idle
                if idle or self._is_ending():
                    break
                self._changed.wait(_TICK)
            else:
                return True
        self._stop_pulling()
        return bool(self._waiting)  # what the last calls brought

    def _is_ending(self) -> bool:
        return self._lost is not None or self._done.is_set() or self._shutdown.is_set()

    def _stop_pulling(self) -> None:
        self._done.set()
        self._pulling_client.close()
        for thread in self._pulls:
            thread.join()

    def _pull(self) -> None:
        from google.api_core import exceptions

        pause = 0.0
        while not self._done.wait(pause):
            asked = self._ask()
            if not asked:
                pause = 0.0
                continue
            try:
                self._received(self._pull_once(asked))
            except (exceptions.NotFound, exceptions.PermissionDenied) as error:
                self._lost = StreamLost(f"{self._path} can no longer be pulled from ({type(error).__name__})")
                return
            except Exception as error:
                if self._done.is_set():
                    return
                if is_too_large(error):
                    self._reduce_pull_size(asked, error)
                    pause = _TICK
                    continue
                if self._is_given_up(error):
                    return
                pause = min(30.0, 2 * pause or 0.5)
                self._progress.set_status(
                    self._path, f"Pub/Sub does not answer ({type(error).__name__}). Trying again."
                )
                continue
            finally:
                with self._changed:
                    self._asked -= asked
            self._progress.set_status(self._path, "")
            pause = 0.0

    def _ask(self) -> int:
        """How many messages to ask for, which then count as asked for; 0, after a moment, where there is no room."""
        with self._changed:
            asked = self._room_for()
            if asked:
                self._standstill.end(_ALL_IN_HAND)
            else:
                if not self._asked and not self._messages:
                    self._standstill.begin(_ALL_IN_HAND)
                self._room.wait(_TICK)
            self._asked += asked
            return asked

    def _room_for(self) -> int:
        """How many messages a pull may ask for; 0 until there is room for all that one may bring, as a call costs the
        same however little that is."""
        most = min(self._pull_size.size, int(_ANSWER_BYTES / self._mean_size) or 1, _MAX_MESSAGES)
        count = min(_MAX_MESSAGES - self._messages, _IN_HAND_MESSAGES - len(self._ack_ids)) - self._asked
        size = _WAITING_BYTES - self._bytes - self._asked * self._mean_size
        return most if count >= most and size >= most * self._mean_size else 0

    def _is_given_up(self, error: Exception) -> bool:
        """Whether a subscription that does not answer is lost by now. Credentials that are not taken may be so because
        new ones could not be had just then; for long, they are wrong."""
        from google.api_core.exceptions import Unauthenticated

        with self._changed:
            self._quiet_since = now = time.monotonic()
            self._failing_since = self._failing_since or now
            silent = now - self._failing_since
            if isinstance(error, Unauthenticated) and silent >= SILENCE_LIMIT:
                text = f"Pub/Sub has not taken the credentials for {silent:.0f} s ({type(error).__name__})"
            elif self._until_idle is not None and silent >= max(self._until_idle, SILENCE_LIMIT):
                reason = f"({type(error).__name__}), and --until-idle does not wait for ever"
                text = f"no answer from Pub/Sub for {silent:.0f} s {reason}"
            else:
                return False
            self._lost = StreamLost(f"{self._path}: {text}")
            return True

    def _reduce_pull_size(self, asked: int, error: Exception) -> None:
        """After an answer that was too large. What was in it is delivered again, which `until_idle` waits for; but not
        for a single message that is too large, which would never end."""
        with self._changed:
            self._failing_since = None
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
        with self._changed:
            self._answered_at = time.monotonic()
            self._back_at = max(self._back_at, self._answered_at + wait)

    def _pull_once(self, most: int) -> Messages:
        """What a pull brings. A call that times out says nothing: Pub/Sub keeps it open while there are no
        messages. So another one asks for an answer at once."""
        from google.api_core.exceptions import DeadlineExceeded

        try:
            pulled = self._call(max_messages=most, timeout=self._pull_timeout)
        except DeadlineExceeded:
            pulled = self._call(max_messages=most, timeout=CALL_TIMEOUT, return_immediately=True)
        if self._details is None and any(received.delivery_attempt for received in pulled.received_messages[:1]):
            self._progress.remark(self._path, _POLICY_UNSEEN)
        return Messages.of(pulled)

    def _received(self, messages: Messages) -> None:
        """Lets the messages of an answer wait for their batch."""
        with self._changed:
            self._answered_at, self._failing_since = time.monotonic(), None
            if not messages:
                return
            self._quiet_since = self._answered_at
            self._pull_size.taken()
            come, held = messages, len(self._ack_ids)
            if not self._ack_ids.keys().isdisjoint(come.ids):
                messages = _without(come, self._ack_ids)
            self._ack_ids.update(zip(come.ids, come.ack_ids, strict=True))
            if len(self._ack_ids) < held + len(messages):
                messages = _without(messages, ())  # one is in this answer twice
            self._new += come.ids
            self._tally.took(messages.ids, messages.published)
            size = 0
            for start in range(0, len(messages), _LIST):
                part = messages[start : start + _LIST]
                self._waiting.append((self._answered_at, part, part_size := part.size))
                size += part_size
            if messages:
                self._mean_size += (size / len(messages) - self._mean_size) / 4
            self._messages += len(messages)
            self._bytes += size
            self._changed.notify_all()

    def _keep_leased(self) -> None:
        """Leases what is not settled soon, many messages by a call, and all that is in hand before its lease ends."""
        left = LEASE / 3
        while not self._closed.wait(_LEASE_TICK):
            began = time.monotonic()
            with self._leasing:
                with self._changed:
                    is_due = left <= _LEASE_TICK
                    ack_ids = [*self._ack_ids.values()] if is_due else self._not_settled_soon()
                lease(self._client, self._path, ack_ids)
            left = (LEASE / 3 if is_due else left) - _LEASE_TICK - (time.monotonic() - began)

    def _not_settled_soon(self) -> list[str]:
        """The IDs of messages that came some looks ago and are still in hand."""
        self._unleased.append(self._new)
        self._new = []
        if len(self._unleased) <= _UNLEASED:
            return []
        return [*filter(None, map(self._ack_ids.get, self._unleased.popleft()))]

    def _release(self, message_ids: Sequence[str]) -> list[str]:
        """The IDs by which messages are acknowledged or given back, which are in hand no longer."""
        with self._changed:
            self._quiet_since = time.monotonic()
            self._room.notify_all()
            return [*map(self._ack_ids.pop, message_ids)]


def _without(messages: Messages, known: Collection[str]) -> Messages:
    """Messages that are not known yet by their IDs, each once."""
    places = {id_: place for place, id_ in enumerate(messages.ids) if id_ not in known}.values()
    return Messages(
        [messages.ids[place] for place in places],
        [messages.ack_ids[place] for place in places],
        [messages.data[place] for place in places],
        [messages.published[place] for place in places],
    )
