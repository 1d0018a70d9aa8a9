"""``make cluster-test``: history through a real Flink cluster that loses a TaskManager, and then a Python worker.

Brings up Flink with two TaskManagers, Beam's job server and a pool of Python workers (`cluster.flink`), and delivers
seeded events with ``capybeam run`` to the sandbox: once while a TaskManager is killed with -9 and another started, once
while a Python worker is killed. Receipts go to a file that all workers share in the first run, and to Cloud Storage in
the second, which is a server in memory. Nothing may be lost, what was sent again must have been dropped by its
event_id, and nothing may be sent again that a receipt names, but for one part of receipts for each slot.
What has to arrive is known beforehand: it is what ``capybeam map`` says, one event after the other.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import orjson

from capybeam.pipeline.job.loader import Job, load_job
from capybeam.pipeline.preview import preview
from capybeam.pipeline.reconciliation.records import Records, resolved
from capybeam.pipeline.sandbox.faults import Faults
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from cluster.flink import ClusterFailed, FlinkCluster
from cluster.install import NotInstalled, install
from examples.generate_events import events
from tests.servers.storage import storage_server

ROOT: Final = Path(__file__).parents[1]
OUT: Final = ROOT / "out" / "cluster"  # out/ is not for git
SEED: Final = 7
FILES: Final = 16  # a file is read by one worker, in a row
TOKEN: Final = "cluster-token"
LATENCY: Final = 0.2  # seconds that a request is in flight
KILL_AT: Final = 0.25  # of the events, sent
BUCKET: Final = "capybeam-cluster"
PART: Final = 10  # seconds whose receipts are in one file in the bucket
_DONE: Final = (0, 1)  # exit codes of `run`: all delivered, or some dead-lettered


@dataclasses.dataclass(frozen=True)
class Expected:
    """What an honest run of the history gives."""

    read: int
    ready: int
    rejected: int
    stored: int  # different events among the ready, by what Meta identifies them by


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs both tries and returns the exit code: 0, or 1 where something is wrong, 2 where its parts cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument("--limit", type=float, default=420.0, help="seconds for each run (default: %(default)s)")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    try:
        install()
        return _tried(options.events, options.limit)
    except NotInstalled as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 2
    except ClusterFailed as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def _tried(count: int, limit: float) -> int:
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "events").mkdir(parents=True)
    lines = list(events(count, SEED, datetime.now(timezone.utc)))
    for number in range(FILES):
        (OUT / "events" / f"{number:02}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines[number::FILES]))
    problems = []
    settings = SandboxSettings(tokens=frozenset({TOKEN}), faults=Faults(latency=LATENCY))
    with SandboxServer(settings) as sandbox, storage_server() as storage:
        os.environ["STORAGE_EMULATOR_HOST"] = storage.url
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "META_ACCESS_TOKEN": TOKEN}
        config = OUT / "conversions.yaml"
        example = (ROOT / "examples" / "conversions.yaml").read_text(encoding="utf-8")
        config.write_text(re.sub(r"http://127\.0\.0\.1:\d+", sandbox.url, example), encoding="utf-8")
        expected = _expected(load_job(str(config)), lines)
        print(f"{count:,} seeded events in {FILES} files; {expected.ready:,} are to be delivered.", flush=True)
        started = time.monotonic()
        with FlinkCluster(OUT / "flink", 2, environment) as cluster:
            print(f"The cluster is up after {time.monotonic() - started:.0f} s: Flink with 2 × 2 slots.", flush=True)

            def lose_task_manager() -> str:
                killed = cluster.kill_task_manager()
                cluster.start_task_manager()
                return f"killed TaskManager {killed} with -9, started another"

            def lose_python_worker() -> str:
                return f"killed Python worker {cluster.kill_python_worker()} with -9"

            for name, receipts, lose in (
                ("task-manager", f"file://{OUT}/task-manager/receipts.jsonl.gz", lose_task_manager),
                ("python-worker", f"gs://{BUCKET}/receipts.jsonl.gz", lose_python_worker),
            ):
                problems += _run(name, config, receipts, cluster, sandbox, expected, lose, limit)
                sandbox.reset()
                cluster.wait_for_slots()
    for problem in problems:
        print(f"  WRONG: {problem}")
    if not problems:
        print("\nNothing was lost, and nothing counts twice.")
    return 1 if problems else 0


def _expected(job: Job, lines: Sequence[bytes]) -> Expected:
    kinds: Counter[str] = Counter()
    different = set()
    for outcome in preview(job, lines, time.time()):
        kinds[outcome["status"]] += 1
        if outcome["status"] == "ready":
            payload = orjson.loads(orjson.dumps(outcome["payload"]))
            different.add((outcome["dataset_id"], payload["event_name"], payload.get("event_id", outcome["line"])))
    read = sum(bool(line.removeprefix(b"\xef\xbb\xbf").strip()) for line in lines)
    return Expected(read, kinds["ready"], kinds["rejected"], len(different))


def _run(
    name: str,
    config: Path,
    receipts: str,
    cluster: FlinkCluster,
    sandbox: SandboxServer,
    expected: Expected,
    lose: Callable[[], str],
    limit: float,
) -> list[str]:
    """One run that loses a part of its cluster; what is wrong with it."""
    out = OUT / name
    out.mkdir()
    command = [sys.executable, "-m", "capybeam", "run", "--config", str(config)]
    command += ["--input", f"file://{OUT / 'events'}/*.jsonl", "--books", str(out / "books.json")]
    command += ["--dead-letters", f"file://{out}/dead-letters.jsonl", "--receipts", receipts]
    print(f"\ncapybeam run … {' '.join(cluster.options)}", flush=True)
    started, first, word = time.monotonic(), 0.0, ""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # the token is the workers'
    process = subprocess.Popen([*command, *cluster.options], env=environment, start_new_session=True)
    try:
        while process.poll() is None:
            arrived, seconds = sandbox.stats()["events_received"], time.monotonic() - started
            if arrived and not first:
                first = seconds
            if arrived > KILL_AT * expected.ready and not word:
                word = f"{lose()}, after {seconds:.0f} s, with {arrived:,} events delivered"
                print(word, flush=True)
            if seconds > limit:
                return [f"{name}: not done within {limit:.0f} s"]
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = time.monotonic() - started
    stats = sandbox.stats()
    print(
        f"{seconds:.0f} s in all, {first:.0f} s of them until the first request arrived;"
        f" {cluster.failures()} failure(s) of tasks, {stats['events_received']:,} events arrived,"
        f" {stats['duplicates']:,} of them repeats that were dropped."
    )
    if process.returncode not in _DONE:
        return [f"{name}: the run ended with exit code {process.returncode}"]
    return _compared(name, out, _rows(receipts), stats, expected, bool(word))


def _rows(receipts: str) -> list[Mapping[str, Any]]:
    """The receipts of a run."""
    places = resolved([receipts.replace("receipts.", "receipts-*.") if receipts.startswith("gs:") else receipts], "")
    return [record.row for record in Records(places)]


def _compared(
    name: str, out: Path, receipts: Sequence[Mapping[str, Any]], stats: dict[str, Any], expected: Expected, lost: bool
) -> list[str]:
    """What does not agree between map, books, receipts, dead letters and the sandbox."""
    books = json.loads((out / "books.json").read_text())
    on_receipts = sum(receipt["events"] for receipt in receipts)
    dead = len((out / "dead-letters.jsonl").read_bytes().splitlines())
    equal = {
        "a part of the cluster was lost while requests flew": (True, lost),
        "the books' own balance": (True, books["balanced"]),
        "events read": (expected.read, books["read"]),
        "events delivered": (expected.ready, books["delivered"] + books["already_delivered"]),
        "dead letters": (expected.rejected, books["dead_letters"]),
        "different events that the sandbox stored": (expected.stored, stats["events_stored"]),
        "events stored, and repeats dropped": (stats["events_received"], stats["events_stored"] + stats["duplicates"]),
        "events on receipts, in the books": (on_receipts, on_receipts if books["sent"] is None else books["sent"]),
    }
    problems = [
        f"{name}: {what}: {right:,} expected, {got:,} found" for what, (right, got) in equal.items() if right != got
    ]
    # what was lost in flight was sent and has no receipt; what was done again has two
    if not expected.ready <= on_receipts <= stats["events_received"]:
        problems.append(f"{name}: {on_receipts:,} events on receipts, {stats['events_received']:,} received")
    part = _most_within(receipts, PART)  # of all slots together
    again = on_receipts - expected.ready
    print(f"{again:,} events have a second receipt; the receipts of {PART} s have {part:,} at most.")
    if again > part:
        problems.append(f"{name}: {again:,} events have two receipts; a part has {part:,} events")
    if dead < expected.rejected:
        problems.append(f"{name}: {expected.rejected:,} dead letters expected, {dead:,} found")
    return problems


def _most_within(receipts: Sequence[Mapping[str, Any]], seconds: int) -> int:
    """The events of the receipts of so many seconds, at most."""
    at = Counter[int]()
    for receipt in receipts:
        at[int(receipt["delivered_at"])] += receipt["events"]
    return max((sum(at[second + later] for later in range(seconds)) for second in at), default=0)


if __name__ == "__main__":
    sys.exit(main())
