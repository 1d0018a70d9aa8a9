"""An action's fields → an event as Meta reads it: a server event, or one of the older Offline Conversions API."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from capybeam.transforms.core.conversions import Count
from capybeam.transforms.language.mapped_fields import mapped_names
from capybeam.transforms.meta import rules
from capybeam.transforms.meta.personal_data.cleaner import Cleaner
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import OFFLINE_KEYS, match_keys

# Fields that Meta reads beside custom_data; every other field of an action goes into custom_data.
_ALWAYS: Final = frozenset(
    {"event_name", "event_time", "event_id", "event_source_url", "referrer_url", "action_source", "user_data"}
)
_AS_THEY_ARE: Final = frozenset(
    {
        "opt_out",
        "original_event_data",
        "customer_segmentation",
        "attribution_data",
        "messaging_channel",
        "store_data",
    }
)
FREE: Final[tuple[str, ...]] = ("custom_data", "attribution_data")  # objects with any keys
BESIDE: Final = _ALWAYS | _AS_THEY_ARE | {"custom_data", "app_data"}
_WEB: Final = ("https://", "http://")
_REWRITTEN: Final = frozenset(
    {
        *FREE,
        "app_data_field",
        "data_processing_options",
        "data_processing_options_country",
        "data_processing_options_state",
        "test_event_code",
    }
)


def in_custom_data(fields: Iterable[str]) -> list[str]:
    """Those of an action's fields that the Conversions API has in custom_data, beside the keys that are free there."""
    return [name for name in fields if name not in _ALWAYS | _AS_THEY_ARE | _REWRITTEN]


Write = Callable[[Mapping[str, Any], Count], dict[str, Any]]


def compile_wire(subscription: MetaSettings) -> tuple[Write, Callable[..., bool]]:
    """What makes an event of a subscription's fields, and the check of what is made, by the subscription's wire."""
    if subscription.wire == "offline_events":
        return _compile_offline_event(subscription), rules.check_offline_event
    return _compile_event(subscription), rules.check_event


def _compile_offline_event(subscription: MetaSettings) -> Write:
    """The function from an action's fields to an event of the older Offline Conversions API.

    It has no event_id: that API identified repeats by order_id (else the match keys), event_time and event_name.
    Source: Meta, "offline-conversions", as it was until Graph API v16.0 ended.
    """
    beside = in_custom_data(field.name for field in subscription.fields)
    clean = subscription.cleaner

    def offline_event(fields: Mapping[str, Any], count: Count) -> dict[str, Any]:
        event = {
            "event_time": fields["event_time"],
            "event_name": fields["event_name"],
            "match_keys": match_keys(fields["user_data"]),
        }
        for wire, value in fields["user_data"].items():
            if wire not in OFFLINE_KEYS or (type(value) is list and len(value) > 1 and not OFFLINE_KEYS[wire][1]):
                count(f"dropped_{wire}")
        for name in beside:
            if name in fields:
                event[name] = fields[name]
        custom_data = _free("custom_data", fields, clean, count)
        if custom_data:
            event["custom_data"] = custom_data
        return event

    return offline_event


def _compile_event(subscription: MetaSettings) -> Write:
    """The function from an action's fields to Meta's server event."""
    mapped = mapped_names(subscription.mapping)
    names = [field.name for field in subscription.fields if mapped is None or field.name in mapped]
    custom = in_custom_data(names)
    beside = [name for name in names if name in _AS_THEY_ARE and name not in FREE]
    may_limit = subscription.consent is not None and subscription.consent.limits
    rewrites = may_limit or mapped is None or not _REWRITTEN.isdisjoint(mapped)
    clean = subscription.cleaner
    limited = subscription.mapping.get("data_processing_options")
    unlimited = limited in (False, "false")

    def server_event(fields: Mapping[str, Any], count: Count) -> dict[str, Any]:
        get = fields.get
        source, url, referrer = fields["action_source"], get("event_source_url"), get("referrer_url")
        event = {
            "event_time": fields["event_time"],
            "event_name": fields["event_name"],
            "event_id": fields["event_id"],
            "action_source": source,
            "user_data": fields["user_data"],
        }
        if url is not None and ((url.startswith(_WEB) and url[-1] > " ") or (url := _web_address(url))):
            event["event_source_url"] = url
        else:
            if url is not None:
                count("dropped_event_source_url")
            if source == "website":
                count("website_without_url")
        if referrer is not None:
            if (referrer.startswith(_WEB) and referrer[-1] > " ") or (referrer := _web_address(referrer)):
                event["referrer_url"] = referrer
            else:
                count("dropped_referrer_url")
        custom_data = _rewritten(fields, event, clean, unlimited, count) if rewrites else {}
        for name in beside:
            value = get(name)
            if value is not None:
                event[name] = value
        if custom_data:
            _count_replaced(custom_data, fields, custom, count)
        for name in custom:  # after custom_data, so that a defined field wins over it
            if name in fields:
                custom_data[name] = fields[name]
        if custom_data:
            event["custom_data"] = custom_data
        return event

    return server_event


def _web_address(url: str) -> str:
    """An http or https URL, without the blanks around it; "" where it is none."""
    url = url.strip()
    return url if url[:8].lower().startswith(_WEB) else ""


def _count_replaced(
    custom_data: Mapping[str, Any], fields: Mapping[str, Any], names: Iterable[str], count: Count
) -> None:
    """Counts the keys of a mapping's custom_data whose place a field takes, with another value."""
    for name in names:
        if name in custom_data and fields.get(name) is not None and str(custom_data[name]) != str(fields[name]):
            count("replaced_in_custom_data")


def _rewritten(
    fields: Mapping[str, Any], event: dict[str, Any], clean: Cleaner, unlimited: bool, count: Count
) -> dict[str, Any]:
    """Puts into `event` what Meta reads in another form than the fields have it; gives back its custom_data.

    Args:
        unlimited: whether the mapping says for all events that the use of their data is not limited.
    """
    if "app_data_field" in fields:
        app_data = rules.app_data(fields["app_data_field"])
        if app_data is not None:
            event["app_data"] = app_data
    if fields.get("data_processing_options"):
        country, state = fields.get("data_processing_options_country"), fields.get("data_processing_options_state")
        event.update(rules.limited_data_use(country, state))
    elif unlimited:
        event["data_processing_options"] = []
    attribution_data = _free("attribution_data", fields, clean, count)
    if attribution_data:
        event["attribution_data"] = attribution_data
    return _free("custom_data", fields, clean, count)


def _free(name: str, fields: Mapping[str, Any], clean: Cleaner, count: Count) -> dict[str, Any]:
    """What may leave of an object with any keys."""
    return clean.data(fields[name], functools.partial(count, f"removed_from_{name}")) if name in fields else {}
