"""user_data: who the event is about, normalised by Meta's rules and SHA-256 hashed.

Source of the rules: Meta, "customer-information-parameters"; where Meta's own clients disagree the document wins
(docs/normalisation.md has the table). external_id alone follows Segment (all white space out, lower-case), because it
has to match what the browser pixel sends.

A value that normalises to nothing drops its key, counted, and never the event. A value that is already hashed (64 hex
digits) passes through in lower case and is never hashed again.
"""

from __future__ import annotations

import binascii
import dataclasses
import functools
import gettext
import hashlib
import ipaddress
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import orjson

Count = Callable[[str], None]
Normalise = Callable[[str], str]
T = TypeVar("T")

_HASHED: Final = re.compile(r"[0-9a-fA-F]{64}")
_CACHE: Final = 32768  # values a process remembers per key that repeats itself: first names, cities, all birthdays


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
) -> Callable[[Mapping[str, Any], Count], dict[str, Any]]:
    """The function from a mapping's user_data to Meta's.

    Args:
        default_country: ISO 3166-1 alpha-2; gives national phone numbers their country code, and is the country of
            states and postal codes where the event names none.
        names: the only keys that user_data can have, where that is known; others are not looked for.

    The function takes the mapped values (text, integers, lists of text) and `count`, which is called with
    ``dropped_<wire key>`` for each key of whose values nothing was left.
    """
    wires = {name: key.wire for name, key in KEYS.items() if names is None or name in names}
    # One Python function for the keys in a row. The result is made with room for all of them, and those of which
    # nothing is left are taken out: growing it one by one would take longer.
    lines = ["def hashed(user_data, count):", "    get = user_data.get"]
    if "state" in wires or "zip" in wires:
        lines += [
            "    where = get('country')",
            "    st, zp = by_country(where if type(where) is str else first_text(where))",
        ]
    for name, wire in wires.items():
        lines += [
            f"    v = get({name!r})",
            f"    {wire}_ = {wire}(v) if type(v) is str else v and several({wire}, v)",
        ]
    lines += ["    ready = {" + ", ".join(f"{wire!r}: {wire}_" for wire in wires.values()) + "}"]
    for name, wire in wires.items():
        lines += [
            f"    if not {wire}_:",
            f"        del ready[{wire!r}]",
            f"        if get({name!r}, '') not in nothing: count('dropped_{wire}')",
        ]
        if wire == "external_id":  # always a list, as Segment sends it
            lines += [f"    elif type({wire}_) is str: ready[{wire!r}] = [{wire}_]"]
    namespace: dict[str, Any] = {
        **_converters(default_country),
        "several": _several,
        "first_text": _first_text,
        "nothing": ("", []),
    }
    exec(compile("\n".join([*lines, "    return ready"]), "<user_data>", "exec"), namespace)
    hashed: Callable[[Mapping[str, Any], Count], dict[str, Any]] = namespace["hashed"]
    return hashed


@functools.lru_cache(256)
def _converters(default_country: str | None) -> Mapping[str, Callable[[str], Any]]:
    """By wire key, what makes Meta's form of a text, "" where nothing is left; for ``st`` and ``zp``, which depend on
    the country, ``by_country`` gives it. Shared by all subscriptions of a process, as is what they remember.
    """
    home = default_country.lower() if default_country else ""
    hashing = {wire: _digester(normaliser(wire, default_country), wire) for wire in _NORMALISERS}
    places = {
        us: (
            _digester(functools.partial(_state, us=us is not False), "st"),
            _digester(functools.partial(_zip, us=us), "zp"),
        )
        for us in (True, False, None)
    }

    def by_country(text: str) -> tuple[Normalise, Normalise]:
        country = (_country(text) if text else "") or home
        return places[country == "us" if country else None]

    return {
        **{key.wire: hashing[key.wire] if key.hashed else _PLAIN.get(key.wire, _as_it_is) for key in KEYS.values()},
        "by_country": _Remembered(by_country).__getitem__,
    }


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

# SHA-256 in hexadecimal digits, or the same with the suffix of Meta's param-builder (2 or 8 characters of base64url).
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}(?:\.(?:[\w-]{2}|[\w-]{8}))?", re.ASCII)
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
    fullmatch = _DIGEST.fullmatch
    for key in keys:
        if key in user_data:
            value = user_data[key]
            listed = value if type(value) is list and value else (value,)
            if not all([type(each) is str and fullmatch(each) for each in listed]):
                return key
    return None


def compile_digests() -> Callable[[Mapping[str, Any]], bool]:
    """The function that says of most user_data at once that its hashed keys hold digests; `unhashed` says it of all.

    It looks at them all together: nothing but hexadecimal digits, and as many as so many digests have.
    """
    keys = [key for key in HASHED if key != "external_id"]  # which is a list, mostly of one
    all_keys = "".join([f"{{user_data[{key!r}]}}" for key in keys])
    some_keys = "".join([f"{{get({key!r}, '')}}" for key in keys])
    lines = [
        "def digests(user_data):",
        "    try:",
        "        (external_id,) = user_data['external_id']",
        f'        return not len(unhexlify(f"{{external_id}}{all_keys}")) % 32',
        "    except KeyError:",
        "        get, external_id = user_data.get, user_data.get('external_id', '')",
        "        if external_id and len(external_id) == 1: (external_id,) = external_id",
        "        try:",
        f'            return not len(unhexlify(f"{{external_id}}{some_keys}")) % 32',
        "        except ValueError:",
        "            return False",
        "    except (TypeError, ValueError):",
        "        return False",
    ]
    namespace: dict[str, Any] = {"unhexlify": binascii.unhexlify}
    exec(compile("\n".join(lines), "<digests>", "exec"), namespace)
    digests: Callable[[Mapping[str, Any]], bool] = namespace["digests"]
    return digests


def _first_text(values: Any) -> str:
    return values[0] if type(values) is list and values else ""


def _several(convert: Normalise, value: list[str] | int) -> Any:
    """The values of a list, each once; a number (lead_id) as it is."""
    return list(dict.fromkeys(filter(None, map(convert, value)))) if isinstance(value, list) else value


def _as_it_is(value: str) -> str:
    return value


def normaliser(wire: str, default_country: str | None = None) -> Normalise:
    """The rule of one hashed key, as a function from text to normalised text; "" where nothing is left.

    >>> normaliser("ph")("1 (650) 555-1212")
    '16505551212'
    """
    if wire == "ph" and default_country:
        return functools.lru_cache(_CACHE)(functools.partial(_national_phone, region=default_country.upper()))
    return _NORMALISERS[wire]


def digest(normalised: str) -> str:
    """SHA-256 of the UTF-8 text, 64 lower-case hex digits."""
    return hashlib.sha256(normalised.encode()).hexdigest()


def fbc_from_url(url: str, event_time: int) -> str | None:
    """The click ID that a landing page's URL carries, as the cookie would hold it: ``fb.1.{ms}.{fbclid}``.

    The click's own time is not known, so the event's stands in for it.
    """
    if "fbclid=" not in url:
        return None
    try:
        clicks = parse_qs(urlsplit(url).query).get("fbclid")
    except ValueError:
        return None
    return f"fb.1.{event_time * 1000}.{clicks[0]}" if clicks and _FBCLID.fullmatch(clicks[0]) else None


def _digester(normalise: Normalise, wire: str) -> Callable[[str], str]:
    sha256 = hashlib.sha256

    def digester(value: str) -> str:
        if len(value) >= 64:
            bare = value.strip()
            if len(bare) == 64 and _HASHED.fullmatch(bare):
                return bare.lower()
        normalised = normalise(value)
        return sha256(normalised.encode()).hexdigest() if normalised else ""

    return digester if wire in _UNIQUE else _Remembered(digester).__getitem__


_UNIQUE: Final = frozenset({"em", "ph", "external_id"})  # hardly ever the same twice: remembering them is a waste


class _Remembered(dict[str, T]):
    """What a function made of each text, asked as ``remembered[text]``: a hit costs no Python call.

    Starts afresh when full, which for the keys that repeat themselves hardly happens.
    """

    def __init__(self, function: Callable[[str], T]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, text: str) -> T:
        if len(self) >= _CACHE:
            self.clear()
        result = self[text] = self._function(text)
        return result


# --- one rule each ----------------------------------------------------------------------------------------------


class _Punctuation(dict[int, int | None]):
    """A table for str.translate that drops punctuation, filled as characters turn up."""

    def __init__(self, also: str = "", categories: str = "P") -> None:
        super().__init__({ord(character): None for character in also})
        self._categories = categories

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        drop = unicodedata.category(character)[0] in self._categories or (
            "Z" in self._categories and character.isspace()
        )
        kept = None if drop else code
        if len(self) < 0x4000:
            self[code] = kept
        return kept


_IN_NAMES: Final = _Punctuation(string.punctuation + "´")  # the acute accent is often an apostrophe
_IN_PLACES: Final = _Punctuation(string.punctuation + string.whitespace + "´", "PZ")
_IN_ZIPS: Final = _Punctuation(string.whitespace + "-‐‑‒–—―−﹘﹣－", "Z")
_NOT_DIGITS: Final = bytes(code for code in range(128) if not chr(code).isdigit())
_JS_SPACE: Final = re.compile(r"[\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]")


def _nfc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _email(value: str) -> str:
    email = value.strip().lower() if value.isascii() else _nfc(_nfc(value).strip().lower())
    return email if "@" in email[1:-1] else ""


def _phone(value: str) -> str:
    """Digits with the country code, no leading zeros. Other scripts' digits count; "(0)" is no part of a number."""
    if not value.isascii():
        value = "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in unicodedata.normalize("NFKC", value))
    if "(0)" in value and value.lstrip().startswith(("+", "00")):
        value = value.replace("(0)", "", 1)
    return value.encode("ascii", "ignore").translate(None, _NOT_DIGITS).lstrip(b"0").decode()


def _national_phone(value: str, region: str) -> str:
    digits = _phone(value)
    bare = value.strip()
    if not digits or bare.startswith(("+", "00", "＋")):
        return digits
    import phonenumbers  # its tables are only needed where a job has a default country

    def number(text: str, where: str | None, accepted: Callable[[phonenumbers.PhoneNumber], bool]) -> str:
        try:
            parsed = phonenumbers.parse(text, where)
        except phonenumbers.NumberParseException:
            return ""
        e164 = phonenumbers.PhoneNumberFormat.E164
        return phonenumbers.format_number(parsed, e164).lstrip("+") if accepted(parsed) else ""

    def possible(parsed: phonenumbers.PhoneNumber) -> bool:
        return phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE

    code = str(phonenumbers.country_code_for_region(region))
    for accepted in (phonenumbers.is_valid_number, possible):
        # It may be international without saying so. Some countries keep the leading zero, so a national number is
        # tried as it was written before it is tried without.
        found = (
            (number("+" + digits, None, accepted) if digits.startswith(code) else "")
            or number(bare, region, accepted)
            or number(digits, region, accepted)
        )
        if found:
            return found
    return digits


def _name(value: str) -> str:
    name = _nfc(value).lower().translate(_IN_NAMES)
    return _nfc(" ".join(name.split()))


def _place(value: str) -> str:
    return _nfc(_nfc(value).lower().translate(_IN_PLACES))


def _state(value: str, us: bool = True) -> str:
    """Two letters in the United States, and where no country is named and the state is one of theirs."""
    if us:
        text = value.strip().lower().removeprefix("us-")
        return _us_states().get(_place(text)) or _place(text)
    return _place(value)


def _zip(value: str, us: bool | None = None) -> str:
    compact = _nfc(_nfc(value).lower().translate(_IN_ZIPS))
    if us or (us is None and _ZIP_PLUS_4.fullmatch(value.strip())):
        return compact[:5]
    return compact


_ZIP_PLUS_4: Final = re.compile(r"\d{5}[- ]\d{4}", re.ASCII)


@functools.cache
def _us_states() -> Mapping[str, str]:
    """Names and codes of the United States' subdivisions → code."""
    import pycountry

    # Read as it lies: pycountry's own look-up first builds objects of all the world's five thousand.
    rows = orjson.loads(Path(pycountry.DATABASE_DIR, "iso3166-2.json").read_bytes())["3166-2"]
    states = {
        _place(name): row["code"][3:].lower()
        for row in rows
        if row["code"].startswith("US-")
        for name in (row["name"], row["code"][3:])
    }
    return {**states, "washingtondc": "dc"}


@functools.lru_cache(1024)
def _country(value: str) -> str:
    name = _place(value)
    return _countries().get(name) or _translated_countries().get(name, "") if name else ""


_COUNTRY_ALIASES: Final[Mapping[str, str]] = {
    "uk": "gb",
    "england": "gb",
    "scotland": "gb",
    "wales": "gb",
    "northernireland": "gb",
    "greatbritain": "gb",
    "unitedstatesofamerica": "us",
    "america": "us",
    "russia": "ru",
    "southkorea": "kr",
    "northkorea": "kp",
    "holland": "nl",
    "thenetherlands": "nl",
    "czechrepublic": "cz",
    "turkey": "tr",
    "ivorycoast": "ci",
    "macedonia": "mk",
    "swaziland": "sz",
    "burma": "mm",
    "capeverde": "cv",
    "vatican": "va",
    "brunei": "bn",
    "syria": "sy",
    "laos": "la",
    "palestine": "ps",
    "kosovo": "xk",
    "xk": "xk",
}


@functools.cache
def _countries() -> Mapping[str, str]:
    import pycountry

    names = {
        _place(name): country.alpha_2.lower()
        for country in pycountry.countries
        for name in (
            country.alpha_2,
            country.alpha_3,
            country.name,
            getattr(country, "official_name", country.name),
            getattr(country, "common_name", country.name),
            country.name.partition(",")[0] if country.name.endswith((" of", "of The")) else country.name,
        )
    }
    return {**names, **_COUNTRY_ALIASES}


@functools.cache
def _translated_countries() -> Mapping[str, str]:
    """Country names in the languages that pycountry has them in; read only when an event needs it."""
    import pycountry

    names: dict[str, str] = {}
    for locale in sorted(Path(pycountry.LOCALES_DIR).iterdir()):
        translation = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, [locale.name], fallback=True)
        for country in pycountry.countries:
            for name in (country.name, getattr(country, "common_name", country.name)):
                names.setdefault(_place(translation.gettext(name)), country.alpha_2.lower())
    return names


_GENDERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("f", "female", "woman", "girl", "feminine"), "f"),
    **dict.fromkeys(("m", "male", "man", "boy", "masculine"), "m"),
}


def _gender(value: str) -> str:
    return _GENDERS.get(value.strip().lower(), "")


_BIRTHDAYS: Final = (
    re.compile(r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)", re.ASCII),
    re.compile(r"(?P<y>\d{4})([-/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})(?:[T ].*)?", re.ASCII),
    re.compile(r"(?P<m>\d{1,2})([/-])(?P<d>\d{1,2})\2(?P<y>\d{4})", re.ASCII),  # Meta's own example: 2/16/1997
    re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})", re.ASCII),
    re.compile(r"(?P<n>[A-Za-z]{3,9})\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?,? (?P<y>\d{4})", re.ASCII),
    re.compile(r"(?P<d>\d{1,2})(?:st|nd|rd|th)?\.? (?P<n>[A-Za-z]{3,9}),? (?P<y>\d{4})", re.ASCII),
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _birthday(value: str) -> str:
    """YYYYMMDD. Month before day where slashes leave it open, as in Meta's example, unless that is no date."""
    text = value.strip()
    if len(text) == 10 and text[4] == text[7] == "-":  # as it mostly is
        try:
            return text.replace("-", "") if 1900 <= date.fromisoformat(text).year < 2100 else ""
        except ValueError:
            pass  # day and month may be the other way round
    for pattern in _BIRTHDAYS:
        found = pattern.fullmatch(text)
        if found:
            parts = found.groupdict()
            month = parts.get("m") or (_MONTHS.index(n) + 1 if (n := parts["n"][:3].lower()) in _MONTHS else 0)
            return _date(parts["y"], month, parts["d"]) or _date(parts["y"], parts["d"], month)
    return ""


def _date(year: str, month: str | int, day: str | int) -> str:
    try:
        born = date(int(year), int(month), int(day))
    except ValueError:
        return ""
    return f"{born.year}{born.month:02}{born.day:02}" if 1900 <= born.year < 2100 else ""


def _external_id(value: str) -> str:
    if value.isascii() and value.isprintable():  # a blank is the only white space there
        return value.replace(" ", "").lower()
    return _JS_SPACE.sub("", value).lower()


def _ip_address(value: str) -> str:
    """An address without brackets, port and zone; "" where it is none."""
    value = value.strip()
    if value.startswith("["):
        value = value[1:].partition("]")[0]
    elif value.count(":") == 1:
        value = value.partition(":")[0]
    value = value.partition("%")[0]
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ""
    return value


_FBCLID: Final = re.compile(r"[\w.~-]+", re.ASCII)
_FBC: Final = re.compile(r"fb\.[0-9]\.\d{13}\.\S+", re.ASCII)
_FBP: Final = re.compile(r"fb\.[0-9]\.\d{13}\.\d+(\.\S+)?", re.ASCII)


def _click_id(pattern: re.Pattern[str]) -> Normalise:
    fullmatch = pattern.fullmatch

    def click_id(value: str) -> str:
        bare = value.strip()
        return bare if fullmatch(bare) else ""

    return click_id


_NORMALISERS: Final[Mapping[str, Normalise]] = {
    "em": _email,
    "ph": _phone,
    "ge": _gender,
    "db": _birthday,
    "ln": _name,
    "fn": _name,
    "ct": _place,
    "st": _state,
    "zp": _zip,
    "country": _country,
    "external_id": _external_id,
}
_PLAIN: Final[Mapping[str, Normalise]] = {
    "client_ip_address": _Remembered(_ip_address).__getitem__,
    "client_user_agent": str.strip,
    "fbc": _click_id(_FBC),
    "fbp": _click_id(_FBP),
}
