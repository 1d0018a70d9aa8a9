"""YAML as plain data that knows the position of everything."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.yaml_source import Document, read
from tests import adversary
from tests.adversary import check_time


def data(text: str) -> Any:
    document = read(text, "job.yaml")
    assert document.problems == ()
    return document.data


def problems(text: str) -> tuple[tuple[tuple[int, int], str], ...]:
    return read(text, "job.yaml").problems


# --- what a scalar is: YAML 1.2's core schema -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("No", "No"),
        ("yes", "yes"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("n", "n"),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("~", None),
        ("", None),
        ("nUll", "nUll"),
        ("none", "none"),
        ("0", 0),
        ("123321", 123321),
        ("-7", -7),
        ("+7", 7),
        ("2.5", 2.5),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1.5E-2", 0.015),
        ("1_000", "1_000"),
        ("1,000", "1,000"),
        ("12:30:45", "12:30:45"),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("0b101", "0b101"),
        ("v25.0", "v25.0"),
        ("10s", "10s"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("'123321'", "123321"),
        ('"true"', "true"),
        ("'null'", "null"),
        ("''", ""),
        ("|-\n  5", "5"),
        (">-\n  true", "true"),
    ],
)
def test_a_scalar_is_what_the_core_schema_of_yaml_1_2_says(text: str, value: Any) -> None:
    read_value = data(f"country: {text}\n")["country"]

    assert (type(read_value), read_value) == (type(value), value)


def test_the_same_holds_inside_lists_and_flow_objects() -> None:
    assert data("countries: [NO, SE, on, true, 'true']\nflow: {no: no, yes: 1}\n") == {
        "countries": ["NO", "SE", "on", True, "true"],
        "flow": {"no": "no", "yes": 1},
    }


def test_keys_are_text_whatever_they_look_like() -> None:
    assert data("1: a\ntrue: b\nnull: c\nNO: d\n2026-11-22: e\n") == {
        "1": "a",
        "true": "b",
        "null": "c",
        "NO": "d",
        "2026-11-22": "e",
    }


def test_an_integer_of_any_length_is_kept_exactly() -> None:
    assert data("id: 123456789012345678901234567890\n") == {"id": 123456789012345678901234567890}


# --- JSON is YAML -----------------------------------------------------------------------------------------------


def test_a_json_mapping_reads_as_it_would_by_a_json_reader() -> None:
    text = """{
  "user_data":{"email":{"@path":"$.context.traits.email"},"phone":null},
  "contents": {"@arrayPath": ["$.properties.products", {"id": {"@path": "$.product_id"}}]},
  "flags": [true, false, null], "numbers": [0, -1, 2.5, 1e3, 1E+2], "url": "https:\\/\\/example.com", "tab": "a\\tb"
}"""

    assert data(text) == json.loads(text)


def test_json_indented_with_tabs_is_read() -> None:
    text = '{\n\t"value": {\n\t\t"@path": "$.properties.total"\n\t}\n}\n'

    assert data(text) == {"value": {"@path": "$.properties.total"}}


def test_json_that_escapes_a_character_outside_the_basic_plane_is_read() -> None:
    text = json.dumps({"content_name": "capybara 🦫"})  # … \ud83e\uddab, as JSON writers escape by default

    assert text == '{"content_name": "capybara \\ud83e\\uddab"}'
    assert data(text) == {"content_name": "capybara 🦫"}


_CHARACTERS = st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn"])
_TEXT = st.text(_CHARACTERS)
_KEY = st.text(_CHARACTERS, max_size=80)  # YAML's own limit is 1024 characters, escapes included
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEY, inner, max_size=4),
    max_leaves=12,
)


ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise("abcdefghij")
)
MERGES = "m0: &m0 {a: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 26))
TOO_MUCH = "the file has more than 100,000 values at this point, counting aliases and merges"


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        pytest.param(ALIASES, (1, 10), TOO_MUCH, id="aliases_of_aliases"),
        pytest.param(MERGES, (3, 5), TOO_MUCH, id="merges_of_merges"),
        pytest.param("- x\n" * 100_001, (100_000, 3), TOO_MUCH, id="a_long_list"),
        pytest.param("a: " + "[" * 250 + "]" * 250, (1, 203), "this is nested more than 200 levels deep", id="lists"),
        pytest.param("{a: " * 250 + "}" * 250, (1, 801), "this is nested more than 200 levels deep", id="objects"),
        pytest.param("- " * 250 + "x", (1, 401), "this is nested more than 200 levels deep", id="dashes"),
    ],
)
def test_a_text_that_is_more_than_it_looks_is_one_problem_and_takes_no_time(
    text: str, position: tuple[int, int], problem: str
) -> None:
    start = time.process_time()
    assert read(text, "job.yaml") == Document("job.yaml", text, None, {}, {}, ((position, problem),))
    assert time.process_time() - start < 20


def test_positions_take_no_more_memory_the_deeper_they_are() -> None:
    text = "a: " + "[" * 190 + ",".join("x" * 6_000) + "]" * 190
    assert adversary.peak_of(lambda: read(text, "job.yaml")) < 30_000_000
    assert read(text, "job.yaml").problems == ()


def test_merges_of_many_objects_are_linear() -> None:
    base = "base: &base {" + ", ".join(f"k{n}: 1" for n in range(100)) + "}\n"
    document = read(base + "all: {<<: [" + ", ".join(["*base"] * 900) + "]}", "job.yaml")
    assert document.data["all"] == document.data["base"]


@pytest.mark.parametrize("digits", [4_000, 5_000, 400_000])
def test_a_number_of_any_length_is_read(digits: int) -> None:
    assert data(f"a: {'9' * digits}") == {"a": "9" * digits}


def test_texts_cost_what_they_are_long() -> None:
    for name, make in itertools.islice(adversary.texts(), 0, None, 2):
        for style in ("{}", "a: {}", 'a: "{}"', "- {}", "a: |\n  {}"):
            check_time(f"{style} of {name}", lambda n, m=make, s=style: s.replace("{}", m(n // 4)), _read, slack=60)


def _read(text: str) -> Document:
    return read(text, "job.yaml")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_KEY, _JSON, min_size=1, max_size=4), st.sampled_from([None, 2]), st.booleans())
def test_every_json_object_is_read_as_what_it_is(value: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    assert data(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value


# --- positions -----------------------------------------------------------------------------------------


JOB = """\
# a comment
destinations:
  - name: web
    mapping: {value: {"@path": $.x}}
  - name: 'stores'
    trigger: >-
      type = "track"
"""


@pytest.mark.parametrize(
    ("loc", "position"),
    [
        ((), (1, 1)),
        (("destinations",), (2, 1)),
        (("destinations", 0), (3, 5)),
        (("destinations", 0, "name"), (3, 5)),
        (("destinations", 0, "mapping", "value"), (4, 15)),
        (("destinations", 0, "mapping", "value", "@path"), (4, 23)),
        (("destinations", 1), (5, 5)),
        (("destinations", 1, "trigger"), (6, 5)),
        (("destinations", 1, "missing"), (5, 5)),
        (("destinations", 7, "name"), (2, 1)),
        (("nothing", "like", "it"), (1, 1)),
    ],
    ids=str,
)
def test_a_position_is_that_of_the_key_or_of_the_nearest_thing_around_it(
    loc: tuple[str | int, ...], position: tuple[int, int]
) -> None:
    assert read(JOB, "job.yaml").position(loc) == position


def test_values_have_their_own_positions() -> None:
    document = read(JOB, "job.yaml")

    assert document.values[("destinations", 0, "name")] == (3, 11)
    assert document.values[("destinations", 1, "name")] == (5, 11)
    assert document.values[("destinations", 1, "trigger")] == (6, 14)


def test_columns_count_characters_not_bytes() -> None:
    document = read('{"naïve 🦫": 1, "b": 2}', "job.yaml")

    assert document.position(("b",)) == (1, 16)


@pytest.mark.parametrize(
    "line",
    [
        "trigger: type = 5 and evnt = 6",
        "trigger: 'type = 5 and evnt = 6'",
        'trigger: "type = 5 and evnt = 6"',
        'trigger:    type = "track" and evnt = "x"',
        'trigger: \'type = "track" and evnt = "x"\'',
        'trigger: "type = \\"track\\" and evnt = \\"x\\""',
        "trigger: 'type = ''track'' and evnt = 5'",
        '{"trigger": "type = \\"track\\" and evnt = 5"}',
    ],
)
def test_a_character_inside_a_text_is_found_in_the_file(line: str) -> None:
    document = read(f"# job\n{line}\n", "job.yaml")
    offset = document.data["trigger"].index("evnt")

    assert document.inside(("trigger",), offset) == (2, line.index("evnt") + 1)


@pytest.mark.parametrize("style", ["|", ">-", ">", "|-"])
def test_inside_a_text_of_several_lines_the_value_itself_is_the_position(style: str) -> None:
    document = read(f"a: 1\ntrigger: {style}\n  type = 5\n  and evnt = 6\n", "job.yaml")

    assert document.inside(("trigger",), 13) == (2, 10)


# --- merge keys and anchors -------------------------------------------------------------------------------------


def test_an_anchor_is_used_again_by_its_alias() -> None:
    assert data("base: &base {a: 1, b: [x]}\ncopy: *base\n") == {
        "base": {"a": 1, "b": ["x"]},
        "copy": {"a": 1, "b": ["x"]},
    }


def test_a_merge_key_brings_keys_in_and_own_keys_win_wherever_they_are() -> None:
    text = "base: &base {a: 1, b: 2}\nbefore: {b: own, <<: *base}\nafter: {<<: *base, b: own, c: 3}\n"

    assert data(text) == {
        "base": {"a": 1, "b": 2},
        "before": {"a": 1, "b": "own"},
        "after": {"a": 1, "b": "own", "c": 3},
    }


def test_of_several_merged_objects_the_earlier_wins() -> None:
    text = "one: &one {a: 1, b: 1}\ntwo: &two {b: 2, c: 2}\nboth: {<<: [*one, *two]}\n"

    assert data(text)["both"] == {"a": 1, "b": 1, "c": 2}


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert data('{"<<": {"a": 1}}') == {"<<": {"a": 1}}


def test_merging_what_is_not_an_object_is_a_problem() -> None:
    assert problems("a: 1\nb:\n  <<: [{c: 1}, text]\n") == (((3, 16), "<< takes objects only"),)


def test_an_anchor_that_contains_itself_is_a_problem_and_not_an_endless_loop() -> None:
    document = read("a: 1\nloop: &loop\n  - x\n  - *loop\n", "job.yaml")

    assert document.data == {"a": 1, "loop": ["x", None]}
    assert [message for _, message in document.problems] == ["an anchor must not contain itself"]
    assert [line for (line, _), _ in document.problems] == [2]


def test_an_object_that_merges_itself_is_a_problem_and_not_an_endless_loop() -> None:
    document = read("a: &a\n  <<: *a\n  b: 1\n", "job.yaml")

    assert [message for _, message in document.problems] == ["an anchor must not contain itself"]


# --- what is wrong with a text ----------------------------------------------------------------------------------


def test_a_key_given_twice_is_a_problem_at_the_second_place() -> None:
    text = "name: web\ntype: x\nname: crm\ninner:\n  a: 1\n  a: 2\n  a: 3\n"

    assert problems(text) == (
        ((3, 1), "the key 'name' is already given at line 1"),
        ((6, 3), "the key 'a' is already given at line 5"),
        ((7, 3), "the key 'a' is already given at line 5"),
    )


def test_the_same_key_in_two_objects_is_none() -> None:
    assert data("- {name: web}\n- {name: crm}\n") == [{"name": "web"}, {"name": "crm"}]


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        (
            "a: b: c\n",
            (1, 5),
            "mapping values are not allowed in this context; put a text that holds a colon and a blank in quotes",
        ),
        ("a: 1\nb: [1, 2\n", (3, 1), "did not find expected ',' or ']'"),
        ("a: 1\nb: *nowhere\n", (2, 4), "found undefined alias; put a text that begins with * in quotes"),
        ("a: 1\nb: @path\n", (2, 4), 'found character that cannot start any token; quote it: "@path"'),
        ("a: {@path: $.x}\n", (1, 5), 'found character that cannot start any token; quote it: "@path"'),
        ("a:\n\tb: 1\n", (2, 1), "found character that cannot start any token; indent with blanks, not with tabs"),
        ("a: `x`\n", (1, 4), "found character that cannot start any token; put the text in quotes"),
        ("a: 1\n---\nb: 2\n", (2, 1), "but found another document"),
    ],
    ids=[
        "a_colon_too_many",
        "an_open_list",
        "an_unknown_alias",
        "an_unquoted_at_sign",
        "an_unquoted_directive",
        "a_tab",
        "a_back_quote",
        "a_second_document",
    ],
)
def test_a_text_that_is_not_yaml_has_one_problem_with_its_position(
    text: str, position: tuple[int, int], reason: str
) -> None:
    assert read(text, "job.yaml") == Document(
        "job.yaml", text, None, {}, {}, ((position, f"this is not valid YAML: {reason}"),)
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"], ids=repr)
def test_a_text_without_anything_in_it_is_a_problem(text: str) -> None:
    assert read(text, "job.yaml") == Document("job.yaml", text, None, {}, {}, (((1, 1), "the file is empty"),))


def test_a_document_that_says_null_is_data() -> None:
    assert data("--- null\n") is None


def test_a_text_nested_beyond_reason_is_a_problem_and_not_a_crash() -> None:
    document = read("[" * 2000 + "]" * 2000, "job.yaml")

    assert document.data is None
    ((line, column), reason) = document.problems[0]
    assert len(document.problems) == 1
    assert line == 1
    assert 1 <= column <= 4000  # newer releases of PyYAML say where it becomes too deep
    assert "nest" in reason


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60))
def test_any_text_at_all_gives_data_or_a_problem_inside_the_text(text: str) -> None:
    document = read(text, "job.yaml")

    lines = len(text.splitlines()) + 1
    assert all(1 <= line <= lines and column >= 1 for (line, column), _ in document.problems)
