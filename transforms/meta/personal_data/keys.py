"""Personal data known by the key that it stands behind."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final

from capybeam.transforms.meta.personal_data.emails import emails
from capybeam.transforms.standards.spelling import normalised

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
    return _is_personal(key, in_list) if len(key) <= _LONGEST_CACHED else any(personal_parts(key, in_list))


@functools.lru_cache(8192)
def _is_personal(key: str, in_list: bool) -> bool:
    return any(personal_parts(key, in_list))


def personal_parts(key: str, in_list: bool) -> Iterator[str]:
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
