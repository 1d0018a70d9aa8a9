"""Signals: what was read is delivered, and the books are true."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections import Counter
from pathlib import Path

import pytest

from capybeam.pipeline.run.exit_codes import INTERRUPTED, OK
from capybeam.pipeline.sandbox.server import SandboxServer
from tests.pipeline.jobs import job_file, rows
from tests.pipeline.run.runs import small_order, start, start_with, wait_for_events
from tests.reports import problems_of

pytestmark = pytest.mark.slow


def check_stopped(sandbox: SandboxServer, exit_code: int, events: int, output: str = "") -> None:
    books = json.loads(Path("books.json").read_text())
    assert exit_code == INTERRUPTED, output
    assert books["balanced"]
    assert (books["state"], books["exit_code"], list(problems_of(books))) == ("stopped", INTERRUPTED, [])
    assert 0 < books["read"] < events
    assert books["matched"] == books["delivered"] + books["dead_lettered"]
    assert books["delivered"] == sandbox.stats()["events_stored"] == sum(row["events"] for row in rows(RECEIPTS))
    assert Counter(row["code"] for row in rows("dead-letters.jsonl")) == Counter(
        {"interrupted": books["dead_lettered"]} if books["dead_lettered"] else {}
    )


RECEIPTS = "receipts.jsonl.gz"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_delivers_what_was_read_and_exits_130_with_the_books(
    sandbox: SandboxServer, number: signal.Signals
) -> None:
    process = start(sandbox, 40_000)
    process.send_signal(number)
    output, _ = process.communicate(timeout=100)
    check_stopped(sandbox, process.returncode, 40_000, output)
    assert "Stopped. Every event read so far is delivered or a dead letter" in output
    assert "The books balance." in output


def test_ctrl_c_ends_a_long_wait_at_once(sandbox: SandboxServer) -> None:
    sandbox.set_faults(throttle_next=1000, throttle_status=429, retry_after="3000")
    Path("job.yaml").write_text(job_file(sandbox.url, "{retry_for: 2h}"))
    Path("events.jsonl").write_bytes(b"".join(small_order(n) + b"\n" for n in range(100)))
    process = subprocess.Popen(
        [sys.executable, "-m", "capybeam", "run", "--config", "job.yaml", "--input", "events.jsonl",
         "--books", "books.json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    while "Trying again in 50 min" not in said and (line := process.stderr.readline()):
        said += line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    books = json.loads(Path("books.json").read_text())
    assert (process.returncode, books["dead_lettered"], books["balanced"]) == (INTERRUPTED, 100, True)
    assert {(row["code"], row["retryable"]) for row in rows("dead-letters.jsonl")} == {("interrupted", True)}


def test_a_terminal_that_is_closed_stops_the_run_with_its_books(sandbox: SandboxServer) -> None:
    ours, theirs = pty.openpty()
    process = start_with(
        sandbox,
        40_000,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    wait_for_events(sandbox, lambda: select.select([ours], [], [], 0.1)[0] and os.read(ours, 65536))
    os.close(ours)
    check_stopped(sandbox, process.wait(timeout=100), 40_000)


def test_a_second_hangup_asks_for_nothing_more_and_a_second_sigterm_ends_at_once(sandbox: SandboxServer) -> None:
    process = start(sandbox, 40_000)
    for number in (signal.SIGHUP, signal.SIGHUP):
        process.send_signal(number)
        time.sleep(0.2)
    output, _ = process.communicate(timeout=100)
    check_stopped(sandbox, process.returncode, 40_000, output)

    sandbox.reset()
    Path("books.json").unlink()
    process = start(sandbox, 40_000)
    sandbox.set_faults(latency=60)
    for number in (signal.SIGHUP, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(0.5)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED, output
    assert "The books" in output
    report = json.loads(Path("books.json").read_text())
    assert (report["state"], report["exit_code"], report["balanced"]) == ("stopped", INTERRUPTED, False)
    assert report["in_flight"] > 0
    assert list(problems_of(report)) == []


def test_under_nohup_a_hangup_is_ignored(sandbox: SandboxServer) -> None:
    process = start_with(
        sandbox,
        200,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_for_events(sandbox)
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, sandbox.stats()["events_stored"]) == (OK, 200), output
