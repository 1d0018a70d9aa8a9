"""@path, @literal and @arrayPath, and what stands for itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from capybeam.transforms.core.paths import get_path
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.standards.javascript import MISSING
from tests.transforms.language.orders import ORDER, check_mapped, path

MAPPED: list[tuple[str, Any, Any]] = [
    ("an object", {"a": 1, "b": [True, None, "x"]}, {"a": 1, "b": [True, None, "x"]}),
    ("a missing value is left out", {"a": path("$.nope"), "b": 1}, {"b": 1}),
    ("and left out deep inside", {"a": {"b": {"c": path("$.nope")}}}, {"a": {"b": {}}}),
    ("null stays", {"a": path("$.properties.note"), "b": None}, {"a": None, "b": None}),
    ("empty text stays", {"a": path("$.properties.coupon"), "b": ""}, {"a": "", "b": ""}),
    ("a list", {"a": [path("$.userId"), {"b": path("$.event")}]}, {"a": ["u1", {"b": "Order Completed"}]}),
    ("metadata beside a directive", {"a": {"@path": "$.userId", "_metadata": {"type": "autocomplete"}}}, {"a": "u1"}),
    # @literal
    ("literal text", {"@literal": "x"}, "x"),
    ("literal null", {"a": {"@literal": None}}, {"a": None}),
    ("directives inside a literal", {"@literal": {"a": path("$.userId"), "b": path("$.nope")}}, {"a": "u1"}),
    # @arrayPath
    ("a list as it is", {"@arrayPath": ["$.properties.tags"]}, ["new", "red"]),
    (
        "a list with an item's shape",
        {"@arrayPath": ["$.properties.products", {"sku": path("$.id"), "cost": path("$.price"), "unit": "pc"}]},
        [{"sku": "p1", "cost": 10, "unit": "pc"}, {"sku": "p2", "unit": "pc"}],
    ),
    ("one object is wrapped", {"@arrayPath": ["$.properties.shipping", {"to": path("$.city")}]}, [{"to": "Berlin"}]),
    ("no list at all", {"a": {"@arrayPath": ["$.nope", {"to": path("$.city")}]}}, {}),
    ("an empty list", {"@arrayPath": ["$.properties.none", {"to": path("$.city")}]}, []),
    (
        "a list that a directive picks",
        {
            "@arrayPath": [
                {"@if": {"exists": path("$.nope"), "then": [], "else": path("$.properties.products")}},
                {"n": path("$.id")},
            ]
        },
        [{"n": "p1"}, {"n": "p2"}],
    ),
    (
        "a shape with directives of its own",
        {"@arrayPath": ["$.properties.products", {"t": {"@template": "{{id}}/{{price}}"}}]},
        [{"t": "p1/10"}, {"t": "p2/"}],
    ),
    (
        "a list in a list's shape",
        {"@arrayPath": ["$.properties", {"ids": {"@arrayPath": ["$.products", {"n": path("$.id")}]}}]},
        [{"ids": [{"n": "p1"}, {"n": "p2"}]}],
    ),
]


@pytest.mark.parametrize(("mapping", "result"), [pytest.param(m, r, id=name) for name, m, r in MAPPED])
def test_a_directive_maps(mapping: Any, result: Any) -> None:
    check_mapped(mapping, result)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.event", "Order Completed"),
        ("event", "Order Completed"),
        ("$.properties.total", 25.5),
        ("$.properties.shipping.box.h", 2),
        ("$.properties.products[0].id", "p1"),
        ("$.properties.products.1.id", "p2"),
        ("$.properties.products[0]", {"id": "p1", "price": 10}),
        ("$.properties.tags[1]", "red"),
        ('$.properties["Sub Total"]', 20),
        ("$.properties['Sub Total']", 20),
        ("$.properties.Sub Total", 20),
        ('$.properties["a.b"]', "dotted"),
        ("", ORDER),
        ("$.", ORDER),
        (".", ORDER),
        # what is there but empty is there
        ("$.properties.price", 0),
        ("$.properties.coupon", ""),
        ("$.properties.gift", False),
        ("$.properties.note", None),
        ("$.properties.none", []),
        # a falsy parent stands for its children
        ("$.properties.price.x", 0),
        ("$.properties.price.x.y", 0),
        ("$.properties.coupon.x", ""),
        ("$.properties.gift.x", False),
        ("$.properties.note.x", None),
        ("$.properties.none.length", 0),
        ("$.properties.currency.length", 3),
        # nothing there
        ("$", MISSING),
        ("$.nope", MISSING),
        ("$.nope.deeper", MISSING),
        ("$.properties.total.x", MISSING),
        ("$.properties.currency.x", MISSING),
        ("$.properties.products[2]", MISSING),
        ("$.properties.products[2].id", MISSING),
        ("$.properties.products.id", MISSING),
        ("$.properties.none[0]", MISSING),
    ],
)
def test_a_path_finds(path: str, value: Any) -> None:
    for found in (
        compile_mapping({"@path": path})(ORDER),
        compile_mapping({"@path": {"@literal": path}})(ORDER),
        get_path(ORDER, path),
    ):
        assert (found is MISSING) is (value is MISSING)
        assert json.dumps(found) == json.dumps(value)


def test_a_path_may_come_from_the_event() -> None:
    event = {"where": "$.properties.total", "properties": {"total": 5}}
    assert compile_mapping({"@path": {"@path": "$.where"}})(event) == 5


@pytest.mark.parametrize(("where", "found"), [("$.list.1", "b"), ("$.list." + "9" * 9_000, MISSING)])
def test_a_path_that_the_event_brings_may_hold_any_number(where: str, found: Any) -> None:
    assert compile_mapping(path(path("$.where")))({"where": where, "list": ["a", "b"]}) is found


@pytest.mark.parametrize("digits", ["1" * 19, "1" * 5000, "0" * 5000])
def test_an_index_of_thousands_of_digits_is_no_item(digits: str) -> None:
    mapped = compile_mapping({"x": {"@path": {"@path": "$.path"}}, "y": {"@path": f"$.list.{digits}"}})
    assert mapped({"path": f"$.list.{digits}", "list": ["a"]}) == {}
