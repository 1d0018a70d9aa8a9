"""What an answer means to a sender, whatever the destination: what kind it is, how long to wait, who has to act."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

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
        is_token: whether a new access token is what it takes.
        is_listed: whether it is known. Of an answer that is not, the destination's own words are all there is.
    """

    means: str = ""
    scope: Scope = "destination"
    todo: str = ""
    is_token: bool = False
    is_listed: bool = True


FULL: Final = 100.0  # percent of a rate limit
UNEXPLAINED: Final = Meaning()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an answer means.

    Attributes:
        message: for the dead letters: what happened, in Meta's words where there are some.
        reason: Meta's words alone, for terminals, logs and reports: without what they may quote of an event or a
            secret. "" where there are none, and the message is our own.
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
    reason: str = dataclasses.field(default="", compare=False)
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
        """What happened, for terminals and logs. Meta's own words, as `reason` has them, stand in where the meaning
        is not known."""
        known = self.message if self.code is None else f"Meta, code {self.meta_code}: {self.meaning.means}."
        return known if self.meaning.is_listed else self._with_words(known)

    @property
    def explanation(self) -> str:
        """What happened, for the dead letters: with the words of an answer that is not one of Meta's as well."""
        return self.message if self.code is not None else self._with_words(self.message)

    @property
    def public_reason(self) -> str:
        """What happened, for reports, beside the code: the destination's words, if there are any that may be shown."""
        return self.reason or (self.message if self.code is None else self.meaning.means)

    def _with_words(self, text: str) -> str:
        return f"{text} It says: “{self.reason}”." if self.reason else text

    def without(self, quoted: Iterable[str]) -> Answer:
        """The same, with these texts of an event cut out of `reason`."""
        return dataclasses.replace(self, reason=cut(self.reason, quoted)) if self.reason else self


class Refusal(NamedTuple):
    """Why a destination, or a dataset of it, takes nothing, and what somebody can do about it; both in sentences."""

    problem: str
    cure: str

    @classmethod
    def of(cls, dataset_id: str, answer: Answer) -> Refusal:
        """What an answer says of a destination; one of another kind than that says it of events sent one by one."""
        meaning = answer.meaning
        if answer.kind == "destination":
            whose = f"Dataset {dataset_id}: " if meaning.scope == "dataset" else ""
            return cls(f"{whose}{answer.summary}", meaning.todo)
        return cls(
            f"Dataset {dataset_id}: {answer.summary} Events sent one by one are all refused like this, and nothing gets"
            " through.",
            "Correct what Meta's words name: the dataset, the account or the job file.",
        )


CUT: Final = "…"


def cut(text: str, quoted: Iterable[str]) -> str:
    """A text without what it quotes, whatever the case; only whole words are cut out.

    >>> cut("The name jane doe is not hashed.", ["Jane Doe", "is n"])
    'The name … is not hashed.'
    """
    lower = text.lower()
    for value in quoted:
        if len(value) >= _SHORTEST and value.lower() in lower:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", CUT, text, flags=re.IGNORECASE)
            lower = text.lower()
    return text


def values_of(payload: Any) -> Iterator[str]:
    """The texts of an event, which a destination may quote, but for those that stand for a kind of thing."""
    left = [payload]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [item for name, item in value.items() if name not in _OF_A_KIND]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str):
            yield value


_OF_A_KIND: Final = frozenset({"action_source", "currency", "content_type", "delivery_category"})

_SHORTEST: Final = 3  # characters of a value that tells anything
