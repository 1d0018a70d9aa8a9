"""How runs end: exit codes, what the user can do, and books that cannot be written or shown."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import shutil
import subprocess
import zlib
from collections import Counter
from pathlib import Path

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, GAVE_UP, OK, REFUSED
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sinks import SinkError, receipts
from capybeam.transforms.delivery.batches import Receipt
from tests.forks import Command
from tests.pipeline.jobs import job_file, order, rows
from tests.pipeline.run.runs import RUN, run, small_order, start_with, unstamped

pytestmark = pytest.mark.slow


def test_a_dead_token_exits_3_and_keeps_everything(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox.set_faults(dead_token=True)
    code, books = run(sandbox.url, [order(n) for n in range(5)])
    assert code == REFUSED
    assert (books["delivered"], books["dead_lettered"], books["balanced"]) == (0, 5, True)
    assert {(row["code"], row["retryable"]) for row in rows("dead.jsonl")} == {("destination_refused", True)}
    error = capsys.readouterr().err
    assert "web: REFUSED. Meta, code 190/463: the token is invalid or has expired." in error
    assert "Store a new access token where the job file points." in error


@pytest.mark.parametrize("code", [3, 2500, 4711, 100])
def test_a_refusal_of_everything_with_any_code_exits_3_after_few_requests(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    sandbox.set_faults(refused_code=code)
    job = job_file(sandbox.url, "{max_batch_events: 100}")
    ended, books = run(sandbox.url, [small_order(n) for n in range(1000)], job=job)
    assert (ended, books["dead_lettered"], books["balanced"]) == (REFUSED, 1000, True)
    assert {(row["code"], row["retryable"]) for row in rows("dead.jsonl")} == {("destination_refused", True)}
    assert sandbox.stats()["requests"] <= 40
    assert "web: REFUSED." in capsys.readouterr().err


def test_an_unreachable_endpoint_exits_5_and_keeps_everything() -> None:
    code, books = run("http://127.0.0.1:9", [order(n) for n in range(3)])
    assert code == GAVE_UP
    assert (books["dead_lettered"], books["balanced"]) == (3, True)
    assert {(row["code"], row["retryable"]) for row in rows("dead.jsonl")} == {("gave_up_retrying", True)}


def test_events_that_no_trigger_takes_are_spoken_of(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = run(sandbox.url, [b'{"type": "screen"}'])
    assert code == OK
    assert "No trigger took any of the events." in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, the disk that is always full")
def test_a_full_disk_for_dead_letters_fails_the_run_loudly(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = run(sandbox.url, [b"{broken"], dead_letters="/dev/full")
    assert code == FAILED
    assert "the run failed: Dead letters cannot be written to /dev/full: No space left" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, the disk that is always full")
def test_a_run_that_failed_does_not_wait_for_what_would_be_tried_for_an_hour(sandbox: SandboxServer) -> None:
    sandbox.set_faults(error_rate=1)
    Path("job.yaml").write_text(job_file(sandbox.url, "{retry_for: 1h}"))
    Path("events.jsonl").write_bytes(b"".join(order(n) + b"\n" for n in range(1500)) + b"{broken\n")
    process = Command(*RUN, "--dead-letters", "/dev/full")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == FAILED
    assert "the run failed: Dead letters cannot be written to /dev/full: No space left" in output
    assert sandbox.stats()["requests"] > 0


@pytest.mark.parametrize("lost", ["stdout", "stderr"])
def test_a_reader_that_has_left_fails_no_run(sandbox: SandboxServer, lost: str) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    process = start_with(sandbox, 200, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, lost: ours})
    os.close(ours)
    assert process.wait(timeout=60) == OK
    assert sandbox.stats()["events_stored"] == 200
    assert json.loads(Path("books.json").read_text())["balanced"]


FULL_BOOKS = "capybeam: The report cannot be written to /dev/full: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, the disk that is always full")
@pytest.mark.parametrize(
    ("faults", "lines", "dead_letters", "code", "said"),
    [
        ({}, [order(1)], "dead.jsonl", FAILED, ""),
        ({}, [b"{broken"], "dead.jsonl", DEAD_LETTERS, "1 dead letter is in dead.jsonl."),
        ({"dead_token": True}, [order(1)], "dead.jsonl", REFUSED, "web: REFUSED. Meta, code 190/463"),
        ({}, [b"{broken"], "/dev/zero/no", CONFIGURATION, "Dead letters cannot be written to /dev/zero/no"),
    ],
    ids=["nothing else", "dead letters", "a dead token", "no place for dead letters"],
)
def test_books_that_cannot_be_written_hide_no_other_cause(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str],
    faults: dict[str, bool], lines: list[bytes], dead_letters: str, code: int, said: str,
) -> None:  # fmt: skip
    sandbox.set_faults(**faults)
    Path("events.jsonl").write_bytes(b"\n".join(lines))
    outputs = Outputs(dead_letters, "receipts.jsonl", "/dev/full")
    assert run_job(RunRequest(parse_job(job_file(sandbox.url)), ["events.jsonl"], outputs)) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count(FULL_BOOKS) == (code != CONFIGURATION)


def test_a_run_that_failed_says_why_although_its_books_cannot_be_written(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_receipt: Receipt) -> bytes:
        shutil.rmtree("out")
        raise SinkError("Receipts cannot be written to receipts: Input/output error")

    monkeypatch.setattr(receipts, "RECEIPTS", dataclasses.replace(receipts.RECEIPTS, encode=fail))
    Path("events.jsonl").write_bytes(order(1) + b"\n")
    outputs = Outputs("dead", "receipts", "out/books.json")
    assert run_job(RunRequest(parse_job(job_file(sandbox.url)), ["events.jsonl"], outputs)) == FAILED
    error = capsys.readouterr().err
    first = "capybeam: the run failed: Receipts cannot be written to receipts: Input/output error\n"
    second = "capybeam: The report cannot be written to out/books.json: No such file or directory\n"
    assert first in error.partition(second)[0]


def test_books_on_a_full_standard_output_are_missed_aloud(sandbox: SandboxServer) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here, the disk that is always full")
    with open("/dev/full", "w") as full:
        process = start_with(sandbox, 100, stdout=full, stderr=subprocess.PIPE)
        _, error = process.communicate(timeout=60)
    assert process.returncode == OK
    assert "The books cannot be shown on standard output: No space left on device" in error
    assert json.loads(Path("books.json").read_text())["delivered"] == 100


class RefreshTokenError(Exception):
    """Of another library, with a name that ends like one of ours."""


def test_what_an_error_of_others_says_is_not_shown(
    sandbox: SandboxServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_receipt: Receipt) -> bytes:
        raise RefreshTokenError("the token of jane@example.com has expired\ntransforms.tokens.TokenError: jane")

    monkeypatch.setattr(receipts, "RECEIPTS", dataclasses.replace(receipts.RECEIPTS, encode=fail))
    Path("events.jsonl").write_bytes(order(1) + b"\n")
    assert (
        run_job(RunRequest(parse_job(job_file(sandbox.url)), ["events.jsonl"], Outputs("dead", "receipts"))) == FAILED
    )
    out, error = capfd.readouterr()
    assert "jane" not in out + error
    assert "capybeam: the run failed: RefreshTokenError (run again with --verbose for Beam's own log)\n" in error


@pytest.mark.parametrize("count", [300, 5000])
def test_a_packed_input_that_was_cut_off_is_delivered_as_far_as_it_goes_and_fails_the_run_with_its_name(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    packed = gzip.compress(b"\n".join(order(n % 90, messageId=f"o-{n}") for n in range(count)))
    packed = packed[: len(packed) // 2]
    Path("events.jsonl.gz").write_bytes(packed)
    *whole, last = zlib.decompressobj(31).decompress(packed).split(b"\n")
    assert len(whole) > count / 4

    job = parse_job(job_file(sandbox.url))
    assert run_job(RunRequest(job, ["events.jsonl.gz"], Outputs("dead", "receipts", "books.json"))) == FAILED

    message = "events.jsonl.gz is incomplete: it was cut off. What came before is read."
    books = json.loads(Path("books.json").read_text())
    assert (books["balanced"], books["read"], books["delivered"]) == (True, len(whole) + 1, len(whole))
    assert books["unfinished"] == [message]
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": len(whole)}}
    assert sum(row["events"] for row in rows("receipts")) == len(whole)
    assert [(row["code"], row["message"], row["payload"]) for row in rows("dead")] == [
        ("unreadable_rest", message, last.decode())
    ]
    assert f"capybeam: {message}\nWhat came before is delivered or a dead letter." in unstamped(capsys.readouterr().err)


def test_a_cut_off_input_counts_for_more_than_a_destination_that_refuses_everything(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the destination fixed, replaying would deliver what was read, and the rest of the input would be missed."""
    sandbox.set_faults(dead_token=True)
    Path("events.jsonl.gz").write_bytes(gzip.compress(b"\n".join(order(n) for n in range(50)))[:-8])
    job = parse_job(job_file(sandbox.url))

    assert run_job(RunRequest(job, ["events.jsonl.gz"], Outputs("dead", "receipts", "books.json"))) == FAILED

    books = json.loads(Path("books.json").read_text())
    assert (books["balanced"], books["delivered"], books["unreadable"]) == (True, 0, 1)
    assert Counter(row["code"] for row in rows("dead")) == {"destination_refused": 49, "unreadable_rest": 1}
    said = capsys.readouterr().err
    cut = said.index("capybeam: events.jsonl.gz is incomplete: it was cut off.")
    # the last time: a run that takes longer says so meanwhile, too
    assert cut < said.rindex("web: REFUSED. Meta, code 190/463") < said.index("50 dead letters are in dead.")
    assert "capybeam replay" not in said
