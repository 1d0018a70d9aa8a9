"""One event costs what it is long: no more than 1 ms + n × 1 µs for n bytes, and memory in proportion.

Over every part that looks at what an event brings: directives, types of fields, normalisers, conditions of triggers,
and the whole way of an event up to its bytes or its dead letter. See `tests.adversary`.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.transforms.core.events import parse_event
from capybeam.transforms.core.memos import Memo
from capybeam.transforms.core.rejections import Rejected, as_rejected, reject
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.language import fields
from capybeam.transforms.language.directives.registry import DIRECTIVES
from capybeam.transforms.language.fields import Field, FieldError, compile_check
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.language.triggers import compile_trigger
from capybeam.transforms.meta.personal_data.keys import is_personal
from capybeam.transforms.meta.user_data import KEYS, compile_user_data, fbc_from_url, normaliser
from tests import adversary
from tests.adversary import check_time

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

TEXT = {"@path": "$.properties.text"}
MAPPINGS: Mapping[str, list[Any]] = {
    "@path": [TEXT, {"@path": "$.properties.list.0.a"}, {"@path": {"@path": "$.properties.path"}}],
    "@template": [
        {"@template": "a {{properties.text}} b {{properties.list}} c"},
        {"@template": {"@path": "$.properties.template"}},
        {"@template": TEXT},
    ],
    "@literal": [{"@literal": TEXT}],
    "@if": [{"@if": {"blank": TEXT, "then": TEXT, "else": {"@path": "$.properties.list"}}}],
    "@case": [{"@case": {"operator": operator, "value": TEXT}} for operator in ("lower", "upper")],
    "@replace": [
        {"@replace": {"value": TEXT, "pattern": "1", "replacement": "[$1]", "pattern2": "a", "replacement2": "aa"}},
        {"@replace": {"value": TEXT, "pattern": "aaaaaaaaab", "ignorecase": True}},
        {"@replace": {"value": TEXT, "pattern": "  ", "replacement": " ", "global": False}},
    ],
    "@arrayPath": [{"@arrayPath": ["$.properties.list", {"a": {"@path": "$.a"}, "b": {"@template": "{{a}}{{b}}"}}]}],
    "@merge": [{"@merge": {"direction": "right", "objects": [TEXT, {"@path": "$."}, TEXT]}}],
    "@flatten": [
        {"@flatten": {"value": {"@path": "$.properties"}, "separator": "."}},
        {"@flatten": {"value": {"@path": "$."}, "separator": "_", "omitArrays": True}},
        {"@flatten": {"value": {"@path": "$.properties"}, "separator": {"@path": "$.properties.separator"}}},
    ],
    "@json": [
        {"@json": {"mode": "encode", "value": {"@path": "$."}}},
        {"@json": {"mode": "encode", "value": {"@json": {"mode": "encode", "value": TEXT}}}},
        {"@json": {"mode": "decode", "value": TEXT}},
    ],
    "@transform": [
        {"@transform": {"apply": {"a": TEXT, "b": {"@path": "$."}}, "mapping": {"@template": "{{a}}{{b}}"}}},
    ],
    "@excludeWhenNull": [{"@excludeWhenNull": {"@path": "$.properties"}}],
    "@coalesce": [{"@coalesce": [{"@path": "$.properties.none"}, TEXT, {"@path": "$.properties"}]}],
    "@omit": [{"@omit": {"object": {"@path": "$.properties"}, "keys": ["revenue"]}}],
    "@words": [{"@words": {"value": TEXT, "take": take}} for take in ("first", "rest")],
    "@liquid": [
        {"@liquid": "{{ properties.text | upcase }}{% if properties.list %}!{% endif %}"},
        {"@liquid": "{{ (1..1000000000) | join }}"},
        {"@liquid": "{% assign x = properties.text %}" + "{% assign x = x | append: x %}" * 20 + "{{ x | size }}"},
        {"@liquid": "{{ properties.text | split: 'a' | join: properties.text | truncatewords: 3 }}"},
        {"@liquid": "{{ properties.text | strip_html | slugify }}{{ properties.text | date: '%Y' }}"},
        {"@liquid": "{{ properties.list | json }}{{ properties.text | divided_by: 7 }}"},
    ],
}  # fmt: skip
TRIGGERS = (
    'match(properties.text, "*a*a*a*b") or match(properties.text, "*1?1*x?*?1")',
    'match(event, "?*Completed*?x") or match(properties.text, "* * * *\\n")',
    'contains(properties.text, "aaaaaaaab") or contains(properties.text, "1111111x")',
    "length(properties.list) > 1 or length(properties.text) = 5",
    'lowercase(properties.text) = "a" or typeof(properties.text) = "array"',
    f"properties.text in [{', '.join(map(str, range(2000)))}] or not event in [\"a\", 'b', null]",
    "properties.list[99999999999999999999].a = null and properties.text.a.b.c != 5",
)


def rejected(run: Callable[[Any], object]) -> Callable[[Any], None]:
    """A run that may end in a rejection, though in none for a defect."""

    def running(data: Any) -> None:
        with contextlib.suppress(Rejected, FieldError, RecursionError):
            run(data)

    return running


# --- part by part -----------------------------------------------------------------------------------------------


def test_every_directive_is_tried() -> None:
    assert MAPPINGS.keys() == DIRECTIVES.keys()


@pytest.mark.parametrize("directive", MAPPINGS)
def test_a_directive_takes_what_the_event_is_long(directive: str) -> None:
    for mapping in MAPPINGS[directive]:
        mapped = compile_mapping({"a": mapping})
        run = rejected(lambda line, mapped=mapped: mapped(parse_event(line)))
        for name, make in adversary.events():
            check_time(f"{mapping} of {name}", make, run)


@pytest.mark.parametrize("type_", sorted(fields.TYPES))
def test_a_type_takes_what_the_text_is_long(type_: str) -> None:
    check = compile_check(Field("a", type_))
    for name, make in adversary.texts():
        check_time(f"{type_} of {name}", make, rejected(check))


@pytest.mark.parametrize(
    ("wire", "region"), [*((key.wire, None) for key in KEYS.values() if key.hashed), ("ph", "US"), ("ph", "DE")]
)
def test_a_normaliser_takes_what_the_text_is_long(wire: str, region: str | None) -> None:
    normalise = normaliser(wire, region)
    normalise("1 (650) 555-1212")  # which reads tables
    for name, make in adversary.texts():
        check_time(f"{wire} of {name}", make, normalise)


def test_a_key_that_is_not_hashed_takes_what_the_text_is_long() -> None:
    names = [name for name, key in KEYS.items() if not key.hashed]
    hashed = compile_user_data(names=frozenset(names))
    for name, make in adversary.texts():
        check_time(name, make, lambda text: hashed(dict.fromkeys(names, text), lambda note: None))


def test_a_url_takes_what_it_is_long() -> None:
    for name, make in adversary.texts():
        check_time(f"?{name}", lambda n, make=make: f"https://a/?fbclid=&{make(n)}", lambda url: fbc_from_url(url, 1))


def test_a_key_of_custom_data_takes_what_it_is_long() -> None:
    for name, make in adversary.texts():
        check_time(name, make, is_personal)


@pytest.mark.parametrize("trigger", TRIGGERS, ids=range(len(TRIGGERS)))
def test_a_trigger_takes_what_the_event_is_long(trigger: str) -> None:
    takes = compile_trigger(trigger)
    for name, make in adversary.events():
        check_time(f"{trigger} of {name}", make, rejected(lambda line: takes(parse_event(line))))
    for name, make in adversary.texts():
        check_time(f"{trigger} of {name}", make, lambda text: takes({"event": text, "properties": {"text": text}}))


# --- the whole way ----------------------------------------------------------------------------------------------

JOB = orjson.dumps(
    {
        "destinations": [
            {
                "name": "web",
                "type": "facebook_conversions_api",
                "dataset_id": "1",
                "access_token": "env:TOKEN",
                "default_country": "US",
                "subscriptions": [
                    {"action": "purchase", "trigger": "all"},
                    {
                        "action": "custom",
                        "trigger": 'match(event, "*a*b") or all',
                        "mapping": {
                            "event_name": {"@path": "$.event"},
                            "custom_data": {"@merge": {"direction": "left", "objects": [{"@path": "$.properties"}]}},
                            "content_name": {"@liquid": "{{ properties.text | upcase }}"},
                            "test_event_code": {"@path": "$.properties.text"},
                            "attribution_data": {"@path": "$.properties.text"},
                            "app_data_field": {"use_app_data": True, "version": "a2", "osVersion": TEXT},
                        },
                    },
                ],
            },
            {
                "name": "stores",
                "type": "facebook_offline_conversions",
                "access_token": "env:TOKEN",
                "events": {"Order Completed": "2"},
                "wire": "offline_events",
                "endpoint": "https://example.com",
            },
        ]
    }
).decode()


class Way:
    """From a line to the codes of what becomes of it."""

    def __init__(self, text: str) -> None:
        job = parse_job(text)
        self._matching = Engine(job.subscriptions).match
        self._named = Engine(job.subscriptions).name
        self._mapped = Engine(job.subscriptions).map
        self._hashed = Engine(job.subscriptions).hash
        self._validated = Engine(job.subscriptions, job.delivery.max_batch_bytes).validate
        self.notes: Counter[str] = Counter()

    def outcomes(self, line: bytes) -> list[str]:
        codes = []
        try:
            event = parse_event(line)
        except Rejected as cause:
            reject("parse", cause, payload=line).encode()
            return [cause.code]
        for key in self._matching(event):
            try:
                for conversion in self._named(event, key):
                    hashed = self._hashed(self._mapped(conversion), self._note)
                    self._validated(hashed, time.time(), self._note)
                    codes.append("ready")
            except Exception as error:
                cause = as_rejected(error)
                reject("map", cause, payload=event if cause.payload is None else cause.payload).encode()
                codes.append(cause.code)
        return codes

    def _note(self, name: str) -> None:
        self.notes[name] += 1


def test_an_event_takes_what_it_is_long_and_none_shows_a_defect() -> None:
    way = Way(JOB)
    way.outcomes(orjson.dumps(adversary.everywhere("x")))  # which reads tables
    for name, make in adversary.events():
        check_time(name, make, way.outcomes)
        for n in (100, 3_000):
            assert "internal_error" not in way.outcomes(make(n)), name


def test_the_memory_that_an_event_takes_is_in_proportion() -> None:
    way = Way(JOB)
    way.outcomes(orjson.dumps(adversary.everywhere("x")))
    for name, make in itertools.islice(adversary.events(), 0, None, 2):
        line = make(30_000)
        peak = adversary.peak_of(lambda line=line: way.outcomes(line))
        assert peak <= 3_000_000 + 150 * len(line), f"{name}: {len(line):,} bytes take {peak:,}"


# --- what is remembered -----------------------------------------------------------------------------------------


def test_nothing_of_long_texts_is_remembered() -> None:
    way = Way(JOB)
    way.outcomes(orjson.dumps(adversary.everywhere("x")))

    def run() -> None:
        for number in range(150):
            way.outcomes(orjson.dumps(adversary.everywhere(f"{number} é" * 2_500)))
            way.outcomes(orjson.dumps(adversary.event(timestamp=f"2026-11-22T09:58:20.{number}{'0' * 10_000}Z")))

    assert adversary.kept_by(run) < 1_000_000


def test_a_memo_keeps_what_comes_again_within_its_bytes_and_no_long_text() -> None:
    asked: Counter[str] = Counter()

    def shout(text: str) -> str:
        asked[text[:1]] += 1
        return text.upper()

    memo = Memo(shout, max_bytes=20_000)
    for text in ("a", "b" * 64, "c" * 65):
        assert [memo[text], memo[text]] == [text.upper()] * 2
    assert asked == {"a": 1, "b": 1, "c": 2}
    kept = adversary.kept_by(lambda: [memo[f"{number:064}"] for number in range(10_000)] and None)
    assert kept < 30_000
    assert memo["9999".zfill(64)] == "9999".zfill(64)
    assert asked["0"] == 10_000


@pytest.mark.parametrize(("key", "texts", "most"), [("firstName", 40_000, 8.8e6), ("country", 20_000, 2.2e6)])
def test_what_is_remembered_of_short_texts_has_a_bound(key: str, texts: int, most: float) -> None:
    hashed = compile_user_data(names=frozenset({key}))
    hashed({key: "x"}, lambda note: None)

    def run() -> None:
        for number in range(texts):
            hashed({key: f"{number:x}é"}, lambda note: None)

    assert adversary.kept_by(run) < most


def test_what_is_remembered_of_phone_numbers_has_one_bound_for_all_default_countries() -> None:
    countries = [normaliser("ph", country) for country in ("de", "fr", "us", "gb", "it", "es", "nl", "se", "no", "dk")]

    def run() -> None:
        for normalise in countries:
            for number in range(4_000):
                normalise(f"+49 30 {number:08}")

    assert adversary.kept_by(run) < 8.8e6  # a memo for each country: 14 MB
