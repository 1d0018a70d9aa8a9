"""SendBatches: batches → receipts of what Meta took."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.components.adaptive_throttler import ThrottlingSignaler
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from transforms.batching import Batch
from transforms.conversions import split_key
from transforms.couriers import Courier, Outcome, Parcel
from transforms.graph_api import Delivery, Destination
from transforms.replays import unmarked, with_origin
from transforms.steps import NAMESPACE, REJECTIONS, settle, with_rejections
from transforms.tallies import LIVE, Tally

BACKLOG: Final = 32 * 1024 * 1024  # bytes of requests that wait for one destination before everything waits for it


@dataclasses.dataclass
class SendBatches(beam.PTransform):
    """(destination key, [line]) → ``receipts``, one for each request that Meta took, and ``rejections``.

    Requests of one bundle are in flight together, `delivery.concurrency` at most for each destination, so that a slow
    destination does not stop another; a process has one connection pool, one pacer and one memory of destinations that
    refuse everything. Tokens are read by the workers.

    Args:
        workers: processes that share `delivery.requests_per_second`.
        hold: whether the events of a destination that refuses everything are held, as a stream wants, rather than
            rejected. When that goes on for minutes the step fails, and the runner brings the events again.
        patient: for a stream that this process works off in one graph after the other: events are held for as long as
            it takes, and what a process knows of its destinations, their pace above all, is kept for the next graph.

    >>> SendBatches((), Delivery(concurrency=16)).delivery.concurrency
    16
    """

    destinations: tuple[Destination, ...]
    delivery: Delivery = dataclasses.field(default_factory=Delivery)
    workers: int = 1
    hold: bool = False
    patient: bool = False

    def expand(self, batches: beam.PCollection) -> Any:
        step = _SendBatches(self.destinations, self.delivery, self.workers, self.hold, self.patient)
        return with_rejections(batches, step, main="receipts", label="Send")


class _SendBatches(beam.DoFn):
    def __init__(
        self,
        destinations: Sequence[Destination],
        delivery: Delivery,
        workers: int,
        hold: bool,
        patient: bool = False,
    ) -> None:
        self._destinations, self._delivery, self._workers = tuple(destinations), delivery, workers
        self._hold, self._patient = hold, patient
        self._shared = Shared()

    def setup(self) -> None:
        if self._patient:
            key = (self._destinations, self._delivery, self._workers)
            if key not in KEPT:
                KEPT[key] = self._make_courier()
            self._courier: Courier = KEPT[key]
        else:
            self._courier = self._shared.acquire(self._make_courier)
        self._executors: dict[str, ThreadPoolExecutor] = {}
        self._throttling = ThrottlingSignaler(NAMESPACE)

    def _make_courier(self) -> Courier:
        service = self._delivery.rate_limit_service
        return Courier(
            self._destinations,
            self._delivery,
            share=1 / self._workers,
            hold=self._hold,
            patient=self._patient,
            allow=_limited_by(service, self._destinations) if service else None,
        )

    def start_bundle(self) -> None:
        self._done: SimpleQueue[tuple[str, int, Future[Outcome]]] = SimpleQueue()
        self._pending = 0
        self._backlog: Counter[str] = Counter()
        failed = getattr(self, "_tally", None)
        self._tally = Tally()
        LIVE.watch(self._tally, instead_of=failed)

    def process(self, element: Batch) -> Iterable[Any]:
        parcel = Parcel.pack(*element)
        name, size = split_key(parcel.key)[0], len(parcel.body)
        yield from self._outputs()
        while self._backlog[name] > BACKLOG:
            yield from self._outputs(wait=True)
        if name not in self._executors:
            self._executors[name] = ThreadPoolExecutor(self._delivery.concurrency, thread_name_prefix=f"send-{name}")
        done = self._done  # of this bundle: what a failed one leaves behind is not for the next
        self._pending += 1
        self._backlog[name] += size
        sending = self._executors[name].submit(self._courier.deliver, parcel)
        sending.add_done_callback(lambda future: done.put((name, size, future)))

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        while self._pending:
            for output in self._outputs(wait=True):
                tagged = isinstance(output, TaggedOutput)
                value = WindowedValue(output.value if tagged else output, window.max_timestamp(), [window])
                yield TaggedOutput(output.tag, value) if tagged else value
        settle(self._tally)

    def teardown(self) -> None:
        for executor in self._executors.values():
            executor.shutdown(wait=False, cancel_futures=True)

    def _outputs(self, wait: bool = False) -> Iterator[Any]:
        """What has been settled, at least one batch of it if need be. Raises DestinationHeld."""
        while self._pending:
            try:
                name, size, sending = self._done.get(block=wait)
            except Empty:
                break
            wait = False
            self._pending -= 1
            self._backlog[name] -= size
            yield from self._accounted(sending.result())
        throttled = self._courier.throttled.take()
        if throttled:
            self._throttling.signal_throttled(throttled)

    def _accounted(self, outcome: Outcome) -> Iterator[Any]:
        for key, count in outcome.delivered.items():
            self._tally[f"delivered:{unmarked(key)}"] += count
        yield from outcome.receipts
        for rejection in map(with_origin, outcome.rejections):
            key = f"{rejection.destination}/{rejection.subscription}"
            self._tally[f"rejected:{key}:{rejection.stage}:{rejection.code}"] += 1
            yield TaggedOutput(REJECTIONS, rejection)


# The couriers of streams that are worked off in many graphs, to be cleared when such a stream begins.
KEPT: Final[dict[tuple[tuple[Destination, ...], Delivery, int], Courier]] = {}


def _limited_by(service: str, destinations: Sequence[Destination]) -> Callable[[str], object]:
    """Asks an Envoy rate limit service, domain capybeam, with the descriptor destination = name, until it allows."""
    from apache_beam.io.components.rate_limiter import EnvoyRateLimiter

    limiters = {
        destination.name: EnvoyRateLimiter(
            service, domain=NAMESPACE, descriptors=[{"destination": destination.name}], namespace=NAMESPACE
        )
        for destination in destinations
    }
    return lambda name: limiters[name].allow()
