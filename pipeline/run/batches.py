"""A stream that is read on this machine: its batches, several under way at once, each settled by itself.

A batch is handed over in memory, beside the graph: the graph's first step takes it from its lane. A lane has a graph of
its own, which is built and translated once, and runs it on one batch after the other; a run that has ended has settled
its batch. So while one batch is still being sent, the next is computed, and the one after that is being read.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import apache_beam as beam

from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.local_files import fsync_file
from capybeam.pipeline.sources.streams import Stream, StreamLost, StreamReader
from capybeam.transforms.core.counters import add_counts
from capybeam.transforms.core.run_context import RunContext, RunHandle

LANES: Final = 8  # batches under way at once, at most; some of them may be held
_COMPUTED: Final = 2  # of which so many are still being computed: the others are being sent

RunResult = tuple[Mapping[str, int], BaseException | None]
"""What was counted, and what went wrong."""


@dataclasses.dataclass(frozen=True)
class Work:
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


def run_batches(work: Work, reader: StreamReader[Any]) -> RunResult:
    """Runs the graph on the batches of a stream until there are no more, or one has failed.

    A batch is acknowledged as soon as its run has succeeded, and what it wrote would survive a power failure: every
    message is then delivered, filtered or a dead letter. A batch that fails is given back, what it counted is dropped,
    and no further one begins. One whose destination refuses everything waits, for as long as it takes or until the
    run is stopped, which gives it back; meanwhile others go on, in what lanes are left.
    """
    batches = _Batches(work, reader)
    with ThreadPoolExecutor(LANES, "batch") as threads:
        try:
            waiting = reader.batches()
            while batches.wait_for_room():
                messages = next(waiting, None)
                if messages is None:
                    break
                threads.submit(batches.carry_out, _Batch(messages, batches.is_computed))
        except StreamLost as error:
            batches.fail(error)
        except BaseException:
            work.context.shutdown.set()
            raise
    work.context.progress.restore(batches.totals)  # without what failed batches had counted
    return batches.totals, batches.failure


class TranslatedOnce(beam.Pipeline):
    """A pipeline that is run several times, and translated for its runner only once. No step may be added after that."""

    _translated: Any = None

    def to_runner_api(self, *args: Any, **options: Any) -> Any:
        if args or options.keys() - {"default_environment"}:
            return super().to_runner_api(*args, **options)
        if self._translated is None:
            self._translated = super().to_runner_api(**options)
        return self._translated


class ReadBatch(beam.PTransform):
    """The elements of the batch that a lane has been given."""

    def __init__(self, run: RunHandle, lane: int) -> None:
        super().__init__()
        self._run, self._lane = run, lane

    def expand(self, root: Any) -> beam.PCollection:
        return root | "Once" >> beam.Impulse() | "Take" >> beam.ParDo(_Take(self._run, self._lane))


class _Take(beam.DoFn):
    def __init__(self, run: RunHandle, lane: int) -> None:
        self._run, self._lane = run, lane

    def process(self, _: bytes) -> Iterator[Any]:
        return _slot_of(self._run.context(), self._lane).take()


class _Slot:
    """Where a lane's graph finds the elements of its batch."""

    _elements: Iterator[Any] | None = None

    def put(self, elements: Iterator[Any]) -> None:
        self._elements = elements

    def take(self) -> Iterator[Any]:
        """The elements, once: a runner that repeats a bundle must not settle the batch by an empty one."""
        elements, self._elements = self._elements, None
        if elements is None:
            raise RuntimeError("the batch has been handed over before")
        return elements


def _slot_of(context: RunContext, lane: int) -> _Slot:
    return context.client((_Slot, lane), _Slot)


class _Lane:
    """A graph that is built when it is first run, and the slot that it reads from."""

    def __init__(self, work: Work, number: int) -> None:
        self._build = functools.partial(work.build, ReadBatch(work.context.handle, number))
        self.slot = _slot_of(work.context, number)

    @functools.cached_property
    def graph(self) -> beam.Pipeline:
        with _BUILDING:
            return self._build()


_BUILDING: Final = threading.Lock()


class _Batch:
    """Messages, and who wants to know when all of them have been handed over; once."""

    def __init__(self, messages: Sequence[Any], when_computed: Callable[[], None]) -> None:
        self.messages, self._when_computed = messages, when_computed
        self._is_computed = False

    def elements(self, element: Callable[[Any], Any]) -> Iterator[Any]:
        yield from map(element, self.messages)
        self.computed()

    def computed(self) -> None:
        if not self._is_computed:
            self._is_computed = True
            self._when_computed()


class _Batches:
    """The batches under way.

    Attributes:
        totals: counted by those that succeeded.
        failure: of the first that failed.
    """

    def __init__(self, work: Work, reader: StreamReader[Any]) -> None:
        self._work, self._reader = work, reader
        self._changed = threading.Condition()
        self._under_way = self._being_computed = 0
        self._lanes, self._free = 0, list[_Lane]()
        self.totals: dict[str, int] = {}
        self.failure: BaseException | None = None

    def wait_for_room(self) -> bool:
        """Waits until another batch may begin, which then counts as under way; whether one may, as none has failed."""
        with self._changed:
            while self.failure is None and (self._under_way >= LANES or self._being_computed >= _COMPUTED):
                self._changed.wait()
            if self.failure is not None:
                return False
            self._under_way += 1
            self._being_computed += 1
            return True

    def is_computed(self) -> None:
        with self._changed:
            self._being_computed -= 1
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Ends the run: what is held is given back, and what is being sent is not tried again."""
        with self._changed:
            self.failure = self.failure or error
            self._changed.notify_all()
        self._work.context.shutdown.set()

    def carry_out(self, batch: _Batch) -> None:
        """Runs a batch and settles it. Never raises."""
        try:
            if self.failure is not None:
                self._reader.give_back(batch.messages)
                return
            counts, failure = self._run(batch)
            if failure is not None:
                self.fail(failure)
                self._reader.give_back(batch.messages)
                return
            self._reader.acknowledge(batch.messages)
            with self._changed:
                add_counts(self.totals, counts)
        except Exception as error:
            self.fail(error)
        finally:
            batch.computed()
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _run(self, batch: _Batch) -> RunResult:
        lane = self._free_lane()
        lane.slot.put(batch.elements(self._work.stream.element))
        counts, failure = self._work.run(lambda: lane.graph)
        with self._changed:
            self._free.append(lane)
        return counts, failure or sync_outputs(self._work.outputs)

    def _free_lane(self) -> _Lane:
        with self._changed:
            if self._free:
                return self._free.pop()
            self._lanes += 1
            return _Lane(self._work, self._lanes)


def sync_outputs(outputs: Outputs) -> SinkError | None:
    """Returns when what has been written would survive a power failure, or with the reason why it would not."""
    try:
        for path, record_type in outputs.by_record_type():
            fsync_file(path, record_type.name)
    except SinkError as error:
        return error
    return None
