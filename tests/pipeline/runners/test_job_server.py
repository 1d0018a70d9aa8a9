"""What is checked at a job server before a graph is handed over."""

from __future__ import annotations

import time

import grpc
import pytest
from apache_beam.options.pipeline_options import DebugOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from capybeam.pipeline.runners import job_server
from capybeam.pipeline.runners.errors import UnsupportedRunner
from capybeam.pipeline.runners.job_server import stage_no_package_list, submission_problem
from capybeam.pipeline.runners.support import check_runner
from tests.pipeline.runners.fake_flink import Flink, options


@pytest.mark.alone
def test_a_job_server_that_is_not_named_or_not_there_is_reported_at_once(nobody: str) -> None:
    with pytest.raises(UnsupportedRunner, match="needs the address of a job server: --job_endpoint"):
        check_runner("PortableRunner", options(), streaming=False)
    started = time.monotonic()
    for endpoint in (nobody, "no port", "localhost:seven"):
        with pytest.raises(UnsupportedRunner, match=f"No job server answers at {endpoint}"):
            check_runner("PortableRunner", options("--job_endpoint", endpoint), streaming=False)
    assert time.monotonic() - started < 2


def test_what_is_no_job_server_is_reported_at_once(
    deaf_server: str, flink: Flink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_server, "ANSWER_TIMEOUT", 0.5)
    for endpoint in (deaf_server, flink.master):
        with pytest.raises(UnsupportedRunner) as raised:
            check_runner("PortableRunner", options("--job_endpoint", endpoint), streaming=False)
        assert str(raised.value) == (
            f"Something other than a job server answers at {endpoint}. Start Beam's job server there, or correct"
            " --job_endpoint (docs/clusters.md)"
        )


def test_artifacts_that_cannot_be_handed_over_are_reported_in_a_sentence(nobody: str) -> None:
    with grpc.insecure_channel(nobody) as channel:
        stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.DescribePipelineOptions(beam_job_api_pb2.DescribePipelineOptionsRequest())
    assert str(submission_problem(raised.value, "PortableRunner")) == (
        "The job server takes artifacts at an address that cannot be reached from here. Give the right one:"
        " --artifact_endpoint HOST:PORT (docs/clusters.md)"
    )
    assert submission_problem(RuntimeError("other"), "PortableRunner") is None
    assert submission_problem(raised.value, "DataflowRunner") is None


@pytest.mark.parametrize(
    ("kind", "experiments"), [("EXTERNAL", ["disable_logging_submission_environment"]), ("DOCKER", None)]
)
def test_nothing_is_staged_for_a_pool_that_has_all_it_needs(kind: str, experiments: list[str] | None) -> None:
    given = options("--environment_type", kind)
    stage_no_package_list(given)
    assert given.view_as(DebugOptions).experiments == experiments
