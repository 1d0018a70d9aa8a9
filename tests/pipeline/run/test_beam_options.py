"""Beam's options of a run: unknown ones are named, and the number of workers follows from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.beam_options import DEFAULT_RUNNER, max_workers
from capybeam.pipeline.run.execute import run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.transforms.delivery.destination import Delivery
from tests.pipeline.jobs import job_file


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


@pytest.mark.parametrize(
    ("arguments", "workers"),
    [
        ("", 1),
        ("--runner FnApiRunner --direct_num_workers 3", 1),
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
    assert "say how many DataflowRunner may use at most, with --max_num_workers (Dataflow)" in capsys.readouterr().err
