"""One seed on a subscription: runs that are killed or stopped while several batches are under way, until all is there.

Batches are small, so that some are being computed, some sent and some acknowledged whenever a signal comes. The last
run meets no faults, and works off what is left. `problems_of` says what does not hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.chaos.runs import _FORKS
from tests.conftest import Topic
from tests.pipeline.jobs import TOKEN, job_file, order

LEASE: Final = 3  # seconds
ACK_DEADLINE: Final = 10  # seconds until a message is redelivered whose pull was cut off
LONGEST: Final = 120.0  # seconds of a run


@dataclasses.dataclass(frozen=True)
class Plan:
    """What happens in a seed.

    Attributes:
        batch: messages of a batch, at most.
        faults: of the server, until the last run.
        endings: of runs: the signal, and after how many of the run's requests it comes.
    """

    messages: Sequence[bytes]
    delivered: frozenset[str]
    broken: int
    batch: int
    faults: Mapping[str, float]
    endings: Sequence[tuple[signal.Signals, int]]


@dataclasses.dataclass(frozen=True)
class Ending:
    """A signal that comes as soon as `count` has grown by `after`."""

    number: signal.Signals
    count: Callable[[], int]
    after: int


def draw(seed: int) -> Plan:
    """A seed's plan. Its first ending is always kill -9."""
    chance = random.Random(seed)
    orders, broken = chance.randint(200, 400), chance.randint(1, 8)
    messages = [order(number) for number in range(orders)]
    messages += [b"{broken"] * broken + [b'{"type": "screen"}'] * chance.randint(1, 20)
    chance.shuffle(messages)
    batch = chance.randint(6, 15)
    faults = {"latency": chance.uniform(0.1, 0.4), "error_rate": chance.choice([0.0, 0.1])}
    numbers = [signal.SIGKILL, *chance.choices([signal.SIGKILL, signal.SIGTERM], k=chance.randint(0, 2))]
    most = orders // batch // 2 // len(numbers)  # so that half of all is left, if every batch is full and one request
    endings = [(number, chance.randint(1, max(1, min(8, most)))) for number in numbers]
    delivered = frozenset(f"order-{number}" for number in range(orders))
    return Plan(messages, delivered, broken, batch, faults, endings)


def problems_of(seed: int, folder: Path) -> list[str]:
    """Runs a seed in an empty folder; what does not hold, in words."""
    plan, topic = draw(seed), Topic()
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        (folder / "job.yaml").write_text(job_file(sandbox.url, "{max_batch_delay: 100ms, retry_for: 60s}"))
        sandbox.set_faults(**plan.faults)
        topic.publish(*plan.messages)
        problems = []
        for number, after in plan.endings:
            code = _run(plan, folder, topic, ending=Ending(number, lambda: int(sandbox.stats()["requests"]), after))
            if number == signal.SIGKILL and code != -signal.SIGKILL:
                problems.append(f"a run that is to be killed ends with {code} before that")
            if number == signal.SIGTERM and code not in (0, 1):
                problems.append(f"a run that is stopped ends with {code}")
        sandbox.set_faults(latency=0.0, error_rate=0.0)
        code = _run(plan, folder, topic, "--until-idle", f"{ACK_DEADLINE + 2}s")
        missing = plan.delivered - {name for _, name in sandbox.event_ids("123")}
    if code not in (0, 1):
        problems.append(f"the last run ends with {code}")
    if missing:
        problems.append(f"{len(missing)} events are lost")
    if _dead_letters(folder) < plan.broken:
        problems.append(f"{plan.broken - _dead_letters(folder)} dead letters are lost")
    if left := topic.drain():
        problems.append(f"{len(left)} messages have not been acknowledged")
    if not json.loads((folder / "books.json").read_text())["balanced"]:
        problems.append("the books of the last run do not balance")
    return problems


def _dead_letters(folder: Path) -> int:
    """Of all runs; a batch that is repeated writes its own again."""
    return sum(len(path.read_bytes().splitlines()) for path in folder.glob("dead-letters*.jsonl"))


def _run(plan: Plan, folder: Path, topic: Topic, *options: str, ending: Ending | None = None) -> int | None:
    """Runs the job as a process of its own; its exit code, negative where a signal ended it."""
    arguments = ["run", "--config", "job.yaml", "--books", "books.json"]
    arguments += ["--input", f"pubsub:{topic.subscription}", *options]
    environment = {"TOKEN": TOKEN, "PUBSUB_EMULATOR_HOST": os.environ["PUBSUB_EMULATOR_HOST"]}
    process = _FORKS.Process(target=_main, args=(arguments, str(folder), environment, plan.batch))
    before = ending.count() if ending else 0
    process.start()
    assert process.pid is not None
    deadline = time.monotonic() + LONGEST
    while ending is not None and process.is_alive() and time.monotonic() < deadline:
        if ending.count() - before >= ending.after:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, ending.number)
            break
        time.sleep(0.005)
    process.join(max(0.0, deadline - time.monotonic()))
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


def _main(arguments: list[str], folder: str, environment: dict[str, str], batch: int) -> None:
    from capybeam.pipeline.cli import main
    from capybeam.pipeline.sources.pubsub import reader

    for name, value in {"LEASE": LEASE, "_MAX_MESSAGES": batch, "_IN_HAND_MESSAGES": 8 * batch}.items():
        setattr(reader, name, value)
    output = os.open(Path(folder) / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    os.environ.update(environment)
    main(arguments, prog_name="capybeam")
