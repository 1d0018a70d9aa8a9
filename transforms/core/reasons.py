"""Reasons for which events were rejected, as they are counted one by one: so many of them, and no more."""

from __future__ import annotations

import threading
from typing import Final

from capybeam.transforms.core.rejections import ANSWERED, Rejection

MOST_REASONS: Final = 20  # of one subscription, code and code of the destination, in a process
OTHERS: Final = "(other reasons)"
NO_CODE: Final = "-"  # in place of the destination's code, where there is none


class Reasons:
    """Keeps the reasons that a destination gives within a bound: each becomes the name of a counter. Safe to use from
    many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, ...], set[str]] = {}

    def bounded(self, key: str, rejection: Rejection) -> str:
        """What a rejection of a subscription is counted under: its field, or the destination's code and reason.

        Fields come from a closed set. Reasons do not: those beyond the first few are counted together, by their code.
        """
        if rejection.code not in ANSWERED:
            return rejection.about
        meta_code = rejection.meta_code or NO_CODE
        return f"{meta_code} {self.few(rejection.about, key, rejection.code, meta_code)}"

    def few(self, reason: str, *of: str) -> str:
        """A reason, if it is among the first few of its sort, else `OTHERS`."""
        with self._lock:
            known = self._known.setdefault(of, set())
            if reason in known or len(known) < MOST_REASONS:
                known.add(reason)
                return reason
        return OTHERS
