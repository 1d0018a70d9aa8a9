"""The options by which a command reads rows of a stretch of time, and what they mean together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from capybeam.pipeline.command_line import fail
from capybeam.pipeline.job.models import duration
from capybeam.pipeline.moments import BadMoment, Clock, parse, zone_of
from capybeam.pipeline.run.options import LAST, option
from capybeam.pipeline.sources import SinceLast, TimeRange

Decorator = Callable[[Any], Any]


class GivenTimes(NamedTuple):
    """The options as they are given."""

    since: str | None
    until: str | None
    time_zone: str
    time_column: str | None
    overlap: str | None = None


def time_options(command: Any) -> Any:
    """Adds --since, --until, --time-zone and --time-column to a command."""
    for name in ("time-column", "time-zone", "until", "since"):
        command = option(name)(command)
    return command


def time_range(given: GivenTimes, now: float | None = None) -> tuple[TimeRange, SinceLast | None]:
    """The stretch of time, and how it goes on from the last run; ends the process where that makes no sense.

    Args:
        now: Unix seconds; by default the time.
    """
    try:
        clock = Clock(time.time() if now is None else now, zone_of(given.time_zone))
    except BadMoment as error:
        fail(f"--time-zone {given.time_zone} {error}")
    last = None
    since_text = given.since
    if since_text is not None and since_text.partition(",")[0].strip() == LAST:
        first = since_text.partition(",")[2].strip()
        last = SinceLast(_overlap(given.overlap), _moment("--since", first, clock) if first else None, clock.now)
        since_text = None
    elif given.overlap is not None:
        fail(f"--overlap is for --since {LAST}")
    since = None if since_text is None else _moment("--since", since_text, clock)
    until = None if given.until is None else _moment("--until", given.until, clock, is_end=True)
    if last is not None and until is None:
        until = clock.now
    found = TimeRange(since, until, given.time_column, given.time_zone, goes_on=last is not None)
    if given.time_column is not None and not found:
        fail("--time-column says what --since and --until are about; give one of them")
    if since is not None and until is not None and since >= until:
        fail(f"--since {given.since} is not before --until {given.until}: nothing can be between them")
    if last is not None and last.first is not None and until is not None and last.first >= until:
        fail(f"--since {given.since} does not begin before --until {given.until}")
    return found, last


def _overlap(text: str | None) -> float:
    try:
        return SinceLast.overlap if text is None else duration(text)
    except ValueError as error:
        fail(f"--overlap {text}: {error}")


def _moment(name: str, text: str, clock: Clock, is_end: bool = False) -> float:
    try:
        return parse(text, clock, is_end)
    except BadMoment as error:
        fail(f"{name} {text} {error}")
