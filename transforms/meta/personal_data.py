"""Personal data in the clear: how it is told from other data, and how it is taken out of an event.

Meta wants whom an event is about in user_data, hashed. Elsewhere in an event personal data is known by the key that it
stands behind (`is_personal`), by its form (`emails`), or by being what this very event has given to be hashed
(`Person`). A `Cleaner` removes such keys and URL parameters, and cuts such texts.

A person's own data is looked for by narrow rules, as names are words and most numbers are no phone numbers:

- A phone number counts where its digits stand without other digits next to them, separated in any way, with or without
  the country code.
- A name counts where first and last name stand side by side, in either order.
- An address counts where postal code and city stand side by side, or with a state between them.
- First name, last name, postal code or date of birth alone count only where they are all of a value, and not in the
  fields that Meta has for words (`_WORDS`). City, state, country and gender alone never count: by Meta's own rule they
  are too broad to tell who somebody is (`meta_rules.BROAD_MATCH_KEYS`).

Time is in proportion to the length of what is looked through.
"""

from __future__ import annotations

import functools
import itertools
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

import orjson

from capybeam.transforms.meta.user_data import normaliser
from capybeam.transforms.standards.spelling import normalised

Removed = Callable[[], None]

# --- by key ---------------------------------------------------------------------------------------------------------

# Names of keys, lower-case without separators and numbers. City, state and country are not among them: by Meta's own
# rule they are too broad to tell who somebody is, and its travel and real estate catalogues want them in custom_data.
PERSONAL_KEYS: Final = frozenset(
    """
    em email emailaddress emails mail emailhash hashedemail emailsha
    ph phone phones phonenumber phonenumbers phoneno telephone telephonenumber tel telno mobile mobilephone mobilenumber
    mobilephonenumber mobileno cell cellphone cellnumber cellphonenumber msisdn fax faxnumber whatsapp whatsappnumber
    contactnumber contactno contactperson contactinfo contactdetails
    fn fname firstname givenname forename middlename ln lname lastname surname familyname fullname username loginname
    displayname legalname maidenname nickname screenname
    name recipient recipients addressee payee cardholder accountholder nameoncard
    db dob birthday birthdate dateofbirth birth bday doby dobm dobd yearofbirth birthyear
    ge gen gender sex
    address addresses street streetaddress streetname streetnumber addressline housenumber postaladdress
    zp zip zipcode postal postalcode postcode pincode
    ssn socialsecurity socialsecuritynumber passport passportnumber passportno nationalid taxid taxnumber
    driverlicense driverslicense driverlicensenumber driverslicensenumber licenseplate
    card creditcard creditcardnumber creditcardno debitcard debitcardnumber cardnumber cardno cardnum ccnumber ccnum
    cardlast cardlastfour lastfourdigits giftcardnumber giftcardcode cardcode cardpin cardexpiry cardexpiration
    cardexpirydate cardexpirationdate cvv cvc csc cardsecuritycode cardverificationcode
    iban bankaccount bankaccountnumber accountnumber accountno routingnumber sortcode
    token password passwd pwd passcode passphrase secret authorization authcode authheader authkey apikey accesskey
    privatekey credential credentials cookie jwt otp onetimepassword onetimecode verificationcode securitycode
    resetcode
    ip ipaddress clientip clientipaddress useragent clientuseragent
    externalid externid fbc fbp
    """.split()
)
# What no key may end with, whatever stands in front.
_ENDINGS: Final = (
    *("token", "password", "passwd", "secret", "secretkey", "apikey", "authorization", "creditcard", "cardnumber"),
    *("cvv", "cvc", "emailaddress", "phonenumber", "mobilenumber", "firstname", "lastname", "surname", "dateofbirth"),
    *("birthdate", "birthday"),
)
# Whose it is, or which of several, as it often stands in front.
_OWNER: Final = re.compile(
    "|".join(
        sorted(
            """
            customer user buyer client guest member contact recipient personal person billing shipping delivery home
            work business primary secondary private office profile account payer payee sender receiver shopper visitor
            subscriber passenger traveler traveller patient student driver owner holder cardholder attendee participant
            registrant applicant employee parent child spouse emergency invoice bill ship addressee lead prospect donor
            tenant beneficiary trait my your new old main alt alternate alternative other preferred confirm confirmed
            verified hashed login registered
            """.split(),
            key=len,
            reverse=True,
        )
    )
)
# The same, as it stands behind.
_BEHIND: Final = re.compile(
    "(email|emailaddress|mail|phone|phonenumber|telephone|address|streetaddress)"
    "(home|work|private|business|office|mobile|main|primary|secondary|billing|shipping|delivery|hash|hashed)"
)
# Outside a list `name` is a person's; in a list it is an item's, such as a product's.
_ITEM_KEYS: Final = frozenset({"name"})
_NOT_ALNUM: Final = re.compile(r"[\W_]+")
_BETWEEN_KEYS: Final = re.compile(r"[.\[\]/\\:>|]+")  # of an object that was made flat
_NUMBERS: Final = re.compile(r"\d+")
_LONGEST_WORD: Final = 64  # letters of a key; of a longer one the end decides
_LONGEST_CACHED: Final = 128


def is_personal(key: str, in_list: bool = False) -> bool:
    """Whether a key says that personal data is behind it: email, Phone Number, profile.email, guests_0_first_name …

    Args:
        in_list: whether the key's object is an item of a list.
    """
    return _is_personal(key, in_list) if len(key) <= _LONGEST_CACHED else any(_personal_parts(key, in_list))


@functools.lru_cache(8192)
def _is_personal(key: str, in_list: bool) -> bool:
    return any(_personal_parts(key, in_list))


def _personal_parts(key: str, in_list: bool) -> Iterator[str]:
    """Of the keys in a flat key those that are personal."""
    if "@" in key and emails(key):
        yield key
    for part in _BETWEEN_KEYS.split(key):
        if part.isdecimal():
            in_list = True
        elif part:
            if _part_is_personal(part, in_list):
                yield part
            in_list = False


def _part_is_personal(part: str, in_list: bool) -> bool:
    plain = part if part.isascii() else normalised("NFKD", part)
    # address2 and email_1 are several of a kind, and guests_0_email is flat
    words = [_NOT_ALNUM.sub("", piece).lower() for piece in _NUMBERS.split(plain)]
    return any(_word_is_personal(word, in_list or place > 0) for place, word in enumerate(words))


def _word_is_personal(word: str, in_list: bool) -> bool:
    if in_list and word in _ITEM_KEYS:
        return False
    if word in PERSONAL_KEYS or word.endswith(_ENDINGS) or _BEHIND.fullmatch(word):
        return True
    if len(word) > _LONGEST_WORD:
        return any(word.endswith(key) for key in PERSONAL_KEYS if len(key) > 3)
    place = 0
    while owner := _OWNER.match(word, place) or (
        place and word[place : place + 1] == "s" and _OWNER.match(word, place + 1)
    ):
        place = owner.end()
        if word[place:] in PERSONAL_KEYS or word[place:].removeprefix("s") in PERSONAL_KEYS:
            return True
    return False


# --- by form: email addresses ---------------------------------------------------------------------------------------

Span = tuple[int, int]  # of a text, as a slice has it

_AT: Final = re.compile(r"[@\uff20\ufe6b]|%(?:25)*40|&#(?:0*64|x0*40);|&commat;", re.IGNORECASE)
_UNSEEN: Final = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_DOMAIN: Final = re.compile(
    rf"(?:(?:[^\W_]|[{_UNSEEN}-])+(?:\.|%2e|[\u3002\uff0e]))+(xn--[\w-]+|[^\W\d_]{{2,}})", re.IGNORECASE
)
_IN_LOCAL_PART: Final = frozenset(f".+-_%'~{_UNSEEN}")
_TRIES: Final = 4
# mug@2x.png is a picture, and react@18.2.min.js a script.
_FILE_ENDINGS: Final = frozenset(
    "png jpg jpeg gif webp svg avif ico bmp tif tiff pdf css js mjs cjs ts map json html htm php woff".split()
)


def emails(text: str) -> list[Span]:
    """Where email addresses are, also with an at sign that is percent-encoded, HTML's or full-width."""
    if "@" not in text and "%" not in text and "&" not in text and text.isascii():
        return []
    found: list[Span] = []
    free = 0
    for at in _AT.finditer(text):
        start = at.start()
        while start > free and (text[start - 1].isalnum() or text[start - 1] in _IN_LOCAL_PART):
            start -= 1
        free = at.end()
        domain = _DOMAIN.match(text, free) if start < at.start() else None
        if domain and domain[1].lower() not in _FILE_ENDINGS:
            free = domain.end()
            found.append((start, free))
    return found


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


# --- by comparison: a person's own data -----------------------------------------------------------------------------

_LOWER: Final = bytes(range(256)).lower()
_DROPPED: Final = bytes(set(range(128)) - set((string.ascii_letters + string.digits).encode()))
_OTHER_DIGITS: Final = re.compile(r"(?![0-9])\d")
_MOST: Final = 3  # values of a key that are looked for
_LEAST_DIGITS: Final = 7  # of a phone number
_LEAST_NATIONAL: Final = 8  # of one without its country code
_LEAST_WHOLE: Final[Mapping[str, int]] = {"firstName": 3, "lastName": 3, "zip": 4, "dateOfBirth": 8}  # characters
_LEAST_JOINED: Final = 8  # letters of a full name that counts without anything between first and last name
# Given where there is no name, and values of their own elsewhere.
_NO_NAMES: Final = frozenset(
    """
    guest customer client user member visitor friend test tester admin anonymous unknown none null undefined nan
    mr. mrs mrs. miss male female true false yes not_set (not set) n/a first last firstname lastname name
    """.split()
)
_WIDEST_GAP: Final = 4  # characters, from one digit or letter to the next one that belongs to it
_WIDEST_STATE: Final = 24  # characters between a city and its postal code


def squeezed(text: str) -> str:
    """The letters and digits only, in lower case and without accents, so that spellings compare.

    >>> squeezed("+1 (650) 555-1212 O'Connor")
    '16505551212oconnor'
    """
    if text.isascii():
        return text.encode().translate(_LOWER, _DROPPED).decode()
    plain = normalised("NFKD", text.casefold())
    if _OTHER_DIGITS.search(plain):
        plain = _OTHER_DIGITS.sub(lambda digit: str(unicodedata.decimal(digit[0])), plain)
    return _NOT_ALNUM.sub("", plain)


class Person:
    """Whom an event is about, by the values that a mapping gave to be hashed. Is kept no longer than its event is."""

    def __init__(self, given: Mapping[str, Any], default_country: str | None) -> None:
        self._given, self._default_country = given, default_country

    def _values(self, name: str) -> list[str]:
        """The values of a key; what is hashed already is none."""
        value = self._given.get(name)
        if type(value) is str:
            return [value] if 0 < len(value) < 64 else []
        return [text for text in value[:_MOST] if type(text) is str and len(text) < 64] if type(value) is list else []

    def _squeezed(self, name: str, least: int = 1) -> list[str]:
        return [text for text in map(squeezed, self._values(name)) if len(text) >= least]

    @functools.cached_property
    def wholes(self) -> frozenset[str]:
        """What counts as all of a value only, see `is_whole`."""
        return frozenset(
            [
                form
                for name, least in _LEAST_WHOLE.items()
                for text in self._values(name)
                for form in (text.strip().lower(), squeezed(text))
                if len(form) >= least
            ]
        ).difference(_NO_NAMES)

    @functools.cached_property
    def _names(self) -> dict[str, int]:
        """Full names in both orders, and how long the first of the two is."""
        firsts, lasts = self._squeezed("firstName"), self._squeezed("lastName")
        pairs = [pair for first in firsts for last in lasts for pair in ((first, last), (last, first))]
        return {one + other: len(one) for one, other in pairs}

    @functools.cached_property
    def _codes(self) -> list[str]:
        hashed = [squeezed(normaliser("zp")(code)) for code in self._values("zip")]
        return [code for code in {*hashed, *self._squeezed("zip")} if len(code) >= _LEAST_WHOLE["zip"]]

    @functools.cached_property
    def _odd_emails(self) -> list[str]:
        """Those that have not the form that email addresses are known by anyway."""
        return [squeezed(email) for email in self._values("email") if "@" in email[1:-1] and not emails(email)]

    @functools.cached_property
    def _numbers(self) -> frozenset[str]:
        """The digits of phone numbers as they may stand in a text."""
        normalise = normaliser("ph", self._default_country)
        found: set[str] = set()
        for given in self._values("phone"):
            number, digits = normalise(given), "".join(filter(str.isdigit, squeezed(given)))
            found |= {number, f"00{number}", digits}
            for code in (1, 2, 3):  # digits of a country code
                if len(number) - code >= _LEAST_NATIONAL:
                    found |= {number[code:], f"0{number[code:]}"}
        return frozenset(digits for digits in found if len(digits) >= _LEAST_DIGITS)

    @functools.cached_property
    def _cities(self) -> list[str]:
        return self._squeezed("city")

    @functools.cached_property
    def _signs(self) -> frozenset[str]:
        """Of these a squeezed text holds one at least in which there is something to be found."""
        tails = [digits[-_LEAST_DIGITS:] for digits in self._squeezed("phone", _LEAST_DIGITS)]
        return frozenset((*tails, *self._names, *self._codes, *self._odd_emails))

    def may_be_in(self, text: str) -> bool:
        """Whether a squeezed text may hold what `spans` finds."""
        return any([sign in text for sign in self._signs])

    def spans(self, text: str) -> list[Span]:
        """Where a text holds the person's phone number, full name, address or email."""
        if not self.may_be_in(squeezed(text)):
            return []
        looked = _Squeezed(text)

        def found(needles: Iterable[str], same: Callable[[str], bool]) -> list[Span]:
            return [span for needle in needles for span in looked.spans(needle, same)]

        cities, codes = found(self._cities, str.isalpha), found(self._codes, str.isalnum)
        return [
            *(_with_sign(text, span) for span in found(self._numbers, str.isdigit)),
            *(span for name, cut in self._names.items() for span in looked.spans(name, str.isalpha, cut)),
            *found(self._odd_emails, str.isalnum),
            *_side_by_side(cities, codes),
        ]


def _with_sign(text: str, span: Span) -> Span:
    """A phone number with the + and bracket in front of it."""
    start, end = span
    while start > 0 and text[start - 1] in "+(":
        start -= 1
    return start, end


def is_whole(text: str, wholes: frozenset[str]) -> bool:
    """Whether a text is nothing but one of a person's names, postal codes or dates of birth, in any spelling."""
    bare = text.strip().lower()
    return bare in wholes or (len(bare) < 64 and not bare.isalnum() and squeezed(bare) in wholes)


class _Squeezed:
    """A text of which it is known where each letter and digit of its squeezed form comes from."""

    def __init__(self, text: str) -> None:
        letters: list[str] = []
        places: list[int] = []
        for place, character in enumerate(text):
            if character.isascii():
                if character.isalnum():
                    letters.append(character.lower())
                    places.append(place)
            else:
                for letter in squeezed(character):
                    letters.append(letter)
                    places.append(place)
        self._text, self._letters, self._places = text, "".join(letters), places
        wide = [after - before > _WIDEST_GAP for before, after in itertools.pairwise(places)]
        self._wide = list(itertools.accumulate(wide, initial=0))  # wide gaps before each letter

    def spans(self, needle: str, same: Callable[[str], bool], cut: int = 0) -> Iterator[Span]:
        """Where a squeezed text is, with nothing of the `same` kind next to it and no wide gap in it.

        Args:
            cut: where a short one needs a gap.
        """
        text = self._text
        parted = bool(cut) and len(needle) < _LEAST_JOINED
        at = self._letters.find(needle)
        while at >= 0:
            last = at + len(needle) - 1
            start, end = self._places[at], self._places[last] + 1
            if (
                self._wide[at] == self._wide[last]
                and (start == 0 or not same(text[start - 1]))
                and (end == len(text) or not same(text[end]))
                and not (parted and self._places[at + cut] - self._places[at + cut - 1] == 1)
            ):
                yield start, end
                at = last
            at = self._letters.find(needle, at + 1)


def _side_by_side(some: Iterable[Span], others: Iterable[Span]) -> Iterator[Span]:
    """From one of each kind to the other, where no more than a state is between them."""
    spans = sorted([(span, 0) for span in some] + [(span, 1) for span in others])
    for ((start, end), kind), ((next_start, next_end), next_kind) in itertools.pairwise(spans):
        if kind != next_kind and 0 <= next_start - end <= _WIDEST_STATE:
            yield start, next_end


# --- taking it out --------------------------------------------------------------------------------------------------

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
# Parameters by which advertising tells clicks and campaigns apart: the advertiser's own words, and no person's.
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
        return not self._allowed or not self._allowed.issuperset(_personal_parts(key, in_list))

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
            left = self._each_word(text, person)
            left = _without(left, person.spans)
            if left == text:
                return value
            removed()
            return "" if key not in _WORDS and is_whole(left, person.wholes) else left
        return value

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
