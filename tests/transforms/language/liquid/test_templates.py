"""@liquid: templates as Segment renders them, without the tags and filters that Segment leaves out.

`liquid_cases.jsonl` holds templates, made-up events and what LiquidJS 10.30.1 renders of them in UTC, with the tags and
filters switched off that Segment switches off; null where it refuses the template or fails.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import orjson
import pytest
from liquid import Environment

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.liquid.templates import compile_template, problems
from capybeam.transforms.language.liquid.values import ROOM, ROOM_PER_CHARACTER, size
from tests.transforms.edits import JUNK

CASES = [json.loads(line) for line in (Path(__file__).parent / "liquid_cases.jsonl").read_text("utf-8").splitlines()]

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
        pytest.param("{{ event", "is not a valid Liquid template", id="never closed"),
        pytest.param("{% if event %}x", "is not a valid Liquid template", id="if without endif"),
        pytest.param("{% nosuch %}", 'tag "nosuch" is unknown', id="an unknown tag"),
        pytest.param("{% captur x %}", 'tag "captur" is unknown, did you mean capture?', id="a misspelt tag"),
        pytest.param("{{ event | append }}", 'filter "append" takes 1 argument and has 0', id="no argument"),
        pytest.param(
            "{{ 'event }}", 'is not a valid Liquid template: "{{ \'event }}" is not closed', id="an open quote"
        ),
        pytest.param("{% if 'a == b %}x{% endif %}", "is not a valid Liquid template: a text is not", id="in a tag"),
        pytest.param(
            "{{ a" + "[a" * 400 + " }}", "is not a valid Liquid template: brackets are nested", id="deep brackets"
        ),
        pytest.param(
            "{%if a%}" * 120, "is not a valid Liquid template: block nesting limit reached", id="nested blocks"
        ),
        pytest.param("{{ (1 + 2) }}", "is not a valid Liquid template: brackets are for ranges only", id="brackets"),
    ],
)
def test_a_template_that_cannot_be_used_says_so(template: str, says: str) -> None:
    (problem,) = problems(template)
    assert problem.startswith(says)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["template"][:60]) for case in CASES])
def test_a_template_renders_as_liquidjs_renders_it(case: dict[str, Any]) -> None:
    template, event, text = case["template"], case["event"], case["text"]
    before = json.dumps(event)
    if list(problems(template)):
        assert text is None
    elif text is None:
        with pytest.raises(Rejected, match="template_failed"):
            compile_template(template)(event)
    else:
        assert compile_template(template)(event) == text
    assert json.dumps(event) == before


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Kolkata", "UTC"])
def test_a_date_is_that_of_the_event_wherever_the_machine_stands(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        render = compile_template("{{ a | date: '%Y-%m-%d %H:%M %z' }}, {{ b | date: '%F %c' }}, {{ c | date: '%H' }}")
        text = render({"a": "2026-03-04T23:30:00-02:00", "b": "2026-03-04 05:06:07", "c": 1790000000})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert text == "2026-03-05 01:30 +0000, %F 3/4/2026, 5:06:07 AM, 14"


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("{{ properties.name | url_decode }}", id="not percent-encoded"),
        pytest.param("{{ properties.name | base64_decode }}", id="not base64"),
        pytest.param("{{ 'now' | date: '%H', properties.name }}", id="no time zone"),
        pytest.param("{{ properties.tags | where: properties.bracket }}", id="no key"),
    ],
)
def test_a_template_that_fails_on_an_event_rejects_it_and_quotes_none_of_it(template: str) -> None:
    rendered = compile_template(template)
    with pytest.raises(Rejected) as raised:
        rendered({"properties": {"name": "jane@example.com 100%", "tags": [{}], "bracket": "jane["}})
    assert raised.value.code == "template_failed"
    assert "jane" not in raised.value.message


def test_half_a_character_becomes_a_replacement_character() -> None:
    rendered = compile_template("{% assign u = a | split: '' %}{{ u[0] }}{{ u[1] }} {{ u[0] }} {{ u | size }}")
    assert rendered({"a": "😀"}) == "😀 \ufffd 2"


def test_a_sample_is_the_same_when_the_event_comes_again() -> None:
    event = {"tags": ["a", "b", "c", "d", "e"]}
    texts = {compile_template("{{ tags | sample }} {{ tags | sample: 3 | join }}")(event) for _ in range(5)}
    assert len(texts) == 1


# --- bounds -----------------------------------------------------------------------------------------------------

_DOUBLED = "{% assign a = a | append: a %}"
ENDLESS = {
    "a range": "{{ (1..1000000000) | join }}",
    "a range that is only measured": "{{ (1..1000000000) | size }}",
    "a range without an end": "{% if (1..'Infinity') contains 0 %}{% endif %}",
    "a range from the event": "{{ (0..many) | size }}",
    "append": "{% assign a = text %}" + _DOUBLED * 30 + "{{ a | size }}",
    "append, then a slow filter": "{% assign a = text %}" + _DOUBLED * 25 + "{{ a | slugify }}",
    "prepend": "{% assign a = text %}" + "{% assign a = a | prepend: a %}" * 29 + "{{ a | size }}",
    "capture": "{% assign a = text %}" + "{% capture a %}{{ a }}{{ a }}{% endcapture %}" * 20 + "{{ a | size }}",
    "replace": "{% assign a = text | replace: 'a', text %}{{ a | replace: 'a', a | replace: 'a', a | size }}",
    "replace nothing": "{% assign a = text | replace: '', text %}{{ a | replace: '', a | replace: '', a | size }}",
    "join": "{% assign a = text | split: '' | join: text %}{{ a | split: '' | join: a | size }}",
    "push": "{% assign a = text | push: 1 %}" + "{% assign a = a | push: a %}" * 30 + "{{ a }}",
    "unshift": "{% assign a = text | push: 1 %}" + "{% assign a = a | unshift: a %}" * 27 + "{{ a | json }}",
    "a padded year": "{{ '2020-01-01' | date: '%1000000000Y' }}",
    "padded milliseconds": "{{ '2020-01-01' | date: '%999999999N' }}",
    "a pad of 900 digits": "{{ '2020-01-01' | date: '%" + "9" * 900 + "d' }}",
    "json, indented": "{{ deep | json: 10 }}",
    "escapes of escapes": "{{ quotes " + "| xml_escape " * 60 + "| size }}",
    "base64 of base64": "{{ text " + "| base64_encode " * 55 + "| size }}",
}


@pytest.mark.parametrize("characters", [50, 20_000])
@pytest.mark.parametrize("template", [pytest.param(template, id=name) for name, template in ENDLESS.items()])
def test_a_template_makes_no_more_than_so_much_of_an_event(template: str, characters: int) -> None:
    assert len(template) <= 1000
    deep: list[Any] = [1] * characters
    for _ in range(200):
        deep = [deep]
    event = {"text": "a" * characters, "quotes": "'" * characters, "many": 10**15, "deep": deep}
    rendered = compile_template(template)
    allowed = ROOM + ROOM_PER_CHARACTER * size(event)
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        with pytest.raises(Rejected) as raised:
            rendered(event)
        assert tracemalloc.get_traced_memory()[1] < 10 * allowed + 1_000_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - begin < 10
    assert (raised.value.code, raised.value.message) == (
        "template_failed",
        "The Liquid template makes too much text of this event.",
    )


@pytest.mark.parametrize(
    ("template", "text"),
    [
        pytest.param("{{ 1 | times: 1e300 }}", "0", id="1e300 is a name, as in LiquidJS"),
        pytest.param("{{ '1e300' | times: '1e300' }}", "Infinity", id="more than a number holds"),
        pytest.param("{{ 5 | divided_by: 0 }} {{ 0 | divided_by: 0 }}", "Infinity NaN", id="by nothing"),
        pytest.param("{{ 2.5 | round: 400 }} {{ 2.5 | round: -400 }}", "2.5 0", id="rounded far away"),
        pytest.param("{{ text | truncate: 999999999999, text | size }}", "50000", id="truncated far behind its end"),
        pytest.param("{{ text | slice: 0, 99999999999999999999 | size }}", "50000", id="sliced far behind its end"),
        pytest.param("{{ text | truncatewords: 99999999999999999999 | size }}", "50000", id="words without an end"),
        pytest.param("{{ text" + " | upcase" * 100 + " | size }}", "50000", id="a hundred filters that add nothing"),
        pytest.param("{{ 1" + " < 1" * 240 + " }}", "false", id="hundreds of operators"),
        pytest.param("{%if text%}" * 47 + "x" + "{%endif%}" * 47, "x", id="blocks as deep as a template can be"),
        pytest.param("{{ digits | plus: 0 }}", "0", id="a hundred thousand digits and a letter"),
    ],
)
def test_large_numbers_and_long_templates_are_harmless(template: str, text: str) -> None:
    assert len(template) <= 1000
    assert list(problems(template)) == []
    assert compile_template(template)({"text": "a" * 50_000, "digits": "1" * 100_000 + "x"}) == text


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
