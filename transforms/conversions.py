"""One event's way to the bytes that Meta will read, as pure functions: filter, name, map, hash, validate.

Each function here compiles, once per process, what one step needs, and gives back a function for one element. The Beam
steps and ``capybeam map`` call the same ones, so they yield the same bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from transforms import events, meta_rules
from transforms.directives import MISSING, compile_mapping
from transforms.events import Event
from transforms.fields import Field, compile_fields
from transforms.rejections import Rejected
from transforms.triggers import compile_trigger
from transforms.user_data import Count, compile_user_data, fbc_from_url


@dataclasses.dataclass(frozen=True)
class Subscription:
    """Which events a destination takes, and what becomes of them.

    Attributes:
        destination: the destination's name; with `name` it makes the `key` used in metrics and dead letters.
        trigger: FQL.
        mapping: field → mapping; the action's defaults are already merged in.
        fields: what the action knows; event_name among them.
        dataset_ids: where a conversion goes; one event may go to several.
        needs_user_agent: whether a website event without client_user_agent is rejected.
        default_country, test_event_code, allow_in_custom_data: the destination's settings.
    """

    destination: str
    name: str
    trigger: str
    mapping: Mapping[str, Any]
    fields: tuple[Field, ...]
    dataset_ids: tuple[str, ...]
    needs_user_agent: bool = True
    default_country: str | None = None
    test_event_code: str | None = None
    allow_in_custom_data: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        return f"{self.destination}/{self.name}"


class Conversion(NamedTuple):
    """An event on its way to one dataset. `event` is None from hashing on: no raw personal data exists then."""

    subscription: str
    event_name: Any
    dataset_id: str
    event: Event | None
    fields: dict[str, Any]


class Ready(NamedTuple):
    """A conversion as it goes to its batch.

    Attributes:
        key: the destination key: what may share a request. See `destination_key`.
        line: subscription, event_time and the body, tab-separated: all that sending needs, in bytes.
    """

    key: str
    line: bytes


def destination_key(destination: str, dataset_id: str, test_event_code: str = "") -> str:
    """Events with the same key may share a request."""
    return f"{destination}\t{dataset_id}\t{test_event_code}"


def split_key(key: str) -> tuple[str, str, str]:
    """Destination, dataset ID and test event code of a destination key."""
    destination, dataset_id, test_event_code = key.split("\t")
    return destination, dataset_id, test_event_code


def split_line(line: bytes) -> tuple[str, int, bytes]:
    """Subscription name, event_time and body of a `Ready` line."""
    subscription, event_time, body = line.split(b"\t", 2)
    return subscription.decode(), int(event_time), body


def compile_filter(subscriptions: Iterable[Subscription]) -> Callable[[Event], list[str]]:
    """The function from an event to the keys of the subscriptions whose trigger takes it, in the job file's order."""
    triggers = [(subscription.key, compile_trigger(subscription.trigger)) for subscription in subscriptions]

    def matching(event: Event) -> list[str]:
        return [key for key, takes in triggers if takes(event)]

    return matching


def compile_naming(subscriptions: Iterable[Subscription]) -> Callable[[Event, str], list[Conversion]]:
    """The function from an event and a subscription's key to its conversions, one for each dataset."""
    names = {
        s.key: (compile_mapping({k: node for k, node in s.mapping.items() if k == "event_name"}), s.dataset_ids)
        for s in subscriptions
    }

    def named(event: Event, key: str) -> list[Conversion]:
        name, dataset_ids = names[key]
        event_name = name(event).get("event_name")
        return [Conversion(key, event_name, dataset_id, event, {}) for dataset_id in dataset_ids]

    return named


def compile_properties(subscriptions: Iterable[Subscription]) -> Callable[[Conversion], Conversion]:
    """The function that fills a conversion's fields by its subscription's mapping, typed and complete.

    It raises Rejected: missing_required_field, invalid_<field>, invalid_field, mapping_failed.
    """
    compiled = {
        s.key: (
            compile_mapping({name: node for name, node in s.mapping.items() if name != "event_name"}),
            compile_fields(s.fields),
        )
        for s in subscriptions
    }

    def mapped(conversion: Conversion) -> Conversion:
        subscription, event_name, dataset_id, event, _ = conversion
        assert event is not None
        mapping, checked = compiled[subscription]
        values = mapping(event)
        if values is MISSING or type(values) is not dict:
            raise Rejected("mapping_failed", "The mapping yields no object of fields.")
        fields = checked({"event_name": event_name, **values})
        if "event_id" not in fields:
            fields["event_id"] = events.event_id(event)
        return Conversion(subscription, fields["event_name"], dataset_id, event, fields)

    return mapped


def compile_hashing(subscriptions: Iterable[Subscription]) -> Callable[[Conversion, Count], Conversion]:
    """The function that replaces user_data by its normalised, hashed form and lets go of the event.

    A click ID in the page's URL stands in for an unmapped or unusable fbc. `count` is told what was dropped.
    """
    hashers = {s.key: compile_user_data(s.default_country) for s in subscriptions}

    def hashed(conversion: Conversion, count: Count) -> Conversion:
        subscription, event_name, dataset_id, _, fields = conversion
        user_data = hashers[subscription](fields["user_data"], count)
        url = fields.get("event_source_url")
        if url is not None and "fbc" not in user_data:
            fbc = fbc_from_url(url, fields["event_time"])
            if fbc:
                user_data["fbc"] = fbc
                count("derived_fbc")
        return Conversion(subscription, event_name, dataset_id, None, {**fields, "user_data": user_data})

    return hashed


# Fields that Meta reads beside custom_data; every other field of an action goes into custom_data.
_BESIDE_CUSTOM_DATA: Final = frozenset(
    "event_name event_time event_id event_source_url action_source user_data custom_data app_data_field"
    " data_processing_options data_processing_options_country data_processing_options_state test_event_code"
    " opt_out referrer_url original_event_data customer_segmentation attribution_data messaging_channel store_data".split()
)
_OPTIONAL: Final = (
    "opt_out referrer_url original_event_data customer_segmentation attribution_data messaging_channel store_data".split()
)


def compile_validation(
    subscriptions: Iterable[Subscription], max_bytes: int
) -> Callable[[Conversion, float, Count], Ready]:
    """The function from a hashed conversion to the bytes that Meta will read, known to be valid at `now`.

    It raises Rejected with any code of the validate stage; `count` is told of what was left out or may go unused.
    """
    settings = {s.key: (s, s.name.encode()) for s in subscriptions}
    keys = {
        (s.key, dataset_id): destination_key(s.destination, dataset_id, s.test_event_code or "")
        for s in subscriptions
        for dataset_id in s.dataset_ids
    }

    def validated(conversion: Conversion, now: float, count: Count) -> Ready:
        fields = conversion.fields
        subscription, name = settings[conversion.subscription]
        event = server_event(fields, subscription.allow_in_custom_data, count)
        meta_rules.check_event(event, needs_user_agent=subscription.needs_user_agent, now=now)
        if event["action_source"] == "website" and "event_source_url" not in event:
            count("website_without_url")
        try:
            body = orjson.dumps(event)
        except TypeError:
            raise Rejected("unencodable") from None
        if len(body) > max_bytes:
            raise Rejected("event_too_large", f"The event alone takes {len(body)} bytes of max_batch_bytes {max_bytes}.")
        test_event_code = fields.get("test_event_code")
        if test_event_code:
            key = destination_key(subscription.destination, conversion.dataset_id, " ".join(test_event_code.split()))
        else:
            key = keys[conversion.subscription, conversion.dataset_id]
        return Ready(key, b"%b\t%d\t%b" % (name, event["event_time"], body))

    return validated


def server_event(fields: Mapping[str, Any], allow_in_custom_data: frozenset[str], count: Count) -> dict[str, Any]:
    """An action's fields as Meta's server event. custom_data comes first, so that a defined field wins over it."""
    event: dict[str, Any] = {"event_name": fields["event_name"], "event_time": fields["event_time"]}
    event["event_id"] = fields["event_id"]
    url = fields.get("event_source_url")
    if url is not None:
        if url[:8].lower().startswith(("http://", "https://")):
            event["event_source_url"] = url
        else:
            count("dropped_event_source_url")
    event["action_source"] = fields["action_source"]
    event["user_data"] = fields["user_data"]
    if "app_data_field" in fields:
        app_data = meta_rules.app_data(fields["app_data_field"])
        if app_data is not None:
            event["app_data"] = app_data
    if fields.get("data_processing_options"):
        event.update(
            meta_rules.data_processing(
                True, fields.get("data_processing_options_country", 0), fields.get("data_processing_options_state", 0)
            )
        )
    custom_data: dict[str, Any] = {}
    if "custom_data" in fields:
        custom_data = meta_rules.without_personal_data(
            fields["custom_data"], allow_in_custom_data, lambda: count("removed_from_custom_data")
        )
    for name, value in fields.items():
        if name not in _BESIDE_CUSTOM_DATA:
            custom_data[name] = value
        elif name in _OPTIONAL:
            event[name] = value
    if custom_data:
        event["custom_data"] = custom_data
    return event

