"""Whether an event is taken: the rules of its fields one by one, and those that tie fields together.

Where the rules come from (Meta, Conversions API)
-------------------------------------------------
- using-the-api: at most 1000 events a request; one invalid event refuses the whole batch, and the answer does not say
  which; event_time at most 7 days old, 62 for physical_store.
- parameters/server-event, app-events, business-messaging: required fields, by action_source.
- parameters/customer-information-parameters: which user_data is hashed, formats of fbc, fbp and the IP address.
- best-practices: combinations of match keys too broad to be of use (2804050).
- parameters/custom-data: currency, value, contents.
- deduplicate-pixel-and-server-events: same event_id and event_name to one dataset within 48 hours.
- offline-conversions, as it was until Graph API v16.0 ended: the older format, with match_keys and upload_tag, at most
  2000 events a request. A request to v16.0 is read as one, as by an archive or a proxy that still supports it; server
  events in it are refused, since the version has ended.
- Error codes: Graph API error handling, and 28040xx as observed.

Stricter than Meta, on purpose: personal data in the clear (``raw_pii``, ``pii_in_custom_data``, ``pii_in_urls``) and
unknown fields are refused, where Meta may hash, ignore or warn. In this product each of them would be a bug. Personal
data is known by keys, by the form of email addresses, and by hashing pieces of texts and comparing them with user_data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from capybeam.pipeline.sandbox.fields import (
    APP_DATA,
    APP_DATA_MORE,
    CUSTOM_DATA,
    EVENT,
    MATCH_KEYS,
    OFFLINE_EVENT,
    OFFLINE_REQUIRED,
    ORIGINAL_EVENT,
    REQUIRED,
    USER_DATA,
    Rule,
    words,
)
from capybeam.pipeline.sandbox.personal_data import check_personal
from capybeam.pipeline.sandbox.refusals import NO_CURRENCY, NO_VALUE, TOO_BROAD, TOO_OLD, Json, Refusal, shown

DAY: Final = 86_400
MAX_AGE: Final[Mapping[str, int]] = {"physical_store": 62 * DAY}
DEFAULT_MAX_AGE: Final = 7 * DAY
FUTURE_TOLERANCE: Final = 60

# A user agent is required of websites, but Segment's custom action goes without, under any name, and Meta takes it. So
# the names of the other actions are those that need one.
STANDARD_EVENTS: Final = words("AddToCart InitiateCheckout PageView Purchase Search ViewContent")

TOO_BROAD_TOGETHER: Final = (
    words("ct country st zp ge client_user_agent"),
    words("db client_user_agent"),
    words("fn ge"),
    words("ln ge"),
)

MESSAGING_PAIRS: Final = (
    ("page_id", "page_scoped_user_id"),
    ("whatsapp_business_account_id", "ctwa_clid"),
    ("ig_account_id", "ig_sid"),
)


def _check_fields(values: Json, rules: Mapping[str, Rule], path: str, *, closed: bool = True) -> None:
    for key, value in values.items():
        rule = rules.get(key)
        if rule is None:
            if closed:
                raise Refusal(f"{path}{shown(key)} is not a known field", rule=f"{path}… is not a known field")
        elif not rule.check(value):
            raise Refusal(f"{path}{key} must be {rule.wants}", rule.subcode)


def check_event(event: Any, now: float) -> None:
    """Raise `Refusal` for the first rule that `event`, one parsed item of ``data``, breaks at Unix time `now`."""
    if type(event) is not dict:
        raise Refusal("an event must be an object")
    user_data = event.get("user_data")
    if type(user_data) is not dict:
        raise Refusal("user_data is required, an object")
    _check_fields(user_data, USER_DATA, "user_data.")
    check_personal(event, user_data)
    custom_data = event.get("custom_data", {})
    if type(custom_data) is dict:
        _check_fields(custom_data, CUSTOM_DATA, "custom_data.", closed=False)
    _check_fields(event, EVENT, "")
    for key in REQUIRED:
        if key not in event:
            raise Refusal(f"{key} is required")

    source = event["action_source"]
    _check_age(now - event["event_time"], MAX_AGE.get(source, DEFAULT_MAX_AGE))
    for broad in TOO_BROAD_TOGETHER:
        if user_data.keys() <= broad:
            raise Refusal("user_data holds too few or too broad match keys", TOO_BROAD)
    by_source = SOURCE_CHECKS.get(source)
    if by_source is not None:
        by_source(event, user_data)
    if event["event_name"] == "Purchase":
        _check_purchase(custom_data, "custom_data.")
    if "original_event_data" in event:
        _check_fields(event["original_event_data"], ORIGINAL_EVENT, "original_event_data.")


def check_offline_event(event: Any, now: float) -> None:
    """The same for an event in the older format."""
    if type(event) is not dict:
        raise Refusal("an event must be an object")
    for key in OFFLINE_REQUIRED:
        if key not in event:
            raise Refusal(f"{key} is required")
    _check_fields(event, OFFLINE_EVENT, "")
    if not event["match_keys"]:
        raise Refusal("match_keys must hold at least one key")
    _check_fields(event["match_keys"], MATCH_KEYS, "match_keys.")
    check_personal(event, event["match_keys"])
    _check_age(now - event["event_time"], MAX_AGE["physical_store"])
    if event["event_name"] == "Purchase":
        _check_purchase(event, "")


def _check_age(age: float, max_age: int) -> None:
    if age > max_age:
        raise Refusal(f"event_time is over {max_age // DAY} days ago", TOO_OLD)
    if age < -FUTURE_TOLERANCE:
        raise Refusal("event_time is in the future")


def _check_purchase(values: Json, path: str) -> None:
    if "currency" not in values:
        raise Refusal(f"{path}currency is required of a Purchase", NO_CURRENCY)
    if "value" not in values:
        raise Refusal(f"{path}value is required of a Purchase", NO_VALUE)


def _check_website(event: Json, user_data: Json) -> None:
    if "client_user_agent" not in user_data and event["event_name"] in STANDARD_EVENTS:
        raise Refusal("user_data.client_user_agent is required of a website's events")


def _check_app(event: Json, user_data: Json) -> None:
    app_data = event.get("app_data", {})
    for key in APP_DATA:
        if key not in app_data:
            raise Refusal(f"app_data.{key} is required of an app's events")
    _check_fields(app_data, APP_DATA_MORE, "app_data.", closed=False)


def _check_messaging(event: Json, user_data: Json) -> None:
    if "messaging_channel" not in event:
        raise Refusal("messaging_channel is required of business messaging")
    if not any(a in user_data and b in user_data for a, b in MESSAGING_PAIRS):
        pairs = ", or ".join(" with ".join(pair) for pair in MESSAGING_PAIRS)
        raise Refusal(f"business messaging needs {pairs} in user_data")


SOURCE_CHECKS: Final[Mapping[str, Callable[[Json, Json], None]]] = {
    "website": _check_website,
    "app": _check_app,
    "business_messaging": _check_messaging,
}
