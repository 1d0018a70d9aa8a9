"""What an event costs in each step, in turn with the loop that is the limit, in one process.

    python -m benchmarks.steps events.jsonl

Prints JSON: processor time in µs an event, by step, of the quickest fifth of all blocks of events. A block goes through
all steps before the next one does, so that each step finds what the one before it has just made, and all find the
machine as it is at that moment.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.loops import JOB, limit_of
from capybeam.pipeline.job.loader import load_job
from capybeam.pipeline.sinks.line_writer import pack
from capybeam.pipeline.sources.file_chunks import chunks_of
from capybeam.pipeline.sources.file_lines import lines_of
from capybeam.transforms.core.conversions import ignore
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.run_context import RunContext, RunHandle
from capybeam.transforms.core.windows import Windows
from capybeam.transforms.delivery.batches import DeliveredEvents, EncodedBatch, Outcome, Receipt
from capybeam.transforms.engine.engine import BLOCK, Encoded, Engine

if TYPE_CHECKING:
    from capybeam.transforms.converting import _ConvertEvents

BATCH: Final = 1000  # events of a request
QUICKEST: Final = 5  # one in so many blocks: the others shared their core

STEPS: Final = {
    "limit": "limit: decode, 11 × SHA-256, encode",
    "reading": "reading lines",
    "parse": "parse",
    "filter": "filter",
    "name": "name",
    "map": "map",
    "hash": "hash",
    "validate": "validate and encode",
    "encode": "name to encode, as one function",
    "brief_convert": "ConvertEvents: parse, filter, encode, counting",
    "brief_batching": "batching",
    "brief_packing": "sending: the request's body",
    "brief_receipt": "sending: a brief receipt",
    "full_convert": "ConvertEvents, with windows",
    "full_batching": "batching, with windows",
    "full_packing": "sending: the request's body, with windows",
    "full_receipt": "sending: a receipt with event_ids, with windows",
}


def measure(path: Path) -> dict[str, float]:
    """µs an event, by step."""
    from capybeam.transforms.batching import _GatherInBundle  # Beam takes its time to import

    job, now = load_job(JOB), time.time()
    engine = Engine(job.subscriptions, job.delivery.max_batch_bytes)
    parse, match, name, map_, hash_ = engine.parse, engine.match, engine.name, engine.map, engine.hash
    validate, encode_alone = engine.validate, engine.encode_alone
    notes = dict.fromkeys((subscription.key for subscription in job.subscriptions), ignore)
    plain, counting = _converting(job, None), _converting(job, Windows(60))
    limit, destination = limit_of(path), job.destinations[0]
    taken: dict[str, list[float]] = {step: [] for step in STEPS}

    def timed(step: str, run: Callable[[Any], Any], given: Any) -> Any:
        started = time.thread_time()
        result = run(given)
        taken[step].append(time.thread_time() - started)
        return result

    def encoded(matches: list[tuple[Event, list[str]]]) -> list[Encoded]:
        taken: dict[str, list[Event]] = {}
        for event, (key,) in matches:
            taken.setdefault(key, []).append(event)
        return [encode_alone(key, each, now, 0, notes) for key, each in taken.items()]

    def gathered(ready: list[Any]) -> list[Any]:
        gather = _GatherInBundle(BATCH, job.delivery.max_batch_bytes)
        gather.start_bundle()
        full = [batch for each in ready for batch in gather.process(each)]
        return full + [rest.value for rest in gather.finish_bundle()]

    def packed(batches: list[Any]) -> list[EncodedBatch]:
        return [EncodedBatch.pack(destination, *batch) for batch in batches]

    def record(batches: list[EncodedBatch], with_ids: bool) -> None:
        for batch in batches:
            Outcome().add_windows(batch, now)
            pack(_receipt(batch, with_ids).encode())

    engine_steps: dict[str, Callable[[Any], Any]] = {
        "parse": lambda lines: [event for line in lines for event in parse(line, ignore)],
        "filter": lambda events: [(event, match(event)) for event in events],
        "name": lambda matches: [each for event, keys in matches for each in name(event, keys[0])],
        "map": lambda named: [map_(each, ignore) for each in named],
        "hash": lambda mapped: [hash_(each, ignore) for each in mapped],
        "validate": lambda hashed: [validate(each, now, ignore) for each in hashed],
    }
    ways = ((plain, False, "brief"), (counting, True, "full"))
    waiting: dict[str, list[Any]] = {prefix: [] for *_, prefix in ways}
    gc.disable()  # it would look for garbage among a block's events, which a run lets go of one by one
    rows: Iterator[Any] = lines_of(chunks_of(str(path)), path.name)
    while len(lines := timed("reading", lambda rows: list(islice(rows, BLOCK)), rows)) == BLOCK:
        timed("limit", limit, lines)
        found = lines
        for step, run in engine_steps.items():
            found = timed(step, run, found)
        matches = engine_steps["filter"](engine_steps["parse"](lines))
        timed("encode", encoded, matches)
        del found, matches
        for converting, with_ids, prefix in ways:
            ready = waiting[prefix]
            ready += timed(f"{prefix}_convert", partial(_converted, converting), lines)
            if len(ready) >= BATCH:
                batches = timed(f"{prefix}_batching", gathered, ready)
                sent = timed(f"{prefix}_packing", packed, batches)
                timed(f"{prefix}_receipt", partial(record, with_ids=with_ids), sent)
                waiting[prefix] = []
    return {step: sorted(times)[len(times) // QUICKEST] * 1e6 / _events(step) for step, times in taken.items()}


def _events(step: str) -> int:
    return BATCH if step.partition("_")[2] in ("batching", "packing", "receipt") else BLOCK


def _converted(step: _ConvertEvents, lines: list[Any]) -> list[Any]:
    return list(step.process(lines))


def _converting(job: Any, windows: Windows | None) -> _ConvertEvents:
    from capybeam.transforms.converting import ConvertEvents, _ConvertEvents

    step = _ConvertEvents(ConvertEvents(job.subscriptions, job.delivery.max_batch_bytes))
    step.run = RunHandle(windows=windows)
    _RUNS.append(RunContext(step.run))
    step.setup()
    step.start_bundle()
    return step


_RUNS: Final[list[RunContext]] = []  # which last as long as somebody holds them


def _receipt(batch: EncodedBatch, with_ids: bool) -> Receipt:
    """As `delivery.isolation` makes it of an answer."""
    ids = batch.event_ids
    return Receipt(
        destination="web",
        dataset_id="1",
        events=len(batch.lines),
        first_event_time=batch.first_event_time,
        last_event_time=batch.last_event_time,
        fbtrace_id="A1b2C3d4",
        messages=(),
        tries=1,
        seconds=0.1,
        delivered_at=0,
        conversions=tuple(DeliveredEvents(*names, len(each)) for names, each in ids.items()),
        event_ids=tuple(chain.from_iterable(ids.values())) if with_ids else None,
    )


def accounting(figures: dict[str, float]) -> float:
    """What receipts with event_ids and windows cost more than brief receipts without, in µs an event.

    Metrics are not in it: `--metrics` serves the counters that are there anyway, when it is asked.
    """
    return sum(
        figures[f"full_{part}"] - figures[f"brief_{part}"] for part in ("convert", "batching", "packing", "receipt")
    )


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
