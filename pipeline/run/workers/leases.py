"""A worker's stand-ins for what its coordinator holds: `transforms.delivery.limits` of the whole job.

Each question takes the coordinator a fraction of a millisecond, but this process up to several, as the thread that asks
has to wait for Python's lock twice. So most are not asked: a byte of shared memory says whether anything holds any
destination back, a slot is kept until another worker waits for one, and what needs no reply is told without waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

from capybeam.pipeline.run.workers.messages import Target
from capybeam.transforms.delivery.answers import Answer
from capybeam.transforms.delivery.circuits import Dataset, Gate
from capybeam.transforms.delivery.destination import Delivery, Destination
from capybeam.transforms.delivery.limits import Limits
from capybeam.transforms.delivery.outages import Left
from capybeam.transforms.delivery.rate_limits import EASY

_LOOK: Final = 0.05  # seconds between two looks at a lock that another worker has


class Coordinator(Protocol):
    """What a worker asks. See `messages.Call`."""

    def call(self, target: Target, method: str, *arguments: Any, name: str = "") -> Any: ...

    def tell(self, target: Target, method: str, *arguments: Any, name: str = "") -> None: ...

    def is_calm(self) -> bool: ...

    def is_slot_wanted(self) -> bool: ...

    def when_recalled(self, give_back: Callable[[str], object]) -> None:
        """Has slots given back, those of the destination of a name, when another worker waits for them."""
        ...


def leased_limits(coordinator: Coordinator, destinations: Sequence[Destination], delivery: Delivery) -> Limits:
    """The limits of the job, as its coordinator holds them."""
    slots = {destination.name: _Slots(coordinator, destination.name) for destination in destinations}
    coordinator.when_recalled(lambda name: slots[name].give_back())
    return Limits(
        _Pacer(coordinator, is_limited=delivery.requests_per_second is not None),
        {destination.name: _Guard(coordinator, destination.name) for destination in destinations},
        _Circuits(coordinator),
        _Outages(coordinator),
        _Throttled(coordinator),
        lambda name: slots[name].held(),
    )


class _Slots:
    """Slots of a destination. What is not used any more is kept for the next request, unless somebody waits for it."""

    def __init__(self, coordinator: Coordinator, name: str) -> None:
        self._coordinator, self._name = coordinator, name
        self._lock = threading.Lock()
        self._kept = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        self._acquire()
        try:
            yield
        finally:
            self._release()

    def give_back(self) -> None:
        """Gives back what is kept."""
        with self._lock:
            kept, self._kept = self._kept, 0
        for _ in range(kept):
            self._coordinator.tell("slot", "release", name=self._name)

    def _acquire(self) -> None:
        with self._lock:
            if self._kept:
                self._kept -= 1
                return
        self._coordinator.call("slot", "acquire", name=self._name)

    def _release(self) -> None:
        with self._lock:  # one that is kept by mistake is called in: that comes after the sign that it is wanted
            if not self._coordinator.is_slot_wanted():
                self._kept += 1
                return
        self._coordinator.tell("slot", "release", name=self._name)


class _Pacer:
    def __init__(self, coordinator: Coordinator, *, is_limited: bool) -> None:
        self._coordinator, self._is_limited = coordinator, is_limited

    def wait(self) -> float:
        return cast(float, self._coordinator.call("pacer", "wait")) if self._is_limited else 0.0


class _Guard:
    def __init__(self, coordinator: Coordinator, name: str) -> None:
        self._coordinator, self._name = coordinator, name

    @property
    def cause(self) -> Answer | None:
        return cast("Answer | None", self._call("cause"))

    def observe(self, answer: Answer) -> None:
        if (answer.usage or 0.0) >= EASY or not self._coordinator.is_calm():
            self._call("observe", answer)

    def stop(self, seconds: float, cause: Answer) -> None:
        self._call("stop", seconds, cause)

    def stopped(self) -> float:
        return cast(float, self._call("stopped"))

    def wait(self) -> float:
        return 0.0 if self._coordinator.is_calm() else cast(float, self._call("wait"))

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._coordinator.call("guard", method, *arguments, name=self._name)


class _Circuits:
    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def gate(self, dataset: Dataset, access: int, hold: bool) -> Gate:
        return "go" if self._coordinator.is_calm() else cast(Gate, self._call("gate", dataset, access, hold))

    def is_open(self, dataset: Dataset) -> bool:
        return not self._coordinator.is_calm() and bool(self._call("is_open", dataset))

    def open_for(self, dataset: Dataset) -> float:
        return cast(float, self._call("open_for", dataset))

    def open(self, dataset: Dataset, answer: Answer, access: int, inferred: bool = False) -> None:
        self._call("open", dataset, answer, access, inferred)

    def delivered(self, dataset: Dataset, started: float = float("inf")) -> None:
        self._coordinator.tell("circuits", "delivered", dataset, started)

    def understood(self, dataset: Dataset, answer: Answer) -> None:
        self._coordinator.tell("circuits", "understood", dataset, answer)

    def refused(self, dataset: Dataset, answer: Answer, hold: bool) -> bool:
        return bool(self._call("refused", dataset, answer, hold))

    def is_of_events(self, dataset: Dataset, answer: Answer, is_mixed: bool) -> bool:
        return bool(self._call("is_of_events", dataset, answer, is_mixed))

    def is_proven(self, dataset: Dataset) -> bool:
        return bool(self._call("is_proven", dataset))

    def is_anything_open(self, name: str) -> bool:
        return not self._coordinator.is_calm() and bool(self._call("is_anything_open", name))

    def delivered_at(self, dataset: Dataset) -> float:
        return cast(float, self._call("delivered_at", dataset))

    def finding_out(self, dataset: Dataset) -> _FindingOut:
        return _FindingOut(self._coordinator, dataset)

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._coordinator.call("circuits", method, *arguments)


class _Outages:
    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def failed(self, dataset: Dataset, answer: Answer, since: float, tries_alone: int) -> Left:
        return cast(Left, self._call("failed", dataset, answer, since, tries_alone))

    def gave_up(self, dataset: Dataset, since: float, is_single: bool, is_outage: bool) -> None:
        self._call("gave_up", dataset, since, is_single, is_outage)

    def failed_alone(self, dataset: Dataset, is_over: bool = False) -> float:
        return cast(float, self._call("failed_alone", dataset, is_over))

    def got_through(self, dataset: Dataset) -> None:
        if not self._coordinator.is_calm():
            self._call("got_through", dataset)

    def has_given_up(self, dataset: Dataset) -> bool:
        return not self._coordinator.is_calm() and bool(self._call("has_given_up", dataset))

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._coordinator.call("outages", method, *arguments)


class _FindingOut:
    """A lock that one thread of all workers can hold."""

    def __init__(self, coordinator: Coordinator, dataset: Dataset) -> None:
        self._coordinator, self._dataset = coordinator, dataset

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        until = time.monotonic() + (timeout if timeout >= 0 else float("inf"))
        while not self._coordinator.call("finding out", "acquire", self._dataset):
            if not blocking or time.monotonic() >= until:
                return False
            time.sleep(_LOOK)
        return True

    def release(self) -> None:
        self._coordinator.tell("finding out", "release", self._dataset)


class _Throttled:
    """The seconds are counted by the coordinator, once however many workers wait together."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self._coordinator.tell("throttled", "begin")
        try:
            yield
        finally:
            self._coordinator.tell("throttled", "end")

    def take(self) -> int:
        return 0
