"""A run's counters in Prometheus' text format."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS
from capybeam.pipeline.run.metrics import METRICS, OTHER, BadAddress, RunCollector, parse_address
from capybeam.pipeline.run.progress import Watched
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sources import Size
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.progress import Progress
from tests.pipeline.jobs import job_file
from tests.pipeline.run.runs import small_order

Labels = tuple[tuple[str, str], ...]
WEB: Labels = (("destination", "web"), ("subscription", "purchase"))


def samples(text: str) -> dict[tuple[str, Labels], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(progress: Progress, size: Size = Size()) -> dict[tuple[str, Labels], float]:  # noqa: B008
    job = parse_job(job_file("http://127.0.0.1:9"))
    registry = CollectorRegistry()
    registry.register(RunCollector(Watched(progress, ("web", "crm"), size), job, started=1_795_000_000.0))
    return samples(generate_latest(registry).decode())


def test_each_counter_is_a_metric_of_its_name_with_labels() -> None:
    progress = Progress()
    progress.update(
        {
            "read": 7,
            "matched:web/purchase": 5,
            "delivered:web/purchase": 3,
            "rejected:web/purchase:map:missing_required_field": 2,
            "cause:web/purchase:map:missing_required_field:currency": 2,
            "note:web/purchase:dropped_ph": 1,
            "withheld:web/purchase:denied": 1,
            "tries:web": 4,
            "bytes:web": 4000,
            "throttled": 9,
            "refused:crm:Meta, code 190%3A the token is invalid": 1,
            "first_event_time:web": 1_795_000_001,
        }
    )
    found = scraped(progress)
    assert {
        ("capybeam_read_total", ()): 7,
        ("capybeam_matched_total", WEB): 5,
        ("capybeam_delivered_total", WEB): 3,
        ("capybeam_delivered_total", (("destination", "crm"), ("subscription", "purchase"))): 0,
        ("capybeam_rejected_total", (("code", "missing_required_field"), *WEB[:1], ("stage", "map"), WEB[1])): 2,
        ("capybeam_note_total", (WEB[0], ("note", "dropped_ph"), WEB[1])): 1,
        ("capybeam_withheld_total", (("answer", "denied"), *WEB)): 1,
        ("capybeam_tries_total", WEB[:1]): 4,
        ("capybeam_bytes_total", WEB[:1]): 4000,
        ("capybeam_throttled_seconds_total", ()): 9,
        ("capybeam_refused_total", (("destination", "crm"),)): 1,
        ("capybeam_refused_total", (("destination", "web"),)): 0,
        ("capybeam_first_event_time_seconds", WEB[:1]): 1_795_000_001,
        ("capybeam_start_time_seconds", ()): 1_795_000_000,
    }.items() <= found.items()
    assert not any("currency" in str(labels) or "190" in str(labels) for _, labels in found)


def test_a_label_that_no_closed_set_has_is_other() -> None:
    progress = Progress()
    for number in range(500):
        key = f"jane{number}@example.com/Jane {number}"
        progress.update(
            {
                CounterKey("rejected", key, f"stage{number}", f"code{number}").encode(): 1,
                CounterKey("note", "web/purchase", detail=f"jane{number}@example.com").encode(): 1,
                CounterKey("note", "web/purchase", detail=f"note_{number}").encode(): 1,
                CounterKey("tries", destination=f"jane{number}").encode(): 1,
            }
        )
    found = scraped(progress)
    other = (("code", OTHER), ("destination", OTHER), ("stage", OTHER), ("subscription", OTHER))
    assert found["capybeam_rejected_total", other] == 500
    assert found["capybeam_tries_total", (("destination", OTHER),)] == 500
    assert sum(value for (name, _), value in found.items() if name == "capybeam_note_total") == 1000
    assert len(found) < 300
    assert "jane" not in str(found).lower()


def test_what_a_destination_does_is_a_gauge() -> None:
    progress = Progress()
    progress.set_status("web", "throttled", "throttled", wait=1000)
    progress.watch_load("web", lambda: 3)
    progress.advance(25)
    found = scraped(progress, Size(bytes=100))
    state = {dict(labels)["state"]: value for (name, labels), value in found.items() if name.endswith("_state") and ("destination", "web") in labels}  # fmt: skip  # noqa: E501
    assert state == {"delivering": 0, "throttled": 1, "retrying": 0, "held": 0, "refused": 0}
    assert 990 < found["capybeam_destination_pause_seconds", WEB[:1]] <= 1000
    assert found["capybeam_requests_in_flight", WEB[:1]] == 3
    assert (found["capybeam_input_share", ()], found["capybeam_input_bytes", ()]) == (0.25, 100)


def test_every_kind_of_counter_is_a_metric_or_says_more_about_one() -> None:
    from typing import get_args

    from capybeam.transforms.core.counters import CounterKind

    assert METRICS.keys() | {"cause", "cure"} == set(get_args(CounterKind))


@pytest.mark.parametrize("text", ["", "port", "70000", "-1", ":9464", "::1:9464", "host:", "1e3", "٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadAddress, match=r"is not PORT or HOST:PORT, for example 9464"):
        parse_address(text)


def _request(endpoint: str, metrics: str, *options: str) -> RunRequest:
    Path("events.jsonl").write_bytes(b"".join(small_order(n) + b"\n" for n in range(200)) + b"nonsense\n")
    outputs = Outputs("dead.jsonl", "receipts.jsonl")
    job = parse_job(job_file(endpoint, "{concurrency: 1, max_batch_events: 20, retry_for: 1s, timeout: 5s}"))
    return RunRequest(job, ["events.jsonl"], outputs, options, metrics=metrics)


@pytest.mark.slow
def test_a_run_serves_its_counters_while_it_lasts(sandbox: SandboxServer) -> None:
    sandbox.set_faults(latency=0.2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _scraping(f"http://127.0.0.1:{port}/metrics") as texts:
        assert run_job(_request(sandbox.url, str(port))) == DEAD_LETTERS
    counted = [samples(text).get(("capybeam_delivered_total", WEB), 0) for text in texts]
    assert counted == sorted(counted)
    assert any(0 < count < 200 for count in counted)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")


@contextlib.contextmanager
def _scraping(url: str) -> Iterator[list[str]]:
    done, texts = threading.Event(), list[str]()

    def scrape() -> None:
        while not done.wait(0.1):
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                texts.append(answer.read().decode())

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield texts
    finally:
        done.set()
        thread.join()


def test_a_port_that_is_taken_is_named_before_anything_is_touched(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_job(_request("http://127.0.0.1:9", str(port))) == CONFIGURATION
    error = capsys.readouterr().err
    assert error.endswith(f"capybeam: --metrics {port}: cannot listen there: Address already in use\n")
    assert not Path("dead.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--runner", "DataflowRunner"], "--metrics is for runs on this machine"),
        (["--runner", "FlinkRunner", "--parallelism", "1"], "FlinkRunner has the same counters among its own metrics"),
    ],
)
def test_only_the_process_that_counts_serves_metrics(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_job(_request("http://127.0.0.1:9", "0", *options)) == CONFIGURATION
    assert problem in capsys.readouterr().err
