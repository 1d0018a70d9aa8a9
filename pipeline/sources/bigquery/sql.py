"""SQL over a table whose layout is known: restrictions by time, and counts of rows by their age."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import time
from typing import Any, Final, NamedTuple

from capybeam.pipeline.moments import Clock, parse, zone_of
from capybeam.pipeline.sources import NoInput, TimeRange
from capybeam.pipeline.sources.warehouse.columns import Column
from capybeam.pipeline.sources.warehouse.layout import EventColumns, JsonColumn, Layout
from capybeam.transforms.core.warehouse_rows import PUBSUB
from capybeam.transforms.meta.rules import DAY, MAX_AGE, MAX_STORE_AGE

TIME_TYPES: Final = ("TIMESTAMP", "DATETIME", "DATE")
_OF_PARTITIONS: Final = Column("_PARTITIONTIME", "TIMESTAMP")  # of tables that are partitioned by when rows have landed


def range_column(name: str, table: Any, layout: Layout, time_range: TimeRange) -> Column | None:
    """The column that a range of time is about; None where there is no range. Raises NoInput where there is no column.

    Args:
        table: of google.cloud.bigquery, with its schema.
    """
    if not time_range:
        return None
    if time_range.column is None:
        if layout.time is None:
            raise NoInput(f"{name}: has no time column for --since and --until; use a query with its own WHERE")
        return layout.time
    wanted = time_range.column.casefold()
    partitioning = getattr(table, "time_partitioning", None)
    if wanted == _OF_PARTITIONS.name.casefold() and partitioning is not None and not partitioning.field:
        return _OF_PARTITIONS
    column = next((Column(f.name, f.field_type) for f in table.schema if f.name.casefold() == wanted), None)
    if column is None or column.type not in TIME_TYPES:
        times = [field.name for field in table.schema if field.field_type in TIME_TYPES]
        what = "has no column" if column is None else f"has a column of type {column.type}, and not of time,"
        raise NoInput(
            f"{name}: {what} {time_range.column} for --time-column; its columns of time are"
            f" {', '.join(times) or 'none'}"
        )
    return column


def columns_with_time(layout: Layout, column: Column | None = None) -> list[str]:
    """The columns that have to be read, and those that restrictions and ages are about."""
    times = [each.key for each in (layout.time, column) if each is not None and each is not _OF_PARTITIONS]
    return list(dict.fromkeys((*layout.columns, *times)))


def restriction_of(column: Column | None, time_range: TimeRange) -> str:
    """The condition of rows in a range of time; "" for all rows."""
    if column is None:
        return ""
    since, until = time_range.since, time_range.until
    if time_range.goes_on and since is not None and (column.type == "DATE" or column is _OF_PARTITIONS):
        since = _start_of_day(since, "UTC" if column is _OF_PARTITIONS else time_range.zone)
    bounds = ((">=", since), ("<", until))
    return " AND ".join(
        f"`{column.key}` {sign} {_literal(column, at, time_range.zone)}" for sign, at in bounds if at is not None
    )


def _start_of_day(moment: float, zone: str) -> float:
    """Of a column of dates a day that has been read is not known to have been read whole."""
    return parse("today", Clock(moment, zone_of(zone)))


def _literal(column: Column, moment: float, zone: str = "UTC") -> str:
    """Unix seconds as SQL of a column's type. Dates are days of the zone, and other times without a zone are UTC."""
    if column.type == "DATE":  # an event with a date counts from the beginning of that day
        local = dt.datetime.fromtimestamp(moment, zone_of(zone))
        day = local.date() + dt.timedelta(days=parse("today", Clock(moment, zone_of(zone))) < moment)
        return f"DATE '{day:%Y-%m-%d}'"
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


@dataclasses.dataclass(frozen=True)
class Counting:
    """A query that counts a table's rows, those that satisfy a restriction.

    Attributes:
        restriction: "" for all rows.
    """

    table: str
    layout: Layout
    restriction: str

    @functools.cached_property
    def query(self) -> str:
        layout = self.layout
        lacks_id = "0"
        if isinstance(layout, EventColumns):
            lacks_id = f"COUNTIF(IFNULL(CAST(`{layout.id}` AS STRING), '') = '')" if layout.id else "COUNT(*)"
        counts = ["COUNT(*)", lacks_id]
        when, column = _event_time(layout)
        if when:
            now = time.time()
            counts += [f"COUNTIF({when} < {_literal(column, now - age)})" for age in (MAX_AGE, MAX_STORE_AGE)]
        return f"SELECT {', '.join(counts)} FROM `{self.table}`{where_clause(self.restriction)}"

    def count(self, rows: int, without_id: int, *old: int) -> RowCount:
        """What the query's row says."""
        extent = f"{rows:,} row{'s' * (rows != 1)}"
        if not old:
            return RowCount(rows, without_id, f"{extent}, ages unknown")
        return RowCount(
            rows,
            without_id,
            f"{extent}, {old[0]:,} older{_time_basis(self.layout)} than the {MAX_AGE // DAY} days that Meta takes,"
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
