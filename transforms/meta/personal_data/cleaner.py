"""Takes personal data out of objects, texts and URLs."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

import orjson

from capybeam.transforms.meta.personal_data.emails import Span, emails
from capybeam.transforms.meta.personal_data.keys import is_personal, personal_parts
from capybeam.transforms.meta.personal_data.person import Person, is_whole

# Fields that Meta has for words: as all of a value a word there is a search, a product or a place, and no name.
_WORDS: Final = frozenset(
    """
    event_name content_name content_category content_type search_string city state country region neighborhood
    currency
    """.split()
)
# Ids are looked through for email addresses only: digits are their nature.
_IDS: Final = frozenset({"order_id", "content_ids", "contents"})
_BY_PLACE: Final = frozenset({"extinfo"})  # lists whose items have their places
# Parameters that identify clicks and campaigns: the advertiser's own words, not a person's.
_CAMPAIGN: Final = re.compile(
    "utm_.*|[gdf]clid|fbclid|[gw]braid|msclkid|ttclid|twclid|yclid|li_fat_id|igshid|srsltid|epik|rdt_cid|_g[al]|mc_cid",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"(&amp;|&|;(?=[\w.\[\]%-]+=))", re.IGNORECASE)
_BLANKS: Final = re.compile(r"(\s+)")
_PARAMETER: Final = re.compile(r"[\w.\[\]%-]+=")
_PATH: Final = re.compile(r"[^?#]*")
_USER: Final = re.compile(r"((?:[a-z][a-z0-9+.-]*:)?//)[^/]*@", re.IGNORECASE)
_DEEPEST: Final = 3  # URLs within URLs, and decodings of one value
_REMEMBERED: Final = 4096  # URLs
_LONGEST_REMEMBERED: Final = 512  # characters of one


Removed = Callable[[], None]


class Watch(NamedTuple):
    """What else an object's texts are looked through for.

    Attributes:
        wholes: of the person, see `is_whole`.
        seen: takes the texts and numbers that are left.
    """

    wholes: frozenset[str]
    seen: list[str]


class Cleaner:
    """Takes personal data out of the objects, texts and URLs of a destination's events.

    Args:
        allowed: keys and parameters that the destination lets through, as they are spelt, with the texts behind them.
        cut: whether texts and URLs are looked through; keys always are.
    """

    def __init__(self, allowed: frozenset[str] = frozenset(), cut: bool = True) -> None:
        self._allowed, self._cut = allowed, cut
        self._passed = allowed | _IDS
        # URLs without a click that have lost nothing, and lose nothing whoever comes with them
        self.harmless: set[str | None] = {None}

    def goes(self, key: str, in_list: bool = False) -> bool:
        """Whether a key is personal and not allowed; of a flat key each part that is personal may be allowed."""
        if not is_personal(key, in_list) or key in self._allowed:
            return False
        return not self._allowed or not self._allowed.issuperset(personal_parts(key, in_list))

    # --- objects -----------------------------------------------------------------------------------------------

    def data(self, data: Mapping[str, Any], removed: Removed, watch: Watch | None = None) -> dict[str, Any]:
        """An object without personal keys and email addresses, at any depth.

        Args:
            removed: called for each key that goes and each text that is cut.
        """
        return self._object(data, removed, self._cut, watch, False)

    def _object(
        self, data: Mapping[str, Any], removed: Removed, cut: bool, watch: Watch | None, in_list: bool
    ) -> dict[str, Any]:
        kept = {}
        for key, item in data.items():
            if is_personal(key, in_list) and self.goes(key, in_list):
                removed()
                continue
            kind = type(item)
            if kind is str:
                if cut and key not in self._allowed:
                    text = self._text(key, item, watch)
                    if text != item:
                        removed()
                        if not text:
                            continue
                        item = text
            elif kind is dict or kind is list:
                looked = cut and key not in self._allowed
                within = watch if looked and key not in _IDS else None
                if kind is dict:
                    item = self._object(item, removed, looked, within, False)
                else:
                    item = self._list(item, removed, looked, within, key in _BY_PLACE)
            elif watch and (kind is int or kind is float):
                watch.seen.append(_digits(item))
            if watch and not key.isidentifier():
                watch.seen.append(key)
            kept[key] = item
        return kept

    def _list(
        self, items: list[Any], removed: Removed, cut: bool, watch: Watch | None, by_place: bool = False
    ) -> list[Any]:
        kept = []
        for item in items:
            kind = type(item)
            if kind is dict:
                item = self._object(item, removed, cut, watch, True)
            elif kind is list:
                item = self._list(item, removed, cut, watch)
            elif kind is str and cut:
                text = self._text("", item, watch)
                if text != item:
                    removed()
                    if not text and not by_place:
                        continue
                    item = text
            elif watch and (kind is int or kind is float):
                watch.seen.append(_digits(item))
            kept.append(item)
        return kept

    def _text(self, key: str, text: str, watch: Watch | None) -> str:
        left = text if text.isalnum() else self.text(text)
        if watch and key not in _IDS:
            if key not in _WORDS and is_whole(left, watch.wholes):
                return ""
            watch.seen.append(left)
        return left

    def own(self, value: Any, person: Person, removed: Removed, key: str = "") -> Any:
        """What is left of an object, a list or a text without the number, name and address of whom it is about.

        A text of which nothing is left is "", and inside an object or a list it goes. Ids stay, and what is allowed.
        """
        kind = type(value)
        if kind is dict:
            kept = {}
            for name, item in value.items():
                left = item if name in self._passed else self.own(item, person, removed, name)
                if not name.isidentifier() and person.spans(name):
                    removed()
                elif left != "" or item == "":
                    kept[name] = left
            return kept
        if kind is list:
            own = [(self.own(item, person, removed, key), item) for item in value]
            return [left for left, item in own if left != "" or item == ""]
        if kind is str or kind is int or kind is float:
            text = value if kind is str else _digits(value)
            left = self._own_text(text, person)
            if left == text:
                return value
            removed()
            return "" if key not in _WORDS and is_whole(left, person.wholes) else left
        return value

    def _own_text(self, text: str, person: Person) -> str:
        """What is left of a text. What is cut out of it may make a parameter of what stood before: so the rest is
        looked through again for all that is personal, and is given up after a few times."""
        for _ in range(_TRIES):
            left = _without(self._each_word(text, person), person.spans)
            if left == text:
                return text
            text = self.text(left)
        return ""

    # --- texts -------------------------------------------------------------------------------------------------

    def text(self, text: str, depth: int = 0) -> str:
        """A text without email addresses, personal parameters of URLs in it and, where it is JSON, personal keys.

        "" where nothing else is left. What holds nothing of the kind stays as it is, to the byte.
        """
        text = self._each_word(text, None, depth)
        if text[:1] in ("{", "["):
            text = self._json(text)
        return _without(text, emails)

    def _each_word(self, text: str, person: Person | None, depth: int = 0) -> str:
        """A text whose words may be URLs, or parameters without one."""
        if "=" not in text or depth > _DEEPEST:
            return text
        words = _BLANKS.split(text)
        for place, word in enumerate(words):
            if "=" in word:
                if "?" in word or "#" in word:
                    words[place] = self._url(word, _ignore, person, [], depth)
                elif _PARAMETER.match(word):
                    words[place] = self._query(word, _ignore, person, [], depth)
        return "".join(words)

    def _json(self, text: str) -> str:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
        found: list[None] = []
        try:
            (cleaned,) = self._list([value], lambda: found.append(None), self._cut, None)
            return orjson.dumps(cleaned).decode() if found else text
        except (RecursionError, TypeError):  # nested too deeply to be looked through
            return ""

    # --- URLs --------------------------------------------------------------------------------------------------

    def url(self, url: str, removed: Removed, values: list[str] | None = None) -> str:
        """A URL without its user, its personal parameters and email addresses in its path. The rest stays to the byte.

        Args:
            removed: called for each of them.
            values: takes the decoded values of parameters that may be a person's own.
        """
        if url in self.harmless:
            return url
        found: list[str] = []
        left = self._url(url, removed, None, found, 0)
        if values is not None:
            values += found
        if left == url and not found and len(url) <= _LONGEST_REMEMBERED and "fbclid=" not in url:
            if len(self.harmless) >= _REMEMBERED:
                self.harmless.clear()
                self.harmless.add(None)
            self.harmless.add(url)
        return left

    def own_url(self, url: str, person: Person, removed: Removed) -> str:
        """A URL without parameters that hold the number, name or address of whom the event is about."""
        return self._url(url, removed, person, [], 0)

    def _url(self, url: str, removed: Removed, person: Person | None, values: list[str], depth: int) -> str:
        beginning = _PATH.match(url)
        assert beginning
        path = beginning[0]
        query, mark, fragment = url[len(path) :].partition("#")
        if "@" in path and (user := _USER.match(path)):
            removed()
            path = user[1] + path[user.end() :]
        left = _cut_out(path, emails(path), removed)
        if query:
            left += self._query(query, removed, person, values, depth)
        # a fragment may be a query, a place, or a place with a query
        place, question, more = (mark + fragment).partition("?")
        if "=" in place:
            return left + self._query(mark + fragment, removed, person, values, depth)
        left += _cut_out(place, emails(place), removed)
        if more:
            question = self._query(question + more, removed, person, values, depth)
        return left + question

    def _query(self, query: str, removed: Removed, person: Person | None, values: list[str], depth: int) -> str:
        """Parameters, and the ? or # before them, which goes with the last one."""
        mark = query[:1] if query[:1] in ("?", "#") else ""
        parts = ["&", *_AND.split(query[len(mark) :])]
        kept: list[str] = []
        for separator, parameter in zip(parts[::2], parts[1::2], strict=True):
            if self._parameter_goes(parameter, person, values, depth):
                removed()
            else:
                kept += (separator if kept else mark, parameter)
        return query if len(kept) == len(parts) else "".join(kept).removesuffix("?")

    def _parameter_goes(self, parameter: str, person: Person | None, values: list[str], depth: int) -> bool:
        name, _, text = parameter.partition("=")
        if not text:  # what stands alone is a value
            name, text = "", name
        key = unquote_plus(name) if "%" in name or "+" in name else name
        if not text or key in self._allowed:
            return False
        if key and is_personal(key) and self.goes(key):
            return True
        if not text.isalnum():
            for _ in range(_DEEPEST):
                if emails(text):
                    return True
                encoded, text = text, unquote_plus(text)
                if text == encoded:
                    break
            if ("=" in text or text[:1] in ("{", "[")) and self.text(text, depth + 1) != text:
                return True
        if _CAMPAIGN.fullmatch(key):
            return False
        if person:
            return is_whole(text, person.wholes) or bool(person.spans(text))
        values.append(text)
        return False


def _without(text: str, find: Callable[[str], list[Span]]) -> str:
    """A text without the parts that are found in it, which may overlap; "" where no letter and no digit is left.

    What was apart may be found where it comes together, so the rest is looked through again, and is given up after a
    few times.
    """
    for tries in range(_TRIES):
        spans = find(text)
        if not spans:
            return text if not tries or any(map(str.isalnum, text)) else ""
        kept, free = [], 0
        for start, end in sorted(spans):
            kept.append(text[free:start])
            free = max(free, end)
        text = "".join([*kept, text[free:]]).strip()
    return ""


_TRIES: Final = 4


def _digits(number: float) -> str:
    """A number as text; a whole one as tables of fractions have it, too."""
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _ignore() -> None:
    """Takes note of nothing."""


def _cut_out(text: str, spans: Iterable[Span], removed: Removed) -> str:
    """A text without some of its parts, which do not overlap, and otherwise as it is."""
    kept, free = [], 0
    for start, end in spans:
        removed()
        kept.append(text[free:start])
        free = end
    return "".join([*kept, text[free:]]) if free else text


@functools.lru_cache(256)
def cleaner(allowed: frozenset[str], cut: bool) -> Cleaner:
    """The process's one cleaner for destinations with the same settings."""
    return Cleaner(allowed, cut)
