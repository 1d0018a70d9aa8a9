"""``facebook_offline_conversions``: datasets at Meta, by the settings of Segment's "Facebook Offline Conversions"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import pydantic

from capybeam.pipeline.job.consent import check_consent
from capybeam.pipeline.job.destination_types import DestinationType
from capybeam.pipeline.job.destinations import meta
from capybeam.pipeline.job.presets import offline_preset
from capybeam.pipeline.job.problems import Problems
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.language.triggers import quoted
from capybeam.transforms.meta import rules
from capybeam.transforms.meta.destinations import GRAPH_API, MetaDestination
from capybeam.transforms.meta.settings import Wire
from capybeam.transforms.meta.subscriptions import MetaSubscription

OFFLINE_VERSION: Final = "v16.0"  # the last that had the Offline Conversions API
END_OF_OFFLINE_EVENTS: Final = (
    "Meta ended its Offline Conversions API on 2025-05-14, with Graph API v16.0. Offline event sets became datasets, so"
    " the IDs here are dataset IDs: in place of an event set's ID give that of the dataset that Events Manager shows"
    " for it. By default events go out through the Conversions API, as physical_store events; wire: offline_events"
    " keeps the older format, which Meta itself no longer accepts. See docs/offline.md"
)

EventMap = Annotated[dict[str, meta.DatasetIds], pydantic.Field(json_schema_extra={"minProperties": 1})]


class OfflineModel(meta.MetaModel):
    """Datasets (once event sets) at Meta, by the settings of "Facebook Offline Conversions"."""

    type: Literal["facebook_offline_conversions"]
    events: EventMap = pydantic.Field({}, description="Event name → dataset ID, or a list of them.")
    lead_events: EventMap = pydantic.Field({}, description="The same, sent as Lead.")
    complete_registration_events: EventMap = pydantic.Field({}, description="The same, sent as CompleteRegistration.")
    value_field: Literal["value", "price"] = pydantic.Field(
        "value", description="The property that is an event's value; Order Completed always has revenue."
    )
    upload_tag: meta.OneLine = pydantic.Field("Segment", description="Sent with each request.")
    wire: Wire = pydantic.Field(
        "conversions_api",
        description="offline_events is the format of the Offline Conversions API, which Meta itself has ended.",
    )
    api_version: meta.Version | None = pydantic.Field(
        None, description="Graph API. Default: v25.0, and v16.0 where wire is offline_events."
    )


# --- subscriptions and requests ---------------------------------------------------------------------------------------


def _destination(model: OfflineModel) -> MetaDestination:
    default = OFFLINE_VERSION if model.wire == "offline_events" else MetaDestination.api_version
    return meta.destination(model, model.api_version or default)


def _subscriptions(model: OfflineModel) -> Iterator[MetaSubscription]:
    """One for each event that one of the three maps names."""
    preset = offline_preset()
    for setting, event_name in preset.maps.items():
        for event, dataset_ids in getattr(model, setting).items():
            action = preset.action(event, model.value_field, model.wire)
            yield MetaSubscription(
                **meta.of_all_subscriptions(model),
                name=f"{setting}: {_readable(event)}",
                trigger=f'type = "track" and event = {quoted(event)}',
                mapping={**action.defaults, "event_name": event_name or preset.names.get(event, event)},
                fields=action.fields,
                dataset_ids=dataset_ids,
                wire=model.wire,
                upload_tag=model.upload_tag,
                value_fallback=preset.value_fallback(event, model.value_field),
                has_fixed_mapping=True,
            )


_UNREADABLE: Final = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _readable(event: str) -> str:
    """An event's name without control characters, for reports and keys; different names stay different."""
    return _UNREADABLE.sub(lambda found: f"\\u{ord(found[0]):04x}" if found[0] != "\\" else "\\\\", event)


def _batch_limit(settings: Mapping[str, Any]) -> int:
    older = settings.get("wire") == "offline_events"
    return rules.MAX_OFFLINE_BATCH_EVENTS if older else rules.MAX_BATCH_EVENTS


# --- checks and warnings beyond the model -----------------------------------------------------------------------------


def _check(destination: Mapping[str, Any], loc: Loc, problems: Problems) -> None:
    maps = list(offline_preset().maps)
    if not any(name in destination for name in maps):
        problems.add((*loc, maps[0]), f"is missing: {', '.join(maps)} define which events are sent; give at least one")
    for name in maps:
        events = destination.get(name)
        if events == {}:
            problems.add((*loc, name), "must name at least one event")
        elif isinstance(events, dict) and "" in events:
            problems.add((*loc, name, ""), "has an event without a name")
    check_consent(destination, loc, problems)
    version = destination.get("api_version")
    if destination.get("wire") != "offline_events":
        meta.check_api_version(version, (*loc, "api_version"), problems)
        return
    for name in ("test_event_code", "partner_agent", "restricted"):
        if destination.get(name):
            problems.add((*loc, name), "is not available with wire: offline_events")
    if meta.is_version(version) and meta.major(version) > meta.major(OFFLINE_VERSION):
        problems.add(
            (*loc, "api_version"), f"{version} does not support wire: offline_events; use {OFFLINE_VERSION} or older"
        )


def _warn(model: OfflineModel, loc: Loc, problems: Problems) -> None:
    meta.warn_of_path(model.endpoint, (*loc, "endpoint"), problems)
    problems.warn((*loc, "type"), END_OF_OFFLINE_EVENTS, once=True)
    if model.wire == "offline_events" and model.endpoint == GRAPH_API:
        problems.warn(
            (*loc, "wire"),
            "offline_events to graph.facebook.com: Meta refuses every request; give the endpoint of a system that"
            " still supports it, or remove wire",
        )


FACEBOOK_OFFLINE_CONVERSIONS: Final = DestinationType(
    name="facebook_offline_conversions",
    model=OfflineModel,
    destination=_destination,
    subscriptions=_subscriptions,
    max_batch_events=rules.MAX_OFFLINE_BATCH_EVENTS,
    batch_limit=_batch_limit,
    check=_check,
    warn=_warn,
)
