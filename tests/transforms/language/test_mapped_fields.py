"""An event's fields: the fast way and the thorough one say the same, and count the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.presets import merged_mapping, offline_preset, presets
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.fields import Field
from capybeam.transforms.language.mapped_fields import _compile_slow_path, _known, compile_event_fields

Json = dict[str, Any]
TIME = "2026-11-22T09:58:20Z"

OWN: Json = {  # objects of which only the event tells what is in them
    "action_source": "website",
    "event_time": {"@path": "$.timestamp"},
    "user_data": {"@path": "$.traits"},
    "contents": {"@path": "$.properties.products"},
    "content_ids": {"@arrayPath": ["$.properties.products", {"@path": "$.id"}]},
    "value": {"@path": "$.properties.revenue"},
    "currency": "USD",
    "store_data": {"store_code": {"@path": "$.properties.products"}, "unknown": 5},
}


def ways() -> dict[str, tuple[Json, tuple[Field, ...]]]:
    defaults = {action: (merged_mapping(presets()[action], {}, True), presets()[action].fields) for action in presets()}
    offline = offline_preset().action("Order Completed", "value", "conversions_api")
    both = {**defaults, "own": (OWN, presets()["purchase"].fields), "offline": (offline.defaults, offline.fields)}
    return {name: ({**mapping, "event_name": None}, fields) for name, (mapping, fields) in both.items()}


def slow_path(mapping: Json, fields: tuple[Field, ...]) -> Callable[..., Json]:
    return _compile_slow_path(
        {key: node for key, node in _known(mapping, fields).items() if key != "event_name"}, fields, {}
    )


WAYS = {name: (compile_event_fields(*way), slow_path(*way)) for name, way in ways().items()}

_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**40)
    | st.floats()
    | st.sampled_from(["", "a", "undefined", "null", "12.5", "USD", "drone", "in_store", TIME, "jane@example.com"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["id", "product_id", "sku", "quantity", "price", "item_price", "email", "leadID", "0", "name"]),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
_OBJECT = st.dictionaries(
    st.sampled_from(["products", "revenue", "currency", "product_id", "price", "email", "name", "address"]),
    _VALUE,
    max_size=6,
)  # fmt: skip
_EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "group", "page"]),
        "timestamp": _VALUE | st.just(TIME),
        "messageId": _VALUE,
        "userId": _VALUE,
        "properties": _OBJECT | _VALUE,
        "traits": _OBJECT | _VALUE,
        "context": st.fixed_dictionaries({}, optional={"traits": _OBJECT, "ip": _VALUE, "page": _OBJECT}),
    },
)


def outcome(way: Callable[..., Json], event: Json) -> tuple[Any, Counter[str]]:
    """The fields of an event, in any order and NaN being like NaN, or its code, and what was counted."""
    counted: list[str] = []
    try:
        fields = way(event, "Purchase", counted.append)
    except Rejected as cause:
        return cause.code, Counter(counted)
    return sorted((name, repr(value)) for name, value in fields.items()), Counter(counted)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(WAYS)), _EVENTS)
def test_both_ways_give_the_same_fields_and_count_the_same(name: str, event: Json) -> None:
    fast, slow = WAYS[name]

    assert outcome(fast, event) == outcome(slow, event)


def test_products_without_an_id_cost_no_second_way(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping, fields = ways()["purchase"]
    mapped = compile_event_fields(mapping, fields)
    event = {"timestamp": 5, "properties": {"currency": "USD", "revenue": 5, "products": [{"sku": "a"}] * 3}}
    monkeypatch.setattr(
        "capybeam.transforms.language.mapped_fields._compile_slow_path",
        lambda *_: pytest.fail("the event went the slow way"),
    )
    counted: list[str] = []

    assert "contents" not in mapped(event, "Purchase", counted.append)
    assert counted == ["contents_without_id"] * 3


@pytest.mark.parametrize("products", [[{"sku": "A-1", "n": 2}, {"product_id": "b", "n": 3}], {"sku": "A-1", "n": 2}])
def test_directives_of_an_items_shape_find_what_is_in_the_item_and_those_behind_it_what_is_in_the_event(
    products: Any,
) -> None:
    fields = (
        Field(
            "contents",
            "object",
            multiple=True,
            properties=(Field("id", "string", required=True), Field("quantity", "integer"), Field("title", "string")),
        ),
        Field("order_id", "string"),
        Field("content_name", "string"),
    )
    mapped = compile_event_fields(
        {
            "contents": {
                "@arrayPath": [
                    "$.products",
                    {
                        "id": {"@coalesce": [{"@path": "$.product_id"}, {"@liquid": "{{ sku | downcase }}"}]},
                        "quantity": {"@transform": {"apply": {"m": {"@path": "$.n"}}, "mapping": {"@path": "$.m"}}},
                        "title": {"@template": "{{sku}} of {{n}}"},
                    },
                ]
            },
            "order_id": {"@liquid": "{{ n }}-{{ sku }}"},
            "content_name": {"@coalesce": [{"@path": "$.sku"}, {"@path": "$.n"}]},
        },
        fields,
    )

    contents = [{"id": "a-1", "quantity": 2, "title": "A-1 of 2"}, {"id": "b", "quantity": 3, "title": " of 3"}]
    assert mapped({"products": products, "n": "event", "sku": None}, "Lead") == {
        "contents": contents if isinstance(products, list) else contents[:1],
        "order_id": "event-",
        "content_name": "event",
    }


def test_a_key_of_the_mapping_that_an_object_does_not_know_is_not_the_events_fault() -> None:
    shape = {"id": {"@path": "$.id"}, "colour": "red"}
    mapping = {"contents": {"@arrayPath": ["$.items", shape]}, "user_data": {"email": "a@example.com", "fax": "1"}}
    known = [field for field in presets()["purchase"].fields if field.name in mapping]
    counted: list[str] = []

    fields = compile_event_fields(mapping, known)({"items": [{"id": "a"}, {"id": {}}]}, None, counted.append)

    assert fields == {"user_data": {"email": "a@example.com"}, "contents": [{"id": "a"}]}
    assert counted == ["contents_without_id"]


TOO_MUCH = {"t": "{{x}}" * 1_001, "x": "x" * 1_000}


@pytest.mark.parametrize("value", ["wrong", 5], ids=["the slow way", "the fast way"])
def test_a_mapping_that_fails_on_an_event_names_its_field(value: Any) -> None:
    fields = (Field("value", "number"), Field("event_id", "string"), Field("content_name", "string"))
    mapping = {"value": value, "event_id": {"@path": "$.x"}, "content_name": {"@template": {"@path": "$.t"}}}
    with pytest.raises(Rejected) as raised:
        compile_event_fields(mapping, fields)(TOO_MUCH, "Lead")
    assert (raised.value.code, raised.value.field) == ("mapping_failed", "content_name")


def test_fields_that_lack_a_value_or_have_a_wrong_one_are_named_without_their_place_in_a_list() -> None:
    item = Field("item", "object", multiple=True, properties=(Field("kind", "string", choices=("a",)),))
    mapping = {"item": [{"kind": "a"}, {"kind": "jane"}], "value": "wrong"}
    mapped = compile_event_fields(mapping, (Field("id", "string", required=True), Field("value", "number"), item))
    with pytest.raises(Rejected) as raised:
        mapped({}, "Lead")
    assert (raised.value.code, raised.value.field) == ("missing_required_field", "id, value, item.kind")
