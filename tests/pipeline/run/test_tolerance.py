"""How many bad events a run may have; an outage is not among them."""

from __future__ import annotations

import pytest

from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.tolerance import NO_TOLERANCE, Tolerance


def report(bad: int, of: int, *, unreadable: int = 0, withheld: int = 0) -> RunReport:
    return RunReport.from_counts(
        {
            "read": of + unreadable,
            "taken": of,
            "unparsable": unreadable,
            "rejected::parse:invalid_json": unreadable,
            "matched:w/s": of,
            "delivered:w/s": of - bad,
            "rejected:w/s:map:invalid_field": bad,
            "withheld:w/s:refused": withheld,
        }
    )


@pytest.mark.parametrize(
    ("text", "found", "is_covered"),
    [
        ("1%", report(10, 1000), True),
        ("1%", report(11, 1000), False),
        ("0.5%", report(5, 1000), True),
        ("0.5 %", report(6, 1000), False),
        ("10", report(10, 20), True),
        ("10", report(11, 1_000_000), False),
        ("0", report(0, 10), True),
        ("0%", report(1, 10), False),
        ("100%", report(10, 10), True),
        ("10%", report(0, 90, unreadable=10), True),
        ("10%", report(1, 90, unreadable=10), False),
        ("10%", report(2, 10, withheld=100), False),
    ],
)
def test_a_share_is_of_all_that_was_to_be_sent_and_a_count_is_a_count(
    text: str, found: RunReport, is_covered: bool
) -> None:
    assert Tolerance.parse(text).covers(found) is is_covered


@pytest.mark.parametrize("text", ["", "%", "1 in 100", "-1%", "101%", "1,5%", "1e2", "٣%", "nan%", "1%%", "9" * 30])
def test_anything_else_is_neither(text: str) -> None:
    with pytest.raises(ValueError, match="is neither a share, for example 1%, nor a count, for example 100"):
        Tolerance.parse(text)


def test_without_it_no_bad_event_is_tolerated() -> None:
    assert (NO_TOLERANCE.covers(report(0, 9)), NO_TOLERANCE.covers(report(1, 9))) == (True, False)
