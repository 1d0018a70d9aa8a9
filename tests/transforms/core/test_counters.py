"""Counters by name, which are flushed whole and never twice, and what their names say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.core.counters import CounterKey, Counters, NoteNames, add_counts


def test_counters_flush_what_was_counted_to_every_sink() -> None:
    counters = Counters()
    one: list[dict[str, int]] = []
    two: list[dict[str, int]] = []

    counters["read"] += 1
    counters["read"] += 1
    counters["delivered:web/orders"] += 500
    counters.flush(lambda counts: one.append(dict(counts)), lambda counts: two.append(dict(counts)))

    assert one == two == [{"read": 2, "delivered:web/orders": 500}]


def test_a_flush_hands_over_only_what_came_since_the_last() -> None:
    counters = Counters()
    flushed: list[dict[str, int]] = []

    counters["read"] += 3
    counters.flush(lambda counts: flushed.append(dict(counts)))
    counters["filtered"] += 1
    counters.flush(lambda counts: flushed.append(dict(counts)))

    assert flushed == [{"read": 3}, {"filtered": 1}]


def test_empty_counters_reach_no_sink() -> None:
    counters = Counters()
    flushed: list[dict[str, int]] = []

    counters.flush(lambda counts: flushed.append(dict(counts)))
    counters["read"] += 1
    counters.flush(lambda counts: flushed.append(dict(counts)))
    counters.flush(lambda counts: flushed.append(dict(counts)))

    assert flushed == [{"read": 1}]


def test_what_a_sink_was_given_does_not_change_under_it() -> None:
    counters = Counters()
    kept: list[object] = []

    counters["read"] += 1
    counters.flush(kept.append)
    counters["read"] += 99

    assert kept == [{"read": 1}]


@given(st.lists(st.dictionaries(st.sampled_from(["read", "first_event_time:w", "last_event_time:w"]), st.integers())))
def test_counts_are_added_up_and_times_are_the_first_and_the_last(found: list[dict[str, int]]) -> None:
    totals: dict[str, int] = {}
    for counts in found:
        add_counts(totals, counts)
    values = {name: [counts[name] for counts in found if name in counts] for name in totals}
    merged = {"read": sum, "first_event_time:w": min, "last_event_time:w": max}
    assert totals == {name: merged[name](each) for name, each in values.items()}


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("read", CounterKey("read")),
        ("unparsable", CounterKey("unparsable")),
        ("filtered", CounterKey("filtered")),
        ("taken", CounterKey("taken")),
        ("matched:web/orders", CounterKey("matched", "web/orders")),
        ("delivered:stores/events: a:b", CounterKey("delivered", "stores/events: a:b")),
        ("repeated:web/orders", CounterKey("repeated", "web/orders")),
        ("rejected::parse:invalid_json", CounterKey("rejected", "", "parse", "invalid_json")),
        ("rejected:s/events: a:b:map:too_old", CounterKey("rejected", "s/events: a:b", "map", "too_old")),
        ("note::replaced_characters", CounterKey("note", detail="replaced_characters")),
        ("note:s/events: a:b:dropped_ph", CounterKey("note", "s/events: a:b", detail="dropped_ph")),
        ("unfinished:a.gz is incomplete: cut.", CounterKey("unfinished", detail="a.gz is incomplete: cut.")),
        ("no_event:It has no type: x.", CounterKey("no_event", detail="It has no type: x.")),
        ("cause:s/a: b:map:invalid_field:value", CounterKey("cause", "s/a: b", "map", "invalid_field", "value")),
        ("cause:s/a:send:x:4 5%25%3A 6", CounterKey("cause", "s/a", "send", "x", "4 5%: 6")),
        ("requests:a b", CounterKey("requests", destination="a b")),
        ("refused:a b:Dataset 1%3A no.", CounterKey("refused", about="Dataset 1: no.", destination="a b")),
        ("throttled", CounterKey("throttled")),
        ("first_event_time:web", CounterKey("first_event_time", destination="web")),
    ],
)
def test_a_counters_name_says_what_it_counts(name: str, key: CounterKey) -> None:
    assert (key.encode(), CounterKey.decode(name)) == (name, key)


@pytest.mark.parametrize(
    "name", ["", "cumulativeThrottlingSeconds", "read:web/orders", "matched", "rejected:map:x", "note:x"]
)
def test_other_counters_have_no_key(name: str) -> None:
    assert CounterKey.decode(name) is None


_WORD = st.text().filter(lambda text: ":" not in text)


@given(st.text(), _WORD, _WORD)
def test_whatever_a_subscription_is_called_its_counters_are_decoded_as_they_were_encoded(
    subscription: str, stage: str, word: str
) -> None:
    for key in (
        CounterKey("matched", subscription),
        CounterKey("rejected", subscription, stage, word),
        CounterKey("note", subscription, detail=word),
        CounterKey("unfinished", detail=subscription),
        CounterKey("cause", subscription, stage, word, subscription),
        CounterKey("cure", about=subscription, destination=word),
    ):
        assert CounterKey.decode(key.encode()) == key


def test_the_name_of_a_note_is_encoded_once() -> None:
    names = NoteNames("web/orders")
    assert names["dropped_ph"] == "note:web/orders:dropped_ph"
    assert names["dropped_ph"] is names["dropped_ph"]
