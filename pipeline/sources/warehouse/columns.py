"""Columns of a warehouse's table, and what a row of them becomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from capybeam.transforms.core.events import Event, UnreadableRow

TableRow = Mapping[str, Any]
Converter = Callable[[TableRow], "bytes | Event | UnreadableRow"]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column as BigQuery describes it.

    Attributes:
        name: in the case that Segment gave it.
        type: the legacy or the standard name.
        fields: those of a RECORD.
        spelt: its name in the table, where that is in another case.
    """

    name: str
    type: str = "STRING"
    repeated: bool = False
    fields: tuple[Column, ...] = ()
    spelt: str = ""

    @property
    def key(self) -> str:
        """Its name in a row, and in a query."""
        return self.spelt or self.name
