"""A record makes what the whole event makes, whatever the job looks up and whatever the event has there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.loader import parse_job
from capybeam.transforms.core.envelope import Ready
from capybeam.transforms.core.events import parse_event
from capybeam.transforms.engine.engine import Engine, Refused
from tests.transforms.shop import NOW, ORDER, Json

ROOTS = ("properties", "context", "traits")
KEYS = ("a", "b", "class", "a b", "_x", "length", "0", "é")
EARLIER = "2026-11-22T09:00:00.000Z"

paths = st.builds(
    lambda root, keys: "$." + root + "".join(f'["{key}"]' for key in keys),
    st.sampled_from(ROOTS),
    st.lists(st.sampled_from(KEYS), max_size=3),
) | st.sampled_from(["$.userId", "$.event", "$.messageId", "$.type", "$.timestamp", "$.properties.products[0].sku"])
in_items = st.sampled_from(["$.sku", "$.price", "$.a", "$.a.b", "$.list"])


def shapes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"id": inner}, optional={"quantity": inner, "item_price": inner})


looked_up = paths.map(lambda path: {"@path": path})
values = st.recursive(
    looked_up | st.sampled_from(["text", 5, None]),
    lambda inner: st.one_of(
        st.builds(lambda first, second: {"@if": {"exists": first, "then": first, "else": second}}, looked_up, inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"@coalesce": options}),
        paths.map(lambda path: {"@template": "{{" + path.removeprefix("$.").replace('"', "'") + "}} and more"}),
        st.builds(lambda value: {"@transform": {"apply": {"x": value}, "mapping": {"@path": "$.x"}}}, inner),
        st.builds(lambda path, shape: {"@json": {"mode": "encode", "value": {"@arrayPath": [path, shape]}}}, paths,
                  shapes(in_items.map(lambda path: {"@path": path}))),
    ),
    max_leaves=4,
)  # fmt: skip
contents = st.builds(
    lambda path, shape: {"@arrayPath": [path, shape]},
    paths | st.sampled_from(["$.properties.products", "$.properties"]),
    shapes(in_items.map(lambda path: {"@path": path})),
)
triggers = st.sampled_from(
    [
        "all",
        'type = "track"',
        'event = "Order Completed" and properties.a != null',
        "properties.a.b > 3 or context.a = null",
        'contains(properties.b, "x") or typeof(traits.a) = "string"',
        "length(properties.products) > 1 or properties.products[0].sku = \"s\"",
        'properties = null or not (context.class = "x")',
    ]
)  # fmt: skip
scalars = st.sampled_from([None, True, 0, 3, 4.5, -0.0, "", "x", "text", "jane@example.com", "+1 202 555 0143", "é"])
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from((*KEYS, "sku", "price", "list")), inner, max_size=3),
    ),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from((*KEYS, "products", "sku", "price")), anything, max_size=5)
events = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "page", "group"]), "messageId": st.just("m-1"), "timestamp": st.just(EARLIER)},
    optional={
        "event": st.sampled_from(["Order Completed", "x", None]),
        "userId": scalars,
        "integrations": st.just({"All": True}),
        "other": scalars,
        "properties": objects,
        "context": objects,
        "traits": objects,
    },
)


def engine_of(mapping: Json, trigger: str) -> Engine:
    fixed = {"event_name": "Seen", "action_source": "website", "event_time": {"@path": "$.timestamp"}}
    subscription = {"action": "custom", "trigger": trigger, "mapping": {**fixed, **mapping}}
    destination = {
        "name": "web",
        "type": "facebook_conversions_api",
        "dataset_id": "1",
        "access_token": "env:TOKEN",
        "subscriptions": [subscription],
    }
    return Engine(parse_job(orjson.dumps({"destinations": [destination]}).decode()).subscriptions)


def made(engine: Engine, event: Any, keys: list[str]) -> tuple[list[Any], Counter[str]]:
    """What becomes of an event, and what is noted meanwhile."""
    noted: Counter[str] = Counter()
    outcomes = engine.encode(event, keys, NOW, 0, {key: lambda note: noted.update([note]) for key in keys})
    return [
        each if isinstance(each, Ready) else (each.stage, each.cause.code, each.cause.message) for each in outcomes
    ], noted


@settings(max_examples=200)
@given(
    st.fixed_dictionaries(
        {"user_data": st.fixed_dictionaries({"externalId": values}, optional={"email": values, "phone": values})},
        optional={"value": values, "content_name": values, "event_id": values, "contents": contents},
    ),
    triggers,
    st.lists(events, min_size=1, max_size=8),
)
def test_a_record_makes_what_the_whole_event_makes(mapping: Json, trigger: str, given_events: list[Json]) -> None:
    engine = engine_of(mapping, trigger)
    assert engine.reader is not None
    for event in given_events:
        line = orjson.dumps(event)
        try:
            record = engine.reader.read(line)
        except Exception:  # it is read whole
            continue
        whole = parse_event(line)
        keys = engine.match(whole)
        assert engine.match_record(record) == keys
        assert made(engine, record, keys) == made(engine, whole, keys)


def test_one_that_fails_among_others_takes_back_what_it_has_noted_and_nothing_else() -> None:
    email = {"@path": "$.context.traits.email"}
    engine = engine_of({"user_data": {"email": email}, "value": {"@path": "$.properties.revenue"}}, "all")
    assert engine.reader is not None
    (subscription,) = engine.subscriptions
    key = subscription.key
    lines = [
        orjson.dumps({**ORDER, "messageId": f"m{number}", "context": {"traits": {"email": email, "x": "y"}}})
        for number, email in enumerate(["a@example.com", "nobody", "b@example.com", ["c@example.com", "x"]])
    ]
    records = [*map(engine.reader.read, lines)]
    one_by_one: Counter[str] = Counter()
    expected = []
    for record in records:
        outcomes, noted = made(engine, record, [key])
        expected += outcomes
        one_by_one += noted
    together: Counter[str] = Counter()
    encoded = engine.encode_alone(key, records, NOW, 0, {key: lambda note: together.update([note])})
    ((failed, (refused,)),) = encoded.others
    assert failed is records[1]
    assert isinstance(refused, Refused)
    assert encoded.lines == [each.line for each in expected if isinstance(each, Ready)]
    assert len(encoded.lines) == 3
    assert together == one_by_one
    assert together["dropped_em"] > 1
