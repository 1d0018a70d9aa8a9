"""LiquidJS's ``date``: texts as V8 reads them, formats as LiquidJS's strftime writes them, in UTC.

Segment's machines run in UTC, so a time without an offset is one of UTC and what is written is UTC; this machine's own
zone plays no part. A moment is a number of milliseconds since 1970, as in JavaScript, and may lie in any of its 547,000
years, where Python's own dates end in 9999.
"""

from __future__ import annotations

import datetime
import math
import re
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING

DEFAULT_FORMAT: Final = "%A, %B %-e, %Y at %-l:%M %P %z"

_LATEST: Final = 8.64e15  # milliseconds from 1970, either way: the end of JavaScript's time
_LONGEST: Final = 256  # characters of a text that may be a date: reading is slower than all else a filter does
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


class UnknownZone(ValueError):
    """No time zone has this name."""


def moment(value: Any, now: Callable[[], float]) -> float | None:
    """The milliseconds since 1970 that a value stands for, or None if it is not a time.

    A number, and a text of digits, is seconds. `now` gives the seconds that ``now`` and ``today`` stand for.
    """
    if value is None or value is MISSING:
        return None
    if type(value) is list or type(value) is dict:
        read = parse(javascript.text(value))
    elif type(value) is bool:
        read = float(value)
    elif type(value) is not str:
        read = value * 1000.0
    elif value in ("now", "today"):
        read = now() * 1000
    elif value.isascii() and value.isdigit():
        read = javascript.number(value) * 1000
    else:
        read = parse(value)
    return float(math.trunc(read)) if read is not None and abs(read) <= _LATEST else None


def behind_utc(zone: Any, at: float) -> float:
    """The minutes by which a zone's clocks are behind UTC at a moment. `zone` is its name, or those minutes.

    Raises:
        UnknownZone
    """
    if zone is None or zone is MISSING:
        return 0.0
    if type(zone) is not str:
        return javascript.number(zone)
    try:
        known = zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZone(zone) from None
    seconds = min(max(at / 1000, -62_000_000_000), 253_000_000_000)  # the years 5 to 9987, which Python knows
    ahead = datetime.datetime.fromtimestamp(math.floor(seconds), known).utcoffset()
    return -(ahead or datetime.timedelta()).total_seconds() / 60


# --- reading ----------------------------------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str  # number | word | space | other | the symbol itself: : - + . ) | "" at the end
    number: int = 0
    length: int = 0
    word: str = ""  # its first three letters, lower-cased


_END: Final = _Token("")
_SCANNED: Final = re.compile(
    rf"([0-9]+)|([^\x00-\x40{javascript.SPACE}]+)|([{javascript.SPACE}])|([-:+.)])|(\()|(.)", re.DOTALL
)
_SIGNIFICANT_DIGITS: Final = 9
_MONTH_WORDS: Final = {name[:3].lower(): number for number, name in enumerate(_MONTHS, 1)}
_HALF_DAYS: Final = {"am": 0, "pm": 12}
_ZONES: Final = {
    "ut": 0, "utc": 0, "z": 0, "gmt": 0,
    "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
}  # fmt: skip


def parse(text: str) -> float | None:
    """``Date.parse`` of V8: ISO 8601, and what browsers have always read besides, such as 4 March 2026 or 3/4/26.

    >>> parse("2026-03-04T05:06:07+02:00"), parse("4 March 2026"), parse("nonsense")
    (1772593567000.0, 1772582400000.0, None)
    """
    if len(text) > _LONGEST:
        return None
    found = _ISO.fullmatch(text)
    if found is None:
        return _Legacy(text).read()
    year, month, day, hour, minute, second, part, zone = found.groups()
    if year == "-000000":
        return None
    offset = 0
    if zone and zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > 23 or minutes > 59:
            return None
        offset = hours * 60 + minutes if zone[0] == "+" else -hours * 60 - minutes
    return _milliseconds_at(
        int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0),
        int(part[:3].ljust(3, "0")) if part else 0, offset,
    )  # fmt: skip


_ISO: Final = re.compile(
    r"([0-9]{4}|[+-][0-9]{6})(?:-([0-9]{2})(?:-([0-9]{2}))?)?"
    r"(?:[Tt]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)


class _Legacy:
    """A text being read that is not ISO 8601, piece by piece, by the rules that V8's date parser describes."""

    def __init__(self, text: str) -> None:
        self._tokens = _scanned(text)
        self._next = next(self._tokens, _END)
        self._day: list[int] = []
        self._month: int | None = None  # by its name
        self._time: list[int] = []
        self._half: int | None = None
        self._sign = 0  # of the offset; 0 without one
        self._offset: list[int | None] = [None, None]  # hours and minutes

    def read(self) -> float | None:
        if self._next.kind == "number" and self._next.length == 4:  # a year, whatever comes behind it
            self._day.append(self._take().number)
            self._skip("-")
        begun = bool(self._day)  # a number has been read
        while (token := self._take()) is not _END:
            if token.kind == "number":
                begun = True
                if not self._add_number(token):
                    return None
            elif token.kind == "word":
                if not self._add_word(token, begun):
                    return None
            elif token.kind in ("+", "-") and (self._offset == [0, 0] or self._time):
                begun = True
                if not self._add_offset(token.kind):
                    return None
            elif token.kind in ("+", "-", ")") and begun:
                return None
        return self._written()

    def _take(self) -> _Token:
        token, self._next = self._next, next(self._tokens, _END)
        return token

    def _skip(self, kind: str) -> bool:
        if self._next.kind != kind:
            return False
        self._take()
        return True

    def _add_offset(self, sign: str) -> bool:
        self._sign = 1 if sign == "+" else -1
        following = self._take() if self._next.kind == "number" else _END
        if self._next.kind == ":":
            self._offset = [following.number, None]
        elif following.length in (1, 2):
            self._offset = [following.number, 0]
        elif following.length in (3, 4):
            self._offset = list(divmod(following.number, 100))
        else:
            return False
        return True

    def _add_number(self, token: _Token) -> bool:
        number = token.number
        if self._skip(":"):
            if self._skip(":"):
                if self._time:
                    return False
                self._time += [number, 0]
                return True
            if len(self._time) == 4:
                return False
            self._time.append(number)
            self._skip(".")
            return True
        if self._skip(".") and self._expects_time(number):
            self._time.append(number)
            if self._next.kind != "number":
                return False
            self._finish_time(_milliseconds(self._take()))
        elif self._offset[0] is not None and self._offset[1] is None and number < 60:
            self._offset[1] = number
        elif self._expects_time(number):
            self._finish_time(number)
            following = self._next
            if following.kind not in ("", "space", "+", "-") and not (following.word == "z" and following.length == 1):
                return False
        else:
            if len(self._day) == 3:
                return False
            self._day.append(number)
            self._skip("-")
        return True

    def _add_word(self, token: _Token, begun: bool) -> bool:
        word = token.word if token.length <= 3 else ""
        if word in _HALF_DAYS and self._time:
            self._half = _HALF_DAYS[word]
        elif token.word in _MONTH_WORDS:
            self._month = _MONTH_WORDS[token.word]
            self._skip("-")
        elif word in _ZONES and begun:
            self._sign = -1 if _ZONES[word] < 0 else 1
            self._offset = [abs(_ZONES[word]), 0]
        else:
            return not begun and self._next.kind != "number"
        return True

    def _expects_time(self, number: int) -> bool:
        return (0, 60, 60, 1000, 0)[len(self._time)] > number

    def _finish_time(self, number: int) -> None:
        if len(self._time) < 4:
            self._time.append(number)
        self._time += [0] * (4 - len(self._time))

    def _written(self) -> float | None:
        if not self._day:
            return None
        first, second, third = self._day + [1] * (3 - len(self._day))
        if self._month is not None:
            month = self._month
            day, year = (first, second) if 1 <= first <= 31 else (second, first)
        elif not 1 <= first <= 31:
            year, month, day = first, second, third
        else:
            month, day, year = first, second, third
        if 0 <= year < 100:
            year += 2000 if year < 50 else 1900
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return None
        hour, minute, second, part = self._time + [0] * (4 - len(self._time))
        if self._half is not None:
            if hour > 12:
                return None
            hour = hour % 12 + self._half
        hours, minutes = (value or 0 for value in self._offset)
        return _milliseconds_at(year, month, day, hour, minute, second, part, self._sign * (hours * 60 + minutes))


def _milliseconds_at(
    year: int, month: int, day: int, hour: int, minute: int, second: int, part: int, offset: int
) -> float | None:
    """The moment of a date and time, `offset` minutes ahead of UTC. A day that its month has not is one of the next."""
    if not (1 <= month <= 12 and 1 <= day <= 31 and minute < 60 and second < 60):
        return None
    if hour > 23 and (hour, minute, second, part) != (24, 0, 0, 0):
        return None
    days = _days_before(year, month) + day - 1
    return float(days * _DAY + hour * _HOUR + (minute - offset) * _MINUTE + second * _SECOND + part)


def _scanned(text: str) -> Iterator[_Token]:
    position = 0
    while found := _SCANNED.match(text, position):
        position = found.end()
        digits, word, space, symbol, bracket, _ = found.groups()
        if digits:
            yield _Token("number", int(digits.lstrip("0")[:_SIGNIFICANT_DIGITS] or "0"), len(digits))
        elif word:
            yield _Token("word", 0, len(word), word[:3].lower())
        elif bracket:
            position = _after_brackets(text, position)
            yield _Token("other")
        else:
            yield _Token("space" if space else symbol or "other")


def _after_brackets(text: str, position: int) -> int:
    depth = 1
    while depth and position < len(text):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        position += 1
    return position


def _milliseconds(token: _Token) -> int:
    """The digits behind a second's point. No more than the nine significant ones are known of them."""
    if token.length <= 3:
        return int(token.number * 10 ** (3 - token.length))
    length = min(token.length, _SIGNIFICANT_DIGITS)
    return int(token.number // 10 ** (length - 3))


# --- the calendar -----------------------------------------------------------------------------------------------


def _days_before(year: int, month: int) -> int:
    """The days from 1970 to the first of a month, in the Gregorian calendar of all times."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


class _Clock(NamedTuple):
    """What a calendar and a clock in some zone show at a moment."""

    utc: float  # milliseconds since 1970
    behind: float  # minutes behind UTC
    zone: str  # its name, or nothing
    year: int
    month: int
    date: int
    day: int  # of the week, from Sunday
    of_year: int
    hour: int
    minute: int
    second: int
    millisecond: int


def _clock(at: float, zone: Any) -> _Clock | None:
    """What is shown at a moment, or None where a zone's offset leads out of JavaScript's time."""
    behind = behind_utc(zone, at)
    shown = math.trunc(at - behind * _MINUTE) if math.isfinite(behind) else math.inf
    if abs(shown) > _LATEST:
        return None
    days, rest = divmod(int(shown), _DAY)
    since = days + 719_468
    era, of_era = divmod(since, 146_097)
    years = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * years + years // 4 - years // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = era * 400 + years + (month <= 2)
    return _Clock(
        utc=at,
        behind=behind,
        zone=zone if type(zone) is str else "UTC" if zone is None or zone is MISSING else "",
        year=year,
        month=month,
        date=of_year - (153 * shifted + 2) // 5 + 1,
        day=(days + 4) % 7,
        of_year=days - _days_before(year, 1) + 1,
        hour=rest // _HOUR,
        minute=rest // _MINUTE % 60,
        second=rest // _SECOND % 60,
        millisecond=rest % 1000,
    )


# --- writing ----------------------------------------------------------------------------------------------------

_DIRECTIVE: Final = re.compile(r"%([-_0^#:]+)?([0-9]+)?[EO]?([^\n\r\u2028\u2029])", re.ASCII)
_WIDTHS: Final = {**dict.fromkeys("CdeHIklmMSUWy", 2), "j": 3, "L": 3, "Y": 4}
_PADDED_BY_SPACE: Final = frozenset("aAbBceklpP")


def ordinal(date: int) -> str:
    """st, nd, rd or th, behind the day of a month."""
    return "th" if 11 <= date <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(date % 10, "th")


def _offset(clock: _Clock, colon: bool) -> str:
    hours, minutes = divmod(abs(clock.behind), 60)
    written = (javascript.number_text(hours).rjust(2, "0"), javascript.number_text(minutes).rjust(2, "0"))
    return ("-" if clock.behind > 0 else "+") + (":" if colon else "").join(written)


def _week(clock: _Clock, first_day: int) -> int:
    return (clock.of_year - 1 - (clock.day - first_day) % 7 + 7) // 7


def _english_date(clock: _Clock) -> str:
    return f"{clock.month}/{clock.date}/{clock.year if clock.year > 0 else 1 - clock.year}"


def _english_time(clock: _Clock) -> str:
    half = "AM" if clock.hour < 12 else "PM"
    return f"{clock.hour % 12 or 12}:{clock.minute:02}:{clock.second:02} {half}"


_CODES: Final[dict[str, Callable[[_Clock], str | int]]] = {
    "a": lambda clock: _DAYS[clock.day][:3],
    "A": lambda clock: _DAYS[clock.day],
    "b": lambda clock: _MONTHS[clock.month - 1][:3],
    "B": lambda clock: _MONTHS[clock.month - 1],
    "c": lambda clock: f"{_english_date(clock)}, {_english_time(clock)}",
    "C": lambda clock: clock.year // 100,
    "d": lambda clock: clock.date,
    "e": lambda clock: clock.date,
    "h": lambda clock: _MONTHS[clock.month - 1][:3],
    "H": lambda clock: clock.hour,
    "I": lambda clock: clock.hour % 12 or 12,
    "j": lambda clock: clock.of_year,
    "k": lambda clock: clock.hour,
    "l": lambda clock: clock.hour % 12 or 12,
    "L": lambda clock: clock.millisecond,
    "m": lambda clock: clock.month,
    "M": lambda clock: clock.minute,
    "p": lambda clock: "AM" if clock.hour < 12 else "PM",
    "P": lambda clock: "am" if clock.hour < 12 else "pm",
    "q": lambda clock: ordinal(clock.date),
    "s": lambda clock: math.floor(clock.utc / 1000),
    "S": lambda clock: clock.second,
    "u": lambda clock: clock.day or 7,
    "U": lambda clock: _week(clock, 0),
    "w": lambda clock: clock.day,
    "W": lambda clock: _week(clock, 1),
    "x": _english_date,
    "X": _english_time,
    "y": lambda clock: clock.year % 100,
    "Y": lambda clock: clock.year,
    "t": lambda clock: "\t",
    "n": lambda clock: "\n",
    "%": lambda clock: "%",
}


def formatted(at: float, pattern: str, zone: Any, charge: Callable[[int], None]) -> str | None:
    """A moment in LiquidJS's strftime, or None where the zone leads out of JavaScript's time.

    Unknown directives, such as %F, stay as they are. `charge` is called with the number of characters a width adds,
    before they are made.

    Raises:
        UnknownZone
    """
    clock = _clock(at, zone)
    if clock is None:
        return None

    def written(found: re.Match[str]) -> str:
        flags, digits, code = found.groups()
        convert = _CODES.get(code)
        if convert is None and code not in "zZN":
            return found[0]
        width = int(min(javascript.number(digits), javascript.LARGEST_LENGTH)) if digits else 0
        charge(width)
        if convert is not None:
            value = str(convert(clock))
        elif code == "N":
            value = f"{clock.millisecond:03}"[: width or 9].ljust(width or 9, "0")
        else:
            value = (clock.zone if code == "Z" else "") or _offset(clock, ":" in (flags or ""))
        filler = " " if code in _PADDED_BY_SPACE else "0"
        width = width or _WIDTHS.get(code, 0)
        if flags:
            if "^" in flags:
                value = value.upper()
            elif "#" in flags:
                value = value.upper() if re.search("[a-z]", value) else value.lower()
            filler = " " if "_" in flags else "0" if "0" in flags else filler
            width = 0 if "-" in flags else width
        return value.zfill(width) if filler == "0" and value.startswith("-") else value.rjust(width, filler)

    return _DIRECTIVE.sub(written, pattern)
