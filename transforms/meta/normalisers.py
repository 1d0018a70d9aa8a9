"""The rules of user_data, one function each: a text in the form that Meta hashes or reads, "" where nothing is left.

Sources: Meta, "customer-information-parameters"; where it is silent, Meta's param-builder (the browser's side), so that
a server's event has the digests of the same event of the browser. docs/normalisation.md says which decides what.

White space is JavaScript's. The time that a rule takes is in proportion to the text, whatever the text is.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

from capybeam.transforms.core.memos import Memo
from capybeam.transforms.core.placeholders import NOT_A_NUMBER, PLACEHOLDERS, is_placeholder
from capybeam.transforms.standards import countries
from capybeam.transforms.standards.spelling import (
    BLANKS,
    PUNCTUATION,
    Without,
    composed,
    squeezed,
    visible,
    with_ascii_digits,
)

Normalise = Callable[[str], str]

# --- email ------------------------------------------------------------------------------------------------------

# What Meta's param-builder takes for an address, with letters of all scripts. The parts of a class are divided by
# characters that are not in it, so that there is one way only to match.
_ATOM: Final = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+'
_LABEL: Final = r"(?!-)[^\x00-,./:-`{-\x7f]+(?<!-)"
_is_email: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+").fullmatch


def email(value: str) -> str:
    """Lower case, without white space, ``mailto:``, a display name, quotes and commas around it."""
    if value.isascii():
        address = value.strip().lower()
        if _is_email(address):
            return address
    if "@" not in value:
        return ""
    address = composed(visible(composed(value)).lower()).strip(',"')
    if "<" in address:
        address = address.rpartition("<")[2].partition(">")[0]
    if address.startswith("mailto:"):
        address = address[7:].partition("?")[0]
    if address[:1] == "'" == address[-1:]:
        address = address[1:-1]
    return address if _is_email(address) else ""


# --- phone ------------------------------------------------------------------------------------------------------

_NOT_DIGITS: Final = bytes(code for code in range(128) if not chr(code).isdigit())
_EXTENSION: Final = re.compile(r"(?:extension|ext|x)[ .:]{0,3}\d{1,6}\W{0,3}\Z", re.IGNORECASE)
_EXPONENT: Final = re.compile(r"\d(?:[.,]\d+)?e\+?\d+", re.IGNORECASE)
_FRACTION: Final = re.compile(r"\d{7,}\.0+")
_FEWEST: Final = 5  # digits in front of an extension


def phone(value: str) -> str:
    """Digits with the country code and without leading zeros; a "(0)" behind the code and an extension are left out.

    Other scripts' digits count. Of a number that a spreadsheet rounded (``1.65055512E+10``) nothing is left.
    """
    if not value.isascii():
        value = with_ascii_digits(value)
    if "(0)" in value and value.lstrip().startswith(("+", "00")):
        value = value.replace("(0)", "", 1)
    digits = value.encode("ascii", "ignore").translate(None, b" ()+-")
    if not digits.isdigit():  # not just a number
        digits = _number_in(value.strip()).encode("ascii", "ignore").translate(None, _NOT_DIGITS)
    return digits.lstrip(b"0").decode()


def _number_in(text: str) -> str:
    if _EXPONENT.fullmatch(text):
        return ""
    if _FRACTION.fullmatch(text):
        return text.partition(".")[0]
    extension = _EXTENSION.search(text)
    if extension and sum(map(str.isdigit, text[: extension.start()])) >= _FEWEST:
        return text[: extension.start()]
    return text


@functools.lru_cache(256)
def national_phone(country: str) -> Normalise:
    """`phone` for numbers of one country (ISO 3166-1 alpha-2), which get its code where they have none."""
    region = country.upper()
    return lambda value: _NATIONAL_PHONES[f"{region}{value}"]


# One for all countries, so that a job of many takes no more memory: the two letters of a country, then the number.
_NATIONAL_PHONES: Final = Memo[str](lambda key: _national_phone(key[2:], key[:2]))


_MOST_DIGITS: Final = 20  # E.164 has 15, and the way out of a country takes up to 5 more


def _national_phone(value: str, region: str) -> str:
    digits = phone(value)
    bare = value.strip()
    if not digits or len(digits) > _MOST_DIGITS or bare.startswith(("+", "00", "＋")):
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


# --- names, places ----------------------------------------------------------------------------------------------

_IN_NAMES: Final = Without("P", PUNCTUATION + BLANKS)
_ASCII_IN_NAMES: Final = bytes(code for code in range(128) if _IN_NAMES[code] is None)


def name(value: str) -> str:
    """Lower case, without white space and punctuation: "van der Berg" is vanderberg, as the pixel sends it.

    What goes goes first: whether a Greek sigma is a word's last depends on it.
    """
    if value.isalnum():  # as it mostly is
        lower = value.lower() if value.isascii() else composed(composed(value).lower())
        return "" if lower in PLACEHOLDERS or value in NOT_A_NUMBER else lower
    if is_placeholder(value):
        return ""
    if value.isascii():
        return value.lower().encode().translate(None, _ASCII_IN_NAMES).decode()
    return composed(composed(value).translate(_IN_NAMES).lower())


def city(value: str) -> str:
    """Lower case, without white space, punctuation and special characters; a name has a letter."""
    if value.isalnum():
        return _with_letter(name(value))
    return _with_letter("" if is_placeholder(value) else squeezed(value))


def state(value: str, country: str = "") -> str:
    """`countries.state`; a name has a letter."""
    return _with_letter("" if is_placeholder(value) else countries.state(value, country))


def _with_letter(text: str) -> str:
    return text if text[:1].isalpha() or any(map(str.isalpha, text)) else ""


def country(value: str) -> str:
    """ISO 3166-1 alpha-2, in lower case."""
    return "" if is_placeholder(value) else countries.country(value)


# --- postal codes -----------------------------------------------------------------------------------------------

_IN_ZIPS: Final = Without("Z", BLANKS + "-‐‑‒–—―−﹘﹣－〒")
_ZIP: Final = re.compile(r"(?<!\d)(\d{5})(?:[-‐‑‒–—―− ]?\d{4})?(?!\d)", re.ASCII)
_ZIP_PLUS_4: Final = re.compile(r"\d{5}[- ]\d{4}(?:-.*)?", re.ASCII | re.DOTALL)
_STATE_AND_ZIP: Final = re.compile(r"([a-z]{2}|[afd]po)[ ,-]{1,3}(\d{5})(?:-\d{4})?", re.ASCII)
_COUNTRY_AND_ZIP: Final = re.compile(r"(?:[a-z]{1,3}-|[a-z]{1,2} )(\d{3,}[\w -]*)", re.ASCII)
_MILITARY: Final = frozenset({"apo", "fpo", "dpo", "aa", "ae", "ap"})


def zip_code(value: str, country: str = "") -> str:
    """Lower case, without white space and dashes; in the United States the five digits.

    Args:
        country: ISO 3166-1 alpha-2, in lower case; "" where none is known.
    """
    if country == "us" and len(value) == 5 and value.isdigit() and value.isascii():  # as it mostly is
        return value
    text = with_ascii_digits(value).strip(BLANKS)
    if country == "us":
        return _us_zip(text)
    if is_placeholder(text):
        return ""
    text = text.lower()
    if not country:
        found = _STATE_AND_ZIP.fullmatch(text)
        if found and (found[1] in _MILITARY or found[1] in countries.load().states["us"]):
            return found[2]
        if _ZIP_PLUS_4.fullmatch(text):
            return text[:5]
    found = _COUNTRY_AND_ZIP.fullmatch(text)
    compact = composed(composed(found[1] if found else text).translate(_IN_ZIPS))
    return compact if len(compact) > 1 else ""


def _us_zip(text: str) -> str:
    found = _ZIP.findall(text)
    if found:
        return str(found[-1])
    compact = text.lower().removesuffix(".0").translate(_IN_ZIPS)
    if compact.isascii() and compact.isdigit():
        if 3 <= len(compact) <= 4:  # a number, which has no zeros in front: 2139 is 02139
            return compact.zfill(5)
        if 7 <= len(compact) <= 8:
            return compact.zfill(9)[:5]
    return compact if len(compact) > 1 and not is_placeholder(text) else ""


# --- gender -----------------------------------------------------------------------------------------------------

_MASCULINE: Final = (
    "m man male masculine boy gentleman guy sir mister mr mr. son father dad daddy papa uncle nephew brother husband"
    " boyfriend groom widower king prince duke count emperor god lord lad fellow chap bloke dude he him his himself"
)
_FEMININE: Final = (
    "f woman female feminine girl lady miss ms ms. mrs mrs. madam ma'am daughter mother mom mama mommy aunt niece"
    " sister wife girlfriend bride widow queen princess duchess countess empress goddess maiden lass gal chick dame"
    " belle she her hers herself"
)
_GENDERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(_MASCULINE.split(), "m"),
    **dict.fromkeys(_FEMININE.split(), "f"),
}


def gender(value: str) -> str:
    """f or m, of the words that Meta's param-builder knows."""
    return _GENDERS.get(value.strip(BLANKS).lower().replace("’", "'"), "")


# --- date of birth ----------------------------------------------------------------------------------------------

_NUMBERS: Final = re.compile(r"\d+", re.ASCII)
_WORDS: Final = re.compile(r"[A-Za-z]+")
_MONTHS: Final = tuple("january february march april may june july august september october november december".split())
_MONTH_NUMBERS: Final[Mapping[str, int]] = {
    **{name[:3]: number for number, name in enumerate(_MONTHS, 1)},
    **{name: number for number, name in enumerate(_MONTHS, 1)},
    "sept": 9,
}
_EARLIEST: Final = 1800
_LATELY: Final = 2025  # from which year on it is worth a look at the clock


def birthday(value: str) -> str:
    """YYYYMMDD of the first date in the text: three numbers with anything between them, or two and an English month.

    The month goes before the day where only the year is certain, as in Meta's example 2/16/1997, but for dots, which
    are written where the day goes first. No date is in the future or before 1800.
    """
    text = value.strip()
    if len(text) == 10 and text[4] == text[7] == "-":  # as it mostly is
        try:
            born = date.fromisoformat(text)
        except ValueError:
            pass  # day and month may be the other way round
        else:
            return text.replace("-", "") if _EARLIEST <= born.year < _LATELY or _is_past(born) else ""
    text = with_ascii_digits(text)
    numbers = [found[0] for found in itertools.islice(_NUMBERS.finditer(text), 3)]
    if not numbers or max(map(len, numbers)) > 8:
        return ""
    first, *others = numbers
    if len(first) == 8 and (not others or text.startswith(first)):
        return _date(first[:4], first[4:6], first[6:])
    month = next(filter(None, (_MONTH_NUMBERS.get(word.lower()) for word in _WORDS.findall(text))), None)
    if month and others:
        year, day = sorted(numbers[:2], key=len, reverse=True)
        if len(year) == 4 and len(day) <= 2:
            return _date(year, month, day)
    if len(numbers) < 3:
        return ""
    one, two, three = numbers
    if int(one) > 31:
        orders = (one, two, three), (one, three, two)
    elif int(two) > 31:
        orders = (two, three, one), (two, one, three)
    elif f"{one}.{two}.{three}" in text:
        orders = (three, two, one), (three, one, two)
    else:
        orders = (three, one, two), (three, two, one)
    return next(filter(None, (_date(*order) for order in orders)), "")


def _date(year: str, month: str | int, day: str | int) -> str:
    try:
        born = date(int(year), int(month), int(day))
    except ValueError:
        return ""
    return f"{born.year}{born.month:02}{born.day:02}" if _is_past(born) else ""


def _is_past(born: date) -> bool:
    return _EARLIEST <= born.year < _LATELY or (born.year >= _LATELY and born <= datetime.now(timezone.utc).date())


# --- external_id ------------------------------------------------------------------------------------------------

_NO_ID: Final = frozenset("".join(words.split()) for words in PLACEHOLDERS) | {"nan", "true"}
_BLANKS: Final = str.maketrans(dict.fromkeys(BLANKS))


def external_id(value: str) -> str:
    """Lower case, without white space: as the browser pixel and Segment send it."""
    if value.isascii() and value.isprintable():  # a blank is the only white space there
        identity = value.replace(" ", "").lower()
    else:
        identity = value.translate(_BLANKS).lower()
    return "" if identity in _NO_ID else identity


# --- what is never hashed ---------------------------------------------------------------------------------------

SUFFIX: Final = r"(?!\d+\Z)(?:[\w-]{2}|[\w-]{8})"  # what Meta's param-builder puts behind a dot: base64url
_SUFFIX: Final = re.compile(SUFFIX, re.ASCII)
_ADDRESSES: Final = 32  # of a list that are looked at


def ip_address(value: str) -> str:
    """The first public address of one or a list, without brackets, port and zone, with param-builder's suffix."""
    try:  # as it mostly is
        if ":" in value:
            packed = inet_pton(AF_INET6, value)
            return value if packed[0] in _UNICAST or _is_public(packed) else ""
        packed = inet_pton(AF_INET, value)
        return value if packed[0] in _PUBLIC or _is_public(packed) else ""
    except (OSError, ValueError):
        pass
    for part in value.replace(",", " ").split(None, _ADDRESSES)[:_ADDRESSES]:
        address = _address(part.strip(BLANKS))
        if address:
            return address
    return ""


def _address(text: str) -> str:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.partition("%")[0]
    bare, _, suffix = text.rpartition(".")
    for address in (text, bare) if _SUFFIX.fullmatch(suffix) else (text,):
        try:
            packed = inet_pton(AF_INET6 if ":" in address else AF_INET, address)
        except (OSError, ValueError):
            continue
        return text if _is_public(packed) else ""
    return ""


def _is_public(packed: bytes) -> bool:
    """Whether an address can be a client's: not private, shared, loopback, link-local, multicast or unspecified.

    Addresses for documentation count as public: examples and tests are made of them.
    """
    first = packed[0]
    if len(packed) == 16:
        if first in _UNICAST:
            return True
        if packed[:12] == b"\0" * 10 + b"\xff\xff":
            return _is_public(packed[12:])
        local = first in (0xFC, 0xFD, 0xFF) or (first == 0xFE and packed[1] >= 0x80)
        return not local and packed[:15] != b"\0" * 15
    if first not in _PARTLY_PUBLIC:
        return first in _PUBLIC
    second = packed[1]
    return not (
        (first == 192 and second == 168)
        or (first == 172 and 16 <= second < 32)
        or (first == 169 and second == 254)
        or (first == 100 and 64 <= second < 128)
    )


_UNICAST: Final = frozenset(range(0x20, 0x40))  # first byte of IPv6's global addresses, 2000::/3
_PARTLY_PUBLIC: Final = frozenset({100, 169, 172, 192})  # first byte of IPv4 addresses of which some are local
_PUBLIC: Final = frozenset(range(1, 224)) - {10, 127} - _PARTLY_PUBLIC  # first byte of those that are all public


def trimmed(value: str) -> str:
    return value.strip() if value.isascii() else value.strip(BLANKS)


def text_or_nothing(value: str) -> str:
    """The text as it is, where it stands for a value."""
    return "" if is_placeholder(value) or value == _ZEROS else value


_ZEROS: Final = "00000000-0000-0000-0000-000000000000"  # the advertising ID of a device that gives none
