"""Routing: the datasets of an event, chosen by a value of the event from those that the job file lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from capybeam.transforms.core.events import Event
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.fields import Field, FieldError, compile_check
from capybeam.transforms.language.mappings import compile_mapping, paths


@dataclasses.dataclass(frozen=True)
class Routing:
    """Where a destination's events go, by a value of theirs.

    Attributes:
        mapping: what yields the value, in the mapping language.
        datasets: value → dataset IDs; an event with any other value goes nowhere.
    """

    mapping: Any
    datasets: Mapping[str, tuple[str, ...]]

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """All that an event can go to, each once."""
        return tuple(dict.fromkeys(each for listed in self.datasets.values() for each in listed))


def compile_routing(routing: Routing) -> Callable[[Event], tuple[str, ...]]:
    """The function from an event to its datasets.

    It raises Rejected: unlisted_dataset, and what the mapping raises. Numbers are compared by their text.

    >>> datasets_of = compile_routing(Routing({"@path": "$.properties.brand"}, {"mugs": ("111",)}))
    >>> datasets_of({"properties": {"brand": "mugs"}})
    ('111',)
    """
    value_of = compile_mapping({"dataset_id": routing.mapping})
    as_text = compile_check(Field("dataset_id", "string"))
    datasets = dict(routing.datasets)
    looked_for = ", ".join(paths(routing.mapping))
    source = f" (looked for {looked_for})" if looked_for else ""
    nowhere = f"so the event goes to no dataset{source}."

    def datasets_of(event: Event) -> tuple[str, ...]:
        value = value_of(event).get("dataset_id")
        if value is None or value == "":
            raise Rejected("unlisted_dataset", f"dataset_id has no value, {nowhere}")
        if type(value) is not str:
            try:
                value = as_text(value)
            except FieldError:
                raise Rejected("unlisted_dataset", f"dataset_id is not a text, {nowhere}") from None
        found = datasets.get(value)
        if found is None:
            raise Rejected("unlisted_dataset", f"dataset_id has a value that dataset_ids does not list, {nowhere}")
        return found

    return datasets_of
