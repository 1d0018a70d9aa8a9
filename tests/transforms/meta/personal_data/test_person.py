"""What is a person's own data in texts and URLs, and what only looks like it."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.transforms.meta.personal_data.cleaner import Cleaner
from capybeam.transforms.meta.personal_data.person import Person, squeezed
from tests.transforms.meta.personal_data.cleaning import JANE, own

Json = dict[str, Any]


OWN = [
    # number
    ("call +1 (650) 555-1212 now", "call  now"),
    ("16505551212", ""),
    ("0016505551212", ""),
    ("650-555-1212", ""),
    ("6505551212", ""),
    ("tel:1.650.555.1212", "tel:"),
    ("1650 555 1212, 2 mugs", ", 2 mugs"),
    ("2 16505551212", "2"),
    ("１６５０５５５１２１２", ""),
    # name
    ("for Jane O'Connor", "for"),
    ("O’Connor, Jane (Ms)", "(Ms)"),
    ("jane.oconnor", ""),
    ("janeoconnor90", "90"),
    ("JANE_O'CONNOR", ""),
    # address
    ("to 94107 San Francisco", "to"),
    ("San Francisco, CA 94107-1234", "-1234"),
    # an email address that has not the form of one
    ("by jane@localhost", "by"),
]


@pytest.mark.parametrize(("text", "left"), OWN, ids=[text for text, _ in OWN])
def test_a_persons_own_data_is_cut_out_of_a_text(text: str, left: str) -> None:
    person = Person(JANE, None)

    assert person.may_be_in(squeezed(text))
    assert Cleaner().own(text, person, lambda: None) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("email=jane?O'Connor, Jane", ""),  # cut once, a parameter and a name are left
        ("see email=jane?O'Connor, you", "see  you"),
    ],
)
def test_what_is_left_of_a_text_is_looked_through_for_what_was_no_parameter_before(text: str, left: str) -> None:
    assert Cleaner().own(text, Person(JANE, None), lambda: None) == left


@pytest.mark.parametrize(
    "text",
    [
        "Rose dress",
        "Jane",
        "jane street",
        "Mary Jane shoes and O'Connor whiskey",
        "O'Connor",
        "San Francisco hotels",
        "California",
        "94107",
        "order 94107",
        "5551212",
        "99165055512120",
        "1650555121200",
        "order 116505551212",
        "165 and then 0555 and then 1212",
        "16505551213",
        "1990-05-17",
        "Janet O'Connor",
        "Jane O'Connors",
    ],
)
def test_what_only_looks_like_a_persons_own_data_stays_in_a_text(text: str) -> None:
    assert Cleaner().own(text, Person(JANE, None), lambda: None) == text


@pytest.mark.parametrize(
    ("first", "last", "text", "left"),
    [
        ("Al", "Li", "Alli necklace", "Alli necklace"),
        ("Al", "Li", "for Al Li", "for"),
        ("Ana", "Müller", "ana muller", ""),
        ("Ana", "Müller", "Ana Mu\u0308ller", ""),
        ("山田", "太郎", "太郎 山田 様", "様"),
        ("Mary Ann", "van der Berg", "Maryann Van-der-Berg", ""),
        (["Jane", "Joan"], ["Doe", "Roe"], "Joan Roe", ""),
    ],
)
def test_names_of_any_spelling_are_found(first: Any, last: Any, text: str, left: str) -> None:
    assert Cleaner().own(text, Person({"firstName": first, "lastName": last}, None), lambda: None) == left


def test_a_national_number_is_found_with_the_country_that_it_is_given() -> None:
    person = Person({"phone": "07700 900123"}, "GB")

    texts = ["07700900123", "+44 7700 900123", "00447700900123", "7700-900-123", "7700900124"]
    assert [Cleaner().own(text, person, lambda: None) for text in texts] == ["", "", "", "", "7700900124"]


def test_what_is_hashed_already_and_what_is_no_text_is_not_looked_for() -> None:
    person = Person({"firstName": "a" * 64, "lastName": ["b" * 64, None, 5], "phone": 16505551212, "zip": ""}, None)

    assert (person.wholes, person.may_be_in("a" * 64 + "16505551212"), person.spans("16505551212")) == (
        frozenset(), False, [],
    )  # fmt: skip


def test_a_name_alone_counts_where_it_is_all_of_a_free_value_and_not_in_a_field_of_words() -> None:
    data = {
        "who": " jane ",
        "greeting": "Dear Jane",
        "code": "94107",
        "born": "1990-05-17",
        "shop": "San Francisco",
        "content_name": "Jane",
        "content_category": "O'Connor",
        "search_string": "94107",
    }

    kept = ("greeting", "shop", "content_name", "content_category", "search_string")
    assert own(data) == {key: data[key] for key in kept}


def test_a_placeholder_is_no_name() -> None:
    assert own({"type": "guest"}, {"firstName": "Guest", "lastName": "Customer"}) == {"type": "guest"}


def test_numbers_of_orders_and_products_stay_whatever_they_are() -> None:
    data = {
        "order_id": "16505551212",
        "content_ids": ["16505551212"],
        "contents": [{"id": "16505551212", "quantity": 1}],
    }

    assert own({**data, "reference": "16505551212"}) == data


def test_a_phone_number_is_found_as_a_number_in_lists_and_as_a_key() -> None:
    data = {"a": 16505551212, "b": 16505551212.0, "c": [16505551212, 7], "+1 650 555 1212": True, "d": 165055512120}

    assert own(data) == {"c": [7], "d": 165055512120}


def test_what_a_destination_allows_is_not_compared() -> None:
    assert own({"note": "Jane O'Connor", "memo": "Jane O'Connor"}, JANE, "note") == {"note": "Jane O'Connor"}


@pytest.mark.parametrize(
    ("tail", "left"),
    [
        ("?who=Jane&p=2", "?p=2"),
        ("?a=1&who=Jane+O%27Connor", "?a=1"),
        ("?tel=x&n=%2B1650-555-1212&p=2", "?p=2"),
        ("?to=94107+San+Francisco", ""),
        ("?born=1990-05-17", ""),
        ("#who=O'Connor", ""),
        ("?utm_content=Jane&q=mary+jane&order=9916505551212&city=San+Francisco",) * 2,
    ],
)
def test_a_persons_own_data_leaves_the_parameters_of_a_url(tail: str, left: str) -> None:
    cleaner = Cleaner()
    url = cleaner.url(f"https://shop.example/jane{tail}", lambda: None)

    assert cleaner.own_url(url, Person(JANE, None), lambda: None) == f"https://shop.example/jane{left}"
