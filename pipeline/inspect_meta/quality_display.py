"""Tables of `Quality` for people, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capybeam.pipeline.inspect_meta.quality import Quality, Row, flat, row

NOTHING: Final = "–"


def show(destination: str, quality: Quality, screen: Console) -> None:
    """A table of the events, and below it all that does not fit into one."""
    screen.print(Text(f"{destination}, dataset {quality.dataset_id}", style="bold"))
    for section, reason in quality.refused.items():
        screen.print(Text(f"  ✗ {f'{section}: ' if section else ''}{reason}", style="red"))
    rows = [row(event) for event in quality.events]
    if rows:
        screen.print(_table(rows))
        if any(each.dedupe for each in rows):
            screen.print(_dedupe_table(rows))
    elif "" not in quality.refused:
        screen.print("  Meta has no quality of any event here: none arrived in the last days, or it is not known yet.")
    for each in rows:
        for line in (*each.diagnostics, *(f"{path} = {text}" for path, text in each.more)):
            screen.print(Text(f"  {each.event_name}: {line}"))
    for path, text in flat(quality.other):
        screen.print(Text(f"  {path} = {text}", style="dim"))


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Event")
    table.add_column("EMQ", justify="right")
    table.add_column("Coverage", justify="right")
    table.add_column("Freshness")
    table.add_column("Match keys")
    for each in rows:
        covered, goal = each.coverage
        table.add_row(
            Text(each.event_name),
            NOTHING if each.score is None else f"{each.score:g}",
            Text(_percent(covered) + (f" of {_percent(goal)}" if goal is not None and covered is not None else "")),
            Text(each.freshness or NOTHING),
            Text(", ".join(f"{key} {_percent(share)}" for key, share in each.keys) or NOTHING),
        )
    return table


def _dedupe_table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Deduplication")
    table.add_column("Key")
    for who in ("Browser", "Server", "Both"):
        table.add_column(who, justify="right")
    for each in rows:
        for number, (key, *shares) in enumerate(each.dedupe):
            table.add_row(Text("" if number else each.event_name), Text(key), *map(_percent, shares))
    return table


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:g} %"


def as_json(destination: str, quality: Quality) -> dict[str, Any]:
    """One dataset as an object: Meta's answer as it came, under `events` and `other`."""
    return {
        "destination": destination,
        "dataset_id": quality.dataset_id,
        "events": list(quality.events),
        "other": quality.other,
        "refused": dict(quality.refused),
    }
