"""Expectations rewritten to what came out, in the test file's own text.

Only what differs is written anew, at its place: a value where values differ, and the whole of a case's `expect` where
there are other outcomes than expected. All else stays as it is to the byte, comments, order and quotes among it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import orjson
import yaml

from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.pipeline.job_tests.comparing import HASH_OF, MISSING, Comparison, Difference
from capybeam.transforms.meta.user_data import digest

Json = dict[str, Any]
Edit = tuple[int, int, str]  # what stands from one character to another is replaced


def updated(text: str, comparisons: Iterable[Comparison]) -> str:
    """A test file's text with the expectations of its failed cases as they have come out."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    edits = [edit for comparison in comparisons for edit in _edits(root, text, comparison)]
    line_end = "\r\n" if "\r\n" in text else "\n"
    free = len(text)
    for start, end, written in sorted(edits, reverse=True):
        new = written.replace("\n", line_end)
        if end <= free:  # an anchor may stand for several places, and is written once
            text, free = text[:start] + new + text[end:], start
    return text


def _edits(root: Any, text: str, comparison: Comparison) -> list[Edit]:
    if comparison.passed:
        return []
    try:
        return _edits_of_failed(root, text, comparison)
    except (LookupError, StopIteration):  # its text is somewhere else, where a << has taken it from
        return []


def _edits_of_failed(root: Any, text: str, comparison: Comparison) -> list[Edit]:
    case = comparison.case
    if comparison.is_regular and all(each.loc is not None for each in comparison.differences):
        return [_edit_value(root, text, each) for each in comparison.differences]
    key, value = _entry(root, case.expect_loc)
    indent = " " * (key.start_mark.column + 2)
    start = text.index(":", key.end_mark.index) + 1
    expectations = [_expectation(outcome) for outcome in comparison.outcomes]
    new = f" {_flow(expectations)}"
    if not _node(root, case.loc).flow_style:
        block = yaml.dump(expectations, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        new = "\n" + "\n".join(indent + line for line in block.splitlines())
    alias = _ALIAS.match(text, start) if value.start_mark.index < start else None
    if alias:  # its text is another case's, which stays as it is
        return [(start, alias.end(), new)]
    anchor = _anchor(value, text)
    return [(start, max(start, _end(value)), f" {anchor}{new}" if anchor else new)]


def _edit_value(root: Any, text: str, difference: Difference) -> Edit:
    assert difference.loc is not None
    value = _node(root, difference.loc)
    anchor = _anchor(value, text)
    return value.start_mark.index, _end(value), f"{anchor} {_flow(_new_value(difference))}".lstrip()


_ALIAS: Final = re.compile(r"\s*\*[^\s,\[\]{}]+")
_ANCHOR: Final = re.compile(r"&[^\s,\[\]{}]+")


def _anchor(node: Any, text: str) -> str:
    """The anchor by which others refer to a node, with its sign; "" for none."""
    found = _ANCHOR.match(text, node.start_mark.index)
    return found[0] if found else ""


def _new_value(difference: Difference) -> Any:
    """What came out; where it is the hash of what is expected but for its form, still by the text."""
    if isinstance(difference.expected, dict) and HASH_OF in difference.expected:
        bare = str(difference.expected[HASH_OF]).strip().lower()
        if digest(bare) == difference.actual:
            return {HASH_OF: bare}
    return None if difference.actual is MISSING else difference.actual


def _flow(value: Any) -> str:
    """A value in one line, as JSON, which is YAML."""
    return orjson.dumps(value).decode()


def _expectation(outcome: Json) -> Any:
    about: Json = {}
    if "destination" in outcome:
        about["subscription"] = f"{outcome['destination']}/{outcome['subscription']}"
    if outcome["status"] == "filtered":
        return {**about, "filtered": outcome["reason"]} if "reason" in outcome else "filtered"
    if outcome["status"] == "rejected":
        return {**about, "rejected": {"stage": outcome["stage"], "code": outcome["code"]}}
    return {**about, "payload": outcome["payload"]}


class _Dumper(yaml.SafeDumper):
    """Quotes what test files, which are YAML 1.2, would not read as the same text: 1e5."""


def _text(dumper: _Dumper, text: str) -> Any:
    plain = yaml_source.read(text, "").data == text
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


# --- nodes ------------------------------------------------------------------------------------------------------------


def _entry(node: Any, loc: Loc) -> tuple[Any, Any]:
    """The nodes of the key and the value at a place."""
    return next((key, value) for key, value in _node(node, loc[:-1]).value if key.value == loc[-1])


def _node(node: Any, loc: Loc) -> Any:
    for key in loc:
        if isinstance(node, yaml.SequenceNode):
            node = node.value[int(key)]
            continue
        found = [value for name, value in node.value if name.value == key]
        if not found and key in ("stage", "code"):  # of a rejection that is given by its code alone
            return node
        node = found[0]
        if isinstance(node, yaml.ScalarNode):
            return node
    return node


def _end(node: Any) -> int:
    """Where a node's own text ends: a block's mark is behind the blank lines and comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return int(node.end_mark.index)
    last = node.value[-1] if node.value else None
    return _end(last[1] if isinstance(last, tuple) else last) if last is not None else int(node.end_mark.index)
