"""An event on its way to a destination, and the key and line that it becomes when it is ready to be sent."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import orjson

from capybeam.transforms.core.events import Event


class Conversion(NamedTuple):
    """An event on its way to one dataset. `event` is None from hashing on: no raw personal data exists then."""

    subscription: str
    event_name: Any
    dataset_id: str
    event: Event | None
    fields: dict[str, Any]


class Ready(NamedTuple):
    """A conversion as it goes to its batch.

    Attributes:
        key: the destination key: what may share a request. See `destination_key`.
        line: the subscription's name, a tab, and the body: all that sending needs, in bytes.
    """

    key: str
    line: bytes


class Address(NamedTuple):
    """What a destination key says: where its events go, and what their request says of itself."""

    destination: str
    dataset_id: str
    test_event_code: str = ""
    upload_tag: str = ""


def destination_key(destination: str, dataset_id: str, test_event_code: str = "", upload_tag: str = "") -> str:
    """Events with the same key may share a request."""
    return f"{destination}\t{dataset_id}\t{test_event_code}\t{upload_tag}"


def split_key(key: str) -> Address:
    """What `destination_key` made a key of."""
    return Address(*key.split("\t"))


def split_line(line: bytes) -> tuple[str, bytes]:
    """Subscription name and body of a `Ready` line."""
    subscription, _, body = line.partition(b"\t")
    return subscription.decode(), body


def event_time(body: bytes) -> int:
    """The event_time of an encoded event, which it starts with so that nobody has to decode it for that."""
    return int(body[TIME_AT])


_STARTS_WITH: Final = b'{"event_time":'
TIME_AT: Final = slice(len(_STARTS_WITH), len(_STARTS_WITH) + 10)  # a valid one has ten digits, until the year 2286


def action_source(body: bytes) -> str | None:
    """``physical_store`` where an encoded event is a store's, which may be older than others, else None.

    All events of the older wire are. Only what stands at the event's root counts, and is read off its beginning.
    """
    root = _BEGINNING.match(body)
    if root is None:
        event = orjson.loads(body)
        return "physical_store" if "match_keys" in event or event.get("action_source") == "physical_store" else None
    return "physical_store" if root["source"] in (None, b"physical_store") else None


_TEXT: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_BEGINNING: Final = re.compile(
    rb'\{"event_time":\d+,"event_name":%b(?:,"event_id":%b)?,(?:"match_keys":|"action_source":"(?P<source>\w+)")'
    % (_TEXT, _TEXT)
)
