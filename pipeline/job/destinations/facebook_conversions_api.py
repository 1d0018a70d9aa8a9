"""``facebook_conversions_api``: a dataset at Meta, with subscriptions to the actions that the preset has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticKnownError, core_schema

from capybeam.pipeline.job.checks import check_mapping, check_trigger, check_unique
from capybeam.pipeline.job.consent import check_consent
from capybeam.pipeline.job.constants import check_constants, is_nothing
from capybeam.pipeline.job.destination_types import DestinationType
from capybeam.pipeline.job.destinations import meta
from capybeam.pipeline.job.destinations.routing import DatasetIdOrMapping, Datasets, check_routing, routing
from capybeam.pipeline.job.lookups import hint_for, is_never_there
from capybeam.pipeline.job.models import Model, SubscriptionName
from capybeam.pipeline.job.presets import Preset, merged_mapping, presets
from capybeam.pipeline.job.problems import Problems, suggestion
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.language.directives.registry import is_directive
from capybeam.transforms.language.fields import Field
from capybeam.transforms.meta import rules
from capybeam.transforms.meta.destinations import MetaDestination
from capybeam.transforms.meta.normalised_forms import normalised_forms
from capybeam.transforms.meta.restricted import FREE, STANDARD_PARAMETERS
from capybeam.transforms.meta.server_events import in_custom_data
from capybeam.transforms.meta.subscriptions import MetaSubscription
from capybeam.transforms.meta.user_data import KEYS

# --- the model --------------------------------------------------------------------------------------------------------


def _action(value: Any) -> str:
    if not isinstance(value, str) or value not in presets():
        raise PydanticKnownError("literal_error", {"expected": ", ".join(map(repr, presets()))})
    return value


class _PresetKeys:
    """The JSON Schema of an action. The preset is read when a schema is asked for, not when this module is imported."""

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "enum": list(presets())}


class SubscriptionModel(Model):
    """Which events go out, and as what."""

    action: Annotated[str, BeforeValidator(_action), _PresetKeys()] = pydantic.Field(
        description="The conversion, with its fields and default mapping."
    )
    name: SubscriptionName | None = pydantic.Field(
        None, description="Unique in its destination; any line of text. Default: the action."
    )
    enabled: bool = pydantic.Field(True, description="false: it is checked, and takes no events.")
    trigger: str | None = pydantic.Field(None, description="FQL. Default: the action's. `custom` needs one.")
    use_default_mapping: bool = pydantic.Field(True, description="Whether the action's default mapping applies.")
    mapping: dict[str, Any] = pydantic.Field(
        default_factory=dict, description="Segment's mapping language; each key replaces the default's."
    )


class ConversionsModel(meta.MetaModel):
    """A dataset (pixel) at Meta, with subscriptions to the actions of "Facebook Conversions API (Actions)"."""

    type: Literal["facebook_conversions_api"]
    dataset_id: DatasetIdOrMapping | None = pydantic.Field(
        None, description="Meta's dataset (pixel) ID, or a directive that looks it up in the event."
    )
    pixel_id: DatasetIdOrMapping | None = pydantic.Field(None, description="The same as dataset_id.")
    dataset_ids: Datasets | None = pydantic.Field(
        None, description="Where dataset_id is looked up: the IDs that it may be, or value of the event → ID."
    )
    api_version: meta.Version = pydantic.Field(MetaDestination.api_version, description="Graph API.")
    subscriptions: tuple[SubscriptionModel, ...] = pydantic.Field(json_schema_extra={"minItems": 1})


# --- subscriptions and requests ---------------------------------------------------------------------------------------


def _destination(model: ConversionsModel) -> MetaDestination:
    return meta.destination(model, model.api_version)


def _subscriptions(model: ConversionsModel) -> Iterator[MetaSubscription]:
    dataset_id = model.dataset_id or model.pixel_id or ""
    routed = routing(dataset_id, model.dataset_ids)
    for each in model.subscriptions:
        if not each.enabled:
            continue
        preset = presets()[each.action]
        yield MetaSubscription(
            **meta.of_all_subscriptions(model),
            name=each.name or each.action,
            trigger=each.trigger or preset.trigger or "all",
            mapping=merged_mapping(preset, each.mapping, each.use_default_mapping),
            fields=preset.fields,
            dataset_ids=routed.dataset_ids if routed else (str(dataset_id),),
            routing=routed,
            needs_user_agent=preset.needs_user_agent,
        )


# --- checks and warnings beyond the model -----------------------------------------------------------------------------


def _check(destination: Mapping[str, Any], loc: Loc, problems: Problems) -> None:
    check_routing(destination, loc, problems)
    meta.check_api_version(destination.get("api_version"), (*loc, "api_version"), problems)
    check_consent(destination, loc, problems)
    given = destination.get("subscriptions")
    if given == []:
        problems.add((*loc, "subscriptions"), "must list at least one")
    subscriptions: list[tuple[Mapping[str, Any], Loc]] = [
        (subscription, (*loc, "subscriptions", index))
        for index, subscription in enumerate(given if isinstance(given, list) else ())
        if isinstance(subscription, dict)
    ]
    check_unique(map(_named, subscriptions), "subscription", problems)
    for subscription, at in subscriptions:
        action = subscription.get("action")
        preset = presets().get(action) if isinstance(action, str) else None
        if preset and preset.trigger is None and subscription.get("trigger") is None:
            problems.add(
                (*at, "trigger"),
                f"is missing: the {action} action has no default trigger (`all` takes every event)",
            )
        check_trigger(subscription.get("trigger"), (*at, "trigger"), problems)
        check_mapping(subscription.get("mapping"), (*at, "mapping"), problems, _fields_by_rules(preset))
        if preset:
            _check_required_fields(preset, subscription, at, problems)
            _check_by_rules(preset, subscription, at, problems)


def _check_required_fields(preset: Preset, subscription: Mapping[str, Any], loc: Loc, problems: Problems) -> None:
    """What the action requires, and the subscription's mapping, with the defaults, cannot yield for any event."""
    given = subscription.get("mapping", {})
    if not isinstance(given, dict) or any(name.startswith("__") for name in given):
        return
    merged = merged_mapping(preset, given, subscription.get("use_default_mapping", True) is not False)
    required = [field.name for field in preset.fields if field.required]
    empty = [name for name in required if name in merged and is_nothing(merged[name], is_never_there)]
    for name in empty:
        problems.add((*loc, "mapping", name), "has no value, and without one every event is rejected")
    missing = [name for name in required if name not in merged]
    if missing:
        problems.add((*loc, "mapping"), f"leaves out {', '.join(missing)}, without which every event is rejected")


_CONTENT_TYPE: Final = Field("content_type", "string", choices=rules.CONTENT_TYPES)
_MONEY: Final = (Field("currency", "currency"), Field("value", "number"))


def _fields_by_rules(preset: Preset | None) -> tuple[Field, ...]:
    """An action's fields, with the choices that Meta's rules leave to them."""
    return tuple(
        _CONTENT_TYPE if field.name == "content_type" else field for field in (preset.fields if preset else ())
    )


def _check_by_rules(preset: Preset, subscription: Mapping[str, Any], loc: Loc, problems: Problems) -> None:
    """Constants by which Meta's rules for a whole event reject every one, or count all as one."""
    given, loc = subscription.get("mapping"), (*loc, "mapping")
    if not isinstance(given, dict):
        return
    custom_data = given.get("custom_data")
    if isinstance(custom_data, dict):
        is_purchase = preset.event_name is None and given.get("event_name") == "Purchase"
        check_constants(custom_data, (_CONTENT_TYPE, *(_MONEY if is_purchase else ())), (*loc, "custom_data"), problems)
    _check_user_data(given.get("user_data"), (*loc, "user_data"), problems)
    for name, reason in _SAME_FOR_ALL.items():
        if (
            isinstance(given.get(name), (str, int, float))
            and given[name] != ""
            and not problems.has_finding((*loc, name))
        ):
            problems.warn((*loc, name), f"is the same for every event{hint_for(str(given[name]))}; {reason}")
    if any(name.startswith("__") for name in given):
        return
    merged = merged_mapping(preset, given, subscription.get("use_default_mapping", True) is not False)
    needed = _NEEDED_BY_SOURCE.get(str(merged.get("action_source")))
    if needed and is_nothing(merged.get(needed[0])):
        problems.add(
            (*loc, "action_source"), f"{merged['action_source']} needs {needed[1]}, or every event is rejected"
        )


def _check_user_data(user_data: Any, loc: Loc, problems: Problems) -> None:
    """Constants of which normalising leaves nothing. Other match keys go out, so that they are warnings."""
    for name, value in user_data.items() if isinstance(user_data, dict) else ():
        is_text = isinstance(value, str) and value != ""
        if not is_text or not (name in KEYS and KEYS[name].hashed) or problems.has_finding((*loc, name)):
            continue
        if not any(form.normalised for form in normalised_forms(name, {name: value})):
            problems.warn((*loc, name), "is nothing that Meta would accept; it is left out of every event")


_SAME_FOR_ALL: Final = {
    "event_id": "Meta counts an event_id once, so that all but the first are lost",
    "event_time": "Meta takes no event that is more than 7 days old",
}
_NEEDED_BY_SOURCE: Final = {
    "app": ("app_data_field", "an app_data_field with use_app_data: true"),
    "business_messaging": ("messaging_channel", "a messaging_channel"),
}


def _named(subscription: tuple[Mapping[str, Any], Loc]) -> tuple[Any, Loc]:
    """A subscription's name with the place of the key that gives it."""
    settings, loc = subscription
    key = "name" if settings.get("name") else "action"
    return settings.get(key), (*loc, key)


def _warn(model: ConversionsModel, loc: Loc, problems: Problems) -> None:
    meta.warn_of_path(model.endpoint, (*loc, "endpoint"), problems)
    if not any(subscription.enabled for subscription in model.subscriptions):
        problems.warn((*loc, "subscriptions"), "has none that is enabled: no event is sent there")
    for index, subscription in enumerate(model.subscriptions):
        at = (*loc, "subscriptions", index, "mapping")
        _warn_of_unknown_fields(subscription, at, problems)
        if model.restricted:
            _warn_of_restricted(subscription, at, problems)


def _warn_of_unknown_fields(subscription: SubscriptionModel, loc: Loc, problems: Problems) -> None:
    action = subscription.action
    preset = presets()[action]
    fields = {field.name: field for field in preset.fields}
    for name in subscription.mapping:
        if name.startswith("__"):
            continue
        if name not in fields or (name == "event_name" and preset.event_name):
            hint = suggestion(name, fields)
            if name in fields:
                hint = "; the action sets it"
            elif any(name == field.name for other in presets().values() for field in other.fields):
                hint = "; put it into custom_data"
            problems.warn((*loc, name), f"is not a field of {action} and is left out{hint}")


def _warn_of_restricted(subscription: SubscriptionModel, loc: Loc, problems: Problems) -> None:
    """What a mapping has that no event of a restricted destination goes out with."""
    fields = {field.name for field in presets()[subscription.action].fields}
    mapping = subscription.mapping
    never: list[Loc] = [(name,) for name in mapping if name in fields and name in {*in_custom_data(fields), *FREE}]
    custom_data = mapping.get("custom_data")
    if isinstance(custom_data, dict) and not is_directive(custom_data):
        never += [("custom_data", name) for name in custom_data]
    for place in never:
        if place[-1] not in STANDARD_PARAMETERS:
            problems.warn((*loc, *place), "is never sent: the destination is restricted to Meta's standard parameters")


FACEBOOK_CONVERSIONS_API: Final = DestinationType(
    name="facebook_conversions_api",
    model=ConversionsModel,
    destination=_destination,
    subscriptions=_subscriptions,
    max_batch_events=rules.MAX_BATCH_EVENTS,
    check=_check,
    warn=_warn,
)
