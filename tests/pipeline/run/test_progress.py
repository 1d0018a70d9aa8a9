"""What the screen says while a run is under way."""

from __future__ import annotations

import time

import pytest

from capybeam.pipeline.run.exit_codes import GAVE_UP
from capybeam.pipeline.sandbox.server import SandboxServer
from tests.pipeline.jobs import rows
from tests.pipeline.run.runs import run, small_order

pytestmark = pytest.mark.slow


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


def test_the_screen_says_what_was_waited_for_in_vain(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults(throttle_next=1, throttle_status=429, retry_after="3600")
    started = time.monotonic()
    ended, books = run(sandbox.url, [small_order(n) for n in range(100)])
    assert (ended, books["dead_lettered"], books["balanced"]) == (GAVE_UP, 100, True)
    assert time.monotonic() - started < 30
    assert "web: gave up: Meta, code 80004/2446079: rate limit." in capsys.readouterr().err
