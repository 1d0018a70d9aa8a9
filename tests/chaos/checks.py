"""What must hold after a run, whatever went wrong during it.

A conversion is an event for one subscription. Its identity, here, is destination, subscription and event_id; an input
may hold it several times, so everything is counted in multisets.

**Of every run, killed ones too**

- Whole lines only in dead letters and receipts.
- *Meta refused it* is said of no event that Meta would take; and what is said so of is not stored. These are the
  dead letters that nobody sends again, so each mistake among them would be a loss.
- A dead letter is marked retryable exactly where the destination was at fault (`RETRYABLE`).
- Dead letters of a destination that refuses everything exist only where its token died or it did refuse everything. A
  venomous event that is refused may be among them: nothing shows that it was the event where no other got through
  afterwards.
- It took no longer than its `bound`, which follows from the plan and the faults that its servers had injected.

**Of a run that no signal ended, for each destination (`check_delivery`)**

- One that refuses everything from the start, with whatever code, gets few requests, and all its dead letters are of
  that, retryable; where it turns to that later, none else is blamed, and it gets few requests from then on.
- One that fails on venomous events, and on nothing at random, has those alone as dead letters, however it fails.
- One that takes a few events at a time gets all.

**Of a run that read its whole input and ended by itself**

- Its exit code says what happened: 3 a dead token, else 5 an outage, else 1 dead letters, else 0; 130 after a signal.
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
  in, no token came in a URL or to the other destination or to a proxy of the environment, and no personal data came in
  the clear.
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

from tests.chaos.plans import NAMES, RATES, VENOM, Conversion, Plan, Stored, stored
from tests.chaos.runs import Met, Run
from tests.reports import problems_of, subscriptions, unreadable

RETRYABLE: Final = frozenset({"destination_refused", "gave_up_retrying", "interrupted"})
OK, DEAD_LETTERS, REFUSED, GAVE_UP, INTERRUPTED, KILLED = 0, 1, 3, 5, 130, -9

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
        if row["stage"] != "send":
            continue
        name, is_venom = row["destination"], VENOM in conversion(row).event_id
        met = run.met[name]
        is_refused_poison = is_venom and plan.trouble[name].refuses_poison and bool(met.injected.get("poisoned"))
        is_right = died[name] or bool(met.injected.get("refused")) or is_refused_poison
        if row["code"] == "destination_refused" and not is_right:
            yield f"{name} is called refused, but it is not: {row['message']}"
        if row["code"] == "meta_refused_event" and conversion(row) not in plan.truth.refused and not is_refused_poison:
            yield f"a good event is called refused: {conversion(row)}: {row['message']}"


START: Final = 120.0  # seconds for a run without trouble on a machine that is very busy; what hangs, hangs for longer
FAULT: Final = 1.5  # seconds of pause after a request that failed in a way that may pass, on average
PAUSES: Final = 8.0  # seconds that a batch with a poisoned event takes, less its time-outs, at most
WAITS: Final = 4  # times retry_for: the whole destination fails, then it is poison, and both once more


def bound(plan: Plan, run: Run) -> float:
    """Seconds that a run may take: what its requests take one after the other, and waiting that has an end.

    Nothing in it grows with what a server asks for, and no event has a retry_for of its own.
    """
    return START + sum(_bound(plan, name, met) for name, met in run.met.items())


def _bound(plan: Plan, name: str, met: Met) -> float:
    timeout, faults = plan.seconds("timeout"), met.faults
    pace = 1 / plan.delivery.get("requests_per_second", 50) + faults["latency"] + (faults["usage_percent"] > 75) * 0.25
    seconds = met.requests * pace + met.injected.get("slow", 0) * min(timeout, faults["slow_seconds"])
    if faults["poisoned_ids"]:
        poisoned = sum(VENOM in which.event_id for which in plan.truth.sendable.elements() if which.destination == name)
        batches = min(poisoned, plan.truth.sendable.total() / plan.delivery["max_batch_events"] + 2)
        seconds += batches * PAUSES / plan.delivery["concurrency"] + PAUSES
    if faults["poisoned_ids"] and faults["poison_answer"] == "hang":
        seconds += met.injected.get("poisoned", 0) * timeout
    passing = sum(met.injected.get(kind, 0) for kind in PASSING)
    return seconds + passing * FAULT + WAITS * plan.seconds("retry_for")


PASSING: Final = ("error", "html", "throttle", "drop_before", "drop_after", "short", "excess", "double", "slow")


def check_time(plan: Plan, run: Run) -> Iterator[str]:
    """Problems of a run that took too long, which is one that waits for what does not come."""
    if run.seconds > bound(plan, run):
        yield f"it took {run.seconds:.0f} s, more than {bound(plan, run):.0f} s"


def check_delivery(plan: Plan, run: Run) -> Iterator[str]:
    """Problems of what each destination was sent, and of what it is blamed for, in a run that no signal ended."""
    for name, met in run.met.items():
        mine = [row for row in unsent(run) if row["destination"] == name]
        events = sum(n for which, n in plan.truth.sendable.items() if which.destination == name)
        trouble, concurrency = plan.trouble[name], plan.delivery["concurrency"]
        codes = Counter(row["code"] for row in mine)
        good = [
            row for row in mine if VENOM not in conversion(row).event_id and conversion(row) not in plan.truth.refused
        ]
        if met.faults["refused_code"] and trouble.character == "refusing":
            batches = events // plan.delivery["max_batch_events"] + 1
            few = 30 + concurrency + 2 * batches.bit_length()
            if met.faults["refused_after"]:
                few = met.faults["refused_after"] + 100 + 16 * concurrency
            if met.requests > few:
                yield f"{name} refuses everything and got {met.requests} requests, more than {few}"
            if not met.faults["refused_after"] and codes != {"destination_refused": events}:
                yield f"{name} refuses all {events} events from the start, and that became {dict(codes)}"
            if any(row["code"] != "destination_refused" for row in good):
                yield f"{name} refuses everything, and its dead letters are {dict(codes)}"
        if met.faults["poisoned_ids"] and trouble.is_quiet and good:
            yield f"{name}: {len(good)} good events became {dict(Counter(row['code'] for row in good))} for poison"
        if met.faults["max_events"] and good:
            yield f"{name}: {len(good)} events that fit became {dict(Counter(row['code'] for row in good))}"
        fails = met.faults["refused_code"] or any(met.faults[rate] == 1.0 for rate in RATES)
        if trouble.character == "failing" and fails and set(codes) - {"gave_up_retrying"}:
            yield f"{name} fails always, and its dead letters are {dict(codes)}"


def check_whole(plan: Plan, run: Run, kept: frozenset[Stored], signalled: bool) -> Iterator[str]:
    """Problems of a run that ended by itself or upon Ctrl-C; `kept` is what the servers have stored."""
    books, truth = run.books, plan.truth
    if books is None:
        yield "there are no books"
        return
    yield from _check_exit_code(run, signalled)
    if not books["balanced"]:
        yield "the books do not balance"
    yield from (f"the report: {problem}" for problem in problems_of(books))
    yield from _check_causes(run, books)
    if books["dead_letters"] != len(run.dead_letters):
        yield f"{books['dead_letters']} dead letters by the books, {len(run.dead_letters)} in the file"
    yield from _check_receipts(plan, run, books)
    if books["read"] != truth.read:
        if not (run.exit_code == INTERRUPTED and books["read"] < truth.read):
            yield f"{books['read']} read of {truth.read}"
        return
    expected = {
        "filtered": truth.filtered,
        "unreadable": truth.unparsable.total(),
        "taken": truth.taken,
    }
    found = unreadable(books)
    if found != {f"parse/{code}": n for code, n in sorted(truth.unparsable.items())}:
        yield f"books: unreadable are {found}"
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
    by_itself = (
        REFUSED if "destination_refused" in codes else GAVE_UP if codes & RETRYABLE else DEAD_LETTERS if codes else OK
    )
    # A signal may come when everything is over but the farewell.
    allowed = {by_itself, INTERRUPTED} if signalled else {by_itself}
    if run.exit_code not in allowed:
        yield f"exit code {run.exit_code}, not {' or '.join(map(str, allowed))}"


def _check_accounts(plan: Plan, run: Run, books: Row, delivered: Counter[Conversion]) -> Iterator[str]:
    for destination, subscription in NAMES:
        key = f"{destination}/{subscription}"
        account = subscriptions(books).get(key, {"matched": 0, "delivered": 0, "dead_lettered": {}})
        mine = [
            row for row in run.dead_letters if (row["destination"], row["subscription"]) == (destination, subscription)
        ]
        expected = {
            "matched": plan.truth.matched(destination, subscription),
            "delivered": sum(n for which, n in delivered.items() if which[:2] == (destination, subscription)),
            "dead_lettered": dict(sorted(Counter(f"{row['stage']}/{row['code']}" for row in mine).items())),
        }
        yield from (f"books: {key}, {k} is {account[k]}, not {v}" for k, v in expected.items() if account[k] != v)


def _check_causes(run: Run, books: Row) -> Iterator[str]:
    """Each code of Meta's that a dead letter has is in the report, with as many events; so is what is retryable."""
    for rejection in books["rejections"]:
        if rejection["retryable"] != (rejection["code"] in RETRYABLE):
            yield f"the report calls {rejection['code']} retryable: {rejection['retryable']}"
    in_file = Counter(row["meta_code"] for row in run.dead_letters)
    in_report: Counter[str | None] = Counter()
    for rejection in books["rejections"]:
        in_report[rejection["meta_code"]] += rejection["count"]
    if in_file != in_report:
        yield f"Meta's codes are {dict(in_file)} in the dead letters and {dict(in_report)} in the report"


def _check_receipts(plan: Plan, run: Run, books: Row) -> Iterator[str]:
    for destination in plan.tokens:
        booked = books["destinations"][destination]["delivered"]
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
    refusals = set(stats["refusals"]) - _refusals(plan, name)
    reasons = {error["reason"] for error in stats["errors"]} - _OF_THE_SEED
    yield from (f"{name} refused a batch: {why}" for why in sorted(refusals | reasons))


def _refusals(plan: Plan, name: str) -> set[str]:
    """The seed's own: cursed events, a dead token, everything, requests that are too large."""
    faults = plan.trouble[name].faults
    code, subcode = faults.get("refused_code"), faults.get("refused_subcode")
    everything = {f"{code}/{subcode}" if subcode else str(code)} if code else set()
    return {"100/2804019", "190/463", *everything, *(["100"] if faults.get("max_events") else [])}


_OF_THE_SEED: Final = frozenset(
    {
        "everything is refused",
        "the request body is too large",
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
