"""The answers of a JobManager, and Beam's options, for the tests of runners."""

from __future__ import annotations

from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions


class Flink:
    """What a JobManager's web interface answers, by path; and its address."""

    def __init__(self, master: str) -> None:
        self.master = master
        self.cancelled: list[str] = []
        self.obeys = True
        self.answers: dict[str, Any] = {"/jobmanager/config": [{"key": "rest.port", "value": "8081"}], "/jobs/j1": {}}
        self.slots(4)
        self.job("RUNNING", running=4)
        self.failures()

    def slots(self, free: int) -> None:
        self.answers["/overview"] = {"slots-available": free}

    def job(self, state: str, **tasks: int) -> None:
        counts = {"running": 0, "finished": 0, "scheduled": 0, **tasks}
        jobs = [{"jid": "j1", "name": "BeamApp-1", "state": state, "tasks": counts}]
        self.answers["/jobs/overview"] = {"jobs": jobs}

    def failures(self, *stacktraces: str) -> None:
        entries = [{"stacktrace": text} for text in stacktraces]
        self.answers["/jobs/j1/exceptions"] = {"exceptionHistory": {"entries": entries}}


def options(*arguments: str) -> PipelineOptions:
    return PipelineOptions(list(arguments))


TRACEBACK = """java.util.concurrent.ExecutionException: java.lang.RuntimeException: Error received from SDK harness
for instruction 4: Traceback (most recent call last):
  File "sdk_worker.py", line 331, in _execute
{}

\tat java.base/java.util.concurrent.CompletableFuture.reportGet(Unknown Source)
"""
