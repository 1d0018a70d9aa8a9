"""A worker's way to its coordinator."""

from __future__ import annotations

import mmap
import threading
from queue import SimpleQueue
from typing import Any

from capybeam.pipeline.run.workers.desk import SIGNALS
from capybeam.pipeline.run.workers.messages import Recall, Stop
from capybeam.pipeline.run.workers.worker import _Coordinator


class Said:
    """A connection over which only the coordinator speaks."""

    def __init__(self, *messages: Any) -> None:
        self._messages: SimpleQueue[Any] = SimpleQueue()
        for message in messages:
            self._messages.put(message)

    def recv(self) -> Any:
        return self._messages.get()


def test_a_worker_listens_while_slots_that_it_gives_back_wait_to_be_sent() -> None:
    connection: Any = Said(Recall("web"), Stop())
    given_back, full, shutdown = SimpleQueue[str](), threading.Event(), threading.Event()

    def give_back(name: str) -> None:
        given_back.put(name)
        full.wait(60)

    with mmap.mmap(-1, SIGNALS) as signals:
        coordinator = _Coordinator(connection, signals)
        coordinator.when_recalled(give_back)
        coordinator.serve(shutdown)
        assert given_back.get(timeout=30) == "web"
        assert shutdown.wait(30)
        full.set()
