"""A stream that is read on this machine: its batches, several under way at once, each settled by itself.

The graph is built and translated once, and runs on one batch after the other. A batch is handed over in memory, beside
the graph, whose first step takes it from the thread that runs it, while it is still being read: so what a run of the
graph costs is shared by all messages that come within its time, and their data is done with long before the batch. A
run that has ended has settled its batch: while one is still being sent, the next is being read.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.local_files import fsync_file
from capybeam.pipeline.sources.streams import Stream, StreamBatch, StreamLost, StreamReader
from capybeam.transforms.core.counters import add_counts
from capybeam.transforms.core.run_context import RunContext

AT_ONCE: Final = 8  # batches under way, at most; some of them may be held
_ALL_UNDER_WAY: Final = "as many batches as may be are under way"

RunResult = tuple[Mapping[str, int], BaseException | None]
"""What was counted, and what went wrong."""


@dataclasses.dataclass(frozen=True)
class BatchWork:
    """What is done with each batch.

    Attributes:
        build: a graph that reads by the given transform.
        run: runs the graph that it is given a function for.
    """

    context: RunContext
    stream: Stream[Any]
    outputs: Outputs
    build: Callable[[beam.PTransform], beam.Pipeline]
    run: Callable[[Callable[[], beam.Pipeline]], RunResult]


def run_batches(work: BatchWork, reader: StreamReader[Any]) -> RunResult:
    """Runs the graph on the batches of a stream until there are no more, or one has failed.

    A batch is acknowledged as soon as its run has succeeded, and what it wrote would survive a power failure: every
    message is then delivered, filtered or a dead letter. A batch that fails is given back, what it counted is dropped,
    and no further one begins. One whose destination refuses everything waits, for as long as it takes or until the
    run is stopped, which gives it back; meanwhile others go on, as long as few are held. Where all wait, those give up
    that wait for events on which the destination fails while it takes others (`RunContext.standstill`).
    """
    batches = _Batches(work)
    with ThreadPoolExecutor(AT_ONCE, "batch") as threads:
        try:
            waiting: Iterator[StreamBatch[Any]] = itertools.chain([_NoMessages()], reader.batches())
            while batches.wait_for_room():
                batch = next(waiting, None)
                if batch is None:
                    break
                threads.submit(batches.carry_out, _Reading(batch, batches.is_read))
        except StreamLost as error:
            batches.fail(error)
        except BaseException:
            work.context.shutdown.set()
            raise
    work.context.progress.restore(batches.totals)  # without what failed batches had counted
    return batches.totals, batches.failure


class TranslatedOnce(beam.Pipeline):
    """A pipeline that is run several times, and translated for its runner once: no step may be added after that."""

    _translated: Any = None
    _translating: Final = threading.Lock()

    def to_runner_api(self, *args: Any, **options: Any) -> Any:
        if args or options.keys() - {"default_environment"}:
            return super().to_runner_api(*args, **options)
        with self._translating:
            if self._translated is None:
                self._translated = super().to_runner_api(**options)
        return copy.deepcopy(self._translated)  # which runners change


class ReadBatch(beam.PTransform):
    """The elements of the batch that the thread which runs the graph has been given."""

    def expand(self, root: Any) -> beam.PCollection:
        return root | "Once" >> beam.Impulse() | "Take" >> beam.ParDo(_Take())


class _Take(beam.DoFn):
    def process(self, _: bytes) -> Iterator[Any]:
        return _handed_over.take()


class _HandedOver(threading.local):
    """What a thread hands over to the graph that it runs: FnApiRunner runs the steps in the same thread."""

    elements: Iterator[Any] | None = None

    def take(self) -> Iterator[Any]:
        """The elements, once: a bundle that is repeated must not settle its batch by having none."""
        elements, self.elements = self.elements, None
        if elements is None:
            raise RuntimeError("no batch has been handed over, or it has been taken before")
        return elements


_handed_over: Final = _HandedOver()


class _NoMessages(StreamBatch[Any]):
    """The first batch, which sets up the steps before messages have come."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def acknowledge(self) -> None:
        pass

    def give_back(self) -> None:
        pass


class _Reading:
    """A batch, and who wants to know when it has been read; once."""

    def __init__(self, batch: StreamBatch[Any], when_read: Callable[[], None]) -> None:
        self.batch, self._when_read = batch, when_read
        self._is_read = False

    def elements(self, elements_of: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
        for messages in self.batch:
            yield from elements_of(messages)
        self.end()

    def end(self) -> None:
        if not self._is_read:
            self._is_read = True
            self._when_read()


class _Batches:
    """The batches under way.

    Attributes:
        totals: counted by those that succeeded.
        failure: of the first that failed.
    """

    def __init__(self, work: BatchWork) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._under_way, self._is_reading = 0, False
        self._graph = work.build(ReadBatch())
        self.totals: dict[str, int] = {}
        self.failure: BaseException | None = None

    def wait_for_room(self) -> bool:
        """Waits until another batch may begin, which is then under way and being read; whether one may, as none has
        failed."""
        standstill = self._work.context.standstill
        with self._changed:
            while self.failure is None and (self._under_way >= AT_ONCE or self._is_reading):
                if self._under_way >= AT_ONCE:
                    standstill.begin(_ALL_UNDER_WAY)
                self._changed.wait()
            standstill.end(_ALL_UNDER_WAY)
            if self.failure is not None:
                return False
            self._under_way += 1
            self._is_reading = True
            return True

    def is_read(self) -> None:
        with self._changed:
            self._is_reading = False
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Ends the run: what is held is given back, and what is being sent is not tried again."""
        with self._changed:
            self.failure = self.failure or error
            self._changed.notify_all()
        self._work.context.shutdown.set()

    def carry_out(self, reading: _Reading) -> None:
        """Runs a batch and settles it. Never raises."""
        batch = reading.batch
        try:
            if self.failure is not None:
                batch.give_back()
                return
            counts, failure = self._run(reading)
            if failure is not None:
                self.fail(failure)
                batch.give_back()
                return
            batch.acknowledge()
            with self._changed:
                add_counts(self.totals, counts)
        except Exception as error:
            self.fail(error)
        finally:
            reading.end()
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _run(self, reading: _Reading) -> RunResult:
        _handed_over.elements = reading.elements(self._work.stream.elements)
        counts, failure = self._work.run(lambda: self._graph)
        return counts, failure or sync_outputs(self._work.outputs)


def sync_outputs(outputs: Outputs) -> SinkError | None:
    """Returns when what has been written would survive a power failure, or with the reason why it would not."""
    try:
        for path, record_type in outputs.by_record_type():
            fsync_file(path, record_type.name)
    except SinkError as error:
        return error
    return None
