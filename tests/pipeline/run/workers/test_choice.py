"""How many processes a run gets that does not say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.beam_options import BadOption, resolve_options
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.run.workers import choice
from capybeam.pipeline.run.workers.choice import workers_of
from capybeam.pipeline.run.workers.partition import size_of
from capybeam.pipeline.sources import Size, Source
from tests.pipeline.jobs import job_file

CORES = choice.cores


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(choice, "LARGE", 1000)
    monkeypatch.setattr(choice, "cores", lambda: 6)
    Path("large.jsonl").write_bytes(b"x" * 1001)
    Path("half-1.jsonl").write_bytes(b"x" * 600)
    Path("half-2.jsonl").write_bytes(b"x" * 600)
    Path("small.jsonl").write_bytes(b"x" * 1000)
    os.mkfifo("pipe")


def chosen(*inputs: str, workers: int | None = None, options: tuple[str, ...] = (), **outputs: str) -> int:
    places: dict[str, Any] = {"dead_letters": "dead.jsonl", "receipts": "receipts.jsonl", **outputs}
    request = RunRequest(parse_job(job_file("http://127.0.0.1:9")), inputs, Outputs(**places), options, workers=workers)
    return workers_of(request, resolve_options(request))


@pytest.mark.parametrize(
    ("inputs", "workers"),
    [
        (["large.jsonl"], 6),
        (["small.jsonl"], 1),
        (["half-1.jsonl"], 1),
        (["half-1.jsonl", "half-2.jsonl"], 6),
        (["half-*.jsonl"], 6),
        (["file://localhost/none"], 1),
        (["gone.jsonl"], 1),
        (["gs://acme/events.jsonl"], 6),  # whose size shows when it is opened
        (["bigquery:acme-prod.segment.orders"], 6),
        (["pubsub:projects/acme-prod/subscriptions/s"], 1),
        (["unknwn:large.jsonl"], 1),
    ],
    ids=str,
)
def test_large_inputs_have_all_cores(inputs: list[str], workers: int) -> None:
    assert chosen(*inputs) == workers


def test_what_several_processes_cannot_do_is_left_to_one() -> None:
    assert chosen("large.jsonl", receipts="pipe") == 1
    assert chosen("large.jsonl", receipts=os.devnull) == 6
    assert chosen("large.jsonl", options=("--direct_running_mode", "multi_threading")) == 1
    assert chosen("large.jsonl", options=("--direct_running_mode", "in_memory")) == 6
    assert chosen("gs://acme/e", options=("--runner", "FlinkRunner", "--parallelism", "3")) == 1


def test_what_is_asked_for_counts() -> None:
    assert [chosen("small.jsonl", workers=workers) for workers in (1, 3)] == [1, 3]
    with pytest.raises(BadOption, match=r"^--workers 1: is for runs on this machine; FlinkRunner"):
        chosen("gs://acme/e", workers=1, options=("--runner", "FlinkRunner", "--parallelism", "3"))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "5000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.max": "garbled"}, 8),
    ],
    ids=str,
)
def test_a_container_has_the_cores_whose_time_it_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert CORES(tmp_path) == cores


def test_a_row_of_a_table_counts_for_some_bytes() -> None:
    sources = [Source("t", "", read=None, size=Size(rows=10)), Source("f", "", read=None, size=Size(bytes=7)),
               Source("q", "", read=None)]  # fmt: skip
    assert size_of(sources) == 15_007
