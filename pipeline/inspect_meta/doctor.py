"""Whether a job's destinations could send now: token, permissions, datasets, version, clock, rate limit.

Nothing is sent: everything is read (Meta, "Access Token Debugging", "Ads Pixel", "Rate Limits"). What a token may read
is not what it may send: one made in Events Manager sends events and cannot read its dataset. So what cannot be read is
a warning where something else shows that the token and the dataset are in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, NamedTuple

from capybeam.pipeline.inspect_meta.datasets import Asking, Target, cure
from capybeam.pipeline.job.destinations.meta import end_of_version
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.delivery.answers import FULL
from capybeam.transforms.delivery.destination import Delivery, Reading

MOST_SKEW: Final = 60.0  # seconds: Meta refuses events from the future (transforms.meta.rules)
NOTED_SKEW: Final = 5.0
NEARLY_FULL: Final = 75.0  # percent of a rate limit
_DEAD_VERSION: Final = 2635  # Meta's code
SOON: Final = 14 * 86_400  # seconds until a token expires
SENDING_SCOPES: Final = frozenset({"ads_management", "business_management"})

Mark = Literal["✓", "!", "✗"]


class Check(NamedTuple):
    """What was found of one thing: in order, worth a look, or in the way of every event."""

    destination: str
    name: str
    mark: Mark
    text: str


def examine(target: Target, delivery: Delivery, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """The checks of one destination, in an order in which each cause comes before what follows from it."""
    name = target.destination.name
    try:
        asking = Asking(target.destination, delivery)
    except TokenError as error:
        yield Check(name, "token", "✗", str(error))
        return
    before = clock()
    debugged = asking.read("debug_token", {"input_token": ""})
    middle = (before + clock()) / 2
    if debugged.document is None and (debugged.answer.code is None or debugged.answer.kind == "transient"):
        yield Check(name, "endpoint", "✗", cure(debugged.answer))  # nobody there, somebody else, or not now
        return
    yield Check(name, "endpoint", "✓", f"{target.destination.endpoint} answers")
    if debugged.answer.code == _DEAD_VERSION:  # which says nothing of all else
        yield Check(name, "version", "✗", cure(debugged.answer))
        return
    datasets = [(id_, *_dataset(asking, id_)) for id_ in target.dataset_ids]
    works = any(mark != "✗" for _, mark, _ in datasets)
    token = list(_token(debugged, works, clock()))
    for what, mark, text in token:
        yield Check(name, what, mark, text)
    if ("token", "✗") not in [(what, mark) for what, mark, _ in token]:
        for id_, mark, text in datasets:
            yield Check(name, f"dataset {id_}", mark, text)
    yield Check(name, "version", *_version(debugged, target.destination.api_version, clock()))
    yield Check(name, "clock", *_clock(debugged, middle))
    yield Check(name, "rate limit", *_rate_limit(debugged))


def _token(debugged: Reading, works: bool, now: float) -> Iterator[tuple[str, Mark, str]]:
    if debugged.document is None:
        if works or debugged.answer.kind == "throttled":
            yield "token", "!", f"Meta tells nothing of it. {debugged.answer.summary}"
        else:
            yield "token", "✗", cure(debugged.answer)
        return
    data = debugged.document.get("data")
    data = data if isinstance(data, dict) else {}
    if data.get("is_valid") is False:
        yield "token", "✗", "is not valid. Store a new access token where the job file points and run again."
        return
    yield "token", *_lifetime(data, now)
    found = data.get("scopes")
    scopes = [scope for scope in found if isinstance(scope, str)] if isinstance(found, list) else None
    if scopes is None:
        yield "permissions", "!", "Meta does not tell which the token has"
    elif SENDING_SCOPES & set(scopes):
        yield "permissions", "✓", ", ".join(scopes)
    else:
        needed = "The token needs ads_management, or a system user with access to the dataset."
        yield "permissions", "!" if works else "✗", f"{', '.join(scopes) or 'none'}. {needed}"


def _lifetime(data: dict[str, Any], now: float) -> tuple[Mark, str]:
    ends = [data.get(key) for key in ("expires_at", "data_access_expires_at")]
    known = [end for end in ends if isinstance(end, (int, float)) and not isinstance(end, bool) and end > 0]
    if not known:
        return "✓", "is valid and does not expire"
    left = min(known) - now
    day = time.strftime("%Y-%m-%d", time.gmtime(min(known)))
    if left <= 0:
        return "✗", f"expired on {day}. Store a new access token where the job file points and run again."
    return ("!" if left < SOON else "✓"), f"is valid until {day}"


def _dataset(asking: Asking, dataset_id: str) -> tuple[Mark, str]:
    node = asking.read(dataset_id, {"fields": "id,name,last_fired_time"})
    if node.document is not None:
        last = node.document.get("last_fired_time")
        return "✓", f"is there; its last event was at {last}" if isinstance(last, str) else "is there"
    if node.answer.kind in ("destination", "unknown", "event"):
        quality = asking.read("dataset_quality", {"dataset_id": dataset_id, "fields": "web{event_name}"})
        if quality.document is not None:
            return "✓", "is there, and the token may read its quality"
    return ("!" if node.answer.is_passing else "✗"), cure(node.answer)


def _version(debugged: Reading, version: str, now: float) -> tuple[Mark, str]:
    ends = end_of_version(version)
    today = date.fromtimestamp(now)
    used = {key.lower(): value for key, value in debugged.headers.items()}.get("facebook-api-version")
    newer = "Set api_version to a newer one in the job file."
    if ends and ends <= today:
        return "✗", f"{version} has ended. {newer}"
    if used and used != version:
        return "!", f"Meta answers as {used}, not {version}. {newer}"
    return "✓", f"{version}, until {ends}" if ends else version


def _clock(debugged: Reading, middle: float) -> tuple[Mark, str]:
    try:
        theirs = parsedate_to_datetime({k.lower(): v for k, v in debugged.headers.items()}["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return "!", "the server does not tell its time"
    skew = middle - theirs - 0.5  # a Date is cut to its second
    if abs(skew) < NOTED_SKEW:
        return "✓", "agrees with the server's"
    text = f"is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's. Synchronise it (NTP)."
    return ("✗" if abs(skew) >= MOST_SKEW else "!"), text


def _rate_limit(debugged: Reading) -> tuple[Mark, str]:
    answer = debugged.answer
    if answer.kind == "throttled" or (answer.usage or 0.0) >= FULL:
        minutes = f" It is free again in {answer.regain / 60:.0f} min." if answer.regain else ""
        return "✗", f"is used up.{minutes} Lower delivery.requests_per_second in the job file."
    if answer.usage is None:
        return "✓", "nothing of it is used"
    mark: Mark = "!" if answer.usage >= NEARLY_FULL else "✓"
    return mark, f"{answer.usage:g} % of it is used"


def is_well(checks: Sequence[Check]) -> bool:
    return all(check.mark != "✗" for check in checks)
