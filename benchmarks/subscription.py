"""A subscription beside a file, on one machine: the same events through ``capybeam run`` from either.

    python -m benchmarks.subscription --sizes 500 2000 6500 10000 --rounds 3

A Pub/Sub server in front, a server that answers without looking behind, and each run a process of its own. A row is the
median of the rounds: the subscription's speed / the file's, on the clock and by the processor. On the clock it is that
between the arrival of the first twentieth of the events and that of the last but a twentieth: neither starting up nor
waiting for the end is in it. From the processor's seconds those of a run of one event are taken off. On a machine that
has other things to do the second is the one to look at.

The Pub/Sub server is a queue (`subscription_server`, a Go program), as Google's in-memory one goes through its whole
backlog at every pull and a hundred times a second: more processor time than the run itself takes, on the same cores.
``--google`` measures with that one all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import orjson

from benchmarks.figures import Figures
from benchmarks.memory import most_memory
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.servers.go_programs import built
from tests.servers.pubsub import HOST, clients_go_to, pubsub_server

RATIO_TARGET: Final = 0.7  # of the file's speed
MEMORY_TARGET: Final = 350  # MB
SIZES: Final = (500, 2000, 6500, 10_000)  # bytes of a message
REPLAYED: Final = (500, 6500)  # bytes of an event in a dead letter
DELAY: Final = 1.0  # max_batch_delay of the job
FIRST_TARGET: Final = 1.0  # seconds over it
BYTES: Final = 500_000_000  # of the events of a size, at most
MOST: Final = 200_000  # events of a size
MIDDLE: Final = (0.05, 0.95)  # parts of the events between whose arrivals speed is measured
ROOT: Final = Path(__file__).parents[1]
JOB: Final = """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: env:TOKEN
    endpoint: {endpoint}
    subscriptions: [{{action: purchase}}]
delivery: {{max_batch_delay: 1s}}
"""
REFUSING: Final = "action: purchase, mapping: {currency: {'@path': $.userId}}"  # no currency is called so
UNTIL_IDLE: Final = "1s"
STARTS: Final = 3  # runs of one event

ServerOf = Callable[[Path], AbstractContextManager[str]]
"""A server of a file's lines as messages; gives the path of their subscription."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        speed: events a second on the clock, from the first arrivals to the last but some (`MIDDLE`); not a number where
            they are too few.
        cpu: seconds of the processor.
        memory: megabytes at most.
    """

    speed: float
    cpu: float
    memory: float

    def over(self, start_up: float) -> Run:
        """Without so many seconds of the processor."""
        return dataclasses.replace(self, cpu=self.cpu - start_up)


@dataclasses.dataclass(frozen=True)
class Round:
    """Of one size."""

    file: Run
    subscription: Run

    @property
    def ratio(self) -> float:
        return self.subscription.speed / self.file.speed

    @property
    def cpu_ratio(self) -> float:
        return self.file.cpu / self.subscription.cpu


@contextlib.contextmanager
def queue_server(path: Path) -> Iterator[str]:
    """A subscription of a server that keeps a queue. Raises NoGo."""
    command = [str(built(Path(__file__).parent / "subscription_server")), "-messages", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address, subscription = process.stdout.readline().strip(), process.stdout.readline().strip()
        try:
            with clients_go_to(address):
                yield subscription
        finally:
            process.terminate()


@contextlib.contextmanager
def google_server(path: Path) -> Iterator[str]:
    """A subscription of Google's in-memory server. Raises NoServer."""
    with pubsub_server():  # one for each run, as it keeps all messages
        topic, subscription = new_topic()
        publish(topic, path.read_bytes().splitlines())
        yield subscription


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bytes of a message")
    parser.add_argument("--events", type=int, help="of each size; by default 500 MB of them, 200,000 at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--google", action="store_true", help="messages come from Google's in-memory server")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    server_of = google_server if options.google else queue_server
    missed = compare(options.rounds, options.events, options.sizes, server_of)
    return 1 if options.check and missed else 0


def compare(
    rounds: int, events: int | None = None, sizes: Sequence[int] = SIZES, server_of: ServerOf = queue_server
) -> bool:
    """Prints the table, the time of a first delivery, and replays; gives back whether a target was missed.

    Raises:
        NoGo, NoServer: there can be no Pub/Sub server here.
    """
    figures = Figures()
    with SandboxServer(SandboxSettings(null=True)) as server, tempfile.TemporaryDirectory() as folder:
        runs = _Runs(Path(folder), server, server_of)
        runs.start_up()
        print(f"\n{'bytes':>7}{'events':>9}{'file':>11}{'subscription':>14}{'ratio':>7}{'of CPU':>8}{'memory':>10}")
        for size in sizes:
            count = events or min(MOST, BYTES // size)
            measured = [runs.measure(size, count) for _ in range(rounds)]
            ratio = median(each.ratio for each in measured)
            memory = max(each.subscription.memory for each in measured)
            met = ratio >= RATIO_TARGET and memory <= MEMORY_TARGET
            figures.missed = figures.missed or not met
            print(
                f"{size:>7,}{count:>9,}{median(each.file.speed for each in measured):>9,.0f}/s"
                f"{median(each.subscription.speed for each in measured):>12,.0f}/s{ratio:>7.2f}"
                f"{median(each.cpu_ratio for each in measured):>8.2f}{memory:>7.0f} MB"
                f"   target ≥ {RATIO_TARGET:g}, ≤ {MEMORY_TARGET} MB: {'met' if met else 'MISSED'}",
                flush=True,
            )
        first = median(runs.first_delivery() for _ in range(rounds))
        figures.row("first delivery, max_batch_delay 1 s", f"{first:.2f} s", value=first, most=DELAY + FIRST_TARGET)
        for size in REPLAYED:
            count = events or min(MOST, BYTES // size)
            gain = median(runs.replays(size, count, rounds))
            name = f"replays of {size:,} bytes, subscription / file"
            figures.row(name, f"{gain:.2f}", value=gain, least=RATIO_TARGET)
    return figures.missed


class _Runs:
    def __init__(self, folder: Path, server: SandboxServer, server_of: ServerOf) -> None:
        self._folder, self._server, self._server_of = folder, server, server_of
        job = JOB.format(endpoint=server.url)
        (folder / "job.yaml").write_text(job)
        (folder / "refusing.yaml").write_text(job.replace("action: purchase", REFUSING))

    def start_up(self) -> None:
        """Measures what runs of one event take of the processor."""
        rounds = [self._of_both(1, 500) for _ in range(STARTS)]
        self._file = median(each.file.cpu for each in rounds)
        self._subscription = median(each.subscription.cpu for each in rounds)

    def measure(self, size: int, count: int) -> Round:
        both = self._of_both(count, size)
        return Round(both.file.over(self._file), both.subscription.over(self._subscription))

    def first_delivery(self) -> float:
        """Seconds from the line that says that a subscription is read to the arrival of its first event."""
        path, output = self._events(1, SIZES[0]), self._folder / "output.txt"
        received = self._server.stats()["events_received"]
        with self._server_of(path) as subscription:
            process = self._started("run", "--input", f"pubsub:{subscription}", "--until-idle", UNTIL_IDLE)
            _wait_until(process, lambda: b"Reading" in output.read_bytes())
            reading = time.perf_counter()
            _wait_until(process, lambda: self._server.stats()["events_received"] > received)
            seconds = time.perf_counter() - reading
            process.wait(timeout=60)
        return seconds

    def replays(self, size: int, count: int, rounds: int) -> list[float]:
        """How quick replays from a subscription are beside replays of the same dead letters from a file."""
        letters = self._folder / "letters.jsonl"
        letters.unlink(missing_ok=True)
        events = ("--input", str(self._events(count, size)), "--workers", "1", "--dead-letters", str(letters))
        self._run(0, "run", *events, job="refusing.yaml")
        ratios = []
        for _ in range(rounds):
            of_file = self._run(count, "replay", "--from", str(letters), "--workers", "1")
            with self._server_of(letters) as subscription:
                source = ("--from", f"pubsub:{subscription}", "--until-idle", UNTIL_IDLE)
                ratios.append(self._run(count, "replay", *source).speed / of_file.speed)
        return ratios

    def _of_both(self, count: int, size: int) -> Round:
        path = self._events(count, size)
        of_file = self._run(count, "run", "--input", str(path), "--workers", "1")  # as a subscription has
        with self._server_of(path) as subscription:
            source = ("--input", f"pubsub:{subscription}", "--until-idle", UNTIL_IDLE)
            return Round(of_file, self._run(count, "run", *source))

    def _events(self, count: int, size: int) -> Path:
        path = self._folder / "events.jsonl"
        with open(path, "wb") as file:
            file.writelines(event + b"\n" for event in order_events(count, size))
        return path

    def _run(self, count: int, command: str, *options: str, job: str = "job.yaml") -> Run:
        """Runs a job. Raises RuntimeError unless so many events are there in the end."""
        before = self._server.stats()["events_received"]
        process = self._started(command, *options, job=job)
        run = _watched(process, count, lambda: self._server.stats()["events_received"] - before)
        received = self._server.stats()["events_received"] - before
        if received != count or (process.returncode and count):
            shown = (self._folder / "output.txt").read_text()
            raise RuntimeError(f"{received} of {count} events, exit code {process.returncode}:\n{shown}")
        return run

    def _started(self, command: str, *options: str, job: str = "job.yaml") -> subprocess.Popen[bytes]:
        for written in [*self._folder.glob("dead*"), *self._folder.glob("receipts*"), *self._folder.glob("replay*")]:
            written.unlink()
        with open(self._folder / "output.txt", "wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "capybeam", command, "--config", job, *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={**os.environ, "TOKEN": "benchmark", "PYTHONPATH": str(ROOT)},
            )


def _wait_until(process: subprocess.Popen[bytes], is_so: Callable[[], bool]) -> None:
    """Raises RuntimeError where the process ends before."""
    while not is_so():
        if process.poll() is not None:
            raise RuntimeError(f"a run ended early, exit code {process.returncode}")
        time.sleep(0.005)


def _watched(process: subprocess.Popen[bytes], count: int, received: Callable[[], int]) -> Run:
    """What a process takes until it ends."""
    arrivals: list[tuple[float, int]] = []  # when, and how many by then
    memory, ended = 0.0, 0
    while not ended:
        memory = max(memory, most_memory(process.pid))
        arrivals.append((time.perf_counter(), received()))
        time.sleep(0.02)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    start, end = (next((each for each in arrivals if each[1] >= part * count), arrivals[-1]) for part in MIDDLE)
    speed = (end[1] - start[1]) / (end[0] - start[0]) if end[0] > start[0] else math.nan
    return Run(speed, usage.ru_utime + usage.ru_stime, memory)


def new_topic() -> tuple[str, str]:
    """The paths of a topic and of its subscription."""
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

    number = time.time_ns()  # a server given by the user may know the names of an earlier run
    topic, subscription = f"projects/capybeam/topics/t-{number}", f"projects/capybeam/subscriptions/s-{number}"
    PublisherClient().create_topic(name=topic)
    SubscriberClient().create_subscription(name=subscription, topic=topic)
    return topic, subscription


def publish(topic: str, messages: Sequence[bytes]) -> None:
    """Publishes messages in as few requests as may be, past the batching of Google's client, which takes a while."""
    import grpc
    from google.pubsub_v1.services.publisher import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    host = os.environ[HOST]
    with PublisherClient(transport=PublisherGrpcTransport(host=host, channel=grpc.insecure_channel(host))) as client:
        for start in range(0, len(messages), 300):
            part: list[Any] = [{"data": message} for message in messages[start : start + 300]]
            client.publish(topic=topic, messages=part)


def order_events(count: int, size: int, seed: int = 7) -> Iterator[bytes]:
    """Orders of about so many bytes: beyond what is mapped, the page's experiments, which nothing reads."""
    rng, now = Random(seed), datetime.now(timezone.utc)
    pool = [
        {"id": rng.randrange(10**8), "name": f"experiment-{rng.randrange(10**8)}", "share": 0.5} for _ in range(1000)
    ]
    each = len(orjson.dumps(pool[0])) + 1
    for number in range(count):
        customer = rng.randrange(10**9)
        event: dict[str, Any] = {
            "type": "track",
            "event": "Order Completed",
            "messageId": f"m-{number}-{customer}",
            "userId": f"user-{customer}",
            "timestamp": (now - timedelta(seconds=rng.randrange(86_400))).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "properties": {"order_id": f"o-{customer}", "revenue": rng.randrange(10_000) / 100, "currency": "EUR"},
            "context": {
                "ip": "192.0.2.7",
                "userAgent": "Mozilla/5.0",
                "traits": {"email": f"Customer.{customer}@example.com", "phone": f"+1 202 555 {customer % 10_000:04}"},
                "experiments": [],
            },
        }
        missing = max(0, (size - len(orjson.dumps(event))) // each)
        start = rng.randrange(len(pool) - missing)
        event["context"]["experiments"] = pool[start : start + missing]
        yield orjson.dumps(event)


if __name__ == "__main__":
    sys.exit(main())
