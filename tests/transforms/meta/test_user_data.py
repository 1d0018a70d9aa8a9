"""user_data: Meta's documented rule for each key each way, hashing, and what is dropped.

Where Meta's own clients disagree the document wins; `DISAGREEMENTS` is that table.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capybeam.transforms.meta.user_data import (
    KEYS,
    already_hashed,
    compile_user_data,
    digest,
    fbc_from_url,
    match_keys,
    newer_click,
    normaliser,
)

HASHED = ["em", "ph", "ge", "db", "ln", "fn", "ct", "st", "zp", "country", "external_id"]
HEX = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def converted(user_data: Mapping[str, Any], default_country: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """What Meta gets, and what was counted on the way."""
    notes: list[str] = []
    return compile_user_data(default_country)(user_data, notes.append), notes


# --- normalising ------------------------------------------------------------------------------------------------

DISAGREEMENTS = [
    ("ph", "1.650.555.1212", "16505551212"),
    ("fn", "O'Connor", "oconnor"),
    ("ct", "Zürich", "zürich"),
    ("st", "California", "ca"),
    ("st", "New South Wales", "newsouthwales"),
    ("zp", "M1 1AE", "m11ae"),
    ("zp", "94035-1234", "94035"),
    ("country", "United States", "us"),
    ("country", "usa", "us"),
    ("db", "2/16/1997", "19970216"),
]


@pytest.mark.parametrize(("key", "value", "normalised"), DISAGREEMENTS)
def test_where_metas_sources_disagree_the_document_wins(key: str, value: str, normalised: str) -> None:
    assert normaliser(key)(value) == normalised


RULES = [
    # email: trim, lower-case
    ("em", "jane@example.com", "jane@example.com"),
    ("em", "  Jane.Doe+Shop@Example.COM \n", "jane.doe+shop@example.com"),
    ("em", "ÉMILE@example.com", "émile@example.com"),
    ("em", "jane", ""),
    ("em", "", ""),
    ("em", "   ", ""),
    # phone: digits only, no leading zeros
    ("ph", "1 (650) 555-1212", "16505551212"),
    ("ph", "+1 650 555 1212", "16505551212"),
    ("ph", "001-650-555-1212", "16505551212"),
    ("ph", "00447700900123", "447700900123"),
    ("ph", "tel:+44-7700-900123", "447700900123"),
    ("ph", "no number", ""),
    ("ph", "000", ""),
    ("ph", "", ""),
    # names: lower-case, no punctuation, no white space, UTF-8
    ("fn", "Mary", "mary"),
    ("fn", " MARY ", "mary"),
    ("fn", "Valéry", "valéry"),
    ("fn", "정", "정"),
    ("fn", "Jean-Luc", "jeanluc"),
    ("fn", "O’Connor", "oconnor"),
    ("fn", "O`Connor", "oconnor"),
    ("fn", "J.", "j"),
    ("fn", "Mary Ann", "maryann"),
    ("fn", "Ørjan", "ørjan"),
    ("fn", "...", ""),
    ("ln", "Smith", "smith"),
    ("ln", "D'Angelo-Smith, Jr.", "dangelosmithjr"),
    ("ln", "Müller", "müller"),
    ("ln", "!", ""),
    # date of birth: YYYYMMDD
    ("db", "19970216", "19970216"),
    ("db", "1997-02-16", "19970216"),
    ("db", "1997/2/16", "19970216"),
    ("db", "02/16/1997", "19970216"),
    ("db", "02-16-1997", "19970216"),
    ("db", "16.02.1997", "19970216"),
    ("db", "1997-02-16T00:00:00.000Z", "19970216"),
    ("db", " 1997-02-16 ", "19970216"),
    ("db", "1996-02-29", "19960229"),
    ("db", "1997-02-29", ""),
    ("db", "13/13/1997", ""),
    ("db", "yesterday", ""),
    ("db", "", ""),
    # gender: f or m
    ("ge", "f", "f"),
    ("ge", "F", "f"),
    ("ge", "Female", "f"),
    ("ge", " female ", "f"),
    ("ge", "m", "m"),
    ("ge", "MALE", "m"),
    ("ge", "unknown", ""),
    ("ge", "x", ""),
    ("ge", "", ""),
    # city: lower-case, no punctuation, no blanks
    ("ct", "Paris", "paris"),
    ("ct", "New York", "newyork"),
    ("ct", "St. John's", "stjohns"),
    ("ct", "Saint-Étienne", "saintétienne"),
    ("ct", "東京", "東京"),
    ("ct", "-", ""),
    # state: two letters in the United States, elsewhere as a city
    ("st", "AZ", "az"),
    ("st", "ca", "ca"),
    ("st", "new york", "ny"),
    ("st", "North Carolina", "nc"),
    ("st", "NSW", "nsw"),
    ("st", "Île-de-France", "îledefrance"),
    ("st", "?", ""),
    # postal code: lower-case, no blanks, no dash; in the United States the first five digits
    ("zp", "94035", "94035"),
    ("zp", " 94035 ", "94035"),
    ("zp", "1987", "1987"),
    ("zp", "75018", "75018"),
    ("zp", "SW1A 1AA", "sw1a1aa"),
    ("zp", "100-0001", "1000001"),
    ("zp", "1234-567", "1234567"),
    ("zp", "-", ""),
    # country: ISO 3166-1 alpha-2
    ("country", "US", "us"),
    ("country", " us ", "us"),
    ("country", "USA", "us"),
    ("country", "United States of America", "us"),
    ("country", "DE", "de"),
    ("country", "deu", "de"),
    ("country", "Germany", "de"),
    ("country", "United Kingdom", "gb"),
    ("country", "UK", "gb"),
    ("country", "Côte d'Ivoire", "ci"),
    ("country", "Narnia", ""),
    ("country", "", ""),
    # external_id: as the browser pixel sends it, white space out and lower-case
    ("external_id", "User-42", "user-42"),
    ("external_id", " A B\tC\u00a0D\ufeff\u3000E\n", "abcde"),
    ("external_id", "o'connor.1", "o'connor.1"),
    ("external_id", "  ", ""),
]


@pytest.mark.parametrize(("key", "value", "normalised"), RULES)
def test_a_value_is_normalised(key: str, value: str, normalised: str) -> None:
    assert normaliser(key)(value) == normalised


@pytest.mark.parametrize(
    ("country", "value", "normalised"),
    [
        pytest.param("US", "(650) 555-0123", "16505550123", id="a national number"),
        pytest.param("US", "+1 650 555 0123", "16505550123", id="an international number of that country"),
        pytest.param("US", "1-650-555-0123", "16505550123", id="with the country code, but no plus"),
        pytest.param("US", "+44 7700 900123", "447700900123", id="another country's number"),
        pytest.param("US", "0044 7700 900123", "447700900123", id="another country's number with 00"),
        pytest.param("GB", "07700 900123", "447700900123", id="the trunk zero goes"),
        pytest.param("GB", "447700900123", "447700900123", id="the country code is not put twice"),
        pytest.param("us", "(650) 555-0123", "16505550123", id="the country in lower case"),
        pytest.param("US", "ext.", "", id="no digits"),
    ],
)
def test_a_default_country_gives_national_phone_numbers_their_code(country: str, value: str, normalised: str) -> None:
    assert normaliser("ph", country)(value) == normalised
    assert converted({"phone": value}, country)[0] == ({"ph": sha(normalised)} if normalised else {})


@pytest.mark.parametrize(
    ("user_data", "default_country", "state", "zip_code"),
    [
        pytest.param({"country": "US"}, None, "ca", "94035", id="the event's country is US"),
        pytest.param({"country": "United States"}, None, "ca", "94035", id="or is called so"),
        pytest.param({"country": ["US"]}, None, "ca", "94035", id="or stands in a list"),
        pytest.param({}, "US", "ca", "94035", id="the default country is US"),
        pytest.param({"country": "DE"}, "US", "california", "940351234", id="the event's country goes first"),
        pytest.param({"country": "US"}, "DE", "ca", "94035", id="also where it is US"),
        pytest.param({"country": "DE"}, None, "california", "940351234", id="elsewhere a state keeps its name"),
        pytest.param({}, "DE", "california", "940351234", id="as with a default country elsewhere"),
        pytest.param({"country": "Narnia"}, "US", "ca", "94035", id="a country that is none does not count"),
    ],
)
def test_the_country_decides_about_state_and_postal_code(
    user_data: dict[str, Any], default_country: str | None, state: str, zip_code: str
) -> None:
    ready, _ = converted({**user_data, "state": "California", "zip": "94035 1234"}, default_country)
    assert (ready["st"], ready["zp"]) == (sha(state), sha(zip_code))


@pytest.mark.parametrize("country", ["US", "usa", ["US"], ["United States"]], ids=str)
def test_in_the_united_states_nine_digits_are_a_postal_code_of_five(country: Any) -> None:
    assert converted({"country": country, "zip": "940351234"})[0]["zp"] == sha("94035")


# --- hashing ----------------------------------------------------------------------------------------------------


def test_every_key_reaches_meta_under_its_name_hashed_or_as_it_is() -> None:
    ready, notes = converted(
        {
            "externalId": "User 42",
            "email": "Jane@Example.com",
            "phone": "+1 650 555 1212",
            "gender": "Female",
            "dateOfBirth": "1997-02-16",
            "lastName": "Smith",
            "firstName": "Mary",
            "city": "New York",
            "state": "NY",
            "zip": "10001-1234",
            "country": "USA",
            "client_ip_address": "192.0.2.1",
            "client_user_agent": "Mozilla/5.0 (X11; Linux)",
            "fbc": "fb.1.1790000000000.AbCdEf",
            "fbp": "fb.1.1790000000000.1098115397",
            "subscriptionID": "Sub 1",
            "leadID": 1234567890123456,
            "fbLoginID": 42,
            "anonId": "Anon-1",
            "madId": "38400000-8CF0-11BD-B23E-10B96E40000D",
            "partner_id": "P-1=",
            "partner_name": "Partner",
            "ctwa_clid": "Ctwa_1",
            "page_id": "P1",
            "page_scoped_user_id": "PSU1",
            "whatsapp_business_account_id": "W1",
            "ig_account_id": "I1",
            "ig_sid": "S1",
        }
    )
    assert ready == {
        "external_id": [sha("user42")],
        "em": sha("jane@example.com"),
        "ph": sha("16505551212"),
        "ge": sha("f"),
        "db": sha("19970216"),
        "ln": sha("smith"),
        "fn": sha("mary"),
        "ct": sha("newyork"),
        "st": sha("ny"),
        "zp": sha("10001"),
        "country": sha("us"),
        "client_ip_address": "192.0.2.1",
        "client_user_agent": "Mozilla/5.0 (X11; Linux)",
        "fbc": "fb.1.1790000000000.AbCdEf",
        "fbp": "fb.1.1790000000000.1098115397",
        "subscription_id": "Sub 1",
        "lead_id": 1234567890123456,
        "fb_login_id": 42,
        "anon_id": "Anon-1",
        "madid": "38400000-8CF0-11BD-B23E-10B96E40000D",
        "partner_id": "P-1=",
        "partner_name": "Partner",
        "ctwa_clid": "Ctwa_1",
        "page_id": "P1",
        "page_scoped_user_id": "PSU1",
        "whatsapp_business_account_id": "W1",
        "ig_account_id": "I1",
        "ig_sid": "S1",
    }
    assert notes == []


def test_the_digest_is_sha256_of_utf8_in_lower_case_hex() -> None:
    assert digest("정") == "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"


@pytest.mark.parametrize(
    ("user_data", "ready"),
    [
        pytest.param(
            {"email": ["a@example.com", "B@example.com"]},
            {"em": [sha("a@example.com"), sha("b@example.com")]},
            id="several",
        ),
        pytest.param({"phone": ["+1 650 555 1212"]}, {"ph": [sha("16505551212")]}, id="a list of one stays a list"),
        pytest.param({"externalId": ["U 1", "u2"]}, {"external_id": [sha("u1"), sha("u2")]}, id="external IDs"),
        pytest.param({"externalId": "u1"}, {"external_id": [sha("u1")]}, id="one external ID is a list of one"),
        pytest.param(
            {"email": ["a@example.com", " A@example.com"]}, {"em": [sha("a@example.com")]}, id="the same twice"
        ),
        pytest.param({"email": ["nobody", "a@example.com"]}, {"em": [sha("a@example.com")]}, id="one of two is usable"),
        pytest.param(
            {"email": [HEX.upper(), "a@example.com"]}, {"em": [HEX, sha("a@example.com")]}, id="one is hashed"
        ),
    ],
)
def test_a_hashed_key_takes_a_list(user_data: dict[str, Any], ready: dict[str, Any]) -> None:
    assert converted(user_data)[0] == ready


@pytest.mark.parametrize(
    ("name", "value", "note"),
    [
        ("email", "nobody", "dropped_em"),
        ("email", "   ", "dropped_em"),
        ("email", ["nobody", "none"], "dropped_em"),
        ("phone", "no number", "dropped_ph"),
        ("phone", "000", "dropped_ph"),
        ("gender", "unknown", "dropped_ge"),
        ("dateOfBirth", "yesterday", "dropped_db"),
        ("lastName", "...", "dropped_ln"),
        ("firstName", "'", "dropped_fn"),
        ("city", "-", "dropped_ct"),
        ("state", "?", "dropped_st"),
        ("zip", " - ", "dropped_zp"),
        ("country", "Narnia", "dropped_country"),
        ("externalId", " \t", "dropped_external_id"),
        ("client_ip_address", "localhost", "dropped_client_ip_address"),
    ],
)
def test_a_value_without_substance_drops_its_key_and_is_counted(name: str, value: Any, note: str) -> None:
    ready, notes = converted({"client_user_agent": "UA", name: value})
    assert ready == {"client_user_agent": "UA"}
    assert set(notes) == {note}


@pytest.mark.parametrize("values", [["nobody", "a@example.com"], ["undefined", "a@example.com"]])
def test_a_value_that_is_dropped_from_a_list_is_counted(values: list[str]) -> None:
    assert converted({"email": values}) == ({"em": [sha("a@example.com")]}, ["dropped_em"])


PLACEHOLDERS = ["undefined", "null", "NULL", "N/A", "(not set)", "false"]


@pytest.mark.parametrize("name", [name for name in KEYS if name not in ("client_user_agent", "leadID", "fbLoginID")])
@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_nothing_and_is_counted(name: str, value: str) -> None:
    assert converted({name: value}) == ({}, [f"dropped_{KEYS[name].wire}"])


def test_an_advertising_id_of_zeros_is_nothing() -> None:
    assert converted({"madId": "00000000-0000-0000-0000-000000000000"}) == ({}, ["dropped_madid"])


@pytest.mark.parametrize("name", KEYS)
def test_no_value_drops_its_key_and_is_nothing_to_count(name: str) -> None:
    assert converted({name: ""}) == ({}, [])


def test_no_user_data_is_no_user_data() -> None:
    assert converted({}) == ({}, [])


# --- already hashed ---------------------------------------------------------------------------------------------

_HASHED_NAMES = [name for name, key in KEYS.items() if key.wire in HASHED]


@pytest.mark.parametrize("name", _HASHED_NAMES)
@pytest.mark.parametrize("given_value", [HEX, HEX.upper(), f" {HEX}\n"], ids=["lower", "upper", "with blanks around"])
def test_sixty_four_hex_digits_pass_through_in_lower_case(name: str, given_value: str) -> None:
    ready, notes = converted({name: given_value})
    assert ready == {KEYS[name].wire: [HEX] if name == "externalId" else HEX}
    assert notes == []


@pytest.mark.parametrize("not_a_hash", [HEX[:-1], HEX + "0", "g" + HEX[1:], f"x{HEX}", f"{HEX} {HEX}"])
@pytest.mark.parametrize("name", _HASHED_NAMES)
def test_no_more_and_no_less_than_a_hash_is_taken_for_one(name: str, not_a_hash: str) -> None:
    ready, _ = converted({name: not_a_hash})
    sent = ready.get(KEYS[name].wire)
    digests = sent if isinstance(sent, list) else [] if sent is None else [sent]
    normalised = normaliser(KEYS[name].wire)(not_a_hash)
    assert digests == ([sha(normalised)] if normalised else [])


MD5 = "5d41402abc4b2a76b9719d911017c592"


@pytest.mark.parametrize("name", _HASHED_NAMES)
@pytest.mark.parametrize(
    ("given_value", "sent"),
    [
        (f"{HEX}.BA", f"{HEX}.BA"),
        (f"{HEX}.AQQAAQIB", f"{HEX}.AQQAAQIB"),
        (f"{HEX.upper()}.A-_z", None),
        (f" {HEX.upper()}.Bg\n", f"{HEX}.Bg"),
        (f"\ufeff{HEX}", HEX),
        (MD5, MD5),
        (MD5.upper(), MD5),
        (f"{MD5}.AQ", f"{MD5}.AQ"),
        (f"{HEX}.", None),
        (f"{HEX}.12", None),
        (f"{HEX}.BA.BA", None),
        (MD5[:-1], None),
    ],
)
def test_what_metas_param_builder_made_passes_as_it_is(name: str, given_value: str, sent: str | None) -> None:
    ready, _ = converted({name: given_value})
    (found,) = ready.values() if ready else ("",)
    found = found[0] if isinstance(found, list) else found
    if sent is None:
        normalised = normaliser(KEYS[name].wire)(given_value)
        assert found == (sha(normalised) if normalised else "")
    else:
        assert found == sent == already_hashed(given_value)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(_HASHED_NAMES), st.text(alphabet="0123456789abcdefABCDEF", min_size=64, max_size=64))
def test_a_hash_is_never_hashed_again(name: str, hashed: str) -> None:
    once, _ = converted({name: hashed})
    assert once == {KEYS[name].wire: [hashed.lower()] if name == "externalId" else hashed.lower()}
    assert converted({name: once[KEYS[name].wire]})[0] in (once, {KEYS[name].wire: [hashed.lower()]})


# --- what is never hashed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:8080", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8::1", "2001:DB8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("300.0.2.1", None),
        ("192.0.2", None),
        ("localhost", None),
        ("unknown", None),
        ("[]", None),
    ],
)
def test_an_ip_address_is_valid_and_without_port_or_dropped(value: str, sent: str | None) -> None:
    ready, notes = converted({"client_ip_address": value})
    if sent is None:
        assert (ready, notes) == ({}, ["dropped_client_ip_address"])
    else:
        assert (ready, notes) == ({"client_ip_address": sent}, [])


@pytest.mark.parametrize(
    ("url", "fbc"),
    [
        ("https://shop.example/?fbclid=IwAR0_x-Y.z", "fb.1.1790000000000.IwAR0_x-Y.z"),
        ("https://shop.example/a?b=1&fbclid=AbC&c=2#top", "fb.1.1790000000000.AbC"),
        ("https://shop.example/", None),
        ("https://shop.example/?fbclid=", None),
        ("https://shop.example/?xfbclid=AbC", None),
        ("https://shop.example/fbclid=AbC", None),
        ("http://[oops?fbclid=AbC", "fb.1.1790000000000.AbC"),
        ("", None),
        ("https://shop.example/t?a=1&amp;fbclid=IwAR1a", "fb.1.1790000000000.IwAR1a"),
        (" https://shop.example/?fbclid=IwAR1a ", "fb.1.1790000000000.IwAR1a"),
        ("https://shop.example/?fbclid=&fbclid=IwAR1a", "fb.1.1790000000000.IwAR1a"),
        ("https://shop.example/?fbclid=Iw%41R1a", "fb.1.1790000000000.IwAR1a"),
        ("https://shop.example/?fbclid=<script>", None),
    ],
)
def test_the_click_id_of_a_url_reads_as_its_cookie_would(url: str, fbc: str | None) -> None:
    assert fbc_from_url(url, 1_790_000_000) == fbc


DAY_OF_CLICK = 1_790_000_000 - 90 * 86_400


@pytest.mark.parametrize(
    ("value", "fbc", "notes"),
    [
        ("fb.1.1789999999000.IwAR2F4", "fb.1.1789999999000.IwAR2F4", []),
        (" fb.2.1789999999000.IwAR2F4.AQQAAQIB\n", "fb.2.1789999999000.IwAR2F4.AQQAAQIB", []),
        (f"fb.1.{DAY_OF_CLICK}000.IwAR2F4", f"fb.1.{DAY_OF_CLICK}000.IwAR2F4", []),
        (f"fb.1.{DAY_OF_CLICK - 1}999.IwAR2F4", None, ["dropped_fbc"]),
        ("IwAR2F4", "fb.1.1790000000000.IwAR2F4", ["derived_fbc"]),
        ("IwZXh0bgNhZW0CMTAAAR_aem_x-Y", "fb.1.1790000000000.IwZXh0bgNhZW0CMTAAAR_aem_x-Y", ["derived_fbc"]),
        ("AbCdEf", "fb.1.1790000000000.AbCdEf", ["derived_fbc"]),
        ("https://shop.example/?fbclid=IwAR2F4", "fb.1.1790000000000.IwAR2F4", ["derived_fbc"]),
        ("click", None, ["dropped_fbc"]),
        ("undefined", None, ["dropped_fbc"]),
        ("fb.1.1789999999.IwAR2F4", None, ["dropped_fbc"]),
        ("xx.1.1789999999000.IwAR2F4", None, ["dropped_fbc"]),
        ("fb.1.1789999999000.", None, ["dropped_fbc"]),
    ],
)
def test_an_fbc_is_the_cookie_or_a_click_id_and_not_too_old(value: str, fbc: str | None, notes: list[str]) -> None:
    counted: list[str] = []
    ready = compile_user_data()({"fbc": value}, counted.append, 1_790_000_000)
    assert (ready, counted) == ({"fbc": fbc} if fbc else {}, notes)


@pytest.mark.parametrize(
    ("cookie", "newer"),
    [
        (None, True),
        ("fb.1.1789999999000.Other1", True),
        ("fb.1.1789999999000.Other1.AQQAAQIB", True),
        ("fb.1.1789999999000.IwAR1a", False),
        ("fb.1.1789999999000.IwAR1a.AQQAAQIB", False),
        ("fb.1.1790000000000.Other1", False),  # set at the event, or after it
    ],
)
def test_a_urls_click_wins_over_an_older_one(cookie: str | None, newer: bool) -> None:
    found = newer_click("https://shop.example/?fbclid=IwAR1a", 1_790_000_000, cookie)
    assert found == ("fb.1.1790000000000.IwAR1a" if newer else None)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("fb.1.1790000000000.1098115397", True),
        ("fb.1.1790000000000.1098115397.BA", True),
        ("fb.1.1790000000000.1098115397.AQQA-_IB", True),
        ("fb.1.1790000000000.1098115397.AQQA", False),
        ("fb.1.1790000000000.abc", False),
        ("xx.1.1790000000000.1098115397", False),
    ],
)
def test_an_fbp_is_the_cookie_with_or_without_its_suffix(value: str, sent: bool) -> None:
    assert converted({"fbp": value}) == (({"fbp": value}, []) if sent else ({}, ["dropped_fbp"]))


# --- laws -------------------------------------------------------------------------------------------------------

_SPICE = "aZéİßΣςıǅﬁ정ا١٠09+-–'’´.,()/ \t\u00a0\u200b\u0301\u0327@#"
_text = st.text(max_size=25) | st.text(alphabet=_SPICE, max_size=12) | st.sampled_from([row[1] for row in RULES])


@pytest.mark.parametrize("key", HASHED)
def test_normalising_twice_is_normalising_once(key: str) -> None:
    normalise = normaliser(key)

    @settings(max_examples=200, deadline=None)
    @given(_text)
    @example("0aZ")
    def law(value: str) -> None:
        once = normalise(value)
        assert normalise(once) == once

    law()


_marks = st.text("\u0301\u0316\u0344\u0345\u0f73\u0f81\uff9e\u3099\U0001e94a", min_size=20, max_size=80)


@pytest.mark.parametrize("key", ["fn", "ct", "zp", "em"])
def test_normalising_many_marks_twice_is_normalising_them_once(key: str) -> None:
    normalise = normaliser(key)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(["a", "é", "-", "ཱ", "@"]), _marks), min_size=2, max_size=4))
    def law(parts: list[tuple[str, str]]) -> None:
        value = "a@" + "".join(map("".join, parts)) + "b"
        once = normalise(value)
        assert normalise(once) == once
        assert unicodedata.is_normalized("NFC", once)

    law()


@pytest.mark.parametrize("marks", [1, 30, 31, 5_000])
def test_a_long_text_keeps_the_first_thirty_marks_of_a_character(marks: int) -> None:
    assert normaliser("fn")("x" * 120 + "q" + "\u0301" * marks) == "x" * 120 + "q" + "\u0301" * min(marks, 30)


def test_of_many_telephone_numbers_the_first_ten_count() -> None:
    numbers = [f"+44 7700 900{number:03}" for number in range(12)]
    sent, dropped = converted({"phone": numbers})
    assert sent == {"ph": [digest(f"447700900{number:03}") for number in range(10)]}
    assert dropped == ["dropped_ph"]


@pytest.mark.parametrize("key", [key for key in HASHED if key != "external_id"])  # that one is the browser's
def test_composed_and_decomposed_text_is_the_same_to_meta(key: str) -> None:
    normalise = normaliser(key)

    @settings(max_examples=100, deadline=None)
    @given(_text)
    def law(value: str) -> None:
        composed, decomposed = (unicodedata.normalize(form, value) for form in ("NFC", "NFD"))
        assert normalise(composed) == normalise(decomposed)
        assert unicodedata.is_normalized("NFC", normalise(value))

    law()


@pytest.mark.parametrize("name", ["firstName", "lastName", "city", "state", "email"])
def test_a_name_typed_on_a_mac_has_the_digest_of_one_typed_elsewhere(name: str) -> None:
    value = "Zoé@example.com"
    composed, _ = converted({name: unicodedata.normalize("NFC", value)})
    decomposed, _ = converted({name: unicodedata.normalize("NFD", value)})
    assert composed == decomposed != {}


# White space is JavaScript's.
_BLANK = r"\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_SHAPES = {
    "em": r"[^\s@]+@[^\s@]+\.[^\s@.]+",
    "ph": r"[1-9][0-9]*",
    "ge": r"[fm]",
    "db": r"[0-9]{8}",
    "fn": rf"[^{_BLANK}]+",
    "ln": rf"[^{_BLANK}]+",
    "ct": r"\S+",
    "st": r"\S+",
    "zp": rf"[^{_BLANK}-]{{2,}}",
    "country": r"[a-z]{2}",
    "external_id": rf"[^{_BLANK}]+",
}


@pytest.mark.parametrize("key", HASHED)
def test_what_is_hashed_has_the_documented_shape_or_is_nothing(key: str) -> None:
    normalise, shape = normaliser(key), re.compile(_SHAPES[key], re.DOTALL)

    @settings(max_examples=100, deadline=None)
    @given(_text)
    def law(value: str) -> None:
        normalised = normalise(value)
        assert normalised == "" or shape.fullmatch(normalised)
        assert normalised == normalised.lower()

    law()


_NO_TEXT = st.integers() | st.booleans() | st.floats() | st.dictionaries(_text, _text, max_size=1)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(_HASHED_NAMES), _text | st.lists(_text, max_size=3) | _NO_TEXT, max_size=5))
def test_no_raw_value_is_left_after_hashing(user_data: dict[str, Any]) -> None:
    ready, notes = converted(user_data)
    for wire, sent in ready.items():
        for value in sent if isinstance(sent, list) else [sent]:
            assert re.fullmatch(r"[0-9a-f]{64}", value), wire
    gone = {KEYS[name].wire for name, value in user_data.items() if value not in ("", [])} - ready.keys()
    assert gone == {note.removeprefix("dropped_") for note in notes} - ready.keys()


@settings(max_examples=50, deadline=None)
@given(_text, st.sampled_from(["US", "GB", "IT", "DE", "JP"]))
def test_a_phone_number_is_digits_without_leading_zeros_in_every_country(value: str, country: str) -> None:
    assert re.fullmatch(r"([1-9][0-9]*)?", normaliser("ph", country)(value))


# --- the older Offline Conversions API --------------------------------------------------------------------------


def test_match_keys_have_the_names_and_forms_of_the_older_format() -> None:
    user_data = {
        "external_id": ["x1", "x2"],
        "em": "e",
        "ph": ["p1", "p2"],
        "ge": "g",
        "db": "d",
        "ln": "l",
        "fn": ["f1", "f2"],
        "ct": "c",
        "st": "s",
        "zp": "z",
        "country": "o",
        "client_user_agent": "Mozilla/5.0",
        "lead_id": 5,
        "madid": "m",
    }

    assert match_keys(user_data) == {
        "email": ["e"],
        "phone": ["p1", "p2"],
        "gen": "g",
        "ln": "l",
        "fn": "f1",
        "ct": "c",
        "st": ["s"],
        "zip": ["z"],
        "country": "o",
        "madid": "m",
        "extern_id": "x1",
        "lead_id": 5,
    }


def test_nobody_has_no_match_keys() -> None:
    assert match_keys({}) == {}
