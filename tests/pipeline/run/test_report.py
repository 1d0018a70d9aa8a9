"""The books."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from capybeam.pipeline.run.report import Account, RunReport

COUNTS = {
    "read": 10,
    "taken": 7,
    "filtered": 1,
    "unparsable": 2,
    "matched:web/orders": 5,
    "delivered:web/orders": 3,
    "rejected:web/orders:map:missing_required_field": 1,
    "rejected:web/orders:send:destination_refused": 1,
    "note:web/orders:dropped_ph": 2,
    "matched:crm/a b": 4,
    "delivered:crm/a b": 4,
    "rejected::parse:invalid_json": 2,
}


def shown(books: RunReport) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(books.render())
    return console.export_text()


def test_books_are_made_from_counters() -> None:
    assert RunReport.from_counts(COUNTS) == RunReport(
        read=10,
        taken=7,
        filtered=1,
        unparsable=2,
        undirected={("parse", "invalid_json"): 2},
        accounts=(
            Account("crm/a b", 4, 4, {}, {}),
            Account(
                "web/orders",
                5,
                3,
                {("map", "missing_required_field"): 1, ("send", "destination_refused"): 1},
                {"dropped_ph": 2},
            ),
        ),
    )


def test_what_is_known_before_any_subscription_is_shown() -> None:
    counts = {**COUNTS, "note::replaced_characters": 3, "no_event:Its keys: b.": 1, "no_event:Its keys: a.": 1}
    books = RunReport.from_counts(counts)
    assert (books.no_event, books.notes, books.balanced) == ("Its keys: a.", {"replaced_characters": 3}, True)
    assert "parse / not_an_event, the first: Its keys: a." in shown(books)
    assert "Along the way: replaced_characters 3, dropped_ph 2" in shown(books)
    assert (books.as_json()["no_event"], books.as_json()["notes"]) == ("Its keys: a.", {"replaced_characters": 3})


def test_a_name_is_shown_as_it_is() -> None:
    counts = {"matched:web/events: [b]x[/i] :smile:": 1, "delivered:web/events: [b]x[/i] :smile:": 1}
    assert "web/events: [b]x[/i] :smile:" in shown(RunReport.from_counts(counts))


def test_totals_and_refused_destinations_follow() -> None:
    books = RunReport.from_counts(COUNTS)
    assert (books.matched, books.delivered, books.dead_lettered) == (9, 7, 4)
    assert books.refused_destinations == ("web",)
    assert books.balanced


@pytest.mark.parametrize(
    "name", ["read", "taken", "filtered", "unparsable", "matched:web/orders", "delivered:web/orders"]
)
def test_one_event_too_many_anywhere_unbalances_them(name: str) -> None:
    assert not RunReport.from_counts({**COUNTS, name: COUNTS[name] + 1}).balanced


def test_what_is_in_flight_is_shown_while_there_is_any() -> None:
    text = shown(RunReport.from_counts({**COUNTS, "delivered:web/orders": 1}))
    assert "in flight" in text
    assert "+ 2 in flight. THE BOOKS DO NOT BALANCE." in text
    assert "in flight" not in shown(RunReport.from_counts(COUNTS))


def test_people_see_the_table_the_reasons_and_the_sentence() -> None:
    text = shown(RunReport.from_counts(COUNTS))
    for part in (
        "web/orders",
        "map / missing_required_field",
        "A field that the action requires has no value.",
        "Along the way: dropped_ph 2",
        "10 read = 7 taken + 1 filtered + 2 unparsable; 9 matched = 7 delivered + 2 dead-lettered. The books balance.",
    ):
        assert part in text


def test_programs_get_the_same() -> None:
    assert RunReport.from_counts(COUNTS).as_json() == {
        "balanced": True,
        "read": 10,
        "taken": 7,
        "filtered": 1,
        "unparsable": 2,
        "matched": 9,
        "delivered": 7,
        "dead_lettered": 4,
        "rejected_before_matching": {"parse/invalid_json": 2},
        "subscriptions": {
            "crm/a b": {"matched": 4, "delivered": 4, "dead_lettered": {}, "notes": {}},
            "web/orders": {
                "matched": 5,
                "delivered": 3,
                "dead_lettered": {"map/missing_required_field": 1, "send/destination_refused": 1},
                "notes": {"dropped_ph": 2},
            },
        },
    }


@given(st.lists(st.sampled_from(["unparsable", "filtered", "delivered", "dead"])))
def test_they_balance_whenever_every_event_ends_somewhere(fates: list[str]) -> None:
    counts: Counter[str] = Counter(read=len(fates))
    for fate in fates:
        if fate in ("unparsable", "filtered"):
            counts[fate] += 1
        else:
            counts.update(["taken", "matched:w/s", "delivered:w/s" if fate == "delivered" else "rejected:w/s:map:x"])
    assert RunReport.from_counts(counts).balanced


def test_what_earlier_runs_have_settled_is_counted_apart_and_balances() -> None:
    counts = {
        "read": 6,
        "taken": 6,
        "matched:a/b": 5,
        "matched:a/c": 1,
        "delivered:a/b": 2,
        "already_delivered:a/b": 2,
        "already_dead_lettered:a/b": 1,
        "already_delivered:a/c": 1,
    }
    books = RunReport.from_counts(counts, sent=4)
    assert books.balanced
    assert books.sentence() == (
        "6 read = 6 taken + 0 filtered + 0 unparsable; 6 matched = 2 delivered + 0 dead-lettered + 3 already delivered"
        " + 1 already dead-lettered. The books balance."
    )
    assert books.resent == 0  # by the first attempt, and skipped by the second
    found = books.as_json()
    assert (found["already_delivered"], found["already_dead_lettered"]) == (3, 1)
    subscriptions = found["subscriptions"]
    assert (subscriptions["a/b"]["already_delivered"], subscriptions["a/b"]["already_dead_lettered"]) == (2, 1)
    assert "already_dead_lettered" not in subscriptions["a/c"]
    assert not RunReport.from_counts({**counts, "already_delivered:a/c": 0}).balanced


def test_what_was_sent_again_is_reported_beside_the_balance() -> None:
    books = RunReport.from_counts({"read": 2, "taken": 2, "matched:a/b": 2, "delivered:a/b": 2}, sent=3)
    assert books.balanced
    assert books.resent == 1
    assert "The books balance. 1 events were sent again" in books.sentence()
    assert books.as_json()["sent"] == 3


def test_where_work_may_be_counted_again_the_receipts_decide() -> None:
    counts = {"read": 4, "taken": 4, "matched:a/b": 4, "delivered:a/b": 2}
    assert (
        RunReport.from_counts(counts, at_least=True, sent=2)
        .sentence()
        .endswith(
            "Work that was done again is counted again, each event at least once; 2 were delivered, by the receipts."
        )
    )
    assert RunReport.from_counts(counts, at_least=True).sentence().endswith("at least once; the receipts decide.")
    assert "sent" not in RunReport.from_counts(counts).as_json()
