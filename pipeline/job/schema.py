"""The whole job file's model, with every type of destination that there is, and the JSON Schema made from it."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Union

import pydantic
from pydantic import Discriminator, Tag

from capybeam.pipeline.job.destination_types import DestinationType
from capybeam.pipeline.job.destinations import DESTINATION_TYPES, likeliest_type
from capybeam.pipeline.job.models import JobModel


def job_model() -> type[JobModel]:
    """The model of a job file. In its errors' ``loc``, a destination's index is followed by its type's name."""
    return _job_model(tuple(DESTINATION_TYPES.values()))


def _tag(destination: Any) -> str:
    return likeliest_type(destination).name


@functools.cache
def _job_model(types: tuple[DestinationType[Any], ...]) -> type[JobModel]:
    tagged = tuple(Annotated[each.model, Tag(each.name)] for each in types)
    destination: Any = Annotated[Union[tagged], Discriminator(_tag)]  # noqa: UP007 - made at run time
    return pydantic.create_model(
        JobModel.__name__,
        __base__=JobModel,
        __doc__=JobModel.__doc__,
        destinations=(tuple[destination, ...], JobModel.model_fields["destinations"]),
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the job file, for editors."""
    schema = job_model().model_json_schema()
    # In place of "one of these": an editor then says what is wrong, and not only that something is.
    default, *others = schema["properties"]["destinations"]["items"].pop("oneOf")
    _, *names = DESTINATION_TYPES
    items = default
    for name, other in reversed([*zip(names, others, strict=True)]):
        is_type = {"properties": {"type": {"const": name}}, "required": ["type"]}
        items = {"if": is_type, "then": other, "else": items}
    schema["properties"]["destinations"]["items"] = items
    batch_events = schema["$defs"]["DeliveryModel"]["properties"]["max_batch_events"]
    batch_events["maximum"] = max(each.max_batch_events for each in DESTINATION_TYPES.values())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
