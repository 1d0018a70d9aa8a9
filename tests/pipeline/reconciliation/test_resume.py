"""`run --resume`: only what no receipt and no dead letter has is sent, also after runs that were killed."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sinks.line_writer import LineWriter
from capybeam.transforms.core.dead_letters import ReplayFilter
from tests.pipeline.jobs import job_file, order, rows
from tests.pipeline.run.runs import PORTABLE, settle, small_order, start

pytestmark = pytest.mark.slow
OUTPUTS = Outputs("dead-letters.jsonl", "receipts.jsonl.gz", "books.json")
ALL = ("receipts*.jsonl.gz", "dead-letters*.jsonl")


def run(endpoint: str, lines: list[bytes] | None = None, **settings: Any) -> tuple[int, dict[str, Any]]:
    """Runs the job over lines, or over those that are there already; its exit code and its books."""
    if lines is not None:
        Path("events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    job = parse_job(settings.pop("job", job_file(endpoint)))
    code = run_job(RunRequest(job, ["events.jsonl"], settings.pop("outputs", OUTPUTS), **settings))
    return code, json.loads(Path("books.json").read_text())


def receipted(path: str = "receipts.jsonl.gz") -> Counter[tuple[str, str]]:
    return Counter((row["dataset_id"], event_id) for row in rows(path) for event_id in row["event_ids"])


def stored(sandbox: SandboxServer) -> set[tuple[str, str]]:
    return {(dataset, event_id) for dataset in ("123", "456") for _, event_id in sandbox.event_ids(dataset)}


def wait_until(sandbox: SandboxServer, received: int) -> None:
    deadline = time.monotonic() + 60
    while sandbox.stats()["events_received"] < received and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("received", [1, 3_500], ids=["before the first answer", "in the middle"])
def test_a_run_that_was_killed_goes_on_and_sends_again_only_what_was_in_flight(
    sandbox: SandboxServer, received: int
) -> None:
    process = start(sandbox, 8_000)  # two requests of 1,000 events at a time
    wait_until(sandbox, received)
    process.kill()
    process.wait(timeout=60)
    settle(sandbox)
    sent, named = stored(sandbox), receipted()
    assert max(named.values(), default=1) == 1
    assert set(named) <= sent, "a receipt of what was never sent"
    in_flight = len(sent - set(named))
    assert 0 < in_flight <= 2_000

    sandbox.set_faults(latency=0.0)
    code, books = run(sandbox.url, resume=ALL)
    assert (code, books["balanced"]) == (OK, True)
    assert (books["matched"], books.get("already_delivered", 0)) == (8_000, len(named))
    assert books["delivered"] == 8_000 - len(named)
    stats = sandbox.stats()
    assert (stats["events_stored"], stats["duplicates"]) == (8_000, in_flight)

    code, books = run(sandbox.url, resume=ALL)  # both runs' receipts: there is nothing left
    assert (code, books["delivered"], books["already_delivered"]) == (OK, 0, 8_000)
    assert sandbox.stats()["events_received"] == stats["events_received"]


def test_an_event_of_two_subscriptions_is_looked_up_for_each(sandbox: SandboxServer) -> None:
    lines = [order(n) for n in (90, 150)]  # the second is for crm as well
    job = job_file(sandbox.url)
    only_web = job.replace("and properties.revenue >= 100", "and properties.revenue >= 1000")
    assert run(sandbox.url, lines, job=only_web)[0] == OK
    code, books = run(sandbox.url, lines, resume=ALL)
    assert (code, books["matched"], books["delivered"], books["already_delivered"]) == (OK, 3, 1, 2)
    destinations = books["destinations"]
    assert destinations["crm"]["subscriptions"]["purchase"]["delivered"] == 1
    assert destinations["web"]["subscriptions"]["purchase"]["already_delivered"] == 2
    assert sandbox.stats()["duplicates"] == 0


def test_what_is_a_dead_letter_is_left_to_replay(sandbox: SandboxServer) -> None:
    sandbox.set_faults(refused_ids="order-2")
    no_currency = order(4, properties={"revenue": 4})
    code, books = run(sandbox.url, [order(1), order(2), no_currency])
    assert (code, books["delivered"], books["dead_lettered"]) == (DEAD_LETTERS, 1, 2)

    sandbox.set_faults(refused_ids="")
    code, books = run(sandbox.url, [order(1), order(2), no_currency, order(3)], resume=ALL)
    assert books["balanced"]
    assert (books["matched"], books["delivered"], books["dead_lettered"]) == (4, 1, 1)
    assert (books["already_delivered"], books["already_dead_lettered"]) == (1, 1)
    assert {event_id for _, event_id in sandbox.event_ids("123")} == {"order-1", "order-3"}


def test_what_a_corrected_job_file_would_send_of_dead_letters_is_left_to_replay_too(sandbox: SandboxServer) -> None:
    """They were rejected before they had an event_id, which is the order's here and not the message's."""
    mapping = "{event_id: {'@path': $.properties.order_id}, currency: {'@path': $.properties.money}}"
    job = job_file(sandbox.url).replace("- action: purchase\n", f"- {{action: purchase, mapping: {mapping}}}\n", 1)
    lines = [order(n, properties={"revenue": n, "currency": "EUR", "order_id": f"no-{n}"}) for n in (1, 2)]
    assert run(sandbox.url, lines, job=job)[1]["dead_lettered"] == 2
    corrected = job.replace("$.properties.money", "$.properties.currency")
    code, books = run(sandbox.url, lines, job=corrected, resume=ALL)
    assert (code, books["delivered"], books["already_dead_lettered"]) == (OK, 0, 2)
    kept = [str(path) for path in Path().glob("dead-letters.*.jsonl")]
    outputs = Outputs("replayed-dead.jsonl", "replayed.jsonl.gz")
    assert replay_job(RunRequest(parse_job(corrected), kept, outputs), ReplayFilter()) == OK
    assert {event_id for _, event_id in sandbox.event_ids("123")} == {"no-1", "no-2"}
    assert sandbox.stats()["duplicates"] == 0


def test_a_replay_that_was_stopped_goes_on_too(sandbox: SandboxServer) -> None:
    sandbox.set_faults(dead_token=True)
    run(sandbox.url, [order(1), order(2)])
    sandbox.set_faults(dead_token=False)
    Path("some.jsonl").write_bytes(Path("dead-letters.jsonl").read_bytes().splitlines(keepends=True)[0])
    job = parse_job(job_file(sandbox.url))
    for source, resume in (("some.jsonl", ()), ("dead-letters.jsonl", ("replayed.jsonl.gz",))):
        outputs = Outputs("replayed-dead.jsonl", "replayed.jsonl.gz", "books.json")
        assert replay_job(RunRequest(job, [source], outputs, resume=resume), ReplayFilter()) == OK
    books = json.loads(Path("books.json").read_text())
    assert (books["matched"], books["delivered"], books["already_delivered"]) == (2, 1, 1)


def test_events_of_the_older_wire_have_no_id_and_are_known_by_their_body(sandbox: SandboxServer) -> None:
    job = f"""
destinations:
  - name: archive
    type: facebook_offline_conversions
    wire: offline_events
    access_token: env:TOKEN
    endpoint: {sandbox.url}
    events: {{Order Completed: "999"}}
"""
    lines = [small_order(1), small_order(2)]
    assert run(sandbox.url, lines[:1], job=job)[0] == OK
    (receipt,) = rows("receipts.jsonl.gz")
    assert [identity.partition(":")[0] for identity in receipt["event_ids"]] == ["body"]
    code, books = run(sandbox.url, lines, job=job, resume=ALL)
    assert (code, books["delivered"], books["already_delivered"]) == (OK, 1, 1)


def test_workers_elsewhere_look_receipts_up_themselves(sandbox: SandboxServer, tmp_path: Path) -> None:
    outputs = Outputs(f"file://{tmp_path}/dead.jsonl", f"file://{tmp_path}/receipts.jsonl.gz", "books.json")
    request = RunRequest(
        parse_job(job_file(sandbox.url)),
        [f"file://{tmp_path}/events.jsonl"],
        outputs,
        PORTABLE,
        resume=[outputs.receipts],
    )
    Path("events.jsonl").write_bytes(b"".join(small_order(n) + b"\n" for n in range(3)))
    run(sandbox.url, outputs=Outputs("dead.jsonl", "receipts.jsonl.gz", "books.json"))
    Path("events.jsonl").write_bytes(b"".join(small_order(n) + b"\n" for n in range(5)))
    assert run_job(request) == OK
    books = json.loads(Path("books.json").read_text())
    assert (books["delivered"], books["already_delivered"], books["sent"]) == (2, 3, 2)
    assert sandbox.stats()["duplicates"] == 0


def test_what_an_attempt_has_delivered_that_failed_is_not_sent_again_by_the_next(
    sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that a runner repeats finds the receipts of the first attempt, without --resume."""
    run(sandbox.url, [small_order(n) for n in range(3)])
    line = json.dumps(rows("receipts.jsonl.gz")[0]).encode()
    receipts = f"file://{tmp_path}/own.jsonl.gz"

    def lost_attempt(*_: Any) -> None:  # as the first attempt leaves it, when the job begins
        writer = LineWriter(receipts, "Receipts")
        writer.write(line)
        writer.close()

    monkeypatch.setattr("capybeam.pipeline.run.preflight.check_glob_excludes_outputs", lost_attempt)
    outputs = Outputs(f"file://{tmp_path}/dead.jsonl", receipts, "books.json")
    Path("events.jsonl").write_bytes(b"".join(small_order(n) + b"\n" for n in range(5)))
    job = parse_job(job_file(sandbox.url))
    assert run_job(RunRequest(job, [f"file://{tmp_path}/events.jsonl"], outputs, PORTABLE)) == OK
    books = json.loads(Path("books.json").read_text())
    assert (books["matched"], books["delivered"], books["already_delivered"]) == (5, 2, 3)
    assert sandbox.stats()["duplicates"] == 0


@pytest.mark.parametrize(
    ("receipts", "message"),
    [
        ("nothing.jsonl", "nothing.jsonl: no such file"),
        ("pubsub:projects/p/subscriptions/s", "receipts and dead letters are read from files and bigquery: tables"),
        ("events.jsonl", "Line 1 of events.jsonl is neither a receipt nor a dead letter of capybeam"),
        ("brief.jsonl", "Line 1 of brief.jsonl does not name its events: it was written with `receipts: brief`"),
        ("plain.jsonl.gz", "plain.jsonl.gz: holds neither receipts nor dead letters of capybeam"),
    ],
)
def test_what_does_not_say_what_was_sent_exits_2_before_anything_is_touched(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], receipts: str, message: str
) -> None:
    Path("events.jsonl").write_bytes(order(1) + b"\n")
    Path("plain.jsonl.gz").write_bytes(order(1) + b"\n")
    Path("brief.jsonl").write_text('{"destination":"web","dataset_id":"1","events":2,"delivered_at":1}\n')
    Path("receipts.jsonl.gz").write_bytes(b"earlier")
    request = RunRequest(parse_job(job_file(sandbox.url)), ["events.jsonl"], OUTPUTS, resume=[receipts])
    assert run_job(request) == CONFIGURATION
    assert message in capsys.readouterr().err
    assert Path("receipts.jsonl.gz").read_bytes() == b"earlier"
    assert sandbox.stats()["requests"] == 0


def test_files_that_only_this_machine_has_are_refused_for_workers_elsewhere(
    sandbox: SandboxServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(sandbox.url, [order(1)])
    outputs = Outputs(f"file://{tmp_path}/d.jsonl", f"file://{tmp_path}/r.jsonl.gz")
    inputs = [f"file://{tmp_path}/events.jsonl"]
    job = parse_job(job_file(sandbox.url))
    assert run_job(RunRequest(job, inputs, outputs, PORTABLE, resume=["receipts.jsonl.gz"])) == CONFIGURATION
    assert "PortableRunner cannot read receipts.jsonl.gz: its workers are elsewhere" in capsys.readouterr().err


def test_what_was_kept_beyond_the_latest_runs_is_deleted_but_not_what_is_read(sandbox: SandboxServer) -> None:
    for number in range(4):
        run(sandbox.url, [order(number)], resume=("receipts.jsonl.gz",) if number else ())
        Path("receipts.jsonl.gz").touch()
    Path("receipts.txt").touch()
    oldest = min(Path().glob("receipts.*.jsonl.gz"), key=lambda path: path.stat().st_mtime_ns)
    code, books = run(sandbox.url, [order(0)], resume=[str(oldest)], keep=1)
    assert (code, books["already_delivered"]) == (OK, 1)
    kept = sorted(path.name for path in Path().glob("receipts.*"))
    assert len(kept) == 4  # the one that is read, the latest, this run's, and a file of somebody else
    assert {oldest.name, "receipts.jsonl.gz", "receipts.txt"} <= set(kept)


def test_a_run_says_what_it_does_not_send_again(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    run(sandbox.url, [order(1), order(2)])
    capsys.readouterr()
    with open("receipts.jsonl.gz", "ab") as file:
        file.write(b"\x1f\x8b\x08\x00torn")
    run(sandbox.url, resume=ALL)
    shown = capsys.readouterr()
    assert "Not sent again: 2 conversions that 1 receipts name, and 0 dead letters." in shown.err
    assert "receipts.jsonl.gz: 1 line is incomplete, as a kill leaves them, and ignored" in shown.err
    assert "2 matched = 0 delivered + 0 dead-lettered + 2 already delivered. The books balance." in shown.out
    assert "order-1" not in shown.err + shown.out
