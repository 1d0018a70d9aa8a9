"""A Flink cluster, by the REST interface of its JobManager."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any, Final

from apache_beam.options.pipeline_options import FlinkRunnerOptions

from capybeam.pipeline.runners.errors import UnsupportedRunner

ANSWER_TIMEOUT: Final = 5.0  # seconds
TERMINAL_STATES: Final = ("CANCELED", "FAILED", "FINISHED")
REQUEST_ERRORS: Final = (OSError, ValueError, KeyError, TypeError)  # of asking, and of reading an unexpected answer


def master_of(options: Any) -> str | None:
    """The address of the JobManager's REST interface, where Beam's options give one."""
    master: str = options.view_as(FlinkRunnerOptions).flink_master or ""
    return None if master.startswith("[") or not master else master


def jobs_page(options: Any) -> str | None:
    """The URL of Flink's page of jobs, if the JobManager's address is known."""
    master = master_of(options)
    return None if master is None else f"{_base_url(master)}/#/overview"


def request(master: str, path: str, method: str = "GET") -> Any:
    """The decoded answer of the REST interface. Raises OSError, ValueError."""
    call = urllib.request.Request(_base_url(master) + path, method=method)
    with urllib.request.urlopen(call, timeout=ANSWER_TIMEOUT) as answer:
        return json.load(answer)


def job_ids(master: str) -> set[str]:
    """The IDs of all jobs that Flink lists. Raises `REQUEST_ERRORS`."""
    return {job["jid"] for job in request(master, "/jobs/overview")["jobs"]}


def find_job(result: Any, master: str, earlier_ids: Collection[str]) -> Mapping[str, Any] | None:
    """Flink's entry for a job of Beam's; None where it lists no such job. Raises `REQUEST_ERRORS`.

    Args:
        earlier_ids: of jobs that were there before this one, which may have the same name.
    """
    name = str(getattr(result, "_job_id", "")).rpartition("_")[0]  # Beam's is NAME_UUID
    jobs = request(master, "/jobs/overview")["jobs"]
    return next((job for job in jobs if job["name"] == name and job["jid"] not in earlier_ids), None)


def cancel_job(master: str, job_id: str) -> None:
    """Raises `REQUEST_ERRORS`."""
    request(master, f"/jobs/{job_id}?mode=cancel", "PATCH")


def stack_traces(master: str, job_id: str) -> list[str]:
    """Of a job's failures so far, each of which restarted it. Raises `REQUEST_ERRORS`."""
    errors = request(master, f"/jobs/{job_id}/exceptions?maxExceptions=20")
    return [entry.get("stacktrace") or "" for entry in errors["exceptionHistory"]["entries"]]


def check_slots(master: str, parallelism: int) -> None:
    """Raises UnsupportedRunner where no JobManager answers, or where a job would wait for slots without an end."""
    try:
        overview = request(master, "/overview")
        on_demand = any(
            setting["key"].startswith(("kubernetes.cluster-id", "yarn.application.id"))
            for setting in request(master, "/jobmanager/config")
        )
    except REQUEST_ERRORS:
        raise UnsupportedRunner(
            f"No Flink JobManager answers at {master}. Start one, or correct --flink_master (its web address)"
        ) from None
    free, slots = overview["slots-available"], max(parallelism, 1)
    if free < slots and not on_demand:  # such a cluster starts TaskManagers as they are needed
        raise UnsupportedRunner(
            f"Flink at {master} has {counted(free, 'free slot')} and the job needs {slots}: it would wait for ever."
            f" Start more TaskManagers, wait for other jobs to end{f', or give --parallelism {free}' if free else ''}"
        )


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "slot"), counted(4, "slot")
    ('1 slot', '4 slots')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def _base_url(master: str) -> str:
    return (master if "://" in master else f"http://{master}").rstrip("/")
