"""Reasons for which events were rejected, as they are counted one by one: so many of them, and no more."""

from __future__ import annotations

import threading
from typing import Final

from capybeam.transforms.core.rejections import ANSWERED, Rejection

MOST_REASONS: Final = 20  # of one subscription, code and code of the destination, in a process
OTHERS: Final = "(other reasons)"


class Reasons:
    """Keeps the reasons that a destination gives within a bound: each becomes the name of a counter. Safe to use from
    many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str | None], set[str]] = {}

    def bounded(self, key: str, rejection: Rejection) -> str:
        """What a rejection of a subscription is counted under: its field, or the destination's code and reason.

        Fields come from a closed set. Reasons do not: those beyond the first few are counted together, by their code.
        """
        if rejection.code not in ANSWERED:
            return rejection.about
        reason = rejection.about
        with self._lock:
            known = self._known.setdefault((key, rejection.code, rejection.meta_code), set())
            if reason not in known and len(known) >= MOST_REASONS:
                reason = OTHERS
            else:
                known.add(reason)
        return f"{rejection.meta_code or '-'} {reason}"
