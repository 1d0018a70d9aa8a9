"""The conversions that receipts and dead letters of earlier runs name, for `SkipProcessed` and `reconcile`."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence

import orjson

from capybeam.pipeline.reconciliation.identities import early_digest, identities_of_dead_letter
from capybeam.pipeline.reconciliation.records import Record, Records, conversions_of
from capybeam.pipeline.sources import NoInput
from capybeam.pipeline.sources.growing_files import GrowingFile
from capybeam.transforms.core.dead_letters import parse_dead_letter
from capybeam.transforms.core.processed import Digests, DigestSorter, conversion_digest
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.resuming import HowProcessed


class ProcessedIndex:
    """What has been processed. Safe to use from many threads.

    Attributes:
        delivered: an entry for each event on a receipt, those that were sent again included.
        dead: of the dead letters whose conversions have an event_id and a name.
        early: of all dead letters that were a subscription's, by `early_digest`.
        receipts, dead_letters: how many there were.
        torn: by file, lines of which only a part is there.
        own: receipts that this run itself is writing, for workers whose runner repeats lost work; None for none.
    """

    def __init__(
        self, records: Records, engine: Engine, own: GrowingFile | None = None, sends_retryable: bool = False
    ) -> None:
        delivered, dead, early = DigestSorter(), DigestSorter(), DigestSorter()
        self.receipts = self.dead_letters = 0
        for record in records:
            if record.is_receipt:
                self.receipts += 1
                _add_receipt(record, delivered)
            elif not (sends_retryable and record.row.get("retryable")):
                self.dead_letters += 1
                _add_dead_letter(record, engine, dead, early)
        self.delivered, self.dead, self.early = delivered.sorted(), dead.sorted(), early.sorted()
        self.torn: Mapping[str, int] = dict(+records.torn)
        self._own, self._lock = own, threading.Lock()
        self._lately: tuple[Digests, ...] = ()

    def __len__(self) -> int:
        return len(self.delivered) + len(self.dead) + sum(map(len, self._lately))

    def find(self, digest: bytes) -> HowProcessed | None:
        if digest in self.delivered or any(digest in each for each in self._lately):
            return "already_delivered"
        return "already_dead_lettered" if digest in self.dead else None

    def remarks(self) -> Iterator[str]:
        """A sentence on each file that has incomplete lines."""
        for name, count in sorted(self.torn.items()):
            lines = "1 line is" if count == 1 else f"{count:,} lines are"
            yield f"{name}: {lines} incomplete, as a kill leaves them, and ignored: what they named is not known."

    def refresh(self) -> None:
        """Takes in what other attempts of this run have delivered by now."""
        if self._own is None:
            return
        with self._lock:
            sorter = DigestSorter()
            try:
                for line in self._own.new_lines():
                    _add_own(line, sorter)
            except FileNotFoundError:
                return
            found = sorter.sorted()
            if len(found):
                self._lately = (*self._lately, found)


def _add_receipt(receipt: Record, sorter: DigestSorter) -> None:
    for names, identities in conversions_of(receipt):
        for identity in identities:
            sorter.add(conversion_digest(names, identity))


def _add_own(line: bytes, sorter: DigestSorter) -> None:
    """A line that is torn, or that names no events, says nothing: those events are sent again."""
    try:
        _add_receipt(Record("", line, orjson.loads(line)), sorter)
    except (ValueError, NoInput):
        return


def _add_dead_letter(record: Record, engine: Engine, dead: DigestSorter, early: DigestSorter) -> None:
    try:
        letter = parse_dead_letter(record.line, record.place)
    except (
        Rejected
    ):  # its payload was left out, or it was edited: it cannot be replayed, and keeps nothing from being sent
        names = [record.row.get(key) for key in ("destination", "dataset_id", "subscription", "event_id")]
        if all(isinstance(name, str) for name in names):
            destination, dataset_id, subscription, event_id = map(str, names)
            early.add(early_digest((destination, dataset_id, subscription), event_id, None))
        return
    for identity in identities_of_dead_letter(engine, letter):
        if identity.digest is not None:
            dead.add(identity.digest)
        early.add(identity.early)


@dataclasses.dataclass(frozen=True)
class LoadIndex:
    """Loads the index, in each process that asks for it. Raises NoInput.

    Attributes:
        places: of receipts and dead letters, as `records.resolved` gives them.
        subscriptions, unwrap: the job's.
        own: the file of receipts that the run itself writes, where its runner may repeat work; "" for none.
        sends_retryable: whether dead letters that an outage or a refusal has left do not count: they are sent.
    """

    places: Sequence[str]
    subscriptions: tuple[Subscription, ...] = dataclasses.field(repr=False)
    unwrap: str | None = None
    own: str = ""
    sends_retryable: bool = False

    @property
    def key(self) -> Hashable:
        return ("processed", *self.places)

    def __call__(self) -> ProcessedIndex:
        engine = Engine(self.subscriptions, unwrap=self.unwrap)
        own = GrowingFile(self.own) if self.own else None
        return ProcessedIndex(Records(self.places), engine, own, self.sends_retryable)


def sentences(index: ProcessedIndex) -> Iterator[str]:
    """What there is to say of an index, for people."""
    yield (
        f"Not sent again: {len(index.delivered):,} conversions that {index.receipts:,} receipts name, and"
        f" {index.dead_letters:,} dead letters."
    )
    yield from index.remarks()
