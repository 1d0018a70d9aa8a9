"""The job file: ``conversions.yaml`` → `Job`, frozen and typed.

The format is the pydantic models below; the JSON Schema for editors is made from them (``capybeam schema``). Everything
wrong with a file is reported at once, each with line, column and, where there is one, a suggestion. An access token
stands in a file only by reference, and what looks like a literal one is never repeated.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeGuard
from urllib.parse import urlsplit

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.yaml_source import Document, Loc
from capybeam.transforms.core import tokens
from capybeam.transforms.core.events import CLOCK_KEYS
from capybeam.transforms.language.directives import MappingError, compile_mapping, is_directive, parse_path, paths
from capybeam.transforms.language.fields import TYPES, Field
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.language.triggers import TriggerError, compile_trigger, quoted
from capybeam.transforms.meta import rules
from capybeam.transforms.meta.answers import Delivery, Destination, is_loopback
from capybeam.transforms.meta.server_events import in_custom_data
from capybeam.transforms.meta.subscriptions import InText, MetaSubscription, Wire
from capybeam.transforms.standards import countries


@dataclasses.dataclass(frozen=True)
class Job:
    """What a job file says, checked and ready to be built.

    Attributes:
        deduplicate: seconds for which a stream's repeats are dropped, by event_id; None for not at all.
        unwrap: the path to the event in messages that have it in an envelope; None for messages that are events.
        warnings: what is worth a word and keeps nothing from running, formatted.
    """

    destinations: tuple[Destination, ...]
    subscriptions: tuple[Subscription, ...]
    delivery: Delivery
    deduplicate: float | None = None
    unwrap: str | None = None
    warnings: tuple[str, ...] = ()

    def unread(self) -> tuple[str, ...]:
        """Those of the clocks at an event's root, its timestamp apart, that no subscription maps."""
        return tuple(key for key in CLOCK_KEYS if not any(each.maps(key) for each in self.subscriptions))


class ConfigError(Exception):
    """A job file that cannot be used; `problems` are lines ``file:line:column: what is wrong``, in the file's order."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


# --- the format -------------------------------------------------------------------------------------------------

ACTIONS: Final = ("purchase", "initiateCheckout", "addToCart", "viewContent", "search", "pageView", "custom")
Action = Literal["purchase", "initiateCheckout", "addToCart", "viewContent", "search", "pageView", "custom"]

_UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def duration(value: Any) -> float:
    """The seconds of a duration like 10s. Raises a ValueError of pydantic's."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found:
            raise PydanticCustomError("duration", "is no duration; write it like 10s, 500ms, 15m or 1h")
        seconds = float(found[1]) * _UNITS[found[2]]
    if not 0 <= seconds <= 7 * 86400:
        raise PydanticCustomError("duration", "must be between 0 and 7d")
    return seconds


def _digits(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]+", text):
        raise PydanticCustomError("dataset_id", "must be digits, as Meta's Events Manager shows the ID")
    return text


def _ids(value: Any) -> tuple[str, ...]:
    """One ID or a list of them, each once."""
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise PydanticCustomError("dataset_id", "must list at least one ID")
    return tuple(dict.fromkeys(_digits(item) for item in listed))


def _one_line(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[^\x00-\x1f\x7f]+", value):
        raise PydanticCustomError("one_line", "must be a text of one line")
    return value


def _one_line_or_number(value: Any) -> str:
    return _one_line(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def _partner_agent(value: Any) -> str:
    """Meta's rule: less than 23 characters, at least two of them letters."""
    if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e]{2,22}", value) or sum(map(str.isalpha, value)) < 2:
        raise PydanticCustomError("partner_agent", "must be 2 to 22 characters of ASCII, 2 of them letters")
    return value


def _reference(value: Any, info: pydantic.ValidationInfo) -> str:
    if not isinstance(value, str) or not tokens.REFERENCE.fullmatch(value):
        what = "secret" if info.field_name == "app_secret" else "token"
        raise PydanticCustomError(
            "reference",
            "must say where the {what} is, and never be the {what} itself: env:NAME, file:PATH or"
            " secret:projects/P/secrets/S/versions/V",
            {"what": what},
        )
    return value


def _version(value: Any) -> str:
    if not _is_version(value):
        raise PydanticCustomError("api_version", "must look like v25.0")
    return value


def _is_version(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and re.fullmatch(r"v\d{1,4}\.\d{1,4}", value) is not None


def _endpoint(value: Any) -> str:
    try:
        url = urlsplit(value if isinstance(value, str) else "")
        proper = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # brackets that are no IPv6 address, a port that is none
        proper = False
    if not proper or url.query or url.fragment or url.username:
        raise PydanticCustomError("endpoint", "must be a URL like https://graph.facebook.com")
    if url.scheme == "http" and not is_loopback(str(url.hostname)):
        raise PydanticCustomError("endpoint", "must be https: the token goes there (http is for the loopback only)")
    return str(value).rstrip("/")


def _country(value: Any) -> str:
    code = value.strip().upper() if isinstance(value, str) else ""
    if code.lower() not in countries.load().codes:
        raise PydanticCustomError("country", "must be an ISO 3166-1 alpha-2 country code such as US")
    return code


def _test_event_code(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\S*", value):
        raise PydanticCustomError("test_event_code", "must be a code like TEST12345, without blanks")
    return value


def _unwrap(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\$(?:\.|(?=\[))[^{}\s][^{}]*", value) or not parse_path(value):
        raise PydanticCustomError("unwrap", "must be the path to the event in a message, for example $.detail")
    return value


def _positive_duration(value: Any) -> float:
    seconds = duration(value)
    if seconds == 0:
        raise PydanticCustomError("duration", "must be more than 0")
    return seconds


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("integer", "should be a number")
    return value


def _address(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[\w.-]+:\d{1,5}", value, re.ASCII):
        raise PydanticCustomError("address", "must be host:port, such as localhost:8081")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[^\W_][\w .-]*", value):
        raise PydanticCustomError("name", "must be letters, digits, blanks, dots, dashes and underscores")
    return value


_TEXT: Final = WithJsonSchema({"type": "string"})
Name = Annotated[str, BeforeValidator(_name), _TEXT]
Duration = Annotated[
    float, BeforeValidator(duration), WithJsonSchema({"type": ["string", "number"], "examples": ["10s", "15m"]})
]
PositiveDuration = Annotated[
    float, BeforeValidator(_positive_duration), WithJsonSchema({"type": ["string", "number"], "examples": ["10s"]})
]
Whole = Annotated[int, BeforeValidator(_number)]
DatasetId = Annotated[
    str, BeforeValidator(_digits), WithJsonSchema({"type": ["string", "integer"], "pattern": "^[0-9]+$"})
]
DatasetIds = Annotated[
    tuple[str, ...],
    BeforeValidator(_ids),
    WithJsonSchema(
        {
            "type": ["string", "integer", "array"],
            "pattern": "^[0-9]+$",
            "minItems": 1,
            "items": {"type": ["string", "integer"], "pattern": "^[0-9]+$"},
        }
    ),
]
EventMap = Annotated[dict[str, DatasetIds], pydantic.Field(json_schema_extra={"minProperties": 1})]
Reference = Annotated[
    str, BeforeValidator(_reference), WithJsonSchema({"type": "string", "pattern": f"^({tokens.REFERENCE.pattern})$"})
]


ParameterId = Annotated[
    str, BeforeValidator(_one_line_or_number), WithJsonSchema({"type": ["string", "integer"], "minLength": 1})
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubscriptionModel(_Model):
    """Which events go out, and as what."""

    action: Action = pydantic.Field(description="The conversion, with its fields and default mapping.")
    name: Name | None = pydantic.Field(None, description="Unique in its destination. Default: the action.")
    trigger: str | None = pydantic.Field(None, description="FQL. Default: the action's. `custom` needs one.")
    use_default_mapping: bool = pydantic.Field(True, description="Whether the action's default mapping applies.")
    mapping: dict[str, Any] = pydantic.Field(
        default_factory=dict, description="Segment's mapping language; each key replaces the default's."
    )


Version = Annotated[str, BeforeValidator(_version), _TEXT]


class _DestinationModel(_Model):
    """What all destinations have in common."""

    name: Name = pydantic.Field(description="Unique; in metrics, receipts and dead letters.")
    access_token: Reference = pydantic.Field(
        description="Where the token is: env:NAME, file:PATH or secret:projects/P/secrets/S/versions/V."
    )
    app_secret: Reference | None = pydantic.Field(
        None, description="Where the app's secret is, as access_token; for apps that require an appsecret_proof."
    )
    endpoint: Annotated[str, BeforeValidator(_endpoint), _TEXT] = "https://graph.facebook.com"
    test_event_code: Annotated[str, BeforeValidator(_test_event_code), _TEXT] | None = pydantic.Field(
        None, description="Shows events under Test Events. It is no dry run: Meta counts them."
    )
    default_country: Annotated[str, BeforeValidator(_country), _TEXT] | None = pydantic.Field(
        None, description="ISO 3166-1 alpha-2; the country of phone numbers, states and postal codes that name none."
    )
    allow_in_custom_data: tuple[str, ...] = pydantic.Field(
        (),
        description="Keys of custom_data, and of URLs, that may leave although they look like personal data.",
    )
    personal_data_in_text: InText = pydantic.Field(
        "cut",
        description="cut: email addresses, and the person's own number, name and address, leave no text and no URL."
        " allow: texts and URLs leave as they are.",
    )
    partner_agent: Annotated[str, BeforeValidator(_partner_agent), _TEXT] | None = pydantic.Field(
        None, description="Goes out with each request: the platform that sends. Under 23 characters, 2 of them letters."
    )
    namespace_id: ParameterId | None = pydantic.Field(None, description="Goes out with each request.")
    upload_id: ParameterId | None = pydantic.Field(None, description="Goes out with each request.")
    upload_source: Annotated[str, BeforeValidator(_one_line), _TEXT] | None = pydantic.Field(
        None, description="Goes out with each request: where the events come from."
    )


class ConversionsModel(_DestinationModel):
    """A dataset (pixel) at Meta, with subscriptions to the actions of "Facebook Conversions API (Actions)"."""

    type: Literal["facebook_conversions_api"]
    dataset_id: DatasetId | None = pydantic.Field(None, description="Meta's dataset (pixel) ID.")
    pixel_id: DatasetId | None = pydantic.Field(None, description="The same as dataset_id.")
    api_version: Version = pydantic.Field(Destination.api_version, description="Graph API.")
    subscriptions: tuple[SubscriptionModel, ...] = pydantic.Field(json_schema_extra={"minItems": 1})


class OfflineModel(_DestinationModel):
    """Datasets (once event sets) at Meta, by the settings of "Facebook Offline Conversions"."""

    type: Literal["facebook_offline_conversions"]
    events: EventMap = pydantic.Field({}, description="Event name → dataset ID, or a list of them.")
    lead_events: EventMap = pydantic.Field({}, description="The same, sent as Lead.")
    complete_registration_events: EventMap = pydantic.Field({}, description="The same, sent as CompleteRegistration.")
    value_field: Literal["value", "price"] = pydantic.Field(
        "value", description="The property that is an event's value; Order Completed always has revenue."
    )
    upload_tag: Annotated[str, BeforeValidator(_one_line), _TEXT] = pydantic.Field(
        "Segment", description="Goes out with each request."
    )
    wire: Wire = pydantic.Field(
        "conversions_api",
        description="offline_events is the format of the Offline Conversions API, which Meta itself has ended.",
    )
    api_version: Version | None = pydantic.Field(
        None, description="Graph API. Default: v25.0, and v16.0 where wire is offline_events."
    )


DestinationModel = ConversionsModel | OfflineModel
_MODELS: Final[Mapping[str, type[_DestinationModel]]] = {
    "facebook_conversions_api": ConversionsModel,
    "facebook_offline_conversions": OfflineModel,
}


def _type(destination: Any) -> str:
    """The type whose model a destination is held against: its own, or where it has none that we know the likeliest."""
    given = destination if isinstance(destination, dict) else {}
    close = difflib.get_close_matches(str(given.get("type", "")), _MODELS, n=1, cutoff=0.5)
    return close[0] if close else max(_MODELS, key=lambda name: len(given.keys() & _MODELS[name].model_fields))


class DeliveryModel(_Model):
    """How conversions are sent."""

    max_batch_events: Whole = pydantic.Field(
        Delivery.max_batch_events,
        ge=1,
        json_schema_extra={"maximum": rules.MAX_OFFLINE_BATCH_EVENTS},
        description="At most 1000; 2000 where every destination has the wire offline_events.",
    )
    max_batch_bytes: Whole = pydantic.Field(Delivery.max_batch_bytes, ge=1024, le=64 * 1024 * 1024)
    max_batch_delay: Duration = pydantic.Field(Delivery.max_batch_delay, description="How long a batch may wait.")
    concurrency: Whole = pydantic.Field(
        Delivery.concurrency, ge=1, le=256, description="Requests in flight, of each destination and worker."
    )
    requests_per_second: (
        Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False), BeforeValidator(_number)] | None
    ) = pydantic.Field(
        None, description="Requests started per second, at most, by the whole job; workers have equal shares."
    )
    rate_limit_service: Annotated[str, BeforeValidator(_address), _TEXT] | None = pydantic.Field(
        None, description="host:port of an Envoy rate limit service, for a limit over all workers."
    )
    timeout: PositiveDuration = pydantic.Field(Delivery.timeout, description="Of one request.")
    retry_for: Duration = pydantic.Field(Delivery.retry_for, description="How long a failing destination is tried.")
    receipts: Literal["brief", "detailed"] = pydantic.Field(
        Delivery.receipts, description="detailed: with the event_ids of each request."
    )
    deduplicate: PositiveDuration | None = pydantic.Field(
        None, description="How long a stream's repeats are dropped, by event_id. Meta drops them for 48 hours anyway."
    )


class JobModel(_Model):
    """A capybeam job: which events go to which datasets at Meta, as what."""

    destinations: tuple[
        Annotated[
            Annotated[ConversionsModel, Tag("facebook_conversions_api")]
            | Annotated[OfflineModel, Tag("facebook_offline_conversions")],
            Discriminator(_type),
        ],
        ...,
    ] = pydantic.Field(json_schema_extra={"minItems": 1})
    delivery: DeliveryModel = pydantic.Field(default_factory=lambda: DeliveryModel.model_validate({}))
    unwrap: Annotated[str, BeforeValidator(_unwrap), WithJsonSchema({"type": "string", "pattern": r"^\$"})] | None = (
        pydantic.Field(
            None,
            description="The path to the event in messages that have it in an envelope, for example $.detail. Push"
            " bodies of Pub/Sub, entries of Cloud Logging, batches of Segment and gzip are opened without it.",
        )
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the job file, for editors."""
    schema = JobModel.model_json_schema()
    # In place of "one of these": an editor then says what is wrong, and not only that something is.
    conversions, offline = schema["properties"]["destinations"]["items"].pop("oneOf")
    kind = {"properties": {"type": {"const": "facebook_offline_conversions"}}, "required": ["type"]}
    schema["properties"]["destinations"]["items"] = {"if": kind, "then": offline, "else": conversions}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


# --- loading ----------------------------------------------------------------------------------------------------


def load_job(path: str | Path, today: date | None = None) -> Job:
    """Reads a job file. Raises ConfigError with every problem there is."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError([f"{path}: cannot be read: {reason}"]) from None
    return parse_job(text, str(path), today)


def parse_job(text: str, source: str = "conversions.yaml", today: date | None = None) -> Job:
    """A job file's text as a `Job`; `source` is what problems call it. Raises ConfigError."""
    document = yaml_source.read(text, source)
    report = _Report(document, today or date.today())
    if document.data is None and report.problems:
        raise ConfigError(report.lines())
    try:
        model = JobModel.model_validate(document.data)
    except pydantic.ValidationError as errors:
        for error in errors.errors(include_url=False, include_context=False):
            report.pydantic(error)
        report.beyond_the_models(document.data)
        raise ConfigError(report.lines()) from None
    report.beyond_the_models(document.data)
    for index, destination in enumerate(model.destinations):
        report.path_in_endpoint(destination, ("destinations", index, "endpoint"))
        if isinstance(destination, OfflineModel):
            report.end_of_offline_events(destination, ("destinations", index))
            continue
        for place, subscription in enumerate(destination.subscriptions):
            report.odd_fields(subscription, ("destinations", index, "subscriptions", place, "mapping"))
    if report.problems:
        raise ConfigError(report.lines())
    return Job(
        destinations=tuple(_destination(destination) for destination in model.destinations),
        subscriptions=tuple(
            subscription for destination in model.destinations for subscription in _subscriptions(destination)
        ),
        delivery=Delivery(**model.delivery.model_dump(exclude={"deduplicate"})),
        deduplicate=model.delivery.deduplicate,
        unwrap=model.unwrap,
        warnings=tuple(report.lines(report.warnings)),
    )


def _destination(model: DestinationModel) -> Destination:
    version = model.api_version or (OFFLINE_VERSION if _is_offline_wire(model) else Destination.api_version)
    return Destination(
        name=model.name,
        token=tokens.TokenReference(model.access_token),
        api_version=version,
        endpoint=model.endpoint,
        app_secret=None if model.app_secret is None else tokens.TokenReference(model.app_secret),
        parameters=tuple((name, value) for name in PARAMETERS if (value := getattr(model, name)) is not None),
    )


PARAMETERS: Final = ("partner_agent", "namespace_id", "upload_id", "upload_source")  # of each request


OFFLINE_VERSION: Final = "v16.0"  # the last that had the Offline Conversions API


def _is_offline_wire(model: DestinationModel) -> bool:
    return isinstance(model, OfflineModel) and model.wire == "offline_events"


def _subscriptions(destination: DestinationModel) -> Iterator[Subscription]:
    if isinstance(destination, OfflineModel):
        return _offline_subscriptions(destination)
    return (_subscription(destination, subscription) for subscription in destination.subscriptions)


def _offline_subscriptions(destination: OfflineModel) -> Iterator[Subscription]:
    """One for each event that one of the three maps names."""
    preset = offline_preset()
    for setting, event_name in preset.maps.items():
        for event, dataset_ids in getattr(destination, setting).items():
            action = preset.action(event, destination.value_field, destination.wire)
            yield MetaSubscription(
                destination=destination.name,
                name=f"{setting}: {_readable(event)}",
                trigger=f'type = "track" and event = {quoted(event)}',
                mapping={**action.defaults, "event_name": event_name or preset.names.get(event, event)},
                fields=action.fields,
                dataset_ids=dataset_ids,
                default_country=destination.default_country,
                test_event_code=destination.test_event_code or None,
                allow_in_custom_data=frozenset(destination.allow_in_custom_data),
                personal_data_in_text=destination.personal_data_in_text,
                wire=destination.wire,
                upload_tag=destination.upload_tag,
                value_fallback=preset.value_fallback(event, destination.value_field),
            )


_UNREADABLE: Final = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _readable(event: str) -> str:
    """An event's name as it can stand in the books and in front of a tab; different names stay different."""
    return _UNREADABLE.sub(lambda found: f"\\u{ord(found[0]):04x}" if found[0] != "\\" else "\\\\", event)


def _subscription(destination: ConversionsModel, model: SubscriptionModel) -> Subscription:
    preset = presets()[model.action]
    return MetaSubscription(
        destination=destination.name,
        name=model.name or model.action,
        trigger=model.trigger or preset.trigger or "all",
        mapping=merged_mapping(preset, model.mapping, model.use_default_mapping),
        fields=preset.fields,
        dataset_ids=(str(destination.dataset_id or destination.pixel_id),),
        needs_user_agent=preset.needs_user_agent,
        default_country=destination.default_country,
        test_event_code=destination.test_event_code or None,
        allow_in_custom_data=frozenset(destination.allow_in_custom_data),
        personal_data_in_text=destination.personal_data_in_text,
    )


# --- presets ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Preset:
    """An action: its fields, trigger and default mapping, from ``presets/``."""

    fields: tuple[Field, ...]
    defaults: Mapping[str, Any]
    trigger: str | None = None
    event_name: str | None = None
    needs_user_agent: bool = True


@functools.cache
def presets() -> Mapping[str, Preset]:
    """The actions by name."""
    text = (
        resources.files("capybeam.pipeline.job")
        .joinpath("presets/facebook_conversions_api.yaml")
        .read_text(encoding="utf-8")
    )
    actions = yaml_source.read(text, "presets").data["actions"]
    return {
        name: Preset(
            fields=(*_fields(action["fields"]), *([_NAME_FIELD] if "event_name" in action else [])),
            defaults=action["defaults"],
            trigger=action.get("trigger"),
            event_name=action.get("event_name"),
            needs_user_agent=action.get("needs_user_agent", True),
        )
        for name, action in actions.items()
    }


_NAME_FIELD: Final = Field("event_name", "string", required=True)


@dataclasses.dataclass(frozen=True)
class OfflinePreset:
    """ "Facebook Offline Conversions", from ``presets/``.

    Attributes:
        maps: setting → what its events are called, or None where that is by `names` or their own.
        value_fields: by the setting of that name, the mapping of ``value``.
        value_fallbacks: by the same, the path of the value where that mapping finds none.
        exceptions: event → its own ``mapping``, and the fields that are ``required`` of it.
        remaining: what custom_data holds the rest of.
    """

    maps: Mapping[str, str | None]
    names: Mapping[str, str]
    fields: tuple[Field, ...]
    mapping: Mapping[str, Any]
    value_fields: Mapping[str, Any]
    value_fallbacks: Mapping[str, str]
    exceptions: Mapping[str, Mapping[str, Any]]
    remaining: Mapping[str, Any]

    def action(self, event: str, value_field: str, wire: Wire) -> Preset:
        """What becomes of one event, as an action of its own."""
        own = self.exceptions.get(event, {})
        mapping = {**self.mapping, "value": self.value_fields[value_field], **own.get("mapping", {})}
        (root,) = parse_path(self.remaining["@path"])
        used = {below[1] for below in map(parse_path, paths(mapping)) if below[0] == root and len(below) > 1}
        if wire == "conversions_api":  # where fields stand in custom_data, their names are not free
            used.update(in_custom_data(field.name for field in self.fields))
        remaining = {"@omit": {"object": self.remaining, "keys": sorted(used)}}
        required = own.get("required", ())
        fields = tuple(dataclasses.replace(f, required=f.required or f.name in required) for f in self.fields)
        return Preset((*fields, _NAME_FIELD), {**mapping, "custom_data": {"@excludeWhenNull": remaining}})

    def value_fallback(self, event: str, value_field: str) -> str:
        """The path of an event's value where its mapping finds none; "" where it has no other."""
        own = self.exceptions.get(event, {}).get("mapping", {})
        return "" if "value" in own else self.value_fallbacks.get(value_field, "")


@functools.cache
def offline_preset() -> OfflinePreset:
    """The preset of ``facebook_offline_conversions``."""
    text = (
        resources.files("capybeam.pipeline.job")
        .joinpath("presets/facebook_offline_conversions.yaml")
        .read_text(encoding="utf-8")
    )
    data = yaml_source.read(text, "presets").data
    return OfflinePreset(**{**data, "fields": _fields(data["fields"])})


def _fields(specs: Mapping[str, Mapping[str, Any]]) -> tuple[Field, ...]:
    fields = []
    for name, spec in specs.items():
        assert spec["type"] in TYPES, f"{name}: unknown type"
        fields.append(
            Field(
                name,
                spec["type"],
                spec.get("required", False),
                spec.get("multiple", False),
                tuple(spec.get("choices", ())),
                _fields(spec["properties"]) if "properties" in spec else None,
                spec.get("named"),
                incidental=spec.get("incidental", False),
            )
        )
    return tuple(fields)


def merged_mapping(preset: Preset, mapping: Mapping[str, Any], use_defaults: bool) -> dict[str, Any]:
    """An action's mapping: its defaults, each replaced as a whole by the subscription's; what it does not know goes."""
    known = {field.name for field in preset.fields}
    merged = {**preset.defaults, **mapping} if use_defaults else dict(mapping)
    merged = {name: node for name, node in merged.items() if name in known or name.startswith("__")}
    app_data = merged.get("app_data_field")
    if isinstance(app_data, dict) and not is_directive(app_data) and not app_data.get("use_app_data"):
        del merged["app_data_field"]  # it would be mapped for every event and never sent
    if preset.event_name:
        merged["event_name"] = preset.event_name
    return merged


# --- what is wrong with a file ----------------------------------------------------------------------------------------


class _Report:
    """Collects what is wrong with a document, and what is merely odd."""

    def __init__(self, document: Document, today: date) -> None:
        self._document, self._today = document, today
        self._explained = False
        self.problems: list[tuple[tuple[int, int], str]] = list(document.problems)
        self.warnings: list[tuple[tuple[int, int], str]] = []

    def lines(self, entries: Sequence[tuple[tuple[int, int], str]] | None = None) -> list[str]:
        chosen = self.problems if entries is None else entries
        return [f"{self._document.source}:{line}:{column}: {text}" for (line, column), text in sorted(set(chosen))]

    def problem(self, loc: Loc, message: str, position: tuple[int, int] | None = None) -> None:
        self.problems.append((position or self._document.position(loc), f"{_dotted(loc)} {message}".strip()))

    def warning(self, loc: Loc, message: str) -> None:
        self.warnings.append((self._document.position(loc), f"{_dotted(loc)} {message}"))

    def pydantic(self, error: Any) -> None:
        loc: Loc = tuple(error["loc"])
        kind = error["type"]
        model = _MODELS["facebook_conversions_api"]
        if loc[:1] == ("destinations",) and len(loc) > 2:  # the third is the model that it was held against
            model, loc = _MODELS[str(loc[2])], loc[:2] + loc[3:]
        if kind == "extra_forbidden":
            message = f"is unknown{_unknown(str(loc[-1]), loc[:-1], model)}"
        elif kind == "missing":
            message = "is missing"
        elif kind == "literal_error":
            known = [choice.strip(" '") for choice in re.split(r",| or ", error["msg"].partition("should be")[2])]
            if loc[2:] == ("type",):
                known = list(_MODELS)
            given = self._value(loc)
            hint = _suggestion(given, known) if isinstance(given, str) else ""
            message = f"must be one of {', '.join(known)}{hint}"
        elif kind in ("model_type", "model_attributes_type", "dict_type", "tuple_type"):
            message = "must be a list" if kind == "tuple_type" else "must be an object of keys and values"
        else:
            message = error["msg"].replace("Input should", "should")
        self.problem(loc, message)

    def _value(self, loc: Loc) -> Any:
        value = self._document.data
        for key in loc:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def beyond_the_models(self, data: Any) -> None:
        """What types cannot say, checked on plain data so that it is found beside the type errors."""
        destinations = data.get("destinations") if isinstance(data, dict) else None
        names: dict[Any, int] = {}
        if destinations == []:
            self.problem(("destinations",), "must list at least one")
        self._batch_events(data)
        for index, destination in enumerate(destinations if isinstance(destinations, list) else ()):
            if not isinstance(destination, dict):
                continue
            loc: Loc = ("destinations", index)
            self._unique(names, destination.get("name"), index, (*loc, "name"), "destination")
            if _type(destination) == "facebook_offline_conversions":
                self._offline(destination, loc)
                continue
            if destination.get("dataset_id") and destination.get("pixel_id"):
                self.problem((*loc, "pixel_id"), "is the same as dataset_id; give one of them")
            elif not destination.get("dataset_id") and not destination.get("pixel_id"):
                self.problem((*loc, "dataset_id"), "is missing")
            self._api_version(destination.get("api_version"), (*loc, "api_version"))
            subscriptions = destination.get("subscriptions")
            if subscriptions == []:
                self.problem((*loc, "subscriptions"), "must list at least one")
            own: dict[Any, int] = {}
            for place, subscription in enumerate(subscriptions if isinstance(subscriptions, list) else ()):
                if isinstance(subscription, dict):
                    at: Loc = (*loc, "subscriptions", place)
                    name = subscription.get("name") or subscription.get("action")
                    key = "name" if subscription.get("name") else "action"
                    self._unique(own, name, place, (*at, key), "subscription")
                    self._subscription(subscription, at)

    def _batch_events(self, data: Any) -> None:
        """What Meta takes in one request: that depends on the wire, and all destinations share the setting."""
        delivery = data.get("delivery") if isinstance(data, dict) else None
        given: Any = delivery.get("max_batch_events") if isinstance(delivery, dict) else None
        destinations = data.get("destinations") if isinstance(data, dict) else None
        older = isinstance(destinations, list) and all(
            isinstance(destination, dict) and destination.get("wire") == "offline_events"
            for destination in destinations
        )
        most = rules.MAX_OFFLINE_BATCH_EVENTS if older else rules.MAX_BATCH_EVENTS
        try:
            too_many = int(given) > most  # text and fractions are read, or refused, by the model
        except (TypeError, ValueError, OverflowError):
            return
        if too_many:
            self.problem(("delivery", "max_batch_events"), f"should be less than or equal to {most}")

    def _offline(self, destination: Mapping[str, Any], loc: Loc) -> None:
        maps = list(offline_preset().maps)
        if not any(name in destination for name in maps):
            self.problem((*loc, maps[0]), f"is missing: {', '.join(maps)} say which events are sent; give at least one")
        for name in maps:
            events = destination.get(name)
            if events == {}:
                self.problem((*loc, name), "must name at least one event")
            elif isinstance(events, dict) and "" in events:
                self.problem((*loc, name, ""), "has an event without a name")
        version = destination.get("api_version")
        if destination.get("wire") != "offline_events":
            self._api_version(version, (*loc, "api_version"))
            return
        for name in ("test_event_code", "partner_agent"):
            if destination.get(name):
                self.problem((*loc, name), "is none of the wire offline_events")
        if _is_version(version) and _major(version) > _major(OFFLINE_VERSION):
            self.problem((*loc, "api_version"), f"{version} has no wire offline_events; use {OFFLINE_VERSION} or older")

    def end_of_offline_events(self, destination: OfflineModel, loc: Loc) -> None:
        """Said at a job's first offline destination; where it would go to Meta on the older wire, at each."""
        if not self._explained:
            self._explained = True
            self.warning((*loc, "type"), END_OF_OFFLINE_EVENTS)
        if destination.wire == "offline_events" and destination.endpoint == Destination.endpoint:
            self.warning(
                (*loc, "wire"),
                "offline_events to graph.facebook.com: Meta refuses every request; give the endpoint of a system that"
                " still speaks it, or leave wire out",
            )

    def _unique(self, seen: dict[Any, int], name: Any, index: int, loc: Loc, what: str) -> None:
        if not isinstance(name, str):
            return
        if name in seen:
            line, _ = self._document.position((*loc[:-2], seen[name]))
            hint = "; give it a name of its own" if loc[-1] == "action" else ""
            self.problem(loc, f"{name!r} is already the name of the {what} at line {line}{hint}")
        seen.setdefault(name, index)

    def _subscription(self, subscription: Mapping[str, Any], loc: Loc) -> None:
        action, trigger = subscription.get("action"), subscription.get("trigger")
        if trigger is None and action == "custom":
            self.problem(
                (*loc, "trigger"), "is missing: the custom action has none of its own (`all` takes every event)"
            )
        if isinstance(trigger, str):
            try:
                compile_trigger(trigger)
            except TriggerError as error:
                at = (*loc, "trigger")
                self.problem(at, f"{error} (character {error.offset + 1})", self._document.inside(at, error.offset))
        mapping = subscription.get("mapping")
        if isinstance(mapping, dict):
            for name, node in mapping.items():
                self._mapping(name, node, (*loc, "mapping"))

    def _mapping(self, name: str, node: Any, loc: Loc) -> None:
        if name.startswith("@"):
            self.problem((*loc, name), "a mapping's own keys are fields of the action, not directives")
            return
        try:
            compile_mapping({name: node})
        except MappingError as errors:
            for problem in errors.problems:
                self.problem((*loc, *problem.path), problem.message)

    def _api_version(self, version: Any, loc: Loc) -> None:
        if not _is_version(version):
            return
        major = _major(version)
        graph, marketing = _end(GRAPH_API_ENDS, major), _end(MARKETING_API_ENDS, major)
        if graph and graph <= self._today:
            self.problem(loc, f"{version} is dead: Meta ended it by {graph}; use {Destination.api_version}")
        elif marketing and marketing <= self._today:
            self.warning(
                loc, f"{version} is past the end of its Marketing API table ({marketing}); a newer one is safer"
            )

    def path_in_endpoint(self, destination: DestinationModel, loc: Loc) -> None:
        """capybeam appends version, dataset and /events; a gateway may have a path of its own, Meta has none."""
        path = urlsplit(destination.endpoint).path
        if not path:
            return
        version = _VERSION_IN_PATH.search(path)
        hint = f"; the version is set by api_version: {version[1]}" if version else ""
        self.warning(loc, f"has the path {path}, and Meta answers code 2500 to an unknown path{hint}")

    def odd_fields(self, subscription: SubscriptionModel, loc: Loc) -> None:
        preset = presets()[subscription.action]
        fields = {field.name: field for field in preset.fields}
        for name, node in subscription.mapping.items():
            if name.startswith("__"):
                continue
            if name not in fields or (name == "event_name" and preset.event_name):
                hint = _suggestion(name, fields)
                if name in fields:
                    hint = "; the action sets it"
                elif any(name == field.name for other in presets().values() for field in other.fields):
                    hint = "; put it into custom_data"
                self.warning((*loc, name), f"is no field of {subscription.action} and is left out{hint}")
                continue
            properties = fields[name].properties
            if properties is not None and isinstance(node, dict) and not is_directive(node):
                known = [inner.name for inner in properties]
                for key in node:
                    if key not in known:
                        self.warning(
                            (*loc, name, key), f"is no field of {name} and is left out{_suggestion(key, known)}"
                        )
        merged = merged_mapping(preset, subscription.mapping, subscription.use_default_mapping)
        missing = [name for name, field in fields.items() if field.required and name not in merged]
        if missing and not any(name.startswith("__") for name in merged):
            self.warning(loc, f"leaves out {', '.join(missing)}, without which every event is rejected")


_VERSION_IN_PATH: Final = re.compile(r"/(v\d+\.\d+)(?=/|$)", re.ASCII)

GRAPH_API_ENDS: Final[Mapping[int, date]] = {
    16: date(2025, 5, 14),
    19: date(2026, 5, 21),
    20: date(2026, 9, 24),
    24: date(2028, 2, 18),
    25: date(2028, 7, 29),
}
MARKETING_API_ENDS: Final[Mapping[int, date]] = {24: date(2026, 10, 6)}


def _end(ends: Mapping[int, date], major: int) -> date | None:
    """When a version ends: it does not outlive the next one that is in the table."""
    later = [version for version in ends if version >= major]
    return ends[min(later)] if later else None


def _major(version: str) -> int:
    return int(version[1:].partition(".")[0])


END_OF_OFFLINE_EVENTS: Final = (
    "Meta ended its Offline Conversions API on 2025-05-14, with Graph API v16.0. Offline event sets became datasets, so"
    " the IDs here are dataset IDs: in place of an event set's ID give that of the dataset that Events Manager shows"
    " for it. By default events go out through the Conversions API, as physical_store events; wire: offline_events"
    " keeps the older format, which Meta itself no longer accepts. See docs/offline.md"
)


def _unknown(name: str, loc: Loc, model: type[_DestinationModel]) -> str:
    """What may have been meant by a key that is unknown at `loc`."""
    if loc == ():
        return _suggestion(name, JobModel.model_fields)
    if loc[0] == "delivery":
        return _suggestion(name, DeliveryModel.model_fields)
    if len(loc) > 2:
        return _suggestion(name, SubscriptionModel.model_fields)
    others = [kind for kind, other in _MODELS.items() if other is not model and name in other.model_fields]
    return f"; it is a setting of {others[0]}" if others else _suggestion(name, model.model_fields)


def _suggestion(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _dotted(loc: Loc) -> str:
    text = ""
    for key in loc:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return f"{text}:" if text else ""
