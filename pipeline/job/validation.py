"""A document held against the models and the checks beyond them, with every problem collected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pydantic
from pydantic import BaseModel

from capybeam.pipeline.job.checks import check_unique
from capybeam.pipeline.job.destinations import DESTINATION_TYPES, likeliest_type
from capybeam.pipeline.job.models import JobModel
from capybeam.pipeline.job.problems import Problems, suggestion
from capybeam.pipeline.job.schema import job_model
from capybeam.pipeline.job.yaml_source import Loc, value_at


def validate(problems: Problems) -> JobModel | None:
    """The model of the document that `problems` is about; None where there are problems."""
    data = problems.document.data
    model = None
    try:
        model = job_model().model_validate(data)
    except pydantic.ValidationError as errors:
        for error in errors.errors(include_url=False, include_context=False):
            _add_error(error, problems)
    _check_beyond_models(data, problems)
    if model is None:
        return None
    for index, destination in enumerate(model.destinations):
        DESTINATION_TYPES[destination.type].warn(destination, ("destinations", index), problems)
    return None if problems else model


# --- errors of the models ---------------------------------------------------------------------------------------------


def _add_error(error: Any, problems: Problems) -> None:
    """Adds an error of pydantic's in our words, which never repeat a value: it may be a token."""
    path: Loc = tuple(error["loc"])
    is_destination = path[:1] == ("destinations",) and len(path) > 2
    loc = path[:2] + path[3:] if is_destination else path  # without the name of the type that it was checked as
    kind = error["type"]
    if kind == "extra_forbidden":
        message = f"is unknown{_hint_for_unknown(path)}"
    elif kind == "missing":
        message = "is missing"
    elif kind == "literal_error":
        known = [choice.strip(" '") for choice in re.split(r",| or ", error["msg"].partition("should be")[2])]
        if loc[2:] == ("type",):
            known = list(DESTINATION_TYPES)
        given = value_at(problems.document.data, loc)
        hint = suggestion(given, known) if isinstance(given, str) else ""
        message = f"must be one of {', '.join(known)}{hint}"
    elif kind in ("model_type", "model_attributes_type", "dict_type", "tuple_type"):
        message = "must be a list" if kind == "tuple_type" else "must be an object of keys and values"
    else:
        message = error["msg"].replace("Input should", "should")
    problems.add(loc, message)


def _hint_for_unknown(path: Loc) -> str:
    """What may have been meant by the unknown key at the end of `path`, which has the type's name behind the index."""
    *parents, name = path
    model: type[BaseModel] | None = job_model()
    if parents[:1] == ["destinations"]:
        kind = DESTINATION_TYPES[str(parents[2])]
        model = kind.model
        others = [each.name for each in DESTINATION_TYPES.values() if name in each.model.model_fields]
        if others and parents[3:] == []:
            return f"; it is a setting of {others[0]}"
        parents = parents[3:]
    for key in parents:
        if model and key in model.model_fields:
            model = _model_in(model.model_fields[str(key)].annotation)
    return suggestion(str(name), model.model_fields) if model else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that is in an annotation such as ``tuple[Model, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)


# --- checks beyond the models -----------------------------------------------------------------------------------------


def _check_beyond_models(data: Any, problems: Problems) -> None:
    """Checks on plain data, so that their problems are reported together with the models' errors."""
    destinations = data.get("destinations") if isinstance(data, dict) else None
    if destinations == []:
        problems.add(("destinations",), "must list at least one")
    _check_batch_events(data, problems)
    found = list(_objects(destinations, ("destinations",)))
    check_unique(((destination.get("name"), (*loc, "name")) for destination, loc in found), "destination", problems)
    for destination, loc in found:
        likeliest_type(destination).check(destination, loc, problems)


def _objects(items: Any, loc: Loc) -> Iterator[tuple[Mapping[str, Any], Loc]]:
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield item, (*loc, index)


def _check_batch_events(data: Any, problems: Problems) -> None:
    """How many events a request can hold depends on the type and its settings; all destinations share the setting."""
    delivery = data.get("delivery") if isinstance(data, dict) else None
    given: Any = delivery.get("max_batch_events") if isinstance(delivery, dict) else None
    limits = [
        likeliest_type(destination).batch_events(destination)
        for destination, _ in _objects(data.get("destinations") if isinstance(data, dict) else None, ())
    ]
    most = min(limits, default=min(each.max_batch_events for each in DESTINATION_TYPES.values()))
    try:
        too_many = int(given) > most  # text and fractions are read, or refused, by the model
    except (TypeError, ValueError, OverflowError):
        return
    if too_many:
        problems.add(("delivery", "max_batch_events"), f"should be less than or equal to {most}")
