"""capybeam and other programs with the same events: processor time of an event, as a ratio to the limit of Python.

Each program runs in a process of its own, in each round once with many events and once with one. The least processor
time, user and system, that one event took in all rounds is start-up, and is in none of the figures. What each sends is
compared with capybeam's on a sample first: how many of the digests are equal, of each identifier.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson

from benchmarks.peers import install
from capybeam.transforms.core.envelope import Envelope

KEYS: Final = ("em", "ph", "ge", "db", "ln", "fn", "ct", "st", "zp", "country", "external_id")
SAMPLE: Final = 100
FEWER: Final = 10  # of the events, for programs that take long

ROOT: Final = Path(__file__).parents[2]
Json = dict[str, Any]


class Peers:
    """The programs that can be measured here.

    Args:
        out: the folder for what is installed and written.
        job: the job file of `capybeam run`, which sends to the server at `url`.
        outputs: the options of `capybeam run` for its outputs, with nothing there yet.
    """

    def __init__(self, out: Path, job: Path, url: str, outputs: Callable[[], Sequence[str]]) -> None:
        self._out, self._job, self._url, self._outputs = out, job, url, outputs
        self.versions: dict[str, str] = {"Python": platform.python_version()}
        self.absent: dict[str, str] = {}
        self._sdk = self._installed("facebook-business", install.FACEBOOK_BUSINESS, install.meta_sdk)
        self._node = self._installed("@segment/action-destinations", install.ACTION_DESTINATIONS, install.segment)
        if self._node is not None:
            node = subprocess.run(["node", "--version"], capture_output=True, check=True, text=True)
            self.versions["Node.js"] = node.stdout.strip().lstrip("v")

    def _installed(self, name: str, version: str, installing: Callable[[Path], Any]) -> str | None:
        try:
            where = str(installing(self._out))
        except install.NotInstalled as error:
            self.absent[name] = str(error)
            return None
        self.versions[name] = version
        return where

    def commands(self, path: Path, fewer: Path) -> Iterator[tuple[str, list[str], Path]]:
        """What measures each program, with the events that it is measured with."""
        loops = [sys.executable, "-m", "benchmarks.loops"]
        yield "limit", [*loops, "limit"], path
        yield "engine", [*loops, "engine"], path
        if self._sdk is not None:
            yield "facebook-business", [self._sdk, "-m", "benchmarks.peers.meta_sdk"], fewer
        if self._node is not None:
            yield "Segment", self._segment(), fewer
        yield "run", [sys.executable, "-m", "capybeam", "run", "--config", str(self._job), "--input"], path
        yield "naive Beam", [sys.executable, "-m", "benchmarks.peers.naive_beam"], path

    def seconds(self, name: str, command: Sequence[str], path: Path) -> float:
        """Processor time of a program's process."""
        one = ("--workers", "1")
        more = [self._url] if name == "naive Beam" else [*self._outputs(), *one] if name == "run" else ()
        process = subprocess.Popen(
            [*command, str(path), *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **self._where(name)
        )
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{name} ended with exit code {process.returncode}: {errors.decode()[-2000:]}")
        return usage.ru_utime + usage.ru_stime

    def _segment(self) -> list[str]:
        return ["node", str(ROOT / "benchmarks" / "peers" / "segment.js")]

    def _where(self, name: str) -> dict[str, Any]:
        folder = self._node if name == "Segment" else ROOT
        return {"cwd": folder, "env": {**os.environ, "META_ACCESS_TOKEN": "benchmark"}}

    # --- what they send -----------------------------------------------------------------------------------------------

    def equal_digests(self, path: Path, process: Callable[[bytes], Sequence[Any]]) -> dict[str, dict[str, float]]:
        """By program and identifier: the share of a sample's digests that are capybeam's, too."""
        with path.open("rb") as lines:
            bodies = [orjson.loads(Envelope.decode(process(line)[0].line).body) for line in islice(lines, SAMPLE)]
        ours = {body["event_id"]: body["user_data"] for body in bodies}
        assert len(ours) == SAMPLE
        commands = {"naive Beam": [sys.executable, "-m", "benchmarks.peers.naive_beam"]}
        if self._sdk is not None:
            commands["facebook-business"] = [self._sdk, "-m", "benchmarks.peers.meta_sdk"]
        if self._node is not None:
            commands["Segment"] = self._segment()
        return {name: self._equal(name, [*command, str(path), "sample"], ours) for name, command in commands.items()}

    def _equal(self, name: str, command: Sequence[str], ours: Mapping[str, Json]) -> dict[str, float]:
        printed = subprocess.run(command, check=True, capture_output=True, **self._where(name)).stdout
        theirs = {event["event_id"]: event["user_data"] for event in map(json.loads, printed.splitlines())}
        if theirs.keys() != ours.keys():
            raise RuntimeError(f"{name} sends {len(theirs)} events of the {len(ours)} that it is given, or others")
        return {
            key: sum(_listed(theirs[event_id].get(key)) == _listed(ours[event_id][key]) for event_id in ours) / SAMPLE
            for key in KEYS
        }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def compare(peers: Peers, files: Callable[[int], Path], count: int, rounds: int) -> Json:
    """What was measured.

    Args:
        files: by number of events, a file of them.
    """
    single, many, fewer = files(1), files(count), files(max(count // FEWER, 2))
    measured: dict[str, list[float]] = {}
    start_up: dict[str, float] = {}
    numbers: dict[str, int] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} …", file=sys.stderr)
        for name, command, path in peers.commands(many, fewer):
            numbers[name] = count if path == many else max(count // FEWER, 2)
            start_up[name] = min(start_up.get(name, math.inf), peers.seconds(name, command, single))
            measured.setdefault(name, []).append(peers.seconds(name, command, path))
    per_event = {
        name: [(seconds - start_up[name]) / (numbers[name] - 1) for seconds in listed]
        for name, listed in measured.items()
    }
    limit = per_event["limit"]
    return {
        "events": count,
        "rounds": rounds,
        "versions": peers.versions,
        "absent": peers.absent,
        "ratios": {
            name: round(median(least / each for least, each in zip(limit, listed, strict=True)), 3)
            for name, listed in per_event.items()
        },
        "microseconds": {name: round(median(listed) * 1e6, 1) for name, listed in per_event.items()},
    }
