"""Meta's Dataset Quality API, computed of what the sandbox has stored.

Source: Meta, "Dataset Quality API" (marketing-api/conversions-api/dataset-quality-api): ``GET /dataset_quality`` with
``dataset_id``, ``fields`` and, for the events of one partner agent, ``agent_name``. The answer has a list ``web``, an
entry for each event name. As Meta does, the answer leaves out what there is no data for: the sandbox sees no events of
browsers, so it knows no share of them.

Its composite score is not Meta's, which also counts the persons that were found. It grows with the share of events that
have each key, by the weights below, and the answer says so under ``sandbox``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from capybeam.pipeline.sandbox.graph_fields import Schema
from capybeam.pipeline.sandbox.refusals import Json
from capybeam.pipeline.sandbox.totals import DEDUPE_KEYS, Sums

_SHARE: Final[Schema] = {"percentage": None, "description": None}
WEB: Final[Schema] = {
    "event_name": None,
    "event_match_quality": {
        "composite_score": None,
        "match_key_feedback": {"identifier": None, "coverage": _SHARE, "potential_aly_acr_increase": _SHARE},
        "diagnostics": dict.fromkeys(
            ("name", "description", "solution", "percentage", "affected_event_count", "total_event_count")
        ),
    },
    "event_potential_aly_acr_increase": _SHARE,
    "acr": _SHARE,
    "event_coverage": {**_SHARE, "goal_percentage": None, "potential_aly_acr_increase": _SHARE},
    "dedupe_key_feedback": {
        "dedupe_key": None,
        "browser_events_with_dedupe_key": _SHARE,
        "server_events_with_dedupe_key": _SHARE,
        "overall_browser_coverage_from_dedupe_key": _SHARE,
    },
    "data_freshness": {"upload_frequency": None, "description": None},
}
DATASET_QUALITY: Final[Schema] = {"web": WEB}
DEFAULT_FIELDS: Final = "web{event_name,event_match_quality{composite_score,match_key_feedback{identifier,coverage}}}"
NOTE: Final = {
    "note": "composite_score is the sandbox's own: it counts the match keys that it received, and knows no persons."
}

# Identifiers as in Meta's documentation, where it has them; the rest are the keys of user_data themselves.
IDENTIFIERS: Final[Mapping[str, str]] = {
    "em": "email",
    "ph": "phone",
    "client_ip_address": "ip_address",
    "client_user_agent": "user_agent",
}
# What a key that every event has adds to the score, at most 10 in all.
WEIGHTS: Final[Mapping[str, float]] = {
    "em": 3.0,
    "ph": 2.0,
    "external_id": 1.5,
    "fbc": 1.5,
    "fbp": 1.0,
    "client_ip_address": 1.0,
    "client_user_agent": 0.5,
    "fb_login_id": 1.0,
    **dict.fromkeys(("fn", "ln", "db", "ge", "ct", "st", "zp", "country"), 0.3),
}
FREQUENCIES: Final = ((3600.0, "real_time"), (24 * 3600.0, "hourly"), (float("inf"), "daily"))  # by the mean delay
COVERAGE_GOAL: Final = 75  # percent, Meta's


def dataset_quality(by_event: Mapping[str, Sums]) -> Json:
    """The whole answer; `by_event` are the web events of a dataset by name."""
    return {"web": [_event(name, sums) for name, sums in sorted(by_event.items())]}


def _event(name: str, sums: Sums) -> Json:
    shares = {key: count / sums.stored for key, count in sums.match_keys.items()}
    score = sum(WEIGHTS.get(key, 0.0) * share for key, share in shares.items())
    frequency = next(word for limit, word in FREQUENCIES if sums.delay / sums.stored < limit)
    return {
        "event_name": name,
        "event_match_quality": {
            "composite_score": round(min(10.0, score), 1),
            "match_key_feedback": [
                {"identifier": IDENTIFIERS.get(key, key), "coverage": {"percentage": _percent(share)}}
                for key, share in sorted(shares.items(), key=lambda item: (-item[1], item[0]))
            ],
            "diagnostics": [],
        },
        "event_coverage": {
            "goal_percentage": COVERAGE_GOAL,
            "description": "The sandbox receives no browser events, so it knows no share of them.",
        },
        "dedupe_key_feedback": [
            {
                "dedupe_key": key,
                "server_events_with_dedupe_key": {
                    "percentage": _percent(sums.dedupe_keys[key] / sums.stored),
                    "description": "The percentage of server events that contain this dedupe key.",
                },
            }
            for key in DEDUPE_KEYS
        ],
        "data_freshness": {
            "upload_frequency": frequency,
            "description": "By the average time between an event and its arrival at the sandbox.",
        },
    }


def _percent(share: float) -> float:
    return round(100 * share, 1)
