"""One seed: a job of two destinations, each with a server that misbehaves, run until all of it must have arrived.

The first run meets the seed's faults, and perhaps a dead token, Ctrl-C or ``kill -9``. Where it was ended from outside
it is run again, over the same input and with the same faults. Where retryable dead letters are left the faults are
taken away, dead tokens come back, and it is run once more: that must mend everything. `checks` says what holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from capybeam.pipeline.sandbox.faults import Faults
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.chaos import checks
from tests.chaos.plans import DATASETS, REFUSED, Plan, Stored, draw, stored
from tests.chaos.runs import Run, run


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a seed.

    Attributes:
        faults: injected, by kind; signals and runs after the first are among them.
        events: lines of the input that are not blank.
        delivered, dead_lettered: conversions, by the books of the last run.
        filtered: events.
        lost: conversions that are neither with the server nor among the dead letters.
        doubled: events that the server has more often than it should, or that were counted twice.
        slowest: of its runs, the largest share of its bound that one took, 0 to 1.
        problems: what else does not hold, in words; empty where all is well.
    """

    seed: int
    faults: Mapping[str, int]
    events: int
    delivered: int
    filtered: int
    dead_lettered: int
    lost: int
    doubled: int
    seconds: float
    slowest: float
    problems: tuple[str, ...]


def run_seed(seed: int, folder: Path, workers: int = 1) -> Result:
    """Runs one seed in `folder`, which must be empty, with so many worker processes."""
    started = time.monotonic()
    plan = dataclasses.replace(draw(seed), workers=workers)
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_server(plan, name)) for name in DATASETS}
        (folder / "job.json").write_text(plan.job({name: server.url for name, server in servers.items()}))
        (folder / "crm.token").write_text(plan.tokens["crm"])
        for part, content in enumerate(plan.files):
            (folder / f"events-{part}.jsonl").write_bytes(content)
        proxy, heard = stack.enter_context(_proxy(plan))
        seed_run = _Seed(plan, folder, servers, proxy, heard)
        seed_run.until_all_is_there()
        return seed_run.result(time.monotonic() - started)


def _server(plan: Plan, name: str) -> SandboxServer:
    # A server knows one token and one dataset, so that what goes astray is refused.
    faults = Faults().changed(plan.trouble[name].faults)
    return SandboxServer(
        SandboxSettings(tokens=frozenset({plan.tokens[name]}), datasets=frozenset({DATASETS[name]}), faults=faults)
    )


@contextlib.contextmanager
def _proxy(plan: Plan) -> Iterator[tuple[str, list[bytes]]]:
    """URL of a proxy, and what it was sent. A dead one has a port that nobody listens at."""
    heard: list[bytes] = []
    if plan.proxy == "none":
        yield "", heard
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if plan.proxy == "alive":
            threading.Thread(target=_listen, args=(listener, heard), daemon=True).start()
        else:
            listener.close()
        yield url, heard


def _listen(listener: socket.socket, heard: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # when it is closed
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(1.0)
                heard.append(connection.recv(4096))


class _Seed:
    def __init__(
        self, plan: Plan, folder: Path, servers: Mapping[str, SandboxServer], proxy: str, heard: list[bytes]
    ) -> None:
        self._plan, self._folder, self._servers = plan, folder, servers
        self._proxy, self._heard = proxy, heard
        self._faults: Counter[str] = Counter({f"proxy {plan.proxy}": plan.proxy != "none", "digits": plan.truth.bombs})
        self._problems: list[str] = []
        self._runs: list[Run] = []
        self._called_refused: set[Stored] = set()

    def until_all_is_there(self) -> None:
        plan = self._plan
        first = self._run(troubled=True)
        self._faults["token died"] += sum(self._died(name) for name in plan.trouble)
        ended = first.exit_code in (checks.KILLED, checks.INTERRUPTED)
        if ended:
            self._faults[plan.ending] += 1
            for name, trouble in plan.trouble.items():
                if trouble.back_after is not None:
                    self._servers[name].set_faults(dead_token=False)
            self._run(troubled=False)
        if checks.retryable(self._runs[-1]):
            quiet = {**dataclasses.asdict(Faults()), "refused_ids": REFUSED}
            for server in self._servers.values():
                server.set_faults(**quiet)
            if checks.retryable(self._run(troubled=False)):
                self._problems.append("a run without faults leaves retryable dead letters")

    def _run(self, *, troubled: bool) -> Run:
        plan, number = self._plan, len(self._runs) + 1
        before = self._received()
        done = run(plan, self._folder, self._servers, self._proxy, troubled=troubled)
        self._runs.append(done)
        # Servers may still be taking what the sender has given up waiting for.
        time.sleep(0.1 + max(trouble.faults["slow_seconds"] for trouble in plan.trouble.values()))
        signalled = troubled and plan.ending in ("interrupt", "interrupt twice")
        problems = list(checks.check_any(plan, done, {name: self._died(name) for name in plan.trouble}))
        problems += checks.check_time(plan, done)
        if not (signalled or done.exit_code == checks.KILLED):
            problems += checks.check_delivery(plan, done)
        ended_at_once = done.exit_code == checks.KILLED or (signalled and plan.ending == "interrupt twice")
        if ended_at_once and done.books is not None and not done.books["balanced"]:
            problems += checks.problems_of(done.books)  # of what had been counted by then
        elif not (ended_at_once and done.books is None):
            problems += checks.check_whole(plan, done, self._kept(), signalled)
            problems += checks.check_taken(plan, done, self._received() - before)
        self._problems += [f"run {number}: {problem}" for problem in problems]
        return done

    def _received(self) -> int:
        return sum(server.stats()["events_received"] for server in self._servers.values())

    def _died(self, name: str) -> bool:
        return any(refusal.startswith("190") for refusal in self._servers[name].stats()["refusals"])

    def _kept(self) -> frozenset[Stored]:
        return frozenset(
            Stored(name, *found) for name, server in self._servers.items() for found in server.event_ids(DATASETS[name])
        )

    def result(self, seconds: float) -> Result:
        plan, last = self._plan, self._runs[-1]
        doubled = 0
        for name, server in self._servers.items():
            stats: dict[str, Any] = server.stats()
            ids = server.event_ids(DATASETS[name])
            self._problems += checks.check_server(plan, name, stats, ids)
            self._faults.update(stats["injected_faults"])
            self._faults["refused by Meta"] += stats["refusals"].get("100/2804019", 0)
            self._faults["long wait"] += (
                plan.trouble[name].brakes_at is not None and "throttle" in stats["injected_faults"]
            )
            wanted = {stored(which) for which in plan.truth.good if which.destination == name}
            doubled += stats["events_stored"] - len({Stored(name, *found) for found in ids} & wanted)
        self._problems += checks.check_leaks(plan, self._folder)
        if self._heard:
            self._problems.append(f"a proxy of the environment was asked {len(self._heard)} times")
        self._problems += self._check_kept_files()
        lost = checks.lost(plan, last, self._kept())
        books = last.books or {"delivered": 0, "dead_letters": 0, "filtered": 0}
        dead = Counter(map(checks.conversion, checks.unsent(last)))
        doubled += max(0, books["delivered"] + dead.total() - plan.truth.sendable.total())
        return Result(
            seed=plan.seed,
            faults=+self._faults,
            events=plan.truth.read,
            delivered=books["delivered"],
            filtered=books["filtered"],
            dead_lettered=books["dead_letters"],
            lost=len(lost),
            doubled=doubled,
            seconds=round(seconds, 1),
            slowest=round(max(done.seconds / checks.bound(plan, done) for done in self._runs), 2),
            problems=tuple(self._problems),
        )

    def _check_kept_files(self) -> list[str]:
        """A run keeps the dead letters and receipts of those before it."""
        problems = []
        dead_letters = [path.read_bytes() for path in self._folder.glob("dead-letters*.jsonl")]
        receipts = [gzip.decompress(path.read_bytes()) for path in self._folder.glob("receipts*.jsonl.gz")]
        for what, files, rows in (
            ("dead letters", dead_letters, [done.dead_letters for done in self._runs]),
            ("receipts", receipts, [done.receipts for done in self._runs]),
        ):
            found = sum(len(data.splitlines()) for data in files)
            if found != sum(map(len, rows)):
                problems.append(f"{what}: {found} lines are kept of {sum(map(len, rows))}")
        return problems
