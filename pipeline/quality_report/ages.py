"""How old conversions are, against the ages that matter to Meta.

2 h: from then on ads are steered later by them; 24 h: badly so; 7 days: Meta refuses all but a store's; 28 days: none
is attributed to an ad; 62 days: a store's are refused, too. Source: Meta, "best-practices" and "using-the-api".
"""

from __future__ import annotations

import bisect
from typing import Final

from capybeam.transforms.meta.rules import ATTRIBUTION_WINDOW, DAY, MAX_AGE, MAX_AHEAD, MAX_STORE_AGE

HOUR: Final = 3600
_LIMITS: Final = (-MAX_AHEAD, 2 * HOUR + 1, DAY + 1, MAX_AGE + 1, ATTRIBUTION_WINDOW + 1, MAX_STORE_AGE + 1)  # seconds
AGES: Final = (
    "in the future",
    "up to 2 hours",
    "2 to 24 hours",
    "1 to 7 days",
    "7 to 28 days",
    "28 to 62 days",
    "over 62 days",
)


def age_of(event_time: float, now: float) -> str:
    """The name of an age, of `AGES`. A limit itself belongs to the younger ones, as in Meta's rules.

    >>> age_of(0, 7200), age_of(0, 7201), age_of(61, 0)
    ('up to 2 hours', '2 to 24 hours', 'in the future')
    """
    return AGES[bisect.bisect_right(_LIMITS, int(now - event_time))]
