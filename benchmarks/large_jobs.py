"""What an event costs in a job of many subscriptions or destinations, and what such a job costs before its first event.

    python -m benchmarks.large_jobs events.jsonl

Prints JSON: microseconds of an event by number of subscriptions and by number of destinations, each from the line's
bytes to bytes that are ready, and milliseconds from a job file's text to the first ready event. Variants take turns
with the same events in one process, and the best turn of each counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from capybeam.pipeline.job.loader import parse_job
from capybeam.transforms.core.conversions import ignore
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.language.triggers import parse_trigger

SUBSCRIPTIONS: Final = (6, 200)
DESTINATIONS: Final = (1, 5, 10, 50)
EVENTS: Final = 1000
TURNS: Final = 7
ACTIONS: Final = ("purchase", "initiateCheckout", "addToCart", "viewContent", "search", "pageView")

Process = Callable[[bytes], int]


def job_text(subscriptions: int, destinations: int = 1) -> str:
    """A job of so many subscriptions to events of one name each, six of them the actions with a default mapping, the
    same for each destination.
    """
    own = [
        {
            "action": "custom",
            "name": f"custom-{number}",
            "trigger": f'type = "track" and event = "Custom {number}"',
            "mapping": {"event_name": f"Custom{number}", "custom_data": {"x": {"@path": f"$.properties.x{number}"}}},
        }
        for number in range(subscriptions - len(ACTIONS))
    ]
    job = {
        "destinations": [
            {
                "name": f"web-{number}",
                "type": "facebook_conversions_api",
                "dataset_id": str(100_000 + number),
                "access_token": "env:META_ACCESS_TOKEN",
                "subscriptions": [*({"action": action} for action in ACTIONS), *own],
            }
            for number in range(destinations)
        ]
    }
    return orjson.dumps(job).decode()


def measure(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        lines = list(islice(file, EVENTS))
    return {
        "subscriptions": _microseconds({number: _process(job_text(number)) for number in SUBSCRIPTIONS}, lines, 1),
        "destinations": _microseconds({number: _process(job_text(6, number)) for number in DESTINATIONS}, lines),
        "first_event": {number: _first_event(job_text(number), lines[0]) for number in SUBSCRIPTIONS},
        "first_event_destinations": {number: _first_event(job_text(6, number), lines[0]) for number in DESTINATIONS},
    }


def _process(text: str) -> Process:
    job = parse_job(text)
    engine, now = Engine(job.subscriptions, job.delivery.max_batch_bytes), time.time()
    notes = dict.fromkeys((subscription.key for subscription in job.subscriptions), ignore)
    parse, match, encode = engine.parse, engine.match, engine.encode

    def process(line: bytes) -> int:
        """How many conversions are ready."""
        found = parse(line, ignore)
        assert isinstance(found, tuple), "an envelope, or no event"
        (event,) = found
        return len(encode(event, match(event), now, 0, notes))

    return process


def _microseconds(variants: Mapping[int, Process], lines: list[bytes], ready: int | None = None) -> dict[int, float]:
    """Of one event, by number; each event becomes so many that are ready, by default as many as the number says."""
    for number, process in variants.items():
        for line in lines[:100]:
            assert process(line) == (ready or number)
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(TURNS):
        for number, process in variants.items():
            started = time.process_time()
            for line in lines:
                process(line)
            best[number] = min(best[number], time.process_time() - started)
    return {number: seconds / len(lines) * 1e6 for number, seconds in best.items()}


def _first_event(text: str, line: bytes) -> float:
    """Milliseconds, in a process that has had another job before."""
    best = float("inf")
    for _ in range(3):
        parse_trigger.cache_clear()
        started = time.process_time()
        assert _process(text)(line)
        best = min(best, time.process_time() - started)
    return best * 1e3


if __name__ == "__main__":
    print(orjson.dumps(measure(Path(sys.argv[1])), option=orjson.OPT_NON_STR_KEYS).decode())
