"""The Pub/Sub server that subscriptions are measured with settles, gives back and redelivers as Pub/Sub does."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.subscription import queue_server
from capybeam.pipeline.sources.pubsub.client import acknowledge, new_client, pulling, set_deadline
from capybeam.pipeline.sources.pubsub.messages import Messages
from tests.servers.go_programs import NoGo
from tests.servers.pubsub import HOST

pytest.importorskip("google.cloud.pubsub_v1", reason="needs the extra gcp")


def test_clients_go_to_the_server_before_it_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\n")
    monkeypatch.setenv(HOST, "127.0.0.1:9")
    try:
        with queue_server(path):
            assert os.environ[HOST] != "127.0.0.1:9"
    except NoGo as error:
        pytest.skip(f"no server: {error}")
    assert os.environ[HOST] == "127.0.0.1:9"


def test_messages_come_in_order_and_again_when_given_back_but_not_when_settled(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\ntwo\nthree\n")
    with ExitStack() as servers:
        try:
            subscription = servers.enter_context(queue_server(path))
        except NoGo as error:
            pytest.skip(f"no server: {error}")
        with new_client() as client:

            def pull(most: int) -> Messages:
                return Messages.of(pulling(client, subscription)(max_messages=most, timeout=10))

            first, last = pull(2), pull(9)
            assert (first.data, last.data) == ([b"one", b"two"], [b"three"])
            set_deadline(client, subscription, first.ack_ids, 0)
            again = pull(9)
            assert (again.ids, again.data) == (first.ids, first.data)
            acknowledge(client, subscription, first.ack_ids, 10)  # of a delivery that is over: it settles nothing
            set_deadline(client, subscription, again.ack_ids[:1], 0)
            acknowledge(client, subscription, [*again.ack_ids[1:], *last.ack_ids], 10)
            assert [pull(9).data, pull(9).data] == [[b"one"], []]
