"""How fast requests may start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pacer:
    """A token bucket: at most ``rate × seconds + burst`` requests start in any window. Shared by a process's threads.

    Args:
        rate: requests a second; None for no limit.
        burst: how many may start at once.
    """

    def __init__(self, rate: float | None, burst: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._lock = threading.Lock()
        self._next = float("-inf")  # when the bucket would be empty, were it drained at `rate`

    def reserve(self) -> float:
        """Takes one place and returns the seconds to wait before using it. Never blocks."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now = self._clock()
            earliest = now - (self._burst - 1) / self._rate
            start = max(self._next, earliest)
            self._next = start + 1 / self._rate
            return max(0.0, start - now)
