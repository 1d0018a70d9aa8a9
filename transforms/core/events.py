"""Lines of bytes, and rows of tables → Segment events.

An event is the JSON object of Segment's spec as it was sent: ``type``, ``event``, ``timestamp``, ``messageId``,
``userId``, ``anonymousId``, ``properties``, ``traits``, ``context``. Nothing is added and nothing renamed, so that
triggers and mappings written for Segment hold.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any, ClassVar, Final

import orjson

from capybeam.transforms.core.placeholders import SPELLINGS
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.standards.javascript import number_text
from capybeam.transforms.standards.json_text import load_json

Event = dict[str, Any]

CALLS: Final = ("track", "page", "identify", "screen", "group", "alias")  # the most frequent ones first
MAX_LINE: Final = 64 * 1024 * 1024  # bytes of an event that is read
SHOWN: Final = 1000  # bytes of a longer one that its dead letter holds
_BOM: Final = b"\xef\xbb\xbf"
_TRANSPORT_KEYS: Final = ("receivedAt", "sentAt")
NO_ID: Final = SPELLINGS | {""}  # as a messageId
CLOCK_KEYS: Final = (*_TRANSPORT_KEYS, "originalTimestamp")  # what Segment makes an event's timestamp of


@dataclasses.dataclass(frozen=True)
class UnreadableRow:
    """A row that a source could not make an event of, for `event_of_row` to reject.

    Attributes:
        row: what there is of it; may hold personal data.
        message: why, without values of the row; the code's own sentence by default.
    """

    row: Any = dataclasses.field(repr=False)
    message: str | None = None
    code: ClassVar[str] = "unreadable_row"

    def rejected(self) -> Rejected:
        return Rejected(self.code, self.message, self.row)


class UnreadableRest(UnreadableRow):
    """All that would come after the place at which a file breaks off; `row` is the part of a row right before it."""

    code: ClassVar[str] = "unreadable_rest"


def without_mark(line: bytes) -> bytes:
    """A line without a byte order mark."""
    return line.removeprefix(_BOM)


class LongLine(UnreadableRow):
    """A line that is too long to be read; `row` is its start."""

    code: ClassVar[str] = "line_too_long"


def long_line(start: bytes, size: int, place: str = "The line") -> LongLine:
    """What stands for a line of more than `MAX_LINE` bytes.

    Args:
        size: the line's, in bytes.
        place: where it is, for the message.
    """
    message = f"{place} has {size:,} bytes, and one of more than {MAX_LINE >> 20} MB is not read."
    return LongLine(start[:SHOWN].decode(errors="ignore"), message)


def is_blank(line: bytes) -> bool:
    """Whether a line holds nothing but white space or a byte order mark, and so no event at all."""
    return not without_mark(line).strip()


def parse_json(line: bytes, count: Callable[[str], None] | None = None) -> Any:
    """What a line of JSON says. A byte order mark, CRLF and surrounding white space are accepted.

    Args:
        count: as of `load_json`.

    Raises:
        Rejected: line_too_long, invalid_json, invalid_utf8, too_deeply_nested.
    """
    if len(line) > MAX_LINE:
        raise long_line(line, len(line)).rejected()
    try:
        return load_json(line.removeprefix(_BOM), count)
    except orjson.JSONDecodeError as error:
        raise _unreadable(line, error) from None


def parse_event(line: bytes) -> Event:
    """One line of JSON as an event. Raises Rejected, as `parse_json` and with not_an_object."""
    event = parse_json(line)
    if type(event) is not dict:
        raise Rejected("not_an_object")
    return event


def event_of_row(row: Event | UnreadableRow) -> Event:
    """What a source has made of a row: an event. Raises Rejected: unreadable_row, unreadable_rest."""
    if isinstance(row, UnreadableRow):
        raise row.rejected()
    return row


def event_id(event: Event) -> str:
    """The event's messageId, else an ID made from its content: the same at every retry and every run.

    A messageId such as "undefined" does not count, as Meta would count one of all the events that share it. When an
    event was received and sent is left out of its content, as a copy that came twice is the same event.
    """
    message_id = event.get("messageId")
    if message_id is not None and not isinstance(message_id, (bool, dict, list)) and message_id not in NO_ID:
        return message_id if isinstance(message_id, str) else number_text(message_id)
    content = {key: value for key, value in event.items() if key not in _TRANSPORT_KEYS}
    try:
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
    except TypeError:
        raise Rejected("too_deeply_nested") from None


def _unreadable(line: bytes, error: orjson.JSONDecodeError) -> Rejected:
    if is_blank(line):
        return Rejected("invalid_json", "The line is not valid JSON: it is empty.")
    reason = str(error).split(": line 1 column ")[0]
    try:
        line.decode()
    except UnicodeDecodeError as bad:
        return Rejected("invalid_utf8", f"The line is not valid UTF-8 (byte {bad.start + 1}).")
    if "depth limit" in reason:
        return Rejected("too_deeply_nested")
    return Rejected("invalid_json", f"The line is not valid JSON: {reason} (column {error.pos + 1}).")
