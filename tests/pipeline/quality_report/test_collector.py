"""What a report counts of events that are written out."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.destinations import DESTINATION_TYPES
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.quality_report.collector import SHOWN_GROUPS, Collector
from capybeam.pipeline.quality_report.names import GroupsByName
from capybeam.pipeline.quality_report.numbers import (
    OTHERS,
    Combination,
    Counted,
    Dropped,
    EventIds,
    JobNumbers,
    KeyCoverage,
    Purchases,
    Rejections,
    Website,
)
from tests.json_webhook import JSON_WEBHOOK
from tests.pipeline.quality_report.reported import BROWSER, CUSTOM, JOB, NOW, counted, group, order, row

# --- events that are written out --------------------------------------------------------------------------------------


def test_keys_combinations_and_their_strength() -> None:
    bare = {"ip": "203.0.113.7", "userAgent": BROWSER}
    purchase = group(
        counted(
            [
                order(1),
                order(2),
                order(3, userId="u-3"),
                order(4, context=bare),
                order(5, context={"userAgent": BROWSER}),  # Meta refuses it
            ]
        ),
        "Purchase",
    )

    assert (purchase.conversions, purchase.ready, purchase.rejected, purchase.examined) == (5, 4, 1, 5)
    assert purchase.keys == (
        KeyCoverage("external_id", 1, True),
        KeyCoverage("em", 3, True),
        KeyCoverage("client_ip_address", 4, False),
        KeyCoverage("client_user_agent", 5, False),
    )
    assert purchase.strength == {"strong": 3, "weak": 1, "none": 1}
    browser = ("client_ip_address", "client_user_agent")
    assert purchase.combinations == (
        Combination(("em", *browser), 2, "strong"),
        Combination(browser, 1, "weak"),
        Combination(("client_user_agent",), 1, "none"),
        Combination(("external_id", "em", *browser), 1, "strong"),
    )


def test_what_purchases_lack() -> None:
    whole = order(1)["properties"]

    def without(*names: str) -> dict[str, Any]:
        return order(1, properties={name: value for name, value in whole.items() if name not in names})

    purchase = group(
        counted(
            [order(1), without("currency"), without("revenue", "products"), without("order_id"), without("products")]
        ),
        "Purchase",
    )

    assert purchase.purchases == Purchases(5, 1, 1, 2, 1)
    assert [(each.code, each.field, each.count) for each in purchase.rejections] == [
        ("missing_required_field", "currency", 1),
        ("missing_required_field", "value", 1),
    ]


@pytest.mark.parametrize(
    ("traits", "properties", "dropped"),
    [
        ({"email": "jane@example"}, {}, ("dropped_em", "aaa@aaa")),
        ({"birthday": "12-34"}, {}, ("dropped_db", "99-99")),
        ({"phone": "call me-now"}, {}, ("dropped_ph", "aaa aa-aaa")),
        ({"phone": "n/a"}, {}, ("dropped_ph", "n/a")),
        ({"gender": "Rather Not"}, {}, ("dropped_ge", "Aaaa Aaa")),
        ({}, {"products": [{"product_id": "mug", "quantity": "two"}]}, ("dropped_contents_quantity", "aaa")),
    ],
)
def test_what_is_dropped_is_shown_by_its_shape(
    traits: dict[str, Any], properties: dict[str, Any], dropped: tuple[str, str]
) -> None:
    event = order(1, userId="u-1")
    event["context"]["traits"] = traits
    event["properties"] |= properties
    note, shape = dropped

    (found,) = (each for each in group(counted([event, event]), "Purchase").dropped if each.note == note)
    assert found == Dropped(note, 2, found.why, (Counted(shape, 2),), 2)


def test_of_many_values_the_first_are_looked_at_for_their_shapes() -> None:
    events = []
    for number in range(700):
        event = order(number)
        event["context"]["traits"]["phone"] = "x" * (number % 50) + "-" + "!?" * (number % 37)
        events.append(event)

    (found,) = (each for each in group(counted(events), "Purchase").dropped if each.note == "dropped_ph")
    assert (found.count, found.looked_at) == (700, 500)
    assert sum(each.count for each in found.shapes) == 500
    assert (len(found.shapes), found.shapes[-1].name) == (9, OTHERS)


def test_rejections_are_by_code_and_field_with_the_shapes_of_the_value() -> None:
    event = order(1)
    event["properties"]["currency"] = "Dollars"
    purchase = group(counted([event, order(2, timestamp="2026-11-01T00:00:00Z")]), "Purchase")

    assert purchase.rejections == (
        Rejections(
            "map",
            "invalid_currency",
            "currency",
            1,
            "currency is not an ISO 4217 code such as USD.",
            (Counted("Aaaa", 1),),
            1,
        ),
        Rejections(
            "validate",
            "event_too_old",
            "event_time",
            1,
            "The event is more than 7 days old; Meta does not accept older events.",
            (),
            0,
        ),
    )


@pytest.mark.parametrize(
    ("timestamp", "age"),
    [
        ("2026-11-22T10:02:00Z", "in the future"),
        ("2026-11-22T10:00:30Z", "up to 2 hours"),
        ("2026-11-22T08:00:00Z", "up to 2 hours"),
        ("2026-11-22T07:59:59Z", "2 to 24 hours"),
        ("2026-11-21T10:00:00Z", "2 to 24 hours"),
        ("2026-11-21T09:59:59Z", "1 to 7 days"),
        ("2026-11-15T10:00:00Z", "1 to 7 days"),
        ("2026-11-15T09:59:59Z", "7 to 28 days"),
        ("2026-10-25T10:00:00Z", "7 to 28 days"),
        ("2026-10-25T09:59:59Z", "28 to 62 days"),
        ("2026-09-21T10:00:00Z", "28 to 62 days"),
        ("2026-09-21T09:59:59Z", "over 62 days"),
    ],
)
def test_ages_are_those_that_matter_to_meta(timestamp: str, age: str) -> None:
    ages = group(counted([order(1, timestamp=timestamp)]), "Purchase").ages

    assert {name for name, count in ages.items() if count} == {age}


def test_event_ids_are_given_derived_or_repeated() -> None:
    events = [order(1), order(1), order(1), order(2), order(3, messageId=None), order(4, messageId="undefined")]

    assert group(counted(events), "Purchase").event_ids == EventIds(given=4, derived=2, repeats=2, sampled=1)


def test_website_conversions_have_the_browsers_ids_and_a_url_or_not() -> None:
    with_ids, without_url = order(1), order(2)
    with_ids["properties"] |= {"fbp": "fb.1.1795341500000.42", "fbc": "fb.1.1795341500000.AbC1"}
    del without_url["context"]["page"]

    assert group(counted([with_ids, without_url]), "Purchase").website == Website(2, 1, 1, 1)


def test_events_that_are_filtered_unreadable_or_without_consent() -> None:
    job = JOB.replace("    subscriptions", "    consent: {any_of: Advertising}\n    subscriptions")
    granted, refused = order(1), order(2)
    granted["context"]["consent"] = {"categoryPreferences": {"Advertising": True}}
    refused["context"]["consent"] = {"categoryPreferences": {"Advertising": False}}
    numbers = counted([granted, refused, order(3), order(4, event="Signed Up"), b"{", b"[]", b"{"], job)

    assert (numbers.events, numbers.conversions, numbers.ready) == (4, 1, 1)
    assert numbers.filtered_names == (Counted("Signed Up", 1),)
    assert sorted(numbers.withheld, key=str) == [Counted("refused", 1), Counted("unknown", 1)]
    assert numbers.unreadable == (Counted("invalid_json", 2), Counted("not_an_object", 1))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.just("a@b.example"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PLACES = st.sampled_from(
    [
        *(("properties", key) for key in ("revenue", "currency", "products", "order_id", "query")),
        *(("context", key) for key in ("ip", "userAgent", "page", "traits", "device")),
        *((key,) for key in ("messageId", "timestamp", "userId", "properties", "context", "event", "traits")),
    ]
)


@pytest.fixture(scope="module")
def collector() -> Collector:
    return Collector(parse_job(JOB + CUSTOM.replace('event != "Order Completed"', "event != 7")), NOW)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(PLACES, JSON), max_size=4))
def test_no_event_is_lost_or_stops_the_count_whatever_it_holds(
    collector: Collector, changes: list[tuple[tuple[str, ...], Any]]
) -> None:
    event = order(1)
    for path, value in changes:
        inside: Any = event
        for key in path[:-1]:
            inside = inside.get(key) if isinstance(inside, dict) else None
        if isinstance(inside, dict):
            inside[path[-1]] = value
    before = collector.numbers("")
    collector.add(row(event))
    after = collector.numbers("")

    def unreadable(numbers: JobNumbers) -> int:
        return sum(each.count for each in numbers.unreadable)

    assert after.events + unreadable(after) == before.events + unreadable(before) + 1
    taken, left = after.conversions - before.conversions, after.filtered - before.filtered
    assert (taken > 0) + left + unreadable(after) - unreadable(before) == 1
    assert after.conversions == after.ready + after.rejected == sum(each.conversions for each in after.groups)


def test_a_number_that_no_float_holds_is_counted_as_the_largest() -> None:
    event = order(1, timestamp="2026-11-22T09:00:00Z")
    event["properties"]["revenue"] = 10**30

    assert counted([event]).conversions == 1


def test_a_destination_that_is_not_metas_has_counts_and_no_match_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DESTINATION_TYPES, "json_webhook", JSON_WEBHOOK)
    job = """
destinations:
  - {name: hook, type: json_webhook, url: 'http://127.0.0.1:1', key: env:KEY,
     routes: [{trigger: 'type = "track"', path: orders}]}
"""
    numbers = counted([order(1), order(1), order(2, timestamp="2026-11-22T08:00:00Z")], job)

    (found,) = numbers.groups
    assert (found.conversions, found.ready, found.rejected, found.examined, found.keys) == (3, 2, 1, 0, ())
    assert found.event_ids == EventIds(0, 0, 1, 1)
    assert [each.code for each in found.rejections] == ["event_too_old"]


# --- names that come from events --------------------------------------------------------------------------------------


def test_names_that_may_be_a_persons_are_shown_by_their_shape_and_long_ones_are_cut() -> None:
    names = ["Quiz Done", "Welcome jane.doe@example.com", "Order 4912345678", "Hello Jane Roe", "x" * 400]
    events = [order(n, event=name, userId="u") for n, name in enumerate(names)]
    for event in events:
        event["context"]["traits"]["name"] = "Jane Roe"
    text = orjson.dumps(counted([*events, *events], JOB + CUSTOM)).decode()

    shown = {each["event_name"]: each["conversions"] for each in json.loads(text)["groups"]}
    assert shown["Quiz Done"] == 2
    assert shown["x" * 99 + "…"] == 2
    assert shown["Welcome"] == shown["Hello"] == 2  # which is all that the events go out with
    assert shown["Aaaa 9999999999"] == 2
    assert not [part for part in ("jane", "Roe", "4912345678") if part in text]
    assert sum(shown.values()) == 10


def test_the_name_of_a_rejected_event_is_not_shown_either_where_it_may_be_a_persons() -> None:
    event = order(1, event="Hello Jane Roe", timestamp="yesterday")
    event["context"]["traits"]["name"] = "Jane Roe"
    filtered = {**event, "event": "Bye Jane Roe", "timestamp": "2026-11-22T09:30:00Z"}
    job = (JOB + CUSTOM).replace('!= "Order Completed"', '= "Hello Jane Roe"')
    numbers = counted([event, filtered], job)

    assert [(each.event_name, each.rejected) for each in numbers.groups] == [("Aaaa Aaaa Aaa", 1)]
    assert numbers.filtered_names == (Counted("Aaa Aaaa Aaa", 1),)


def test_of_very_many_names_the_most_frequent_are_shown_and_nothing_is_lost() -> None:
    names = [f"N{'abcdefghij'[n // 100 % 10]}{n % 100}-{'pqrstuvwxyz'[n // 1000]}" for n in range(2_200)]
    numbers = counted(
        (order(n, event=name) for n, name in enumerate([*names, *["Frequent"] * 50])),
        JOB + CUSTOM,
    )

    assert len(numbers.groups) == SHOWN_GROUPS + 1
    assert (numbers.conversions, numbers.ready) == (2_250, 2_250)
    assert numbers.groups[-1].event_name == OTHERS
    assert sum(each.count for each in numbers.groups[-1].keys if each.key == "em") == numbers.groups[-1].examined


@pytest.fixture
def few_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capybeam.pipeline.quality_report.names.MOST_GROUPS", 5)
    monkeypatch.setattr("capybeam.pipeline.quality_report.names.MOST_CALLED", 8)


@pytest.mark.usefixtures("few_names")
def test_a_name_that_becomes_frequent_late_has_a_group_of_its_own_and_says_what_is_counted_elsewhere() -> None:
    once = [f"Quiz {first}{second}" for first in "abcdefgh" for second in "abcde"]
    names = [*once, *["Checkout Begun", "Quiz aa"] * 30, "Once More"]
    numbers = counted((order(n, event=name) for n, name in enumerate(names)), JOB + CUSTOM)

    late = group(numbers, "Checkout Begun")
    assert (late.conversions, late.earlier) == (29, 1)
    assert group(numbers, "Quiz aa").conversions == 31
    assert group(numbers, OTHERS).conversions == 36 + 1 + 1  # that came once, and the first of the late one
    assert numbers.conversions == sum(each.conversions for each in numbers.groups) == len(names)
    assert sum(each.event_ids.given for each in numbers.groups) == len(names)


@pytest.mark.usefixtures("few_names")
def test_a_filtered_name_that_becomes_frequent_late_is_shown() -> None:
    names = [*(f"Quiz {letter}" for letter in "abcdefghijklmnopq"), *["Late"] * 20]
    numbers = counted((order(n, event=name) for n, name in enumerate(names)))

    assert numbers.filtered_names[0] == Counted("Late", 19)
    assert sum(each.count for each in numbers.filtered_names) == numbers.filtered == len(names)


@pytest.mark.usefixtures("few_names")
def test_names_that_are_equally_frequent_do_not_take_places_from_each_other_again_and_again() -> None:
    names = GroupsByName(lambda source, _: moves.append(source))
    moves: list[Any] = []
    for _ in range(1_000):
        for letter in "abcdefg":
            names.of("shop", f"Quiz {letter}", {}).conversions += 1

    assert len(moves) <= 20  # two names at most ten times: each time takes twice as many
    assert sum(each.conversions for _, each in names.items()) == 7_000


@pytest.mark.usefixtures("few_names")
def test_of_names_that_are_never_the_same_their_shape_is_counted_as_one() -> None:
    numbers = counted((order(n, event=f"Order {4_912_000 + n}") for n in range(50)), JOB + CUSTOM)

    assert [(each.event_name, each.conversions) for each in numbers.groups] == [("Aaaa 9999999", 50)]


def test_the_most_frequent_currencies_are_shown_whenever_they_come() -> None:
    currencies = ["EUR", "USD", "GBP", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN", "TRY", "JPY"]
    events = []
    for number, currency in enumerate([*currencies, "JPY", "JPY", "TRY"]):
        events.append(order(number))
        events[-1]["properties"]["currency"] = currency

    values = group(counted(events), "Purchase").values
    assert [(each.currency, each.count) for each in values[:2]] == [("JPY", 3), ("TRY", 2)]
    assert (len(values), values[-1].currency, values[-1].count) == (13, OTHERS, 2)


def test_memory_does_not_grow_with_the_number_of_names_and_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capybeam.pipeline.quality_report.names.MOST_GROUPS", 20)
    monkeypatch.setattr("capybeam.pipeline.quality_report.names.MOST_CALLED", 50)
    monkeypatch.setattr("capybeam.pipeline.quality_report.changes.MOST_PATHS", 20)
    collector = Collector(parse_job(JOB + CUSTOM), NOW, most_ids=100)

    def read(numbers: range) -> None:
        for number in numbers:
            event = order(number, event=f"Visit {number % 9973}-{number % 7919}", userId=f"u-{number}")
            event["context"]["traits"][f"k{number}"] = event["properties"][f"k{number}"] = "x"
            collector.add(row(event))

    read(range(400))
    tracemalloc.start()
    try:
        read(range(400, 1_200))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < 120_000  # bytes; the 800 events have 560,000


# --- traits that are mapped nowhere -----------------------------------------------------------------------------------


def test_the_traits_that_are_mapped_nowhere_are_found_in_a_sample_of_many_events() -> None:
    events = []
    for number in range(4_000):
        event = order(number)
        if number % 5 < 3:  # 60 %
            event["context"]["traits"]["mobile"] = "+44 20 7946 0123"
        events.append(event)
    (change,) = (each for each in counted(events).changes if "mobile" in each.title)

    assert change.title == 'Map phone in shop: {"@path": "$.context.traits.mobile"}'
    assert (change.kind, change.of, change.is_estimate) == ("map_key", 4_000, True)
    assert change.gains == pytest.approx(2_400, rel=0.1)


def test_the_numbers_are_plain_data() -> None:
    numbers = counted([order(1)])

    assert json.loads(orjson.dumps(numbers)) == json.loads(json.dumps(dataclasses.asdict(numbers)))
