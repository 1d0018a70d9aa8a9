"""@if and @coalesce."""

from __future__ import annotations

import json
from typing import Any

import pytest

from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.standards.javascript import MISSING
from tests.transforms.language.orders import check_mapped, path

MAPPED: list[tuple[str, Any, Any]] = [
    # @if
    ("exists", {"@if": {"exists": path("$.userId"), "then": 1, "else": 2}}, 1),
    ("exists: empty text does", {"@if": {"exists": path("$.properties.coupon"), "then": 1, "else": 2}}, 1),
    ("exists: false does", {"@if": {"exists": path("$.properties.gift"), "then": 1, "else": 2}}, 1),
    ("exists: null does not", {"@if": {"exists": path("$.properties.note"), "then": 1, "else": 2}}, 2),
    ("exists: missing does not", {"@if": {"exists": path("$.nope"), "then": 1, "else": 2}}, 2),
    ("blank: filled", {"@if": {"blank": path("$.userId"), "then": 1, "else": 2}}, 1),
    ("blank: false", {"@if": {"blank": path("$.properties.gift"), "then": 1, "else": 2}}, 2),
    ("blank: 0", {"@if": {"blank": path("$.properties.price"), "then": 1, "else": 2}}, 2),
    ("blank: empty text", {"@if": {"blank": path("$.properties.coupon"), "then": 1, "else": 2}}, 2),
    ("blank: null", {"@if": {"blank": path("$.properties.note"), "then": 1, "else": 2}}, 2),
    ("blank: missing", {"@if": {"blank": path("$.nope"), "then": 1, "else": 2}}, 2),
    ("if without then", {"a": {"@if": {"exists": path("$.userId"), "else": 2}}}, {}),
    ("if without else", {"a": {"@if": {"exists": path("$.nope"), "then": 1}}}, {}),
    ("then null", {"a": {"@if": {"exists": path("$.userId"), "then": None}}}, {"a": None}),
    (
        "a chain of ifs",
        {
            "@if": {
                "exists": path("$.nope"),
                "then": path("$.nope"),
                "else": {"@if": {"blank": path("$.userId"), "then": path("$.userId"), "else": "nobody"}},
            }
        },
        "u1",
    ),
    ("branches hold objects", {"@if": {"exists": path("$.userId"), "then": {"id": path("$.userId")}}}, {"id": "u1"}),
    # @coalesce
    ("the first that there is", {"@coalesce": [path("$.nope"), "", None, False, [], "x", "y"]}, "x"),
    ("a placeholder is none", {"@coalesce": ["undefined", "NULL", "n/a", "x"]}, "x"),
    ("zero is one", {"@coalesce": ["", 0, "x"]}, 0),
    ("only a placeholder", {"@coalesce": [None, "undefined", ""]}, "undefined"),
    ("only false", {"a": {"@coalesce": [False, path("$.nope")]}}, {"a": False}),
    ("nothing at all", {"a": {"@coalesce": [path("$.nope"), None, ""]}}, {}),
    ("one alone", {"a": {"@coalesce": [path("$.nope")]}}, {}),
    ("within another", {"@coalesce": [{"@coalesce": ["", path("$.nope")]}, {"@coalesce": ["null", "x"]}]}, "x"),
]


@pytest.mark.parametrize(("mapping", "result"), [pytest.param(m, r, id=name) for name, m, r in MAPPED])
def test_a_directive_maps(mapping: Any, result: Any) -> None:
    check_mapped(mapping, result)


@pytest.mark.parametrize("value", ["", 0, 0.0, False, None, [], [""], [None], [[]], [[[""]]]], ids=repr)
def test_what_javascript_takes_for_an_empty_text_is_blank(value: Any) -> None:
    mapped = compile_mapping({"@if": {"blank": path("$.v"), "then": path("$.v"), "else": "blank"}})
    assert mapped({"v": value}) == "blank"
    assert mapped({}) == "blank"
    assert compile_mapping({"@if": {"blank": path("$.v"), "then": 1}})({"v": value}) is MISSING


@pytest.mark.parametrize(
    "value", [{}, {"a": None}, "0", " ", "false", 1, -1, 0.5, True, [0], [False], ["a"], ["", ""], [[0]]], ids=repr
)
def test_what_javascript_takes_for_more_than_an_empty_text_is_not_blank(value: Any) -> None:
    mapped = compile_mapping({"@if": {"blank": path("$.v"), "then": path("$.v"), "else": "blank"}})
    assert json.dumps(mapped({"v": value})) == json.dumps(value)


@pytest.mark.parametrize("tested", [[], {}], ids=repr)
def test_an_empty_list_or_object_may_be_tested(tested: Any) -> None:
    assert compile_mapping({"@if": {"exists": tested, "then": 1, "else": 2}})({}) == 1
