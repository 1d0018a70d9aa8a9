"""The peak memory of runs of ever more events, which is to stay the same."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Figures
from benchmarks.runs import events_file, null_server, run

COUNTS: Final = (100_000, 400_000, 1_600_000)  # events
TARGET: Final = 1.1  # of the least of them


def compare() -> bool:
    """Prints the peaks; gives back whether they grow with the events."""
    figures = Figures()
    with null_server() as (_, job):
        peaks = {count: run(job, events_file(count)).memory for count in COUNTS}
    print("\npeak memory\n")
    for count, peak in peaks.items():
        figures.row(f"{count:,} events", f"{peak:.0f} MB")
    growth = max(peaks.values()) / min(peaks.values())
    figures.row("  most / least", f"{growth:.2f}", value=growth, most=TARGET)
    return figures.missed
