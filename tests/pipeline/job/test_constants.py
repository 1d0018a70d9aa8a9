"""What `check` says of constants, paths and triggers that cannot work: errors reject every event, the rest warns."""

from __future__ import annotations

import orjson
import pytest

from capybeam.pipeline.job.loader import check_text
from capybeam.pipeline.job.presets import presets
from tests.pipeline.job.job_files import TODAY, with_action, with_subscription


def found(text: str) -> list[tuple[str, str]]:
    """Severity and message, without the subscription's place."""
    return [
        (each.severity, each.message.removeprefix("destinations[0].subscriptions[0].").removeprefix("mapping."))
        for each in check_text(text, "job.yaml", TODAY).findings
    ]


REJECTS = "it rejects every event"
LEFT_OUT = "it is left out of every event"
LOOK_UP = 'to look it up in the event, write {"@path": '


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("currency: dollars", f"currency: is not an ISO 4217 code such as USD; {REJECTS}"),
        ("currency: euro", f"currency: is not an ISO 4217 code such as USD; did you mean EUR?; {REJECTS}"),
        ("value: abc", f"value: should be a number; {REJECTS}"),
        ("value: $.properties.total", f'value: should be a number; {LOOK_UP}"$.properties.total"}}; {REJECTS}'),
        ("value: {path: $.x.y}", f"value: should be a number; did you mean @path?; {REJECTS}"),
        ("content_ids: {a: 1}", f"content_ids: should be a list of strings; {LEFT_OUT}"),
        ("content_ids: [a, {b: 1}]", f"content_ids[1]: should be a string; {LEFT_OUT}"),
        ("data_processing_options_country: 7", f"data_processing_options_country: must be one of 0, 1; {REJECTS}"),
        ("custom_data: none", f"custom_data: should be an object; {REJECTS}"),
        ("num_items: {'@literal': many}", f"num_items.@literal: should be a number; {REJECTS}"),
        ("user_data: {leadID: abc}", f"user_data.leadID: should be a number; {LEFT_OUT}"),
        ("contents: [{id: a, quantity: two}]", f"contents[0].quantity: should be a number; {LEFT_OUT}"),
        (
            "contents: {'@arrayPath': [$.properties.products, {quantity: 1}]}",
            "contents.@arrayPath[1]: has no id, without which it is left out of every event",
        ),
        (
            "content_type: products",
            f"content_type: must be one of product, product_group; did you mean product?; {REJECTS}",
        ),
        ("currency: null", "currency: has no value, and without one every event is rejected"),
        (
            "currency: {'@path': $.__segment_entities.currency}",
            "currency: has no value, and without one every event is rejected",
        ),
        (
            "action_source: app",
            "action_source: app needs an app_data_field with use_app_data: true, or every event is rejected",
        ),
    ],
)
def test_a_constant_that_no_event_goes_out_with_is_an_error(mapping: str, message: str) -> None:
    assert ("error", message) in found(with_subscription(f"mapping:\n  {mapping}"))


def test_a_choice_that_is_misspelt_says_which_may_be_meant() -> None:
    ((severity, message),) = found(with_subscription("mapping: {action_source: webseite}"))

    assert severity == "error"
    assert message.endswith("other; did you mean website?; it rejects every event")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            "value: {'@if': {exists: {'@path': $.userId}, then: {'@path': $.properties.total}, else: none}}",
            "value.@if.else: should be a number; it rejects each event that gets it",
        ),
        (
            "content_name: $.properties.name",
            f'content_name: is sent as this text, letter for letter; {LOOK_UP}"$.properties.name"}}',
        ),
        (
            "content_name: context.page.title",
            f'content_name: is sent as this text, letter for letter; {LOOK_UP}"$.context.page.title"}}',
        ),
        (
            'order_id: "{{properties.order_id}}"',
            'order_id: is sent as this text, letter for letter; to have it filled in, write {"@template": "…"}',
        ),
        (
            'order_id: "{{ properties.order_id | upcase }}"',
            'order_id: is sent as this text, letter for letter; to have it filled in, write {"@liquid": "…"}',
        ),
        (
            'content_name: "@path $.x"',
            'content_name: is sent as this text, letter for letter; a directive is a key with a value: {"@path": …}',
        ),
        (
            "custom_data: {coupon: {path: $.properties.coupon}}",
            f'custom_data.coupon.path: is sent as this text, letter for letter; {LOOK_UP}"$.properties.coupon"}}',
        ),
        (
            "value: {'@path': $.propertes.revenue}",
            "value.@path: looks up propertes, which no event of Segment's spec has at its root; did you mean"
            " properties?",
        ),
        (
            "content_name: {'@template': '{{user_id}}'}",
            "content_name.@template: looks up user_id, which no event of Segment's spec has at its root; did you mean"
            " userId?",
        ),
        (
            "content_name: {'@template': '{{__segment_entities.plan}}'}",
            "content_name.@template: looks up __segment_entities, which is never there: Segment adds it for its own"
            " destinations, and events do not bring it",
        ),
        (
            "contents: {'@arrayPath': [$.properties.products, {id: {'@path': '$.properties.products.sku'}}]}",
            "contents.@arrayPath[1].id.@path: starts at the event, but inside @arrayPath paths start at the item; did"
            " you mean $.sku?",
        ),
        (
            "contents: {'@arrayPath': [$.properties.products, {id: a, quantty: 1}]}",
            "contents.@arrayPath[1].quantty: is not a field of contents and is left out; did you mean quantity?",
        ),
        (
            "event_id: order",
            "event_id: is the same for every event; Meta counts an event_id once, so that all but the first are lost",
        ),
        *(
            (
                f"user_data: {{externalId: {{'@path': $.userId}}, {key}: {value}}}",
                f"user_data.{key}: is nothing that Meta would accept; {LEFT_OUT}",
            )
            for key, value in (("gender", "x"), ("dateOfBirth", "tomorrow"), ("email", "jane"), ("phone", "none"))
        ),
    ],
)
def test_what_may_be_meant_otherwise_is_a_warning(mapping: str, message: str) -> None:
    assert found(with_subscription(f"mapping:\n  {mapping}")) == [("warning", message)]


@pytest.mark.parametrize(
    "mapping",
    [
        "value: '12.5'",
        "currency: eur",
        "content_ids: one",
        "user_data: {city: '', email: {'@path': $.context.traits.email}}",
        "data_processing_options_country: US",
        "content_name: $5 off",
        "content_name: a.b",
        "content_name: {'@literal': $.properties.name}",
        "custom_data: {anything: {at: [all, 1, null]}}",
        "value: {'@if': {exists: {'@path': $.userId}, then: {'@path': $.properties.total}, else: ''}}",
        "order_id: {'@replace': {pattern: '$.', replacement: '', value: {'@path': $.properties.order_id}}}",
        "num_items: {'@path': $.properties.products.length}",
    ],
)
def test_what_works_is_not_mentioned(mapping: str) -> None:
    assert found(with_subscription(f"mapping:\n  {mapping}")) == []


def test_other_roots_are_fine_where_messages_are_unwrapped() -> None:
    text = with_subscription("mapping: {value: {'@path': $.amount_due}}")

    assert [severity for severity, _ in found(text)] == ["warning"]
    assert found(text + "unwrap: $.detail\n") == []


@pytest.mark.parametrize(
    "trigger",
    [
        'event in ["A", "B"] and event in ["B", "C"]',
        'event in ["A", "B"] and event != "A"',
        'match(event, "Order *") and event = "Order Completed"',
        "properties.total >= 5 and properties.total <= 5",
        "properties.total > 5 or properties.total < 3",
        'event = "A" and lowercase(event) = "a"',
        'properties.a = "x" and properties.b = "y" and (properties.a != "x" or properties.b = "y")',
        "properties.n != null and properties.n > 0",
    ],
)
def test_a_trigger_that_some_event_passes_is_not_mentioned(trigger: str) -> None:
    assert found(with_subscription(f"trigger: {orjson.dumps(trigger).decode()}")) == []


@pytest.mark.parametrize(
    ("trigger", "severity", "message"),
    [
        ('type = "trak"', "error", "no event has this type; did you mean track?; no event can pass this trigger"),
        ('type = "trak" or event = "x"', "warning", "no event has this type; did you mean track?"),
        ('type != "trak"', "warning", "no event has this type; did you mean track?"),
        ('type in ["track", "paeg"]', "warning", "no event has this type; did you mean page?"),
        ('type = "Track"', "warning", "no event has this type; did you mean track?"),
        (
            'type = "order"',
            "warning",
            "no event has this type (Segment's are track, page, identify, screen, group, alias)",
        ),
        (
            'type = "track" and type = "page"',
            "error",
            "type cannot equal two values at once; use `or`, or `in [...]`; no event can pass this trigger",
        ),
        *(
            (
                trigger,
                "error",
                f"no {field} fulfils this and the other conditions on it; no event can pass this trigger",
            )
            for field, trigger in (
                ("event", 'event in ["A", "B"] and event in ["C"]'),
                ("event", 'type = "track" and (event = "A" and (event != "A" or event = "B"))'),
                ("event", 'match(event, "Order *") and event = "Product Added"'),
                ("event", 'contains(event, "Order") and event in ["Product Added", "Signed Up"]'),
                ("properties.plan", 'properties.plan = "pro" and not (properties.plan in ["pro", "team"])'),
                ("properties.total", "properties.total > 5 and properties.total < 5"),
                ("properties.total", "properties.total >= 10 and type = 'track' and properties.total <= 9.5"),
            )
        ),
        ('type = "page" and event = "Home"', "warning", "page calls have no event; they have a name"),
        (
            'typeof(properties.x) = "text"',
            "error",
            "typeof() is one of string, number, boolean, array, object, null; no event can pass this trigger",
        ),
        (
            'lowercase(event) = "Paid"',
            "error",
            "a text in lower case never equals one with capital letters; no event can pass this trigger",
        ),
    ],
)
def test_a_trigger_that_never_holds_is_an_error_and_a_part_of_one_a_warning(
    trigger: str, severity: str, message: str
) -> None:
    ((given, said),) = found(with_subscription(f"trigger: {trigger}"))

    assert (given, said.rpartition(" (character ")[0]) == (severity, f"trigger: {message}")


@pytest.mark.parametrize("action", presets())
def test_the_defaults_of_every_action_pass(action: str) -> None:
    lines = "" if presets()[action].trigger else "trigger: all"

    assert found(with_action(action, lines)) == []


@pytest.mark.parametrize("action", presets())
def test_the_defaults_of_every_action_pass_when_they_are_written_out(action: str) -> None:
    preset = presets()[action]
    mapping = {name: node for name, node in preset.defaults.items() if name != "event_name" or action == "custom"}
    lines = f"trigger: all\nuse_default_mapping: false\nmapping: {orjson.dumps(mapping).decode()}"

    assert found(with_action(action, lines)) == []


def test_a_template_without_quotes_is_distinguished_from_a_key() -> None:
    said = found(with_subscription("mapping:\n  order_id: {{properties.order_id}}"))

    assert ("error", 'a key must be a text; put a template in quotes: "{{…}}"') in said
