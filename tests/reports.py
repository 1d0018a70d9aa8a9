"""Reports of runs, as tests read them: their sums, and what is in them in short."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema

from capybeam.pipeline.run.report_model import json_schema

Report = Mapping[str, Any]


@functools.cache
def _validator() -> Any:
    return jsonschema.Draft202012Validator(json_schema())


def problems_of(report: Report) -> Iterator[str]:
    """What does not hold in a report, whatever the run: its schema, and the sums at every level."""
    yield from (error.message for error in _validator().iter_errors(report))
    if report["read"] != report["taken"] + report["filtered"] + report["unreadable"] and report["balanced"]:
        yield "read is not taken + filtered + unreadable"
    if report["dead_letters"] != report["unreadable"] + report["dead_lettered"] and report["balanced"]:
        yield "dead_letters is not unreadable + dead_lettered"
    if report["dead_letters"] != sum(each["count"] for each in report["rejections"]):
        yield "dead_letters is not the sum of all rejections"
    yield from _level("all", report, [*report["destinations"].values()])
    for name, destination in report["destinations"].items():
        yield from _level(name, destination, [*destination["subscriptions"].values()])
        yield from _rejections(name, destination)
        for key in ("requests", "tries", "bytes"):
            if destination[key] > report[key]:
                yield f"{name}: more {key} than in all"
        for subscription, account in destination["subscriptions"].items():
            yield from _level(f"{name}/{subscription}", account, None)
            yield from _rejections(f"{name}/{subscription}", account)
    for key in ("requests", "tries", "bytes"):
        if report[key] != sum(each[key] for each in report["destinations"].values()):
            yield f"{key} of all destinations are not those of the run"


_PARTS = (
    "delivered",
    "dead_lettered",
    "without_consent",
    "repeated",
    "already_delivered",
    "already_dead_lettered",
    "in_flight",
)


def _level(name: str, level: Report, below: Sequence[Report] | None) -> Iterator[str]:
    if level["matched"] != sum(level[part] for part in _PARTS):
        yield f"{name}: matched is not the sum of its parts"
    if level["without_consent"] != sum(level["consent"].values()):
        yield f"{name}: consent does not add up"
    if below is not None:
        for key in ("matched", *_PARTS):
            if level[key] != sum(each[key] for each in below):
                yield f"{name}: {key} does not add up"


def _rejections(name: str, level: Report) -> Iterator[str]:
    if level["dead_lettered"] != sum(each["count"] for each in level["rejections"]):
        yield f"{name}: dead_lettered is not the sum of its rejections"
    if level["retryable"] != sum(each["count"] for each in level["rejections"] if each["retryable"]):
        yield f"{name}: retryable is not the sum of its rejections"


def by_code(rejections: Sequence[Report]) -> dict[str, int]:
    """Counts by ``stage/code``."""
    counts: dict[str, int] = {}
    for each in rejections:
        name = f"{each['stage']}/{each['code']}"
        counts[name] = counts.get(name, 0) + each["count"]
    return dict(sorted(counts.items()))


def unreadable(report: Report) -> dict[str, int]:
    """What was rejected before any subscription, by ``stage/code``."""
    rejected = by_code(report["rejections"])
    for account in subscriptions(report).values():
        for name, count in account["dead_lettered"].items():
            rejected[name] -= count
    return {name: count for name, count in rejected.items() if count}


def subscriptions(report: Report) -> dict[str, dict[str, Any]]:
    """The accounts of subscriptions with anything in them, by ``destination/subscription``, in short."""
    return {
        f"{name}/{subscription}": {
            "matched": account["matched"],
            "delivered": account["delivered"],
            "dead_lettered": by_code(account["rejections"]),
            "notes": account["notes"],
        }
        for name, destination in sorted(report["destinations"].items())
        for subscription, account in sorted(destination["subscriptions"].items())
        if account["matched"]
    }


def in_short(report: Report) -> dict[str, Any]:
    """The counts of a report, whose sums hold."""
    assert list(problems_of(report)) == []
    names = ("balanced", "read", "taken", "filtered", "unreadable", "matched", "delivered", "dead_lettered")
    return {
        **{name: report[name] for name in names},
        "rejected_before_matching": unreadable(report),
        "subscriptions": subscriptions(report),
    }
