"""Two processes that share a run beside one, from a file that both read: `--workers 2` and `--workers 1`.

In each round one of them goes first, in turn, so that a machine that grows slower or quicker meanwhile favours neither.
What a run of one event takes in the same round is start-up, and is taken off.
"""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Figures, ratio, rounds_of
from benchmarks.runs import events_file, null_server, run

EVENTS: Final = 2_000_000
WORKERS: Final = 2
TARGET: Final = 1.7  # times the speed of one
START_UP_TARGET: Final = 1.3  # of the start-up of one


def compare(count: int, rounds: int) -> bool:
    """Prints how much faster two are; gives back whether a target was missed."""
    path, single, figures = events_file(count), events_file(1), Figures()
    start_ups: dict[int, list[float]] = {1: [], WORKERS: []}
    runs: dict[int, list[float]] = {1: [], WORKERS: []}
    with null_server() as (_, job):
        for number in rounds_of(rounds):
            for workers in sorted(runs, reverse=bool(number % 2)):
                inputs = [single] * workers  # so that each has something to do
                start_ups[workers].append(run(job, *inputs, workers=workers).seconds)
                runs[workers].append(run(job, path, workers=workers).seconds)
    work = {
        workers: [whole - start_up for whole, start_up in zip(runs[workers], start_ups[workers], strict=True)]
        for workers in runs
    }
    name = f"{WORKERS} processes / 1"
    print(f"\n{count:,} events in one file, {rounds} rounds, medians\n")
    figures.row(f"{name}, the whole run", f"{ratio(runs[1], runs[WORKERS]):.2f}")
    gain = ratio(work[1], work[WORKERS])
    figures.row(f"{name}, without start-up", f"{gain:.2f}", value=gain, least=TARGET)
    longer = ratio(start_ups[WORKERS], start_ups[1])
    figures.row(f"{name}, start-up", f"{longer:.2f}", value=longer, most=START_UP_TARGET)
    return figures.missed
