"""Types of records that a run writes: dead letters and receipts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from capybeam.pipeline.sinks.schema import Schema

R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class RecordType(Generic[R]):
    """How records of a type are written, whichever kind of output they go to.

    Attributes:
        name: for messages, a plural: "Dead letters".
        schema: of a table.
        encode: a record's line or message, without a line end.
        row: a record's row of a table, times in Unix seconds.
        is_prompt: whether records are of use while a run is under way, and after it was killed: files at URLs are then
            written in parts, rather than at the end.
        shrink: from a record that is larger than an output takes, its size in bytes, and the limit in words, to a
            smaller one; None where records are never that large.
        series: 0 to 9: which of several collections that are written to one place. Each has files of its own at a URL,
            where they would otherwise replace one another.
    """

    name: str
    schema: Schema
    encode: Callable[[R], bytes]
    row: Callable[[R], dict[str, Any]]
    shrink: Callable[[R, int, str], R] | None = None
    is_prompt: bool = False
    series: int = 0
