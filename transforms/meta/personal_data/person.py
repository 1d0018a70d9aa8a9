"""Personal data known by comparison with what an event gives to be hashed: phone numbers, names, addresses."""

from __future__ import annotations

import functools
import itertools
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from capybeam.transforms.meta.personal_data.emails import Span, emails
from capybeam.transforms.meta.user_data import normaliser
from capybeam.transforms.standards.spelling import normalised

_NOT_ALNUM: Final = re.compile(r"[\W_]+")
_LOWER: Final = bytes(range(256)).lower()
_DROPPED: Final = bytes(set(range(128)) - set((string.ascii_letters + string.digits).encode()))
_OTHER_DIGITS: Final = re.compile(r"(?![0-9])\d")
_MOST: Final = 3  # values of a key that are looked for
_LEAST_DIGITS: Final = 7  # of a phone number
_LEAST_NATIONAL: Final = 8  # of one without its country code
_LEAST_WHOLE: Final[Mapping[str, int]] = {"firstName": 3, "lastName": 3, "zip": 4, "dateOfBirth": 8}  # characters
_LEAST_JOINED: Final = 8  # letters of a full name that counts without anything between first and last name
# Entered where there is no name; elsewhere they are values.
_NO_NAMES: Final = frozenset(
    """
    guest customer client user member visitor friend test tester admin anonymous unknown none null undefined nan
    mr. mrs mrs. miss male female true false yes not_set (not set) n/a first last firstname lastname name
    """.split()
)
_WIDEST_GAP: Final = 4  # characters, from one digit or letter to the next one that belongs to it
_WIDEST_STATE: Final = 24  # characters between a city and its postal code


def squeezed(text: str) -> str:
    """The letters and digits only, in lower case and without accents, so that spellings compare.

    >>> squeezed("+1 (650) 555-1212 O'Connor")
    '16505551212oconnor'
    """
    if text.isascii():
        return text.encode().translate(_LOWER, _DROPPED).decode()
    plain = normalised("NFKD", text.casefold())
    if _OTHER_DIGITS.search(plain):
        plain = _OTHER_DIGITS.sub(lambda digit: str(unicodedata.decimal(digit[0])), plain)
    return _NOT_ALNUM.sub("", plain)


class Person:
    """Whom an event is about, by the values that a mapping gave to be hashed. Is kept no longer than its event is."""

    def __init__(self, given: Mapping[str, Any], default_country: str | None) -> None:
        self._given, self._default_country = given, default_country

    def _values(self, name: str) -> list[str]:
        """The values of a key; without those that are hashed already."""
        value = self._given.get(name)
        if type(value) is str:
            return [value] if 0 < len(value) < 64 else []
        return [text for text in value[:_MOST] if type(text) is str and len(text) < 64] if type(value) is list else []

    def _squeezed(self, name: str, least: int = 1) -> list[str]:
        return [text for text in map(squeezed, self._values(name)) if len(text) >= least]

    @functools.cached_property
    def wholes(self) -> frozenset[str]:
        """What counts as all of a value only, see `is_whole`."""
        return frozenset(
            [
                form
                for name, least in _LEAST_WHOLE.items()
                for text in self._values(name)
                for form in (text.strip().lower(), squeezed(text))
                if len(form) >= least
            ]
        ).difference(_NO_NAMES)

    @functools.cached_property
    def _names(self) -> dict[str, int]:
        """Full names in both orders, and how long the first of the two is."""
        firsts, lasts = self._squeezed("firstName"), self._squeezed("lastName")
        pairs = [pair for first in firsts for last in lasts for pair in ((first, last), (last, first))]
        return {one + other: len(one) for one, other in pairs}

    @functools.cached_property
    def _codes(self) -> list[str]:
        hashed = [squeezed(normaliser("zp")(code)) for code in self._values("zip")]
        return [code for code in {*hashed, *self._squeezed("zip")} if len(code) >= _LEAST_WHOLE["zip"]]

    @functools.cached_property
    def _odd_emails(self) -> list[str]:
        """Those that have not the form that email addresses are known by anyway."""
        return [squeezed(email) for email in self._values("email") if "@" in email[1:-1] and not emails(email)]

    @functools.cached_property
    def _numbers(self) -> frozenset[str]:
        """The digits of phone numbers as they may stand in a text."""
        normalise = normaliser("ph", self._default_country)
        found: set[str] = set()
        for given in self._values("phone"):
            number, digits = normalise(given), "".join(filter(str.isdigit, squeezed(given)))
            found |= {number, f"00{number}", digits}
            for code in (1, 2, 3):  # digits of a country code
                if len(number) - code >= _LEAST_NATIONAL:
                    found |= {number[code:], f"0{number[code:]}"}
        return frozenset(digits for digits in found if len(digits) >= _LEAST_DIGITS)

    @functools.cached_property
    def _cities(self) -> list[str]:
        return self._squeezed("city")

    @functools.cached_property
    def _signs(self) -> frozenset[str]:
        """Of these a squeezed text holds one at least in which there is something to be found."""
        tails = [digits[-_LEAST_DIGITS:] for digits in self._squeezed("phone", _LEAST_DIGITS)]
        return frozenset((*tails, *self._names, *self._codes, *self._odd_emails))

    def may_be_in(self, text: str) -> bool:
        """Whether a squeezed text may hold what `spans` finds."""
        return any([sign in text for sign in self._signs])

    def spans(self, text: str) -> list[Span]:
        """Where a text holds the person's phone number, full name, address or email."""
        if not self.may_be_in(squeezed(text)):
            return []
        looked = _Squeezed(text)

        def found(needles: Iterable[str], same: Callable[[str], bool]) -> list[Span]:
            return [span for needle in needles for span in looked.spans(needle, same)]

        cities, codes = found(self._cities, str.isalpha), found(self._codes, str.isalnum)
        return [
            *(_with_sign(text, span) for span in found(self._numbers, str.isdigit)),
            *(span for name, cut in self._names.items() for span in looked.spans(name, str.isalpha, cut)),
            *found(self._odd_emails, str.isalnum),
            *_side_by_side(cities, codes),
        ]


def _with_sign(text: str, span: Span) -> Span:
    """A phone number with the + and bracket in front of it."""
    start, end = span
    while start > 0 and text[start - 1] in "+(":
        start -= 1
    return start, end


def is_whole(text: str, wholes: frozenset[str]) -> bool:
    """Whether a text is nothing but one of a person's names, postal codes or dates of birth, in any spelling."""
    bare = text.strip().lower()
    return bare in wholes or (len(bare) < 64 and not bare.isalnum() and squeezed(bare) in wholes)


class _Squeezed:
    """A text of which it is known where each letter and digit of its squeezed form comes from."""

    def __init__(self, text: str) -> None:
        letters: list[str] = []
        places: list[int] = []
        for place, character in enumerate(text):
            if character.isascii():
                if character.isalnum():
                    letters.append(character.lower())
                    places.append(place)
            else:
                for letter in squeezed(character):
                    letters.append(letter)
                    places.append(place)
        self._text, self._letters, self._places = text, "".join(letters), places
        wide = [after - before > _WIDEST_GAP for before, after in itertools.pairwise(places)]
        self._wide = list(itertools.accumulate(wide, initial=0))  # wide gaps before each letter

    def spans(self, needle: str, same: Callable[[str], bool], cut: int = 0) -> Iterator[Span]:
        """Where a squeezed text is, with nothing of the `same` kind next to it and no wide gap in it.

        Args:
            cut: where a short one needs a gap.
        """
        text = self._text
        parted = bool(cut) and len(needle) < _LEAST_JOINED
        at = self._letters.find(needle)
        while at >= 0:
            last = at + len(needle) - 1
            start, end = self._places[at], self._places[last] + 1
            if (
                self._wide[at] == self._wide[last]
                and (start == 0 or not same(text[start - 1]))
                and (end == len(text) or not same(text[end]))
                and not (parted and self._places[at + cut] - self._places[at + cut - 1] == 1)
            ):
                yield start, end
                at = last
            at = self._letters.find(needle, at + 1)


def _side_by_side(some: Iterable[Span], others: Iterable[Span]) -> Iterator[Span]:
    """From one of each kind to the other, where no more than a state is between them."""
    spans = sorted([(span, 0) for span in some] + [(span, 1) for span in others])
    for ((start, end), kind), ((next_start, next_end), next_kind) in itertools.pairwise(spans):
        if kind != next_kind and 0 <= next_start - end <= _WIDEST_STATE:
            yield start, next_end
