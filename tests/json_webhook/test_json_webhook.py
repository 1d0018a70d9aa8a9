"""Events to a destination of a third type, through the whole job: nothing but its own folder knows it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline import cli
from capybeam.pipeline.job.destinations import DESTINATION_TYPES
from tests.json_webhook import JSON_WEBHOOK
from tests.pipeline.jobs import rows

KEY = "a-secret-key"
Events = list[dict[str, Any]]


@contextmanager
def webhook(answer: Callable[[Events], int]) -> Iterator[tuple[str, list[Events]]]:
    """A real server: its URL, and what it was sent, request by request, with the right key and path."""
    requests: list[Events] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, self.headers["X-Key"]) == ("/orders", KEY)
            requests.append(events)
            self.send_response(answer(events))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def event(number: int, age: float = 60) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))
    properties = {"number": number, "email": "jane@example.com"}
    return json.dumps(
        {"type": "track", "event": "Order", "messageId": f"m{number}", "timestamp": when, "properties": properties}
    )


def run(url: str, lines: list[str], command: str = "run", *options: str) -> int:
    Path("job.yaml").write_text(
        f"destinations:\n  - {{name: hook, type: json_webhook, url: '{url}', key: env:KEY,\n"
        "     routes: [{trigger: 'event = \"Order\"', path: orders}]}\n"
        "delivery: {max_batch_events: 10, retry_for: 10s, timeout: 5s}\n"
    )
    Path("events.jsonl").write_text("\n".join(lines) + "\n")
    outputs = ["--dead-letters", "dead.jsonl", "--receipts", "receipts.jsonl", "--books", "books.json"]
    chosen = options or ("--input", "events.jsonl")
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--config", "job.yaml", *chosen, *(outputs if command == "run" else [])])
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(DESTINATION_TYPES, "json_webhook", JSON_WEBHOOK)
    monkeypatch.setenv("KEY", KEY)
    monkeypatch.chdir(tmp_path)


def test_events_arrive_in_the_form_that_the_webhook_reads() -> None:
    with webhook(lambda _: 200) as (url, requests):
        assert run(url, [event(number) for number in range(25)]) == 0
    received = [each for events in requests for each in events]
    assert sorted(len(events) for events in requests) == [5, 10, 10]
    assert sorted(each["id"] for each in received) == sorted(f"m{number}" for number in range(25))
    assert received[0].keys() == {"name", "id", "time", "properties"}
    assert "jane@example.com" not in json.dumps(received)
    assert sum(row["events"] for row in rows("receipts.jsonl")) == 25


def test_an_event_that_it_refuses_is_found_in_its_batch() -> None:
    with webhook(lambda events: 422 if any(each["id"] == "m7" for each in events) else 200) as (url, _):
        assert run(url, [event(number) for number in range(25)]) == 1
    (letter,) = rows("dead.jsonl")
    assert (letter["stage"], letter["code"], letter["event_id"]) == ("send", "meta_refused_event", "m7")
    assert json.loads(Path("books.json").read_bytes())["delivered"] == 24


def test_a_key_that_it_refuses_ends_the_run_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with webhook(lambda _: 401) as (url, requests):
        assert run(url, [event(number) for number in range(25)]) == 3
    assert len(requests) < 4
    shown = capsys.readouterr()
    assert "Put a valid key where the job file points to." in " ".join((shown.out + shown.err).split())
    assert KEY not in shown.out + shown.err + Path("dead.jsonl").read_text()


def test_what_passes_is_tried_again() -> None:
    answers = iter([503, 503, 200])
    with webhook(lambda _: next(answers)) as (url, requests):
        assert run(url, [event(1)]) == 0
    assert len(requests) == 3


def test_its_own_rules_reject_and_what_they_rejected_can_be_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    with webhook(lambda _: 200) as (url, requests):
        assert run(url, [event(1, age=7200)]) == 1
        (letter,) = rows("dead.jsonl")
        assert (letter["stage"], letter["code"]) == ("validate", "event_too_old")
        letter["payload"]["time"] = int(time.time())
        Path("edited.jsonl").write_text(json.dumps(letter) + "\n")
        replayed = ["--from", "edited.jsonl", "--dead-letters", "again.jsonl", "--receipts", "receipts2.jsonl"]
        assert run(url, [], "replay", *replayed) == 0
    assert [each["id"] for events in requests for each in events] == ["m1"]


def test_map_shows_what_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("https://hook.example.com", [event(1)], "map", "--input", "events.jsonl") == 0
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines() if text.startswith("{")]
    assert (line["status"], line["destination"], line["dataset_id"]) == ("ready", "hook", "orders")
    assert line["payload"]["properties"] == {"number": 1}
