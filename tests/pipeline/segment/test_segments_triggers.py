"""Triggers as Segment's parser reads them, where that is not what they say."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.pipeline.segment.segments_triggers import compile_segments_trigger, rules_of

A: dict[str, Any] = {"type": "track", "event": "A"}
B: dict[str, Any] = {"type": "track", "event": "B", "properties": {"plan": "pro"}}
PAGE: dict[str, Any] = {"type": "page", "name": "Home"}
EVENTS = (A, B, PAGE)

TRIGGERS: list[tuple[str, list[str], list[dict[str, Any]]]] = [
    ('type = "track"', [], [A, B]),
    ('type = "track" and (event = "A" or event = "B")', [], [A, B]),
    ('(event = "A" and type = "track") or name = "Home"', [], [A, PAGE]),
    ('event in ("A", "B") and type = "track"', [], [A, B]),
    ('properties.or = null and event = "A"', [], [A]),
    ('event = "A or B and C" or event = "A"', [], [A]),
    # the last one of a level rules it
    ('event = "A" or event = "B" and type = "track"', ["and, or"], []),
    ('type = "track" and event = "A" or name = "Home"', ["and, or"], [A, B, PAGE]),
    ('type = "track" and (event = "A" or event = "B" and type = "track")', ["and, or"], []),
    # never
    ('type = "track" and ((event = "A"))', ["parentheses"], []),
    # ignored
    ('not event = "A"', ["not"], [A]),
    ('type = "track" and !(event = "A")', ["not"], [A]),
    # counts, and wants a text
    ('!contains(event, "A")', ["not"], [B]),
    ('!match(event, "A*")', ["not"], [B]),
    # the end of the text, without the pattern's first character
    ('match(event, "A*")', [], [A]),
    ('match(event, "*B")', [], [B]),
    ('match(event, "zA")', ["match"], [A]),
    ('match(name, "H*e")', ["match"], []),
    ('match(name, "Ho?*")', ["match"], []),
]


@pytest.mark.parametrize(("trigger", "rules", "taken"), TRIGGERS, ids=[trigger for trigger, _, _ in TRIGGERS])
def test_a_trigger_takes_what_it_takes_at_segment(trigger: str, rules: list[str], taken: list[dict[str, Any]]) -> None:
    takes = compile_segments_trigger(trigger)

    assert [event for event in EVENTS if takes(event)] == taken
    assert [rule.name for rule in rules_of(trigger)] == rules
