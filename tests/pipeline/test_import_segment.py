"""``capybeam import segment`` as a command: files in, a job file and a report out, and its exit codes."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

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


# --- --compare --------------------------------------------------------------------------------------------------------


def order(number: int, **changes: Any) -> str:
    event = {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"m{number}",
        "timestamp": "2026-11-20T10:00:00Z",
        "userId": f"u{number}",
        "context": {"traits": {"email": "jane@example.com"}, "userAgent": "UA"},
        "properties": {"currency": "USD", "revenue": 20},
    }
    return json.dumps({**event, **changes})


ORDERS = [
    *(order(number) for number in range(20)),
    *(order(number, properties={"currency": "eur", "revenue": 20}) for number in range(20, 25)),
    *(order(number, context={"userAgent": "UA"}, userId="undefined") for number in range(25, 27)),
    *(order(number, event="Signed Up") for number in range(27, 30)),
]


@pytest.fixture
def events(folder: Path) -> Path:
    (folder / "events.jsonl").write_text("\n".join(ORDERS) + "\n")
    return folder / "events.jsonl"


def compared(*arguments: str, given: bytes | None = None) -> Any:
    result = run("subscriptions.json", *arguments, "--format", "json", given=given)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_events_are_compared_with_what_segment_sends_and_no_job_file_is_printed(events: Path) -> None:
    found = compared("--compare", "events.jsonl")

    assert {name: found[name] for name in ("events", "unreadable", "not_compared")} == {
        "events": 30,
        "unreadable": {},
        "not_compared": [],
    }
    assert [each["subscription"] for each in found["subscriptions"]] == ["Purchase (Copy)", "A & B"]
    for each in found["subscriptions"]:
        assert {name: each[name] for name in ("events", "both", "only_capybeam", "only_segment", "neither")} == {
            "events": 27,
            "both": 20,
            "only_capybeam": 5,
            "only_segment": 2,
            "neither": 0,
        }
        assert [
            (row["field"], row["kind"], row["rule"], row["count"], row["share"]) for row in each["differences"]
        ] == [
            ("(the event)", "event_only_capybeam", "currency", 5, 0.1852),
            ("(the event)", "event_only_segment", "no user_data", 2, 0.0741),
            ("event_time", "form", "event_time", 20, 0.7407),
        ]


def test_the_job_file_is_written_beside_the_comparison_where_output_names_one(events: Path) -> None:
    compared("--compare", "events.jsonl", "--output", "job.yaml")

    assert CliRunner().invoke(main, ["check", "job.yaml"]).exit_code == 0


def test_any_input_that_map_reads_is_compared_up_to_the_sample(events: Path) -> None:
    (events.parent / "events.jsonl.gz").write_bytes(gzip.compress(events.read_bytes()))
    content = events.read_bytes()

    assert compared("--compare", "*.jsonl")["events"] == 30
    assert compared("--compare", "events.jsonl.gz")["events"] == 30
    assert compared("--compare", "-", given=content)["events"] == 30
    assert compared("--compare", "events.jsonl", "--sample", "7")["events"] == 7


def test_what_was_not_carried_over_is_named_and_is_exit_code_1(events: Path) -> None:
    (events.parent / "odd.json").write_bytes(answer(subscription(), subscription(name="Odd", actionSlug="odd")))

    result = run("odd.json", "--compare", "events.jsonl")

    assert result.exit_code == 1
    assert "Odd: not compared, because it was not carried over" in result.stdout


UNREADABLE_EVENTS = {
    "missing": (("--compare", "none.jsonl"), "none.jsonl: "),
    "folder": (("--compare", "here"), "here"),
    "zip": (("--compare", "events.zip"), "events.zip: "),
    "pretty-printed": (("--compare", "pretty.json"), "pretty.json: "),
    "an array": (("--compare", "array.json"), "array.json: "),
    "empty": (("--compare", "empty.jsonl"), "empty.jsonl: holds no events"),
    "no events": (("--compare", "other.jsonl"), "other.jsonl: holds no events; 2 of its rows are something else"),
    "stdin twice": (("-", "--compare", "-"), "standard input can be read once; - is given several times"),
}


@pytest.mark.parametrize(("arguments", "message"), UNREADABLE_EVENTS.values(), ids=UNREADABLE_EVENTS.keys())
def test_events_that_cannot_be_compared_are_exit_code_2_with_one_sentence(
    events: Path, arguments: tuple[str, ...], message: str
) -> None:
    folder = events.parent
    (folder / "here").mkdir()
    (folder / "empty.jsonl").write_text("\n")
    (folder / "other.jsonl").write_text("nonsense\n[1]\n")
    (folder / "pretty.json").write_text(json.dumps(json.loads(ORDERS[0]), indent=2))
    (folder / "array.json").write_text(f"[{ORDERS[0]},\n{ORDERS[1]}]")
    with zipfile.ZipFile(folder / "events.zip", "w") as packed:
        packed.writestr("events.jsonl", "\n".join(ORDERS))

    result = run("subscriptions.json", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"capybeam: {message}")


@pytest.mark.parametrize("changes", [{"enabled": False}, {"actionSlug": "odd"}])
def test_without_an_enabled_subscription_there_is_nothing_to_compare(events: Path, changes: dict[str, Any]) -> None:
    (events.parent / "one.json").write_bytes(answer(subscription(**changes)))

    result = run("one.json", "--compare", "events.jsonl")

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "capybeam: there is nothing to compare: the job file has no subscription that is enabled"
    )
