"""``capybeam reconcile``: where every conversion of an input is, by receipts and dead letters."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from capybeam.pipeline.reconciliation.identities import Identity, identity_of
from capybeam.pipeline.reconciliation.index import ProcessedIndex
from capybeam.transforms.core.conversions import ignore, split_key
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.processed import DigestSorter
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine, Filtered, Refused, Withheld

Whereabouts = Literal["delivered", "dead_lettered", "rejected", "without_consent", "nowhere"]
"""Where a conversion is.

- delivered: a receipt names it.
- dead_lettered: a dead letter has it, and no receipt.
- rejected: neither, and the job file rejects it: what is sent will not have it.
- without_consent: the job file withholds it.
- nowhere: none of these.
"""
WHEREABOUTS: Final[tuple[Whereabouts, ...]] = ("delivered", "dead_lettered", "rejected", "without_consent", "nowhere")


@dataclasses.dataclass
class Whereabout:
    """The counts of one subscription.

    Attributes:
        conversions: by where they are.
        more_than_once: conversions that receipts name more often than the input has them.
    """

    conversions: Counter[Whereabouts] = dataclasses.field(default_factory=Counter)
    more_than_once: int = 0

    def as_json(self) -> dict[str, int]:
        counts = {str(name): self.conversions[name] for name in WHEREABOUTS}
        return {"conversions": self.conversions.total(), **counts, "delivered_more_than_once": self.more_than_once}


class Reconciliation:
    """Looks up the conversions of an input, event by event. Its memory does not grow with the input.

    Attributes:
        events: that were read; `filtered` of them are no subscription's, and `unparsable` could not be read.
        subscriptions: by key.
    """

    def __init__(self, engine: Engine, index: ProcessedIndex) -> None:
        self._engine, self._index = engine, index
        self.events = self.filtered = self.unparsable = 0
        self.subscriptions = {subscription.key: Whereabout() for subscription in engine.subscriptions}
        self._repeated: dict[str, DigestSorter] = {}

    def add(self, place: Mapping[str, Any], row: Row) -> Iterator[dict[str, Any]]:
        """Counts what a row holds, and yields what of it is nowhere, with its place."""
        for found in self._engine.parse(row, ignore):
            self.events += 1
            if isinstance(found, Rejected):
                self.unparsable += 1
                continue
            for named in self._engine.conversions(found):
                if isinstance(named, Filtered):
                    self.filtered += 1
                elif isinstance(named, Withheld):
                    self.subscriptions[named.subscription].conversions["without_consent"] += 1
                elif isinstance(named, Refused) and not named.subscription:  # by a trigger
                    self.unparsable += 1
                else:
                    identity = identity_of(self._engine, named)
                    where = self._find(identity)
                    self.subscriptions[identity.subscription].conversions[where] += 1
                    if where == "nowhere":
                        yield {**place, **_named(identity)}

    def finish(self) -> None:
        """Counts what was delivered more often than the input has it, once all of it is known."""
        for key, sorter in self._repeated.items():
            given = sorter.sorted().distinct()
            self.subscriptions[key].more_than_once = sum(
                self._index.delivered.count(digest) > times for digest, times in given
            )
        self._repeated.clear()

    def _find(self, identity: Identity) -> Whereabouts:
        index, digest = self._index, identity.digest
        if digest is not None and (count := index.delivered.count(digest)):
            if count > 1:
                self._repeated.setdefault(identity.subscription, DigestSorter()).add(digest)
            return "delivered"
        if (digest is not None and digest in index.dead) or identity.early in index.early:
            return "dead_lettered"
        return "nowhere" if identity.cause is None else "rejected"

    @property
    def total(self) -> Whereabout:
        found = self.subscriptions.values()
        conversions = sum((each.conversions for each in found), Counter[Whereabouts]())
        return Whereabout(conversions, sum(each.more_than_once for each in found))

    def as_json(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "filtered": self.filtered,
            "unparsable": self.unparsable,
            **self.total.as_json(),
            "receipts": self._index.receipts,
            "dead_letters": self._index.dead_letters,
            "incomplete_lines": sum(self._index.torn.values()),
            "subscriptions": {key: each.as_json() for key, each in self.subscriptions.items()},
        }


def _named(identity: Identity) -> dict[str, Any]:
    destination, subscription = split_key(identity.subscription)
    return {
        "destination": destination,
        "subscription": subscription,
        "dataset_id": identity.dataset_id,
        "event_id": identity.event_id,
    }
