"""Workers elsewhere that are lost: what their receipts name is not sent again, also where those are in a bucket.

An attempt is a process that is killed; a runner such as Flink starts its work again in another one.
"""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.reconciliation.index import LoadIndex
from capybeam.pipeline.sinks.files import parts_of
from capybeam.pipeline.sources.growing_files import GrowingParts
from tests.pipeline.jobs import TOKEN, job_file, order
from tests.servers.storage import StorageServer, storage_server, without_credentials
from tests.transforms.graph_server import GraphServer, Reply, graph_server, taken

pytest.importorskip("google.cloud.storage", reason="needs the extra gcp")

RUN = "0123456789abcdef0123456789abcdef"
SOLD = {"revenue": 10, "currency": "EUR"}  # of which one destination hears
RECEIPTS = "gs://acme/out/receipts.jsonl.gz"

ATTEMPT = f"""
import sys
from pathlib import Path
import apache_beam as beam
from apache_beam.internal.gcp import auth
from apache_beam.options.pipeline_options import PipelineOptions
from capybeam.pipeline.graph import Execution, deliver
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.reconciliation.index import LoadIndex
from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.sinks import files
from capybeam.transforms.base import share_run
from capybeam.transforms.core.run_context import RunHandle

files._PART_SECONDS = 0.3
auth._Credentials._credentials_init = True  # there are none, and Beam would look for them for half a minute
options = PipelineOptions(["--runner=FnApiRunner"])
job = parse_job(Path("job.yaml").read_text())
processed = LoadIndex((), job.subscriptions, own={RECEIPTS!r}, run_id={RUN!r})
with beam.Pipeline(options=options) as pipeline:
    share_run(pipeline, RunHandle({RUN!r}))
    lines = pipeline | beam.Create(Path("events.jsonl").read_bytes().splitlines(), reshuffle=False)
    deliver(lines, job, Outputs("dead.jsonl", {RECEIPTS!r}), Execution(processed=processed))
"""


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageServer]:
    without_credentials(monkeypatch)
    with storage_server() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


def test_parts_of_a_run_are_read_once_and_others_not_at_all(
    storage: StorageServer, caplog: pytest.LogCaptureFixture
) -> None:
    parts = GrowingParts(parts_of(RECEIPTS, RUN))
    assert [*parts.new_lines()] == []
    storage.put("acme/out/receipts-20261127T010000-0123456789aba1b2c3.jsonl.gz", gzip.compress(b"one\ntwo\n"))
    storage.put("acme/out/receipts-20261126T010000-ffffffffffffa1b2c3.jsonl.gz", gzip.compress(b"of another run\n"))
    storage.put("acme/out/receipts-20261127T010009-0123456789abffffff.jsonl.gz", gzip.compress(b"cut off\n")[:-9])
    assert [*parts.new_lines()] == [b"one", b"two"]
    storage.put("acme/out/receipts-20261127T010010-0123456789abd4e5f6.jsonl.gz", gzip.compress(b"three\n"))
    assert [*parts.new_lines()] == [b"three"]
    storage.failing = True
    with pytest.raises(OSError, match=r"cannot be listed"):
        [*parts.new_lines()]
    load_job = parse_job(job_file("http://127.0.0.1:9"))
    index = LoadIndex((), load_job.subscriptions, own=RECEIPTS, run_id=RUN)()
    index.refresh()  # the work goes on, and may send again what is there
    assert len(index) == 0
    assert "receipts of this run cannot be read" in caplog.text


def attempt() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ATTEMPT], env={**os.environ, "TOKEN": TOKEN})


def named(storage: StorageServer) -> set[str]:
    """The event_ids on the receipts that are there."""
    from capybeam.pipeline.reconciliation.records import Records, conversions_of

    places = [f"gs://acme/{name}" for name in storage.names("acme")]
    return {id_ for record in Records(places) for _, ids in conversions_of(record) for id_ in ids}


@pytest.mark.slow
def test_what_receipts_in_a_bucket_name_is_not_sent_again(
    storage: StorageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = range(1, 121)
    Path("events.jsonl").write_bytes(b"\n".join(order(number, properties=SOLD) for number in numbers))
    with graph_server(lambda events: Reply(200, taken(events).body, after=0.1)) as server:
        delivery = "{max_batch_events: 1, concurrency: 2}"
        Path("job.yaml").write_text(job_file(server.url, delivery), encoding="utf-8")
        first = attempt()
        _until(lambda: storage.names("acme") != [] and len(server.requests) >= 30, first)
        first.send_signal(signal.SIGKILL)
        first.wait()
        before, arrived = named(storage), set(server.stored)
        assert set() < before < arrived, "what is in no part yet is known to the server alone"
        assert attempt().wait(60) == 0
        _check(server, before, arrived)
        assert named(storage) == {f"order-{number}" for number in numbers}


def _check(server: GraphServer, before: set[str], arrived: set[str]) -> None:
    again = {id_ for id_, count in server.stored.items() if count > 1}
    assert not again & before
    assert again <= arrived - before
    assert len(again) < len(arrived) / 2


def _until(condition: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
