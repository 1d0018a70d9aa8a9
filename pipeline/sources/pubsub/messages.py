"""Messages of a Pub/Sub subscription, and what the graph is given for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple


class Message(NamedTuple):
    """A pulled message. `ack_id` is what it is acknowledged by; `data` may hold personal data.

    Attributes:
        published: Unix seconds; 0 where that is not known.
    """

    message_id: str
    ack_id: str
    data: bytes
    published: float = 0.0

    def __repr__(self) -> str:
        return f"Message({self.message_id!r})"


def line_of(message: Message) -> bytes:
    """What a run is given for a message."""
    return message.data


def numbered_line_of(message: Message) -> tuple[str, bytes]:
    """What a replay is given for a message, as from `files.ReadNumberedLines`."""
    return f"Message {message.message_id}", message.data


def lists_of_lines(messages: Sequence[Message]) -> Iterable[list[bytes]]:
    """The lines of messages as one element, as `files.ReadRows` has them."""
    return ([message.data for message in messages],)


def numbered_lines_of(messages: Sequence[Message]) -> Iterable[tuple[str, bytes]]:
    return map(numbered_line_of, messages)


def message_of(received: Any) -> Message:
    """A message of a pull's response."""
    message = received.message
    return Message(message.message_id, received.ack_id, message.data, _seconds(message.publish_time))


def _seconds(time: Any) -> float:
    """Unix seconds of a protobuf message's time, or of the datetime that Google's client makes of it."""
    return float(time.timestamp() if isinstance(time, datetime) else getattr(time, "seconds", 0))


def messages_of(pulled: Any) -> list[Message]:
    """All messages of a pull's response, read off the protobuf message, which takes a seventh of the time."""
    return [
        Message(message.message_id, received.ack_id, message.data, message.publish_time.seconds)
        for received in type(pulled).pb(pulled).received_messages
        for message in (received.message,)
    ]
