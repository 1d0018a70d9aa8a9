"""@template, @case, @replace, @words and @liquid."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.directives import texts
from capybeam.transforms.language.mappings import compile_mapping
from tests.transforms.language.orders import check_mapped, path

MAPPED: list[tuple[str, Any, Any]] = [
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


@pytest.mark.parametrize(("mapping", "result"), [pytest.param(m, r, id=name) for name, m, r in MAPPED])
def test_a_directive_maps(mapping: Any, result: Any) -> None:
    check_mapped(mapping, result)


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


def test_a_value_that_is_nested_too_deeply_for_a_text_says_so() -> None:
    deep = json.loads("[" * 300 + "]" * 300)
    for mapping in ({"@template": "{{a}}"}, {"@json": {"mode": "encode", "value": {"@path": "$.a"}}}):
        with pytest.raises(Rejected) as raised:
            compile_mapping({"x": mapping})({"a": deep})
        assert raised.value.code == "too_deeply_nested"


@given(st.text(alphabet="{}a ", max_size=20), st.sampled_from([2, 3]))
def test_placeholders_are_where_segments_engine_finds_them(template: str, braces: int) -> None:
    expected = re.split("\\{" * braces + "([^}]+)" + "\\}" * braces, template)
    assert list(texts._split_placeholders(template, braces)) == expected
