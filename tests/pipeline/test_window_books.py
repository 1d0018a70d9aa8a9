"""The books in windows of whole graphs: every window balances, on a stream, from a file, from dead letters."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue

from capybeam.pipeline.graph import Execution, deliver
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.base import share_run
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.core.run_context import RunContext, RunHandle
from capybeam.transforms.core.windows import Windows
from tests.pipeline.jobs import TOKEN, job_file, order, rows

OUTPUTS = Outputs("dead.jsonl", "receipts.jsonl", "report.json", "windows.jsonl")
COUNTS = ("read", "filtered", "taken", "matched", "delivered", "skipped", "dead_lettered")


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as server:
        yield server


def sums(*keys: str) -> dict[tuple[Any, ...], dict[str, int]]:
    """What is written, added up by these columns; counts that are 0 are left out."""
    found: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows("windows.jsonl"):
        for name in COUNTS:
            if row[name]:
                found[tuple(row[key] for key in keys)][name] += row[name]
    return {key: dict(counts) for key, counts in found.items()}


def assert_every_window_balances() -> None:
    for (_, destination), counts in sums("window_start_time", "destination").items():
        n = defaultdict(int, counts)
        if destination is None:
            assert n["read"] == n["taken"] + n["filtered"] + n["dead_lettered"]
        else:
            assert n["matched"] == n["delivered"] + n["dead_lettered"] + n["skipped"]


_seconds = itertools.count(600, 20)


def clock() -> float:
    """Each event arrives 20 seconds after the one before it."""
    return float(next(_seconds))


def test_a_streams_windows_balance_though_batches_hold_events_of_several_and_late_ones(sandbox: SandboxServer) -> None:
    job = parse_job(job_file(sandbox.url, "{max_batch_delay: 1h, deduplicate: 10m}"))
    lines = TestStream().advance_watermark_to(1_000_000)
    lines = lines.add_elements([order(1), b"{broken", order(2), order(2), b'{"type": "identify"}'])
    lines = lines.add_elements([TimestampedValue(order(3, properties={"revenue": 5}), 0), order(200)])
    run = RunContext(RunHandle(windows=Windows(60, clock)))
    with beam.Pipeline(options=PipelineOptions(["--streaming", "--runner", "BundleBasedDirectRunner"])) as pipeline:
        share_run(pipeline, run.handle)
        read = pipeline | lines.advance_watermark_to_infinity() | beam.Map(bytes).with_output_types(bytes)
        deliver(read, job, OUTPUTS, Execution(flow="stream"))
    assert_every_window_balances()
    assert sorted({row["window_start_time"] for row in rows("windows.jsonl")}) == [600, 660, 720]
    assert sums("destination", "subscription", "code") == {
        (None, None, None): {"read": 7, "taken": 5, "filtered": 1},
        (None, None, "invalid_json"): {"dead_lettered": 1},
        ("web", "purchase", None): {"matched": 5, "delivered": 3, "skipped": 1},
        ("web", "purchase", "missing_required_field"): {"dead_lettered": 1},
        ("crm", "purchase", None): {"matched": 1, "delivered": 1},
    }


def run(sandbox: SandboxServer, lines: list[bytes], outputs: Outputs = OUTPUTS, delivery: str = "{}") -> int:
    Path("events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return run_job(RunRequest(parse_job(job_file(sandbox.url, delivery)), ["events.jsonl"], outputs))


def test_the_rows_of_a_run_add_up_to_its_books(sandbox: SandboxServer) -> None:
    sandbox.set_faults(refused_ids="order-7")
    started = time.time()
    code = run(
        sandbox, [*map(order, range(5, 120)), b"{broken", b'{"type": "identify"}'], delivery="{books_window: 1s}"
    )
    assert code == DEAD_LETTERS
    assert_every_window_balances()
    assert sums("destination", "code") == {
        (None, None): {"read": 117, "taken": 115, "filtered": 1},
        (None, "invalid_json"): {"dead_lettered": 1},
        ("web", None): {"matched": 115, "delivered": 104},
        ("web", "meta_refused_event"): {"dead_lettered": 11},
        ("crm", None): {"matched": 20, "delivered": 20},
    }
    report = json.loads(Path("report.json").read_text())
    by_subscription = sums("destination", "subscription")
    for destination, its in report["destinations"].items():
        for subscription, account in its["subscriptions"].items():
            nothing = {"matched": 0, "delivered": 0, "dead_lettered": 0}
            found = nothing | by_subscription.get((destination, subscription), {})
            assert found == {name: account[name] for name in found}
    delivered = [row for row in rows("windows.jsonl") if row["delivered"]]
    for row in delivered:
        assert started - 700 < row["oldest_event_time"] < started - 500
        assert 500 < row["lag_seconds"] < 700 + (time.time() - started)
    for row in rows("windows.jsonl"):
        assert int(started) <= row["window_start_time"] <= time.time()
        assert row["window_seconds"] == 1


def test_a_replay_has_rows_as_well(sandbox: SandboxServer) -> None:
    sandbox.set_faults(refused_ids="order-7")
    assert run(sandbox, [order(7), order(8)], Outputs("dead.jsonl", "receipts.jsonl")) == DEAD_LETTERS
    sandbox.set_faults(refused_ids="")
    job = parse_job(job_file(sandbox.url))
    outputs = Outputs("again.jsonl", "receipts.jsonl", None, "windows.jsonl")
    assert replay_job(RunRequest(job, ["dead.jsonl"], outputs), ReplayFilter()) == OK
    assert sums("destination") == {(None,): {"read": 1, "taken": 1}, ("web",): {"matched": 1, "delivered": 1}}


def test_what_an_earlier_run_has_delivered_is_skipped_in_the_windows(sandbox: SandboxServer) -> None:
    assert run(sandbox, [order(1), order(2)], Outputs("dead.jsonl", "receipts.jsonl")) == OK
    outputs = Outputs("dead.jsonl", "again.jsonl", None, "windows.jsonl")
    Path("events.jsonl").write_bytes(order(1) + b"\n" + order(3))
    job = parse_job(job_file(sandbox.url))
    assert run_job(RunRequest(job, ["events.jsonl"], outputs, resume=("receipts.jsonl",))) == OK
    assert sums("destination") == {
        (None,): {"read": 2, "taken": 2},
        ("web",): {"matched": 2, "delivered": 1, "skipped": 1},
    }


def test_without_a_place_there_are_no_windows(sandbox: SandboxServer) -> None:
    assert run(sandbox, [order(1)], Outputs("dead.jsonl", "receipts.jsonl")) == OK
    assert sorted(path.name for path in Path().iterdir()) == ["dead.jsonl", "events.jsonl", "receipts.jsonl"]


def test_the_place_is_another_than_those_of_other_outputs(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sandbox, [order(1)], Outputs("dead.jsonl", "receipts.jsonl", None, "receipts.jsonl")) == CONFIGURATION
    assert "must be different paths" in re.sub(r"\s+", " ", capsys.readouterr().err)
