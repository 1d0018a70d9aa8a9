"""Messages of a Pub/Sub subscription, and what the graph is given for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, overload


class Message(NamedTuple):
    """A pulled message. `ack_id` is what it is acknowledged by; `data` may hold personal data.

    Attributes:
        published: whole Unix seconds; 0 where that is not known.
    """

    message_id: str
    ack_id: str
    data: bytes
    published: int = 0

    def __repr__(self) -> str:
        return f"Message({self.message_id!r})"


def line_of(message: Message) -> bytes:
    """What a run is given for a message."""
    return message.data


def numbered_line_of(message: Message) -> tuple[str, bytes]:
    """What a replay is given for a message, as from `files.ReadNumberedLines`."""
    return f"Message {message.message_id}", message.data


class Messages(Sequence[Message]):
    """Messages that were pulled together, as columns: a tuple for each would cost as much as all that is done with it.

    Attributes:
        published: whole Unix seconds; 0 where that is not known.
    """

    __slots__ = ("ack_ids", "data", "ids", "published")

    def __init__(self, ids: list[str], ack_ids: list[str], data: list[bytes], published: list[int]) -> None:
        self.ids, self.ack_ids, self.data, self.published = ids, ack_ids, data, published

    @staticmethod
    def of(pulled: Any) -> Messages:
        """Those of a pull's response, a protobuf message."""
        ids, ack_ids, data, published = list[str](), list[str](), list[bytes](), list[int]()
        for received in pulled.received_messages:  # each is made when it is asked for: so all is asked for at once
            message = received.message
            ids.append(message.message_id)
            ack_ids.append(received.ack_id)
            data.append(message.data)
            published.append(message.publish_time.seconds)
        return Messages(ids, ack_ids, data, published)

    @property
    def size(self) -> int:
        """Bytes of the data."""
        return sum(map(len, self.data))

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Message: ...
    @overload
    def __getitem__(self, place: slice) -> Messages: ...
    def __getitem__(self, place: int | slice) -> Message | Messages:
        make: Any = Messages if isinstance(place, slice) else Message
        return make(self.ids[place], self.ack_ids[place], self.data[place], self.published[place])

    def __repr__(self) -> str:
        return f"Messages({self.ids!r})"


NO_MESSAGES: Final = Messages([], [], [], [])


def lists_of_lines(messages: Messages) -> Iterable[list[bytes]]:
    """The lines of messages as one element, as `files.ReadRows` has them."""
    return (messages.data,)


def numbered_lines_of(messages: Messages) -> Iterable[tuple[str, bytes]]:
    return map(numbered_line_of, messages)
