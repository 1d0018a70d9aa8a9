"""Books in windows: what became of the events that arrived within the same minute, or however long a window is.

Steps count where things happen, but under the window in which the event arrived, which travels with it. So a window
balances as soon as all of its events are through, however late that is. What a step has counted in one bundle becomes
rows that are differences: those of a window add up to its books, and a late one is one row more.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import orjson

from capybeam.transforms.core.conversions import split_key
from capybeam.transforms.core.counters import CounterKey, CounterKind


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of a run: one after the other, all of the same length, from the beginning of Unix time on.

    Attributes:
        seconds: of a window.
        clock: Unix seconds.
    """

    seconds: int
    clock: Callable[[], float] = time.time

    def at(self, now: float) -> int:
        """When the window that is open then began, in Unix seconds."""
        return int(now) - int(now) % self.seconds


NO_WINDOW: Final = 0
"""The window of an event whose arrival was not noted; it is in no row."""


@dataclasses.dataclass(frozen=True)
class WindowRow:
    """What has been counted since the last row with the same first five columns.

    Counts of a window are sums over its rows: ``SUM`` of the counts, ``MIN(oldest_event_time)``, ``MAX(lag_seconds)``.
    Events, before any subscription takes them, are in rows without destination and subscription; dead letters are in
    rows with their code, which have no other counts. Over the rows of a subscription in a window, once it is through:
    matched = delivered + dead_lettered + skipped. Over those without one: read = taken + filtered + dead_lettered.

    Attributes:
        window_start_time: when the events arrived, at the earliest; Unix seconds, as all times.
        code: of dead letters.
        taken: events that at least one trigger took.
        withheld: conversions for which there is no consent; they are not matched.
        skipped: conversions that had come before.
        oldest_event_time, lag_seconds: of what was delivered: the earliest event, and the longest time from an event to
            its delivery.
    """

    window_start_time: int
    window_seconds: int
    destination: str | None
    subscription: str | None
    code: str | None
    read: int = 0
    filtered: int = 0
    taken: int = 0
    withheld: int = 0
    matched: int = 0
    delivered: int = 0
    skipped: int = 0
    dead_lettered: int = 0
    oldest_event_time: int | None = None
    lag_seconds: int | None = None

    def row(self) -> dict[str, str | int]:
        """The row of a table; what is not known is left out."""
        found = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: value for name, value in found if value is not None}

    def encode(self) -> bytes:
        """The row as one line of JSON, without a newline."""
        return orjson.dumps(self)


class Place(NamedTuple):
    """Where in a subscription's books something is counted: a window, and the code of dead letters or ""."""

    window: int
    code: str = ""


WindowCounts = dict[Place, dict[str, int]]
"""By place: by column of `WindowRow`."""


def add_window_counts(total: WindowCounts, counts: Mapping[Place, Mapping[str, int]]) -> None:
    """Adds counts to others, in place."""
    for place, columns in counts.items():
        into = total.setdefault(place, {})
        for column, value in columns.items():
            into[column] = _JOIN.get(column, _plus)(into[column], value) if column in into else value


def _plus(one: int, other: int) -> int:
    return one + other


_JOIN: Final[Mapping[str, Callable[[int, int], int]]] = {"oldest_event_time": min, "lag_seconds": max}


def window_counts_of(window: int, counts: Mapping[str, int]) -> Iterable[tuple[str, WindowCounts]]:
    """By subscription key, or "": what counters of a window, by their names, come to in its books."""
    for name, count in counts.items():
        found = _column(name)
        if found is not None:
            subscription, code, column = found
            yield subscription, {Place(window, code): {column: count}}


def rows_of(seconds: int, subscription: str, entries: Mapping[Place, Mapping[str, int]]) -> list[WindowRow]:
    """The rows of a subscription's key, or of "", by window."""
    destination, name = split_key(subscription) if subscription else (None, None)
    return [
        WindowRow(place.window, seconds, destination, name, place.code or None, **columns)
        for place, columns in sorted(entries.items())
    ]


def add_rows(rows: Iterable[WindowRow]) -> list[WindowRow]:
    """One row for each window, subscription and code, in place of several."""
    totals: dict[tuple[int, str], WindowCounts] = {}
    for row in rows:
        subscription = "" if row.destination is None else f"{row.destination}/{row.subscription}"
        counts: dict[str, int] = {name: value for name in _COUNTED if (value := getattr(row, name)) is not None}
        total = totals.setdefault((row.window_seconds, subscription), {})
        add_window_counts(total, {Place(row.window_start_time, row.code or ""): counts})
    return [
        row for (seconds, subscription), entries in totals.items() for row in rows_of(seconds, subscription, entries)
    ]


_COUNTED: Final = tuple(field.name for field in dataclasses.fields(WindowRow))[5:]

_COLUMNS: Final[Mapping[CounterKind, str]] = {
    "read": "read",
    "filtered": "filtered",
    "taken": "taken",
    "withheld": "withheld",
    "matched": "matched",
    "delivered": "delivered",
    "repeated": "skipped",
    "already_delivered": "skipped",
    "already_dead_lettered": "skipped",
    "rejected": "dead_lettered",
}


@functools.lru_cache(maxsize=4096)
def _column(name: str) -> tuple[str, str, str] | None:
    """Subscription key, code and column of a counter's name; None where it is not part of the books."""
    key = CounterKey.decode(name)
    column = _COLUMNS.get(key.kind) if key else None
    if key is None or column is None:
        return None
    return key.subscription, key.detail if key.kind == "rejected" else "", column
