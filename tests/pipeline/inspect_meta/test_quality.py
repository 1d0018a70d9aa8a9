"""`capybeam quality`: what Meta says of the events it has, whatever else it says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.inspect_meta.quality import SECTIONS, row
from capybeam.pipeline.sandbox.dataset_quality import NOTE
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.pipeline.inspect_meta.test_doctor import TOKEN, job
from tests.pipeline.sandbox.senders import DIGEST, event

DOCUMENTED = {  # as Meta's documentation has the parts
    "event_name": "Purchase",
    "event_match_quality": {
        "composite_score": 6.2,
        "match_key_feedback": [
            {"identifier": "ip_address", "coverage": {"percentage": 99.9}},
            {"identifier": "email", "coverage": {"percentage": 100}},
        ],
        "diagnostics": [
            {
                "name": "Server sending mismatched IP addresses",
                "description": "They do not match.",
                "solution": "Send the right ones.",
                "percentage": 61.5,
                "affected_event_count": 19567,
                "total_event_count": 31830,
            }
        ],
    },
    "event_coverage": {"percentage": 34.1, "goal_percentage": 75, "description": "Of browser events."},
    "dedupe_key_feedback": [
        {
            "dedupe_key": "event_id",
            "browser_events_with_dedupe_key": {"percentage": 100, "description": "…"},
            "server_events_with_dedupe_key": {"percentage": 98.5, "description": "…"},
            "overall_browser_coverage_from_dedupe_key": {"percentage": 14.8, "description": "…"},
        }
    ],
    "data_freshness": {"upload_frequency": "real_time", "description": "…"},
}


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCTORS_TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "140")


def run(tmp_path: Path, endpoint: str, *options: str) -> Result:
    (tmp_path / "job.yaml").write_text(job(endpoint))
    return CliRunner().invoke(main, ["quality", "--config", str(tmp_path / "job.yaml"), *options])


@contextmanager
def meta(answer: Any) -> Iterator[ThreadingHTTPServer]:
    """A server that answers with what `answer` makes of the path: (status, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.paths.append(self.path)  # type: ignore[attr-defined]
            status, body = answer(self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.paths = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def cells(text: str) -> list[list[str]]:
    """The cells of the lines that have text."""
    lines = [line for line in text.splitlines() if line.strip() and not set(line.strip()) <= {"─"}]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_what_meta_documents_is_a_table(tmp_path: Path) -> None:
    with meta(lambda _: (200, {"web": [DOCUMENTED]})) as server:
        done = run(tmp_path, url(server))

    assert done.exit_code == 0
    assert cells(done.stdout) == [
        ["shop, dataset 123321"],
        ["Event", "EMQ", "Coverage", "Freshness", "Match keys"],
        ["Purchase", "6.2", "34.1 % of 75 %", "real_time", "email 100 %, ip_address 99.9 %"],
        ["Deduplication", "Key", "Browser", "Server", "Both"],
        ["Purchase", "event_id", "100 %", "98.5 %", "14.8 %"],
        [
            "Purchase: Server sending mismatched IP addresses (61.5 % of events). 19,567 of 31,830 events. Send the"
            " right ones."
        ],
    ]


def test_what_is_not_known_is_shown_as_it_comes(tmp_path: Path) -> None:
    odd = {
        **DOCUMENTED,
        "event_match_quality": {"composite_score": "7.5", "match_key_feedback": {"a": 1}, "trend": [{"week": 3}]},
        "dedupe_key_feedback": None,
        "dedup_key_feedback": [{"dedupe_key": "fbp", "server_events_with_dedupe_key": {"percentage": 5}, "new": True}],
        "data_freshness": {"upload_frequency": {"hours": 2}},
        "acr": {"percentage": 37.9},
    }
    answer = {"web": [odd, "a text"], "paging": {"next": "x"}}
    with meta(lambda _: (200, answer)) as server:
        done = run(tmp_path, url(server))
        as_json = run(tmp_path, url(server), "--format", "json")

    assert done.exit_code == 0
    shown = [" ".join(line) for line in cells(done.stdout)]
    for line in (
        "Purchase 7.5 34.1 % of 75 % – –",
        "Purchase fbp – 5 % –",
        "Purchase: event_match_quality.match_key_feedback.a = 1",
        "Purchase: event_match_quality.trend[0].week = 3",
        "Purchase: dedup_key_feedback[0].new = True",
        "Purchase: data_freshness.upload_frequency.hours = 2",
        "Purchase: acr.percentage = 37.9",
        "paging.next = x",
        "web[1] = a text",
    ):
        assert line in shown
    found = json.loads(as_json.stdout)
    assert (found["events"], found["other"]) == ([odd], {"paging": {"next": "x"}, "web": answer["web"]})


@pytest.mark.parametrize(
    "body", [{}, {"web": []}, {"web": None}, {"web": {"a": [1, None]}}, {"web": [{}]}, {"data": []}]
)
def test_any_answer_is_shown_without_a_failure(tmp_path: Path, body: Any) -> None:
    with meta(lambda _: (200, body)) as server:
        assert run(tmp_path, url(server)).exit_code == 0


@pytest.mark.parametrize("body", [[], "text", None, 5])
def test_an_answer_that_is_no_object_is_a_failure_of_the_server(tmp_path: Path, body: Any) -> None:
    with meta(lambda _: (200, body)) as server:
        done = run(tmp_path, url(server))
    assert (done.exit_code, "✗ HTTP 200 without a JSON object." in done.stdout) == (3, True)


def test_a_section_that_meta_refuses_does_not_hide_the_others(tmp_path: Path) -> None:
    def answer(path: str) -> tuple[int, Any]:
        if "dedupe_key_feedback" in path:
            text = "(#100) Tried accessing nonexisting field (dedupe_key_feedback)"
            return 400, {"error": {"message": text, "type": "OAuthException", "code": 100}}
        section = next(section for section in SECTIONS if section in path)
        return 200, {"web": [{"event_name": "Purchase", section: DOCUMENTED[section]}]}

    with meta(answer) as server:
        done = run(tmp_path, url(server))
        paths = server.paths  # type: ignore[attr-defined]

    assert done.exit_code == 0
    shown = cells(done.stdout)
    assert shown[1] == [
        "✗ dedupe_key_feedback: Meta, code 100: a refusal that is not listed. It says: “(#100) Tried accessing"
        " nonexisting field (dedupe_key_feedback)”."
    ]
    assert shown[3] == ["Purchase", "6.2", "34.1 % of 75 %", "real_time", "email 100 %, ip_address 99.9 %"]
    assert len(paths) == 1 + len(SECTIONS)


def test_the_sandbox_answers_and_says_that_the_score_is_its_own(tmp_path: Path) -> None:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        sent = event(event_time=int(time.time()), user_data={"em": DIGEST, "client_user_agent": "x"})
        headers = {"Authorization": f"Bearer {TOKEN}"}
        requests.post(f"{sandbox.url}/v25.0/123321/events", json={"data": [sent]}, headers=headers, timeout=10)
        done = run(tmp_path, sandbox.url)
        sandbox.set_faults(dead_token=True)
        refused = run(tmp_path, sandbox.url)
        stats = sandbox.stats()

    shown = cells(done.stdout)
    assert shown[2] == ["Purchase", "3.5", "–", "real_time", "user_agent 100 %, email 100 %"]
    assert shown[-1] == [f"sandbox.note = {NOTE['note']}"]
    assert refused.exit_code == 3
    assert "Store a new access token where the job file points." in refused.stdout
    assert (stats["requests"], stats["tokens_in_url"]) == (1, 0)


def test_the_token_is_not_shown_even_where_the_server_quotes_it(tmp_path: Path) -> None:
    with meta(lambda _: (200, {"web": [{"event_name": TOKEN, "note": f"for {TOKEN}"}]})) as server:
        for options in ((), ("--format", "json")):
            done = run(tmp_path, url(server), *options)
            assert (done.exit_code, TOKEN in done.output) == (0, False)
        assert [path for path in server.paths if TOKEN in path] == []  # type: ignore[attr-defined]


def test_an_agent_is_asked_for_in_lower_case(tmp_path: Path) -> None:
    with meta(lambda _: (200, {"web": []})) as server:
        run(tmp_path, url(server), "--agent", "Acme")
        assert "agent_name=acme" in server.paths[0]  # type: ignore[attr-defined]


def test_an_entry_is_not_changed_by_being_shown() -> None:
    before = json.dumps(DOCUMENTED)
    assert row(DOCUMENTED).more == []
    assert json.dumps(DOCUMENTED) == before
