"""The two loops that everything is measured by, each to be run in a process of its own.

    python -m benchmarks.loops limit events.jsonl
    python -m benchmarks.loops engine events.jsonl

Prints the seconds that the loop over the file took, of `rows` and `report` two of them; imports and compiling are not
in it.

``limit`` is what no implementation in Python can do without: it reads each line, decodes it, makes eleven SHA-256
digests and encodes a ready payload. ``engine`` is all that capybeam does to an event without Beam and network: from the
line's bytes to the bytes that Meta reads.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from benchmarks.rows import stored
from capybeam.pipeline.job.loader import load_job
from capybeam.pipeline.preview import preview
from capybeam.pipeline.quality_report.collector import Collector
from capybeam.transforms.core import events
from capybeam.transforms.core.conversions import ignore
from capybeam.transforms.core.envelope import Address, Envelope, Ready
from capybeam.transforms.delivery.batches import EncodedBatch, Receipt
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.delivery.rate_limits import Pacer, RateLimitGuard
from capybeam.transforms.engine.engine import BLOCK as TOGETHER
from capybeam.transforms.engine.engine import Encoded, Engine
from capybeam.transforms.language.records import Record

JOB: Final = Path(__file__).parent / "job.yaml"
BLOCK: Final = 1000  # rows that come at once from the Storage API
LARGE_BLOCK: Final = 10_000  # events, beside which compiling the job once more is nothing
CHUNK: Final = 10  # events: what is converted has just been made, as it has behind a reader
DIGESTS: Final = 11  # em ph ge db ln fn ct st zp country external_id

Loop = Callable[[Path], float | tuple[float, ...]]


def limit(path: Path) -> float:
    """Seconds for reading, decoding, hashing and encoding, and nothing else."""
    run = limit_of(path)
    with path.open("rb") as lines:
        started = time.perf_counter()
        run(lines)
        return time.perf_counter() - started


def limit_of(path: Path) -> Callable[[Iterable[bytes]], None]:
    """The loop over lines that is the limit, with a payload that is made of the file's events."""
    payload = _ready_payload(path)
    loads, dumps, sha256 = orjson.loads, orjson.dumps, hashlib.sha256
    values = [f"customer.{number}@example.com".encode() for number in range(DIGESTS)]

    def run(lines: Iterable[bytes]) -> None:
        for line in lines:
            loads(line)
            for value in values:
                sha256(value).hexdigest()
            dumps(payload)

    return run


def engine(path: Path) -> float:
    """Seconds for all pure steps: parse, filter, name, map, hash, validate."""
    convert = ready_lines()
    with path.open("rb") as lines:
        started = time.perf_counter()
        while block := list(islice(lines, TOGETHER)):
            convert(block)
        return time.perf_counter() - started


def rows(path: Path) -> tuple[float, float]:
    """Seconds for making events of JSON, and for making the same ones of a warehouse's rows, which goes first in turn.

    Rows are fresh from a reader, and have the columns that the job reads.
    """
    seconds = {"json": 0.0, "rows": 0.0}
    parse = events.parse_event
    with path.open("rb") as lines:
        tables, order = stored(lines, load_job(JOB).unread()), ["json", "rows"]
        while block := list(islice(tables, BLOCK)):
            for chunk in (block[start : start + CHUNK] for start in range(0, len(block), CHUNK)):
                read = [(each.line, each.convert, each.read()) for each in chunk]
                for form in order:
                    started = time.perf_counter()
                    if form == "json":
                        for line, _, _ in read:
                            parse(line)
                    else:
                        for _, convert, row in read:
                            convert(row)
                    seconds[form] += time.perf_counter() - started
                order.reverse()
    return seconds["json"], seconds["rows"]


def report(path: Path) -> tuple[float, float]:
    """Seconds for what `map` makes of the events, written as JSON, and for counting the same ones for `report`."""
    job, now = load_job(JOB), time.time()
    collector, seconds = Collector(job, now), {"map": 0.0, "report": 0.0}
    order = ["map", "report"]
    with path.open("rb") as lines:
        while block := list(islice(lines, LARGE_BLOCK)):
            for form in order:
                started = time.perf_counter()
                if form == "map":
                    for outcome in preview(job, block, now):
                        orjson.dumps(outcome, option=orjson.OPT_APPEND_NEWLINE)
                else:
                    for line in block:
                        collector.add(line)
                seconds[form] += time.perf_counter() - started
            order.reverse()
    started = time.perf_counter()
    collector.numbers("job.yaml")
    return seconds["map"], seconds["report"] + time.perf_counter() - started


def upkeep(path: Path) -> float:
    """Seconds an event for pacing, classifying and receipts: what is read off the events for them is in it, what the
    body of their request takes is not.
    """
    (key, lines), destination = _batch(path), load_job(JOB).destinations[0]
    address = Address.decode(key)
    body_at = [len(line) - len(Envelope.decode(line).body) for line in lines]
    pacer, guard = Pacer(1e9), RateLimitGuard()
    headers = {"X-App-Usage": '{"call_count":28,"total_time":25,"total_cputime":25}'}
    body = b'{"events_received":%d,"messages":[],"fbtrace_id":"A1b2C3d4"}' % len(lines)
    repeats, seconds = 50, 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        batch = EncodedBatch.pack(destination, key, lines)
        while guard.wait() > 0 or pacer.wait() > 0:
            pass
        answer = destination.classify(200, headers, body, len(lines))
        guard.observe(answer)
        Receipt(
            "web", "1", len(lines), batch.first_event_time, batch.last_event_time, answer.fbtrace_id, (), 1, 0.1, 0
        ).encode()
        kept_up = time.perf_counter()
        destination.join([line[at:] for line, at in zip(lines, body_at, strict=True)], address)
        seconds += 2 * kept_up - started - time.perf_counter()
    return seconds / repeats / len(lines)


def sending(path: Path, url: str, concurrency: int, batches: int) -> float:
    """Batches a second that SendBatches delivers to a server; small ones, so that what is waited for is the server."""
    from capybeam.transforms.sending import _SendBatches  # Beam takes its time to import

    key, lines = _batch(path)
    batch = key, lines[:200]
    destination = dataclasses.replace(load_job(JOB).destinations[0], endpoint=url)
    step = _SendBatches((destination,), Delivery(concurrency=concurrency), workers=1, on_refusal="reject")
    step.setup()
    step.start_bundle()
    started = time.perf_counter()
    for _ in range(batches):
        deque(step.process(batch), maxlen=0)
    deque(step.finish_bundle(), maxlen=0)
    seconds = time.perf_counter() - started
    step.teardown()
    return batches / seconds


def _batch(path: Path) -> tuple[str, list[bytes]]:
    """A thousand ready events, as they come to SendBatches."""
    process = ready_conversions()
    with path.open("rb") as lines:
        ready = [ready for line in islice(lines, 1000) for ready in process(line)]
    return ready[0].key, [line for _, line in ready]


def ready_lines() -> Callable[[Iterable[bytes]], dict[str, Encoded]]:
    """The function from lines to what is ready of them, by subscription, as `ConvertEvents` asks the engine for it."""
    job = load_job(JOB)
    engine, now = Engine(job.subscriptions, job.delivery.max_batch_bytes), time.time()
    assert engine.reader is not None
    read, match, encode_alone = engine.reader.read, engine.match_record, engine.encode_alone
    notes = dict.fromkeys((subscription.key for subscription in job.subscriptions), ignore)

    def convert(lines: Iterable[bytes]) -> dict[str, Encoded]:
        taken: dict[str, list[Record]] = {}
        for event in list(map(read, lines)):
            (key,) = match(event)
            taken.setdefault(key, []).append(event)
        return {key: encode_alone(key, each, now, 0, notes) for key, each in taken.items()}

    return convert


def ready_conversions() -> Callable[[bytes], list[Ready]]:
    """The function from a line to what is ready of it."""
    job = load_job(JOB)
    engine, now = Engine(job.subscriptions, job.delivery.max_batch_bytes), time.time()
    parse, match, encode = engine.parse, engine.match, engine.encode
    notes = dict.fromkeys((subscription.key for subscription in job.subscriptions), ignore)

    def process(line: bytes) -> list[Ready]:
        found = parse(line, ignore)
        assert isinstance(found, tuple), "an envelope, or no event"
        (event,) = found
        return encode(event, match(event), now, 0, notes)  # type: ignore[return-value]  # none is refused

    return process


def _ready_payload(path: Path) -> object:
    """A payload as the engine makes it."""
    process = ready_conversions()
    with path.open("rb") as lines:
        ready = next(ready for line in islice(lines, 100) for ready in process(line))
    payload: object = orjson.loads(Envelope.decode(ready.line).body)
    return payload


if __name__ == "__main__":
    if sys.argv[1] == "sending":
        print(sending(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
    else:
        loops: dict[str, Loop] = {"limit": limit, "engine": engine, "upkeep": upkeep, "rows": rows, "report": report}
        seconds = loops[sys.argv[1]](Path(sys.argv[2]))
        print(*seconds if isinstance(seconds, tuple) else (seconds,))
