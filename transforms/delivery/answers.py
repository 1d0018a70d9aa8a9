"""What an answer means to a sender, whatever the destination: what kind it is, how long to wait, who has to act."""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

# What a sender does about an answer:
# - delivered: all events of the request were taken; short: fewer than were sent;
# - throttled, transient: the same request may fare better later;
# - destination: nothing will be taken until somebody acts;
# - event: one of the events is invalid; request: the request is, for example too large;
# - unknown: one of the last two, or the destination: what gets through decides.
Kind = Literal["delivered", "short", "throttled", "transient", "destination", "event", "unknown", "request"]
Received = Literal["all", "fewer", "none", "more", "unsaid"]
Trouble = Literal["timeout", "unreachable", "broken", "endless", "repeated", "certificate"]
Scope = Literal["destination", "dataset"]


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What one sort of answer means, for people.

    Attributes:
        means: in words.
        scope: for the kind destination, what is out of order: all of the destination, or this dataset of it.
        todo: for the kind destination, what an operator does about it.
    """

    means: str = ""
    scope: Scope = "destination"
    todo: str = ""


FULL: Final = 100.0  # percent of a rate limit
UNEXPLAINED: Final = Meaning()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an answer means.

    Attributes:
        message: for the dead letters: what happened, in Meta's words where there are some.
        wait: seconds until the next try that the server asked for, if it did.
        usage: how much of the rate limit is used up, in percent, if the headers say.
        regain: seconds until access is regained, if the headers say.
        received: for an acknowledgement, how it compares with what was sent.
        meaning: for people.
    """

    kind: Kind
    message: str = ""
    code: int | None = None
    subcode: int | None = None
    fbtrace_id: str | None = None
    messages: tuple[str, ...] = ()
    wait: float | None = None
    usage: float | None = None
    regain: float | None = None
    received: Received | None = dataclasses.field(default=None, compare=False)
    meaning: Meaning = dataclasses.field(default=UNEXPLAINED, compare=False, repr=False)

    @property
    def meta_code(self) -> str | None:
        """``code`` or ``code/subcode``."""
        return None if self.code is None else f"{self.code}/{self.subcode}" if self.subcode else str(self.code)

    @property
    def is_passing(self) -> bool:
        """Whether the same request may fare better later."""
        return self.kind in ("throttled", "transient")

    @property
    def is_refusal(self) -> bool:
        """Whether something in the request was refused, so that a part of it may be taken."""
        return self.kind in ("event", "unknown", "request")

    @property
    def summary(self) -> str:
        """What happened, for terminals and logs: without Meta's own words, which could quote what was sent."""
        return f"Meta, code {self.meta_code}: {self.meaning.means}." if self.code is not None else self.message
