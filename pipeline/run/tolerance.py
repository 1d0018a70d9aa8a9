"""How many events may be rejected for their own fault before a run counts as one that has gone wrong."""

from __future__ import annotations

import dataclasses
import re

from capybeam.pipeline.run.report import RunReport


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """A share or a count of bad events. What an outage leaves is never tolerated.

    Attributes:
        text: as it was given.
        share: of the conversions that were to be sent and the events that could not be read, 0 to 1; None for a count.
    """

    text: str
    count: int = 0
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """``1%``, ``0.5%`` or ``100``. Raises ValueError with a sentence.

        >>> Tolerance.parse("0.5%")
        Tolerance(text='0.5%', count=0, share=0.005)
        """
        percent = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?) ?%", text, re.ASCII)
        if percent and float(percent[1]) <= 100:
            return cls(text, share=float(percent[1]) / 100)
        if re.fullmatch(r"\d{1,15}", text, re.ASCII):
            return cls(text, count=int(text))
        raise ValueError("is neither a share, for example 1%, nor a count, for example 100")

    def covers(self, report: RunReport) -> bool:
        """Whether no more events are bad than that."""
        if self.share is None:
            return report.faulty <= self.count
        total = report.total
        return report.faulty <= self.share * (total.matched - total.without_consent + report.unreadable)


NO_TOLERANCE = Tolerance("0")
