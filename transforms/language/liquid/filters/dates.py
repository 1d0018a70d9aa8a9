"""Filters of dates."""

from __future__ import annotations

import time
from typing import Any

from capybeam.transforms.language.liquid import dates as liquid_dates
from capybeam.transforms.language.liquid.filters.registry import failed, filter_named
from capybeam.transforms.language.liquid.values import (
    Room,
    plain,
    shown,
)
from capybeam.transforms.standards.javascript import MISSING


def _dated(room: Room, value: Any, pattern: str, zone: Any = None) -> Any:
    at = liquid_dates.moment(plain(value), time.time)
    try:
        written = None if at is None else liquid_dates.formatted(at, pattern, plain(zone), room.take)
    except liquid_dates.UnknownZone:
        raise failed("date was given an unknown time zone.") from None
    return value if written is None else written


@filter_named("date", most=2)
def _date(room: Room, value: Any, pattern: Any = None, zone: Any = None) -> Any:
    pattern = plain(pattern)
    chosen = liquid_dates.DEFAULT_FORMAT if pattern is None or pattern is MISSING else shown(pattern)
    return _dated(room, value, chosen, zone)


@filter_named("date_to_xmlschema")
def _date_to_xmlschema(room: Room, value: Any) -> Any:
    return _dated(room, value, "%Y-%m-%dT%H:%M:%S%:z")


@filter_named("date_to_rfc822")
def _date_to_rfc822(room: Room, value: Any) -> Any:
    return _dated(room, value, "%a, %d %b %Y %H:%M:%S %z")


@filter_named("date_to_string", most=2)
def _date_to_string(room: Room, value: Any, kind: Any = MISSING, style: Any = MISSING) -> Any:
    return _dated(room, value, _written_out("%b", kind, style))


@filter_named("date_to_long_string", most=2)
def _date_to_long_string(room: Room, value: Any, kind: Any = MISSING, style: Any = MISSING) -> Any:
    return _dated(room, value, _written_out("%B", kind, style))


def _written_out(month: str, kind: Any, style: Any) -> str:
    if kind != "ordinal":
        return f"%d {month} %Y"
    return f"{month} %-d%q, %Y" if style == "US" else f"%-d%q {month} %Y"
