"""What Meta says of its events, beside a report's own numbers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.quality_report.meta_section import meta_section
from capybeam.pipeline.quality_report.numbers import DedupeKey, KeyAtMeta, MetaDataset, MetaEventName
from capybeam.pipeline.sandbox.dataset_quality import NOTE
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.pipeline.inspect_meta.test_doctor import TOKEN
from tests.pipeline.inspect_meta.test_quality import DOCUMENTED
from tests.pipeline.quality_report.reported import JOB, NOW, counted, order, row
from tests.pipeline.sandbox.senders import DIGEST, event

ANSWER = {"destination": "shop", "dataset_id": "123321", "events": [DOCUMENTED], "other": {}, "refused": {}}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("META_ACCESS_TOKEN", TOKEN)
    Path("job.yaml").write_text(JOB)
    Path("quality.json").write_text(json.dumps(ANSWER) + "\n")
    Path("events.jsonl").write_bytes(b"\n".join(map(row, (order(1), order(2, context={"userAgent": "x"})))))
    return tmp_path


def report(*arguments: str) -> Result:
    done = CliRunner().invoke(main, ["report", "--now", str(NOW), *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_metas_numbers_stand_beside_those_of_the_events_that_were_read() -> None:
    assert meta_section([ANSWER], counted([order(1), order(2, context={"userAgent": "x"})])) == (
        MetaDataset(
            "shop",
            "123321",
            {},
            (
                MetaEventName(
                    event_name="Purchase",
                    score=6.2,
                    coverage=34.1,
                    coverage_goal=75.0,
                    freshness="real_time",
                    keys=(
                        KeyAtMeta("em", 100.0, 50.0),
                        KeyAtMeta("client_ip_address", 99.9, 50.0),
                        KeyAtMeta("client_user_agent", None, 100.0),
                    ),
                    examined=2,
                    dedupe=(DedupeKey("event_id", 100.0, 98.5, 14.8),),
                    diagnostics=(
                        "Server sending mismatched IP addresses (61.5 % of events). 19,567 of 31,830 events."
                        " Send the right ones.",
                    ),
                    more=(),
                ),
            ),
            (),
        ),
    )


def test_an_earlier_answer_is_a_page_of_its_own_or_beside_an_input() -> None:
    assert report("--quality-from", "quality.json").exit_code == 0
    page = Path("report.html").read_text(encoding="utf-8")
    assert "<title>Quality at Meta</title>" in page
    for shown in (
        "<b>6.2</b>",
        "34.1 %",
        "of 75 %",
        "99.9 %",
        "real time",
        "browser 100 % · server 98.5 % · both 14.8 %",
    ):
        assert shown in page

    done = report("--config", "job.yaml", "--input", "events.jsonl", "--quality-from", "quality.json", "--force")
    assert done.stderr.endswith("50 % with a strong match key; quality at Meta of 1 dataset.\n")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "Match quality of job.yaml" in page
    assert ">here</th>" in page


def test_meta_is_asked_for_each_dataset_and_its_refusal_is_in_the_report() -> None:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        Path("job.yaml").write_text(JOB.replace("    type:", f"    endpoint: {sandbox.url}\n    type:", 1))
        sent = event(event_time=int(time.time()), user_data={"em": DIGEST, "client_user_agent": "x"})
        headers = {"Authorization": f"Bearer {TOKEN}"}
        requests.post(f"{sandbox.url}/v25.0/123321/events", json={"data": [sent]}, headers=headers, timeout=10)
        done = report("--config", "job.yaml", "--quality", "--format", "json")
        sandbox.set_faults(dead_token=True)
        refused = report("--config", "job.yaml", "--quality", "--format", "json")

    (dataset,) = json.loads(done.stdout)["meta"]
    assert (done.exit_code, dataset["dataset_id"], dataset["refused"]) == (0, "123321", {})
    (purchase,) = dataset["events"]
    assert (purchase["event_name"], purchase["score"], purchase["examined"]) == ("Purchase", 3.5, 0)
    assert purchase["keys"] == [
        {"key": "em", "meta": 100.0, "ours": None},
        {"key": "client_user_agent", "meta": 100.0, "ours": None},
    ]
    assert dataset["more"] == [f"sandbox.note = {NOTE['note']}"]
    assert refused.exit_code == 3
    (dataset,) = json.loads(refused.stdout)["meta"]
    assert (dataset["events"], list(dataset["refused"])) == ([], [""])


def test_a_token_that_is_not_there_ends_it_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("META_ACCESS_TOKEN")
    done = report("--config", "job.yaml", "--quality")

    assert (done.exit_code, "capybeam: destination shop: " in done.stderr) == (2, True)
    assert not Path("report.html").exists()


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", "", json.dumps({**ANSWER, "events": None}), json.dumps({**ANSWER, "refused": {"": 1}})],
)
def test_anything_else_than_what_quality_printed_is_refused(line: str) -> None:
    Path("quality.json").write_text(line)
    done = report("--quality-from", "quality.json")

    assert done.exit_code == 2
    assert "quality.json: is not what `capybeam quality --format json` writes" in done.stderr


@pytest.mark.parametrize(
    "events",
    [
        [{}],
        [5, "x", None],
        [{"event_name": 7, "event_match_quality": 3, "dedupe_key_feedback": {"a": 1}}],
        [{"event_name": "P", "event_match_quality": {"composite_score": "nan", "match_key_feedback": [{}, 1]}}],
        [{**DOCUMENTED, "event_match_quality": {"composite_score": -1e300}, "event_coverage": {"percentage": 1e300}}],
    ],
)
def test_any_answer_is_shown_without_a_failure(events: Any) -> None:
    Path("quality.json").write_text(json.dumps({**ANSWER, "events": events}))

    assert report("--quality-from", "quality.json").exit_code == 0
    assert json.loads(report("--quality-from", "quality.json", "--format", "json").stdout)["meta"]


def test_names_and_words_of_meta_are_text_without_a_persons_data() -> None:
    odd = {
        "acr": {"percentage": 37.9, "who": "jane.doe@example.com"},
        "event_name": "Hello jane.doe@example.com",
        "event_match_quality": {
            "diagnostics": [{"name": "<script>x</script>", "solution": "Ask jane.doe@example.com"}]
        },
    }
    Path("quality.json").write_text(json.dumps({**ANSWER, "events": [odd]}))
    assert report("--quality-from", "quality.json").exit_code == 0
    page = Path("report.html").read_text(encoding="utf-8")

    assert "jane.doe" not in page
    assert "<script>" not in page
    assert "acr.percentage = 37.9" in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page
