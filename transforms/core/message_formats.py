"""Lines, messages and rows → events, taken out of the envelopes that transports put around them.

An object of Segment's spec is an event as it is. Other objects are recognised as:

- a push body of Pub/Sub, ``{"message": {"data": BASE64}, "subscription": …}``;
- an entry of Cloud Logging, by its ``jsonPayload`` or ``textPayload``;
- a batch of Segment's HTTP API, ``{"batch": […], "context": {…}, "sentAt": …}``;
- a CloudEvent, ``{"specversion": "1.0", "data": …}``, unless a trigger takes it as it is;
- a row of the table that Pub/Sub's BigQuery subscriptions write, ``{"data": …, "message_id": …, "publish_time": …}``;
- a row of Segment's warehouse, by its columns: see `capybeam.transforms.core.warehouse_rows`.

gzip and several lines of JSON in a message are opened as well, and whatever a job file's ``unwrap`` leads to. What
remains is an event if it has a type or a trigger takes it; otherwise it is rejected as not_an_event, as it could have
been filtered by mistake only.

Nothing of an envelope gets into an event but what Segment's batch shares: the ID and the time of a message are those
of the transport. A key that is spelt like one of Segment's (``user_id``) is counted, ``misspelt_userId``.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from capybeam.transforms.core.conversions import Count
from capybeam.transforms.core.events import CALLS, MAX_LINE, Event, UnreadableRow, is_blank, parse_json
from capybeam.transforms.core.misspelled_keys import MEANT, did_you_mean, misspelt
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.core.rejections import Rejected, json_bytes
from capybeam.transforms.core.warehouse_rows import MESSAGE, SHOWN_BY, Certainty, event_of, of_events, row_of_segments
from capybeam.transforms.standards.json_text import load_json

Row = bytes | Event | UnreadableRow
Found = Event | Rejected

MOST_UNPACKED: Final = MAX_LINE  # bytes of one line or message, out of all that it is packed in
_DEEPEST: Final = 8  # envelopes in envelopes


def compile_parsing(
    takes: Callable[[Event], Any], unwrap: str | None = None
) -> Callable[[Row, Count], tuple[Event] | Iterator[Found]]:
    """The function from what a source yields to its events.

    It gives a tuple with the event where there is nothing to open, and otherwise an iterator over events and, for each
    that is not one, a Rejected: invalid_json, invalid_utf8, not_an_object, too_deeply_nested, unreadable_row,
    unreadable_rest, unreadable_envelope, not_an_event. The payload of one is a part of the row, to be parsed by
    itself; None where it is the whole row.

    Args:
        takes: whether any trigger takes an event.
        unwrap: a path into each object, to the event, several of them, or JSON text of either, in base64 perhaps.
    """
    path, loads, is_plain = parse_path(unwrap) if unwrap else (), orjson.loads, UNUSUAL_KEYS.isdisjoint

    def parsed(row: Row, count: Count) -> tuple[Event] | Iterator[Found]:
        if type(row) is not bytes:
            return of_table(row, count)
        try:
            event = loads(row)
        except orjson.JSONDecodeError:
            try:
                event = parse_json(row, count)
            except Rejected as cause:
                if row[:2] == _GZIP or b"\n" in row:
                    return _Opening(takes, count).data(row, path, 0, alone=True)
                return iter((cause,))
        if type(event) is not dict:
            return iter((Rejected("not_an_object"),))
        if not path and is_plain(event):
            if event.get("type") in CALLS:
                return (event,)
            if _SIGNS.isdisjoint(event) and _type(event).lower() not in CALLS and (_type(event) or takes(event)):
                return (event,)
        return _Opening(takes, count).object(event, path, 0, alone=True)

    def of_table(row: Any, count: Count) -> tuple[Event] | Iterator[Found]:
        """What a source has made of a row, whose columns say what it is."""
        if isinstance(row, UnreadableRow):
            return iter((row.rejected(),))
        if _type(row) or takes(row):
            _count_misspelt(row, count)
            return (row,)
        return iter((_not_an_event(row, "", json_bytes(row)),))

    return parsed


# What a row of Segment's warehouse has, and what is spelt like a key of Segment's. Most events have none of them.
UNUSUAL_KEYS: Final = SHOWN_BY | MEANT.keys()


def _count_misspelt(event: Event, count: Count) -> None:
    if not UNUSUAL_KEYS.isdisjoint(event):
        for meant in misspelt(of_events(event)).values():
            count(f"misspelt_{meant}")
    kind = _type(event)
    if kind not in CALLS and kind.lower() in CALLS:
        count("misspelt_type")


def _type(event: Event) -> str:
    kind = event.get("type")
    return kind if type(kind) is str else ""


class _Opening:
    """Of one line or message, with what it may still unpack to.

    In its methods `path` is that of ``unwrap`` as long as it has led nowhere, and `alone` is true while all that has
    been opened held one thing: what is rejected then is the whole.
    """

    def __init__(self, takes: Callable[[Event], Any], count: Count) -> None:
        self._takes, self._count, self._left = takes, count, MOST_UNPACKED

    def data(self, data: bytes, path: tuple[str, ...], depth: int, alone: bool) -> Iterator[Found]:
        """What bytes hold: JSON, several lines of it, or either in gzip."""
        if data[:2] == _GZIP:
            try:
                unpacked = self._unpacked(data)
            except Rejected as cause:
                yield _refused(cause, data, alone)
            else:
                yield from self._inner(unpacked, path, depth, alone)
            return
        try:
            value = parse_json(data, self._count)
        except Rejected as cause:
            lines = _lines(data)
            for line in lines:
                yield from self.data(line, path, depth, alone=False)
            if not lines:
                yield _refused(cause, data, alone)
            return
        if type(value) is dict or (type(value) is list and depth):
            yield from self._inner(value, path, depth, alone)
        else:
            yield _refused(Rejected("not_an_object"), data, alone)

    def object(self, event: Event, path: tuple[str, ...], depth: int, alone: bool) -> Iterator[Found]:
        """The event that an object is, or what is in it."""
        if path:
            inside = _at(event, path)
            if inside:
                yield from self._inner(inside, (), depth, alone)
                return
        certainty = row_certainty(event)
        if certainty == "certain" or (certainty and not self._takes(event)):
            yield event_of(event) or _not_an_event(event, "", None if alone else json_bytes(event))
            return
        if _type(event) in CALLS:
            yield self._whole(event)
            return
        content = _push_body(event) or _log_entry(event) or _pubsub_row(event)
        if content is None and _is_batch(event):
            yield from self._batch(event, path, depth, alone)
            return
        if content is None:
            if self._takes(event):
                yield self._whole(event)
                return
            content = _cloud_event(event)
        if content is not None:
            yield from self._inner(content, path, depth, alone)
        elif _type(event):
            yield self._whole(event)
        else:
            yield _not_an_event(event, _dotted(path), None if alone else json_bytes(event))

    def _whole(self, event: Event) -> Event:
        _count_misspelt(event, self._count)
        return event

    def _inner(self, value: Any, path: tuple[str, ...], depth: int, alone: bool) -> Iterator[Found]:
        """What is in what has been opened."""
        depth += 1
        if depth > _DEEPEST:
            detail = f"Envelopes are nested more than {_DEEPEST} deep."
            yield _refused(Rejected("unreadable_envelope", detail), value, alone)
        elif type(value) is dict:
            yield from self.object(value, path, depth, alone)
        elif type(value) is bytes:
            yield from self.data(value, path, depth, alone)
        elif type(value) is str:
            data = _data_of(value)
            if data is None:
                detail = "The envelope holds text that is neither an event's JSON nor base64 of that."
                yield _refused(Rejected("not_an_event", detail), value, alone)
            else:
                yield from self.data(data, path, depth, alone)
        elif type(value) is list and value:
            for item in value:
                yield from self._inner(item, path, depth, alone and len(value) == 1)
        else:
            yield _refused(Rejected("not_an_object"), value, alone)

    def _batch(self, event: Event, path: tuple[str, ...], depth: int, alone: bool) -> Iterator[Found]:
        """The events of a batch of Segment's, each with what the batch has for all of them.

        Source: Segment, "HTTP Tracking API", Batch: `context` and `integrations` are merged into those of each event.
        """
        items = event["batch"]
        shared = {key: event[key] for key in ("context", "integrations") if type(event.get(key)) is dict}
        if event.get("sentAt") is not None:
            shared["sentAt"] = event["sentAt"]
        try:
            self._take(len(orjson.dumps(shared)) * len(items))
        except TypeError:
            yield _refused(Rejected("too_deeply_nested"), event, alone)
            return
        except Rejected as cause:
            yield _refused(cause, event, alone)
            return
        for item in items:
            whole = _merged(shared, item) if type(item) is dict else item
            yield from self._inner(whole, path, depth, alone and len(items) == 1)

    def _unpacked(self, data: bytes) -> bytes:
        """What gzip holds. Raises Rejected: unreadable_envelope."""
        most = max(0, min(self._left, _MOST_DEFLATED * len(data))) + 1  # memory for it is asked for at once
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                unpacked = file.read(most)
        except (EOFError, OSError, zlib.error):
            raise Rejected("unreadable_envelope", "The gzip data is damaged or incomplete.") from None
        self._take(len(unpacked))
        return unpacked

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Rejected("unreadable_envelope", f"Unpacked, it would be larger than {MOST_UNPACKED // 1024**2} MB.")


_GZIP: Final = b"\x1f\x8b"
_MOST_DEFLATED: Final = 1032  # times as large as what it is packed in, as zlib documents


def _lines(data: bytes) -> list[bytes]:
    """The lines of JSON of which a text consists; none where its first line is not an object."""
    first, _, rest = data.strip().partition(b"\n")
    if not rest:
        return []
    try:
        if type(load_json(first)) is not dict:
            return []
    except orjson.JSONDecodeError:
        return []
    return [first, *(line for line in rest.split(b"\n") if not is_blank(line))]


# --- envelopes ------------------------------------------------------------------------------------------------------

# One of them each has.
_SIGNS: Final = frozenset({"message", "jsonPayload", "textPayload", "batch", "specversion", "publish_time"})


def _push_body(event: Event) -> Any:
    """Source: Google, "Push subscriptions"; with an ackId, as a pull by REST answers it."""
    message = event.get("message")
    if type(message) is dict and event.keys() <= _AROUND_MESSAGES:
        return message.get("data")
    return None


_AROUND_MESSAGES: Final = frozenset({"message", "subscription", "deliveryAttempt", "ackId"})


def _log_entry(event: Event) -> Any:
    """Source: Google, "LogEntry"."""
    if "logName" not in event and "insertId" not in event:
        return None
    content = event.get("jsonPayload") or event.get("textPayload")
    return content if type(content) in (dict, str) else None


def _pubsub_row(event: Event) -> Any:
    """Source: Google, "BigQuery subscriptions": the columns of a table with metadata."""
    return event.get("data") if event.keys() >= MESSAGE else None


def row_certainty(event: Event) -> Certainty | None:
    """Whether an object is a row of Segment's warehouse. One that holds an event's objects is not."""
    if _type(event) in CALLS and UNUSUAL_KEYS.isdisjoint(event):
        return None
    return None if any(type(event.get(key)) is dict for key in _OBJECTS) else row_of_segments(event)


_OBJECTS: Final = ("properties", "traits", "context")


def _is_batch(event: Event) -> bool:
    items = event.get("batch")
    return type(items) is list and any(type(item) is dict for item in items)


def _cloud_event(event: Event) -> Any:
    """Source: CloudEvents, "JSON Event Format"."""
    if type(event.get("specversion")) is not str:
        return None
    content = event.get("data") or event.get("data_base64")
    return content if type(content) in (dict, list, str) else None


def _merged(shared: Mapping[str, Any], own: Event) -> Event:
    """Two objects as one: the own value wins, but for objects on both sides, which are merged in turn."""
    both = {
        key: _merged(value, own[key])
        for key, value in shared.items()
        if key in own and type(value) is dict and type(own[key]) is dict
    }
    return {**shared, **own, **both}


def _at(event: Event, path: tuple[str, ...]) -> Any:
    """What a path leads to, through JSON text too; None where that is nothing."""
    value: Any = event
    for key in path:
        if type(value) is str:
            try:
                value = load_json(value)
            except orjson.JSONDecodeError:
                return None
        if type(value) is dict:
            value = value.get(key)
        elif type(value) is list and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _data_of(text: str) -> bytes | None:
    """JSON of a text that is it, or holds it or gzip as base64, of either alphabet; None for any other text."""
    if text.lstrip()[:1] in _OPENING:
        return text.encode("utf-8", "surrogatepass")
    digits = text.strip().rstrip("=").translate(_STANDARD)
    try:
        data = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data[:2] == _GZIP or data.lstrip()[:1] in (b"{", b"[") else None


_OPENING: Final = ("{", "[")
_STANDARD: Final = str.maketrans("-_", "+/")


# --- what is not an event -------------------------------------------------------------------------------------------


def _refused(cause: Rejected, value: Any, alone: bool) -> Rejected:
    if not alone:
        cause.payload = value if isinstance(value, bytes) else json_bytes(value)
    return cause


def _not_an_event(event: Event, missed: str, payload: bytes | None) -> Rejected:
    """The rejection of an object, with what it looks like: its keys, and no values.

    Args:
        missed: the path of ``unwrap``, if there is nothing in the object.
    """
    names = [key for key in itertools.islice(event, _LOOKED_AT) if _is_name(key)][:_SHOWN]
    others = len(event) - len(names)
    listed = ", ".join(names) + (f" and {others:,} more" if names and others else "")
    parts = ["The object is not an event: it has no type, and no trigger takes it."]
    inside = next((name for name in names if _may_hold_an_event(event[name])), None)
    meant = misspelt(of_events(event))
    if row_certainty(event):
        parts.append(_WITHOUT_KIND)
    elif meant and not inside:
        parts.append(did_you_mean(meant))
    parts.append(f"Its keys: {listed}." if names else "Its keys are not names." if event else "It is empty.")
    if missed:
        parts.append(f"unwrap finds nothing at {missed}.")
    elif inside:
        parts.append(f"If {inside} holds the event, add unwrap: $.{inside} to the job file.")
    return Rejected("not_an_event", " ".join(parts), payload)


_WITHOUT_KIND: Final = (
    "It looks like a row of Segment's warehouse, which needs an event's name in event_text or event, or a column type,"
    " such as page."
)
_LOOKED_AT: Final = 50  # keys
_SHOWN: Final = 10
_NAME: Final = re.compile(r"[A-Za-z_@$][A-Za-z_-]*(?:[0-9]{1,3}[A-Za-z_-]*)?")
_LONGEST_NAME: Final = 30


def _is_name(key: str) -> bool:
    """Whether a key looks like one that a programmer gave; a value that became a key may be personal data."""
    return len(key) <= _LONGEST_NAME and _NAME.fullmatch(key) is not None


def _may_hold_an_event(value: Any) -> bool:
    if type(value) is dict:
        return _type(value) in CALLS
    return type(value) is str and _data_of(value[:40_000]) is not None


def _dotted(path: tuple[str, ...]) -> str:
    return "$." + ".".join(path) if path else ""
