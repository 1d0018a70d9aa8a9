"""Dates as V8 reads them and LiquidJS writes them. The expected values are Node's, in UTC."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.transforms.language.liquid import dates as liquid_dates
from capybeam.transforms.language.liquid.dates import UnknownZone

DAY = 1772582400000.0  # 2026-03-04


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04", DAY),
        ("2026-03", 1772323200000.0),
        ("2026", 1767225600000.0),
        ("2026-03-04T05:06:07.890Z", 1772600767890.0),
        ("2026-03-04T05:06:07.123456789z", 1772600767123.0),
        ("2026-03-04T05:06:07+02:00", 1772593567000.0),
        ("2026-03-04T05:06:07-0330", 1772613367000.0),
        ("2026-03-04T05:06", 1772600760000.0),
        ("2026-03-04T24:00:00", DAY + 86_400_000),
        ("2026-02-30", 1772409600000.0),  # the second of March
        ("+012026-03-04", 317342102400000.0),
        ("-000001-01-01", -62198755200000.0),
        ("-000000-01-01", None),
        ("2026-13-01", None),
        ("2026-03-04T25:00", None),
        ("2026-03-04T05:06:07 Z", None),
        ("2026-03-04 05:06:07", 1772600767000.0),
        ("2026-03-04 05:06:07.890 +0000", 1772600767890.0),
        ("2026-03-04 05:06:07 UTC", 1772600767000.0),
        ("2026/03/04", DAY),
        ("03/04/2026", DAY),
        ("3/4/26", DAY),
        ("1/1/49", 2493072000000.0),
        ("1/1/50", -631152000000.0),
        ("25/12/2026", None),
        ("4 March 2026", DAY),
        ("4 Mar 2026", DAY),
        ("Mar 4, 2026 5:06 PM", 1772643960000.0),
        ("12:30 am Mar 4 2026", 1772584200000.0),
        ("13:00 pm Mar 4 2026", None),
        ("March 4th 2026", None),
        ("Wed, 04 Mar 2026 05:06:07 GMT", 1772600767000.0),
        ("Wed Mar 04 2026 05:06:07 GMT+0200 (Central (European) Time)", 1772593567000.0),
        ("Wed Mar 04 2026 05:06:07 PST", 1772629567000.0),
        ("Mar 4 2026 05:06 GMT-8", 1772629560000.0),
        ("Dec 1995", 817776000000.0),
        ("2026:", 1767225600000.0),
        ("2026:03:04 05:06:07", None),
        ("2026年3月4日", None),
        ("nonsense", None),
        ("", None),
        ("Mar 4 2026 " + " " * 300, None),  # no date is that long
    ],
)
def test_a_text_is_read_as_v8_reads_it(text: str, moment: float | None) -> None:
    assert liquid_dates.parse(text) == moment


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1790000000, 1790000000000.0),
        ("1790000000", 1790000000000.0),
        (1790000000123, 1790000000123000.0),
        (0.0015, 1.0),
        (-1, -1000.0),
        (True, 1.0),
        ("now", 5000.0),
        ("today", 5000.0),
        (["2026-03-04"], DAY),
        ({}, None),
        (None, None),
        ("", None),
        (1e300, None),
        ("9" * 400, None),
    ],
)
def test_a_value_is_a_moment(value: Any, moment: float | None) -> None:
    assert liquid_dates.moment(value, lambda: 5) == moment


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%a %A %b %B %h", "Wed Wednesday Mar March Mar"),
        ("%Y %y %C %m %d %e %-d %j", "2026 26 20 03 04  4 4 063"),
        ("%H %I %k %l %M %S %L %N %3N %p %P", "05 05  5  5 06 07 890 890000000 890 AM am"),
        ("%s %u %w %U %W %q", "1772600767 3 3 09 09 th"),
        ("%c|%x|%X", "3/4/2026, 5:06:07 AM|3/4/2026|5:06:07 AM"),
        ("%z %:z %Z %%%t%n", "+0000 +00:00 UTC %\t\n"),
        ("%^a %#p %_m %05d %-m %0e %10Y", "WED am  3 00004 3 04 0000002026"),
        ("%F %D %T %R %é %", "%F %D %T %R %é %"),
        ("%EY %Od", "2026 04"),
    ],
)
def test_a_moment_is_written_as_liquidjs_writes_it(pattern: str, text: str) -> None:
    assert liquid_dates.formatted(1772600767890.0, pattern, None, lambda count: None) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01 4 001 00"),
        (951782400000.0, "2000-02-29 2 060 09"),
        (1735689599999.0, "2024-12-31 2 366 52"),
        (-1.0, "1969-12-31 3 365 52"),
        (1790000000123000.0, "58692-11-03 4 308 44"),
        (-62198755200000.0, "-001-01-01 5 001 00"),
        (8.64e15, "275760-09-13 6 257 36"),
    ],
)
def test_the_calendar_holds_at_all_times(at: float, text: str) -> None:
    assert liquid_dates.formatted(at, "%Y-%m-%d %u %j %U", None, lambda count: None) == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("America/New_York", "00:06 -0500 America/New_York 1772600767"),
        ("Asia/Kolkata", "10:36 +0530 Asia/Kolkata 1772600767"),
        (-120, "07:06 +0200 +0200 1772600767"),
        (None, "05:06 +0000 UTC 1772600767"),
    ],
)
def test_a_zone_moves_what_is_shown(zone: Any, text: str) -> None:
    assert liquid_dates.formatted(1772600767890.0, "%H:%M %z %Z %s", zone, lambda count: None) == text


@pytest.mark.parametrize("zone", ["Nope/Zone", "", "../../etc/passwd", "a" * 10_000, "\x00"])
def test_a_zone_that_is_not_known_is_refused(zone: str) -> None:
    with pytest.raises(UnknownZone):
        liquid_dates.formatted(0.0, "%H", zone, lambda count: None)


def test_a_zone_beyond_time_shows_nothing() -> None:
    assert liquid_dates.formatted(8.64e15, "%H", -1, lambda count: None) is None
    assert liquid_dates.formatted(0.0, "%H", float("inf"), lambda count: None) is None


def test_a_width_is_charged_before_it_is_made() -> None:
    charged: list[int] = []

    def refuse(count: int) -> None:
        charged.append(count)
        if count > 100:
            raise MemoryError

    for pattern in ("%1000000000000000Y", "%999999999N", "%" + "9" * 500 + "d"):
        with pytest.raises(MemoryError):
            liquid_dates.formatted(0.0, pattern, None, refuse)
    assert charged == [10**15, 999999999, 2**53 - 1]
