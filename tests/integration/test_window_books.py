"""The books in windows in a BigQuery table, and the query of docs/operations.md that names what does not balance."""

from __future__ import annotations

import functools
import re
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from google.api_core.exceptions import GoogleAPICallError

from capybeam.pipeline.sinks.tables import prepare_table
from capybeam.pipeline.sinks.window_books import SCHEMA, WriteWindowBooks
from capybeam.transforms.core.windows import WindowRow
from tests.integration.conftest import BigQuery

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
MINUTE = 60


@functools.cache  # when the test runs, which may be long after it was collected
def now() -> int:
    return int(time.time()) // MINUTE * MINUTE


def row(minutes_ago: int, destination: str | None = "web", code: str | None = None, **columns: int) -> WindowRow:
    subscription = "orders" if destination else None
    return WindowRow(now() - minutes_ago * MINUTE, MINUTE, destination, subscription, code, **columns)


def test_the_documented_query_names_the_windows_that_do_not_balance(big_query: BigQuery) -> None:
    place = f"bigquery:{big_query.name('window_books')}"
    prepare_table(place, "Window books", SCHEMA)
    balanced = [
        row(50, None, read=5, taken=3, filtered=1),
        row(50, None, "invalid_json", dead_lettered=1),
        row(50, matched=3, delivered=1, oldest_event_time=now() - 4000, lag_seconds=900),
        row(50, code="too_old", dead_lettered=1),
        row(50, skipped=1),
    ]
    unbalanced = [
        row(60, matched=3, delivered=1, lag_seconds=20),
        row(60, matched=2, delivered=2, lag_seconds=30),
        row(70, None, read=2, taken=1),
    ]
    under_way = [row(20, matched=3), row(25, matched=1)]
    write(place, [*balanced, *unbalanced, *under_way])
    (sql,) = re.findall(r"```sql\n(.*?)```", OPERATIONS, re.DOTALL)
    sql = sql.replace("acme-prod.capybeam.window_books", big_query.name("window_books"))
    found: list[dict[str, Any]] = big_query.rows(sql)
    assert [(int(each["window_start_time"].timestamp()), each["destination"]) for each in found] == [
        (now() - 70 * MINUTE, None),
        (now() - 60 * MINUTE, "web"),
    ]
    assert [(each["came"], each["went"], each["lag_seconds"]) for each in found] == [(2, 1, None), (5, 3, 30)]


def test_the_scheduled_query_fails_where_a_window_does_not_balance(big_query: BigQuery) -> None:
    sql = (ROOT / "templates" / "terraform" / "unbalanced.sql").read_text(encoding="utf-8")
    sql = sql.replace("${table}", big_query.name("window_books"))
    place = f"bigquery:{big_query.name('window_books')}"
    prepare_table(place, "Window books", SCHEMA)
    write(place, [row(50, matched=3, delivered=3), row(20, matched=3)])
    assert big_query.rows(sql) == [{"books": "The books balance."}]
    write(place, [row(60, matched=3, delivered=1), row(70, None, read=2, taken=1)])
    with pytest.raises(GoogleAPICallError, match="2 windows do not balance, the first at 20"):
        big_query.rows(sql)


def write(place: str, rows: list[WindowRow]) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create(rows) | WriteWindowBooks(place)
