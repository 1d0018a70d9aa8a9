"""A Pub/Sub server on this machine, for tests and examples: Google's in-memory one, a small Go program.

It is built when it is first needed, which takes a minute, and kept in the user's cache. Where PUBSUB_EMULATOR_HOST is
set, whatever runs there is used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parent / "pubsub_server"
HOST: Final = "PUBSUB_EMULATOR_HOST"  # where Google's clients look for a server


class NoServer(Exception):
    """There can be no server here: says why."""


@contextmanager
def pubsub_server(deny: Sequence[str] = ()) -> Iterator[str]:
    """Starts a server, sets PUBSUB_EMULATOR_HOST to its address, and gives that. Raises NoServer.

    Args:
        deny: calls that nobody has permission for; such a server is always one of its own.
    """
    given = os.environ.get(HOST)
    if given and not deny:
        yield given
        return
    process = subprocess.Popen([_built(), "-deny", ",".join(deny)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    os.environ[HOST] = process.stdout.readline().strip()
    try:
        yield os.environ[HOST]
    finally:
        del os.environ[HOST]
        if given:
            os.environ[HOST] = given
        process.terminate()
        process.wait(timeout=10)


def _built() -> Path:
    sources = [SOURCE / name for name in ("main.go", "go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capybeam"
    program = cache / f"pubsub_server-{digest}"
    if not program.exists():
        go = shutil.which("go")
        if go is None:
            raise NoServer(f"no Pub/Sub server: there is no Go to build one, and {HOST} is not set")
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_suffix(f".{os.getpid()}")
        built = subprocess.run([go, "build", "-o", unfinished, "."], cwd=SOURCE, capture_output=True, check=False)
        if built.returncode:
            reason = (built.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
            raise NoServer(f"no Pub/Sub server: it could not be built ({reason})")
        unfinished.rename(program)
    return program
