"""Times as people give them, in a time zone: ISO 8601, Unix seconds, ``yesterday``, ``2d``."""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import re
import zoneinfo
from typing import Final

DAY: Final = 86_400
FORMS: Final = (
    "ISO 8601 (2026-11-26 or 2026-11-26T10:00:00Z), Unix seconds, now, today, yesterday, or how long ago (90m, 36h, 2d)"
)


class BadMoment(ValueError):
    """A text that is no time, or a name that is no time zone: says why."""


@dataclasses.dataclass(frozen=True)
class Clock:
    """What a time without a zone or a date is relative to.

    Attributes:
        now: Unix seconds.
        zone: in which days begin, and times without an offset are meant.
    """

    now: float
    zone: dt.tzinfo = dt.timezone.utc

    def local(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.now, self.zone)


def zone_of(name: str) -> dt.tzinfo:
    """The time zone of a name such as Europe/Berlin. Raises BadMoment."""
    if name == "UTC":
        return dt.timezone.utc
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
    if not known:
        raise BadMoment("this machine has no time zone data: pip install tzdata")
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    hint = f"; did you mean {close[0]}?" if close else ", such as Europe/Berlin"
    raise BadMoment(f"is not the name of a time zone{hint}")


def parse(text: str, clock: Clock, is_end: bool = False) -> float:
    """Unix seconds. Raises BadMoment.

    Days are those of the calendar: ``2d`` is the same time of day two days before, also where one of them had 23 hours.
    A time that the clocks show twice is the first for a beginning and the second for an end: nothing is left out.

    Args:
        is_end: whether it ends a stretch of time.
    """
    word = text.strip().lower()
    try:
        if word == "now":
            return clock.now
        if word in _DAYS:
            day = clock.local().date() + dt.timedelta(days=_DAYS[word])
            return _instant(dt.datetime.combine(day, dt.time()), clock.zone, is_end=False)
        if found := _AGO.fullmatch(word):
            return _ago(found[1], found[2], clock, is_end)
        if _SECONDS.fullmatch(word):
            return float(word)
        if re.fullmatch(r"\d{12,}", word):
            raise BadMoment("has too many digits for Unix seconds; milliseconds are not taken")
        return _iso(text.strip(), clock, is_end)
    except (OverflowError, OSError, ValueError) as error:
        if isinstance(error, BadMoment):
            raise
        raise BadMoment(f"is not a time: {FORMS}") from None


_DAYS: Final = {"today": 0, "yesterday": -1, "tomorrow": 1}
_AGO: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*(s|m|min|h|d|days?|w)(?:\s+ago)?")
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": DAY, "w": 7 * DAY}
_SECONDS: Final = re.compile(r"\d{9,11}(?:\.\d+)?")


def _ago(number: str, unit: str, clock: Clock, is_end: bool) -> float:
    seconds = float(number) * _UNITS[{"day": "d", "days": "d"}.get(unit, unit)]
    if unit[0] not in "dw" or seconds % DAY:
        return clock.now - seconds
    local = clock.local().replace(tzinfo=None) - dt.timedelta(seconds=seconds)
    return _instant(local, clock.zone, is_end)


def _iso(text: str, clock: Clock, is_end: bool) -> float:
    import ciso8601

    if not re.match(r"\d{4}-?\d\d", text) or (text.isdigit() and len(text) != 8):
        raise BadMoment(f"is not a time: {FORMS}")
    found: dt.datetime = ciso8601.parse_datetime(text)
    return found.timestamp() if found.tzinfo else _instant(found, clock.zone, is_end)


def _instant(local: dt.datetime, zone: dt.tzinfo, is_end: bool) -> float:
    """The instant at which clocks in a zone show a time; one that they skip is as before they were changed."""
    return local.replace(tzinfo=zone, fold=int(is_end and _is_shown_twice(local, zone))).timestamp()


def _is_shown_twice(local: dt.datetime, zone: dt.tzinfo) -> bool:
    first, second = (local.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return second > first


def as_text(at: float, zone: str = "UTC") -> str:
    """An instant for people: in UTC, after what clocks show in the zone.

    >>> as_text(1795676400, "Europe/Berlin")
    '2026-11-26 08:00:00 CET (2026-11-26T07:00:00Z)'
    """
    utc = dt.datetime.fromtimestamp(at, dt.timezone.utc)
    fraction = "milliseconds" if utc.microsecond else "seconds"
    text = utc.isoformat(timespec=fraction).replace("+00:00", "Z")
    if zone == "UTC":
        return text
    local = utc.astimezone(zone_of(zone))
    return f"{local:%Y-%m-%d %H:%M:%S %Z} ({text})"
