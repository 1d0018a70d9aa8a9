"""Recorded cases of Segment's engine and Meta's documentation, replayed.

The recordings lie beside the repository's checkout, in ``shared/vectors`` (or where CAPYBEAM_SHARED says); without them
this module is skipped. A row where we differ on purpose is listed here by its ID, under the rule that says how.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.job.presets import merged_mapping, presets
from capybeam.pipeline.preview import preview
from capybeam.transforms.core.events import parse_event
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.directives.registry import MappingError
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.language.triggers import compile_trigger
from capybeam.transforms.meta.user_data import KEYS, compile_user_data, normaliser
from capybeam.transforms.standards.javascript import MISSING

SHARED = Path(os.environ.get("CAPYBEAM_SHARED") or Path(__file__).parents[3] / "shared")
VECTORS = SHARED / "vectors"

if not VECTORS.is_dir():
    pytest.skip(
        "the recorded cases are not here (CAPYBEAM_SHARED, or shared/ beside the checkout)", allow_module_level=True
    )


def rows(name: str) -> list[Any]:
    text = (VECTORS / name).read_text(encoding="utf-8")
    return [pytest.param(row, id=row.get("id")) for row in map(json.loads, text.splitlines())]


def refused_as_no_object(value: Any) -> bool:
    """Whether a value never becomes an event, so that no trigger and no mapping ever sees it."""
    try:
        parse_event(orjson.dumps(value))
    except Rejected as rejected:
        return rejected.code == "not_an_object"
    return False


# --- Meta's documentation ---------------------------------------------------------------------------------------

_NAMES = {
    "em": "email",
    "ph": "phone",
    "fn": "firstName",
    "db": "dateOfBirth",
    "ge": "gender",
    "ct": "city",
    "st": "state",
    "zp": "zip",
    "country": "country",
}


@pytest.mark.parametrize("row", rows("meta_documented.jsonl"))
def test_a_documented_value_has_the_documented_digest(row: dict[str, Any]) -> None:
    assert normaliser(row["key"])(row["input"]) == row["normalized"]
    notes: list[str] = []
    assert compile_user_data()({_NAMES[row["key"]]: row["input"]}, notes.append) == {row["key"]: row["sha256"]}
    assert notes == []


# --- Meta's param-builder ---------------------------------------------------------------------------------------

_NAMES_OF_ALL = {key.wire: name for name, key in KEYS.items()}
_EVENT_TIME = 1_790_000_001

# What is better than what the param-builder makes of it; docs/normalisation.md has the rules.
OTHERWISE: dict[tuple[str, str], str | None] = {
    # blanks inside go
    ("em", "jane@example .com"): "jane@example.com",
    ("em", "test@ example.com"): "test@example.com",
    ("em", "jane\u00a0@example.com"): "jane@example.com",
    # a code, rather than the first two letters that are left
    ("st", "Québec"): "qc",
    ("st", "USA-TX"): "tx",
    # a placeholder is nothing
    ("country", "N/A"): None,
}


@pytest.mark.parametrize("row", rows("user_data_cases.jsonl"))
def test_a_value_is_hashed_as_by_metas_param_builder(row: dict[str, Any]) -> None:
    key, value = row["key"], row["input"]
    country = {"country": row["country"]} if "country" in row else {}
    sent = compile_user_data()({**country, _NAMES_OF_ALL[key]: value}, lambda note: None, _EVENT_TIME).get(key)
    sent = sent[0] if isinstance(sent, list) else sent
    expected = OTHERWISE.get((key, value), row["expect"])
    if isinstance(expected, dict):
        assert sent in expected.get("hash", []) + expected.get("plain", [])
    else:
        assert sent == (None if expected is None else sha(expected))


# --- triggers ---------------------------------------------------------------------------------------------------

# Segment evaluates a trigger on what is no event at all; here it is refused before any trigger runs.
FQL_WITHOUT_AN_EVENT = {"fql2", "fql3"}


@pytest.mark.parametrize("row", rows("fql_cases.jsonl"))
def test_a_trigger_takes_what_segments_takes(row: dict[str, Any]) -> None:
    takes = compile_trigger(row["fql"])
    if row["id"] in FQL_WITHOUT_AN_EVENT:
        assert refused_as_no_object(row["event"])
        assert row["match"] is False
    else:
        assert takes(row["event"]) is row["match"]


# --- mappings ---------------------------------------------------------------------------------------------------

# Segment's engine checks that it was given an object; here what is no object is refused before any mapping runs.
MAPPINGS_WITHOUT_AN_EVENT = {"mk12", "mk13"}


@pytest.mark.parametrize("row", rows("mapping_kit_cases.jsonl"))
def test_a_mapping_maps_as_segments_engine_does(row: dict[str, Any]) -> None:
    mapping, event = (row["args"][0], {}) if row["fn"] == "validate" else (row["mapping"], row.get("data", {}))
    if row["id"] in MAPPINGS_WITHOUT_AN_EVENT:
        assert refused_as_no_object(event)
        assert "data must be an object" in row["error"]["message"]
    elif "error" in row:
        with pytest.raises(MappingError) as raised:
            compile_mapping(mapping)
        for message in row["error"].get("messages", ()):  # Segment's list of problems is found whole
            where = message.split(" ")[0]
            assert any(str(problem).startswith(where) for problem in raised.value.problems), message
    elif row["fn"] == "validate":
        assert callable(compile_mapping(mapping))
    else:
        mapped = compile_mapping(mapping)(event)
        assert (mapped is MISSING) is (row.get("result_undefined_paths") == [""])
        if mapped is not MISSING:
            assert mapped == row["result"]


# --- templates --------------------------------------------------------------------------------------------------

TEMPLATES = json.loads((VECTORS / "liquid_cases.json").read_text(encoding="utf-8"))

# Templates that are rendered otherwise than by LiquidJS, on purpose; docs/mapping.md says why.
TEMPLATES_OF_OURS: set[str] = set()


def test_templates_render_as_with_liquidjs() -> None:
    differing = {
        template
        for template, text in TEMPLATES["cases"]
        if compile_mapping({"@liquid": template})(TEMPLATES["data"]) != text
    }
    assert differing == TEMPLATES_OF_OURS
    assert len(differing) <= 0.03 * len(TEMPLATES["cases"])


# --- whole events -----------------------------------------------------------------------------------------------


def seconds(time: str) -> int:
    return int(time) if time.isdigit() else int(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp())


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


Payload = dict[str, Any]
Rule = Callable[[Payload, dict[str, Any]], Payload]


def event_time_in_integer_seconds(payload: Payload, row: dict[str, Any]) -> Payload:
    """7: text, ISO 8601 and milliseconds become Unix seconds."""
    return {**payload, "event_time": seconds(payload["event_time"])}


def every_event_has_an_id(payload: Payload, row: dict[str, Any]) -> Payload:
    """20: the messageId, where a mapping leaves event_id out."""
    assert "event_id" not in payload
    return {**payload, "event_id": row["event"]["messageId"]}


def no_last_name_in_custom_data(payload: Payload, row: dict[str, Any]) -> Payload:
    """Personal data leaves in user_data only, hashed."""
    kept = {key: value for key, value in payload["custom_data"].items() if key != "last_name"}
    assert kept != payload["custom_data"]
    return {**payload, "custom_data": kept}


def traits_of_an_identify_call(payload: Payload, row: dict[str, Any]) -> Payload:
    """22: traits at the root are looked up too; name stands in for first and last, and country is mapped."""
    assert row["event"]["traits"]["name"] == "Peter Gibbons"
    traits = {
        "em": "peter@example.com",
        "fn": "peter",
        "ln": "gibbons",
        "ct": "sanfrancisco",
        "st": "ca",
        "zp": "94103",
        "country": "us",
    }
    return {**payload, "user_data": {**payload["user_data"], **{key: sha(value) for key, value in traits.items()}}}


SENT = {
    "case17", "case19", "case21", "case22", "case23", "case26", "case27", "case28", "case29", "case30", "case31",
    "case42", "case43", "case47", "case48", "case49", "case50", "case106", "case107", "case108",
}  # fmt: skip
RULES: dict[Rule, set[str]] = {
    event_time_in_integer_seconds: SENT,
    every_event_has_an_id: {
        "case17", "case26", "case27", "case31", "case42", "case47", "case48", "case49", "case50",
    },
    no_last_name_in_custom_data: {"case17", "case26", "case27", "case31"},
    traits_of_an_identify_call: {"case107", "case108"},
}  # fmt: skip

# What Segment refuses is refused here, by these codes.
REFUSED = {
    "case18": "invalid_currency",
    "case20": "invalid_delivery_category",  # Segment: no id in contents; here that alone leaves the item out
    "case24": "invalid_delivery_category",
    "case25": "missing_required_field",
    "case44": "missing_required_field",
    "case45": "missing_required_field",
    "case46": "missing_required_field",
    "case103": "missing_required_field",
    "case104": "missing_required_field",
    "case105": "missing_required_field",
}


def outcome(row: dict[str, Any]) -> dict[str, Any]:
    """What `capybeam map` says about the row's event a minute after it happened."""
    subscription: dict[str, Any] = {"action": row["action"]}
    if row["action"] == "custom":
        subscription |= {"trigger": "all", "mapping": {"event_name": "Lead"}}
    destination = {
        "name": "web",
        "type": "facebook_conversions_api",
        "dataset_id": row["settings"]["pixelId"],
        "test_event_code": row["settings"]["testEventCode"],
        "access_token": "env:META_ACCESS_TOKEN",
        "subscriptions": [subscription],
    }
    job = parse_job(json.dumps({"destinations": [destination]}))
    # Some of the recorded mappings are refused by `check`, as no event can pass them: the engine rejects each event.
    mapping = merged_mapping(presets()[row["action"]], row["mapping"], row["useDefaultMappings"])
    made = tuple(dataclasses.replace(each, mapping=mapping) for each in job.subscriptions)
    job = dataclasses.replace(job, subscriptions=made)
    (found,) = preview(job, [orjson.dumps(row["event"])], now=seconds(row["event"]["timestamp"]) + 60)
    return json.loads(orjson.dumps(found))


@pytest.mark.parametrize("row", rows("segment_action_cases.jsonl"))
def test_an_event_goes_out_as_from_segment(row: dict[str, Any]) -> None:
    found = outcome(row)
    common = {"line": 1, "destination": "web", "subscription": row["action"]}
    if row["id"] in REFUSED:
        assert row["responses"] == []
        code = REFUSED[row["id"]]
        assert found == {**common, "status": "rejected", "stage": "map", "code": code, "message": found["message"]}
        for name in re.findall(r"required field '(\w+)'", row["error"]["message"]):
            assert f"The required field {name!r} has no value" in found["message"]
        return
    request = row["responses"][0]["json"]
    (payload,) = request.pop("data")
    for rule, ids in RULES.items():
        if row["id"] in ids:
            payload = rule(payload, row)
    expected = {**common, "status": "ready", "dataset_id": row["settings"]["pixelId"], **request, "payload": payload}
    assert found == expected


def test_each_recorded_event_is_listed_once() -> None:
    ids = [row.values[0]["id"] for row in rows("segment_action_cases.jsonl")]
    assert sorted(ids) == sorted([*SENT, *REFUSED])
    assert all(listed <= SENT for listed in RULES.values())


# --- the actions' own tables ------------------------------------------------------------------------------------

ACTIONS = json.loads((VECTORS / "segment_actions.json").read_text(encoding="utf-8"))


# Fields that Meta reads and Segment does not know, in every action and in one (16).
COMMON_FIELDS_OF_OURS = {
    "opt_out", "referrer_url", "messaging_channel", "customer_segmentation", "attribution_data",
    "original_event_data", "store_data",
}  # fmt: skip
FIELDS_OF_OURS = {"purchase": {"order_id", "predicted_ltv"}}
# Types that check more than Segment's do (3, 7, 14).
TYPES_OF_OURS = {
    "event_time": "time",
    "currency": "currency",
    "data_processing_options_country": "integer",
    "data_processing_options_state": "integer",
}
CHOICES_OF_OURS = {
    "action_source": {"business_messaging"},
    "data_processing_options_state": {1011, 1012, 1013},
}
# Default mappings that say more than Segment's (1, 12, 22, and gender, country and name).
DEFAULTS_OF_OURS = {"action_source", "user_data", "order_id", "referrer_url"}


def test_segments_actions_are_all_there() -> None:
    assert presets().keys() >= ACTIONS.keys()


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_has_segments_trigger_and_fields(action: str) -> None:
    ours, segments = presets()[action], ACTIONS[action]
    fields = {field.name: field for field in ours.fields if not (field.name == "event_name" and ours.event_name)}
    assert ours.trigger == segments["trigger"]
    assert fields.keys() - segments["fields"].keys() == COMMON_FIELDS_OF_OURS | FIELDS_OF_OURS.get(action, set())
    for name, spec in segments["fields"].items():
        field = fields[name]
        assert (field.type, field.required, field.multiple) == (
            TYPES_OF_OURS.get(name, spec["type"]),
            spec.get("required", False),
            spec.get("multiple", False),
        ), name
        assert set(field.choices) == set(spec.get("choices", ())) | CHOICES_OF_OURS.get(name, set()), name
        if "properties" in spec:
            assert field.properties is not None
            assert {inner.name for inner in field.properties} >= spec["properties"].keys(), name


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_has_segments_default_mapping(action: str) -> None:
    ours = presets()[action].defaults
    segments = {name: spec["default"] for name, spec in ACTIONS[action]["fields"].items() if "default" in spec}
    assert ours.keys() - segments.keys() == {"action_source", "referrer_url"} | (
        {"order_id"} if action == "purchase" else set()
    )
    for name in segments.keys() - DEFAULTS_OF_OURS:
        assert ours[name] == segments[name], name


@pytest.mark.parametrize("action", ACTIONS)
def test_the_default_user_data_holds_what_segments_does(action: str) -> None:
    traits = {
        "email": "jane@example.com",
        "phone": "+16505550123",
        "birthday": "1997-02-16",
        "firstName": "Jane",
        "lastName": "Doe",
        "gender": "f",
        "address": {"city": "Berlin", "state": "BE", "postalCode": "10115", "country": "DE"},
    }
    event = {
        "userId": "u1",
        "context": {"traits": traits, "ip": "192.0.2.1", "userAgent": "UA"},
        "properties": {"fbc": "fb.1.1790000000000.AbC", "fbp": "fb.1.1790000000000.1"},
    }
    segments = compile_mapping(ACTIONS[action]["fields"]["user_data"]["default"])
    ours = compile_mapping(presets()[action].defaults["user_data"])
    assert ours(event) == {**segments(event), "gender": "f", "country": "DE"}
    assert ours({"anonymousId": "a1"}) == segments({"anonymousId": "a1"}) == {"externalId": "a1"}
