"""Which keys say that personal data is behind them, and which only sound like it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.transforms.meta.personal_data import keys
from capybeam.transforms.meta.personal_data.keys import is_personal
from tests.transforms.meta.personal_data.cleaning import cleaned

Json = dict[str, Any]


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


COMPOUNDS = (
    # flat, as @flatten makes them
    "profile.email guests.0.email order.customer.phone customer/email customer:email customer[email] guests[0][email]"
    " guests_0_email guests-0-email profile_email profile.name email.work address.city emails.0 a.b.c.d.first_name"
    " profile_shipping_email users_sex guests_home_phone"
    # with whose it is, or which
    " contact_number contactNumber recipient recipient_name sender_phone payer_email cardholder_name shopperEmail"
    " passenger_last_name new_email confirm_email main_phone phone_home email_work whatsapp_number mobile_no"
    " guests_email"
    # cards and accounts
    " card card_number cardNumber credit_card_no debit_card payment_card_number cvv CVV2 cvc card_expiry account_number"
    # secrets
    " token access_token refreshToken reset_token password new_password user_password passwd secret client_secret"
    " api_key authorization Authorization auth_code credentials cookie otp"
).split()


@pytest.mark.parametrize("key", COMPOUNDS)
def test_a_key_of_personal_data_is_removed_in_compounds_and_flat_objects(key: str) -> None:
    assert cleaned({key: "x", "coupon": "SPRING"}) == ({"coupon": "SPRING"}, 1)


@pytest.mark.parametrize(
    "key",
    (
        "product_id order_number session_id plan.name_of_plan tokens token_count passport_photo_price"
        " iphone smartphone card_type gift_card discard ship_date shipping_method shipping.cost home_page work_order"
        " user_score customer_type member_since child_seats new_customer other_costs main_category contact_method"
        " membership email_opt_in phone_verified emails_sent address_book mobile_app username_length streetwear sexy"
        " products.0.name products_0_name items[2].name lines.0.product.sku search.query hotel.city destination"
    ).split(),
)
def test_a_key_that_only_sounds_like_it_stays(key: str) -> None:
    assert cleaned({key: "x"}) == ({key: "x"}, 0)


def test_a_key_that_is_an_email_address_is_removed() -> None:
    assert cleaned({"opened by jane@example.com": 3, "opened": 3}) == ({"opened": 3}, 1)


@pytest.mark.parametrize("allowed", ["profile.name", "name"])
def test_of_a_flat_key_the_whole_or_its_personal_parts_may_be_allowed(allowed: str) -> None:
    assert cleaned({"profile.name": "Mug", "profile.email": "x"}, allowed) == ({"profile.name": "Mug"}, 1)


def test_what_is_known_of_keys_does_not_grow_with_their_length() -> None:
    long = "profile." * 10_000
    before = keys._is_personal.cache_info().currsize

    assert (is_personal(long + "email"), is_personal(long + "plan")) == (True, False)
    assert (is_personal("my" * 50_000 + "email"), is_personal("my" * 50_000 + "plan")) == (True, False)
    assert keys._is_personal.cache_info().currsize == before
