"""capybeam's commands as processes of their own: what they are given, and what they take."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import events
from benchmarks.loops import JOB
from benchmarks.memory import watching_memory
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings

ROOT: Final = Path(__file__).parents[1]
OUT: Final = ROOT / "out" / "benchmarks"  # out/ is not for git
SEED: Final = 7
KEPT_FOR: Final = 5 * events.DAY.total_seconds()  # then events grow too old for Meta
# Python compiles its modules once, as it does where capybeam is installed, whatever this environment says.
_ENVIRONMENT: Final = {
    **os.environ,
    "META_ACCESS_TOKEN": "benchmark",
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(OUT / "pycache"),
}


class Taken(NamedTuple):
    """What a command took: seconds, seconds of processors, and megabytes at most (of one process)."""

    seconds: float
    processor: float
    memory: float


def events_file(count: int) -> Path:
    """A file of so many events, created unless a recent enough one exists."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"events-{count}.jsonl"
    if not path.exists() or time.time() - path.stat().st_mtime > KEPT_FOR:
        print(f"making {count:,} events …", file=sys.stderr)
        unfinished = path.with_suffix(".unfinished")
        events.write(unfinished, count, SEED)
        unfinished.replace(path)
    return path


class NullServer(NamedTuple):
    """A server that answers without looking, and a job file whose destination it is."""

    url: str
    job: Path


@contextlib.contextmanager
def null_server() -> Iterator[NullServer]:
    """One that lives in this process."""
    OUT.mkdir(parents=True, exist_ok=True)
    with SandboxServer(SandboxSettings(null=True)) as server:
        job = OUT / "job.yaml"
        job.write_text(JOB.read_text().replace("http://127.0.0.1:8791", server.url))
        yield NullServer(server.url, job)


def run(job: Path, *paths: Path, workers: int = 1) -> Taken:
    """What a run took, which has to deliver everything."""
    inputs = [word for path in paths for word in ("--input", str(path))]
    return timed("run", "--config", str(job), *inputs, "--workers", str(workers), *fresh_outputs())


def fresh_outputs(scheme: str = "") -> list[str]:
    """The options that say where a run writes, with nothing there."""
    for kept in OUT.glob("*letters*.jsonl*"):
        kept.unlink()
    for kept in OUT.glob("receipts*.jsonl*"):
        kept.unlink()
    return [
        *("--dead-letters", f"{scheme}{OUT / 'dead-letters.jsonl'}"),
        *("--receipts", f"{scheme}{OUT / 'receipts.jsonl'}"),
    ]


def timed(*command: str) -> Taken:
    """What a capybeam command took. Raises RuntimeError unless it ended well."""
    log = OUT / f"{command[0]}.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "capybeam", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=_ENVIRONMENT,
        )
        with watching_memory(process.pid) as memory:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"capybeam {command[0]} ended with exit code {process.returncode}; see {log}")
    megabytes = memory() or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return Taken(seconds, usage.ru_utime + usage.ru_stime, megabytes)


def printed(module: str, *arguments: str) -> bytes:
    """What a module prints that runs in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
        env=_ENVIRONMENT,
    )
    return finished.stdout


def loop(name: str, path: Path, *more: str) -> float:
    """The figure of a loop of `benchmarks.loops`."""
    (figure,) = loops(name, path, *more)
    return figure


def loops(name: str, path: Path, *more: str) -> list[float]:
    """The figures of one that gives several."""
    return [float(figure) for figure in printed("benchmarks.loops", name, str(path), *more).split()]
