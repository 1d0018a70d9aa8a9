"""Dispatch: many triggers in one function take what each of them takes alone, and cost little more than a few."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.transforms.language.dispatch import compile_triggers, wanted_texts
from capybeam.transforms.language.triggers import TriggerError, compile_trigger, parse_trigger
from tests.timing import least_seconds


class Text(str):
    """A text that is not exactly of type str, as rows of other people's pipelines may have it."""


# --- the law: as each trigger alone -----------------------------------------------------------------------------

_texts = st.sampled_from(["A", "B", "C", "track", "page", ""])
_fields = st.sampled_from(["type", "event", "name", r"ev\ent"])
_conditions = st.one_of(
    st.builds('{} = "{}"'.format, _fields, _texts),
    st.builds('{} != "{}"'.format, _fields, _texts),
    st.builds("{} in [{}]".format, _fields, st.lists(_texts.map('"{}"'.format), min_size=1, max_size=3).map(", ".join)),
    st.sampled_from(
        [
            "all",
            "event = null",
            "event != null",
            "event = 5",
            "name in ['A', 5, null]",
            "event in [true, 'B']",
            'lowercase(event) = "a"',
            'contains(event, "A")',
            "length(name) > 0",
            'typeof(event) = "string"',
            'typeof(properties.v) = "object"',
            'properties.event = "A"',
            'userId = "A"',
        ]
    ),
)
_triggers = st.recursive(
    _conditions,
    lambda part: st.one_of(
        st.lists(part, min_size=2, max_size=3).map(lambda parts: f"({' and '.join(parts)})"),
        st.lists(part, min_size=2, max_size=3).map(lambda parts: f"({' or '.join(parts)})"),
        part.map("(not {})".format),
    ),
    max_leaves=5,
)
_values = st.one_of(
    _texts,
    _texts.map(Text),
    st.sampled_from([None, 5, 5.0, True, False, ["A"], {"A": "B"}, b"A", dt.date(2026, 1, 1), float("nan")]),
)
_event = st.dictionaries(
    st.sampled_from(["type", "event", "name", "userId"]), _values, max_size=4
) | st.fixed_dictionaries(
    {"type": _texts, "event": _texts},
    optional={"name": _values, "properties": st.fixed_dictionaries({}, optional={"v": _values, "event": _values})},
)


def _each_alone(triggers: list[str], event: dict[str, Any]) -> list[str] | type[Exception]:
    try:
        return [f"key {number}" for number, text in enumerate(triggers) if compile_trigger(text)(event)]
    except Exception as error:
        return type(error)


@settings(max_examples=200, deadline=None)
@given(st.lists(_triggers, max_size=8), st.lists(_event, min_size=1, max_size=5), st.sampled_from([0, 3, 16]))
def test_many_triggers_take_what_each_of_them_takes_and_fail_where_one_fails(
    triggers: list[str], events: list[dict[str, Any]], few: int
) -> None:
    matching = compile_triggers(((f"key {number}", text) for number, text in enumerate(triggers)), few)
    for event in events:
        try:
            found: Any = matching(event)
        except Exception as error:
            found = type(error)
        assert found == _each_alone(triggers, event), (triggers, event)


@pytest.mark.parametrize(
    ("trigger", "wanted"),
    [
        ('event = "A"', {"event": {"A"}}),
        ('type = "track" and event = "A"', {"type": {"track"}, "event": {"A"}}),
        ('type = "track" and (event = "A" or event = "B")', {"type": {"track"}, "event": {"A", "B"}}),
        ('event in ["A", "B"] and event in ["B", "C"]', {"event": {"B"}}),
        ('event = "A" and event = "B"', {"event": set()}),
        (
            '(type = "page" and name = "A") or (type = "screen" and name = "A")',
            {"type": {"page", "screen"}, "name": {"A"}},
        ),
        ('(type = "page" and name = "A") or type = "track"', {"type": {"page", "track"}}),
        ('properties.total > 5 and event = "A"', {"event": {"A"}}),
        (r'ev\ent = "A"', {"event": {"A"}}),
        ('event = "A" and typeof(properties.a) = "string"', {"event": {"A"}}),
        # a part in front may raise for an event that is not of JSON, and then has to
        ('typeof(properties.a) = "string" and event = "A"', {}),
        ('event = "A" or properties.total > 5', {}),
        ('event in ["A", null]', {}),
        ('event in ["A", 5]', {}),
        ("event = null", {}),
        ('event != "A"', {}),
        ('not event = "A"', {}),
        ('lowercase(event) = "a"', {}),
        ('contains(event, "A")', {}),
        ('properties.event = "A"', {}),
        ('userId = "A"', {}),
        ("all", {}),
    ],
)
def test_a_trigger_names_the_texts_without_which_it_takes_no_event(trigger: str, wanted: Any) -> None:
    assert wanted_texts(parse_trigger(trigger)) == wanted


HOSTILE = {"type": "track", "properties": {"v": dt.date(2026, 1, 1)}}  # of which no JSON is made


@pytest.mark.parametrize(
    ("trigger", "event", "outcome"),
    [
        ('event = "A"', {"event": Text("A")}, True),
        ('event in ["A", "B"]', {"event": Text("A")}, False),
        ('event = "A"', {"event": ["A"]}, False),
        ('event = "A"', {"event": {"A": 1}}, False),
        ('event = "A"', {"event": 5}, False),
        ('event = "A"', {"event": None}, False),
        ('event = "A"', {}, False),
        ('typeof(properties.v) = "string" and event = "A"', {**HOSTILE, "event": "B"}, KeyError),
        ('event = "A" and typeof(properties.v) = "string"', {**HOSTILE, "event": "B"}, False),
        ('event = "A" and typeof(properties.v) = "string"', {**HOSTILE, "event": "A"}, KeyError),
    ],
)
def test_what_is_no_text_or_not_of_json_is_taken_as_by_the_trigger_alone(
    trigger: str, event: dict[str, Any], outcome: Any
) -> None:
    assert _each_alone([trigger], event) == ([] if outcome is False else ["key 0"] if outcome is True else outcome)
    matching = compile_triggers([("key 0", trigger)], few=0)
    if isinstance(outcome, bool):
        assert matching(event) == ["key 0"] * outcome
    else:
        with pytest.raises(outcome):
            matching(event)


# --- order, errors, threads -------------------------------------------------------------------------------------


def test_keys_come_in_the_order_given_wherever_their_triggers_are_looked_up() -> None:
    triggers = [
        ("d", "all"),
        ("c", 'name = "N"'),
        ("b", 'event = "A"'),
        ("a", 'type = "track"'),
        ("e", 'event = "A"'),
        ("f", "all"),
    ]
    assert compile_triggers(triggers, few=0)({"type": "track", "event": "A", "name": "N"}) == list("dcbaef")
    assert compile_triggers(triggers, few=0)({"type": "track", "event": "A"}) == list("dbaef")
    assert compile_triggers(triggers, few=0)({"type": "page"}) == ["d", "f"]


def test_a_trigger_that_cannot_be_used_is_an_error_before_any_event() -> None:
    triggers = [(f"key {number}", f'event = "{number}"') for number in range(100)]
    with pytest.raises(TriggerError, match="unknown field evnt"):
        compile_triggers([*triggers, ("wrong", 'event = "A" and evnt = "A"')])


def test_threads_that_bring_the_first_events_of_the_same_names_find_the_same() -> None:
    names = [f"Event {number}" for number in range(50)]
    matching = compile_triggers([(name, f'type = "track" and event in ["{name}", "All"]') for name in names])
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        found.append([matching({"type": "track", "event": name}) for name in [*names, "All", "None"]])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[*([name] for name in names), names, []]] * 8


# --- cost -------------------------------------------------------------------------------------------------------


class Compared:
    """A value that counts how often it is compared."""

    times = 0

    def __ne__(self, other: object) -> bool:
        self.times += 1
        return True


def _evaluations(count: int, destinations: int = 1) -> int:
    """How many triggers are evaluated for an event that one of them takes, for each destination."""
    matching = compile_triggers(
        (f"{number}/{destination}", f'properties.a != "{number}" and event = "Event {number}"')
        for destination in range(destinations)
        for number in range(count)
    )
    value = Compared()
    assert matching({"type": "track", "event": "Event 3", "properties": {"a": value}}) == [
        f"3/{destination}" for destination in range(destinations)
    ]
    return value.times


@pytest.mark.parametrize(("count", "destinations", "evaluations"), [(6, 1, 6), (200, 1, 1), (6, 50, 6), (20, 50, 1)])
def test_an_event_is_shown_to_the_triggers_that_want_its_name_and_once_to_each_text(
    count: int, destinations: int, evaluations: int
) -> None:
    assert _evaluations(count, destinations) == evaluations


@pytest.mark.alone
def test_one_in_200_triggers_is_found_in_about_the_time_of_one_in_six() -> None:
    event = {"type": "track", "event": "Event 3", "properties": {}}

    def matching(count: int) -> float:
        takes = compile_triggers((str(n), f'type = "track" and event = "Event {n}"') for n in range(count))
        assert takes(event) == ["3"]
        return least_seconds(lambda: [takes(event) for _ in range(3000)])

    six, many = matching(6), matching(200)
    assert many < 6 * six, f"{many / six:.1f}"  # each trigger for every event: about 13


@pytest.mark.alone
def test_lists_of_names_do_not_multiply() -> None:
    names = ", ".join(f'"Event {number}"' for number in range(500))

    def compiling() -> None:
        matching = compile_triggers((str(n), f"properties.a = {n} and event in [{names}]") for n in range(50))
        for number in range(500):
            assert matching({"event": f"Event {number}", "properties": {"a": 7}}) == ["7"]

    assert least_seconds(compiling, 1) < 10  # of which nearly all is parsing
