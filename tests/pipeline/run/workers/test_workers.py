"""``run --workers``: several processes, and one set of books, one pace, one end."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, GAVE_UP, INTERRUPTED, OK, REFUSED
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.transforms.core.dead_letters import ReplayFilter
from tests.forks import Command
from tests.pipeline.jobs import job_file, order, rows
from tests.pipeline.run.runs import settle, wait_for_events

pytestmark = pytest.mark.slow


def many(count: int, first: int = 0) -> list[bytes]:
    return [order(n % 90, messageId=f"o-{n}", padding="x" * 300) for n in range(first, first + count)]


def write(name: str, lines: list[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def run(
    endpoint: str, workers: int, inputs: list[str], delivery: str = "{}", **more: Any
) -> tuple[int, dict[str, Any]]:
    outputs = Outputs(
        f"dead-{workers}.jsonl", f"receipts-{workers}.jsonl.gz", f"books-{workers}.json", more.pop("windows", None)
    )
    job = parse_job(job_file(endpoint, delivery))
    code = run_job(RunRequest(job, inputs, outputs, workers=workers, **more))
    return code, json.loads(Path(f"books-{workers}.json").read_text())


def counted(books: Mapping[str, Any]) -> dict[str, Any]:
    """What of a report does not depend on times, nor on how events are gathered into requests."""
    free = {"started", "ended", "seconds", "requests", "tries", "bytes", "throttled_seconds", "replay", "problems"}

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(each) for key, each in value.items() if key not in free}
        return [without(each) for each in value] if isinstance(value, list) else value

    found: dict[str, Any] = without(books)
    return found


def test_the_books_of_two_workers_are_those_of_one(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", [*many(700), b"{broken", b"", b'{"type": "screen"}', order(1, properties={"currency": "EUR"})])
    write("b.jsonl.gz", [*many(50, 700), b"[]"])
    Path("c.csv").write_text("type,event,messageId\ntrack,Order Completed,c-1\npage,,c-2\n")
    inputs = ["a.jsonl", "b.jsonl.gz", "c.csv"]
    found = {workers: run(sandbox.url, workers, inputs, windows=f"windows-{workers}.jsonl") for workers in (1, 2)}
    assert "with 2 processes" in capsys.readouterr().err
    assert found[1][0] == found[2][0] == DEAD_LETTERS
    assert counted(found[1][1]) == counted(found[2][1])
    assert found[2][1]["balanced"]

    def dead(workers: int) -> Counter[tuple[str, str]]:
        return Counter((row["code"], row["message"]) for row in rows(f"dead-{workers}.jsonl"))

    assert dead(1) == dead(2)
    receipts = {workers: rows(f"receipts-{workers}.jsonl.gz") for workers in (1, 2)}
    ids = [Counter(each for row in receipts[workers] for each in row["event_ids"]) for workers in (1, 2)]
    assert ids[0] == ids[1]
    assert set(ids[0].values()) == {1}
    windows = [rows(f"windows-{workers}.jsonl") for workers in (1, 2)]
    assert len({(row["window_start_time"], row["subscription"], row["code"]) for row in windows[1]}) == len(windows[1])
    for column in ("read", "taken", "filtered", "matched", "delivered", "dead_lettered"):
        assert sum(row[column] for row in windows[0]) == sum(row[column] for row in windows[1])
    again, books = run(sandbox.url, 2, inputs, resume=("dead-1.jsonl", "receipts-1.jsonl.gz"))
    assert (again, books["delivered"]) == (DEAD_LETTERS, 0)
    assert books["already_delivered"] == found[1][1]["delivered"]


def test_requests_per_second_are_the_jobs_however_many_workers_have_work(sandbox: SandboxServer) -> None:
    write("a.jsonl", many(50))  # one part: the second worker has nothing after its own
    write("b.jsonl", many(10, 50))
    seconds = {}
    for workers in (1, 2):
        started = time.monotonic()
        code, books = run(
            sandbox.url, workers, ["a.jsonl", "b.jsonl"], "{requests_per_second: 10, max_batch_events: 1}"
        )
        seconds[workers] = time.monotonic() - started
        assert (code, books["delivered"], books["requests"]) == (OK, 60, 60)
        assert 4 <= books["throttled_seconds"] <= seconds[workers]
        assert seconds[workers] >= 59 / 10
    assert seconds[2] < 1.6 * seconds[1]  # the pace of a worker without work is not lost: it would be 2


def test_no_more_requests_are_in_flight_than_the_job_says(sandbox: SandboxServer) -> None:
    write("a.jsonl", many(400))
    sandbox.set_faults(latency=0.1)
    started = time.monotonic()
    code, books = run(sandbox.url, 2, ["a.jsonl"], "{concurrency: 1, max_batch_events: 20}")
    assert (code, books["delivered"]) == (OK, 400)
    assert time.monotonic() - started >= books["requests"] * 0.1 >= 2.0


def test_a_destination_that_refuses_everything_is_known_to_all_workers(sandbox: SandboxServer) -> None:
    write("a.jsonl", many(2000))
    sandbox.set_faults(dead_token=True)
    code, books = run(sandbox.url, 2, ["a.jsonl"], "{max_batch_events: 10}")
    assert (code, books["dead_lettered"], books["retryable"]) == (REFUSED, 2000, 2000)
    assert books["tries"] <= 8  # what is in flight together: `concurrency` of the job, and not of each worker


def test_events_refused_alike_are_looked_into_once_for_all_workers(sandbox: SandboxServer) -> None:
    write("a.jsonl", many(1000))
    sandbox.set_faults(refused_code=100, refused_subcode=4711)
    code, books = run(sandbox.url, 2, ["a.jsonl"], "{max_batch_events: 100, concurrency: 2}")
    assert (code, books["dead_lettered"]) == (REFUSED, 1000)
    # one batch of each sender, 20 events alone, then tries at growing intervals
    assert books["tries"] <= 2 + 20 + 10


def test_an_outage_is_waited_for_once_and_not_by_each_worker(sandbox: SandboxServer) -> None:
    write("a.jsonl", many(300))
    sandbox.set_faults(error_rate=1.0)
    seconds = {}
    for workers in (1, 3):
        started = time.monotonic()
        code, books = run(sandbox.url, workers, ["a.jsonl"], "{max_batch_events: 10, retry_for: 4s, concurrency: 1}")
        seconds[workers] = time.monotonic() - started
        assert (code, books["dead_lettered"], books["retryable"]) == (GAVE_UP, 300, 300)
    assert seconds[3] < seconds[1] + 3.0  # not 4 s more for each of the others


def test_a_file_that_is_replaced_meanwhile_is_not_mixed_with_the_new_one(sandbox: SandboxServer) -> None:
    write("new.jsonl", many(120_000, 200_000))
    process = start(sandbox, 120_000, batch=500)
    os.replace("new.jsonl", "events.jsonl")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == FAILED
    assert "events.jsonl was replaced by another file while it was read" in output.replace("\n", " ")
    assert all(int(each.removeprefix("o-")) < 200_000 for each in identities())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pipe_is_read_from_its_first_byte(sandbox: SandboxServer, workers: int) -> None:
    write("a.jsonl", many(300))
    write("b.jsonl", many(300, 1000))
    os.mkfifo("events.pipe")
    with (
        subprocess.Popen(["cat", "a.jsonl"], stdout=subprocess.PIPE) as unnamed,
        subprocess.Popen(["sh", "-c", "cat b.jsonl > events.pipe"]),
    ):
        assert unnamed.stdout is not None
        code, books = run(sandbox.url, workers, [f"/dev/fd/{unnamed.stdout.fileno()}", "events.pipe"])
    assert (code, books["read"], books["delivered"]) == (OK, 600, 600)
    assert sandbox.stats()["events_stored"] == 600


def test_a_brake_of_metas_holds_all_workers_together(sandbox: SandboxServer) -> None:
    write("a.jsonl", many(120))
    sandbox.set_faults(usage_percent=80)  # 1.2 s between requests
    started = time.monotonic()
    code, books = run(sandbox.url, 2, ["a.jsonl"], "{max_batch_events: 30}")
    assert (code, books["delivered"]) == (OK, 120)
    assert books["requests"] >= 4
    # those that start together before the first answer has said anything are the job's `concurrency` at most
    assert books["throttled_seconds"] <= time.monotonic() - started


@pytest.mark.parametrize(
    ("inputs", "outputs", "options", "sentence"),
    [
        (
            ["a.jsonl"],
            {},
            ["--runner", "FlinkRunner"],
            "is for runs on this machine; FlinkRunner has options of its own",
        ),
        (["a.jsonl"], {}, ["--direct_running_mode", "multi_processing"], "multi_processing: give --workers N instead"),
        (["a.jsonl"], {}, ["--direct_running_mode", "multi_threading"], "leave that out"),
        (["pubsub:projects/p-12345/subscriptions/s"], {}, [], "is for files and tables"),
        (["a.jsonl"], {"dead_letters": "pipe"}, [], "dead letters go to"),
    ],
)
def test_what_several_processes_cannot_do_is_said_before_anything_is_opened(
    inputs: list[str], outputs: dict[str, str], options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.jsonl", many(1))
    os.mkfifo("pipe")
    places = {"dead_letters": "dead.jsonl", "receipts": "receipts.jsonl", **outputs}
    job = parse_job(job_file("http://127.0.0.1:9"))
    assert run_job(RunRequest(job, inputs, Outputs(**places), options, workers=2)) == CONFIGURATION
    assert sentence in capsys.readouterr().err.replace("\n", " ")


# --- processes of their own: signals and kills ------------------------------------------------------------------------


RUN = ("run", "--config", "job.yaml", "--input", "events.jsonl", "--workers", "2", "--report", "books.json")


def start(sandbox: SandboxServer, count: int, *options: str, batch: int = 50) -> Command:
    """`capybeam run --workers 2` in the current folder, whose workers have sent something."""
    sandbox.set_faults(latency=0.2)
    Path("job.yaml").write_text(job_file(sandbox.url, f"{{concurrency: 4, max_batch_events: {batch}}}"))
    write("events.jsonl", many(count))
    process = Command(*RUN, *options)
    wait_for_events(sandbox)
    return process


def workers_of(process: Command) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def whole_rows(path: str) -> list[dict[str, Any]]:
    return rows(path) if Path(path).exists() and Path(path).stat().st_size else []


def identities() -> Counter[str]:
    """What receipts and dead letters of all runs name."""
    found = Counter(
        each for path in Path().glob("receipts*.jsonl.gz") for row in whole_rows(str(path)) for each in row["event_ids"]
    )
    return found + Counter(
        row["event_id"] for path in Path().glob("dead-letters*.jsonl") for row in whole_rows(str(path))
    )


def resume() -> dict[str, Any]:
    """Runs again in two workers what has not been delivered; the books."""
    kept = [str(path) for path in [*Path().glob("receipts*.jsonl.gz"), *Path().glob("dead-letters*.jsonl")]]
    process = Command(*RUN, *(word for path in kept for word in ("--resume", path)))
    output, _ = process.communicate(timeout=100)
    assert process.returncode == OK, output
    books: dict[str, Any] = json.loads(Path("books.json").read_text())
    return books


def test_a_worker_that_is_killed_fails_the_run_and_nothing_is_lost_or_counted_twice(sandbox: SandboxServer) -> None:
    process = start(sandbox, 4000)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == FAILED
    assert f"a worker (process {workers[0]}) has ended in the middle of its work" in output.replace("\n", " ")
    books = json.loads(Path("books.json").read_text())
    named = sum(row["events"] for row in whole_rows("receipts.jsonl.gz"))
    assert books["delivered"] <= named < 4000
    assert (books["balanced"], books["at_least"]) == (False, True)
    assert "There may be more of each: a lost process had not told all." in output.replace("\n", " ")
    assert not any(map(is_there, workers))
    sandbox.set_faults(latency=0.0)
    books = resume()
    assert books["already_delivered"] == named
    assert books["delivered"] == 4000 - named
    assert set(identities().values()) == {1}
    assert len(identities()) == 4000


def test_workers_end_with_the_process_that_coordinates_them(sandbox: SandboxServer) -> None:
    process = start(sandbox, 4000)
    workers = workers_of(process)
    process.kill()
    process.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while any(map(is_there, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_there, workers))
    settle(sandbox)
    received = sandbox.stats()["events_received"]
    assert received < 4000
    time.sleep(0.5)
    assert sandbox.stats()["events_received"] == received
    sandbox.set_faults(latency=0.0)
    named = sum(row["events"] for row in whole_rows("receipts.jsonl.gz"))
    books = resume()
    assert (books["already_delivered"], books["delivered"]) == (named, 4000 - named)
    assert len(identities()) == 4000
    assert sandbox.stats()["events_stored"] == 4000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_delivers_what_has_been_read(sandbox: SandboxServer, number: signal.Signals) -> None:
    process = start(sandbox, 120_000, "--log-format", "json", batch=500)
    for pid in [*workers_of(process), process.pid]:  # as a terminal sends it
        os.kill(pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    books = json.loads(Path("books.json").read_text())
    assert books["balanced"]
    assert books["state"] == "stopped"
    assert 0 < books["delivered"] + books["dead_lettered"] < 120_000
    assert books["delivered"] == sum(row["events"] for row in whole_rows("receipts.jsonl.gz"))
    assert all(json.loads(line)["level"] for line in output.splitlines() if line.startswith("{"))


def is_there(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    return False


def test_dead_letters_are_replayed_by_two_workers(sandbox: SandboxServer) -> None:
    write("a.jsonl", many(600))
    sandbox.set_faults(dead_token=True)
    assert run(sandbox.url, 2, ["a.jsonl"])[0] == REFUSED
    sandbox.set_faults(dead_token=False)
    request = RunRequest(
        parse_job(job_file(sandbox.url)),
        ["dead-2.jsonl"],
        Outputs("again.jsonl", "receipts.jsonl", "again.json"),
        workers=2,
    )
    assert replay_job(request, ReplayFilter()) == OK
    assert json.loads(Path("again.json").read_text())["delivered"] == 600
    assert sandbox.stats()["events_stored"] == 600
