"""Meta's Graph API as a sender sees it: one request a batch, and what the answer means.

`TABLE` is all there is to know about what an answer means: codes, subcodes, types and statuses decide, texts are
localised and decide nothing. `classify` and `failed` read it, `clients` acts on it, and docs/operations.md shows it.

Codes cannot be listed for good. What the table does not know is of the kind ``unknown``: it is isolated like an invalid
event, and it is the destination's where nothing gets through (`circuits`).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
import time
from collections.abc import Container, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, NamedTuple

import orjson

from capybeam.transforms.core.tokens import TokenReference

Kind = Literal["delivered", "short", "throttled", "transient", "destination", "event", "unknown", "request"]


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where conversions are sent.

    Attributes:
        app_secret: of the app that the token belongs to, where Meta asks for an appsecret_proof.
        parameters: what each request says of itself beside its events, such as partner_agent.
    """

    name: str
    token: TokenReference
    api_version: str = "v25.0"
    endpoint: str = "https://graph.facebook.com"
    app_secret: TokenReference | None = None
    parameters: tuple[tuple[str, str], ...] = ()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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

Received = Literal["all", "fewer", "none", "more", "unsaid"]
Trouble = Literal["timeout", "unreachable", "broken", "endless", "repeated", "certificate"]


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
        refusal: whether the body is JSON with an error in it.
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
    types: Container[str | None] | None = None
    refusal: bool | None = None
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
            and (self.refusal is None or facts.refusal is self.refusal)
            and (self.types is None or facts.type in self.types)
            and (self.transient is None or facts.transient is self.transient)
        )


class Facts(NamedTuple):
    """What decides about an answer. Codes and type are Meta's error.code, error.error_subcode and error.type.

    `refusal` is whether there is an error in JSON at all, which may have no code.
    """

    status: int = 0
    code: int | None = None
    subcode: int | None = None
    type: str | None = None
    refusal: bool = False
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
    Row("acknowledged: none of the events that were sent", "transient", received="none"),
    Row("acknowledged: more events than were sent, so another request's answer", "transient", received="more"),
    Row("200 without a word on how many events were taken", "transient", received="unsaid"),
    Row("no whole answer within the time-out", "transient", trouble="timeout"),
    Row("no connection", "transient", trouble="unreachable"),
    Row("the connection broke off", "transient", trouble="broken"),
    Row("an answer of more than 1 MB", "transient", trouble="endless"),
    Row("the answer to an earlier request, once more", "transient", trouble="repeated"),
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
        "the app lacks a capability or a permission",
        "destination",
        codes=frozenset({3}),
        todo="Give the app the permission or feature in Meta's App Dashboard, and create the token again.",
    ),
    Row(
        "the app is not allowed to call from this address",
        "destination",
        codes=frozenset({5}),
        todo="Add this machine's address to the app's server IP allowlist at Meta, or remove that list.",
    ),
    Row(
        "this call is deprecated",
        "destination",
        codes=frozenset({12}),
        todo="Meta no longer answers this call. Set api_version to a newer one in the job file.",
    ),
    Row(
        "the app or its signature is not valid",
        "destination",
        codes=frozenset({101, 103, 104}),
        todo="The app behind the token is not valid, or its signature is not. Check the app, and `app_secret` if set.",
    ),
    Row(
        "no such object",
        "destination",
        codes=frozenset({803}),
        scope="dataset",
        todo="There is no such dataset. Check its ID.",
    ),
    Row(
        "unknown path",
        "destination",
        codes=frozenset({2500}),
        todo="`endpoint` must be the server alone, without a path or version, for example https://graph.facebook.com.",
    ),
    Row(
        "the call itself is refused, for example for a missing appsecret_proof",
        "destination",
        codes=frozenset({100}),
        subcodes=NONE,
        types=frozenset({"GraphMethodException"}),
        todo="If the app requires its secret, set `app_secret` in the job file. Otherwise see Meta's message.",
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
    Row("a failure of Meta's that passes", "transient", codes=frozenset({1, 2, 341, 5000, 21009})),
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
    Row(
        "an invalid event",
        "event",
        codes=frozenset({100}),
        subcodes=range(2804000, 2805000),
    ),
    Row("a refusal that is not in this table", "unknown", codes=ANY),
    Row("a refusal in JSON without a code", "unknown", statuses=range(400, 500), refusal=True),
    Row("HTML, a truncated body, or anything else that is not an answer of Meta's", "transient", codes=NONE),
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an answer means.

    Attributes:
        message: for the dead letters: what happened, in Meta's words where there are some.
        wait: seconds until the next try that the server asked for, if it did.
        usage: how much of the rate limit is used up, in percent, if the headers say.
        regain: seconds until access is regained, if the headers say.
        received: for an acknowledgement, how it compares with what was sent.
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
    received: Received | None = dataclasses.field(default=None, compare=False)
    row: Row = dataclasses.field(default=TABLE[0], compare=False, repr=False)

    @property
    def meta_code(self) -> str | None:
        """``code`` or ``code/subcode``."""
        return None if self.code is None else f"{self.code}/{self.subcode}" if self.subcode else str(self.code)

    @property
    def is_passing(self) -> bool:
        """Whether the same request may fare better later."""
        return self.kind in ("throttled", "transient")

    @property
    def is_refusal(self) -> bool:
        """Whether something in the request was refused, so that a part of it may be taken."""
        return self.kind in ("event", "unknown", "request")

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
    refusal = answer.get("error")
    error = refusal if isinstance(refusal, dict) else {}
    code, subcode = _code(error.get("code")), _code(error.get("error_subcode"))
    received = _received(answer, sent) if 200 <= status < 300 and not refusal else None
    type_ = error.get("type")
    row = _row(
        Facts(
            status,
            code,
            subcode,
            type_ if isinstance(type_, str) else None,
            bool(refusal),
            error.get("is_transient") is True,
            received,
        )
    )
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
        received=received,
        row=row,
    )


def failed(trouble: Trouble, message: str) -> Answer:
    """What it means that there was no answer; `message` says so for people."""
    row = _row(Facts(trouble=trouble))
    return Answer(row.kind, message, row=row)


def _row(facts: Facts) -> Row:
    return next(row for row in TABLE if row.fits(facts))


def _received(answer: Mapping[str, Any], sent: int) -> Received:
    received = answer.get("events_received")
    if type(received) is not int:
        return "unsaid"
    if received == sent:
        return "all"
    return "more" if received > sent else "fewer" if received > 0 else "none"


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
    if received in ("fewer", "none", "more"):
        return f"Meta acknowledged {answer['events_received']} of {sent} events."
    if received == "unsaid":
        return f"The server answered {status} without saying how many events it received."
    if code is None:
        return f"HTTP {status} without one of Meta's error bodies."
    text = error.get("error_user_msg") or error.get("message")
    numbers = f"code {code}" + (f", subcode {subcode}" if subcode else "")
    return f"Meta, {numbers}: {_LIKE_A_TOKEN.sub('…', text)}" if isinstance(text, str) else f"Meta, {numbers}."


_LIKE_A_TOKEN: Final = re.compile(r"\bEAA[A-Za-z0-9_-]{8,}")  # "Malformed access token EAAB…", says Meta


def _code(value: Any) -> int | None:
    if isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdecimal():
        return int(value)  # Meta sends numbers; what stands in between may not
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
    """Seconds that the headers ask for: Retry-After, or Meta's estimated_time_to_regain_access, whichever is longer."""
    after = _retry_after(headers.get("Retry-After", "").strip(), headers.get("Date", ""))
    return max([wait for wait in (after, regain) if wait is not None], default=None)


def _retry_after(text: str, date: str) -> float | None:
    """Seconds of a Retry-After, which counts seconds or is an HTTP date (RFC 9110, 10.2.3); None for anything else.

    A date is compared with the answer's own, so that a clock that is wrong here does not count.
    """
    try:
        seconds = (
            float(text) if text[:1].isdecimal() else (_http_date(text) - (_http_date(date) if date else time.time()))
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _http_date(text: str) -> float:
    return parsedate_to_datetime(text).timestamp()


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
