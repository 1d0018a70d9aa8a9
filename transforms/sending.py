"""SendBatches: batches → receipts of what Meta took."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.components.adaptive_throttler import ThrottlingSignaler
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from capybeam.transforms.base import NAMESPACE, CountingDoFn, with_rejections
from capybeam.transforms.batching import Batch
from capybeam.transforms.core.counters import CounterKey, add_counts
from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.windows import NO_WINDOW, Place
from capybeam.transforms.delivery.batches import EncodedBatch, Journal, OnRefusal, Outcome
from capybeam.transforms.delivery.client import Client
from capybeam.transforms.delivery.destination import Delivery, Destination
from capybeam.transforms.delivery.limits import Limits, own_limits
from capybeam.transforms.delivery.rate_leases import EvenShare, LeasedShare, Share
from capybeam.transforms.lease_files import LeaseFolder

_LOOK: Final = 0.05  # seconds between two looks at a backlog that other bundles have filled


@dataclasses.dataclass
class SendBatches(beam.PTransform):
    """(destination key, [line]) → ``receipts``, one for each request that Meta took, and ``rejections``.

    Requests are in flight together, so that a slow destination does not stop another: `delivery.concurrency` at most
    for each destination and process, however many bundles it works on. A run has one connection pool in each
    process, one pacer and one memory of destinations that refuse everything. Tokens are read by the workers.

    Args:
        workers: processes that share `delivery.requests_per_second`, at most.
        leases: where they find out how many of them send; None gives each an equal share at all times.
        on_refusal: what happens to the events of a destination that refuses everything. ``hold`` suits streaming
            runners: after minutes the step fails, and the runner redelivers the events. ``hold_forever`` suits a stream
            that this process reads in one graph after the other.
        journal: where receipts are also written, each as soon as it is known, by the thread that has the answer.
            ``receipts`` come when the step is called again, which after a slow source may be late.

    >>> SendBatches((), Delivery(concurrency=16)).delivery.concurrency
    16
    """

    destinations: tuple[Destination, ...]
    delivery: Delivery = dataclasses.field(default_factory=Delivery)
    workers: int = 1
    on_refusal: OnRefusal = "reject"
    journal: Journal | None = None
    leases: LeaseFolder | None = None

    def expand(self, batches: beam.PCollection) -> Any:
        step = _SendBatches(self.destinations, self.delivery, self.workers, self.on_refusal, self.journal, self.leases)
        return with_rejections(batches, step, main="receipts", label="Send")


class _SendBatches(CountingDoFn):
    def __init__(
        self,
        destinations: Sequence[Destination],
        delivery: Delivery,
        workers: int,
        on_refusal: OnRefusal,
        journal: Journal | None = None,
        leases: LeaseFolder | None = None,
    ) -> None:
        super().__init__()
        self._destinations, self._delivery, self._workers = tuple(destinations), delivery, workers
        self._by_name = {destination.name: destination for destination in destinations}
        self._on_refusal, self._journal, self._leases = on_refusal, journal, leases

    def setup(self) -> None:
        super().setup()
        key = (self._destinations, self._delivery, self._workers, self._on_refusal, self._journal, self._leases)
        limits = self.context.client(limits_key(self._destinations, self._delivery), self._own_limits)
        self._client: Client = self.context.client(key, functools.partial(self._make_client, limits))
        self._client.open()
        self._throttling = ThrottlingSignaler(NAMESPACE)

    def _make_client(self, limits: Limits) -> Client:
        service = self._delivery.rate_limit_service
        return Client(
            self._destinations,
            self._delivery,
            run=self.context,
            limits=limits,
            on_refusal=self._on_refusal,
            ask=_limited_by(service) if service else None,
            journal=self._journal,
        )

    def _own_limits(self) -> Limits:
        return own_limits(self._destinations, self._delivery, self._share(), random.uniform)

    def _share(self) -> Share:
        if self._leases is None:
            return EvenShare(1 / self._workers)
        remark = functools.partial(self.context.progress.remark, "requests_per_second")
        return LeasedShare(self._leases, self._workers, remark)

    def start_bundle(self) -> None:
        super().start_bundle()
        self._done: SimpleQueue[Future[Outcome]] = SimpleQueue()
        self._pending = 0

    def process(self, element: Batch) -> Iterable[Any]:
        key, lines = element
        batch = EncodedBatch.pack(self._by_name[Address.decode(key).destination], key, lines)
        name = Address.decode(batch.key).destination
        self._note_times(name, batch)
        yield from self._outputs()
        while not self._client.has_room(name):
            yield from self._outputs(wait=_LOOK)
        done = self._done  # of this bundle: what a failed one leaves behind is not for the next
        self._pending += 1
        self._client.submit(batch).add_done_callback(done.put)

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        while self._pending:
            for output in self._outputs(wait=None):
                tagged = isinstance(output, TaggedOutput)
                value = WindowedValue(output.value if tagged else output, window.max_timestamp(), [window])
                yield TaggedOutput(output.tag, value) if tagged else value
        yield from self.window_counts()
        self.flush_counters()

    def _note_times(self, name: str, batch: EncodedBatch) -> None:
        first, last = f"first_event_time:{name}", f"last_event_time:{name}"
        add_counts(self.counters, {first: batch.first_event_time, last: batch.last_event_time})

    def teardown(self) -> None:
        self._client.close()

    def _outputs(self, wait: float | None = 0.0) -> Iterator[Any]:
        """What has been delivered or rejected; where nothing has, after so many seconds, or for None when something is.

        Raises DestinationHeld.
        """
        while True:
            try:
                sending = self._done.get(timeout=wait) if wait != 0.0 else self._done.get(block=False)
            except Empty:
                break
            wait = 0.0
            self._pending -= 1
            yield from self._counted(sending.result())
        throttled = self._client.throttled.take()
        if throttled:
            self._throttling.signal_throttled(throttled)
            self.counters["throttled"] += throttled

    def _counted(self, outcome: Outcome) -> Iterator[Any]:
        counters, name = self.counters, outcome.destination
        for key, count in outcome.delivered.items():
            counters[CounterKey("delivered", key).encode()] += count
        counters[f"requests:{name}"] += len(outcome.receipts)
        counters[f"tries:{name}"] += outcome.tries
        counters[f"bytes:{name}"] += outcome.bytes
        for refusal, count in outcome.refusals.items():
            problem = self.context.reasons.few(refusal.problem, name)
            counters[CounterKey("refused", destination=name, about=problem).encode()] += count
            if refusal.cure:
                counters[CounterKey("cure", destination=name, about=refusal.cure).encode()] += count
        for (window, key), part in outcome.windows.items():
            columns = {"delivered": part.events, **part._asdict()}
            del columns["events"]
            self.add_to_window(key, {Place(window): columns})
        yield from outcome.receipts
        for rejection in outcome.rejections:
            self.enter(rejection.window)
            yield self.rejected(rejection)
        self.enter(NO_WINDOW)


def limits_key(destinations: Sequence[Destination], delivery: Delivery) -> Hashable:
    """The key under which a run's context has the limits of its senders, which may be shared with other processes."""
    return ("limits", tuple(destinations), delivery)


def _limited_by(service: str) -> Callable[[str], float]:
    """Asks an Envoy rate limit service (host:port), domain capybeam, with the descriptor destination = name.

    Beam has a client of its own, which waits for as long as the service says, and cannot be stopped meanwhile.

    Returns:
        A function from a destination's name to the seconds until it is worth asking again; 0: a request may start.
    """
    import grpc
    from apache_beam.io.components import rate_limit_pb2 as protocol

    should_rate_limit = grpc.insecure_channel(service).unary_unary(
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
        request_serializer=protocol.RateLimitRequest.SerializeToString,
        response_deserializer=protocol.RateLimitResponse.FromString,
    )

    def seconds_to_wait(name: str) -> float:
        descriptor = protocol.RateLimitDescriptor(
            entries=[protocol.RateLimitDescriptor.Entry(key="destination", value=name)]
        )
        request = protocol.RateLimitRequest(domain=NAMESPACE, descriptors=[descriptor], hits_addend=1)
        response = should_rate_limit(request, timeout=_ASKED_WITHIN)
        over = protocol.RateLimitResponse.OVER_LIMIT
        if response.overall_code != over:
            return 0.0
        resets = [status.duration_until_reset for status in response.statuses if status.code == over]
        return max([_ASKED_AGAIN_AFTER, *(reset.ToTimedelta().total_seconds() for reset in resets)])

    return seconds_to_wait


_ASKED_WITHIN: Final = 5.0  # seconds that the service has for its answer
_ASKED_AGAIN_AFTER: Final = 0.1  # seconds, at least
