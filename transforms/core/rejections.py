"""The rejection of an event that cannot go on: its stage, code and a message for people.

Every code is listed once, in `CODES`. Messages say what was looked for and never quote a value of the event: they are
shown on terminals and in logs, where no personal data may appear. The payload, which goes only to the dead letters,
is the original event up to hashing (it can be mapped again after a fix) and the ready body after it (it can be sent
again as it is).
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import orjson

Stage = Literal["parse", "filter", "name", "map", "hash", "validate", "send"]

CODES: Final[Mapping[str, str]] = {
    # parse
    "invalid_json": "The line is not valid JSON.",
    "invalid_utf8": "The line is not valid UTF-8.",
    "not_an_object": "The line is valid JSON, but an event is a JSON object.",
    "too_deeply_nested": "The event is nested more deeply than JSON readers accept.",
    "not_an_event": "The object has no type, no trigger takes it, and it is not a known envelope around an event.",
    "unreadable_envelope": "The envelope around the event is damaged, or would unpack to more than 64 MB.",
    "line_too_long": "The line is longer than 64 MB and has not been read.",
    "unreadable_row": "The row holds no event, or does not fit its table's schema.",
    "unreadable_rest": "The file is cut off or damaged, and the rest of it has not been read.",
    # replay
    "not_a_dead_letter": "Not a dead letter written by capybeam.",
    "not_in_job": "The job file has no such destination, subscription or dataset (any more).",
    # name
    "unlisted_dataset": "The event's dataset_id is not among the destination's dataset_ids, so it goes to no dataset.",
    # map
    "missing_required_field": "A field that the action requires has no value.",
    "invalid_field": "A field has a value of the wrong type, or one that is not among its choices.",
    "mapping_failed": "The mapping could not be applied to this event.",
    "template_failed": "A Liquid template could not be rendered for this event.",
    "invalid_event_time": "event_time is neither ISO 8601 nor Unix seconds or milliseconds.",
    "invalid_currency": "currency is not an ISO 4217 code such as USD.",
    "invalid_delivery_category": "delivery_category must be in_store, curbside or home_delivery.",
    # validate
    "event_too_old": "The event is older than Meta accepts.",
    "event_in_future": "The event's time is in the future.",
    "no_match_keys": "user_data has no usable match key, so Meta could not attribute the event to anybody.",
    "unhashed_user_data": "user_data holds a value that is not hashed, and Meta accepts it only hashed.",
    "match_keys_too_broad": "The match keys are too broad to tell one person from another (Meta, subcode 2804050).",
    "missing_client_user_agent": "A website event needs client_user_agent.",
    "missing_app_data": "An app event needs app_data with its tracking flags and extinfo.",
    "invalid_extinfo": "extinfo needs a2 or i2 at position 0 and the OS version at position 4.",
    "missing_messaging_channel": "A business_messaging event needs messaging_channel.",
    "missing_messaging_ids": "A business_messaging event needs the pair of IDs of its channel.",
    "missing_currency": "A Purchase needs a currency.",
    "missing_value": "A Purchase needs a value.",
    "invalid_content_type": "content_type must be product or product_group.",
    "invalid_data_processing_options": "data_processing_options_country must be 0 or 1, _state 0 or 1000 to 1013.",
    "unencodable": "The event holds something that JSON cannot represent, or more than 254 levels of nesting.",
    "event_too_large": "The event alone is larger than max_batch_bytes.",
    # send
    "meta_refused_event": "Meta refused the event.",
    "destination_refused": "Meta refuses everything for this destination (token, permission or version).",
    "gave_up_retrying": "Meta could not be reached, or kept failing, for as long as the run could wait.",
    "interrupted": "The run was stopped before the event could be delivered.",
    # any stage
    "internal_error": "capybeam failed on this event; this is a bug in capybeam.",
}

RETRYABLE: Final = frozenset({"destination_refused", "gave_up_retrying", "interrupted"})
"""Codes of events that are fine, where the destination was not: a replay delivers them."""

ANSWERED: Final = RETRYABLE | {"meta_refused_event"}
"""Codes that a destination's answer, or its lack, decides: with a reason in its words rather than a field."""

FIELDS: Final[Mapping[str, str]] = {
    "unlisted_dataset": "dataset_id",
    "invalid_event_time": "event_time",
    "invalid_currency": "currency",
    "invalid_delivery_category": "delivery_category",
    "event_too_old": "event_time",
    "event_in_future": "event_time",
    "no_match_keys": "user_data",
    "unhashed_user_data": "user_data",
    "match_keys_too_broad": "user_data",
    "missing_client_user_agent": "client_user_agent",
    "missing_app_data": "app_data",
    "invalid_extinfo": "extinfo",
    "missing_messaging_channel": "messaging_channel",
    "missing_messaging_ids": "messaging_ids",
    "missing_currency": "currency",
    "missing_value": "value",
    "invalid_content_type": "content_type",
    "invalid_data_processing_options": "data_processing_options",
}
"""Of a code that is about one field: its name."""


class Rejected(Exception):
    """An event cannot go on. Raised by pure functions; the step around them makes it a `Rejection`.

    Args:
        code: a key of `CODES`.
        detail: a sentence with what was looked for, without values of the event; the code's own by default.
        payload: what the dead letter is to hold, where that is not what the step was given.
        field: that is at fault, by a name of the action's or of Meta's, never one that an event brings; by default
            that of `FIELDS`.
    """

    def __init__(self, code: str, detail: str | None = None, payload: Any = None, field: str | None = None) -> None:
        self.code, self.payload = code, payload
        self.field = FIELDS.get(code, "") if field is None else field
        self.message = detail or CODES[code]
        super().__init__(f"{code}: {self.message}")


NO_COLUMN: Final[Mapping[str, bool]] = MappingProxyType({"column": False})
"""The metadata of a dataclass's field that is no column of the table of its rows."""

_LONGEST_ID: Final = 10_000  # characters of an event_id that has room anywhere


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A row of the dead letters. `payload` may hold personal data; nothing else here may.

    Attributes:
        about: for the report, and no part of the row: the field that is at fault, or for a code of `ANSWERED` the
            reason in the destination's words, with what those may quote cut out.
        window: for the books, and no part of the row: in which the event arrived, of what was ready to be sent.
    """

    stage: Stage
    code: str
    message: str
    destination: str | None = None
    subscription: str | None = None
    dataset_id: str | None = None
    event_id: str | None = None
    payload: Any = dataclasses.field(default=None, repr=False)
    retryable: bool = False
    meta_code: str | None = None  # Meta's own, as code or code/subcode, where Meta refused
    first_dead_lettered_at: int | None = None  # Unix seconds; of what a replay has rejected again
    replays: int = 0  # how many it has been through
    about: str = dataclasses.field(default="", compare=False, metadata=NO_COLUMN)
    window: int = dataclasses.field(default=0, compare=False, metadata=NO_COLUMN)

    def encode(self, now: float | None = None) -> bytes:
        """The rejection as one line of JSON, without a newline.

        A payload of bytes that is not UTF-8 travels as base64, marked by `payload_encoding`.
        """
        return json_bytes(self._fields(now))

    def row(self, now: float | None = None) -> dict[str, Any]:
        """The same as a row of a table, where the payload is JSON text."""
        row = self._fields(now)
        return {**row, "payload": None if row["payload"] is None else json_bytes(row["payload"]).decode()}

    def without_payload(self, size: int, limit: str) -> Rejection:
        """The same, for a sink with a `limit`, where the whole has `size` bytes; the message says so.

        An event_id as long as a payload is left out as well.
        """
        message = f"{self.message} The payload is left out: {size:,} bytes are more than {limit}."
        event_id = self.event_id if len(self.event_id or "") <= _LONGEST_ID else None
        return dataclasses.replace(self, message=message, payload=None, event_id=event_id)

    def _fields(self, now: float | None) -> dict[str, Any]:
        row: dict[str, Any] = {"dead_lettered_at": int(time.time() if now is None else now)}
        row.update((f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.metadata.get("column", True))
        if not self.replays:
            del row["first_dead_lettered_at"], row["replays"]
        if isinstance(self.payload, bytes):
            try:
                row["payload"] = self.payload.decode()
            except UnicodeDecodeError:
                row["payload"] = base64.b64encode(self.payload).decode()
                row["payload_encoding"] = "base64"
        return row


UNFORESEEN: Final = ("internal_error", "too_deeply_nested")  # codes that `as_rejected` makes of other errors


def as_rejected(error: Exception) -> Rejected:
    """What an unforeseen error means for the event that caused it. Its text stays out: it may quote the event."""
    if isinstance(error, Rejected):
        return error.with_traceback(None)  # or it would keep the event, in the frame that keeps it, until the next gc
    if isinstance(error, RecursionError):
        return Rejected("too_deeply_nested")
    return Rejected("internal_error", f"{CODES['internal_error']} ({type(error).__name__})")


def json_bytes(value: Any) -> bytes:
    """JSON of a value of any depth, where numbers that JSON does not know are null."""
    try:
        return orjson.dumps(value)
    except TypeError:  # orjson reads 1024 levels of nesting and writes 254
        return _deep_json(value)


def _deep_json(value: Any) -> bytes:
    """JSON of what orjson does not write: many levels, large numbers, half a surrogate pair.

    By a list of what is still to be written rather than by recursion, for which Python's limit would have to be lifted
    for all threads.
    """
    written: list[bytes] = []
    left: list[tuple[bytes, Any]] = [(b"", value)]  # what precedes it, and the value
    while left:
        before, value = left.pop()
        written.append(before)
        if isinstance(value, dict) and value and not _is_plain(value.values()):
            (key, first), *others = value.items()
            left.append((b"}", _NOTHING))
            left += [(b"," + _plain_json(str(key)) + b":", item) for key, item in reversed(others)]
            left.append((b"{" + _plain_json(str(key)) + b":", first))
        elif isinstance(value, (list, tuple)) and value and not _is_plain(value):
            first, *others = value
            left.append((b"]", _NOTHING))
            left += [(b",", item) for item in reversed(others)]
            left.append((b"[", first))
        elif value is not _NOTHING:
            written.append(_plain_json(value))
    return b"".join(written)


_NOTHING: Final = object()


def _is_plain(values: Iterable[Any]) -> bool:
    """Whether no value is an object or a list."""
    return not any(isinstance(value, (dict, list, tuple)) for value in values)


def _plain_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(_finite(value), default=str).encode()


def _finite(value: Any) -> Any:
    """Without NaN and infinity, which JSON does not know; orjson writes null, too."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def reject(stage: Stage, cause: Rejected, **where: Any) -> Rejection:
    """The rejection that `cause` makes at `stage`; `where` are further fields of `Rejection`."""
    return Rejection(stage, cause.code, cause.message, **{"about": cause.field, **where})
