"""SendBatches around the client: many requests at once, destinations apart, throttled time reported."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pickle
import time
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import grpc
import pytest
from apache_beam.io.components import rate_limit_pb2
from apache_beam.metrics import MetricsFilter
from apache_beam.pvalue import TaggedOutput
from apache_beam.testing.util import assert_that, equal_to

from capybeam.pipeline.runners.remote_job import counters_of
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.batches import DestinationHeld, Receipt
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.meta.destinations import MetaDestination
from capybeam.transforms.sending import SendBatches, _SendBatches
from tests.transforms.envelopes import sealed
from tests.transforms.graph_server import graph_server, taken

TOKEN = "EAAB-the-token"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings()) as server:
        yield server


def line(number: int, age: float = 60.0) -> bytes:
    event = {
        "event_time": int(time.time() - age),
        "event_name": "Lead",
        "event_id": f"e{number}",
        "action_source": "email",
        "user_data": {"external_id": ["a" * 64]},
    }
    return sealed(event)


def destination(name: str, endpoint: str) -> MetaDestination:
    return MetaDestination(name, TokenReference("env:TOKEN"), endpoint=endpoint)


def sent(step: _SendBatches, batches: Iterable[tuple[str, list[bytes]]]) -> list[Any]:
    """What a bundle of batches yields."""
    step.setup()
    step.start_bundle()
    outputs = [output for batch in batches for output in step.process(batch)]
    outputs += [getattr(output, "value", output) for output in step.finish_bundle()]
    step.teardown()
    return [getattr(output, "value", output) if isinstance(output, TaggedOutput) else output for output in outputs]


@pytest.mark.alone
def test_sixteen_requests_in_flight_deliver_at_least_twelve_times_as_fast_as_one(sandbox: SandboxServer) -> None:
    sandbox.set_faults(latency=0.2)
    counts, seconds = {1: 16, 16: 192}, {}
    for concurrency, count in counts.items():
        step = _SendBatches((destination("web", sandbox.url),), Delivery(concurrency=concurrency), 1, "reject")
        batches = [(Address("web", "1").encode(), [line(number)]) for number in range(count)]
        started = time.perf_counter()
        receipts = sent(step, batches)
        seconds[concurrency] = time.perf_counter() - started
        assert sum(receipt.events for receipt in receipts) == count
    assert counts[16] / seconds[16] >= 12 * counts[1] / seconds[1], (seconds, sandbox.stats())


@pytest.mark.alone
@pytest.mark.parametrize("trouble", [{"fail_next": 10_000}, {"latency": 0.3}], ids=["failing", "slow"])
def test_a_slow_destination_does_not_stop_another(sandbox: SandboxServer, trouble: dict[str, Any]) -> None:
    with SandboxServer(SandboxSettings()) as slow:
        slow.set_faults(**trouble)
        destinations = (destination("slow", slow.url), destination("web", sandbox.url))
        step = _SendBatches(destinations, Delivery(concurrency=2, retry_for=3.0), 1, "reject")
        step.setup()
        step.start_bundle()
        for number in range(30):
            for name in ("slow", "web"):
                list(step.process((Address(name, "1").encode(), [line(number)])))
        deadline = time.monotonic() + 2.0
        while sandbox.stats()["events_stored"] < 30 and time.monotonic() < deadline:
            time.sleep(0.02)
        stored = {"web": sandbox.stats()["events_stored"], "slow": slow.stats()["events_stored"]}
        step.context.shutdown.set()
        list(step.finish_bundle())
        step.teardown()
    assert stored["web"] == 30
    assert stored["slow"] < 15


def test_a_destination_that_lags_too_far_behind_is_waited_for(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.client._BACKLOG", 1000)
    sandbox.set_faults(latency=0.05)
    step = _SendBatches((destination("web", sandbox.url),), Delivery(concurrency=2), 1, "reject")
    step.setup()
    step.start_bundle()
    waiting = []
    for number in range(30):
        list(step.process((Address("web", "1").encode(), [line(number)])))
        waiting.append(step._client.backlog("web"))
    list(step.finish_bundle())
    step.teardown()
    assert max(waiting) <= 1000 + 300
    assert sandbox.stats()["events_stored"] == 30


def test_many_destinations_that_lag_behind_are_waited_for_together(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.client._BACKLOG_OF_ALL", 1000)
    sandbox.set_faults(latency=0.05)
    names = [f"web{number}" for number in range(10)]
    destinations = tuple(destination(name, sandbox.url) for name in names)
    step = _SendBatches(destinations, Delivery(concurrency=2), 1, "reject")
    step.setup()
    step.start_bundle()
    waiting = []
    for number in range(30):
        list(step.process((Address(names[number % 10], "1").encode(), [line(number)])))
        waiting.append(sum(map(step._client.backlog, names)))
    list(step.finish_bundle())
    step.teardown()
    assert 1000 < max(waiting) <= 1000 + 300
    assert sandbox.stats()["events_stored"] == 30


def test_concurrency_and_backlog_hold_for_a_process_and_not_for_each_of_its_bundles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As under multi_threading, where one process works on several bundles at once."""
    monkeypatch.setattr("capybeam.transforms.delivery.client._BACKLOG", 4000)
    with graph_server(lambda events: dataclasses.replace(taken(events), after=0.02)) as graph:
        first = _SendBatches((destination("web", graph.url),), Delivery(concurrency=2), 1, "reject")
        steps = [first, *(pickle.loads(pickle.dumps(first)) for _ in range(3))]
        backlogs: list[int] = []

        def work(number: int, step: _SendBatches) -> int:
            step.setup()
            step.start_bundle()
            receipts = []
            for batch in range(10):
                receipts += list(step.process((Address("web", "1").encode(), [line(100 * number + batch)])))
                backlogs.append(step._client.backlog("web"))
            receipts += list(step.finish_bundle())
            return len(receipts)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(4), steps)) == [10] * 4
        assert len({id(step._client) for step in steps}) == 1
        for step in steps:
            step.teardown()
    assert graph.most_in_flight == 2
    assert max(backlogs) <= 4000 + 4 * 300


def test_throttled_time_is_reported_to_the_runner(sandbox: SandboxServer) -> None:
    sandbox.set_faults(throttle_next=1, retry_minutes=0.025)  # 1.5 s
    pipeline = beam.Pipeline("FnApiRunner")
    outcome = (
        pipeline
        | beam.Create([(Address("web", "1").encode(), [line(1)])])
        | SendBatches((destination("web", sandbox.url),))
    )
    _ = outcome.receipts | beam.Map(lambda receipt: receipt.events)
    result = pipeline.run()
    result.wait_until_finish()
    (counter,) = result.metrics().query(MetricsFilter().with_name("cumulativeThrottlingSeconds"))["counters"]
    assert (counter.result, counters_of(result)["throttled"]) == (1, 1)


def test_a_held_destination_fails_the_step_and_rejects_nothing(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.client._HOLD_FOR", 0.0)
    sandbox.set_faults(dead_token=True)
    pipeline = beam.Pipeline("FnApiRunner")
    batches = pipeline | beam.Create([(Address("web", "1").encode(), [line(1)])])
    outcome = batches | SendBatches((destination("web", sandbox.url),), on_refusal="hold")
    assert_that(outcome.rejections, equal_to([]))
    with pytest.raises(Exception, match="HELD") as raised:
        pipeline.run().wait_until_finish()
    assert TOKEN not in str(raised.value)


def test_a_bundle_that_is_done_again_is_counted_once(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capybeam.transforms.delivery.client._HOLD_FOR", 0.0)
    destinations = (destination("web", sandbox.url), destination("crm", sandbox.url))
    step = _SendBatches(destinations, Delivery(), 1, on_refusal="hold")
    step.setup()
    for fails in (True, False):
        step.start_bundle()
        list(step.process((Address("web", "1").encode(), [line(1)])))
        while step._pending:
            list(step._outputs(wait=True))
        if fails:
            sandbox.set_faults(dead_token=True)
            list(step.process((Address("crm", "1").encode(), [line(2)])))
            with pytest.raises(DestinationHeld):
                list(step.finish_bundle())
            sandbox.set_faults(dead_token=False)
        else:
            list(step.finish_bundle())
    step.teardown()
    counts = step.context.progress.counts()
    assert (counts["delivered:web/leads"], counts["requests:web"], counts["tries:web"]) == (1, 1, 1)


def test_an_envoy_service_is_asked_before_each_request_and_waited_for(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def should_rate_limit(request: Any, _: Any) -> Any:
        (descriptor,) = request.descriptors
        asked.append((request.domain, descriptor.entries[0].value))
        response = rate_limit_pb2.RateLimitResponse
        return response(overall_code=response.OVER_LIMIT if len(asked) == 1 else response.OK)

    handler = grpc.unary_unary_rpc_method_handler(
        should_rate_limit,
        request_deserializer=rate_limit_pb2.RateLimitRequest.FromString,
        response_serializer=rate_limit_pb2.RateLimitResponse.SerializeToString,
    )
    service = "envoy.service.ratelimit.v3.RateLimitService"
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"ShouldRateLimit": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        delivery = Delivery(rate_limit_service=f"127.0.0.1:{port}")
        step = _SendBatches((destination("web", sandbox.url),), delivery, 1, "reject")
        (receipt,) = sent(step, [(Address("web", "1").encode(), [line(1)])])
    finally:
        server.stop(None).wait()
    assert isinstance(receipt, Receipt)
    assert asked == [("capybeam", "web")] * 2


def test_what_travels_to_the_workers_holds_the_reference_and_not_the_token() -> None:
    step = SendBatches((destination("web", "http://127.0.0.1:9"),))
    pickled = pickle.dumps((step, _SendBatches(step.destinations, step.delivery, 1, "reject")))
    assert b"env:TOKEN" in pickled
    assert TOKEN.encode() not in pickled
    assert TOKEN not in repr(step)


def test_a_stream_worked_off_in_many_graphs_keeps_its_pace_from_one_to_the_next(sandbox: SandboxServer) -> None:
    run, started = RunContext(), time.monotonic()
    for number in range(4):
        delivery = Delivery(requests_per_second=5.0)
        step = _SendBatches((destination("web", sandbox.url),), delivery, 1, on_refusal="hold_forever")
        step.run = run.handle
        (receipt,) = sent(step, [(Address("web", "1").encode(), [line(number)])])
        assert receipt.events == 1
    assert time.monotonic() - started >= 3 / 5


def test_a_bundle_that_fails_and_is_done_again_is_counted_once(sandbox: SandboxServer) -> None:
    step = _SendBatches([destination("web", sandbox.url)], Delivery(), 1, on_refusal="reject")
    batch = (Address("web", "123").encode(), [line(n) for n in range(10)])
    step.setup()
    step.start_bundle()
    list(step.process(batch))
    deadline = time.monotonic() + 30
    while sandbox.stats()["events_stored"] < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    list(step._outputs(wait=True))  # counted, and then the bundle fails elsewhere
    counts = step.context.progress.counts()
    assert (counts["delivered:web/leads"], counts["requests:web"], counts["tries:web"]) == (10, 1, 1)
    step.start_bundle()
    assert step.context.progress.counts() == {}
    list(step.process(batch))
    list(step.finish_bundle())
    step.teardown()
    counts = step.context.progress.counts()
    assert (counts["delivered:web/leads"], counts["requests:web"], counts["tries:web"]) == (10, 1, 1)
    assert (sandbox.stats()["events_stored"], sandbox.stats()["duplicates"]) == (10, 10)
