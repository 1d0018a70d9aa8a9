"""Meta's Graph API as a sender sees it: one request a batch, and what the answer means.

`classify` is the one table of what an answer means (Meta's codes and subcodes; texts are localised and decide nothing).
`couriers` acts on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import orjson

from transforms.tokens import TokenReference

Kind = Literal["delivered", "short", "throttled", "transient", "destination", "event", "request"]


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where conversions are sent."""

    name: str
    token: TokenReference
    api_version: str = "v25.0"
    endpoint: str = "https://graph.facebook.com"


@dataclasses.dataclass(frozen=True)
class Delivery:
    """How conversions are sent. Durations in seconds, sizes in bytes.

    Attributes:
        concurrency: requests in flight per worker.
        requests_per_second: at most, or None.
        timeout: of one request.
        retry_for: how long a throttled or failing destination is tried before its events become dead letters.
    """

    max_batch_events: int = 1000
    max_batch_bytes: int = 4 * 1024 * 1024
    max_batch_delay: float = 10.0
    concurrency: int = 8
    requests_per_second: float | None = None
    timeout: float = 10.0
    retry_for: float = 900.0


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an answer means. `message` is for people; `wait` are seconds the server asked for, if it did."""

    kind: Kind
    message: str = ""
    code: int | None = None
    subcode: int | None = None
    fbtrace_id: str | None = None
    messages: tuple[str, ...] = ()
    wait: float | None = None


# --- what an answer means ---------------------------------------------------------------------------------------

THROTTLED: Final = frozenset({4, 17, 32, 613, *range(80000, 80015)})
TRANSIENT: Final = frozenset({1, 2, 341, 5000})
DESTINATION: Final = frozenset({190, 102, 10, *range(200, 300), 2635, 368})
REQUEST: Final = frozenset({105})
_NO_SUCH_OBJECT: Final = (100, 33)

WHAT_TO_DO: Final[Mapping[int, str]] = {
    190: "The access token is not valid (any more). Put a new one where the job file points to and run again.",
    102: "The access token's session has ended. Put a new one where the job file points to and run again.",
    100: "There is no such dataset, or the token may not use it. Check dataset_id; assign the dataset to the token.",
    2635: "This API version is dead. Set api_version to a newer one in the job file.",
    368: "Meta has blocked the account for policy reasons. See the Account Quality page in Meta Business Suite.",
}
_PERMISSION: Final = (
    "The token lacks a permission. It needs ads_management or a system user with access to the dataset."
)


def classify(status: int, headers: Mapping[str, str], body: bytes, sent: int) -> Answer:
    """What an HTTP answer means for the `sent` events of its request."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    if 200 <= status < 300:
        return _acknowledged(answer, sent)
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    code, subcode = _integer(error.get("code")), _integer(error.get("error_subcode"))
    described = _described(status, code, subcode, error)
    kind = _kind(status, code, subcode, error.get("is_transient") is True)
    trace = error.get("fbtrace_id")
    wait = _wait(headers) if kind in ("throttled", "transient") else None
    return Answer(kind, described, code, subcode, trace if isinstance(trace, str) else None, (), wait)


def _acknowledged(answer: Mapping[str, Any], sent: int) -> Answer:
    received = answer.get("events_received")
    trace = answer.get("fbtrace_id")
    trace = trace if isinstance(trace, str) else None
    if isinstance(received, bool) or not isinstance(received, int):
        return Answer("transient", "The server answered 200 without saying how many events it received.")
    if received < sent:
        return Answer("short", f"Meta acknowledged {received} of {sent} events.", fbtrace_id=trace)
    messages = answer.get("messages")
    messages = tuple(str(message) for message in messages) if isinstance(messages, list) else ()
    return Answer("delivered", fbtrace_id=trace, messages=messages)


def _kind(status: int, code: int | None, subcode: int | None, transient: bool) -> Kind:
    if code in THROTTLED or status == 429:
        return "throttled"
    if (code, subcode) == _NO_SUCH_OBJECT or code in DESTINATION:
        return "destination"
    if transient or code in TRANSIENT or status >= 500 or status < 400:
        return "transient"
    if code in REQUEST or status == 413:
        return "request"
    if code is None:  # an error page of something in between: no word of Meta's on any event
        return "destination" if status in (401, 403) else "transient"
    return "event"


def _described(status: int, code: int | None, subcode: int | None, error: Mapping[str, Any]) -> str:
    if code is None:
        return f"HTTP {status} without one of Meta's error bodies."
    text = error.get("error_user_msg") or error.get("message")
    numbers = f"code {code}" + (f", subcode {subcode}" if subcode else "")
    return f"Meta, {numbers}: {text}" if isinstance(text, str) else f"Meta, {numbers}."


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers ask for: Retry-After, or Meta's estimated_time_to_regain_access (minutes)."""
    waits = []
    after = headers.get("Retry-After", "")
    if after.isdecimal():
        waits.append(float(after))
    try:
        usage = orjson.loads(headers.get("X-Business-Use-Case-Usage", "{}"))
    except orjson.JSONDecodeError:
        usage = {}
    for rows in usage.values() if isinstance(usage, dict) else ():
        for row in rows if isinstance(rows, list) else ():
            minutes = row.get("estimated_time_to_regain_access") if isinstance(row, dict) else None
            if isinstance(minutes, (int, float)) and minutes > 0:
                waits.append(minutes * 60.0)
    return max(waits, default=None)


def request_body(bodies: Sequence[bytes], test_event_code: str = "") -> bytes:
    """The body of a request: the events joined as they are, never encoded again."""
    code = b',"test_event_code":' + orjson.dumps(test_event_code) if test_event_code else b""
    return b'{"data":[' + b",".join(bodies) + b"]" + code + b"}"


def what_to_do(answer: Answer) -> str:
    """What an operator does about an answer of the destination class."""
    if answer.code is not None and answer.code in WHAT_TO_DO:
        return WHAT_TO_DO[answer.code]
    return _PERMISSION
