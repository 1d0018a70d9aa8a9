"""The pool that TaskManagers share."""

from __future__ import annotations

from typing import Any

from cluster.pool import SharedPool


def test_the_end_of_one_task_managers_worker_leaves_the_others_that_has_its_id() -> None:
    class Request:
        worker_id = "1-1"

    pool: Any = SharedPool(use_process=True)
    pool._worker_processes["1-1"] = others = object()
    pool.StopWorker(Request(), None)
    assert pool._worker_processes == {"1-1": others}
