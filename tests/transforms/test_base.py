"""The Beam steps: each alone on a real runner, its results and its rejections."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import orjson
import pytest
from apache_beam.testing.util import assert_that, equal_to

from capybeam.pipeline.job.loader import parse_job
from capybeam.transforms import batching
from capybeam.transforms.base import StepDoFn, share_run, with_rejections
from capybeam.transforms.batching import BatchByDestination
from capybeam.transforms.core.conversions import Conversion
from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.events import UnreadableRow
from capybeam.transforms.core.message_formats import compile_parsing
from capybeam.transforms.core.rejections import CODES, Rejection
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.filtering import FilterEvents
from capybeam.transforms.hashing import HashUserData
from capybeam.transforms.mapping import MapProperties
from capybeam.transforms.naming import MapEventNames
from capybeam.transforms.parsing import ParseEvents, _ParseEvents
from capybeam.transforms.validating import ValidateConversions

NOW = 1_795_000_000
JOB = parse_job(
    """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: pageView
      - {action: custom, name: signups, trigger: event = "Signed Up"}
"""
)
PAGE = {
    "type": "page",
    "messageId": "m1",
    "userId": "u1",
    "timestamp": NOW - 60,
    "context": {"userAgent": "UA", "ip": "192.0.2.1", "page": {"url": "https://shop.example.com/"}},
}
MAPPED = {
    "event_name": "PageView",
    "action_source": "website",
    "event_time": NOW - 60,
    "event_id": "m1",
    "event_source_url": "https://shop.example.com/",
    "user_data": {"externalId": "u1", "client_ip_address": "192.0.2.1", "client_user_agent": "UA"},
}
HASHED_USER = {
    "external_id": ["bb82030dbc2bcaba32a90bf2e207a84a856fc5f033b77c480836ab6f77f40f19"],
    "client_ip_address": "192.0.2.1",
    "client_user_agent": "UA",
}


def outputs(
    elements: list[Any], step: beam.PTransform, main: str, expected: list[Any], rejected: list[Any]
) -> RunContext:
    """Runs one step and asserts both of its outputs; the run that it belonged to."""
    run = RunContext()
    with beam.Pipeline("FnApiRunner") as pipeline:
        share_run(pipeline, run.handle)
        result = pipeline | beam.Create(elements) | step
        assert_that(result[main], equal_to(expected), label="results")
        assert_that(result.rejections, equal_to(rejected), label="rejections")
    return run


def test_parse_events_gives_events_and_rejects_lines_that_are_none() -> None:
    outputs(
        [b'{"type": "page"}\r', b"", b"  ", b"{", b"[1]"],
        ParseEvents(),
        "events",
        [{"type": "page"}],
        [
            _unreadable(b"{"),
            Rejection(
                "parse", "not_an_object", "The line is valid JSON, but an event is a JSON object.", payload=b"[1]"
            ),
        ],
    )


def test_parse_events_opens_envelopes_and_counts_each_event_that_is_in_them() -> None:
    batch = orjson.dumps({"batch": [{"type": "page", "name": "a"}, {"type": "page", "name": "b"}, 5, {"x": 1}]})
    no_event = "The object is not an event: it has no type, and no trigger takes it. Its keys: x."
    run = outputs(
        [batch, orjson.dumps({"detail": {"type": "page", "name": "c"}}), b'{"event":"Signed Up","name":"\\ud83d"}'],
        ParseEvents(JOB.subscriptions, "$.detail"),
        "events",
        [*({"type": "page", "name": name} for name in "abc"), {"event": "Signed Up", "name": "\ufffd"}],
        [
            Rejection("parse", "not_an_object", CODES["not_an_object"], payload=b"5"),
            Rejection("parse", "not_an_event", f"{no_event} unwrap finds nothing at $.detail.", payload=b'{"x":1}'),
        ],
    )
    assert run.progress.counts() == {
        "read": 6,
        "unparsable": 2,
        "note::replaced_characters": 1,
        "rejected::parse:not_an_object": 1,
        "rejected::parse:not_an_event": 1,
        f"no_event:{no_event} unwrap finds nothing at $.detail.": 1,
    }
    assert run.progress.remarks() == [f"parse/not_an_event: {no_event} unwrap finds nothing at $.detail."]


def test_only_the_first_object_that_is_no_event_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    run = RunContext()
    with caplog.at_level(logging.WARNING), beam.Pipeline("FnApiRunner") as pipeline:
        share_run(pipeline, run.handle)
        _ = pipeline | beam.Create([b'{"a":"jane@example.com"}', b'{"a":1}', b'{"a":2}']) | ParseEvents()
    counts = run.progress.counts()
    shown = "The object is not an event: it has no type, and no trigger takes it. Its keys: a."
    assert (counts[f"no_event:{shown}"], counts["unparsable"]) == (1, 3)
    assert [record.getMessage() for record in caplog.records] == [f"parse/not_an_event: {shown}"]


def test_a_defect_that_shows_while_an_envelope_is_opened_is_a_rejection_of_the_line() -> None:
    def broken(_event: Any) -> bool:
        raise KeyError("jane@example.com")

    line = b'{"batch":[{"type":"page"},{"x":1},{"type":"page"}]}'
    step = _ParseEvents((), None, True)
    step.setup()
    step.machinery = compile_parsing(broken)
    step.start_bundle()
    event, refused = step.process(line)
    message = "capybeam failed on this event; this is a bug in capybeam. (KeyError)"
    assert event == {"type": "page"}
    assert refused.value == Rejection("parse", "internal_error", message, payload=line)
    assert step.counters == {"read": 2, "unparsable": 1, "rejected::parse:internal_error": 1}


def test_parse_events_rejects_blank_messages_which_are_no_gaps_between_lines() -> None:
    message = "The line is not valid JSON: it is empty."
    outputs(
        [b'{"type": "page"}', b"", b"  "],
        ParseEvents(skip_blank=False),
        "events",
        [{"type": "page"}],
        [Rejection("parse", "invalid_json", message, payload=payload) for payload in (b"", b"  ")],
    )


def test_parse_events_takes_what_a_source_has_made_of_rows() -> None:
    outputs(
        [{"type": "page"}, UnreadableRow({"id": 1})],
        ParseEvents(),
        "events",
        [{"type": "page"}],
        [Rejection("parse", "unreadable_row", CODES["unreadable_row"], payload={"id": 1})],
    )


def _unreadable(line: bytes) -> Rejection:
    from capybeam.transforms.core.events import parse_event
    from capybeam.transforms.core.rejections import Rejected

    with pytest.raises(Rejected) as raised:
        parse_event(line)
    return Rejection("parse", "invalid_json", raised.value.message, payload=line)


def test_filter_events_names_every_subscription_that_takes_an_event_and_drops_the_others() -> None:
    signup = {"type": "page", "event": "Signed Up"}
    outputs(
        [PAGE, signup, {"type": "screen"}],
        FilterEvents(JOB.subscriptions),
        "matches",
        [(PAGE, "web/pageView"), (signup, "web/pageView"), (signup, "web/signups")],
        [],
    )


def test_map_event_names_gives_the_fixed_name_or_the_mapped_one() -> None:
    outputs(
        [(PAGE, "web/pageView"), ({"event": "Signed Up"}, "web/signups")],
        MapEventNames(JOB.subscriptions),
        "conversions",
        [
            Conversion("web/pageView", "PageView", "123321", PAGE, {}),
            Conversion("web/signups", "Signed Up", "123321", {"event": "Signed Up"}, {}),
        ],
        [],
    )


def test_map_properties_fills_the_fields_and_rejects_with_the_event_as_payload() -> None:
    nobody = {"type": "page", "messageId": "m2", "timestamp": "soon"}
    outputs(
        [Conversion("web/pageView", "PageView", "123321", event, {}) for event in (PAGE, nobody)],
        MapProperties(JOB.subscriptions),
        "conversions",
        [Conversion("web/pageView", "PageView", "123321", PAGE, MAPPED)],
        [
            Rejection(
                "map",
                "invalid_event_time",
                "event_time is neither ISO 8601 nor Unix seconds or milliseconds.",
                destination="web",
                subscription="pageView",
                dataset_id="123321",
                event_id="m2",
                payload=nobody,
            )
        ],
    )


def test_hash_user_data_lets_go_of_the_event() -> None:
    outputs(
        [Conversion("web/pageView", "PageView", "123321", PAGE, MAPPED)],
        HashUserData(JOB.subscriptions),
        "conversions",
        [Conversion("web/pageView", "PageView", "123321", None, {**MAPPED, "user_data": HASHED_USER})],
        [],
    )


def test_validate_conversions_gives_bytes_for_the_destination_and_rejects_what_meta_would() -> None:
    fields = {**MAPPED, "user_data": HASHED_USER}
    old = {**fields, "event_time": NOW - 8 * 86_400}
    with beam.Pipeline("FnApiRunner") as pipeline:
        result = (
            pipeline
            | beam.Create([Conversion("web/pageView", "PageView", "123321", None, f) for f in (fields, old)])
            | ValidateConversions(JOB.subscriptions, clock=_fixed_clock)
        )
        read = result.ready | beam.MapTuple(lambda key, line: (Address.decode(key), Envelope.decode(line)))
        body = (
            b'{"event_time":1794999940,"event_name":"PageView","event_id":"m1","action_source":"website","user_data":'
            b'{"external_id":["bb82030dbc2bcaba32a90bf2e207a84a856fc5f033b77c480836ab6f77f40f19"],"client_ip_address":'
            b'"192.0.2.1","client_user_agent":"UA"},"event_source_url":"https://shop.example.com/"}'
        )
        envelope = Envelope("pageView", "PageView", "m1", 1_794_999_940, 7 * 86_400, body)
        assert_that(read, equal_to([(("web", "123321", "", ""), envelope)]), label="ready")
        rejected = Rejection(
            "validate",
            "event_too_old",
            "The event is more than 7 days old; Meta does not accept older events.",
            destination="web",
            subscription="pageView",
            dataset_id="123321",
            event_id="m1",
            payload=old,
        )
        assert_that(result.rejections, equal_to([rejected]), label="rejections")


def _fixed_clock() -> float:
    return NOW


@pytest.mark.parametrize(
    ("max_events", "max_bytes", "sizes"),
    [(2, 1000, [2, 2, 1]), (1000, 25, [2, 2, 1]), (1000, 1000, [5]), (1, 1, [1, 1, 1, 1, 1])],
    ids=["by events", "by bytes", "all in one", "one by one"],
)
def test_batches_are_bounded_by_events_and_by_bytes(max_events: int, max_bytes: int, sizes: list[int]) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        batches = (
            pipeline
            | beam.Create([("web", b"0123456789")] * 5, reshuffle=False)
            | BatchByDestination(max_events, max_bytes)
            | beam.MapTuple(lambda key, lines: len(lines))
        )
        assert_that(batches, equal_to(sizes))


def test_batches_of_many_destinations_wait_within_a_bound_and_the_largest_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "_MOST_OPEN", 30)
    gather = batching._GatherInBundle(max_events=1000, max_bytes=1000)
    gather.start_bundle()
    sent = [list(gather.process((key, b"0123456789"))) for key in ("a", "b", "b", "c", "d", "d")]
    assert sent == [[], [], [], [("b", [b"0123456789"] * 2)], [], [("d", [b"0123456789"] * 2)]]
    assert [batch.value for batch in gather.finish_bundle()] == [("a", [b"0123456789"]), ("c", [b"0123456789"])]


def test_a_batch_belongs_to_one_destination() -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        batches = (
            pipeline
            | beam.Create([("web", b"1"), ("crm", b"2"), ("web", b"3")], reshuffle=False)
            | BatchByDestination()
        )
        assert_that(batches, equal_to([("web", [b"1", b"3"]), ("crm", [b"2"])]))


@pytest.mark.parametrize(("events", "size"), [(0, 1), (1, 0), (-1, 5)])
def test_a_batch_without_room_is_refused_at_construction(events: int, size: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        BatchByDestination(events, size)


class _Failing(StepDoFn[Callable[[], None]]):
    stage = "map"

    def compile(self) -> Callable[[], None]:
        return lambda: None

    def convert(self, element: Any) -> Any:
        raise KeyError(f"secret of {element}")

    def origin(self, element: Any) -> dict[str, Any]:
        return {"payload": element}


def test_a_defect_costs_one_event_and_its_values_reach_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with beam.Pipeline("FnApiRunner") as pipeline:
        result = with_rejections(pipeline | beam.Create(["jane@example.com"]), _Failing(), main="out")
        expected = Rejection(
            "map",
            "internal_error",
            "capybeam failed on this event; this is a bug in capybeam. (KeyError)",
            payload="jane@example.com",
        )
        assert_that(result.rejections, equal_to([expected]))
    assert "map: capybeam failed on this event; this is a bug in capybeam. (KeyError)" in caplog.text
    assert "secret" not in caplog.text


def test_a_bundle_that_fails_and_is_done_again_is_counted_once() -> None:
    """A bundle that fails elsewhere is not finished here, and what it has counted comes again."""
    step, lines = _ParseEvents((), None, skip_blank=True), [b'{"type": "page"}', b"{", b'{"type": "track"}']
    step.setup()
    for part in (lines[:2], lines[:1], lines):
        step.start_bundle()
        for line in part:
            list(step.process(line))
    expected = {"read": 3, "unparsable": 1, "rejected::parse:invalid_json": 1}
    before = step.context.progress.counts()
    step.finish_bundle()
    assert before == step.context.progress.counts() == expected
    assert step.counters == {}


def test_bundles_at_the_same_time_are_all_counted() -> None:
    run, steps = RunContext(), [_ParseEvents((), None, skip_blank=True) for _ in range(3)]
    for step in steps:
        step.run = run.handle
        step.setup()
        step.start_bundle()
        list(step.process(b'{"type": "page"}'))
    steps[0].finish_bundle()
    assert run.progress.counts() == {"read": 3}


def test_steps_carry_definitions_and_pickle() -> None:
    for step in (
        FilterEvents(JOB.subscriptions),
        MapEventNames(JOB.subscriptions),
        MapProperties(JOB.subscriptions),
        HashUserData(JOB.subscriptions),
        ValidateConversions(JOB.subscriptions),
        BatchByDestination(),
    ):
        assert pickle.loads(pickle.dumps(step)) == step
