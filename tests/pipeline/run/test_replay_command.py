"""The command that mends a run is complete, and one that capybeam takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline import delivery_commands
from capybeam.pipeline.run.replay_command import replay_command as made
from capybeam.pipeline.run.request import Outputs


def replay_command(*given: Any, **more: Any) -> str | None:
    command = made(*given, **more)
    return None if command is None else command.line


GIVEN = Outputs("dead-letters.jsonl", "receipts.jsonl")


def test_it_names_the_job_file_and_the_dead_letters() -> None:
    assert replay_command("conversions.yaml", GIVEN) == (
        "capybeam replay --config conversions.yaml --from dead-letters.jsonl"
    )
    assert replay_command("conversions.yaml", GIVEN, only_retryable=True) == (
        "capybeam replay --config conversions.yaml --from dead-letters.jsonl --retryable"
    )


@pytest.mark.parametrize("path", ["job file.yaml", "$HOME/it's.yaml", "a;b.yaml", "*.yaml", "gs://acme/job.yaml"])
def test_a_shell_reads_it_as_it_is_meant(path: str) -> None:
    command = replay_command(path, Outputs(f"out/{Path(path).name}.jsonl", "receipts.jsonl"), ["--runner", "My Runner"])
    assert command is not None
    assert shlex.split(command) == [
        *("capybeam", "replay", "--config", path, "--from", f"out/{Path(path).name}.jsonl", "--runner", "My Runner")
    ]


def test_a_replay_of_a_replay_does_not_write_where_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = Outputs("replayed-dead-letters.jsonl", "replayed-receipts.jsonl.gz")
    Path("replayed-dead-letters-2.jsonl").touch()
    assert replay_command("job.yaml", outputs) == (
        "capybeam replay --config job.yaml --from replayed-dead-letters.jsonl"
        " --dead-letters replayed-dead-letters-3.jsonl --receipts replayed-receipts-2.jsonl.gz"
    )


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("gs://acme/dead", ["--from", "gs://acme/dead-?????-of-?????", "--dead-letters", "gs://acme/dead-replayed"]),
        ("bigquery:p.d.dead", ["--from", "bigquery:p.d.dead", "--dead-letters", "bigquery:p.d.dead_replayed"]),
        ("pubsub:projects/p/topics/dead", ["--from", "pubsub:projects/p/subscriptions/SUBSCRIPTION"]),
        ("file:///mnt/dead.jsonl", ["--from", "file:///mnt/dead.jsonl", "--dead-letters", "file:///mnt/dead-replayed.jsonl"]),
    ],
)  # fmt: skip
def test_it_reads_from_wherever_they_are(place: str, options: list[str]) -> None:
    command = replay_command("job.yaml", Outputs(place, "receipts.jsonl"))
    assert command is not None
    assert shlex.split(command) == ["capybeam", "replay", "--config", "job.yaml", *options]


@pytest.mark.parametrize("place", ["/dev/null", "/dev/stdout", "/dev/fd/3"])
def test_there_is_none_where_nothing_was_kept(place: str) -> None:
    assert replay_command("job.yaml", Outputs(place, "receipts.jsonl")) is None


def test_there_is_none_without_a_job_file() -> None:
    assert replay_command(None, GIVEN) is None


def test_the_defaults_are_those_of_replay() -> None:
    defaults = {each.name: each.default for each in delivery_commands.replay.params}
    assert (defaults["dead_letters"], defaults["receipts"]) == (
        "replayed-dead-letters.jsonl",
        "replayed-receipts.jsonl.gz",
    )
