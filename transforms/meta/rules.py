"""Meta's rules for one event, as far as they can be known before it is sent.

A batch with one invalid event is refused whole, so nothing here is left for Meta to find. Source: Meta,
"using-the-api", "parameters/server-event", "parameters/customer-information-parameters", "parameters/custom-data".
Rules look at the event as it will be read (Meta's names, hashed), and raise Rejected with one code each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from capybeam.transforms.core.function_writer import FunctionWriter
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.standards.currencies import CURRENCIES

MAX_BATCH_EVENTS: Final = 1000
MAX_OFFLINE_BATCH_EVENTS: Final = 2000  # of the older Offline Conversions API
DAY: Final = 86_400
MAX_AGE: Final = 7 * DAY
MAX_STORE_AGE: Final = 62 * DAY  # action_source physical_store
ATTRIBUTION_WINDOW: Final = 28 * DAY  # the furthest back that Meta attributes a conversion to an ad
CONTENT_TYPES: Final = ("product", "product_group")
MAX_AHEAD: Final = 60  # seconds; Meta documents none, others allow a minute

# Keys that only together with others tell one person from another: a subset of any of these is refused (2804050).
BROAD_MATCH_KEYS: Final = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)
_NOTHING: Final[Mapping[str, Any]] = {}
_BROAD: Final = frozenset().union(*BROAD_MATCH_KEYS)
_MOST_BROAD: Final = len(_BROAD)  # an event with more keys than these has another one

MESSAGING_IDS: Final[Mapping[str, tuple[str, str]]] = {
    "messenger": ("page_id", "page_scoped_user_id"),
    "whatsapp": ("whatsapp_business_account_id", "ctwa_clid"),
    "instagram": ("ig_account_id", "ig_sid"),
}

# extinfo's 16 positions, by the names of a mapping's app_data_field.
EXTINFO: Final = (
    "version packageName shortVersion longVersion osVersion deviceName locale timezone carrier width height density"
    " cpuCores storageSize freeStorage deviceTimezone"
).split()

# What else app_data can hold, by Meta's SDK, under the same names in a mapping.
APP_DATA: Final = (
    "campaign_ids consider_views include_dwell_data include_video_data install_referrer installer_package receipt_data"
    " url_schemes vendor_id windows_attribution_id"
).split()


def check_event(event: Mapping[str, Any], needs_user_agent: bool, now: float) -> bool:
    """Everything Meta asks of an event that can be known before it is sent.

    Args:
        event: the server event, as it will be encoded.
        needs_user_agent: whether a website event without client_user_agent is refused (the custom action's is not).
        now: Unix seconds.

    Returns:
        Whether the event is so old that Meta takes it without attributing it to an ad. Only a store's can be.

    Raises:
        Rejected: the first rule that does not hold.
    """
    source, user_data = event["action_source"], event["user_data"]
    unattributed = False
    if not now - MAX_AGE <= event["event_time"] <= now + MAX_AHEAD:
        check_age(event["event_time"], age_limit(source), now)
        unattributed = now - event["event_time"] > ATTRIBUTION_WINDOW
    if len(user_data) <= _MOST_BROAD and _BROAD.issuperset(user_data):
        check_match_keys(user_data)
    if source == "website":
        if needs_user_agent and "client_user_agent" not in user_data:
            raise Rejected("missing_client_user_agent")
    elif source == "app":
        check_app_data(event.get("app_data"))
    elif source == "business_messaging":
        check_messaging(event.get("messaging_channel"), user_data)
    custom_data = event.get("custom_data", _NOTHING)
    if event["event_name"] == "Purchase":
        check_purchase(custom_data)
    if "content_type" in custom_data and custom_data["content_type"] not in CONTENT_TYPES:
        raise Rejected("invalid_content_type")
    return unattributed


def write_check(
    writer: FunctionWriter,
    event_name: str | None,
    needs_user_agent: bool,
    event: str,
    variables: Mapping[str, str],
    late: str,
) -> None:
    """Writes `check_event` for the variables of an event: most are known to pass by a look at them.

    Args:
        event_name: None where it depends on the event.
        event: the variable of the whole.
        variables: of the event's fields and of those of its custom_data, None where there is no value; beside them
            ``now``, as Unix seconds.
        late: the statement for an event that Meta takes without attributing it.
    """
    time, user_data = variables["event_time"], variables["user_data"]
    passes = [
        f"{-MAX_AGE:.1f} <= {time} - now <= {MAX_AHEAD:.1f}",
        f"(len({user_data}) > {_MOST_BROAD} or not {writer.constant(_BROAD, 'BROAD')}.issuperset({user_data}))",
        f"{variables['action_source']} == 'website'",
    ]
    if needs_user_agent:
        passes.append(f"'client_user_agent' in {user_data}")
    if event_name is None:
        passes.append(f"{variables['event_name']} != 'Purchase'")
    elif event_name == "Purchase":
        value, currency = variables.get("value", "None"), variables.get("currency", "None")
        passes.append(f"(type({value}) is float or type({value}) is int)")
        passes.append(f"type({currency}) is str and {currency} in {writer.constant(CURRENCIES, 'CURRENCIES')}")
    if "custom_data" in variables:  # in which any key may be
        passes.append(f"'content_type' not in {event}.get('custom_data', ())")
    elif "content_type" in variables:
        content_type = variables["content_type"]
        passes.append(f"({content_type} is None or {content_type} in {writer.constant(CONTENT_TYPES)})")
    with writer.block(f"if not ({' and '.join(passes)}):"):
        writer.line(f"if {writer.call(check_event, event, str(needs_user_agent), 'now')}: {late}")


def check_offline_event(event: Mapping[str, Any], needs_user_agent: bool, now: float) -> bool:
    """The same for an event of the older Offline Conversions API: its age, a match key, the money of a Purchase.

    Source: Meta, "offline-conversions", as it was until Graph API v16.0 ended. A store's events need no user agent.
    """
    check_age(event["event_time"], MAX_STORE_AGE, now)
    if not event["match_keys"]:
        raise Rejected("no_match_keys")
    if event["event_name"] == "Purchase":
        check_purchase(event)
    return bool(now - event["event_time"] > ATTRIBUTION_WINDOW)


def age_limit(action_source: str | None) -> int:
    """Seconds after event_time for which Meta takes an event: 7 days, 62 of a store's."""
    return MAX_STORE_AGE if action_source == "physical_store" else MAX_AGE


def write_age_limit(action_source: str) -> str:
    """The same as an expression for a variable."""
    return f"{MAX_STORE_AGE} if {action_source} == 'physical_store' else {MAX_AGE}"


def check_age(event_time: int, limit: int, now: float) -> None:
    """At most `limit` seconds old, at most a minute ahead. One event too old fails its whole batch at Meta."""
    if now - event_time > limit:
        raise Rejected(
            "event_too_old", f"The event is more than {limit // DAY} days old; Meta does not accept older events."
        )
    if event_time - now > MAX_AHEAD:
        raise Rejected("event_in_future", f"The event's time is more than {MAX_AHEAD} seconds in the future.")


def check_match_keys(user_data: Mapping[str, Any]) -> None:
    if not user_data:
        raise Rejected("no_match_keys")
    if any(broad.issuperset(user_data) for broad in BROAD_MATCH_KEYS):
        raise Rejected("match_keys_too_broad")


def check_app_data(app_data: Mapping[str, Any] | None) -> None:
    if not app_data:
        raise Rejected("missing_app_data")
    extinfo = app_data.get("extinfo")
    if type(extinfo) is not list or len(extinfo) < len(EXTINFO) or extinfo[0] not in ("a2", "i2") or not extinfo[4]:
        raise Rejected("invalid_extinfo")


def check_messaging(channel: str | None, user_data: Mapping[str, Any]) -> None:
    if channel is None or channel not in MESSAGING_IDS:
        raise Rejected("missing_messaging_channel")
    if not all(user_data.get(key) for key in MESSAGING_IDS[channel]):
        needed = MESSAGING_IDS[channel]
        detail = f"A {channel} event needs {' and '.join(needed)}."
        missing = [name for name in needed if not user_data.get(name)]
        raise Rejected("missing_messaging_ids", detail, field=", ".join(missing))


def check_purchase(custom_data: Mapping[str, Any]) -> None:
    """A custom subscription may send a Purchase too, with a currency that no field of the action has checked."""
    currency = custom_data.get("currency")
    if type(currency) is not str or currency not in CURRENCIES:
        raise Rejected("missing_currency" if currency is None or currency == "" else "invalid_currency")
    if type(custom_data.get("value")) not in (float, int):
        raise Rejected("missing_value")


def app_data(field: Mapping[str, Any]) -> dict[str, Any] | None:
    """Meta's app_data from a mapping's app_data_field; None unless ``use_app_data`` asks for it."""
    if not field.get("use_app_data"):
        return None
    data: dict[str, Any] = {
        "advertiser_tracking_enabled": int(field.get("advertiser_tracking_enabled", False)),
        "application_tracking_enabled": int(field.get("application_tracking_enabled", False)),
    }
    if field.get("madId"):
        data["madid"] = field["madId"]
    data["extinfo"] = [field.get(name, "") for name in EXTINFO]
    data.update((name, field[name]) for name in APP_DATA if name in field)
    return data


def limited_data_use(country: int | None, state: int | None) -> dict[str, Any]:
    """Meta's options for an event with Limited Data Use; 0 has Meta find out where the person is.

    A state is one of the United States (country 1), whose number goes without saying.
    """
    return {
        "data_processing_options": ["LDU"],
        "data_processing_options_country": int(bool(state)) if country is None else country,
        "data_processing_options_state": state or 0,
    }
