"""A Pub/Sub server on this machine, for tests and examples: Google's in-memory one, a small Go program.

It is built when it is first needed, which takes a minute, and kept in the user's cache. Where PUBSUB_EMULATOR_HOST is
set, whatever runs there is used.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers.go_programs import NoGo, built

SOURCE: Final = Path(__file__).parent / "pubsub_server"
HOST: Final = "PUBSUB_EMULATOR_HOST"  # where Google's clients look for a server


class NoServer(Exception):
    """There can be no server here: says why."""


@contextmanager
def pubsub_server(deny: Sequence[str] = (), fail: Sequence[str] = ()) -> Iterator[str]:
    """Starts a server, sets PUBSUB_EMULATOR_HOST to its address, and gives that. Raises NoServer.

    Args:
        deny: calls that nobody has permission for; such a server is always one of its own.
        fail: calls that fail the first time, as when the service is away for a moment; the same.
    """
    given = os.environ.get(HOST)
    if given and not deny and not fail:
        yield given
        return
    try:
        program = built(SOURCE)
    except NoGo as error:
        raise NoServer(f"no Pub/Sub server: {error}; and {HOST} is not set") from error
    process = subprocess.Popen(
        [program, "-deny", ",".join(deny), "-fail", ",".join(fail)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        with clients_go_to(process.stdout.readline().strip()) as address:
            yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def clients_go_to(address: str) -> Iterator[str]:
    """Has Google's clients go to a server; afterwards to that to which they went before, which may still be in use."""
    before = os.environ.get(HOST)
    os.environ[HOST] = address
    try:
        yield address
    finally:
        if before is None:
            os.environ.pop(HOST, None)
        else:
            os.environ[HOST] = before
