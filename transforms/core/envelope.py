"""An event that is ready to be sent, in the bytes in which it travels: a header with all that steps want to know of it,
and the body that its destination reads, encoded once.

Bodies are never searched: what a step after validation needs is in the header.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import orjson

from capybeam.transforms.core.function_writer import FunctionWriter


class ReplayHistory(NamedTuple):
    """Where a dead letter began: Unix seconds, and how many replays it has been through."""

    first_dead_lettered_at: int
    replays: int


class Envelope(NamedTuple):
    """An encoded event and what is known of it.

    Attributes:
        subscription: the subscription's name, without its destination's.
        event_name: as its destination has it.
        event_id: None where the destination's events have none.
        event_time: Unix seconds.
        age_limit: seconds after event_time for which the destination takes the event.
        body: JSON.
        history: of an event that a replay has brought back.
        window: in which the event arrived, as of `core.windows`: Unix seconds.
    """

    subscription: str
    event_name: str
    event_id: str | None
    event_time: int
    age_limit: int
    body: bytes
    history: ReplayHistory | None = None
    window: int = 0

    def encode(self) -> bytes:
        """The header, then the subscription's name, the event's name and ID, and the body."""
        what = self.event_name.encode(), (self.event_id or "").encode()
        texts = self.subscription.encode(), *what
        return seal(*texts, self.event_time, self.age_limit, self.body, self.history, self.window)

    @property
    def identity(self) -> str:
        """What receipts name the event by: its event_id, or a digest of its body where it has none."""
        return self.event_id or body_identity(self.body)

    @classmethod
    def decode(cls, line: bytes) -> Envelope:
        """What `encode` has made a line of. Raises ValueError for any other bytes."""
        if len(line) < HEADER.size or line[0] != VERSION:
            raise ValueError(NOT_AN_ENVELOPE)
        _, event_time, age_limit, window, first, replays, name, event_id, body = HEADER.unpack_from(line)
        name += HEADER.size  # from lengths to ends
        event_id += name
        body += event_id
        return cls(
            line[HEADER.size : name].decode(),
            line[name:event_id].decode(),
            line[event_id:body].decode() or None,
            event_time,
            age_limit,
            line[body:],
            ReplayHistory(first, replays) if replays else None,
            window,
        )


def body_identity(body: bytes) -> str:
    """What stands for the event_id of a body without one: the same however the JSON is written."""
    canonical = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    return f"body:{hashlib.blake2b(canonical, digest_size=16).hexdigest()}"


VERSION: Final = 1
NOT_AN_ENVELOPE: Final = "not an envelope of this version of capybeam"
# Version, event_time, age_limit, window, first_dead_lettered_at, replays; bytes of the three texts.
HEADER: Final = struct.Struct(">BqIIIIIII")
START: Final = struct.Struct(">Bq")  # of it; what follows, up to the event's ID, is mostly that of the event before
_pack: Final = HEADER.pack
LATEST: Final = 0xFFFF_FFFF  # Unix seconds that there is room for, in 2106
_LENGTH: Final = struct.Struct(">I")
_NAME_LENGTH_AT: Final = struct.calcsize(">BqIIII")
_BEHIND_NAME_LENGTH: Final = _NAME_LENGTH_AT + _LENGTH.size
_WINDOW: Final = struct.Struct(">I")
_WINDOW_AT: Final = struct.calcsize(">BqI")
_BEHIND_WINDOW: Final = _WINDOW_AT + _WINDOW.size


def seal(
    subscription: bytes,
    event_name: bytes,
    event_id: bytes,
    event_time: int,
    age_limit: int,
    body: bytes,
    history: ReplayHistory | None = None,
    window: int = 0,
) -> bytes:
    """`Envelope.encode` without the envelope, for where each event passes."""
    first, replays = history or (0, 0)
    name, event, id_ = len(subscription), len(event_name), len(event_id)
    header = _pack(VERSION, event_time, age_limit, window, first, replays, name, event, id_)
    return b"".join((header, subscription, event_name, event_id, body))


def write_seal(
    writer: FunctionWriter,
    subscription: str,
    event_name: str | None,
    variables: Mapping[Literal["event_name", "event_id", "event_time", "age_limit", "body", "window"], str],
) -> str:
    """Writes what makes the same of variables, without a history; returns the expression of it.

    Args:
        event_name: None where it depends on the event, and is in a variable.
        variables: those of texts, numbers and the body; in place of them expressions, for numbers.
    """
    event_id = writer.variable(f"{variables['event_id']}.encode()")
    texts = [subscription.encode(), b"" if event_name is None else event_name.encode()]
    start, name = writer.constant(b"".join(texts)), str(len(texts[1]))
    parts = [start, event_id, variables["body"]]
    if event_name is None:
        parts.insert(1, writer.variable(f"{variables['event_name']}.encode()"))
        name = f"len({parts[1]})"
    numbers = variables["event_time"], variables["age_limit"], variables["window"], "0", "0"
    lengths = str(len(texts[0])), name, f"len({event_id})"
    header = f"{writer.constant(_pack, 'pack')}({', '.join((str(VERSION), *numbers, *lengths))})"
    return f"{writer.constant(b''.join, 'join')}(({', '.join((header, *parts))}))"


def subscription_of(line: bytes) -> str:
    """`Envelope.subscription` of a line, without decoding the rest."""
    (length,) = _LENGTH.unpack_from(line, _NAME_LENGTH_AT)
    return line[HEADER.size : HEADER.size + length].decode()


def with_window(line: bytes, window: int) -> bytes:
    """A line, with the window in which its event arrived."""
    return b"".join((line[:_WINDOW_AT], _packed(window), line[_BEHIND_WINDOW:]))


def with_subscription(line: bytes, name: bytes) -> bytes:
    """A line, as that of a subscription of another name."""
    (length,) = _LENGTH.unpack_from(line, _NAME_LENGTH_AT)
    header = line[:_NAME_LENGTH_AT], _LENGTH.pack(len(name)), line[_BEHIND_NAME_LENGTH : HEADER.size]
    return b"".join((*header, name, line[HEADER.size + length :]))


@functools.lru_cache(maxsize=16)
def _packed(window: int) -> bytes:
    return _WINDOW.pack(window)


class Ready(NamedTuple):
    """A conversion as it goes to its batch.

    Attributes:
        key: what may share a request; an encoded `Address`.
        line: an encoded `Envelope`.
    """

    key: str
    line: bytes


def in_window(ready: Ready, window: int) -> Ready:
    """The same conversion, with the window in which its event arrived."""
    key, line = ready
    return Ready(key, with_window(line, window))


class Address(NamedTuple):
    """Where an event goes, and what its request says of itself. Events with the same address may share a request."""

    destination: str
    dataset_id: str
    test_event_code: str = ""
    upload_tag: str = ""

    def encode(self) -> str:
        """The destination key: text, by which any runner can group."""
        short = len(self.test_event_code) + len(self.upload_tag) <= _LONGEST_REMEMBERED
        return _encoded(self) if short else _encoded.__wrapped__(self)

    @staticmethod
    def decode(key: str) -> Address:
        """What `encode` has made a key of."""
        return _decoded(key) if len(key) <= _LONGEST_REMEMBERED else _decoded.__wrapped__(key)


_LONGEST_REMEMBERED: Final = 256  # characters: an event may bring a code of its own, of any length


@functools.lru_cache(maxsize=4096)
def _encoded(address: Address) -> str:
    return orjson.dumps(tuple(address)).decode()


@functools.lru_cache(maxsize=4096)
def _decoded(key: str) -> Address:
    return Address(*orjson.loads(key))
