"""Large jobs: a subscription is compiled when its first event comes, equal mappings once, and nothing stays."""

from __future__ import annotations

import dataclasses
import gc
import json
import linecache
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.transforms.converting import ConvertEvents, _ConvertEvents
from capybeam.transforms.core.conversions import ignore
from capybeam.transforms.core.envelope import Envelope, Ready
from capybeam.transforms.core.function_writer import FunctionWriter
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.hashing import _HashUserData
from capybeam.transforms.language.directives.registry import MappingError
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.language.triggers import parse_trigger
from capybeam.transforms.mapping import _MapProperties
from capybeam.transforms.naming import _MapEventNames
from tests.timing import least_seconds
from tests.transforms.shop import NOW, ORDER, subscription

ACTIONS = ("purchase", "initiateCheckout", "addToCart", "viewContent", "search", "pageView")


def job_text(custom: int, destinations: int = 1) -> str:
    """A job of the actions with a default mapping and so many subscriptions to events of one name each, all of it for
    each destination."""
    named: list[dict[str, Any]] = [
        {
            "action": "custom",
            "name": f"custom-{number}",
            "trigger": f'type = "track" and event = "Custom {number}"',
            "mapping": {"event_name": f"Custom{number}", "custom_data": {"x": {"@path": f"$.properties.x{number}"}}},
        }
        for number in range(custom)
    ]
    return json.dumps(
        {
            "destinations": [
                {
                    "name": f"web-{number}",
                    "type": "facebook_conversions_api",
                    "dataset_id": str(1000 + number),
                    "access_token": "env:TOKEN",
                    "subscriptions": [*({"action": action} for action in ACTIONS), *named],
                }
                for number in range(destinations)
            ]
        }
    )


def by_the_chain(engine: Engine, event: dict[str, Any]) -> list[Ready]:
    """As the composable steps do it."""
    return [
        engine.validate(engine.hash(engine.map(conversion), ignore), NOW, ignore)
        for key in engine.match(event)
        for conversion in engine.name(event, key)
    ]


def custom_event(number: int) -> dict[str, Any]:
    return {**ORDER, "event": f"Custom {number}", "properties": {f"x{number}": number}}


@contextmanager
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the functions that are written meanwhile."""
    names: list[str] = []
    function = FunctionWriter.function

    def counted(writer: FunctionWriter, result: str) -> Any:
        names.append(writer.name)
        return function(writer, result)

    with monkeypatch.context() as patched:
        patched.setattr(FunctionWriter, "function", counted)
        yield names


# --- what is compiled, and when ---------------------------------------------------------------------------------


def test_a_subscription_is_compiled_when_its_first_event_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(parse_job(job_text(custom=194)).subscriptions)
    only = Engine(each for each in engine.subscriptions if each.name == "custom-7")
    by_the_chain(only, custom_event(7))  # compiles what subscriptions share
    with compiled(monkeypatch) as alone:
        by_the_chain(Engine(only.subscriptions), custom_event(7))
    with compiled(monkeypatch) as at_setup:
        _ = engine.match, engine.name, engine.map, engine.hash, engine.validate
    with compiled(monkeypatch) as at_first:
        (ready,) = by_the_chain(engine, custom_event(7))
    with compiled(monkeypatch) as later:
        assert by_the_chain(engine, custom_event(7)) == [ready]

    assert json.loads(Envelope.decode(ready.line).body)["event_name"] == "Custom7"
    assert at_setup == ["trigger"]
    assert at_first == alone
    assert later == []


def test_destinations_with_the_same_mapping_share_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    with compiled(monkeypatch) as for_one:
        (alone,) = by_the_chain(Engine(parse_job(job_text(0)).subscriptions), ORDER)
    with compiled(monkeypatch) as for_many:
        ready = by_the_chain(Engine(parse_job(job_text(0, destinations=20)).subscriptions), ORDER)

    assert len(ready) == 20
    assert {Envelope.decode(each.line).body for each in ready} == {Envelope.decode(alone.line).body}
    assert len({each.key for each in ready}) == 20
    assert for_many.count("mapped") == for_one.count("mapped") > 0


def test_mappings_that_python_takes_for_equal_keep_what_each_of_them_says() -> None:
    (custom,) = (each for each in parse_job(job_text(custom=1)).subscriptions if each.name == "custom-0")
    literals = [1, True, 1.0, float("nan"), None, "1"]
    subscriptions = [
        dataclasses.replace(custom, name=str(number), mapping={**custom.mapping, "custom_data": {"x": value}})
        for number, value in enumerate(literals)
    ]

    def custom_data(engine: Engine) -> list[Any]:
        event = custom_event(0)
        return [
            engine.map(conversion).fields.get("custom_data")
            for key in engine.match(event)
            for conversion in engine.name(event, key)
        ]

    alone = [custom_data(Engine([each]))[0] for each in subscriptions]
    assert repr(custom_data(Engine(subscriptions))) == repr(alone)
    assert repr(alone[:3]) == "[{'x': 1}, {'x': True}, {'x': 1.0}]"


def test_threads_that_bring_a_subscriptions_first_event_get_the_same() -> None:
    engine = Engine(parse_job(job_text(custom=20)).subscriptions)
    barrier, results = threading.Barrier(6), []

    def work() -> None:
        barrier.wait()
        results.append([by_the_chain(engine, custom_event(number)) for number in range(20)])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = Engine(parse_job(job_text(custom=20)).subscriptions)
    assert results == [[by_the_chain(alone, custom_event(number)) for number in range(20)]] * 6


# --- what is wrong shows before there are events ----------------------------------------------------------------

WRONG = {"@pth": "$.properties.total"}


def _convert_events(subscriptions: tuple[Subscription, ...]) -> Any:
    return _ConvertEvents(ConvertEvents(subscriptions))


@pytest.mark.parametrize(
    ("step", "mapping"),
    [
        (_MapEventNames, {"event_name": WRONG}),
        (_MapProperties, {"event_name": "Lead", "value": WRONG}),
        (_MapProperties, {"event_name": "Lead", "user_data": {"email": {"@path": "$.a", "@case": {}}}}),
        (_convert_events, {"event_name": WRONG}),
        (_convert_events, {"event_name": "Lead", "value": WRONG}),
    ],
)
def test_a_mapping_that_cannot_be_compiled_is_an_error_when_a_step_is_set_up(step: Any, mapping: Any) -> None:
    wrong: Subscription = subscription("wrong", mapping=mapping)
    step((subscription("sound"),)).setup()
    with pytest.raises(MappingError):
        step((subscription("sound"), wrong)).setup()


# --- notes ------------------------------------------------------------------------------------------------------


def test_a_bundle_has_the_notes_of_the_subscriptions_that_it_has_conversions_of() -> None:
    step = _HashUserData(parse_job(job_text(custom=194)).subscriptions)
    step.setup()
    counted = []
    for _ in range(2):
        step.start_bundle()
        step.notes["web-0/custom-7"]("dropped_em")
        step.notes["web-0/custom-7"]("dropped_em")
        step.notes["web-0/purchase"]("dropped_ph")
        assert list(step.notes) == ["web-0/custom-7", "web-0/purchase"]
        counted.append(dict(step.counters))
        step.finish_bundle()
    assert (
        counted
        == [
            {"note:web-0/custom-7:dropped_em": 2, "note:web-0/purchase:dropped_ph": 1},
        ]
        * 2
    )


# --- cost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("custom", [200, 1000])
def test_every_trigger_of_a_large_job_is_parsed_once(custom: int) -> None:
    parse_trigger.cache_clear()
    engine = Engine(parse_job(job_text(custom)).subscriptions)
    _ = engine.match
    assert parse_trigger.cache_info().misses == custom + len(ACTIONS)


def test_nothing_of_an_engine_is_left_when_it_is_let_go() -> None:
    def work() -> None:
        engine = Engine(parse_job(job_text(custom=50)).subscriptions)
        for number in range(50):
            assert len(by_the_chain(engine, custom_event(number))) == 1

    def functions() -> int:
        gc.collect()
        FunctionWriter("another").function("1")  # with which those that are gone are forgotten
        return sum(name.startswith("<capybeam ") for name in linecache.cache)

    work()
    before = functions()
    work()
    assert functions() == before


@pytest.mark.alone
def test_a_job_of_200_subscriptions_has_its_first_event_out_within_a_second() -> None:
    text = job_text(custom=194)
    parse_job(job_text(0))  # what every job needs once in a process

    def first_event_out() -> None:
        parse_trigger.cache_clear()
        assert len(by_the_chain(Engine(parse_job(text).subscriptions), ORDER)) == 1

    seconds = least_seconds(first_event_out)
    assert seconds < 1, f"{seconds:.2f} s"


@pytest.mark.alone
def test_an_event_costs_at_most_twice_as_much_among_200_subscriptions_as_among_6() -> None:
    few, many = (Engine(parse_job(job_text(custom)).subscriptions) for custom in (0, 194))
    assert by_the_chain(few, ORDER) == by_the_chain(many, ORDER)

    def seconds(engine: Engine) -> float:
        return least_seconds(lambda: [by_the_chain(engine, ORDER) for _ in range(500)], 5)

    ratio = seconds(many) / seconds(few)
    assert ratio < 2, f"{ratio:.2f}"
