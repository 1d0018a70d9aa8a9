"""How many messages a pull asks for."""

from __future__ import annotations


class PullSize:
    """How many messages a pull asks for.

    The messages of an answer that was too large are leased, unknown to the client, and are delivered again after the
    acknowledgement deadline: so the next pull asks for one message, later ones for twice as many up to half of what was
    too many. It goes beyond that again, after more pulls each time that this was too early.
    """

    def __init__(self, most: int) -> None:
        self.size = self._bound = self._most = most
        self._taken, self._needed = 0, 1

    def too_large(self, asked: int) -> None:
        self._bound, self.size = max(1, asked // 2), 1
        self._taken, self._needed = 0, min(64, 2 * self._needed)

    def taken(self) -> None:
        """A pull has brought messages."""
        if self.size == self._bound < self._most:
            self._taken += 1
            if self._taken >= self._needed:
                self._bound, self._taken = min(2 * self._bound, self._most), 0
        self.size = min(2 * self.size, self._bound)
