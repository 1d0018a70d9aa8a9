"""A Beam pipeline as one writes it first: Map, GroupIntoBatches, and a DoFn that sends.

    python -m benchmarks.peers.naive_beam events.jsonl http://127.0.0.1:8791    sends them
    python -m benchmarks.peers.naive_beam events.jsonl sample                   prints the first hundred events

It knows no wrong events, retries nothing, keeps no books, and one failed request fails the run. It runs on the runner
that suits it: the default one, DirectRunner, would take an older and slower runner for GroupIntoBatches.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import requests

from benchmarks.peers import by_hand

BATCH: Final = 1000
SAMPLE: Final = 100


class Send(beam.DoFn):  # type: ignore[misc]
    def __init__(self, url: str) -> None:
        self._url = url

    def setup(self) -> None:
        self._session = requests.Session()

    def process(self, element: tuple[str, Iterable[Any]]) -> None:
        dataset_id, events = element
        answer = self._session.post(
            f"{self._url}/v24.0/{dataset_id}/events", json={"data": list(events), "access_token": "benchmark"}
        )
        answer.raise_for_status()


def run(path: str, url: str) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.io.ReadFromText(path)
            | beam.Map(json.loads)
            | beam.Map(by_hand.payload)
            | beam.Map(lambda event: ("123321", event))
            | beam.GroupIntoBatches(BATCH)
            | beam.ParDo(Send(url))
        )


if __name__ == "__main__":
    if sys.argv[2] == "sample":
        with Path(sys.argv[1]).open("rb") as lines:
            for line in islice(lines, SAMPLE):
                print(json.dumps(by_hand.payload(json.loads(line))))
    else:
        run(sys.argv[1], sys.argv[2])
