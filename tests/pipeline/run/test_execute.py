"""`run`, end to end on one machine: a file in, a real server at the end, books that balance."""

from __future__ import annotations

import base64
import dataclasses
import fcntl
import gzip
import json
import logging
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from capybeam.pipeline import file_systems
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.beam_options import DEFAULT_RUNNER, max_workers
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, INTERRUPTED, OK, REFUSED
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.pipeline.sinks import SinkError
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.delivery.batches import Receipt
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.filtering import _FilterEvents
from capybeam.transforms.hashing import _HashUserData
from capybeam.transforms.mapping import _MapProperties
from capybeam.transforms.naming import _MapEventNames
from capybeam.transforms.parsing import _ParseEvents
from capybeam.transforms.sending import _SendBatches
from capybeam.transforms.validating import _ValidateConversions
from tests.pipeline.jobs import JANE, TOKEN, job_file, order, rows

pytestmark = pytest.mark.slow


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as server:
        yield server


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)


def small_order(number: int) -> bytes:
    """One that the destination web alone takes."""
    return order(number, properties={"revenue": 5, "currency": "EUR"})


def run(endpoint: str, lines: list[bytes], **settings: Any) -> tuple[int, dict[str, Any]]:
    """Runs a job over lines in the current folder; its exit code and its books."""
    Path("events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    settings = {"dead_letters": "dead.jsonl", "receipts": "receipts.jsonl", **settings}
    job = parse_job(settings.pop("job", job_file(endpoint)))
    code = run_job(
        RunRequest(job, ["events.jsonl"], Outputs(settings["dead_letters"], settings["receipts"], "books.json"))
    )
    return code, json.loads(Path("books.json").read_text()) if Path("books.json").exists() else {}


def test_every_event_is_delivered_filtered_or_a_dead_letter(sandbox: SandboxServer) -> None:
    lines = [order(n) for n in range(90, 110)]
    lines += [b"{broken", b"", b'{"type": "screen"}', order(1, properties={"currency": "EUR"})]
    code, books = run(sandbox.url, lines)
    assert code == DEAD_LETTERS
    assert books == {
        "balanced": True,
        "read": 23,
        "taken": 21,
        "filtered": 1,
        "unparsable": 1,
        "matched": 31,
        "delivered": 30,
        "dead_lettered": 2,
        "rejected_before_matching": {"parse/invalid_json": 1},
        "subscriptions": {
            "crm/purchase": {"matched": 10, "delivered": 10, "dead_lettered": {}, "notes": {"website_without_url": 10}},
            "web/purchase": {
                "matched": 21,
                "delivered": 20,
                "dead_lettered": {"map/missing_required_field": 1},
                "notes": {"website_without_url": 20},
            },
        },
    }
    assert Counter(row["code"] for row in rows("dead.jsonl")) == {"invalid_json": 1, "missing_required_field": 1}
    assert sum(row["events"] for row in rows("receipts.jsonl")) == 30
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": 20}, "456": {"Purchase": 10}}


OFFLINE_JOB = """
destinations:
  - name: stores
    type: facebook_offline_conversions
    access_token: env:TOKEN
    endpoint: {endpoint}
    events: {{Order Completed: ["555", "556"], "a/b: [red]": "555"}}
    lead_events: {{"a/b: [red]": "777", "tab\\there": "777"}}
  - name: archive
    type: facebook_offline_conversions
    wire: offline_events
    access_token: env:TOKEN
    endpoint: {endpoint}
    upload_tag: archive
    events: {{Order Completed: "999"}}
delivery: {{retry_for: 1s, timeout: 5s, max_batch_events: {most}}}
"""


def test_offline_conversions_are_delivered_on_both_wires_and_the_books_balance(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 40 * 86_400))
    lines = [order(n) for n in range(10)] + [order(11, timestamp=then), order(12, properties={"currency": "EUR"})]
    lines += [order(13, event="a/b: [red]"), order(14, event="tab\there"), order(15, event="order completed")]

    code, books = run(sandbox.url, lines, job=OFFLINE_JOB.format(endpoint=sandbox.url, most=1000))

    old = {"beyond_attribution_window": 1}
    assert (code, books["balanced"], books["filtered"]) == (DEAD_LETTERS, True, 1)
    assert books["subscriptions"] == {
        "archive/events: Order Completed": {
            "matched": 12,
            "delivered": 11,
            "dead_lettered": {"map/missing_required_field": 1},
            "notes": old,
        },
        "stores/events: Order Completed": {
            "matched": 24,
            "delivered": 22,
            "dead_lettered": {"map/missing_required_field": 2},
            "notes": {"beyond_attribution_window": 2},
        },
        "stores/events: a/b: [red]": {"matched": 1, "delivered": 1, "dead_lettered": {}, "notes": {}},
        "stores/lead_events: a/b: [red]": {"matched": 1, "delivered": 1, "dead_lettered": {}, "notes": {}},
        "stores/lead_events: tab\\u0009here": {"matched": 1, "delivered": 1, "dead_lettered": {}, "notes": {}},
    }
    assert {(row["destination"], row["subscription"]) for row in rows("dead.jsonl")} == {
        ("archive", "events: Order Completed"),
        ("stores", "events: Order Completed"),
    }
    stats = sandbox.stats()
    assert stats["by_event"] == {
        "555": {"Purchase": 11, "a/b: [red]": 1},
        "556": {"Purchase": 11},
        "777": {"Lead": 2},
        "999": {"Purchase": 11},
    }
    assert stats["upload_tags"] == {"Segment": 25, "archive": 11}
    assert [stats[name] for name in ("refused_requests", "raw_pii", "pii_in_custom_data", "tokens_in_url")] == [0] * 4
    assert "a/b: [red]" in capsys.readouterr().out


def test_running_again_delivers_nothing_twice(sandbox: SandboxServer) -> None:
    lines = [order(n) for n in range(50)]
    assert [run(sandbox.url, lines)[0] for _ in range(2)] == [OK, OK]
    stats = sandbox.stats()
    assert (stats["events_received"], stats["events_stored"], stats["duplicates"]) == (100, 50, 50)


@pytest.mark.parametrize("lines", [[], [b"", b"  "]], ids=["empty file", "blank lines"])
def test_nothing_to_deliver_is_fine(sandbox: SandboxServer, lines: list[bytes]) -> None:
    code, books = run(sandbox.url, lines)
    assert (code, books["read"], books["balanced"]) == (OK, 0, True)


def test_garbage_becomes_dead_letters(sandbox: SandboxServer) -> None:
    garbage = [bytes((7 * n + i) % 251 for i in range(n)).replace(b"\n", b" ") for n in range(1, 60)]
    code, books = run(sandbox.url, garbage)
    assert code == DEAD_LETTERS
    assert books["balanced"]
    assert books["read"] == books["unparsable"] == len(rows("dead.jsonl"))


def test_a_line_of_gigabytes_is_a_dead_letter_unread_and_the_rest_of_its_file_is_delivered(
    sandbox: SandboxServer,
) -> None:
    long = b'{"type":"track","text":"' + b"x" * 70_000_000 + b'"}'
    Path("events.jsonl.gz").write_bytes(gzip.compress(b"\n".join([order(1), long, order(2)]), 1))
    job = parse_job(job_file(sandbox.url))
    assert run_job(RunRequest(job, ["events.jsonl.gz"], Outputs("dead", "receipts", "books.json"))) == DEAD_LETTERS
    books = json.loads(Path("books.json").read_text())
    assert (books["balanced"], books["read"], books["unparsable"], books["delivered"]) == (True, 3, 1, 2)
    message = "Line 2 of events.jsonl.gz has 70,000,026 bytes, and one of more than 64 MB is not read."
    assert [(row["stage"], row["code"], row["message"], row["payload"]) for row in rows("dead")] == [
        ("parse", "line_too_long", message, long[:1000].decode())
    ]


def test_csv_is_read_by_its_name_and_its_bad_rows_are_dead_letters(sandbox: SandboxServer) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    header = "type,event,messageId,timestamp,userId,properties.revenue:json,properties.currency,context.userAgent"
    good = f"track,Order Completed,o-1,{now},u-1,120.50,EUR,Mozilla/5.0"
    Path("orders.csv").write_text(f"{header}\n{good}\n{good},surplus\n")
    code = run_job(
        RunRequest(parse_job(job_file(sandbox.url)), ["orders.csv"], Outputs("dead.jsonl", "receipts.jsonl"))
    )
    assert code == DEAD_LETTERS
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": 1}, "456": {"Purchase": 1}}
    (row,) = rows("dead.jsonl")
    assert (row["stage"], row["code"], row["payload"]) == ("parse", "unreadable_row", f"{good},surplus")
    assert row["message"] == "Line 3 of orders.csv has 9 cells, the header 8."


def test_rows_of_a_warehouse_are_delivered_and_what_is_left_out_is_in_the_books(sandbox: SandboxServer) -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S.000 +0000", time.gmtime(time.time() - 60))
    header = "ID,RECEIVED_AT,TIMESTAMP,EVENT_TEXT,USER_ID,REVENUE,CURRENCY,PRODUCTS,CONTEXT_USER_AGENT"
    cells = [now, now, "Order Completed", "u-1", "120.5", "EUR", '[{"sku":"mug"}]', "Mozilla/5.0"]
    quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    Path("orders.csv").write_text(f"{header}\no-1,{quoted}\n")
    row = dict(zip(header.lower().split(","), ["o-2", *cells], strict=True))
    Path("orders.jsonl").write_text(json.dumps({**row, "timestamp": int(time.time() - 60) * 10**6}) + "\n")

    outputs = Outputs("dead.jsonl", "receipts.jsonl", "books.json")
    assert run_job(RunRequest(parse_job(job_file(sandbox.url)), ["orders.csv", "orders.jsonl"], outputs)) == OK
    books = json.loads(Path("books.json").read_text())

    assert (books["read"], books["taken"], books["filtered"], books["delivered"]) == (2, 2, 0, 2)
    assert books["subscriptions"]["web/purchase"]["notes"] == {"contents_without_id": 2, "website_without_url": 2}
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": 2}}


def test_a_dead_token_exits_3_and_keeps_everything(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox.set_faults(dead_token=True)
    code, books = run(sandbox.url, [order(n) for n in range(5)])
    assert code == REFUSED
    assert (books["delivered"], books["dead_lettered"], books["balanced"]) == (0, 5, True)
    assert {(row["code"], row["retryable"]) for row in rows("dead.jsonl")} == {("destination_refused", True)}
    error = capsys.readouterr().err
    assert "web: REFUSED. Meta, code 190/463: the token is invalid or has expired." in error
    assert "Store a new access token where the job file points and run again." in error


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


def test_what_fails_on_one_event_costs_that_event_alone_and_the_screen_says_so(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults(poisoned_ids="order-77", poison_answer="error")
    ended, books = run(sandbox.url, [small_order(n) for n in range(100)])
    dead = {row["event_id"] for row in rows("dead.jsonl")}
    assert (ended, books["delivered"], dead) == (DEAD_LETTERS, 99, {"order-77"})
    error = capsys.readouterr().err
    assert "web: a batch keeps failing while others get through. Meta, code 1:" in error
    assert "web: gave up: Meta, code 1:" in error


def test_the_screen_says_what_was_waited_for_in_vain(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults(throttle_next=1, throttle_status=429, retry_after="3600")
    started = time.monotonic()
    ended, books = run(sandbox.url, [small_order(n) for n in range(100)])
    assert (ended, books["dead_lettered"], books["balanced"]) == (DEAD_LETTERS, 100, True)
    assert time.monotonic() - started < 30
    assert "web: gave up: Meta, code 80004/2446079: rate limit." in capsys.readouterr().err


def test_an_unreachable_endpoint_exits_1_and_keeps_everything() -> None:
    code, books = run("http://127.0.0.1:9", [order(n) for n in range(3)])
    assert code == DEAD_LETTERS
    assert (books["dead_lettered"], books["balanced"]) == (3, True)
    assert {(row["code"], row["retryable"]) for row in rows("dead.jsonl")} == {("gave_up_retrying", True)}


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("env:NOT_SET", "destination web: access_token: The environment variable NOT_SET is not set."),
        ("file:/nowhere/token", "destination web: access_token: The file /nowhere/token cannot be read: No such file"),
    ],
)
def test_a_token_that_cannot_be_read_exits_2_before_anything_is_sent(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], token: str, message: str
) -> None:
    code, _ = run(sandbox.url, [order(1)], job=job_file(sandbox.url, token=token))
    assert code == CONFIGURATION
    assert message in capsys.readouterr().err
    assert sandbox.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dead-leters", "x"], "no such option: --dead-leters; did you mean --dead-letters?"),
        (["--runer=FnApiRunner"], "no such option: --runer; did you mean --runner?"),
        (["events.jsonl"], "unexpected argument: events.jsonl; input is given by --input"),
        (["--runner", "SparkRunner"], "SparkRunner cannot read events.jsonl: its workers are elsewhere"),
    ],
)
def test_an_option_that_nobody_knows_exits_2(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    Path("events.jsonl").write_bytes(b"")
    code = run_job(RunRequest(parse_job(job_file("http://127.0.0.1:9")), ["events.jsonl"], Outputs("d", "r"), options))
    assert code == CONFIGURATION
    assert message in capsys.readouterr().err


def test_a_runner_that_nobody_knows_exits_2(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    job = parse_job(job_file(sandbox.url))
    assert (
        run_job(RunRequest(job, ["events.jsonl"], Outputs("d.jsonl", "r.jsonl"), ["--runner", "FlinkRuner"]))
        == CONFIGURATION
    )
    assert capsys.readouterr().err == "capybeam: unknown runner 'FlinkRuner'; did you mean FlinkRunner?\n"


def test_events_that_no_trigger_takes_are_spoken_of(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = run(sandbox.url, [b'{"type": "screen"}'])
    assert code == OK
    assert "No trigger took any of the events." in capsys.readouterr().err


def test_events_in_envelopes_are_delivered_and_what_is_no_event_is_a_dead_letter_and_not_filtered(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = (json.loads(order(number)) for number in (1, 2, 3))
    lines = [
        {"message": {"data": base64.b64encode(order(0)).decode(), "messageId": "9"}, "subscription": "s"},
        {"insertId": "a", "jsonPayload": first, "logName": "projects/p/logs/l"},
        {"batch": [second, {"jane.doe@example.com": 1}], "sentAt": "2026-11-22T10:00:00Z"},
        {"Type": "Notification", "Message": json.dumps(third)},
    ]
    cut = order(4, context={"userAgent": "Mozilla \ud83d"})
    code, books = run(sandbox.url, [*(json.dumps(line).encode() for line in lines), cut])
    assert (code, books["balanced"], books["delivered"], sandbox.stats()["events_stored"]) == (DEAD_LETTERS, True, 4, 4)
    assert (books["read"], books["taken"], books["filtered"], books["unparsable"]) == (6, 4, 0, 2)
    assert books["rejected_before_matching"] == {"parse/not_an_event": 2}
    assert books["notes"] == {"replaced_characters": 1}
    out, err = capsys.readouterr()
    assert out.count("parse / not_an_event, the first: The object is not an event: it has no type") == 1
    assert "jane" not in out + err

    job = parse_job(f"unwrap: $.Message\n{job_file(sandbox.url)}")
    replay_job(RunRequest(job, ["dead.jsonl"], Outputs("again.jsonl", "replayed.jsonl", "books.json")), ReplayFilter())
    assert sandbox.stats()["events_stored"] == 5
    assert [row["payload"] for row in rows("again.jsonl")] == [
        '{"sentAt":"2026-11-22T10:00:00Z","jane.doe@example.com":1}'
    ]


def test_input_that_is_not_there_exits_2(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_job(RunRequest(parse_job(job_file(sandbox.url)), ["nowhere.jsonl"], Outputs("d", "r")))
    assert code == CONFIGURATION
    assert "nowhere.jsonl: no such file" in capsys.readouterr().err
    assert not Path("d").exists()


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
    command = [sys.executable, "-m", "capybeam", "run", "--config", "job.yaml", "--input", "events.jsonl"]
    done = subprocess.run(
        [*command, "--dead-letters", "/dev/full"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.returncode == FAILED
    assert "the run failed: Dead letters cannot be written to /dev/full: No space left" in done.stdout
    assert sandbox.stats()["requests"] > 0


def test_a_table_without_the_extra_exits_2(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    assert run(sandbox.url, [order(1)], receipts="bigquery:acme.meta.receipts")[0] == CONFIGURATION
    assert (
        "Receipts cannot be written to bigquery:acme.meta.receipts: it needs pip install 'capybeam[gcp]'"
        in capsys.readouterr().err
    )


def test_a_place_for_dead_letters_that_cannot_be_made_exits_2(sandbox: SandboxServer) -> None:
    assert run(sandbox.url, [order(1)], dead_letters="/proc/nowhere/dead.jsonl")[0] == CONFIGURATION


def test_one_destination_in_trouble_does_not_stop_the_other(sandbox: SandboxServer) -> None:
    job = job_file(sandbox.url).replace(f"endpoint: {sandbox.url}", "endpoint: http://127.0.0.1:9", 1)
    code, books = run(sandbox.url, [order(n) for n in range(98, 104)], job=job)
    assert code == DEAD_LETTERS
    assert {name: row["delivered"] for name, row in books["subscriptions"].items()} == {
        "crm/purchase": 4,
        "web/purchase": 0,
    }


def test_no_token_and_no_raw_personal_data_reach_terminal_logs_books_or_receipts(
    sandbox: SandboxServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.set_faults(error_rate=0.3, html_rate=0.1, seed=5)
    lines = [order(n) for n in range(40)] + [order(41, timestamp="jane.doe@example.com"), b'{"email": "jane.doe@exam']
    run(sandbox.url, lines, job=job_file(sandbox.url, "{max_batch_events: 5, retry_for: 5s}"))
    out, err = capfd.readouterr()
    everything = out + err + caplog.text + Path("books.json").read_text() + Path("receipts.jsonl").read_text()
    for secret in (TOKEN, *JANE.values(), "jane.doe", "user-7", "442079460123"):
        assert secret not in everything
    delivered = [row for row in rows("dead.jsonl") if row["stage"] == "send"]
    assert TOKEN not in Path("dead.jsonl").read_text()
    assert "jane.doe" not in json.dumps(delivered)


# --- being stopped ----------------------------------------------------------------------------------------------


def start(sandbox: SandboxServer, events: int, **settings: Any) -> subprocess.Popen[str]:
    """`capybeam run` in a process of its own, in the current folder, which has sent something."""
    sandbox.set_faults(latency=0.3)
    Path("job.yaml").write_text(job_file(sandbox.url, f"{{concurrency: 2, max_batch_events: {min(events, 1000)}}}"))
    Path("events.jsonl").write_bytes(b"".join(order(n % 90, messageId=f"o-{n}") + b"\n" for n in range(events)))
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "capybeam", "run", "--config", "job.yaml", "--input", "events.jsonl",
         "--books", "books.json"],
        text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}, **settings,
    )  # fmt: skip
    if settings["stdout"] == subprocess.PIPE:
        wait_for_events(sandbox)
    return process


def wait_for_events(sandbox: SandboxServer, meanwhile: Callable[[], object] = lambda: time.sleep(0.05)) -> None:
    deadline = time.monotonic() + 60
    while sandbox.stats()["events_received"] == 0 and time.monotonic() < deadline:
        meanwhile()


def check_stopped(sandbox: SandboxServer, exit_code: int, events: int, output: str = "") -> None:
    books = json.loads(Path("books.json").read_text())
    assert exit_code == INTERRUPTED, output
    assert books["balanced"]
    assert 0 < books["read"] < events
    assert books["matched"] == books["delivered"] + books["dead_lettered"]
    assert books["delivered"] == sandbox.stats()["events_stored"] == sum(row["events"] for row in rows(RECEIPTS))
    assert Counter(row["code"] for row in rows("dead-letters.jsonl")) == Counter(
        {"interrupted": books["dead_lettered"]} if books["dead_lettered"] else {}
    )


RECEIPTS = "receipts.jsonl"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_delivers_what_was_read_and_exits_130_with_the_books(
    sandbox: SandboxServer, number: signal.Signals
) -> None:
    process = start(sandbox, 40_000)
    process.send_signal(number)
    output, _ = process.communicate(timeout=100)
    check_stopped(sandbox, process.returncode, 40_000, output)
    assert "Stopped. What had been read is delivered or a dead letter" in output
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
    process = start(
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
    assert (process.returncode, Path("books.json").exists()) == (INTERRUPTED, False), output
    assert "The books" in output


def test_under_nohup_a_hangup_is_ignored(sandbox: SandboxServer) -> None:
    process = start(sandbox, 200, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, sandbox.stats()["events_stored"]) == (OK, 200), output


@pytest.mark.parametrize("lost", ["stdout", "stderr"])
def test_a_reader_that_has_left_fails_no_run(sandbox: SandboxServer, lost: str) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    process = start(sandbox, 200, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, lost: ours})
    os.close(ours)
    assert process.wait(timeout=60) == OK
    assert sandbox.stats()["events_stored"] == 200
    assert json.loads(Path("books.json").read_text())["balanced"]


# --- the books as JSON -------------------------------------------------------------------------------------------


def test_books_that_cannot_be_written_are_found_out_before_anything_is_sent_or_moved(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    Path("link").symlink_to("folder/books.json")
    Path("dead.jsonl").write_text("of an earlier run\n")
    Path("events.jsonl").write_bytes(order(1) + b"\n")
    job = parse_job(job_file(sandbox.url))
    for place, reason in {
        "folder": "Is a directory",
        "link": "it is a symbolic link, which is not followed; give the path of the file itself",
        "/proc/books.json": "No such file or directory",
        "events.jsonl/books.json": "File exists",
        "gs://acme/books.json": "they go to a file of this machine",
    }.items():
        assert (
            run_job(RunRequest(job, ["events.jsonl"], Outputs("dead.jsonl", "receipts.jsonl", place))) == CONFIGURATION
        )
        assert capsys.readouterr().err == f"capybeam: The books cannot be written to {place}: {reason}\n"
    assert sandbox.stats()["requests"] == 0
    assert Path("dead.jsonl").read_text() == "of an earlier run\n"
    assert sorted(os.listdir()) == ["dead.jsonl", "events.jsonl", "folder", "link"]


FULL_BOOKS = "capybeam: The books cannot be written to /dev/full: No space left on device\n"


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

    monkeypatch.setattr(Receipt, "encode", fail)
    Path("events.jsonl").write_bytes(order(1) + b"\n")
    outputs = Outputs("dead", "receipts", "out/books.json")
    assert run_job(RunRequest(parse_job(job_file(sandbox.url)), ["events.jsonl"], outputs)) == FAILED
    error = capsys.readouterr().err
    first = "capybeam: the run failed: Receipts cannot be written to receipts: Input/output error\n"
    second = "capybeam: The books cannot be written to out/books.json: No such file or directory\n"
    assert first in error.partition(second)[0]


def test_books_on_a_full_standard_output_are_missed_aloud(sandbox: SandboxServer) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here, the disk that is always full")
    with open("/dev/full", "w") as full:
        process = start(sandbox, 100, stdout=full, stderr=subprocess.PIPE)
        _, error = process.communicate(timeout=60)
    assert process.returncode == OK
    assert "The books cannot be shown on standard output: No space left on device" in error
    assert json.loads(Path("books.json").read_text())["delivered"] == 100


# --- an error's text -----------------------------------------------------------------------------------------------


class RefreshTokenError(Exception):
    """Of another library, with a name that ends like one of ours."""


def test_what_an_error_of_others_says_is_not_shown(
    sandbox: SandboxServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_receipt: Receipt) -> bytes:
        raise RefreshTokenError("the token of jane@example.com has expired\ntransforms.tokens.TokenError: jane")

    monkeypatch.setattr(Receipt, "encode", fail)
    Path("events.jsonl").write_bytes(order(1) + b"\n")
    assert (
        run_job(RunRequest(parse_job(job_file(sandbox.url)), ["events.jsonl"], Outputs("dead", "receipts"))) == FAILED
    )
    out, error = capfd.readouterr()
    assert "jane" not in out + error
    assert "capybeam: the run failed: RefreshTokenError (run again with --verbose for Beam's own log)\n" in error


@pytest.mark.parametrize(
    ("arguments", "workers"),
    [
        ("", 1),
        ("--runner FnApiRunner --direct_num_workers 3", 1),
        ("--runner DirectRunner --direct_running_mode multi_processing --direct_num_workers 3", 3),
        ("--runner DataflowRunner --max_num_workers 5", 20),
        ("--runner DataflowRunner --max_num_workers 5 --experiments no_use_multiple_sdk_containers", 5),
        ("--runner DataflowRunner --max_num_workers 5 --machine_type n2-standard-4", 20),
        ("--runner DataflowRunner --max_num_workers 5 --machine_type n2-custom-4-8192", 20),
        ("--runner DataflowRunner --max_num_workers 5 --machine_type n2-custom-6-8192-ext", 30),
        ("--runner DataflowRunner --max_num_workers 5 --machine_type custom-2-8192", 10),
        ("--runner DataflowRunner --max_num_workers 5 --machine_type c3-standard-8-lssd", 40),
        ("--runner DataflowRunner --num_workers 2 --machine_type e2-medium", 4),
        ("--runner DataflowRunner --num_workers 2 --machine_type e2-custom-small-4096", 4),
        (
            "--runner DataflowRunner --max_num_workers 5 --machine_type n2-standard-4"
            " --experiments no_use_multiple_sdk_containers",
            5,
        ),
        ("--runner PortableRunner --parallelism 4", 4),
        ("--runner DataflowRunner", None),
        ("--runner PortableRunner", None),
    ],
    ids=str,
)
def test_the_rate_is_shared_out_over_as_many_processes_as_may_send(arguments: str, workers: int | None) -> None:
    options = PipelineOptions(arguments.split())
    assert max_workers(options, options.view_as(StandardOptions).runner or DEFAULT_RUNNER) == workers


def test_a_rate_that_cannot_be_shared_out_is_refused_with_what_to_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = dataclasses.replace(parse_job(job_file("http://127.0.0.1:9")), delivery=Delivery(requests_per_second=5.0))
    code = run_job(RunRequest(job, [str(tmp_path)], Outputs("d", "r"), ["--runner", "DataflowRunner"]))
    assert code == 2
    assert "say how many DataflowRunner may use at most, by --max_num_workers (Dataflow)" in capsys.readouterr().err


# --- runners elsewhere ------------------------------------------------------------------------------------------

PORTABLE = ["--runner", "PortableRunner", "--job_endpoint", "embed", "--environment_type", "LOOPBACK"]


def run_elsewhere(endpoint: str, folder: Path, *more: str, token: str = "env:TOKEN") -> int:
    """Runs a job on PortableRunner, through a job server in this process; what differs is how it is followed."""
    (folder / "events.jsonl").write_bytes(b"".join(order(n) + b"\n" for n in range(90, 110)) + b"{broken\n")
    outputs = [f"file://{folder / name}" for name in ("events.jsonl", "dead.jsonl", "receipts.jsonl")]
    job = parse_job(job_file(endpoint, token=token))
    return run_job(RunRequest(job, outputs[:1], Outputs(*outputs[1:], "books.json"), [*PORTABLE, *more]))


def test_a_job_elsewhere_is_followed_and_its_receipts_are_added_up(sandbox: SandboxServer, tmp_path: Path) -> None:
    assert run_elsewhere(sandbox.url, tmp_path) == DEAD_LETTERS
    books = json.loads((tmp_path / "books.json").read_text())
    assert (books["balanced"], books["delivered"], books["sent"]) == (True, 30, 30)
    assert books["at_least"]  # nobody knows what stands behind a job server
    assert sum(receipt["events"] for receipt in rows("receipts.jsonl")) == 30


def test_a_token_that_workers_elsewhere_do_not_have_is_named(
    sandbox: SandboxServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_elsewhere(sandbox.url, tmp_path, token="env:NO_SUCH_TOKEN") == CONFIGURATION
    error = capsys.readouterr().err
    assert "capybeam: The environment variable NO_SUCH_TOKEN is not set." in error
    assert "jane" not in error
    assert sandbox.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("beam_options", "outputs", "message"),
    [
        (["--runner", "PrismRunner"], ("d", "r"), "PrismRunner loses events."),
        (["--runner", "DirectRunner"], ("d", "r"), "DirectRunner chooses a runner by the graph"),
        (
            ["--runner", "PortableRunner"],
            ("file:///d", "file:///r"),
            "PortableRunner needs the address of a job",
        ),
        (PORTABLE, ("file:///tmp/d", "receipts.jsonl"), "PortableRunner cannot read events.jsonl: its workers are"),
    ],
)
def test_a_runner_that_cannot_do_it_is_refused_before_an_event_is_sent(
    beam_options: list[str],
    outputs: tuple[str, str],
    message: str,
    sandbox: SandboxServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("events.jsonl").write_bytes(order(100) + b"\n")
    job = parse_job(job_file(sandbox.url))
    assert run_job(RunRequest(job, ["events.jsonl"], Outputs(*outputs), beam_options)) == CONFIGURATION
    assert message in capsys.readouterr().err
    assert sandbox.stats()["requests"] == 0


def test_a_document_in_the_place_of_lines_is_named_before_anything_is_sent(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [json.loads(order(n)) for n in range(3)]
    Path("events.json").write_text(json.dumps(events, indent=2))
    assert (
        run_job(RunRequest(parse_job(job_file(sandbox.url)), ["events.json"], Outputs("dead", "receipts")))
        == CONFIGURATION
    )
    assert capsys.readouterr().err == (
        "capybeam: events.json: it is one pretty-printed JSON document, an array, and not JSON lines with one event"
        " each."
        " Convert it to JSON lines: jq -c '.[]' < events.json > events.lines.jsonl\n"
    )
    assert (sandbox.stats()["requests"], os.listdir()) == (0, ["events.json"])


def test_a_file_whose_name_looks_like_a_pattern_is_read(sandbox: SandboxServer) -> None:
    Path("orders [1].jsonl").write_bytes(order(1) + b"\n")
    Path("orders 1.jsonl").write_bytes(order(2) + b"\n")
    assert (
        run_job(RunRequest(parse_job(job_file(sandbox.url)), ["orders [1].jsonl"], Outputs("dead", "receipts"))) == OK
    )
    assert sandbox.event_ids("123") == [("Purchase", "order-1")]


def test_a_run_never_reads_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = parse_job(job_file("http://127.0.0.1:9"))
    line = order(1)
    (tmp_path / "events.jsonl").write_bytes(line)
    assert run_job(RunRequest(job, ["*.jsonl"], Outputs("dead.jsonl", "receipts.txt", None))) == CONFIGURATION
    assert "*.jsonl also matches what this run writes (./dead.jsonl); choose another path" in capsys.readouterr().err
    assert run_job(RunRequest(job, ["events.jsonl"], Outputs("d", "r", "events.jsonl"))) == CONFIGURATION
    assert "The books cannot be written to events.jsonl: it is being read" in capsys.readouterr().err
    assert run_job(RunRequest(job, ["events.jsonl"], Outputs("same", "same", None))) == CONFIGURATION
    assert "each need a place of their own" in capsys.readouterr().err
    assert (tmp_path / "events.jsonl").read_bytes() == line


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
    assert f"capybeam: {message}\nWhat came before is delivered, or a dead letter." in capsys.readouterr().err


def test_a_cut_off_input_counts_for_more_than_a_destination_that_refuses_everything(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the destination fixed, replaying would deliver what was read, and the rest of the input would be missed."""
    sandbox.set_faults(dead_token=True)
    Path("events.jsonl.gz").write_bytes(gzip.compress(b"\n".join(order(n) for n in range(50)))[:-8])
    job = parse_job(job_file(sandbox.url))

    assert run_job(RunRequest(job, ["events.jsonl.gz"], Outputs("dead", "receipts", "books.json"))) == FAILED

    books = json.loads(Path("books.json").read_text())
    assert (books["balanced"], books["delivered"], books["unparsable"]) == (True, 0, 1)
    assert Counter(row["code"] for row in rows("dead")) == {"destination_refused": 49, "unreadable_rest": 1}
    said = capsys.readouterr().err
    cut = said.index("capybeam: events.jsonl.gz is incomplete: it was cut off.")
    assert (
        cut
        < said.index("web: REFUSED. Meta, code 190/463")
        < said.index("Nothing is lost: the refused events are in dead")
    )


@pytest.mark.parametrize(
    "step",
    [_ParseEvents, _FilterEvents, _MapEventNames, _MapProperties, _HashUserData, _ValidateConversions, _SendBatches],
)
def test_a_bundle_that_fails_at_its_end_and_is_done_again_is_counted_once(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, step: type[beam.DoFn]
) -> None:
    failed: list[type[beam.DoFn]] = []
    finish_bundle = step.finish_bundle

    def failing_once(self: beam.DoFn) -> Any:
        if not failed:
            failed.append(step)
            raise OSError("the worker is gone")
        return finish_bundle(self)

    monkeypatch.setattr(step, "finish_bundle", failing_once)
    Path("events.jsonl").write_bytes(b"".join(order(n) + b"\n" for n in range(90, 110)) + b"{broken\n")
    outputs = Outputs("dead.jsonl", "receipts.jsonl", "books.json")
    retrying = ["--runner", "BundleBasedDirectRunner"]

    assert run_job(RunRequest(parse_job(job_file(sandbox.url)), ["events.jsonl"], outputs, retrying)) == DEAD_LETTERS

    books = json.loads(Path("books.json").read_text())
    assert failed == [step]
    assert (books["balanced"], books["read"], books["unparsable"]) == (True, 21, 1)
    assert {name: (row["matched"], row["delivered"]) for name, row in books["subscriptions"].items()} == {
        "crm/purchase": (10, 10),
        "web/purchase": (20, 20),
    }
    assert sandbox.stats()["events_stored"] == 30


def test_no_part_of_a_message_becomes_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    job = parse_job(job_file("http://127.0.0.1:9"))
    assert run_job(RunRequest(job, ["./a:x:b.jsonl"], Outputs("dead", "receipts"))) == CONFIGURATION
    assert capsys.readouterr().err == "capybeam: ./a:x:b.jsonl: no such file\n"


def test_a_url_that_nobody_here_may_read_says_what_is_missing_at_once(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_systems, "_has_google_credentials", lambda: False)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    job = parse_job(job_file("http://127.0.0.1:9"))
    assert run_job(RunRequest(job, ["gs://bucket/events.jsonl"], Outputs("dead", "receipts"))) == CONFIGURATION
    assert capfd.readouterr().err == (
        "capybeam: gs://bucket/events.jsonl: cannot be read: no Google Cloud credentials on this machine;"
        " run gcloud auth application-default login\n"
    )
