"""What it takes to read at a URL."""

from __future__ import annotations

from typing import Any

import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from capybeam.pipeline import file_systems
from capybeam.pipeline.file_systems import reason_of, unavailable_reason
from capybeam.pipeline.sources import NoInput
from capybeam.pipeline.sources.files import check_input


@pytest.mark.parametrize(
    ("url", "installed", "why"),
    [
        ("gs://b/o", False, "gs:// needs pip install 'capybeam[gcp]'"),
        ("s3://b/o", False, "s3:// needs pip install 'apache-beam[aws]'"),
        ("azfs://a/b/o", False, "azfs:// needs pip install 'apache-beam[azure]'"),
        ("hdfs://a/o", False, "hdfs:// needs pip install 'apache-beam[hadoop]'"),
        ("nowhere://a/b", True, "unknown scheme nowhere://"),
        ("/tmp/events.jsonl", False, None),
        ("./*.jsonl", False, None),
    ],
)
def test_what_is_missing_is_reported(
    monkeypatch: pytest.MonkeyPatch, url: str, installed: bool, why: str | None
) -> None:
    monkeypatch.setattr(file_systems, "_is_installed", lambda _module: installed)
    assert unavailable_reason(url) == why


def test_an_option_that_a_known_file_system_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_filesystem(_url: str) -> Any:
        raise ValueError("hdfs_host is not set")

    monkeypatch.setattr(file_systems, "_is_installed", lambda _module: True)
    monkeypatch.setattr(FileSystems, "get_filesystem", get_filesystem)
    assert unavailable_reason("hdfs://a/o") == "hdfs_host is not set"


def test_google_is_asked_for_credentials_once_and_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = pytest.importorskip("google.auth")
    asked = []

    def none_here(*_arguments: Any, **options: Any) -> Any:
        asked.append(list(options))
        raise auth.exceptions.DefaultCredentialsError("none")

    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(auth, "default", none_here)
    with pytest.raises(NoInput) as raised:
        check_input("gs://bucket/*.jsonl")
    assert (str(raised.value), asked) == (
        "gs://bucket/*.jsonl: cannot be read: no Google Cloud credentials on this machine;"
        " run gcloud auth application-default login",
        [["request"]],
    )


@pytest.mark.parametrize("settings", [{"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"}, {}])
def test_with_credentials_or_an_emulator_nothing_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    auth = pytest.importorskip("google.auth")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(auth, "default", lambda **_options: (object(), "project"))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
        monkeypatch.delattr(auth, "default")
    assert unavailable_reason("gs://bucket/*.jsonl") is None


class Forbidden(Exception):
    """As clients raise them."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(13, "Permission denied"), "Permission denied"),
        (Forbidden("jane@example.com may not"), "Forbidden"),
        (BeamIOError("Match operation failed", {"gs://b/*": Forbidden("no")}), "Forbidden"),
        (BeamIOError("Match", {"a": BeamIOError("List", {"b": OSError(2, "No such file")})}), "No such file"),
        (BeamIOError("Match operation failed"), "BeamIOError"),
    ],
)
def test_a_reason_is_that_of_the_innermost_error_without_its_text(error: BaseException, reason: str) -> None:
    assert reason_of(error) == reason
