"""Currencies, pinned here so that no release of a library decides which purchases are valid.

Source: ISO 4217, list one (current) and list three (withdrawn), as of November 2026. A withdrawn code stays for ten
years: old events are sent again, and shops change theirs late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CURRENT: Final = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
    CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD
    HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD
    TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD
    XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG
    """.split()
)
WITHDRAWN: Final[Mapping[str, str]] = {  # since when
    "ANG": "2025-03",
    "BGN": "2026-01",
    "BYR": "2017-01",
    "CUC": "2021-06",
    "HRK": "2023-01",
    "MRO": "2017-12",
    "SLL": "2023-12",
    "STD": "2017-12",
    "VEF": "2018-08",
    "ZWL": "2024-09",
}
CURRENCIES: Final = CURRENT | WITHDRAWN.keys()
