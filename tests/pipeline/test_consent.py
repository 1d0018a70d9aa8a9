"""Consent, end to end: who is sent, with limits or not at all, and what the books say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.preview import preview
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import DEAD_LETTERS, OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.core.dead_letters import ReplayFilter
from tests.pipeline.jobs import TOKEN, order, rows
from tests.reports import problems_of

YES, NO = {"Advertising": True}, {"Advertising": False}


def job_text(consent: str, endpoint: str = "https://graph.facebook.com") -> str:
    """Two destinations of which only the first asks."""
    return f"""
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: env:TOKEN
    endpoint: {endpoint}
    consent: {consent}
    subscriptions: [{{action: purchase}}]
  - name: crm
    type: facebook_conversions_api
    dataset_id: "456"
    access_token: env:TOKEN
    endpoint: {endpoint}
    subscriptions: [{{action: purchase, trigger: 'event = "Order Completed" and properties.revenue >= 100'}}]
delivery: {{retry_for: 1s, timeout: 5s}}
"""


def said(number: int, preferences: Any, **changes: Any) -> bytes:
    consent = {} if preferences is None else {"consent": {"categoryPreferences": preferences}}
    context = {"userAgent": "Mozilla/5.0", "traits": {"email": "jane.doe@example.com"}, **consent}
    return order(number, context=context, **changes)


def outcomes(consent: str, *lines: bytes) -> list[tuple[Any, ...]]:
    return [
        (each.get("destination"), each["status"], each.get("reason"))
        for each in preview(parse_job(job_text(consent)), lines, time.time())
    ]


def test_an_event_goes_only_to_those_for_which_there_is_consent() -> None:
    assert outcomes("{any_of: Advertising}", said(1, YES), said(200, NO), said(3, None)) == [
        ("web", "ready", None),
        ("crm", "ready", None),
        ("web", "filtered", "consent_refused"),
        ("web", "filtered", "consent_unknown"),
    ]


@pytest.mark.parametrize(
    ("preferences", "limits"),
    [(YES, None), (NO, (["LDU"], 0, 0)), (None, (["LDU"], 0, 0))],
    ids=["yes", "no", "unsaid"],
)
def test_limited_data_use_takes_the_place_of_filtering_where_wanted(preferences: Any, limits: Any) -> None:
    job = parse_job(job_text("{any_of: Advertising, on_refused: limit_data_use, on_unknown: limit_data_use}"))
    (outcome,) = preview(job, [said(1, preferences)], time.time())
    payload = json.loads(orjson.dumps(outcome["payload"]))

    found = tuple(payload.get(f"data_processing_options{part}") for part in ("", "_country", "_state"))
    assert (found if any(value is not None for value in found) else None) == limits


def test_unsaid_may_be_sent() -> None:
    assert outcomes("{any_of: Advertising, on_unknown: send}", said(1, None)) == [("web", "ready", None)]


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as server:
        yield server


@pytest.mark.slow
def test_the_books_count_those_without_consent_and_keep_nothing_of_them(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    unusable = {"properties": {"revenue": 5}}  # no currency
    lines = [said(1, YES), said(200, NO), said(3, None), said(4, NO, **unusable), said(5, YES, **unusable)]
    Path("events.jsonl").write_bytes(b"\n".join(lines))
    job = parse_job(job_text("{any_of: Advertising}", sandbox.url))

    code = run_job(RunRequest(job, ["events.jsonl"], Outputs("dead.jsonl", "receipts.jsonl", "books.json")))

    books = json.loads(Path("books.json").read_text())
    assert (code, books["balanced"]) == (DEAD_LETTERS, True)
    assert [books[name] for name in ("read", "taken", "filtered", "matched", "delivered")] == [5, 3, 2, 6, 2]
    assert list(problems_of(books)) == []
    web, crm = (books["destinations"][name]["subscriptions"]["purchase"] for name in ("web", "crm"))
    assert books["consent"] == web["consent"] == {"refused": 2, "unknown": 1}
    assert (books["without_consent"], web["without_consent"], crm["without_consent"]) == (3, 3, 0)
    assert [letter["code"] for letter in rows("dead.jsonl")] == ["missing_required_field"]

    # A replay asks again: consent may have been withdrawn in between.
    letter = Path("dead.jsonl").read_text().replace('"Advertising":true', '"Advertising":false')
    assert '"Advertising":false' in letter or '\\"Advertising\\":false' in letter.replace(": ", ":")
    Path("withdrawn.jsonl").write_text(letter)
    again = Outputs("again.jsonl", "replayed.jsonl", "again.json")

    assert replay_job(RunRequest(job, ["withdrawn.jsonl"], again), ReplayFilter()) == OK
    books = json.loads(Path("again.json").read_text())
    assert (books["balanced"], books["read"], books["filtered"], books["consent"]) == (
        True,
        1,
        1,
        {"refused": 1},
    )
