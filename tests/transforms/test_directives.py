"""The mapping language: each directive each way, and what `check` finds before anything runs."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms import directives
from transforms.directives import MISSING, MappingError, compile_mapping, get_path, is_directive, paths
from transforms.rejections import Rejected, as_rejected

ORDER: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u1",
    "properties": {
        "total": 25.5,
        "price": 0,
        "coupon": "",
        "gift": False,
        "note": None,
        "currency": "usd",
        "Sub Total": 20,
        "a.b": "dotted",
        "products": [{"id": "p1", "price": 10}, {"id": "p2"}],
        "tags": ["new", "red"],
        "none": [],
        "shipping": {"city": "Berlin", "box": {"w": 1, "h": 2}},
    },
}

# --- @path ------------------------------------------------------------------------------------------------------


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


# --- the other directives ---------------------------------------------------------------------------------------


def path(text: str) -> dict[str, str]:
    return {"@path": text}


DIRECTIVES: list[tuple[str, Any, Any]] = [
    # plain values stand for themselves
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
    # @template
    ("template", {"@template": "{{userId}}: {{properties.total}}"}, "u1: 25.5"),
    ("template with $.", {"@template": "{{$.userId}}"}, "u1"),
    ("template with blanks", {"@template": "[{{ userId }}]"}, "[u1]"),
    ("template, missing and null", {"@template": "[{{nope}}{{properties.note}}]"}, "[]"),
    ("template, false and 0", {"@template": "{{properties.gift}} {{properties.price}}"}, "false 0"),
    ("template from the event", {"@template": path("$.event")}, "Order Completed"),
    ("template without a field", {"@template": "plain {x}"}, "plain {x}"),
    ("template of nothing", {"@template": ""}, ""),
    ("template with nothing in its braces", {"@template": "{{}}"}, "{{}}"),
    ("template in three braces", {"@template": "{{{userId}}}"}, "u1"),
    ("template with a brace behind it", {"@template": "{{userId}}}"}, "u1}"),
    (
        "template of a list",
        {"@transform": {"apply": {"a": [1, None, ["b", 2.0]]}, "mapping": {"@template": "{{a}}"}}},
        "1,,b,2",
    ),
    ("template of an object", {"@template": "{{properties.shipping}}"}, "[object Object]"),
    ("template of a small number", {"@transform": {"apply": {"a": 1e-7}, "mapping": {"@template": "{{a}}"}}}, "1e-7"),
    (
        "template of a large number",
        {"@transform": {"apply": {"a": 1e20}, "mapping": {"@template": "{{a}}"}}},
        "100000000000000000000",
    ),
    ("template of a whole number", {"@transform": {"apply": {"a": 25.0}, "mapping": {"@template": "{{a}}"}}}, "25"),
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
    # @case
    ("upper", {"@case": {"operator": "upper", "value": path("$.properties.currency")}}, "USD"),
    ("lower", {"@case": {"operator": "lower", "value": "ÄB"}}, "äb"),
    ("case of a number", {"@case": {"operator": "upper", "value": path("$.properties.total")}}, 25.5),
    ("case of null", {"@case": {"operator": "upper", "value": path("$.properties.note")}}, None),
    ("case of a list", {"@case": {"operator": "upper", "value": path("$.properties.tags")}}, ["new", "red"]),
    ("case of nothing", {"a": {"@case": {"operator": "upper", "value": path("$.nope")}}}, {}),
    # @replace
    ("replace all", {"@replace": {"pattern": "e", "replacement": "3", "value": "eEe"}}, "3E3"),
    ("replace the first", {"@replace": {"pattern": "e", "replacement": "3", "value": "eEe", "global": False}}, "3Ee"),
    ("replace any case", {"@replace": {"pattern": "e", "replacement": "3", "value": "eEe", "ignorecase": True}}, "333"),
    ("replace nothing", {"@replace": {"pattern": "x", "replacement": "3", "value": "eEe"}}, "eEe"),
    ("the pattern is literal", {"@replace": {"pattern": ".*", "replacement": "-", "value": "a.*b"}}, "a-b"),
    ("a backslash is literal", {"@replace": {"pattern": "a", "replacement": r"\1", "value": "a"}}, r"\1"),
    (
        "$& is the match",
        {"@replace": {"pattern": "e", "replacement": "<$&>", "value": "aEe", "ignorecase": True}},
        "a<E><e>",
    ),
    ("$$ is a dollar", {"@replace": {"pattern": "USD", "replacement": "$$", "value": "5 USD"}}, "5 $"),
    ("$` is what stands before", {"@replace": {"pattern": "b", "replacement": "$`", "value": "abc"}}, "aac"),
    ("$' is what stands behind", {"@replace": {"pattern": "b", "replacement": "$'", "value": "abc"}}, "acc"),
    ("$1 and $<a> are literal", {"@replace": {"pattern": "b", "replacement": "$1$<a>$", "value": "b"}}, "$1$<a>$"),
    (
        "$ in the second replacement",
        {"@replace": {"pattern": "a", "replacement": "b", "pattern2": "b", "replacement2": "$&$&", "value": "a"}},
        "bb",
    ),
    ("replace in a fixed empty text", {"a": {"@replace": {"pattern": "a", "value": ""}}}, {}),
    (
        "replace in a small number",
        {
            "@replace": {
                "pattern": "e",
                "replacement": "E",
                "value": {"@transform": {"apply": {"a": 1e-7}, "mapping": path("$.a")}},
            }
        },
        "1E-7",
    ),
    ("replace without replacement", {"@replace": {"pattern": "e", "value": "eEe"}}, "E"),
    (
        "two patterns, one after the other",
        {"@replace": {"pattern": "a", "replacement": "b", "pattern2": "b", "replacement2": "c", "value": "ab"}},
        "cc",
    ),
    (
        "replace in a boolean",
        {"@replace": {"pattern": "false", "replacement": "no", "value": path("$.properties.gift")}},
        "no",
    ),
    (
        "replace in a number",
        {"@replace": {"pattern": ".", "replacement": ",", "value": path("$.properties.total")}},
        "25,5",
    ),
    ("replace in null", {"@replace": {"pattern": "a", "replacement": "b", "value": path("$.properties.note")}}, ""),
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
    # @coalesce
    ("the first that there is", {"@coalesce": [path("$.nope"), "", None, False, [], "x", "y"]}, "x"),
    ("a placeholder is none", {"@coalesce": ["undefined", "NULL", "n/a", "x"]}, "x"),
    ("zero is one", {"@coalesce": ["", 0, "x"]}, 0),
    ("only a placeholder", {"@coalesce": [None, "undefined", ""]}, "undefined"),
    ("only false", {"a": {"@coalesce": [False, path("$.nope")]}}, {"a": False}),
    ("nothing at all", {"a": {"@coalesce": [path("$.nope"), None, ""]}}, {}),
    ("one alone", {"a": {"@coalesce": [path("$.nope")]}}, {}),
    ("within another", {"@coalesce": [{"@coalesce": ["", path("$.nope")]}, {"@coalesce": ["null", "x"]}]}, "x"),
    # @words
    ("the first word", {"@words": {"value": " Mary  Ann Smith ", "take": "first"}}, "Mary"),
    ("the other words", {"a": {"@words": {"value": "Mary Smith", "take": "rest"}}}, {"a": "Smith"}),
    ("no other word", {"a": {"@words": {"value": "Mary", "take": "rest"}}}, {}),
    ("no word", {"a": {"@words": {"value": "  ", "take": "first"}}}, {}),
    ("words of nothing", {"a": {"@words": {"value": path("$.nope"), "take": "first"}}}, {}),
    # @liquid
    ("liquid", {"@liquid": "{{ properties.currency | upcase }} {{ properties.total }}"}, "USD 25.5"),
    # a root that is no object, as JavaScript's {...root}
    ("a list at the root", ["x", path("$.userId")], {"0": "x", "1": "u1"}),
    ("text at the root", "ab", {"0": "a", "1": "b"}),
    ("a number at the root", 5, {}),
]


@pytest.mark.parametrize(("mapping", "result"), [pytest.param(m, r, id=name) for name, m, r in DIRECTIVES])
def test_a_directive_maps(mapping: Any, result: Any) -> None:
    event = copy.deepcopy(ORDER)
    mapped = compile_mapping(mapping)(event)
    assert json.dumps(mapped, sort_keys=True) == json.dumps(result, sort_keys=True)  # 1 is not 1.0, nor true
    assert event == ORDER


DIFFERENT_FROM_SEGMENT: list[tuple[Any, Any, Any]] = [  # as docs/mapping.md lists them
    (path("$.$.x"), {"x": 1}, 1),
    (path('$.["k.k"]'), {"k.k": 1}, 1),
    ({"@template": "{{$.a.b}}"}, {"a": {"b": 1}}, "1"),
    ({"@template": "{{{a}}} {{b}}"}, {"a": "{{b}}", "b": 1}, "{{b}} 1"),
    ({"@flatten": {"value": path("$.a"), "separator": "."}}, {"a": 5}, 5),
    ({"@flatten": {"value": path("$.nope"), "separator": "."}}, {}, MISSING),
    ({"@merge": {"direction": "right", "objects": [path("$.a"), {"b": 1}]}}, {"a": "text"}, {"b": 1}),
    ({"@merge": {"direction": "right", "objects": [path("$.a"), {"b": path("$.c")}]}}, {"a": {"b": 1}}, {"b": 1}),
    ({"@template": "{{a}}"}, {"a": 9007199254740993}, "9007199254740993"),
]


@pytest.mark.parametrize(("mapping", "event", "result"), DIFFERENT_FROM_SEGMENT)
def test_what_differs_from_segment_on_purpose(mapping: Any, event: Any, result: Any) -> None:
    mapped = compile_mapping(mapping)(event)
    assert mapped == result
    assert (mapped is MISSING) is (result is MISSING)


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


@pytest.mark.parametrize("replacement", ["$`", "$'", "$'$`$'$`$'"])
def test_what_stands_beside_a_match_is_not_repeated_without_a_bound(replacement: str) -> None:
    replaced = compile_mapping({"@replace": {"pattern": "a", "replacement": replacement, "value": path("$.v")}})
    assert len(replaced({"v": "a" * 60})) > 1000
    with pytest.raises(Rejected) as raised:
        replaced({"v": "a" * 300_000})
    assert (raised.value.code, raised.value.message) == (
        "mapping_failed",
        "@replace makes too much text of this event.",
    )


def test_the_saved_form_of_transform_first_takes_all_other_keys_as_its_mapping() -> None:
    mapping = {
        "__segment_internal_directive": {
            "@transform": {"apply": {"p": {"@flatten": {"value": path("$.properties.shipping"), "separator": "_"}}}}
        },
        "height": path("$.p.box_h"),
        "user": path("$.userId"),
    }
    assert compile_mapping(mapping)(ORDER) == {"height": 2}


def test_a_compiled_mapping_keeps_nothing_from_one_event_to_the_next() -> None:
    mapped = compile_mapping({"all": {"@merge": {"direction": "right", "objects": [{"n": 0}, path("$.p")]}}})
    assert mapped({"p": {"n": 1, "a": 1}}) == {"all": {"n": 1, "a": 1}}
    assert mapped({"p": {"b": 2}}) == {"all": {"n": 0, "b": 2}}


@pytest.mark.parametrize(
    ("mapping", "names"),
    [
        ({"a": {"@path": path("$.properties.total")}}, "@path"),
        ({"a": {"@path": path("$.nope")}}, "@path"),
        ({"a": {"@template": path("$.properties.shipping")}}, "@template"),
        ({"a": {"@flatten": {"value": {}, "separator": path("$.properties.total")}}}, "@flatten"),
    ],
)
def test_an_event_that_a_directive_cannot_be_applied_to_is_rejected(mapping: Any, names: str) -> None:
    with pytest.raises(Rejected) as raised:
        compile_mapping(mapping)(ORDER)
    assert raised.value.code == "mapping_failed"
    assert names in raised.value.message


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


# --- what check finds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "problems"),
    [
        pytest.param(
            {"@path": "$.a", "b": 1},
            ["/ should only have one @-prefixed key but it has 2 keys"],
            id="a directive and a key",
        ),
        pytest.param(
            {"a": {"@path": "$.a", "@literal": 1}},
            ["/a should only have one @-prefixed key but it has 2 keys"],
            id="two directives",
        ),
        pytest.param(
            {"a": {"@pth": "$.b"}}, ["/a/@pth has an invalid directive: @pth, did you mean @path?"], id="a typo"
        ),
        pytest.param({"a": {"@zzzzzz": "$.b"}}, ["/a/@zzzzzz has an invalid directive: @zzzzzz"], id="nothing like it"),
        pytest.param(
            {"a": {"@path": 5}}, ["/a/@path should be a string or a mapping directive but it is a number"], id="path"
        ),
        pytest.param(
            {"a": {"@template": None}},
            ["/a/@template should be a string or a mapping directive but it is null"],
            id="template",
        ),
        pytest.param(
            {"a": {"@if": {"then": 1}}},
            ['/a/@if should have field "exists" or "blank" but it doesn\'t'],
            id="if without condition",
        ),
        pytest.param({"a": {"@if": "x"}}, ["/a/@if should be an object but it is a string"], id="if"),
        pytest.param(
            {"a": {"@if": {"exists": 1, "esle": 2}}},
            ["/a/@if/esle is no option of @if, did you mean else?"],
            id="a misspelt option",
        ),
        pytest.param(
            {"a": {"@case": {"value": "x"}}},
            ['/a/@case should have field "operator" but it doesn\'t'],
            id="case without operator",
        ),
        pytest.param(
            {"a": {"@case": {"operator": "title", "value": "x"}}},
            ['/a/@case/operator should be one of lower, upper but it is "title"'],
            id="case",
        ),
        pytest.param(
            {"a": {"@arrayPath": "$.p"}}, ["/a/@arrayPath should be an array but it is a string"], id="arrayPath"
        ),
        pytest.param(
            {"a": {"@arrayPath": [5]}},
            ["/a/@arrayPath/0 should be a string or a mapping directive but it is a number"],
            id="arrayPath's path",
        ),
        pytest.param(
            {"a": {"@replace": {"value": "x"}}},
            ['/a/@replace should have field "pattern" but it doesn\'t'],
            id="replace without pattern",
        ),
        pytest.param(
            {"a": {"@replace": {"pattern": "x"}}},
            ['/a/@replace should have field "value" but it doesn\'t'],
            id="replace without value",
        ),
        pytest.param(
            {"a": {"@replace": {"pattern": "", "value": "x"}}},
            ["/a/@replace/pattern should be a string of 1 to 10 characters"],
            id="an empty pattern",
        ),
        pytest.param(
            {"a": {"@replace": {"pattern": "x" * 11, "value": "x"}}},
            ["/a/@replace/pattern should be a string of 1 to 10 characters"],
            id="a long pattern",
        ),
        pytest.param(
            {"a": {"@replace": {"pattern": "x", "replacement": "x" * 11, "value": "x"}}},
            ["/a/@replace/replacement should be a string of 0 to 10 characters"],
            id="a long replacement",
        ),
        pytest.param(
            {"a": {"@replace": {"pattern": "x", "value": "x", "global": "yes"}}},
            ["/a/@replace/global should be a boolean but it is a string"],
            id="global",
        ),
        pytest.param(
            {"a": {"@merge": {"direction": "up", "objects": []}}},
            ['/a/@merge/direction should be one of left, right but it is "up"'],
            id="merge's direction",
        ),
        pytest.param(
            {"a": {"@merge": {"direction": "left", "objects": {}}}},
            ["/a/@merge/objects should be an array but it is an object"],
            id="merge's objects",
        ),
        pytest.param(
            {"a": {"@merge": {"direction": "left", "objects": [{}, 1]}}},
            ["/a/@merge/objects/1 should be an object or a mapping directive but it is a number"],
            id="merge's object",
        ),
        pytest.param(
            {"a": {"@flatten": {"value": {}}}},
            ['/a/@flatten should have field "separator" but it doesn\'t'],
            id="flatten",
        ),
        pytest.param(
            {"a": {"@json": {"mode": "oops", "value": 1}}},
            ['/a/@json/mode should be one of encode, decode but it is "oops"'],
            id="json's mode",
        ),
        pytest.param(
            {"a": {"@transform": {"apply": {"@path": "$.a"}, "mapping": {}}}},
            ["/a/@transform/apply should be an object but it is a directive"],
            id="transform's apply",
        ),
        pytest.param(
            {"a": {"@transform": {"apply": {}}}},
            ['/a/@transform should have field "mapping" but it doesn\'t'],
            id="transform without mapping",
        ),
        pytest.param(
            {"a": {"@omit": {"object": {}, "keys": "a"}}},
            ["/a/@omit/keys should be an array but it is a string"],
            id="omit's keys",
        ),
        pytest.param(
            {"a": {"@omit": {"object": {}, "keys": [1]}}},
            ["/a/@omit/keys/0 should be a string but it is a number"],
            id="omit's key",
        ),
        pytest.param({"a": {"@coalesce": []}}, ["/a/@coalesce should list 1 to 20 values"], id="no values"),
        pytest.param({"a": {"@coalesce": ["x"] * 21}}, ["/a/@coalesce should list 1 to 20 values"], id="many values"),
        pytest.param({"a": {"@coalesce": "x"}}, ["/a/@coalesce should be an array but it is a string"], id="no list"),
        pytest.param(
            {"a": {"@words": {"value": "x", "take": "last"}}},
            ['/a/@words/take should be one of first, rest but it is "last"'],
            id="words",
        ),
        pytest.param({"a": {"@liquid": 5}}, ["/a/@liquid should be a string but it is a number"], id="liquid"),
        pytest.param(
            {"a": {"@liquid": "x" * 1001}},
            ["/a/@liquid liquid template values are limited to 1000 characters"],
            id="a long template",
        ),
        pytest.param({"a": {"@liquid": "{% for %}"}}, ['/a/@liquid tag "for" is disabled'], id="a disabled tag"),
        # a problem inside any directive is found
        pytest.param(
            {"a": {"@if": {"exists": 1, "then": {"@oops": 1}}}},
            ["/a/@if/then/@oops has an invalid directive: @oops"],
            id="in then",
        ),
        pytest.param(
            {"a": [1, {"@path": 5}]},
            ["/a/1/@path should be a string or a mapping directive but it is a number"],
            id="in a list",
        ),
        pytest.param(
            {"a": {"@literal": {"@path": 5}}},
            ["/a/@literal/@path should be a string or a mapping directive but it is a number"],
            id="in a literal",
        ),
        pytest.param(
            {"a": {"@arrayPath": ["$.p", {"b": {"@path": 5}}]}},
            ["/a/@arrayPath/1/b/@path should be a string or a mapping directive but it is a number"],
            id="in a shape",
        ),
        pytest.param(
            {"a": {"@transform": {"apply": {"b": {"@path": 5}}, "mapping": {}}}},
            ["/a/@transform/apply/b/@path should be a string or a mapping directive but it is a number"],
            id="in apply",
        ),
        pytest.param(
            {"a": {"@excludeWhenNull": {"@path": 5}}},
            ["/a/@excludeWhenNull/@path should be a string or a mapping directive but it is a number"],
            id="in excludeWhenNull",
        ),
        # and all of them at once
        pytest.param(
            {"a": {"@path": 5}, "b": {"c": {"@case": {"operator": "x", "value": 5}}}, "d": {"@path": "$.fine"}},
            [
                "/a/@path should be a string or a mapping directive but it is a number",
                '/b/c/@case/operator should be one of lower, upper but it is "x"',
                "/b/c/@case/value should be a string or a mapping directive but it is a number",
            ],
            id="all problems",
        ),
        pytest.param(
            {"__segment_internal_directive": "x", "a": 1},
            ["/__segment_internal_directive should be an object with a single directive"],
            id="the saved form",
        ),
    ],
)
def test_a_mapping_that_cannot_be_used_says_what_and_where(mapping: Any, problems: list[str]) -> None:
    with pytest.raises(MappingError) as raised:
        compile_mapping(mapping)
    assert list(map(str, raised.value.problems)) == problems


@pytest.mark.parametrize(
    ("node", "expected"), [({"@path": "x"}, True), ({"path": "x"}, False), ({}, False), ("@path", False), ([], False)]
)
def test_a_directive_is_an_object_with_an_at_key(node: Any, expected: bool) -> None:
    assert is_directive(node) is expected


def ifs(count: int) -> Any:
    mapping: Any = "none"
    for number in range(count):
        mapping = {"@if": {"exists": path(f"$.a{number}"), "then": path(f"$.a{number}"), "else": mapping}}
    return mapping


def objects(count: int) -> Any:
    mapping: Any = path("$.a")
    for _ in range(count):
        mapping = {"k": mapping}
    return mapping


def lists(count: int) -> Any:
    mapping: Any = [path("$.a")]
    for _ in range(count):
        mapping = [mapping]
    return mapping


TOO_DEEP = "/f is nested more than 100 levels deep"
TOO_LONG = "has a path of more than 100 keys"


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        pytest.param(ifs(99), TOO_DEEP, id="99 times @if"),
        pytest.param(ifs(50), TOO_DEEP, id="50 times @if"),
        pytest.param(objects(400), TOO_DEEP, id="400 objects"),
        pytest.param(lists(400), TOO_DEEP, id="400 lists"),
        pytest.param(objects(5_000), TOO_DEEP, id="5,000 objects"),
        pytest.param(path("$" + ".a" * 101), f"/f/@path {TOO_LONG}", id="@path"),
        pytest.param({"@template": "{{a}}{{" + "a." * 5_000 + "}}"}, f"/f/@template {TOO_LONG}", id="@template"),
        pytest.param({"@arrayPath": ["a." * 5_000, {}]}, f"/f/@arrayPath/0 {TOO_LONG}", id="@arrayPath"),
    ],
)
def test_what_is_deeper_than_any_mapping_is_a_problem_and_no_crash(mapping: Any, problem: str) -> None:
    with pytest.raises(MappingError) as raised:
        compile_mapping({"f": mapping})
    assert str(raised.value) == problem


def coalesces(count: int) -> Any:
    mapping: Any = path("$.b")
    for number in range(count):
        mapping = {"@coalesce": [*(path(f"$.a{number}.c{n}") for n in range(19)), mapping]}
    return mapping


def test_a_mapping_as_deep_as_is_allowed_works() -> None:
    coalesced = compile_mapping({"f": coalesces(49)})
    assert (coalesced({"b": 7}), coalesced({"b": 7, "a0": {"c18": 8}})) == ({"f": 7}, {"f": 8})
    mapped = compile_mapping({"ifs": ifs(49), "objects": objects(98), "path": path("$" + ".a" * 100)})
    assert mapped({"a0": 7})["ifs"] == 7
    assert mapped({})["ifs"] == "none"


@pytest.mark.parametrize(
    ("mapping", "value"),
    [
        pytest.param({"@template": "{{a}}x" * 5_000}, "1x" * 5_000, id="5,000 placeholders"),
        pytest.param({"@template": "'{b}\"\\\n{{a}}' {'{{ a }}'}"}, "'{b}\"\\\n1' {'1'}", id="quotes and braces"),
        pytest.param({"@merge": {"direction": "right", "objects": [{f"k{n}": path("$.a")} for n in range(2_000)]}},
                     {f"k{n}": 1 for n in range(2_000)}, id="2,000 objects"),
    ],
)  # fmt: skip
def test_a_wide_mapping_works(mapping: Any, value: Any) -> None:
    assert compile_mapping({"f": mapping})({"a": 1}) == {"f": value}


DEEP = {"x": orjson.loads('{"a":' * 1_000 + "1" + "}" * 1_000)}


@pytest.mark.parametrize(
    ("mapping", "event", "code"),
    [
        pytest.param({"@template": "{{x}}"}, {"x": orjson.loads("[" * 1_000 + "]" * 1_000)}, "too_deeply_nested",
                     id="@template of what is too deep"),
        pytest.param({"@json": {"mode": "encode", "value": path("$.x")}}, DEEP, "too_deeply_nested", id="@json of it"),
        pytest.param({"@flatten": {"value": path("$.x"), "separator": "."}}, DEEP, "too_deeply_nested", id="@flatten"),
        pytest.param({"@excludeWhenNull": path("$.x")}, DEEP, "too_deeply_nested", id="@excludeWhenNull"),
        pytest.param({"@json": {"mode": "encode", "value": {"a": 10**30, "b": path("$.x")}}}, {"x": 1}, "unencodable",
                     id="@json of a number that JSON has not"),
        pytest.param({"@template": path("$.t")}, {"t": "{{x}}" * 1_001, "x": "x" * 1_000}, "mapping_failed",
                     id="a template of the event's own that makes too much"),
        pytest.param({"@flatten": {"value": path("$."), "separator": "."}},
                     {"k" * 5_000: dict.fromkeys(map(str, range(1_000)), 1)}, "mapping_failed", id="long keys"),
    ],
)  # fmt: skip
def test_an_event_that_is_too_much_for_a_directive_is_rejected_by_code(mapping: Any, event: Any, code: str) -> None:
    cause: Exception | None = None
    try:
        compile_mapping({"f": mapping})(event)
    except Exception as error:
        cause = error
    assert cause is not None
    assert as_rejected(cause).code == code


def test_what_is_flattened_may_be_wide_and_as_deep_as_events_are() -> None:
    level = {f"key_{n}": n for n in range(3_000)}
    mapped = compile_mapping({"@flatten": {"value": path("$."), "separator": "."}})
    assert mapped({"properties": {"inner": {"more": level}}}) == {
        f"properties.inner.more.{k}": v for k, v in level.items()
    }


@pytest.mark.parametrize(("where", "found"), [("$.list.1", "b"), ("$.list." + "9" * 9_000, MISSING)])
def test_a_path_that_the_event_brings_may_hold_any_number(where: str, found: Any) -> None:
    assert compile_mapping(path(path("$.where")))({"where": where, "list": ["a", "b"]}) is found


# --- laws -------------------------------------------------------------------------------------------------------

_scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([1.5, "", "x", "X y", "[1]", '{"a":null}'])
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_paths = st.sampled_from(
    ["", "$.", "$.a", "$.b", "$.a.b", "$.a.b.c", "$.a[0]", "$.b.0.c", "$.c['a']", "$.a.length", "$.zz"]
)
_leaf = st.one_of(
    _scalars,
    _paths.map(path),
    st.sampled_from([{"@template": "{{a}}-{{b.c}}"}, {"@template": "x"}, {"@liquid": "{{ a }}"}, {"@literal": None}]),
)


def _directives(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    picked = _paths.map(path)
    return st.one_of(
        objects,
        st.lists(inner, max_size=3),
        st.fixed_dictionaries({"@if": st.fixed_dictionaries({"exists": picked, "then": inner, "else": inner})}),
        st.fixed_dictionaries(
            {"@if": st.fixed_dictionaries({"blank": picked}, optional={"then": inner, "else": inner})}
        ),
        st.fixed_dictionaries({"@case": st.fixed_dictionaries({"operator": st.just("upper"), "value": picked})}),
        st.fixed_dictionaries({"@replace": st.fixed_dictionaries({"pattern": st.just("x"), "value": picked})}),
        st.fixed_dictionaries({"@arrayPath": st.tuples(_paths, objects).map(list)}),
        st.fixed_dictionaries(
            {
                "@merge": st.fixed_dictionaries(
                    {"direction": st.sampled_from(["left", "right"]), "objects": st.lists(picked | objects, max_size=3)}
                )
            }
        ),
        st.fixed_dictionaries(
            {
                "@flatten": st.fixed_dictionaries(
                    {"value": inner, "separator": st.just("."), "omitArrays": st.booleans()}
                )
            }
        ),
        st.fixed_dictionaries(
            {"@json": st.fixed_dictionaries({"mode": st.sampled_from(["encode", "decode"]), "value": inner})}
        ),
        st.fixed_dictionaries({"@transform": st.fixed_dictionaries({"apply": objects, "mapping": inner})}),
        st.fixed_dictionaries({"@excludeWhenNull": inner}),
        st.fixed_dictionaries({"@literal": inner}),
        st.fixed_dictionaries({"@coalesce": st.lists(inner, min_size=1, max_size=4)}),
        st.fixed_dictionaries({"@omit": st.fixed_dictionaries({"object": inner, "keys": st.just(["a"])})}),
        st.fixed_dictionaries(
            {"@words": st.fixed_dictionaries({"value": inner, "take": st.sampled_from(["first", "rest"])})}
        ),
    )


_mappings = st.dictionaries(st.sampled_from("abc"), st.recursive(_leaf, _directives, max_leaves=6), max_size=3)


@settings(max_examples=300, deadline=None)
@given(_mappings, st.dictionaries(st.sampled_from("abc"), _json, max_size=3))
@example({"a": {"@merge": {"direction": "right", "objects": [path("$.a"), {"b": 1}]}}}, {"a": {"b": 0}})
@example({"a": {"@excludeWhenNull": path("$.a")}}, {"a": {"b": None}})
@example({"a": {"@omit": {"object": path("$.a"), "keys": ["b"]}}}, {"a": {"b": 0}})
def test_a_mapping_never_changes_its_event_and_maps_it_the_same_again(mapping: Any, event: dict[str, Any]) -> None:
    before = json.dumps(event)
    original = json.dumps(mapping)
    mapped = compile_mapping(mapping)
    first, second = json.dumps(mapped(event)), json.dumps(mapped(event))
    assert first == second
    assert json.dumps(event) == before
    assert json.dumps(mapping) == original


# --- where a mapping looks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "found"),
    [
        ({"@path": "$.a.b"}, ("$.a.b",)),
        ({"a": {"@path": "$.a"}, "b": [{"@path": "$.b"}, {"@path": "$.a"}], "c": "$.c"}, ("$.a", "$.b")),
        ({"@if": {"exists": {"@path": "$.a"}, "then": {"@path": "$.b"}, "else": 5}}, ("$.a", "$.b")),
        ({"@arrayPath": ["$.products", {"id": {"@path": "$.sku"}}]}, ("$.products",)),
        ({"@arrayPath": [{"@path": "$.list"}, {"id": {"@path": "$.sku"}}]}, ("$.list",)),
        ({"@transform": {"apply": {"x": {"@path": "$.a"}}, "mapping": {"@path": "$.x"}}}, ("$.a",)),
        ("fixed", ()),
        (None, ()),
    ],
    ids=repr,
)
def test_the_paths_of_a_mapping_are_those_into_the_event(mapping: Any, found: tuple[str, ...]) -> None:
    assert paths(mapping) == found


@pytest.mark.parametrize("digits", ["1" * 19, "1" * 5000, "0" * 5000])
def test_an_index_of_thousands_of_digits_is_no_item(digits: str) -> None:
    mapped = compile_mapping({"x": {"@path": {"@path": "$.path"}}, "y": {"@path": f"$.list.{digits}"}})
    assert mapped({"path": f"$.list.{digits}", "list": ["a"]}) == {}


def test_a_value_that_is_nested_too_deeply_for_a_text_says_so() -> None:
    deep = json.loads("[" * 300 + "]" * 300)
    for mapping in ({"@template": "{{a}}"}, {"@json": {"mode": "encode", "value": {"@path": "$.a"}}}):
        with pytest.raises(Rejected) as raised:
            compile_mapping({"x": mapping})({"a": deep})
        assert raised.value.code == "too_deeply_nested"


@given(st.text(alphabet="{}a ", max_size=20), st.sampled_from([2, 3]))
def test_placeholders_are_where_segments_engine_finds_them(template: str, braces: int) -> None:
    expected = re.split("\\{" * braces + "([^}]+)" + "\\}" * braces, template)
    assert list(directives._split_placeholders(template, braces)) == expected
