"""The cluster test finds out what it is there to find."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster.__main__ import Expected, _compared

EXPECTED = Expected(read=10, ready=8, rejected=2, stored=7)
BOOKS = {"balanced": True, "read": 10, "delivered": 8, "already_delivered": 0, "dead_letters": 2, "sent": 11}
STATS = {"events_stored": 7, "duplicates": 5, "events_received": 12}


RECEIPTS = ({"events": 8, "delivered_at": 1}, {"events": 3, "delivered_at": 2})


def compared(
    out: Path,
    books: dict[str, Any],
    stats: dict[str, Any],
    dead: int = 3,
    lost: bool = True,
    receipts: Sequence[dict[str, int]] = RECEIPTS,
) -> list[str]:
    (out / "books.json").write_text(json.dumps(BOOKS | books))
    (out / "dead-letters.jsonl").write_text("{}\n" * dead)
    return _compared("try", out, receipts, STATS | stats, EXPECTED, lost)


def test_work_that_is_sent_again_is_fine(tmp_path: Path) -> None:
    assert compared(tmp_path, {}, {}) == []
    assert compared(tmp_path, {"delivered": 2, "already_delivered": 6}, {}) == []  # by an attempt that failed


def test_more_than_a_part_of_receipts_for_a_second_time_is_found(tmp_path: Path) -> None:
    twice = [{"events": 8, "delivered_at": 1}, {"events": 8, "delivered_at": 30}]
    stats = {"events_received": 17, "duplicates": 10}
    assert compared(tmp_path, {"sent": None}, stats, receipts=twice) == []
    twice.append({"events": 1, "delivered_at": 60})
    (found,) = compared(tmp_path, {"sent": None}, stats, receipts=twice)
    assert "9 events have two receipts; a part has 8 events" in found


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stats": {"events_stored": 6, "duplicates": 6}}, "different events that the sandbox stored: 7 expected, 6"),
        ({"stats": {"events_stored": 8, "duplicates": 4}}, "different events that the sandbox stored: 7 expected, 8"),
        ({"stats": {"events_received": 13}}, "events stored, and repeats dropped: 13 expected, 12"),
        ({"books": {"delivered": 7}}, "events delivered: 8 expected, 7"),
        ({"books": {"balanced": False}}, "the books' own balance"),
        ({"books": {"sent": 9}}, "events on receipts, in the books: 11 expected, 9"),
        ({"dead": 1}, "2 dead letters expected, 1 found"),
        ({"lost": False}, "a part of the cluster was lost while requests flew"),
    ],
)
def test_what_is_lost_or_doubled_is_found(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    (found,) = compared(tmp_path, **{"books": {}, "stats": {}, **changes})
    assert problem in found
