"""Times: ISO 8601 in the forms that libraries write, and nothing that is no time."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import pytest
from ciso8601 import parse_datetime
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.language.fields import Field, FieldError, compile_check

time_of = compile_check(Field("event_time", "time"))
moments = st.datetimes(timezones=st.just(timezone.utc))


@given(moments)
def test_a_time_with_milliseconds_is_that_of_a_parser(moment: datetime) -> None:
    text = moment.isoformat(timespec="milliseconds")[:-6] + "Z"
    assert time_of(text) == math.floor(parse_datetime(text).timestamp())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-26T10:00:59.999Z", 1795687259),
        ("2026-11-26T10:00:59.000+01:00", 1795683659),
        ("2026-11-26T10:00:59Z", 1795687259),
        ("2026-11-26 10:00:59.999Z", 1795687259),
        ("1969-12-31T23:59:59.500Z", -1),
    ],
)
def test_other_forms_are_read(text: str, seconds: int) -> None:
    assert time_of(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T10:00:00.000Z",  # not a leap year
        "2026-13-26T10:00:00.000Z",
        "2026-11-26T24:01:00.000Z",
        "2026-11-26T10:60:00.000Z",
        "2026-11-26T10:00:61.000Z",
        "2026-11-26T10:00:00.²²²Z",
        "2026-11-2\N{ARABIC-INDIC DIGIT SIX}T10:00:00.000Z",
        "2026-11-26T10:00:00.000Y",
        "0000-11-26T10:00:00.000Z",
        "2026-1-026T10:00:00.000Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        time_of(text)
