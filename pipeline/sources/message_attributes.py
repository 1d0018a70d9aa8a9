"""Attributes of a stream's messages."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class MessageAttributes:
    """Names of message attributes that a streaming runner reads: an ID to drop repeats by, the time of the event."""

    id: str | None = None
    timestamp: str | None = None

    def __bool__(self) -> bool:
        return self.id is not None or self.timestamp is not None
