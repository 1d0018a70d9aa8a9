"""``fields`` of the Graph API: which fields of a node are asked for, and those alone in the answer.

``fields=web{event_name,event_match_quality{composite_score}}`` (Meta, "Graph API overview", field expansion).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from capybeam.pipeline.sandbox.refusals import Refusal, shown

# The fields of a node, each with those of the nodes in it, or None for a plain value.
Schema = Mapping[str, "Schema | None"]
Wanted = Mapping[str, "Wanted | None"]

_TOKEN: Final = re.compile(r"\s*(?:([A-Za-z0-9_]+)|([{},]))")
MAX_DEPTH: Final = 20


def parse_fields(text: str) -> Wanted:
    """The names that are asked for, each with those inside. Raises `Refusal` as Meta does for a syntax error."""
    tokens = list(_tokens(text))
    wanted, end = _list(tokens, 0, text, 0)
    if end < len(tokens):
        raise _syntax_error(tokens[end][1], text)
    return wanted


def project(node: Any, wanted: Wanted | None, schema: Schema | None, kind: str) -> Any:
    """What of a node is asked for; all of it for None. Raises `Refusal` for a field that its kind does not have."""
    if wanted is None or schema is None:
        return node
    for name in wanted:
        if name not in schema:
            text = f"(#100) Tried accessing nonexisting field ({shown(name)}) on node type ({kind})"
            raise Refusal(text, None, verbatim=True, rule="(#100) Tried accessing nonexisting field (…)")
    if type(node) is list:
        return [project(item, wanted, schema, kind) for item in node]
    return {
        name: project(node[name], inside, schema[name], name) for name, inside in wanted.items() if name in (node or {})
    }


def check_fields(wanted: Wanted | None, schema: Schema | None, kind: str) -> None:
    """Raises `Refusal` for a field that is not in the schema, whether or not a node has a value for it."""
    project({}, wanted, schema, kind)
    for name, inside in (wanted or {}).items():
        if schema is not None and schema[name] is not None:
            check_fields(inside, schema[name], name)


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    place = 0
    while place < len(text.rstrip()):
        found = _TOKEN.match(text, place)
        if not found:
            raise _syntax_error(place, text)
        yield found[1] or found[2], found.start(found.lastindex or 0)
        place = found.end()


def _list(tokens: list[tuple[str, int]], at: int, text: str, depth: int) -> tuple[Wanted, int]:
    """The comma-separated names from `at`, and where they end."""
    names: dict[str, Wanted | None] = {}
    while True:
        if at >= len(tokens) or tokens[at][0] in "{},":
            raise _syntax_error(tokens[at][1] if at < len(tokens) else len(text), text)
        name, at = tokens[at][0], at + 1
        inside: Wanted | None = None
        if at < len(tokens) and tokens[at][0] == "{":
            if depth >= MAX_DEPTH:
                raise _syntax_error(tokens[at][1], text)
            inside, at = _list(tokens, at + 1, text, depth + 1)
            if at >= len(tokens) or tokens[at][0] != "}":
                raise _syntax_error(tokens[at][1] if at < len(tokens) else len(text), text)
            at += 1
        names[name] = inside
        if at >= len(tokens) or tokens[at][0] != ",":
            return names, at
        at += 1


def _syntax_error(place: int, text: str) -> Refusal:
    found = f'"{text[place]}"' if place < len(text) and text[place] in "{},." else "end of string"
    reason = f"Syntax error: unexpected {found} at character {place}: fields"
    return Refusal(reason, None, code=2500, rule="Syntax error in fields")
