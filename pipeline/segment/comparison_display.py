"""A comparison with Segment for people, and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
from rich.console import Console
from rich.text import Text

from capybeam.pipeline.explain.display import printable
from capybeam.pipeline.segment.comparison import EVENT, Comparison, Difference, EventKind, OfSubscription
from capybeam.transforms.core.conversions import split_key

_KINDS: Final[dict[EventKind, str]] = {
    "event_only_capybeam": "only capybeam sends the event",
    "event_only_segment": "only Segment sends the event",
    "only_capybeam": "only capybeam sends it",
    "only_segment": "only Segment sends it",
    "value": "the value differs",
    "form": "only the form differs",
    "unknown": "not known",
}
_LONGEST: Final = 120  # characters of an example


def as_json(comparison: Comparison, left_out: tuple[str, ...]) -> dict[str, Any]:
    """A comparison as JSON can carry it. Shares are of a subscription's events, 0 to 1."""
    return {
        "events": comparison.events,
        "unreadable": dict(sorted(comparison.unreadable.items())),
        "subscriptions": [_of_subscription(each) for each in comparison.subscriptions],
        "not_compared": list(left_out),
    }


def _of_subscription(of: OfSubscription) -> dict[str, Any]:
    destination, subscription = split_key(of.key)
    return {
        "destination": destination,
        "subscription": subscription,
        "events": of.events,
        "both": of.both,
        "only_capybeam": of.only_capybeam,
        "only_segment": of.only_segment,
        "neither": of.neither,
        "differences": [_of_difference(each, of) for each in of.differences],
        "notes": list(of.notes),
    }


def _of_difference(each: Difference, of: OfSubscription) -> dict[str, Any]:
    return {
        "field": each.field,
        "kind": each.kind,
        "count": each.count,
        "share": round(each.count / of.events, 4),
        "rule": each.rule.name,
        **({"code": each.code} if each.code else {}),
        "reason": each.reason,
        "docs": each.rule.docs,
        "example": dict(each.example),
    }


def show(comparison: Comparison, left_out: tuple[str, ...], console: Console) -> None:
    """Writes a comparison to a console, a table for each subscription."""
    for text, style in _lines(comparison, left_out):
        console.print(Text(printable(text), style=style))


def _lines(comparison: Comparison, left_out: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for code, count in sorted(comparison.unreadable.items()):
        yield f"{count:,} {'row is not an event' if count == 1 else 'rows are not events'}: {code}", "yellow"
    for of in comparison.subscriptions:
        yield "", ""
        yield f"{of.key}: {_events(of.events)}", "bold underline"
        if of.events:
            yield (
                f"  sent by both {of.both:,}, only by capybeam {of.only_capybeam:,}, only by Segment"
                f" {of.only_segment:,}, by neither {of.neither:,}",
                "",
            )
        yield from ((f"  {note}", "yellow") for note in of.notes)
        yield from _table(of)
    for name in left_out:
        yield "", ""
        yield f"{name}: not compared, because it was not carried over", "yellow"


def _table(of: OfSubscription) -> Iterator[tuple[str, str]]:
    found = of.differences
    if of.neither and of.neither == of.events:
        yield "  neither sends any of them; capybeam map says why", "yellow"
    elif of.events and not found:
        yield "  nothing differs", "green"
    if not found:
        return
    width = max(len(each.field) for each in found)
    yield f"  {'events':>7}  {'share':>6}  {'field':{width}}  difference", "bold"
    for each in found:
        share = f"{each.count / of.events:.1%}"
        yield f"  {each.count:7,}  {share:>6}  {each.field:{width}}  {_KINDS[each.kind]}{_example(each)}", ""
        yield f"{'':21}{each.reason} {each.rule.docs}", "dim"


def _example(each: Difference) -> str:
    """The example of a difference: of a whole event a sentence, of a field its values."""
    if each.field == EVENT:
        code = f"{each.code}, " if each.code else ""
        return f": {code}{' '.join(str(text) for text in each.example.values())}" if each.example else ""
    sides = [f"{side} {_short(each.example[key])}" for key, side in _SIDES.items() if key in each.example]
    return f": {', '.join(sides)}" if sides else ""


_SIDES: Final = {"given": "given", "segment": "Segment", "capybeam": "capybeam"}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _events(number: int) -> str:
    return f"{number:,} event{'s' * (number != 1)}"
