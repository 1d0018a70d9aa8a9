"""Job files at URLs."""

from __future__ import annotations

import io
from typing import Any

import pytest
from apache_beam.io import localfilesystem
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.job.loader import ConfigError, parse_job
from capybeam.pipeline.job.remote_loader import load_job_at
from tests.pipeline.job.job_files import MINIMAL

FILES: dict[str, bytes] = {
    "shelf://jobs/good.yaml": MINIMAL.encode(),
    "shelf://jobs/bad.yaml": MINIMAL.replace("action:", "actoin:").encode(),
    "shelf://jobs/latin.yaml": "name: Caf\xe9".encode("latin-1"),
}


class Shelf(localfilesystem.LocalFileSystem):  # type: ignore[misc]
    """Beam finds a file system by its scheme among the subclasses that there are."""

    @classmethod
    def scheme(cls) -> str:
        return "shelf"

    def open(self, path: str, *_arguments: Any, **_options: Any) -> Any:
        if path not in FILES:
            raise OSError("403 for shelf@example.com")  # what clients say stays out of messages
        return io.BytesIO(FILES[path])


def test_a_job_file_at_a_url_is_the_job_it_says() -> None:
    assert load_job_at("shelf://jobs/good.yaml") == parse_job(MINIMAL)


def test_its_mistakes_have_line_and_column() -> None:
    with pytest.raises(ConfigError) as caught:
        load_job_at("shelf://jobs/bad.yaml")
    assert {problem.split(" ")[0] for problem in caught.value.problems} == {"shelf://jobs/bad.yaml:7:9:"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "shelf://jobs/none.yaml",
            "shelf://jobs/none.yaml: cannot be read (OSError). Is it there, and does this account hold"
            " roles/storage.objectViewer on the bucket?",
        ),
        ("shelf://jobs/latin.yaml", "shelf://jobs/latin.yaml: cannot be read: it is not UTF-8 text"),
        ("nowhere://a/b.yaml", "nowhere://a/b.yaml: cannot be read: unknown scheme nowhere://"),
    ],
)
def test_one_that_cannot_be_read_says_what_to_do(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_job_at(url)
    assert caught.value.problems == (message,)


def test_commands_take_a_url() -> None:
    result = CliRunner().invoke(main, ["check", "shelf://jobs/good.yaml"])
    assert (result.exit_code, result.stdout) == (
        0,
        "shelf://jobs/good.yaml is fine: 1 destination, 1 subscription.\n",
    )
