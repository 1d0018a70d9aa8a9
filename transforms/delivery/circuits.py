"""Whether a destination takes anything at all: what got through, what was refused alike, and who may try next.

A dataset of a destination has a circuit. It opens, and lets no request through, when an answer says that everything is
refused (a dead token), or when that can be inferred: events sent alone are refused alike, one after the other, however
they are picked, and nothing has got through. A closed list of codes cannot decide that, since codes are not documented
for good. A refusal is only blamed on an event where something else got through after one like it.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

from capybeam.transforms.delivery.answers import Answer

ALIKE: Final = 20  # events refused alike in a row, where nothing has got through, that open a circuit
ALIKE_LATER: Final = 32  # the same where something has got through before
_OFTEN: Final = 2  # times as many are needed of refusals that are not alike
_DOUBTFUL: Final = 16  # events refused in a row from which on a refusal may have become that of everything
_MOST: Final = 1000  # kinds of refusals that are remembered, of each dataset

Dataset = tuple[str, str]  # destination, dataset
Refusal = tuple[str, str | None]  # what a row of the table says of it, and Meta's code
Gate = Answer | Literal["go", "try", "wait"]


@dataclasses.dataclass
class _Open:
    """Why nothing is sent, and when that is looked into again.

    Attributes:
        inferred: rather than said by the answer.
        since, next_try: seconds of the clock.
        access: number of the token that was refused.
        passed_over: batches since the last try, of `gap` that are not sent between two tries.
    """

    answer: Answer
    inferred: bool
    since: float
    access: int
    next_try: float
    passed_over: int = 0
    gap: int = 0


@dataclasses.dataclass
class _Record:
    """What a dataset's answers have shown.

    Attributes:
        proven: whether anything has got through.
        delivered_at: when something last got through, in seconds of the clock.
        in_a_row: events refused, each sent alone, since anything last got through.
        alike: the last of those that were refused in the same way, which is `refusal`.
        unexplained: what was refused since anything last got through, with when the answer came.
        of_events: refusals after which something got through, so that they are not of everything.
        finding_out: held by the thread that sends single events to find out, so that one does it for all.
    """

    proven: bool = False
    delivered_at: float = float("-inf")
    in_a_row: int = 0
    alike: int = 0
    refusal: Refusal | None = None
    unexplained: dict[Refusal, float] = dataclasses.field(default_factory=dict)
    of_events: set[Refusal] = dataclasses.field(default_factory=set)
    finding_out: threading.Lock = dataclasses.field(default_factory=threading.Lock)


class Circuits:
    """The circuits of a process. Safe to use from many threads.

    Args:
        pause: gives the seconds between two tries of a stream, by chance so that workers do not try together.
        clock: seconds, monotonic.
    """

    def __init__(self, pause: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._pause, self._clock = pause, clock
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str | None], _Open] = {}
        self._records: dict[Dataset, _Record] = {}

    def gate(self, dataset: Dataset, access: int, hold: bool) -> Gate:
        """Whether a batch may be sent: "go"; "try", by one event of it, for all; "wait"; or why it may not.

        Without `hold` an inferred circuit is tried again at the next batch, and then after 1, 2, 4, … more: what was
        inferred may be wrong, and what is refused may pass. With it, an open one is tried once in a pause, and at once
        with another token.
        """
        with self._lock:
            circuit = self._circuit(dataset)
            if circuit is None:
                return "go"
            if hold:
                now = self._clock()
                if access == circuit.access and now < circuit.next_try:
                    return "wait"
                circuit.access, circuit.next_try = access, now + self._pause()
                return "try"
            if circuit.inferred:
                circuit.passed_over += 1
                if circuit.passed_over > circuit.gap:
                    circuit.passed_over, circuit.gap = 0, max(1, 2 * circuit.gap)
                    return "try"
            return circuit.answer

    def is_open(self, dataset: Dataset) -> bool:
        with self._lock:
            return self._circuit(dataset) is not None

    def open_for(self, dataset: Dataset) -> float:
        """Seconds for which nothing has been taken; 0 where all is well."""
        with self._lock:
            circuit = self._circuit(dataset)
            return 0.0 if circuit is None else self._clock() - circuit.since

    def open(self, dataset: Dataset, answer: Answer, access: int, inferred: bool = False) -> None:
        """Opens a circuit for the reason that an answer gives: of the dataset, or of its whole destination."""
        whole = not inferred and answer.meaning.scope == "destination"
        key = (dataset[0], None if whole else dataset[1])
        with self._lock:
            now = self._clock()
            since = self._open[key].since if key in self._open else now
            gap = self._open[key].gap if key in self._open else 0
            self._record(dataset).of_events.discard(_kind_of(answer))
            self._open[key] = _Open(answer, inferred, since, access, now + self._pause(), gap=gap)

    def delivered(self, dataset: Dataset, started: float = float("inf")) -> None:
        """Takes in that something got through. What was refused before that request `started` is of events, then."""
        with self._lock:
            record = self._record(dataset)
            record.proven, record.delivered_at, record.in_a_row, record.alike = True, self._clock(), 0, 0
            explained = [refusal for refusal, at in record.unexplained.items() if at < started]
            for refusal in explained:
                del record.unexplained[refusal]
            if len(record.of_events) < _MOST:
                record.of_events.update(explained)
            self._open.pop((dataset[0], None), None)
            self._open.pop(dataset, None)

    def understood(self, dataset: Dataset, answer: Answer) -> None:
        """Takes in that the token was accepted, whatever became of the request."""
        with self._lock:
            record = self._record(dataset)
            if answer.is_refusal and len(record.unexplained) < _MOST:
                record.unexplained.setdefault(_kind_of(answer), self._clock())
            for key in ((dataset[0], None), dataset):
                if key in self._open and not self._open[key].inferred:
                    del self._open[key]

    def refused(self, dataset: Dataset, answer: Answer, hold: bool) -> bool:
        """Takes in that an event was refused alone; whether that makes it the destination's fault.

        Where something has got through, an answer that speaks of the event is believed. So it is with `hold`: events
        that are invalid would hold all others for ever.
        """
        with self._lock:
            record, refusal = self._record(dataset), _kind_of(answer)
            if answer.kind == "event" and (record.proven or hold):
                return False
            record.in_a_row += 1
            record.alike = record.alike + 1 if refusal == record.refusal else 1
            record.refusal = refusal
            enough = ALIKE_LATER if record.proven else ALIKE
            return record.alike >= enough or record.in_a_row >= _OFTEN * enough

    def is_of_events(self, dataset: Dataset, answer: Answer, is_mixed: bool) -> bool:
        """Whether an event is to blame for its refusal.

        It is if the answer speaks of the event and something has got through, or if something got through after a
        refusal like it. The latter may change: where too many were refused in a row since, it takes that others of the
        same batch got through (`is_mixed`).
        """
        with self._lock:
            record = self._record(dataset)
            if answer.kind == "event" and record.proven:
                return True
            return _kind_of(answer) in record.of_events and (is_mixed or record.in_a_row < _DOUBTFUL)

    def is_proven(self, dataset: Dataset) -> bool:
        """Whether anything has got through to the dataset."""
        with self._lock:
            return self._record(dataset).proven

    def is_anything_open(self, name: str) -> bool:
        with self._lock:
            return any(key[0] == name for key in self._open)

    def is_calm(self) -> bool:
        """Whether nothing is open."""
        with self._lock:
            return not self._open

    def delivered_at(self, dataset: Dataset) -> float:
        """When something last got through, in seconds of the clock."""
        with self._lock:
            return self._record(dataset).delivered_at

    def finding_out(self, dataset: Dataset) -> threading.Lock:
        """Held by the thread that sends single events to find out whether a dataset takes anything."""
        with self._lock:
            return self._record(dataset).finding_out

    def _circuit(self, dataset: Dataset) -> _Open | None:
        return self._open.get((dataset[0], None)) or self._open.get(dataset)

    def _record(self, dataset: Dataset) -> _Record:
        return self._records.setdefault(dataset, _Record())


def _kind_of(answer: Answer) -> Refusal:
    return answer.meaning.means, answer.meta_code
