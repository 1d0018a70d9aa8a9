"""One batch on its way: in one request, and where that is refused or keeps failing, in parts.

Meta refuses a whole batch for one invalid event and does not say which, so it is found by sending parts. The event_id
makes it harmless that an event is sent twice.

- **Halves.** With k invalid events of n about 2 · k · log2(n) + 1 requests find them all.
- **One by one**, once most of what was tried is refused: n requests instead of 2 n. In an order spread over the batch,
  so that invalid events next to one another do not look like a destination that refuses everything.
- **Single events first** where nothing has got through to the dataset yet: after one refusal of a whole batch, events
  of it are sent alone. The first that gets through shows that the destination is in order; `circuits.ALIKE` refused
  alike show that it is not, and cost no more than that, however many events there are.
- **A batch that keeps failing** (an HTTP 500, a time-out) while others get through holds an event that the server fails
  on: it is halved, too. Where there are no others to compare with, single events are tried in its place. What fails
  alone is left for later, so that it holds up nothing, and is tried again when everything else is done.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol

import orjson

from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.progress import Progress
from capybeam.transforms.core.rejections import RETRYABLE, Rejected, Rejection, reject
from capybeam.transforms.delivery.answers import Answer, Refusal, values_of
from capybeam.transforms.delivery.batches import Attempt, DeliveredEvents, EncodedBatch, Outcome, Receipt, Stopped
from capybeam.transforms.delivery.circuits import Dataset
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.delivery.limits import Breakers
from capybeam.transforms.delivery.spread import spread, spread_index

WHOLE_TRIES: Final = 3  # of a failing batch, before single events are sent in its place
_RECENT: Final = 16  # results that decide whether most of a batch is refused
_FAILING_ALIKE: Final = 20  # events failing in a row, each sent alone, that make it the destination's failure after all
_ENOUGH: Final = 12  # single events of a batch that have to fail before all of it is given up
_A_FEW: Final = 3  # the same where its dataset has been given up already
_ROUNDS: Final = 3  # in which all that has failed alone is sent again; from then on a few of them at a time
_POLL: Final = 0.2  # seconds


@dataclasses.dataclass
class _Group:
    """Two halves of a part that was refused: whether an event at fault has been found among them."""

    parent: _Group | None
    found: bool = False

    def mark(self) -> None:
        group: _Group | None = self
        while group is not None:
            group.found, group = True, group.parent


@dataclasses.dataclass
class _Part:
    """What is still to be sent.

    Attributes:
        group: of which it is a half, if it is one.
        implied: whether it holds an event at fault, unless its group has found one by then.
        failure: how it failed alone, for a single event that did.
    """

    batch: EncodedBatch
    group: _Group | None = None
    implied: bool = False
    failure: Answer | None = None
    attempt: Attempt = dataclasses.field(default_factory=Attempt)

    def __len__(self) -> int:
        return len(self.batch.lines)

    @property
    def is_known_bad(self) -> bool:
        return self.implied and self.group is not None and not self.group.found


class _Suspect(NamedTuple):
    """An event that was refused alone. Whether it is at fault shows when something else gets through, or nothing."""

    part: _Part
    answer: Answer


class Sender(Protocol):
    """What a batch needs of the client that all batches of a process share; see `client.Client`."""

    delivery: Delivery
    hold: bool
    circuits: Breakers
    progress: Progress
    shutdown: threading.Event
    clock: Callable[[], float]

    def record(self, receipt: Receipt) -> None: ...

    def gate(self, dataset: Dataset) -> Answer | bool: ...

    def try_once(self, batch: EncodedBatch, attempt: Attempt) -> Answer: ...

    def back_off(self, batch: EncodedBatch, answer: Answer, attempt: Attempt) -> bool: ...

    def wait_alone(self, dataset: Dataset, answer: Answer, tries: int) -> bool: ...

    def has_given_up(self, dataset: Dataset) -> bool: ...

    def refuses_everything(self, dataset: Dataset, answer: Answer, inferred: bool = False) -> None: ...


class BatchDelivery:
    """Delivers or rejects every event of one batch. `run` may be called once."""

    def __init__(self, client: Sender, batch: EncodedBatch, outcome: Outcome) -> None:
        self._client, self._outcome = client, outcome
        self._progress, self._shutdown = client.progress, client.shutdown
        self._destination, self._key = batch.destination, batch.key
        self._name, self._dataset_id, *_ = Address.decode(batch.key)
        self._dataset = (self._name, self._dataset_id)
        self._parts = [_Part(batch)]
        self._suspects: list[_Suspect] = []
        self._recent: deque[bool] = deque(maxlen=_RECENT)  # of requests: whether an event was refused or failed alone
        self._verdict: Answer | None = None  # why all that is left is rejected
        self._was_refused = False
        self._is_mixed = False  # some of it got through after it was refused as a whole, so it is not the destination
        self._one_by_one = False
        self._probes = 0
        self._is_isolating = False  # what fails is taken apart at once
        self._is_probing = False
        self._failing: list[_Part] = []  # single events, to be tried again when all others are done
        self._failing_in_a_row = 0
        self._failing_since = 0.0  # when the first of those in a row failed
        self._rounds = 0
        self._has_recovered = False  # whether any of those that had failed got through in the last round

    def run(self) -> None:
        """Raises what `Client.deliver` raises."""
        while self._parts or self._failing:
            if self._parts:
                self._resolve(self._parts.pop())
            else:
                self._try_again()
        if self._verdict is not None:
            self._refuse_all([], self._verdict)
        for suspect in self._suspects:
            self._judge(suspect)

    # --- one part ----------------------------------------------------------------------------------------------------

    def _resolve(self, part: _Part) -> None:
        gate = self._verdict or self._client.gate(self._dataset)
        if isinstance(gate, Answer):
            self._refuse_all([part], gate)
            return
        if gate and len(part) > 1:
            part = self._take_one(part)
        elif part.is_known_bad and len(part) > 1:
            self._halve(part, holds_bad=True)
            return
        sent, answer = self._exchange(part)
        if answer is None:
            return
        if answer.kind == "delivered":
            self._delivered(sent, answer)
        elif answer.kind == "destination":
            self._client.refuses_everything(self._dataset, answer)
            self._parts.append(sent)
        elif answer.is_refusal:
            self._refused(sent, answer)
        elif answer.kind == "short":
            self._halve(sent, holds_bad=False)
        else:
            self._give_up(sent, answer)

    def _exchange(self, part: _Part) -> tuple[_Part, Answer | None]:
        """Sends a part, repeatedly while its failure may be temporary.

        Returns what was sent, the part or a single event of it, with the answer that resolves it; None for the answer
        where the part has been put among those to be sent otherwise.
        """
        client, attempt, samples = self._client, part.attempt, 0
        enough = _A_FEW if client.has_given_up(self._dataset) else _ENOUGH
        while True:
            sent, rest = part, None
            if len(part) > 1 and (samples or attempt.tries >= WHOLE_TRIES or client.has_given_up(self._dataset)):
                sent, rest = self._parted(part)  # as informative, cheaper, and not failed by another event
                samples += 1
            tried = attempt.tries
            answer = client.try_once(sent.batch, attempt)
            if attempt.tries > tried:
                self._outcome.tries += 1
                self._outcome.bytes += len(sent.batch.body)
            sent.attempt.tries = attempt.tries
            if not answer.is_passing:
                if rest is not None:
                    since = attempt.failing_since
                    rest.attempt = Attempt(attempt.started, WHOLE_TRIES - 1, since)  # once more as a whole
                    self._parts.append(rest)
                return sent, answer
            if answer.kind == "transient" and not self._shutdown.is_set() and self._is_split_or_postponed(part, answer):
                return part, None
            if client.back_off(part.batch, answer, attempt):
                continue
            if answer.kind != "transient" or self._shutdown.is_set() or len(part) == 1 or samples >= enough:
                return part, answer
            samples = max(samples, 1)  # before all are given up for what one of them may cause

    def _is_split_or_postponed(self, part: _Part, answer: Answer) -> bool:
        """Whether a part that has failed is halved, or left for later, rather than tried again."""
        attempt = part.attempt
        if attempt.failing_since is None:
            attempt.failing_since = time.monotonic()
        others = self._client.circuits.delivered_at(self._dataset) > attempt.failing_since
        if len(part) > 1:
            if self._is_isolating or (others and attempt.tries >= WHOLE_TRIES):
                self._isolate(part, answer)
                return True
            return False
        is_probe = self._is_probing and self._failing_in_a_row < _A_FEW
        if others or is_probe or self._is_isolating or self._parts or part.failure is not None:
            self._failed_alone(part, answer)
            return True
        return False

    def _delivered(self, part: _Part, answer: Answer) -> None:
        outcome, batch, client = self._outcome, part.batch, self._client
        self._recent.append(False)
        self._failing_in_a_row = 0
        self._has_recovered = self._has_recovered or part.failure is not None
        self._is_mixed = self._was_refused
        for (subscription, _), ids in batch.event_ids.items():
            key = f"{self._name}/{subscription}"
            outcome.delivered[key] = outcome.delivered.get(key, 0) + len(ids)
        outcome.add_windows(batch, client.clock())
        is_detailed = client.delivery.receipts == "detailed"
        receipt = Receipt(
            destination=self._name,
            dataset_id=self._dataset_id,
            events=len(batch.lines),
            first_event_time=batch.first_event_time,
            last_event_time=batch.last_event_time,
            fbtrace_id=answer.fbtrace_id,
            messages=answer.messages,
            tries=part.attempt.tries,
            seconds=round(time.monotonic() - part.attempt.started, 3),
            delivered_at=int(client.clock()),
            conversions=tuple(DeliveredEvents(*names, len(ids)) for names, ids in batch.event_ids.items()),
            event_ids=tuple(chain.from_iterable(batch.event_ids.values())) if is_detailed else None,
        )
        client.record(receipt)  # before anything else: what is sent and has no receipt is sent again after a crash
        outcome.receipts.append(receipt)

    # --- refusals ----------------------------------------------------------------------------------------------------

    def _refused(self, part: _Part, answer: Answer) -> None:
        self._was_refused = True
        if len(part) == 1:
            self._refused_alone(part, answer)
        elif self._client.circuits.is_proven(self._dataset):
            self._halve(part, holds_bad=answer.kind != "request")
        else:
            self._find_out(part, answer)

    def _refused_alone(self, part: _Part, answer: Answer) -> None:
        answer = answer.without(values_of(orjson.loads(Envelope.decode(part.batch.lines[0]).body)))
        self._progress.count_refusal(self._name, answer.summary)
        self._progress.remark(self._name, f"refuses events. {answer.summary} Looking for the events at fault.")
        if part.group is not None:
            part.group.mark()
        self._recent.append(True)
        self._suspects.append(_Suspect(part, answer))
        circuits = self._client.circuits
        is_everything = circuits.refused(self._dataset, answer, self._client.hold)
        if is_everything and not (self._is_mixed and circuits.is_of_events(self._dataset, answer, is_mixed=True)):
            self._client.refuses_everything(self._dataset, answer, inferred=True)
            if self._client.hold:  # which it waits for, and then they are tried again
                self._parts[:0] = [_Part(suspect.part.batch) for suspect in self._suspects]
                self._suspects.clear()
            else:
                self._verdict = answer
        elif not self._one_by_one and self._is_mostly_bad():
            self._go_one_by_one()

    def _find_out(self, part: _Part, answer: Answer) -> None:
        """Sends single events until one gets through or the circuit opens. One batch does so for all of its dataset."""
        circuits, lock = self._client.circuits, self._client.circuits.finding_out(self._dataset)
        while not lock.acquire(timeout=_POLL):
            if self._is_found_out():
                break
            if self._shutdown.is_set() and self._client.hold:
                raise Stopped(
                    f"{self._name}: stopped before everything was delivered; the rest will be redelivered."
                    f" {answer.summary}"
                )
        else:
            try:
                self._is_probing = True
                rest = self._probe(part)
            finally:
                self._is_probing = False
                lock.release()
            if rest is None:
                return
            part = rest
        if circuits.is_proven(self._dataset):
            self._halve(part, holds_bad=answer.kind != "request" and not self._suspects)
        else:
            self._parts.append(part)

    def _probe(self, part: _Part) -> _Part | None:
        """What is left of a part when it shows whether its dataset takes anything."""
        lines, order = part.batch.lines, list(spread(len(part)))
        for tried, index in enumerate(order):
            if self._is_found_out():
                left = sorted(order[tried:])
                return _Part(self._pack([lines[i] for i in left]))
            self._resolve(_Part(self._pack([lines[index]])))
        return None

    def _is_found_out(self) -> bool:
        """Whether a dataset is known to take something, or not to, or not to answer at all."""
        client, dataset = self._client, self._dataset
        circuits = client.circuits
        return circuits.is_proven(dataset) or circuits.is_open(dataset) or client.has_given_up(dataset)

    def _halve(self, part: _Part, holds_bad: bool) -> None:
        """Queues both halves. Where one event at least is at fault and the first half has none,
        the second has it, and need not be sent whole to find out."""
        if len(part) == 1 or self._one_by_one:
            self._parts.append(part)
            if len(part) > 1:
                self._go_one_by_one()
            return
        group = _Group(part.group)
        first, second = part.batch.halves()
        self._parts.append(_Part(second, group, implied=holds_bad))
        self._parts.append(_Part(first, group))

    def _is_mostly_bad(self) -> bool:
        return len(self._recent) == _RECENT and sum(self._recent) > _RECENT / 2

    def _go_one_by_one(self) -> None:
        self._one_by_one = True
        parts, self._parts = self._parts, [part for part in self._parts if part.failure is not None]
        lines = [line for part in parts if part.failure is None for line in part.batch.lines]
        if lines:
            self._progress.remark(
                self._name, "most events of a batch are refused or fail; the rest of it is sent one by one."
            )
        # The last one is sent first.
        self._parts += reversed([_Part(self._pack([lines[index]])) for index in spread(len(lines))])

    def _judge(self, suspect: _Suspect) -> None:
        """An event is at fault if Meta says that it is, or something else got through after a refusal like its own."""
        part, answer = suspect
        is_to_blame = self._client.circuits.is_of_events(self._dataset, answer, self._is_mixed)
        if answer.kind == "event" or is_to_blame:
            self._reject(part.batch, "meta_refused_event", answer)
        else:
            if self._client.circuits.is_proven(self._dataset):
                self._progress.remark(self._name, f"refused the last events. {answer.summary} {_UNPROVEN}")
            else:
                self._progress.set_status(self._name, f"REFUSED. {answer.summary} {_UNPROVEN}", "refused")
            self._reject(part.batch, "destination_refused", answer, Refusal(f"{answer.summary} {_UNPROVEN}", ""))

    def _refuse_all(self, parts: Iterable[_Part], answer: Answer) -> None:
        """Rejects all that is left, for a destination that refuses everything."""
        for part in [*parts, *self._parts, *self._failing]:
            self._reject(part.batch, "destination_refused", answer)
        for part, refusal in self._suspects:
            if self._client.circuits.is_of_events(self._dataset, refusal, self._is_mixed):
                self._reject(part.batch, "meta_refused_event", refusal)
            else:
                self._reject(part.batch, "destination_refused", answer)
        self._parts, self._failing, self._suspects = [], [], []

    # --- failures ----------------------------------------------------------------------------------------------------

    def _isolate(self, part: _Part, answer: Answer) -> None:
        """Halves a batch that keeps failing while something else gets through."""
        if not self._is_isolating:
            self._is_isolating = True
            self._progress.remark(
                self._name, f"a batch keeps failing while others get through. {answer.summary} It is sent in parts."
            )
        self._halve(part, holds_bad=False)

    def _failed_alone(self, part: _Part, answer: Answer) -> None:
        """Leaves an event for later. Where many in a row fail, however they are picked, and nothing gets through, all
        that is left has to wait for the destination."""
        part.failure = answer
        self._failing.append(part)
        self._recent.append(True)
        if self._failing_in_a_row == 0:
            self._failing_since = time.monotonic()
        self._failing_in_a_row += 1
        others = self._client.circuits.delivered_at(self._dataset) > self._failing_since
        if self._failing_in_a_row >= _FAILING_ALIKE and self._one_by_one and not others:
            self._wait_for_destination()
        elif not self._one_by_one and self._is_mostly_bad():
            self._go_one_by_one()

    def _wait_for_destination(self) -> None:
        self._is_isolating, self._failing_in_a_row = False, 0
        parts, self._parts = self._parts, []
        self._failing += [part for part in parts if part.failure is not None]
        self._push_together([part for part in parts if part.failure is None])

    def _push_together(self, parts: Sequence[_Part]) -> None:
        """Queues parts as one part."""
        lines = [line for part in parts for line in part.batch.lines]
        if lines:
            self._parts.append(_Part(self._pack(lines)))

    def _try_again(self) -> None:
        """Sends again what has failed alone, after a pause; gives it up when no time is left."""
        failing, self._failing = self._failing, []
        failure = failing[0].failure
        assert failure is not None
        if not self._client.wait_alone(self._dataset, failure, self._rounds + 1):
            for part in failing:
                self._give_up(part, part.failure or failure)
            return
        some = len(failing) if self._rounds < _ROUNDS or self._has_recovered else _A_FEW
        self._parts, self._failing = failing[:some], failing[some:]
        self._rounds, self._has_recovered, self._failing_in_a_row = self._rounds + 1, False, 0

    def _give_up(self, part: _Part, answer: Answer) -> None:
        if self._client.hold and self._shutdown.is_set():
            raise Stopped(
                f"{self._name}: stopped before everything was delivered; the rest will be redelivered. {answer.summary}"
            )
        code = "interrupted" if self._shutdown.is_set() else "gave_up_retrying"
        self._reject(part.batch, code, answer)
        if self._shutdown.is_set() and len(self._parts) > 1:  # each of which might time out
            parts, self._parts = self._parts, []
            self._push_together(parts)

    def _pack(self, lines: Sequence[bytes]) -> EncodedBatch:
        return EncodedBatch.pack(self._destination, self._key, lines)

    # --- what both need ----------------------------------------------------------------------------------------------

    def _take_one(self, part: _Part) -> _Part:
        """One event of a part; the others are queued."""
        one, rest = self._parted(part)
        self._parts.append(rest)
        return one

    def _parted(self, part: _Part) -> tuple[_Part, _Part]:
        """One event of several, another one each time, and the others."""
        index = spread_index(self._probes, len(part))
        self._probes += 1
        one, rest = part.batch.parted(index)
        return _Part(one, attempt=dataclasses.replace(part.attempt)), _Part(rest, part.group, attempt=part.attempt)

    def _reject(self, batch: EncodedBatch, code: str, answer: Answer, refusal: Refusal | None = None) -> None:
        """Rejects all of a batch. Why the destination refused everything is by default what the answer says of it."""
        cause = Rejected(code, answer.explanation)
        for line in batch.lines:
            rejection = rejection_of(batch.key, line, cause, meta_code=answer.meta_code, retryable=code in RETRYABLE)
            about = answer.without(values_of(rejection.payload)).public_reason
            self._outcome.rejections.append(dataclasses.replace(rejection, about=about))
        if code == "destination_refused":
            self._outcome.refusals[refusal or Refusal.of(self._dataset_id, answer)] += len(batch.lines)


_UNPROVEN: Final = "Nothing got through afterwards, so it may not be the events; they are marked retryable."


def rejection_of(key: str, line: bytes, cause: Rejected, **more: Any) -> Rejection:
    """The rejection of an event that was ready to be sent."""
    destination, dataset_id, *_ = Address.decode(key)
    event = Envelope.decode(line)
    history = {} if event.history is None else event.history._asdict()
    return reject(
        "send",
        cause,
        destination=destination,
        subscription=event.subscription,
        dataset_id=dataset_id,
        event_id=event.event_id,
        payload=orjson.loads(event.body),
        window=event.window,
        **history,
        **more,
    )
