"""@liquid: templates as Segment renders them, without the tags and filters that Segment leaves out."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import orjson
import pytest
from liquid import Environment

from tests.transforms.edits import JUNK
from transforms.liquid_templates import compile_template, problems
from transforms.rejections import Rejected

EVENT: dict[str, Any] = {
    "event": "Order Completed",
    "userId": None,
    "properties": {
        "name": "Mary <b>",
        "total": 25.5,
        "whole": 10.0,
        "count": 3,
        "gift": True,
        "tags": ["new", "red"],
        "box": {"w": 1},
    },
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("plain { text }", "plain { text }", id="plain text"),
        pytest.param("{{ event }}!", "Order Completed!", id="a field"),
        pytest.param("{{ properties.box.w }}", "1", id="a nested field"),
        pytest.param("{{ properties.tags[1] }}", "red", id="an item"),
        pytest.param("[{{ nope }}{{ nope.deeper }}{{ userId }}]", "[]", id="missing and null are nothing"),
        pytest.param("{{ properties.name }}", "Mary <b>", id="no escaping"),
        pytest.param("{{ properties.gift }}", "true", id="a boolean"),
        pytest.param("{{ properties.total }} {{ properties.count }}", "25.5 3", id="numbers"),
        pytest.param("{{ properties.whole }}", "10", id="a whole number reads as in JavaScript"),
        pytest.param("{{ properties.whole | plus: 1 }}", "11", id="and after arithmetic"),
        pytest.param("{{ properties.total | times: 2 }}", "51", id="a product that is whole"),
        pytest.param("{{ event | upcase }}", "ORDER COMPLETED", id="a filter"),
        pytest.param("{{ event | downcase | replace: ' ', '_' }}", "order_completed", id="two filters"),
        pytest.param("{{ nope | default: 'none' }}", "none", id="a default"),
        pytest.param("{{ properties.tags | join: ',' }}", "new,red", id="a list joined"),
        pytest.param("{{ properties.tags | first }}", "new", id="the first of a list"),
        pytest.param("{{ properties.tags | size }}", "2", id="the size of a list"),
        pytest.param("{% if properties.count > 2 %}many{% else %}few{% endif %}", "many", id="if"),
        pytest.param("{% if nope %}some{% else %}none{% endif %}", "none", id="else"),
        pytest.param("{% unless properties.gift %}paid{% endunless %}", "", id="unless"),
        pytest.param("{% assign x = event | size %}{{ x }}", "15", id="assign"),
        pytest.param("{% capture x %}a{{ event }}{% endcapture %}{{ x }}", "aOrder Completed", id="capture"),
        pytest.param("a{%- if true -%} b {%- endif -%}c", "abc", id="white space control"),
        pytest.param("{% assign fortune = 1 %}{{ fortune }}", "1", id="names that begin like a disabled tag"),
        pytest.param("{{ 'for' }}", "for", id="a disabled tag's name as text"),
    ],
)
def test_a_template_renders(template: str, text: str) -> None:
    assert list(problems(template)) == []
    assert compile_template(template)(EVENT) == text


@pytest.mark.parametrize("tag", ["case", "for", "include", "layout", "render", "tablerow"])
@pytest.mark.parametrize(
    "shape", ["{{% {0} x %}}", "{{%{0} x%}}", "{{%- {0} x -%}}", "a {{% if true %}}{{% {0} x %}}{{% endif %}}"]
)
def test_a_disabled_tag_is_found_however_it_is_written(tag: str, shape: str) -> None:
    assert list(problems(shape.format(tag))) == [f'tag "{tag}" is disabled']


@pytest.mark.parametrize("tag", ["for", "case", "include", "render", "tablerow"])
def test_a_disabled_tag_is_found_inside_the_liquid_tag(tag: str) -> None:
    assert len(list(problems(f"{{% liquid\n{tag} x in (1..3)\nend{tag} %}}"))) == 1


_FILTERS = [
    *("array_to_sentence_string", "concat", "find", "find_exp", "find_index", "find_index_exp", "group_by"),
    *("group_by_exp", "has", "has_exp", "map", "newline_to_br", "reject", "reject_exp", "reverse", "sort"),
    *("sort_natural", "type", "uniq", "where_exp"),
]


@pytest.mark.parametrize("name", _FILTERS)
def test_a_disabled_filter_is_found(name: str) -> None:
    assert list(problems(f"{{{{ properties.tags | {name}: 'a' }}}}")) == [f'filter "{name}" is disabled']


def test_a_disabled_filter_is_found_in_an_assignment() -> None:
    assert list(problems("{% assign x = properties.tags | reverse %}{{ x }}")) == ['filter "reverse" is disabled']


@pytest.mark.parametrize(
    ("template", "says"),
    [
        pytest.param("{{ event | upcse }}", 'filter "upcse" is unknown, did you mean upcase?', id="a misspelt filter"),
        pytest.param("{{ event", "is no valid Liquid template", id="never closed"),
        pytest.param("{% if event %}x", "is no valid Liquid template", id="if without endif"),
        pytest.param("{% nosuch %}", "is no valid Liquid template", id="an unknown tag"),
    ],
)
def test_a_template_that_cannot_be_used_says_so(template: str, says: str) -> None:
    (problem,) = problems(template)
    assert problem.startswith(says)


def test_a_template_that_fails_on_an_event_rejects_it_and_quotes_none_of_it() -> None:
    rendered = compile_template("{{ properties.count | divided_by: properties.zero }}")
    with pytest.raises(Rejected) as raised:
        rendered({"properties": {"count": 3, "zero": 0, "email": "jane@example.com"}})
    assert raised.value.code == "mapping_failed"
    assert "jane" not in raised.value.message


def test_rendering_keeps_nothing_for_the_next_event() -> None:
    rendered = compile_template("{% assign x = name | upcase %}{{ x }}{% increment n %}")
    assert [rendered({"name": "a"}), rendered({"name": "b"}), rendered({})] == ["A0", "B0", "0"]


@pytest.mark.parametrize("item", ["text", 5, None, ["a"]])
def test_an_item_that_is_no_object_has_no_fields(item: Any) -> None:
    assert compile_template("[{{ id }}]")(item) == "[]"


# Arguments that most filters have a use for, and some have none for.
ARGUMENTS = ("", ": 1", ": -1", ": 0", ": 'x'", ": ''", ": nil", ": b", ": b, a", ": 1.5, 2", ": 99999999999999999999")


@pytest.mark.parametrize("name", sorted(Environment().filters))
def test_whatever_a_filter_meets_the_template_renders_or_the_event_is_rejected(name: str) -> None:
    for arguments in ARGUMENTS:
        text = f"{{{{ a | {name}{arguments} }}}}"
        if list(problems(text)):
            continue
        template = compile_template(text)
        for value, other in itertools.product(JUNK, (None, [1])):
            with contextlib.suppress(Rejected):
                template({"a": orjson.loads(value), "b": other})
