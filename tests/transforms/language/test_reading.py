"""Reading in part: of a line what the job looks up, and nothing of a line that is not as most are."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.transforms.language.reading import Reader, compile_reader

EVENT: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m-1",
    "integrations": {"All": True},
    "timestamp": "2026-11-26T10:00:00.000Z",
    "properties": {
        "total": 5,
        "unread": {"a": [1, 2]},
        "tags": ["a", "b"],
        "products": [{"sku": "mug", "price": 2.5, "unread": 1}, {"sku": "towel"}],
    },
}
IN_PART = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m-1",
    "timestamp": "2026-11-26T10:00:00.000Z",
    "properties": {"total": 5, "tags": ["a", "b"], "products": [{"sku": "mug", "price": 2.5}, {"sku": "towel"}]},
}
CONTENTS = '{"@arrayPath": ["$.properties.products", {id: {"@path": $.sku}, item_price: {"@path": $.price}}]}'
MAPPING = f'value: {{"@path": $.properties.total}}, content_ids: {{"@path": $.properties.tags}}, contents: {CONTENTS}'


def reader(mapping: str = MAPPING, more: str = "", trigger: str = 'event = "Order Completed"') -> Reader | None:
    job = parse_job(f"""
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "1"
    access_token: env:TOKEN
    {more}
    subscriptions: [{{action: purchase, name: orders, trigger: '{trigger}', mapping: {{{mapping}}}}}]
""")
    return compile_reader(job.subscriptions)


def read(event: Any, **options: str) -> Any:
    compiled = reader(**options)
    assert compiled is not None
    return compiled.shape.plain(compiled.read(event if isinstance(event, bytes) else orjson.dumps(event)))


def test_what_nobody_looks_up_is_passed_over() -> None:
    assert read(EVENT) == IN_PART


def test_what_triggers_templates_and_consent_look_up_is_read() -> None:
    event = {**EVENT, "context": {"consent": {"categoryPreferences": {"Ads": True, "Other": False}}, "page": {"x": 1}}}
    event |= {"traits": {"plan": "gold", "size": 3}, "properties": {"unread": {"a": [1, 2]}}}
    options = {
        "mapping": 'content_name: {"@template": "{{traits.plan}} of {{{traits.size}}}"}',
        "more": "consent: {all_of: Ads}",
        "trigger": "properties.unread.a[0] = 1 and context.page.x != null",
    }
    assert read(event, **options) == {
        "type": "track",
        "messageId": "m-1",
        "timestamp": "2026-11-26T10:00:00.000Z",
        "properties": {"unread": {"a": [1, 2]}},
        "context": {"consent": {"categoryPreferences": {"Ads": True}}, "page": {"x": 1}},
        "traits": {"plan": "gold", "size": 3},
    }


def test_an_object_that_is_taken_for_a_list_of_one_is_read() -> None:
    mapping = 'value: {"@path": $.properties.total}, contents: {"@arrayPath": ["$.properties", {id: {"@path": $.sku}}]}'
    event = {**EVENT, "properties": {"sku": "mug", "total": 2, "unread": 1}}
    assert read(event, mapping=mapping)["properties"] == {"sku": "mug", "total": 2}


def test_items_that_a_shape_looks_nothing_up_in_are_read_whole() -> None:
    mapping = 'contents: {"@arrayPath": ["$.properties.products", {id: mug}]}'
    assert read({**EVENT, "properties": {"products": ["a", 1]}}, mapping=mapping)["properties"] == {
        "products": ["a", 1]
    }
    with pytest.raises(Exception):  # noqa: B017, PT011
        read(EVENT, mapping=mapping)


@pytest.mark.parametrize(
    "mapping",
    [
        'value: {"@path": {"@path": $.properties.where}}',
        'value: {"@liquid": "{{ properties.total | times: 2 }}"}',
        'value: {"@template": {"@path": $.properties.template}}',
        'custom_data: {"@path": "$."}',
        'contents: {"@arrayPath": [{"@path": $.properties.where}, {id: {"@path": $.sku}}]}',
        'content_name: {"@path": "$.properties.a\\\\b"}',
        'contents: {"@arrayPath": ["$.", {id: {"@path": $.sku}}]}',
        'contents: {"@arrayPath": ["$.properties.products", {id: {"@arrayPath": ["$.", {x: {"@path": $.y}}]}}]}',
    ],
)
def test_a_job_that_may_look_up_anything_reads_lines_whole(mapping: str) -> None:
    assert reader(mapping) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"messageId": None},
        {"messageId": ""},
        {"messageId": "undefined"},
        {"messageId": 5},
        {"type": "Track"},
        {"type": None},
        {"type": "order"},
        {"user_id": "u"},
        {"Type": "track"},
        {"sent_at": "2026-11-26T10:00:00Z"},
        {"properties": None},
        {"properties": [1]},
        {"properties": {"total": {"a": 1}}},
        {"properties": {"tags": [{"a": 1}]}},
        {"properties": {"products": {"sku": "mug"}}},
        {"properties": {"products": ["mug"]}},
    ],
)
def test_a_line_that_is_not_as_most_are_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  # of whatever type
        read({**EVENT, **changed})


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"track","properties":{}}',
        b'{"messageId":"m"}',
        b'{"type":"track","messageId":"m","properties":{"total":18446744073709551616}}',
        b'{"type":"track","messageId":"m","properties":{"total":1e400}}',
        b'{"type":"track","messageId":"m"} {}',
        b"[]",
        b"",
    ],
)
def test_a_line_that_others_read_otherwise_is_refused(line: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        read(line)


@pytest.mark.parametrize(
    "number", ["0", "-0", "-0.0", "1e5", "1E-7", "9007199254740993", "0.1", "1.7976931348623157e308"]
)
def test_numbers_are_those_of_the_whole_event(number: str) -> None:
    line = b'{"type":"track","messageId":"m","properties":{"total":%s}}' % number.encode()
    found, expected = read(line)["properties"]["total"], orjson.loads(line)["properties"]["total"]
    assert (repr(found), type(found)) == (repr(expected), type(expected))
