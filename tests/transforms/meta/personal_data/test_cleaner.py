"""What is left of objects, texts and URLs without email addresses and personal keys."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.transforms.meta.personal_data.cleaner import Cleaner
from capybeam.transforms.meta.personal_data.keys import is_personal
from capybeam.transforms.meta.personal_data.person import Person
from tests.transforms.meta.personal_data.cleaning import JANE, cleaned

Json = dict[str, Any]

# --- email addresses --------------------------------------------------------------------------------------------


EMAILS = [
    ("jane@example.com", ""),
    ("Mail to jane@example.com", "Mail to"),
    ("from jane.doe+shop@mail.example.co.uk to j_d@example.org, urgent", "from  to , urgent"),
    ("Jane <jane@example.com>", "Jane <>"),
    ("<jane@example.com>", ""),
    ("jane%40example.com", ""),
    ("jane%2540example.com", ""),
    ("jane%40example%2Ecom", ""),
    ("jane&#64;example.com", ""),
    ("jane\uff20example.com", ""),
    ("jane\u200b@example.com", ""),
    ("jäne@münchen.example", ""),
    ("用户@例子.公司", ""),
    ("o'hara@example.com.", ""),
    ("a@b.co@c.de", "@c.de"),
    ("JANE@EXAMPLE.COM", ""),
]


@pytest.mark.parametrize(("text", "left"), EMAILS, ids=[text for text, _ in EMAILS])
def test_an_email_address_is_cut_out_of_a_text(text: str, left: str) -> None:
    assert Cleaner().text(text) == left
    assert Cleaner().text(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mug",
        "Mugs @ home",
        "@jane",
        "jane@",
        "jane@example",
        "mug@2x.png",
        "https://cdn.example/npm/react@18.2.0/umd/react.js",
        "https://cdn.example/react@18.2.min.js",
        "100% cotton, 40 cm",
        "50%40",
        "Bath & Body",
        "rate: 5@1.99",
        "a = b & c",
        "Size=XL;Color=red",
        "https://shop.example/mugs?color=red&size=XL#top",
        '{"color": "red",  "sizes": [1, 2]}',
        "[new] Mug",
        "{broken",
    ],
)
def test_what_is_no_email_address_stays_to_the_byte(text: str) -> None:
    assert Cleaner().text(text) == text


def test_texts_lose_email_addresses_at_any_depth_and_go_where_nothing_is_left() -> None:
    custom_data = {
        "note": "by jane@example.com",
        "only": "jane@example.com",
        "lists": [["jane@example.com", "mug"], {"by": "jane@example.com", "n": 1}],
        "n": 5,
    }

    assert cleaned(custom_data) == ({"note": "by", "lists": [["mug"], {"n": 1}], "n": 5}, 4)


def test_places_of_extinfo_are_kept() -> None:
    assert cleaned({"extinfo": ["a2", "jane@example.com", "", "18"]}) == ({"extinfo": ["a2", "", "", "18"]}, 1)


def test_a_text_that_is_json_or_has_parameters_loses_personal_keys() -> None:
    custom_data = {
        "json": '{"first_name":"Jane","plan":"pro","list":[{"phone":"1"}]}',
        "query": "?phone=16505551212&color=red",
        "form": "color=red&contact_number=16505551212",
        "url": "see https://shop.example/ok?zip=94107&q=mug now",
    }

    assert cleaned(custom_data) == (
        {
            "json": '{"plan":"pro","list":[{}]}',
            "query": "?color=red",
            "form": "color=red",
            "url": "see https://shop.example/ok?q=mug now",
        },
        4,
    )


def test_texts_behind_an_allowed_key_stay_as_they_are_and_keys_in_it_do_not() -> None:
    custom_data = {"notes": ["jane@example.com", {"by": "jane@example.com", "email": "jane@example.com"}]}

    assert cleaned(custom_data, "notes") == ({"notes": ["jane@example.com", {"by": "jane@example.com"}]}, 1)


def test_where_texts_are_not_cut_keys_are_still_removed() -> None:
    custom_data = {
        "note": "jane@example.com",
        "email": "jane@example.com",
        "url": "https://x.example/?email=j@x.example",
    }

    left = Cleaner(cut=False).data(custom_data, lambda: None)

    assert left == {"note": "jane@example.com", "url": "https://x.example/?email=j@x.example"}


# --- URLs -------------------------------------------------------------------------------------------------------


URLS = [
    ("?email=jane%40example.com&phone=16505551212", "", 2),
    ("?a=1&email=jane@example.com&b=2", "?a=1&b=2", 1),
    ("?email=jane@example.com&b=%20x+y&&c", "?b=%20x+y&&c", 1),
    ("?a=1&em=5&b=2#top", "?a=1&b=2#top", 1),
    ("?email=x#top", "#top", 1),
    ("?a=1&amp;email=x&amp;b=2", "?a=1&amp;b=2", 1),
    ("?a=1;email=x;b=2", "?a=1;b=2", 1),
    ("?q=jane%40example.com", "", 1),
    ("?q=to+jane%2540example.com&p=2", "?p=2", 1),
    ("?jane@example.com", "", 1),
    ("?jane%40example.com=1&p=2", "?p=2", 1),
    ("?user[email]=x&user[plan]=pro", "?user[plan]=pro", 1),
    ("?utm_term=jane%40example.com&utm_source=mail", "?utm_source=mail", 1),
    ("?next=https%3A%2F%2Fshop.example%2Fok%3Fphone%3D16505551212&p=2", "?p=2", 1),
    ("?state=%7B%22email%22%3A%22x%22%7D&p=2", "?p=2", 1),
    ("?token=abc&p=2", "?p=2", 1),
    ("#email=jane@example.com&p=2", "#p=2", 1),
    ("#/account?phone=1&p=2", "#/account?p=2", 1),
    ("#/users/jane@example.com", "#/users/", 1),
    ("/users/jane@example.com/orders?p=2", "/users//orders?p=2", 1),
    ("/users/jane%40example.com", "/users/", 1),
]


@pytest.mark.parametrize(("tail", "left", "removed"), URLS, ids=[tail for tail, *_ in URLS])
def test_a_url_loses_its_personal_parts_and_keeps_the_rest_to_the_byte(tail: str, left: str, removed: int) -> None:
    found: list[None] = []

    assert (
        Cleaner().url(f"https://shop.example/ok{tail}", lambda: found.append(None)) == f"https://shop.example/ok{left}"
    )
    assert len(found) == removed


def test_a_url_loses_its_user() -> None:
    assert Cleaner().url("https://jane:pw@shop.example/@jane?p=@", lambda: None) == "https://shop.example/@jane?p=@"


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example/?",
        "https://shop.example/a?b=c&d=%C3%A4+x&&e=&f#g",
        "https://shop.example/?utm_source=email&utm_campaign=jane&fbclid=IwAR0_x-Y&gclid=a.b",
        "https://maps.example/@48.85,2.35,15z?hl=en",
        "https://shop.example/?email=&p=2",
        "https://shop.example/?page=2&order=16505551212&product=mug@2x.png",
        "https://shop.example/?items[0][name]=mug",
        "https://shop.example/?redirect=https%3A%2F%2Fshop.example%2Fok%3Fp%3D2",
        "not a url",
        "",
    ],
)
def test_a_url_without_personal_parts_stays_to_the_byte(url: str) -> None:
    cleaner = Cleaner()

    assert [cleaner.url(url, pytest.fail) for _ in range(2)] == [url, url]


def test_a_parameter_that_is_allowed_stays() -> None:
    url = "https://shop.example/?name=mug&zip=jane%40example.com&email=x"

    assert Cleaner(frozenset({"name", "zip"})).url(url, lambda: None) == url.removesuffix("&email=x")


def test_urls_are_remembered_up_to_a_number_and_a_length() -> None:
    cleaner = Cleaner()
    for number in range(10_000):
        cleaner.url(f"https://shop.example/{number}", lambda: None)
    cleaner.url("https://shop.example/" + "a" * 100_000, lambda: None)

    assert sum(len(url or "") for url in cleaner.harmless) < 4096 * 512


# --- time -------------------------------------------------------------------------------------------------------


LONG = {
    "at signs": "@",
    "addresses": "jane@example.com ",
    "one long local part": "a",
    "labels": "a@b.",
    "percent": "%40",
    "double percent": "%25",
    "parameters": "a=1&",
    "questions": "?a=?",
    "nested urls": "https%3A%2F%2Fx%3Fa%3D",
    "digits": "1650 555 ",
    "names": "jane oconnor ",
    "same letters": "j",
    "brackets": "[",
    "fragments": "#=?",
    "entities": "&#0",
    "blanks": " \t",
    "separators": "1()-./",
}


@pytest.mark.parametrize("unit", LONG.values(), ids=LONG)
def test_time_is_in_proportion_to_the_length_of_a_text(unit: str) -> None:
    person = Person({**JANE, "firstName": ["jane", "j" * 30, "jj"], "lastName": ["oconnor", "j" * 30]}, None)

    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        started = time.process_time()
        Cleaner().text(text)
        Cleaner().url(f"https://x.example/{text}?{text}", lambda: None)
        Cleaner().own({text[:50]: text}, person, lambda: None)
        is_personal(text)
        return time.process_time() - started

    seconds(1000)
    assert seconds(80_000) < 40 * max(seconds(8_000), 0.01), "a square would be a hundred"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet="jane@.o'c=&?#%40 1650-5{}\"[]/:;ä", max_size=60))
def test_what_is_cleaned_once_is_clean(text: str) -> None:
    cleaner = Cleaner()
    left = cleaner.text(text)

    assert cleaner.text(left) == left
    assert cleaner.url(cleaner.url(text, lambda: None), lambda: None) == cleaner.url(text, lambda: None)
