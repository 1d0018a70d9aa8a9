"""A subscription beside a file, on one machine: the same events through ``capybeam run`` from either.

    python -m benchmarks.subscription --sizes 500 2000 6500 10000 --rounds 3

A Pub/Sub server (`tests.servers.pubsub`, which needs Go) in front, a server that answers without looking behind, and
each run a process of its own. What a run of one event takes, waiting for the end included, is taken off: the median of
several. A row is the median of the rounds: the file's seconds / the subscription's, on the clock and of the processor.
On a machine that has other things to do the second is the one to look at.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import orjson

from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.servers.pubsub import pubsub_server

RATIO_TARGET: Final = 0.7  # of the file's speed
MEMORY_TARGET: Final = 350  # MB
BYTES: Final = 100_000_000  # of the events of a size, about
MOST: Final = 100_000  # events of a size
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
UNTIL_IDLE: Final = "1s"
STARTS: Final = 3  # runs of one event


@dataclasses.dataclass(frozen=True)
class Taken:
    """What a run took: seconds on the clock and of the processor, and megabytes of memory at most."""

    seconds: float
    cpu: float
    memory: float = 0.0

    def over(self, start_up: Taken) -> Taken:
        return Taken(self.seconds - start_up.seconds, self.cpu - start_up.cpu, self.memory)


@dataclasses.dataclass(frozen=True)
class Round:
    """Of one size, over start-up."""

    file: Taken
    subscription: Taken

    @property
    def ratio(self) -> float:
        return self.file.seconds / self.subscription.seconds

    @property
    def cpu_ratio(self) -> float:
        return self.file.cpu / self.subscription.cpu


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000, 6500, 10_000], help="bytes of a message")
    parser.add_argument("--events", type=int, help="of each size; by default 100 MB of them, 100,000 at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    missed = False
    settings = SandboxSettings(null=True)
    print(f"{'bytes':>7}{'events':>9}{'file':>11}{'subscription':>14}{'ratio':>7}{'of CPU':>8}{'memory':>10}")
    with SandboxServer(settings) as server, tempfile.TemporaryDirectory() as folder:
        runs = _Runs(Path(folder), server)
        runs.start_up()
        for size in options.sizes:
            count = options.events or min(MOST, BYTES // size)
            rounds = [runs.measure(size, count) for _ in range(options.rounds)]
            ratio = median(each.ratio for each in rounds)
            memory = max(each.subscription.memory for each in rounds)
            met = ratio >= RATIO_TARGET and memory <= MEMORY_TARGET
            missed = missed or not met
            print(
                f"{size:>7,}{count:>9,}{count / median(each.file.seconds for each in rounds):>9,.0f}/s"
                f"{count / median(each.subscription.seconds for each in rounds):>12,.0f}/s{ratio:>7.2f}"
                f"{median(each.cpu_ratio for each in rounds):>8.2f}{memory:>7.0f} MB"
                f"   target ≥ {RATIO_TARGET:g}, ≤ {MEMORY_TARGET} MB: {'met' if met else 'MISSED'}",
                flush=True,
            )
    return 1 if options.check and missed else 0


class _Runs:
    def __init__(self, folder: Path, server: SandboxServer) -> None:
        self._folder, self._server = folder, server
        (folder / "job.yaml").write_text(JOB.format(endpoint=server.url))

    def start_up(self) -> None:
        """Measures what a run of one event takes, from either."""
        one = list(order_events(1, 500))
        rounds = [(self._of_file(one), self._of_subscription(one)) for _ in range(STARTS)]
        self._file, self._subscription = (_median(each) for each in zip(*rounds, strict=True))

    def measure(self, size: int, count: int) -> Round:
        events = list(order_events(count, size))
        file, subscription = self._of_file(events), self._of_subscription(events)
        return Round(file.over(self._file), subscription.over(self._subscription))

    def _of_file(self, events: Sequence[bytes]) -> Taken:
        path = self._folder / "events.jsonl"
        path.write_bytes(b"\n".join(events))
        return self._run(len(events), str(path), "--workers", "1")  # as a subscription has

    def _of_subscription(self, events: Sequence[bytes]) -> Taken:
        with pubsub_server():  # one for each run: it keeps all messages, and every 10 ms goes through those not settled
            topic, subscription = new_topic()
            publish(topic, events)
            return self._run(len(events), f"pubsub:{subscription}", "--until-idle", UNTIL_IDLE)

    def _run(self, count: int, *options: str) -> Taken:
        """Runs the job. Raises RuntimeError unless all events are there in the end."""
        for written in [*self._folder.glob("dead*"), *self._folder.glob("receipts*")]:
            written.unlink()
        before = self._server.stats()["events_received"]
        with open(self._folder / "output.txt", "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "capybeam", "run", "--config", "job.yaml", "--input", *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={**os.environ, "TOKEN": "benchmark", "PYTHONPATH": str(ROOT)},
            )
            taken = _taken(process)
        received = self._server.stats()["events_received"] - before
        if process.returncode or received != count:
            shown = (self._folder / "output.txt").read_text()
            raise RuntimeError(f"{received} of {count} events, exit code {process.returncode}:\n{shown}")
        return taken


def _median(runs: Sequence[Taken]) -> Taken:
    return Taken(median(each.seconds for each in runs), median(each.cpu for each in runs))


def _taken(process: subprocess.Popen[bytes]) -> Taken:
    """What a process takes until it ends. Its memory is looked at every moment, by Linux's own mark of the most:
    that of wait4 would begin with the memory of this process, which it is forked from."""
    started, memory, ended = time.perf_counter(), 0.0, 0
    while not ended:
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            memory = int(found[1]) * 1024 / 1e6 if found else memory
        time.sleep(0.02)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Taken(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, memory)


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

    host = os.environ["PUBSUB_EMULATOR_HOST"]
    with PublisherClient(transport=PublisherGrpcTransport(host=host, channel=grpc.insecure_channel(host))) as client:
        for start in range(0, len(messages), 300):
            part: list[Any] = [{"data": message} for message in messages[start : start + 300]]
            client.publish(topic=topic, messages=part)


def order_events(count: int, size: int, seed: int = 7) -> Iterator[bytes]:
    """Orders of about so many bytes: beyond what is mapped, the page's experiments, which nothing reads."""
    rng, now = Random(seed), datetime.now(timezone.utc)
    for number in range(count):
        customer = rng.randrange(10**9)
        experiments: list[dict[str, Any]] = []
        event = {
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
                "experiments": experiments,
            },
        }
        left = size - len(orjson.dumps(event))
        while left > 60:
            experiment = {"id": rng.randrange(10**8), "name": f"experiment-{rng.randrange(10**8)}", "share": 0.5}
            experiments.append(experiment)
            left -= len(orjson.dumps(experiment)) + 1
        yield orjson.dumps(event)


if __name__ == "__main__":
    sys.exit(main())
