"""BatchByDestination: ready events of one destination key, gathered into requests."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.sharded_key import ShardedKey
from apache_beam.utils.windowed_value import WindowedValue

Batch = tuple[str, list[bytes]]


@dataclasses.dataclass
class BatchByDestination(beam.PTransform):
    """(destination key, line) → (destination key, [line]), at most so many events and bytes.

    For bounded input a batch is gathered inside a bundle, without a shuffle, which is several times as fast as
    GroupIntoBatches and has no timer that would rule runners out. The bundles of a stream are small: there, with
    `max_delay`, a batch is gathered by GroupIntoBatches, with sharded keys, so that a stream to one dataset is not one
    worker's. It stays in the global window, in which no event is late, and so none is dropped; draining ends it.

    Args:
        max_events: of a batch.
        max_bytes: of a batch's lines.
        max_delay: seconds that a batch may wait for more events, for a stream; None for bounded input.
        clock: Unix seconds.

    >>> import apache_beam as beam
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     ready = pipeline | beam.Create([("web", b"1"), ("web", b"2"), ("web", b"3")])
    ...     _ = ready | BatchByDestination(max_events=2) | beam.Map(print)
    ('web', [b'1', b'2'])
    ('web', [b'3'])
    """

    max_events: int = 1000
    max_bytes: int = 4 * 1024 * 1024
    max_delay: float | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        super().__init__()
        if self.max_events < 1 or self.max_bytes < 1:
            raise ValueError(f"max_events and max_bytes must be positive, not {self.max_events} and {self.max_bytes}")

    def expand(self, ready: beam.PCollection) -> beam.PCollection:
        if self.max_delay is None:
            return ready | "Gather" >> beam.ParDo(_GatherInBundle(self.max_events, self.max_bytes))
        delay = max(self.max_delay, _SHORTEST)
        return (
            ready
            | "Gather" >> beam.GroupIntoBatches.WithShardedKey(self.max_events, delay, self.clock)
            | "Cut" >> beam.FlatMapTuple(_Cut(self.max_bytes)).with_output_types(tuple[str, list[bytes]])
        )


_SHORTEST: Final = 0.001  # seconds; zero would mean to GroupIntoBatches that a batch may wait for ever


@dataclasses.dataclass(frozen=True)
class _Cut:
    """Cuts a batch, which GroupIntoBatches has counted but not weighed, into batches of at most so many bytes."""

    max_bytes: int

    def __call__(self, key: ShardedKey, lines: Iterable[bytes]) -> Iterator[Batch]:
        part: list[bytes] = []
        size = 0
        for line in lines:
            size += len(line)
            if part and size > self.max_bytes:
                yield key.key, part
                part, size = [], len(line)
            part.append(line)
        yield key.key, part


_MOST_OPEN: Final = 64 * 1024 * 1024  # bytes of all batches that wait for more events; a job may have many destinations


class Gathering:
    """Batches that wait for more events, by destination key."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._open: dict[str, tuple[list[bytes], list[int]]] = {}  # lines, and their size in bytes
        self._bytes = 0  # of all

    def add(self, key: str, line: bytes) -> Batch | None:
        """Adds an event; the batch that then waits no longer, if there is one."""
        added = len(line)
        self._bytes += added
        batch = self._open.get(key)
        if batch is None:
            self._open[key] = [line], [added]
            return None if self._bytes <= _MOST_OPEN else self._largest()
        lines, size = batch
        size[0] += added
        if len(lines) >= self._max_events or size[0] > self._max_bytes:
            self._open[key] = [line], [added]
            self._bytes -= size[0] - added
            return key, lines
        lines.append(line)
        return None if self._bytes <= _MOST_OPEN else self._largest()

    def add_all(self, key: str, lines: list[bytes]) -> Iterable[Batch]:
        """Adds events; the batches that then wait no longer."""
        batch = self._open.get(key)
        if batch is not None:
            waiting, size = batch
            added = sum(map(len, lines))
            fits = len(waiting) + len(lines) <= self._max_events and size[0] + added <= self._max_bytes
            if fits and self._bytes + added <= _MOST_OPEN:
                waiting += lines
                size[0] += added
                self._bytes += added
                return ()
        return [full for line in lines if (full := self.add(key, line)) is not None]

    def _largest(self) -> Batch:
        """The largest of all batches, which waits no longer."""
        key = max(self._open, key=lambda key: self._open[key][1][0])
        lines, size = self._open.pop(key)
        self._bytes -= size[0]
        return key, lines

    def rest(self) -> Iterator[WindowedValue]:
        """All batches that still wait, as what a bundle ends with."""
        window = GlobalWindow()
        for key, (lines, _) in self._open.items():
            yield WindowedValue((key, lines), window.max_timestamp(), [window])


class _GatherInBundle(beam.DoFn):
    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes

    def start_bundle(self) -> None:
        self._gathering = Gathering(self._max_events, self._max_bytes)

    def process(self, element: tuple[str, bytes]) -> Iterable[Batch]:
        batch = self._gathering.add(*element)
        return () if batch is None else (batch,)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        return self._gathering.rest()
