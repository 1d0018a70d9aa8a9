"""What a run's report holds, as a report's section: all of it, and no folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.quality_report.numbers import Report
from capybeam.pipeline.quality_report.page import causes, page
from capybeam.pipeline.quality_report.run_section import read_run
from tests.pipeline.quality_report.reported import NOW, ended_run
from tests.reports import problems_of


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(ended_run()))
    return tmp_path


def report(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["report", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


def test_the_json_has_the_runs_report_and_nothing_of_an_input() -> None:
    code, out = report("--run", "run.json", "--format", "json", "--now", str(NOW))

    found = json.loads(out)
    expected = ended_run()
    assert (code, found["job"], found["inputs"], found["meta"]) == (0, None, [], [])
    for changing in ("ended", "seconds", "problems", "replay"):
        expected.pop(changing), found["run"].pop(changing)
    assert found["run"] == expected
    assert list(problems_of(ended_run())) == []


def test_the_page_shows_state_sums_causes_refusals_and_traffic() -> None:
    assert report("--run", "run.json")[0] == 0
    text = Path("report.html").read_text(encoding="utf-8")

    for shown in (
        "<title>Run: job.yaml</title>",
        "refused by a destination",
        "exit code 3",
        "shop refuses everything",
        "The token is dead. <b>Store a new one.</b>",
        "Meta 190/463: Session expired: yesterday",
        "<code>missing_required_field</code>",
        "<code>currency</code>",
        "throttled for <b>1 min 15 s</b>",
        "first event <b>2026-11-22 09:45:00 UTC</b>",
        "last event <b>2026-11-22 10:00:00 UTC</b>",
        "<b>2</b> requests taken",
        "<b>3</b> tries, <b>40.0 kB</b>",
        "To deliver them again: <code>capybeam replay --config job.yaml --from",
    ):
        assert shown in text
    assert "Match quality" not in text


def test_what_an_earlier_run_did_has_columns_of_its_own_where_there_is_any() -> None:
    resumed = ended_run(**{"matched:shop/pageView": 6, "already_delivered:shop/pageView": 4})
    before, after = (page(Report("0.1.0", NOW, (), "", None, run=run)) for run in (ended_run(), resumed))

    assert ("delivered before" in before, "delivered before" in after, "dead before" in after) == (False, True, False)
    assert '<td class="n" data-label="delivered before">4</td>' in after


def test_a_cause_is_one_row_with_all_of_its_subscriptions() -> None:
    found, more = causes(ended_run())

    assert [(each.cause["code"], each.total, each.subscriptions) for each in found] == [
        ("missing_required_field", 3, [("shop/purchase", 2), ("shop/pageView", 1)]),
        ("invalid_json", 2, []),
        ("destination_refused", 1, [("shop/purchase", 1)]),
    ]
    assert more == 0


def test_no_folder_of_the_run_gets_into_a_report() -> None:
    Path("run.json").write_text(json.dumps(ended_run("/home/jane doe/jobs/job.yaml")))
    run = read_run("run.json")

    assert (run["job"]["file"], run["inputs"][0]["name"]) == ("job.yaml", "my events.jsonl")
    assert run["problems"] == ["…/my events.jsonl: breaks off.", "shop: refuses everything.", "…/x: is full"]
    assert run["replay"] == "capybeam replay --config …/job.yaml --from …/'dead letters.jsonl'"
    assert "jane" not in json.dumps(run)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"format": "capybeam run report"}', "Field required"),
        (json.dumps({**ended_run(), "format_version": 2}), "format_version: Input should be 1"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(place: Path, text: str, reason: str) -> None:
    (place / "other.json").write_text(text)
    done = CliRunner().invoke(main, ["report", "--run", "other.json"])

    assert done.exit_code == 2
    assert "capybeam: other.json: is not the report of a run, as `capybeam run --report` writes it (" in done.stderr
    assert reason in done.stderr
    assert not (place / "report.html").exists()


@pytest.mark.parametrize("changes", [{}, {"balanced": False, "in_flight": 3}, {"destinations": {}, "rejections": []}])
def test_any_run_is_a_page(changes: dict[str, Any]) -> None:
    assert "Run of job.yaml" in page(Report("0.1.0", NOW, (), "", None, run={**ended_run(), **changes}))
