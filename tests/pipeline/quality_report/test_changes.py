"""The changes that would help most conversions."""

from __future__ import annotations

from typing import Any

import pytest

from capybeam.pipeline.quality_report.changes import suggested
from capybeam.pipeline.quality_report.numbers import Change
from tests.pipeline.quality_report.reported import JOB, counted, order

WITHOUT_PHONE = JOB.replace(
    "      - action: purchase\n",
    """\
      - action: purchase
        mapping:
          user_data:
            email: {"@path": $.context.traits.email}
            client_user_agent: {"@path": $.context.userAgent}
            client_ip_address: {"@path": $.context.ip}
""",
)


def with_traits(number: int, **traits: Any) -> dict[str, Any]:
    event = order(number)
    event["context"]["traits"] |= traits
    return event


def test_a_trait_that_is_mapped_nowhere_says_in_how_many_events_it_is() -> None:
    phones = [with_traits(n, phone="+44 20 7946 0123") for n in range(61)]
    others = [with_traits(n) for n in range(61, 100)]

    assert counted([*phones, *others], WITHOUT_PHONE).changes == (
        Change(
            kind="map_key",
            destination="shop",
            gains=61,
            of=100,
            is_estimate=False,
            title='Map phone in shop: {"@path": "$.context.traits.phone"}',
            detail="$.context.traits.phone is in 61 % of the events that shop takes and mapped in 0 %;"
            " 0 % of its conversions have ph.",
        ),
    )


def test_conversions_that_have_the_key_from_elsewhere_gain_nothing() -> None:
    events = [with_traits(n, email="jane@shop.example") for n in range(4)]
    for event in events[:3]:
        event["properties"]["email"] = "jane@shop.example"
    del events[2]["context"]["traits"]["email"]
    (change,) = counted(events, WITHOUT_PHONE).changes

    assert (change.title, change.gains) == ('Map email in shop: {"@path": "$.properties.email"}', 1)
    assert change.detail.startswith("$.properties.email is in 75 % of the events that shop takes and mapped in 0 %")


def test_what_one_subscription_maps_and_another_does_not_is_mapped_in_a_part() -> None:
    purchase, page = with_traits(1, phone="+44 20 7946 0123"), with_traits(2, phone="+44 20 7946 0123")
    page |= {"type": "page"}
    (change,) = counted([purchase, page, {**page, "messageId": "3"}], WITHOUT_PHONE).changes

    assert (change.gains, change.of) == (1, 3)
    assert "is in 100 % of the events that shop takes and mapped in 67 %; 67 % of its" in change.detail


def test_a_strong_key_counts_four_times_a_weak_one_and_no_more_than_three_changes_are_named() -> None:
    events = [
        with_traits(
            n,
            gender="f",
            last_name="Doe",
            birthday="1990-05-17",
            **({"phone": "+44 20 7946 0123"} if n % 3 == 0 else {}),
        )
        for n in range(12)
    ]

    assert [(each.title.split()[1], each.gains) for each in counted(events, WITHOUT_PHONE).changes] == [
        ("phone", 4),
        ("dateOfBirth", 12),
        ("gender", 12),
    ]


@pytest.mark.parametrize(
    ("country", "hint"),
    [("", " Set the destination's default_country, if the numbers are national ones."), ("default_country: GB", "")],
)
def test_values_that_are_not_valid_are_named_by_their_shapes(country: str, hint: str) -> None:
    job = JOB.replace("    subscriptions", f"    {country}\n    subscriptions")
    events = [with_traits(n, phone=["call me", "ask-Jane", "+44 20 7946 0123"][n % 3]) for n in range(9)]
    (change,) = counted(events, job).changes

    assert (change.kind, change.gains, change.of) == ("repair_values", 6, 9)
    assert change.title == "Repair the values of phone (ph) for shop"
    assert change.detail == (
        "6 conversions have no ph, because the values are not valid: mostly aaa aa, aaa-Aaaa." + hint
    )


def test_rejections_are_named_with_their_field_and_those_for_age_are_not() -> None:
    without_currency = order(1, properties={"revenue": 5})
    old = order(2, timestamp="2026-01-01T00:00:00Z")
    (change,) = counted([without_currency, old, old]).changes

    assert change == Change(
        kind="fix_rejections",
        destination="shop",
        gains=1,
        of=3,
        is_estimate=False,
        title="Fix missing_required_field of currency in shop",
        detail="1 conversion is rejected. Map the field to a path that the event has, or to a constant.",
    )


def test_a_mapping_that_a_job_file_cannot_change_is_not_to_be_changed() -> None:
    job = """
destinations:
  - name: stores
    type: facebook_offline_conversions
    access_token: env:META_ACCESS_TOKEN
    events: {Order Completed: "1"}
"""
    events = [with_traits(n, mobile="+44 20 7946 0123") for n in range(5)]

    assert counted(events, job).changes == ()
    assert [each.ready for each in counted(events, job).groups] == [5]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("properties.Customer_Email", "email"),
        ("context.traits.phoneNumber", "phone"),
        ("traits.dob", "dateOfBirth"),
        ("properties._fbp", "fbp"),
        ("context.traits.address.postal_code", "zip"),
        ("properties.shipping_address.city", "city"),
        ("properties.city", ""),  # of a flight, perhaps
        ("properties.products.[].email", ""),
        ("properties.revenue", ""),
        ("email", ""),
        ("somewhere.email", ""),
    ],
)
def test_the_name_of_a_path_says_which_key_it_may_be_for(path: str, key: str) -> None:
    assert suggested(tuple(path.split("."))) == key
