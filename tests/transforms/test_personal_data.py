"""What is personal data in the clear, what only looks like it, and what is left of an event without it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.personal_data import Cleaner, is_personal

Json = dict[str, Any]

# --- keys -------------------------------------------------------------------------------------------------------


def cleaned(custom_data: Json, *allowed: str) -> tuple[Json, int]:
    """What is left, and how many keys were removed."""
    removed: list[None] = []
    before = copy.deepcopy(custom_data)
    left = Cleaner(frozenset(allowed)).data(custom_data, lambda: removed.append(None))
    assert custom_data == before, "the event itself stays as it is, for the dead letters"
    return left, len(removed)


PERSONAL = {
    "email": "em email Email EMAIL e-mail e_mail E-Mail emailAddress email_address Email-Address user_email userEmail"
    " customerEmail customer_email billing_email contact_email hashed_email user.email",
    "phone": "ph phone Phone phoneNumber phone_number Phone-Number mobile mobile_phone cell cellPhone telephone tel"
    " customer_phone msisdn",
    "first_name": "fn firstName first_name FirstName FIRST_NAME firstname first-name given_name givenName",
    "last_name": "ln lastName last_name LastName surname family_name familyName",
    "name": "name Name full_name fullName username user_name customer_name customerName",
    "birthday": "db dob DOB birthday birth_date birthDate date_of_birth dateOfBirth",
    "gender": "ge gender Gender sex",
    "address": "address street street_address streetAddress address1 address_1 address_line_1 addressLine2"
    " billing_address shippingAddress zp zip zip_code zipCode ZIP postal_code postalCode postcode",
    "papers": "ssn passport passport_number credit_card creditCardNumber card_number iban",
    "somebodys": "customer_first_name shippingFirstName billing_last_name user_first_name customer_phone_number"
    " userPhoneNumber mobile_phone_number customer_dob user_gender billing_zip shipping_postal_code shipping_address_1"
    " work_email personal_email guest_email",
    "one_of_several": "email_1 email2 phone_1 phone2",
    "short": "fname lname",
    "technical": "ip ip_address ipAddress client_ip_address clientIpAddress user_agent userAgent client_user_agent"
    " external_id externalId fbc fbp",
}


@pytest.mark.parametrize("key", [key for keys in PERSONAL.values() for key in keys.split()])
def test_a_key_of_personal_data_is_removed_in_all_usual_spellings(key: str) -> None:
    assert cleaned({key: "x", "coupon": "SPRING"}) == ({"coupon": "SPRING"}, 1)


@pytest.mark.parametrize(
    "key", ["First Name", "Last Name", "Phone Number", "Date of Birth", "E-mail Address", " email "]
)
def test_words_with_blanks_are_a_spelling_too(key: str) -> None:
    assert cleaned({key: "x"}) == ({}, 1)


@pytest.mark.parametrize(
    "key",
    [
        "currency",
        "value",
        "content_ids",
        "content_type",
        "content_name",
        "content_category",
        "contents",
        "num_items",
        "search_string",
        "order_id",
        "predicted_ltv",
        "net_revenue",
        "item_number",
        "coupon",
        "brand",
        "category",
        "variant",
        "quantity",
        "price",
        "product_id",
        "sku",
        "url",
        "shipping",
        "tax",
        "discount",
        "affiliation",
        "position",
        "plan",
        "method",
        "status",
        "delivery_category",
        "city",
        "state",
        "country",
        "page_type",
        "emailing",
        "address_book_size",
        "phone_case_color",
        "game",
        "brand_name",
        "product_name",
        "list_name",
        "campaign_name",
        "filename",
        "hostname",
    ],
)
def test_a_key_of_business_data_stays(key: str) -> None:
    assert cleaned({key: "x"}) == ({key: "x"}, 0)
    assert not is_personal(key)


def test_personal_data_is_removed_at_any_depth_and_counted_key_by_key() -> None:
    custom_data = {
        "order": {"id": "1", "customer": {"email": "jane@example.com", "segment": "vip", "phone": "+1 202 555 0100"}},
        "stops": [{"depot": "N", "Address": "1 Example Street"}, [{"email": "jane@example.com"}]],
        "email": {"work": "jane@example.com"},
    }

    assert cleaned(custom_data) == (
        {"order": {"id": "1", "customer": {"segment": "vip"}}, "stops": [{"depot": "N"}, [{}]]},
        5,
    )


def test_the_name_of_a_product_in_a_list_stays() -> None:
    custom_data = {
        "products": [{"product_id": "1", "name": "Capybara mug", "price": 9.5}, {"product_id": "2", "Name": "Hat"}],
        "name": "Jane Doe",
    }

    assert cleaned(custom_data) == (
        {"products": [{"product_id": "1", "name": "Capybara mug", "price": 9.5}, {"product_id": "2", "Name": "Hat"}]},
        1,
    )


def test_what_else_is_personal_goes_from_a_list_as_well() -> None:
    assert cleaned({"guests": [{"first_name": "Jane", "email": "jane@example.com", "seat": 4}]}) == (
        {"guests": [{"seat": 4}]},
        2,
    )


def test_a_key_that_is_allowed_stays_as_it_is_spelt_wherever_it_is() -> None:
    custom_data = {"name": "Mug", "Name": "Jane", "zip": "94035", "item": {"name": "Hat", "email": "jane@example.com"}}

    assert cleaned(custom_data, "name", "zip") == ({"name": "Mug", "zip": "94035", "item": {"name": "Hat"}}, 2)


def test_values_that_are_neither_objects_nor_lists_pass_as_they_are() -> None:
    custom_data = {"a": None, "b": True, "c": 1.5, "d": "x", "e": [], "f": {}, "g": [1, "two", None, [3]]}

    assert cleaned(custom_data) == (custom_data, 0)


_PLAIN_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["email", "First Name", "name", "city", "sku", "order", "ip"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["order", "email", "phone", "sku"]), _PLAIN_JSON))
def test_once_cleaned_there_is_nothing_left_to_clean(custom_data: Json) -> None:
    left, _ = cleaned(custom_data)

    assert keys_of(left) <= {"order", "sku", "city", "name"}
    assert cleaned(left) == (left, 0)
