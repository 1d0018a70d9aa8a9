"""SQL over a table whose layout is known: restrictions by time, and counts of rows by their age."""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import Any, NamedTuple

from capybeam.pipeline.sources import NoInput, TimeRange
from capybeam.pipeline.sources.warehouse.columns import Column
from capybeam.pipeline.sources.warehouse.layout import EventColumns, JsonColumn, Layout
from capybeam.transforms.core.warehouse_rows import PUBSUB
from capybeam.transforms.meta.rules import DAY, MAX_AGE, MAX_STORE_AGE


def columns_with_time(layout: Layout) -> list[str]:
    """The columns that have to be read, and the one that restrictions are about."""
    time_column = () if layout.time is None else (layout.time.key,)
    return list(dict.fromkeys((*layout.columns, *time_column)))


def restriction_of(name: str, layout: Layout, time_range: TimeRange) -> str:
    """The condition of rows in a range of time; "" for all rows. Raises NoInput where no column has the time."""
    if not time_range:
        return ""
    if layout.time is None:
        raise NoInput(f"{name}: has no time column for --since and --until; use a query with its own WHERE")
    column = layout.time
    bounds = ((">=", time_range.since), ("<", time_range.until))
    return " AND ".join(f"`{column.key}` {sign} {_literal(column, at)}" for sign, at in bounds if at is not None)


def _literal(column: Column, moment: float) -> str:
    """Unix seconds as SQL of a column's type."""
    if column.type == "DATE":  # an event with a date counts from the beginning of that day
        return f"DATE '{dt.datetime.fromtimestamp(math.ceil(moment / DAY) * DAY, dt.timezone.utc):%Y-%m-%d}'"
    at = dt.datetime.fromtimestamp(moment, dt.timezone.utc)
    text = at.strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"DATETIME '{text}'" if column.type == "DATETIME" else f"TIMESTAMP '{text}+00:00'"


def where_clause(*conditions: str) -> str:
    """The clause for those of the conditions that are not empty."""
    given = [condition for condition in conditions if condition]
    return f" WHERE {' AND '.join(given)}" if given else ""


class RowCount(NamedTuple):
    """How many rows there are.

    Attributes:
        without_id: how many of them lack an ID.
        extent: for people, with how many of them are past Meta's age limits.
    """

    rows: int
    without_id: int
    extent: str


def count_rows(client: Any, table: str, layout: Layout, restriction: str) -> RowCount:
    """Counts a table's rows, those that satisfy a restriction; "" for all rows."""
    lacks_id = "0"
    if isinstance(layout, EventColumns):
        lacks_id = f"COUNTIF(IFNULL(CAST(`{layout.id}` AS STRING), '') = '')" if layout.id else "COUNT(*)"
    counts = ["COUNT(*)", lacks_id]
    when, column = _event_time(layout)
    if when:
        now = time.time()
        counts += [f"COUNTIF({when} < {_literal(column, now - age)})" for age in (MAX_AGE, MAX_STORE_AGE)]
    ((rows, without_id, *old),) = client.query(
        f"SELECT {', '.join(counts)} FROM `{table}`{where_clause(restriction)}"
    ).result()
    extent = f"{rows:,} row{'s' * (rows != 1)}"
    if not old:
        return RowCount(rows, without_id, f"{extent}, ages unknown")
    return RowCount(
        rows,
        without_id,
        f"{extent}, {old[0]:,} older{_time_basis(layout)} than the {MAX_AGE // DAY} days that Meta takes,"
        f" {old[1]:,} older than the {MAX_STORE_AGE // DAY} days of store events",
    )


def _time_basis(layout: Layout) -> str:
    """Names the column, where ages are by the transport's time: the events themselves are older."""
    return f" by {layout.time.key}" if layout.time is not None and layout.time.name in PUBSUB else ""


def _event_time(layout: Layout) -> tuple[str, Column]:
    """SQL for the time of a row's event, and a column of that type; "" where it is unknown."""
    if layout.time is not None:
        return f"`{layout.time.key}`", layout.time
    moment = Column("", "TIMESTAMP")
    if isinstance(layout, JsonColumn) and layout.column.type in ("STRING", "JSON"):
        return f"SAFE_CAST(SAFE.JSON_VALUE(`{layout.column.key}`, '$.timestamp') AS TIMESTAMP)", moment
    return "", moment
