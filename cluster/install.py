"""What a cluster is made of: Flink from PyPI, Beam's job server from Maven Central, kept in .cluster/.

The archive `apache-flink-libraries` holds Flink's jars and no scripts; the job server's jars are ordinary dependencies
of `cluster/pom.xml`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

FLINK: Final = "apache-flink-libraries==1.19.3"
FOLDER: Final = Path(__file__).parents[1] / ".cluster"  # not for git
_POM: Final = Path(__file__).with_name("pom.xml")


class NotInstalled(Exception):
    """Something that a cluster needs is not there: says what."""


def missing() -> str | None:
    """The programs that a cluster needs and that are not on the path, if any."""
    absent = [program for program in ("java", "mvn") if not shutil.which(program)]
    return f"not on the path: {' and '.join(absent)} (Java 11 or 17, Maven 3)" if absent else None


def install(folder: Path = FOLDER) -> tuple[Path, Path]:
    """The folders of Flink's jars and of the job server's, fetched where they are not there. Raises NotInstalled."""
    absent = missing()
    if absent:
        raise NotInstalled(absent)
    folder.mkdir(parents=True, exist_ok=True)
    flink, job_server = folder / "flink", folder / "job-server"
    if not flink.is_dir():
        _fetched(flink, _fetch_flink)
    if not job_server.is_dir():
        _fetched(job_server, _fetch_job_server)
    return flink, job_server


def _fetched(folder: Path, fetch: object) -> None:
    """Fills a folder, which has its name only once it is complete."""
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    assert callable(fetch)
    fetch(unfinished)
    unfinished.rename(folder)


def _fetch_flink(folder: Path) -> None:
    print(f"Fetching {FLINK} (230 MB, once) …", file=sys.stderr)
    _run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), FLINK)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as members:
        for member in members:
            if member.name.endswith(".jar") and "/deps/lib/" in member.name:
                content = members.extractfile(member)
                assert content is not None
                with (folder / Path(member.name).name).open("wb") as jar:
                    shutil.copyfileobj(content, jar)
    archive.unlink()


def _fetch_job_server(folder: Path) -> None:
    print("Fetching Beam's job server for Flink (160 MB, once) …", file=sys.stderr)
    copy = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}")
    _run("mvn", "--quiet", "--batch-mode", "--file", str(_POM), *copy)


def _run(*command: str) -> None:
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if finished.returncode:
        raise NotInstalled(f"{command[0]} failed:\n{finished.stdout[-2000:]}")
