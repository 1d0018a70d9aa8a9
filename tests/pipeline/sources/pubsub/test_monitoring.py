"""The count of a subscription's messages, asked of a server that speaks Cloud Monitoring's protocol."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from capybeam.pipeline.sources.pubsub import monitoring
from capybeam.transforms.core.backlog import Counted

monitoring_v3 = pytest.importorskip("google.cloud.monitoring_v3", reason="needs google-cloud-monitoring")

PATH = "projects/acme-shop/subscriptions/events"
NOW = 1_795_747_000
METRIC = "pubsub.googleapis.com/subscription"


class Service:
    """A MetricService. `points` are (time, value) by the metric's name; `refusal` is answered in their place."""

    def __init__(self) -> None:
        self.points: dict[str, list[tuple[int, int]]] = {}
        self.refusal: grpc.StatusCode | None = None
        self.asked: list[Any] = []

    def list_time_series(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked.append(request)
        if self.refusal is not None:
            context.abort(self.refusal, "permission denied for jane@example.com")
        name = request.filter.partition(f"{METRIC}/")[2].partition('"')[0]
        points = [
            {"interval": {"end_time": {"seconds": at}}, "value": {"int64_value": value}}
            for at, value in self.points.get(name, ())
            if request.interval.start_time.timestamp() <= at
        ]
        series = [{"points": points}] if points else []
        return monitoring_v3.types.ListTimeSeriesResponse(time_series=series)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

    made, types = Service(), monitoring_v3.types
    handler = grpc.unary_unary_rpc_method_handler(
        made.list_time_series,
        request_deserializer=types.ListTimeSeriesRequest.deserialize,
        response_serializer=types.ListTimeSeriesResponse.serialize,
    )
    name = "google.monitoring.v3.MetricService"
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {"ListTimeSeries": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def client() -> Any:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        return monitoring_v3.MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))

    monkeypatch.setattr(monitoring, "new_client", client)
    monkeypatch.setattr(monitoring, "time", SimpleNamespace(time=lambda: float(NOW)))
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    yield made
    server.stop(None)


def test_the_latest_count_and_the_oldest_messages_age_are_asked_for(service: Service) -> None:
    service.points = {
        "num_undelivered_messages": [(NOW - 180, 7), (NOW - 120, 1200), (NOW - 240, 5)],
        "oldest_unacked_message_age": [(NOW - 120, 600), (NOW - 180, 540)],
    }
    found = monitoring.count(monitoring.new_client(), PATH)
    assert found == Counted(1200, at=NOW - 120, oldest_at=NOW - 720)
    assert {(request.name, request.filter) for request in service.asked} == {
        (
            "projects/acme-shop",
            f'metric.type = "{METRIC}/{name}" AND resource.labels.subscription_id = "events"',
        )
        for name in service.points
    }


@pytest.mark.parametrize(
    ("points", "found"),
    [
        ({}, None),
        ({"num_undelivered_messages": [(NOW - 3600, 7)]}, None),  # says nothing any more
        ({"num_undelivered_messages": [(NOW - 60, 7)]}, Counted(7, NOW - 60)),
        (
            {"num_undelivered_messages": [(NOW - 60, 0)], "oldest_unacked_message_age": [(NOW - 60, 0)]},
            Counted(0, NOW - 60),
        ),
    ],
)
def test_what_is_not_known_is_none(
    service: Service, points: dict[str, list[tuple[int, int]]], found: Counted | None
) -> None:
    service.points = points
    assert monitoring.count(monitoring.new_client(), PATH) == found


def test_counts_are_reported_until_the_end(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "_EVERY", 0.01)
    service.points = {"num_undelivered_messages": [(NOW - 60, 7)]}
    reported, done, twice = list[Counted](), threading.Event(), threading.Event()

    def report(counted: Counted) -> None:
        reported.append(counted)
        if len(reported) == 2:
            twice.set()

    monitoring.watch(PATH, report, done)
    assert twice.wait(30)
    done.set()
    assert reported[:2] == [Counted(7, NOW - 60)] * 2


def test_without_permission_there_is_no_count_and_no_word(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.refusal = grpc.StatusCode.PERMISSION_DENIED
    reported = list[Counted]()
    monitoring._watch(PATH, reported.append, threading.Event())  # ends by itself
    assert (reported, len(service.asked), caplog.text) == ([], 1, "")


def test_a_failure_that_may_pass_is_followed_by_another_try(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "_EVERY", 0.01)
    service.refusal = grpc.StatusCode.UNAVAILABLE
    service.points = {"num_undelivered_messages": [(NOW - 60, 7)]}
    reported, done, there = list[Counted](), threading.Event(), threading.Event()

    def report(counted: Counted) -> None:
        reported.append(counted)
        there.set()

    monitoring.watch(PATH, report, done)
    while not service.asked:
        time.sleep(0.01)
    assert reported == []
    service.refusal = None
    assert there.wait(30)
    done.set()


def test_without_credentials_there_is_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise ImportError

    monkeypatch.setattr(monitoring, "new_client", none)
    reported = list[Counted]()
    monitoring._watch(PATH, reported.append, threading.Event())
    assert reported == []


def test_an_emulator_is_not_asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    before = threading.active_count()
    monitoring.watch(PATH, lambda _: None, threading.Event())
    assert (threading.active_count(), service.asked) == (before, [])
