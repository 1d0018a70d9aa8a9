"""The report as a JSON document: its schema, its sums at every level, and no personal data."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam import __version__
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.recording import NOTHING, inputs_by_name, record_early
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.report_document import Ending, Occasion, document
from capybeam.pipeline.run.report_model import json_schema
from capybeam.transforms.core.rejections import CODES
from tests.pipeline.jobs import job_file
from tests.pipeline.run.test_report import COUNTS, FATES, counted
from tests.reports import problems_of

JOB = parse_job(job_file("http://127.0.0.1:9"))
OCCASION = Occasion("run", time.time(), JOB, "conversions.yaml", "FnApiRunner")


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@given(st.lists(st.tuples(FATES, st.sampled_from(["web/a", "web/b: c", "old/a"]), st.sampled_from(["", "x", "y: z"]))))
@settings(max_examples=50)
def test_the_sums_hold_at_every_level_whatever_becomes_of_the_events(fates: list[tuple[str, str, str]]) -> None:
    found = document(OCCASION, RunReport.from_counts(counted(fates)), Ending(0))
    assert (found["balanced"], list(problems_of(found))) == (True, [])


@given(
    st.dictionaries(st.sampled_from([*COUNTS, *(f"rejected:web/x:send:{code}" for code in CODES)]), st.integers(0, 9))
)
@settings(max_examples=50)
def test_they_hold_as_far_as_can_be_for_a_run_that_was_ended_at_once(counts: dict[str, int]) -> None:
    found = document(OCCASION, RunReport.from_counts(counts), Ending(130))
    assert list(problems_of(found)) == []


def test_a_report_has_the_whole_of_a_run() -> None:
    counts = {
        name.replace("web/orders", "web/purchase").replace("crm/a b", "crm/purchase"): n for name, n in COUNTS.items()
    }
    found = document(
        OCCASION, RunReport.from_counts(counts), Ending(3, ("web: REFUSED. jane@example.com",), "capybeam")
    )
    assert list(problems_of(found)) == []
    assert {
        key: found[key] for key in ("state", "exit_code", "command", "version", "runner", "replay", "problems")
    } == {
        "state": "refused",
        "exit_code": 3,
        "command": "run",
        "version": __version__,
        "runner": "FnApiRunner",
        "replay": "capybeam",
        "problems": ["web: REFUSED. …"],
    }
    assert (found["requests"], found["tries"], found["bytes"], found["throttled_seconds"]) == (2, 3, 4000, 12)
    assert (found["first_event_time"], found["last_event_time"]) == ("2026-11-18T11:06:40Z", "2026-11-18T11:21:40Z")
    assert (found["unreadable"], found["dead_lettered"], found["dead_letters"], found["retryable"]) == (2, 2, 4, 1)
    assert found["rejections"][1] == {
        "stage": "map",
        "code": "missing_required_field",
        "field": "currency",
        "meta_code": None,
        "reason": None,
        "retryable": False,
        "count": 1,
    }
    web = found["destinations"]["web"]
    assert (web["refused"], web["refusals"]) == (True, [{"problem": "The token is dead.", "cure": "Store a new one."}])
    assert web["subscriptions"]["purchase"]["rejections"][1]["meta_code"] == "190/463"
    assert web["subscriptions"]["pageView"]["matched"] == 0, "all subscriptions of the job are there"


def test_inputs_are_named_without_what_a_query_or_a_path_says_of_a_person() -> None:
    names = ["events.jsonl", "exports/jane@example.com.jsonl.gz", "bigquery:SELECT * FROM t WHERE name = 'Jane'"]
    assert [each.name for each in inputs_by_name(names)] == ["events.jsonl", "exports/…", "bigquery: a query"]


def test_a_run_that_never_began_replaces_an_earlier_report_and_nothing_else(tmp_path: Path) -> None:
    report, events = tmp_path / "report.json", tmp_path / "events.jsonl"
    events.write_text('{"format": 1}\n')
    occasion = Occasion("run", time.time(), config="conversions.yaml")
    for path in (report, report, events):
        record_early(str(path), occasion, Ending(2, ("No such file.",)))
    found = json.loads(report.read_text())
    assert (found["state"], found["exit_code"], found["problems"]) == ("failed", 2, ["No such file."])
    assert (found["job"], found["destinations"]) == ({"file": "conversions.yaml", "sha256": None}, {})
    assert list(problems_of(found)) == []
    assert events.read_text() == '{"format": 1}\n'
    record_early(str(tmp_path), occasion, Ending(2))  # a folder
    record_early(str(tmp_path / "none" / "report.json"), occasion, Ending(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "report.json"]


def test_an_empty_report_keeps_its_sums() -> None:
    assert list(problems_of(document(OCCASION, NOTHING, Ending(2)))) == []
