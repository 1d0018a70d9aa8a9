"""What of a stream is not done yet: messages that wait, and how old the oldest of them is."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Counted(NamedTuple):
    """What the stream's service says of all its messages that are not acknowledged.

    Attributes:
        at: when that was so, in Unix seconds; services count with a delay of minutes.
        oldest_at: when the oldest was published, in Unix seconds; None where there is none, or it is not known.
    """

    messages: int
    at: float
    oldest_at: float | None = None


@dataclasses.dataclass(frozen=True)
class Backlog:
    """Messages that are not acknowledged. Ages and delays in seconds.

    Attributes:
        in_hand: of this run: that it has taken. A stream has at least as many.
        oldest_age: of those, since its publication; None where there are none. The stream's oldest is at least as old.
        longest_delay: from publication to acknowledgement, of all that have been acknowledged; None for none.
        counted: of the whole stream; None where its service does not say.
    """

    in_hand: int = 0
    oldest_age: float | None = None
    longest_delay: float | None = None
    counted: Counted | None = None

    @property
    def messages(self) -> int:
        """That the stream has, or at least has."""
        return max(self.in_hand, self.counted.messages if self.counted else 0)

    @property
    def is_at_least(self) -> bool:
        """Whether there may be more messages, and older ones."""
        return self.counted is None

    def fields(self, time_text: Callable[[float], str]) -> dict[str, Any]:
        """For programs; `time_text` writes Unix seconds."""
        counted = self.counted
        return {
            "messages": self.messages,
            "at_least": self.is_at_least,
            "oldest_published": None if counted is None or counted.oldest_at is None else time_text(counted.oldest_at),
            "counted": None if counted is None else time_text(counted.at),
            "in_hand": self.in_hand,
            "oldest_in_hand_seconds": None if self.oldest_age is None else round(self.oldest_age, 1),
            "longest_delay_seconds": None if self.longest_delay is None else round(self.longest_delay, 1),
        }


class Tally:
    """Keeps count of the messages that a reader takes, by the second of their publication: entries for each message
    took 1.5 % of the time of a subscription with small ones. Safe to use from many threads.

    A message that is given back is still in the stream, and so in the tally, until it is acknowledged.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._published: Counter[int] = Counter()  # 0 for those of which that is not known
        self._given_back: dict[str, int] = {}  # when those messages were published that may come again
        self._longest_delay: float | None = None
        self._counted: Counted | None = None

    def took(self, message_ids: Sequence[str], published: Sequence[int]) -> None:
        """Messages were taken that are not in hand: their IDs, and the Unix seconds of their publications, 0 where that
        is not known."""
        with self._lock:
            self._published.update(published)
            if self._given_back:
                again = self._given_back.keys() & set(message_ids)
                self._remove([self._given_back.pop(message_id) for message_id in again])

    def gave_back(self, message_ids: Sequence[str], published: Sequence[int]) -> None:
        """Messages that were taken went back to the stream."""
        with self._lock:
            self._given_back.update(zip(message_ids, published, strict=True))

    def acknowledged(self, published: Sequence[int]) -> None:
        """Messages that were taken are done."""
        now = self._clock()
        with self._lock:
            self._remove(published)
            oldest = min(filter(None, published), default=None)
            if oldest is not None:
                self._longest_delay = max(self._longest_delay or 0.0, now - oldest)

    def counted(self, counted: Counted) -> None:
        """The stream's service has counted."""
        with self._lock:
            self._counted = counted

    def look(self) -> Backlog:
        now = self._clock()
        with self._lock:
            oldest = min(filter(None, self._published), default=None)
            age = None if oldest is None else max(0.0, now - oldest)
            return Backlog(self._published.total(), age, self._longest_delay, self._counted)

    def _remove(self, published: Sequence[int]) -> None:
        for second, count in Counter(published).items():
            self._published[second] -= count
            if not self._published[second]:
                del self._published[second]
