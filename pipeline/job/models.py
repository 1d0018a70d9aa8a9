"""The job file's format as pydantic models, as far as it is the same for every type of destination.

`schema` puts them together with the models of the types in `destinations`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError

from capybeam.transforms.core import tokens
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.delivery.destination import Delivery

if TYPE_CHECKING:
    from typing_extensions import LiteralString

# --- types of values --------------------------------------------------------------------------------------------------

TEXT: Final = WithJsonSchema({"type": "string"})


def matching(pattern: str, message: LiteralString) -> BeforeValidator:
    """The validator of texts that match `pattern` from end to end; `message` says what the value must be."""
    compiled = re.compile(pattern)

    def check(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise PydanticCustomError("format", message)
        return value

    return BeforeValidator(check)


_UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_MAX_DURATION: Final = 7 * 86400


def duration(value: Any) -> float:
    """The seconds of a duration like 10s. Raises a ValueError of pydantic's."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found:
            raise PydanticCustomError("duration", "is not a duration, for example 10s, 500ms, 15m or 1h")
        seconds = float(found[1]) * _UNITS[found[2]]
    if not 0 <= seconds <= _MAX_DURATION:
        raise PydanticCustomError("duration", "must be between 0 and 7d")
    return seconds


def _positive_duration(value: Any) -> float:
    seconds = duration(value)
    if seconds == 0:
        raise PydanticCustomError("duration", "must be more than 0")
    return seconds


def _whole_seconds(value: Any) -> int:
    seconds = duration(value)
    if seconds < 1 or seconds != int(seconds):
        raise PydanticCustomError("duration", "must be whole seconds, at least 1s")
    return int(seconds)


def _not_a_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "should be a number")
    return value


def integer_as_text(value: Any) -> Any:
    """Text of an integer, so that IDs need no quotes; any other value as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _reference(value: Any, info: pydantic.ValidationInfo) -> str:
    if not isinstance(value, str) or not tokens.REFERENCE.fullmatch(value):
        what = "secret" if info.field_name == "app_secret" else "token"
        raise PydanticCustomError(
            "reference",
            "must be a reference to the {what}, not the {what} itself: env:NAME, file:PATH or"
            " secret:projects/P/secrets/S/versions/V",
            {"what": what},
        )
    return value


def _unwrap(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\$(?:\.|(?=\[))[^{}\s][^{}]*", value) or not parse_path(value):
        raise PydanticCustomError("unwrap", "must be the path to the event in a message, for example $.detail")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[^\W_][\w .-]*", value):
        raise PydanticCustomError("name", "must consist of letters, digits, spaces, dots, dashes and underscores")
    return value


def _subscription_name(value: Any) -> str:
    is_name = isinstance(value, str) and 0 < len(value) <= MAX_NAME and value == value.strip() and value.isprintable()
    if not is_name or tokens.holds_token(value):
        raise PydanticCustomError("name", "must be a single line of 1 to 200 characters, without blanks around it")
    return str(value)


BOOKS_WINDOW: Final = 60  # seconds
MAX_NAME: Final = 200  # characters of a subscription's name
Name = Annotated[str, BeforeValidator(_name), TEXT]
SubscriptionName = Annotated[str, BeforeValidator(_subscription_name), TEXT]
Duration = Annotated[
    float, BeforeValidator(duration), WithJsonSchema({"type": ["string", "number"], "examples": ["10s", "15m"]})
]
PositiveDuration = Annotated[
    float, BeforeValidator(_positive_duration), WithJsonSchema({"type": ["string", "number"], "examples": ["10s"]})
]
WholeSeconds = Annotated[
    int, BeforeValidator(_whole_seconds), WithJsonSchema({"type": ["string", "integer"], "examples": ["1m"]})
]
Whole = Annotated[int, BeforeValidator(_not_a_boolean)]
Reference = Annotated[
    str, BeforeValidator(_reference), WithJsonSchema({"type": "string", "pattern": f"^({tokens.REFERENCE.pattern})$"})
]
ONE_LINE: Final = matching(r"[^\x00-\x1f\x7f]+", "must be a single line of text")


# --- models -----------------------------------------------------------------------------------------------------------


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # built once, in the whole job's model


class DestinationModel(Model):
    """What destinations of every type have. Each type's model narrows `type` to a Literal and adds its settings."""

    type: str
    name: Name = pydantic.Field(description="Unique; in metrics, receipts and dead letters.")


class DeliveryModel(Model):
    """How conversions are sent."""

    max_batch_events: Whole = pydantic.Field(
        Delivery.max_batch_events,
        ge=1,
        description="At most 1000; 2000 where every destination has the wire offline_events.",
    )
    max_batch_bytes: Whole = pydantic.Field(Delivery.max_batch_bytes, ge=1024, le=64 * 1024 * 1024)
    max_batch_delay: Duration = pydantic.Field(Delivery.max_batch_delay, description="How long a batch may wait.")
    concurrency: Whole = pydantic.Field(
        Delivery.concurrency, ge=1, le=256, description="Requests in flight, of each destination and worker."
    )
    requests_per_second: (
        Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False), BeforeValidator(_not_a_boolean)] | None
    ) = pydantic.Field(None, description="Requests started per second, at most, by the whole job; workers share them.")
    share_unused_rate: bool = pydantic.Field(
        Delivery.share_unused_rate,
        description="Whether workers that send also use the shares of those that do not, by small files in the job's"
        " temp_location.",
    )
    rate_limit_service: (
        Annotated[str, matching(r"(?a)[\w.-]+:\d{1,5}", "must be host:port, such as localhost:8081"), TEXT] | None
    ) = pydantic.Field(None, description="host:port of an Envoy rate limit service, for a limit over all workers.")
    timeout: PositiveDuration = pydantic.Field(Delivery.timeout, description="Of one request.")
    retry_for: Duration = pydantic.Field(Delivery.retry_for, description="How long a failing destination is tried.")
    receipts: Literal["brief", "detailed"] = pydantic.Field(
        Delivery.receipts, description="detailed: with the event_ids of each request."
    )
    deduplicate: PositiveDuration | None = pydantic.Field(
        None,
        description="How long a stream's duplicates are dropped, by event_id. Meta drops them for 48 hours anyway.",
    )
    books_window: WholeSeconds = pydantic.Field(
        BOOKS_WINDOW, description="How long a window of `--window-books` is, in whole seconds."
    )


class JobModel(Model):
    """A capybeam job: which events go to which datasets at Meta, as what."""

    destinations: tuple[DestinationModel, ...] = pydantic.Field(json_schema_extra={"minItems": 1})
    delivery: DeliveryModel = pydantic.Field(default_factory=dict, validate_default=True)
    unwrap: Annotated[str, BeforeValidator(_unwrap), WithJsonSchema({"type": "string", "pattern": r"^\$"})] | None = (
        pydantic.Field(
            None,
            description="The path to the event in messages that have it in an envelope, for example $.detail. Push"
            " bodies of Pub/Sub, entries of Cloud Logging, batches of Segment and gzip are opened without it.",
        )
    )
