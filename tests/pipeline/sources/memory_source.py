"""A source and a stream source in memory: what a scheme of one's own takes."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import apache_beam as beam

from capybeam.pipeline.sources import NoInput, ReadOptions, Source
from capybeam.pipeline.sources.message_attributes import MessageAttributes
from capybeam.transforms.core.run_context import RunContext


@dataclasses.dataclass
class Queue:
    """Messages that wait, that a reader has, and that it is done with. Safe to use from many threads."""

    waiting: list[bytes] = dataclasses.field(default_factory=list)
    leased: list[bytes] = dataclasses.field(default_factory=list)
    acknowledged: list[bytes] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def take(self, most: int) -> list[bytes]:
        with self.lock:
            taken, self.waiting = self.waiting[:most], self.waiting[most:]
            self.leased += taken
            return taken

    def acknowledge(self, messages: Sequence[bytes]) -> None:
        with self.lock:
            for message in messages:
                self.leased.remove(message)
            self.acknowledged += messages

    def give_back(self, messages: Sequence[bytes]) -> None:
        with self.lock:
            for message in messages:
                self.leased.remove(message)
            self.waiting = [*messages, *self.waiting]


QUEUES: dict[str, Queue] = {}
"""By name."""


class QueueBatch:
    """A `streams.StreamBatch` of a queue: of at most two messages, which come one by one."""

    def __init__(self, queue: Queue, first: Sequence[bytes]) -> None:
        self._queue, self._first = queue, first
        self._messages: list[bytes] = []

    def __iter__(self) -> Iterator[Sequence[bytes]]:
        come = self._first
        while come:
            self._messages += come
            yield come
            come = self._queue.take(1) if len(self._messages) < 2 else ()

    def acknowledge(self) -> None:
        self._queue.acknowledge(self._messages)

    def give_back(self) -> None:
        self._queue.give_back(self._messages)


@dataclasses.dataclass
class QueueReader:
    """A `streams.StreamReader` whose batches are of two messages."""

    queue: Queue
    first: Sequence[bytes]

    def __enter__(self) -> QueueReader:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def batches(self) -> Iterator[QueueBatch]:
        first = self.first or self.queue.take(1)
        while first:
            yield QueueBatch(self.queue, first)
            first = self.queue.take(1)


@dataclasses.dataclass(frozen=True)
class QueueStream:
    """A `streams.Stream`."""

    name: str
    attributes: MessageAttributes
    warning: str = "queues forget messages when the process ends"
    is_inspected: bool = False

    @property
    def queue(self) -> Queue:
        return QUEUES[self.name]

    def is_fed_by(self, output: str) -> bool:
        return output == f"memory:{self.name}"

    def elements(self, messages: Sequence[bytes]) -> Sequence[bytes]:
        return messages

    def try_to_pull(self) -> list[bytes]:
        return self.queue.take(1)

    def give_back(self, messages: Sequence[bytes]) -> None:
        self.queue.give_back(messages)

    def reader(
        self, run: RunContext, max_delay: float, until_idle: float | None = None, first: Sequence[bytes] | None = None
    ) -> QueueReader:
        return QueueReader(self.queue, first or ())


def open_source(text: str, options: ReadOptions) -> Source:
    name = text.removeprefix("memory:")
    if name not in QUEUES:
        raise NoInput(f"{text}: no such queue")
    stream = QueueStream(name, options.attributes)
    return Source(text, "a queue", beam.Create([]), stream=stream)


def open_dead_letters(text: str, options: ReadOptions) -> Source:
    source: Any = open_source(text, options)
    return dataclasses.replace(source, extent="a queue of dead letters")
