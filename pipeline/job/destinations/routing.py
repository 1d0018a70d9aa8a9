"""``dataset_id`` that is looked up in the event, and the ``dataset_ids`` that it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from capybeam.pipeline.job.checks import check_mapping
from capybeam.pipeline.job.destinations import meta
from capybeam.pipeline.job.problems import Problems
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.language.directives.registry import is_directive
from capybeam.transforms.language.fields import Field
from capybeam.transforms.language.routing import Routing

_EXAMPLE: Final = '{"@path": "$.properties.brand"}'


def _id_or_mapping(value: Any) -> Any:
    if isinstance(value, dict):
        if not is_directive(value):
            raise PydanticCustomError("dataset_id", "must be an ID, or a directive such as {like}", {"like": _EXAMPLE})
        return value
    if isinstance(value, str) and value.startswith(("$", "{{")):
        raise PydanticCustomError("dataset_id", "must be digits; to look the ID up, write {like}", {"like": _EXAMPLE})
    return meta.digits(value)


def _datasets(value: Any) -> dict[str, tuple[str, ...]]:
    """A list of IDs, of which the event says one, or an object: what the event says → its IDs."""
    if not isinstance(value, dict):
        return {each: (each,) for each in meta.ids(value)}
    if not value or "" in value:
        raise PydanticCustomError("dataset_ids", "must have at least one value of the event, and no empty one")
    return {said: meta.ids(listed) for said, listed in value.items()}


_ID_OR_IDS: Final[dict[str, Any]] = {
    **meta.ID_SCHEMA,
    "type": ["string", "integer", "array"],
    "minItems": 1,
    "items": meta.ID_SCHEMA,
}
DatasetIdOrMapping = Annotated[
    str | dict[str, Any],
    BeforeValidator(_id_or_mapping),
    WithJsonSchema({**meta.ID_SCHEMA, "type": ["string", "integer", "object"], "minProperties": 1}),
]
Datasets = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(_datasets),
    WithJsonSchema({**_ID_OR_IDS, "type": ["array", "object"], "minProperties": 1, "additionalProperties": _ID_OR_IDS}),
]


def routing(dataset_id: str | dict[str, Any], datasets: Mapping[str, tuple[str, ...]] | None) -> Routing | None:
    """How a destination's events find their dataset; None where all have the same."""
    return Routing(dataset_id, datasets or {}) if isinstance(dataset_id, dict) else None


def check_routing(destination: Mapping[str, Any], loc: Loc, problems: Problems) -> None:
    """Adds problems of a destination's datasets, on plain data that may be wrong in any way."""
    given = [name for name in ("dataset_id", "pixel_id") if destination.get(name) not in (None, "")]
    if len(given) == 2:
        problems.add((*loc, "pixel_id"), "is the same as dataset_id; give one of them")
    elif not given:
        problems.add((*loc, "dataset_id"), "is missing")
        return
    name, listed = given[0], destination.get("dataset_ids")
    node = destination[name]
    if isinstance(node, dict) and is_directive(node):
        check_mapping({name: node}, loc, problems, (Field(name, "string"),))
        if listed is None:
            message = "is looked up in the event: dataset_ids must list the datasets that events may go to"
            problems.add((*loc, name), message)
    elif listed is not None and not isinstance(node, dict):
        problems.add((*loc, "dataset_ids"), f"needs a dataset_id that is looked up in the event, such as {_EXAMPLE}")
