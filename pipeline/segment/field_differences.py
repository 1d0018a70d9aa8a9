"""One event as Segment sends it beside the same event as it is sent here: what differs, field by field, and by which
rule. Values that are hashed are compared by the texts that are hashed, so that the rule can be named.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from capybeam.pipeline.segment.difference_rules import Rule, rule
from capybeam.pipeline.segment.segments_output import SegmentSends, may_be_a_name
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.fields import NOTHING
from capybeam.transforms.meta.normalised_forms import normalised_forms
from capybeam.transforms.meta.personal_data.keys import is_personal
from capybeam.transforms.meta.user_data import HASHED, KEYS
from capybeam.transforms.standards.javascript import MISSING

Kind = Literal["only_capybeam", "only_segment", "value", "form", "unknown"]


@dataclasses.dataclass(frozen=True)
class SentHere:
    """An event as it is sent here.

    Attributes:
        body: the server event.
        given: the mapped user_data, not hashed.
        notes: what was counted on the way.
    """

    body: Mapping[str, Any]
    given: Mapping[str, Any]
    notes: Mapping[str, int]
    test_event_code: str = ""


@dataclasses.dataclass(frozen=True)
class FieldDifference:
    """What differs in one field.

    Attributes:
        kind: who sends it; ``form`` where only the form differs, ``unknown`` where it is not known what Segment sends.
        here, at_segment: the values, of user_data those in the clear; MISSING for none.
    """

    field: str
    kind: Kind
    rule: Rule
    here: Any
    at_segment: Any


def field_differences(here: SentHere, there: SegmentSends, event: Event) -> Iterator[FieldDifference]:
    """All that differs between two renderings of an event."""
    ours = _flat(here.body, here.test_event_code)
    segments = _flat(there.event, there.test_event_code)
    texts = _texts(here.given)
    for field in sorted(ours.keys() | segments.keys()):
        one, other = ours.get(field, MISSING), segments.get(field, MISSING)
        if _same(one, other):
            continue
        kind: Kind = "only_segment" if one is MISSING else "only_capybeam" if other is MISSING else "value"
        root, _, key = field.partition(".")
        if root == "user_data":
            if key in HASHED:
                one = one if one is MISSING else texts.get(key, one)
                other = other if other is MISSING else there.hashed.get(key, other)
            why = _of_user_data(key, one, other, event)
            kind = "unknown" if why == "country names" else kind
        elif root == "custom_data":
            why = _of_custom_data(key, (one, other), here, there)
        else:
            why = _of_event(field, kind, here)
            kind = "form" if field == "event_time" else kind
        yield FieldDifference(field, kind, rule(why), one, other)


def rule_of_rejection(cause: Rejected) -> Rule:
    """Why an event that Segment sends is rejected here."""
    if cause.code == "invalid_field" and "should be a number" in cause.message:
        return rule("numbers")
    if cause.code == "missing_required_field" and "personal data" in cause.message:
        return rule("personal texts")
    return rule(_BY_CODE.get(cause.code, "rejected"))


_BY_CODE: Final[Mapping[str, str]] = {
    "event_too_old": "age",
    "event_in_future": "age",
    "no_match_keys": "no user_data",
    "match_keys_too_broad": "no user_data",
    "invalid_event_time": "unreadable time",
    "invalid_content_type": "content_type",
    "missing_app_data": "app events",
    "invalid_extinfo": "app events",
    "missing_currency": "purchase",
    "missing_value": "purchase",
    "invalid_currency": "purchase",
}


# --- comparing --------------------------------------------------------------------------------------------------------


def _flat(event: Mapping[str, Any], test_event_code: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in event.items():
        if name in ("user_data", "custom_data") and isinstance(value, Mapping):
            flat.update((f"{name}.{key}", item) for key, item in value.items())
        else:
            flat[name] = value
    return {**flat, "test_event_code": test_event_code} if test_event_code else flat


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON, in which true is not 1, and a digest alone is a list of one."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(_same, one, other))
    if type(one) is list or type(other) is list:
        return bool([one] == other or one == [other])
    return bool(one == other)


def _texts(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """By wire key, what the digests of an event are made of."""
    return {
        KEYS[name].wire: tuple(
            dict.fromkeys(form.normalised for form in normalised_forms(name, given) if form.normalised)
        )
        for name in given
        if name in KEYS and KEYS[name].hashed
    }


# --- naming the rule --------------------------------------------------------------------------------------------------

_COOKIE: Final = re.compile(r"fb\.\d{1,2}\.\d{13}\.\S+", re.ASCII)
_HASH_IN: Final = re.compile(r"[0-9a-f]{64}|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", re.IGNORECASE)
_OF_KEYS: Final[Mapping[str, str]] = {
    "em": "emails",
    "ph": "phone",
    "fn": "names",
    "ln": "names",
    "ct": "places",
    "st": "places",
    "zp": "places",
    "db": "dates",
    "ge": "genders",
    "country": "countries",
    "external_id": "nothing left",
}


def _of_user_data(key: str, one: Any, other: Any, event: Event) -> str:
    """The name of the rule for a key of user_data; hashed ones by their texts."""
    if key == "fbc":
        malformed = one is MISSING and type(other) is str and not _COOKIE.fullmatch(other)
        return "malformed fbc" if malformed else "fbc"
    if key in ("fbp", "client_ip_address"):
        return "malformed fbc" if key == "fbp" else key
    if key not in HASHED:
        if one is MISSING:
            return "null ids" if other == 0 else "nothing left"
        return "more fields" if other is MISSING else "trimmed"
    if one is MISSING and event.get("type") == "group" and "traits" in event:
        return "group"
    segments = other if type(other) is tuple else ()
    if any(_HASH_IN.search(text) for text in segments):
        return "already hashed"
    if one is MISSING:
        return "nothing left"
    if key == "external_id" and len(set(segments)) < len(segments) and set(segments) == set(one):
        return "repeats"
    if segments and tuple(unicodedata.normalize("NFC", text) for text in segments) == one:
        return "composed form"
    if key == "country" and any(map(may_be_a_name, segments)):
        return "country names"
    return _OF_KEYS[key]


def _of_custom_data(key: str, values: tuple[Any, Any], here: SentHere, there: SegmentSends) -> str:
    one, other = values
    is_cut = "removed_from_custom_data" in here.notes
    if other is MISSING:
        if "custom_data" not in there.event:
            return "pageView"
        if key in ("order_id", "predicted_ltv"):
            return "order_id"
        return "custom_data" if key in ("currency", "value") else "more fields"
    if one is MISSING:
        if other == []:
            return "empty contents"
        if is_personal(key):
            return "personal keys"
        is_nothing = all(map(_is_nothing, other if type(other) is list else (other,)))
        return "personal texts" if is_cut else "nothing left" if is_nothing else "unexplained"
    if key == "contents" and type(one) is list and type(other) is list:
        return _of_contents(one, other, is_cut)
    if type(other) is list and any(map(_is_nothing, other)):
        return "nothing left"
    return "personal texts" if is_cut else "unexplained"


def _of_contents(one: list[Any], other: list[Any], is_cut: bool) -> str:
    for ours, segments in zip(one, other, strict=False):
        if ours.keys() - segments.keys():
            return "more fields"
        if any(segments[key] == 0 for key in segments.keys() - ours.keys()):
            return "null numbers"
    return "personal texts" if is_cut else "nothing left" if len(one) < len(other) else "unexplained"


def _is_nothing(value: Any) -> bool:
    return type(value) is str and (value in NOTHING or not value.strip())


def _of_event(field: str, kind: Kind, here: SentHere) -> str:
    if f"removed_from_{field}" in here.notes or (field == "event_id" and "hashed_event_id" in here.notes):
        return "personal texts"
    if kind == "only_capybeam":
        return _ADDED.get(field, "more fields")
    return _CHANGED.get(field, "unexplained")


_ADDED: Final[Mapping[str, str]] = {"event_id": "event_id", "data_processing_options": "ldu"}
_CHANGED: Final[Mapping[str, str]] = {
    "event_time": "event_time",
    "event_id": "event_id",
    "event_source_url": "event_source_url",
    "app_data": "more fields",
    "data_processing_options_country": "ldu country",
    "data_processing_options_state": "ldu states",
    "test_event_code": "trimmed",
}
