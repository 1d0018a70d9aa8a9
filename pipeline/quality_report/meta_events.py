"""What a report looks at in an event as it goes out, on either of Meta's wires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from capybeam.transforms.meta.user_data import OFFLINE_KEYS


class MetaEvent(NamedTuple):
    """An event of Meta's.

    Attributes:
        keys: its match keys, by the Conversions API's names.
        event_time: Unix seconds.
        event_id: None on the older wire, which has none.
        data: where its value, currency and contents are.
    """

    keys: tuple[str, ...]
    event_time: int
    event_id: str | None
    is_website: bool
    has_url: bool
    data: Mapping[str, Any]


def meta_event(body: Any) -> MetaEvent | None:
    """A body, decoded; None where it has another form, as those of other types of destinations do."""
    if type(body) is not dict:
        return None
    event_time, user_data, match_keys = body.get("event_time"), body.get("user_data"), body.get("match_keys")
    if type(event_time) is not int:
        return None
    if type(user_data) is dict:
        data = body.get("custom_data")
        event_id = body.get("event_id")
        return MetaEvent(
            tuple(user_data),
            event_time,
            event_id if type(event_id) is str else None,
            body.get("action_source") == "website",
            "event_source_url" in body,
            data if type(data) is dict else _NOTHING,
        )
    if type(match_keys) is dict:
        return MetaEvent(tuple([_WIRES.get(name, name) for name in match_keys]), event_time, None, False, False, body)
    return None


_NOTHING: Final[Mapping[str, Any]] = {}
_WIRES: Final[Mapping[str, str]] = {name: wire for wire, (name, _) in OFFLINE_KEYS.items()}
