"""Constants of a mapping, checked as their fields check the values of events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from capybeam.pipeline.job.lookups import hint_for
from capybeam.pipeline.job.problems import Problems, suggestion
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.language.directives.registry import is_directive
from capybeam.transforms.language.fields import Field, FieldError, NoChoice, compile_check
from capybeam.transforms.standards.currencies import CURRENCIES


class Place(NamedTuple):
    """Where a part of a mapping is, and what it is there.

    Attributes:
        certain: whether it is what every event gets; otherwise some may get another part.
        inside: whether it is inside of an object or a list, where a value that does not fit is left out.
        complete: whether an object is all that the field gets, rather than a part of it.
    """

    loc: Loc
    certain: bool = True
    inside: bool = False
    complete: bool = True

    def at(self, *keys: str | int, certain: bool = True, inside: bool | None = None) -> Place:
        return Place(
            (*self.loc, *keys), self.certain and certain, self.inside if inside is None else inside, self.complete
        )


def check_constants(mapping: Mapping[str, Any], fields: Sequence[Field], loc: Loc, problems: Problems) -> None:
    """Adds what is wrong with the constants of a mapping, whose keys are names of `fields`.

    A constant that its field cannot take is an error: it rejects every event, or is left out of every one. Where it is
    one of several possible values, as behind an @if, it is a warning, as other events are fine.
    """
    checker = _Checker(problems)
    known = {field.name: field for field in fields}
    for name, node in mapping.items():
        if name in known:
            checker.check(node, known[name], Place((*loc, name)))


def is_nothing(node: Any, is_missing: Callable[[Any], bool] = lambda _: False) -> bool:
    """Whether a part of a mapping yields nothing for any event.

    Args:
        is_missing: whether the options of a @path lead nowhere in any event.
    """
    if node is None or node == "":
        return True
    if not is_directive(node):
        return False
    ((name, options),) = [(key, node[key]) for key in node if key.startswith("@")][:1]
    if name == "@path":
        return is_missing(options)
    if name == "@literal":
        return is_nothing(options, is_missing)
    if name == "@coalesce" and isinstance(options, list):
        return all(is_nothing(option, is_missing) for option in options)
    if name == "@if" and isinstance(options, dict):
        return all(is_nothing(options.get(key), is_missing) for key in ("then", "else"))
    return False


class _Checker:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def check(self, node: Any, field: Field, place: Place) -> None:
        if node is None or node == "":  # no value
            return
        if is_directive(node):
            for part, at in _yielded(node, place):
                self.check(part, field, at)
            if field.multiple:
                self._check_shape(node, field, place)
        elif isinstance(node, list) and (field.multiple or field.type == "strings"):
            one = _one(field)
            for index, item in enumerate(node):
                self.check(item, one, place.at(index, inside=True))
        elif field.type == "object" and isinstance(node, dict):
            self._check_object(node, field, place)
        else:
            self._check_value(node, field, place)

    def _check_shape(self, node: Mapping[str, Any], field: Field, place: Place) -> None:
        """The shape of an @arrayPath's items."""
        options = node.get("@arrayPath")
        if isinstance(options, list) and len(options) == 2 and isinstance(options[1], dict) and options[1]:
            self.check(options[1], _one(field), place.at("@arrayPath", 1, inside=True))

    def _check_object(self, node: Mapping[str, Any], field: Field, place: Place) -> None:
        if field.properties is None:
            return
        known = {inner.name: inner for inner in field.properties}
        for key, part in node.items():
            if key in known:
                self.check(part, known[key], place.at(key, inside=True))
            else:
                self._problems.warn(
                    (*place.loc, key), f"is not a field of {field.name} and is left out{suggestion(key, known)}"
                )
        lacking = [name for name, inner in known.items() if inner.required and is_nothing(node.get(name))]
        if lacking and place.complete:
            add = self._problems.add if place.certain else self._problems.warn
            add(place.loc, f"has no {' and no '.join(lacking)}, without which it is left out of every event")

    def _check_value(self, value: Any, field: Field, place: Place) -> None:
        try:
            compile_check(field)(value)
        except FieldError as error:
            rejects = isinstance(error, NoChoice) or not (place.inside or field.multiple)
            if place.certain:
                effect = "it rejects every event" if rejects else "it is left out of every event"
                add = self._problems.add
            else:
                effect = (
                    "it rejects each event that gets it" if rejects else "it is left out of each event that gets it"
                )
                add = self._problems.warn
            should = error.should if field.type != "object" or field.multiple else "should be an object"
            if field.multiple:
                should = f"should be a list of {_PLURALS[field.type]}"
            add(place.loc, f"{should}{_hint(value, field)}; {effect}")


_PLURALS: Final[Mapping[str, str]] = {
    "string": "strings",
    "number": "numbers",
    "integer": "integers",
    "boolean": "true or false",
    "time": "times",
    "currency": "currencies",
    "object": "objects",
}


def _one(field: Field) -> Field:
    """The field of one item of a list."""
    return dataclasses.replace(field, multiple=False, type="string" if field.type == "strings" else field.type)


def _hint(value: Any, field: Field) -> str:
    if isinstance(value, dict) and len(value) == 1 and (key := next(iter(value))) in _FORGOTTEN:
        return f"; did you mean @{key}?"
    if not isinstance(value, str):
        return ""
    lookup = hint_for(value)
    if lookup:
        return lookup
    if field.type == "currency":
        return suggestion(value.strip().upper(), CURRENCIES, cutoff=0.8)
    return suggestion(value.strip().lower(), [str(choice) for choice in field.choices])


_FORGOTTEN: Final = ("path", "template", "liquid", "if", "literal", "coalesce", "arrayPath", "case")


def _yielded(node: Mapping[str, Any], place: Place) -> Iterator[tuple[Any, Place]]:
    """The constants and directives that a directive may yield as they are."""
    for name, options in node.items():
        at = place.at(name)
        if name in ("@literal", "@excludeWhenNull") or (
            name in ("@template", "@liquid")
            and isinstance(options, str)
            and "{{" not in options
            and "{%" not in options
        ):
            yield options, at
        elif name == "@coalesce" and isinstance(options, list):
            for index, option in enumerate(options):
                yield option, at.at(index, certain=index == 0)
        elif name == "@merge" and isinstance(options, dict) and isinstance(options.get("objects"), list):
            for index, part in enumerate(options["objects"]):
                yield part, at.at("objects", index, certain=False)._replace(complete=False)
        elif name == "@if" and isinstance(options, dict):
            for key in ("then", "else"):
                yield options.get(key), at.at(key, certain=False)
        elif name == "@case" and isinstance(options, dict) and isinstance(options.get("value"), str):
            text = options["value"]
            yield text.lower() if options.get("operator") == "lower" else text.upper(), at.at("value")
