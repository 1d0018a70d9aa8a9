"""``make stream``: published events on their way through a subscription, and dead letters replayed.

A Pub/Sub server, `capybeam run` and the sandbox, all on this machine. First two thousand seeded events are published
and delivered. Then the token dies, the same events become dead letters, a new token comes, and they are replayed. Each
time the sandbox has to hold exactly what ``capybeam map`` says of the events. Exit code 0 when it does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import orjson

from capybeam.pipeline.job.loader import load_job
from capybeam.pipeline.preview import preview
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from examples.generate_events import events
from tests.servers.pubsub import NoServer, pubsub_server

EXAMPLES = Path(__file__).parent
COUNT, SEED, PORT = 2_000, 7, 8791
TOKEN = "demo-token"
RUN = int(time.time())  # a server given by the user may know the names of an earlier run
TOPIC, SUBSCRIPTION = (
    f"projects/capybeam-demo/topics/events-{RUN}",
    f"projects/capybeam-demo/subscriptions/events-{RUN}",
)


def main(out: Path = EXAMPLES.parent / "out" / "stream", count: int = COUNT) -> int:
    """Runs the example and returns its exit code."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    lines = [line for line in events(count, SEED, datetime.now(timezone.utc)) if line.strip()]
    try:
        with pubsub_server(), SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
            job = (EXAMPLES / "conversions.yaml").read_text().replace(f"http://127.0.0.1:{PORT}", sandbox.url)
            (out / "conversions.yaml").write_text(job + "\ndelivery: {max_batch_delay: 1s}\n")
            (out / "events.jsonl").write_bytes(b"\n".join(lines))
            wanted = _wanted(out / "conversions.yaml", lines)
            problems = _stream(out, lines, sandbox, wanted) + _replay(out, sandbox, wanted)
    except NoServer as reason:
        print(reason)
        return 1
    for problem in problems:
        print(f"WRONG: {problem}")
    if not problems:
        print("\nBoth times the sandbox held exactly what `capybeam map` says of the events. Nothing is lost.")
    return 1 if problems else 0


def _stream(
    out: Path, lines: list[bytes], sandbox: SandboxServer, wanted: dict[str, set[tuple[str, str]]]
) -> list[str]:
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

    publisher = PublisherClient()
    publisher.create_topic(name=TOPIC)
    SubscriberClient().create_subscription(name=SUBSCRIPTION, topic=TOPIC)
    for published in [publisher.publish(TOPIC, line) for line in lines]:
        published.result(timeout=30)
    print(f"{len(lines):,} events are published to {TOPIC}.")
    code = _capybeam(out, "run", "--input", f"pubsub:{SUBSCRIPTION}", "--until-idle", "3s")
    return _compared("delivered from the subscription", code, 1, out, sandbox, wanted)


def _replay(out: Path, sandbox: SandboxServer, wanted: dict[str, set[tuple[str, str]]]) -> list[str]:
    sandbox.reset()
    sandbox.set_faults(dead_token=True)
    print("\nThe token dies.")
    refused = _capybeam(out, "run", "--input", "events.jsonl")
    sandbox.set_faults(dead_token=False)
    print("\nThere is a new token.")
    code = _capybeam(out, "replay", "--from", "dead-letters.jsonl", "--retryable")
    problems = [] if refused == 3 else [f"a dead token: exit code 3 expected, {refused} found"]
    return problems + _compared("delivered by the replay", code, 0, out, sandbox, wanted)


def _capybeam(out: Path, command: str, *options: str) -> int:
    arguments = [command, "--config", "conversions.yaml", *options, "--books", "books.json"]
    print(f"$ capybeam {' '.join(arguments)}", flush=True)
    env = {**os.environ, "META_ACCESS_TOKEN": TOKEN, "PYTHONPATH": str(EXAMPLES.parent)}
    return subprocess.run([sys.executable, "-m", "capybeam", *arguments], cwd=out, env=env, check=False).returncode


def _wanted(config: Path, lines: list[bytes]) -> dict[str, set[tuple[str, str]]]:
    """By dataset, event name and event_id of what should arrive. The older wire has no IDs."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    for outcome in preview(load_job(config), lines, time.time()):
        if outcome["status"] == "ready":
            event = json.loads(orjson.dumps(outcome["payload"]))
            if "event_id" in event:
                wanted.setdefault(outcome["dataset_id"], set()).add((event["event_name"], event["event_id"]))
    return wanted


def _compared(
    what: str, code: int, expected: int, out: Path, sandbox: SandboxServer, wanted: dict[str, set[tuple[str, str]]]
) -> list[str]:
    problems = [] if code == expected else [f"{what}: exit code {expected} expected, {code} found"]
    if not json.loads((out / "books.json").read_text())["balanced"]:
        problems.append(f"{what}: the books do not balance")
    for dataset_id, events_of in wanted.items():
        arrived = set(sandbox.event_ids(dataset_id))
        if arrived != events_of:
            problems.append(f"{what}: {len(events_of - arrived)} missing and {len(arrived - events_of)} too many")
    return problems


if __name__ == "__main__":
    sys.exit(main())
