"""How near the engine and a whole run come to what is the limit of Python, and what the parts of either take.

Each round runs, one after the other and each in a process of its own, a loop that is the limit of what Python can do
(`benchmarks.loops`), capybeam's engine, and a whole ``capybeam run`` from a file to a server that answers without
looking. What counts is the ratio to the limit of the same round, and the median of the rounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from benchmarks.figures import Figures, ratio, rounds_of
from benchmarks.large_jobs import DESTINATIONS, SUBSCRIPTIONS
from benchmarks.runs import events_file, loop, loops, null_server, printed, run, timed
from benchmarks.steps import STEPS, accounting
from capybeam.pipeline.sandbox.faults import Faults
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings

EVENTS: Final = 200_000
SMALL: Final = 100  # events of the file that `check` and `map` are timed with

ENGINE_TARGET: Final = 0.5
RUN_TARGET: Final = 0.4
MEMORY_TARGET: Final = 350  # MB
COMMAND_TARGET: Final = 0.5  # s
ROWS_TARGET: Final = 1.0  # of what parsing JSON takes
REPORT_TARGET: Final = 0.8  # of the speed of `map`
UPKEEP_TARGET: Final = 0.03  # of a run's time for an event
ACCOUNTING_TARGET: Final = 0.05  # the same
START_UP_TARGET: Final = 1.2  # s of processor time
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


def compare(count: int, rounds: int, with_run: bool) -> bool:
    """Prints the table; gives back whether a target was missed."""
    return _print_table(_measure(count, rounds, with_run), count)


# --- measuring --------------------------------------------------------------------------------------------------


def _measure(count: int, rounds: int, with_run: bool) -> Measured:
    path, small, single = events_file(count), events_file(SMALL), events_file(1)
    measured = Measured()
    with null_server() as (_, job):
        for _ in rounds_of(rounds):
            measured.limit.append(loop("limit", path))
            measured.engine.append(loop("engine", path))
            parsing, rows = loops("rows", path)
            measured.parsing.append(parsing)
            measured.rows.append(rows)
            mapping, report = loops("report", path)
            measured.mapping.append(mapping)
            measured.report.append(report)
            measured.large_jobs.append(json.loads(printed("benchmarks.large_jobs", str(path))))
            measured.steps.append(json.loads(printed("benchmarks.steps", str(path))))
            if with_run:
                start_up, whole = run(job, single), run(job, path)
                measured.start_up.append(start_up.seconds)
                measured.start_up_processor.append(start_up.processor)
                measured.run.append(whole.seconds)
                measured.run_processor.append(whole.processor)
                measured.memory = max(measured.memory, whole.memory)
                measured.upkeep.append(loop("upkeep", path))
            measured.check.append(timed("check", str(job)).seconds)
            measured.map.append(timed("map", "--config", str(job), "--input", str(small)).seconds)
    if with_run:
        slow = SandboxSettings(null=True, faults=Faults(latency=LATENCY))
        with SandboxServer(slow) as server:
            for _ in range(min(rounds, 3)):
                measured.one_at_a_time.append(loop("sending", path, server.url, "1", "10"))
                measured.many_at_once.append(loop("sending", path, server.url, str(CONCURRENCY), "160"))
    return measured


# --- telling ----------------------------------------------------------------------------------------------------


def _print_table(measured: Measured, count: int) -> bool:
    figures = Figures()
    row = figures.row

    def speed(seconds: Sequence[float]) -> str:
        return f"{count / median(seconds):,.0f}/s"

    print(f"\n{count:,} events, {len(measured.limit)} rounds, medians; events a second are information only\n")
    row("limit: read, decode, 11 × SHA-256, encode", speed(measured.limit))
    row("engine: bytes in, ready bytes out", speed(measured.engine))
    near = ratio(measured.limit, measured.engine)
    row("  engine / limit", f"{near:.2f}", value=near, least=ENGINE_TARGET)
    row("JSON → events", speed(measured.parsing))
    row("rows of a warehouse → the same events", speed(measured.rows))
    longer = ratio(measured.rows, measured.parsing)
    row("  time of a row / time of its JSON", f"{longer:.2f}", value=longer, most=ROWS_TARGET)
    row("map: bytes in, outcomes as JSON out", speed(measured.mapping))
    row("report: the same events, counted", speed(measured.report))
    near = ratio(measured.mapping, measured.report)
    row("  report / map", f"{near:.2f}", value=near, least=REPORT_TARGET)
    if measured.run:
        _print_run(measured, count, row)
    if measured.many_at_once:
        gain = ratio(measured.many_at_once, measured.one_at_a_time)
        name = f"concurrency {CONCURRENCY} / 1, at {LATENCY * 1000:.0f} ms a request"
        row(name, f"{gain:.1f}", value=gain, least=CONCURRENCY_TARGET)
    _print_steps(measured.steps)
    _print_large_jobs(measured.large_jobs, row)
    row("capybeam check", f"{min(measured.check):.2f} s", value=min(measured.check), most=COMMAND_TARGET)
    row(f"capybeam map, {SMALL} events", f"{min(measured.map):.2f} s", value=min(measured.map), most=COMMAND_TARGET)
    if measured.run:
        print(_START_UP)
    return figures.missed


def _print_run(measured: Measured, count: int, row: Callable[..., None]) -> None:
    start_ups, processor = measured.start_up, measured.start_up_processor
    work = [whole - start_up for whole, start_up in zip(measured.run, start_ups, strict=True)]
    row("run: file → Beam (FnApiRunner) → null server", f"{count / median(measured.run):,.0f}/s")
    row("  run / limit, the whole process", f"{ratio(measured.limit, measured.run):.2f}")
    near = ratio(measured.limit, work)
    row("  run / limit, without start-up", f"{near:.2f}", value=near, least=RUN_TARGET)
    row("  start-up: a run of one event", f"{median(start_ups):.1f} s")
    least = min(processor)
    row("  start-up: processor time", f"{least:.1f} s", value=least, most=START_UP_TARGET)
    share = median(upkeep * count / seconds for upkeep, seconds in zip(measured.upkeep, work, strict=True))
    row("  pacing, classifying, receipts / run", f"{share:.1%}", value=share, most=UPKEEP_TARGET)
    share = median(
        accounting(steps) * count / 1e6 / (whole - start_up)
        for steps, whole, start_up in zip(measured.steps, measured.run_processor, processor, strict=True)
    )
    row("  windows, receipts with event_ids / run", f"{share:.1%}", value=share, most=ACCOUNTING_TARGET)
    row("  peak memory", f"{measured.memory:.0f} MB", value=measured.memory, most=MEMORY_TARGET)


def _print_steps(rounds: Sequence[dict[str, float]]) -> None:
    """The table of docs/performance.md, as Markdown."""
    print("\n| step | µs an event | of the limit |\n|---|---|---|")
    for step, what in STEPS.items():
        of_limit = median(each[step] / each["limit"] for each in rounds)
        print(f"| {what} | {median(each[step] for each in rounds):.1f} | {of_limit:.2f} |")
    print()


def _print_large_jobs(rounds: Sequence[dict[str, dict[str, float]]], row: Callable[..., None]) -> None:
    def figure(name: str, number: int) -> float:
        return median(each[name][str(number)] for each in rounds)

    few, many = SUBSCRIPTIONS
    for number in SUBSCRIPTIONS:
        row(f"an event of a job of {number} subscriptions", f"{figure('subscriptions', number):.1f} µs")
    longer = median(each["subscriptions"][str(many)] / each["subscriptions"][str(few)] for each in rounds)
    row(f"  {many} / {few}", f"{longer:.2f}", value=longer, most=SUBSCRIPTIONS_TARGET)
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
