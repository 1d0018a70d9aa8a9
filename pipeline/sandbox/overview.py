"""What the page shows: sums, shares, groups and shapes, and no value that is about a person."""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from capybeam.pipeline.sandbox.fields import CONTENT, CUSTOM_DATA, is_digest
from capybeam.pipeline.sandbox.refusals import Json
from capybeam.pipeline.sandbox.store import Sandbox
from capybeam.pipeline.sandbox.totals import purchase_value

MOST_EVENTS: Final = 50  # of a dataset that are shown
MOST_DATASETS: Final = 20
MOST_SAMPLES: Final = 10
DEEPEST: Final = 6  # of an event that is shown
MOST_ENTRIES: Final = 50  # of an object or a list in it
LONGEST_NAME: Final = 100

_COUNTS: Final = (
    "requests",
    "events_received",
    "events_stored",
    "duplicates",
    "refused_requests",
    "raw_pii",
    "pii_in_custom_data",
    "pii_in_urls",
    "tokens_in_url",
    "without_event_id",
    "website_without_url",
)
# Texts that are words of Meta's, names of things, or made by the sender's program.
_SHOWN: Final = frozenset(
    """dataset event_name action_source event_id currency content_type content_ids id item_number delivery_category
    messaging_channel data_processing_options""".split()
)
_NUMBERS: Final = frozenset(CUSTOM_DATA) | frozenset(CONTENT) | {"event_time"}
_OBJECTS: Final = ("custom_data", "contents", "original_event_data")
_PEOPLE: Final = ("user_data", "match_keys")
_LETTERS: Final = re.compile(r"[^\W\d_]")
_DIGITS: Final = re.compile(r"\d")


def overview(sandbox: Sandbox) -> Json:
    """All that the page needs, ready for JSON."""
    now = sandbox.settings.clock()
    by_event = sandbox.totals.by_event()
    values = dict(purchase_value(by_event))
    datasets = [
        {
            "dataset": dataset,
            "stored": sum(sums.stored for sums in names.values()),
            "purchase_value": values.get(dataset, {}),
            "events": [
                {"event_name": name[:LONGEST_NAME], "stored": sums.stored, "match_keys": dict(sums.match_keys)}
                for name, sums in sorted(names.items(), key=lambda item: -item[1].stored)[:MOST_EVENTS]
            ],
            "more_events": max(0, len(names) - MOST_EVENTS),
        }
        for dataset, names in list(by_event.items())[:MOST_DATASETS]
    ]
    return {
        "now": now,
        "counts": {name: sandbox.counts[name] for name in _COUNTS},
        "datasets": datasets,
        "more_datasets": max(0, len(by_event) - MOST_DATASETS),
        "refusals": [asdict(group) for group in sandbox.refusal_groups.newest_first()],
        "switches": sandbox.faults.switches(),
        "injected": dict(sandbox.injected),
        "timeline": sandbox.timeline.show(now),
        "samples": [_shown(event) for event in islice(reversed(sandbox.last_events), MOST_SAMPLES)],
        "null": sandbox.settings.null,
        "wants_token": bool(sandbox.settings.tokens),
    }


def _shown(event: Json) -> Json:
    return {
        name: {key: _described(value) for key, value in event[name].items()} if name in _PEOPLE else _safe(name, value)
        for name, value in event.items()
    }


def _described(value: Any) -> str:
    """What a value of user_data is, without it."""
    values = value if type(value) is list else [value]
    kind = "SHA-256" if all(map(is_digest, values)) else "not hashed"
    return kind if len(values) == 1 else f"{len(values)} × {kind}"


def _safe(key: str, value: Any, known: bool = True, depth: int = 0) -> Any:
    """Under keys of Meta's (`known`) words and numbers as they are; of a URL its site, of all else the shape."""
    if depth > DEEPEST:
        return "…"
    if type(value) is dict:
        inside = known and key in _OBJECTS
        return {_key(name): _safe(name, v, inside, depth + 1) for name, v in list(value.items())[:MOST_ENTRIES]}
    if type(value) is list:
        return [_safe(key, item, known, depth + 1) for item in value[:MOST_ENTRIES]]
    if type(value) is str:
        return value[:LONGEST_NAME] if known and key in _SHOWN else _site(value) or shape(value)
    if type(value) in (int, float):
        return value if known and key in _NUMBERS else shape(str(value))
    return value


def _key(name: str) -> str:
    return name if name.isidentifier() and len(name) <= LONGEST_NAME else shape(name)


def _site(text: str) -> str:
    try:
        url = urlsplit(text)
    except ValueError:
        return ""
    return f"{url.scheme}://{url.hostname}/…" if url.scheme in ("http", "https") and url.hostname else ""


def shape(text: str) -> str:
    """Letters as a, digits as 9.

    >>> shape("SPRING-2026")
    'aaaaaa-9999'
    """
    return _DIGITS.sub("9", _LETTERS.sub("a", text[:LONGEST_NAME]))
