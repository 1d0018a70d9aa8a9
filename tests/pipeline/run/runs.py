"""Whole runs in the current folder, in this process or in one of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import run_job
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from tests.forks import Command
from tests.pipeline.jobs import job_file, order

PORTABLE = ["--runner", "PortableRunner", "--job_endpoint", "embed", "--environment_type", "LOOPBACK"]


def small_order(number: int) -> bytes:
    """One that the destination web alone takes."""
    return order(number, properties={"revenue": 5, "currency": "EUR"})


def run(endpoint: str, lines: list[bytes], **settings: Any) -> tuple[int, dict[str, Any]]:
    """Runs a job over lines in the current folder; its exit code and its books."""
    Path("events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    settings = {"dead_letters": "dead.jsonl", "receipts": "receipts.jsonl", **settings}
    job = parse_job(settings.pop("job", job_file(endpoint)))
    code = run_job(
        RunRequest(job, ["events.jsonl"], Outputs(settings["dead_letters"], settings["receipts"], "books.json"))
    )
    return code, json.loads(Path("books.json").read_text()) if Path("books.json").exists() else {}


RUN = ("run", "--config", "job.yaml", "--input", "events.jsonl", "--books", "books.json")


def prepare(sandbox: SandboxServer, events: int) -> None:
    """Writes a job and its events into the current folder, for a server that takes its time."""
    sandbox.set_faults(latency=0.3)
    Path("job.yaml").write_text(job_file(sandbox.url, f"{{concurrency: 2, max_batch_events: {min(events, 1000)}}}"))
    Path("events.jsonl").write_bytes(b"".join(order(n % 90, messageId=f"o-{n}") + b"\n" for n in range(events)))


def start(sandbox: SandboxServer, events: int) -> Command:
    """`capybeam run` in a process of its own, in the current folder, which has sent something."""
    prepare(sandbox, events)
    process = Command(*RUN)
    wait_for_events(sandbox)
    return process


def start_with(sandbox: SandboxServer, events: int, **settings: Any) -> subprocess.Popen[str]:
    """The same, as a user starts it, with arguments of subprocess.Popen; it may not have sent anything."""
    prepare(sandbox, events)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen([sys.executable, "-m", "capybeam", *RUN], text=True, env=env, **settings)


def wait_for_events(sandbox: SandboxServer, meanwhile: Callable[[], object] = lambda: time.sleep(0.05)) -> None:
    deadline = time.monotonic() + 60
    while sandbox.stats()["events_received"] == 0 and time.monotonic() < deadline:
        meanwhile()


def settle(sandbox: SandboxServer) -> None:
    """Waits until the server has taken what it still had in its hands when its sender was killed."""
    count, since = -1, time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.05)
        if (now := sandbox.stats()["events_received"]) != count:
            count, since = now, time.monotonic()


def unstamped(text: str) -> str:
    """Lines of a run's log without their time stamps."""
    return re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", "", text, flags=re.MULTILINE)
