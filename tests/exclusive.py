"""Tests that measure time, and so have the machine to themselves among the processes that run tests."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_FOLDER = os.path.join(tempfile.gettempdir(), f"capybeam-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', '')}")


@contextmanager
def turn(alone: bool) -> Iterator[None]:
    """Waits until the other processes of this run of tests allow a test: any but one that is `alone`, or none.

    Whoever waits for a test alone keeps others from beginning, so that it need not wait for a pause of all.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    os.makedirs(_FOLDER, exist_ok=True)
    with open(os.path.join(_FOLDER, "tests"), "w") as tests:
        with open(os.path.join(_FOLDER, "next"), "w") as next_:
            fcntl.flock(next_, fcntl.LOCK_EX)
            fcntl.flock(tests, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
