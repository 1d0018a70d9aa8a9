"""What Segment's own destination sends for an event: its "Facebook Conversions API (Actions)", as Graph v24.0 has it.

A second rendering, for `comparison` only: nothing is delivered by it. It is Segment's way with Segment's defects, each
of which docs/normalisation.md ("Differences from Segment") lists; the mapping itself is run by `compile_mapping`, which
docs/mapping.md compares with Segment's. The order is Segment's: mapping, empty values of the root, types and required
fields, business rules, the event.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from capybeam.pipeline.segment.difference_rules import Rule, rule
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.standards import countries, javascript
from capybeam.transforms.standards.currencies import CURRENCIES

EVENT_NAMES: Final[Mapping[str, str]] = {
    "purchase": "Purchase",
    "initiateCheckout": "InitiateCheckout",
    "addToCart": "AddToCart",
    "viewContent": "ViewContent",
    "search": "Search",
    "pageView": "PageView",
}
ACTIONS: Final = frozenset({*EVENT_NAMES, "custom"})


@dataclasses.dataclass(frozen=True)
class SegmentSends:
    """An event that Segment sends.

    Attributes:
        event: the server event, user_data hashed.
        hashed: by wire key of user_data, the texts that the digests are made of, or that go out as they are given.
        test_event_code: of the request; "" for none.
    """

    event: Mapping[str, Any]
    hashed: Mapping[str, tuple[str, ...]]
    test_event_code: str = ""


@dataclasses.dataclass(frozen=True)
class SegmentRefuses:
    """An event that Segment does not send, and the rule that says so; None where the event lacks what both want."""

    rule: Rule | None
    why: str


class _Refusal(Exception):
    def __init__(self, why: str, of: Rule | None = None) -> None:
        super().__init__(why)
        self.rule = of


SegmentsWay = Callable[[Event], SegmentSends | SegmentRefuses]


def compile_segments_way(action: str, mapping: Mapping[str, Any], test_event_code: str = "") -> SegmentsWay:
    """The function from an event that a subscription takes to what Segment makes of it.

    Args:
        action: its slug at Segment, such as ``purchase`` or ``purchase2``.
        mapping: as the export has it; Segment adds no defaults.
        test_event_code: of the destination's settings.

    Raises:
        MappingError: the mapping holds what Segment's engine refuses for each event.
    """
    name = action.removesuffix("2")
    known = {**_FIELDS[name], **(_FIELDS_OF_PURCHASE_2 if action == "purchase2" else {})}
    map_event = compile_mapping({key: node for key, node in mapping.items() if not key.startswith("__segment")})

    def segments_way(event: Event) -> SegmentSends | SegmentRefuses:
        try:
            mapped = map_event(event)
        except Rejected as failed:
            return SegmentRefuses(None, failed.message)
        try:
            payload = _validated(mapped if type(mapped) is dict else {}, known)
            _check(payload, name)
            made, hashed = _event(payload, name)
        except _Refusal as refusal:
            return SegmentRefuses(refusal.rule, str(refusal))
        return SegmentSends(made, hashed, payload.get("test_event_code") or test_event_code)

    return segments_way


# --- fields and types -------------------------------------------------------------------------------------------------

_SOURCES: Final = ("email", "website", "app", "phone_call", "chat", "physical_store", "system_generated", "other")
_LDU_STATES: Final = (0, *range(1000, 1011))
_USER_DATA: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        "email phone gender dateOfBirth lastName firstName city state zip country client_ip_address client_user_agent"
        " fbc fbp subscriptionID anonId madId partner_id partner_name ctwa_clid".split(),
        "string",
    ),
    "externalId": "strings",
    "leadID": "integer",
    "fbLoginID": "integer",
}
_EXTINFO: Final = (
    "version packageName shortVersion longVersion osVersion deviceName locale timezone carrier width height density"
    " cpuCores storageSize freeStorage deviceTimezone"
).split()
_APP_DATA: Final[Mapping[str, str]] = {
    **dict.fromkeys(("use_app_data", "advertiser_tracking_enabled", "application_tracking_enabled"), "boolean"),
    **dict.fromkeys((*_EXTINFO, "madId"), "string"),
}
_ITEM: Final[Mapping[str, str]] = {
    "id": "string",
    "quantity": "integer",
    "item_price": "number",
    "delivery_category": "string",
}
_OF_ALL: Final[Mapping[str, str]] = {
    **dict.fromkeys(("action_source", "event_time", "event_id", "event_source_url", "test_event_code"), "string"),
    "user_data": "user_data",
    "app_data_field": "app_data",
    "custom_data": "object",
    "data_processing_options": "boolean",
    "data_processing_options_country": "number",
    "data_processing_options_state": "number",
}
_OF_GOODS: Final[Mapping[str, str]] = {
    **_OF_ALL,
    "currency": "string",
    "value": "number",
    "content_ids": "strings",
    "contents": "contents",
}
_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "purchase": {
        **_OF_GOODS,
        "net_revenue": "number",
        "content_name": "string",
        "content_type": "string",
        "num_items": "integer",
    },
    "initiateCheckout": {**_OF_GOODS, "content_category": "string", "num_items": "integer"},
    "addToCart": {**_OF_GOODS, "content_name": "string", "content_type": "string"},
    "viewContent": {**_OF_GOODS, **dict.fromkeys(("content_category", "content_name", "content_type"), "string")},
    "search": {**_OF_GOODS, "content_category": "string", "search_string": "string"},
    "pageView": _OF_ALL,
    "custom": {**_OF_ALL, "event_name": "string"},
}
_FIELDS_OF_PURCHASE_2: Final[Mapping[str, str]] = {"order_id": "string", "predicted_ltv": "number"}
_REQUIRED: Final = ("action_source", "event_time", "user_data")
_ALSO_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {"purchase": ("currency", "value"), "custom": ("event_name",)}
_CHOICES: Final[Mapping[str, tuple[Any, ...]]] = {
    "action_source": _SOURCES,
    "data_processing_options_country": (0, 1),
    "data_processing_options_state": _LDU_STATES,
}
_RULES_OF_CHOICES: Final[Mapping[str, str]] = {
    "action_source": "business messaging",
    "data_processing_options_state": "ldu states",
    "data_processing_options_country": "ldu states",
}


def _validated(mapped: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """The payload: only fields that are known, none empty, each of its type.

    Types are made to fit as Ajv does it: ``" 12 "`` is a number, 12 a text, null "" or 0, a list of one is its item.
    """
    payload = {
        name: _typed(known[name], value, name)
        for name, value in mapped.items()
        if name in known and value is not None and value is not javascript.MISSING and value != ""
    }
    for name, choices in _CHOICES.items():
        if name in payload and payload[name] not in choices:
            raise _Refusal(f"{name} is not one of Segment's", rule(_RULES_OF_CHOICES[name]))
    return payload


def _typed(kind: str, value: Any, path: str) -> Any:
    if kind == "user_data":
        return _object(value, _USER_DATA, path)
    if kind == "app_data":
        data = _object(value, _APP_DATA, path)
        if data.get("version", "i2") not in ("i2", "a2"):
            raise _Refusal(f"{path}.version is neither i2 nor a2")
        return data
    if kind == "object":
        return _object(value, None, path)
    if kind in ("strings", "contents"):
        listed = value if type(value) is list else [value]
        kept = [item for item in listed if item is not None or "." in path]  # only at the root
        if kind == "strings":
            return [_scalar("string", item, path) for item in kept]
        return [_object(item, _ITEM, path) for item in kept]
    return _scalar(kind, value, path)


def _object(value: Any, known: Mapping[str, str] | None, path: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Refusal(f"{path} is not an object", rule("unusable value") if path == "contents" else None)
    if known is None:
        return value
    return {name: _typed(known[name], item, f"{path}.{name}") for name, item in value.items() if name in known}


def _scalar(kind: str, value: Any, path: str) -> Any:
    if type(value) is list and len(value) == 1:
        value = value[0]
    if type(value) not in (list, dict):
        if kind == "string":
            return "" if value is None else javascript.text(value)
        if kind == "boolean" and (value is None or value in (True, False, "true", "false")):
            return value is True or value == 1 or value == "true"
        if kind in ("number", "integer") and value != "":
            number = javascript.number(value)
            if number == number and (kind == "number" or number % 1 == 0):
                return int(number) if number.is_integer() and abs(number) < 2**53 else number
    article = "an" if kind == "integer" else "a"
    raise _Refusal(f"{path} is not {article} {kind}", _rule_of_type(value, path))


def _rule_of_type(value: Any, path: str) -> Rule | None:
    """The rule for a value of the wrong type; None where it rejects the event here, too."""
    root, _, key = path.partition(".")
    if root in ("user_data", "contents"):
        return rule("several values" if type(value) is list and key in _HASHED else "unusable value")
    return rule(_RULES_OF_CHOICES[root]) if root in _RULES_OF_CHOICES else None


# --- business rules ---------------------------------------------------------------------------------------------------


def _check(payload: Mapping[str, Any], action: str) -> None:
    for name in (*_REQUIRED, *_ALSO_REQUIRED.get(action, ())):
        if name not in payload:
            raise _Refusal(f"{name} has no value")
    if action not in ("custom", "pageView"):
        currency = payload.get("currency")
        if currency and currency not in CURRENCIES:
            raise _Refusal("currency is not a code of ISO 4217 in capitals", rule("currency"))
        for item in payload.get("contents", ()):
            if not item.get("id"):
                raise _Refusal("an item of contents has no id", rule("contents without an id"))
            if item.get("delivery_category") and item["delivery_category"] not in _DELIVERY:
                raise _Refusal("delivery_category of an item of contents is unknown")
    is_website = action != "custom" and payload["action_source"] == "website"
    if is_website and "client_user_agent" not in payload["user_data"]:
        raise _Refusal("action_source is website, and there is no client_user_agent")


_DELIVERY: Final = ("in_store", "curbside", "home_delivery")


# --- the event --------------------------------------------------------------------------------------------------------


def _event(payload: Mapping[str, Any], action: str) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    user_data, hashed = _user_data(payload["user_data"])
    event: dict[str, Any] = {
        "event_name": EVENT_NAMES.get(action) or payload["event_name"],
        "event_time": payload["event_time"],
        "action_source": payload["action_source"],
        "user_data": user_data,
    }
    event.update({name: payload[name] for name in ("event_id", "event_source_url") if payload.get(name)})
    app_data = payload.get("app_data_field") or {}
    if app_data.get("use_app_data"):
        event["app_data"] = _app_data(app_data)
    if payload.get("data_processing_options"):
        event["data_processing_options"] = ["LDU"]
        for name in ("data_processing_options_country", "data_processing_options_state"):
            event[name] = payload.get(name) or 0
    if action != "pageView":
        event["custom_data"] = _custom_data(payload, action)
    return event, hashed


def _custom_data(payload: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The free keys, then the fields over them; a currency that is not mapped deletes the free one."""
    data = dict(payload.get("custom_data", {}))
    if action == "custom":
        return data
    for name in ("currency", "value") if action in ("viewContent", "search") else ("currency",):
        data.pop(name, None)
    own = (name for name in {**_FIELDS[action], **_FIELDS_OF_PURCHASE_2} if name not in _OF_ALL)
    data.update((name, payload[name]) for name in own if name in payload and payload[name] not in ("", []))
    if payload.get("contents") == []:
        data["contents"] = []
    return data


def _app_data(field: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {
        name: int(field.get(name, False)) for name in ("advertiser_tracking_enabled", "application_tracking_enabled")
    }
    if "madId" in field:
        data["madid"] = field["madId"]
    return {**data, "extinfo": [field.get(name, "") for name in _EXTINFO]}


# --- user_data --------------------------------------------------------------------------------------------------------

_HASHED: Final[Mapping[str, str]] = {
    "email": "em",
    "phone": "ph",
    "gender": "ge",
    "dateOfBirth": "db",
    "lastName": "ln",
    "firstName": "fn",
    "city": "ct",
    "state": "st",
    "zip": "zp",
    "country": "country",
}
_AS_THEY_ARE: Final[Mapping[str, str]] = {
    "client_ip_address": "client_ip_address",
    "client_user_agent": "client_user_agent",
    "fbc": "fbc",
    "fbp": "fbp",
    "subscriptionID": "subscription_id",
    "leadID": "lead_id",
    "fbLoginID": "fb_login_id",
    "anonId": "anon_id",
    "madId": "madid",
    "partner_id": "partner_id",
    "partner_name": "partner_name",
    "ctwa_clid": "ctwa_clid",
}
_HOLDS_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_NOT_DIGITS: Final = re.compile(r"[^0-9]")
_SPACES: Final = str.maketrans(dict.fromkeys(javascript.SPACE))
_GENDERS: Final[Mapping[str, str]] = {"m": "m", "male": "m", "f": "f", "female": "f"}


def _user_data(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """user_data with Segment's digests, and by wire key the texts that they are made of."""
    sent: dict[str, Any] = {}
    texts: dict[str, tuple[str, ...]] = {}
    for name, wire in _HASHED.items():
        value = given.get(name)
        if value:
            digest, text = _hashed(wire, value)
            if digest:
                sent[wire], texts[wire] = digest, (text,)
    identities = [text for text in map(_squeezed, given.get("externalId", ())) if text]
    if identities:
        sent["external_id"], texts["external_id"] = [_digest(text) for text in identities], tuple(identities)
    for name, wire in _AS_THEY_ARE.items():
        if name in given and given[name] != "":
            sent[wire] = given[name]
    return sent, texts


def _hashed(wire: str, value: str) -> tuple[str, str]:
    """What goes out for a key, and the text of which it is the digest; "" where nothing is left."""
    if wire in ("ph", "ge") and _HOLDS_DIGEST.search(value):  # anywhere in the text
        return value, value
    text = segments_form(wire, value)
    return (_digest(text), text) if text else ("", "")


def segments_form(wire: str, value: str) -> str:
    """The text that Segment hashes for a value of a hashed key; "" where nothing is left.

    >>> segments_form("ph", "+44 (0)161 496 0000"), segments_form("ln", "O'Connor "), segments_form("ge", "Frau")
    ('4401614960000', "o'connor", '')
    """
    if wire == "ph":
        return _NOT_DIGITS.sub("", value)
    text = _squeezed(value)
    if wire == "ge":
        return _GENDERS.get(text, "")
    if wire == "st":
        return _states().get(text, text)
    if wire == "country":
        return _COUNTRIES.get(text, text)
    return text


def _squeezed(value: str) -> str:
    return value.translate(_SPACES).lower()


def _digest(text: str) -> str:
    return text if _DIGEST.fullmatch(text) else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _states() -> dict[str, str]:
    """The names of the fifty States."""
    return {name: code for name, code in countries.load().inside["us"].items() if code in _FIFTY}


_FIFTY: Final = frozenset(
    "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny nc nd oh ok or pa"
    " ri sc sd tn tx ut vt va wa wv wi wy".split()
)
# English names that Segment makes codes of. It knows more than these; which, is not known here.
_COUNTRIES: Final[Mapping[str, str]] = {
    "argentina": "ar", "australia": "au", "austria": "at", "belgium": "be", "brazil": "br", "canada": "ca",
    "chile": "cl", "china": "cn", "colombia": "co", "denmark": "dk", "egypt": "eg", "finland": "fi", "france": "fr",
    "germany": "de", "greece": "gr", "hungary": "hu", "india": "in", "indonesia": "id", "ireland": "ie",
    "israel": "il", "italy": "it", "japan": "jp", "kenya": "ke", "malaysia": "my", "mexico": "mx",
    "netherlands": "nl", "newzealand": "nz", "nigeria": "ng", "norway": "no", "pakistan": "pk", "peru": "pe",
    "philippines": "ph", "poland": "pl", "portugal": "pt", "romania": "ro", "saudiarabia": "sa", "singapore": "sg",
    "southafrica": "za", "spain": "es", "sweden": "se", "switzerland": "ch", "thailand": "th", "turkey": "tr",
    "ukraine": "ua", "unitedarabemirates": "ae", "unitedkingdom": "gb", "unitedstates": "us", "vietnam": "vn",
}  # fmt: skip


def may_be_a_name(text: str) -> bool:
    """Whether a country may be one whose name Segment makes a code of, without that being known here."""
    return len(text) > 3 and text.isascii() and text not in _COUNTRIES and bool(countries.country(text))
