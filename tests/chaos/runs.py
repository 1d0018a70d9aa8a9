"""``capybeam run`` as a process of its own, which can be killed."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from capybeam.pipeline.sandbox.server import SandboxServer
from tests.chaos.plans import Plan
from tests.forks import Command

LONGEST: Final = 300.0  # seconds; a run that takes longer hangs. Each has a bound of its own: `checks.bound`
PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
ROOT: Final = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run left.

    Attributes:
        exit_code: negative where a signal ended it; None where it had to be killed because it hung.
        seconds: how long it took.
        books: None where it was ended before it could write them.
        dead_letters, receipts: the lines of this run.
        met: what the servers met during the run, by destination.
        problems: lines of its files that are no JSON.
    """

    exit_code: int | None
    seconds: float
    books: Mapping[str, Any] | None
    dead_letters: Sequence[Mapping[str, Any]]
    receipts: Sequence[Mapping[str, Any]]
    met: Mapping[str, Met]
    problems: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Met:
    """What a server met during a run.

    Attributes:
        faults: as they were when the run began.
        injected: those that came into effect, by kind.
    """

    requests: int
    faults: Mapping[str, Any]
    injected: Mapping[str, int]


def run(plan: Plan, folder: Path, servers: Mapping[str, SandboxServer], proxy: str, *, troubled: bool) -> Run:
    """Runs the job once over all of the plan's input, in `folder`. Where `troubled`, tokens die and signals come.

    Args:
        proxy: URL of a proxy in the environment; "" for none.
    """
    (folder / "books.json").unlink(missing_ok=True)
    arguments = ["run", "--config", "job.json", "--books", "books.json"]
    arguments += [word for part in range(len(plan.files)) for word in ("--input", f"events-{part}.jsonl")]
    arguments += ["--verbose"] if plan.verbose else []
    arguments += ["--workers", str(plan.workers)]
    environment = {"CHAOS_WEB_TOKEN": plan.tokens["web"], **(dict.fromkeys(PROXIES, proxy) if proxy else {})}
    before = {name: server.stats() for name, server in servers.items()}
    started = time.monotonic()
    start = _start_own if plan.own_process else _start_fork
    with start(arguments, folder, environment, plan.seed) as process, _meddling(plan, servers, process, troubled):
        exit_code = process.wait(LONGEST)
        seconds = time.monotonic() - started
        if exit_code is None:
            process.send(signal.SIGKILL)
            process.wait(LONGEST)
    problems: list[str] = []
    return Run(
        exit_code,
        seconds,
        books=json.loads((folder / "books.json").read_bytes()) if (folder / "books.json").exists() else None,
        dead_letters=_rows(folder / "dead-letters.jsonl", problems),
        receipts=_rows(folder / "receipts.jsonl.gz", problems),
        met={name: _met(server, before[name]) for name, server in servers.items()},
        problems=tuple(problems),
    )


def _met(server: SandboxServer, before: Mapping[str, Any]) -> Met:
    after = server.stats()
    injected = Counter(after["injected_faults"]) - Counter(before["injected_faults"])
    return Met(after["requests"] - before["requests"], before["faults"], injected)


def _rows(path: Path, problems: list[str]) -> list[Mapping[str, Any]]:
    """The lines of a file: whole ones only, even where the writer was killed."""
    rows = []
    data = path.read_bytes() if path.exists() else b""
    for number, line in enumerate((gzip.decompress(data) if path.suffix == ".gz" else data).splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            problems.append(f"{path.name}, line {number}: no JSON")
    return rows


# --- processes --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Process:
    """A run under way. `wait` gives its exit code, or None when the seconds are over."""

    pid: int
    wait: Callable[[float], int | None]

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


@contextlib.contextmanager
def _start_own(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], _: int) -> Iterator[Process]:
    """As a user starts it."""
    with open(folder / "output.txt", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "capybeam", *arguments],
            cwd=folder,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        )

        def wait(seconds: float) -> int | None:
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None

        yield Process(process.pid, wait)


@contextlib.contextmanager
def _start_fork(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], seed: int) -> Iterator[Process]:
    """The same command in a process that has Beam imported already."""
    command = Command(*arguments, folder=folder, environment=environment, seed=seed)

    def wait(seconds: float) -> int | None:
        try:
            return command.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    yield Process(command.pid, wait)
    with contextlib.suppress(subprocess.TimeoutExpired):
        command.wait(1)


# --- what happens to a run from outside -------------------------------------------------------------------------------


@contextlib.contextmanager
def _meddling(plan: Plan, servers: Mapping[str, SandboxServer], process: Process, troubled: bool) -> Iterator[None]:
    """Lets tokens die and return, asks for pauses and sends signals, at the requests that the plan names."""
    over = threading.Event()
    thread = threading.Thread(target=_meddle, args=(plan, servers, process, over), daemon=True)
    if troubled:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if troubled:
            thread.join()


def _meddle(plan: Plan, servers: Mapping[str, SandboxServer], process: Process, over: threading.Event) -> None:
    died: dict[str, float] = {}
    returned: set[str] = set()
    braked: set[str] = set()
    ended = plan.ending == "none"
    while not over.wait(0.005):
        requests = Counter({name: server.stats()["requests"] for name, server in servers.items()})
        for name, trouble in plan.trouble.items():
            now = time.monotonic()
            if trouble.dies_at is not None and name not in died and requests[name] >= trouble.dies_at:
                servers[name].set_faults(dead_token=True)
                died[name] = now
            if trouble.back_after is not None and name in died and now - died[name] >= trouble.back_after:
                if name not in returned:
                    servers[name].set_faults(dead_token=False)
                returned.add(name)
            if trouble.brakes_at is not None and name not in braked and requests[name] >= trouble.brakes_at:
                servers[name].set_faults(throttle_next=1)
                braked.add(name)
        if not ended and requests.total() >= plan.ends_at:
            ended = True
            process.send(signal.SIGKILL if plan.ending == "kill" else signal.SIGINT)
            if plan.ending == "interrupt twice":
                time.sleep(0.1)
                process.send(signal.SIGINT)
