"""What a coordinator holds for its workers: the parts that are left, the job's pace, the state of its destinations."""

from __future__ import annotations

import contextlib
import mmap
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from capybeam.pipeline.run.workers.messages import Call
from capybeam.pipeline.sources import Part
from capybeam.transforms.delivery.circuits import Circuits, Dataset
from capybeam.transforms.delivery.destination import Delivery, Destination
from capybeam.transforms.delivery.limits import HOLD_PAUSE
from capybeam.transforms.delivery.outages import Outages
from capybeam.transforms.delivery.rate_limits import Pacer, RateLimitGuard, Stopwatch

Answering = Callable[[Any], object]  # takes what a call returns, now or later

# What workers look at before they ask: bytes of shared memory, and where they are in it.
CALM: Final = 0  # 1: nothing holds any destination back
WANTED: Final = 1  # 1: a worker waits for a slot
SIGNALS: Final = 2  # bytes


class Desk:
    """Answers the calls of workers. Safe to use from many threads, one for each worker.

    Args:
        signals: memory that workers share, in which it says whether they need to ask.
        recall: tells a worker that another waits for slots of the destination of that name.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        delivery: Delivery,
        parts: Iterable[Part],
        signals: mmap.mmap,
        recall: Callable[[int, str], object],
    ) -> None:
        self.throttled = Stopwatch()
        self._parts, self._signals, self._recall = deque(parts), signals, recall
        self._pacer = Pacer(delivery.requests_per_second)
        self._guards = {each.name: RateLimitGuard(delivery.retry_for) for each in destinations}
        self._circuits = Circuits(lambda: random.uniform(0.5, 1.5) * HOLD_PAUSE)
        self._outages = Outages(delivery, self._circuits.delivered_at)
        self._slots = {each.name: _Slots(delivery.concurrency) for each in destinations}
        self._short: set[str] = set()  # destinations for whose slots somebody waits
        self._lock = threading.Lock()
        self._finding_out: dict[Dataset, int] = {}  # the worker that does
        self._waiting: dict[int, list[contextlib.AbstractContextManager[None]]] = {}
        self._signals[CALM], self._signals[WANTED] = 1, 0

    def handle(self, worker: int, call: Call, answer: Answering) -> None:
        """Carries out a call."""
        target, method, arguments = call.target, call.method, call.arguments
        if target == "slot":
            slots = self._slots[call.name]
            slots.acquire(worker, answer) if method == "acquire" else slots.release(worker)
            self._look_at_slots(call.name)
        elif target == "circuits":
            answer(getattr(self._circuits, method)(*arguments))
            self._look_around()
        elif target == "outages":
            answer(getattr(self._outages, method)(*arguments))
            self._look_around()
        elif target == "guard":
            found = getattr(self._guards[call.name], method)
            answer(found(*arguments) if callable(found) else found)
            self._look_around()
        elif target == "pacer":
            answer(self._pacer.wait())
        elif target == "parts":
            answer(self._take_part())
        elif target == "finding out":
            (dataset,) = arguments
            if method == "acquire":
                answer(self._find_out(worker, dataset))
            else:
                self._found_out(worker, dataset)
        elif method == "begin":
            self._begin_waiting(worker)
        else:
            self._end_waiting(worker)

    def gone(self, worker: int) -> None:
        """Takes back what a worker held that is there no more."""
        for name, slots in self._slots.items():
            slots.gone(worker)
            self._look_at_slots(name)
        with self._lock:
            for dataset in [dataset for dataset, holder in self._finding_out.items() if holder == worker]:
                del self._finding_out[dataset]
            waiting = self._waiting.pop(worker, [])
        for each in waiting:
            each.__exit__(None, None, None)

    def _look_around(self) -> None:
        with self._lock:
            is_failing = not (self._circuits.is_calm() and self._outages.is_calm())
            self._signals[CALM] = not is_failing and all(guard.is_calm() for guard in self._guards.values())

    def _look_at_slots(self, name: str) -> None:
        """Calls in the slots that workers keep when somebody begins to wait for one; none is kept until nobody does."""
        slots = self._slots[name]
        with self._lock:
            was_short = name in self._short
            is_short = slots.are_short()
            (self._short.add if is_short else self._short.discard)(name)
            self._signals[WANTED] = bool(self._short)
            holders = slots.holders() if is_short and not was_short else []
        for worker in holders:
            self._recall(worker, name)

    def _take_part(self) -> Part | None:
        with self._lock:
            return self._parts.popleft() if self._parts else None

    def _find_out(self, worker: int, dataset: Dataset) -> bool:
        with self._lock:
            return dataset not in self._finding_out and self._finding_out.setdefault(dataset, worker) == worker

    def _found_out(self, worker: int, dataset: Dataset) -> None:
        with self._lock:
            if self._finding_out.get(dataset) == worker:
                del self._finding_out[dataset]

    def _begin_waiting(self, worker: int) -> None:
        waiting = self.throttled.waiting()
        waiting.__enter__()
        with self._lock:
            self._waiting.setdefault(worker, []).append(waiting)

    def _end_waiting(self, worker: int) -> None:
        with self._lock:
            waiting = self._waiting[worker].pop()
        waiting.__exit__(None, None, None)


class _Slots:
    """So many at a time, in the order in which they have asked."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._held: dict[int, int] = {}  # by worker
        self._queue: deque[tuple[int, Answering]] = deque()

    def acquire(self, worker: int, answer: Answering) -> None:
        with self._lock:
            self._queue.append((worker, answer))
        self._give()

    def release(self, worker: int) -> None:
        with self._lock:
            self._held[worker] -= 1
            self._free += 1
        self._give()

    def are_short(self) -> bool:
        """Whether somebody waits for one."""
        with self._lock:
            return bool(self._queue)

    def holders(self) -> list[int]:
        """The workers that have some."""
        with self._lock:
            return [worker for worker, count in self._held.items() if count]

    def gone(self, worker: int) -> None:
        with self._lock:
            self._free += self._held.pop(worker, 0)
            self._queue = deque(each for each in self._queue if each[0] != worker)
        self._give()

    def _give(self) -> None:
        while True:
            with self._lock:
                if not self._free or not self._queue:
                    return
                worker, answer = self._queue.popleft()
                self._free -= 1
                self._held[worker] = self._held.get(worker, 0) + 1
            answer(None)
