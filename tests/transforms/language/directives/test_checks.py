"""What is wrong with a mapping is found before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.transforms.language.directives.registry import (
    MappingError,
    is_directive,
)
from capybeam.transforms.language.mappings import compile_mapping
from tests.transforms.language.orders import path


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
            ["/a/@if/esle is not an option of @if, did you mean else?"],
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
