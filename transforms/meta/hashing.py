"""The hash stage of Meta's conversions: user_data hashed, and personal data taken out of the other fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capybeam.transforms.core.conversions import Conversion, Count, Hashed, new_tuple
from capybeam.transforms.language.mapped_fields import mapped_names
from capybeam.transforms.language.subscriptions import Hash
from capybeam.transforms.meta.clearing import compile_clearing
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import compile_user_data


def compile_hashing(subscription: MetaSettings) -> Hash:
    """The function that replaces user_data by its normalised, hashed form and lets go of the event.

    A click ID in the page's URL is newer than another one in the cookie. What else is known to be personal is taken out
    of the other fields, among it what user_data has just given to be hashed. `count` is called with what was dropped.
    """
    hash_user_data = compile_user_data(subscription.default_country, _user_data_names(subscription.mapping))
    clear = compile_clearing(subscription)

    def hashed(conversion: Conversion, count: Count) -> Hashed:
        key, event_name, dataset_id, _, fields = conversion
        given = fields["user_data"]
        user_data = hash_user_data(given, count, fields["event_time"])
        fields = fields.copy()
        fields["user_data"] = user_data
        clear(given, user_data, fields, count)
        return new_tuple(Hashed, (key, fields.get("event_name", event_name), dataset_id, None, fields))

    return hashed


def _user_data_names(mapping: Mapping[str, Any]) -> frozenset[str] | None:
    """The keys that a mapping's user_data can have; None where they depend on the event."""
    node = mapping.get("user_data")
    return mapped_names(node) if isinstance(node, dict) and mapped_names(mapping) is not None else None
