"""Triggers: each operator each way, the usual precedence, and errors that say what is wrong and where."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.transforms.language.dispatch import compile_triggers
from capybeam.transforms.language.triggers import TriggerError, compile_glob, compile_trigger, quoted
from tests import adversary
from tests.adversary import check_time

MISSING = object()


def event_with(value: Any) -> dict[str, Any]:
    return {"type": "track", "properties": {} if value is MISSING else {"v": value}}


# --- each operator ----------------------------------------------------------------------------------------------

CONDITIONS: list[tuple[str, Any, bool]] = [
    # text is compared strictly
    ('properties.v = "5"', "5", True),
    ('properties.v = "5"', 5, False),
    ('properties.v = "5"', MISSING, False),
    ('properties.v = "Order"', "order", False),
    ('properties.v = ""', "", True),
    ('properties.v = ""', MISSING, False),
    ('properties.v != "5"', "5", False),
    ('properties.v != "5"', 5, True),
    ('properties.v != "5"', "6", True),
    ('properties.v != "5"', None, True),
    ('properties.v != "5"', MISSING, True),
    # numbers need a number
    ("properties.v = 5", 5, True),
    ("properties.v = 5", 5.0, True),
    ("properties.v = 5.5", 5.5, True),
    ("properties.v = -5", -5, True),
    ("properties.v = 5", "5", False),
    ("properties.v = 1", True, False),
    ("properties.v = 0", False, False),
    ("properties.v = 5", MISSING, False),
    ("properties.v != 5", 6, True),
    ("properties.v != 5", 5, False),
    ("properties.v != 5", "6", False),
    # booleans
    ("properties.v = true", True, True),
    ("properties.v = true", "true", False),
    ("properties.v = true", 1, False),
    ("properties.v = false", False, True),
    ("properties.v = false", 0, False),
    ("properties.v = false", MISSING, False),
    ("properties.v != true", False, True),
    ("properties.v != true", True, False),
    # existence
    ("properties.v = null", None, True),
    ("properties.v = null", MISSING, True),
    ("properties.v = null", "", False),
    ("properties.v = null", 0, False),
    ("properties.v != null", None, False),
    ("properties.v != null", MISSING, False),
    ("properties.v != null", "", True),
    ("properties.v != null", False, True),
    # order, of numbers only
    ("properties.v < 10", 9.5, True),
    ("properties.v < 10", 10, False),
    ("properties.v < 10", "9", False),
    ("properties.v < 10", MISSING, False),
    ("properties.v < 10", None, False),
    ("properties.v < 10", True, False),
    ("properties.v <= 10", 10, True),
    ("properties.v <= 10", 10.5, False),
    ("properties.v <= 10", "10", False),
    ("properties.v > 10", 11, True),
    ("properties.v > 10", 10, False),
    ("properties.v > 10", "11", False),
    ("properties.v > -1", 0, True),
    ("properties.v >= 10", 10, True),
    ("properties.v >= 10", 9.99, False),
    ("properties.v >= 10", [11], False),
    # parts of text
    ('contains(properties.v, "ber")', "September", True),
    ('contains(properties.v, "BER")', "September", False),
    ('contains(properties.v, "5")', 555, False),
    ('contains(properties.v, "a")', ["a"], False),
    ('contains(properties.v, "a")', MISSING, False),
    ('match(properties.v, "Sep*")', "September", True),
    ('match(properties.v, "sep*")', "September", False),
    ('match(properties.v, "Sep*")', "In September", False),
    ('match(properties.v, "*ber")', "September", True),
    ('match(properties.v, "*ber")', "September 1", False),
    ('match(properties.v, "*tem*")', "September", True),
    ('match(properties.v, "*tem*")', "October", False),
    ('match(properties.v, "September")', "September", True),
    ('match(properties.v, "ember")', "September", False),
    ('match(properties.v, "*")', "two\nlines", True),
    ('match(properties.v, "a.c*")', "abc", False),
    ('match(properties.v, "a.c*")', "a.cd", True),
    ('match(properties.v, "5*")', 55, False),
    ('match(properties.v, "a**b?c*")', "aXYb-c", True),
    ('match(properties.v, "*a*b*a")', "aba", True),
    ('match(properties.v, "*ab*ab")', "aab", False),
    ('match(properties.v, "")', "", True),
    ("match(properties.v, '[a-c](d)\\+')", "[a-c](d)+", True),
    ('match(properties.v, "*")', MISSING, False),
    # lists
    ('properties.v in ("a", "b")', "b", True),
    ('properties.v in ("a", "b")', "c", False),
    ('properties.v in ("a", "b")', MISSING, False),
    ('properties.v in ["a", "b"]', "a", True),
    ('properties.v in ("5")', 5, False),
    ("properties.v in (4, 5)", 5, True),
    ("properties.v in (4, 5)", "5", False),
    ('properties.v in (4, "a", true, null)', 4.0, True),
    ('properties.v in (4, "a", true, null)', "a", True),
    ('properties.v in (4, "a", true, null)', True, True),
    ('properties.v in (4, "a", true, null)', None, True),
    ('properties.v in (4, "a", true, null)', MISSING, True),
    ('properties.v in (4, "a", true, null)', False, False),
    ("properties.v in (1, 0)", True, False),
    ("properties.v in (true, false)", 1, False),
    ('properties.v in ("a")', ["a"], False),
    ("properties.v in (4, 5)", {"a": 4}, False),
    # functions
    ("length(properties.v) = 3", "abc", True),
    ("length(properties.v) = 3", "abcd", False),
    ("length(properties.v) > 1", ["a", "b"], True),
    ("length(properties.v) >= 0", MISSING, False),
    ("length(properties.v) >= 0", 5, False),
    ('lowercase(properties.v) = "order"', "OrDer", True),
    ('lowercase(properties.v) = "Order"', "Order", False),
    ('lowercase(properties.v) = "5"', 5, False),
    ('contains(lowercase(properties.v), "order")', "My ORDER", True),
    ('match(lowercase(properties.v), "my*")', "My ORDER", True),
    ('typeof(properties.v) = "string"', "x", True),
    ('typeof(properties.v) = "string"', 5, False),
    ('typeof(properties.v) = "number"', 5, True),
    ('typeof(properties.v) = "number"', 5.5, True),
    ('typeof(properties.v) = "number"', True, False),
    ('typeof(properties.v) = "boolean"', True, True),
    ('typeof(properties.v) = "array"', [], True),
    ('typeof(properties.v) = "object"', {}, True),
    ('typeof(properties.v) = "object"', [], False),
    # negation
    ('!contains(properties.v, "a")', "b", True),
    ('!contains(properties.v, "a")', "a", False),
    ('!contains(properties.v, "a")', MISSING, True),
    ('not match(properties.v, "a*")', "b", True),
    ('not match(properties.v, "a*")', "ab", False),
    ('not properties.v = "a"', "b", True),
    ("!(properties.v > 5)", 6, False),
    ("!(properties.v > 5)", "6", True),
    ('not not properties.v = "a"', "a", True),
    ('not properties.v in ("a", "b")', "c", True),
    # everything
    ("all", MISSING, True),
]


@pytest.mark.parametrize(
    ("trigger", "value", "taken"),
    [
        pytest.param(trigger, value, taken, id=f"{trigger} | {'missing' if value is MISSING else repr(value)}")
        for trigger, value, taken in CONDITIONS
    ],
)
def test_a_condition_holds_or_not(trigger: str, value: Any, taken: bool) -> None:
    assert compile_trigger(trigger)(event_with(value)) is taken


EVERY_FIELD = {
    "type": "track",
    "event": "Order Completed",
    "name": "Home",
    "userId": "u1",
    "anonymousId": "a1",
    "messageId": "m1",
    "properties": {"total": 5, "products": [{"id": "p1"}, {"id": "p2"}], "two words": "x"},
    "traits": {"plan": {"name": "pro"}},
    "context": {"page": {"path": "/"}},
    "integrations": {"All": True},
}


@pytest.mark.parametrize(
    "trigger",
    [
        'type = "track"',
        'event = "Order Completed"',
        'name = "Home"',
        'userId = "u1"',
        'anonymousId = "a1"',
        'messageId = "m1"',
        "properties.total = 5",
        'properties.products[1].id = "p2"',
        'properties.products.1.id = "p2"',
        'properties["two words"] = "x"',
        'traits.plan.name = "pro"',
        'context.page.path = "/"',
        "integrations.All = true",
    ],
)
def test_every_field_can_be_named(trigger: str) -> None:
    takes = compile_trigger(trigger)
    assert (takes(EVERY_FIELD), takes({})) == (True, False)


@pytest.mark.parametrize(
    "between", [{"properties": None}, {"properties": "x"}, {"properties": {"a": 5}}, {"properties": []}]
)
def test_a_path_through_something_else_finds_nothing(between: dict[str, Any]) -> None:
    assert compile_trigger('properties.a.b = "x"')(between) is False
    assert compile_trigger("properties.a.b = null")(between) is True


def test_text_may_hold_quotes_operators_and_python() -> None:
    takes = compile_trigger(r'event = "say \"hi\" and type = 5" or event = "__import__(\"os\")"')
    assert takes({"event": 'say "hi" and type = 5'}) is True
    assert takes({"event": '__import__("os")'}) is True
    assert takes({"event": "hi"}) is False


def test_a_trigger_may_run_over_several_lines() -> None:
    takes = compile_trigger('\n  type = "track"\n  and (event = "A"\n       or event = "B")\n')
    assert takes({"type": "track", "event": "B"}) is True
    assert takes({"type": "page", "event": "B"}) is False


# --- precedence -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "a", "b", "c", "taken"),
    [
        ("{a} or {b} and {c}", True, False, False, True),
        ("{a} or {b} and {c}", False, True, False, False),
        ("{a} and {b} or {c}", False, False, True, True),
        ("{a} and {b} or {c}", True, False, False, False),
        ("({a} or {b}) and {c}", True, False, False, False),
        ("{a} and ({b} or {c})", False, True, True, False),
        ("not {a} and {b}", False, False, False, False),
        ("not {a} and {b}", False, True, False, True),
        ("not ({a} and {b})", False, False, False, True),
        ("not {a} or {b}", False, False, False, True),
        ("!{a} or {b}", True, True, False, True),
        ("(({a} or ({b} and {c})))", False, True, True, True),
    ],
)
def test_not_binds_tighter_than_and_and_and_tighter_than_or(
    trigger: str, a: bool, b: bool, c: bool, taken: bool
) -> None:
    text = trigger.format(a="properties.a = true", b="properties.b = true", c="properties.c = true")
    assert compile_trigger(text)({"properties": {"a": a, "b": b, "c": c}}) is taken


# A tree is (operator, …): the same trigger, as the generator built it.
_FIELDS = ["event", "type", "properties.a", "properties.b", "context.c"]
_TEXTS = ["x", "xy", "yx", "5", "", "Order Completed"]
_NUMBERS = [0, 1, 5, -2, 2.5]
_VALUES = [MISSING, None, True, False, *_TEXTS, *_NUMBERS, [], ["x"], {}, {"x": 1}]

_field = st.sampled_from(_FIELDS)
_condition = st.one_of(
    st.tuples(st.sampled_from(["=", "!="]), _field, st.sampled_from([*_TEXTS, *_NUMBERS, True, False, None])),
    st.tuples(st.sampled_from(["<", "<=", ">", ">="]), _field, st.sampled_from(_NUMBERS)),
    st.tuples(st.just("contains"), _field, st.sampled_from(["x", "y", ""])),
    st.tuples(st.just("match"), _field, st.sampled_from(["x*", "*x", "*x*", "x", "*"])),
    st.tuples(st.just("in"), _field, st.lists(st.sampled_from([*_TEXTS, *_NUMBERS]), min_size=1, max_size=3)),
)
_tree = st.recursive(
    _condition,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=5,
)
_events = st.fixed_dictionaries({name: st.sampled_from(_VALUES) for name in _FIELDS})
_TIGHTNESS = {"or": 0, "and": 1, "not": 2}


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return "null" if value is None else str(value).lower()


def _written(tree: Any, around: int = 0) -> str:
    """The trigger's text, with parentheses only where precedence asks for them."""
    kind = tree[0]
    if kind == "not":
        return f"not {_written(tree[1], _TIGHTNESS['not'])}"
    if kind in ("and", "or"):
        # A part that is of the same kind stands without parentheses: a and b and c.
        text = f" {kind} ".join(_written(part, _TIGHTNESS[kind]) for part in tree[1])
        return f"({text})" if _TIGHTNESS[kind] < around else text
    _, field, value = tree
    if kind in ("contains", "match"):
        return f'{kind}({field}, "{value}")'
    if kind == "in":
        return f"{field} in ({', '.join(map(_literal, value))})"
    return f"{field} {kind} {_literal(value)}"


def _holds(tree: Any, event: dict[str, Any]) -> bool:
    """The same tree, interpreted as facts about a condition say, one line each."""
    kind = tree[0]
    if kind == "not":
        return not _holds(tree[1], event)
    if kind == "and":
        return all(_holds(part, event) for part in tree[1])
    if kind == "or":
        return any(_holds(part, event) for part in tree[1])
    _, field, wanted = tree
    found: Any = event
    for key in field.split("."):
        found = found.get(key)
    if kind == "in":
        return any(_holds(("=", field, item), event) for item in wanted)
    if kind in ("contains", "match"):
        if not isinstance(found, str):
            return False
        if kind == "contains":
            return wanted in found
        return {
            "x*": found.startswith("x"),
            "*x": found.endswith("x"),
            "*x*": "x" in found,
            "x": found == "x",
            "*": True,
        }[wanted]
    if wanted is None:
        return (found is None) == (kind == "=")
    if isinstance(wanted, bool):
        return (isinstance(found, bool) and found == wanted) == (kind == "=")
    if isinstance(wanted, str):
        return (isinstance(found, str) and found == wanted) == (kind == "=")
    if not _number(found):
        return False
    return {
        "=": found == wanted,
        "!=": found != wanted,
        "<": found < wanted,
        "<=": found <= wanted,
        ">": found > wanted,
        ">=": found >= wanted,
    }[kind]


@settings(max_examples=300, deadline=None)
@given(_tree, st.lists(_events, min_size=1, max_size=3))
def test_a_trigger_means_what_its_parts_mean(tree: Any, flat: list[dict[str, Any]]) -> None:
    takes = compile_trigger(_written(tree))
    for values in flat:
        event: dict[str, Any] = {"properties": {}, "context": {}}
        for name, value in values.items():
            group, _, key = name.rpartition(".")
            if value is not MISSING:
                (event[group] if group else event)[key] = value
        assert bool(takes(event)) is _holds(tree, event), _written(tree)


# --- what cannot be used ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "offset", "says"),
    [
        pytest.param("", 0, "ends too early", id="nothing"),
        pytest.param('type = "track" and', 18, "ends too early", id="nothing after and"),
        pytest.param('type = "track" or  ', 17, "ends too early", id="nothing after or"),
        pytest.param('(type = "track"', 15, "ends too early", id="an open parenthesis"),
        pytest.param('type == "track"', 6, "single =", id="two equals signs"),
        pytest.param("type = track", 7, "double quotes", id="text without quotes"),
        pytest.param('type = "track" && event = "A"', 15, "use `and`", id="&&"),
        pytest.param('type = "track" || event = "A"', 15, "use `or`", id="||"),
        pytest.param("type = “track”", 7, "straight quotes", id="curly quotes"),
        pytest.param('type "track"', 5, "field = value", id="no operator"),
        pytest.param('type = "track")', 14, "unexpected ')'", id="a parenthesis too many"),
        pytest.param('type = "track" event = "A"', 15, "unexpected 'event'", id="no and between"),
        pytest.param("properies.total = 5", 0, "did you mean properties.total?", id="a misspelt group"),
        pytest.param('type = "track" and evnt = "A"', 19, "did you mean event?", id="a misspelt field"),
        pytest.param('type = "track" or (not revenue > 5)', 23, "unknown field revenue", id="a property without group"),
        pytest.param('event.name = "A"', 0, "unknown field event.name", id="a path into a plain field"),
        pytest.param("contains(event, 5)", 16, "double quotes", id="contains a number"),
        pytest.param("event in ()", 10, "unexpected ')'", id="an empty list"),
        pytest.param("properties.a > 1e999", 15, "the number is too large", id="a number beyond all"),
        pytest.param(
            f"properties.a in [1, -{'9' * 6000}]", 20, "the number is too large", id="a number of 6,000 digits"
        ),
        pytest.param("not " * 100 + "all", 320, "nested too deeply", id="100 times not"),
        pytest.param("lowercase(" * 100 + "event" + ")" * 100 + ' = "a"', 800, "nested too deeply", id="100 functions"),
    ],
)
def test_a_trigger_that_cannot_be_used_says_what_and_where(trigger: str, offset: int, says: str) -> None:
    with pytest.raises(TriggerError) as raised:
        compile_trigger(trigger)
    assert raised.value.offset == offset
    assert says in str(raised.value)


_WORDS = [
    "type",
    "properties.a",
    "=",
    "!=",
    "<",
    "and",
    "or",
    "not",
    "!",
    "(",
    ")",
    '"x"',
    "5",
    "null",
    "in",
    ",",
    "[",
    "]",
]
_WORDS += ["contains(", "match(", "length(", "all", "é", "\\", '"', "."]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.lists(st.sampled_from(_WORDS), max_size=10).map(" ".join))
def test_any_text_is_a_trigger_or_a_trigger_error(text: str) -> None:
    offset = 0
    try:
        compile_trigger(text)({"type": "x"})
    except TriggerError as error:
        offset = error.offset
    assert 0 <= offset <= len(text)


@pytest.mark.parametrize(
    ("trigger", "taken"),
    [
        pytest.param("(" * 25 + 'type = "x"' + ")" * 25, True, id="25 parentheses"),
        pytest.param("not " * 25 + 'type = "x"', False, id="25 times not"),
        pytest.param("not " * 79 + 'type = "x"', False, id="79 times not"),
        pytest.param(" or ".join(['type = "y"'] * 2000 + ['type = "x"']), True, id="2001 alternatives"),
        pytest.param(f"type in [{', '.join(map(repr, range(20_000)))}, 'x']", True, id="a list of 20,001"),
    ],
)
def test_a_long_or_nested_trigger_is_compiled(trigger: str, taken: bool) -> None:
    assert compile_trigger(trigger)({"type": "x"}) is taken


def test_a_trigger_nested_without_end_is_an_error_and_no_crash() -> None:
    with pytest.raises(TriggerError):
        compile_trigger("(" * 5000 + 'type = "x"' + ")" * 5000)


_globs = st.text("ab*?\n", max_size=12)


@settings(max_examples=300, deadline=None)
@given(_globs, st.text("ab\n", max_size=12))
def test_a_glob_takes_the_texts_that_a_table_of_all_beginnings_says(glob: str, text: str) -> None:
    fits = [True, *[False] * len(text)]  # whether the glob so far takes the text's first n characters
    for character in glob:
        if character == "*":
            fits = list(itertools.accumulate(fits, lambda before, now: before or now))
        else:
            fits = [False, *(fits[n] and character in ("?", text[n]) for n in range(len(text)))]
    assert compile_glob(glob)(text) is fits[-1]


@pytest.mark.parametrize("glob", ["*a*a*a*b", "*a?a*?b", "a*a*a*a*a*a*a*ab", "**a**a**a**b**c"])
def test_a_glob_takes_what_the_text_is_long(glob: str) -> None:
    check_time(glob, lambda n: "a" * n, compile_glob(glob))


def test_any_text_as_a_trigger_takes_what_it_is_long() -> None:
    def compiled(text: str) -> None:
        with contextlib.suppress(TriggerError):
            compile_trigger(text)

    compiled("all")
    for name, make in itertools.islice(adversary.texts(), 0, None, 4):
        for frame in (
            "{}",
            'event = "{}"',
            "properties.{} = 1",
            'properties["{}"] = 1',
            "event in [{}]",
            "(all) {} all",
        ):
            check_time(f"{frame} of {name}", lambda n, m=make, f=frame: f.replace("{}", m(n // 2)), compiled, slack=200)


# --- names as literals ------------------------------------------------------------------------------------------


@given(st.text(), st.text())
def test_a_quoted_text_is_that_text_and_no_other(text: str, other: str) -> None:
    takes = compile_trigger(f"type = 'track' and event = {quoted(text)}")

    assert takes({"type": "track", "event": text})
    assert takes({"type": "track", "event": other}) is (other == text)


@settings(deadline=None)
@given(
    st.text(min_size=1),
    st.sampled_from(["", '"', "'", '"]', "\\", "\n", "{0}", '")\nraise SystemExit', "') or exit('"]),
)
def test_no_key_of_a_subscription_or_a_field_breaks_out_of_the_written_function(text: str, odd: str) -> None:
    key = text.replace('"', "") + odd
    field = key.replace('"', "") or "x"
    matching = compile_triggers([(key, f'properties["{field}"] = {quoted(odd)}'), ("all", "all")])
    assert matching({"properties": {field: odd}}) == [key, "all"]
    assert matching({"properties": {}}) == ["all"]


@pytest.mark.parametrize("digits", ["1" * 19, "1" * 5000])
def test_an_index_of_thousands_of_digits_is_no_item(digits: str) -> None:
    takes = compile_trigger(f"properties.products[{digits}] = 1 or properties.products.{digits} = 1")
    assert takes({"properties": {"products": [1]}}) is False
