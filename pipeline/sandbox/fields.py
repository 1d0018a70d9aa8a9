"""The rules of one field at a time, as tables: every field with its check and the message for when it fails.

`EVENT`, `USER_DATA`, `CUSTOM_DATA`, `APP_DATA` and `PARAMETERS` are of the Conversions API; `OFFLINE_EVENT`,
`MATCH_KEYS` and `OFFLINE_PARAMETERS` of the older format. `rules` has what ties fields together.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from capybeam.pipeline.sandbox.refusals import BAD_LEAD_ID, INVALID_PARAMETER


class Rule(NamedTuple):
    """One field's check, what the field must be, and the subcode of its refusal."""

    check: Callable[[Any], bool]
    wants: str
    subcode: int = INVALID_PARAMETER


# `type(v) is` rather than isinstance throughout: a bool is not a number here, and orjson builds exact types only.


def is_text(v: Any) -> bool:
    return type(v) is str and v != ""


def is_number(v: Any) -> bool:
    return type(v) is float or type(v) is int


def is_id(v: Any) -> bool:
    return type(v) is int and v > 0


def is_object(v: Any) -> bool:
    return type(v) is dict


def is_text_or_number(v: Any) -> bool:
    return is_text(v) or type(v) is int


def is_text_or_texts(v: Any) -> bool:
    return is_text(v) or (type(v) is list and v != [] and all(map(is_text, v)))


def is_list_of_ids(v: Any) -> bool:
    return type(v) is list and all(map(is_text_or_number, v))


HEX_DIGITS: Final = b"0123456789abcdef"
# What Meta's param-builder appends to what it made, in base64url; it takes MD5 for a hash, too.
APPENDIX: Final = r"\.(?:[0-9A-Za-z_-]{2}|[0-9A-Za-z_-]{8})"
_appended_digest: Final = re.compile(rf"(?:[0-9a-f]{{64}}|[0-9a-f]{{32}})(?:{APPENDIX})?").fullmatch
_appended_address: Final = re.compile(rf"([0-9a-fA-F:.]+){APPENDIX}").fullmatch


def is_digest(v: Any) -> bool:
    # Several times faster than a regular expression, and run for nearly every key of every event.
    return type(v) is str and (
        (len(v) == 64 and not v.encode().translate(None, HEX_DIGITS)) or _appended_digest(v) is not None
    )


def is_digest_or_digests(v: Any) -> bool:
    return is_digest(v) or (type(v) is list and v != [] and all(map(is_digest, v)))


def is_ip(v: Any) -> bool:
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


def is_partner_agent(v: Any) -> bool:
    return type(v) is str and len(v) < 23 and sum(c.isascii() and c.isalpha() for c in v) >= 2


def is_state(v: Any) -> bool:
    return type(v) is int and (v == 0 or 1000 <= v <= 1013)


def is_extinfo(v: Any) -> bool:
    return type(v) is list and [type(s) for s in v] == [str] * 16 and v[0] in ("a2", "i2") and v[4] != ""


def is_contents(v: Any) -> bool:
    return type(v) is list and all(map(is_content, v))


def is_content(item: Any) -> bool:
    if type(item) is not dict or "id" not in item:
        return False
    for key, value in item.items():
        rule = CONTENT.get(key)
        if rule is not None and not rule.check(value):
            return False
    return True


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _one_of(text: str) -> Rule:
    allowed = words(text)
    return Rule(lambda v: type(v) is str and v in allowed, "one of " + ", ".join(text.split()))


def _matching(pattern: str, wants: str) -> Rule:
    fullmatch = re.compile(pattern).fullmatch
    return Rule(lambda v: type(v) is str and fullmatch(v) is not None, wants)


TEXT: Final = Rule(is_text, "a non-empty string")
NUMBER: Final = Rule(is_number, "a number")
WHOLE: Final = Rule(lambda v: type(v) is int, "an integer")
ID: Final = Rule(is_id, "a positive integer")
BOOLEAN: Final = Rule(lambda v: type(v) is bool, "true or false")
OBJECT: Final = Rule(is_object, "an object")
TEXT_OR_NUMBER: Final = Rule(is_text_or_number, "a string or an integer")
HASHED: Final = Rule(is_digest_or_digests, "SHA-256 in 64 lower-case hexadecimal digits, or a list of those")
FLAG: Final = Rule(lambda v: type(v) is int and v in (0, 1), "0 or 1")
# ISO 4217 as of November 2026; in the last line, those withdrawn since November 2016.
CURRENCIES: Final = words(
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
    "partner_agent": Rule(is_partner_agent, "under 23 characters with at least 2 letters"),
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
    "event_time": Rule(is_id, "Unix seconds, an integer"),
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
    "data_processing_options_state": Rule(is_state, "0 or 1000 to 1013"),
}
REQUIRED: Final = ("event_name", "event_time", "action_source")

USER_DATA: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(words("em ph fn ln db ge ct st zp country"), HASHED),
    "external_id": Rule(is_text_or_texts, "a non-empty string, or a list of those"),
    "client_ip_address": Rule(is_ip, "an IPv4 or IPv6 address without a port"),
    # Browsers write fb.0 and fb.2 too, by the depth of the domain, and Meta's param-builder appends a short suffix.
    "fbc": _matching(r"fb\.[0-9]{1,2}\.[0-9]{13}\.\S+", "fb.1.{milliseconds}.{fbclid}"),
    "fbp": _matching(rf"fb\.[0-9]{{1,2}}\.[0-9]{{13}}\.[0-9]+(?:{APPENDIX})?", "fb.1.{milliseconds}.{number}"),
    "lead_id": Rule(is_id, "a positive integer", BAD_LEAD_ID),
    "fb_login_id": ID,
    **dict.fromkeys(
        words(
            """client_user_agent subscription_id anon_id madid ctwa_clid ig_sid page_scoped_user_id
            partner_id partner_name"""
        ),
        TEXT,
    ),
    **dict.fromkeys(words("page_id ig_account_id whatsapp_business_account_id"), TEXT_OR_NUMBER),
}

CUSTOM_DATA: Final[Mapping[str, Rule]] = {
    "currency": CURRENCY,
    "value": NUMBER,
    "predicted_ltv": NUMBER,
    "net_revenue": NUMBER,
    "num_items": NUMBER,
    "content_type": _one_of("product product_group"),
    "content_ids": Rule(is_list_of_ids, "a list of strings or integers"),
    "contents": Rule(is_contents, "a list of objects with id, and quantity, item_price, delivery_category if known"),
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
    **dict.fromkeys(words("title description brand category"), TEXT),
}

APP_DATA: Final[Mapping[str, Rule]] = {
    "advertiser_tracking_enabled": FLAG,
    "application_tracking_enabled": FLAG,
    "extinfo": Rule(is_extinfo, "16 strings, the first a2 or i2, the fifth the OS version"),
}
APP_DATA_MORE: Final[Mapping[str, Rule]] = {
    **APP_DATA,
    **dict.fromkeys(words("consider_views include_dwell_data include_video_data"), BOOLEAN),
    **dict.fromkeys(
        words(
            """campaign_ids install_referrer installer_package receipt_data vendor_id windows_attribution_id madid"""
        ),
        TEXT,
    ),
    "url_schemes": Rule(is_text_or_texts, "a non-empty string, or a list of those"),
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
    **{name: CUSTOM_DATA[name] for name in words("currency value content_type content_ids contents order_id")},
}
OFFLINE_REQUIRED: Final = ("match_keys", "event_time", "event_name")
DIGEST: Final = Rule(is_digest, "SHA-256 in 64 lower-case hexadecimal digits")
DIGESTS: Final = Rule(
    lambda v: type(v) is list and v != [] and all(map(is_digest, v)),
    "a list of SHA-256 digests in 64 lower-case hexadecimal digits",
)
MATCH_KEYS: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(words("email phone st zip"), DIGESTS),
    **dict.fromkeys(words("gen doby dobm dobd ln fn fi ct country extern_id"), DIGEST),
    "madid": TEXT,
    "lead_id": USER_DATA["lead_id"],
}
