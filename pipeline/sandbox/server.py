"""A local Graph API that refuses what Meta refuses.

``capybeam sandbox`` and the tests of the whole project send to it in place of graph.facebook.com. It is a second,
independent reading of Meta's documentation: it imports nothing from ``transforms``, so a rule that the sender got wrong
is refused here instead of agreeing with itself.

How it is built
---------------
- **Rules are tables.** ``EVENT``, ``USER_DATA``, ``CUSTOM_DATA``, ``APP_DATA`` and ``PARAMETERS`` give every field its
  check and the sentence said when it fails; ``check_event`` adds the rules that tie fields together. Pure functions.
- **`Sandbox` keeps the books**: totals, the deduplication window, the last refusals and the last events. What it keeps
  does not grow with the events it takes, but for the ids of the deduplication window, which have a cap.
- **The web is thin.** ``create_app`` puts a `Sandbox` behind aiohttp; ``serve`` runs it in the foreground,
  ``SandboxServer`` in a thread. Both bind the loopback interface only. Nothing is logged: neither tokens nor events.

Where the rules come from (Meta, Conversions API)
-------------------------------------------------
- using-the-api: at most 1000 events a request; one invalid event refuses the whole batch, and the answer does not say
  which; event_time at most 7 days old, 62 for physical_store.
- parameters/server-event, app-events, business-messaging: required fields, by action_source.
- parameters/customer-information-parameters: which user_data is hashed, formats of fbc, fbp and the IP address.
- best-practices: combinations of match keys too broad to be of use (2804050).
- parameters/custom-data: currency, value, contents.
- deduplicate-pixel-and-server-events: same event_id and event_name to one dataset within 48 hours.
- offline-conversions, as it was until Graph API v16.0 ended: the older format, with match_keys and upload_tag, at most
  2000 events a request. A request to v16.0 is read as one, as an archive or a proxy that still speaks it would; server
  events in it are told that the version is dead.
- Error codes: Graph API error handling, and 28040xx as observed.

Stricter than Meta, on purpose: personal data in the clear (``raw_pii``, ``pii_in_custom_data``, ``pii_in_urls``) and
unknown fields are refused, where Meta may hash, ignore or warn. In this product each of them would be a bug. Personal
data is known by keys, by the form of email addresses, and by hashing pieces of texts and comparing them with user_data.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import random
import re
import secrets
import signal
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from importlib import resources
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, NamedTuple, NoReturn, TypeVar
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import orjson
from aiohttp import web

__all__ = [
    "DEFAULT_PORT",
    "Faults",
    "Refusal",
    "Sandbox",
    "SandboxServer",
    "SandboxSettings",
    "check_event",
    "create_app",
    "parse_fault",
    "serve",
]

DEFAULT_PORT: Final = 8765
MAX_EVENTS: Final = 1000
MAX_OFFLINE_EVENTS: Final = 2000
MAX_BODY_BYTES: Final = 64 * 2**20
OLDEST_LIVE_VERSION: Final = 21
OFFLINE_VERSION: Final = 16
DAY: Final = 86_400
DEDUPLICATION_WINDOW: Final = 48 * 3600
OFFLINE_DEDUPLICATION_WINDOW: Final = 7 * DAY
MAX_AGE: Final[Mapping[str, int]] = {"physical_store": 62 * DAY}
DEFAULT_MAX_AGE: Final = 7 * DAY
FUTURE_TOLERANCE: Final = 60

INVALID_PARAMETER: Final = 2804019
TOO_OLD: Final = 2804003
NO_VALUE: Final = 2804009
NO_CURRENCY: Final = 2804010
BAD_LEAD_ID: Final = 2804036
TOO_BROAD: Final = 2804050

Json = dict[str, Any]
T = TypeVar("T")


# --- Refusals ---------------------------------------------------------------------------------------------------------


class Refusal(Exception):
    """Why a request is refused, in Meta's terms.

    ``reason`` names fields, never their values. ``where`` is for the page: Meta's answer does not say which event.
    """

    def __init__(
        self,
        reason: str,
        subcode: int | None = INVALID_PARAMETER,
        *,
        code: int = 100,
        status: int = 400,
        transient: bool = False,
        kind: str = "OAuthException",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.subcode = subcode
        self.code = code
        self.status = status
        self.transient = transient
        self.kind = kind
        self.where = ""

    def body(self, fbtrace_id: str) -> Json:
        """The error as Meta words it. The optional keys are left out, as Meta does."""
        error: Json = {
            "message": self.reason
            if self.code != 100 or self.subcode == 33 or self.kind != "OAuthException"
            else "Invalid parameter",
            "type": self.kind,
            "code": self.code,
            "is_transient": self.transient,
            "error_user_title": TITLES.get(self.subcode, "Request Refused"),
            "error_user_msg": self.reason,
            "fbtrace_id": fbtrace_id,
        }
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": error}


class Poisoned(Exception):
    """The batch holds an event that the server fails on."""


TITLES: Final[Mapping[int | None, str]] = {
    33: "Unknown Object",
    463: "Session Expired",
    INVALID_PARAMETER: "Invalid Parameter",
    TOO_OLD: "Event Timestamp Too Old",
    NO_VALUE: "Missing Value for Purchase Event",
    NO_CURRENCY: "Missing Currency for Purchase Event",
    BAD_LEAD_ID: "Invalid Lead ID",
    TOO_BROAD: "Too Few Customer Information Parameters",
}


# --- The rules: one field at a time -----------------------------------------------------------------------------------


class Rule(NamedTuple):
    """One field's check, what the field must be, and the subcode of its refusal."""

    check: Callable[[Any], bool]
    wants: str
    subcode: int = INVALID_PARAMETER


# `type(v) is` rather than isinstance throughout: a bool is no number here, and orjson builds exact types only.


def _is_text(v: Any) -> bool:
    return type(v) is str and v != ""


def _is_number(v: Any) -> bool:
    return type(v) is float or type(v) is int


def _is_id(v: Any) -> bool:
    return type(v) is int and v > 0


def _is_object(v: Any) -> bool:
    return type(v) is dict


def _is_text_or_number(v: Any) -> bool:
    return _is_text(v) or type(v) is int


def _is_text_or_texts(v: Any) -> bool:
    return _is_text(v) or (type(v) is list and v != [] and all(map(_is_text, v)))


def _is_list_of_ids(v: Any) -> bool:
    return type(v) is list and all(map(_is_text_or_number, v))


HEX_DIGITS: Final = b"0123456789abcdef"
# What Meta's param-builder appends to what it made, in base64url; it takes MD5 for a hash, too.
APPENDIX: Final = r"\.(?:[0-9A-Za-z_-]{2}|[0-9A-Za-z_-]{8})"
_appended_digest: Final = re.compile(rf"(?:[0-9a-f]{{64}}|[0-9a-f]{{32}})(?:{APPENDIX})?").fullmatch
_appended_address: Final = re.compile(rf"([0-9a-fA-F:.]+){APPENDIX}").fullmatch


def _is_digest(v: Any) -> bool:
    # Several times faster than a regular expression, and run for nearly every key of every event.
    return type(v) is str and (
        (len(v) == 64 and not v.encode().translate(None, HEX_DIGITS)) or _appended_digest(v) is not None
    )


def _is_digest_or_digests(v: Any) -> bool:
    return _is_digest(v) or (type(v) is list and v != [] and all(map(_is_digest, v)))


def _is_ip(v: Any) -> bool:
    if type(v) is not str:
        return False
    appended = _appended_address(v)
    for address in (v, appended[1]) if appended else (v,):
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
        except (OSError, ValueError):
            continue
        return True
    return False


def _is_partner_agent(v: Any) -> bool:
    return type(v) is str and len(v) < 23 and sum(c.isascii() and c.isalpha() for c in v) >= 2


def _is_state(v: Any) -> bool:
    return type(v) is int and (v == 0 or 1000 <= v <= 1013)


def _is_extinfo(v: Any) -> bool:
    return type(v) is list and [type(s) for s in v] == [str] * 16 and v[0] in ("a2", "i2") and v[4] != ""


def _is_contents(v: Any) -> bool:
    return type(v) is list and all(map(_is_content, v))


def _is_content(item: Any) -> bool:
    if type(item) is not dict or "id" not in item:
        return False
    for key, value in item.items():
        rule = CONTENT.get(key)
        if rule is not None and not rule.check(value):
            return False
    return True


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _one_of(text: str) -> Rule:
    allowed = _words(text)
    return Rule(lambda v: type(v) is str and v in allowed, "one of " + ", ".join(text.split()))


def _matching(pattern: str, wants: str) -> Rule:
    fullmatch = re.compile(pattern).fullmatch
    return Rule(lambda v: type(v) is str and fullmatch(v) is not None, wants)


TEXT: Final = Rule(_is_text, "a non-empty string")
NUMBER: Final = Rule(_is_number, "a number")
WHOLE: Final = Rule(lambda v: type(v) is int, "an integer")
ID: Final = Rule(_is_id, "a positive integer")
BOOLEAN: Final = Rule(lambda v: type(v) is bool, "true or false")
OBJECT: Final = Rule(_is_object, "an object")
TEXT_OR_NUMBER: Final = Rule(_is_text_or_number, "a string or an integer")
HASHED: Final = Rule(_is_digest_or_digests, "SHA-256 in 64 lower-case hexadecimal digits, or a list of those")
FLAG: Final = Rule(lambda v: type(v) is int and v in (0, 1), "0 or 1")
# ISO 4217 as of November 2026; in the last line, those withdrawn since November 2016.
CURRENCIES: Final = _words(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
    CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
    HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA
    MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD
    RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD
    USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX
    YER ZAR ZMW ZWG
    ANG BGN BYR CUC HRK MRO SLL STD VEF ZWL
    """
)
CURRENCY: Final = Rule(lambda v: type(v) is str and v in CURRENCIES, "an ISO 4217 code in upper case, like USD")
DELIVERY_CATEGORY: Final = _one_of("in_store curbside home_delivery")
ACTION_SOURCE: Final = _one_of(
    "email website app phone_call chat physical_store system_generated business_messaging other"
)

PARAMETERS: Final[Mapping[str, Rule]] = {
    "data": Rule(lambda v: type(v) is list and v != [], "a list of events"),
    "access_token": TEXT,
    "appsecret_proof": TEXT,
    "test_event_code": TEXT,
    "partner_agent": Rule(_is_partner_agent, "under 23 characters with at least 2 letters"),
    "upload_tag": TEXT,
    "upload_id": TEXT_OR_NUMBER,
    "upload_source": TEXT,
    "namespace_id": TEXT_OR_NUMBER,
}

OFFLINE_PARAMETERS: Final[Mapping[str, Rule]] = {
    name: PARAMETERS[name]
    for name in ("data", "access_token", "appsecret_proof", "upload_tag", "upload_id", "upload_source", "namespace_id")
}

EVENT: Final[Mapping[str, Rule]] = {
    "event_name": TEXT,
    "event_time": Rule(_is_id, "Unix seconds, an integer"),
    "action_source": ACTION_SOURCE,
    "user_data": OBJECT,
    "custom_data": OBJECT,
    "event_id": TEXT,
    "event_source_url": TEXT,
    "referrer_url": TEXT,
    "opt_out": BOOLEAN,
    "original_event_data": OBJECT,
    "customer_segmentation": Rule(lambda v: v is not None, "set"),
    "app_data": OBJECT,
    "attribution_data": OBJECT,
    "store_data": OBJECT,
    "messaging_channel": _one_of("messenger whatsapp instagram"),
    "data_processing_options": Rule(lambda v: v == [] or v == ["LDU"], '["LDU"] or []'),
    "data_processing_options_country": FLAG,
    "data_processing_options_state": Rule(_is_state, "0 or 1000 to 1013"),
}
REQUIRED: Final = ("event_name", "event_time", "action_source")

USER_DATA: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_words("em ph fn ln db ge ct st zp country"), HASHED),
    "external_id": Rule(_is_text_or_texts, "a non-empty string, or a list of those"),
    "client_ip_address": Rule(_is_ip, "an IPv4 or IPv6 address without a port"),
    # Browsers write fb.0 and fb.2 too, by the depth of the domain, and Meta's param-builder appends a short suffix.
    "fbc": _matching(r"fb\.[0-9]{1,2}\.[0-9]{13}\.\S+", "fb.1.{milliseconds}.{fbclid}"),
    "fbp": _matching(rf"fb\.[0-9]{{1,2}}\.[0-9]{{13}}\.[0-9]+(?:{APPENDIX})?", "fb.1.{milliseconds}.{number}"),
    "lead_id": Rule(_is_id, "a positive integer", BAD_LEAD_ID),
    "fb_login_id": ID,
    **dict.fromkeys(
        _words(
            """client_user_agent subscription_id anon_id madid ctwa_clid ig_sid page_scoped_user_id
            partner_id partner_name"""
        ),
        TEXT,
    ),
    **dict.fromkeys(_words("page_id ig_account_id whatsapp_business_account_id"), TEXT_OR_NUMBER),
}

CUSTOM_DATA: Final[Mapping[str, Rule]] = {
    "currency": CURRENCY,
    "value": NUMBER,
    "predicted_ltv": NUMBER,
    "net_revenue": NUMBER,
    "num_items": NUMBER,
    "content_type": _one_of("product product_group"),
    "content_ids": Rule(_is_list_of_ids, "a list of strings or integers"),
    "contents": Rule(_is_contents, "a list of objects with id, and quantity, item_price, delivery_category if known"),
    "content_name": TEXT,
    "content_category": TEXT,
    "search_string": TEXT,
    "order_id": TEXT,
    "delivery_category": DELIVERY_CATEGORY,
}

CONTENT: Final[Mapping[str, Rule]] = {
    "id": TEXT_OR_NUMBER,
    "quantity": NUMBER,
    "item_price": NUMBER,
    "delivery_category": DELIVERY_CATEGORY,
    **dict.fromkeys(_words("title description brand category"), TEXT),
}

APP_DATA: Final[Mapping[str, Rule]] = {
    "advertiser_tracking_enabled": FLAG,
    "application_tracking_enabled": FLAG,
    "extinfo": Rule(_is_extinfo, "16 strings, the first a2 or i2, the fifth the OS version"),
}
APP_DATA_MORE: Final[Mapping[str, Rule]] = {
    **APP_DATA,
    **dict.fromkeys(_words("consider_views include_dwell_data include_video_data"), BOOLEAN),
    **dict.fromkeys(
        _words(
            """campaign_ids install_referrer installer_package receipt_data vendor_id windows_attribution_id madid"""
        ),
        TEXT,
    ),
    "url_schemes": Rule(_is_text_or_texts, "a non-empty string, or a list of those"),
}

ORIGINAL_EVENT: Final[Mapping[str, Rule]] = {
    "event_name": TEXT,
    "event_time": WHOLE,
    "order_id": TEXT,
    "event_id": TEXT,
}

# The older format has in the event what CUSTOM_DATA has inside it, and its own names for people.
OFFLINE_EVENT: Final[Mapping[str, Rule]] = {
    "match_keys": OBJECT,
    "event_name": TEXT,
    "event_time": EVENT["event_time"],
    "custom_data": OBJECT,
    "item_number": TEXT,
    **{name: CUSTOM_DATA[name] for name in _words("currency value content_type content_ids contents order_id")},
}
OFFLINE_REQUIRED: Final = ("match_keys", "event_time", "event_name")
DIGEST: Final = Rule(_is_digest, "SHA-256 in 64 lower-case hexadecimal digits")
DIGESTS: Final = Rule(
    lambda v: type(v) is list and v != [] and all(map(_is_digest, v)),
    "a list of SHA-256 digests in 64 lower-case hexadecimal digits",
)
MATCH_KEYS: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_words("email phone st zip"), DIGESTS),
    **dict.fromkeys(_words("gen doby dobm dobd ln fn fi ct country extern_id"), DIGEST),
    "madid": TEXT,
    "lead_id": USER_DATA["lead_id"],
}

# --- The rules: fields together ---------------------------------------------------------------------------------------

# A user agent is required of websites, but Segment's custom action goes without, under any name, and Meta takes it. So
# the names of the other actions stand for what may not.
STANDARD_EVENTS: Final = _words("AddToCart InitiateCheckout PageView Purchase Search ViewContent")

TOO_BROAD_TOGETHER: Final = (
    _words("ct country st zp ge client_user_agent"),
    _words("db client_user_agent"),
    _words("fn ge"),
    _words("ln ge"),
)

MESSAGING_PAIRS: Final = (
    ("page_id", "page_scoped_user_id"),
    ("whatsapp_business_account_id", "ctwa_clid"),
    ("ig_account_id", "ig_sid"),
)

# --- Personal data in the clear ---------------------------------------------------------------------------------------

# Compared word by word, without case: firstName, first_name, "First Name", and profile.first_name are one.
PERSONAL_KEYS: Final = _words(
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
OWNERS: Final = _words(
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


def _personal_key(value: Json) -> str | None:
    """The first key at any depth of `value` that names personal data."""
    return next((key for key, _ in _entries(value) if key not in HARMLESS_KEYS and _is_personal(key)), None)


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
# mug@2x.png is no address.
FILES: Final = _words(
    "png jpg jpeg gif webp svg avif ico bmp tif tiff pdf css js mjs cjs ts map json html htm php woff"
)


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
WORDS: Final = _words(
    """
    event_name content_name content_category content_type search_string city state country region neighborhood
    currency
    """
)
IDS: Final = _words("order_id content_ids contents")
PLACEHOLDERS: Final = _words(
    """
    guest customer client user member visitor friend test tester admin anonymous unknown none null undefined nan mrs
    miss male female true false yes first last firstname lastname name not_set
    """
)
PHONE: Final = re.compile(r"(?<!\d)\d(?:[\s().+/-]{0,3}\d){6,14}(?!\d)")
PAIR: Final = re.compile(r"(?<![^\W_])(?=([^\W_]+)[\W_]{1,3}([^\W_]+))")
MOST_HASHED: Final = 1000  # pieces of one event


class _Person:
    """Whom an event is about, as far as digests tell: a text is hashed, piece by piece, and compared with them."""

    def __init__(self, user_data: Json) -> None:
        keys = ("ph", "phone"), ("fn",), ("ln",), ("zp", "zip"), ("ct",)
        self.phones, self.firsts, self.lasts, self.codes, self.cities = (
            frozenset(itertools.chain(*(_listed(user_data.get(name)) for name in names))) for names in keys
        )
        self.hashed = 0

    def is_in(self, text: str, alone: bool) -> bool:
        """Whether a text holds the number, the full name or the address, or is one of the names and stands `alone`."""
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
            return f"must not carry {_shown(key)}"
        if _has_email(key) or (type(value) is str and _has_email(value)):
            return "must not carry an email address"
    for key, value in _entries(data, IDS):
        if type(value) in (str, int) and person.is_in(str(value), key not in WORDS):
            return f"must not carry in {_shown(key)} what user_data has hashed"
    return None


def _leaks_in_url(url: str, person: _Person) -> bool:
    """Whether a URL holds a user, an email address, or a parameter that is personal by its name or its value."""
    if _has_email(url) or _has_email(unquote_plus(url)):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are no address
        return False
    return parts.username is not None or any(
        value and (_is_personal(name) or (not CAMPAIGN.match(name) and person.is_in(value, True)))
        for name, value in parse_qsl(parts.query) + parse_qsl(parts.fragment)
    )


CAMPAIGN: Final = re.compile("utm_|[a-z]+clid$", re.IGNORECASE)  # the advertiser's own words
FREE: Final = ("custom_data", "attribution_data")
URLS: Final = ("event_source_url", "referrer_url")
TEXTS: Final = ("event_name", "event_id", "order_id", "item_number", "customer_segmentation")


def _check_personal(event: Json, people: Json) -> None:
    """Nothing personal in the clear; `people` is user_data or match_keys."""
    person = _Person(people)
    for name in FREE:
        if type(event.get(name)) is dict:
            reason = _leak_in_data(event[name], person)
            if reason:
                raise Refusal(f"{name} {reason}")
    for name in URLS:
        if type(event.get(name)) is str and _leaks_in_url(event[name], person):
            raise Refusal(f"{name} must not carry personal data")
    for name in TEXTS:
        if type(event.get(name)) is str and _has_email(event[name]):
            raise Refusal(f"{name} must not carry an email address")
    for key, value in people.items():
        if key != "client_user_agent" and type(value) is str and _has_email(value):
            raise Refusal(f"{_shown(key)} must not carry an email address")


def _shown(key: str) -> str:
    # A key is said back to the user only where it looks like a name: data may have slipped into the keys.
    return key if len(key) <= 60 and key.isidentifier() else "(a key that is no name)"


def _check_fields(values: Json, rules: Mapping[str, Rule], path: str, *, closed: bool = True) -> None:
    for key, value in values.items():
        rule = rules.get(key)
        if rule is None:
            if closed:
                raise Refusal(f"{path}{_shown(key)} is not a known field")
        elif not rule.check(value):
            raise Refusal(f"{path}{key} must be {rule.wants}", rule.subcode)


def check_event(event: Any, now: float) -> None:
    """Raise `Refusal` for the first rule that `event`, one parsed item of ``data``, breaks at Unix time `now`."""
    if type(event) is not dict:
        raise Refusal("an event must be an object")
    user_data = event.get("user_data")
    if type(user_data) is not dict:
        raise Refusal("user_data is required, an object")
    _check_fields(user_data, USER_DATA, "user_data.")
    _check_personal(event, user_data)
    custom_data = event.get("custom_data", {})
    if type(custom_data) is dict:
        _check_fields(custom_data, CUSTOM_DATA, "custom_data.", closed=False)
    _check_fields(event, EVENT, "")
    for key in REQUIRED:
        if key not in event:
            raise Refusal(f"{key} is required")

    source = event["action_source"]
    age = now - event["event_time"]
    if age > MAX_AGE.get(source, DEFAULT_MAX_AGE):
        raise Refusal(f"event_time is over {MAX_AGE.get(source, DEFAULT_MAX_AGE) // DAY} days ago", TOO_OLD)
    if age < -FUTURE_TOLERANCE:
        raise Refusal("event_time is in the future")
    for broad in TOO_BROAD_TOGETHER:
        if user_data.keys() <= broad:
            raise Refusal("user_data holds too few or too broad match keys", TOO_BROAD)
    by_source = SOURCE_CHECKS.get(source)
    if by_source is not None:
        by_source(event, user_data)
    if event["event_name"] == "Purchase":
        if "currency" not in custom_data:
            raise Refusal("custom_data.currency is required of a Purchase", NO_CURRENCY)
        if "value" not in custom_data:
            raise Refusal("custom_data.value is required of a Purchase", NO_VALUE)
    if "original_event_data" in event:
        _check_fields(event["original_event_data"], ORIGINAL_EVENT, "original_event_data.")


def check_offline_event(event: Any, now: float) -> None:
    """The same for an event in the older format."""
    if type(event) is not dict:
        raise Refusal("an event must be an object")
    for key in OFFLINE_REQUIRED:
        if key not in event:
            raise Refusal(f"{key} is required")
    _check_fields(event, OFFLINE_EVENT, "")
    if not event["match_keys"]:
        raise Refusal("match_keys must hold at least one key")
    _check_fields(event["match_keys"], MATCH_KEYS, "match_keys.")
    _check_personal(event, event["match_keys"])
    age = now - event["event_time"]
    if age > MAX_AGE["physical_store"]:
        raise Refusal(f"event_time is over {MAX_AGE['physical_store'] // DAY} days ago", TOO_OLD)
    if age < -FUTURE_TOLERANCE:
        raise Refusal("event_time is in the future")
    if event["event_name"] == "Purchase":
        if "currency" not in event:
            raise Refusal("currency is required of a Purchase", NO_CURRENCY)
        if "value" not in event:
            raise Refusal("value is required of a Purchase", NO_VALUE)


def _check_website(event: Json, user_data: Json) -> None:
    if "client_user_agent" not in user_data and event["event_name"] in STANDARD_EVENTS:
        raise Refusal("user_data.client_user_agent is required of a website's events")


def _check_app(event: Json, user_data: Json) -> None:
    app_data = event.get("app_data", {})
    for key in APP_DATA:
        if key not in app_data:
            raise Refusal(f"app_data.{key} is required of an app's events")
    _check_fields(app_data, APP_DATA_MORE, "app_data.", closed=False)


def _check_messaging(event: Json, user_data: Json) -> None:
    if "messaging_channel" not in event:
        raise Refusal("messaging_channel is required of business messaging")
    if not any(a in user_data and b in user_data for a, b in MESSAGING_PAIRS):
        pairs = ", or ".join(" with ".join(pair) for pair in MESSAGING_PAIRS)
        raise Refusal(f"business messaging needs {pairs} in user_data")


SOURCE_CHECKS: Final[Mapping[str, Callable[[Json, Json], None]]] = {
    "website": _check_website,
    "app": _check_app,
    "business_messaging": _check_messaging,
}


def _is_in_the_clear(value: Any) -> bool:
    """Whether a value that fails `HASHED` shows personal data, rather than a digest in the wrong case, or nothing."""
    if type(value) is list:
        return any(map(_is_in_the_clear, value))
    return type(value) is int or (_is_text(value) and not _is_digest(value.lower()))


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


# --- Settings ---------------------------------------------------------------------------------------------------------

# In the order they happen; a request meets at most one, drawn once, so that each rate is a share of all requests.
FAULT_KINDS: Final = ("drop_before", "error", "html", "throttle", "drop_after", "short", "excess", "double")

# How a request is answered that holds an event which the server fails on (poisoned_ids); status and body.
POISON_ANSWERS: Final[Mapping[str, tuple[int, str]]] = {
    "error": (500, '{"error":{"message":"An unknown error occurred","type":"OAuthException","code":1}}'),
    "transient": (400, '{"error":{"message":"Try again later","code":4711,"is_transient":true}}'),
    "html": (502, "<!DOCTYPE html><html><body>Sorry, something went wrong.</body></html>"),
    "no_code": (400, '{"error":{"message":"Something is wrong"}}'),
    "text_code": (400, '{"error":{"message":"Something is wrong","code":"1","is_transient":"true"}}'),
    "text_error": (400, '{"error":"Something is wrong"}'),
    "unknown": (400, '{"error":{"message":"Something is wrong","type":"OAuthException","code":4711}}'),
    "silence": (200, "{}"),
    "drop": (0, ""),
    "hang": (0, ""),
}


@dataclass(frozen=True)
class Faults:
    """What goes wrong, on purpose. Rates are shares of all requests, 0 to 1, and add up to at most 1.

    The rates below are drawn from `seed`, in the order in which requests arrive. Raises ``ValueError`` when a value
    makes no sense.
    """

    error_rate: float = field(default=0.0, metadata={"help": "HTTP 500 with code 2, transient"})
    html_rate: float = field(default=0.0, metadata={"help": "HTTP 502 with an HTML body"})
    throttle_rate: float = field(default=0.0, metadata={"help": "code 80004, too many calls"})
    drop_before_rate: float = field(default=0.0, metadata={"help": "connection aborted, batch not processed"})
    drop_after_rate: float = field(default=0.0, metadata={"help": "batch stored, then connection aborted"})
    short_rate: float = field(default=0.0, metadata={"help": "last event neither stored nor counted as received"})
    excess_rate: float = field(default=0.0, metadata={"help": "one event more said to be received than was sent"})
    double_rate: float = field(default=0.0, metadata={"help": "the answer sent twice on the connection"})
    slow_rate: float = field(default=0.0, metadata={"help": "answers delayed by slow_seconds; with any other fault"})
    slow_seconds: float = field(default=0.0, metadata={"help": "delay of slow answers, seconds"})
    latency: float = field(default=0.0, metadata={"help": "delay of every answer, seconds"})
    throttle_status: int = field(default=400, metadata={"help": "HTTP status of throttled answers, 400 or 429"})
    retry_minutes: float = field(default=0.0, metadata={"help": "minutes to regain access, said when throttling"})
    retry_after: str = field(default="", metadata={"help": "Retry-After of throttled answers, seconds or a date"})
    usage_percent: int = field(default=0, metadata={"help": "rate limit used, said in the usage headers"})
    fail_next: int = field(default=0, metadata={"help": "the next n requests answer HTTP 500"})
    throttle_next: int = field(default=0, metadata={"help": "the next n requests are throttled"})
    dead_token: bool = field(default=False, metadata={"help": "every token has expired (code 190, subcode 463)"})
    refused_code: int = field(default=0, metadata={"help": "every request is refused, HTTP 400 with this code"})
    refused_subcode: int = field(default=0, metadata={"help": "the subcode of refused_code; 0 for none"})
    refused_after: int = field(default=0, metadata={"help": "the next n requests are spared by refused_code"})
    max_events: int = field(default=0, metadata={"help": "requests of more events answer HTTP 413; 0 for no limit"})
    refused_ids: str = field(default="", metadata={"help": "events whose event_id holds this text are refused"})
    poisoned_ids: str = field(
        default="", metadata={"help": "events whose event_id holds this text make the server fail"}
    )
    poison_answer: str = field(default="error", metadata={"help": f"how it fails: {', '.join(POISON_ANSWERS)}"})
    seed: int = field(default=0, metadata={"help": "of the random draws"})

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            wanted = (int, float) if type(f.default) is float else (type(f.default),)
            if type(value) not in wanted:
                raise ValueError(f"{f.name} must be {wanted[-1].__name__}, not {type(value).__name__}")
            most = 1 if f.name.endswith("_rate") else float("inf")
            if f.name != "seed" and type(value) is not str and not 0 <= value <= most:
                raise ValueError(f"{f.name} is out of range")
        if self.throttle_status not in (400, 429):
            raise ValueError("throttle_status must be 400 or 429")
        if self.poison_answer not in POISON_ANSWERS:
            raise ValueError(f"poison_answer must be one of {', '.join(POISON_ANSWERS)}")
        if sum(getattr(self, f"{kind}_rate") for kind in FAULT_KINDS) > 1 + 1e-9:
            raise ValueError(f"{', '.join(f'{kind}_rate' for kind in FAULT_KINDS)} must add up to at most 1")

    def changed(self, changes: Mapping[str, Any]) -> Faults:
        """A copy with `changes`. Raises ``ValueError`` for an unknown name or a bad value."""
        unknown = changes.keys() - {f.name for f in fields(self)}
        if unknown:
            raise ValueError(f"no such fault; choose from {', '.join(f.name for f in fields(self))}")
        return replace(self, **changes)

    def active(self) -> Json:
        """Those that differ from their defaults."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}


@dataclass(frozen=True)
class SandboxSettings:
    """How the sandbox behaves.

    ``tokens``: those accepted; empty accepts any. ``expired_tokens`` answer 190/463. ``datasets``: those that exist;
    empty accepts any number. ``null``: answer without checking or storing, for benchmarks of the sender.
    ``app_secret``: of the app, where it requires one; requests then need an appsecret_proof. ``max_ids``: event ids
    remembered; past it the older half is forgotten. ``clock``: Unix time, in seconds.
    """

    tokens: frozenset[str] = field(default=frozenset(), repr=False)
    expired_tokens: frozenset[str] = field(default=frozenset(), repr=False)
    datasets: frozenset[str] = frozenset()
    app_secret: str | None = field(default=None, repr=False)
    null: bool = False
    faults: Faults = Faults()
    max_ids: int = 4_000_000
    clock: Callable[[], float] = time.time


def parse_fault(text: str) -> tuple[str, Any]:
    """``name=value`` as a change for `Faults.changed`; a name alone switches a flag on. Raises ``ValueError``."""
    name, given, value = text.partition("=")
    types: dict[str, type] = {f.name: type(f.default) for f in fields(Faults)}
    if name not in types:
        raise ValueError(f"no fault is named {name}; choose from {', '.join(types)}")
    if types[name] is bool:
        if value.lower() not in ("", "true", "false", "1", "0"):
            raise ValueError(f"{name} must be true or false")
        return name, not given or value.lower() in ("true", "1")
    try:
        return name, types[name](value)
    except ValueError:
        raise ValueError(f"{name} must be a number, as in {name}=1") from None


# --- The books --------------------------------------------------------------------------------------------------------


class DeduplicationWindow:
    """Event ids of the last 48 hours, by dataset and event name. What stands for one in the older format: of 7 days.

    At most `capacity` of them: the older half is forgotten when it is full.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        # Nested, so that a name is kept once, not once an event.
        self._seen: defaultdict[str, defaultdict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))

    def is_new(
        self, dataset: str, event_name: str, event_id: str, now: float, within: float = DEDUPLICATION_WINDOW
    ) -> bool:
        """Whether the event did not come before within the window; remembers it if so."""
        ids = self._seen[dataset][event_name]
        first = ids.get(event_id)
        if first is not None:
            if now - first < within:
                return False
            del ids[event_id]  # to take its place among the newest
            self._size -= 1
        ids[event_id] = now
        self._size += 1
        if self._size > self._capacity:
            self._forget_half()
        return True

    def ids(self, dataset: str) -> list[tuple[str, str]]:
        """(event name, event id) of the events stored in `dataset`, in order of first arrival within each name."""
        return [(name, event_id) for name, ids in self._seen.get(dataset, {}).items() for event_id in ids]

    def _forget_half(self) -> None:
        for by_name in self._seen.values():
            for name, ids in by_name.items():
                by_name[name] = dict(itertools.islice(ids.items(), (len(ids) + 1) // 2, None))
        self._size = sum(len(ids) for by_name in self._seen.values() for ids in by_name.values())


class Sandbox:
    """What has arrived and what is remembered of it, and the answer to a request. One thread only."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.faults = settings.faults
        self.reset()

    def reset(self) -> None:
        """Forget everything that arrived, and start the random draws again. The faults stay as they are."""
        self._random = random.Random(self.faults.seed)
        self.counts: Counter[str] = Counter()
        self.by_event: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.match_keys: Counter[str] = Counter()
        self.upload_tags: Counter[str] = Counter()
        self.value_by_currency: defaultdict[str, float] = defaultdict(float)
        self.refusals: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.window = DeduplicationWindow(self.settings.max_ids)
        self.last_errors: deque[Json] = deque(maxlen=50)
        self.last_events: deque[Json] = deque(maxlen=20)

    def set_faults(self, changes: Mapping[str, Any]) -> None:
        """Change some faults. A seed among them starts the draws again. Raises ``ValueError``, changing nothing."""
        self.faults = self.faults.changed(changes)
        if "seed" in changes:
            self._random = random.Random(self.faults.seed)

    def draw(self) -> tuple[str | None, float]:
        """The fault that the request just arrived shall meet, and how long its answer shall take, in seconds."""
        faults = self.faults
        # Always two draws a request, so that one switch does not shift what the others do.
        slow, share = self._random.random(), self._random.random()
        delay = faults.latency + (faults.slow_seconds if slow < faults.slow_rate else 0.0)
        for counter, kind in (("fail_next", "error"), ("throttle_next", "throttle")):
            left = getattr(faults, counter)
            if left:
                self.faults = replace(faults, **{counter: left - 1})
                return kind, delay
        for kind in FAULT_KINDS:
            share -= getattr(faults, f"{kind}_rate")
            if share < 0:
                return kind, delay
        return None, delay

    def receive(self, version: str, dataset: str, token: str | None, body: bytes, *, short: bool = False) -> int:
        """Take a request's batch and return events_received. Raises `Refusal`; then nothing of the batch is stored.

        `token` is the one in the header or URL; without it the body's counts. `short` loses the last event.
        """
        settings = self.settings
        if settings.null:
            if self.faults.dead_token:
                _refuse_expired()
            # An event has exactly one of them, and inside a string the closing quote would be escaped.
            received = body.count(b'"user_data"') + body.count(b'"match_keys"') - short
            self.counts["events_received"] += received
            return received

        try:
            parameters = orjson.loads(body)
        except orjson.JSONDecodeError:
            parameters = None
        is_object = type(parameters) is dict  # a body of any other form brings no parameters to Meta
        if not re.fullmatch(r"v[0-9]+\.[0-9]+", version):
            raise Refusal("Unknown path components", None, code=2500)
        major = int(version[1:].partition(".")[0])
        offline = major == OFFLINE_VERSION and is_object and not _has_server_events(parameters.get("data"))
        if major < OLDEST_LIVE_VERSION and not offline:
            raise Refusal(f"(#2635) {version} of the Graph API is gone; use v25.0", None, code=2635)
        token = token or (parameters.get("access_token") if is_object else None)
        self._check_token(token)
        self._check_proof(token, parameters.get("appsecret_proof") if is_object else None)
        if not (dataset.isascii() and dataset.isdigit()) or (settings.datasets and dataset not in settings.datasets):
            raise Refusal("Unsupported post request: no such dataset, or no permission for it", 33)
        if not is_object:
            raise Refusal("the body must be a JSON object, with Content-Type application/json", None)
        self._check_parameters(parameters, offline)

        self._check_everything(len(parameters["data"]))
        check = check_offline_event if offline else check_event
        events: list[Json] = parameters["data"]
        now = settings.clock()
        self._check_poisoned(events)
        for index, event in enumerate(events):
            try:
                check(event, now)
                self._check_refused(event)
            except Refusal as refusal:
                refusal.where = f"event {index + 1} of {len(events)}"
                self.counts.update(leak for event in events for leak in leaks(event))
                raise
        if short:
            events.pop()
        for event in events:
            (self._store_offline if offline else self._store)(dataset, event, now)
        if "upload_tag" in parameters:
            self.upload_tags[parameters["upload_tag"]] += len(events)
        self.counts["events_received"] += len(events)
        return len(events)

    def _check_everything(self, count: int) -> None:
        faults = self.faults
        if faults.refused_code and faults.refused_after:
            self.faults = replace(faults, refused_after=faults.refused_after - 1)
        elif faults.refused_code:
            self.injected["refused"] += 1
            raise Refusal("everything is refused", faults.refused_subcode or None, code=faults.refused_code)
        if faults.max_events and count > faults.max_events:
            self.injected["too_large"] += 1
            raise Refusal("the request body is too large", None, status=413)

    def _check_poisoned(self, events: list[Json]) -> None:
        text = self.faults.poisoned_ids
        if text and any(text in event.get("event_id", "") for event in events if type(event) is dict):
            raise Poisoned

    def _check_refused(self, event: Json) -> None:
        text = self.faults.refused_ids
        if text and text in event.get("event_id", ""):
            raise Refusal("the event is refused for a reason that only Meta knows")

    def _check_token(self, token: Any) -> None:
        settings = self.settings
        if not _is_text(token):
            raise Refusal("An access token is required", None, code=190)
        if self.faults.dead_token or token in settings.expired_tokens:
            _refuse_expired()
        if settings.tokens and token not in settings.tokens:
            raise Refusal("Invalid OAuth access token", None, code=190)

    def _check_proof(self, token: Any, proof: Any) -> None:
        """Meta, "Securing Graph API Requests": HMAC-SHA256 of the token, keyed by the app's secret, in hexadecimal."""
        secret = self.settings.app_secret
        if secret is None:
            return
        if proof is None:
            raise Refusal(
                "API calls from the server require an appsecret_proof argument", None, kind="GraphMethodException"
            )
        right = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        if not _is_text(proof) or not hmac.compare_digest(proof.encode(), right.encode()):
            raise Refusal("Invalid appsecret_proof provided in the API argument", None, kind="GraphMethodException")

    def _check_parameters(self, parameters: Json, offline: bool) -> None:
        rules, most = (OFFLINE_PARAMETERS, MAX_OFFLINE_EVENTS) if offline else (PARAMETERS, MAX_EVENTS)
        for key, value in parameters.items():
            rule = rules.get(key)
            if rule is None:
                raise Refusal(f"{_shown(key)} is not a known parameter", None)
            if not rule.check(value):
                raise Refusal(f"{key} must be {rule.wants}", None)
        if "data" not in parameters:
            raise Refusal("data is required", None)
        if offline and "upload_tag" not in parameters:
            raise Refusal("upload_tag is required", None)
        if len(parameters["data"]) > most:
            raise Refusal(f"(#105) data holds more than {most} events", None, code=105)

    def _store(self, dataset: str, event: Json, now: float) -> None:
        counts = self.counts
        name = event["event_name"]
        event_id = event.get("event_id")
        if event_id is None:
            counts["without_event_id"] += 1
        elif not self.window.is_new(dataset, name, event_id, now):
            counts["duplicates"] += 1
            return
        counts["events_stored"] += 1
        self.by_event[dataset][name] += 1
        match_keys = self.match_keys
        for key in event["user_data"]:
            match_keys[key] += 1
        custom_data = event.get("custom_data")
        if custom_data and "value" in custom_data:
            self.value_by_currency[custom_data.get("currency", "")] += custom_data["value"]
        if event["action_source"] == "website" and "event_source_url" not in event:
            counts["website_without_url"] += 1
        self.last_events.append({"dataset": dataset, **event})

    def _store_offline(self, dataset: str, event: Json, now: float) -> None:
        # There is no event_id; the order, else the person, with time and name stands for one.
        who = event.get("order_id") or hashlib.sha256(orjson.dumps(event["match_keys"])).hexdigest()
        identity = f"{event['event_time']}/{who}/{event.get('item_number', '')}"
        if not self.window.is_new(dataset, event["event_name"], identity, now, OFFLINE_DEDUPLICATION_WINDOW):
            self.counts["duplicates"] += 1
            return
        self.counts["events_stored"] += 1
        self.by_event[dataset][event["event_name"]] += 1
        self.match_keys.update(event["match_keys"].keys())
        if "value" in event:
            self.value_by_currency[event.get("currency", "")] += event["value"]
        self.last_events.append({"dataset": dataset, **event})

    def note_refusal(self, refusal: Refusal, dataset: str, fbtrace_id: str) -> None:
        """Put a refusal into the books."""
        self.counts["refused_requests"] += 1
        self.refusals[f"{refusal.code}/{refusal.subcode}" if refusal.subcode else str(refusal.code)] += 1
        self.last_errors.append(
            {
                "time": self.settings.clock(),
                "dataset": dataset,
                "code": refusal.code,
                "subcode": refusal.subcode,
                "reason": refusal.reason,
                "where": refusal.where,
                "fbtrace_id": fbtrace_id,
            }
        )

    def stats(self) -> Json:
        """Everything in the books, ready for JSON.

        Counts are of events unless the name says requests or tokens; ``raw_pii``, ``pii_in_custom_data`` and
        ``pii_in_urls`` count the events, of refused batches, that showed personal data.
        """
        return {
            **{name: self.counts[name] for name in COUNTS},
            "by_event": {dataset: dict(names) for dataset, names in self.by_event.items()},
            "match_keys": dict(self.match_keys),
            "upload_tags": dict(self.upload_tags),
            "value_by_currency": {c: round(v, 2) for c, v in self.value_by_currency.items()},
            "refusals": dict(self.refusals),
            "errors": list(self.last_errors),
            "last_events": list(self.last_events),
            "faults": asdict(self.faults),
            "active_faults": self.faults.active(),
            "injected_faults": dict(self.injected),
            "null": self.settings.null,
        }


COUNTS: Final = (
    "requests",
    "events_received",
    "events_stored",
    "duplicates",
    "refused_requests",
    "tokens_in_url",
    "raw_pii",
    "pii_in_custom_data",
    "pii_in_urls",
    "website_without_url",
    "without_event_id",
)


def _has_server_events(data: Any) -> bool:
    return type(data) is list and any(type(event) is dict and "user_data" in event for event in data)


def _refuse_expired() -> NoReturn:
    raise Refusal("Error validating access token: Session has expired", 463, code=190)


# --- The web ----------------------------------------------------------------------------------------------------------

SERVER_ERROR: Final = Refusal(
    "An unexpected error has occurred. Please retry your request later.", None, code=2, status=500, transient=True
)
HTML_ERROR: Final = (
    "<!DOCTYPE html><html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>"
)
SANDBOX: Final = web.AppKey("sandbox", Sandbox)


def create_app(settings: SandboxSettings | None = None) -> web.Application:
    """The sandbox as an aiohttp application; its books are at ``app[SANDBOX]``."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[SANDBOX] = Sandbox(settings or SandboxSettings())
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/sandbox/healthz", _healthz),
            web.get("/sandbox/stats", _stats),
            web.get("/sandbox/event_ids", _event_ids),
            web.get("/sandbox/faults", _get_faults),
            web.post("/sandbox/faults", _set_faults),
            web.post("/sandbox/reset", _reset),
            web.post("/{version}/{dataset}/events", _events),
            web.route("*", "/{anything:.*}", _unknown_path),
        ]
    )
    return app


async def _events(request: web.Request) -> web.StreamResponse:
    sandbox = request.app[SANDBOX]
    sandbox.counts["requests"] += 1
    if "access_token" in request.query:
        sandbox.counts["tokens_in_url"] += 1
    fault, delay = sandbox.draw()
    if fault is not None:
        sandbox.injected[fault] += 1
    if delay > sandbox.faults.latency:
        sandbox.injected["slow"] += 1
    if fault == "drop_before":
        await asyncio.sleep(delay)
        return _abort(request)

    dataset = request.match_info["dataset"]
    try:
        body = await request.read() if request.content_type == "application/json" else b""
    except web.HTTPRequestEntityTooLarge:
        return _refuse(sandbox, Refusal("the request body is too large", None, status=413), dataset)
    except ConnectionResetError:  # the sender is gone, in the middle of its request
        return _abort(request)
    if delay:
        await asyncio.sleep(delay)
    headers = _usage(dataset, sandbox.faults.usage_percent)
    if fault == "html":
        return web.Response(status=502, text=HTML_ERROR, content_type="text/html")
    if fault == "error":
        return _json(SERVER_ERROR.body(_trace_id()), SERVER_ERROR.status, headers)
    if fault == "throttle":
        throttled = Refusal("There have been too many calls to this account.", 2446079, code=80004)
        headers = _usage(dataset, 100, sandbox.faults.retry_minutes)
        if sandbox.faults.retry_after:
            headers["Retry-After"] = sandbox.faults.retry_after
        return _json(throttled.body(_trace_id()), sandbox.faults.throttle_status, headers)
    try:
        received = sandbox.receive(
            request.match_info["version"], dataset, _token(request), body, short=fault == "short"
        )
    except Poisoned:
        sandbox.injected["poisoned"] += 1
        status, text = POISON_ANSWERS[sandbox.faults.poison_answer]
        while sandbox.faults.poison_answer == "hang" and request.transport is not None:  # until the sender is gone
            await asyncio.sleep(0.02)
        return web.Response(status=status, text=text) if status else _abort(request)
    except Refusal as refusal:
        response = _refuse(sandbox, refusal, dataset, headers)
    else:
        said = received + (fault == "excess")
        response = _json({"events_received": said, "messages": [], "fbtrace_id": _trace_id()}, 200, headers)
    if fault == "double":
        await _send_once_more(request, response)
    return _abort(request) if fault == "drop_after" else response


async def _send_once_more(request: web.Request, response: web.Response) -> None:
    """Sends an answer and keeps the connection, on which the same answer will be sent again."""
    if request.transport is None:
        return
    lines = [f"HTTP/1.1 {response.status} OK", *(f"{name}: {value}" for name, value in response.headers.items())]
    body = response.body if isinstance(response.body, bytes) else b""
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    request.transport.write(head.encode() + body)
    await asyncio.sleep(0.001)


def _token(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.query.get("access_token")


def _usage(dataset: str, percent: int, minutes: float = 0.0) -> dict[str, str]:
    usage = {"call_count": percent, "total_cputime": percent, "total_time": percent}
    wait = int(minutes) if minutes == int(minutes) else minutes
    business = {dataset: [{"type": "ads_management", **usage, "estimated_time_to_regain_access": wait}]}
    return {
        "X-App-Usage": orjson.dumps(usage).decode(),
        "X-Business-Use-Case-Usage": orjson.dumps(business).decode(),
    }


def _refuse(sandbox: Sandbox, refusal: Refusal, dataset: str, headers: Mapping[str, str] | None = None) -> web.Response:
    fbtrace_id = _trace_id()
    sandbox.note_refusal(refusal, dataset, fbtrace_id)
    return _json(refusal.body(fbtrace_id), refusal.status, headers)


def _abort(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type="application/json")


def _trace_id() -> str:
    return "A" + base64.urlsafe_b64encode(secrets.token_bytes(18)).decode()[:22]


async def _unknown_path(request: web.Request) -> web.StreamResponse:
    return _json(Refusal("Unknown path components", None, code=2500).body(_trace_id()), 400)


async def _page(request: web.Request) -> web.StreamResponse:
    html = resources.files("capybeam.pipeline.sandbox").joinpath("page.html").read_text(encoding="utf-8")
    return web.Response(text=html, content_type="text/html")


async def _healthz(request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


async def _stats(request: web.Request) -> web.StreamResponse:
    return _json(request.app[SANDBOX].stats())


async def _event_ids(request: web.Request) -> web.StreamResponse:
    ids = request.app[SANDBOX].window.ids(request.query.get("dataset", ""))
    return web.Response(text="".join(f"{name}\t{event_id}\n" for name, event_id in ids))


async def _get_faults(request: web.Request) -> web.StreamResponse:
    return _json(asdict(request.app[SANDBOX].faults))


async def _set_faults(request: web.Request) -> web.StreamResponse:
    sandbox = request.app[SANDBOX]
    try:
        changes = orjson.loads(await request.read())
        if type(changes) is not dict:
            raise ValueError("the body must be a JSON object")
        sandbox.set_faults(changes)
    except ValueError as error:
        return _json({"error": str(error)}, 400)
    return _json(asdict(sandbox.faults))


async def _reset(request: web.Request) -> web.StreamResponse:
    request.app[SANDBOX].reset()
    return _json(request.app[SANDBOX].stats())


async def _run(app: web.Application, host: str, port: int, started: Callable[[str], None], stop: asyncio.Event) -> None:
    # Without access log, since its lines would carry tokens of senders that put them in the URL.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound_host, bound_port = runner.addresses[0][:2]
        started(f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}")
        await stop.wait()
    finally:
        await runner.cleanup()


def serve(settings: SandboxSettings | None = None, host: str = "127.0.0.1", port: int = DEFAULT_PORT) -> None:
    """Run the sandbox until Ctrl-C, SIGTERM or SIGHUP.

    Raises ``OSError`` when the port is in use, and ``ValueError`` for a host that others could reach: the sandbox
    checks nobody's identity, so it serves this machine only.
    """
    if host != "localhost" and not ip_address(host).is_loopback:
        raise ValueError(f"the sandbox serves this machine only: {host} is not a loopback address")

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as it is under nohup
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await _run(create_app(settings), host, port, _announce, stop)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


def _announce(url: str) -> None:
    print(
        f"Sandbox at {url} (open it to see what arrives); send to it with `endpoint: {url}`. Ctrl-C stops it.",
        flush=True,
    )


class SandboxServer:
    """A sandbox in a background thread on a free port of the loopback interface, as a context manager.

    >>> with SandboxServer(SandboxSettings(tokens=frozenset({"secret"}))) as sandbox:
    ...     sandbox.set_faults(fail_next=1)
    ...     # send to f"{sandbox.url}/v25.0/123/events"
    ...     sandbox.stats()["events_stored"]
    0
    """

    url: str

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self._app = create_app(settings)
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._main, name="sandbox", daemon=True)

    def __enter__(self) -> SandboxServer:
        self._thread.start()
        self.url = self._ready.result(timeout=30)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=30)

    def stats(self) -> Json:
        """The books at this moment, as ``GET /sandbox/stats`` gives them."""
        return self._call(self._app[SANDBOX].stats)

    def event_ids(self, dataset: str) -> list[tuple[str, str]]:
        """(event name, event id) of what is stored in `dataset`; events without an id are not among them."""
        return self._call(lambda: self._app[SANDBOX].window.ids(dataset))

    def set_faults(self, **changes: float | bool) -> None:
        """Change some `Faults`. Raises ``ValueError`` for an unknown one or a bad value."""
        self._call(lambda: self._app[SANDBOX].set_faults(changes))

    def reset(self) -> None:
        """Forget what arrived; the faults stay."""
        self._call(self._app[SANDBOX].reset)

    def _call(self, function: Callable[[], T]) -> T:
        async def on_loop() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(timeout=30)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await _run(self._app, "127.0.0.1", 0, self._ready.set_result, self._stop)
