"""@merge, @flatten, @omit, @excludeWhenNull, @transform and @json."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.transforms.core.rejections import as_rejected
from capybeam.transforms.language.mappings import compile_mapping
from tests.transforms.language.orders import check_mapped, path

MAPPED: list[tuple[str, Any, Any]] = [
    # @merge
    (
        "merge right",
        {"@merge": {"direction": "right", "objects": [{"a": 1, "b": 1}, {"b": 2}, {"b": 3, "c": 3}]}},
        {"a": 1, "b": 3, "c": 3},
    ),
    (
        "merge left",
        {"@merge": {"direction": "left", "objects": [{"a": 1, "b": 1}, {"b": 2}, {"b": 3, "c": 3}]}},
        {"a": 1, "b": 1, "c": 3},
    ),
    (
        "merge with the event",
        {"@merge": {"direction": "right", "objects": [path("$.properties.shipping"), {"city": "x"}]}},
        {"city": "x", "box": {"w": 1, "h": 2}},
    ),
    (
        "merge with nothing",
        {"@merge": {"direction": "right", "objects": [{"a": 1}, path("$.nope"), path("$.properties.note")]}},
        {"a": 1},
    ),
    ("merge of none", {"@merge": {"direction": "right", "objects": []}}, {}),
    # @flatten
    (
        "flatten",
        {"@flatten": {"value": path("$.properties.shipping"), "separator": "."}},
        {"city": "Berlin", "box.w": 1, "box.h": 2},
    ),
    (
        "flatten numbers a list's items",
        {"@flatten": {"value": {"t": path("$.properties.tags")}, "separator": "_"}},
        {"t_0": "new", "t_1": "red"},
    ),
    (
        "flatten may leave lists alone",
        {
            "@flatten": {
                "value": {"t": path("$.properties.tags"), "s": path("$.properties.shipping.box")},
                "separator": "_",
                "omitArrays": True,
            }
        },
        {"t": ["new", "red"], "s_w": 1, "s_h": 2},
    ),
    (
        "flatten, the separator from a directive",
        {"@flatten": {"value": {"a": {"b": 1}}, "separator": {"@literal": "/"}}},
        {"a/b": 1},
    ),
    # @json
    ("encode an object", {"@json": {"mode": "encode", "value": path("$.properties.shipping.box")}}, '{"w":1,"h":2}'),
    ("encode text", {"@json": {"mode": "encode", "value": 'say "é"'}}, '"say \\"é\\""'),
    (
        "encode numbers",
        {
            "@json": {
                "mode": "encode",
                "value": {
                    "@transform": {"apply": {"a": [25.0, 1e-7, 1e16, 0.5, "1.0 e-x", True]}, "mapping": path("$.")}
                },
            }
        },
        '{"a":[25,1e-7,10000000000000000,0.5,"1.0 e-x",true]}',
    ),
    ("encode null", {"@json": {"mode": "encode", "value": path("$.properties.note")}}, "null"),
    ("encode nothing", {"a": {"@json": {"mode": "encode", "value": path("$.nope")}}}, {}),
    ("decode an object", {"@json": {"mode": "decode", "value": '{"w":[1,2]}'}}, {"w": [1, 2]}),
    ("decode a number", {"@json": {"mode": "decode", "value": "5"}}, 5),
    ("decode what is no JSON", {"@json": {"mode": "decode", "value": "{oops"}}, "{oops"),
    ("decode what is no text", {"@json": {"mode": "decode", "value": path("$.properties.tags")}}, ["new", "red"]),
    # @transform
    (
        "transform maps what was applied",
        {
            "@transform": {
                "apply": {"id": path("$.userId"), "p": path("$.properties")},
                "mapping": {"u": path("$.id"), "t": path("$.p.total"), "e": path("$.event")},
            }
        },
        {"u": "u1", "t": 25.5},
    ),
    (
        "a transform in a transform",
        {
            "@transform": {
                "apply": {"a": {"@transform": {"apply": {"b": path("$.userId")}, "mapping": path("$.b")}}},
                "mapping": path("$.a"),
            }
        },
        "u1",
    ),
    # @excludeWhenNull
    ("null is excluded", {"a": {"@excludeWhenNull": path("$.properties.note")}, "b": 1}, {"b": 1}),
    ("missing is excluded", {"a": {"@excludeWhenNull": path("$.nope")}}, {}),
    (
        "nulls inside are excluded",
        {"a": {"@excludeWhenNull": {"b": None, "c": {"d": None, "e": 0}}}},
        {"a": {"c": {"e": 0}}},
    ),
    ("null is not excluded from lists", {"a": {"@excludeWhenNull": [None, {"b": None}]}}, {"a": [None, {"b": None}]}),
    ("empty text and false are not", {"a": {"@excludeWhenNull": {"b": "", "c": False}}}, {"a": {"b": "", "c": False}}),
    # @omit
    ("omit", {"@omit": {"object": path("$.properties.shipping"), "keys": ["city"]}}, {"box": {"w": 1, "h": 2}}),
    ("omit what is not there", {"@omit": {"object": {"a": 1}, "keys": ["b"]}}, {"a": 1}),
    ("omit everything", {"@omit": {"object": {"a": 1}, "keys": ["a"]}}, {}),
    ("omit from nothing", {"a": {"@omit": {"object": path("$.nope"), "keys": ["b"]}}}, {}),
]


@pytest.mark.parametrize(("mapping", "result"), [pytest.param(m, r, id=name) for name, m, r in MAPPED])
def test_a_directive_maps(mapping: Any, result: Any) -> None:
    check_mapped(mapping, result)


@pytest.mark.parametrize(
    "mapping",
    [
        pytest.param({"@excludeWhenNull": {"@json": {"mode": "decode", "value": path("$.x")}}}, id="@excludeWhenNull"),
        pytest.param(
            {"@json": {"mode": "encode", "value": {"@json": {"mode": "decode", "value": path("$.x")}}}}, id="@json"
        ),
        pytest.param(
            {"@flatten": {"value": {"@json": {"mode": "decode", "value": path("$.x")}}, "separator": "."}},
            id="@flatten",
        ),
    ],
)
@pytest.mark.parametrize(
    "text", ["[" * 900 + "1" + "]" * 900, '{"a":' * 900 + "1" + "}" * 900], ids=["lists", "objects"]
)
def test_json_in_text_that_is_nested_too_deeply_is_no_defect_of_ours(mapping: Any, text: str) -> None:
    code = "mapped"
    try:
        compile_mapping(mapping)({"x": text})
    except Exception as error:
        code = as_rejected(error).code
    assert code in {"mapped", "mapping_failed", "too_deeply_nested"}


def test_what_is_flattened_may_be_wide_and_as_deep_as_events_are() -> None:
    level = {f"key_{n}": n for n in range(3_000)}
    mapped = compile_mapping({"@flatten": {"value": path("$."), "separator": "."}})
    assert mapped({"properties": {"inner": {"more": level}}}) == {
        f"properties.inner.more.{k}": v for k, v in level.items()
    }
