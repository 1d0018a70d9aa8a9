"""Which runners are refused, and what the counters of others guarantee."""

from __future__ import annotations

import pytest

from capybeam.pipeline.runners.errors import UnsupportedRunner
from capybeam.pipeline.runners.support import check_place, check_runner, counter_guarantee
from capybeam.pipeline.sources import NoInput
from tests.pipeline.runners.fake_flink import options


@pytest.mark.parametrize(
    ("runner", "streaming", "reason"),
    [
        ("PrismRunner", False, "loses events"),
        ("apache_beam.runners.portability.prism_runner.PrismRunner", True, "loses events"),
        ("DirectRunner", False, "may choose Prism"),
        ("SwitchingDirectRunner", False, "may choose Prism"),
        ("prism", False, "loses events"),
        ("PRISMRUNNER", True, "loses events"),
        ("direct", False, "may choose Prism"),
        ("directrunner", True, "acknowledges a message when it is pulled"),
        ("TestDirectRunner", True, "acknowledges a message when it is pulled"),
        ("DirectRunner", True, "acknowledges a message when it is pulled"),
        ("BundleBasedDirectRunner", True, "acknowledges a message when it is pulled"),
    ],
)
def test_a_runner_that_loses_events_is_refused(runner: str, streaming: bool, reason: str) -> None:
    with pytest.raises(UnsupportedRunner, match=reason) as refused:
        check_runner(runner, options(), streaming)
    assert "Leave --runner" in str(refused.value)
    check_runner(runner, options("--allow-unsafe-runner"), streaming)


@pytest.mark.parametrize("runner", ["FnApiRunner", "DataflowRunner", "BundleBasedDirectRunner"])
def test_other_runners_are_not(runner: str) -> None:
    check_runner(runner, options(), streaming=False)


def test_an_input_that_only_this_machine_has_is_refused_for_workers_elsewhere() -> None:
    with pytest.raises(NoInput, match=r"PortableRunner cannot read events/\*.jsonl: .* file:///"):
        check_place("events/*.jsonl", ["./events/1.jsonl"], "PortableRunner")
    check_place("file:///mnt/*.jsonl", ["/mnt/1.jsonl"], "PortableRunner")
    check_place("gs://bucket/*.jsonl", ["gs://bucket/1.jsonl"], "PortableRunner")
    check_place("bigquery:acme.segment.tracks", [], "PortableRunner")


def test_what_counters_are_counter_guarantee() -> None:
    assert counter_guarantee("DataflowRunner", options()) == "once"
    assert counter_guarantee("dataflow", options()) == "once"
    assert counter_guarantee("PortableRunner", options("--flink_master", "flink:8081")) == "once"
    assert counter_guarantee("PortableRunner", options()) == "unknown"
    assert counter_guarantee("SparkRunner", options()) == "unknown"
