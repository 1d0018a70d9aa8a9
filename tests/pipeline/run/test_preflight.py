"""What is wrong with inputs, outputs, tokens and runners is said before an event is read, and nothing is touched."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from capybeam.pipeline import file_systems
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.beam_options import resolve_options
from capybeam.pipeline.run.execute import run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION
from capybeam.pipeline.run.preflight import own_receipts
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.run.run_log import RunLog
from capybeam.pipeline.sandbox.server import SandboxServer
from tests.pipeline.jobs import job_file, order
from tests.pipeline.run.runs import PORTABLE, run


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


def test_input_that_is_not_there_exits_2(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_job(RunRequest(parse_job(job_file(sandbox.url)), ["nowhere.jsonl"], Outputs("d", "r")))
    assert code == CONFIGURATION
    assert "nowhere.jsonl: no such file" in capsys.readouterr().err
    assert not Path("d").exists()


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
        "gs://acme/books.json": "they must go to a file on this machine",
    }.items():
        assert (
            run_job(RunRequest(job, ["events.jsonl"], Outputs("dead.jsonl", "receipts.jsonl", place))) == CONFIGURATION
        )
        assert capsys.readouterr().err == f"capybeam: The report cannot be written to {place}: {reason}\n"
    assert sandbox.stats()["requests"] == 0
    assert Path("dead.jsonl").read_text() == "of an earlier run\n"
    assert sorted(os.listdir()) == ["dead.jsonl", "events.jsonl", "folder", "link"]


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


@pytest.mark.parametrize(
    ("runner", "receipts", "kind", "own"),
    [
        ("PortableRunner", "file:///mnt/receipts.jsonl", "detailed", "/mnt/receipts.jsonl"),
        ("PortableRunner", "gs://acme/receipts.jsonl.gz", "detailed", "gs://acme/receipts.jsonl.gz"),
        ("PortableRunner", "gs://acme/receipts.jsonl.gz", "brief", "brief receipts"),
        ("PortableRunner", "bigquery:acme.meta.receipts", "detailed", "receipts that are not in files"),
        ("PortableRunner", "pubsub:projects/acme/topics/t", "detailed", "receipts that are not in files"),
        ("DataflowRunner", "gs://acme/receipts.jsonl.gz", "detailed", ""),  # repeats bundles, and not the whole job
    ],
)
def test_receipts_that_workers_elsewhere_can_read_back_are_read_back_and_else_it_is_said(
    capsys: pytest.CaptureFixture[str], runner: str, receipts: str, kind: str, own: str
) -> None:
    job = parse_job(job_file("http://127.0.0.1:9", f"{{receipts: {kind}}}"))
    options = [f"--runner={runner}", "--project=acme-shop", "--region=europe-west1", "--temp_location=gs://acme/temp"]
    request = RunRequest(job, [], Outputs("d", receipts), [*options, "--sdk_container_image=acme/capybeam:1"])
    found = own_receipts(request, resolve_options(request), RunLog())
    error = " ".join(capsys.readouterr().err.split())
    if own in (receipts.removeprefix("file://"), ""):
        assert (found, error) == (own, "")
    else:
        assert found == ""
        assert f"all unfinished work of the job is sent again: {own} are not read back." in error


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


def test_a_run_never_reads_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = parse_job(job_file("http://127.0.0.1:9"))
    line = order(1)
    (tmp_path / "events.jsonl").write_bytes(line)
    assert run_job(RunRequest(job, ["*.jsonl"], Outputs("dead.jsonl", "receipts.txt", None))) == CONFIGURATION
    assert "*.jsonl also matches what this run writes (./dead.jsonl); choose another path" in capsys.readouterr().err
    assert run_job(RunRequest(job, ["events.jsonl"], Outputs("d", "r", "events.jsonl"))) == CONFIGURATION
    assert "The report cannot be written to events.jsonl: it is being read" in capsys.readouterr().err
    assert run_job(RunRequest(job, ["events.jsonl"], Outputs("same", "same", None))) == CONFIGURATION
    assert "must be different paths" in capsys.readouterr().err
    assert (tmp_path / "events.jsonl").read_bytes() == line


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
    request = RunRequest(job, ["gs://bucket/events.jsonl"], Outputs("dead", "receipts"), workers=1)
    assert run_job(request) == CONFIGURATION
    assert capfd.readouterr().err == (
        "capybeam: gs://bucket/events.jsonl: cannot be read: no Google Cloud credentials on this machine;"
        " run gcloud auth application-default login\n"
    )
