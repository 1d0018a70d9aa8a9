"""What a coordinator and its workers say to each other, over a pair of connected sockets that nobody else has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from capybeam.transforms.core.progress import Snapshot
from capybeam.transforms.resuming import LoadProcessed

Target = Literal["parts", "pacer", "guard", "circuits", "outages", "finding out", "slot", "throttled"]


class Start(NamedTuple):
    """To a worker: that it begins.

    Attributes:
        number: which of the workers it is, from 0.
        processed: loads what earlier runs have delivered or dead-lettered, which is not sent again; None for nothing.
    """

    number: int
    processed: LoadProcessed | None


class Stop(NamedTuple):
    """To a worker: that it reads no more, and delivers what it has read."""


class Recall(NamedTuple):
    """To a worker: that another waits for a slot. It gives back those of the destination that it keeps without use."""

    name: str


class Call(NamedTuple):
    """From a worker: a call of something that the coordinator holds.

    Attributes:
        number: by which the reply is known; None where none is wanted.
        name: of a destination, for what there is of each.
    """

    number: int | None
    target: Target
    method: str
    name: str = ""
    arguments: tuple[Any, ...] = ()


class Reply(NamedTuple):
    """To a worker: what a call has returned."""

    number: int
    value: Any


class LogLine(NamedTuple):
    """From a worker: what Python's logging says there."""

    logger: str
    level: int
    text: str


@dataclasses.dataclass(frozen=True)
class Done:
    """From a worker: that it has ended, and how.

    Attributes:
        counts: by the names of counters.
        snapshot: the last.
        window_rows: lines of books in windows.
        failure: what went wrong, without what led to it.
    """

    counts: Mapping[str, int]
    snapshot: Snapshot
    window_rows: bytes
    failure: Exception | None
