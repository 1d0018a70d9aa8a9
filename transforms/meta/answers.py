"""What an answer of Meta's Graph API means.

`RESPONSE_RULES` is all there is to know of what an answer means: codes, subcodes, types and statuses decide, texts are
localised and decide nothing. `classify` and `failed` read it, `delivery` acts on it, and docs/operations.md shows it.

Codes cannot be listed for good. What the table does not know is of the kind ``unknown``: it is isolated like an invalid
event, and it is the destination's where nothing gets through (`circuits`).
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Container, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import orjson

from capybeam.transforms.delivery.answers import Answer, Kind, Meaning, Received, Trouble
from capybeam.transforms.delivery.destination import Reading
from capybeam.transforms.meta.reasons import readable

# --- what an answer means ---------------------------------------------------------------------------------------


class _Any(Container[Any]):
    """Whatever there is."""

    def __contains__(self, value: Any) -> bool:
        return value is not None


ANY: Final = _Any()
NONE: Final = frozenset({None})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResponseRule(Meaning):
    """What one sort of answer means. It fits an answer when all that it names is so.

    Attributes:
        kind: what a sender does about it.
        refusal: whether the body is JSON with an error in it.
        received: for an acknowledgement, how it compares with what was sent.
        trouble: why there was no answer.
    """

    kind: Kind = "transient"
    codes: Container[int | None] | None = None
    subcodes: Container[int | None] | None = None
    statuses: Container[int] | None = None
    types: Container[str | None] | None = None
    refusal: bool | None = None
    transient: bool | None = None
    received: Received | None = None
    trouble: Trouble | None = None

    def fits(self, facts: ResponseFacts) -> bool:
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


class ResponseFacts(NamedTuple):
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
_NEW_TOKEN: Final = "Store a new access token where the job file points."

RESPONSE_RULES: Final = (  # the first row that fits counts
    ResponseRule(means="acknowledged: as many events as were sent", kind="delivered", received="all"),
    ResponseRule(means="acknowledged: fewer events than were sent", kind="short", received="fewer"),
    ResponseRule(means="acknowledged: none of the events that were sent", kind="transient", received="none"),
    ResponseRule(
        means="acknowledged: more events than were sent, so this is another request's answer",
        kind="transient",
        received="more",
    ),
    ResponseRule(means="200 without the number of events received", kind="transient", received="unsaid"),
    ResponseRule(means="no complete answer within the timeout", kind="transient", trouble="timeout"),
    ResponseRule(means="no connection", kind="transient", trouble="unreachable"),
    ResponseRule(means="the connection broke off", kind="transient", trouble="broken"),
    ResponseRule(means="an answer of more than 1 MB", kind="transient", trouble="endless"),
    ResponseRule(means="the answer to an earlier request, repeated", kind="transient", trouble="repeated"),
    ResponseRule(
        means="the server's certificate is not valid",
        kind="destination",
        trouble="certificate",
        todo="The token was not sent. Check `endpoint`, and the certificates that this machine trusts.",
    ),
    ResponseRule(means="rate limit", kind="throttled", codes=frozenset({4, 17, 32, 613, *range(80000, 80015)})),
    ResponseRule(means="rate limit, by status", kind="throttled", statuses=frozenset({429})),
    ResponseRule(
        means="no such dataset, or no permission for it",
        kind="destination",
        codes=frozenset({100}),
        subcodes=frozenset({33}),
        scope="dataset",
        todo="The dataset does not exist, or the token may not use it. Check its ID; assign the dataset to the token.",
    ),
    ResponseRule(
        means="the token is invalid or has expired",
        kind="destination",
        codes=frozenset({190}),
        todo=_NEW_TOKEN,
        is_token=True,
    ),
    ResponseRule(
        means="the token's session has ended",
        kind="destination",
        codes=frozenset({102}),
        todo=_NEW_TOKEN,
        is_token=True,
    ),
    ResponseRule(
        means="a permission is missing",
        kind="destination",
        codes=frozenset({10, *range(200, 300)}),
        scope="dataset",
        todo=_PERMISSION,
    ),
    ResponseRule(
        means="the app lacks a capability or a permission",
        kind="destination",
        codes=frozenset({3}),
        todo="Give the app the permission or feature in Meta's App Dashboard, and create the token again.",
    ),
    ResponseRule(
        means="the app is not allowed to call from this address",
        kind="destination",
        codes=frozenset({5}),
        todo="Add this machine's address to the app's server IP allowlist at Meta, or remove that list.",
    ),
    ResponseRule(
        means="this call is deprecated",
        kind="destination",
        codes=frozenset({12}),
        todo="Meta no longer answers this call. Set api_version to a newer one in the job file.",
    ),
    ResponseRule(
        means="the app or its signature is not valid",
        kind="destination",
        codes=frozenset({101, 103, 104}),
        todo="The app behind the token, or its signature, is not valid. Check the app, and `app_secret` if set.",
    ),
    ResponseRule(
        means="no such object",
        kind="destination",
        codes=frozenset({803}),
        scope="dataset",
        todo="The dataset does not exist. Check its ID.",
    ),
    ResponseRule(
        means="unknown path",
        kind="destination",
        codes=frozenset({2500}),
        todo="`endpoint` must be the server alone, without a path or version, for example https://graph.facebook.com.",
    ),
    ResponseRule(
        means="the call itself is refused, for example for a missing appsecret_proof",
        kind="destination",
        codes=frozenset({100}),
        subcodes=NONE,
        types=frozenset({"GraphMethodException"}),
        todo="If the app requires its secret, set `app_secret` in the job file. Otherwise see Meta's message.",
    ),
    ResponseRule(
        means="the API version is no longer supported",
        kind="destination",
        codes=frozenset({2635}),
        todo="Set api_version to a newer one in the job file.",
    ),
    ResponseRule(
        means="blocked for policy reasons",
        kind="destination",
        codes=frozenset({368}),
        todo="Meta has blocked the account for policy reasons. See the Account Quality page in Meta Business Suite.",
    ),
    ResponseRule(means="Meta says that the failure is temporary", kind="transient", transient=True),
    ResponseRule(means="a temporary failure at Meta", kind="transient", codes=frozenset({1, 2, 341, 5000, 21009})),
    ResponseRule(means="any other server error", kind="transient", statuses=range(500, 1000)),
    ResponseRule(means="too many parameters", kind="request", codes=frozenset({105})),
    ResponseRule(means="too large", kind="request", statuses=frozenset({413})),
    ResponseRule(
        means="a redirect, not followed because it would pass the token on",
        kind="destination",
        codes=NONE,
        statuses=range(300, 400),
        todo="The endpoint redirects elsewhere. Set `endpoint` to that address, if you trust it with the token.",
    ),
    ResponseRule(
        means="refused without one of Meta's error bodies",
        kind="destination",
        codes=NONE,
        statuses=frozenset({401, 403}),
        todo="Something in between refuses the requests, such as a proxy or a firewall. If it is Meta, the token"
        " lacks a permission.",
    ),
    ResponseRule(
        means="an invalid event",
        kind="event",
        codes=frozenset({100}),
        subcodes=range(2804000, 2805000),
    ),
    ResponseRule(means="a refusal that is not listed", kind="unknown", codes=ANY, is_listed=False),
    ResponseRule(
        means="a refusal in JSON without a code",
        kind="unknown",
        statuses=range(400, 500),
        refusal=True,
        is_listed=False,
    ),
    ResponseRule(
        means="HTML, a truncated body, or anything else that is not an answer from Meta", kind="transient", codes=NONE
    ),
)


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
        ResponseFacts(
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
        message=_described(status, code, subcode, refusal, received, answer, sent),
        reason="" if received else readable(_LIKE_A_TOKEN.sub("…", _words(refusal))),
        code=code,
        subcode=subcode,
        fbtrace_id=trace if isinstance(trace, str) else None,
        messages=tuple(str(message) for message in messages) if isinstance(messages, list) else (),
        wait=_wait(headers, regain) if row.kind in ("throttled", "transient") else None,
        usage=usage or None,
        regain=regain,
        received=received,
        meaning=row,
    )


def understand(status: int, headers: Mapping[str, str], body: bytes) -> Reading:
    """What an HTTP answer means to a request that reads: its document, or why there is none."""
    answer = classify(status, headers, body, 0)
    if answer.received != "unsaid":
        return Reading(answer, None, headers)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        text = f"HTTP {status} without a JSON object."
        return Reading(dataclasses.replace(answer, message=text, received=None), None, headers)
    usage, regain = read_usage(headers)
    return Reading(Answer("delivered", usage=usage or None, regain=regain), document, headers)


def failed(trouble: Trouble, message: str) -> Answer:
    """The answer for a request that got none; `message` is its text for people."""
    row = _row(ResponseFacts(trouble=trouble))
    return Answer(row.kind, message, meaning=row)


def _row(facts: ResponseFacts) -> ResponseRule:
    return next(row for row in RESPONSE_RULES if row.fits(facts))


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
    refusal: Any,
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
    text = refusal.get("error_user_msg") or refusal.get("message")
    numbers = f"code {code}" + (f", subcode {subcode}" if subcode else "")
    return f"Meta, {numbers}: {_LIKE_A_TOKEN.sub('…', text)}" if isinstance(text, str) and text else f"Meta, {numbers}."


def _words(refusal: Any) -> str:
    """What an error says for people: its title and its text, or only the one that there is."""
    if not isinstance(refusal, dict):
        return refusal if isinstance(refusal, str) else ""
    text = refusal.get("error_user_msg") or refusal.get("message")
    title = refusal.get("error_user_title")
    parts = [part.strip() for part in (title, text) if isinstance(part, str) and part.strip()]
    return parts[1] if len(parts) == 2 and parts[1].startswith(parts[0].rstrip(".")) else ": ".join(parts)


_LIKE_A_TOKEN: Final = re.compile(r"\bEAA[A-Za-z0-9_-]{8,}")  # "Malformed access token EAAB…", says Meta


def _code(value: Any) -> int | None:
    if isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdecimal():
        return int(value)  # Meta sends numbers; a proxy may not
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# --- how much of the rate limit is used up ------------------------------------------------------------------------

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
