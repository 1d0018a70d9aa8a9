"""``consent:`` of a destination: the model of its settings, and what the model cannot express."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import pydantic
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from capybeam.pipeline.job.checks import check_trigger
from capybeam.pipeline.job.models import TEXT, Model
from capybeam.pipeline.job.problems import Problems
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.language.consent import PREFERENCES, Reaction


def _categories(value: Any) -> tuple[str, ...]:
    """One name or a list of them."""
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(each, str) and each.strip() for each in listed):
        raise PydanticCustomError("categories", "must be the name of a category, or a list of them")
    return tuple(dict.fromkeys(listed))


def _path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("$.") or not parse_path(value):
        raise PydanticCustomError("consent_path", "must be a path into the event, for example $.properties.consent")
    return value


Categories = Annotated[
    tuple[str, ...],
    BeforeValidator(_categories),
    WithJsonSchema({"type": ["string", "array"], "minItems": 1, "items": {"type": "string"}}),
]


class ConsentModel(Model):
    """Whose events may be sent."""

    any_of: Categories = pydantic.Field((), description="Categories of which at least one must be granted.")
    all_of: Categories = pydantic.Field((), description="Categories that must all be granted.")
    path: Annotated[str, BeforeValidator(_path), TEXT] = pydantic.Field(
        PREFERENCES, description="Where events have their categories: an object, a list, or a text of them."
    )
    granted_if: str | None = pydantic.Field(None, description="FQL, in place of categories: when consent is given.")
    refused_if: str | None = pydantic.Field(None, description="FQL: when consent is refused. It wins over granted_if.")
    on_refused: Reaction = pydantic.Field("filter", description="What becomes of events without consent.")
    on_unknown: Reaction = pydantic.Field("filter", description="What becomes of events that do not say.")


_QUESTIONS: Final = ("any_of", "all_of", "granted_if", "refused_if")


def check_consent(destination: Mapping[str, Any], loc: Loc, problems: Problems) -> None:
    """Adds problems of a destination's consent, on plain data that may be wrong in any way."""
    consent = destination.get("consent")
    if not isinstance(consent, dict):
        return
    at = (*loc, "consent")
    given = [name for name in _QUESTIONS if consent.get(name)]
    if not given:
        problems.add(at, f"asks for nothing; give {', '.join(_QUESTIONS[:-1])} or {_QUESTIONS[-1]}")
    conditions = [name for name in given if name.endswith("_if")]
    others = [name for name in ("any_of", "all_of", "path") if consent.get(name)]
    if conditions and others:
        problems.add((*at, others[0]), f"does not go together with {conditions[0]}: categories or conditions")
    for name in conditions:
        check_trigger(consent[name], (*at, name), problems)
    if consent.get("on_refused") == "send":
        problems.add((*at, "on_refused"), "must be one of filter, limit_data_use")
    if destination.get("wire") == "offline_events":
        for name in ("on_refused", "on_unknown"):
            if consent.get(name) == "limit_data_use":
                problems.add((*at, name), "limit_data_use is not available with wire: offline_events")
