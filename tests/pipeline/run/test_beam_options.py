"""Beam's options of a run: unknown ones are named, and the number of workers follows from them."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.beam_options import (
    DEFAULT_RUNNER,
    lease_folder,
    max_workers,
    parse_beam_options,
    resolve_options,
)
from capybeam.pipeline.run.execute import run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.transforms.core.run_context import RunHandle
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.lease_files import LeaseFolder
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


def test_views_are_made_once_and_share_what_is_set_also_in_a_copy() -> None:
    options = parse_beam_options(["--direct_num_workers=3"])
    copied = copy.deepcopy(options)
    for each, number in ((options, 1), (copied, 2)):
        view = each.view_as(DirectOptions)
        each.view_as(DirectOptions).direct_num_workers = number
        assert each.view_as(DirectOptions) is view
    assert [each.get_all_options()["direct_num_workers"] for each in (options, copied)] == [1, 2]
    assert [each.view_as(DirectOptions).direct_num_workers for each in (options, copied)] == [1, 2]


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


DATAFLOW = (
    "--runner=DataflowRunner --max_num_workers=5 --project=acme-shop --region=europe-west1"
    " --sdk_container_image=acme/capybeam:1"
)
FLINK = "--runner=PortableRunner --parallelism=4"


@pytest.mark.parametrize(
    ("arguments", "delivery", "folder"),
    [
        (f"{DATAFLOW} --temp_location=gs://acme/temp/", Delivery(requests_per_second=9.0), "gs://acme/temp"),
        (f"{FLINK} --temp_location=file:///mnt/temp", Delivery(requests_per_second=9.0), "/mnt/temp"),
        (f"{FLINK} --temp_location=/tmp", Delivery(requests_per_second=9.0), None),  # of one machine
        (FLINK, Delivery(requests_per_second=9.0), None),
        (f"{DATAFLOW} --temp_location=gs://acme/temp", Delivery(), None),
        (
            f"{DATAFLOW} --temp_location=gs://acme/temp",
            Delivery(requests_per_second=9.0, share_unused_rate=False),
            None,
        ),
        (
            "--runner=PortableRunner --parallelism=1 --temp_location=gs://acme/temp",
            Delivery(requests_per_second=9.0),
            None,
        ),
        ("--temp_location=gs://acme/temp", Delivery(requests_per_second=9.0), None),  # in this process
    ],
)
def test_workers_elsewhere_share_the_rate_in_the_temp_location(
    arguments: str, delivery: Delivery, folder: str | None
) -> None:
    request = RunRequest(parse_job(job_file("http://127.0.0.1:9")), [], Outputs("d", "r"), arguments.split())
    found = lease_folder(resolve_options(request), delivery, RunHandle("run"))
    assert found == (folder and LeaseFolder(f"{folder}/capybeam-rate/run"))


def test_a_rate_that_cannot_be_shared_out_is_refused_with_what_to_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = dataclasses.replace(parse_job(job_file("http://127.0.0.1:9")), delivery=Delivery(requests_per_second=5.0))
    code = run_job(RunRequest(job, [str(tmp_path)], Outputs("d", "r"), ["--runner", "DataflowRunner"]))
    assert code == 2
    assert "say how many DataflowRunner may use at most, with --max_num_workers (Dataflow)" in capsys.readouterr().err
