"""How well a set of match keys tells who somebody is.

Strong: at least one key that stands for one person, browser or device by itself. Weak: keys that Meta takes, but that
only together say who it may be, such as an IP address with a browser, or a name with a city. None: no key at all, or
only keys that are too broad together, which Meta refuses (subcode 2804050). Source of the last: Meta,
"parameters/customer-information-parameters"; the first two are this project's reading of the same page.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Final

from capybeam.pipeline.quality_report.numbers import Strength
from capybeam.transforms.meta.rules import BROAD_MATCH_KEYS
from capybeam.transforms.meta.user_data import KEYS

STRONG: Final = frozenset(
    """
    em ph external_id fbc fbp lead_id fb_login_id subscription_id anon_id madid page_scoped_user_id ctwa_clid ig_sid
    """.split()
)
ORDER: Final = {key.wire: place for place, key in enumerate(KEYS.values())}
LABELS: Final[Mapping[str, str]] = {
    "em": "email",
    "ph": "phone",
    "ge": "gender",
    "db": "date of birth",
    "ln": "last name",
    "fn": "first name",
    "ct": "city",
    "st": "state",
    "zp": "postal code",
    "external_id": "external ID",
    "client_ip_address": "IP address",
    "client_user_agent": "user agent",
    "fbc": "click ID",
    "fbp": "browser ID",
}


@functools.lru_cache(4096)
def strength(keys: frozenset[str]) -> Strength:
    """
    >>> strength(frozenset({"fbp", "ct"})), strength(frozenset({"client_ip_address", "client_user_agent"}))
    ('strong', 'weak')
    >>> strength(frozenset({"client_user_agent", "country"})), strength(frozenset())
    ('none', 'none')
    """
    if not STRONG.isdisjoint(keys):
        return "strong"
    return "none" if any(broad.issuperset(keys) for broad in BROAD_MATCH_KEYS) else "weak"


def in_order(keys: Iterable[str]) -> tuple[str, ...]:
    """Keys in the order in which they are listed everywhere."""
    return tuple(sorted(keys, key=lambda key: (ORDER.get(key, len(ORDER)), key)))
