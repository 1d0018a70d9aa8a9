"""ConvertEvents gives, rejects, notes and counts what the six composable steps do together."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import itertools
import json
import os
import pickle
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from apache_beam.pvalue import TaggedOutput
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.pipeline.job.loader import parse_job
from capybeam.transforms.base import REJECTIONS, CountingDoFn
from capybeam.transforms.batching import BatchByDestination
from capybeam.transforms.converting import ConvertEvents, _ConvertEvents
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.events import LongLine, UnreadableRest, UnreadableRow
from capybeam.transforms.core.run_context import RunContext, RunHandle
from capybeam.transforms.core.windows import WindowCounts, Windows, add_window_counts
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.filtering import _FilterEvents
from capybeam.transforms.hashing import _HashUserData
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.mapping import _MapProperties
from capybeam.transforms.meta.subscriptions import MetaSubscription
from capybeam.transforms.naming import _MapEventNames
from capybeam.transforms.parsing import _ParseEvents
from capybeam.transforms.validating import _ValidateConversions
from tests import adversary
from tests.transforms.shop import NOW, ORDER, Json

MAX_BYTES = 4_000
JOB = parse_job(
    """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "1"
    access_token: env:TOKEN
    test_event_code: TEST1
    default_country: us
    subscriptions:
      - {action: purchase, trigger: 'event = "Order Completed"'}
      - {action: custom, name: dear, trigger: 'properties.total > 20', mapping: {event_name: {"@path": $.event}}}
      - action: custom
        name: unnamed
        trigger: properties.unnamed != null
        mapping: {event_name: {"@path": {"@path": $.properties.unnamed}}}
      - {action: pageView, trigger: 'type = "page" or contains(context.page.url, "checkout")'}
  - name: again
    type: facebook_conversions_api
    dataset_id: "1"
    access_token: env:TOKEN
    subscriptions: [{action: purchase, trigger: 'event = "Order Completed"'}]
  - name: stores
    type: facebook_offline_conversions
    access_token: env:TOKEN
    events: {Order Completed: ["5", "6"]}
    upload_tag: tag
  - name: asked
    type: facebook_conversions_api
    dataset_id: "2"
    access_token: env:TOKEN
    consent: {any_of: Advertising, on_refused: filter, on_unknown: limit_data_use}
    subscriptions: [{action: purchase}, {action: search}]
  - name: brands
    type: facebook_conversions_api
    dataset_id: {"@path": $.properties.brand}
    dataset_ids: {mugs: ["7"], all: ["7", "8"]}
    access_token: env:TOKEN
    subscriptions: [{action: purchase}]
"""
)


# --- both ways --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Way:
    """Steps one after the other, as a runner calls them in one bundle."""

    steps: Sequence[CountingDoFn]
    clock: Callable[[], Callable[[], float]] | None = None

    def __call__(self, rows: Iterable[Any]) -> dict[str, Any]:
        """All that comes of rows: what is ready, rejections, counters, remarks and the books in windows."""
        self._ready: Counter[Any] = Counter()
        self._rejections: Counter[bytes] = Counter()
        self._counted: dict[str, WindowCounts] = {}
        run = RunContext(RunHandle(windows=Windows(60, self.clock()) if self.clock else None))
        for step in self.steps:
            step.run = run.handle
            step.setup()
            step.start_bundle()
        for row in rows:
            self._put(copy.deepcopy(row), 0)
        for step in self.steps:
            for output in step.finish_bundle():
                if isinstance(output, TaggedOutput):
                    key, counts = output.value.value
                    add_window_counts(self._counted.setdefault(key, {}), counts)
                else:
                    self._put(output.value, len(self.steps))
        return {
            "ready": self._ready,
            "rejections": self._rejections,
            "counts": run.progress.counts(),
            "remarks": run.progress.remarks(),
            "windows": self._counted,
        }

    def _put(self, element: Any, number: int) -> None:
        if number == len(self.steps):
            key, lines = element
            self._ready[(key, *lines) if isinstance(lines, list) else (key, lines)] += 1
            return
        for output in self.steps[number].process(element):
            if isinstance(output, TaggedOutput):
                assert output.tag == REJECTIONS
                self._rejections[output.value.encode(NOW)] += 1
            else:
                self._put(output, number + 1)


def now() -> float:
    return NOW


def both(
    subscriptions: tuple[Subscription, ...],
    unwrap: str | None = None,
    skip_blank: bool = True,
    clock: Callable[[], Callable[[], float]] | None = None,
) -> tuple[Way, Way]:
    """The six steps and the one.

    Args:
        clock: makes the clock of the books' windows; None for a run without them.
    """
    six = [
        _ParseEvents(subscriptions, unwrap, skip_blank),
        _FilterEvents(subscriptions),
        _MapEventNames(subscriptions),
        _MapProperties(subscriptions),
        _HashUserData(subscriptions),
        _ValidateConversions(subscriptions, MAX_BYTES, now),
    ]
    one = [_ConvertEvents(ConvertEvents(subscriptions, MAX_BYTES, unwrap, skip_blank, now))]
    return Way(six, clock), Way(one, clock)


def of_twenty_seconds() -> Callable[[], float]:
    """A clock that goes on by twenty seconds whenever it is looked at, as it is for each row that arrives."""
    ticks = itertools.count(600, 20)
    return lambda: float(next(ticks))


WITH_WINDOWS = both(JOB.subscriptions, clock=of_twenty_seconds)
WITHOUT = both(JOB.subscriptions)
OF_MESSAGES = both(JOB.subscriptions, unwrap="$.detail", skip_blank=False)
# What the subscriptions look up does not depend on the event, so that the one step passes over all else.
IN_PART = both(tuple(each for each in JOB.subscriptions if each.name != "unnamed"))
ALL_WAYS = (WITH_WINDOWS, WITHOUT, OF_MESSAGES, IN_PART)


def check_same(rows: Sequence[Any], ways: Sequence[tuple[Way, Way]] = ALL_WAYS) -> None:
    for six, one in ways:
        assert one(rows) == six(rows)


# --- rows -------------------------------------------------------------------------------------------------------------

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(
        ["USD", "website", "jane@example.com", "2/16/1997", "+1 202 555 0143", "US", "mugs", "all", "$.["]
    )
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
_PLACES = st.sampled_from(
    [
        *("type", "event", "messageId", "userId", "timestamp", "traits", "context", "properties", "context.ip"),
        *("context.page.url", "context.traits.email", "context.traits.phone", "context.traits.address.country"),
        *("properties.currency", "properties.revenue", "properties.total", "properties.brand", "properties.unnamed"),
        *("properties.products", "properties.products.0", "properties.products.0.price", "properties.fbc", "user_id"),
        *("context.consent", "context.consent.categoryPreferences", "context.consent.categoryPreferences.Advertising"),
    ]
)


def altered(changes: Iterable[tuple[str, Any]]) -> Json:
    """An order with other values at some places."""
    event = copy.deepcopy(ORDER)
    for place, value in changes:
        *parents, last = place.split(".")
        target: Any = event
        for parent in parents:
            if isinstance(target, list):
                target = target[int(parent)] if parent.isdigit() and int(parent) < len(target) else None
            elif isinstance(target, dict):
                target = target.setdefault(parent, {})
        if isinstance(target, dict):
            target[last] = value
    return event


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


_UNREAD = (
    *(b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud800"', b'"\\ud800\\u0041"', b'"\x01"', b'"\\x"', b'"\\u12"', b'{"\xff":1}'),
    *(b"[1,]", b'{"a":1,}', b"01", b"1.", b"1e", b"-", b"tru", b"NaN", b"1e5", b"123456789012345678901234567890"),
    *(b'"a"x', b"[}", b"'a'", b"/**/1", b"[" * 900 + b"]" * 900),
)
_DEEP = (b"[" * 1_100 + b"]" * 1_100, b'{"a":' * 200_000 + b"1" + b"}" * 200_000, b"[" * 200_000)
_EVENTS = st.lists(st.tuples(_PLACES, _VALUES), max_size=4).map(altered)
_ODD = st.sampled_from(
    [
        *(b"", b"  ", b"\r", b"\xef\xbb\xbf", b"{", b"[1]", b"5", b'{"a":1}', b'{"type":"page"}', b"\xff{", b"{}\n{}"),
        *(b'{"user_id":"u","type":"Track"}', b'{"event":"Order Completed","user_id":1,"name":"\\ud83d"}'),
        *(b"[" * 2_000, b'{"type":"page","a":' + b"[" * 1_000 + b"]" * 1_000 + b"}"),
        as_json({**ORDER, "timestamp": "2026-01-01T00:00:00Z"}),
        as_json({**ORDER, "properties": {**ORDER["properties"], "text": "x" * MAX_BYTES}}),
        *(b'{"type":"page","messageId":"m","unread":%s}' % unread for unread in _UNREAD),
        {"type": "page", "messageId": "m"},
        {"event": "Order Completed", "properties": {"revenue": 2**70}},
        UnreadableRow({"id": 1}),
        UnreadableRow(b"a,b", "Row 3 has two columns."),
        UnreadableRest(b'{"type":"tra', "events.jsonl.gz is incomplete: it was cut off. What came before is read."),
        LongLine("{", "Line 1 of events.jsonl has 70,000,000 bytes."),
    ]
)
_ENVELOPES: tuple[Callable[[list[Any]], bytes], ...] = (
    lambda items: as_json({"batch": items, "context": {"ip": "192.0.2.1"}}),
    lambda items: as_json({"detail": items}),
    lambda items: as_json({"message": {"data": b64encode(as_json({"batch": items})).decode()}, "subscription": "s"}),
    lambda items: gzip.compress(b"\n".join(map(as_json, items)), mtime=0),
    lambda items: b"\n".join(map(as_json, items)),
)
_ENVELOPED = st.builds(
    lambda wrap, items: wrap(items), st.sampled_from(_ENVELOPES), st.lists(_EVENTS | _VALUES, min_size=1, max_size=4)
)
_ROWS = st.lists(_EVENTS.map(as_json) | _EVENTS | _ODD | _ENVELOPED, min_size=1, max_size=12)


# --- laws -------------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(_ROWS)
def test_any_rows_at_all_become_the_same_in_one_step_as_in_six(rows: list[Any]) -> None:
    check_same(rows)


def test_what_is_made_to_cost_much_becomes_the_same() -> None:
    check_same([make(600) for _, make in adversary.events()], [WITH_WINDOWS])


@settings(max_examples=25)
@given(_ROWS)
def test_rows_in_lists_become_the_same_in_batches(rows: list[Any]) -> None:
    """As a reader has them, and with nothing between converting and batching; no batch is larger than it may be."""
    for (six, _), clock in ((WITHOUT, None), (WITH_WINDOWS, of_twenty_seconds)):
        batching = BatchByDestination(max_events=2, max_bytes=MAX_BYTES)
        step = _ConvertEvents(ConvertEvents(JOB.subscriptions, MAX_BYTES, clock=now, batching=batching))
        expected, found = six(rows), Way([step], clock)([rows])
        batches = found.pop("ready")
        ready = [(key, line) for key, *lines in batches.elements() for line in lines]
        assert Counter(ready) == expected.pop("ready")
        assert found == expected
        assert all(len(lines) <= 2 and sum(map(len, lines)) <= MAX_BYTES for _, *lines in batches)
        assert len({key for key, *_ in batches}) + len(ready) // 2 >= batches.total()


@pytest.mark.parametrize("unread", [*_UNREAD, *_DEEP])
def test_what_nobody_reads_has_to_be_valid(unread: bytes) -> None:
    check_same([b'{"type":"page","messageId":"m","unread":%s}' % unread], [IN_PART])


def test_a_dead_letter_holds_what_nobody_reads() -> None:
    rows = [as_json({**ORDER, "properties": {"revenue": "much", "unread": [1]}}), as_json({**ORDER, "unread": {}})]
    rejections = IN_PART[1](rows)["rejections"]
    payloads = [orjson.loads(line)["payload"] for line in rejections]
    assert len(payloads) > 1
    assert [payload for payload in payloads if payload not in [orjson.loads(row) for row in rows]] == []
    check_same(rows, [IN_PART])


def test_lines_are_read_whole_at_once_where_most_have_to_be() -> None:
    rows = [as_json({**ORDER, "messageId": number}) for number in range(150)]
    (step,) = IN_PART[1].steps
    assert isinstance(step, _ConvertEvents)
    check_same(rows, [IN_PART])
    assert step._read is None
    check_same([as_json(ORDER)], [IN_PART])
    assert step._read is not None  # set up anew


def test_composable_steps_take_rows_in_lists() -> None:
    rows = [as_json(ORDER), b"", as_json({"batch": [ORDER, 5]}), UnreadableRow({"id": 1})]
    for six, _ in (WITH_WINDOWS, WITHOUT):
        assert six([rows]) == six(rows)


VECTORS = Path(os.environ.get("CAPYBEAM_SHARED") or Path(__file__).parents[3] / "shared") / "vectors"


def test_recorded_events_become_the_same() -> None:
    if not VECTORS.is_dir():
        pytest.skip("the recorded cases are not here (CAPYBEAM_SHARED, or shared/ beside the checkout)")
    rows: list[bytes] = []
    for name, key in (("segment_action_cases", "event"), ("fql_cases", "event"), ("mapping_kit_cases", "data")):
        cases = [orjson.loads(line) for line in (VECTORS / f"{name}.jsonl").read_bytes().splitlines()]
        rows += [as_json(case[key]) for case in cases if case.get(key) is not None]
    assert len(rows) > 200
    check_same(rows)


def test_the_rows_above_go_every_way_there_is() -> None:
    """So that the laws can fail: an event for each stage that rejects, and each that is counted otherwise."""
    consent = {"consent": {"categoryPreferences": {"Advertising": False}}}
    properties = ORDER["properties"]
    rows = [
        as_json({**ORDER, "properties": {**properties, "brand": "all"}}),
        as_json({**ORDER, "context": {**ORDER["context"], **consent}}),
        as_json({**ORDER, "properties": {**properties, "brand": "mugs", "unnamed": "$.["}}),
        as_json({**ORDER, "properties": {**properties, "currency": "nope"}}),
        as_json({**ORDER, "timestamp": "2026-01-01T00:00:00Z"}),
        as_json({"batch": [{"type": "identify"}, 5, ORDER]}),
        as_json({"type": "Track", "event": "Order Completed", "properties": {"revenue": 1, "currency": "USD"}}),
        b'{"a":1}',
        b"",
        UnreadableRest(b"{", "events.jsonl.gz is incomplete."),
    ]
    found = WITH_WINDOWS[1](rows)
    keys = [key for key in map(CounterKey.decode, found["counts"]) if key is not None]
    assert {key.stage for key in keys if key.kind == "rejected"} == {"parse", "name", "map", "validate"}
    assert {key.kind for key in keys} == {
        *("read", "unparsable", "filtered", "taken", "withheld", "matched", "rejected", "cause", "note", "unfinished"),
        "no_event",
    }
    assert len(found["remarks"]) == 1
    assert {each.key for each in JOB.subscriptions} - {"asked/search"} | {""} == set(found["windows"])
    check_same(rows)


@pytest.mark.parametrize("stage", ["match", "name", "map", "hash", "validate"])
def test_a_defect_becomes_the_same(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("jane@example.com")

    rows = [as_json(ORDER), as_json({"batch": [ORDER, ORDER]})]
    monkeypatch.setattr(Engine, stage, broken)
    monkeypatch.setattr(MetaSubscription, "compile_encoding", lambda *_: None)  # which does not go through the stages
    six, one = both(JOB.subscriptions, clock=of_twenty_seconds)
    found = one(rows)
    assert found == six(rows)
    assert sum(found["rejections"].values()) >= 3


def test_the_step_carries_definitions_and_pickles() -> None:
    step = ConvertEvents(JOB.subscriptions)
    assert pickle.loads(pickle.dumps(step)) == step
