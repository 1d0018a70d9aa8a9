"""Meta's own words about a refusal, as terminals, logs and reports may show them.

Meta may quote what it was sent, and what answers in its place may quote anything. So all that may be a value goes by
its form: what stands in quotes, addresses, numbers, long words. Names of Meta's parameters stay: they are a closed set.
What of an event has none of these forms is cut out where the event is known (`delivery.answers.cut`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from capybeam.transforms.delivery.answers import CUT
from capybeam.transforms.meta import rules
from capybeam.transforms.meta.server_events import BESIDE
from capybeam.transforms.meta.user_data import OFFLINE_KEYS, WIRES

LONGEST: Final = 200  # characters of a reason
_LONGEST_READ: Final = 600  # of the text that it is made of

_NAMES: Final = frozenset(
    {
        *WIRES,
        *(name for name, _ in OFFLINE_KEYS.values()),
        *BESIDE,
        *rules.EXTINFO,
        *rules.APP_DATA,
        *(name for pair in rules.MESSAGING_IDS.values() for name in pair),
        *"data data_processing_options data_processing_options_country data_processing_options_state".split(),
        *"test_event_code upload_tag partner_agent access_token appsecret_proof match_keys extinfo madid".split(),
        *"advertiser_tracking_enabled application_tracking_enabled content_category content_ids content_name".split(),
        *"content_type contents currency delivery_category net_revenue num_items order_id predicted_ltv".split(),
        *"search_string status value item_price quantity id ads_management".split(),
        *"AddToCart InitiateCheckout Lead PageView Purchase Search ViewContent".split(),
    }
)
_STANDARDS: Final = frozenset({"sha-256", "sha256", "md5", "4217", "iso-4217", "3166", "8601", "utf-8", "e.164"})

_QUOTES: Final[Mapping[str, str]] = {'"': '"', "“": "”", "„": "“", "«": "»", "‘": "’", "`": "`", "'": "'"}
_QUOTED: Final = re.compile(
    "|".join(
        # An apostrophe inside of a word quotes nothing. What is not closed goes to the end.
        rf"(?<!\w){re.escape(left)}([^{re.escape(right)}]*)(?:{re.escape(right)}(?!\w)|$)"
        if left in "'‘"
        else rf"{re.escape(left)}([^{re.escape(right)}]*)(?:{re.escape(right)}|$)"
        for left, right in _QUOTES.items()
    )
)
_ADDRESS: Final = re.compile(r"\S*(?:@|://)\S*")
_GROUPS: Final = re.compile(r"[+(]?\d(?:[\s().+-]*\d){5,}")  # a phone number, however it is written; a card; a date
_INDEX: Final = re.compile(r"\[\d+\]")
_WORD: Final = re.compile(r"[^\s\[\](),;]+")
_SMALL: Final = re.compile(r"#?\d{1,3}%?")
_LONGEST_WORD: Final = 30
_AGAIN: Final = re.compile(rf"{CUT}(?:[\s,;]*{CUT})+")


def readable(text: str) -> str:
    """A text of Meta's without what may be a value, on one line.

    >>> readable("Invalid parameter: 'em' must be hashed, but is 'jane@example.com'.")
    "Invalid parameter: 'em' must be hashed, but is '…'."
    >>> readable("The event is 12 days old: 1795367810 (jane@example.com, +44 20 7946 0123)")
    'The event is 12 days old: … (…)'
    """
    line = " ".join("".join(" " if unicodedata.category(each)[0] == "C" else each for each in _start(text)).split())
    line = _QUOTED.sub(_unquoted, line)
    line = _INDEX.sub("[]", _ADDRESS.sub(_address, line))
    line = _GROUPS.sub(_number, line)
    line = _AGAIN.sub(CUT, _WORD.sub(_word, line))
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + CUT


def _start(text: str) -> str:
    """A text that is too long loses the word at its end, which may be part of something."""
    return text if len(text) <= _LONGEST_READ else text[:_LONGEST_READ].rpartition(" ")[0]


def _unquoted(found: re.Match[str]) -> str:
    inside = next(group for group in found.groups() if group is not None)
    left, right = found[0][0], _QUOTES[found[0][0]]
    return f"{left}{inside if inside in _NAMES else CUT}{right}"


def _address(found: re.Match[str]) -> str:
    ends = re.search(r"[.,;:!?)\]'\"]*$", found[0])
    starts = re.match(r"[(\['\"]*", found[0])
    return (starts[0] if starts else "") + CUT + (ends[0] if ends else "")


def _number(found: re.Match[str]) -> str:
    return CUT


def _word(found: re.Match[str]) -> str:
    word = found[0]
    bare = word.strip(".:!?'\"`“”„«»‘’…<>*")
    if bare in _NAMES or bare.lower() in _STANDARDS or not bare:
        return word
    is_value = len(bare) > _LONGEST_WORD or (any(each.isdigit() for each in bare) and not _SMALL.fullmatch(bare))
    return word.replace(bare, CUT) if is_value else word
