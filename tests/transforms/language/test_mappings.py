"""Whole mappings: what holds for all directives."""

from __future__ import annotations

import json
import re
import traceback
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capybeam.transforms.core.rejections import Rejected, as_rejected
from capybeam.transforms.language.directives import registry
from capybeam.transforms.language.directives.registry import MappingError, Option, Value, directive
from capybeam.transforms.language.directives.writer import MappingWriter
from capybeam.transforms.language.mappings import compile_mapping, paths
from capybeam.transforms.standards.javascript import MISSING
from tests.transforms.language.orders import ORDER, path

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


# --- the written function ---------------------------------------------------------------------------------------

ODD = ["", '"', "'", "'\"", "\\", "\n", "{v1}", "}}", "'] = exit(", '")\nraise SystemExit', "\x00", "\ud800"]
_names = st.builds(lambda text, odd: f"n{text}{odd}".replace("@", ""), st.text(), st.sampled_from(ODD))


@settings(deadline=None)
@given(_names, _names)
def test_no_text_of_a_mapping_breaks_out_of_the_written_function(name: str, other: str) -> None:
    key = re.sub(r"[\[\].\"']", "", name)  # as a key of a path
    around = re.sub(r"[{}]", "", other)
    mapped = compile_mapping(
        {
            name: path(f"$.{key}"),
            f"{name} literal": other,
            f"{name} template": {"@template": f"{around}{{{{a}}}}{around}"},
            f"{name} inside": {"@if": {"exists": path("$.a"), "then": {other: path("$.a")}}},
            f"{name} omitted": {"@omit": {"object": path("$."), "keys": [other, "a", key]}},
        }
    )
    assert mapped({"a": "b", key: 1}) == {
        name: 1,
        f"{name} literal": other,
        f"{name} template": f"{around}b{around}",
        f"{name} inside": {other: "b"},
        f"{name} omitted": {},
    }


def test_a_traceback_shows_the_line_that_was_written_for_a_mapping() -> None:
    class Odd:
        def __bool__(self) -> bool:
            raise RuntimeError("neither true nor false")

    with pytest.raises(RuntimeError) as raised:
        compile_mapping({"total": path("$.total")})({"total": Odd()})
    assert "['total'] = v" in "".join(traceback.format_exception(raised.value))


def test_a_directive_is_one_registered_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.DIRECTIVES, "@twice", registry.DIRECTIVES["@path"])  # and taken out again

    @directive("@twice", {"value": Option("any", required=True)})
    def _twice(code: MappingWriter, options: dict[str, Any]) -> Value:
        value = code.value(options["value"]).code
        return code.assign(f"[{value}, {value}]")

    assert compile_mapping({"a": {"@twice": {"value": path("$.x")}}})({"x": 1}) == {"a": [1, 1]}
    with pytest.raises(MappingError, match='should have field "value"'):
        compile_mapping({"a": {"@twice": {}}})
