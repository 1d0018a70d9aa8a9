"""How long code takes, for laws about its growth."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def least_seconds(run: Callable[[], object], times: int = 3) -> float:
    """The least processor time of this thread that `run` took, of a few times.

    Other threads and processes, and collections of the garbage of all tests before, which may take a second, are not
    in it.
    """
    least = float("inf")
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(times):
            started = time.thread_time()
            run()
            least = min(least, time.thread_time() - started)
    finally:
        if collecting:
            gc.enable()
    return least
