"""What a mapping looks up, and texts in it that seem to be meant as lookups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from capybeam.pipeline.job.problems import Problems, suggestion
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.core.misspelled_keys import MEANT
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.language.directives.registry import DIRECTIVES
from capybeam.transforms.language.inspection import Lookup, Text, inspect_mapping

# The keys at the root of an event, by Segment's spec, and those that its libraries and destinations add.
OBJECTS: Final = ("properties", "traits", "context", "integrations")
EVENT_KEYS: Final = (
    *("type", "event", "name", "userId", "anonymousId", "messageId", "timestamp", *OBJECTS),
    *("originalTimestamp", "sentAt", "receivedAt", "groupId", "previousId", "category", "channel", "version"),
    *("projectId", "writeKey", "options", "_metadata"),
)
_INTERNAL: Final = "__segment_"  # what Segment adds inside of its own pipeline


def check_lookups(mapping: Mapping[str, Any], loc: Loc, problems: Problems) -> None:
    """Warns of paths whose root no event has, and of texts that look like a path, a template or a directive."""
    for found in inspect_mapping(mapping):
        at = (*loc, *found.place)
        if isinstance(found, Text):
            hint = hint_for(found.text)
            if hint and not problems.has_finding(at):
                problems.warn(at, f"is sent as this text, letter for letter{hint}")
        else:
            message = _doubt_of(found, _unwraps(problems.document.data))
            if message:
                problems.warn(at, message)


def _unwraps(data: Any) -> bool:
    return isinstance(data, dict) and data.get("unwrap") is not None


# --- paths ------------------------------------------------------------------------------------------------------------


def is_never_there(path: Any) -> bool:
    """Whether no event that reaches a job has what is at a path."""
    root = next(iter(parse_path(path)), "") if isinstance(path, str) else ""
    return root.startswith(_INTERNAL) or _BRACES.search(root) is not None


_BRACES: Final = re.compile(r"[{}]")


def _doubt_of(lookup: Lookup, unwraps: bool) -> str:
    """What is wrong with a path; "" where nothing is.

    Args:
        unwraps: whether events are taken out of messages, by a path of the job's.
    """
    *around, keys = lookup.chain
    if not keys:
        return ""
    if around:
        return _doubt_in_item(lookup, around[-1], keys)
    root = keys[0]
    if root.startswith(_INTERNAL):
        return (
            f"looks up {_shown(root)}, which is never there: Segment adds it for its own destinations, and events do"
            " not bring it"
        )
    if _BRACES.search(root):
        return 'is a template and not a path; write {"@template": "{{…}}"}'
    if root in EVENT_KEYS:
        return ""
    hint = f"; did you mean {MEANT[root]}?" if root in MEANT else suggestion(root, EVENT_KEYS, cutoff=0.7)
    if unwraps and not hint:
        return ""
    return f"looks up {_shown(root)}, which no event of Segment's spec has at its root{hint or _ROOTS}"


_ROOTS: Final = f"; most values are in {', '.join(OBJECTS[:-1])}"


def _doubt_in_item(lookup: Lookup, array: tuple[str, ...], keys: tuple[str, ...]) -> str:
    """In the shape of an @arrayPath, `array` being what leads to the items."""
    if len(keys) < 2 or keys[0] not in ("properties", "context", "traits") or array[-1:] == ("properties",):
        return ""
    if keys[: len(array)] == array:
        keys = keys[len(array) :]
    elif keys[0] == "context" or array[:1] != (keys[0],):
        return f"looks up {keys[0]} in each item: inside @arrayPath, paths start at the item and not at the event"
    else:
        keys = keys[1:]
    rest = [key for key in keys if not key.isdecimal()]
    return (
        f"starts at the event, but inside @arrayPath paths start at the item; did you mean $.{_shown('.'.join(rest))}?"
    )


def _shown(text: str) -> str:
    """A key as messages show it: never a long one, which may be a token."""
    return text if len(text) <= 60 else f"{text[:59]}…"


# --- texts ------------------------------------------------------------------------------------------------------------


def hint_for(text: str) -> str:
    """What to write where a text looks like a path, a template or a directive; "" where it does not."""
    stripped = text.strip()
    if stripped.startswith("@") and stripped[1:].partition(" ")[0].rstrip(":") in _DIRECTIVE_NAMES:
        name = stripped.partition(" ")[0].rstrip(":")
        return f'; a directive is a key with a value: {{"{name}": …}}'
    if "{%" in text or re.search(r"\{\{[^}]*\|[^}]*\}\}", text):
        return '; to have it filled in, write {"@liquid": "…"}'
    if re.search(r"\{\{[^}]+\}\}", text):
        return '; to have it filled in, write {"@template": "…"}'
    if re.search(r"\$\{[^}]+\}", text):
        return '; to have it filled in, write {"@template": "{{…}}"}'
    if len(stripped) > 200 or not (_PATH.fullmatch(stripped) or stripped in _IDS):
        return ""
    path = stripped if stripped.startswith("$") else f"$.{stripped}"
    return f'; to look it up in the event, write {{"@path": "{_shown(path)}"}}'


_DIRECTIVE_NAMES: Final = frozenset(name.removeprefix("@") for name in DIRECTIVES)
_KEY: Final = r"[A-Za-z_][\w-]*"
_STEP: Final = rf"(?:\.{_KEY}|\.\d+|\[[^\[\]]+\])"
_PATH: Final = re.compile(rf"\$(?:\.{_KEY}|\[[^\[\]]+\]){_STEP}*|(?:{'|'.join(OBJECTS)}){_STEP}+")
_IDS: Final = frozenset({"userId", "anonymousId", "messageId"})
