"""What must hold after a run, whatever went wrong during it.

A conversion is an event for one subscription. Its identity, here, is destination, subscription and event_id; an input
may hold it several times, so everything is counted in multisets.

**Of every run, killed ones too**

- Whole lines only in dead letters and receipts.
- *Meta refused it* is said of no event that Meta would take; and what is said so of is not stored. These are the
  dead letters that nobody sends again, so each mistake among them would be a loss.
- A dead letter is marked retryable exactly where the destination was at fault (`RETRYABLE`).
- Dead letters of a dead token exist only where that destination's token died.

**Of a run that read its whole input and ended by itself**

- Its exit code says what happened: 3 a dead token, else 1 dead letters, else 0; 130 after a signal.
- Its books balance and agree with how the input was made: read, filtered, unparsable, and matched by subscription.
- Rules reject exactly what they should, with stage and code.
- For each subscription, delivered (books) = sendable - dead-lettered by the send stage (file), and books and file
  agree on how many there are of each code. So nothing is counted twice, and nothing is in both or in neither.
- What is sendable and no dead letter is stored by the server: this is "nothing is lost".
- Receipts add up to what the books call delivered, for each destination.

A run ended by a signal is held to the same where its books say that it read everything, and otherwise to books that
balance and agree with dead letters and receipts; a killed one has no books, and its repeat is held to all of it.

**Of the server, at the end**

- It stored nothing but what was sendable, under the event_id that is known beforehand, and never what it refuses.
  Each id once: "nothing is doubled". (It drops repeats itself, by event name and event_id; so a double could only come
  in under another event_id, which is what this finds.)
- received = stored + repeats. No event came without event_id, no batch was refused for anything but what the seed put
  in, no token came in a URL or to the other destination, and no personal data came in the clear.
- delivered (books) <= received by the server during the run: it may have taken what the sender could not know, where
  the answer was lost. The two are equal where no answer can have been lost. So an event may be stored *and* be a
  dead letter, but only a retryable one; sending that again is harmless.

**Of everything written**: no token anywhere; nothing raw of a person in output, books, receipts, or in dead letters
outside the payload; nor, but for the IP address that Meta wants raw, in the payload of what was ready to be sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.chaos.plans import NAMES, Conversion, Plan, Stored, stored
from tests.chaos.runs import Run

RETRYABLE: Final = frozenset({"destination_refused", "gave_up_retrying", "interrupted"})
OK, DEAD_LETTERS, REFUSED, INTERRUPTED, KILLED = 0, 1, 3, 130, -9

Row = Mapping[str, Any]


def conversion(row: Row) -> Conversion:
    """Whose dead letter it is."""
    return Conversion(row["destination"], row["subscription"], row["event_id"])


def unsent(run: Run) -> list[Row]:
    """Dead letters of the send stage."""
    return [row for row in run.dead_letters if row["stage"] == "send"]


def retryable(run: Run) -> bool:
    return any(row["retryable"] for row in run.dead_letters)


def check_any(plan: Plan, run: Run, died: Mapping[str, bool]) -> Iterator[str]:
    """Problems of a run, however it ended. `died`: whether a destination's token can have been dead during it."""
    yield from run.problems
    if run.exit_code is None:
        yield "the run hangs"
    for row in run.dead_letters:
        if row["retryable"] != (row["code"] in RETRYABLE):
            yield f"{row['stage']}/{row['code']} has retryable {row['retryable']}"
        if row["code"] == "internal_error":
            yield f"internal_error at {row['stage']}: {row['message']}"
        if row["code"] == "destination_refused" and not died[row["destination"]]:
            yield f"{row['destination']} is called refused, but its token is good: {row['message']}"
        if row["code"] == "meta_refused_event" and conversion(row) not in plan.truth.refused:
            yield f"a good event is called refused: {conversion(row)}: {row['message']}"


def check_whole(plan: Plan, run: Run, kept: frozenset[Stored], signalled: bool) -> Iterator[str]:
    """Problems of a run that ended by itself or upon Ctrl-C; `kept` is what the servers have stored."""
    books, truth = run.books, plan.truth
    if books is None:
        yield "there are no books"
        return
    yield from _check_exit_code(run, signalled)
    if not books["balanced"]:
        yield "the books do not balance"
    if books["dead_lettered"] != len(run.dead_letters):
        yield f"{books['dead_lettered']} dead letters by the books, {len(run.dead_letters)} in the file"
    yield from _check_receipts(plan, run, books)
    if books["read"] != truth.read:
        if not (run.exit_code == INTERRUPTED and books["read"] < truth.read):
            yield f"{books['read']} read of {truth.read}"
        return
    expected = {
        "filtered": truth.filtered,
        "unparsable": truth.unparsable.total(),
        "taken": truth.taken,
        "rejected_before_matching": {f"parse/{code}": n for code, n in sorted(truth.unparsable.items())},
    }
    yield from (f"books: {k} is {books[k]}, not {value}" for k, value in expected.items() if books[k] != value)

    rejected = Counter(
        (conversion(row), row["stage"], row["code"])
        for row in run.dead_letters
        if row["stage"] not in ("parse", "send")
    )
    for (which, stage, code), n in ((rejected - truth.rejected) + (truth.rejected - rejected)).items():
        yield f"{which}: {stage}/{code} {n} too many or too few"

    dead = Counter(map(conversion, unsent(run)))
    yield from (f"{which}: {n} dead letters too many" for which, n in (dead - truth.sendable).items())
    delivered = truth.sendable - dead
    yield from (f"{which}: lost" for which in delivered if stored(which) not in kept)
    yield from _check_accounts(plan, run, books, delivered)


def lost(plan: Plan, run: Run, kept: frozenset[Stored]) -> list[Conversion]:
    """Conversions that are neither stored nor dead-lettered, of those that Meta should have got."""
    dead = Counter(map(conversion, unsent(run)))
    return [which for which in plan.truth.sendable - dead if stored(which) not in kept]


def _check_exit_code(run: Run, signalled: bool) -> Iterator[str]:
    codes = {row["code"] for row in run.dead_letters}
    by_itself = REFUSED if "destination_refused" in codes else DEAD_LETTERS if codes else OK
    # A signal may come when everything is over but the farewell.
    allowed = {by_itself, INTERRUPTED} if signalled else {by_itself}
    if run.exit_code not in allowed:
        yield f"exit code {run.exit_code}, not {' or '.join(map(str, allowed))}"


def _check_accounts(plan: Plan, run: Run, books: Row, delivered: Counter[Conversion]) -> Iterator[str]:
    for destination, subscription in NAMES:
        key = f"{destination}/{subscription}"
        account = books["subscriptions"].get(key, {"matched": 0, "delivered": 0, "dead_lettered": {}})
        mine = [
            row for row in run.dead_letters if (row["destination"], row["subscription"]) == (destination, subscription)
        ]
        expected = {
            "matched": plan.truth.matched(destination, subscription),
            "delivered": sum(n for which, n in delivered.items() if which[:2] == (destination, subscription)),
            "dead_lettered": dict(Counter(f"{row['stage']}/{row['code']}" for row in mine)),
        }
        yield from (f"books: {key}, {k} is {account[k]}, not {v}" for k, v in expected.items() if account[k] != v)


def _check_receipts(plan: Plan, run: Run, books: Row) -> Iterator[str]:
    for destination in plan.tokens:
        booked = sum(a["delivered"] for k, a in books["subscriptions"].items() if k.startswith(f"{destination}/"))
        receipted = sum(row["events"] for row in run.receipts if row["destination"] == destination)
        if booked != receipted:
            yield f"{destination}: {booked} delivered by the books, {receipted} by the receipts"


def check_taken(plan: Plan, run: Run, received: int) -> Iterator[str]:
    """Problems between a run's books and how many events the servers received during it."""
    if run.books is None:
        return
    delivered = run.books["delivered"]
    if delivered > received:
        yield f"{delivered} delivered by the books, but the servers received {received}"
    if delivered < received and not plan.answers_get_lost:
        yield f"{delivered} delivered by the books, the servers received {received}, and no answer was lost"


def check_server(plan: Plan, name: str, stats: Mapping[str, Any], ids: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Problems that the server of one destination sees, at the end."""
    expected = {stored(which) for which in plan.truth.good if which.destination == name}
    kept = [Stored(name, event_name, event_id) for event_name, event_id in ids]
    yield from (f"stored, but not to be sent: {which}" for which in set(kept) - expected)
    if stats["events_stored"] != len(set(kept)):
        yield f"{name}: {stats['events_stored']} events stored under {len(set(kept))} ids"
    if stats["events_received"] != stats["events_stored"] + stats["duplicates"]:
        yield f"{name}: received is not stored + repeats"
    for count in ("without_event_id", "tokens_in_url", "raw_pii", "pii_in_custom_data", "pii_in_urls"):
        if stats[count]:
            yield f"{name}: {count} is {stats[count]}"
    refusals = set(stats["refusals"]) - {"100/2804019", "190/463"}  # the seed's own: cursed events, a dead token
    reasons = {error["reason"] for error in stats["errors"]} - _OF_THE_SEED
    yield from (f"{name} refused a batch: {why}" for why in sorted(refusals | reasons))


_OF_THE_SEED: Final = frozenset(
    {
        "the event is refused for a reason that only Meta knows",
        "Error validating access token: Session has expired",
    }
)


def check_leaks(plan: Plan, folder: Path) -> Iterator[str]:
    """Tokens and personal data in what the runs wrote into `folder`."""
    inputs = {"crm.token", *(f"events-{part}.jsonl" for part in range(len(plan.files)))}
    for path in sorted(folder.iterdir()):
        if path.name in inputs:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        yield from (f"a token is in {path.name}" for token in plan.tokens.values() if token in text)
        if path.name.startswith("dead-letters"):
            rows = [row for line in text.splitlines() if (row := _parsed(line)) is not None]
            outside = json.dumps([{k: v for k, v in row.items() if k != "payload"} for row in rows])
            yield from _personal(plan.personal, outside, path.name)
            ready = json.dumps([_without_ip(row["payload"]) for row in rows if row["stage"] in ("validate", "send")])
            yield from _personal(plan.personal, ready, f"hashed payloads of {path.name}")
        else:
            yield from _personal(plan.personal, text, path.name)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return None  # reported with the run that wrote it
    return row


def _without_ip(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    user_data = {k: v for k, v in payload.get("user_data", {}).items() if k != "client_ip_address"}
    return {**payload, "user_data": user_data}


def _personal(personal: Iterable[str], text: str, where: str) -> Iterator[str]:
    # Without quoting it: what a test prints is a log as well.
    lower = text.lower()
    found = sum(value.lower() in lower for value in personal)
    if found:
        yield f"{found} raw personal values are in {where}"
