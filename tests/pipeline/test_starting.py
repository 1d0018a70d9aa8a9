"""`run --no-wait`, and tokens of workers that are elsewhere: with a runner that takes the graph and does nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.io import localfilesystem
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import PipelineRunner

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, FAILED, OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.transforms.core import tokens

SECRET = "secret:projects/acme-prod/secrets/meta/versions/latest"
ELSEWHERE = {"dead_letters": "away://acme/dead", "receipts": "away://acme/receipts"}
IMAGE = "--sdk_container_image=europe-west1-docker.pkg.dev/acme-prod/capybeam/capybeam:1"
CLOUD = ["--project=acme-prod", "--region=europe-west1"]


class Away(localfilesystem.LocalFileSystem):  # type: ignore[misc]
    """A place that is not this machine; nothing is written to it here."""

    @classmethod
    def scheme(cls) -> str:
        return "away"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join((basepath, *paths))

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail


class Result:
    def job_id(self) -> str:
        return "2026-11-01_02_03"

    def wait_until_finish(self) -> None:
        raise AssertionError("a launcher must not wait")


class DataflowRunner(PipelineRunner):  # type: ignore[misc]
    """Takes the graph, as the real one does, under its name."""

    graphs: list[beam.Pipeline] = []
    result: Any = None

    def run_pipeline(self, pipeline: beam.Pipeline, options: Any) -> Any:
        self.graphs.append(pipeline)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


RUNNER = f"--runner={__name__}.DataflowRunner"
PLACES = ["--temp_location=gs://acme/temp", IMAGE]


@pytest.fixture(autouse=True)
def _ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("events.jsonl").write_text("{}\n")
    monkeypatch.setattr(DataflowRunner, "graphs", [])
    monkeypatch.setattr(DataflowRunner, "result", Result())
    # Beam looks for Dataflow's buckets in the cloud, by the runner's name.
    monkeypatch.setattr(PipelineOptionsValidator, "validate", lambda _validator: [])


def start(*options: str, token: str = SECRET, wait: bool = False, **outputs: str) -> int:
    job = parse_job(f"""
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: {token}
    subscriptions: [{{action: purchase}}]
""")
    where = {**ELSEWHERE, **outputs}
    files = Path("events.jsonl").absolute().as_uri()  # in a folder that the workers share
    return run_job(
        RunRequest(
            job,
            [files],
            Outputs(where["dead_letters"], where["receipts"], None),
            [*options, *(PLACES if RUNNER in options else ())],
            wait=wait,
        )
    )


def test_a_job_is_started_and_left_with_a_word_on_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(RUNNER, *CLOUD) == OK
    assert len(DataflowRunner.graphs) == 1
    assert capsys.readouterr().out == (
        "Started job 2026-11-01_02_03. To look at it again:\n"
        "  https://console.cloud.google.com/dataflow/jobs/europe-west1/2026-11-01_02_03?project=acme-prod\n"
        "  gcloud dataflow jobs show 2026-11-01_02_03 --region=europe-west1 --project=acme-prod\n"
    )


def test_a_templates_launcher_gets_the_place_of_the_graph(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tokens, "_from_secret_manager", lambda _name: "EAAB-token")
    assert start(RUNNER, *CLOUD, "--template_location=gs://acme/job_object") == OK
    assert capsys.readouterr().out == ("The graph is at gs://acme/job_object; Dataflow starts the job from it.\n")


def test_a_job_of_another_runner_is_looked_at_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(DataflowRunner, "result", object())
    assert start(RUNNER) == OK
    assert capsys.readouterr().out == f"Started on {__name__}.DataflowRunner; see its own page for progress.\n"


def test_a_job_that_cannot_be_started_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(DataflowRunner, "result", PermissionError("jane@example.com may not"))
    assert start(RUNNER) == FAILED
    assert capsys.readouterr().err.splitlines()[-1] == (
        "capybeam: the job cannot be started: PermissionError (run again with --verbose for Beam's own log)"
    )


@pytest.mark.parametrize(
    "options", [(), ("--runner=PortableRunner", "--environment_type=LOOPBACK")], ids=["local", "loopback"]
)
def test_a_job_of_this_process_cannot_be_left(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert start(*options) == CONFIGURATION
    runner = "PortableRunner" if options else "FnApiRunner"
    assert capsys.readouterr().err == (
        f"capybeam: --no-wait: the workers of {runner} run in this process and would end with it\n"
    )


@pytest.mark.parametrize("token", ["env:META_ACCESS_TOKEN", "file:/run/secrets/meta"])
def test_dataflow_takes_tokens_from_secret_manager_alone(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(RUNNER, token=token) == CONFIGURATION
    assert capsys.readouterr().err == (
        f"capybeam: destination web: Dataflow's workers cannot read {token}. Keep it in Secret Manager and"
        " write access_token: secret:projects/P/secrets/S/versions/latest\n"
    )
    assert not DataflowRunner.graphs


def test_a_launcher_finds_out_whether_workers_may_read_the_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(name: str) -> str:
        raise tokens.TokenError(f"The secret {name} cannot be read (PermissionDenied).")

    monkeypatch.setattr(tokens, "_from_secret_manager", refused)
    assert start(RUNNER, "--template_location=gs://acme/job_object") == CONFIGURATION
    assert capsys.readouterr().err == (
        f"capybeam: destination web: access_token: The secret {SECRET.removeprefix('secret:')} cannot be read"
        " (PermissionDenied).\n"
    )
    assert not DataflowRunner.graphs


def test_a_laptop_need_not_be_allowed_to_read_the_secret_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_from_secret_manager", lambda _name: pytest.fail("it is not this process's to read"))
    assert start(RUNNER) == OK


def test_a_place_that_workers_cannot_write_to_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(RUNNER, dead_letters="dead-letters.jsonl") == CONFIGURATION
    assert "its workers are elsewhere; give a URL" in capsys.readouterr().err
