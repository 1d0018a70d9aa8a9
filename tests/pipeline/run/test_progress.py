"""What the screen says while a run is under way."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from capybeam.pipeline.log_lines import timestamp
from capybeam.pipeline.run import progress as progresses
from capybeam.pipeline.run.exit_codes import GAVE_UP
from capybeam.pipeline.run.progress import Observer, Watched, size_of
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sources import Size, Source
from capybeam.transforms.core.backlog import Backlog, Counted
from capybeam.transforms.core.progress import Progress
from tests.pipeline.jobs import rows
from tests.pipeline.run.runs import run, small_order


@pytest.mark.slow
def test_what_fails_on_one_event_costs_that_event_alone_and_the_screen_says_so(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults(poisoned_ids="order-77", poison_answer="error")
    ended, books = run(sandbox.url, [small_order(n) for n in range(100)])
    dead = {row["event_id"] for row in rows("dead.jsonl")}
    assert (ended, books["delivered"], dead) == (GAVE_UP, 99, {"order-77"})
    error = capsys.readouterr().err
    assert "web: a batch keeps failing while others get through. Meta, code 1:" in error
    assert "web: gave up: Meta, code 1:" in error


@pytest.mark.slow
def test_the_screen_says_what_was_waited_for_in_vain(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults(throttle_next=1, throttle_status=429, retry_after="3600")
    started = time.monotonic()
    ended, books = run(sandbox.url, [small_order(n) for n in range(100)])
    assert (ended, books["dead_lettered"], books["balanced"]) == (GAVE_UP, 100, True)
    assert time.monotonic() - started < 30
    assert "web: gave up: Meta, code 80004/2446079: rate limit." in capsys.readouterr().err


def test_the_rate_is_that_of_the_last_seconds_and_the_time_left_that_of_the_last_minute() -> None:
    progress, now = Progress(), [0.0]
    observer = Observer(Watched(progress, ("web", "crm"), Size(bytes=1000)), clock=lambda: now[0])
    for second in range(1, 101):  # ten events a second, then one
        now[0] = second
        progress.update({"read": 10 if second <= 80 else 1})
        progress.advance(5)
        snapshot = observer.look()
    assert (snapshot.read, snapshot.rate, snapshot.share) == (820, 1.0, 0.5)
    assert snapshot.seconds_left == pytest.approx(100, rel=0.05)
    assert snapshot.line() == (
        "820 read (1/s), 0 delivered, 0 dead-lettered, 50 % of the input, about 2 min left, 100 s"
    )


NOW = 1_795_747_000.0


@pytest.mark.parametrize(
    ("backlog", "text", "fields"),
    [
        (None, "", None),
        (
            Backlog(),
            "a backlog of at least 0, ",
            {"messages": 0, "at_least": True, "in_hand": 0, "oldest_in_hand_seconds": None},
        ),
        (
            Backlog(12_345, 100.0, 130.0),
            "a backlog of at least 12,345 (the oldest is 2 min old), ",
            {"messages": 12_345, "oldest_in_hand_seconds": 100.0, "longest_delay_seconds": 130.0, "counted": None},
        ),
        (
            Backlog(10, 5.0, None, Counted(67_890, NOW - 180, NOW - 780)),
            "a backlog of 67,890 (the oldest was 10 min old) 3 min ago, 10 in hand (the oldest is 5 s old), ",
            {"messages": 67_890, "at_least": False, "oldest_published": timestamp(NOW - 780)},
        ),
        (
            Backlog(0, None, None, Counted(0, NOW - 180)),
            "a backlog of 0 3 min ago, 0 in hand, ",
            {"messages": 0, "at_least": False, "oldest_published": None},
        ),
    ],
)
def test_the_backlog_of_a_stream_is_shown(
    backlog: Backlog | None, text: str, fields: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progresses, "time", SimpleNamespace(time=lambda: NOW, monotonic=time.monotonic))
    progress = Progress()
    if backlog is not None:
        progress.watch_backlog(lambda: backlog)
    snapshot = Observer(Watched(progress)).look()
    assert snapshot.line() == f"0 read (0/s), 0 delivered, 0 dead-lettered, {text}0 s"
    found = snapshot.fields()["backlog"]
    assert (found and {**found, **(fields or {})}) == found
    assert (found is None) == (fields is None)


@pytest.mark.parametrize(
    ("size", "read", "position", "share"),
    [
        (Size(bytes=200), 7, 50, 0.25),
        (Size(bytes=200), 7, 0, None),  # read elsewhere
        (Size(rows=100), 25, 0, 0.25),
        (Size(bytes=200, rows=100), 25, 100, 0.5),
        (Size(), 25, 100, None),
        (Size(bytes=0), 0, 0, None),
        (Size(rows=10), 25, 0, 1.0),  # rows that hold several events
    ],
)
def test_the_share_is_of_bytes_or_rows_where_they_are_known(
    size: Size, read: int, position: int, share: float | None
) -> None:
    progress = Progress()
    progress.advance(position)
    assert Watched(progress, (), size).share(read) == share


def test_the_size_of_several_inputs_is_known_where_all_have_the_same_unit() -> None:
    file, table = Source("a", "", None, size=Size(1, 100)), Source("b", "", None, size=Size(rows=5))
    stream = Source("c", "", None)
    assert size_of([file, file]) == Size(bytes=200)
    assert size_of([table, table]) == Size(rows=10)
    assert size_of([file, table]) == size_of([file, stream]) == Size()


def test_a_line_says_what_destinations_do_that_do_not_deliver() -> None:
    progress = Progress()
    progress.set_status("web", "Meta, code 2.", "retrying", wait=30.4)
    progress.set_status("crm", "HELD. The token is invalid.", "held")
    progress.set_status("pubsub", "does not answer")
    snapshot = Observer(Watched(progress, ("web", "crm", "app"))).look()
    assert snapshot.line().endswith("; web retrying for another 30 s; crm held")
    states = snapshot.fields()["destinations"]
    assert states["crm"] == {"state": "held", "until": None}
    assert states["app"] == {"state": "delivering", "until": None}
    assert states["web"]["state"] == "retrying"
    assert states["web"]["until"].endswith("Z")
