"""Meta's Graph API as a sender sees it: one request a batch, and what the answer means.

`TABLE` is all there is to know about what an answer means: codes, subcodes and statuses decide, texts are localised and
decide nothing. `classify` and `failed` read it, `couriers` acts on it, and docs/operations.md shows it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson

from transforms.tokens import TokenReference

Kind = Literal["delivered", "short", "throttled", "transient", "destination", "event", "request"]


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where conversions are sent.

    Attributes:
        parameters: what each request says of itself beside its events, such as partner_agent.
    """

    name: str
    token: TokenReference
    api_version: str = "v25.0"
    endpoint: str = "https://graph.facebook.com"
    parameters: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Delivery:
    """How conversions are sent. Durations in seconds, sizes in bytes.

    Attributes:
        concurrency: requests in flight, of each destination and worker.
        requests_per_second: of the whole job at most, or None. A worker has its share.
        rate_limit_service: address (host:port) of an Envoy rate limit service that is asked before each request.
        timeout: of one request, in all.
        retry_for: how long a throttled or failing destination is tried before its events become dead letters.
        receipts: brief, or detailed: with the event_ids.
    """

    max_batch_events: int = 1000
    max_batch_bytes: int = 4 * 1024 * 1024
    max_batch_delay: float = 10.0
    concurrency: int = 8
    requests_per_second: float | None = None
    rate_limit_service: str | None = None
    timeout: float = 10.0
    retry_for: float = 900.0
    receipts: Literal["brief", "detailed"] = "brief"


# --- what an answer means ---------------------------------------------------------------------------------------

Received = Literal["all", "fewer", "unsaid"]
Trouble = Literal["timeout", "unreachable", "broken", "endless", "certificate"]


class _Any(Container[Any]):
    """Whatever there is."""

    def __contains__(self, value: Any) -> bool:
        return value is not None


ANY: Final = _Any()
NONE: Final = frozenset({None})


@dataclasses.dataclass(frozen=True)
class Row:
    """What one sort of answer means. It fits an answer when all that it names is so.

    Attributes:
        means: in words, for people.
        kind: what a sender does about it.
        received: for an acknowledgement, how it compares with what was sent.
        trouble: why there was no answer.
        scope: for the kind destination, what is out of order: all of the destination, or this dataset of it.
        todo: for the kind destination, what an operator does about it.
    """

    means: str
    kind: Kind
    codes: Container[int | None] | None = None
    subcodes: Container[int | None] | None = None
    statuses: Container[int] | None = None
    transient: bool | None = None
    received: Received | None = None
    trouble: Trouble | None = None
    scope: Literal["destination", "dataset"] = "destination"
    todo: str = ""

    def fits(self, facts: Facts) -> bool:
        return (
            self.trouble == facts.trouble
            and self.received == facts.received
            and (self.codes is None or facts.code in self.codes)
            and (self.subcodes is None or facts.subcode in self.subcodes)
            and (self.statuses is None or facts.status in self.statuses)
            and (self.transient is None or facts.transient is self.transient)
        )


class Facts(NamedTuple):
    """What decides about an answer. Codes are Meta's error.code and error.error_subcode."""

    status: int = 0
    code: int | None = None
    subcode: int | None = None
    transient: bool = False
    received: Received | None = None
    trouble: Trouble | None = None


_PERMISSION: Final = (
    "The token lacks a permission. It needs ads_management or a system user with access to the dataset."
)
_NEW_TOKEN: Final = "Put a new one where the job file points to and run again."

TABLE: Final = (  # the first row that fits counts
    Row("acknowledged: as many events as were sent", "delivered", received="all"),
    Row("acknowledged: fewer events than were sent", "short", received="fewer"),
    Row("200 without a word on how many events were taken", "transient", received="unsaid"),
    Row("no whole answer within the time-out", "transient", trouble="timeout"),
    Row("no connection", "transient", trouble="unreachable"),
    Row("the connection broke off", "transient", trouble="broken"),
    Row("an answer of more than 1 MB", "transient", trouble="endless"),
    Row(
        "the server's certificate is not valid",
        "destination",
        trouble="certificate",
        todo="The token was not sent. Check `endpoint`, and the certificates that this machine trusts.",
    ),
    Row("rate limit", "throttled", codes=frozenset({4, 17, 32, 613, *range(80000, 80015)})),
    Row("rate limit, by status", "throttled", statuses=frozenset({429})),
    Row(
        "no such dataset, or no permission for it",
        "destination",
        codes=frozenset({100}),
        subcodes=frozenset({33}),
        scope="dataset",
        todo="There is no such dataset, or the token may not use it. Check its ID; assign the dataset to the token.",
    ),
    Row(
        "the token is invalid or has expired",
        "destination",
        codes=frozenset({190}),
        todo=f"The access token is not valid (any more). {_NEW_TOKEN}",
    ),
    Row(
        "the token's session has ended",
        "destination",
        codes=frozenset({102}),
        todo=f"The access token's session has ended. {_NEW_TOKEN}",
    ),
    Row(
        "a permission is missing",
        "destination",
        codes=frozenset({10, *range(200, 300)}),
        scope="dataset",
        todo=_PERMISSION,
    ),
    Row(
        "the API version is dead",
        "destination",
        codes=frozenset({2635}),
        todo="This API version is dead. Set api_version to a newer one in the job file.",
    ),
    Row(
        "blocked for policy reasons",
        "destination",
        codes=frozenset({368}),
        todo="Meta has blocked the account for policy reasons. See the Account Quality page in Meta Business Suite.",
    ),
    Row("Meta says that it will pass", "transient", transient=True),
    Row("a failure of Meta's that passes", "transient", codes=frozenset({1, 2, 341, 5000})),
    Row("any other server error", "transient", statuses=range(500, 1000)),
    Row("too many parameters", "request", codes=frozenset({105})),
    Row("too large", "request", statuses=frozenset({413})),
    Row(
        "a redirect, which is not followed: it would take the token along",
        "destination",
        codes=NONE,
        statuses=range(300, 400),
        todo="The endpoint redirects elsewhere. Set `endpoint` to the address itself, if you trust it with the token.",
    ),
    Row(
        "refused without an error body of Meta's",
        "destination",
        codes=NONE,
        statuses=frozenset({401, 403}),
        todo="Something in between refuses us: a proxy, a firewall? If it is Meta, the token lacks a permission.",
    ),
    Row("HTML, a truncated body, or anything else that is no answer of Meta's", "transient", codes=NONE),
    Row("an invalid event, and any other error of Meta's", "event", codes=ANY),
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an answer means.

    Attributes:
        message: for the dead letters: what happened, in Meta's words where there are some.
        wait: seconds until the next try that the server asked for, if it did.
        usage: how much of the rate limit is used up, in percent, if the headers say.
        regain: seconds until access is regained, if the headers say.
        row: of `TABLE`.
    """

    kind: Kind
    message: str = ""
    code: int | None = None
    subcode: int | None = None
    fbtrace_id: str | None = None
    messages: tuple[str, ...] = ()
    wait: float | None = None
    usage: float | None = None
    regain: float | None = None
    row: Row = dataclasses.field(default=TABLE[0], compare=False, repr=False)

    @property
    def meta_code(self) -> str | None:
        """``code`` or ``code/subcode``."""
        return None if self.code is None else f"{self.code}/{self.subcode}" if self.subcode else str(self.code)

    @property
    def summary(self) -> str:
        """What happened, for terminals and logs: without Meta's own words, which could quote what was sent."""
        return f"Meta, code {self.meta_code}: {self.row.means}." if self.code is not None else self.message


def classify(status: int, headers: Mapping[str, str], body: bytes, sent: int) -> Answer:
    """What an HTTP answer means for the `sent` events of its request."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    code, subcode = _integer(error.get("code")), _integer(error.get("error_subcode"))
    received = _received(answer, sent) if 200 <= status < 300 and code is None else None
    row = _row(Facts(status, code, subcode, error.get("is_transient") is True, received))
    usage, regain = read_usage(headers)
    trace = answer.get("fbtrace_id") if received else error.get("fbtrace_id")
    messages = answer.get("messages") if row.kind == "delivered" else None
    return Answer(
        kind=row.kind,
        message=_described(status, code, subcode, error, received, answer, sent),
        code=code,
        subcode=subcode,
        fbtrace_id=trace if isinstance(trace, str) else None,
        messages=tuple(str(message) for message in messages) if isinstance(messages, list) else (),
        wait=_wait(headers, regain) if row.kind in ("throttled", "transient") else None,
        usage=usage or None,
        regain=regain,
        row=row,
    )


def failed(trouble: Trouble, message: str) -> Answer:
    """What it means that there was no answer; `message` says so for people."""
    row = _row(Facts(trouble=trouble))
    return Answer(row.kind, message, row=row)


def _row(facts: Facts) -> Row:
    return next(row for row in TABLE if row.fits(facts))


def _received(answer: Mapping[str, Any], sent: int) -> Received:
    received = _integer(answer.get("events_received"))
    return "unsaid" if received is None else "fewer" if received < sent else "all"


def _described(
    status: int,
    code: int | None,
    subcode: int | None,
    error: Mapping[str, Any],
    received: Received | None,
    answer: Mapping[str, Any],
    sent: int,
) -> str:
    if received == "all":
        return ""
    if received == "fewer":
        return f"Meta acknowledged {answer['events_received']} of {sent} events."
    if received == "unsaid":
        return f"The server answered {status} without saying how many events it received."
    if code is None:
        return f"HTTP {status} without one of Meta's error bodies."
    text = error.get("error_user_msg") or error.get("message")
    numbers = f"code {code}" + (f", subcode {subcode}" if subcode else "")
    return f"Meta, {numbers}: {_LIKE_A_TOKEN.sub('…', text)}" if isinstance(text, str) else f"Meta, {numbers}."


_LIKE_A_TOKEN: Final = re.compile(r"\bEAA[A-Za-z0-9_-]{8,}")  # "Malformed access token EAAB…", says Meta


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# --- how much of the rate limit is used up ------------------------------------------------------------------------

FULL: Final = 100.0  # percent
_PERCENTAGES: Final = ("call_count", "total_time", "total_cputime", "acc_id_util_pct")
_USAGE_HEADERS: Final = ("X-Business-Use-Case-Usage", "X-App-Usage", "X-Ad-Account-Usage")


def read_usage(headers: Mapping[str, str]) -> tuple[float, float | None]:
    """The fullest of what the usage headers count, in percent, and the seconds until access is regained, if they say.

    X-Business-Use-Case-Usage holds lists of rows by business, the others one row (Meta, "rate limits"); both are read
    wherever rows stand.
    """
    usage, minutes = 0.0, 0.0
    for name in _USAGE_HEADERS:
        text = headers.get(name)
        if not text:
            continue
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(found, dict):
            continue
        rows = [found, *(row for value in found.values() if isinstance(value, list) for row in value)]
        for row in rows:
            if isinstance(row, dict):
                usage = max([usage, *(_positive(row.get(key)) for key in _PERCENTAGES)])
                minutes = max(minutes, _positive(row.get("estimated_time_to_regain_access")))
    return usage, minutes * 60 or None


def _positive(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else 0.0


def _wait(headers: Mapping[str, str], regain: float | None) -> float | None:
    """Seconds that the headers ask for: Retry-After, or Meta's estimated_time_to_regain_access."""
    after = headers.get("Retry-After", "")
    waits = [float(after)] if after.isdecimal() and after.isascii() else []
    return max([*waits, *([regain] if regain else [])], default=None)


# --- the request --------------------------------------------------------------------------------------------------


def request_body(bodies: Sequence[bytes], test_event_code: str = "", upload_tag: str = "") -> bytes:
    """The body of a request: the events joined as they are, never encoded again."""
    code = b',"test_event_code":' + orjson.dumps(test_event_code) if test_event_code else b""
    tag = b',"upload_tag":' + orjson.dumps(upload_tag) if upload_tag else b""
    return b'{"data":[' + b",".join(bodies) + b"]" + code + tag + b"}"


def with_parameters(body: bytes, parameters: Sequence[tuple[str, str]]) -> bytes:
    """A request's body with its destination's parameters.

    >>> with_parameters(b'{"data":[]}', (("partner_agent", "acme"),))
    b'{"data":[],"partner_agent":"acme"}'
    """
    return body[:-1] + b"," + orjson.dumps(dict(parameters))[1:] if parameters else body
