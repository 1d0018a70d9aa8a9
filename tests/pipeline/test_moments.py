"""Times as people give them, in a time zone, daylight saving included."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from capybeam.pipeline.cli import main
from capybeam.pipeline.moments import BadMoment, Clock, as_text, parse, zone_of
from capybeam.pipeline.sources import SinceLast, TimeRange
from capybeam.pipeline.time_options import GivenTimes, time_range
from tests.pipeline.jobs import job_file


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def clock(now: str, zone: str = "UTC") -> Clock:
    return Clock(at(now), zone_of(zone))


@pytest.mark.parametrize(
    ("text", "zone", "now", "instant"),
    [
        ("now", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-27T03:17:00+00:00"),
        ("today", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-27T00:00:00+00:00"),
        ("yesterday", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-26T00:00:00+00:00"),
        ("Yesterday", "Europe/Berlin", "2026-11-27T03:17:00+00:00", "2026-11-26T00:00:00+01:00"),
        # in Berlin it is the 27th already, in New York still the 26th
        ("yesterday", "Europe/Berlin", "2026-11-26T23:30:00+00:00", "2026-11-26T00:00:00+01:00"),
        ("yesterday", "America/New_York", "2026-11-27T03:17:00+00:00", "2026-11-25T00:00:00-05:00"),
        ("2d", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-25T03:17:00+00:00"),
        ("2 days ago", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-25T03:17:00+00:00"),
        ("1w", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-20T03:17:00+00:00"),
        ("36h", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-25T15:17:00+00:00"),
        ("90m", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-27T01:47:00+00:00"),
        ("1.5h", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-27T01:47:00+00:00"),
        # days of the calendar: the one in between had 25 hours, and 23
        ("2d", "Europe/Berlin", "2026-10-26T03:17:00+01:00", "2026-10-24T03:17:00+02:00"),
        ("2d", "Europe/Berlin", "2026-03-30T03:17:00+02:00", "2026-03-28T03:17:00+01:00"),
        ("yesterday", "Europe/Berlin", "2026-03-30T03:17:00+02:00", "2026-03-29T00:00:00+01:00"),
        ("yesterday", "Europe/Berlin", "2026-10-26T03:17:00+01:00", "2026-10-25T00:00:00+02:00"),
        # hours are hours
        ("48h", "Europe/Berlin", "2026-10-26T03:17:00+01:00", "2026-10-24T04:17:00+02:00"),
        # a day that begins at one o'clock, as the clocks skip midnight
        ("today", "Africa/Cairo", "2026-04-24T12:00:00+03:00", "2026-04-24T01:00:00+03:00"),
        ("2026-11-26", "Europe/Berlin", "2026-11-27T03:17:00+00:00", "2026-11-26T00:00:00+01:00"),
        ("20261126", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-26T00:00:00+00:00"),
        ("2026-11-26T10:00", "Europe/Berlin", "2026-11-27T03:17:00+00:00", "2026-11-26T10:00:00+01:00"),
        ("2026-11-26T10:00:00Z", "Europe/Berlin", "2026-11-27T03:17:00+00:00", "2026-11-26T10:00:00+00:00"),
        ("2026-11-26 10:00:00+05:30", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-26T10:00:00+05:30"),
        ("1795676400", "Europe/Berlin", "2026-11-27T03:17:00+00:00", "2026-11-26T07:00:00+00:00"),
        ("1795676400.5", "UTC", "2026-11-27T03:17:00+00:00", "2026-11-26T07:00:00.500+00:00"),
    ],
)
def test_a_time_is_understood(text: str, zone: str, now: str, instant: str) -> None:
    assert parse(text, clock(now, zone)) == at(instant)


def test_a_time_that_clocks_show_twice_leaves_nothing_out() -> None:
    berlin = clock("2026-11-27T00:00:00+00:00", "Europe/Berlin")
    assert parse("2026-10-25T02:30", berlin) == at("2026-10-25T02:30:00+02:00")
    assert parse("2026-10-25T02:30", berlin, is_end=True) == at("2026-10-25T02:30:00+01:00")
    for is_end in (False, True):  # one that they skip, and one that they show once
        assert parse("2026-03-29T02:30", berlin, is_end) == at("2026-03-29T03:30:00+02:00")
        assert parse("2026-06-01T02:30", berlin, is_end) == at("2026-06-01T02:30:00+02:00")


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "22/11/2026", "nan", "inf", "-inf", "-2d", "2y", "d", "99999999d", "999999d", "2026", "12345"),
        *("1795676400000", "1795676400000000", "2026-13-01", "2026-11-26T25:00", "last", "2d 3h"),
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadMoment, match=r"^(is not a time: ISO 8601 |has too many digits for Unix seconds)"):
        parse(text, clock("2026-11-27T03:17:00+00:00", "Europe/Berlin"))


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(BadMoment):
        assert parse(text, Clock(1_795_676_400.0)) < 1e12


ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Africa/Cairo", "Australia/Lord_Howe"]
)


@given(st.integers(1_700_000_000, 1_900_000_000), ZONES)
def test_days_follow_each_other_without_a_gap(now: int, zone: str) -> None:
    here = Clock(now, zone_of(zone))
    today, yesterday = parse("today", here), parse("yesterday", here)
    assert yesterday < today <= now
    assert 22 * 3600 <= today - yesterday <= 26 * 3600
    assert parse("today", Clock(today - 1, here.zone)) == yesterday


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Europe/Berln", "is not the name of a time zone; did you mean Europe/Berlin?"),
        ("Mars", "is not the name of a time zone, such as Europe/Berlin"),
        ("../etc/passwd", "is not the name of a time zone"),
        ("", "is not the name of a time zone"),
    ],
)
def test_a_zone_that_there_is_not_is_refused(name: str, said: str) -> None:
    with pytest.raises(BadMoment, match=said.replace("?", r"\?")):
        zone_of(name)


def test_an_instant_is_shown_in_the_zone_and_in_utc() -> None:
    assert (
        as_text(at("2026-10-25T02:30:00+02:00"), "Europe/Berlin") == "2026-10-25 02:30:00 CEST (2026-10-25T00:30:00Z)"
    )
    assert as_text(at("2026-10-25T02:30:00+01:00"), "Europe/Berlin") == "2026-10-25 02:30:00 CET (2026-10-25T01:30:00Z)"
    assert as_text(at("2026-10-25T02:30:00+01:00")) == "2026-10-25T01:30:00Z"


DATAFLOW = (
    *("--runner=DataflowRunner", "--project=acme-prod", "--region=europe-west1", "--temp_location=gs://acme/tmp"),
    *("--sdk_container_image=acme/capybeam:1", "--receipts=gs://acme/receipts", "--dead-letters=gs://acme/dead"),
)


# --- together ----------------------------------------------------------------------------------------------------

NOW = at("2026-11-27T03:17:00+00:00")


def given_times(since: str | None = None, until: str | None = None, **more: str) -> GivenTimes:
    given = {"time_zone": "UTC", "time_column": None, "overlap": None, **more}
    return GivenTimes(since, until, **given)  # type: ignore[arg-type]


def test_yesterday_until_today_is_a_day_of_the_zone() -> None:
    found, last = time_range(given_times("yesterday", "today", time_zone="Europe/Berlin", time_column="loaded_at"), NOW)
    assert (found.since, found.until) == (at("2026-11-26T00:00:00+01:00"), at("2026-11-27T00:00:00+01:00"))
    assert last is None
    assert found.sentence() == (
        "Rows are read whose loaded_at is from 2026-11-26 00:00:00 CET (2026-11-25T23:00:00Z) until before"
        " 2026-11-27 00:00:00 CET (2026-11-26T23:00:00Z)."
    )


def test_last_reads_until_now_and_goes_on_an_hour_before() -> None:
    assert time_range(given_times("last"), NOW) == (TimeRange(None, NOW, goes_on=True), SinceLast(3600.0, None, NOW))
    assert time_range(given_times("last,2d", "1h", overlap="30m"), NOW) == (
        TimeRange(None, NOW - 3600, goes_on=True),
        SinceLast(1800.0, NOW - 2 * 86_400, NOW),
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--since", "soon"],
            "--since soon is not a time: ISO 8601 (2026-11-26 or 2026-11-26T10:00:00Z), Unix seconds,",
        ),
        (["--until", "soon"], "--until soon is not a time"),
        (["--since", "today", "--until", "yesterday"], "--since today is not before --until yesterday: nothing can be"),
        (["--since", "2d", "--time-zone", "Berlin"], "--time-zone Berlin is not the name of a time zone"),
        (["--time-column", "loaded_at"], "--time-column says what --since and --until are about; give one of them"),
        (["--since", "2d", "--overlap", "1h"], "--overlap is for --since last"),
        (["--since", "last", "--overlap", "soon"], "--overlap soon: is not a duration"),
        (["--since", "last,soon"], "--since soon is not a time"),
        (["--since", "last,1h", "--until", "2h"], "--since last,1h does not begin before --until 2h"),
        (["--max-bytes-billed", "much"], "--max-bytes-billed much is not a number of bytes, for example 20GB"),
        (["--since", "last"], "--since last: no run with these receipts"),
        (["--since", "last,2d", "--no-wait", *DATAFLOW], "--since last keeps its place once the job has succeeded"),
        (
            ["--since", "last", "--receipts", "pubsub:projects/p/topics/t"],
            "The watermark cannot be kept beside pubsub:",
        ),
        (["--since", "last", "--receipts", "/dev/null"], "The watermark cannot be kept beside /dev/null"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_asked(
    options: list[str], said: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("job"))
    with open("job.yaml", "w", encoding="utf-8") as file:
        file.write(job_file("http://127.0.0.1:1"))
    result = CliRunner().invoke(main, ["run", "--config=job.yaml", "--input=bigquery:a.b.c", *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"capybeam: {said}" in result.stderr


@pytest.mark.parametrize(
    ("text", "count"), [("500", 500), ("20GB", 20 * 10**9), ("1TiB", 1024**4), ("10 MB", 10**7), ("3kB", 3000)]
)
def test_bytes_are_counted_in_units(text: str, count: int) -> None:
    from capybeam.pipeline.command_line import byte_count

    assert byte_count("--max-bytes-billed", text) == count
