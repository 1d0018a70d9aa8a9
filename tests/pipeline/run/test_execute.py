"""`run`, end to end on one machine: a file in, a real server at the end, books that balance."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from capybeam.pipeline.graph import Execution
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run import execute
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, GAVE_UP, OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.transforms.converting import _ConvertEvents
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.filtering import _FilterEvents
from capybeam.transforms.hashing import _HashUserData
from capybeam.transforms.mapping import _MapProperties
from capybeam.transforms.naming import _MapEventNames
from capybeam.transforms.parsing import _ParseEvents
from capybeam.transforms.sending import _SendBatches
from capybeam.transforms.validating import _ValidateConversions
from tests.pipeline.jobs import JANE, TOKEN, job_file, order, rows
from tests.pipeline.run.runs import PORTABLE, run
from tests.reports import in_short, subscriptions, unreadable

pytestmark = pytest.mark.slow


def test_every_event_is_delivered_filtered_or_a_dead_letter(sandbox: SandboxServer) -> None:
    lines = [order(n) for n in range(90, 110)]
    lines += [b"{broken", b"", b'{"type": "screen"}', order(1, properties={"currency": "EUR"})]
    code, books = run(sandbox.url, lines)
    assert code == DEAD_LETTERS
    assert in_short(books) == {
        "balanced": True,
        "read": 23,
        "taken": 21,
        "filtered": 1,
        "unreadable": 1,
        "matched": 31,
        "delivered": 30,
        "dead_lettered": 1,
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
    assert subscriptions(books) == {
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
    assert books["read"] == books["unreadable"] == len(rows("dead.jsonl"))


def test_a_line_of_gigabytes_is_a_dead_letter_unread_and_the_rest_of_its_file_is_delivered(
    sandbox: SandboxServer,
) -> None:
    long = b'{"type":"track","text":"' + b"x" * 70_000_000 + b'"}'
    Path("events.jsonl.gz").write_bytes(gzip.compress(b"\n".join([order(1), long, order(2)]), 1))
    job = parse_job(job_file(sandbox.url))
    assert run_job(RunRequest(job, ["events.jsonl.gz"], Outputs("dead", "receipts", "books.json"))) == DEAD_LETTERS
    books = json.loads(Path("books.json").read_text())
    assert (books["balanced"], books["read"], books["unreadable"], books["delivered"]) == (True, 3, 1, 2)
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
    assert subscriptions(books)["web/purchase"]["notes"] == {"contents_without_id": 2, "website_without_url": 2}
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": 2}}


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
    assert (books["read"], books["taken"], books["filtered"], books["unreadable"]) == (6, 4, 0, 2)
    assert unreadable(books) == {"parse/not_an_event": 2}
    assert books["notes"]["replaced_characters"] == 1
    out, err = capsys.readouterr()
    assert out.count("parse / not_an_event, the first: The object is not an event: it has no type") == 1
    assert "jane" not in out + err

    job = parse_job(f"unwrap: $.Message\n{job_file(sandbox.url)}")
    replay_job(RunRequest(job, ["dead.jsonl"], Outputs("again.jsonl", "replayed.jsonl", "books.json")), ReplayFilter())
    assert sandbox.stats()["events_stored"] == 5
    assert [row["payload"] for row in rows("again.jsonl")] == [
        '{"sentAt":"2026-11-22T10:00:00Z","jane.doe@example.com":1}'
    ]


def test_one_destination_in_trouble_does_not_stop_the_other(sandbox: SandboxServer) -> None:
    job = job_file(sandbox.url).replace(f"endpoint: {sandbox.url}", "endpoint: http://127.0.0.1:9", 1)
    code, books = run(sandbox.url, [order(n) for n in range(98, 104)], job=job)
    assert code == GAVE_UP
    assert {name: row["delivered"] for name, row in subscriptions(books).items()} == {
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


def test_a_file_whose_name_looks_like_a_pattern_is_read(sandbox: SandboxServer) -> None:
    Path("orders [1].jsonl").write_bytes(order(1) + b"\n")
    Path("orders 1.jsonl").write_bytes(order(2) + b"\n")
    assert (
        run_job(RunRequest(parse_job(job_file(sandbox.url)), ["orders [1].jsonl"], Outputs("dead", "receipts"))) == OK
    )
    assert sandbox.event_ids("123") == [("Purchase", "order-1")]


COMPOSABLE = [_ParseEvents, _FilterEvents, _MapEventNames, _MapProperties, _HashUserData, _ValidateConversions]


@pytest.mark.parametrize("step", [*COMPOSABLE, _ConvertEvents, _SendBatches])
def test_a_bundle_that_fails_at_its_end_and_is_done_again_is_counted_once(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, step: type[beam.DoFn]
) -> None:
    if step in COMPOSABLE:  # the graph that workers elsewhere have
        monkeypatch.setattr(execute, "Execution", lambda *args, is_local: Execution(*args))
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
    assert (books["balanced"], books["read"], books["unreadable"]) == (True, 21, 1)
    assert {name: (row["matched"], row["delivered"]) for name, row in subscriptions(books).items()} == {
        "crm/purchase": (10, 10),
        "web/purchase": (20, 20),
    }
    assert sandbox.stats()["events_stored"] == 30
