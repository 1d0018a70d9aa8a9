"""``python -m benchmarks cluster``: a Flink cluster on this machine beside FnApiRunner, on the same events.

Both deliver to a server that answers without looking. A run of one event is what starting, uploading and ending take;
it is taken off the whole. Flink's two TaskManagers have a Python process each, FnApiRunner has one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from cluster.flink import FlinkCluster

TASK_MANAGERS: Final = 2
FILES: Final = 16  # a file is read by one worker, in a row

Timed = Callable[[Sequence[str]], float]  # the seconds of a run with these options


def split(path: Path, files: int = FILES) -> str:
    """Deals a file's lines out to several, and gives back the URL of them all."""
    folder = path.with_suffix(f".{files}")
    if not folder.exists() or folder.stat().st_mtime < path.stat().st_mtime:
        folder.mkdir(exist_ok=True)
        lines = path.read_bytes().splitlines(keepends=True)
        for number in range(files):
            (folder / f"{number:02}.jsonl").write_bytes(b"".join(lines[number::files]))
    return f"file://{folder}/*.jsonl"


def compare(single: Path, whole: Path, count: int, rounds: int, folder: Path, timed: Timed) -> None:
    """Runs both, turn by turn, and prints how they compare."""
    one, many = f"file://{single}", split(whole)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "META_ACCESS_TOKEN": "benchmark"}
    local: list[tuple[float, float]] = []
    remote: list[tuple[float, float]] = []
    with FlinkCluster(folder / "flink", TASK_MANAGERS, environment) as cluster:
        timed(["--input", one, *cluster.options])  # a cluster's first job is its slowest, and no measure of any other
        cluster.wait_for_slots()
        for _ in range(rounds):
            for figures, options in ((local, []), (remote, cluster.options)):
                start_up = timed(["--input", one, *options])
                cluster.wait_for_slots()
                figures.append((start_up, timed(["--input", many, *options])))
                cluster.wait_for_slots()
    _print_comparison(local, remote, count)


def _print_comparison(local: Sequence[tuple[float, float]], remote: Sequence[tuple[float, float]], count: int) -> None:
    print(f"\n{count:,} events, {len(local)} rounds, medians, {os.cpu_count()} cores\n")
    print(f"{'':<44}{'FnApiRunner':>14}{'Flink':>14}")
    rows: list[tuple[str, Callable[[Sequence[tuple[float, float]], int], str]]] = [
        ("start-up and upload: a run of one event", lambda runs, _: f"{median(first for first, _ in runs):.1f} s"),
        ("all events, the whole run", lambda runs, _: f"{median(whole for _, whole in runs):.1f} s"),
        ("Python processes", lambda _, processes: f"{processes}"),
        ("without start-up", lambda runs, _: _speed(runs, count)),
        ("  per Python process", lambda runs, processes: _speed(runs, count / processes)),
    ]
    for name, figure in rows:
        print(f"{name:<44}{figure(local, 1):>14}{figure(remote, TASK_MANAGERS):>14}")
    print(_WHERE)


def _speed(runs: Sequence[tuple[float, float]], count: float) -> str:
    seconds = median(whole - first for first, whole in runs)
    return f"{count / seconds:,.0f}/s" if seconds > 0 else "too few events"


_WHERE: Final = """
Where the time goes: from reading to receipts all steps are one fused stage in one Python process, on Flink as on
FnApiRunner; only names of files go from the engine to it, and no event comes back. What Flink adds is paid once a job:
150 MB of the job server's jars are uploaded, and each TaskManager starts a Python process, which imports Beam. On one
machine the Java processes and the server share the cores with the Python processes, so that a process does less than
alone; a second machine brings its own cores."""
