"""Lines of JSON on standard error, whatever writes them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.log_lines import format_of

ROOT = Path(__file__).parents[2]
FROM_EVERYWHERE = """
import logging, os, subprocess, sys, warnings
from capybeam.pipeline.log_lines import as_json, say
with as_json():
    say("of capybeam's", "warning", destination="shop", share=0.5)
    print("of Python's, in\\ntwo lines", file=sys.stderr)
    logging.getLogger("apache_beam.runners").warning("of %s", "Beam's")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("a").exception("with a cause")
    warnings.warn("deprecated")
    os.write(2, b"of a library in C, \\xff\\n")
    subprocess.run(["sh", "-c", "echo of another process >&2"])
print("afterwards", file=sys.stderr)
"""


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_whatever_is_written_to_standard_error_is_one_object_a_line() -> None:
    ended = subprocess.run([sys.executable, "-c", FROM_EVERYWHERE], cwd=ROOT, capture_output=True, timeout=60)
    *lines, last = ended.stderr.decode().splitlines()
    found = lines_of("\n".join(lines))
    assert last == "afterwards"
    for line in found:
        assert datetime.fromisoformat(line["time"].replace("Z", "+00:00")).utcoffset() == timedelta(0)
    by_message = {line["message"]: line for line in found}
    mine = by_message["of capybeam's"]
    assert (mine["level"], mine["destination"], mine["share"]) == ("warning", "shop", 0.5)
    assert by_message["of Beam's"]["logger"] == "apache_beam.runners"
    assert by_message["with a cause"]["traceback"].endswith("ZeroDivisionError: division by zero\n")
    assert by_message.keys() >= {"of Python's, in", "two lines", "of a library in C, \ufffd", "of another process"}
    assert any("UserWarning: deprecated" in message for message in by_message)


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        ("run --log-format json --config x", "json"),
        ("run --log-format=json", "json"),
        ("run --log-format json --log-format text", "text"),
        ("run --config --log-format=xml", "xml"),
        ("run --log-format", ""),
        ("run --config x", "text"),
        ("run -- --log-format=json", "text"),
    ],
)
def test_the_form_is_read_before_anything_else_of_the_command_line(arguments: str, form: str) -> None:
    assert format_of(arguments.split()) == form


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --input x", "capybeam: Missing option '--config'."),
        ("check nothing.yaml --colour", "capybeam: No such option '--colour'."),
        ("map --config nothing.yaml", "capybeam: 1 problem in nothing.yaml."),
        ("run --config nothing.yaml --input x", "capybeam: 1 problem in nothing.yaml."),
        ("run --config job.yaml --input EAABsbCS1iHgBAExampleExampleExampleExample", "contain an access token"),
        ("check a.yaml - -", "capybeam: standard input can be read once; - is given several times"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_an_object_that_has_the_exit_code(arguments: str, message: str) -> None:
    ended = CliRunner().invoke(main, [*arguments.split(), "--log-format", "json"])
    *_, last = lines_of(ended.stderr)
    assert message.rstrip(".") in last["message"]
    assert (last["level"], last["kind"], last["exit_code"], ended.exit_code) == ("error", "end", 2, 2)


def test_every_log_in_json_ends_with_the_exit_code() -> None:
    ended = CliRunner().invoke(main, ["check", "examples/conversions.yaml", "--log-format=json"])
    *_, last = lines_of(ended.stderr)
    assert (last["kind"], last["exit_code"], ended.exit_code) == ("end", 0, 0)


def test_a_crash_is_an_object_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise RuntimeError("of a library")

    monkeypatch.setattr("capybeam.pipeline.check.check_files", fail)
    ended = CliRunner().invoke(main, ["check", "examples/conversions.yaml", "--log-format=json"])
    *_, last = lines_of(ended.stderr)
    assert (last["message"], last["exit_code"], ended.exit_code) == ("capybeam failed: RuntimeError", 1, 1)
    assert "RuntimeError: of a library" in last["traceback"]
