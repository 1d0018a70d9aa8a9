"""The report of a run for people: tables, and a line that says whether it adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from capybeam.pipeline.run.report import Account, Cause, RunReport
from capybeam.transforms.core.rejections import CODES

MOST_CAUSES: Final = 25  # rows of the table of dead letters; the rest is one row


def render(report: RunReport) -> RenderableType:
    """All of it."""
    total = report.total
    parts: list[RenderableType] = []
    if report.accounts:
        parts.append(_accounts(report, total))
    if report.dead_letters:
        parts.append(_dead_letters(report))
    if report.no_event:
        parts.append(Text(f"parse / not_an_event, the first: {report.no_event}"))
    if total.withheld:
        listed = ", ".join(f"{answer} {count:,}" for answer, count in sorted(total.withheld.items()))
        parts.append(Text(f"Not sent, as there is no consent: {listed}"))
    notes = Counter(report.notes) + Counter(total.notes)
    if notes:
        listed = ", ".join(f"{note} {count:,}" for note, count in notes.most_common())
        parts.append(Text(f"Along the way: {listed}"))
    parts.append(Text(sentence(report), style="bold" if report.balanced or report.at_least else "bold red"))
    return Group(*parts)


def _accounts(report: RunReport, total: Account) -> Table:
    accounts = Table(title="The books", title_justify="left", pad_edge=False)
    accounts.add_column("destination / subscription")
    columns = ["matched", "delivered", "dead-lettered"]
    columns += ["repeated"] if total.repeated else []
    columns += ["already delivered"] if total.already_delivered else []
    columns += ["already dead-lettered"] if total.already_dead_lettered else []
    columns += ["without consent"] if total.withheld else []
    flying = any(account.in_flight for account in report.accounts)
    columns += ["in flight"] if flying else []
    for column in columns:
        accounts.add_column(column, justify="right")
    for account in report.accounts:
        row = [account.matched, account.delivered, account.dead]
        row += [account.repeated] if total.repeated else []
        row += [account.already_delivered] if total.already_delivered else []
        row += [account.already_dead_lettered] if total.already_dead_lettered else []
        row += [account.without_consent] if total.withheld else []
        row += [account.in_flight] if flying else []
        name = Text(account.subscription)  # brackets in an event's name are not markup
        accounts.add_row(name, *(f"{count:,}" for count in row))
    return accounts


def _dead_letters(report: RunReport) -> Table:
    table = Table(title="Dead letters", title_justify="left", pad_edge=False)
    table.add_column("what", overflow="fold")
    table.add_column("events", justify="right")
    table.add_column("stage / code", no_wrap=True)
    table.add_column("what it means")
    causes = sorted(_causes(report), key=lambda item: (-item[2], item[:2]))
    for subscription, cause, count in causes[:MOST_CAUSES]:
        name = f"{subscription}: {described(cause)}" if subscription else described(cause)
        means = Text(CODES.get(cause.code, ""))
        table.add_row(Text(name), f"{count:,}", f"{cause.stage} / {cause.code}", means)
    rest = causes[MOST_CAUSES:]
    if rest:
        table.add_row(f"and {len(rest):,} more", f"{sum(count for *_, count in rest):,}", "", "see --report")
    return table


def _causes(report: RunReport) -> Iterator[tuple[str, Cause, int]]:
    for cause, count in report.undirected.items():
        yield "", cause, count
    for account in report.accounts:
        for cause, count in account.dead_lettered.items():
            yield account.subscription, cause, count


def described(cause: Cause) -> str:
    """A cause in a few words: "currency missing", "Meta 100/2804019: Invalid parameter".

    >>> described(Cause("validate", "missing_currency", field="currency"))
    'currency missing'
    >>> described(Cause("validate", "event_too_old", field="event_time"))
    'event too old'
    """
    words = cause.code.replace("_", " ")
    if cause.meta_code:
        return f"Meta {cause.meta_code}: {cause.reason}" if cause.reason else f"Meta {cause.meta_code}"
    if cause.reason:
        return cause.reason
    for verdict in ("missing", "invalid"):
        if cause.field and verdict in words.split():
            return f"{cause.field} {verdict}"
    if cause.field and cause.code not in _SAYS_FIELD:
        return f"{cause.field}: {words}"
    return words


_SAYS_FIELD: Final = frozenset({"event_too_old", "event_in_future", "no_match_keys", "match_keys_too_broad"})


def sentence(report: RunReport) -> str:
    """One line: how the events read are accounted for, and whether the books balance."""
    total = report.total
    read = (
        f"{report.read:,} read = {report.taken:,} taken + {report.filtered:,} filtered"
        f" + {report.unreadable:,} unreadable;"
        f" {total.matched:,} matched = {total.delivered:,} delivered + {total.dead:,} dead-lettered"
        + (f" + {total.without_consent:,} without consent" if total.withheld else "")
        + (f" + {total.repeated:,} repeated" if total.repeated else "")
        + (f" + {total.already_delivered:,} already delivered" if total.already_delivered else "")
        + (f" + {total.already_dead_lettered:,} already dead-lettered" if total.already_dead_lettered else "")
    )
    if report.balanced:
        return f"{read}. The books balance.{_again(report)}"
    if report.is_partial:
        return f"{read}. There may be more of each: a lost process had not told all. The receipts decide."
    if report.at_least:
        decided = "the receipts decide" if report.sent is None else f"{report.sent:,} were delivered, by the receipts"
        return f"{read}. Work that was done again is counted again, each event at least once; {decided}."
    flying = sum(account.in_flight for account in report.accounts)
    return f"{read} + {flying:,} in flight. THE BOOKS DO NOT BALANCE."


def _again(report: RunReport) -> str:
    dropped = "Meta drops them by their event_id"
    if report.resent:
        events = "1 event was" if report.resent == 1 else f"{report.resent:,} events were"
        return (
            f" At least {events} sent again because lost work was redone, besides those in flight when it was lost:"
            f" {dropped}, and some receipts and dead letters exist twice."
        )
    if report.restarts:
        times = "once" if report.restarts == 1 else f"{report.restarts:,} times"
        return (
            f" Work was lost {times} and redone: at least the requests in flight then were sent again, which have no"
            f" receipt of the first time. {dropped}."
        )
    return ""
