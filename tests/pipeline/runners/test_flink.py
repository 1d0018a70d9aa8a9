"""What is checked at a JobManager before a job starts."""

from __future__ import annotations

import pytest

from capybeam.pipeline.runners.errors import UnsupportedRunner
from capybeam.pipeline.runners.flink import jobs_page
from capybeam.pipeline.runners.support import check_runner
from tests.pipeline.runners.fake_flink import Flink, options


def test_a_job_manager_that_is_not_there_is_reported_at_once(job_server: str, nobody: str) -> None:
    given = options("--job_endpoint", job_server, "--flink_master", nobody)
    with pytest.raises(UnsupportedRunner, match=f"No Flink JobManager answers at {nobody}"):
        check_runner("PortableRunner", given, streaming=False)


def test_too_few_slots_are_reported_before_the_job_waits_for_ever(job_server: str, flink: Flink) -> None:
    given = options("--job_endpoint", job_server, "--flink_master", f"http://{flink.master}", "--parallelism", "4")
    check_runner("PortableRunner", given, streaming=False)
    flink.slots(1)
    with pytest.raises(UnsupportedRunner, match=r"1 free slot and the job needs 4.*--parallelism 1"):
        check_runner("PortableRunner", given, streaming=False)


def test_flink_that_starts_task_managers_on_demand_may_have_no_slots_yet(job_server: str, flink: Flink) -> None:
    flink.slots(0)
    flink.answers["/jobmanager/config"].append({"key": "kubernetes.cluster-id", "value": "history"})
    check_runner("PortableRunner", options("--job_endpoint", job_server, "--flink_master", flink.master), False)


def test_the_page_of_flinks_jobs_is_shown() -> None:
    assert jobs_page(options("--flink_master", "flink:8081")) == "http://flink:8081/#/overview"
    assert jobs_page(options("--flink_master", "https://flink/")) == "https://flink/#/overview"
    assert jobs_page(options("--job_endpoint", "x:1")) is None
