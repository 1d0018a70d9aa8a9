"""Values of events as people may see them on a terminal: what is personal only by its shape, ``aaa@aaa.aaa``.

Shown as they are: numbers, true and false, what the job file itself says, currencies, times, and identifiers of events
and products. All other text is shown by its shape, and so is everything of a person: user_data, traits, what stands
under a personal key (`personal_data.is_personal`), and any text in which such a value occurs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from capybeam.transforms.core.events import Event
from capybeam.transforms.language.triggers import type_of
from capybeam.transforms.meta.personal_data.emails import emails
from capybeam.transforms.meta.personal_data.keys import is_personal
from capybeam.transforms.meta.personal_data.person import squeezed
from capybeam.transforms.meta.user_data import DIGEST
from capybeam.transforms.standards.currencies import CURRENCIES

_LEVELS: Final = 60  # of objects and lists that are shown
_LONGEST: Final = 40  # characters of a shape
_RUN: Final = re.compile(r"([a-z]{4,})|([A-Z]{4,})|(9{16,})")
_KEPT: Final = frozenset("@.,-_+()/:;&=?%#' ")
_SHORTEST_PART: Final = 3  # characters of a person's value that is looked for inside of other texts
_SHORTEST_NUMBER: Final = 4  # digits
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.,Z+-]*")
_NAME: Final = re.compile(r"[A-Za-z_$][\w$-]{0,49}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{4}")
_IDS: Final = frozenset({"event_id", "messageId", "id", "content_ids", "product_id"})
_NAMES: Final = frozenset({"event", "name", "event_name", "type"})  # of the event itself
_PEOPLE: Final = frozenset({"user_data", "match_keys", "traits"})


def shape(text: str) -> str:
    """A text by its shape: letters are a or A, digits 9, and of a row of letters there are no more than three.

    >>> shape("Jane.Doe@example.com"), shape("+49 30 12"), shape("10-99")
    ('Aaaa.Aaa@aaa.aaa', '+99 99 99', '99-99')
    """
    drawn = "".join(map(_drawn, text[: 4 * _LONGEST]))
    drawn = _RUN.sub(lambda run: run[0][: 3 if run[1] or run[2] else 15], drawn)
    return drawn if len(drawn) <= _LONGEST and len(text) <= 4 * _LONGEST else f"{drawn[:_LONGEST]}…"


def _drawn(character: str) -> str:
    if character.isalpha():
        return "A" if character.isupper() else "a"
    if character.isnumeric():
        return "9"
    return character if character in _KEPT else "·"


def is_name(key: str) -> bool:
    """Whether a key is a name that somebody has chosen, rather than data such as an email address or a number.

    >>> is_name("first_name"), is_name("Jane Doe"), is_name("u_4915112345678")
    (True, False, False)
    """
    return _NAME.fullmatch(key) is not None and _DIGITS.search(key) is None


def shortened(digest: str) -> str:
    """The beginning of a hash, by which two can be told apart."""
    return f"{digest[:8]}…"


class Mask:
    """Shows the values of one event.

    Args:
        known: texts that the job file has.
        show_values: whether everything is shown as it is.
    """

    def __init__(self, event: Event, known: frozenset[str] = frozenset(), show_values: bool = False) -> None:
        self._known, self._show_values = known, show_values
        self._parts: set[str] = set()
        self._wholes: set[str] = set()
        if not show_values:
            self.learn(values_of_people(event))

    @property
    def shows_values(self) -> bool:
        return self._show_values

    def learn(self, values: Iterable[Any]) -> None:
        """Takes note of values of a person, which are not to be shown wherever they occur."""
        for value in values:
            text = value if isinstance(value, str) else str(value)
            least = _SHORTEST_PART if isinstance(value, str) else _SHORTEST_NUMBER
            for form in (squeezed(text), text.strip().lower()):
                if form:
                    self._wholes.add(form)
                    if len(form) >= least:
                        self._parts.add(form)

    def value(self, value: Any, *path: str) -> Any:
        """A value as it may be seen.

        Args:
            path: the keys that lead to it, in the event or in what is made of it; lists have none.
        """
        return self._value(value, path, _LEVELS)

    def _value(self, value: Any, path: tuple[str, ...], levels: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (dict, list)) and not levels:
            return "…"
        if isinstance(value, dict):
            return {self.key(key): self._value(item, (*path, key), levels - 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, path, levels - 1) for item in value]
        if self._show_values:
            return value
        personal = any(key in _PEOPLE for key in path) or any(is_personal(key) for key in path if key not in _NAMES)
        if isinstance(value, (int, float)):
            digits = squeezed(str(value))
            hidden = personal or any(part in digits for part in self._parts if part.isdecimal() and len(part) > 3)
            return shape(str(value)) if hidden else value
        text = str(value)
        if personal:
            return shortened(text) if DIGEST.fullmatch(text) else shape(text)
        shown = self._impersonal(text, path[-1] if path else "", len(path) < 2)
        return shape(text) if shown == shape(text) or self.is_personal(text) else shown

    def scalar(self, value: Any, key: str) -> Any:
        """A value that should be a text, by its type where it is an object or a list."""
        return f"({type_of(value)})" if isinstance(value, (dict, list)) else self.value(value, key)

    def key(self, key: str) -> str:
        """A key of an object as it may be seen: as it is where somebody has chosen it as a name (`is_name`)."""
        if self._show_values or key in self._known or (is_name(key) and not self.is_personal(key)):
            return key
        return shape(key)

    def is_personal(self, text: str) -> bool:
        """Whether a text has an email address in it, or anything of the person."""
        if self.is_value_of_person(text):
            return True
        lower, bare = text.strip().lower(), squeezed(text)
        return any(part in bare or part in lower for part in self._parts)

    def is_value_of_person(self, text: str) -> bool:
        """Whether a text as a whole is a value of the person, or has an email address in it."""
        return text.strip().lower() in self._wholes or squeezed(text) in self._wholes or bool(emails(text))

    def _impersonal(self, text: str, key: str, at_root: bool) -> str:
        if text in self._known or text in CURRENCIES or text.upper() in CURRENCIES or _TIME.fullmatch(text):
            return text
        if (key in _IDS and not re.search(r"\s", text)) or (key in _NAMES and at_root):
            return text if len(text) <= 200 else f"{text[:200]}…"
        if text.startswith(("http://", "https://")):
            return _site(text)
        return shape(text)


def _site(url: str) -> str:
    """A URL's site; what comes behind it may be anything."""
    try:
        parts = urlsplit(url[:2000])
        site = f"{parts.scheme}://{parts.hostname or ''}"
    except ValueError:
        return shape(url)
    return f"{site}/…" if len(url) > len(site) + 1 else url


def values_of_people(event: Event) -> Iterator[Any]:
    """The values of an event that stand for a person: its traits, its user's IDs, and all under personal keys."""
    for name in ("userId", "anonymousId", "traits"):
        yield from leaves(event.get(name))
    left = [(event.get(name), False) for name in ("properties", "context")]
    while left:  # rather than by recursion, for events of any depth
        value, in_list = left.pop()
        if isinstance(value, Mapping):
            for key, item in value.items():
                if key in _PEOPLE or is_personal(key, in_list):
                    yield from leaves(item)
                else:
                    left.append((item, False))
        elif isinstance(value, list):
            left += [(item, True) for item in value]


def leaves(value: Any) -> Iterator[Any]:
    """The texts and numbers in a value, at any depth."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif value is not None and not isinstance(value, bool):
            yield value
