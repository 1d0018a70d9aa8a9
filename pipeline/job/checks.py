"""Checks that types of destinations share: triggers, mappings and names, on plain data that may be wrong in any way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from capybeam.pipeline.job.constants import check_constants
from capybeam.pipeline.job.lookups import check_lookups
from capybeam.pipeline.job.problems import Problems
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.language.directives.registry import MappingError
from capybeam.transforms.language.fields import Field
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.language.trigger_checks import doubts
from capybeam.transforms.language.triggers import TriggerError, compile_trigger


def check_trigger(trigger: Any, loc: Loc, problems: Problems) -> None:
    """FQL, where it is text at all."""
    if not isinstance(trigger, str):
        return
    try:
        compile_trigger(trigger)
    except TriggerError as error:
        position = problems.document.inside(loc, error.offset)
        problems.add(loc, f"{error} (character {error.offset + 1})", position)
        return
    for doubt in doubts(trigger):
        add = problems.add if doubt.never else problems.warn
        effect = "; no event can pass this trigger" if doubt.never else ""
        position = problems.document.inside(loc, doubt.offset)
        add(loc, f"{doubt.message}{effect} (character {doubt.offset + 1})", position)


def check_mapping(mapping: Any, loc: Loc, problems: Problems, fields: Sequence[Field] = ()) -> None:
    """Field → mapping, where it is an object at all.

    Args:
        fields: those that the mapping's constants are checked by.
    """
    if not isinstance(mapping, dict):
        return
    sound: dict[str, Any] = {}
    for name, node in mapping.items():
        if name.startswith("@"):
            problems.add((*loc, name), "a mapping's own keys are fields of the action, not directives")
            continue
        try:
            compile_mapping({name: node})
        except MappingError as errors:
            for problem in errors.problems:
                problems.add((*loc, *problem.path), problem.message)
        else:
            sound[name] = node
    check_constants(sound, fields, loc, problems)
    check_lookups(sound, loc, problems)


def check_unique(names: Iterable[tuple[Any, Loc]], what: str, problems: Problems) -> None:
    """Names, each with the place of the key that gives it, in the object that is named; `what` that object is."""
    seen: dict[str, Loc] = {}
    for name, loc in names:
        if not isinstance(name, str):
            continue
        if name in seen:
            line, _ = problems.document.position(seen[name])
            hint = "" if loc[-1] == "name" else "; give it another name"
            problems.add(loc, f"{name!r} is already the name of the {what} at line {line}{hint}")
        seen.setdefault(name, loc[:-1])
