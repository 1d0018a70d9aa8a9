"""``python -m tests.chaos``: many seeds, and a table of what they met. ``--seed N`` repeats one."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.chaos import Result, run_seed


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the seeds; 1 where anything does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--seed", type=int, help="only this one, with all that it says")
    parser.add_argument("--jobs", type=int, default=8, help="seeds at a time; they mostly wait (default 8)")
    parser.add_argument("--workers", type=int, default=1, help="processes of each run (default 1)")
    parser.add_argument("--keep", type=Path, help="keep the files of each seed in this folder")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.first, chosen.first + chosen.seeds) if chosen.seed is None else [chosen.seed]
    started = time.monotonic()
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as temporary:
        pool = ThreadPoolExecutor(chosen.jobs)
        running = {
            pool.submit(_in_folder, seed, chosen.keep or Path(temporary), chosen.workers): seed for seed in seeds
        }
        try:
            for future in as_completed(running):
                results.append(_result(future, running[future]))
                _report(results[-1], len(results), len(seeds), verbose=chosen.seed is not None)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # those under way end first
        _conclude(results, time.monotonic() - started)
    if len(results) < len(seeds):
        return 130
    return 1 if any(result.problems or result.lost or result.doubled for result in results) else 0


def _result(future: Future[Result], seed: int) -> Result:
    try:
        return future.result()
    except Exception as error:
        problem = f"the test itself failed: {type(error).__name__}: {error}"
        return Result(seed, {}, 0, 0, 0, 0, 0, 0, 0.0, 0.0, (problem,))


def _in_folder(seed: int, parent: Path, workers: int) -> Result:
    folder = parent / f"seed-{seed}"
    folder.mkdir(parents=True)
    return run_seed(seed, folder, workers)


def _report(result: Result, done: int, of: int, *, verbose: bool) -> None:
    if verbose:
        for field in dataclasses.fields(result):
            if field.name != "problems":
                print(f"{field.name}: {getattr(result, field.name)}")
    elif sys.stdout.isatty() or result.problems or done % 10 == 0 or done == of:
        print(f"{done}/{of} seeds; seed {result.seed} took {result.seconds} s", flush=True)
    for problem in result.problems[:20]:
        print(f"  seed {result.seed}: {problem}", flush=True)
    if result.problems:
        print(f"  again: python -m tests.chaos --seed {result.seed}", flush=True)


def _conclude(results: Sequence[Result], seconds: float) -> None:
    faults: Counter[str] = Counter()
    for result in results:
        faults.update(result.faults)
    table = Table(title="Chaos", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("seeds", f"{len(results):,}")
    table.add_row("seconds", f"{seconds:,.0f}")
    for kind, count in sorted(faults.items()):
        table.add_row(f"fault: {kind}", f"{count:,}")
    table.add_section()
    for name in ("events", "delivered", "filtered", "dead_lettered", "lost", "doubled"):
        table.add_row(name.replace("_", "-"), f"{sum(getattr(result, name) for result in results):,}")
    table.add_row("longest run, of its bound", f"{max((result.slowest for result in results), default=0.0):.0%}")
    table.add_row("seeds with problems", f"{sum(bool(result.problems) for result in results):,}")
    Console(emoji=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
