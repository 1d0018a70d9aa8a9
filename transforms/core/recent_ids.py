"""Recognising repeats: a conversion with the same event_id and name for the same dataset, within a while.

Meta drops those itself for 48 hours. Dropping them here saves requests where a source repeats itself a lot.
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


class RecentIds:
    """The repeat keys of the last while. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._added: dict[bytes, float] = {}  # the oldest first

    def add(self, key: bytes, now: float, window: float) -> bool:
        """Remembers a key; whether it is new, that is, has not been added within the last `window` seconds."""
        with self._lock:
            while self._added:
                oldest = next(iter(self._added))
                if now - self._added[oldest] <= window:
                    break
                del self._added[oldest]
            if key in self._added:
                return False
            self._added[key] = now
            return True
