"""What ``capybeam reconcile`` shows to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_COLUMNS: Final = {
    "conversions": "conversions",
    "delivered": "delivered",
    "delivered_more_than_once": "more than once",
    "dead_lettered": "dead-lettered",
    "rejected": "rejected",
    "without_consent": "without consent",
    "nowhere": "nowhere",
}
_SHOWN_IF_ANY: Final = ("delivered_more_than_once", "rejected", "without_consent")


def rendered(found: Mapping[str, Any]) -> RenderableType:
    """A table and a sentence, from `Reconciliation.as_json`."""
    columns = [name for name in _COLUMNS if name not in _SHOWN_IF_ANY or found[name]]
    table = Table(title="Where the conversions are", title_justify="left", pad_edge=False)
    table.add_column("destination / subscription")
    for name in columns:
        table.add_column(_COLUMNS[name], justify="right")
    for key, counts in found["subscriptions"].items():
        table.add_row(Text(key), *(f"{counts[name]:,}" for name in columns))
    parts = [f"{found[name]:,} {_COLUMNS[name]}" for name in columns[1:] if name != "delivered_more_than_once"]
    read = f"{found['events']:,} events read, {found['filtered']:,} filtered, {found['unparsable']:,} unparsable"
    verdict = f"{read}; {found['conversions']:,} conversions = {' + '.join(parts)}."
    return Group(table, Text(verdict, style="bold red" if found["nowhere"] else "bold"))
