"""user_data: who the event is about, normalised by Meta's rules and SHA-256 hashed.

The rules themselves are in `normalisers`, one function each. A value that normalises to nothing drops its key, counted,
and never the event. A value that is already hashed (`already_hashed`) passes as it is and is never hashed again.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from capybeam.transforms.core.conversions import Count
from capybeam.transforms.core.function_writer import FunctionWriter, literal
from capybeam.transforms.core.memos import FEW, MAX_BYTES, Memo
from capybeam.transforms.core.placeholders import is_placeholder
from capybeam.transforms.meta import normalisers
from capybeam.transforms.meta.normalisers import Normalise
from capybeam.transforms.standards.spelling import BLANKS

try:  # of CPython up to 3.11: a fifth faster for short texts than by OpenSSL, which prepares more for each
    from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from hashlib import sha256

Convert = Callable[..., Any] | Memo[Any]


@dataclasses.dataclass(frozen=True)
class Key:
    """How one field of a mapping's user_data reaches Meta.

    Attributes:
        wire: Meta's name for it.
        hashed: whether it is SHA-256 hashed.
    """

    wire: str
    hashed: bool = False


KEYS: Final[Mapping[str, Key]] = {
    "externalId": Key("external_id", hashed=True),
    "email": Key("em", hashed=True),
    "phone": Key("ph", hashed=True),
    "gender": Key("ge", hashed=True),
    "dateOfBirth": Key("db", hashed=True),
    "lastName": Key("ln", hashed=True),
    "firstName": Key("fn", hashed=True),
    "city": Key("ct", hashed=True),
    "state": Key("st", hashed=True),
    "zip": Key("zp", hashed=True),
    "country": Key("country", hashed=True),
    "client_ip_address": Key("client_ip_address"),
    "client_user_agent": Key("client_user_agent"),
    "fbc": Key("fbc"),
    "fbp": Key("fbp"),
    "subscriptionID": Key("subscription_id"),
    "leadID": Key("lead_id"),
    "fbLoginID": Key("fb_login_id"),
    "anonId": Key("anon_id"),
    "madId": Key("madid"),
    "partner_id": Key("partner_id"),
    "partner_name": Key("partner_name"),
    "ctwa_clid": Key("ctwa_clid"),
    "page_id": Key("page_id"),
    "page_scoped_user_id": Key("page_scoped_user_id"),
    "whatsapp_business_account_id": Key("whatsapp_business_account_id"),
    "ig_account_id": Key("ig_account_id"),
    "ig_sid": Key("ig_sid"),
}


@functools.lru_cache(256)
def compile_user_data(
    default_country: str | None = None, names: frozenset[str] | None = None
) -> Callable[..., dict[str, Any]]:
    """The function from a mapping's user_data to Meta's.

    Args:
        default_country: ISO 3166-1 alpha-2; gives national phone numbers their country code, and is the country of
            states and postal codes where the event names none.
        names: the only keys that user_data can have, where that is known; others are not looked for.

    The function takes the mapped values (text, integers, lists of text), `count`, which is called with
    ``dropped_<wire key>`` for each key of which a value was dropped, and the event's time in Unix seconds, at which an
    fbc has its age; without it the age is not looked at, and a click ID alone makes no fbc.
    """
    writer = FunctionWriter("hashed", "user_data", "count", "event_time=None")
    read = [name for name in KEYS if names is None or name in names]
    values = {name: writer.variable(f"user_data.get({literal(name)})") for name in read}
    return writer.function(write_user_data(writer, values, "event_time", default_country))


def write_user_data(writer: FunctionWriter, values: Mapping[str, str], time: str, default_country: str | None) -> str:
    """Writes what makes Meta's user_data of a mapping's; returns the variable that holds it.

    Args:
        values: the variables of the keys that a mapping's user_data can have, None where an event has no value.
        time: the variable of the event's time.
    """
    keys = {name: key for name, key in KEYS.items() if name in values}
    country = values.get("country", "None")
    converters = _converters(default_country)
    memos = {wire for wire, convert in converters.items() if isinstance(convert, Memo)} | {"st", "zp"}
    remembered = {name: key for name, key in keys.items() if key.wire in memos}
    # The result is made with room for all keys, and those of which nothing is left are taken out: growing it one by one
    # would take longer. Memos are asked without a look at the values' types first: for a value that is not a text they
    # raise, and all are converted by the slow path.
    of = {wire: writer.constant(convert, wire) for wire, convert in converters.items()} | {"st": "st", "zp": "zp"}
    first_text = writer.constant(_first_text, "first_text")
    nothing = writer.constant((None, "", []), "nothing")
    with writer.block("try:"):
        writer.line(f"st, zp = {of['by_country']}[{country} or '']")
        for name, key in remembered.items():
            writer.line(f"{key.wire}_ = {values[name]} and {of[key.wire]}[{values[name]}]")
    with writer.block("except (AttributeError, TypeError):"):
        writer.line(f"st, zp = {of['by_country']}[{country} if type({country}) is str else {first_text}({country})]")
        for name, key in remembered.items():
            writer.line(_conversion(writer, values[name], key, f"{of[key.wire]}.__getitem__", time))
    for name, key in keys.items():
        if name not in remembered:
            conversion = _conversion(writer, values[name], key, of[key.wire], time)
            if key.wire in _UNIQUE:
                _short_conversion(writer, values[name], key, normaliser(key.wire, default_country), conversion)
            else:
                writer.line(conversion)
    entries = ", ".join(f"{literal(key.wire)}: {key.wire}_" for key in keys.values())
    ready = writer.variable(f"{{{entries}}}")
    for name, key in keys.items():
        with writer.block(f"if not {key.wire}_:"):
            writer.line(f"del {ready}[{literal(key.wire)}]")
            dropped = f"count({literal(f'dropped_{key.wire}')})"
            writer.line(f"if {values[name]} not in {nothing}: {dropped}")
    return ready


def _conversion(writer: FunctionWriter, value: str, key: Key, convert: str, time: str) -> str:
    """The statement that converts a key's value, whatever it is."""
    wire = key.wire
    if wire == "fbc":
        return f"fbc_ = {value} and {convert}({value}, {time}, count)"
    one = f"{convert}({value})"
    if wire == "external_id":
        one = f"(v := {one}) and [v]"  # a list, as Segment sends it
    listed = f"{value} if type({value}) is list else []" if key.hashed else value
    most = f", {_MOST_PHONES}" if wire == "ph" else ""
    several = writer.constant(_several, "several")
    many = f"{several}({convert}, {listed}, count, {literal(f'dropped_{wire}')}{most})"
    return f"{wire}_ = {one} if type({value}) is str else {value} and {many}"


def _short_conversion(writer: FunctionWriter, value: str, key: Key, normalise: Normalise, otherwise: str) -> None:
    """Writes what hashes a text that is too short to be a digest, without a call for that; else the statement."""
    wire = key.wire
    with writer.block(f"if type({value}) is str and len({value}) < {_SHORTEST}:"):
        writer.line(f"v = {writer.constant(normalise, f'normalised_{wire}')}({value})")
        digest_of = f"{writer.constant(sha256, 'sha256')}(v.encode()).hexdigest()"
        writer.line(f"{wire}_ = {f'[{digest_of}]' if wire == 'external_id' else digest_of} if v else ''")
    writer.line(f"else: {otherwise}")


@functools.lru_cache(256)
def _converters(default_country: str | None) -> Mapping[str, Convert]:
    """By wire key, what makes Meta's form of a text, "" where nothing is left; for ``st`` and ``zp``, which depend on
    the country, ``by_country`` has two memos. Shared by all subscriptions of a process, as is what they remember.
    """
    home = default_country.lower() if default_country else ""
    hashing = {**_hashing(), "ph": _digester(normaliser("ph", default_country), "ph")}
    places = _places()

    def by_country(text: str) -> tuple[Convert, ...]:
        country = (normalisers.country(text) if text else "") or home
        return places[country if country in places else _ANOTHER]

    converters: dict[str, Convert] = {key.wire: normalisers.text_or_nothing for key in KEYS.values()}
    return {**converters, **_UNHASHED, **hashing, "fbc": click, "by_country": Memo(by_country, _SPELLINGS)}


_SPELLINGS: Final = 128 * 1024  # bytes of a memo of the spellings of countries: hundreds; each default country has one


@functools.cache
def _hashing() -> Mapping[str, Convert]:
    """By wire key, what hashes a text where no country matters."""
    return {wire: _digester(normalise, wire) for wire, normalise in _NORMALISERS.items()}


@functools.cache
def _places() -> Mapping[str, tuple[Convert, ...]]:
    """By country, what hashes a state and a postal code."""
    return {
        country: tuple(_digester(functools.partial(_NORMALISERS[wire], country=country), wire) for wire in ("st", "zp"))
        for country in ("", "us", "ca", _ANOTHER)
    }


_ANOTHER: Final = "another"  # than those for which Meta wants states and postal codes in a special form


def match_keys(user_data: Mapping[str, Any]) -> dict[str, Any]:
    """The same person in the older Offline Conversions API: `user_data`, hashed, under its names and in its forms.

    Some keys take a list, some one value; of several the first goes out. A hashed date of birth cannot be taken apart
    into that API's doby, dobm and dobd, so db has no name there.

    >>> match_keys({"external_id": ["6b86"], "em": "3e23", "ge": "252f"})
    {'email': ['3e23'], 'gen': '252f', 'extern_id': '6b86'}
    """
    keys = {}
    for wire, (name, several) in OFFLINE_KEYS.items():
        if wire in user_data:
            value = user_data[wire]
            values = value if type(value) is list else [value]
            keys[name] = values if several else values[0]
    return keys


# Names in the older Offline Conversions API, and whether they take a list.
OFFLINE_KEYS: Final[Mapping[str, tuple[str, bool]]] = {
    "em": ("email", True),
    "ph": ("phone", True),
    "ge": ("gen", False),
    "ln": ("ln", False),
    "fn": ("fn", False),
    "ct": ("ct", False),
    "st": ("st", True),
    "zp": ("zip", True),
    "country": ("country", False),
    "madid": ("madid", False),
    "external_id": ("extern_id", False),
    "lead_id": ("lead_id", False),
}


# --- what goes out hashed ---------------------------------------------------------------------------------------
WIRES: Final = frozenset(key.wire for key in KEYS.values())

HASHED: Final = tuple(key.wire for key in KEYS.values() if key.hashed)
OLDER_HASHED: Final = (
    *(OFFLINE_KEYS[wire][0] for wire in HASHED if wire in OFFLINE_KEYS),
    "fi",
    "doby",
    "dobm",
    "dobd",
)


def unhashed(user_data: Mapping[str, Any], keys: Iterable[str] = HASHED) -> str | None:
    """The first of the keys that holds anything but digests, None where all that are there hold nothing else."""
    fullmatch = DIGEST.fullmatch
    for key in keys:
        if key in user_data:
            value = user_data[key]
            listed = value if type(value) is list and value else (value,)
            if not all([type(each) is str and fullmatch(each) for each in listed]):
                return key
    return None


def _first_text(values: Any) -> str:
    return values[0] if type(values) is list and values else ""


def _several(convert: Normalise, value: list[str] | int, count: Count, note: str, most: int | None = None) -> Any:
    """The values of a list, each once, and only the first `most`; a number (lead_id) as it is. `note` is counted where
    only some are left."""
    if not isinstance(value, list):
        return value
    converted = list(map(convert, value[:most]))
    if ("" in converted or len(converted) < len(value)) and any(converted):
        count(note)
    return list(dict.fromkeys(filter(None, converted)))


_MOST_PHONES: Final = 10  # of one event; with a default country each takes a fraction of a millisecond


def normaliser(wire: str, default_country: str | None = None) -> Normalise:
    """The rule of one hashed key, as a function from text to normalised text; "" where nothing is left.

    >>> normaliser("ph")("1 (650) 555-1212")
    '16505551212'
    """
    return normalisers.national_phone(default_country) if wire == "ph" and default_country else _NORMALISERS[wire]


def digest(normalised: str) -> str:
    """SHA-256 of the UTF-8 text, 64 lower-case hex digits."""
    return str(sha256(normalised.encode()).hexdigest())


# --- already hashed ---------------------------------------------------------------------------------------------

# SHA-256, or MD5 as browsers take it too, alone or with the suffix of Meta's param-builder.
DIGEST: Final = re.compile(rf"((?:[0-9a-fA-F]{{32}}){{1,2}})(\.{normalisers.SUFFIX})?")
_SIZES: Final = frozenset({32, 35, 41, 64, 67, 73})
_SHORTEST: Final = min(_SIZES)


def already_hashed(text: str) -> str:
    """The digest that a value of a hashed key is, its hexadecimal digits in lower case; "" otherwise.

    >>> already_hashed("5D41402ABC4B2A76B9719D911017C592"), already_hashed("hello")
    ('5d41402abc4b2a76b9719d911017c592', '')
    """
    bare = text.strip(BLANKS)
    found = DIGEST.fullmatch(bare) if len(bare) in _SIZES else None
    return found[1].lower() + (found[2] or "") if found else ""


def _digester(normalise: Normalise, wire: str) -> Convert:
    def digester(value: str) -> str:
        if len(value) >= _SHORTEST and (hashed := already_hashed(value)):
            return hashed
        normalised = normalise(value)
        return sha256(normalised.encode()).hexdigest() if normalised else ""

    if wire in _UNIQUE:
        return digester
    return Memo(digester, FEW if wire in _FEW else MAX_BYTES)


# Hardly ever the same twice, or as quickly made as found in a large memo: remembering them is a waste.
_UNIQUE: Final = frozenset({"em", "ph", "external_id", "db", "ln"})
_FEW: Final = frozenset({"ge", "st", "country"})  # values that there are


# --- clicks and browsers ----------------------------------------------------------------------------------------

_FBC: Final = re.compile(r"fb\.\d{1,2}\.(\d{13})\.(\S+)", re.ASCII)
_FBP: Final = re.compile(rf"fb\.\d{{1,2}}\.\d{{13}}\.\d+(?:\.{normalisers.SUFFIX})?", re.ASCII)
_FBCLID: Final = re.compile(r"[\w.~-]+", re.ASCII)
# A click ID is long and random: it has a digit, or a capital behind a small letter.
_CLICK_ALONE: Final = re.compile(r"(?=[^\d]*\d|.*[a-z][A-Z])[\w-]{5,}", re.ASCII)
_IN_QUERY: Final = re.compile(r"(?:^|[&;])fbclid=([^&;\s]*)")  # "&amp;" is an & that was escaped once too often
_CLICK_LASTS: Final = 90 * 86_400  # seconds, as Meta's cookie does


def click(value: str, event_time: int | None, count: Count) -> str:
    """The ``fbc`` cookie, as it is; made of a click ID where there is nothing but that. "" where it is neither, or
    older than 90 days at `event_time` (Unix seconds).
    """
    bare = value.strip(BLANKS) if type(value) is str else ""
    cookie = _FBC.fullmatch(bare)
    if cookie:
        expired = event_time is not None and int(cookie[1]) < (event_time - _CLICK_LASTS) * 1000
        return "" if expired else bare
    if event_time is None:
        return ""
    made = fbc_from_url(bare, event_time)
    if made is None and _CLICK_ALONE.fullmatch(bare) and not is_placeholder(bare):
        made = _cookie(bare, event_time)
    if made:
        count("derived_fbc")
    return made or ""


def fbc_from_url(url: str, event_time: int) -> str | None:
    """The click ID that a landing page's URL carries, as the cookie would hold it: ``fb.1.{ms}.{fbclid}``.

    The click's own time is not known, so the event's stands in for it.
    """
    if "fbclid=" not in url:
        return None
    query = url.strip().partition("#")[0].partition("?")[2]  # not by urlsplit, which remembers URLs of any length
    clicked = next(filter(None, _IN_QUERY.findall(query)), "")
    clicked = unquote_plus(clicked)
    return _cookie(clicked, event_time) if _FBCLID.fullmatch(clicked) else None


def newer_click(url: str, event_time: int, fbc: str | None) -> str | None:
    """`fbc_from_url` where the URL's click is another than the cookie's, and so came after it."""
    made = fbc_from_url(url, event_time)
    cookie = _FBC.fullmatch(fbc) if made and fbc else None
    if not made or not cookie:
        return made
    clicked = made.split(".", 3)[3]
    same = cookie[2] == clicked or cookie[2].startswith(f"{clicked}.")  # with param-builder's suffix
    return None if same or int(cookie[1]) >= event_time * 1000 else made


def _cookie(clicked: str, event_time: int) -> str:
    return f"fb.1.{event_time * 1000}.{clicked}"


def _browser(value: str) -> str:
    if _FBP.fullmatch(value):
        return value
    bare = value.strip(BLANKS)
    return bare if _FBP.fullmatch(bare) else ""


# --- the rules by key -------------------------------------------------------------------------------------------

_NORMALISERS: Final[Mapping[str, Callable[..., str]]] = {
    "em": normalisers.email,
    "ph": normalisers.phone,
    "ge": normalisers.gender,
    "db": normalisers.birthday,
    "ln": normalisers.name,
    "fn": normalisers.name,
    "ct": normalisers.city,
    "st": normalisers.state,
    "zp": normalisers.zip_code,
    "country": normalisers.country,
    "external_id": normalisers.external_id,
}
_UNHASHED: Final[Mapping[str, Convert]] = {
    "client_ip_address": normalisers.ip_address,
    "client_user_agent": normalisers.trimmed,
    "fbp": _browser,
}
