"""Restricted destinations: what Meta's core setup leaves of an event.

Meta applies its core setup to data sources in categories such as health and finance: parameters that are not its
standard ones are dropped, and of URLs all behind the domain. With ``restricted: true`` these do not leave at all.
Source: Meta, "parameters/custom-data" (standard parameters), "conversion-leads-integration/payload-specification", and
its help on core setup. content_name, content_category, search_string and status are no standard parameters any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from capybeam.transforms.core.conversions import Count

STANDARD_PARAMETERS: Final = (
    *("currency", "value", "net_revenue", "predicted_ltv", "order_id", "num_items", "delivery_category"),
    *("content_ids", "content_type", "contents"),
    *("event_source", "lead_event_source"),  # of conversion leads
)
ITEM_PARAMETERS: Final = ("id", "quantity", "item_price", "delivery_category")  # of an item of contents
FREE: Final = ("attribution_data",)  # any keys may be in it, so none of it is known to be standard


def restrict(event: dict[str, Any], count: Count) -> dict[str, Any]:
    """A server event as a restricted destination gets it; `count` is called once for each part that loses something.

    Giving it an event that is restricted already changes and counts nothing.
    """
    kept = {name: value for name, value in event.items() if name not in FREE}
    for name in FREE:
        if name in event:
            count(f"restricted_{name}")
    for name in ("event_source_url", "referrer_url"):
        url = kept.get(name)
        if url is not None:
            _put(kept, name, _domain(url), count)
    if "custom_data" in kept:
        _put(kept, "custom_data", _standard(kept["custom_data"]), count)
    app_data = kept.get("app_data")
    if type(app_data) is dict and "install_referrer" in app_data:  # the parameters of a URL
        left = {key: value for key, value in app_data.items() if key != "install_referrer"}
        _put(kept, "app_data", left, count)
    return kept


def _put(event: dict[str, Any], name: str, left: Any, count: Count) -> None:
    if left == event[name]:
        return
    count(f"restricted_{name}")
    if left:
        event[name] = left
    else:
        del event[name]


def _domain(url: Any) -> str:
    """``https://shop.example/`` of a URL; "" where it has no domain.

    >>> _domain("https://user@shop.example:8443/tests/hiv?result=1#top")
    'https://shop.example:8443/'
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except (ValueError, AttributeError, TypeError):
        return ""
    return f"{parts.scheme}://{host}/" if parts.scheme and host else ""


def _standard(custom_data: Any) -> dict[str, Any]:
    """What is standard of a custom_data: by its key, and by its form, for an object may hold anything."""
    if type(custom_data) is not dict:
        return {}
    kept: dict[str, Any] = {}
    for key, value in custom_data.items():
        if key == "contents":
            left = _contents(value)
        elif key == "content_ids" and type(value) is list:
            left = [item for item in value if _is_plain(item)]
        elif key in STANDARD_PARAMETERS and _is_plain(value):
            left = value
        else:
            continue
        if left != []:
            kept[key] = left
    return kept


def _contents(value: Any) -> list[dict[str, Any]]:
    items = [_item(each) for each in value if isinstance(each, Mapping)] if type(value) is list else []
    return [item for item in items if item]


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item[key] for key in item if key in ITEM_PARAMETERS and _is_plain(item[key])}


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (dict, list))
