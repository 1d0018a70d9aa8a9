"""The types of destinations, by the name that a job file gives as ``type``."""

from __future__ import annotations

import difflib
from typing import Any, Final

from capybeam.pipeline.job.destination_types import DestinationType
from capybeam.pipeline.job.destinations.facebook_conversions_api import FACEBOOK_CONVERSIONS_API
from capybeam.pipeline.job.destinations.facebook_offline_conversions import FACEBOOK_OFFLINE_CONVERSIONS

DESTINATION_TYPES: Final[dict[str, DestinationType[Any]]] = {
    each.name: each for each in (FACEBOOK_CONVERSIONS_API, FACEBOOK_OFFLINE_CONVERSIONS)
}


def likeliest_type(destination: Any) -> DestinationType[Any]:
    """The type that a destination, plain data, is checked as.

    That is its own; where it has none that is known, the one most like it, else the one with most of its settings.
    """
    settings = destination if isinstance(destination, dict) else {}
    given = str(settings.get("type", ""))
    if given in DESTINATION_TYPES:
        return DESTINATION_TYPES[given]
    close = difflib.get_close_matches(given, DESTINATION_TYPES, n=1, cutoff=0.5)
    if close:
        return DESTINATION_TYPES[close[0]]
    return max(DESTINATION_TYPES.values(), key=lambda each: len(settings.keys() & each.model.model_fields.keys()))
