"""``python -m benchmarks``: how fast capybeam is, as ratios side by side, and how much memory it takes.

Events a second say more about a machine than about a program, and shared machines swing by a third from one minute to
the next. So each round runs, one after the other and each in a process of its own, a loop that is the limit of what
Python can do (`benchmarks.loops`), capybeam's engine, and a whole ``capybeam run`` from a file to a server that answers
without looking (which lives in this process). What counts is the ratio to the limit of the same round, and the median
of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks import events, subscription
from benchmarks.large_jobs import DESTINATIONS, SUBSCRIPTIONS
from benchmarks.loops import JOB
from benchmarks.memory import watching_memory
from benchmarks.steps import STEPS, accounting
from capybeam.pipeline.sandbox.faults import Faults
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings

OUT: Final = Path(__file__).parents[1] / "out" / "benchmarks"  # out/ is not for git
SEED: Final = 7
KEPT_FOR: Final = 5 * events.DAY.total_seconds()  # then events grow too old for Meta
SMALL: Final = 100  # events of the file that `check` and `map` are timed with

ENGINE_TARGET: Final = 0.5
RUN_TARGET: Final = 0.4
MEMORY_TARGET: Final = 350  # MB
WORKERS: Final = 2  # processes that share a run
WORKERS_TARGET: Final = 1.7  # times the speed of one
WORKERS_START_UP_TARGET: Final = 1.3  # of the start-up of one
COMMAND_TARGET: Final = 0.5  # s
ROWS_TARGET: Final = 1.0  # of what parsing JSON takes
REPORT_TARGET: Final = 0.8  # of the speed of `map`
UPKEEP_TARGET: Final = 0.03  # of a run's time for an event
ACCOUNTING_TARGET: Final = 0.05  # the same
START_UP_TARGET: Final = 1.2  # s of processor time
MEMORY_COUNTS: Final = (100_000, 400_000, 1_600_000)  # events
MEMORY_GROWTH_TARGET: Final = 1.1  # of the least of them
LATENCY: Final = 0.2  # s, of the server that concurrency is measured with
CONCURRENCY: Final = 16
CONCURRENCY_TARGET: Final = 12.0
SUBSCRIPTIONS_TARGET: Final = 2.0  # of the time of an event among 6
FIRST_EVENT_TARGET: Final = 1.0  # s
DESTINATION_TARGET: Final = 2.0  # µs of each further destination of an event


@dataclass
class Measured:
    """Seconds of each round, and megabytes at most."""

    limit: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    parsing: list[float] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)
    mapping: list[float] = field(default_factory=list)
    report: list[float] = field(default_factory=list)
    run: list[float] = field(default_factory=list)
    start_up: list[float] = field(default_factory=list)
    shared_run: list[float] = field(default_factory=list)  # by several processes
    shared_start_up: list[float] = field(default_factory=list)
    check: list[float] = field(default_factory=list)
    map: list[float] = field(default_factory=list)
    upkeep: list[float] = field(default_factory=list)  # of one event
    one_at_a_time: list[float] = field(default_factory=list)  # batches a second
    many_at_once: list[float] = field(default_factory=list)
    large_jobs: list[dict[str, dict[str, float]]] = field(default_factory=list)
    steps: list[dict[str, float]] = field(default_factory=list)  # µs of an event, by step
    start_up_processor: list[float] = field(default_factory=list)
    run_processor: list[float] = field(default_factory=list)
    memory: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns the exit code: 0, or 1 where ``--check`` finds a target missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=200_000, help="per loop (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--skip-run", action="store_true", help="leave out `capybeam run`, which takes longest")
    parser.add_argument("--cluster", action="store_true", help="compare a Flink cluster with FnApiRunner, and no more")
    parser.add_argument("--peers", action="store_true", help="compare other programs that do the same, and no more")
    parser.add_argument("--publish", action="store_true", help="with --peers: write the results into docs/, too")
    parser.add_argument("--memory", action="store_true", help="compare memory of runs of many events, and no more")
    parser.add_argument(
        "--subscriptions", action="store_true", help="compare Pub/Sub with a file, and no more; needs Go"
    )
    parser.add_argument("--all", action="store_true", help="all of these, one after the other, but for the cluster")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    if options.events < 1 or options.rounds < 1:
        parser.error("--events and --rounds must be positive")

    if options.cluster:
        return _compare_cluster(options.events, options.rounds)
    parts: list[Callable[[], bool]] = []  # each prints, and says whether a target was missed
    if options.all or not (options.peers or options.memory or options.subscriptions):
        parts.append(lambda: _compare_with_limit(options.events, options.rounds, not options.skip_run))
    if options.all or options.subscriptions:
        parts.append(lambda: bool(subscription.main(["--check", "--rounds", str(min(options.rounds, 3))])))
    if options.all or options.memory:
        parts.append(_compare_memory)
    if options.all or options.peers:
        parts.append(lambda: bool(_compare_peers(options.events, options.rounds, options.publish)))
    missed = [part() for part in parts]
    return 1 if options.check and any(missed) else 0


def _compare_with_limit(count: int, rounds: int, with_run: bool) -> bool:
    return _print_table(_measure(count, rounds, with_run), count)


# --- measuring --------------------------------------------------------------------------------------------------


def _measure(count: int, rounds: int, with_run: bool) -> Measured:
    OUT.mkdir(parents=True, exist_ok=True)
    path, small, single = _events_file(count), _events_file(SMALL), _events_file(1)
    measured = Measured()
    with SandboxServer(SandboxSettings(null=True)) as server:
        job = OUT / "job.yaml"
        job.write_text(JOB.read_text().replace("http://127.0.0.1:8791", server.url))
        for number in range(rounds):
            print(f"round {number + 1} of {rounds} …", file=sys.stderr)
            measured.limit.append(_loop("limit", path))
            measured.engine.append(_loop("engine", path))
            parsing, rows = _loops("rows", path)
            measured.parsing.append(parsing)
            measured.rows.append(rows)
            mapping, report = _loops("report", path)
            measured.mapping.append(mapping)
            measured.report.append(report)
            measured.large_jobs.append(_large_jobs(path))
            measured.steps.append(json.loads(_printed("benchmarks.steps", str(path))))
            if with_run:
                start_up, whole = _run(job, single), _run(job, path)
                measured.start_up.append(start_up.seconds)
                measured.start_up_processor.append(start_up.processor)
                measured.run.append(whole.seconds)
                measured.run_processor.append(whole.processor)
                measured.memory = max(measured.memory, whole.memory)
                measured.shared_start_up.append(_run(job, single, single, workers=WORKERS).seconds)
                measured.shared_run.append(_run(job, path, workers=WORKERS).seconds)
                measured.upkeep.append(_loop("upkeep", path))
            measured.check.append(_timed("check", str(job)).seconds)
            measured.map.append(_timed("map", "--config", str(job), "--input", str(small)).seconds)
    if with_run:
        slow = SandboxSettings(null=True, faults=Faults(latency=LATENCY))
        with SandboxServer(slow) as server:
            for _ in range(min(rounds, 3)):
                measured.one_at_a_time.append(_loop("sending", path, server.url, "1", "10"))
                measured.many_at_once.append(_loop("sending", path, server.url, str(CONCURRENCY), "160"))
    return measured


def _compare_cluster(count: int, rounds: int) -> int:
    from benchmarks.cluster import compare
    from cluster.flink import ClusterFailed
    from cluster.install import NotInstalled

    OUT.mkdir(parents=True, exist_ok=True)
    with SandboxServer(SandboxSettings(null=True)) as server:
        job = OUT / "job.yaml"
        job.write_text(JOB.read_text().replace("http://127.0.0.1:8791", server.url))

        def timed(options: Sequence[str]) -> float:
            local = [] if "--runner" in options else ["--workers", "1"]
            return _timed("run", "--config", str(job), *_fresh_outputs("file://"), *local, *options).seconds

        try:
            compare(_events_file(1), _events_file(count), count, rounds, OUT, timed)
        except (NotInstalled, ClusterFailed) as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 2
    return 0


def _compare_peers(count: int, rounds: int, publish: bool) -> int:
    from benchmarks.loops import ready_conversions
    from benchmarks.peers import compare, results

    OUT.mkdir(parents=True, exist_ok=True)
    with SandboxServer(SandboxSettings(null=True)) as server:
        job = OUT / "job.yaml"
        job.write_text(JOB.read_text().replace("http://127.0.0.1:8791", server.url))
        peers = compare.Peers(OUT.parent / "peers", job, server.url, _fresh_outputs)
        equal = peers.equal_digests(_events_file(count), ready_conversions())
        measured = {**compare.compare(peers, _events_file, count, rounds), "digests": equal}
    for name, reason in measured["absent"].items():
        print(f"not measured: {name}: {reason}", file=sys.stderr)
    print(f"{results.table(measured)}\n\n{results.digests(measured)}")
    (OUT / "peers.json").write_text(json.dumps(measured, indent=2) + "\n")
    (OUT / results.CHART).write_text(results.chart(measured))
    if publish:
        results.publish(measured)
    return 0


def _events_file(count: int) -> Path:
    """A file of so many events, created unless a recent enough one exists."""
    path = OUT / f"events-{count}.jsonl"
    if not path.exists() or time.time() - path.stat().st_mtime > KEPT_FOR:
        print(f"making {count:,} events …", file=sys.stderr)
        unfinished = path.with_suffix(".unfinished")
        events.write(unfinished, count, SEED)
        unfinished.replace(path)
    return path


def _loop(name: str, path: Path, *more: str) -> float:
    (figure,) = _loops(name, path, *more)
    return figure


def _loops(name: str, path: Path, *more: str) -> list[float]:
    return [float(figure) for figure in _printed("benchmarks.loops", name, str(path), *more).split()]


def _large_jobs(path: Path) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = json.loads(_printed("benchmarks.large_jobs", str(path)))
    return figures


def _printed(module: str, *arguments: str) -> bytes:
    """What a module prints that runs in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        check=True,
        cwd=_ROOT,
        env=_ENVIRONMENT,
    )
    return finished.stdout


class Taken(NamedTuple):
    """What a command took: seconds, seconds of processors, and megabytes at most (of one process)."""

    seconds: float
    processor: float
    memory: float


def _run(job: Path, *paths: Path, workers: int = 1) -> Taken:
    """What a run took, which has to deliver everything."""
    inputs = [word for path in paths for word in ("--input", str(path))]
    return _timed("run", "--config", str(job), *inputs, "--workers", str(workers), *_fresh_outputs())


def _fresh_outputs(scheme: str = "") -> list[str]:
    """The options that say where a run writes, with nothing there."""
    for kept in OUT.glob("*letters*.jsonl*"):
        kept.unlink()
    for kept in OUT.glob("receipts*.jsonl*"):
        kept.unlink()
    return [
        *("--dead-letters", f"{scheme}{OUT / 'dead-letters.jsonl'}"),
        *("--receipts", f"{scheme}{OUT / 'receipts.jsonl'}"),
    ]


def _timed(*command: str) -> Taken:
    """What a capybeam command took. Raises RuntimeError unless it ended well."""
    log = OUT / f"{command[0]}.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "capybeam", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=_ROOT,
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


_ROOT: Final = Path(__file__).parents[1]
# Python compiles its modules once, as it does where capybeam is installed, whatever this environment says.
_ENVIRONMENT: Final = {
    **os.environ,
    "META_ACCESS_TOKEN": "benchmark",
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(OUT / "pycache"),
}


# --- telling ----------------------------------------------------------------------------------------------------


def _print_table(measured: Measured, count: int) -> bool:
    """Prints what was measured; gives back whether a target was missed."""
    missed = False

    def row(
        name: str, figure: str, *, value: float | None = None, least: float | None = None, most: float = float("inf")
    ) -> None:
        nonlocal missed
        verdict = ""
        if value is not None:
            met = value <= most if least is None else least <= value
            missed = missed or not met
            verdict = f"target {f'≤ {most:g}' if least is None else f'≥ {least:g}'}: {'met' if met else 'MISSED'}"
        print(f"{name:<44}{figure:>16}   {verdict}".rstrip())

    def speed(seconds: Sequence[float]) -> str:
        return f"{count / median(seconds):,.0f}/s"

    print(f"\n{count:,} events, {len(measured.limit)} rounds, medians; events a second are information only\n")
    row("limit: read, decode, 11 × SHA-256, encode", speed(measured.limit))
    row("engine: bytes in, ready bytes out", speed(measured.engine))
    ratio = _ratio(measured.limit, measured.engine)
    row("  engine / limit", f"{ratio:.2f}", value=ratio, least=ENGINE_TARGET)
    row("JSON → events", speed(measured.parsing))
    row("rows of a warehouse → the same events", speed(measured.rows))
    ratio = median(rows / parsing for rows, parsing in zip(measured.rows, measured.parsing, strict=True))
    row("  time of a row / time of its JSON", f"{ratio:.2f}", value=ratio, most=ROWS_TARGET)
    row("map: bytes in, outcomes as JSON out", speed(measured.mapping))
    row("report: the same events, counted", speed(measured.report))
    ratio = _ratio(measured.mapping, measured.report)
    row("  report / map", f"{ratio:.2f}", value=ratio, least=REPORT_TARGET)
    if measured.run:
        work = [run - start_up for run, start_up in zip(measured.run, measured.start_up, strict=True)]
        row("run: file → Beam (FnApiRunner) → null server", speed(measured.run))
        row("  run / limit, the whole process", f"{_ratio(measured.limit, measured.run):.2f}")
        ratio = _ratio(measured.limit, work)
        row("  run / limit, without start-up", f"{ratio:.2f}", value=ratio, least=RUN_TARGET)
        row("  start-up: a run of one event", f"{median(measured.start_up):.1f} s")
        start_up = min(measured.start_up_processor)
        row("  start-up: processor time", f"{start_up:.1f} s", value=start_up, most=START_UP_TARGET)
        share = median(upkeep * count / seconds for upkeep, seconds in zip(measured.upkeep, work, strict=True))
        row("  pacing, classifying, receipts / run", f"{share:.1%}", value=share, most=UPKEEP_TARGET)
        several = f"  {WORKERS} processes / 1"
        shared = [run - start_up for run, start_up in zip(measured.shared_run, measured.shared_start_up, strict=True)]
        row(f"{several}, the whole run", f"{_ratio(measured.run, measured.shared_run):.2f}")
        ratio = _ratio(work, shared)
        row(f"{several}, without start-up", f"{ratio:.2f}", value=ratio, least=WORKERS_TARGET)
        ratio = 1 / _ratio(measured.start_up, measured.shared_start_up)
        row(f"{several}, start-up", f"{ratio:.2f}", value=ratio, most=WORKERS_START_UP_TARGET)
        share = median(
            accounting(steps) * count / 1e6 / (whole - start_up)
            for steps, whole, start_up in zip(
                measured.steps, measured.run_processor, measured.start_up_processor, strict=True
            )
        )
        row("  windows, receipts with event_ids / run", f"{share:.1%}", value=share, most=ACCOUNTING_TARGET)
        row("  peak memory", f"{measured.memory:.0f} MB", value=measured.memory, most=MEMORY_TARGET)
    if measured.many_at_once:
        gain = median(many / one for many, one in zip(measured.many_at_once, measured.one_at_a_time, strict=True))
        name = f"concurrency {CONCURRENCY} / 1, at {LATENCY * 1000:.0f} ms a request"
        row(name, f"{gain:.1f}", value=gain, least=CONCURRENCY_TARGET)
    _print_steps(measured.steps)
    _print_large_jobs(measured.large_jobs, row)
    row("capybeam check", f"{min(measured.check):.2f} s", value=min(measured.check), most=COMMAND_TARGET)
    row(f"capybeam map, {SMALL} events", f"{min(measured.map):.2f} s", value=min(measured.map), most=COMMAND_TARGET)
    if measured.run:
        print(_START_UP)
    return missed


def _print_steps(rounds: Sequence[dict[str, float]]) -> None:
    """The table of docs/performance.md, as Markdown."""
    print("\n| step | µs an event | of the limit |\n|---|---|---|")
    for step, what in STEPS.items():
        of_limit = median(each[step] / each["limit"] for each in rounds)
        print(f"| {what} | {median(each[step] for each in rounds):.1f} | {of_limit:.2f} |")
    print()


def _compare_memory() -> bool:
    """Prints the peak memory of runs of ever more events; whether it grows with them."""
    OUT.mkdir(parents=True, exist_ok=True)
    with SandboxServer(SandboxSettings(null=True)) as server:
        job = OUT / "job.yaml"
        job.write_text(JOB.read_text().replace("http://127.0.0.1:8791", server.url))
        peaks = {count: _run(job, _events_file(count)).memory for count in MEMORY_COUNTS}
    least = min(peaks.values())
    for count, peak in peaks.items():
        print(f"{count:>9,} events: peak memory {peak:.0f} MB, {peak / least:.2f} of the least")
    return max(peaks.values()) > MEMORY_GROWTH_TARGET * least


def _print_large_jobs(rounds: Sequence[dict[str, dict[str, float]]], row: Callable[..., None]) -> None:
    def figure(name: str, number: int) -> float:
        return median(each[name][str(number)] for each in rounds)

    few, many = SUBSCRIPTIONS
    for number in SUBSCRIPTIONS:
        row(f"an event of a job of {number} subscriptions", f"{figure('subscriptions', number):.1f} µs")
    ratio = median(each["subscriptions"][str(many)] / each["subscriptions"][str(few)] for each in rounds)
    row(f"  {many} / {few}", f"{ratio:.2f}", value=ratio, most=SUBSCRIPTIONS_TARGET)
    seconds = figure("first_event", many) / 1000
    row(f"  {many}: job file to first event", f"{seconds:.2f} s", value=seconds, most=FIRST_EVENT_TARGET)
    for number in DESTINATIONS:
        row(f"an event for {number} destinations", f"{figure('destinations', number):.1f} µs")
    most = DESTINATIONS[-1]
    further = (figure("destinations", most) - figure("destinations", 1)) / (most - 1)
    row("  each further one", f"{further:.1f} µs", value=further, most=DESTINATION_TARGET)
    row(f"  {most}: job file to first event", f"{figure('first_event_destinations', most) / 1000:.2f} s")


_START_UP: Final = """
Start-up (Python, importing Beam, building the graph, ending) is what a run of one event takes in the same round; it is
taken off the wall time of the whole. `check` and `map` are the best of all rounds."""


def _ratio(limit: Sequence[float], other: Sequence[float]) -> float:
    """How near to the limit, which it shares a round with: 1 is as fast."""
    return median(least / seconds for least, seconds in zip(limit, other, strict=True))


if __name__ == "__main__":
    sys.exit(main())
