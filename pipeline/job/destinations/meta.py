"""What destinations at Meta's Graph API have in common: settings, versions and their ends, requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, TypeGuard
from urllib.parse import urlsplit

import pydantic
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from capybeam.pipeline.job.consent import ConsentModel
from capybeam.pipeline.job.models import ONE_LINE, TEXT, DestinationModel, Reference, integer_as_text, matching
from capybeam.pipeline.job.problems import Problems
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.destination import is_loopback
from capybeam.transforms.language.consent import Consent
from capybeam.transforms.meta.destinations import GRAPH_API, MetaDestination
from capybeam.transforms.meta.settings import InText
from capybeam.transforms.standards import countries

# --- types of values --------------------------------------------------------------------------------------------------

_VERSION: Final = r"v[0-9]{1,4}\.[0-9]{1,4}"


def digits(value: Any) -> str:
    """The ID of a dataset. Raises a ValueError of pydantic's."""
    text = integer_as_text(value)
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]+", text):
        raise PydanticCustomError("dataset_id", "must be digits, as Meta's Events Manager shows the ID")
    return text


def ids(value: Any) -> tuple[str, ...]:
    """One ID or a list of them, each once."""
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise PydanticCustomError("dataset_id", "must list at least one ID")
    return tuple(dict.fromkeys(map(digits, listed)))


def _partner_agent(value: Any) -> str:
    """Meta's rule: less than 23 characters, at least two of them letters."""
    if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e]{2,22}", value) or sum(map(str.isalpha, value)) < 2:
        raise PydanticCustomError("partner_agent", "must be 2 to 22 characters of ASCII, 2 of them letters")
    return value


def _endpoint(value: Any) -> str:
    try:
        url = urlsplit(value if isinstance(value, str) else "")
        proper = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # brackets without an IPv6 address, an invalid port
        proper = False
    if not proper or url.query or url.fragment or url.username:
        raise PydanticCustomError("endpoint", "must be a URL like https://graph.facebook.com")
    if url.scheme == "http" and not is_loopback(str(url.hostname)):
        raise PydanticCustomError(
            "endpoint", "must be https, because the token is sent there (http is for loopback only)"
        )
    return str(value).rstrip("/")


def _country(value: Any) -> str:
    code = value.strip().upper() if isinstance(value, str) else ""
    if code.lower() not in countries.load().codes:
        raise PydanticCustomError("country", "must be an ISO 3166-1 alpha-2 country code such as US")
    return code


ID_SCHEMA: Final[dict[str, Any]] = {"type": ["string", "integer"], "pattern": "^[0-9]+$"}
DatasetIds = Annotated[
    tuple[str, ...],
    BeforeValidator(ids),
    WithJsonSchema({**ID_SCHEMA, "type": ["string", "integer", "array"], "minItems": 1, "items": ID_SCHEMA}),
]
Version = Annotated[str, matching(_VERSION, "must look like v25.0"), TEXT]
OneLine = Annotated[str, ONE_LINE, TEXT]
ParameterId = Annotated[
    str, ONE_LINE, BeforeValidator(integer_as_text), WithJsonSchema({"type": ["string", "integer"], "minLength": 1})
]


# --- the model --------------------------------------------------------------------------------------------------------


class MetaModel(DestinationModel):
    """What all destinations at Meta have in common."""

    access_token: Reference = pydantic.Field(
        description="Where the token is: env:NAME, file:PATH or secret:projects/P/secrets/S/versions/V."
    )
    app_secret: Reference | None = pydantic.Field(
        None, description="Where the app's secret is, as access_token; for apps that require an appsecret_proof."
    )
    endpoint: Annotated[str, BeforeValidator(_endpoint), TEXT] = GRAPH_API
    test_event_code: Annotated[str, matching(r"\S*", "must be a code like TEST12345, without spaces"), TEXT] | None = (
        pydantic.Field(None, description="Shows events under Test Events. This is not a dry run: Meta counts them.")
    )
    default_country: Annotated[str, BeforeValidator(_country), TEXT] | None = pydantic.Field(
        None,
        description="ISO 3166-1 alpha-2; the country of phone numbers, states and postal codes that come without one.",
    )
    allow_in_custom_data: tuple[str, ...] = pydantic.Field(
        (),
        description="Keys of custom_data, and of URLs, that are sent although they look like personal data.",
    )
    personal_data_in_text: InText = pydantic.Field(
        "cut",
        description="cut: removes email addresses, and the person's own number, name and address, from texts and URLs."
        " allow: sends texts and URLs unchanged.",
    )
    restricted: bool = pydantic.Field(
        False,
        description="true: sends no more than Meta's core setup allows, for restricted categories such as health and"
        " finance: no custom parameters, no more than the domain of URLs.",
    )
    consent: ConsentModel | None = pydantic.Field(
        None, description="What an event must say about consent before it is sent. Default: nothing is asked."
    )
    partner_agent: Annotated[str, BeforeValidator(_partner_agent), TEXT] | None = pydantic.Field(
        None, description="Sent with each request: the platform that sends. Under 23 characters, 2 of them letters."
    )
    namespace_id: ParameterId | None = pydantic.Field(None, description="Sent with each request.")
    upload_id: ParameterId | None = pydantic.Field(None, description="Sent with each request.")
    upload_source: OneLine | None = pydantic.Field(
        None, description="Sent with each request: where the events come from."
    )


_PARAMETERS: Final = ("partner_agent", "namespace_id", "upload_id", "upload_source")  # of each request


def destination(model: MetaModel, api_version: str) -> MetaDestination:
    """Where the requests of a destination go."""
    return MetaDestination(
        name=model.name,
        token=TokenReference(model.access_token),
        api_version=api_version,
        endpoint=model.endpoint,
        app_secret=None if model.app_secret is None else TokenReference(model.app_secret),
        parameters=tuple((name, value) for name in _PARAMETERS if (value := getattr(model, name)) is not None),
    )


def of_all_subscriptions(model: MetaModel) -> dict[str, Any]:
    """Those arguments of `Subscription` that all of a destination's share."""
    return {
        "destination": model.name,
        "default_country": model.default_country,
        "test_event_code": model.test_event_code or None,
        "allow_in_custom_data": frozenset(model.allow_in_custom_data),
        "personal_data_in_text": model.personal_data_in_text,
        "restricted": model.restricted,
        "consent": None if model.consent is None else Consent(**model.consent.model_dump()),
    }


# --- versions of the Graph API ----------------------------------------------------------------------------------------

GRAPH_API_ENDS: Final[Mapping[int, date]] = {
    16: date(2025, 5, 14),
    19: date(2026, 5, 21),
    20: date(2026, 9, 24),
    24: date(2028, 2, 18),
    25: date(2028, 7, 29),
}
MARKETING_API_ENDS: Final[Mapping[int, date]] = {24: date(2026, 10, 6)}


def is_version(value: Any) -> TypeGuard[str]:
    """Whether a value is a version such as v25.0."""
    return isinstance(value, str) and re.fullmatch(_VERSION, value) is not None


def major(version: str) -> int:
    """The 25 of v25.0."""
    return int(version[1:].partition(".")[0])


def check_api_version(version: Any, loc: Loc, problems: Problems) -> None:
    """Adds a problem where Meta has ended a version, a warning where its Marketing API has ended."""
    if not is_version(version):
        return
    graph, marketing = _end(GRAPH_API_ENDS, major(version)), _end(MARKETING_API_ENDS, major(version))
    if graph and graph <= problems.today:
        problems.add(loc, f"{version} has expired: Meta ended it by {graph}; use {MetaDestination.api_version}")
    elif marketing and marketing <= problems.today:
        problems.warn(loc, f"{version} is past the end of its Marketing API table ({marketing}); a newer one is safer")


def end_of_version(version: str) -> date | None:
    """The first day on which a version such as v25.0 no longer works, where that is known."""
    return _end(GRAPH_API_ENDS, major(version))


def _end(ends: Mapping[int, date], version: int) -> date | None:
    """When a major version ends: at the latest with the next one in the table."""
    later = [listed for listed in ends if listed >= version]
    return ends[min(later)] if later else None


_VERSION_IN_PATH: Final = re.compile(r"/(v\d+\.\d+)(?=/|$)", re.ASCII)


def warn_of_path(endpoint: str, loc: Loc, problems: Problems) -> None:
    """capybeam appends version, dataset and /events; a gateway may have its own path, Meta has none."""
    path = urlsplit(endpoint).path
    if not path:
        return
    version = _VERSION_IN_PATH.search(path)
    hint = f"; the version is set by api_version: {version[1]}" if version else ""
    problems.warn(loc, f"has the path {path}, and Meta answers code 2500 to an unknown path{hint}")
