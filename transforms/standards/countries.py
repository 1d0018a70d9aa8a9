"""Countries and states by their names: in every language that has one, and as people write them.

The names are those of Unicode's CLDR and of the ISO 3166 lists, pinned in ``countries.json``, which
``python -m tools.countries`` makes, so that a library's release changes no digest. The file is read when a name first
needs it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

import orjson

from capybeam.transforms.standards.spelling import plain, squeezed

_LONGEST: Final = 1000  # characters; a longer text is not a name
_MOST_WORDS: Final = 20
# Words that say nothing about which country is meant.
_NEUTRAL: Final = frozenset(
    "the of and country nation state republic kingdom commonwealth federation federal sultanate principality emirate"
    " islamic europe asia africa oceania antarctica world".split()
)
_REGIONS: Final = re.compile(r"\b(?:north|south|central|latin) america\b")
_DROPPED: Final = frozenset("the of and".split())
_SHORT: Final[Mapping[str, str]] = {
    "rep": "republic", "dem": "democratic", "fed": "federated", "sts": "states", "st": "saint", "is": "islands",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Names:
    """What ``countries.json`` holds. All names are `plain`, all codes in lower case.

    Attributes:
        data: the file's content: code → names, with blanks between them.
    """

    data: Mapping[str, Any]

    @functools.cached_property
    def codes(self) -> frozenset[str]:
        """ISO 3166-1 alpha-2, and xk for Kosovo."""
        return frozenset(self.data["countries"])

    @functools.cached_property
    def countries(self) -> Mapping[str, str]:
        """Name or code → code."""
        return _by_name(self.data["countries"])

    @functools.cached_property
    def states(self) -> Mapping[str, Mapping[str, str]]:
        """Country → name, code or abbreviation → two letters, for the countries whose states have those at Meta."""
        more = self.data["abbreviations"]
        return {country: {**names, **_by_name(more[country])} for country, names in self.inside.items()}

    @functools.cached_property
    def inside(self) -> Mapping[str, Mapping[str, str]]:
        """Country → name → two letters, of those that are also looked for within a longer text."""
        return {country: _by_name(states) for country, states in self.data["states"].items()}

    @functools.cached_property
    def elsewhere(self) -> frozenset[str]:
        """Names of other countries' states that contain one of these."""
        return frozenset(self.data["elsewhere"])


@functools.cache
def load() -> Names:
    """The pinned names, read once per process."""
    file = resources.files("capybeam.transforms.standards").joinpath("countries.json")
    return Names(orjson.loads(file.read_bytes()))


def _by_name(names: Mapping[str, str]) -> dict[str, str]:
    return {name: code for code, listed in names.items() for name in listed.split()}


# --- countries --------------------------------------------------------------------------------------------------


def country(text: str) -> str:
    """ISO 3166-1 alpha-2, in lower case, of a name or code; "" if it is not a country's.

    >>> country("Korea"), country("Congo, Dem. Rep."), country("Federal Republic of Germany"), country("Narnia")
    ('kr', 'cd', 'de', '')
    """
    if len(text) > _LONGEST:
        return ""
    names = load().countries
    found = names.get(plain(text))
    if found:
        return found
    for form in turned(text):
        found = names.get("".join(core_words(form)))
        if found:
            return found
    return _by_words(words(text))


def turned(text: str) -> list[str]:
    """The text, and what it is with what stands behind a comma or in brackets put in front: "Korea, North"."""
    forms = [text]
    for separator, closing in ((",", ""), ("(", ")"), ("[", "]")):
        front, found, behind = text.partition(separator)
        if found:
            inside, _, rest = behind.partition(closing) if closing else (behind, "", "")
            forms.append(f"{inside} {front} {rest}")
    return forms


def words(text: str) -> list[str]:
    """The words of a name, `plain`; a capital within a word and a digit begin another one."""
    text = _WITHIN.sub(" ", text.replace("'", "").replace("’", "").replace("&", " and "))
    return [word for part in _BETWEEN.split(text) if (word := plain(part))]


_BETWEEN: Final = re.compile(r"[\W\d_]+")
_WITHIN: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=\.)")


def core_words(text: str) -> list[str]:
    """The words of a name in full, without those that names have or have not: the, of, and."""
    return [_SHORT.get(word, word) for word in words(text) if word not in _DROPPED]


def _by_words(given: list[str]) -> str:
    """The one country whose names and codes all words belong to, apart from neutral ones."""
    if len(given) > _MOST_WORDS:
        return ""
    rest = _REGIONS.sub(" ", " ".join(given)).split()
    names, found = load().countries, set()
    while rest:
        for size in range(len(rest), 0, -1):
            code = names.get("".join(rest[:size]))
            if code:
                found.add(code)
                del rest[:size]
                break
        else:
            if rest[0] not in _NEUTRAL:
                return ""
            del rest[0]
    return found.pop() if len(found) == 1 else ""


# --- states -----------------------------------------------------------------------------------------------------


def state(text: str, country: str = "") -> str:
    """A state as Meta wants it: two letters in the United States and in Canada, elsewhere like a city.

    Args:
        country: ISO 3166-1 alpha-2, in lower case; "" where none is known.

    >>> state("New York State"), state("Ontario"), state("TX, USA", "us"), state("California", "de")
    ('ny', 'on', 'tx', 'california')
    """
    bare = squeezed(text)
    data = load()
    if not bare or (country and country not in data.states) or len(text) > _LONGEST:
        return bare
    name = plain(text)
    homes = [country] if country else list(data.states)
    for home in homes:
        if name in data.states[home]:
            return data.states[home][name]
    if not country and name in data.elsewhere:
        return bare
    found = {full: code for home in homes for full, code in data.inside[home].items() if full in name}
    if found:
        return found[max(found, key=len)]
    for given in (words(text), words(bare)):  # a capital within a word is one of `text` only
        for home in homes:  # a code beside nothing but its country
            rest = [word for word in given if data.countries.get(word) != home]
            if len(rest) == 1 and len(rest[0]) == 2 and rest[0] in data.states[home]:
                return data.states[home][rest[0]]
    return bare
