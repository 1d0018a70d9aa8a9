"""`--report` of whole runs, by the command line: what is written, and that its command mends the run."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, GAVE_UP, OK
from capybeam.pipeline.sandbox.server import SandboxServer
from tests.pipeline.jobs import JANE, job_file, order, rows
from tests.pipeline.run.runs import small_order
from tests.reports import problems_of
from tests.transforms.graph_server import error, graph_server, taken

pytestmark = pytest.mark.slow
RUN = ["run", "--config", "job file.yaml", "--input", "events.jsonl"]


def capybeam(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("report.json").read_text())
    assert list(problems_of(found)) == []
    return found


def test_the_command_that_a_run_ends_with_delivers_what_an_outage_left(sandbox: SandboxServer) -> None:
    sandbox.set_faults(error_rate=1)
    Path("job file.yaml").write_text(job_file(sandbox.url, "{retry_for: 0s}"))
    lines = [small_order(n) for n in range(20)] + [order(30, properties={"revenue": 5}), b"{broken"]
    Path("events.jsonl").write_bytes(b"\n".join(lines))

    code, _ = capybeam(*RUN, "--report", "report.json", "--tolerate", "50%")
    found = report()
    assert (code, found["exit_code"], found["state"]) == (GAVE_UP, GAVE_UP, "failed")
    assert (found["retryable"], found["dead_lettered"], found["unreadable"]) == (20, 21, 1)
    assert {(each["code"], each["field"]) for each in found["rejections"] if not each["retryable"]} == {
        ("missing_required_field", "currency"),
        ("invalid_json", None),
    }
    assert found["job"] == {
        "file": "job file.yaml",
        "sha256": hashlib.sha256(Path("job file.yaml").read_bytes()).hexdigest(),
    }
    size = Path("events.jsonl").stat().st_size
    assert found["inputs"] == [{"name": "events.jsonl", "files": 1, "bytes": size, "rows": None}]
    assert found["tries"] == sandbox.stats()["requests"]
    assert (found["requests"], found["started"] <= found["ended"]) == (0, True)

    sandbox.set_faults(error_rate=0)
    name, *arguments = shlex.split(found["replay"])
    assert name == "capybeam"
    code, output = capybeam(*arguments, "--books", "report.json")
    again = report()
    assert (code, again["command"], again["state"], again["delivered"]) == (OK, "replay", "succeeded", 20), output
    assert sandbox.stats()["events_stored"] == 20
    (first, last), web = ((again[key] for key in ("first_event_time", "last_event_time")), again["destinations"]["web"])
    assert found["started"] > last >= first == web["first_event_time"] > "2026"
    assert (again["requests"], again["replay"]) == (len(rows("replayed-receipts.jsonl.gz")), None)


def test_what_meta_says_of_an_event_is_in_the_report_and_on_the_screen_without_what_it_quotes() -> None:
    words = f"The order of {JANE['email']}, ‘{JANE['lastName']}’ with note blue suede shoes is not wanted"
    quoting = error(4711, 7, message=words, error_user_title="Unwanted")

    def answer(events: list[dict[str, Any]]) -> Any:
        return quoting if any(event["event_id"] == "order-3" for event in events) else taken(events)

    mapping = "- action: purchase\n        mapping: {custom_data: {note: {'@path': $.properties.note}}}"
    with graph_server(answer) as graph:
        Path("job file.yaml").write_text(job_file(graph.url).replace("- action: purchase", mapping, 1))
        properties = {"revenue": 5, "currency": "EUR", "note": "Blue Suede Shoes"}
        Path("events.jsonl").write_bytes(b"\n".join(order(n, properties=properties) for n in range(8)))
        code, output = capybeam(*RUN, "--report", "report.json")

    (rejection,) = report()["rejections"]
    assert code == DEAD_LETTERS
    assert rejection == {
        "stage": "send",
        "code": "meta_refused_event",
        "field": None,
        "meta_code": "4711/7",
        "reason": "Unwanted: The order of …, ‘…’ with note … is not wanted",
        "retryable": False,
        "count": 1,
    }
    assert "4711/7" in output
    written = (output + Path("report.json").read_text()).lower()
    for personal in (*JANE.values(), "suede"):
        assert personal.lower() not in written
    assert words in rows("dead-letters.jsonl")[0]["message"]


@pytest.mark.parametrize(
    ("arguments", "job", "problem"),
    [
        (["run", "--input", "nowhere.jsonl"], None, "capybeam: nowhere.jsonl: no such file"),
        (["run", "--input", "events.jsonl"], "destinations: 3", "job file.yaml:1:1: destinations: "),
        (["replay", "--from", "nowhere.jsonl"], None, "capybeam: nowhere.jsonl: no such file"),
        (["run", "--input", "events.jsonl", "--tolerate", "much"], None, "capybeam: --tolerate much is neither"),
        (["run", "--input", "events.jsonl", "--no-such-option"], None, "capybeam: no such option: --no-such-option"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_begin_has_a_report_that_says_why(
    arguments: list[str], job: str | None, problem: str
) -> None:
    Path("events.jsonl").write_bytes(order(1))
    Path("job file.yaml").write_text(job or job_file("http://127.0.0.1:9"))
    command, *more = arguments
    code, _ = capybeam(command, "--config", "job file.yaml", "--report", "report.json", *more)
    found = report()
    assert (code, found["exit_code"], found["state"], found["command"]) == (CONFIGURATION, 2, "failed", command)
    assert found["problems"][0].startswith(problem), found["problems"]
    assert found["job"]["file"] == "job file.yaml"


def test_an_input_is_never_taken_for_the_place_of_the_report() -> None:
    Path("job file.yaml").write_text("destinations: 3")
    Path("events.jsonl").write_bytes(order(1))
    code, _ = capybeam(*RUN, "--report", "events.jsonl")
    assert (code, Path("events.jsonl").read_bytes()[:9]) == (CONFIGURATION, b'{"type": ')
