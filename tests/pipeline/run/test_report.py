"""The report in numbers, and as people see it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from capybeam.pipeline.run.report import Account, Cause, RunReport, Traffic
from capybeam.pipeline.run.report_display import MOST_CAUSES, described, render, sentence
from capybeam.transforms.core.rejections import CODES
from capybeam.transforms.delivery.answers import Refusal

COUNTS = {
    "read": 10,
    "taken": 7,
    "filtered": 1,
    "unparsable": 2,
    "matched:web/orders": 5,
    "delivered:web/orders": 3,
    "rejected:web/orders:map:missing_required_field": 1,
    "cause:web/orders:map:missing_required_field:currency": 1,
    "rejected:web/orders:send:destination_refused": 1,
    "cause:web/orders:send:destination_refused:190/463 Session expired%3A yesterday": 1,
    "refused:web:The token is dead.": 1,
    "cure:web:Store a new one.": 1,
    "note:web/orders:dropped_ph": 2,
    "matched:crm/a b": 4,
    "delivered:crm/a b": 4,
    "rejected::parse:invalid_json": 2,
    "requests:crm": 2,
    "tries:crm": 3,
    "bytes:crm": 4000,
    "first_event_time:crm": 1_795_000_000,
    "last_event_time:crm": 1_795_000_900,
    "throttled": 12,
    "cumulativeThrottlingSeconds": 12,
}


def shown(report: RunReport, width: int = 200) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(report))
    return console.export_text()


def test_a_report_is_made_from_counters() -> None:
    assert RunReport.from_counts(COUNTS) == RunReport(
        read=10,
        taken=7,
        filtered=1,
        unparsable=2,
        undirected={Cause("parse", "invalid_json"): 2},
        accounts=(
            Account("crm/a b", 4, 4, {}, {}),
            Account(
                "web/orders",
                5,
                3,
                {
                    Cause("map", "missing_required_field", field="currency"): 1,
                    Cause("send", "destination_refused", meta_code="190/463", reason="Session expired: yesterday"): 1,
                },
                {"dropped_ph": 2},
            ),
        ),
        traffic={
            "crm": Traffic(2, 3, 4000, 1_795_000_000, 1_795_000_900),
            "web": Traffic(refusals=(Refusal("The token is dead.", "Store a new one."),)),
        },
        throttled=12,
    )


def test_rejections_of_which_no_cause_was_counted_have_one_without_a_field() -> None:
    counts = {"rejected:w/s:map:invalid_field": 5, "cause:w/s:map:invalid_field:value": 3}
    (account,) = RunReport.from_counts(counts).accounts
    assert account.dead_lettered == {
        Cause("map", "invalid_field", field="value"): 3,
        Cause("map", "invalid_field"): 2,
    }


def test_a_reason_without_a_code_of_the_destination_keeps_its_first_word() -> None:
    counts = {"rejected:w/s:send:gave_up_retrying": 1, "cause:w/s:send:gave_up_retrying:- 429 is what it says": 1}
    (account,) = RunReport.from_counts(counts).accounts
    assert account.dead_lettered == {Cause("send", "gave_up_retrying", reason="429 is what it says"): 1}


def test_what_is_known_before_any_subscription_is_shown() -> None:
    counts = {**COUNTS, "note::replaced_characters": 3, "no_event:Its keys: b.": 1, "no_event:Its keys: a.": 1}
    report = RunReport.from_counts(counts)
    assert (report.no_event, report.notes, report.balanced) == ("Its keys: a.", {"replaced_characters": 3}, True)
    assert "parse / not_an_event, the first: Its keys: a." in shown(report)
    assert "Along the way: replaced_characters 3, dropped_ph 2" in shown(report)


def test_a_name_is_shown_as_it_is() -> None:
    counts = {"matched:web/events: [b]x[/i] :smile:": 1, "delivered:web/events: [b]x[/i] :smile:": 1}
    assert "web/events: [b]x[/i] :smile:" in shown(RunReport.from_counts(counts))


def test_totals_and_refused_destinations_follow() -> None:
    report = RunReport.from_counts(COUNTS)
    total = report.total
    assert (total.matched, total.delivered, total.dead, total.retryable) == (9, 7, 2, 1)
    assert (report.unreadable, report.dead_letters, report.retryable, report.faulty) == (2, 4, 1, 3)
    assert report.refused_destinations == {"web": (Refusal("The token is dead.", "Store a new one."),)}
    assert report.balanced


def test_what_has_no_consent_is_matched_and_accounted_for() -> None:
    counts = {
        "read": 3, "taken": 1, "filtered": 2,
        "matched:w/s": 1, "delivered:w/s": 1, "withheld:w/s:refused": 1, "withheld:w/s:unknown": 1,
    }  # fmt: skip
    report = RunReport.from_counts(counts)
    (account,) = report.accounts
    assert (account.matched, account.without_consent, account.in_flight, report.balanced) == (3, 2, 0, True)
    assert "3 matched = 1 delivered + 0 dead-lettered + 2 without consent. The books balance." in sentence(report)


@pytest.mark.parametrize(
    "name",
    [
        "read",
        "taken",
        "filtered",
        "unparsable",
        "matched:web/orders",
        "delivered:web/orders",
        "rejected::parse:invalid_json",
        "rejected:web/orders:map:missing_required_field",
    ],
)
def test_one_event_too_many_anywhere_unbalances_them(name: str) -> None:
    assert not RunReport.from_counts({**COUNTS, name: COUNTS[name] + 1}).balanced


def test_what_is_in_flight_is_shown_while_there_is_any() -> None:
    text = shown(RunReport.from_counts({**COUNTS, "delivered:web/orders": 1}))
    assert "in flight" in text
    assert "+ 2 in flight. THE BOOKS DO NOT BALANCE." in text
    assert "in flight" not in shown(RunReport.from_counts(COUNTS))


def test_people_see_the_tables_with_subscription_and_field_and_the_sentence() -> None:
    text = shown(RunReport.from_counts(COUNTS))
    for part in (
        "web/orders: currency missing",
        "map / missing_required_field",
        "A field that the action requires has no value.",
        "web/orders: Meta 190/463: Session expired: yesterday",
        "Along the way: dropped_ph 2",
        "10 read = 7 taken + 1 filtered + 2 unreadable; 9 matched = 7 delivered + 2 dead-lettered. The books balance.",
    ):
        assert part in text


def test_ten_thousand_events_that_lack_the_same_field_are_one_row() -> None:
    counts = {
        "read": 10_000, "taken": 10_000, "matched:shop/purchase": 10_000,
        "rejected:shop/purchase:map:missing_required_field": 10_000,
        "cause:shop/purchase:map:missing_required_field:currency": 10_000,
    }  # fmt: skip
    rows = [line for line in shown(RunReport.from_counts(counts)).splitlines() if "currency" in line]
    assert [[cell.strip() for cell in row.strip("│").split("│")][:2] for row in rows] == [
        ["shop/purchase: currency missing", "10,000"]
    ]


def test_a_table_of_many_causes_ends_with_how_many_more_there_are() -> None:
    counts = {}
    for number in range(MOST_CAUSES + 7):
        counts[f"rejected:w/{number:03}:map:invalid_field"] = 10
    text = shown(RunReport.from_counts(counts))
    assert "w/024: invalid field" in text
    assert "w/025: " not in text
    assert "and 7 more" in text
    assert "70" in text


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause("validate", "missing_currency", "currency"), "currency missing"),
        (Cause("map", "missing_required_field", "currency, value"), "currency, value missing"),
        (Cause("map", "invalid_field", "contents.item_price"), "contents.item_price invalid"),
        (Cause("validate", "no_match_keys", "user_data"), "no match keys"),
        (Cause("validate", "event_too_old", "event_time"), "event too old"),
        (Cause("validate", "unhashed_user_data", "user_data.em"), "user_data.em: unhashed user data"),
        (Cause("map", "template_failed", "content_name"), "content_name: template failed"),
        (Cause("parse", "invalid_json"), "invalid json"),
        (Cause("send", "meta_refused_event", "", "4711", "Something new"), "Meta 4711: Something new"),
        (Cause("send", "meta_refused_event", "", "4711"), "Meta 4711"),
        (Cause("send", "gave_up_retrying", "", "", "x did not answer within 5 s."), "x did not answer within 5 s."),
        (Cause("send", "interrupted"), "interrupted"),
    ],
)
def test_a_cause_in_a_few_words(cause: Cause, words: str) -> None:
    assert described(cause) == words


FATES = st.sampled_from(
    [
        "unparsable",
        "filtered",
        "delivered",
        "repeated",
        "already_delivered",
        "already_dead_lettered",
        "withheld",
        "unfilterable",
        *sorted(CODES),
    ]
)


@given(st.lists(st.tuples(FATES, st.sampled_from(["w/a", "w/b: c", "v/a"]), st.sampled_from(["", "x", "y: z"]))))
def test_they_balance_whenever_every_event_ends_somewhere(fates: list[tuple[str, str, str]]) -> None:
    report = RunReport.from_counts(counted(fates))
    assert report.balanced
    assert report.dead_letters == sum(report.causes.values())
    assert report.retryable + report.faulty == report.dead_letters


def counted(fates: list[tuple[str, str, str]]) -> Counter[str]:
    """Counters of a run of events that each ended somewhere, for a subscription, about something."""
    counts: Counter[str] = Counter(read=len(fates))
    for fate, key, about in fates:
        if fate == "unparsable":
            counts.update(["unparsable", "rejected::parse:invalid_json"])
        elif fate == "unfilterable":
            counts.update(["rejected::filter:internal_error"])
        elif fate == "filtered":
            counts.update(["filtered"])
        elif fate == "withheld":
            counts.update(["filtered", f"withheld:{key}:refused"])
        elif fate in ("delivered", "repeated", "already_delivered", "already_dead_lettered"):
            counts.update(["taken", f"matched:{key}", f"{fate}:{key}"])
        else:
            counts.update(["taken", f"matched:{key}", f"rejected:{key}:send:{fate}"])
            if about:
                counts.update([f"cause:{key}:send:{fate}:{about.replace(':', '%3A')}"])
    return counts


def test_what_earlier_runs_have_processed_is_counted_apart_and_balances() -> None:
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
    report = RunReport.from_counts(counts, sent=4)
    assert report.balanced
    assert sentence(report) == (
        "6 read = 6 taken + 0 filtered + 0 unreadable; 6 matched = 2 delivered + 0 dead-lettered + 3 already delivered"
        " + 1 already dead-lettered. The books balance."
    )
    assert report.resent == 0  # by the first attempt, and skipped by the second
    assert [(each.already_delivered, each.already_dead_lettered) for each in (*report.accounts, report.total)] == [
        (2, 1),
        (1, 0),
        (3, 1),
    ]
    assert "already delivered" in shown(report)
    assert not RunReport.from_counts({**counts, "already_delivered:a/c": 0}).balanced


def test_what_was_sent_again_is_reported_beside_the_balance() -> None:
    report = RunReport.from_counts({"read": 2, "taken": 2, "matched:a/b": 2, "delivered:a/b": 2}, sent=3)
    assert report.balanced
    assert report.resent == 1
    assert sentence(report).endswith(
        "The books balance. At least 1 event was sent again because lost work was redone, besides those in flight when"
        " it was lost: Meta drops them by their event_id, and some receipts and dead letters exist twice."
    )


@pytest.mark.parametrize(("restarts", "times"), [(1, "once"), (3, "3 times")])
def test_work_that_was_redone_is_reported_also_where_no_receipt_shows_it(restarts: int, times: str) -> None:
    counts = {"read": 2, "taken": 2, "matched:a/b": 2, "delivered:a/b": 2}
    assert sentence(RunReport.from_counts(counts, sent=2, restarts=restarts)).endswith(
        f"The books balance. Work was lost {times} and redone: at least the requests in flight then were sent again,"
        " which have no receipt of the first time. Meta drops them by their event_id."
    )
    assert sentence(RunReport.from_counts(counts, sent=2)).endswith("The books balance.")


def test_where_work_may_be_counted_again_the_receipts_decide() -> None:
    counts = {"read": 4, "taken": 4, "matched:a/b": 4, "delivered:a/b": 2}
    decided = "Work that was done again is counted again, each event at least once; 2 were delivered, by the receipts."
    assert sentence(RunReport.from_counts(counts, at_least=True, sent=2)).endswith(decided)
    assert sentence(RunReport.from_counts(counts, at_least=True)).endswith("at least once; the receipts decide.")
