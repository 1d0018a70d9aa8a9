"""``python -m benchmarks``: how fast capybeam is, as ratios side by side, and how much memory it takes.

Events a second say more about a machine than about a program, and shared machines swing by a third from one minute to
the next. So what is compared runs in turn, each in a process of its own, and what counts is the ratio within a round,
and the median of the rounds. Servers that answer without looking live in this process, on the same cores.

Parts, which all run unless some are named:

    limit          engine and run beside a loop that is the limit of Python; steps, large jobs, short commands
    workers        two processes that share a file of 2 million events, beside one (7 GB of events with memory's)
    subscriptions  Pub/Sub beside a file, at several sizes; first delivery; replays (needs Go, for a server)
    memory         peaks of runs of ever more events
    peers          other programs that do the same, which are installed under out/ (needs Node.js for one)
    cluster        only when named: a Flink cluster beside one process (needs Java)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks import cluster, limit, memory_growth, subscription, workers
from benchmarks.loops import ready_conversions
from benchmarks.peers import compare as peers
from benchmarks.peers import results
from benchmarks.runs import OUT, events_file, fresh_outputs, null_server, timed
from cluster.flink import ClusterFailed
from cluster.install import NotInstalled
from tests.servers.go_programs import NoGo

PARTS: Final = ("limit", "workers", "subscriptions", "memory", "peers", "cluster")
BY_DEFAULT: Final = PARTS[:-1]
PEERS_EVENTS: Final = 200_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns the exit code: 0; 1 where ``--check`` finds a target missed; 2 where something that
    was asked for cannot be measured here.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all but cluster")
    parser.add_argument("--events", type=int, help="of each file, in place of each part's own number")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--skip-run", action="store_true", help="limit: leave out `capybeam run`")
    parser.add_argument("--publish", action="store_true", help="peers: write the results into docs/, too")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or (options.events is not None and options.events < 1):
        parser.error("--events and --rounds must be positive")
    for unknown in (part for part in options.parts if part not in PARTS):
        parser.error(f"there is no part {unknown!r}, but {', '.join(PARTS)}")

    rounds, events = options.rounds, options.events
    measure: Mapping[str, Callable[[], bool]] = {  # each prints, and says whether a target was missed
        "limit": lambda: limit.compare(events or limit.EVENTS, rounds, not options.skip_run),
        "workers": lambda: workers.compare(events or workers.EVENTS, rounds),
        "subscriptions": lambda: subscription.compare(rounds, events),
        "memory": memory_growth.compare,
        "peers": lambda: _compare_peers(events or PEERS_EVENTS, rounds, options.publish),
        "cluster": lambda: _compare_cluster(events or limit.EVENTS, rounds),
    }
    missed, absent = False, False
    for part in dict.fromkeys(options.parts or BY_DEFAULT):
        try:
            missed = measure[part]() or missed
        except (NoGo, NotInstalled, ClusterFailed) as error:
            absent = True
            print(f"not measured: {part}: {error}", file=sys.stderr)
    if absent and options.parts:
        return 2
    return 1 if options.check and missed else 0


def _compare_peers(count: int, rounds: int, publish: bool) -> bool:
    with null_server() as (url, job):
        programs = peers.Peers(OUT.parent / "peers", job, url, fresh_outputs)
        equal = programs.equal_digests(events_file(count), ready_conversions())
        measured = {**peers.compare(programs, events_file, count, rounds), "digests": equal}
    for name, reason in measured["absent"].items():
        print(f"not measured: {name}: {reason}", file=sys.stderr)
    print(f"\n{results.table(measured)}\n\n{results.digests(measured)}")
    (OUT / "peers.json").write_text(json.dumps(measured, indent=2) + "\n")
    (OUT / results.CHART).write_text(results.chart(measured))
    if publish:
        results.publish(measured)
    return False


def _compare_cluster(count: int, rounds: int) -> bool:
    with null_server() as (_, job):

        def seconds(options: Sequence[str]) -> float:
            local = [] if "--runner" in options else ["--workers", "1"]
            return timed("run", "--config", str(job), *fresh_outputs("file://"), *local, *options).seconds

        cluster.compare(events_file(1), events_file(count), count, rounds, OUT, seconds)
    return False


if __name__ == "__main__":
    sys.exit(main())
