"""Processes that send share requests_per_second by files in a folder, to a real server."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections import Counter
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.client import Client
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.delivery.limits import own_limits
from capybeam.transforms.delivery.rate_leases import VALID, Lease, LeasedShare
from capybeam.transforms.lease_files import LeaseFolder
from capybeam.transforms.meta.destinations import MetaDestination
from tests.servers.storage import storage_server, without_credentials
from tests.transforms.envelopes import pack, sealed
from tests.transforms.graph_server import Json, Reply, graph_server, taken

RATE = 20.0  # requests per second of the whole job
INTERVAL = 0.3
PROCESSES = 5


def test_leases_are_written_seen_and_removed(tmp_path: Path) -> None:
    folder = LeaseFolder(f"{tmp_path}/rate/run")
    assert folder.leases() == {}
    folder.renew("a", is_joining=True)
    folder.renew("b", is_joining=False)
    before = folder.leases()
    assert {name: lease.is_joining for name, lease in before.items()} == {"a": True, "b": False}
    os.utime(tmp_path / "rate" / "run" / "a.lease", (1_795_000_000, 1_795_000_000))  # as if it were written again
    after = folder.leases()
    assert (after["a"] != before["a"], after["b"]) == (True, before["b"])
    folder.remove("a")
    assert folder.leases() == {"b": Lease(before["b"].stamp, False)}


def test_leases_may_be_in_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("google.cloud.storage", reason="needs the extra gcp")
    without_credentials(monkeypatch)
    with storage_server() as storage:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        folder = LeaseFolder("gs://acme/temp/capybeam-rate/run")
        assert folder.leases() == {}
        folder.renew("a", is_joining=True)
        (joining,) = folder.leases().values()
        folder.renew("a", is_joining=False)
        (sharing,) = folder.leases().values()
        assert (joining.is_joining, sharing.is_joining, joining.stamp != sharing.stamp) == (True, False, True)
        assert storage.names("acme") == ["temp/capybeam-rate/run/a.lease"]
        folder.remove("a")
        folder.remove("a")
        assert folder.leases() == {}
        storage.failing = True
        with pytest.raises(Exception, match="403"):
            folder.renew("a", is_joining=True)


def send(url: str, folder: str, number: int, stop: Event) -> None:
    """One process: requests of one event each, as fast as it may."""
    os.environ["TOKEN"] = "t"
    delivery = Delivery(requests_per_second=RATE, concurrency=2)
    destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint=url)
    share = LeasedShare(LeaseFolder(folder, INTERVAL), PROCESSES)
    client = Client((destination,), delivery, limits=own_limits((destination,), delivery, share, random.uniform))
    sent = 0
    while not stop.is_set():
        event = {"event_time": int(time.time()), "event_name": "Lead", "event_id": f"{number}-{sent}"}
        client.deliver(pack(Address("web", "1").encode(), [sealed({**event, "action_source": "website"})]))
        sent += 1


@pytest.mark.slow
@pytest.mark.alone
def test_one_of_five_has_nearly_all_of_the_rate_and_five_together_no_more_than_the_rate(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")  # the server that forks may have been started by another test
    stop, arrivals, lock = context.Event(), list[tuple[float, int]](), threading.Lock()

    def answer(events: list[Json]) -> Reply:
        with lock:
            arrivals.append((time.monotonic(), int(events[0]["event_id"].partition("-")[0])))
        return taken(events)

    with graph_server(answer) as server:
        processes = [
            context.Process(target=send, args=(server.url, f"{tmp_path}/rate", number, stop), daemon=True)
            for number in range(PROCESSES)
        ]
        try:
            processes[0].start()
            _await(lambda: len(arrivals) > 0)
            time.sleep((VALID + 2) * INTERVAL)
            alone_from = time.monotonic()
            time.sleep(2.5)
            alone_until = time.monotonic()
            for process in processes[1:]:
                process.start()
            _await(lambda: len({number for _, number in arrivals}) == PROCESSES)
            together_from = time.monotonic()
            time.sleep(3)
        finally:
            stop.set()
            for process in processes:
                process.join(30)
    alone = [at for at, _ in arrivals if alone_from <= at <= alone_until]
    share = len(alone) / (RATE * (alone_until - alone_from))
    assert share > 0.6, "an even share would be 0.2"
    for index, (start, _) in enumerate(arrivals):  # the law: at most what the rate allows, and one each at once
        end, _ = arrivals[-1]
        assert len(arrivals) - index <= RATE * (end - start) * 1.1 + PROCESSES + 1
    together = Counter(number for at, number in arrivals if at >= together_from)
    assert set(together) == set(range(PROCESSES))
    assert max(together.values()) < 0.6 * together.total(), "nobody has most of it"


def _await(condition: object) -> None:
    deadline = time.monotonic() + 60
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
