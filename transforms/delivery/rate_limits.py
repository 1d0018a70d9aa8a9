"""How fast requests may start: never faster than asked, and slower before Meta has to refuse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from capybeam.transforms.delivery.answers import FULL, Answer


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

    def wait(self) -> float:
        """Seconds until a request may start; 0 takes the place for one that starts now. Never blocks.

        The place is taken when it is used, not ahead of time: a thread that sleeps too long pushes the next one back
        instead of coming close to it.
        """
        if self._rate is None:
            return 0.0
        with self._lock:
            now = self._clock()
            start = max(self._next, now - (self._burst - 1) / self._rate)
            if start - now > _INSTANT:
                return start - now
            self._next = start + 1 / self._rate
            return 0.0


_INSTANT: Final = 1e-9  # seconds; what rounding may leave

EASY: Final = 75.0  # percent of Meta's rate limit below which nothing is held back
LONGEST_PAUSE: Final = 30.0  # seconds between requests as the limit comes near
STOP: Final = 60.0  # seconds, where Meta does not say when access is regained


class RateLimitGuard:
    """Holds the requests of one destination back as it comes near its rate limit at Meta. Shared by threads.

    From 75 % of the limit on, requests start one by one with pauses that grow with the square of what is used beyond;
    at 100 % none starts until access is regained. When that is, Meta mostly says; where it does not, a minute is
    guessed, and forgotten as soon as an answer reports less.

    Args:
        longest: seconds of a pause or a guess, at most.

    Attributes:
        cause: the answer that last asked for a stop; the result of a request that cannot wait that long.
    """

    cause: Answer | None = None

    def __init__(self, longest: float = STOP, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest, self._clock = longest, clock
        self._lock = threading.Lock()
        self._pause = 0.0
        self._next = self._guess = self._stopped_until = float("-inf")

    def observe(self, answer: Answer) -> None:
        """Takes in what the headers of an answer say of the rate limit."""
        usage, regain = answer.usage or 0.0, answer.regain
        with self._lock:
            now = self._clock()
            if usage >= FULL and regain:
                self._stop_until(now + regain, answer)
            self._guess = now + min(STOP, self._longest) if usage >= FULL and not regain else float("-inf")
            pause = LONGEST_PAUSE * min(1.0, max(0.0, (usage - EASY) / (FULL - EASY))) ** 2
            self._pause = min(pause, self._longest)

    def stop(self, seconds: float, cause: Answer) -> None:
        """Lets no request start for so long."""
        with self._lock:
            self._stop_until(self._clock() + seconds, cause)

    def stopped(self) -> float:
        """Seconds for which Meta has asked for no request at all; pauses and guesses do not count."""
        with self._lock:
            return max(0.0, self._stopped_until - self._clock())

    def _stop_until(self, moment: float, cause: Answer) -> None:
        if moment >= self._stopped_until:
            self._stopped_until, self.cause = moment, cause
            self._next = max(self._next, moment)

    def is_calm(self) -> bool:
        """Whether requests may start at any moment, one after the other."""
        with self._lock:
            return self._pause == 0.0 and self._clock() >= max(self._next, self._guess)

    def wait(self) -> float:
        """Seconds until a request may start; 0 takes the place for one that starts now. Never blocks."""
        with self._lock:
            now, start = self._clock(), max(self._next, self._guess)
            if now < start:
                return start - now
            self._next = now + self._pause
            return 0.0


class Stopwatch:
    """How long anybody was waiting, counted once however many wait together. Shared by threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0
        self._since = 0.0
        self._seconds = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        with self._lock:
            self._count()
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._count()
                self._waiting -= 1

    def take(self) -> int:
        """The whole seconds counted since they were last taken; what is left of one is kept for the next time."""
        with self._lock:
            self._count()
            whole = int(self._seconds)
            self._seconds -= whole
            return whole

    def _count(self) -> None:
        now = self._clock()
        if self._waiting:
            self._seconds += now - self._since
        self._since = now
