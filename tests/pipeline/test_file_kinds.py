"""Files of another kind than what a command reads: named as what they are, by every command, with exit code 2."""

from __future__ import annotations

import gzip
import io
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.file_kinds import kind_of

JOB = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions: [{action: purchase}]
"""
LINE = b'{"type": "track", "event": "Order Completed"}\n'


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("events.jsonl", LINE)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("events.jsonl")
        member.size = len(LINE)
        archive.addfile(member, io.BytesIO(LINE))
    return file.getvalue()


def database() -> bytes:
    path = Path("events.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("create table events (line text)")
    connection.close()
    return path.read_bytes()


KINDS = {
    "zip": (zipped, "a .zip archive; unpack it first (.xlsx is one as well: save it as CSV)"),
    "tar": (tarred, "a .tar archive; unpack it first"),
    "gzip": (lambda: gzip.compress(LINE), "packed by gzip; unpack it first"),
    "sqlite": (database, "an SQLite database; write its rows as JSON lines"),
    "parquet": (lambda: b"PAR1", "a Parquet file; read it as a table of BigQuery, or write its rows as JSON lines"),
    "html": (lambda: b"\n<!DOCTYPE html><html>", "an HTML page, such as one that asks to sign in"),
    "utf-16": (lambda: LINE.decode().encode("utf-16"), "UTF-16 text; write it as UTF-8: iconv -f UTF-16 -t UTF-8"),
}
COMMANDS = {
    "check": "check FILE",
    "check --against": "check job.yaml --against FILE",
    "explain": "explain --config job.yaml --input FILE",
    "init": "init --from-events FILE --output new.yaml",
    "import": "import segment FILE --output new.yaml",
    "map": "map --config job.yaml --input FILE",
    "run": "run --config job.yaml --input FILE",
    "replay": "replay --config job.yaml --from FILE",
    "test": "test --config job.yaml FILE",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("META_ACCESS_TOKEN", "EAAtoken")
    Path("job.yaml").write_text(JOB)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_file_of_another_kind_is_named_as_what_it_is(kind: str, command: str) -> None:
    make, named = KINDS[kind]
    Path("given.data").write_bytes(make())
    result = CliRunner().invoke(main, [word.replace("FILE", "given.data") for word in command.split()])
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert "given.data" in result.stderr


def test_a_packed_archive_is_named_too() -> None:
    Path("events.tar.gz").write_bytes(gzip.compress(tarred()))
    result = CliRunner().invoke(main, "map --config job.yaml --input events.tar.gz".split())
    assert (result.exit_code, result.stderr) == (
        2,
        "capybeam: events.tar.gz: it is a .tar archive; unpack it first\n",
    )


@pytest.mark.parametrize(
    "head", [b"", b"{", LINE, b"type,event\n", b"BZ", b"<", b"\xef\xbb\xbf{}", b"\x00\x00", b"OR,C"]
)
def test_what_may_be_text_has_no_kind(head: bytes) -> None:
    assert kind_of(head) is None
