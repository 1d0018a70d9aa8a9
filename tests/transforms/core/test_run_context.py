"""The context of a run: one for all its steps in a process, found by a handle wherever that travels."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from capybeam.transforms.core import run_context
from capybeam.transforms.core.run_context import RunContext, RunHandle, Standstill


def test_a_handle_that_has_travelled_finds_the_context_of_the_run_that_made_it() -> None:
    run = RunContext()
    assert pickle.loads(pickle.dumps(run.handle)).context() is run


def test_runs_share_nothing() -> None:
    first, second = RunContext(), RunContext()
    first.shutdown.set()
    first.progress.update({"read": 1})
    assert first.recent_ids.add(b"key", 0, 10)
    first.client("key", object)

    assert not second.shutdown.is_set()
    assert second.progress.counts() == {}
    assert second.recent_ids.add(b"key", 0, 10)
    assert second.client("key", object) is not first.client("key", object)


def test_where_no_run_has_begun_the_first_to_ask_makes_one_context_for_all() -> None:
    handle = RunHandle()
    barrier = threading.Barrier(8)

    def ask(_: int) -> RunContext:
        barrier.wait()
        return handle.context()

    with ThreadPoolExecutor(8) as pool:
        contexts = list(pool.map(ask, range(8)))
    assert len({id(context) for context in contexts}) == 1
    assert contexts[0].handle == handle


def test_another_process_has_a_context_of_its_own_by_the_same_handle() -> None:
    run = RunContext()
    run.shutdown.set()
    program = (
        "import pickle, sys; handle = pickle.loads(sys.stdin.buffer.read());"
        "print(handle.run_id, handle.context() is handle.context(), handle.context().shutdown.is_set())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(run.handle), stdout=subprocess.PIPE, check=True,
        cwd=Path(__file__).parents[3], timeout=60,
    )  # fmt: skip
    assert done.stdout.decode().split() == [run.handle.run_id, "True", "False"]


def test_a_context_ends_with_the_run_that_made_it() -> None:
    run = RunContext()
    handle, gone = run.handle, weakref.ref(run)
    del run
    gc.collect()
    assert gone() is None
    assert handle.context().progress.counts() == {}


def test_a_context_that_a_worker_made_outlasts_the_steps_that_were_torn_down() -> None:
    handle = RunHandle()
    handle.context().progress.update({"read": 1})
    gc.collect()
    assert handle.context().progress.counts() == {"read": 1}


def test_steps_that_ask_for_the_same_client_at_once_share_one() -> None:
    run, made = RunContext(), list[object]()

    def make() -> object:
        made.append(object())
        return made[-1]

    with ThreadPoolExecutor(8) as pool:
        clients = {id(client) for client in pool.map(lambda _: run.client("key", make), range(50))}
    assert (len(clients), len(made)) == (1, 1)


def test_a_stream_stands_still_from_its_first_reason_to_the_end_of_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now, lasts = 100.0, list[tuple[float, float]]()
    monkeypatch.setattr(run_context.time, "monotonic", lambda: now)
    standstill = Standstill()
    for now, change, reason in [
        (101.0, standstill.end, "b"),
        (110.0, standstill.begin, "a"),
        (112.0, standstill.begin, "b"),
        (113.0, standstill.begin, "a"),
        (114.0, standstill.end, "a"),
        (115.0, standstill.end, "b"),
    ]:
        change(reason)
        now += 0.5
        lasts.append((standstill.lasts(), standstill.lasts(since=112.0)))
    assert lasts == [(0, 0), (0.5, 0), (2.5, 0.5), (3.5, 1.5), (2.5, 2.5), (0, 0)]
