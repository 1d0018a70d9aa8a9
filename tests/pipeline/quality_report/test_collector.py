"""What a report counts: against events that are written out, and against a count over the output of `map`."""

from __future__ import annotations

import dataclasses
import json
import runpy
import tracemalloc
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.destinations import DESTINATION_TYPES
from capybeam.pipeline.job.loader import load_job, parse_job
from capybeam.pipeline.preview import preview
from capybeam.pipeline.quality_report.collector import SHOWN_GROUPS, Collector
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
from tests.timing import least_seconds

ROOT = Path(__file__).parents[3]
OFFLINE_NAMES = {"email": "em", "phone": "ph", "gen": "ge", "zip": "zp", "extern_id": "external_id"}


# --- against a count over the output of map ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated() -> list[bytes]:
    """The example's events, with purchases in cents and without a currency, and other things that go wrong."""
    made = runpy.run_path(str(ROOT / "examples" / "generate_events.py"))["events"]
    random, lines = Random(11), []
    for line in made(1_000, seed=5, now=datetime.fromtimestamp(NOW, timezone.utc)):
        try:
            event = json.loads(line)
            properties, context = event["properties"], event["context"]
        except (ValueError, TypeError, KeyError):
            lines.append(line)
            continue
        if random.random() < 0.3 and isinstance(properties.get("revenue"), float):
            properties["revenue"] = round(100 * properties["revenue"]) if random.random() < 0.5 else "free"
        if random.random() < 0.1:
            properties.pop("currency", None)
        if random.random() < 0.2:
            event.pop("messageId", None)
        if random.random() < 0.2 and isinstance(context.get("traits"), dict):
            context["traits"] |= {"phone": "99-99", "email": "jane@example"}
        lines += [json.dumps(event).encode()] * (2 if random.random() < 0.1 else 1)
    return [line for line in lines if line.strip()]


def test_the_numbers_are_those_of_a_count_over_the_output_of_map(generated: list[bytes]) -> None:
    job = load_job(ROOT / "examples" / "conversions.yaml")
    notes: Counter[str] = Counter()
    # What the last stage rejects has match keys, too, which `map` does not show: leave it out of both.
    refused = {each["line"] for each in preview(job, generated, NOW) if each.get("stage") == "validate"}
    lines = [line for number, line in enumerate(generated, 1) if number not in refused]
    outcomes = [orjson.loads(orjson.dumps(outcome)) for outcome in preview(job, lines, NOW, notes)]
    collector = Collector(job, NOW)
    for line in lines:
        collector.add(line)
    numbers = collector.numbers("conversions.yaml")

    statuses = Counter(each["status"] for each in outcomes)
    rejected = [each for each in outcomes if each["status"] == "rejected"]
    assert numbers.ready == statuses["ready"] > 800
    assert numbers.filtered == statuses["filtered"] > 0
    assert numbers.rejected == sum("subscription" in each for each in rejected) > 10
    unreadable = Counter(each["code"] for each in rejected if "subscription" not in each)
    assert {each.name: each.count for each in numbers.unreadable} == unreadable
    for destination in ("web", "crm", "stores", "archive"):
        codes = Counter(each["code"] for each in rejected if each.get("destination") == destination)
        found: Counter[str] = Counter()
        for each in numbers.groups:
            if each.destination == destination:
                found.update({reason.code: 0 for reason in each.rejections})
                for reason in each.rejections:
                    found[reason.code] += reason.count
        assert found == codes

    payloads: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for each in outcomes:
        if each["status"] == "ready":
            payload = each["payload"]
            at = (each["destination"], payload["event_name"])
            payloads.setdefault(at, []).append((each["dataset_id"], payload))
    shown = {(each.destination, each.event_name): each for each in numbers.groups if each.ready}
    assert shown.keys() == payloads.keys()
    for at, those in payloads.items():
        events, each = [payload for _, payload in those], shown[at]
        keys = [
            frozenset(OFFLINE_NAMES.get(key, key) for key in event.get("user_data", event.get("match_keys")))
            for event in events
        ]
        assert each.examined == each.ready == len(events)
        assert {found.key: found.count for found in each.keys} == Counter(key for some in keys for key in some)
        assert {frozenset(found.keys): found.count for found in each.combinations}.items() <= Counter(keys).items()
        assert sum(each.strength.values()) == len(events)
        strong = sum(bool(some & {"em", "ph", "external_id", "fbc", "fbp", "madid"}) for some in keys)
        assert each.strength["strong"] == strong
        ages = [NOW - event["event_time"] for event in events]
        assert each.ages["up to 2 hours"] + each.ages["in the future"] == sum(age <= 7_200 for age in ages)
        assert each.ages["2 to 24 hours"] == sum(7_200 < age <= 86_400 for age in ages)
        assert each.ages["1 to 7 days"] == sum(86_400 < age <= 7 * 86_400 for age in ages)
        website = [event for event in events if event.get("action_source") == "website"]
        assert each.website == Website(
            len(website),
            sum("fbp" in event["user_data"] for event in website),
            sum("fbc" in event["user_data"] for event in website),
            sum("event_source_url" not in event for event in website),
        )
        ids = Counter((dataset, event["event_id"]) for dataset, event in those if "event_id" in event)
        if ids:
            assert each.event_ids.repeats == ids.total() - len(ids)
        values: dict[str, list[float]] = {}
        for event in events:
            data = {**event, **event.get("custom_data", {})}
            if "value" in data:
                values.setdefault(data.get("currency", ""), []).append(data["value"])
        if len(values) <= 12:
            assert {v.currency: (v.count, v.minimum, v.maximum) for v in each.values} == {
                currency: (len(some), min(some), max(some)) for currency, some in values.items()
            }
            assert sum(v.total for v in each.values) == pytest.approx(sum(map(sum, values.values())), abs=0.1)
    dropped = Counter({found.note: 0 for each in numbers.groups for found in each.dropped})
    for each in numbers.groups:
        for found_ in each.dropped:
            dropped[found_.note] += found_.count
    for name in ("dropped_em", "dropped_ge", "dropped_db"):
        assert dropped[name] == notes[name] > 0


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


def test_memory_does_not_grow_with_the_number_of_names_and_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capybeam.pipeline.quality_report.collector.MOST_GROUPS", 20)
    monkeypatch.setattr("capybeam.pipeline.quality_report.collector.MOST_CALLED", 50)
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

    assert grown < 100 * 800  # bytes; an event has 700


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


# --- speed ------------------------------------------------------------------------------------------------------------


def test_a_report_is_about_as_fast_as_map(generated: list[bytes]) -> None:
    job = load_job(ROOT / "examples" / "conversions.yaml")
    collector = Collector(job, NOW)

    def report() -> None:
        for line in generated[:400]:
            collector.add(line)

    def map_() -> None:
        for outcome in preview(job, generated[:400], NOW):
            orjson.dumps(outcome)

    map_()  # what values are hashed to is remembered
    assert least_seconds(map_) / least_seconds(report) > 0.7  # about 1.4; the target is 0.8


def test_the_numbers_are_plain_data() -> None:
    numbers = counted([order(1)])

    assert json.loads(orjson.dumps(numbers)) == json.loads(json.dumps(dataclasses.asdict(numbers)))
