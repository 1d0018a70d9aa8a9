"""``capybeam`` as a process of its own, which can be killed: by `fork`, which spares it the import of Beam."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import pkgutil
import random
import signal
import subprocess
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Final

OUTPUT: Final = "output.txt"  # what a process says, on either stream

# Its server has Beam imported once, and no threads, and forks a process for each run.
_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.preloaded", "tests.forks"])
_ROOT: Final = Path(__file__).parents[1]


@functools.cache
def _start_server() -> None:
    """From the root, where it finds what it is to import; it passes over what it does not find."""
    here = os.getcwd()
    os.chdir(_ROOT)
    try:
        forkserver.ensure_running()
    finally:
        os.chdir(here)


class Command:
    """`capybeam` under way, with what of `subprocess.Popen` is used of it."""

    def __init__(
        self,
        *arguments: str,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        """
        Args:
            folder: to run in; without it, the current one.
            environment: variables beside those of this process.
            settings: new values of attributes of the code, by their full names.
            seed: of `random`.
        """
        self._output = (folder or Path.cwd()) / OUTPUT
        self._output.touch(mode=0o600)
        self._before: Final = self._output.stat().st_size  # of others in the same folder
        _start_server()
        variables = {**os.environ, **(environment or {})}
        self._process = _FORKS.Process(target=_main, args=(arguments, self._output, variables, settings or {}, seed))
        self._process.start()
        assert self._process.pid is not None
        self.pid: Final = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Negative where a signal ended it; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("capybeam", timeout, self.output())
        return self._process.exitcode

    def output(self) -> str:
        """What it has said so far."""
        return self._output.read_bytes()[self._before :].decode()

    def communicate(self, timeout: float) -> tuple[str, None]:
        """What it has said to its end. Raises subprocess.TimeoutExpired."""
        self.wait(timeout)
        return self.output(), None


def _main(
    arguments: tuple[str, ...], output: Path, environment: dict[str, str], settings: dict[str, Any], seed: int | None
) -> None:
    from capybeam.pipeline.cli import main

    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(output, os.O_WRONLY | os.O_APPEND)
    for there, wanted in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(there, wanted)
    os.chdir(output.parent)
    os.environ.clear()
    os.environ.update(environment)
    for name, value in settings.items():
        owner, _, attribute = name.rpartition(".")
        setattr(pkgutil.resolve_name(owner), attribute, value)
    if seed is not None:
        random.seed(seed)
    main(list(arguments), prog_name="capybeam")
