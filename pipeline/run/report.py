"""The books of a run: the outcome of every event, and whether the sums add up.

read    = taken + filtered + unparsable            (events; `taken` by at least one trigger)
matched = delivered + dead-lettered + repeated + already delivered + already dead-lettered
                                                   (conversions, for each subscription; already: by earlier runs)

Conversions for which there is no consent are not `matched`; they are counted apart, by what their events say. An event
of which nothing else is left is `filtered`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from capybeam.transforms.core.conversions import split_key
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.rejections import CODES


@dataclasses.dataclass(frozen=True)
class Account:
    """The outcomes of the conversions of one subscription ("destination/subscription")."""

    subscription: str
    matched: int
    delivered: int
    dead_lettered: Mapping[tuple[str, str], int]  # by stage and code
    notes: Mapping[str, int]
    repeated: int = 0  # dropped, as an earlier one with the same event_id was not
    withheld: Mapping[str, int] = dataclasses.field(default_factory=dict)  # without consent, by the event's answer
    already_delivered: int = 0  # by earlier runs
    already_dead_lettered: int = 0

    @property
    def in_flight(self) -> int:
        """Matched, and neither delivered, dead-lettered nor a repeat, now or earlier: none once a run has ended."""
        settled = self.delivered + sum(self.dead_lettered.values()) + self.repeated
        return self.matched - settled - self.already_delivered - self.already_dead_lettered


@dataclasses.dataclass(frozen=True)
class RunReport:
    """The outcome of everything that was read.

    Attributes:
        at_least: whether the runner may have counted work again that it did again: each event is counted at least once,
            and it is the receipts that decide.
        sent: events on the receipts, if they were looked at; those that were sent again are among them.
        unfinished: a sentence on each input that could not be read to its end, naming it.
        no_event: a sentence on the first object that is not an event, "" if there was none.
        notes: what is worth knowing of lines, before they belong to any subscription.
    """

    read: int
    taken: int
    filtered: int
    unparsable: int
    undirected: Mapping[tuple[str, str], int]  # rejections before any subscription, by stage and code
    accounts: tuple[Account, ...]
    at_least: bool = False
    sent: int | None = None
    unfinished: tuple[str, ...] = ()
    no_event: str = ""
    notes: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], at_least: bool = False, sent: int | None = None) -> RunReport:
        """The books from counters named as in `capybeam.transforms.core.counters`."""
        matched: Counter[str] = Counter()
        delivered: Counter[str] = Counter()
        dead: dict[str, Counter[tuple[str, str]]] = {}
        notes: dict[str, Counter[str]] = {}
        repeated: Counter[str] = Counter()
        already: dict[str, Counter[str]] = {"already_delivered": Counter(), "already_dead_lettered": Counter()}
        withheld: dict[str, Counter[str]] = {}
        unfinished: list[str] = []
        no_event: list[str] = []
        for name, count in counts.items():
            key = CounterKey.decode(name)
            if key is None:
                continue
            if key.kind == "matched":
                matched[key.subscription] += count
            elif key.kind == "delivered":
                delivered[key.subscription] += count
            elif key.kind == "repeated":
                repeated[key.subscription] += count
            elif key.kind in ("already_delivered", "already_dead_lettered"):
                already.setdefault(key.kind, Counter())[key.subscription] += count
            elif key.kind == "withheld":
                withheld.setdefault(key.subscription, Counter())[key.detail] += count
            elif key.kind == "rejected":
                dead.setdefault(key.subscription, Counter())[key.stage, key.detail] += count
            elif key.kind == "note":
                notes.setdefault(key.subscription, Counter())[key.detail] += count
            elif key.kind == "unfinished":
                unfinished.append(key.detail)
            elif key.kind == "no_event":
                no_event.append(key.detail)
        keys = sorted((matched.keys() | delivered.keys() | dead.keys() | withheld.keys()) - {""})
        return cls(
            read=counts.get("read", 0),
            taken=counts.get("taken", 0),
            filtered=counts.get("filtered", 0),
            unparsable=counts.get("unparsable", 0),
            undirected=dict(dead.get("", {})),
            accounts=tuple(
                Account(
                    key,
                    matched[key],
                    delivered[key],
                    dict(dead.get(key, {})),
                    dict(notes.get(key, {})),
                    repeated[key],
                    dict(withheld.get(key, {})),
                    already["already_delivered"][key],
                    already["already_dead_lettered"][key],
                )
                for key in keys
            ),
            at_least=at_least,
            sent=sent,
            unfinished=tuple(sorted(unfinished)),
            no_event=min(no_event, default=""),
            notes=dict(notes.get("", {})),
        )

    @property
    def matched(self) -> int:
        return sum(account.matched for account in self.accounts)

    @property
    def delivered(self) -> int:
        return sum(account.delivered for account in self.accounts)

    @property
    def repeated(self) -> int:
        return sum(account.repeated for account in self.accounts)

    @property
    def already(self) -> Mapping[str, int]:
        """Conversions that earlier runs had settled, as ``already_delivered`` and ``already_dead_lettered``."""
        delivered = sum(account.already_delivered for account in self.accounts)
        dead = sum(account.already_dead_lettered for account in self.accounts)
        return _known({"already_delivered": delivered, "already_dead_lettered": dead})

    @property
    def withheld(self) -> Mapping[str, int]:
        """Conversions for which there was no consent, by what their events say."""
        return sum((Counter(account.withheld) for account in self.accounts), Counter[str]())

    @property
    def dead_lettered(self) -> int:
        directed = sum(sum(account.dead_lettered.values()) for account in self.accounts)
        return directed + sum(self.undirected.values())

    @property
    def balanced(self) -> bool:
        unfilterable = sum(count for (stage, _), count in self.undirected.items() if stage == "filter")
        read = self.taken + self.filtered + self.unparsable + unfilterable
        return self.read == read and all(account.in_flight == 0 for account in self.accounts)

    @property
    def resent(self) -> int:
        """Events that were sent again, as the receipts have it; work that is repeated skips what they name."""
        return max(0, (self.sent or 0) - self.delivered - self.already.get("already_delivered", 0))

    @property
    def refused_destinations(self) -> tuple[str, ...]:
        """Destinations that refused everything (token, permission, version)."""
        refused = {
            split_key(account.subscription)[0]
            for account in self.accounts
            for _, code in account.dead_lettered
            if code == "destination_refused"
        }
        return tuple(sorted(refused))

    def as_json(self) -> dict[str, Any]:
        """For programs: the books with totals, and each subscription's by "stage/code"."""
        elsewhere = {"at_least": self.at_least, "sent": self.sent} if self.at_least or self.sent is not None else {}
        return {
            "balanced": self.balanced,
            **elsewhere,
            "read": self.read,
            "taken": self.taken,
            "filtered": self.filtered,
            "unparsable": self.unparsable,
            "matched": self.matched,
            "delivered": self.delivered,
            "dead_lettered": self.dead_lettered,
            **({"repeated": self.repeated} if self.repeated else {}),
            **self.already,
            **({"without_consent": dict(sorted(self.withheld.items()))} if self.withheld else {}),
            **({"unfinished": list(self.unfinished)} if self.unfinished else {}),
            **({"no_event": self.no_event} if self.no_event else {}),
            **({"notes": dict(self.notes)} if self.notes else {}),
            "rejected_before_matching": _by_name(self.undirected),
            "subscriptions": {
                account.subscription: {
                    "matched": account.matched,
                    "delivered": account.delivered,
                    "dead_lettered": _by_name(account.dead_lettered),
                    **({"repeated": account.repeated} if account.repeated else {}),
                    **_known(
                        {
                            "already_delivered": account.already_delivered,
                            "already_dead_lettered": account.already_dead_lettered,
                        }
                    ),
                    **({"without_consent": dict(sorted(account.withheld.items()))} if account.withheld else {}),
                    "notes": dict(account.notes),
                }
                for account in self.accounts
            },
        }

    def render(self) -> RenderableType:
        """For people: two tables and a line that says whether it adds up."""
        accounts = Table(title="The books", title_justify="left", pad_edge=False)
        accounts.add_column("destination / subscription")
        for column in ("matched", "delivered", "dead-lettered"):
            accounts.add_column(column, justify="right")
        if self.repeated:
            accounts.add_column("repeated", justify="right")
        for kind in self.already:
            accounts.add_column(kind.replace("_", " ", 1).replace("_", "-"), justify="right")
        if self.withheld:
            accounts.add_column("without consent", justify="right")
        flying = any(account.in_flight for account in self.accounts)
        if flying:
            accounts.add_column("in flight", justify="right")
        for account in self.accounts:
            row = [account.matched, account.delivered, sum(account.dead_lettered.values())]
            row += [account.repeated] if self.repeated else []
            row += [getattr(account, kind) for kind in self.already]
            row += [sum(account.withheld.values())] if self.withheld else []
            row += [account.in_flight] if flying else []
            name = Text(account.subscription)  # brackets in an event's name are not markup
            accounts.add_row(name, *(f"{count:,}" for count in row))
        parts: list[RenderableType] = [accounts] if self.accounts else []
        rejections = self._rejections()
        if rejections:
            reasons = Table(title="Dead letters", title_justify="left", pad_edge=False)
            reasons.add_column("stage / code")
            reasons.add_column("events", justify="right")
            reasons.add_column("what it means")
            for (stage, code), count in sorted(rejections.items(), key=lambda item: (-item[1], item[0])):
                reasons.add_row(f"{stage} / {code}", f"{count:,}", CODES.get(code, ""))
            parts.append(reasons)
        if self.no_event:
            parts.append(Text(f"parse / not_an_event, the first: {self.no_event}"))
        if self.withheld:
            listed = ", ".join(f"{answer} {count:,}" for answer, count in sorted(self.withheld.items()))
            parts.append(Text(f"Not sent, as there is no consent: {listed}"))
        notes = sum((Counter(account.notes) for account in self.accounts), Counter(self.notes))
        if notes:
            listed = ", ".join(f"{note} {count:,}" for note, count in notes.most_common())
            parts.append(Text(f"Along the way: {listed}"))
        parts.append(Text(self.sentence(), style="bold" if self.balanced or self.at_least else "bold red"))
        return Group(*parts)

    def sentence(self) -> str:
        """One line: how the events read are accounted for, and whether the books balance."""
        read = (
            f"{self.read:,} read = {self.taken:,} taken + {self.filtered:,} filtered + {self.unparsable:,} unparsable;"
            f" {self.matched:,} matched = {self.delivered:,} delivered"
            f" + {self.dead_lettered - sum(self.undirected.values()):,} dead-lettered"
            + (f" + {self.repeated:,} repeated" if self.repeated else "")
            + "".join(
                f" + {count:,} {kind.replace('_', ' ', 1).replace('_', '-')}" for kind, count in self.already.items()
            )
        )
        flying = sum(account.in_flight for account in self.accounts)
        if self.balanced:
            return f"{read}. The books balance.{self._again()}"
        if self.at_least:
            decided = "the receipts decide" if self.sent is None else f"{self.sent:,} were delivered, by the receipts"
            return f"{read}. Work that was done again is counted again, each event at least once; {decided}."
        return f"{read} + {flying:,} in flight. THE BOOKS DO NOT BALANCE."

    def _again(self) -> str:
        if not self.resent:
            return ""
        return (
            f" {self.resent:,} events were sent again because lost work was redone: Meta drops them by their"
            " event_id, and some receipts and dead letters exist twice."
        )

    def _rejections(self) -> Counter[tuple[str, str]]:
        return sum((Counter(account.dead_lettered) for account in self.accounts), Counter(self.undirected))


def _known(counts: Mapping[str, int]) -> dict[str, int]:
    """Those that are not zero."""
    return {name: count for name, count in counts.items() if count}


def _by_name(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    return {f"{stage}/{code}": count for (stage, code), count in sorted(counts.items())}
