"""`reconcile`: where every conversion of an input is."""

from __future__ import annotations

import gzip
import json
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.reconciliation.index import ProcessedIndex
from capybeam.pipeline.reconciliation.reconcile import Reconciliation
from capybeam.pipeline.reconciliation.records import Records
from capybeam.pipeline.run.execute import run_job
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.transforms.engine.engine import Engine
from tests.pipeline.jobs import JANE, job_file, order, rows

JOB = job_file("https://graph.facebook.com")


def receipt(*event_ids: str, subscription: str = "purchase", destination: str = "web", dataset: str = "123") -> bytes:
    conversions = [{"subscription": subscription, "event_name": "Purchase", "events": len(event_ids)}]
    return orjson.dumps(
        {
            "destination": destination,
            "dataset_id": dataset,
            "events": len(event_ids),
            "delivered_at": 1_795_000_000,
            "conversions": conversions,
            "event_ids": event_ids,
        }
    )


def dead_letter(event: bytes, **changes: Any) -> bytes:
    """A dead letter of the map stage."""
    payload = json.loads(event)
    letter = {
        "dead_lettered_at": 1_795_000_000,
        "stage": "map",
        "code": "missing_required_field",
        "message": "No.",
        "destination": "web",
        "subscription": "purchase",
        "dataset_id": "123",
        "event_id": payload.get("messageId"),
        "payload": payload,
        "retryable": False,
        "meta_code": None,
    }
    return orjson.dumps({**letter, **changes})


def reconciled(tmp_path: Path, lines: list[bytes], records: list[bytes]) -> tuple[dict[str, Any], list[str]]:
    """What is found of web/purchase, without what there is none of; and the event_ids that are nowhere."""
    (tmp_path / "records.jsonl").write_bytes(b"".join(line + b"\n" for line in records))
    engine = Engine(parse_job(JOB).subscriptions)
    found = Reconciliation(engine, ProcessedIndex(Records([str(tmp_path / "records.jsonl")]), engine))
    nowhere = [row["event_id"] for line in lines for row in found.add({}, line)]
    found.finish()
    counts = found.as_json()["subscriptions"]["web/purchase"]
    return {name: count for name, count in counts.items() if count}, nowhere


NO_CURRENCY = order(5, properties={"revenue": 5})
BODY = {"event_name": "Purchase", "event_time": 1, "user_data": {}}


@pytest.mark.parametrize(
    ("line", "records", "expected"),
    [
        (order(1), [receipt("order-1")], "delivered"),
        (order(1), [receipt("order-0", "order-1", "order-2")], "delivered"),
        (order(1), [], "nowhere"),
        (order(1), [receipt("order-11")], "nowhere"),
        (order(1), [receipt("order-1", subscription="other")], "nowhere"),
        (order(1), [receipt("order-1", destination="crm")], "nowhere"),
        (order(1), [receipt("order-1", dataset="456")], "nowhere"),
        (order(1), [dead_letter(order(1), stage="send", payload=BODY)], "dead_lettered"),
        (order(1), [dead_letter(order(1), stage="validate", payload=BODY)], "dead_lettered"),
        (order(1), [dead_letter(order(1), stage="send", payload=BODY), receipt("order-1")], "delivered"),
        (order(1), [dead_letter(order(1))], "dead_lettered"),  # the job file has been corrected since
        (order(1), [dead_letter(order(1), payload=None)], "dead_lettered"),  # too large for a table
        (order(1), [dead_letter(order(2))], "nowhere"),
        (NO_CURRENCY, [dead_letter(NO_CURRENCY)], "dead_lettered"),
        (NO_CURRENCY, [], "rejected"),
        (NO_CURRENCY, [receipt("order-5")], "rejected"),  # mapped, it would not have this event_id for certain
        (order(1, timestamp="2026-01-01T00:00:00Z"), [receipt("order-1")], "delivered"),  # too old by now
        (order(1, timestamp="2026-01-01T00:00:00Z"), [], "nowhere"),
        (order(1, messageId=None), [dead_letter(order(1, messageId=None))], "dead_lettered"),
    ],
)
def test_a_conversion_is_where_receipts_and_dead_letters_say(
    tmp_path: Path, line: bytes, records: list[bytes], expected: str
) -> None:
    counts, nowhere = reconciled(tmp_path, [line], records)
    assert counts == {"conversions": 1, expected: 1}
    assert len(nowhere) == (expected == "nowhere")


def test_what_receipts_name_more_often_than_the_input_has_it_was_delivered_more_than_once(tmp_path: Path) -> None:
    lines = [order(1), order(2), order(2), order(3)]
    records = [receipt("order-1", "order-2", "order-3"), receipt("order-2", "order-3"), receipt("order-3")]
    counts, _ = reconciled(tmp_path, lines, records)
    assert counts == {"conversions": 4, "delivered": 4, "delivered_more_than_once": 1}


@pytest.mark.parametrize("torn", [b'{"destination":"web","dataset', receipt("order-1")[:-1]])
def test_what_was_written_behind_a_torn_line_is_not_lost_with_it(tmp_path: Path, torn: bytes) -> None:
    """Another process of the same run went on after one was killed."""
    counts, nowhere = reconciled(tmp_path, [order(1), order(2)], [torn + receipt("order-2")])
    assert (counts["delivered"], nowhere) == (1, ["order-1"])


def reconcile(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["reconcile", "--config", "job.yaml", *arguments])


ALL = ("--receipts", "receipts*.jsonl.gz", "--dead-letters", "dead-letters*.jsonl")


@pytest.mark.slow
def test_a_run_with_every_outcome_is_found_again_event_by_event(sandbox: SandboxServer) -> None:
    sandbox.set_faults(refused_ids="order-1003")
    consent = "consent: {granted_if: 'userId != \"user-1006\"'}\n    subscriptions:"
    job = job_file(sandbox.url).replace("subscriptions:", consent, 1)
    Path("job.yaml").write_text(job)
    first = [order(n) for n in (1001, 1002, 1003)] + [order(1004, properties={"revenue": 1004}), b"{broken", b""]
    second = [order(n) for n in (1005, 1006)] + [b'{"type":"screen"}']
    for name, lines in (("a.jsonl", first), ("b.jsonl", second)):
        Path(name).write_bytes(b"".join(line + b"\n" for line in lines))
    outputs = Outputs("dead-letters.jsonl", "receipts.jsonl.gz")
    run_job(RunRequest(parse_job(job), ["a.jsonl"], outputs))
    result = reconcile(
        "--input", "a.jsonl", "--input", "b.jsonl", *ALL, "--format", "json", "--output", "nowhere.jsonl"
    )
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    web = {"delivered": 2, "dead_lettered": 2, "rejected": 0, "without_consent": 1, "nowhere": 1}
    assert found["subscriptions"]["web/purchase"] == {"conversions": 6, **web, "delivered_more_than_once": 0}
    assert (found["events"], found["filtered"], found["unparsable"], found["nowhere"]) == (8, 1, 1, 3)
    assert found["conversions"] == 12
    assert rows("nowhere.jsonl") == [
        {
            "file": "b.jsonl",
            "line": line,
            "destination": destination,
            "subscription": "purchase",
            "dataset_id": dataset,
            "event_id": f"order-{number}",
        }
        for line, number, destination, dataset in (
            (1, 1005, "web", "123"),
            (1, 1005, "crm", "456"),
            (2, 1006, "crm", "456"),
        )
    ]
    assert stat.S_IMODE(Path("nowhere.jsonl").stat().st_mode) == 0o600

    run_job(RunRequest(parse_job(job), ["a.jsonl", "b.jsonl"], outputs, resume=[ALL[1], ALL[3]]))
    result = reconcile("--input", "[ab].jsonl", *ALL)
    assert result.exit_code == 0, result.output
    assert "12 conversions = 7 delivered + 4 dead-lettered + 1 without consent + 0 nowhere." in result.stdout
    assert not any(value in result.output for value in ("order-1", *JANE.values()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "none.jsonl", "--receipts", "r.jsonl"], "none.jsonl: No such file or directory"),
        (["--input", "e.jsonl", "--receipts", "none*.gz"], "none*.gz: no such file"),
        (["--input", "e.jsonl", "--receipts", "e.jsonl"], "Line 1 of e.jsonl is neither a receipt nor a dead letter"),
        (["--input", "e.jsonl", "--receipts", "r.jsonl", "--since", "2026-01-01"], "--since and --until are for"),
        (["--input", "e.jsonl", "--receipts", "r.jsonl", "--output", "no/where"], "no/where: No such file"),
        (
            ["--input", "e.jsonl", "--receipts", "r.jsonl", "--output", "-", "--format", "json"],
            "would both write to standard output",
        ),
    ],
)
def test_what_cannot_be_read_or_written_exits_2_and_names_it(arguments: list[str], message: str) -> None:
    Path("job.yaml").write_text(JOB)
    Path("e.jsonl").write_bytes(order(1) + b"\n")
    Path("r.jsonl").write_bytes(receipt("order-1") + b"\n")
    result = reconcile(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_of_an_input_that_breaks_off_what_can_be_read_is_reconciled() -> None:
    Path("job.yaml").write_text(JOB)
    Path("e.jsonl.gz").write_bytes(gzip.compress(order(1) + b"\n" + order(2) + b"\n")[:-9])
    Path("r.jsonl").write_bytes(receipt("order-1") + b"\n")
    result = reconcile("--input", "e.jsonl.gz", "--receipts", "r.jsonl", "--output", "-")
    assert result.exit_code == 1
    assert "e.jsonl.gz is incomplete: it was cut off" in result.stderr


def test_receipts_that_a_killed_run_left_empty_say_that_everything_is_nowhere() -> None:
    Path("job.yaml").write_text(JOB)
    Path("e.jsonl").write_bytes(order(1) + b"\n")
    Path("receipts.jsonl.gz").touch()
    Path("dead-letters.jsonl").touch()
    result = reconcile("--input", "e.jsonl", *ALL, "--output", "-")
    assert (result.exit_code, [json.loads(line)["event_id"] for line in result.stdout.splitlines()]) == (1, ["order-1"])
