"""What is stored, as sums: by dataset, event name, action source and the partner agent that sent it.

A sum of `Totals` never holds a value of an event, and there are at most `MAX_PARTS` of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from capybeam.pipeline.sandbox.refusals import Json

MAX_PARTS: Final = 10_000
OTHERS: Final = "(others)"  # the dataset and name that events are counted under once there are MAX_PARTS
OFFLINE: Final = "(offline format)"  # in place of the action source, which the older format does not have
DEDUPE_KEYS: Final = ("event_id", "external_id", "fbp")


class Part(NamedTuple):
    """What is summed up apart from the rest. `agent` is the request's partner_agent in lower case, "" for none."""

    dataset: str
    event_name: str
    source: str
    agent: str


@dataclass
class Sums:
    """Of the stored events of one part.

    Attributes:
        match_keys: events that have each key of user_data, or of match_keys in the older format.
        purchase_value: of Purchases, by currency.
        dedupe_keys: events that have each of `DEDUPE_KEYS`.
        delay: seconds between the events and their arrival, in all.
        last: when the last one arrived, in Unix seconds.
    """

    stored: int = 0
    match_keys: Counter[str] = field(default_factory=Counter)
    purchase_value: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    dedupe_keys: Counter[str] = field(default_factory=Counter)
    delay: float = 0.0
    last: float = 0.0

    def add(self, other: Sums) -> None:
        self.stored += other.stored
        self.match_keys.update(other.match_keys)
        self.dedupe_keys.update(other.dedupe_keys)
        self.delay += other.delay
        self.last = max(self.last, other.last)
        for currency, value in other.purchase_value.items():
            self.purchase_value[currency] += value


class Totals:
    """The sums of all parts, and answers to what is asked of them."""

    def __init__(self) -> None:
        self._parts: dict[Part, Sums] = {}

    def count(self, part: Part, event: Json, match_keys: Json, values: Json, now: float) -> None:
        """Counts a stored event; `values` is the object that has its value and currency."""
        sums = self._parts.get(part)
        if sums is None:
            if len(self._parts) >= MAX_PARTS:
                part = Part(OTHERS, OTHERS, "", "")
            sums = self._parts.setdefault(part, Sums())
        sums.stored += 1
        sums.match_keys.update(match_keys.keys())
        sums.last = now
        sums.delay += now - event["event_time"]
        for key in DEDUPE_KEYS:
            if key in event or key in match_keys:
                sums.dedupe_keys[key] += 1
        if event["event_name"] == "Purchase" and "value" in values:
            sums.purchase_value[values.get("currency", "")] += values["value"]

    def by_event(self) -> dict[str, dict[str, Sums]]:
        """{dataset: {event name: sums}}, in order of first arrival."""
        found: dict[str, dict[str, Sums]] = {}
        for part, sums in self._parts.items():
            found.setdefault(part.dataset, {}).setdefault(part.event_name, Sums()).add(sums)
        return found

    def of_source(self, dataset: str, source: str, agent: str | None) -> Mapping[str, Sums]:
        """{event name: sums} of one action source in a dataset; `agent` None is all agents."""
        found: dict[str, Sums] = {}
        for part, sums in self._parts.items():
            if part.dataset == dataset and part.source == source and agent in (None, part.agent):
                found.setdefault(part.event_name, Sums()).add(sums)
        return found

    def match_keys(self) -> dict[str, int]:
        """Of all stored events, how many have each key."""
        found: Counter[str] = Counter()
        for sums in self._parts.values():
            found.update(sums.match_keys)
        return dict(found)


def purchase_value(by_event: Mapping[str, Mapping[str, Sums]]) -> Iterator[tuple[str, dict[str, float]]]:
    """(dataset, {currency: value of its Purchases}) of those datasets that have Purchases."""
    for dataset, names in by_event.items():
        total = Sums()
        for sums in names.values():
            total.add(sums)
        if total.purchase_value:
            yield dataset, {currency: round(value, 2) for currency, value in total.purchase_value.items()}
