"""Datasets that fail in ways that may pass: since when, and how long they are still tried.

`Outages` is what all senders of a job share of it. Seconds are those of the monotonic clock, which is one clock for all
processes of a machine.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from capybeam.transforms.delivery.answers import Answer
from capybeam.transforms.delivery.circuits import Dataset
from capybeam.transforms.delivery.destination import Delivery

LONGEST_PAUSE: Final = 30.0  # seconds between two tries, at most, unless the destination asks for more
TRIES_ALONE: Final = 4  # of an event that fails alone, at least, however long other events have been failing so
_FORGOTTEN_AFTER: Final = 2 * LONGEST_PAUSE  # seconds without a further failure after which one is an old story
_ALONE_IN_A_ROW: Final = 8  # events given up so, with nothing getting through, after which it may be an outage


class Left(NamedTuple):
    """Seconds of retry_for that are left: for a request that has failed, and for its dataset as a whole."""

    request: float
    outage: float


@dataclasses.dataclass(frozen=True)
class _Failing:
    """A dataset that fails: since when, when last, and how.

    Attributes:
        is_given_up: whether it has been failing for retry_for.
    """

    since: float
    last: float
    answer: Answer
    is_given_up: bool = False


@dataclasses.dataclass(frozen=True)
class _FailingAlone:
    """Events of a dataset that fail while others get through: since when, when last.

    Attributes:
        in_a_row: how many were given up since anything got through.
    """

    since: float
    last: float
    in_a_row: int = 0


class Outages:
    """Counts ``retry_for`` once for all that is sent to a dataset, whichever batch meets a failure first. Safe to use
    from many threads.

    Args:
        delivered_at: when something was last delivered to a dataset.
    """

    def __init__(self, delivery: Delivery, delivered_at: Callable[[Dataset], float]) -> None:
        self._retry_for, self._timeout, self._delivered_at = delivery.retry_for, delivery.timeout, delivered_at
        self._lock = threading.Lock()
        self._failing: dict[Dataset, _Failing] = {}
        self._failing_alone: dict[Dataset, _FailingAlone] = {}

    def is_calm(self) -> bool:
        """Whether `got_through` has nothing to take back, and nothing has been given up."""
        with self._lock:
            return not self._failing and not any(alone.in_a_row for alone in self._failing_alone.values())

    def failed(self, dataset: Dataset, answer: Answer, since: float, tries_alone: int) -> Left:
        """Takes in that a request has failed.

        It is over when the dataset has been failing for retry_for, whichever batch met it: otherwise every batch of a
        long outage would wait its own time. It is over as well when this request has, though others get through; and
        for a single event when events like it, which fail alone, have.

        Args:
            since: when it first did.
            tries_alone: that its only event has had; 0 where there are several.
        """
        with self._lock:
            now = time.monotonic()
            failing = self._failing.get(dataset)
            if failing is None or not self._is_current(failing, now):
                failing = _Failing(now, now, answer)
            self._failing[dataset] = dataclasses.replace(failing, last=now, answer=answer)
            of_outage = self._left(failing.since)
            left = min(of_outage, self._left(since))
            if tries_alone >= TRIES_ALONE:
                left = min(left, self._left_alone(dataset, now))
            return Left(left, of_outage)

    def gave_up(self, dataset: Dataset, since: float, is_single: bool, is_outage: bool) -> None:
        """Takes in that a request is not tried again.

        Args:
            since: when it first failed.
            is_single: whether it was one event.
            is_outage: whether that is because the whole dataset has been failing for too long.
        """
        with self._lock:
            if is_outage and dataset in self._failing:
                self._failing[dataset] = dataclasses.replace(self._failing[dataset], is_given_up=True)
            if is_single:
                alone = self._alone(dataset, time.monotonic(), since)
                self._failing_alone[dataset] = dataclasses.replace(alone, in_a_row=alone.in_a_row + 1)

    def failed_alone(self, dataset: Dataset, is_over: bool = False) -> float:
        """Takes in that events fail while others get through; the seconds that are left for them.

        retry_for counts from the first such failure, whichever batch met it: otherwise every batch with an event that
        the server fails on would wait its own time.

        Args:
            is_over: whether that time is over from now on, as other events have had to wait for them.
        """
        with self._lock:
            now = time.monotonic()
            alone = self._alone(dataset, now, now)
            if is_over:
                alone = dataclasses.replace(alone, since=now - self._retry_for)
            self._failing_alone[dataset] = alone
            return self._left(alone.since)

    def got_through(self, dataset: Dataset) -> None:
        """Takes in that something was delivered."""
        with self._lock:
            self._failing.pop(dataset, None)
            alone = self._failing_alone.get(dataset)
            if alone is not None and alone.in_a_row >= _ALONE_IN_A_ROW:  # that was an outage
                del self._failing_alone[dataset]
            elif alone is not None and alone.in_a_row:
                self._failing_alone[dataset] = dataclasses.replace(alone, in_a_row=0)

    def has_given_up(self, dataset: Dataset) -> bool:
        """Whether a dataset has been failing for retry_for, and nothing has got through since."""
        with self._lock:
            failing = self._failing.get(dataset)
            return failing is not None and failing.is_given_up and self._is_current(failing, time.monotonic())

    def _alone(self, dataset: Dataset, now: float, since: float) -> _FailingAlone:
        """The record of events that fail alone, up to now; a new one, from `since`, where the last is an old story."""
        alone = self._failing_alone.get(dataset)
        if alone is None or now - alone.last > max(_FORGOTTEN_AFTER + self._timeout, self._retry_for):
            return _FailingAlone(since, now)
        return dataclasses.replace(alone, last=now)

    def _left_alone(self, dataset: Dataset, now: float) -> float:
        """Seconds that are left for an event that fails, as far as others have failed alone before it."""
        alone = self._alone(dataset, now, now)
        is_outage = alone.in_a_row >= _ALONE_IN_A_ROW or self._delivered_at(dataset) <= alone.since
        return math.inf if is_outage else self._left(alone.since)

    def _is_current(self, failing: _Failing, now: float) -> bool:
        patience = _FORGOTTEN_AFTER + self._timeout + (failing.answer.wait or 0.0)
        return now - failing.last <= patience

    def _left(self, since: float) -> float:
        return self._retry_for - (time.monotonic() - since)
