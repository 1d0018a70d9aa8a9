"""Builds the small Go programs that stand in for what is Google's, once for each version of their sources."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path


class NoGo(Exception):
    """A program cannot be built: says why."""


def built(source: Path) -> Path:
    """The program of a folder, from the user's cache or built now. Raises NoGo."""
    sources = sorted(path for path in source.iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capybeam"
    program = cache / f"{source.name}-{digest}"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        raise NoGo("there is no Go to build it")
    cache.mkdir(parents=True, exist_ok=True)
    with open(program.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes one builds it, and the others wait
        if program.exists():
            return program
        unfinished = program.with_suffix(f".{os.getpid()}")
        done = subprocess.run([go, "build", "-o", unfinished, "."], cwd=source, capture_output=True, check=False)
        if done.returncode:
            reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
            raise NoGo(f"it could not be built ({reason})")
        unfinished.rename(program)
    return program
