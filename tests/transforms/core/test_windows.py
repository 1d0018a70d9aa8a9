"""Rows of the books in windows, added up over several processes."""

from __future__ import annotations

from capybeam.transforms.core.windows import WindowRow, add_rows


def row(start: int, destination: str | None = "web", code: str | None = None, **counts: int) -> WindowRow:
    return WindowRow(start, 60, destination, None if destination is None else "a/b", code, **counts)


def test_rows_of_the_same_window_subscription_and_code_become_one() -> None:
    rows = [
        row(60, matched=3, delivered=2, oldest_event_time=50, lag_seconds=7),
        row(60, code="too_old", dead_lettered=1),
        row(120, matched=1),
        row(60, None, read=5, taken=4, filtered=1),
        row(60, matched=4, delivered=4, oldest_event_time=40, lag_seconds=6),
        row(60, code="too_old", dead_lettered=2),
        row(60, code="unencodable", dead_lettered=1),
        row(60, None, read=1, filtered=1),
        row(60, matched=1),
    ]
    assert add_rows(rows) == [
        row(60, matched=8, delivered=6, oldest_event_time=40, lag_seconds=7),
        row(60, code="too_old", dead_lettered=3),
        row(60, code="unencodable", dead_lettered=1),
        row(120, matched=1),
        row(60, None, read=6, taken=4, filtered=2),
    ]


def test_adding_up_one_processs_rows_changes_nothing() -> None:
    rows = [row(60, matched=3, delivered=3, oldest_event_time=50, lag_seconds=7), row(60, None, read=3, taken=3)]
    assert add_rows(rows) == rows
