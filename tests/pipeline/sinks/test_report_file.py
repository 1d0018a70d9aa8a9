"""The report as JSON in a file: tried before a run, and written whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.report_file import check_place, write_report

ROOT = Path(__file__).parents[3]
LINK = "it is a symbolic link, which is not followed; give the path of the file itself"
needs_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no /dev/full here, the disk that is always full"
)


def refusal(path: Path | str, written: bytes | None = None) -> str:
    """Why a report cannot be written there, as it is found before a run, or when they are written."""
    with pytest.raises(SinkError) as raised:
        check_place(str(path)) if written is None else write_report(str(path), written)
    return str(raised.value).removeprefix(f"The report cannot be written to {path}: ")


def test_a_report_takes_the_place_of_an_earlier_one_which_stays_until_then(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("earlier")
    path.chmod(0o640)
    check_place(str(path))
    assert (path.read_text(), os.listdir(tmp_path)) == ("earlier", ["report.json"])
    write_report(str(path), b"{}")
    assert (path.read_text(), os.listdir(tmp_path)) == ("{}", ["report.json"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_who_has_the_earlier_books_open_reads_them_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("earlier")
    with path.open() as file:
        write_report(str(path), b"{}")
        assert file.read() == "earlier"


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "out" / "today" / "report.json"
    check_place(f"file://{path}")
    assert os.listdir(path.parent) == []
    write_report(f"file://{path}", b"{}")
    assert path.read_bytes() == b"{}"


def test_a_name_as_long_as_names_may_be_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / ("b" * 250 + ".json")
    check_place(str(path))
    write_report(str(path), b"{}")
    assert path.read_bytes() == b"{}"


@pytest.mark.parametrize("written", [None, b"{}"], ids=["before a run", "after it"])
def test_a_directory_is_refused(tmp_path: Path, written: bytes | None) -> None:
    assert refusal(tmp_path, written) == "Is a directory"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("written", [None, b"{}"], ids=["before a run", "after it"])
def test_a_folder_that_cannot_be_written_to_is_refused(written: bytes | None) -> None:
    assert refusal("/proc/report.json", written) in ("No such file or directory", "Permission denied")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "report.json") in ("Not a directory", "File exists")


@pytest.mark.parametrize("written", [None, b"{}"], ids=["before a run", "after it"])
def test_a_symbolic_link_is_refused(tmp_path: Path, written: bytes | None) -> None:
    path = tmp_path / "report.json"
    path.symlink_to(tmp_path / "victim")
    assert refusal(path, written) == LINK
    assert (path.is_symlink(), os.listdir(tmp_path)) == (True, ["report.json"])


@pytest.mark.parametrize("path", ["gs://acme/report.json", "bigquery:acme.meta.report", "pubsub:projects/p/topics/t"])
def test_a_place_elsewhere_is_refused(path: str) -> None:
    assert refusal(path) == "they must go to a file on this machine"


@needs_full
def test_a_device_is_written_to_and_never_replaced() -> None:
    for path, reason in (("/dev/null", None), ("/dev/full", "No space left on device")):
        before = os.stat(path)
        check_place(path)
        if reason is None:
            write_report(path, b"{}")
        else:
            assert refusal(path, b"{}") == reason
        after = os.stat(path)
        assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_a_descriptor_that_this_process_was_given_is_written_to(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        path = f"/dev/fd/{file.fileno()}"
        check_place(path)
        write_report(path, b"{}")
    assert (tmp_path / "out").read_bytes() == b"{}"


PROGRAM = """
import resource, sys
from capybeam.pipeline.sinks.report_file import check_place, write_report
from capybeam.pipeline.sinks import SinkError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    check_place(sys.argv[2]) if sys.argv[1] == "check" else write_report(sys.argv[2], b"x" * 5000)
except SinkError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="there is no limit on the size of files here")
@pytest.mark.parametrize("step", ["check", "write"])
def test_where_there_is_no_room_for_them_earlier_books_stay(tmp_path: Path, step: str) -> None:
    path = tmp_path / "report.json"
    path.write_text("earlier")
    command = [sys.executable, "-c", PROGRAM, step, str(path), "1000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert done.stdout == f"The report cannot be written to {path}: File too large\n"
    assert (path.read_text(), os.listdir(tmp_path)) == ("earlier", ["report.json"])
