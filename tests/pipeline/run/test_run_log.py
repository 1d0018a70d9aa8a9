"""The lines of a whole run on standard error."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from capybeam.pipeline.log_lines import as_json
from capybeam.pipeline.run import progress
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, REFUSED
from capybeam.pipeline.run.run_log import RunLog
from capybeam.pipeline.sandbox.server import SandboxServer
from tests.pipeline.run.runs import run, small_order


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_run_that_logs_in_json_says_how_far_it_is_and_how_it_ended(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_INTERVAL", 0.1)
    monkeypatch.setattr(progress, "_LOG_INTERVAL", 0.1)
    sandbox.set_faults(latency=0.5)
    with as_json():
        code, books = run(sandbox.url, [*map(small_order, range(300)), b"nonsense"])
    found = json_lines(capsys.readouterr().err)
    kinds = [line.get("kind") for line in found]
    assert (kinds[0], kinds[-1], code) == ("start", "end", DEAD_LETTERS)
    last = [line for line in found if line.get("kind") == "progress"][-1]
    assert [last[name] for name in ("read", "delivered", "dead_lettered", "share")] == [301, 300, 1, 1]
    assert last["rate"] > 0
    deliver = {"state": "delivering", "until": None}
    assert last["destinations"] == {"web": deliver, "crm": deliver}
    ended = found[-1]
    assert (ended["state"], ended["exit_code"]) == ("succeeded_with_rejections", DEAD_LETTERS)
    assert ended["counts"] == {name: books[name] for name in ended["counts"]}
    assert "order-" not in json.dumps(found)


@pytest.mark.slow
def test_a_refused_run_says_which_destination_is_refused(
    sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults(dead_token=True)
    with as_json():
        code, _ = run(sandbox.url, [small_order(n) for n in range(3)])
    *_, last_progress, ended = [line for line in json_lines(capsys.readouterr().err) if line.get("kind")]
    assert last_progress["destinations"]["web"] == {"state": "refused", "until": None}
    assert (code, ended["state"], ended["exit_code"], ended["level"]) == (REFUSED, "refused", REFUSED, "error")


@pytest.mark.slow
def test_without_a_terminal_every_line_has_the_time(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    run(sandbox.url, [*map(small_order, range(3)), b"nonsense"])
    lines = capsys.readouterr().err.splitlines()
    stamped = [line for line in lines if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S", line)]
    assert [line for line in lines if line not in stamped] == ["  capybeam replay --config job.yaml --from dead.jsonl"][
        : len(lines) - len(stamped)
    ]  # the rest of a message of two lines
    assert any("Reading events.jsonl" in line for line in stamped)


def test_what_pythons_logging_says_goes_the_same_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with RunLog().of_python():
        logging.getLogger("a.library").warning("50%% of %s", "[it]")
    assert re.fullmatch(r"\S+Z 50% of \[it\]\n", capsys.readouterr().err)
    assert logging.getLogger().handlers == []


def test_a_run_that_cannot_begin_ends_with_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKEN")
    with as_json():
        code, _ = run("http://127.0.0.1:9", [small_order(1)])
    problem, ended = json_lines(capsys.readouterr().err)
    assert (code, problem["level"], ended["state"], ended["exit_code"]) == (CONFIGURATION, "error", "failed", code)
