"""Consent: whether the person behind an event has agreed that it goes to a destination.

Segment's form is an object of categories, ``context.consent.categoryPreferences``, each true or false. Consent managers
also write lists of the categories that are granted, and texts of them (``,C0001,C0004,`` or ``C0001:1,C0004:0``). What
is written in another way is read by two conditions in the language of triggers.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from capybeam.transforms.core.events import Event
from capybeam.transforms.core.paths import get_keys, parse_path
from capybeam.transforms.language.triggers import compile_trigger

Answer = Literal["granted", "refused", "unknown"]
Reaction = Literal["send", "filter", "limit_data_use"]

PREFERENCES: Final = "$.context.consent.categoryPreferences"

GRANTED: Final = frozenset(
    "true 1 yes y on granted grant allowed allow accepted accept opt_in opted_in optin given active".split()
)
REFUSED: Final = frozenset(
    "false 0 no n off denied deny refused refuse rejected reject declined decline disallowed disallow opt_out opted_out"
    " optout withdrawn revoked inactive".split()
)
_SEPARATOR: Final = re.compile(r"[,;|]")
_LONGEST: Final = 10_000  # characters of a text of categories


@dataclasses.dataclass(frozen=True)
class Consent:
    """What is asked of an event, and what becomes of it by the answer.

    Attributes:
        any_of: categories of which one must be granted; none for no such demand.
        all_of: categories that must all be granted.
        path: where an event has its categories.
        granted_if, refused_if: FQL in place of categories; refused wins where both hold.
        on_refused, on_unknown: what becomes of an event; ``unknown`` is one that does not say.
    """

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    path: str = PREFERENCES
    granted_if: str | None = None
    refused_if: str | None = None
    on_refused: Reaction = "filter"
    on_unknown: Reaction = "filter"

    @property
    def limits(self) -> bool:
        """Whether events may go out with limited data use."""
        return "limit_data_use" in (self.on_refused, self.on_unknown)

    def reaction(self, answer: Answer) -> Reaction:
        """What becomes of an event."""
        return "send" if answer == "granted" else self.on_refused if answer == "refused" else self.on_unknown


def compile_consent(consent: Consent) -> Callable[[Event], Answer]:
    """The function from an event to its answer. It never raises: what cannot be read is unknown."""
    decide = _by_conditions(consent) if consent.granted_if or consent.refused_if else _by_categories(consent)

    def answer(event: Event) -> Answer:
        try:
            return decide(event)
        except Exception:  # a rejection would hold the event, and be kept
            return "unknown"

    return answer


def _by_conditions(consent: Consent) -> Callable[[Event], Answer]:
    granted, refused = (
        compile_trigger(condition) if condition else None for condition in (consent.granted_if, consent.refused_if)
    )

    def decide(event: Event) -> Answer:
        if refused is not None and refused(event):
            return "refused"
        if granted is not None and granted(event):
            return "granted"
        return "unknown"

    return decide


def _by_categories(consent: Consent) -> Callable[[Event], Answer]:
    keys = parse_path(consent.path)

    def decide(event: Event) -> Answer:
        answer_of = _reader(get_keys(event, keys))
        answers: list[Answer] = [answer_of(category) for category in consent.all_of]
        if consent.any_of:
            answers.append(_best(map(answer_of, consent.any_of)))
        return "refused" if "refused" in answers else "unknown" if "unknown" in answers else "granted"

    return decide


def _best(answers: Iterable[Answer]) -> Answer:
    """Of several categories of which one is enough. One that is refused, beside others unsaid, is a refusal."""
    given = set(answers)
    return "granted" if "granted" in given else "refused" if "refused" in given else "unknown"


def _reader(said: Any) -> Callable[[str], Answer]:
    """The function from a category to what an event says about it."""
    if isinstance(said, dict):
        return lambda category: _answer(said.get(category))
    if isinstance(said, str):
        if not said.strip() or len(said) > _LONGEST:
            return lambda category: "unknown"
        said = [part.strip() for part in _SEPARATOR.split(said)]
    if isinstance(said, list):
        listed: dict[str, Answer] = {}
        for item in said:
            if type(item) is int:  # such as TCF's purposes
                listed[str(item)] = "granted"
            elif isinstance(item, str):
                name, colon, state = item.rpartition(":")
                known = _answer(state) if colon and name else "unknown"
                listed[item if known == "unknown" else name.strip()] = "granted" if known == "unknown" else known
        return lambda category: listed.get(category, "refused")  # a list is of all that is granted
    return lambda category: "unknown"


def _answer(state: Any) -> Answer:
    if isinstance(state, (bool, int, str)):
        text = str(state).strip().lower().replace("-", "_").replace(" ", "_")
        return "granted" if text in GRANTED else "refused" if text in REFUSED else "unknown"
    return "unknown"
