"""An action's fields → an event as Meta reads it: a server event, or one of the older Offline Conversions API."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from capybeam.transforms.core.conversions import Count
from capybeam.transforms.core.function_writer import FunctionWriter, literal
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
_URLS: Final = ("event_source_url", "referrer_url")
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


_REQUIRED: Final = ("event_time", "event_name", "event_id", "action_source", "user_data")
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
    writer = FunctionWriter("server_event", "fields", "count")
    names = dict.fromkeys((*_REQUIRED, *_URLS, *_names(subscription)))
    values = {
        name: writer.variable(f"fields[{literal(name)}]" if name in _REQUIRED else f"fields.get({literal(name)})")
        for name in names
    }
    return writer.function(_write_event(writer, subscription, values, lambda _: "fields"))


def write_server_event(writer: FunctionWriter, subscription: MetaSettings, fields: Mapping[str, str]) -> str:
    """Writes what makes an event, on the subscription's wire, of the variables of fields, None where an event has no
    value; returns the variable that holds it.
    """
    if subscription.wire == "offline_events":
        return writer.variable(writer.call(_compile_offline_event(subscription), writer.dictionary(fields), "count"))
    return _write_event(writer, subscription, fields, writer.dictionary)


def _names(subscription: MetaSettings) -> list[str]:
    mapped = mapped_names(subscription.mapping)
    return [field.name for field in subscription.fields if mapped is None or field.name in mapped]


def _write_event(
    writer: FunctionWriter,
    subscription: MetaSettings,
    values: Mapping[str, str],
    fields_of: Callable[[Mapping[str, str]], str],
) -> str:
    """Writes what makes a server event of the variables of fields; returns the variable that holds it.

    Args:
        fields_of: writes an object of some fields, and returns the variable that holds it.
    """
    names = _names(subscription)
    mapped = mapped_names(subscription.mapping)
    may_limit = subscription.consent is not None and subscription.consent.limits
    rewrites = may_limit or mapped is None or not _REWRITTEN.isdisjoint(mapped)
    custom = {name: values[name] for name in in_custom_data(names)}
    beside = {name: values[name] for name in names if name in _AS_THEY_ARE and name not in FREE}

    url = _write_url(writer, values.get("event_source_url"), "dropped_event_source_url")
    source = values["action_source"]
    writer.line(f"if {url} is None and {source} == 'website': count('website_without_url')")
    referrer = _write_url(writer, values.get("referrer_url"), "dropped_referrer_url")
    event = {**{name: values[name] for name in _REQUIRED}, "event_source_url": url, "referrer_url": referrer}
    custom_data = writer.dictionary(custom)
    if not rewrites:
        writer.line(f"{custom_data} = {custom_data} or None")
        return writer.dictionary({**event, **beside, "custom_data": custom_data}, _REQUIRED)

    result = writer.dictionary(event, _REQUIRED)
    limited = subscription.mapping.get("data_processing_options")
    rewritten = functools.partial(_rewritten, clean=subscription.cleaner, unlimited=limited in (False, "false"))
    fields = fields_of({name: value for name, value in values.items() if name in _REWRITTEN})
    free = writer.variable(f"{writer.constant(rewritten, 'rewritten')}({fields}, {result}, count)")
    for name, value in beside.items():
        writer.line(f"if {value} is not None: {result}[{literal(name)}] = {value}")
    writer.line(f"if {free}: {writer.call(_count_replaced, free, custom_data, 'count')}")
    with writer.block(f"if {free} or {custom_data}:"):  # a defined field wins over custom_data
        writer.line(f"{result}['custom_data'] = {{**{free}, **{custom_data}}}")
    return result


def _write_url(writer: FunctionWriter, value: str | None, dropped: str) -> str:
    """Writes what makes an http or https URL of a field; returns the variable that holds it, None where it is none."""
    if value is None:
        return writer.variable("None")
    url, web = writer.variable(value), writer.constant(_WEB, "WEB")
    with writer.block(f"if {url} is not None and not ({url}.startswith({web}) and {url}[-1] > ' '):"):
        writer.line(f"{url} = {writer.call(_web_address, url)}")
        writer.line(f"if {url} is None: count({literal(dropped)})")
    return url


def _web_address(url: str) -> str | None:
    """An http or https URL, without the blanks around it; None where it is none."""
    url = url.strip()
    return url if url[:8].lower().startswith(_WEB) else None


def _count_replaced(custom_data: Mapping[str, Any], fields: Mapping[str, Any], count: Count) -> None:
    """Counts the keys of a mapping's custom_data whose place a field takes, with another value."""
    for name, value in fields.items():
        if name in custom_data and str(custom_data[name]) != str(value):
            count("replaced_in_custom_data")


def _rewritten(
    fields: Mapping[str, Any], event: dict[str, Any], count: Count, clean: Cleaner, unlimited: bool
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
