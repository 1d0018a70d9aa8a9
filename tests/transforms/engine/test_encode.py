"""`Engine.encode`: whatever way an event takes, it becomes what the stages make of it one after the other."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import events as benchmark
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.job.presets import merged_mapping, presets
from capybeam.transforms.core.conversions import Conversion, Count
from capybeam.transforms.core.envelope import Envelope, Ready
from capybeam.transforms.core.rejections import as_rejected
from capybeam.transforms.engine.engine import Engine, Refused
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.meta.subscriptions import MetaSubscription
from tests import adversary
from tests.timing import least_seconds
from tests.transforms.edits import edited
from tests.transforms.engine.test_engine import _ANY, _PLACES, altered
from tests.transforms.shop import NOW, ORDER, Json, job, with_context, with_properties, with_traits

WINDOW = 1_795_341_600

JOB = """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "1"
    access_token: env:TOKEN
    subscriptions: &all
      - {action: purchase}
      - {action: initiateCheckout}
      - {action: addToCart}
      - {action: viewContent}
      - {action: search}
      - {action: pageView}
      - action: custom
        trigger: all
        mapping:
          event_name: {"@path": $.event}
          custom_data: {"@path": $.properties}
          data_processing_options: {"@path": $.properties.limited}
          app_data_field: {use_app_data: {"@path": $.properties.app}, version: a2, osVersion: "18"}
      - {action: custom, name: lead, trigger: all, mapping: {event_name: Lead, content_name: {"@path": $.event}}}
      - {action: purchase, name: test, mapping: {test_event_code: {"@path": $.properties.code}}}
      - {action: purchase, name: merged, mapping: {user_data: {"@path": $.context.traits}}}
  - {name: twin, type: facebook_conversions_api, dataset_id: "2", access_token: env:TOKEN, test_event_code: T1,
     subscriptions: *all}
  - name: strict
    type: facebook_conversions_api
    dataset_id: {"@path": $.properties.brand}
    dataset_ids: {mugs: "3", hats: "4"}
    access_token: env:TOKEN
    restricted: true
    subscriptions: *all
  - name: limited
    type: facebook_conversions_api
    dataset_id: "5"
    access_token: env:TOKEN
    default_country: de
    consent: {any_of: [Advertising], on_refused: limit_data_use, on_unknown: send}
    personal_data_in_text: allow
    subscriptions: *all
  - name: allowing
    type: facebook_conversions_api
    dataset_id: "6"
    access_token: env:TOKEN
    allow_in_custom_data: [email, content_name]
    subscriptions: *all
  - name: stores
    type: facebook_offline_conversions
    access_token: env:TOKEN
    events: {Order Completed: ["7", "8", "9"], Product Added: "7"}
    lead_events: {Order Completed: "7"}
  - name: old
    type: facebook_offline_conversions
    access_token: env:TOKEN
    wire: offline_events
    value_field: price
    events: {Order Completed: ["7", "8"], Product Added: "7"}
"""

Notes = dict[str, Counter[str]]


def by_stages(
    engine: Engine, event: Json, keys: Sequence[str], notes: Callable[[str], Count]
) -> Iterator[Ready | Refused]:
    """What `Engine.encode` has to be equal to."""
    for key in keys:
        try:
            conversions = engine.name(event, key)
        except Exception as error:
            yield Refused("name", as_rejected(error), key, None, event)
            continue
        for conversion in conversions:
            yield engine.ready(conversion, NOW, notes(key), WINDOW)


def comparable(outcomes: Sequence[Ready | Refused] | Iterator[Ready | Refused]) -> list[Any]:
    """Outcomes as values: two of `Rejected` are equal where they say the same."""
    found: list[Any] = []
    for outcome in outcomes:
        if isinstance(outcome, Ready):
            found.append(outcome)
        else:
            stage, cause, *rest = outcome
            found.append((stage, cause.code, cause.message, cause.field, repr(cause.payload), *map(repr, rest)))
    return found


class Both:
    """Both ways of a job's events, compiled once."""

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self.keys = [subscription.key for subscription in subscriptions]
        self.at_once, self.staged = Engine(subscriptions), Engine(subscriptions)

    def __call__(self, event: Json, keys: Sequence[str] | None = None) -> list[Any]:
        """What becomes of an event, which has to be the same both ways."""
        keys = self.keys if keys is None else keys
        before = repr(event)
        counted: list[Notes] = [{key: Counter() for key in keys} for _ in range(2)]
        counts = [{key: _count(notes[key]) for key in keys} for notes in counted]
        expected = comparable(by_stages(self.staged, event, keys, counts[0].__getitem__))
        found = comparable(self.at_once.encode(event, keys, NOW, WINDOW, counts[1]))
        assert found == expected
        assert counted[1] == counted[0]
        assert repr(event) == before, "the event itself stays as it is"
        return found


def _count(notes: Counter[str]) -> Count:
    def count(name: str) -> None:
        notes[name] += 1

    return count


@cache
def both() -> Both:
    return Both(parse_job(JOB, today=date(2026, 11, 22)).subscriptions)


# --- both ways are one --------------------------------------------------------------------------------------------

BRANDED = with_properties(ORDER, brand="mugs")
PAGE = ORDER["context"]["page"]
ODD: dict[str, Json] = {
    "as most are": ORDER,
    "to a dataset that it chooses": BRANDED,
    "to no dataset": with_properties(ORDER, brand="socks"),
    "no messageId": {key: value for key, value in BRANDED.items() if key != "messageId"},
    "a messageId of many": {**BRANDED, "messageId": "undefined"},
    "a number as messageId": {**BRANDED, "messageId": 17},
    "no value": with_properties(BRANDED, revenue=None, total=None),
    "a price": with_properties(BRANDED, revenue=None, total=None, price="9.50"),
    "not a currency": with_properties(BRANDED, currency="jane@example.com"),
    "items that are left out": with_properties(BRANDED, products=[{"sku": "a"}, {"product_id": "b"}]),
    "a price that is none": with_properties(BRANDED, products=[{"sku": "a"}, {"product_id": "b", "price": "x"}]),
    "too old": {**BRANDED, "timestamp": "2026-01-22T09:58:20.123Z"},
    "in the future": {**BRANDED, "timestamp": "2026-12-22T09:58:20.123Z"},
    "lists of identifiers": with_traits(BRANDED, email=["a@b.example", "x", "a@b.example"], phone=["+1 202 555 0143"]),
    "nobody": with_context({**BRANDED, "userId": None, "anonymousId": None}, traits=None, ip=None, userAgent=None),
    "match keys too broad": with_context(
        {**with_properties(BRANDED, fbc=None, fbp=None), "userId": None, "anonymousId": None},
        traits={"gender": "f"},
        ip=None,
    ),
    "placeholders": with_traits(BRANDED, email="undefined", firstName="N/A", lastName=" null ", phone="(not set)"),
    "a click in the URL": with_context(BRANDED, page={**PAGE, "url": "https://shop.example.com/?fbclid=IwAR2_abcdef"}),
    "the address in the URL": with_context(
        BRANDED, page={**PAGE, "url": "https://shop.example.com/?who=Jane.Doe@example.com&q=O%27Connor&a=94107"}
    ),
    "a parameter in the URL": with_context(BRANDED, page={**PAGE, "url": "https://shop.example.com/a?step=17&x=y"}),
    "no web address": with_context(BRANDED, page={"url": "app://shop/1", "referrer": "about:blank"}),
    "personal data in texts": with_properties(BRANDED, note="jane@example.com", query="Jane 2025550143"),
    "an address as its name": {**BRANDED, "event": "a@b.example"},
    "an encoded address in a text": with_properties(BRANDED, note="jane%40example.com", order_id="a%40b.example"),
    "a test code of its own": with_properties(BRANDED, code="TEST9"),
    "limited": with_properties(BRANDED, limited=True),
    "an app's": with_properties(BRANDED, app=True, action_source="app"),
    "consent refused": with_context(BRANDED, consent={"categoryPreferences": {"Advertising": False}}),
    "consent granted": with_context(BRANDED, consent={"categoryPreferences": {"Advertising": True}}),
    "of a group": {**BRANDED, "type": "group", "traits": {"email": "info@example.com", "name": "Example"}},
    "traits of its own": {**with_context(BRANDED, traits=None), "traits": {"email": "jane@example.com"}},
    "no object where there should be one": {**BRANDED, "properties": [1], "context": "none"},
    "nothing at all": {},
    "what JSON cannot carry": with_properties(BRANDED, note={"n": 2**70}),
    "nested too deeply": with_properties(BRANDED, note=json.loads("[" * 300 + "]" * 300)),
}  # fmt: skip


@pytest.mark.parametrize("event", ODD.values(), ids=ODD)
def test_an_event_becomes_at_once_what_the_stages_make_of_it(event: Json) -> None:
    assert both()(event)


_KEYS = st.integers(0, 6).map(lambda start: both().keys[start::7])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_KEYS, st.lists(st.tuples(st.sampled_from(_PLACES), _ANY), max_size=4))
def test_an_altered_event_becomes_at_once_what_the_stages_make_of_it(
    keys: list[str], changes: list[tuple[list[str], Any]]
) -> None:
    both()(altered(BRANDED, changes), keys)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_KEYS, edited(st.sampled_from(list(ODD.values())[:-2]), "email", "traits"))
def test_a_garbled_event_becomes_at_once_what_the_stages_make_of_it(keys: list[str], event: Any) -> None:
    if isinstance(event, dict):
        both()(event, keys)


def test_an_event_that_is_made_to_cost_much_becomes_at_once_what_the_stages_make_of_it() -> None:
    keys = ["web/purchase", "strict/purchase", "allowing/custom", "old/events: Order Completed"]
    for _, made in adversary.events():
        both()(orjson.loads(made(1000)), keys)


def test_ordinary_events_become_at_once_what_the_stages_make_of_them() -> None:
    way = both()
    keys = [key for key in way.keys if key.partition("/")[2] in ("purchase", "addToCart", "viewContent", "custom")]
    for event in ordinary(100):
        way(event, keys)


def ordinary(count: int) -> Iterator[Json]:
    now = datetime.fromtimestamp(NOW, timezone.utc)
    return map(orjson.loads, benchmark.events(count, 7, now))


SHARED = Path(os.environ.get("CAPYBEAM_SHARED") or Path(__file__).parents[4] / "shared")
VECTORS = SHARED / "vectors" / "segment_action_cases.jsonl"


@pytest.mark.skipif(not VECTORS.is_file(), reason="the recorded cases are not here (CAPYBEAM_SHARED)")
def test_a_recorded_event_becomes_at_once_what_the_stages_make_of_it() -> None:
    for row in map(json.loads, VECTORS.read_text(encoding="utf-8").splitlines()):
        merged = merged_mapping(presets()[row["action"]], row["mapping"], row["useDefaultMappings"])
        (subscription,) = job(row["action"])
        Both([dataclasses.replace(subscription, mapping=merged)])(row["event"])


# --- one function for an event --------------------------------------------------------------------------------------


class Staged(Engine):
    """Counts the events that take the stages."""

    staged = 0

    def ready(self, conversion: Conversion, now: float, note: Count, window: int = 0) -> Ready | Refused:
        self.staged += 1
        return super().ready(conversion, now, note, window)


def ignoring(keys: Sequence[str]) -> dict[str, Count]:
    return dict.fromkeys(keys, lambda _: None)


ACTIONS = ("purchase", "initiateCheckout", "addToCart", "viewContent", "search", "pageView")
BY_ACTION = parse_job(
    json.dumps(
        {
            "destinations": [
                {
                    "name": "web",
                    "type": "facebook_conversions_api",
                    "dataset_id": "1",
                    "access_token": "env:TOKEN",
                    "subscriptions": [{"action": action} for action in ACTIONS],
                }
            ]
        }
    )
).subscriptions


def test_ordinary_events_do_not_take_the_stages() -> None:
    engine = Staged(BY_ACTION)

    for event in ordinary(100):
        (outcome,) = engine.encode(event, engine.match(event), NOW, WINDOW, ignoring(engine.match(event)))
        assert isinstance(outcome, Ready)

    assert engine.staged == 0


@pytest.mark.parametrize(
    "name",
    [
        *("as most are", "no messageId", "items that are left out", "lists of identifiers", "a parameter in the URL"),
        *("a click in the URL", "the address in the URL", "an encoded address in a text", "placeholders"),
    ],
)
def test_an_event_that_loses_a_part_does_not_take_the_stages(name: str) -> None:
    engine = Staged(job("purchase"))

    (outcome,) = engine.encode(ODD[name], ["web/purchase"], NOW, WINDOW, ignoring(["web/purchase"]))

    assert (type(outcome), engine.staged) == (Ready, 0)


OFFLINE = """
destinations:
  - name: stores
    type: facebook_offline_conversions
    access_token: env:TOKEN
    events: {Order Completed: ["7", "8"]}
  - {name: old, type: facebook_offline_conversions, access_token: env:TOKEN, wire: offline_events,
     events: {Order Completed: "7"}}
  - {name: strict, type: facebook_conversions_api, dataset_id: "1", access_token: env:TOKEN, restricted: true,
     subscriptions: [{action: purchase}]}
"""


def test_no_type_of_destination_takes_the_stages_for_an_ordinary_event() -> None:
    engine = Staged(parse_job(OFFLINE, today=date(2026, 11, 22)).subscriptions)
    keys = engine.match(ORDER)

    outcomes = engine.encode(ORDER, keys, NOW, WINDOW, ignoring(keys))

    assert ([type(outcome) for outcome in outcomes], engine.staged) == ([Ready] * 4, 0)


def test_what_is_left_out_is_counted_once() -> None:
    event = with_properties(with_traits(ORDER, email="x", phone=["+1 202 555 0143", "x"]), products=[{"sku": "a"}])
    notes: Counter[str] = Counter()

    engine = Staged(job("purchase"))
    engine.encode(event, ["web/purchase"], NOW, WINDOW, {"web/purchase": _count(notes)})

    assert engine.staged == 0
    assert notes == {"dropped_em": 1, "dropped_ph": 1, "contents_without_id": 1}


def test_what_is_counted_before_an_event_takes_the_stages_is_not_counted_twice() -> None:
    event = {**with_traits(ORDER, email="x"), "timestamp": "2026-01-22T09:58:20Z"}  # too old, which is seen last
    notes: Counter[str] = Counter()

    (outcome,) = Engine(job("purchase")).encode(event, ["web/purchase"], NOW, WINDOW, {"web/purchase": _count(notes)})

    assert isinstance(outcome, Refused)
    assert (outcome.stage, outcome.cause.code) == ("validate", "event_too_old")
    assert notes == {"dropped_em": 1}


# --- once for all that make the same --------------------------------------------------------------------------------


def many(count: int, **changes: Any) -> list[MetaSubscription]:
    """The same subscription of several destinations."""
    (subscription,) = job("purchase")
    return [
        dataclasses.replace(subscription, destination=f"web {number}", dataset_ids=(str(number),), **changes)
        for number in range(count)
    ]


def test_destinations_with_the_same_subscription_share_its_bytes() -> None:
    subscriptions = many(50)
    engine, keys = Staged(subscriptions), [subscription.key for subscription in subscriptions]
    notes = {key: Counter[str]() for key in keys}

    event = with_traits(ORDER, email="x")
    outcomes = engine.encode(event, keys, NOW, WINDOW, {key: _count(notes[key]) for key in keys})

    assert [outcome.key for outcome in outcomes if isinstance(outcome, Ready)] == [
        f'["web {number}","{number}","",""]' for number in range(50)
    ]
    assert len({id(outcome.line) for outcome in outcomes if isinstance(outcome, Ready)}) == 1
    assert all(notes[key] == {"dropped_em": 1} for key in keys)


def test_the_datasets_of_a_subscription_share_its_bytes_and_each_counts() -> None:
    (subscription,) = many(1)
    subscription = dataclasses.replace(subscription, dataset_ids=("1", "2", "3"))
    notes: Counter[str] = Counter()

    outcomes = Engine([subscription]).encode(
        with_traits(ORDER, email="x"), [subscription.key], NOW, WINDOW, {subscription.key: _count(notes)}
    )

    assert len(outcomes) == 3
    assert len({id(outcome.line) for outcome in outcomes if isinstance(outcome, Ready)}) == 1
    assert notes == {"dropped_em": 3}


def test_subscriptions_of_different_names_share_all_but_the_name() -> None:
    (one,) = many(1)
    subscriptions = [one, dataclasses.replace(one, name="größer"), dataclasses.replace(one, name="g")]
    keys = [subscription.key for subscription in subscriptions]
    engine = Staged(subscriptions)

    outcomes = engine.encode(ORDER, keys, NOW, WINDOW, ignoring(keys))

    envelopes = [Envelope.decode(outcome.line) for outcome in outcomes if isinstance(outcome, Ready)]
    assert [envelope.subscription for envelope in envelopes] == ["purchase", "größer", "g"]
    assert len({envelope._replace(subscription="") for envelope in envelopes}) == 1
    assert comparable(outcomes) == comparable(by_stages(engine, ORDER, keys, ignoring(keys).__getitem__))


def test_an_event_that_is_refused_takes_the_stages_once_for_all_that_make_the_same() -> None:
    subscriptions = many(50)
    engine, keys = Staged(subscriptions), [subscription.key for subscription in subscriptions]

    outcomes = engine.encode(with_properties(ORDER, currency="x"), keys, NOW, WINDOW, ignoring(keys))

    assert engine.staged == 1
    assert [outcome.subscription for outcome in outcomes if isinstance(outcome, Refused)] == keys
    assert [
        outcome.conversion.dataset_id for outcome in outcomes if isinstance(outcome, Refused) and outcome.conversion
    ] == [str(number) for number in range(50)]


def test_fifty_destinations_cost_much_less_than_fifty_times_one() -> None:
    def seconds(count: int) -> float:
        subscriptions = many(count)
        engine, keys = Engine(subscriptions), [subscription.key for subscription in subscriptions]
        return least_seconds(lambda: [engine.encode(ORDER, keys, NOW, WINDOW, ignoring(keys)) for _ in range(50)], 10)

    assert seconds(50) < 12 * seconds(1)  # 3 times on a quiet machine


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"mapping": {"value": {"@literal": 1}}}, {"mapping": {"value": {"@literal": 1.0}}}),
        ({"mapping": {"custom_data": {"a": 1}}}, {"mapping": {"custom_data": {"a": True}}}),
        ({"mapping": {"custom_data": {"a": 1, "b": 2}}}, {"mapping": {"custom_data": {"b": 2, "a": 1}}}),
        ({"default_country": "de"}, {"default_country": "at"}),
        ({"restricted": True}, {}),
        ({"personal_data_in_text": "allow"}, {}),
        ({"allow_in_custom_data": ["email"]}, {}),
        ({"consent": {"any_of": ["Ads"], "on_refused": "limit_data_use"}}, {}),
    ],
    ids=repr,
)
def test_what_may_make_other_bytes_is_not_shared(one: Json, other: Json) -> None:
    made = [job("purchase", settings.pop("mapping", None), **settings)[0] for settings in ({**one}, {**other})]

    assert made[0].encoding_key != made[1].encoding_key


def test_where_an_event_goes_is_no_part_of_what_is_shared() -> None:
    made = [
        job("purchase", name="web", test_event_code="T1", consent={"any_of": ["Ads"]})[0],
        job("purchase", name="crm", dataset_id={"@path": "$.brand"}, dataset_ids=["1", "2"])[0],
        job("purchase", subscription={"name": "orders", "trigger": "all"})[0],
    ]

    assert len({each.encoding_key for each in made}) == 1


def test_conversions_that_have_been_edited_take_the_stages() -> None:
    engine = Staged(job("purchase"), is_edited=True)

    engine.encode(ORDER, ["web/purchase"], NOW, WINDOW, ignoring(["web/purchase"]))

    assert engine.staged == 1
