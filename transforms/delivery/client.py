"""Delivers batches to Meta, until each of their events is delivered or rejected with its own reason.

`Client` is what all batches of a process share: connections, pace, the state and the waits of each destination.
`isolation` splits a batch that is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Final

from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.delivery.answers import Answer, Refusal
from capybeam.transforms.delivery.batches import (
    Attempt,
    DestinationHeld,
    EncodedBatch,
    Journal,
    OnRefusal,
    Outcome,
    Receipt,
)
from capybeam.transforms.delivery.circuits import Dataset
from capybeam.transforms.delivery.destination import Delivery, Destination
from capybeam.transforms.delivery.isolation import BatchDelivery, rejection_of
from capybeam.transforms.delivery.limits import Limits, own_limits
from capybeam.transforms.delivery.outages import LONGEST_PAUSE, TRIES_ALONE
from capybeam.transforms.delivery.rate_leases import EvenShare
from capybeam.transforms.delivery.transport import Transport

_log = logging.getLogger(__name__)

_BACKLOG: Final = 32 * 1024 * 1024  # bytes of requests that wait for one destination before everything waits for it
_BACKLOG_OF_ALL: Final = 4 * _BACKLOG  # the same for all destinations together
_BACK_OFF_FROM: Final = 0.5  # seconds; doubles at each try
_HOLD_FOR: Final = 300.0  # seconds until the step fails, so that the runner redelivers the events
_LOOK: Final = 1.0  # seconds between two looks while waiting
_STANDSTILL: Final = 5.0  # seconds without anything read or delivered, after which what waits alone is given up


class Client:
    """A process's way to Meta: its connections, its pace, and what it knows of its destinations.

    Safe to use from many threads. No lock is held while anything is waited for, but for the one of a dataset of which
    one thread finds out for all whether it takes anything.

    Args:
        run: whose progress it updates, and whose shutdown it obeys; by default one of its own.
        limits: that it shares with others; by default its own.
        on_refusal: what happens to the events of a destination that refuses everything.
        ask: asks a limit over all workers for a request to the destination of that name: the seconds until it is worth
            asking again, 0 where the request may start.
        journal: where receipts are written by the thread that has the answer, if they are.
        clock: Unix seconds.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        delivery: Delivery,
        *,
        run: RunContext | None = None,
        limits: Limits | None = None,
        on_refusal: OnRefusal = "reject",
        ask: Callable[[str], float] | None = None,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        run = run or RunContext()
        self.progress, self.shutdown, self._standstill = run.progress, run.shutdown, run.standstill
        self._transport = Transport(destinations, delivery)
        self._is_read_again = {
            destination.name: any(secret.kind in ("file", "secret") for secret in destination.secrets.values())
            for destination in destinations
        }
        self.delivery, self._ask = delivery, ask
        self._recorder = journal.open() if journal is not None else None
        self.hold, self._forever = on_refusal != "reject", on_refusal == "hold_forever"
        limits = limits or own_limits(destinations, delivery, EvenShare(), jitter)
        self._pacer, self._guards = limits.pacer, limits.guards
        self.circuits, self.throttled = limits.circuits, limits.throttled
        self._outages, self._share = limits.outages, limits.share
        self.clock, self._jitter = clock, jitter
        self._lock = threading.Lock()
        self._queues = {
            destination.name: _Queue(destination.name, delivery.concurrency, limits.slot)
            for destination in destinations
        }
        for name, queue in self._queues.items():
            self.progress.watch_load(name, queue.in_flight)
        self._users = 0

    # --- batches of all bundles, side by side ------------------------------------------------------------------------

    def open(self) -> None:
        """Says that somebody is about to `submit`, who will `close`."""
        with self._lock:
            self._users += 1

    def close(self) -> None:
        """Drops what waits to be sent when nobody is left who has asked for it; who asks next waits for that."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for queue in self._queues.values():
                queue.stop()
            self._share.close()
            if self._recorder is not None:
                self._recorder.close()

    def submit(self, batch: EncodedBatch) -> Future[Outcome]:
        """As `deliver`, in one of the destination's threads: `delivery.concurrency` for the whole process."""
        return self._queues[Address.decode(batch.key).destination].submit(batch, self.deliver)

    def has_room(self, name: str) -> bool:
        """Whether another batch for a destination may be submitted: where many destinations lag behind, what waits for
        each of them would fill the memory."""
        return self.backlog(name) <= _BACKLOG and sum(map(self.backlog, self._queues)) <= _BACKLOG_OF_ALL

    def backlog(self, name: str) -> int:
        """Bytes of requests to a destination that are on their way or wait for it, of the whole process."""
        return self._queues[name].bytes

    def deliver(self, batch: EncodedBatch) -> Outcome:
        """Sends the events of one destination key until each is delivered or rejected.

        Never raises for what a server does.

        Raises:
            DestinationHeld: with `hold`, where the destination has been refusing everything for minutes, or the
                process is to stop meanwhile.
            Stopped: with `hold`, where the process is to stop before all is delivered.
            Exception: what the journal raises.
        """
        outcome = Outcome(destination=Address.decode(batch.key).destination)
        for young in self._in_time(batch, outcome):
            BatchDelivery(self, young, outcome).run()
        return outcome

    def record(self, receipt: Receipt) -> None:
        """Writes a receipt to the journal, if there is one. Raises what the journal raises."""
        if self._recorder is not None:
            self._recorder(receipt)

    def _in_time(self, batch: EncodedBatch, outcome: Outcome) -> list[EncodedBatch]:
        """The events that are still young enough: a batch may have waited, and one too old fails them all."""
        now = self.clock()
        if now <= batch.expires:
            return [batch]
        kept = []
        for line in batch.lines:
            event = Envelope.decode(line)
            try:
                batch.destination.check_age(event.event_time, event.age_limit, now)
                kept.append(line)
            except Rejected as cause:
                outcome.rejections.append(rejection_of(batch.key, line, cause))
        return [EncodedBatch.pack(batch.destination, batch.key, kept)] if kept else []

    # --- one request -------------------------------------------------------------------------------------------------

    def try_once(self, batch: EncodedBatch, attempt: Attempt) -> Answer:
        """Sends a request when its turn comes, and takes in what the answer says of its destination.

        Where it cannot wait for its turn any longer, the attempt is over, and the answer is why.
        """
        name, dataset_id, *_ = Address.decode(batch.key)
        answer = self._await_turn(name, dataset_id, attempt)
        if answer is not None:
            return answer
        attempt.tries += 1
        started = time.monotonic()
        answer = self._transport.post(name, dataset_id, batch.body, len(batch.lines))
        if not answer.is_passing:
            self._observe((name, dataset_id), answer, started)
        return answer

    def _await_turn(self, name: str, dataset_id: str, attempt: Attempt) -> Answer | None:
        """Waits until a request to the destination may start; why it may not, where that takes too long."""
        guard, waits_since = self._guards[name], time.monotonic()
        while (wait := guard.wait()) > 0:
            if self.shutdown.is_set():
                attempt.over = True
                return Answer("throttled", "The destination is near its rate limit, and the run was stopped.")
            since = max(waits_since, self.circuits.delivered_at((name, dataset_id)))
            if guard.stopped() > 0 and not self.hold and guard.stopped() >= self._left(since):
                attempt.over = True
                cause = guard.cause or Answer("throttled", "The destination has reached its rate limit.")
                self.progress.remark(
                    name, f"gave up: {cause.summary or _NEAR_LIMIT} It asks to wait longer than retry_for."
                )
                return dataclasses.replace(cause, kind="throttled", message=cause.message or _NEAR_LIMIT)
            if self.hold and not self._forever and time.monotonic() - waits_since > _HOLD_FOR:
                raise DestinationHeld(f"{name}: {_NEAR_LIMIT}")
            text = f"near its rate limit at Meta; the next request may start in {_duration(wait)}."
            self.progress.set_status(name, text, "throttled", wait)
            self._wait(min(wait, 60.0), throttled=True)
        while (wait := self._pacer.wait()) > 0:
            with self.throttled.waiting():
                time.sleep(min(wait, _LOOK))  # a run that is to stop keeps its pace; the share may grow meanwhile
        return self._await_service(name, attempt) if self._ask is not None else None

    def _await_service(self, name: str, attempt: Attempt) -> Answer | None:
        """The same for the limit over all workers."""
        assert self._ask is not None
        waits_since = time.monotonic()
        while True:
            try:
                wait = self._ask(name)
            except Exception as error:  # of gRPC
                return Answer("transient", f"The rate limit service cannot be reached ({type(error).__name__}).")
            if wait <= 0:
                return None
            if self.shutdown.is_set() or (not self.hold and wait >= self._left(waits_since)):
                attempt.over = True
                return Answer("throttled", f"The rate limit service allows no request for {_duration(wait)}.")
            if self.hold and not self._forever and time.monotonic() - waits_since > _HOLD_FOR:
                raise DestinationHeld(f"{name}: the rate limit service allows no request")
            text = f"the rate limit service allows no request for {_duration(wait)}."
            self.progress.set_status(name, text, "throttled", wait)
            self._wait(min(wait, 60.0), throttled=True)

    def _observe(self, dataset: Dataset, answer: Answer, started: float) -> None:
        """Takes in an answer that will not change by itself: the destination is there, in order or not."""
        name, _ = dataset
        self._guards[name].observe(answer)
        if answer.kind in ("delivered", "short"):
            self._outages.got_through(dataset)
        if answer.kind == "delivered":
            self.circuits.delivered(dataset, started)
        elif answer.kind == "destination":
            return
        else:
            self.circuits.understood(dataset, answer)
        if not self.circuits.is_anything_open(name):
            self.progress.set_status(name, "")

    # --- trying again ------------------------------------------------------------------------------------------------

    def back_off(self, batch: EncodedBatch, answer: Answer, attempt: Attempt) -> bool:
        """Waits until the next try. False if there is none, as retry_for is over or the run is stopping."""
        name, dataset_id, *_ = Address.decode(batch.key)
        dataset, is_single = (name, dataset_id), len(batch.lines) == 1
        if attempt.failing_since is None:
            attempt.failing_since = time.monotonic()
        since = attempt.failing_since
        left, left_of_outage = self._outages.failed(dataset, answer, since, attempt.tries if is_single else 0)
        wait = self._pause(attempt.tries)
        if answer.wait is not None:
            wait = max(wait, answer.wait)
        if answer.kind == "throttled":
            self._guards[name].stop(wait, answer)  # of all that goes there, not of this request alone
        if attempt.over or wait >= left or self.shutdown.is_set():
            attempt.over = True
            if not self.shutdown.is_set():
                self.progress.remark(name, f"gave up: {answer.summary}")
                if answer.kind == "transient":
                    self._outages.gave_up(dataset, since, is_single, wait >= left_of_outage)
            return False
        again = f"Trying again in {_duration(wait)}, for another {_duration(left)}."
        is_throttled = answer.kind == "throttled"
        self.progress.set_status(name, f"{answer.summary} {again}", "throttled" if is_throttled else "retrying", wait)
        self._wait(wait, is_throttled)
        return True

    def wait_alone(self, dataset: Dataset, answer: Answer, tries: int) -> bool:
        """Waits before events are sent again that have failed alone while others got through; whether they are.

        They are given up when retry_for is over, or sooner if a stream has stopped reading as too much waits, and later
        ones with them: a few events on which a server fails do not keep back all others.

        Args:
            tries: that each of them has had alone.
        """
        name, _ = dataset
        left, wait = self._outages.failed_alone(dataset), self._pause(tries)
        if tries < TRIES_ALONE:
            wait = min(wait, self.delivery.retry_for)
        elif wait >= left:
            wait = math.inf
        if self.shutdown.is_set():
            return False
        if math.isinf(wait) or self.has_given_up(dataset):
            self.progress.remark(name, f"gave up: {answer.summary}")
            return False
        text = f"{answer.summary} Other events get through. Trying again in {_duration(wait)}."
        self.progress.set_status(name, text, "retrying", wait)
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0 and not self.shutdown.is_set():
            if tries >= TRIES_ALONE and self._standstill.lasts(self.circuits.delivered_at(dataset)) > _STANDSTILL:
                self._outages.failed_alone(dataset, is_over=True)
                self.progress.remark(name, f"gave up, as other events had to wait: {answer.summary}")
                return False
            self._wait(min(left, _LOOK))
        return True

    def has_given_up(self, dataset: Dataset) -> bool:
        """Whether a dataset has been failing for retry_for, and nothing has got through since."""
        return self._outages.has_given_up(dataset)

    def _pause(self, tries: int) -> float:
        return self._jitter(0, min(LONGEST_PAUSE, _BACK_OFF_FROM * 2.0 ** min(tries, 10)))

    def _left(self, since: float) -> float:
        return self.delivery.retry_for - (time.monotonic() - since)

    def _wait(self, seconds: float, throttled: bool = False) -> None:
        with self.throttled.waiting() if throttled else contextlib.nullcontext():
            self.shutdown.wait(seconds)

    # --- destinations out of order -----------------------------------------------------------------------------------

    def gate(self, dataset: Dataset) -> Answer | bool:
        """Waits until a batch may be sent: why it may not, or whether one event of it is to be tried first, for all.

        Raises:
            DestinationHeld: see `deliver`.
        """
        name, _ = dataset
        while True:
            gate = self.circuits.gate(dataset, self._transport.access_number(name), self.hold)
            if gate == "go" or gate == "try":
                return gate == "try"
            if isinstance(gate, Answer):
                return gate
            held_for = self.circuits.open_for(dataset)
            if self.shutdown.is_set() or (not self._forever and held_for > _HOLD_FOR):
                raise DestinationHeld(f"{name}: {self.progress.status(name) or 'refuses everything'}")
            self._wait(_LOOK)
            self._transport.look_for_new_token(name)

    def refuses_everything(self, dataset: Dataset, answer: Answer, inferred: bool = False) -> None:
        """Opens a circuit, and reports it."""
        name, dataset_id = dataset
        self.circuits.open(dataset, answer, self._transport.access_number(name), inferred)
        refusal = Refusal.of(dataset_id, answer)
        if not self.hold:  # the report of the run says at its end what to do
            self.progress.set_status(name, f"REFUSED. {refusal.problem}", "refused")
            return
        todo = f" {refusal.cure}" if refusal.cure else ""
        if answer.meaning.is_token:
            todo += " The run picks it up by itself." if self._is_read_again[name] else " Then run again."
        state = f"HELD. {refusal.problem}{todo} Nothing is lost: its events wait."
        self.progress.set_status(name, state, "held")
        if not self.progress.is_shown:
            _log.error("%s: %s", name, state)


_NEAR_LIMIT: Final = "The destination has reached its rate limit at Meta."


def _duration(seconds: float) -> str:
    """For people.

    >>> _duration(4.2), _duration(880), _duration(7200)
    ('4 s', '880 s', '2 h')
    """
    return (
        f"{seconds:.0f} s"
        if seconds < 1000
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )


class _Queue:
    """The threads of one destination, and what they have still to send. Threads start when they are first needed."""

    def __init__(self, name: str, concurrency: int, slot: Callable[[str], AbstractContextManager[object]]) -> None:
        self._name, self._concurrency, self._slot = name, concurrency, slot
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self.bytes, self._sending = 0, 0

    def submit(self, batch: EncodedBatch, deliver: Callable[[EncodedBatch], Outcome]) -> Future[Outcome]:
        size = len(batch.body)
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._concurrency, thread_name_prefix=f"send-{self._name}")
            self.bytes += size
            sending = self._executor.submit(self._deliver, batch, deliver)
        sending.add_done_callback(lambda _: self._release(size))
        return sending

    def in_flight(self) -> int:
        """Requests whose outcome is not known yet, those that wait for their next try included."""
        return self._sending

    def stop(self) -> None:
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, batch: EncodedBatch, deliver: Callable[[EncodedBatch], Outcome]) -> Outcome:
        with self._slot(self._name):
            with self._lock:
                self._sending += 1
            try:
                return deliver(batch)
            finally:
                with self._lock:
                    self._sending -= 1

    def _release(self, size: int) -> None:
        with self._lock:
            self.bytes -= size
