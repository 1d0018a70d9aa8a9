"""Before and after: the numbers of two job files side by side."""

from __future__ import annotations

from capybeam.pipeline.quality_report.match_keys import in_order
from capybeam.pipeline.quality_report.numbers import Compared, ComparedGroup, Group, JobNumbers


def comparison(before: JobNumbers, after: JobNumbers) -> tuple[ComparedGroup, ...]:
    """What two jobs make of each destination's events, in the first one's order."""
    old, new = _by_name(before), _by_name(after)
    return tuple(_compared(at, old.get(at), new.get(at)) for at in dict.fromkeys((*old, *new)))


def _by_name(job: JobNumbers) -> dict[tuple[str, str], Group]:
    return {(group.destination, group.event_name): group for group in job.groups}


def _compared(at: tuple[str, str], before: Group | None, after: Group | None) -> ComparedGroup:
    counts = tuple(
        Compared(name, getattr(before, name) if before else 0, getattr(after, name) if after else 0)
        for name in ("conversions", "ready", "rejected")
    )
    old, new = _shares(before), _shares(after)
    names = ("strong", *in_order({*old, *new} - {"strong"}))
    return ComparedGroup(*at, counts, tuple(Compared(name, old.get(name, 0.0), new.get(name, 0.0)) for name in names))


def _shares(group: Group | None) -> dict[str, float]:
    if group is None or not group.examined:
        return {}
    counts = {"strong": group.strength["strong"], **{each.key: each.count for each in group.keys}}
    return {name: count / group.examined for name, count in counts.items()}
