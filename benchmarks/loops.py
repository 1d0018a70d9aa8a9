"""The two loops that everything is measured by, each to be run in a process of its own.

    python -m benchmarks.loops limit events.jsonl
    python -m benchmarks.loops engine events.jsonl

Prints the seconds that the loop over the file took; imports and compiling are not in it.

``limit`` is what no implementation in Python can do without: it reads each line, decodes it, makes eleven SHA-256
digests and encodes a ready payload. ``engine`` is all that capybeam does to an event without Beam and network: from the
line's bytes to the bytes that Meta reads.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from pipeline.config import load_job
from transforms import conversions, events

JOB: Final = Path(__file__).parent / "job.yaml"
DIGESTS: Final = 11  # em ph ge db ln fn ct st zp country external_id

Loop = Callable[[Path], float]


def limit(path: Path) -> float:
    """Seconds for reading, decoding, hashing and encoding, and nothing else."""
    payload = _ready_payload(path)
    loads, dumps, sha256 = orjson.loads, orjson.dumps, hashlib.sha256
    values = [f"customer.{number}@example.com".encode() for number in range(DIGESTS)]
    with path.open("rb") as lines:
        started = time.perf_counter()
        for line in lines:
            loads(line)
            for value in values:
                sha256(value).hexdigest()
            dumps(payload)
        return time.perf_counter() - started


def engine(path: Path) -> float:
    """Seconds for all pure steps: parse, filter, name, map, hash, validate."""
    process = _compile()
    with path.open("rb") as lines:
        started = time.perf_counter()
        for line in lines:
            process(line)
        return time.perf_counter() - started


def _compile() -> Callable[[bytes], list[conversions.Ready]]:
    job = load_job(JOB)
    matching = conversions.compile_filter(job.subscriptions)
    named = conversions.compile_naming(job.subscriptions)
    mapped = conversions.compile_properties(job.subscriptions)
    hashed = conversions.compile_hashing(job.subscriptions)
    validated = conversions.compile_validation(job.subscriptions, job.delivery.max_batch_bytes)
    parse, now = events.parse_event, time.time()

    def ignore(_: str) -> None:
        """Takes a note of what was dropped; there is nothing to drop in these events."""

    def process(line: bytes) -> list[conversions.Ready]:
        ready = []
        event = parse(line)
        for key in matching(event):
            for conversion in named(event, key):
                ready.append(validated(hashed(mapped(conversion), ignore), now, ignore))
        return ready

    return process


def _ready_payload(path: Path) -> object:
    """A payload as the engine makes it."""
    process = _compile()
    with path.open("rb") as lines:
        ready = next(ready for line in islice(lines, 100) for ready in process(line))
    payload: object = orjson.loads(conversions.split_line(ready.line)[1])
    return payload


if __name__ == "__main__":
    print({"limit": limit, "engine": engine}[sys.argv[1]](Path(sys.argv[2])))
