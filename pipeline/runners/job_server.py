"""Beam's job server, which a portable runner hands a graph to: whether it answers, and what it needs."""

from __future__ import annotations

import socket
from typing import Any, Final

from apache_beam.options.pipeline_options import DebugOptions, FlinkRunnerOptions, PortableOptions

from capybeam.pipeline.runners import flink
from capybeam.pipeline.runners.errors import UnsupportedRunner

ANSWER_TIMEOUT: Final = 5.0  # seconds
JOB_SERVER_RUNNERS: Final = ("PortableRunner", "FlinkRunner")  # the names of their classes


def check_cluster(name: str, options: Any) -> None:
    """Raises UnsupportedRunner where the job server, or the Flink cluster behind it, cannot take a job.

    Args:
        name: one of `JOB_SERVER_RUNNERS`.
    """
    master, endpoint = flink.master_of(options), options.view_as(PortableOptions).job_endpoint
    if name == "PortableRunner" and not endpoint:
        raise UnsupportedRunner("PortableRunner needs the address of a job server: --job_endpoint HOST:PORT")
    if endpoint and endpoint != "embed":
        problem = _endpoint_problem(endpoint)
        if problem:
            raise UnsupportedRunner(
                f"{problem} at {endpoint}. Start Beam's job server there, or correct --job_endpoint (docs/clusters.md)"
            )
    if master:
        flink.check_slots(master, options.view_as(FlinkRunnerOptions).parallelism)


def _endpoint_problem(endpoint: str) -> str | None:
    """Why no graph can be sent to an endpoint."""
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]") or "localhost", int(port)), timeout=ANSWER_TIMEOUT).close()
    except (OSError, ValueError):
        return "No job server answers"
    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
        try:
            stub.DescribePipelineOptions(beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=ANSWER_TIMEOUT)
        except grpc.RpcError as error:
            is_one = error.code() == grpc.StatusCode.UNIMPLEMENTED
            return None if is_one else "Something other than a job server answers"
    return None


def submission_problem(error: BaseException, runner: str) -> UnsupportedRunner | None:
    """The error to show where a graph cannot be handed over to a job server that has answered.

    Args:
        runner: the name of the runner's class.
    """
    import grpc

    if runner not in JOB_SERVER_RUNNERS:
        return None
    silent = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call) and error.code() in silent:
        return UnsupportedRunner(
            "The job server takes artifacts at an address that cannot be reached from here. Give the right one:"
            " --artifact_endpoint HOST:PORT (docs/clusters.md)"
        )
    return None


def stage_no_package_list(options: Any) -> None:
    """Keeps Beam from staging a list of packages for workers that have all they need.

    Beside a pool each worker would fetch it from the job server's disk, which a TaskManager elsewhere does not have.
    """
    if options.view_as(PortableOptions).environment_type == "EXTERNAL":
        options.view_as(DebugOptions).add_experiment("disable_logging_submission_environment")
