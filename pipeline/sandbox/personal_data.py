"""Finds personal data in the clear.

By keys, by the form of email addresses, and by hashing pieces of texts to compare with the digests in user_data.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from capybeam.pipeline.sandbox.fields import (
    CONTENT,
    CUSTOM_DATA,
    DIGEST,
    DIGESTS,
    HASHED,
    MATCH_KEYS,
    USER_DATA,
    is_digest,
    is_text,
    words,
)
from capybeam.pipeline.sandbox.refusals import Json, Refusal, shown

# Compared word by word, without case: firstName, first_name, "First Name", and profile.first_name are one.
PERSONAL_KEYS: Final = words(
    """
    em email emails emailaddress ph phone phones phonenumber mobilephone telephone contactnumber whatsappnumber
    fn firstname givenname ln lastname surname familyname fullname recipient
    address street streetaddress zp zip zipcode postcode postalcode
    db dob dateofbirth birthday birthdate
    ip ipaddress clientipaddress useragent clientuseragent fbc fbp
    ssn socialsecuritynumber passport iban creditcard creditcardnumber cardnumber cvv cvc
    password passwd secret token accesstoken refreshtoken authorization apikey
    """
)
OWNERS: Final = words(
    "customer user guest guests profile contact recipient billing shipping sender cardholder home work"
)
# Spared the comparison, for speed: these are the keys of most events.
HARMLESS_KEYS: Final = frozenset(CUSTOM_DATA.keys() | CONTENT.keys())
CONTAINERS: Final = frozenset((dict, list))
CAMEL: Final = re.compile(r"([a-z])([A-Z])")
PATH: Final = re.compile(r"[.\[\]/:]+")
LETTERS: Final = re.compile(r"[^\W\d_]+")


def _is_personal(key: str) -> bool:
    return _named_personal(key) if len(key) <= 100 else _named_personal(key[-100:])


@lru_cache(maxsize=4096)
def _named_personal(key: str) -> bool:
    for part in PATH.split(key):
        words = [word.lower() for word in LETTERS.findall(CAMEL.sub(r"\1 \2", part))]
        while words:
            if "".join(words) in PERSONAL_KEYS:
                return True
            if words.pop(0) not in OWNERS:
                break
    return False


def _entries(value: Any, without: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any]]:
    """Keys with their values at any depth, but for what is behind some keys; an item of a list has its list's key."""
    # A growing list rather than recursion, since JSON may nest deeper than Python calls.
    nodes: list[tuple[str, Any]] = [("", value)]
    for key, node in nodes:
        entries = node.items() if type(node) is dict else [(key, inner) for inner in node]
        for name, inner in entries:
            if name in without:
                continue
            if type(node) is dict or type(inner) not in CONTAINERS:
                yield name, inner
            if type(inner) in CONTAINERS:
                nodes.append((name, inner))


AT: Final = re.compile("@|%(?:25)*40")
BEFORE_AT: Final = re.compile(r"[\w.+-]*\w[.+-]*\Z")
AFTER_AT: Final = re.compile(r"(?:[a-z0-9-]+\.)+([a-z]{2,})(?!\w)", re.IGNORECASE)
APOSTROPHE: Final = re.compile(r"(?<=\w)['’](?=\w)")
# mug@2x.png is not an email address.
FILES: Final = words("png jpg jpeg gif webp svg avif ico bmp tif tiff pdf css js mjs cjs ts map json html htm php woff")


def _has_email(text: str) -> bool:
    free = 0
    for at in AT.finditer(text):
        domain = AFTER_AT.match(text[at.end() : at.end() + 255])
        before = text[max(free, at.start() - 8) : at.start()]
        if domain and domain[1].lower() not in FILES and BEFORE_AT.search(before):
            return True
        free = at.end()
    return False


# Fields in which a word alone is a search, a product or a place, and ids, whose nature digits are.
WORDS: Final = words(
    """
    event_name content_name content_category content_type search_string city state country region neighborhood
    currency
    """
)
IDS: Final = words("order_id content_ids contents")
PLACEHOLDERS: Final = words(
    """
    guest customer client user member visitor friend test tester admin anonymous unknown none null undefined nan mrs
    miss male female true false yes first last firstname lastname name not_set
    """
)
PHONE: Final = re.compile(r"(?<!\d)\d(?:[\s().+/-]{0,3}\d){6,14}(?!\d)")
PAIR: Final = re.compile(r"(?<![^\W_])(?=([^\W_]+)[\W_]{1,3}([^\W_]+))")
MOST_HASHED: Final = 1000  # pieces of one event


class _Person:
    """The digests of the person that an event is about, with which hashed pieces of texts are compared."""

    def __init__(self, user_data: Json) -> None:
        keys = ("ph", "phone"), ("fn",), ("ln",), ("zp", "zip"), ("ct",)
        self.phones, self.firsts, self.lasts, self.codes, self.cities = (
            frozenset(itertools.chain(*(_listed(user_data.get(name)) for name in names))) for names in keys
        )
        self.hashed = 0

    def is_in(self, text: str, alone: bool) -> bool:
        """Whether a text holds the number, the full name or the address, or, with `alone`, is one of the names."""
        plain = APOSTROPHE.sub("", text).lower()
        if self.phones and any(self._is(found, self.phones) for found in self._numbers(plain)):
            return True
        if (self.firsts and self.lasts) or (self.codes and self.cities):
            for found in PAIR.finditer(plain):
                if self.hashed > MOST_HASHED:
                    break
                one, other = found.groups()
                for firsts, seconds in (
                    (self.firsts, self.lasts),
                    (self.lasts, self.firsts),
                    (self.codes, self.cities),
                    (self.cities, self.codes),
                ):
                    if self._is(one, firsts) and self._is(other, seconds):
                        return True
        word = plain.strip()
        names = self.firsts | self.lasts
        return alone and len(word) > 2 and word.isalpha() and word not in PLACEHOLDERS and self._is(word, names)

    def _numbers(self, text: str) -> Iterator[str]:
        for found in PHONE.finditer(text):
            yield "".join(filter(str.isdecimal, found[0])).lstrip("0")

    def _is(self, text: str, digests: frozenset[str]) -> bool:
        self.hashed += 1
        return (
            bool(digests)
            and self.hashed <= MOST_HASHED
            and hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() in digests
        )


def _listed(value: Any) -> list[str]:
    return [digest for digest in (value if type(value) is list else [value]) if type(digest) is str]


def _leak_in_data(data: Json, person: _Person) -> str | None:
    """Why an object with any keys is refused."""
    for key, value in _entries(data):
        if key not in HARMLESS_KEYS and _is_personal(key):
            return f"must not carry {shown(key)}"
        if _has_email(key) or (type(value) is str and _has_email(value)):
            return "must not carry an email address"
    for key, value in _entries(data, IDS):
        if type(value) in (str, int) and person.is_in(str(value), key not in WORDS):
            return f"must not carry in {shown(key)} what user_data has hashed"
    return None


def _leaks_in_url(url: str, person: _Person) -> bool:
    """Whether a URL holds a user, an email address, or a parameter that is personal by its name or its value."""
    if _has_email(url) or _has_email(unquote_plus(url)):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets without an IPv6 address
        return False
    return parts.username is not None or any(
        value and (_is_personal(name) or (not CAMPAIGN.match(name) and person.is_in(value, True)))
        for name, value in parse_qsl(parts.query) + parse_qsl(parts.fragment)
    )


CAMPAIGN: Final = re.compile("utm_|[a-z]+clid$", re.IGNORECASE)  # the advertiser's own words
FREE: Final = ("custom_data", "attribution_data")
URLS: Final = ("event_source_url", "referrer_url")
TEXTS: Final = ("event_name", "event_id", "order_id", "item_number", "customer_segmentation")


def check_personal(event: Json, people: Json) -> None:
    """Nothing personal in the clear; `people` is user_data or match_keys."""
    person = _Person(people)
    for name in FREE:
        if type(event.get(name)) is dict:
            reason = _leak_in_data(event[name], person)
            if reason:
                raise Refusal(f"{name} {reason}", rule=f"{name} must not carry personal data")
    for name in URLS:
        if type(event.get(name)) is str and _leaks_in_url(event[name], person):
            raise Refusal(f"{name} must not carry personal data")
    for name in TEXTS:
        if type(event.get(name)) is str and _has_email(event[name]):
            raise Refusal(f"{name} must not carry an email address")
    for key, value in people.items():
        if key != "client_user_agent" and type(value) is str and _has_email(value):
            raise Refusal(f"{shown(key)} must not carry an email address")


def _is_in_the_clear(value: Any) -> bool:
    """Whether a value that fails `HASHED` shows personal data, rather than a digest in the wrong case, or nothing."""
    if type(value) is list:
        return any(map(_is_in_the_clear, value))
    return type(value) is int or (is_text(value) and not is_digest(value.lower()))


def leaks(event: Any) -> list[str]:
    """How `event` shows personal data: by ``raw_pii``, ``pii_in_custom_data`` and ``pii_in_urls``, those that hold.

    Apart from the rules, which stop at the first one broken: another fault must not hide this one.
    """
    if type(event) is not dict:
        return []
    user_data, match_keys = (v if type(v := event.get(k)) is dict else {} for k in ("user_data", "match_keys"))
    raw = (
        any(USER_DATA.get(key) is HASHED and _is_in_the_clear(value) for key, value in user_data.items())
        or any(MATCH_KEYS.get(key) in (DIGEST, DIGESTS) and _is_in_the_clear(v) for key, v in match_keys.items())
        or any(map(_is_personal, user_data.keys() - USER_DATA.keys()))
        or any(map(_is_personal, match_keys.keys() - MATCH_KEYS.keys()))
        or any(map(_is_personal, event))
        or any(type(event.get(name)) is str and _has_email(event[name]) for name in TEXTS)
        or any(
            key != "client_user_agent" and type(value) is str and _has_email(value)
            for key, value in (*user_data.items(), *match_keys.items())
        )
    )
    person = _Person({**match_keys, **user_data})
    in_data = any(type(event.get(name)) is dict and _leak_in_data(event[name], person) for name in FREE)
    in_urls = any(type(event.get(name)) is str and _leaks_in_url(event[name], person) for name in URLS)
    return ["raw_pii"] * raw + ["pii_in_custom_data"] * in_data + ["pii_in_urls"] * in_urls
