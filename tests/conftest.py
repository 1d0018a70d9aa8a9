"""Servers that several tests share."""

from __future__ import annotations

import gc
import itertools
import time
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.exclusive import turn
from tests.servers.pubsub import NoServer, pubsub_server

PROJECT = "capybeam-tests"
_numbers = itertools.count(time.time_ns())  # a server of one's own may know those of earlier tests


# How long an example takes says something about the machine; laws about time are in tests of their own.
settings.register_profile("capybeam", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("capybeam")

_TRIES = 3  # of a test that measures time: a stall from elsewhere fails one, a fault of what it measures all
_SERVERS = {"pubsub", "big_query"}  # fixtures that may have to be built first
_FOR_SERVERS = 600  # seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that have one of these fixtures, and those that say of themselves that they start a server.

    Files with the most slow tests come first, so that no process is left with one when the others are done. Those with
    tests that run alone come after them: what these wait for is short then.
    """
    for item in items:
        if _SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real_server)
        if item.get_closest_marker("real_server") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_FOR_SERVERS))
        if item.get_closest_marker("alone"):
            item.add_marker(pytest.mark.flaky(reruns=_TRIES - 1))
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    alone = {item.path for item in items if item.get_closest_marker("alone")}
    items.sort(key=lambda item: (-slow[item.path] if item.path not in alone else 0, item.path not in alone))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes and floats may hold the time, as what gzip makes does; names have to be the same in every process."""
    return argname if isinstance(val, (bytes, float)) else None


def pytest_collection() -> None:
    """Little of what collecting makes is garbage, and looking for it took a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is there now stays to the end: collections of garbage, which took longer and longer, leave it out."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """An example looks through all sources that are known, and fails where one is let go meanwhile, as garbage."""
    if not isinstance(item, pytest.DoctestItem):
        return (yield)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def pubsub() -> Iterator[str]:
    """The address of a Pub/Sub server, to which Google's clients go as long as the tests run."""
    pytest.importorskip("google.cloud.pubsub_v1", reason="google-cloud-pubsub is not installed")
    try:
        with pubsub_server() as address:
            yield address
    except NoServer as reason:
        pytest.skip(str(reason))


class Topic:
    """A new topic with a subscription.

    Args:
        dead_letters: the topic to which messages are moved after five attempts, if they are.
    """

    def __init__(self, dead_letters: Topic | None = None) -> None:
        from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

        number = next(_numbers)
        self.path = f"projects/{PROJECT}/topics/topic-{number}"
        self.subscription = f"projects/{PROJECT}/subscriptions/subscription-{number}"
        self.publisher, self._subscriber = PublisherClient(), SubscriberClient()
        self.publisher.create_topic(name=self.path)
        request = {"name": self.subscription, "topic": self.path, "ack_deadline_seconds": 10}
        if dead_letters:
            request["dead_letter_policy"] = {"dead_letter_topic": dead_letters.path, "max_delivery_attempts": 5}
        self._subscriber.create_subscription(request=request)

    def publish(self, *messages: bytes) -> None:
        for published in [self.publisher.publish(self.path, message) for message in messages]:
            published.result(timeout=30)

    def drain(self) -> list[bytes]:
        """What is there to be pulled, which is acknowledged."""
        from google.api_core.exceptions import DeadlineExceeded

        taken: list[bytes] = []
        while True:
            try:
                pulled = self._subscriber.pull(subscription=self.subscription, max_messages=1000, retry=None, timeout=1)
            except DeadlineExceeded:
                return taken
            if not pulled.received_messages:
                return taken
            ack_ids = [received.ack_id for received in pulled.received_messages]
            self._subscriber.acknowledge(subscription=self.subscription, ack_ids=ack_ids)
            taken += [received.message.data for received in pulled.received_messages]


@pytest.fixture
def topic(pubsub: str) -> Topic:
    return Topic()
