"""``--dry-run`` shows what a run would do, and does none of it. There is no Google Cloud here, and none is needed."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.run import dry_run
from capybeam.pipeline.runners.dataflow_prices import DEFAULT_MACHINE, PRICES, estimate, machine_of
from capybeam.pipeline.runners.dataflow_request import masked
from tests.pipeline.jobs import TOKEN, job_file

SECRET = "secret:projects/acme-prod/secrets/meta/versions/latest"
IMAGE = "europe-west1-docker.pkg.dev/acme-prod/capybeam/capybeam:1"
DATAFLOW = (
    "--runner=DataflowRunner",
    "--project=acme-prod",
    "--region=europe-west1",
    "--temp_location=gs://acme/tmp",
    f"--sdk_container_image={IMAGE}",
    "--max_num_workers=5",
    "--machine_type=n2-standard-2",
    "--job_name=shop",
)
TABLES = ("--dead-letters=bigquery:acme-prod.capybeam.dead_letters", "--receipts=gs://acme/receipts")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder, and no credentials; whoever asks for a name or opens a connection has failed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setattr(dry_run, "has_credentials", lambda: False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asks for a host"))
    Path("job.yaml").write_text(job_file("https://graph.facebook.com", token=SECRET))
    Path("local.yaml").write_text(job_file("https://graph.facebook.com"))
    Path("events.jsonl").write_text('{"type":"page"}\n')


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert not isinstance(result.exception, Exception), result.stderr
    return result


def state(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): (
            stat.S_IFMT(path.lstat().st_mode),
            path.lstat().st_mtime_ns,
            path.lstat().st_size,
        )
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("spelling", ["--dry-run", "--dry_run"])  # Beam has an option of the latter name
def test_a_run_on_this_machine_is_shown_and_nothing_is_touched(tmp_path: Path, spelling: str) -> None:
    Path("dead-letters.jsonl").write_text("old\n")
    os.utime("dead-letters.jsonl", (0, 1_795_000_000))
    earlier = Path("dead-letters.20261101T000000.jsonl")
    earlier.write_text("older\n")
    before = state(tmp_path)
    files = ("--receipts=new/receipts.jsonl", "--report=reports/today.json", "--keep=1")
    result = invoke("run", "--config=local.yaml", "--input=events.jsonl", *files, spelling)
    assert result.exit_code == 0
    assert state(tmp_path) == before
    assert result.stdout.splitlines() == [
        "Dry run: capybeam run on FnApiRunner",
        "Input",
        "  events.jsonl (1 kB)",
        "Destinations",
        "  web (https://graph.facebook.com): purchase to 123; pageView to 123",
        "  crm (https://graph.facebook.com): purchase to 456",
        "Output",
        "  Dead letters: dead-letters.jsonl: a new file; that of an earlier run (4 bytes) is kept in"
        " dead-letters.20261118T110640.jsonl",
        f"  Receipts: new/receipts.jsonl: a new file, in a new folder of {tmp_path}",
        "  The report: reports/today.json: a JSON document, in place of what is there",
        "Deleted, as --keep wants",
        "  ./dead-letters.20261101T000000.jsonl",
    ]
    assert result.stderr.rstrip().endswith("Nothing was read, sent, written or started.")


def test_no_event_is_read(tmp_path: Path) -> None:
    """A pipe that nobody writes to would keep whoever opens it waiting."""
    os.mkfifo("events.pipe")
    assert invoke("run", "--config=local.yaml", "--input=events.pipe", "--dry-run").exit_code == 0


def test_a_replay_is_shown_alike(tmp_path: Path) -> None:
    Path("dead.jsonl").write_text("{}\n")
    before = state(tmp_path)
    result = invoke("replay", "--config=local.yaml", "--from=dead.jsonl", "--dry-run")
    assert (result.exit_code, state(tmp_path)) == (0, before)
    assert "  Dead letters: replayed-dead-letters.jsonl: a new file\n" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--input=nowhere.jsonl",), "nowhere.jsonl: no such file"),
        (("--input=events.jsonl", "--dead-letters=events.jsonl"), "it is being read; choose another path"),
        (("--input=events.jsonl", "--dead-letters=link"), "it is a symbolic link, which is not followed"),
        (("--input=events.jsonl", "--dead-letters=file/dead"), "Dead letters cannot be written to file/dead"),
        (("--input=events.jsonl", "--report=link"), "The report cannot be written to link"),
        (("--input=events.jsonl", "--receipts=bigquery:x"), "it is not bigquery:PROJECT.DATASET.TABLE"),
        (("--input=events.jsonl", "--receipts=pubsub:x"), "not of the form pubsub:projects/P/topics/T"),
    ],
)
def test_what_would_be_refused_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    Path("file").write_text("")
    Path("link").symlink_to("file")
    before = state(tmp_path)
    result = invoke("run", "--config=local.yaml", "--report=report.json", *arguments, "--dry-run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert state(tmp_path) == before


def test_a_token_that_is_missing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN")
    result = invoke("run", "--config=local.yaml", "--input=events.jsonl", "--dry-run")
    assert (result.exit_code, "TOKEN" in result.stderr) == (2, True)


def document(*arguments: str) -> dict[str, Any]:
    result = invoke("run", "--config=job.yaml", *arguments, *DATAFLOW, "--dry-run", "--log-format=json")
    assert result.exit_code == 0, result.stderr
    assert "abc123" not in result.output
    end = json.loads(result.stderr.splitlines()[-1])
    assert (end["kind"], end["state"], end["exit_code"]) == ("end", "dry_run", 0)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_request_of_a_stream_is_made_by_beam_and_not_sent() -> None:
    """One request for all that there is to see of it: Beam takes seconds for each."""
    topics = "--dead-letters=pubsub:projects/acme-prod/topics/dead", "--receipts=bigquery:acme-prod.capybeam.receipts"
    secrets = "--s3_secret_access_key=abc123", "--azure_connection_string=AccountKey=abc123"
    more = "--update", "--dataflow_job_file=job.json", *secrets
    found = document("--input=pubsub:projects/acme-prod/subscriptions/events", *topics, *more)
    request = found["dataflow"]["request"]
    assert (request["name"], request["type"]) == ("shop", "JOB_TYPE_STREAMING")
    assert request["replaceJobId"] == "Beam adds it when the job is started"  # looking it up takes the cloud
    environment = request["environment"]
    (pool,) = environment["workerPools"]
    assert pool["machineType"] == "n2-standard-2"
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert pool["autoscalingSettings"] == {"maxNumWorkers": 5}
    assert {"use_runner_v2", "enable_streaming_engine"} <= set(environment["experiments"])
    assert "disable_logging_submission_environment" not in environment["experiments"]
    options = environment["sdkPipelineOptions"]["options"]
    assert (options["project"], options["dry_run"], options["s3_secret_access_key"]) == ("acme-prod", False, "…")
    steps = found["dataflow"]["steps"]
    assert steps[:2] == ["Input", "Input/Pull"]
    assert {"CheckWorkers", "ParseEvents", "SendBatches/Send", "Undelivered"} <= set(steps)
    assert found["dataflow"]["graph_bytes"] > 10_000
    assert found["beam_options"]["job_name"] == "shop"
    assert found["inputs"][0]["looked_at"] is False
    assert json.loads(Path("job.json").read_text()) == request


def test_a_batch_reads_tables_and_files_and_its_packages_are_neither_built_nor_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from apache_beam.utils import processes

    for name in ("call", "check_call", "check_output", "Popen"):
        monkeypatch.setattr(processes, name, lambda *_, **__: pytest.fail("runs a program"))
    Path("setup.py").write_text("")
    inputs = ["--input=bigquery:acme-prod.shop.orders", "--input=gs://acme/events-*.jsonl.gz"]
    result = invoke(
        *("run", "--config=job.yaml", *inputs, "--input=bigquery:SELECT 'jane@example.com'", *TABLES, *DATAFLOW),
        *("--setup_file=./setup.py", "--s3_session_token=abc123", "--dry-run"),
    )
    assert result.exit_code == 0, result.stderr
    said = result.stdout.splitlines()
    assert said[1:4] == [
        "Input",
        "  bigquery:acme-prod.shop.orders (not looked at)",
        "  gs://acme/events-*.jsonl.gz (not looked at)",
    ]
    assert "  name shop, batch, project acme-prod, region europe-west1" in said
    assert "  workers: as Dataflow chooses at first, 5 at most; machine type n2-standard-2" in said
    assert f"  image: {IMAGE}" in said
    assert "  installed on workers: --setup_file=./setup.py" in said
    assert "  ESTIMATE: $0.142 an hour for each worker (n2-standard-2), $0.14 for 1, at most $0.71 for 5." in said
    assert any("europe-west1 has other prices: by what factor is not known here." in line for line in said)
    steps = {"Input/ToEvents", "Input1/SpreadFiles", "Input2/ToEvents", "Flatten", "SendBatches/Send"}
    assert {f"  {step}" for step in steps} <= set(said)
    assert "  --machine_type=n2-standard-2" in said
    assert (
        "  Dead letters: bigquery:acme-prod.capybeam.dead_letters: rows are added to the table, which is made,"
        " partitioned by day, if there is none"
    ) in said
    assert "  Receipts: gs://acme/receipts: files are made there, named gs://acme/receipts-TIME-NUMBER" in said
    assert "abc123" not in result.output
    assert "jane" not in result.output


def test_masks_know_a_secret_by_its_name_wherever_it_stands() -> None:
    given = {
        "password": "x",
        "a": [{"key": "api_token", "value": "x"}],
        "tokens": ["x"],
        "project": "p",
        "secret": None,
    }
    assert masked(given) == {
        "password": "…",
        "a": [{"key": "api_token", "value": "…"}],
        "tokens": ["…"],
        "project": "p",
        "secret": None,
    }


# --- prices ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("n1-standard-4", (4, 15.0)),
        ("n2-highmem-8", (8, 64.0)),
        ("c3-highcpu-4", (4, 8.0)),
        ("e2-medium", (2, 4.0)),
        ("custom-2-8192", (2, 8.0)),
        ("n2-custom-4-8192", (4, 8.0)),
        ("n2-custom-4-98304-ext", (4, 96.0)),
        ("c3-standard-8-lssd", (8, 32.0)),
        ("m1-ultramem-40", None),
        ("a3-megagpu-8g", None),
    ],
)
def test_a_machine_is_known_by_the_name_of_its_type(name: str, size: tuple[int, float] | None) -> None:
    assert machine_of(name) == size


def test_an_estimate_is_worked_out_of_the_table_and_says_so() -> None:
    found = estimate("streaming", "us-central1", "n1-standard-2", 30, (2, 4))
    assert found.worker == pytest.approx(2 * 0.069 + 7.5 * 0.003557 + 30 * 0.000054)
    first, source, _ = found.lines()
    assert first == "ESTIMATE: $0.166 an hour for each worker (n1-standard-2), $0.33 for 2, at most $0.67 for 4."
    assert source.startswith("By list prices of us-central1 as of 20")
    assert "other prices" not in source


def test_what_is_assumed_is_said_and_what_is_unknown_is_not_guessed() -> None:
    assumed = estimate("batch", "us-central1", None, None, (None, None))
    assert "(n1-standard-1, assumed, as none is given), $0.07 for 1; nothing limits their number." in assumed.lines()[0]
    unknown = estimate("batch", "us-central1", "m1-ultramem-40", None, (None, 5))
    assert unknown.lines()[0].startswith("unknown: the size of m1-ultramem-40 is not in the table")
    assert unknown.document()["per_worker_hour"] is None


def test_each_kind_of_job_has_a_price_and_a_machine() -> None:
    assert PRICES.keys() == DEFAULT_MACHINE.keys()
    assert all(machine_of(name) for name in DEFAULT_MACHINE.values())
