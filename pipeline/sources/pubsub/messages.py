"""Messages of a Pub/Sub subscription, and what the graph is given for each."""

from __future__ import annotations

import dataclasses
from typing import Any


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


def message_of(received: Any) -> Message:
    """A message of a pull's response."""
    return Message(received.message.message_id, received.ack_id, received.message.data)
