"""Destination type facebook_conversions_api in a job file: subscriptions, problems, warnings."""

from __future__ import annotations

import json

import pytest

from capybeam.pipeline.job.presets import presets
from tests.pipeline.job.job_files import MINIMAL, TOKEN, WHOLE, job, problems, with_action, with_line, with_subscription


def test_a_key_of_a_mapping_replaces_the_default_as_a_whole() -> None:
    defaults = presets()["purchase"].defaults
    text = with_subscription("mapping:\n  user_data: {email: {'@path': $.properties.email}}\n  currency: EUR")

    (subscription,) = job(text).subscriptions

    assert subscription.mapping == {
        **{name: node for name, node in defaults.items() if name != "app_data_field"},
        "user_data": {"email": {"@path": "$.properties.email"}},
        "currency": "EUR",
        "event_name": "Purchase",
    }


def test_without_the_default_mapping_only_the_subscriptions_own_counts() -> None:
    _, _, leads = job(WHOLE).subscriptions

    assert leads.mapping == {
        "event_name": "Lead",
        "event_time": {"@path": "$.timestamp"},
        "action_source": "system_generated",
        "user_data": {"email": {"@path": "$.traits.email"}},
    }


@pytest.mark.parametrize(
    ("action", "event_name", "trigger"),
    [
        ("purchase", "Purchase", 'type = "track" and event = "Order Completed"'),
        ("initiateCheckout", "InitiateCheckout", 'type = "track" and event = "Checkout Started"'),
        ("addToCart", "AddToCart", 'type = "track" and event = "Product Added"'),
        ("viewContent", "ViewContent", 'type = "track" and event = "Product Viewed"'),
        ("search", "Search", 'type = "track" and event = "Products Searched"'),
        ("pageView", "PageView", 'type = "page"'),
    ],
)
def test_an_action_has_segments_trigger_and_metas_event_name(action: str, event_name: str, trigger: str) -> None:
    (subscription,) = job(with_action(action)).subscriptions

    assert (subscription.name, subscription.trigger, subscription.mapping["event_name"]) == (
        action,
        trigger,
        event_name,
    )


ONE_PROBLEM = {
    "dataset_id_with_letters": (
        MINIMAL.replace('"123321"', "px123"),
        "4:5: destinations[0].dataset_id: must be digits, as Meta's Events Manager shows the ID",
    ),
    "no_dataset_id": (
        MINIMAL.replace('    dataset_id: "123321"\n', ""),
        "2:5: destinations[0].dataset_id: is missing",
    ),
    "dataset_id_and_pixel_id": (
        with_line('pixel_id: "123321"'),
        "5:5: destinations[0].pixel_id: is the same as dataset_id; give one of them",
    ),
    "no_subscriptions": (
        MINIMAL.replace("    subscriptions:\n      - action: purchase\n", ""),
        "2:5: destinations[0].subscriptions: is missing",
    ),
    "subscriptions_empty": (
        MINIMAL.replace("    subscriptions:\n      - action: purchase\n", "    subscriptions: []\n"),
        "6:5: destinations[0].subscriptions: must list at least one",
    ),
    "subscriptions_null": (
        MINIMAL.replace("      - action: purchase\n", ""),
        "6:5: destinations[0].subscriptions: must be a list",
    ),
    "subscription_no_object": (
        MINIMAL.replace("- action: purchase", "- purchase"),
        "7:9: destinations[0].subscriptions[0]: must be an object of keys and values",
    ),
    "no_action": (
        MINIMAL.replace("- action: purchase", "- name: orders"),
        "7:9: destinations[0].subscriptions[0].action: is missing",
    ),
    "unknown_action": (
        with_action("viewcontent"),
        "7:9: destinations[0].subscriptions[0].action: must be one of"
        f" {', '.join(presets())}; did you mean viewContent?",
    ),
    "unknown_subscription_key": (
        with_subscription("triger: all"),
        "8:9: destinations[0].subscriptions[0].triger: is unknown; did you mean trigger?",
    ),
    "custom_without_a_trigger": (
        with_action("custom"),
        "7:9: destinations[0].subscriptions[0].trigger: is missing: the custom action has no default trigger"
        " (`all` takes every event)",
    ),
    "trigger_no_text": (
        with_subscription("trigger: 5"),
        "8:9: destinations[0].subscriptions[0].trigger: should be a valid string",
    ),
    "trigger_with_an_unknown_field": (
        with_subscription('trigger: type = "track" and evnt = "x"'),
        "8:37: destinations[0].subscriptions[0].trigger: unknown field evnt; did you mean event? (character 20)",
    ),
    "quoted_trigger_with_an_unknown_field": (
        with_subscription('trigger: \'type = "track" and evnt = "x"\''),
        "8:38: destinations[0].subscriptions[0].trigger: unknown field evnt; did you mean event? (character 20)",
    ),
    "trigger_with_escapes_and_an_unknown_field": (
        with_subscription('trigger: "type = \\"track\\" and evnt = 1"'),
        "8:40: destinations[0].subscriptions[0].trigger: unknown field evnt; did you mean event? (character 20)",
    ),
    "folded_trigger_with_an_unknown_field": (
        with_subscription('trigger: >-\n  type = "track" and\n  evnt = "x"'),
        "8:18: destinations[0].subscriptions[0].trigger: unknown field evnt; did you mean event? (character 20)",
    ),
    "empty_trigger": (
        with_subscription('trigger: ""'),
        "8:19: destinations[0].subscriptions[0].trigger: the trigger ends too early (character 1)",
    ),
    "use_default_mapping_no_boolean": (
        with_subscription("use_default_mapping: maybe"),
        "8:9: destinations[0].subscriptions[0].use_default_mapping: should be a valid boolean,"
        " unable to interpret input",
    ),
    "mapping_no_object": (
        with_subscription("mapping: [value]"),
        "8:9: destinations[0].subscriptions[0].mapping: must be an object of keys and values",
    ),
    "mapping_that_is_a_directive": (
        with_subscription("mapping:\n  '@path': $.properties"),
        "9:11: destinations[0].subscriptions[0].mapping.@path: a mapping's own keys are fields of the"
        " action, not directives",
    ),
    "unknown_directive": (
        with_subscription('mapping:\n  value: {"@pth": $.properties.total}'),
        "9:19: destinations[0].subscriptions[0].mapping.value.@pth: has an invalid directive: @pth, did you mean"
        " @path?",
    ),
    "directive_with_a_wrong_option": (
        with_subscription('mapping:\n  currency: {"@case": {operator: uper, value: {"@path": $.properties.currency}}}'),
        "9:32: destinations[0].subscriptions[0].mapping.currency.@case.operator: should be one of lower, upper but"
        ' it is "uper"',
    ),
    "two_directives_at_once": (
        with_subscription('mapping:\n  value: {"@path": $.a, "@template": b}'),
        "9:11: destinations[0].subscriptions[0].mapping.value: should only have one @-prefixed key but it has 2 keys",
    ),
    "required_fields_left_out": (
        with_subscription("use_default_mapping: false\nmapping: {value: 1, action_source: email}"),
        "9:9: destinations[0].subscriptions[0].mapping: leaves out event_time, user_data, currency, without which every"
        " event is rejected",
    ),
}


@pytest.mark.parametrize(("text", "problem"), ONE_PROBLEM.values(), ids=ONE_PROBLEM.keys())
def test_one_mistake_is_one_problem_with_its_place(text: str, problem: str) -> None:
    assert problems(text) == (f"job.yaml:{problem}",)


def test_two_destinations_may_name_their_subscriptions_alike() -> None:
    text = MINIMAL + MINIMAL.partition("\n")[2].replace("name: web", "name: crm")

    assert [subscription.key for subscription in job(text).subscriptions] == ["web/purchase", "crm/purchase"]


@pytest.mark.parametrize(
    "name",
    ["Purchase (Copy)", "A & B", "Bestellung 'groß' [50 %]: EU/UK", "5", "Subscription Started | Estimate", "x" * 200],
)
def test_a_subscription_may_have_any_line_of_text_as_its_name(name: str) -> None:
    (subscription,) = job(with_subscription(f"name: {json.dumps(name, ensure_ascii=False)}")).subscriptions

    assert subscription.key == f"web/{name}"


@pytest.mark.parametrize("name", ["", " a", "a ", "two\nlines", "a\tb", "x" * 201, 5, TOKEN])
def test_other_names_of_subscriptions_are_problems_that_do_not_repeat_them(name: object) -> None:
    assert problems(with_subscription(f"name: {json.dumps(name)}")) == (
        "job.yaml:8:9: destinations[0].subscriptions[0].name: must be a single line of 1 to 200 characters, without"
        " blanks around it",
    )


def test_a_subscription_that_is_not_enabled_is_checked_and_takes_no_events() -> None:
    other = "\n      - {action: search, enabled: false, trigger: type = }\n"

    assert [each.name for each in job(MINIMAL + other.replace("type = ", "all")).subscriptions] == ["purchase"]
    assert problems(MINIMAL + other) != ()


def test_a_destination_whose_subscriptions_are_all_switched_off_gets_no_events() -> None:
    switched_off = job(with_subscription("enabled: false"))

    assert switched_off.subscriptions == ()
    assert switched_off.warnings == (
        "job.yaml:6:5: destinations[0].subscriptions: has none that is enabled: no event is sent there",
    )


ONE_WARNING = {
    "unknown_field": (
        with_subscription("mapping:\n  valeu: 5"),
        "9:11: destinations[0].subscriptions[0].mapping.valeu: is not a field of purchase and is left out;"
        " did you mean value?",
    ),
    "unknown_key_of_user_data": (
        with_subscription("mapping:\n  user_data: {emial: {'@path': $.properties.email}}"),
        "9:23: destinations[0].subscriptions[0].mapping.user_data.emial: is not a field of user_data and is left out;"
        " did you mean email?",
    ),
    "event_name_of_an_action_that_has_its_own": (
        with_subscription("mapping:\n  event_name: Order"),
        "9:11: destinations[0].subscriptions[0].mapping.event_name: is not a field of purchase and is left out;"
        " the action sets it",
    ),
}


@pytest.mark.parametrize(("text", "warning"), ONE_WARNING.values(), ids=ONE_WARNING.keys())
def test_what_is_suspicious_but_usable_is_a_warning(text: str, warning: str) -> None:
    assert job(text).warnings == (f"job.yaml:{warning}",)


def test_what_a_restricted_destination_never_sends_is_warned_of() -> None:
    restricted = with_subscription(
        "mapping:\n"
        "  content_name: {'@path': $.properties.name}\n"
        "  content_type: product\n"
        "  attribution_data: {'@path': $.properties.attribution}\n"
        "  custom_data: {coupon: {'@path': $.properties.coupon}, order_id: {'@path': $.properties.id}}\n"
    ).replace("    subscriptions:", "    restricted: true\n    subscriptions:")

    assert [warning.partition("mapping.")[2] for warning in job(restricted).warnings] == [
        f"{name}: is never sent: the destination is restricted to Meta's standard parameters"
        for name in ("content_name", "attribution_data", "custom_data.coupon")
    ]
