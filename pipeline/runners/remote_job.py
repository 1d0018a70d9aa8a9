"""A job that runs on workers elsewhere, followed from its start to its end.

Beam reports a cluster's problems as tracebacks, if at all: a job that waits for slots, or whose workers lack a token,
is restarted again and again in silence. So what the cluster reports while the job runs is searched for the few problems
that no restart solves (`explain`).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import FlinkRunnerOptions

from capybeam.pipeline.runners import flink
from capybeam.pipeline.runners.errors import UnsupportedRunner, explain
from capybeam.pipeline.runners.support import Guarantee, counter_guarantee, runner_class_name
from capybeam.pipeline.schemes import is_local, strip_file_scheme
from capybeam.pipeline.sources.growing_files import GrowingFile
from capybeam.transforms.base import NAMESPACE
from capybeam.transforms.core.counters import add_counts, extreme_of

WAIT_FOR_SLOTS: Final = 60.0  # seconds until a job that has not got its slots is given up
WAIT_FOR_WORK: Final = 60.0  # seconds until a job that runs and delivers nothing is odd
WAIT_FOR_END: Final = 30.0  # seconds that a job has for ending when it is cancelled


class RemoteJob:
    """A job that workers elsewhere do, from its start to its end.

    Args:
        receipts: where they are written. A file that this machine has is read for progress, as many runners count only
            once a job has ended, and shows what was sent more than once.
        shutdown: when it is set, the job is cancelled.
    """

    def __init__(self, runner: str, options: Any, receipts: str, shutdown: threading.Event) -> None:
        self._runner = runner_class_name(runner)
        self._master = flink.master_of(options)
        self._slots = max(options.view_as(FlinkRunnerOptions).parallelism, 1)
        self._receipts, self.shutdown = _Receipts(receipts), shutdown
        self.guarantee: Guarantee = counter_guarantee(runner, options)
        self._result: Any = None
        self._since, self._has_run = time.monotonic(), False
        self._state = "starting"
        self._counts: dict[str, int] = {}
        self.restarts = 0
        self.ended = False  # certainly, rather than left running where it cannot be looked at
        self._earlier_ids: set[str] = set()
        self._is_listed = False  # by Flink, which gets it from the job server
        if self._master:
            with contextlib.suppress(*flink.REQUEST_ERRORS):
                self._earlier_ids = flink.job_ids(self._master)

    @property
    def may_be_running(self) -> bool:
        """Whether it has been started and is not known to have ended."""
        return self._result is not None and not self.ended

    @property
    def sent(self) -> int | None:
        """Events on the receipts so far, repeats included; None where they cannot be read from here."""
        return self._receipts.count()

    def line(self, seconds: float) -> str:
        """The progress line, after so many seconds."""
        parts = [f"{self._runner}: {self._state}"]
        if self._counts.get("read"):
            parts.append(f"{self._counts['read']:,} read")
        if self.sent is not None:
            parts.append(f"{self.sent:,} delivered ({self.sent / max(seconds, 0.1):,.0f}/s)")
        if self.restarts:
            parts.append(f"work lost and restarted {'once' if self.restarts == 1 else f'{self.restarts} times'}")
        if self._master is None and not self._counts and not self.sent and seconds > WAIT_FOR_SLOTS:
            parts.append(f"no sign of work (has the cluster {flink.counted(self._slots, 'free slot')}?)")
        elif self._has_run and not self._counts and self.sent == 0 and seconds > WAIT_FOR_WORK:
            parts.append("no receipt yet (do the Python workers start? See the logs of their pools)")
        return ", ".join([*parts, f"{seconds:,.0f} s"])

    def fields(self, seconds: float) -> dict[str, Any]:
        """The same for programs; None for what is not known from here."""
        return {
            "seconds": round(seconds, 1),
            "runner_state": self._state,
            "read": self._counts.get("read"),
            "delivered": self.sent,
            "restarts": self.restarts,
        }

    def follow(self, result: Any) -> None:
        """Waits for the job's end; cancels it on shutdown. Raises UnsupportedRunner and Beam's errors."""
        self._result, self._since = result, time.monotonic()
        failure: list[BaseException] = []

        def wait() -> None:
            try:
                result.wait_until_finish()
            except Exception as error:
                failure.append(error)

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        while waiting.is_alive():
            problem = self._look()
            if problem or self.shutdown.is_set():
                self._cancel()
                self.ended = self._has_ended(waiting)
                if problem:
                    raise UnsupportedRunner(problem)
                return
            waiting.join(2.0)
        self._look()
        self.ended = not failure or self._is_over()
        if failure:
            known = explain(str(failure[0]))
            raise UnsupportedRunner(known) if known else failure[0]

    def counts(self) -> dict[str, int]:
        """What the runner has counted so far; many count only when a job has ended."""
        if self._result is None:
            return {}
        with contextlib.suppress(Exception):  # while it runs, or has failed, a runner may have no counters
            if hasattr(self._result, "_metrics"):
                self._result._metrics = None  # which caches an earlier answer
            return counters_of(self._result)
        return {}

    def _cancel(self) -> None:
        """Cancels the job on Flink as well: Beam's job server may stop listening to it and let it run on."""
        with contextlib.suppress(Exception):
            self._cancel_on_flink()
        with contextlib.suppress(Exception):
            self._result.cancel()

    def _has_ended(self, waiting: threading.Thread) -> bool:
        """Waits for the end of a job that was cancelled; whether it is certain. Only Flink itself is certain."""
        if self._master is None:
            waiting.join(WAIT_FOR_END)
            return self._runner == "DataflowRunner" and not waiting.is_alive()
        deadline = time.monotonic() + WAIT_FOR_END
        while not self._is_over():
            if time.monotonic() > deadline:
                return False
            with contextlib.suppress(*flink.REQUEST_ERRORS):
                if not self._is_listed:  # it was on its way when it was cancelled
                    self._cancel_on_flink()
            time.sleep(0.5)
        return True

    def _cancel_on_flink(self) -> None:
        """Raises `flink.REQUEST_ERRORS`."""
        if self._master and (job := flink.find_job(self._result, self._master, self._earlier_ids)):
            self._is_listed = True
            flink.cancel_job(self._master, job["jid"])

    def _is_over(self) -> bool:
        """Whether the job has certainly ended on the cluster, too, which a job server that is lost cannot say."""
        with contextlib.suppress(Exception):
            if self._master is None:
                return str(self._result.state) in ("FAILED", "CANCELLED", "DONE")
            job = flink.find_job(self._result, self._master, self._earlier_ids)
            return job["state"] in flink.TERMINAL_STATES if job else self._is_listed
        return False

    def _look(self) -> str | None:
        """Updates what is known of the job; the problem, in a sentence, where it cannot succeed any more."""
        with contextlib.suppress(Exception):
            self._state = str(self._result.state).lower()
        self._counts = self.counts()
        if self._master is None:
            return None
        with contextlib.suppress(*flink.REQUEST_ERRORS):
            return self._look_at_flink(self._master)
        return None

    def _look_at_flink(self, master: str) -> str | None:
        job = flink.find_job(self._result, master, self._earlier_ids)
        self._is_listed = self._is_listed or job is not None
        if job is None:
            self._state, self._since = "uploading", time.monotonic()
            return None
        texts = flink.stack_traces(master, job["jid"])
        self.restarts = len(texts)
        for text in texts:
            known = explain(text)
            if known:
                return known
        return self._slots_problem(job)

    def _slots_problem(self, job: Mapping[str, Any]) -> str | None:
        tasks = job["tasks"]
        if tasks["running"] or tasks["finished"] or job["state"] != "RUNNING":
            self._since, self._has_run = time.monotonic(), True
        elif tasks["scheduled"]:
            slots = flink.counted(self._slots, "slot")
            self._state = f"waiting for {slots}"
            if not self._has_run and time.monotonic() - self._since > WAIT_FOR_SLOTS:
                return (
                    f"Flink did not have {slots} for the job within {WAIT_FOR_SLOTS:.0f} s."
                    " Start more TaskManagers, or lower --parallelism"
                )
        return None


def counters_of(result: Any) -> dict[str, int]:
    """capybeam's counters in a runner's result, by name; those of several steps taken together."""
    counts: dict[str, int] = {}
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    for counter in found["counters"]:
        add_counts(counts, {counter.key.metric.name: counter.result})
    for distribution in found.get("distributions", ()):
        name, result_ = distribution.key.metric.name, distribution.result
        if (extreme := extreme_of(name)) is not None and result_.count:
            add_counts(counts, {name: extreme(result_.min, result_.max)})
    return counts


class _Receipts:
    """Adds up a file of receipts that is still being written."""

    def __init__(self, path: str) -> None:
        path = strip_file_scheme(path)
        self._file, self._events = GrowingFile(path) if is_local(path) else None, 0

    def count(self) -> int | None:
        if self._file is None:
            return None
        try:
            for line in self._file.new_lines():
                with contextlib.suppress(ValueError):  # a line that a worker did not finish
                    self._events += int(json.loads(line)["events"])
        except (OSError, KeyError):
            return None
        return self._events
