"""A warehouse's rows, night after night: `--since last`, rows that land late, nights without rows, and a kill -9."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.run.watermarks import key_of, store_of
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.integration.conftest import PROJECT, BigQuery
from tests.integration.test_bigquery_runs import DAY, JOB, iso, order, orders
from tests.pipeline.jobs import rows as lines
from tests.pipeline.run.runs import settle

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
HOUR = 3600
LANDED = "--time-column=loaded_at"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SandboxServer]:
    monkeypatch.setenv("TOKEN", "EAAB-token")
    monkeypatch.chdir(tmp_path)
    with SandboxServer(SandboxSettings(tokens=frozenset({"EAAB-token"}))) as server:
        Path("job.yaml").write_text(JOB.format(endpoint=server.url))
        yield server


def night(text: str, *options: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["run", "--config=job.yaml", f"--input={text}", "--report=report.json", *options])
    assert result.exit_code == code, result.stderr
    return result


def insert(big_query: BigQuery, text: str, *rows: dict[str, Any]) -> None:
    assert big_query.client.insert_rows_json(text.removeprefix("bigquery:"), rows) == []


def landed(number: int, age: float, event_age: float | None = None) -> dict[str, Any]:
    """An order that landed so many seconds ago."""
    return order(number, age if event_age is None else event_age, loaded_at=iso(age))


def sent(sandbox: SandboxServer) -> list[str]:
    return sorted(event_id for _, event_id in sandbox.event_ids("123"))


def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("report.json").read_text())
    return found


@pytest.mark.parametrize("kind", ["file", "table"])
def test_each_night_reads_on_from_the_last_one_and_sends_nothing_twice(
    big_query: BigQuery, sandbox: SandboxServer, kind: str
) -> None:
    places = {
        "file": ["--receipts=out/receipts.jsonl.gz", "--dead-letters=out/dead.jsonl"],
        "table": [
            f"--receipts=bigquery:{big_query.name('receipts')}",
            f"--dead-letters=bigquery:{big_query.name('dead')}",
        ],
    }[kind]
    receipts = places[0].partition("=")[2]
    text = orders(big_query, [landed(1, 2 * HOUR), landed(2, 600), order(3, 600, currency=None, loaded_at=iso(600))])

    first = night(text, "--since=last", LANDED, *places, code=2)
    assert f"--since last: no run with these receipts ({receipts}) has left a watermark for {text}" in first.stderr
    assert "--since last,2d" in first.stderr
    assert sandbox.stats()["requests"] == 0

    before = int(time.time())
    said = night(text, "--since=last,2d", LANDED, "--time-zone=Europe/Berlin", *places, code=1).stderr  # one is bad
    assert f"{text}: no watermark yet; from " in said
    assert sent(sandbox) == ["order-1", "order-2"]
    mark = store_of(receipts).load().get(key_of(text, "loaded_at"))
    assert mark is not None
    assert before <= mark <= time.time()

    # in the overlap: one that was delivered, one that is as bad as it was, and one that has landed late
    insert(big_query, text, landed(4, 1200, event_age=3 * DAY))
    said = night(text, "--since=last", LANDED, *places, code=1).stderr
    assert f"{text}: the last run ended at " in said
    assert "an overlap of 3,600 s" in said
    assert sent(sandbox) == ["order-1", "order-2", "order-4"]
    assert sandbox.stats()["duplicates"] == 0
    books = report()
    assert (books["read"], books["delivered"], books["already_delivered"], books["dead_letters"]) == (3, 1, 1, 1)

    again = store_of(receipts).load()[key_of(text, "loaded_at")] if kind == "file" else None
    assert again is None or again >= mark
    if kind == "file":
        assert stat.S_IMODE(os.stat("out/receipts.watermarks.json").st_mode) == 0o600
        assert sorted(path.name for path in Path("out").glob("receipts.watermarks*")) == ["receipts.watermarks.json"]


def test_a_night_without_rows_is_fine_and_says_so(big_query: BigQuery, sandbox: SandboxServer) -> None:
    text = orders(big_query, [landed(1, 3 * DAY)])
    Path("receipts.jsonl.gz").write_bytes(b"of an earlier run")
    result = night(text, "--since=last,1d", LANDED)
    assert f"Nothing to deliver: no rows in {text}." in result.stderr
    assert (report()["exit_code"], report()["read"]) == (0, 0)
    assert Path("receipts.jsonl.gz").read_bytes() == b"of an earlier run"
    assert not Path("dead-letters.jsonl").exists()
    assert sandbox.stats()["requests"] == 0
    assert len(store_of("receipts.jsonl.gz").load()) == 1  # the next one goes on from here
    assert "Nothing to deliver" in night(text, "--since=yesterday", "--until=now", LANDED).stderr
    query = f"bigquery:SELECT * FROM `{text.removeprefix('bigquery:')}` WHERE id = 'none'"
    assert "Nothing to deliver: no rows in bigquery:SELECT" in night(query).stderr


def test_what_a_refusal_has_left_is_delivered_by_the_next_night(big_query: BigQuery, sandbox: SandboxServer) -> None:
    text = orders(big_query, [landed(1, 600)])
    sandbox.set_faults(dead_token=True)
    night(text, "--since=last,2d", LANDED, code=3)
    assert store_of("receipts.jsonl.gz").load() == {}, "only a run that succeeds moves the watermark"
    sandbox.set_faults(dead_token=False)
    night(text, "--since=last,2d", LANDED)
    assert sent(sandbox) == ["order-1"]
    assert len(store_of("receipts.jsonl.gz").load()) == 1


def test_what_is_scanned_and_its_price_are_said_before_it_is_read_and_can_be_limited(
    big_query: BigQuery, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.cloud import bigquery

    asked: list[Any] = []
    plain = bigquery.Client.query

    def query(client: Any, sql: str, job_config: Any = None, **more: Any) -> Any:
        asked.append(job_config)
        job = plain(client, sql, job_config=job_config, **more)
        if job_config is not None and job_config.dry_run:
            job._properties["statistics"]["query"]["totalBytesProcessed"] = str(3 * 1024**4)
        return job

    text = orders(big_query, [landed(1, 600)])
    monkeypatch.setattr(bigquery.Client, "query", query)
    price = f"{text}: 3.3 TB are scanned by queries and at most 3.3 TB are read; ESTIMATE: $22.05, by BigQuery's list"
    refused = night(text, "--since=2d", LANDED, "--max-bytes-billed=1TB", code=2)
    assert price in refused.stderr
    assert f"{text}: 3.3 TB would be read, more than --max-bytes-billed allows (1.0 TB)" in refused.stderr
    assert all(config.dry_run for config in asked)

    said = night(text, "--since=2d", LANDED, "--max-bytes-billed=5TB").stderr
    assert said.index("ESTIMATE") < said.index("Reading ")
    assert [config.maximum_bytes_billed for config in asked if not config.dry_run] == [5 * 10**12]

    dry = night(text, "--since=2d", LANDED, "--dry-run").stdout
    assert "1 rows in all of it; 3.3 TB are scanned" in dry


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("landed", "has no column landed for --time-column; its columns of time are timestamp, loaded_at"),
        (
            "currency",
            "has a column of type STRING, and not of time, currency for --time-column; its columns of time are",
        ),
        ("_PARTITIONTIME", "has no column _PARTITIONTIME"),
    ],
)
def test_a_time_column_that_is_none_is_refused_with_those_that_there_are(
    big_query: BigQuery, sandbox: SandboxServer, column: str, said: str
) -> None:
    text = orders(big_query, [landed(1, 600)])
    assert f"{text}: {said}" in night(text, "--since=2d", f"--time-column={column}", code=2).stderr


def test_dead_letters_in_a_table_are_replayed_by_when_they_became_that(
    big_query: BigQuery, sandbox: SandboxServer
) -> None:
    dead = f"bigquery:{big_query.name('dead')}"
    sandbox.set_faults(dead_token=True)
    night(orders(big_query, [landed(1, 600)]), f"--dead-letters={dead}", code=3)
    sandbox.set_faults(dead_token=False)
    replay = ["replay", "--config=job.yaml", f"--from={dead}"]
    early = CliRunner().invoke(main, [*replay, "--until=1h"])
    assert (early.exit_code, "Nothing to deliver" in early.stderr) == (0, True)
    assert CliRunner().invoke(main, [*replay, "--since=1h", "--time-zone=Europe/Berlin"]).exit_code == 0
    assert sent(sandbox) == ["order-1"]


def test_a_backfill_that_was_killed_goes_on_and_sends_again_only_what_was_in_flight(
    big_query: BigQuery, sandbox: SandboxServer, emulator: Any
) -> None:
    """The watermark is where it was, and what the receipts name is not sent again: `--since last` reads them itself."""
    rows = [landed(number, 600) for number in range(600)]
    text = orders(big_query, rows)
    job = JOB.format(endpoint=sandbox.url) + "delivery: {max_batch_events: 20, concurrency: 2}\n"
    Path("job.yaml").write_text(job)
    sandbox.set_faults(latency=0.2)
    command = ["run", "--config=job.yaml", f"--input={text}", "--since=last,2d", LANDED, f"--project={PROJECT}"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.integration.backfill_process"),
            *(emulator.rest_url, emulator.grpc_endpoint, big_query.dataset, *command),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while sandbox.stats()["events_received"] < 200 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -9, said
    settle(sandbox)
    assert store_of("receipts.jsonl.gz").load() == {}
    named = {event_id for row in lines("receipts.jsonl.gz") for event_id in row["event_ids"]}
    in_flight = set(sent(sandbox)) - named
    assert named
    assert named <= set(sent(sandbox))
    assert 0 < len(in_flight) <= 40  # two requests of twenty

    sandbox.set_faults(latency=0.0)
    night(text, "--since=last,2d", LANDED)
    books = report()
    assert (books["already_delivered"], books["delivered"], books["balanced"]) == (len(named), 600 - len(named), True)
    stats = sandbox.stats()
    assert (stats["events_stored"], stats["duplicates"]) == (600, len(in_flight))
    assert len(store_of("receipts.jsonl.gz").load()) == 1


def test_a_table_that_is_deleted_between_the_look_and_the_read_is_named(
    big_query: BigQuery, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capybeam.pipeline.run import preflight

    text = orders(big_query, [landed(1, 600)])
    plain = preflight.prepare

    def prepare(*arguments: Any) -> Any:
        big_query.client.delete_table(text.removeprefix("bigquery:"), not_found_ok=True)
        return plain(*arguments)

    monkeypatch.setattr(preflight, "prepare", prepare)
    said = night(text, "--since=last,2d", LANDED, code=4).stderr
    assert "capybeam: the run failed: BigQuery: Not found: " in said
    assert "Check its name, and that it was not deleted meanwhile" in said
    assert store_of("receipts.jsonl.gz").load() == {}
