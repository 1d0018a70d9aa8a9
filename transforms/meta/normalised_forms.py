"""What user_data's values are normalised to before they are hashed: for people who look at single events.

A run goes from a value to its hash at once (`user_data.compile_user_data`) and keeps none of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from capybeam.transforms.meta import normalisers
from capybeam.transforms.meta.user_data import KEYS, already_hashed, normaliser


class NormalisedForm(NamedTuple):
    """One value of a key that is hashed.

    Attributes:
        given: what the mapping has found.
        normalised: the text that is hashed; "" where nothing is left.
        already_hashed: whether the value is a hash, which passes as it is.
    """

    given: str
    normalised: str
    already_hashed: bool = False


_BY_COUNTRY: Final = {"st": normalisers.state, "zp": normalisers.zip_code}


def normalised_forms(
    name: str, user_data: Mapping[str, Any], default_country: str | None = None
) -> tuple[NormalisedForm, ...]:
    """The forms of a key's values, by the mapping's name for it: as many as the mapping has found.

    >>> normalised_forms("email", {"email": " Jane@Example.com "})
    (NormalisedForm(given=' Jane@Example.com ', normalised='jane@example.com', already_hashed=False),)
    """
    wire, value = KEYS[name].wire, user_data.get(name)
    if not KEYS[name].hashed:
        return ()
    values = [text for text in (value if type(value) is list else [value]) if type(text) is str]
    return tuple(_form(wire, text, user_data, default_country) for text in values)


def _form(wire: str, text: str, user_data: Mapping[str, Any], default_country: str | None) -> NormalisedForm:
    hashed = already_hashed(text)
    if hashed:
        return NormalisedForm(text, hashed, already_hashed=True)
    by_country = _BY_COUNTRY.get(wire)
    if by_country:
        return NormalisedForm(text, by_country(text, _country(user_data, default_country)))
    return NormalisedForm(text, normaliser(wire, default_country)(text))


def _country(user_data: Mapping[str, Any], default_country: str | None) -> str:
    given = user_data.get("country")
    first = given[0] if type(given) is list and given else given
    named = normalisers.country(first) if type(first) is str else ""
    return named or (default_country or "").lower()
