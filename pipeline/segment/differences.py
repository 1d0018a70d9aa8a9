"""What comes out otherwise than at Segment, read from a subscription's trigger and mapping alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from capybeam.pipeline.segment.segments_triggers import rules_of
from capybeam.transforms.language.mappings import paths


def of_trigger(trigger: str) -> Iterator[str]:
    """Where Segment's parser of triggers does not do what the text says, as docs/normalisation.md lists it."""
    return (_OF_TRIGGERS[each.name] for each in rules_of(trigger))


_OF_TRIGGERS: Final[Mapping[str, str]] = {
    "and, or": "trigger: `and` binds tighter than `or` here; at Segment the last of them rules the whole group",
    "parentheses": "trigger: parentheses inside parentheses work here; at Segment they never match",
    "not": "trigger: `not` works here; Segment ignores it, but for `!contains` and `!match`, which want a text there",
    "match": "trigger: match reads every * and ? here; at Segment one * at the beginning or the end",
}


def of_mapping(mapping: Mapping[str, Any]) -> Iterator[str]:
    """Notes on single fields, each beginning with the field's name."""
    for name, node in mapping.items():
        if any("__segment_entities" in text for text in _texts(node)):
            yield f"{name}: __segment_entities is Segment's own enrichment and not in events: it finds nothing here"
        for template in _array_templates(node):
            path = re.fullmatch(r"\s*\{\{\s*([^{}]+?)\s*\}\}\s*", template)
            instead = f'; {{"@path": "$.{path[1]}"}} gives a list' if path else ""
            yield f"{name}: a template in @arrayPath makes text of the list, here as at Segment{instead}"
        if name == "data_processing_options" and node is False:
            yield "data_processing_options: false sends an empty list here (use is not limited), nothing at Segment"
    user_data = mapping.get("user_data")
    if isinstance(user_data, Mapping):
        if any("fbclid" in path for path in (*paths(user_data.get("fbc")), *_texts(user_data.get("fbc")))):
            yield "user_data.fbc: an fbc is made of the click ID here; Segment sends it as it is, which Meta cannot use"
        if "externalId" in user_data and "@if" in str(user_data["externalId"]):
            yield "user_data.externalId: as mapped; `@coalesce` would also pass over '' and \"undefined\""


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for part in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from _texts(part)


def _array_templates(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        options = node.get("@arrayPath")
        first = options[0] if isinstance(options, list) and options else None
        if isinstance(first, Mapping) and isinstance(first.get("@template"), str):
            yield first["@template"]
    for part in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from _array_templates(part)
