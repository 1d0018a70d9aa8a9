"""Lines of bytes → Segment events.

An event is the JSON object of Segment's spec as it was sent: ``type``, ``event``, ``timestamp``, ``messageId``,
``userId``, ``anonymousId``, ``properties``, ``traits``, ``context``. Nothing is added and nothing renamed, so that
triggers and mappings written for Segment hold.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from transforms.rejections import Rejected

Event = dict[str, Any]

MAX_DEPTH: Final = 250  # orjson reads 1024 levels but writes only 254
_BOM: Final = b"\xef\xbb\xbf"
_TRANSPORT_KEYS: Final = ("receivedAt", "sentAt")


def is_blank(line: bytes) -> bool:
    """Whether a line holds nothing but white space or a byte order mark, and so no event at all."""
    return not line or line.isspace() or not line.removeprefix(_BOM).strip()


def parse_event(line: bytes) -> Event:
    """One line of JSON as an event. A byte order mark, CRLF and surrounding white space are accepted.

    Raises:
        Rejected: invalid_json, invalid_utf8, not_an_object, too_deeply_nested.
    """
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if line.startswith(_BOM):
            return parse_event(line[len(_BOM) :])
        raise _unreadable(line, error) from None
    if type(event) is not dict:
        raise Rejected("not_an_object")
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _deeper_than(event, MAX_DEPTH):
        raise Rejected("too_deeply_nested", f"The event is nested more than {MAX_DEPTH} levels deep.")
    return event


def event_id(event: Event) -> str:
    """The event's messageId, else an ID made from its content: the same at every retry and every run.

    When it was received and sent is left out, as a copy that came twice is the same event.
    """
    message_id = event.get("messageId")
    if message_id is not None and message_id != "" and not isinstance(message_id, (dict, list)):
        return str(message_id)
    content = {key: value for key, value in event.items() if key not in _TRANSPORT_KEYS}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _unreadable(line: bytes, error: orjson.JSONDecodeError) -> Rejected:
    reason = str(error).split(": line 1 column ")[0]
    try:
        line.decode()
    except UnicodeDecodeError as bad:
        return Rejected("invalid_utf8", f"The line is not valid UTF-8 (byte {bad.start + 1}).")
    if "depth limit" in reason:
        return Rejected("too_deeply_nested")
    return Rejected("invalid_json", f"The line is not valid JSON: {reason} (column {error.pos + 1}).")


def _deeper_than(value: Any, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
