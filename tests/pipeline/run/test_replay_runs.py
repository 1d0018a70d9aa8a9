"""`replay`, end to end on one machine: dead letters of a run in, a real server at the end, books that balance."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, GAVE_UP, OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sources import NoInput
from capybeam.transforms.core import events
from capybeam.transforms.core.dead_letters import ReplayFilter
from tests.pipeline.jobs import job_file, order, rows
from tests.reports import in_short, subscriptions, unreadable

pytestmark = pytest.mark.slow


def run(job: str, lines: list[bytes]) -> int:
    Path("events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return run_job(RunRequest(parse_job(job), ["events.jsonl"], Outputs("dead.jsonl", "receipts.jsonl")))


def replay(
    job: str, source: str = "dead.jsonl", dead_letters: str = "again.jsonl", replay_filter: ReplayFilter | None = None
) -> tuple[int, dict[str, Any]]:
    outputs = Outputs(dead_letters, "replayed.jsonl", "books.json")
    code = replay_job(RunRequest(parse_job(job), [source], outputs), replay_filter or ReplayFilter())
    return code, json.loads(Path("books.json").read_text()) if Path("books.json").exists() else {}


def test_what_a_dead_token_kept_back_is_delivered_by_a_replay_and_once_by_two(sandbox: SandboxServer) -> None:
    job = job_file(sandbox.url)
    sandbox.set_faults(dead_token=True)
    run(job, [order(n) for n in range(90, 110)])
    kept = Path("dead.jsonl").read_bytes()
    sandbox.set_faults(dead_token=False)
    sandbox.reset()
    results = [replay(job) for _ in range(2)]
    assert [code for code, _ in results] == [OK, OK]
    assert in_short(results[1][1]) == {
        "balanced": True,
        "read": 30,
        "taken": 30,
        "filtered": 0,
        "unreadable": 0,
        "matched": 30,
        "delivered": 30,
        "dead_lettered": 0,
        "rejected_before_matching": {},
        "subscriptions": {
            "crm/purchase": {"matched": 10, "delivered": 10, "dead_lettered": {}, "notes": {}},
            "web/purchase": {"matched": 20, "delivered": 20, "dead_lettered": {}, "notes": {}},
        },
    }
    stats = sandbox.stats()
    assert (stats["events_stored"], stats["duplicates"]) == (30, 30)
    assert Path("dead.jsonl").read_bytes() == kept


def test_what_the_mapping_refused_is_mapped_again_for_its_own_subscription_only(sandbox: SandboxServer) -> None:
    """The order goes to crm, which maps its currency itself, and web, which at first does not."""
    with_currency = "mapping: {currency: EUR}"
    job = job_file(sandbox.url).replace("revenue >= 100'", f"revenue >= 100', {with_currency}")
    run(job, [order(100, properties={"revenue": 100})])
    assert sandbox.stats()["by_event"] == {"456": {"Purchase": 1}}
    fixed = job.replace("- action: purchase", f"- action: purchase\n        {with_currency}", 1)
    code, books = replay(fixed)
    assert (code, books["matched"], books["delivered"]) == (OK, 1, 1)
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": 1}, "456": {"Purchase": 1}}
    assert sandbox.stats()["duplicates"] == 0


def test_a_dead_letter_that_was_edited_leaves_with_nothing_personal_in_the_clear_or_not_at_all(
    sandbox: SandboxServer,
) -> None:
    job = job_file(sandbox.url)
    sandbox.set_faults(dead_token=True)
    run(job, [order(n) for n in range(3)])
    sandbox.set_faults(dead_token=False)
    sandbox.reset()
    dead_letters = rows("dead.jsonl")
    dead_letters[0]["payload"]["user_data"]["em"] = "jane@example.com"
    dead_letters[1]["payload"].update(
        event_source_url="https://shop.example/?email=jane%40example.com&p=2",
        attribution_data={"email": "jane@example.com"},
        email="jane@example.com",
        custom_data={
            **dead_letters[1]["payload"]["custom_data"],
            "guests.0.email": "jane@example.com",
            "order": {"em": 1, "n": 2},
        },
    )
    dead_letters[2]["payload"]["user_data"]["email"] = "jane@example.com"
    Path("dead.jsonl").write_text("".join(json.dumps(dead_letter) + "\n" for dead_letter in dead_letters))

    code, books = replay(job)

    assert (code, books["balanced"], books["delivered"]) == (DEAD_LETTERS, True, 1)
    assert [(row["stage"], row["code"]) for row in rows("again.jsonl")] == [("validate", "unhashed_user_data")] * 2
    (account,) = subscriptions(books).values()
    assert account["notes"] == {
        "removed_from_event_source_url": 1,
        "removed_from_event": 1,
        "removed_from_attribution_data": 1,
        "removed_from_custom_data": 2,
    }
    stats = sandbox.stats()
    assert (stats["requests"], stats["raw_pii"], stats["pii_in_custom_data"], stats["pii_in_urls"]) == (1, 0, 0, 0)
    assert "jane" not in json.dumps(stats["last_events"])


def test_what_a_replay_leaves_out_is_in_its_books(sandbox: SandboxServer) -> None:
    products = [{"sku": "mug"}, {"product_id": "cup", "quantity": 1.5}]
    run(job_file(sandbox.url), [order(1, properties={"revenue": 1, "products": products})])
    code, books = replay(
        job_file(sandbox.url).replace("- action: purchase", "- {action: purchase, mapping: {currency: EUR}}")
    )
    assert (code, books["delivered"]) == (OK, 1)
    assert subscriptions(books)["web/purchase"]["notes"] == {
        "contents_without_id": 1, "dropped_contents_quantity": 1, "website_without_url": 1
    }  # fmt: skip


def test_a_replay_of_a_replay_keeps_the_first_origin_and_never_nests(sandbox: SandboxServer) -> None:
    job = job_file("http://127.0.0.1:9", "{retry_for: 0s}")
    run(job, [order(1), b"{broken", order(2, properties={})])
    first = {row["code"]: row for row in rows("dead.jsonl")}
    assert replay(job)[0] == GAVE_UP
    assert replay(job, "again.jsonl", "third.jsonl")[0] == GAVE_UP
    third = {row["code"]: row for row in rows("third.jsonl")}
    assert third.keys() == first.keys() == {"gave_up_retrying", "invalid_json", "missing_required_field"}
    for code, row in third.items():
        origin = {"first_dead_lettered_at": first[code]["dead_lettered_at"], "replays": 2}
        assert row == {**first[code], "dead_lettered_at": row["dead_lettered_at"], **origin}


def test_a_line_that_is_no_dead_letter_is_reported_with_its_number_and_kept(sandbox: SandboxServer) -> None:
    sandbox.set_faults(dead_token=True)
    run(job_file(sandbox.url), [order(1)])
    sandbox.set_faults(dead_token=False)
    with Path("dead.jsonl").open("ab") as file:
        event = order(2)
        file.write(b"\nnot a letter\n" + event + b"\n")
    code, books = replay(job_file(sandbox.url))
    assert code == DEAD_LETTERS
    assert (books["balanced"], books["read"], books["unreadable"], books["delivered"]) == (True, 3, 2, 1)
    assert sorted((row["message"], row["payload"]) for row in rows("again.jsonl")) == [
        ("Line 3 of dead.jsonl is not a capybeam dead letter: it is not JSON.", "not a letter"),
        ("Line 4 of dead.jsonl is not a capybeam dead letter: it has no dead_lettered_at.", event.decode()),
    ]


def test_only_the_chosen_are_replayed_and_the_others_stay_where_they_are(sandbox: SandboxServer) -> None:
    sandbox.set_faults(dead_token=True)
    run(job_file(sandbox.url), [order(1), order(2, properties={"revenue": 1}), b"{"])
    sandbox.set_faults(dead_token=False)
    code, books = replay(job_file(sandbox.url), replay_filter=ReplayFilter(retryable=True))
    assert (code, books["read"], books["filtered"], books["delivered"], books["balanced"]) == (OK, 3, 2, 1, True)
    assert Counter(row["code"] for row in rows("dead.jsonl")) == {
        "destination_refused": 1,
        "missing_required_field": 1,
        "invalid_json": 1,
    }


@pytest.mark.parametrize("name", ["dead.jsonl", "./dead.jsonl"])
def test_the_dead_letters_that_are_read_are_never_written_to(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run(job_file(sandbox.url), [b"{"])
    before = Path("dead.jsonl").read_bytes()
    assert replay(job_file(sandbox.url), "dead*.jsonl", name)[0] == CONFIGURATION
    assert f"Dead letters cannot be written to {name}: it is being read; choose another path" in capsys.readouterr().err
    assert Path("dead.jsonl").read_bytes() == before


def test_the_project_that_is_given_pays_for_looking_at_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def client(_name: str, project: str | None) -> Any:
        raise NoInput(f"{project} pays")

    monkeypatch.setattr("capybeam.pipeline.sources.bigquery.client.new_client", client)
    outputs, dead_letters = Outputs("again.jsonl", "replayed.jsonl"), ["bigquery:acme.meta.dead_letters"]
    job = parse_job(job_file("http://127.0.0.1:9"))
    assert replay_job(RunRequest(job, dead_letters, outputs, ["--project", "payer"]), ReplayFilter()) == CONFIGURATION
    assert "capybeam: payer pays\n" in capsys.readouterr().err


def test_the_command_names_a_code_that_does_not_exist() -> None:
    Path("job.yaml").write_text(job_file("http://127.0.0.1:9"))
    result = CliRunner().invoke(
        main, ["replay", "--config", "job.yaml", "--from", "dead.jsonl", "--only", "gave_up_retry"]
    )
    assert (result.exit_code, result.stderr) == (
        2,
        "capybeam: --only: unknown code 'gave_up_retry'; did you mean gave_up_retrying?\n",
    )


def test_the_command_replays(sandbox: SandboxServer) -> None:
    Path("job.yaml").write_text(job_file(sandbox.url))
    sandbox.set_faults(dead_token=True)
    run(job_file(sandbox.url), [order(1)])
    sandbox.set_faults(dead_token=False)
    result = CliRunner().invoke(
        main, ["replay", "--config", "job.yaml", "--from", "dead.jsonl", "--only", "destination_refused", "--retryable"]
    )
    assert result.exit_code == OK, result.output
    assert sandbox.stats()["events_stored"] == 1
    assert Path("replayed-dead-letters.jsonl").read_bytes() == b""


def test_a_dead_letter_that_is_too_long_is_one_again_and_the_others_are_delivered(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_file("http://127.0.0.1:9", "{retry_for: 0s}")
    run(job, [order(1), order(2)])
    dead_letters = Path("dead.jsonl").read_bytes()
    Path("dead.jsonl").write_bytes(b'{"payload":"' + b"x" * 3_000_000 + b'"}\n' + dead_letters)
    monkeypatch.setattr(events, "MAX_LINE", 1_000_000)
    code, books = replay(job_file(sandbox.url), "dead.jsonl")
    assert (code, books["balanced"], books["read"], books["delivered"]) == (DEAD_LETTERS, True, 3, 2)
    assert [(row["code"], len(row["payload"])) for row in rows("again.jsonl")] == [("line_too_long", 1000)]


def test_dead_letters_that_were_cut_off_are_replayed_as_far_as_they_go_and_fail_the_run(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_file("http://127.0.0.1:9", "{retry_for: 0s}")
    run(job, [order(1), order(2)])
    dead_letters = Path("dead.jsonl").read_bytes()
    Path("dead.jsonl.gz").write_bytes(gzip.compress(dead_letters + b'{"half":')[:-8])
    code, books = replay(job_file(sandbox.url), "dead.jsonl.gz")
    assert (code, books["balanced"], books["read"], books["delivered"]) == (FAILED, True, 3, 2)
    assert [(row["code"], row["payload"]) for row in rows("again.jsonl")] == [("unreadable_rest", '{"half":')]
    assert "capybeam: dead.jsonl.gz is incomplete: it was cut off." in capsys.readouterr().err

    code, books = replay(job_file(sandbox.url), "again.jsonl", "third.jsonl")
    assert (code, books["dead_letters"]) == (DEAD_LETTERS, 1), "it was another file that broke off"


def test_edited_dead_letters_that_are_none_any_more_are_reported_one_by_one_and_the_books_balance(
    sandbox: SandboxServer,
) -> None:
    sandbox.set_faults(dead_token=True)
    run(job_file(sandbox.url), [order(n) for n in range(8)])
    sandbox.set_faults(dead_token=False)
    dead_letters = rows("dead.jsonl")
    dead_letters[0]["subscription"] = ""
    dead_letters[1]["code"] = ["destination_refused"]
    del dead_letters[2]["payload"]["user_data"]
    dead_letters[3].update(stage="parse", payload="{")
    dead_letters[4].update(stage="filter", code="not_a_dead_letter", subscription=None)
    dead_letters[5].update(dead_lettered_at=10**18)
    dead_letters[6]["payload"]["custom_data"] = None
    Path("edited.jsonl").write_text("".join(json.dumps(dead_letter) + "\n" for dead_letter in dead_letters))

    code, books = replay(job_file(sandbox.url), "edited.jsonl")

    assert (code, books["balanced"], books["read"], books["unreadable"]) == (DEAD_LETTERS, True, 8, 7)
    assert (books["delivered"], unreadable(books)) == (1, {"parse/not_a_dead_letter": 7})
    assert [row["message"].partition(" is not a capybeam dead letter: ")[::2] for row in rows("again.jsonl")] == [
        ("Line 1 of edited.jsonl", "it names no subscription."),
        ("Line 2 of edited.jsonl", "its code is not text."),
        ("Line 3 of edited.jsonl", "its payload is not an event of its destination."),
        ("Line 4 of edited.jsonl", "it names a subscription, and at the stage parse an event has none yet."),
        ("Line 5 of edited.jsonl", "it names a subscription, and at the stage filter an event has none yet."),
        ("Line 6 of edited.jsonl", "its time is not in Unix seconds."),
        ("Line 7 of edited.jsonl", "its payload is not an event of its destination."),
    ]
