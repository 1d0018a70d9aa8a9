"""Tables of hundreds of columns and millions of rows: what a row and a column cost, and that no row stays in memory."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from capybeam.pipeline.sources import ANY_TIME
from capybeam.pipeline.sources.bigquery.reading import _ToEvents
from capybeam.pipeline.sources.warehouse.columns import Column
from capybeam.pipeline.sources.warehouse.layout import Layout, layout_of
from capybeam.transforms.core.run_context import RunHandle
from tests.timing import least_seconds

OWN = [Column("id"), Column("timestamp", "TIMESTAMP"), Column("event_text"), Column("user_id")]
PREFIXES = ("context_traits_a_", "property_", "context_page_x_")
TYPES = ("STRING", "FLOAT", "INTEGER", "BOOLEAN")
VALUES = {"STRING": "text", "FLOAT": 1.5, "INTEGER": 3, "BOOLEAN": True}
NOW = dt.datetime(2026, 11, 26, tzinfo=dt.timezone.utc)


def columns(count: int) -> list[Column]:
    more = [Column(f"{PREFIXES[n % 3]}{n}", TYPES[n % 4]) for n in range(count - len(OWN))]
    return [*OWN, *more]


def layout(count: int) -> Layout:
    return layout_of(columns(count), "order_completed")


def rows(count: int, width: int) -> Iterator[dict[str, Any]]:
    """Rows as a client yields them, one after the other, each of its own values."""
    plain = {column.name: VALUES.get(column.type) for column in columns(width)}
    for number in range(count):
        yield {**plain, "id": f"order-{number}", "timestamp": NOW, "event_text": "Sold", "property_4": f"own {number}"}


def peak(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def read_by_the_step(count: int) -> int:
    """The most bytes that the step of a run has in memory over so many rows of 300 columns."""
    step = _ToEvents(layout(300), RunHandle())
    step.setup()

    def run() -> None:
        events = (event for row in rows(count, 300) for event in step.process(row))
        assert deque(events, maxlen=1)[0]["messageId"] == f"order-{count - 1}"

    return peak(run)


def read_by_reconcile(count: int) -> int:
    """The same of the reader without a pipeline, of a client that yields page after page."""
    bigquery = pytest.importorskip("google.cloud.bigquery", reason="needs the extra gcp")
    from capybeam.pipeline.sources.bigquery.samples import all_rows

    class Table:
        table_type, table_id = "TABLE", "order_completed"
        schema = [bigquery.SchemaField(column.name, column.type) for column in columns(300)]

    class Client:
        def get_table(self, _table: str, **_: Any) -> Any:
            return Table()

        def list_rows(self, _table: Any, **_: Any) -> Iterator[dict[str, Any]]:
            return rows(count, 300)

    return peak(lambda: deque(all_rows("bigquery:a.b.order_completed", ANY_TIME, Client()), maxlen=1))


@pytest.mark.parametrize("read", [read_by_the_step, read_by_reconcile])
def test_memory_does_not_grow_with_the_rows(read: Callable[[int], int]) -> None:
    read(3)  # what is imported and compiled once
    few, many = read(30), read(600)
    assert many < 1.5 * few + 100_000, "twenty times the rows, of 300 columns and several kB each"


def convert(width: int) -> Callable[[], object]:
    function, (row,) = layout(width).compile(), rows(1, width)
    return lambda: [function(row) for _ in range(100)]


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda width: lambda: layout(width), id="finding out what a table holds"),
        pytest.param(lambda width: layout(width).compile, id="writing the function of its rows"),
        pytest.param(convert, id="a row"),
    ],
)
def test_time_grows_with_the_columns_and_not_with_their_square(work: Callable[[int], Callable[[], object]]) -> None:
    few, many = (least_seconds(work(width), times=3) for width in (300, 1_200))
    assert many < 4 * 2.5 * few, "four times the columns; their square would be 16 times the time"
