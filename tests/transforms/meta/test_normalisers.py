"""One table a rule: what Meta's param-builder hashes, what people write, and what is nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.core.placeholders import SPELLINGS, is_placeholder
from capybeam.transforms.meta import normalisers
from capybeam.transforms.meta.normalisers import (
    birthday,
    city,
    country,
    email,
    external_id,
    gender,
    ip_address,
    name,
    phone,
    state,
    zip_code,
)
from capybeam.transforms.standards import spelling
from tests.timing import least_seconds


@pytest.mark.parametrize(
    ("value", "normalised"),
    [
        ("Mary Ann", "maryann"),
        ("van der Berg", "vanderberg"),
        ("\r\nJohn Jr.\t", "johnjr"),
        ("Mary, Jane", "maryjane"),
        ("María José", "maríajosé"),
        ("علي بن أبي طالب", "عليبنأبيطالب"),
        ("Mary ❤️", "mary❤️"),
        ("\ufeffAnn\u3000\u00a0\u2028Lee", "annlee"),
        ("Ann\x1fLee", "ann\x1flee"),  # no white space in JavaScript
        ("ΓΙΩΡΓΟΣ", "γιωργος"),
        ("ΓΙΩΡΓΟΣ ΠΑΠΠΑΣ", "γιωργοσπαππας"),  # the first sigma is in the middle once the blank has gone
        ("James.", "james"),
        ("null", ""),
        ("undefined", ""),
        ("(not set)", ""),
        ("N/A", ""),
        ("Na", "na"),
        ("Nan", "nan"),
        ("NaN", ""),
    ],
)
def test_a_name_has_no_white_space_and_no_punctuation(value: str, normalised: str) -> None:
    assert name(value) == normalised


@pytest.mark.parametrize(
    ("value", "normalised"),
    [
        (" Jane.Doe+x@Example.COM\n", "jane.doe+x@example.com"),
        ("test{name@example.com", "test{name@example.com"),
        ("jane@123.com", "jane@123.com"),
        ("jane@münchen.example", "jane@münchen.example"),
        ("JÜRGEN@example.com", "jürgen@example.com"),
        # what is mended
        ("jo hn@example.com", "john@example.com"),
        ("jane\u00a0@example.com", "jane@example.com"),
        ("jane@example.com\u200b", "jane@example.com"),
        ("\ufeffjane@example.com", "jane@example.com"),
        ("jane@exam\u00adple.com", "jane@example.com"),
        ("jane@example.com,", "jane@example.com"),
        (" , jane@example.com", "jane@example.com"),
        ("mailto:jane@example.com", "jane@example.com"),
        ("MAILTO:Jane@example.com?subject=Hello", "jane@example.com"),
        ("Jane <j@x.com>", "j@x.com"),
        ('"Doe, Jane" <jane@example.com>', "jane@example.com"),
        ("<jane@example.com>", "jane@example.com"),
        ('"jane@example.com"', "jane@example.com"),
        ("'jane@example.com'", "jane@example.com"),
        # what is none
        ("jane@example", ""),
        ("jane@example.", ""),
        ("jane@example.com.", ""),
        ("jane@example.com;", ""),
        ("jane@@example.com", ""),
        ("jane@example.com,jim@example.com", ""),
        ("jane@example.com jim@example.com", ""),
        ("jane..doe@example.com", ""),
        (".jane@example.com", ""),
        ("jane.@example.com", ""),
        ("jane@.example.com", ""),
        ("jane@example..com", ""),
        ("jane@-example.com", ""),
        ("jane@example-.com", ""),
        ("jane@example].com", ""),
        ("ja(ne@example.com", ""),
        ("!@#$%^&*()", ""),
        ("@example.com", ""),
        ("jane@", ""),
        ("@", ""),
        ("jane", ""),
        ("<>@<>", ""),
        ("null", ""),
    ],
)
def test_an_email_address_is_mended_or_dropped(value: str, normalised: str) -> None:
    assert email(value) == normalised


@pytest.mark.parametrize(
    ("value", "normalised"),
    [
        ("+1 650-555-1212 ext. 123", "16505551212"),
        ("+1 650-555-1212 Ext 123", "16505551212"),
        ("650-555-1212 x5", "6505551212"),
        ("650-555-1212 extension: 5", "6505551212"),
        ("555-123-4567#123", "5551234567123"),  # as the param-builder has it
        ("x 650 555", "650555"),
        ("1.65055512E+10", ""),
        ("1,65055512e10", ""),
        ("16505551212.0", "16505551212"),
        ("1.650.555.1212", "16505551212"),
        ("1-800-FLOWERS", "1800"),
        ("＋４４ ７７００ ９００１２３", "447700900123"),
        ("undefined", ""),
        ("(not set)", ""),
    ],
)
def test_a_phone_number_is_digits_without_an_extension(value: str, normalised: str) -> None:
    assert phone(value) == normalised


@pytest.mark.parametrize(
    ("value", "normalised"),
    [
        ("2/16/1997 12:00:00 AM", "19970216"),
        ("1997-02-16Z", "19970216"),
        ("1997-02-15T23:00:00-05:00", "19970215"),
        ("19970216T000000Z", "19970216"),
        ("1997年2月16日", "19970216"),
        ("12月31日1990年", "19901231"),
        ("１９９７-０２-１６", "19970216"),
        ("Born: 31.12.1990", "19901231"),
        ("DOB is 1990/12/31 (verified)", "19901231"),
        ("12-31-1990 (mm-dd-yyyy)", "19901231"),
        ("16-2-1997 (dd-mm-yyyy)", "19970216"),
        ("-12-31-1990", "19901231"),
        ("12.31.1990.extra", "19901231"),
        ("02 16 1997", "19970216"),
        ("1990_12_31", "19901231"),
        ("1990|12|31", "19901231"),
        ("1990.12-31", "19901231"),
        ("31-1990-12", "19901231"),
        ("16.2.1997", "19970216"),
        ("5.6.1997", "19970605"),
        ("5/6/1997", "19970506"),
        ("2/16/1997", "19970216"),
        ("16/2/1997", "19970216"),
        ("16-Feb-1997", "19970216"),
        ("February 16th, 1997", "19970216"),
        ("Sun Feb 16 1997 00:00:00 GMT+0000 (UTC)", "19970216"),
        ("1997-Feb-16 00:00", "19970216"),
        ("01-01-1800", "18000101"),
        ("01-01-1799", ""),
        ("01-01-2999", ""),
        ("2999-01-01", ""),
        ("1997-02-30", ""),
        ("02-29-1900", ""),
        ("2/3/97", ""),
        ("1997", ""),
        ("1997-02", ""),
        ("856051200000", ""),
        ("1 2 3", ""),
        ("9" * 5000, ""),
        ("undefined", ""),
        ("", ""),
    ],
)
def test_a_birthday_is_the_first_date_of_the_text(value: str, normalised: str) -> None:
    assert birthday(value) == normalised


def test_nobody_is_born_tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    class Now(normalisers.datetime):
        @classmethod
        def now(cls, tz: object = None) -> Now:
            return cls(2026, 11, 26, 12)

    monkeypatch.setattr(normalisers, "datetime", Now)
    assert [birthday(day) for day in ("2026-11-26", "2026-11-27", "11/27/2026")] == ["20261126", "", ""]


@pytest.mark.parametrize(
    ("value", "normalised"),
    [
        ("Mrs", "f"),
        ("mrs.", "f"),
        (" MA'AM ", "f"),
        ("ma’am", "f"),
        ("her", "f"),
        ("wife", "f"),
        ("\ufeffEmpress", "f"),
        ("Mr.", "m"),
        ("HE", "m"),
        ("husband", "m"),
        ("bloke", "m"),
        ("male.", ""),
        ("man#", ""),
        ("Frau", ""),
        ("unknown", ""),
    ],
)
def test_a_gender_is_f_or_m_of_the_words_that_meta_knows(value: str, normalised: str) -> None:
    assert gender(value) == normalised


@pytest.mark.parametrize(
    ("value", "country", "normalised"),
    [
        ("CA 94025", "", "94025"),
        ("CA 94025-1234", "", "94025"),
        ("APO 09012", "", "09012"),
        ("AE 09012", "", "09012"),
        ("12345-6789-extra", "", "12345"),
        ("California 94025-1234", "us", "94025"),
        ("94025 Menlo Park", "us", "94025"),
        ("12345 Main Street, CA 94025", "us", "94025"),
        ("2139", "us", "02139"),
        ("501", "us", "00501"),
        ("2139-1234", "us", "02139"),
        ("2139.0", "us", "02139"),
        ("940351234", "us", "94035"),
        ("2139", "", "2139"),
        ("2139", "de", "2139"),
        ("D-10115", "de", "10115"),
        ("D-10115", "", "10115"),
        ("CH-8001", "ch", "8001"),
        ("D 10115", "de", "10115"),
        ("９４０２５", "", "94025"),
        ("９４０２５－１２３４", "us", "94025"),
        ("٩٤٠٢٥", "us", "94025"),
        ("〒100-0001", "jp", "1000001"),
        ("M1 1AE", "gb", "m11ae"),
        ("M5V 2T6", "us", "m5v2t6"),
        ("EC1A1BB", "", "ec1a1bb"),
        ("\ufeff75018\u3000", "", "75018"),
        ("1", "", ""),
        ("1", "us", ""),
        ("a", "", ""),
        ("N/A", "us", ""),
        ("null", "", ""),
    ],
)
def test_a_postal_code_is_compact_and_in_the_united_states_five_digits(
    value: str, country: str, normalised: str
) -> None:
    assert zip_code(value, country) == normalised


@pytest.mark.parametrize(
    ("normalise", "value", "normalised"),
    [
        (city, "New😀York", "newyork"),
        (city, "Łódź", "łódź"),
        (city, "ΑΓΙΟΣ ΝΙΚΟΛΑΟΣ", "αγιοσνικολαος"),
        (city, "كرمان\u200cشاه", "كرمان\u200cشاه"),
        (city, "New\u200bYork", "newyork"),
        (city, "12345", ""),
        (city, "123!!!", ""),
        (city, "(not set)", ""),
        (state, "12", ""),
        (state, "\x00", ""),
        (state, "undefined", ""),
        (country, "N/A", ""),
        (country, "NA", "na"),
        (country, "null", ""),
    ],
)
def test_a_place_has_letters_and_no_special_characters(
    normalise: Callable[[str], str], value: str, normalised: str
) -> None:
    assert normalise(value) == normalised


@pytest.mark.parametrize("value", ["undefined", "null", "None", "N/A", "NaN", "(not set)", "false", "True", "unknown"])
def test_a_placeholder_is_nobodys_id(value: str) -> None:
    assert external_id(value) == ""


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("10.0.0.1, 203.0.113.7", "203.0.113.7"),
        ("unknown, [2001:db8::1]:443", "2001:db8::1"),
        ("203.0.113.7.AQ", "203.0.113.7.AQ"),
        ("203.0.113.7.AQQAAQIB", "203.0.113.7.AQQAAQIB"),
        ("2001:db8:85a3::8a2e:370:7334.AQQAAQIB", "2001:db8:85a3::8a2e:370:7334.AQQAAQIB"),
        ("203.0.113.77", "203.0.113.77"),
        ("\ufeff203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", ""),
        ("10.0.0.1", ""),
        ("172.16.4.4", ""),
        ("172.32.4.4", "172.32.4.4"),
        ("192.168.1.20:80", ""),
        ("100.64.0.1", ""),
        ("127.0.0.1", ""),
        ("169.254.1.1", ""),
        ("0.0.0.0", ""),
        ("224.0.0.1", ""),
        ("::1", ""),
        ("::", ""),
        ("fd00::1", ""),
        ("ff02::1", ""),
        ("::ffff:10.0.0.1", ""),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.7"),
        ("10.0.0.1.AQ", ""),
        ("1.2.3.4.12", ""),
        ("203.0.113.7.ABC", ""),
        ("localhost", ""),
        ("", ""),
    ],
)
def test_an_address_is_the_first_public_one(value: str, sent: str) -> None:
    assert ip_address(value) == sent


@pytest.mark.parametrize(
    ("normalise", "unit"),
    [
        (email, "a."),
        (email, "a@"),
        (email, "a@b-"),
        (email, "<"),
        (email, "mailto:"),
        (email, " a"),
        (phone, "x1"),
        (phone, "1 "),
        (phone, "1.0"),
        (name, "A b'"),
        (city, "A b'"),
        (state, "A b'"),
        (country, "A (b, "),
        (zip_code, "1 "),
        (zip_code, "a-1"),
        (lambda text: zip_code(text, "us"), "1234 "),
        (birthday, "1 "),
        (birthday, "May "),
        (gender, " "),
        (external_id, " a\u3000"),
        (ip_address, "1.1,"),
        (ip_address, "[::"),
    ],
)
def test_a_rule_takes_time_in_proportion_to_the_text(normalise: Callable[[str], str], unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        return least_seconds(lambda: normalise(text))

    assert seconds(64_000) < 12 * seconds(16_000) + 0.05  # four times the text; sixteen times where it is quadratic


# --- short ways ---------------------------------------------------------------------------------------------------


def name_as_the_rule_says(value: str) -> str:
    if is_placeholder(value):
        return ""
    return spelling.composed(spelling.composed(value).translate(normalisers._IN_NAMES).lower())


def test_every_character_of_a_name_is_kept_or_dropped_as_the_rule_says() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    assert [c for c in characters if normalisers.name(c) != name_as_the_rule_says(c)] == []


@given(st.text() | st.sampled_from(sorted(SPELLINGS)))
def test_names_and_cities_are_what_the_rule_says(value: str) -> None:
    assert normalisers.name(value) == name_as_the_rule_says(value)
    city = "" if is_placeholder(value) else spelling.squeezed(value)
    assert normalisers.city(value) == (city if any(map(str.isalpha, city)) else "")


@given(st.dates(date(1700, 1, 1), date(2100, 12, 31)))
def test_a_date_of_birth_is_one_between_1800_and_today(born: date) -> None:
    expected = f"{born:%Y%m%d}" if date(1800, 1, 1) <= born <= datetime.now(timezone.utc).date() else ""
    assert birthday(born.isoformat()) == birthday(f" {born.isoformat()}") == expected
