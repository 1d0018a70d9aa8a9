"""SendBatches: batches → receipts of what Meta took."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from transforms.batching import Batch
from transforms.couriers import Courier, Outcome, Parcel
from transforms.graph_api import Delivery, Destination
from transforms.replays import unmarked, with_origin
from transforms.steps import REJECTIONS, settle
from transforms.tallies import LIVE, Tally


@dataclasses.dataclass
class SendBatches(beam.PTransform):
    """(destination key, [line]) → ``receipts``, one for each request that Meta took, and ``rejections``.

    Requests of one bundle are in flight together, `delivery.concurrency` at most; a process has one connection pool,
    one pacer and one memory of destinations that refuse everything. Tokens are read by the workers.

    >>> SendBatches((), Delivery(concurrency=16)).delivery.concurrency
    16
    """

    destinations: tuple[Destination, ...]
    delivery: Delivery = dataclasses.field(default_factory=Delivery)

    def expand(self, batches: beam.PCollection) -> Any:
        step = _SendBatches(self.destinations, self.delivery)
        return batches | beam.ParDo(step).with_outputs(REJECTIONS, main="receipts")


class _SendBatches(beam.DoFn):
    def __init__(self, destinations: Sequence[Destination], delivery: Delivery) -> None:
        self._destinations, self._delivery = destinations, delivery
        self._shared = Shared()

    def setup(self) -> None:
        self._courier: Courier = self._shared.acquire(lambda: Courier(self._destinations, self._delivery))
        self._executor = ThreadPoolExecutor(self._delivery.concurrency, thread_name_prefix="send")

    def start_bundle(self) -> None:
        self._in_flight: deque[Future[Outcome]] = deque()
        self._tally = Tally()
        LIVE.watch(self._tally)

    def process(self, element: Batch) -> Iterable[Any]:
        parcel = Parcel.pack(*element)
        if len(self._in_flight) >= self._delivery.concurrency:
            yield from self._outputs(self._in_flight.popleft().result())
        while self._in_flight and self._in_flight[0].done():
            yield from self._outputs(self._in_flight.popleft().result())
        self._in_flight.append(self._executor.submit(self._courier.deliver, parcel))

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        while self._in_flight:
            for output in self._outputs(self._in_flight.popleft().result()):
                tagged = isinstance(output, TaggedOutput)
                value = WindowedValue(output.value if tagged else output, window.max_timestamp(), [window])
                yield TaggedOutput(output.tag, value) if tagged else value
        settle(self._tally)

    def teardown(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _outputs(self, outcome: Outcome) -> Iterator[Any]:
        for key, count in outcome.delivered.items():
            self._tally[f"delivered:{unmarked(key)}"] += count
        yield from outcome.receipts
        for rejection in map(with_origin, outcome.rejections):
            key = f"{rejection.destination}/{rejection.subscription}"
            self._tally[f"rejected:{key}:{rejection.stage}:{rejection.code}"] += 1
            yield TaggedOutput(REJECTIONS, rejection)
