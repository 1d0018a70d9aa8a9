"""Telling events that come again within a while: a conversion with the same event_id and name for the same dataset.

Meta drops those itself for 48 hours. To drop them here saves requests where a source repeats itself a lot.
"""

from __future__ import annotations

import hashlib
import threading

from capybeam.transforms.core.envelope import Envelope


def repeat_key(key: str, line: bytes) -> bytes:
    """What repeats have in common, in 16 bytes: destination key, event_name and event_id of an encoded envelope.

    Events of the older wire have no event_id; of those only what is the same altogether is a repeat.
    """
    event = Envelope.decode(line)
    common = (
        event.body
        if event.event_id is None
        else f"{len(event.event_name)} {event.event_name} {event.event_id}".encode()
    )
    return hashlib.blake2b(key.encode() + common, digest_size=16).digest()


class RecentKeys:
    """The keys of a while. Safe to use from many threads.

    Keys are new until `settle`: what a batch that failed has brought comes again, and must not be taken for a repeat.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[bytes, float] = {}
        self._unsettled: dict[bytes, float] = {}

    def is_new(self, key: bytes, now: float, window: float) -> bool:
        """Whether a key has not come within the last `window` seconds. Remembers it."""
        with self._lock:
            while self._seen:
                oldest = next(iter(self._seen))
                if now - self._seen[oldest] <= window:
                    break
                del self._seen[oldest]
            if key in self._seen or key in self._unsettled:
                return False
            self._unsettled[key] = now
            return True

    def settle(self) -> None:
        """Keeps what has come: it has been dealt with."""
        with self._lock:
            self._seen.update(self._unsettled)
            self._unsettled.clear()

    def forget_unsettled(self) -> None:
        """Forgets what has come since it was last settled."""
        with self._lock:
            self._unsettled.clear()


RECENT = RecentKeys()
