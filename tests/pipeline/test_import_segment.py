"""``capybeam import segment`` as a command: files in, a job file and a report out, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from tests.pipeline.segment.exports import answer, destination, subscription


def run(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["import", "segment", *arguments], input=given)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "subscriptions.json").write_bytes(answer(subscription(), subscription(name="A & B")))
    (tmp_path / "destination.json").write_text(json.dumps({"data": {"destination": destination()}}))
    return tmp_path


def test_several_files_become_one_job_file_that_check_finds_fine(folder: Path) -> None:
    result = run("subscriptions.json", "destination.json", "--output", "job.yaml")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith(
        "2 subscriptions carried over in job.yaml.\n"
        "What comes out otherwise than at Segment, whatever the mapping:"
        " docs/normalisation.md#differences-from-segment\n"
        "Next: capybeam check job.yaml; capybeam map --config job.yaml --input EVENTS\n"
    )
    checked = CliRunner().invoke(main, ["check", "job.yaml"])
    assert (checked.exit_code, checked.output) == (0, "job.yaml is fine: 1 destination, 2 subscriptions.\n")


def test_the_job_file_goes_to_stdout_and_the_report_to_stderr(folder: Path) -> None:
    result = run("-", "--dataset-id", "77", given=(folder / "subscriptions.json").read_bytes())

    assert result.exit_code == 0
    assert 'dataset_id: "77"' in result.stdout
    assert result.stderr.startswith("destination meta:\n")


def test_what_is_not_carried_over_is_exit_code_1(folder: Path) -> None:
    (folder / "odd.json").write_bytes(answer(subscription(), subscription(actionSlug="odd")))

    assert run("odd.json").exit_code == 1


def test_a_file_that_is_there_is_not_overwritten_unless_asked(folder: Path) -> None:
    (folder / "job.yaml").write_text("mine")

    refused = run("subscriptions.json", "--output", "job.yaml")
    assert (refused.exit_code, (folder / "job.yaml").read_text()) == (2, "mine")
    assert refused.stderr == (
        "capybeam: job.yaml: is there already; choose another --output, or overwrite it with --force\n"
    )
    assert run("subscriptions.json", "--output", "job.yaml", "--force").exit_code == 0
    assert (folder / "job.yaml").read_text().startswith("# Made by")


WRONG = {
    "missing file": (("none.json",), "none.json: cannot be read: No such file or directory"),
    "folder": (("here",), "here: cannot be read: Is a directory"),
    "no export": (("other.json",), "other.json: has no subscription of Segment's; give the answer of"),
    "action": (("subscriptions.json", "--action", "x=purchas"), "--action: must be ID=NAME, and NAME one of purchase,"),
    "dataset": (("subscriptions.json", "--dataset-id", "abc"), "--dataset-id: must be digits"),
    "folder of the output": (("subscriptions.json", "--output", "no/job.yaml"), "no/job.yaml: there is no folder no"),
    "folder as the output": (("subscriptions.json", "--output", "here"), "here: is a folder"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_exit_code_2_with_one_sentence(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    (folder / "here").mkdir()
    (folder / "other.json").write_text('{"type": "track"}')

    result = run(*arguments)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"capybeam: {message}")
