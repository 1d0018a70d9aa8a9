"""Which events a trigger takes at Segment, whose parser has defects that docs/normalisation.md lists.

Conditions mean the same at Segment and here; what differs is how its parser puts them together. So a trigger is taken
apart into its conditions, and each is compiled as it is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from capybeam.pipeline.segment.difference_rules import Rule, rule
from capybeam.transforms.core.events import Event
from capybeam.transforms.language.triggers import (
    Trigger,
    TriggerNode,
    compile_node,
    compile_operand,
    parse_trigger,
    value_of,
)

_STRING: Final = r"""\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"""
_TOKEN: Final = re.compile(
    rf"(?P<text>{_STRING})|(?P<call>(?:contains|match|lowercase|length|typeof|\bin)\s*\()|(?P<open>\()|(?P<close>\))"
    r"|(?P<not>!(?!=)|\bnot\b(?![\w.]))|(?P<join>\b(?:and|or)\b(?![\w.]))|(?P<rest>[\w$.\\-]+|\s+|.)",
    re.IGNORECASE | re.DOTALL,
)


class _Never(Exception):
    """Parentheses inside parentheses, of which Segment's parser makes nothing."""


def rules_of(trigger: str) -> tuple[Rule, ...]:
    """The rules by which Segment reads a trigger otherwise than it is read here; none for most."""
    tokens = list(_tokens(trigger))
    depth, found = 0, dict[str, None]()
    words: list[set[str]] = [set()]
    for kind, text in tokens:
        if kind == "open":
            depth += 1
            words.append(set())
            if depth > 1:
                found["parentheses"] = None
        elif kind == "close":
            depth -= 1
        elif kind == "not":
            found["not"] = None
        elif kind == "join":
            words[0 if depth == 0 else -1].add(text)
        elif kind == "condition" and _is_match_of_the_end(text):
            found["match"] = None
    if any(len(each) > 1 for each in words):
        found["and, or"] = None
    return tuple(rule(name) for name in found)


def compile_segments_trigger(trigger: str) -> Trigger:
    """The function from an event to whether Segment's parser takes it. Raises TriggerError."""
    try:
        return _group(list(_tokens(trigger)), inside=False)
    except _Never:
        return lambda event: False


def _tokens(trigger: str) -> Iterator[tuple[str, str]]:
    """A trigger's parts: open, close, not, join (``and``, ``or``), and condition, with all that belongs to it."""
    condition, depth = "", 0
    for found in _TOKEN.finditer(trigger):
        kind, text = found.lastgroup or "", found[0]
        if depth or kind in ("text", "call", "rest"):
            depth += (kind in ("call", "open")) - (kind == "close")
            condition += text
            continue
        if condition.strip():
            yield "condition", condition.strip()
        condition = ""
        yield kind, text.lower()
    if condition.strip():
        yield "condition", condition.strip()


def _group(tokens: list[tuple[str, str]], inside: bool) -> Trigger:
    """All conditions of a level, joined as the last ``and`` or ``or`` of it says.

    Args:
        inside: whether it is one in parentheses.
    """
    parts: list[Trigger] = []
    joined, negated = "and", False
    rest = iter(tokens)
    for kind, text in rest:
        if kind == "condition":
            parts.append(_condition(text, negated))
        elif kind == "join":
            joined = text
        elif kind == "open":
            if inside:
                raise _Never
            parts.append(_group(list(_until_closed(rest)), inside=True))
        negated = kind == "not" and text == "!"
    if len(parts) == 1:
        return parts[0]
    together: Callable[..., bool] = any if joined == "or" else all
    return lambda event: together(part(event) for part in parts)


def _until_closed(rest: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for kind, text in rest:
        if kind == "open":
            raise _Never
        if kind == "close":
            return
        yield kind, text


def _condition(text: str, negated: bool) -> Trigger:
    """A condition; ``!`` counts in front of contains and match only, which then still want a text."""
    node = parse_trigger(text)
    if node.kind not in ("contains", "match"):
        return compile_node(node)
    holds = _end_matches(node) if _is_match_of_the_end(text) else compile_node(node)
    if not negated:
        return holds
    operand = compile_operand(node.parts[0])
    return lambda event: type(operand(event)) is str and not holds(event)


def _is_match_of_the_end(text: str) -> bool:
    """Whether a condition is a match whose pattern is not a text in front of one star, or behind one."""
    if not re.match(r"match\s*\(", text, re.IGNORECASE):
        return False
    node = parse_trigger(text)
    pattern = value_of(node.parts[1])
    if node.kind != "match" or not isinstance(pattern, str):
        return False
    bare = pattern[:-1] if pattern.endswith("*") else pattern[1:]
    return "*" in bare or "?" in bare or "*" not in pattern


def _end_matches(node: TriggerNode) -> Trigger:
    """With a star at the end the text's beginning is compared, else its end, with the pattern's first character off."""
    operand, pattern = compile_operand(node.parts[0]), str(value_of(node.parts[1]))
    from_start = pattern.endswith("*")
    bare = pattern[:-1] if from_start else pattern[1:]

    def matches(event: Event) -> bool:
        value = operand(event)
        return type(value) is str and (value.startswith(bare) if from_start else value.endswith(bare))

    return matches
