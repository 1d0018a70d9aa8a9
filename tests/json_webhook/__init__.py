"""A third type of destination, as an example: JSON events to a webhook, without anything of Meta's.

All of it is here: the settings, what an event becomes, how a request is made and what its answer means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import orjson

from capybeam.pipeline.job.checks import check_trigger
from capybeam.pipeline.job.destination_types import DestinationType
from capybeam.pipeline.job.models import DestinationModel, Model
from capybeam.pipeline.job.problems import Problems
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.core.conversions import Conversion, Count, Hashed
from capybeam.transforms.core.envelope import Address, Envelope, Ready
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.answers import Answer, Meaning, Trouble
from capybeam.transforms.delivery.destination import Destination, Request
from capybeam.transforms.language.fields import Field
from capybeam.transforms.language.subscriptions import Hash, Revalidate, Subscription, Validate

HOUR: Final = 3600
PERSONAL: Final = ("email", "phone")

# --- what an event becomes --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class WebhookSubscription(Subscription):
    """Events as {"name", "id", "time", "properties"}, at most an hour old, without personal properties."""

    def compile_hashing(self) -> Hash:
        def hashed(conversion: Conversion, count: Count) -> Hashed:
            key, name, dataset_id, _, fields = conversion
            kept = {key: value for key, value in fields.get("properties", {}).items() if key not in PERSONAL}
            if len(kept) < len(fields.get("properties", {})):
                count("removed_from_properties")
            return Hashed(*(key, name, dataset_id, None, {**fields, "properties": kept}))

        return hashed

    def compile_validation(self, max_bytes: int, is_edited: bool = False) -> Validate:
        def validated(conversion: Conversion, now: float, count: Count, window: int = 0, /) -> Ready:
            fields = conversion.fields
            event = {"name": fields["event_name"], "id": fields["event_id"], "time": fields["event_time"]}
            body = {**event, "properties": fields["properties"]}
            return self._sealed(conversion.dataset_id, body, max_bytes, now, window)

        return validated

    def compile_revalidation(self, max_bytes: int) -> Revalidate:
        return lambda dataset_id, body, now, count: self._sealed(dataset_id, body, max_bytes, now)

    def is_body(self, payload: Mapping[str, Any], is_encoded: bool) -> bool:
        return is_encoded and payload.keys() == {"name", "id", "time", "properties"} and type(payload["time"]) is int

    def takes_body(self, body: Mapping[str, Any]) -> bool:
        return True

    def _sealed(self, dataset_id: str, event: Mapping[str, Any], max_bytes: int, now: float, window: int = 0) -> Ready:
        body = orjson.dumps(event)
        if now - event["time"] > HOUR:
            raise Rejected("event_too_old", "The webhook takes no event of more than an hour.", event)
        if len(body) > max_bytes:
            raise Rejected("event_too_large", payload=event)
        line = Envelope(self.name, event["name"], event["id"], event["time"], HOUR, body, window=window).encode()
        return Ready(Address(self.destination, dataset_id).encode(), line)


# --- how it is sent ---------------------------------------------------------------------------------------------------

_MEANINGS: Final[Mapping[int, tuple[Any, Meaning]]] = {
    200: ("delivered", Meaning("taken")),
    401: ("destination", Meaning("the key is not valid", todo="Put a valid key where the job file points to.")),
    422: ("event", Meaning("an event is not valid")),
    429: ("throttled", Meaning("too many requests")),
}


@dataclasses.dataclass(frozen=True)
class WebhookDestination(Destination):
    key: TokenReference

    @property
    def secrets(self) -> Mapping[str, TokenReference]:
        return {"key": self.key}

    def join(self, bodies: Sequence[bytes], address: Address) -> bytes:
        return b"[" + b",".join(bodies) + b"]"

    def request(self, dataset_id: str, body: bytes, secrets: Mapping[str, str]) -> Request:
        return Request(f"{self.endpoint}/{dataset_id}", body, {"X-Key": secrets["key"]})

    def classify(self, status: int, headers: Mapping[str, str], body: bytes, sent: int) -> Answer:
        kind, meaning = _MEANINGS.get(status, ("transient", Meaning(f"HTTP {status}")))
        return Answer(kind, "" if kind == "delivered" else f"The webhook: {meaning.means}.", meaning=meaning)

    def failed(self, trouble: Trouble, message: str) -> Answer:
        return Answer("transient", message)


# --- its settings -----------------------------------------------------------------------------------------------------


class Route(Model):
    trigger: str
    path: str = "events"


class WebhookModel(DestinationModel):
    type: Literal["json_webhook"]
    url: str
    key: str
    routes: tuple[Route, ...]


_FIELDS: Final = (
    Field("event_name", "string", required=True),
    Field("event_time", "time", required=True),
    Field("event_id", "string"),
    Field("properties", "object", required=True),
)
_MAPPING: Final = {
    "event_name": {"@path": "$.event"},
    "event_time": {"@path": "$.timestamp"},
    "event_id": {"@path": "$.messageId"},
    "properties": {"@path": "$.properties"},
}


def _destination(model: WebhookModel) -> WebhookDestination:
    return WebhookDestination(model.name, TokenReference(model.key), endpoint=model.url)


def _subscriptions(model: WebhookModel) -> Iterator[Subscription]:
    for number, route in enumerate(model.routes):
        yield WebhookSubscription(model.name, f"route {number}", route.trigger, _MAPPING, _FIELDS, (route.path,))


def _check(destination: Mapping[str, Any], loc: Loc, found: Problems) -> None:
    for index, route in enumerate(destination.get("routes") or ()):
        check_trigger(route.get("trigger"), (*loc, "routes", index, "trigger"), found)


def _warn(model: WebhookModel, loc: Loc, found: Problems) -> None:
    if not model.url.startswith("https://"):
        found.warn((*loc, "url"), "is not https")


JSON_WEBHOOK: Final = DestinationType(
    name="json_webhook",
    model=WebhookModel,
    destination=_destination,
    subscriptions=_subscriptions,
    max_batch_events=50,
    check=_check,
    warn=_warn,
)
