"""What would let a rejected event through: one change, in the job file or at the source, where it is known."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from capybeam.transforms.core.events import Event
from capybeam.transforms.core.paths import get_path, parse_path
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.mappings import compile_mapping, paths
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.meta.masking import Mask
from capybeam.transforms.standards.javascript import MISSING

# By code, for what `capybeam explain` can meet. "" where the message already says all there is.
ADVICE: Final[Mapping[str, str]] = {
    "invalid_json": "Write one JSON object on each line, without line breaks in it.",
    "invalid_utf8": "Write the file as UTF-8.",
    "not_an_object": "Put each event on a line of its own, as an object.",
    "too_deeply_nested": "Flatten the event where it is made.",
    "not_an_event": "If the event is inside of another object, name the path to it: unwrap: $.detail",
    "unreadable_envelope": "Send the message again from where it was packed.",
    "line_too_long": "Write one JSON object on each line.",
    "unreadable_row": "Compare the row with its table's schema.",
    "unreadable_rest": "Write the file again; it ends too early.",
    "unlisted_dataset": "List the value under the destination's dataset_ids, or correct the path of its dataset_id.",
    "missing_required_field": "Map the field to a path that the event has, or to a constant.",
    "invalid_field": "Map the field to a value of its type; docs/mapping.md has the fields and their types.",
    "mapping_failed": "Simplify the directive that the message names, or map the field to a @path.",
    "template_failed": "Test the template's variables by {% if %} before they are used.",
    "invalid_event_time": "Map event_time to the event's time as ISO 8601 or Unix seconds.",
    "invalid_currency": "Map currency to an ISO 4217 code, or to a constant such as USD.",
    "invalid_delivery_category": "Map delivery_category to in_store, curbside or home_delivery, or leave it out.",
    "event_too_old": "Deliver events within 7 days, or 62 days with action_source physical_store.",
    "event_in_future": "Correct the clock where the event is made, or map event_time to the time of receipt.",
    "no_match_keys": "Map a key of user_data to what the event knows of the person, such as email or externalId.",
    "unhashed_user_data": "Map the value to one of user_data's own keys, which are hashed.",
    "match_keys_too_broad": "Map one more key of user_data, such as email, phone, externalId or client_ip_address.",
    "missing_client_user_agent": "Map user_data.client_user_agent, or set action_source to system_generated if no"
    " browser took part.",
    "missing_app_data": "Map app_data_field with use_app_data: true, version, osVersion and both tracking flags.",
    "invalid_extinfo": "Map app_data_field.version to a2 or i2, and app_data_field.osVersion.",
    "missing_messaging_channel": "Map messaging_channel to messenger, whatsapp or instagram.",
    "missing_messaging_ids": "Map the two IDs of the channel in user_data.",
    "missing_currency": "Map currency to an ISO 4217 code, or to a constant such as USD.",
    "missing_value": "Map value to the order's total.",
    "invalid_content_type": "Map content_type to product or product_group.",
    "invalid_data_processing_options": "Map data_processing_options_country to 0 or 1, and its state to match.",
    "unencodable": "Flatten the event where it is made.",
    "event_too_large": "Map fewer keys into custom_data, or raise delivery.max_batch_bytes.",
    "internal_error": "Report it with the event's form; other events are not affected.",
}


def of_code(code: str) -> str:
    """What to change for a rejection of which only the code is known."""
    return ADVICE.get(code, "")


def of_rejection(cause: Rejected, subscription: Subscription, event: Event, mask: Mask) -> str:
    """What to change for a rejected conversion; names a path of the event that looks like what was looked for."""
    if cause.code != "missing_required_field":
        return of_code(cause.code)
    for field in subscription.fields:
        if not field.required or field.name == "event_name":
            continue
        node = subscription.mapping.get(field.name, MISSING)
        value = MISSING if node is MISSING else _mapped(node, event)
        if value is MISSING or value is None or value == "":
            return _of_missing(field.name, node, event, mask)
    return of_code(cause.code)


def _mapped(node: Any, event: Event) -> Any:
    try:
        found = compile_mapping({"value": node})(event)
    except Exception:
        return MISSING
    return found.get("value", MISSING)


def _of_missing(name: str, node: Any, event: Event, mask: Mask) -> str:
    looked_for = () if node is MISSING else paths(node)
    there = [path for path in _paths(event) if all(mask.key(key) == key for key in parse_path(path))]
    near = _nearest([*looked_for, name], there)
    if near:
        return f'The event has {near}; if that is it: {name}: {{"@path": "{near}"}}'
    if not looked_for:
        return f"The mapping has no {name}: map it to a path that the event has, or to a constant."
    return f"Map {name} to a path that the event has, or to a constant."


def _nearest(wanted: list[str], there: list[str]) -> str:
    """The path whose last key resembles the last key of one that is looked for; "" where none does."""
    ends = {_end(path): path for path in reversed(there)}
    for path in wanted:
        close = difflib.get_close_matches(_end(path), list(ends), n=1, cutoff=0.7)
        if close:
            return ends[close[0]]
    return ""


def _end(path: str) -> str:
    return path.rpartition(".")[2].lower().replace("_", "").replace("-", "")


def _paths(value: Any, path: str = "$", levels: int = 5) -> Iterator[str]:
    """The paths to an event's texts and numbers, without those inside of lists."""
    if not isinstance(value, dict) or not levels:
        return
    for key, item in list(value.items())[:_MOST_KEYS]:
        if not key.replace("_", "").replace("-", "").isalnum():
            continue
        at = f"{path}.{key}"
        if isinstance(item, dict):
            yield from _paths(item, at, levels - 1)
        elif item is not None and item != "" and not isinstance(item, (bool, list)) and get_path(value, key) == item:
            yield at


_MOST_KEYS: Final = 200  # of an object
