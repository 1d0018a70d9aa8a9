"""What JavaScript makes of JSON values. The expected values are Node's."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.core.rejections import as_rejected
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (True, "true"),
        (None, "null"),
        (MISSING, "undefined"),
        ({}, "[object Object]"),
        ([], ""),
        (["a", None, MISSING, ["b", {"c": 1}], 1.0, False], "a,,,b,[object Object],1,false"),
        (0, "0"),
        (-0.0, "0"),
        (25.0, "25"),
        (-2.5, "-2.5"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.5e-9, "-1.5e-9"),
        (1e16, "10000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (5e-324, "5e-324"),
        (0.1 + 0.2, "0.30000000000000004"),
        (9007199254740993, "9007199254740993"),  # JavaScript would lose the last digit
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_a_value_as_text(value: Any, text: str) -> None:
    assert javascript.text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_so_that_it_reads_back(number: float) -> None:
    assert javascript.number(javascript.number_text(number)) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5.0),
        (True, 1.0),
        (None, 0.0),
        (MISSING, math.nan),
        ("", 0.0),
        (" \ufeff\u00a0 ", 0.0),
        ("\ufeff 5 \n", 5.0),
        ("+5", 5.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("0x1F", 31.0),
        ("0b101", 5.0),
        ("0o17", 15.0),
        ("-0x1F", math.nan),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("infinity", math.nan),
        ("nan", math.nan),
        ("1_000", math.nan),
        ("1,000", math.nan),
        ("\u0661", math.nan),  # an Arabic digit
        ("--5", math.nan),
        (".", math.nan),
        ([], 0.0),
        (["7"], 7.0),
        ([1, 2], math.nan),
        ({}, math.nan),
    ],
)
def test_a_value_as_a_number(value: Any, number: float) -> None:
    found = javascript.number(value)
    assert found == number or (found != found and number != number)


@pytest.mark.parametrize(
    "text", ["1" * 300_000, "1" * 300_000 + "x", "0x" + "f" * 300_000, " " * 300_000, "1." * 150_000]
)
def test_a_text_of_any_length_is_read_at_once(text: str) -> None:
    assert javascript.number(text) in (math.inf, 0.0) or math.isnan(javascript.number(text))


@pytest.mark.parametrize(
    ("value", "true"),
    [
        ("", False),
        ("0", True),
        (0, False),
        (math.nan, False),
        (None, False),
        (MISSING, False),
        (False, False),
        ([], True),
        ({}, True),
    ],
)
def test_what_is_true(value: Any, true: bool) -> None:
    assert javascript.truthy(value) is true


@pytest.mark.parametrize(
    ("left", "right", "less"),
    [
        (1, 2, True),
        ("10", "9", True),
        ("10", 9, False),
        (None, 1, True),
        (MISSING, 1, None),
        ("abc", 1, None),
        ([5], 6, True),
        (["a"], "b", True),
        (True, 2, True),
    ],
)
def test_what_is_less(left: Any, right: Any, less: bool | None) -> None:
    assert javascript.less(left, right) is less


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.5, 1), (1.5, 2), (-0.5, 0), (-1.5, -1), (0.49999999999999994, 0), (1e300, 1e300)]
)
def test_a_half_is_rounded_up(value: float, rounded: float) -> None:
    assert javascript.round_half_up(value) == rounded


@pytest.mark.parametrize(
    ("value", "indent", "text"),
    [
        ({"a": [1.0, 1e-7, None, MISSING, math.nan]}, "", '{"a":[1,1e-7,null,null,null]}'),
        ({"a": {}, "b": []}, "  ", '{\n  "a": {},\n  "b": []\n}'),
        ({"a": [1, {"b": 2}]}, "-", '{\n-"a": [\n--1,\n--{\n---"b": 2\n--}\n-]\n}'),
        ('é"\\\n\x01\u2028', "", '"é\\"\\\\\\n\\u0001\u2028"'),
        ("a\ud83d", "", '"a\\ud83d"'),
    ],
)
def test_a_value_as_json(value: Any, indent: str, text: str) -> None:
    assert javascript.json_text(value, indent) == text


def test_a_value_that_is_nested_too_deeply_is_the_events_fault() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RecursionError) as raised:
        javascript.json_text(value)
    assert as_rejected(raised.value).code == "too_deeply_nested"


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(_json)
def test_json_reads_back(value: Any) -> None:
    assert json.loads(javascript.json_text(value)) == value


@pytest.mark.parametrize(("text", "length"), [("", 0), ("abc", 3), ("é", 1), ("😀", 2), ("a😀b", 4)])
def test_a_text_is_as_long_as_its_utf_16(text: str, length: int) -> None:
    assert javascript.length(text) == length
    assert len(javascript.units(text)) == length
    assert javascript.from_units(javascript.units(text)) == text
