"""The report of a run in numbers: the outcome of every event, and whether the sums add up.

read    = taken + filtered + unreadable                                     (events; `taken` by at least one trigger)
matched = delivered + dead-lettered + without consent + repeated            (conversions; of each subscription, of each
          + already delivered + already dead-lettered                       destination, and of the run)

An event of which nothing is left for lack of consent is `filtered`; its conversions are `matched` and without consent.
Dead letters are those of conversions and, before any subscription, of what is unreadable.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from capybeam.transforms.core.conversions import split_key
from capybeam.transforms.core.counters import CounterKey, CounterKind
from capybeam.transforms.core.reasons import NO_CODE
from capybeam.transforms.core.rejections import ANSWERED, RETRYABLE
from capybeam.transforms.delivery.answers import Refusal


class Cause(NamedTuple):
    """Why events were rejected.

    Attributes:
        field: that is at fault; "" where it is none, or not known.
        meta_code: the destination's own, as code or code/subcode; "" where it has given none.
        reason: in the destination's words, with what they may quote cut out; "" where it has given none.
    """

    stage: str
    code: str
    field: str = ""
    meta_code: str = ""
    reason: str = ""

    @property
    def is_retryable(self) -> bool:
        """Whether the event is fine, and the destination was not: a replay delivers it."""
        return self.code in RETRYABLE

    @classmethod
    def of(cls, stage: str, code: str, about: str) -> Cause:
        """The cause that a counter names, as `core.reasons.Reasons.bounded` has it."""
        if code not in ANSWERED:
            return cls(stage, code, field=about)
        meta_code, _, reason = about.partition(" ")
        return cls(stage, code, meta_code="" if meta_code == NO_CODE else meta_code, reason=reason)


@dataclasses.dataclass(frozen=True)
class Account:
    """The outcomes of the conversions of one subscription ("destination/subscription"), of a destination, or of a run.

    Attributes:
        matched: what triggers took.
        dead_lettered: by cause.
        repeated: dropped, as an earlier one with the same event_id was not.
        withheld: for lack of consent, by what the event says of it.
        notes: what is worth knowing of conversions that went on.
        already_delivered, already_dead_lettered: by earlier runs, or attempts of this one that failed.
    """

    subscription: str = ""
    matched: int = 0
    delivered: int = 0
    dead_lettered: Mapping[Cause, int] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    repeated: int = 0
    withheld: Mapping[str, int] = dataclasses.field(default_factory=dict)
    already_delivered: int = 0
    already_dead_lettered: int = 0

    @property
    def dead(self) -> int:
        return sum(self.dead_lettered.values())

    @property
    def retryable(self) -> int:
        """Dead letters that a replay delivers."""
        return sum(count for cause, count in self.dead_lettered.items() if cause.is_retryable)

    @property
    def without_consent(self) -> int:
        return sum(self.withheld.values())

    @property
    def in_flight(self) -> int:
        """Matched, and nothing else: none once a run has ended."""
        processed = self.delivered + self.dead + self.already_delivered + self.already_dead_lettered
        return self.matched - processed - self.repeated - self.without_consent

    @classmethod
    def total(cls, accounts: Iterable[Account]) -> Account:
        listed = [*accounts]

        def added(mappings: Iterable[Mapping[str, int]]) -> dict[str, int]:
            return dict(sum((Counter(each) for each in mappings), Counter[str]()))

        dead: Counter[Cause] = sum((Counter(each.dead_lettered) for each in listed), Counter())
        return cls(
            matched=sum(each.matched for each in listed),
            delivered=sum(each.delivered for each in listed),
            dead_lettered=dict(dead),
            notes=added(each.notes for each in listed),
            repeated=sum(each.repeated for each in listed),
            withheld=added(each.withheld for each in listed),
            already_delivered=sum(each.already_delivered for each in listed),
            already_dead_lettered=sum(each.already_dead_lettered for each in listed),
        )


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What was sent to a destination.

    Attributes:
        requests: that it took.
        tries: requests that were sent, those that failed or were refused included.
        bytes: of the bodies of all tries.
        first_event_time, last_event_time: Unix seconds, of what was ready to be sent; None if nothing was.
        refusals: what is wrong with a destination that refuses everything, and what to do about it; () if it does not.
    """

    requests: int = 0
    tries: int = 0
    bytes: int = 0
    first_event_time: int | None = None
    last_event_time: int | None = None
    refusals: tuple[Refusal, ...] = ()


@dataclasses.dataclass(frozen=True)
class RunReport:
    """The outcome of everything that was read.

    Attributes:
        unparsable: events that could not be read; `unreadable` counts those as well that no trigger could be asked for.
        undirected: rejections before any subscription, by cause.
        at_least: whether there may be more of each event, or less of it: the runner may have counted work again that it
            did again, each event at least once, or processes were lost. It is the receipts that decide.
        is_partial: whether a process was lost before it had told all that it counted: there may be more of everything.
        sent: events on the receipts, if they were looked at; those that were sent again are among them.
        restarts: how often work was lost and done again, as far as the runner says so.
        unfinished: a sentence on each input that could not be read to its end, naming it.
        no_event: a sentence on the first object that is not an event, "" if there was none.
        notes: what is worth knowing of lines, before they belong to any subscription.
        traffic: by the names of destinations.
        throttled: seconds in which something waited for a rate limit.
    """

    read: int
    taken: int
    filtered: int
    unparsable: int
    undirected: Mapping[Cause, int]
    accounts: tuple[Account, ...]
    at_least: bool = False
    is_partial: bool = False
    sent: int | None = None
    restarts: int = 0
    unfinished: tuple[str, ...] = ()
    no_event: str = ""
    notes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    traffic: Mapping[str, Traffic] = dataclasses.field(default_factory=dict)
    throttled: int = 0

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, int],
        at_least: bool = False,
        sent: int | None = None,
        restarts: int = 0,
        is_partial: bool = False,
    ) -> RunReport:
        """The report from counters named as in `capybeam.transforms.core.counters`."""
        found = _Found(counts)
        by_cause = found.causes()
        matched, withheld = found.by_subscription("matched"), found.details("withheld")
        delivered, repeated, notes = (
            found.by_subscription("delivered"),
            found.by_subscription("repeated"),
            found.details("note"),
        )
        already_delivered = found.by_subscription("already_delivered")
        already_dead_lettered = found.by_subscription("already_dead_lettered")
        keys = sorted((matched.keys() | delivered.keys() | by_cause.keys() | withheld.keys()) - {""})
        return cls(
            read=counts.get("read", 0),
            taken=counts.get("taken", 0),
            filtered=counts.get("filtered", 0),
            unparsable=counts.get("unparsable", 0),
            undirected=by_cause.get("", {}),
            accounts=tuple(
                Account(
                    key,
                    matched[key] + sum(withheld.get(key, {}).values()),
                    delivered[key],
                    by_cause.get(key, {}),
                    notes.get(key, {}),
                    repeated[key],
                    withheld.get(key, {}),
                    already_delivered[key],
                    already_dead_lettered[key],
                )
                for key in keys
            ),
            at_least=at_least or is_partial,
            is_partial=is_partial,
            sent=sent,
            restarts=restarts,
            unfinished=tuple(sorted(key.detail for key, _ in found.of("unfinished"))),
            no_event=min((key.detail for key, _ in found.of("no_event")), default=""),
            notes=notes.get("", {}),
            traffic=found.traffic(),
            throttled=counts.get("throttled", 0),
        )

    @property
    def total(self) -> Account:
        """All conversions."""
        return Account.total(self.accounts)

    @property
    def unreadable(self) -> int:
        """Events that are none, and those that failed before any trigger could take them."""
        return self.unparsable + sum(count for cause, count in self.undirected.items() if cause.stage == "filter")

    @property
    def causes(self) -> Mapping[Cause, int]:
        """All dead letters, by cause."""
        return dict(Counter(self.undirected) + Counter(self.total.dead_lettered))

    @property
    def dead_letters(self) -> int:
        """Lines of dead letters: conversions, and what is unreadable."""
        return sum(self.undirected.values()) + self.total.dead

    @property
    def retryable(self) -> int:
        """Dead letters of events that are fine."""
        return sum(count for cause, count in self.causes.items() if cause.is_retryable)

    @property
    def faulty(self) -> int:
        """Dead letters for which the event itself is to blame."""
        return self.dead_letters - self.retryable

    @property
    def balanced(self) -> bool:
        """Whether all sums hold, and nothing is missing in them."""
        return (
            not self.is_partial
            and self.read == self.taken + self.filtered + self.unreadable
            and self.unreadable == sum(self.undirected.values())
            and all(account.in_flight == 0 for account in self.accounts)
        )

    @property
    def resent(self) -> int:
        """Events that were sent again, as the receipts have it; work that is repeated skips what they name."""
        return max(0, (self.sent or 0) - self.total.delivered - self.total.already_delivered)

    @property
    def refused_destinations(self) -> Mapping[str, tuple[Refusal, ...]]:
        """Destinations that refused everything (token, permission, version), and what is known of why."""
        refused = {
            split_key(account.subscription)[0]
            for account in self.accounts
            if any(cause.code == "destination_refused" for cause in account.dead_lettered)
        }
        return {name: self.traffic.get(name, Traffic()).refusals for name in sorted(refused)}


class _Found:
    """Counters by what they count."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts: dict[CounterKind, list[tuple[CounterKey, int]]] = {}
        for name, count in counts.items():
            key = CounterKey.decode(name)
            if key is not None:
                self._counts.setdefault(key.kind, []).append((key, count))

    def of(self, kind: CounterKind) -> list[tuple[CounterKey, int]]:
        return self._counts.get(kind, [])

    def by_subscription(self, kind: CounterKind) -> Counter[str]:
        return Counter({key.subscription: count for key, count in self.of(kind)})

    def details(self, kind: CounterKind) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for key, count in self.of(kind):
            found.setdefault(key.subscription, {})[key.detail] = count
        return found

    def causes(self) -> dict[str, dict[Cause, int]]:
        """Rejections by subscription. Those of which no field or reason was counted have a cause without one."""
        found: dict[str, dict[Cause, int]] = {}
        rest: Counter[tuple[str, str, str]] = Counter()
        for key, count in self.of("rejected"):
            rest[key.subscription, key.stage, key.detail] += count
        for key, count in self.of("cause"):
            causes = found.setdefault(key.subscription, {})
            cause = Cause.of(key.stage, key.detail, key.about)
            causes[cause] = causes.get(cause, 0) + count
            rest[key.subscription, key.stage, key.detail] -= count
        for (subscription, stage, code), count in (+rest).items():
            found.setdefault(subscription, {})[Cause(stage, code)] = count
        return found

    def traffic(self) -> dict[str, Traffic]:
        values: dict[str, dict[str, int]] = {}
        for kind in _TRAFFIC:
            for key, count in self.of(kind):
                values.setdefault(key.destination, {})[kind] = count
        refusals: dict[str, list[str]] = {}
        for key, _ in sorted(self.of("refused"), key=lambda item: (-item[1], item[0].about)):
            refusals.setdefault(key.destination, []).append(key.about)
        cures: dict[str, list[str]] = {}
        for key, _ in sorted(self.of("cure"), key=lambda item: (-item[1], item[0].about)):
            cures.setdefault(key.destination, []).append(key.about)
        return {
            name: Traffic(**values.get(name, {}), refusals=_paired(refusals.get(name, []), cures.get(name, [])))
            for name in sorted(values.keys() | refusals.keys())
        }


_TRAFFIC: Final[tuple[CounterKind, ...]] = ("requests", "tries", "bytes", "first_event_time", "last_event_time")


def _paired(problems: list[str], cures: list[str]) -> tuple[Refusal, ...]:
    """Problems, the most frequent first, and what to do about them, all of it with the last."""
    return tuple(
        Refusal(problem, " ".join(cures) if number == len(problems) else "")
        for number, problem in enumerate(problems, 1)
    )
