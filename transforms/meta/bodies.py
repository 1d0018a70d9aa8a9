"""Events of Meta's that come back in dead letters: whether they have the form of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# What a server event has at least (and the fields of a conversion, where a defect has kept it from becoming one), and
# what an event of the older wire has. Other keys are Meta's to judge.
_SERVER_EVENT: Final[Mapping[str, type]] = {
    "event_time": int,
    "event_name": str,
    "event_id": str,
    "action_source": str,
    "user_data": dict,
}
_OFFLINE_EVENT: Final[Mapping[str, type]] = {"event_time": int, "event_name": str, "match_keys": dict}
_OPTIONAL: Final[Mapping[str, type]] = {
    "custom_data": dict,
    "app_data": dict,
    "messaging_channel": str,
    "app_data_field": dict,
    "event_source_url": str,
    "test_event_code": str,
}


def is_body(body: Mapping[str, Any], is_encoded: bool) -> bool:
    """Whether a body has the parts that the rules look at, each of its type.

    Args:
        is_encoded: whether it is an event as it goes out, rather than the fields of one.
    """
    required = _OFFLINE_EVENT if is_encoded and "match_keys" in body else _SERVER_EVENT
    return (
        all(type(body.get(key)) is kind for key, kind in required.items())
        and all(key not in body or type(body[key]) is kind for key, kind in _OPTIONAL.items())
        and (is_encoded or all(body["user_data"].values()))
    )
