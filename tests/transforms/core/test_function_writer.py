"""Written functions: tracebacks show their lines, names cannot break out of them, and they leave nothing behind."""

from __future__ import annotations

import ast
import gc
import linecache
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.transforms.core.function_writer import FunctionWriter, literal


def test_a_function_is_written_from_lines_blocks_constants_and_variables() -> None:
    writer = FunctionWriter("total", "items", "most")
    total = writer.variable("0")
    with writer.block("for item in items:"):
        with writer.block(f"if item in {writer.constant({'skip'})}:"):
            writer.line("continue")
        writer.line(f"{total} += {writer.call(len, 'item')}")
    assert writer.function(f"min({total}, most)")(["ab", "skip", "c"], 9) == 3


def failing() -> FunctionWriter:
    writer = FunctionWriter("broken", "event")
    writer.line("amount = event['amount']")
    return writer


def test_a_traceback_shows_the_line_of_a_written_function() -> None:
    function = failing().function("100 / amount  # this one")
    try:
        function({"amount": 0})
    except ZeroDivisionError:
        shown = traceback.format_exc()
    assert "in broken\n    return 100 / amount  # this one\n" in shown


def test_a_traceback_shows_its_line_after_others_have_been_compiled() -> None:
    first, second = failing().function("first / amount"), failing().function("second / amount")
    linecache.checkcache()
    for function, line in ((first, "return first / amount"), (second, "return second / amount")):
        with pytest.raises(NameError) as raised:
            function({"amount": 0})
        assert line in "".join(traceback.format_exception(raised.value))


def test_the_source_is_kept_as_long_as_a_traceback_may_need_it() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        failing().function("100 / amount  # gone")({"amount": 0})
    gc.collect()
    assert "return 100 / amount  # gone" in "".join(traceback.format_exception(raised.value))


def sources() -> set[str]:
    return {name for name in linecache.cache if name.startswith("<capybeam ")}


def test_sources_of_functions_that_are_gone_are_forgotten_with_the_next_function() -> None:
    functions = [failing().function(f"amount + {number}") for number in range(100)]
    made = {function.__code__.co_filename for function in functions}
    assert len(made) == 100
    assert made <= sources()
    functions.clear()
    gc.collect()
    assert made <= sources()  # which the standard library may be going through right now
    another = failing().function("amount - 1")
    assert not made & sources()
    assert another.__code__.co_filename in sources()


def test_the_same_text_with_the_same_constants_is_one_function_and_with_others_another_one() -> None:
    def containing(values: list[int]) -> Any:
        writer = FunctionWriter("containing", "value")
        return writer.function(f"value in {writer.constant(values)}")

    ones, also_ones, twos = [1], [1], [2]
    functions = [containing(values) for values in (ones, ones, also_ones, twos)]

    assert [function(1) for function in functions] == [True, True, True, False]
    assert [function is functions[0] for function in functions] == [True, True, False, False]


def test_a_function_that_is_gone_does_not_come_back_with_a_constant_in_the_place_of_its_own() -> None:
    for number in range(200):  # of which many lists have the same place
        writer = FunctionWriter("held", "value")
        function = writer.function(f"value in {writer.constant([number])}")
        assert function(number)
        assert not function(number + 1)
        del writer, function
        if number % 20 == 0:
            gc.collect()


def test_constants_of_one_name_are_kept_apart() -> None:
    writer = FunctionWriter("both")
    first, second, again = (writer.constant(value, "check") for value in (min, max, min))
    assert (first, second, again) == ("check", "check_2", "check")
    assert writer.function(f"{first}(1, 2), {second}(1, 2)")() == (1, 2)


def test_a_constant_hides_neither_an_argument_nor_a_builtin_nor_the_function() -> None:
    writer = FunctionWriter("both", "count", "most=None")
    names = [writer.constant(value, name) for value, name in ((1, "count"), (2, "most"), (3, "len"), (4, "both"))]
    assert names == ["count_2", "most_2", "len_2", "both_2"]
    assert writer.function(f"count, most, len('abc'), {', '.join(names)}, {writer.call(len, 'count')}")("ab") == (
        *("ab", None, 3, 1, 2, 3, 4, 2),
    )


@pytest.mark.parametrize("name", ["v1", "e", "c0"])
def test_a_constant_cannot_take_a_variables_name(name: str) -> None:
    with pytest.raises(ValueError, match="variable's name"):
        FunctionWriter("any").constant(1, name)


@pytest.mark.parametrize("name", ["a b", "a):\n    pass\ndef b(", "", "class", "1a", "a.b"])
def test_what_is_not_a_name_cannot_name_anything(name: str) -> None:
    with pytest.raises(ValueError, match="not a Python name"):
        FunctionWriter(name)
    with pytest.raises(ValueError, match="not a Python name"):
        FunctionWriter("any", name)
    if name:
        with pytest.raises(ValueError, match="not a Python name"):
            FunctionWriter("any").constant(1, name)


class Loud(str):
    def __repr__(self) -> str:
        return "exit()"


@settings(deadline=None)
@given(st.one_of(st.text(), st.text().map(Loud), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False,
       allow_infinity=False), st.lists(st.text() | st.text().map(Loud), max_size=3).map(tuple)))  # fmt: skip
def test_a_literal_reads_back_as_its_value_and_as_nothing_else(value: Any) -> None:
    written = literal(value)
    assert "\n" not in written
    assert ast.literal_eval(written) == value
    assert FunctionWriter("same").function(written)() == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [], {}, object(), b"x", ("a", [])])
def test_what_has_no_literal_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be written as a literal"):
        literal(value)
