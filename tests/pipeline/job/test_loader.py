"""The job file: what it may say, and how every mistake in it is found at once."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.destinations.facebook_offline_conversions import END_OF_OFFLINE_EVENTS
from capybeam.pipeline.job.loader import ConfigError, Job, load_job, parse_job
from capybeam.pipeline.job.presets import presets
from capybeam.pipeline.job.schema import json_schema
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.engine.conversions import Subscription
from capybeam.transforms.meta.answers import Delivery, Destination

TODAY = date(2026, 11, 22)
EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
TOKEN = "EAABsbCS1iHgBAExampleExampleExample"

# The smallest job; tests put their lines in place of one of these.
MINIMAL = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: purchase
"""

# The format as the design has it.
WHOLE = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    api_version: v26.0
    endpoint: https://graph.example.com/
    test_event_code: TEST123
    default_country: us
    allow_in_custom_data: [city, age]
    personal_data_in_text: allow
    subscriptions:
      - action: purchase
        name: orders
        trigger: type = "track" and event = "Order Paid"
        use_default_mapping: true
        mapping:
          action_source: website
          value: {"@path": "$.properties.total"}
      - action: pageView
  - name: crm
    type: facebook_conversions_api
    pixel_id: 456654
    access_token: secret:projects/acme/secrets/meta/versions/latest
    subscriptions:
      - action: custom
        trigger: all
        use_default_mapping: false
        mapping:
          event_name: Lead
          event_time: {"@path": $.timestamp}
          action_source: crm
          user_data: {email: {"@path": $.traits.email}}
delivery:
  max_batch_events: 500
  max_batch_bytes: 1048576
  max_batch_delay: 1m
  concurrency: 4
  requests_per_second: 2.5
  rate_limit_service: envoy:8081
  timeout: 1500ms
  retry_for: 2h
  receipts: detailed
unwrap: $.detail
"""


# The same for offline conversions.
OFFLINE = """\
destinations:
  - name: stores
    type: facebook_offline_conversions
    access_token: env:META_ACCESS_TOKEN
    events: {Order Completed: "555"}
"""


def job(text: str) -> Job:
    return parse_job(text, "job.yaml", TODAY)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        job(text)
    return caught.value.problems


def with_line(line: str) -> str:
    """The minimal job with one more line in its destination, at line 5, column 5."""
    return MINIMAL.replace("    access_token", f"    {line}\n    access_token")


def with_subscription(lines: str) -> str:
    """The minimal job with `lines` in its subscription, from line 8, column 9 on."""
    return MINIMAL + "".join(f"        {line}\n" for line in lines.splitlines())


def with_action(action: str, lines: str = "") -> str:
    return with_subscription(lines).replace("action: purchase", f"action: {action}")


# --- what a file says -------------------------------------------------------------------------------------------


def test_the_smallest_job_has_every_default() -> None:
    purchase = presets()["purchase"]
    mapping = {name: node for name, node in purchase.defaults.items() if name != "app_data_field"}

    assert job(MINIMAL) == Job(
        destinations=(
            Destination(
                name="web",
                token=TokenReference("env:META_ACCESS_TOKEN"),
                api_version="v25.0",
                endpoint="https://graph.facebook.com",
            ),
        ),
        subscriptions=(
            Subscription(
                destination="web",
                name="purchase",
                trigger='type = "track" and event = "Order Completed"',
                mapping={**mapping, "event_name": "Purchase"},
                fields=purchase.fields,
                dataset_ids=("123321",),
                needs_user_agent=True,
                default_country=None,
                test_event_code=None,
                allow_in_custom_data=frozenset(),
                personal_data_in_text="cut",
            ),
        ),
        delivery=Delivery(
            max_batch_events=1000,
            max_batch_bytes=4194304,
            max_batch_delay=10.0,
            concurrency=8,
            requests_per_second=None,
            timeout=10.0,
            retry_for=900.0,
        ),
        warnings=(),
    )


def test_a_job_says_everything_that_the_format_has() -> None:
    made = job(WHOLE)

    assert made.destinations == (
        Destination("web", TokenReference("env:META_ACCESS_TOKEN"), "v26.0", "https://graph.example.com"),
        Destination("crm", TokenReference("secret:projects/acme/secrets/meta/versions/latest")),
    )
    assert made.delivery == Delivery(500, 1048576, 60.0, 4, 2.5, "envoy:8081", 1.5, 7200.0, "detailed")
    assert made.unwrap == "$.detail"
    assert made.warnings == ()
    orders, pages, leads = made.subscriptions
    assert [s.key for s in made.subscriptions] == ["web/orders", "web/pageView", "crm/custom"]
    assert (orders.trigger, pages.trigger, leads.trigger) == (
        'type = "track" and event = "Order Paid"',
        'type = "page"',
        "all",
    )
    assert (orders.dataset_ids, leads.dataset_ids) == (("123321",), ("456654",))
    assert (orders.default_country, orders.test_event_code, orders.allow_in_custom_data) == (
        "US",
        "TEST123",
        frozenset({"city", "age"}),
    )
    assert (leads.default_country, leads.test_event_code, leads.allow_in_custom_data) == (None, None, frozenset())
    assert (orders.personal_data_in_text, leads.personal_data_in_text) == ("allow", "cut")
    assert (orders.needs_user_agent, leads.needs_user_agent) == (True, False)


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
        "action_source": "crm",
        "user_data": {"email": {"@path": "$.traits.email"}},
    }


@pytest.mark.parametrize("text", [MINIMAL, OFFLINE], ids=["conversions", "offline"])
def test_a_destination_says_what_its_requests_say_of_themselves(text: str) -> None:
    settings = ("partner_agent: acme-1.4", "namespace_id: 42", "upload_id: 2026w11", "upload_source: a b")
    lines = "".join(f"    {setting}\n" for setting in settings)
    (destination,) = job(text.replace("    access_token", f"{lines}    access_token")).destinations

    assert destination.parameters == (
        ("partner_agent", "acme-1.4"),
        ("namespace_id", "42"),
        ("upload_id", "2026w11"),
        ("upload_source", "a b"),
    )


def test_an_offline_destination_is_a_subscription_for_each_event_of_its_maps() -> None:
    made = job(
        OFFLINE.replace('{Order Completed: "555"}', '{Order Completed: 555, "Say \\"hi\\"": ["555", 556, "555"]}')
        + "    lead_events: {Order Completed: [777]}\n    upload_tag: läden 2026\n    default_country: us\n"
        + "    allow_in_custom_data: [name]\n    personal_data_in_text: allow\n    test_event_code: TEST1\n"
    )

    assert made.destinations == (Destination("stores", TokenReference("env:META_ACCESS_TOKEN"), "v25.0"),)
    assert [
        (s.key, s.trigger, s.mapping["event_name"], s.dataset_ids, s.wire, s.upload_tag) for s in made.subscriptions
    ] == [
        (
            "stores/events: Order Completed",
            'type = "track" and event = "Order Completed"',
            "Purchase",
            ("555",),
            "conversions_api",
            "läden 2026",
        ),
        (
            'stores/events: Say "hi"',
            'type = "track" and event = "Say \\"hi\\""',
            'Say "hi"',
            ("555", "556"),
            "conversions_api",
            "läden 2026",
        ),
        (
            "stores/lead_events: Order Completed",
            'type = "track" and event = "Order Completed"',
            "Lead",
            ("777",),
            "conversions_api",
            "läden 2026",
        ),
    ]
    assert {
        (s.default_country, s.test_event_code, s.allow_in_custom_data, s.personal_data_in_text)
        for s in made.subscriptions
    } == {("US", "TEST1", frozenset({"name"}), "allow")}


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ("", "v25.0"),
        ("    api_version: v26.0\n", "v26.0"),
        ("    wire: offline_events\n", "v16.0"),
        ("    wire: offline_events\n    api_version: v15.0\n", "v15.0"),
    ],
)
def test_an_offline_destination_speaks_the_version_of_its_wire(settings: str, version: str) -> None:
    (destination,) = job(OFFLINE + settings).destinations

    assert destination.api_version == version


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


_COMMON_REQUIRED = {"event_name", "action_source", "event_time", "user_data"}


@pytest.mark.parametrize(
    ("action", "required"),
    [("purchase", _COMMON_REQUIRED | {"currency", "value"})]
    + [(action, _COMMON_REQUIRED) for action in presets() if action != "purchase"],
)
def test_an_action_requires_what_it_requires_at_segment(action: str, required: set[str]) -> None:
    assert {field.name for field in presets()[action].fields if field.required} == required


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("500ms", 0.5), ("15m", 900.0), ("1h", 3600.0), ("1d", 86400.0), ("1.5m", 90.0), ("7", 7.0)],
)
def test_a_duration_is_text_with_a_unit_or_seconds(text: str, seconds: float) -> None:
    assert job(MINIMAL + f"delivery: {{retry_for: {text}}}\n").delivery == Delivery(retry_for=seconds)


@pytest.mark.parametrize("reference", ["env:TOKEN", "file:/run/secrets/meta", "secret:projects/p/secrets/s/versions/3"])
def test_an_access_token_is_a_reference_of_three_kinds(reference: str) -> None:
    assert job(MINIMAL.replace("env:META_ACCESS_TOKEN", reference)).destinations == (
        Destination("web", TokenReference(reference)),
    )


@pytest.mark.parametrize(
    ("endpoint", "read"),
    [
        ("https://graph.facebook.com", "https://graph.facebook.com"),
        ("https://proxy.example.com/meta/", "https://proxy.example.com/meta"),
        ("http://localhost:8791", "http://localhost:8791"),
        ("http://127.0.0.1:8791/", "http://127.0.0.1:8791"),
        ("http://[::1]:8791", "http://[::1]:8791"),
    ],
)
def test_an_endpoint_is_https_or_on_this_machine(endpoint: str, read: str) -> None:
    (destination,) = job(with_line(f'endpoint: "{endpoint}"')).destinations

    assert destination.endpoint == read


def test_an_app_secret_is_a_reference_as_the_token_is() -> None:
    (destination,) = job(with_line("app_secret: file:/run/secrets/app")).destinations
    assert destination.app_secret == TokenReference("file:/run/secrets/app")


def test_norway_is_a_country_and_no_boolean() -> None:
    (subscription,) = job(with_line("default_country: NO")).subscriptions

    assert subscription.default_country == "NO"


def test_a_mapping_copied_from_segment_as_json_works_as_it_is() -> None:
    text = """{"destinations": [{"name": "web", "type": "facebook_conversions_api", "pixel_id": "123321",
"access_token": "env:T", "subscriptions": [{"action": "purchase", "trigger":
"type = \\"track\\" and event = \\"Order Completed\\"", "mapping": {"value": {"@path": "$.properties.total"},
"contents": {"@arrayPath": ["$.properties.products", {"id": {"@path": "$.sku"}}]}}}]}]}"""

    (subscription,) = job(text).subscriptions

    assert subscription.trigger == 'type = "track" and event = "Order Completed"'
    assert {name: subscription.mapping[name] for name in ("value", "contents")} == {
        "value": {"@path": "$.properties.total"},
        "contents": {"@arrayPath": ["$.properties.products", {"id": {"@path": "$.sku"}}]},
    }


def test_one_definition_serves_several_subscriptions_by_an_anchor() -> None:
    text = (
        with_subscription("mapping: &mapping {action_source: email}\n".rstrip())
        + "      - action: addToCart\n        mapping: {<<: *mapping, content_type: product}\n"
    )

    _, cart = job(text).subscriptions

    assert (cart.mapping["action_source"], cart.mapping["content_type"]) == ("email", "product")


# --- one problem at a time --------------------------------------------------------------------------------------

_TOKEN_PROBLEM = (
    "must say where the token is, and never be the token itself: env:NAME, file:PATH or"
    " secret:projects/P/secrets/S/versions/V"
)
_HTTPS = "must be https: the token goes there (http is for the loopback only)"
_NAME = "must be letters, digits, blanks, dots, dashes and underscores"

ONE_PROBLEM = {
    # the document
    "empty": ("", "1:1: the file is empty"),
    "a_list": ("- a\n", "1:1: must be an object of keys and values"),
    "a_word": ("destinations\n", "1:1: must be an object of keys and values"),
    "no_yaml": ("destinations: [\n", "2:1: this is no valid YAML: did not find expected node content"),
    "duplicate_key": (
        MINIMAL.replace("    type:", "    name: crm\n    type:"),
        "3:5: the key 'name' stands here already, at line 2",
    ),
    "anchor_in_itself": (
        with_subscription("mapping: {custom_data: &a {b: *a}}"),
        "8:32: an anchor must not contain itself",
    ),
    "aliases_of_aliases": (
        MINIMAL
        + "a: &a [x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 8)}]\n" for a, b in itertools.pairwise("abcdefgh")),
        "8:10: with its aliases and merges followed, the file has more than 100,000 values by here",
    ),
    "merges_of_merges": (
        MINIMAL + "m0: &m0 {a: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 26)),
        "8:13: with its aliases and merges followed, the file has more than 100,000 values by here",
    ),
    "ninety_nine_ifs": (
        with_subscription("mapping: {value: " + "{'@if': {exists: 1, then: 1, else: " * 99 + "1" + "}}" * 99 + "}"),
        "8:3421: this is nested more than 200 levels deep",
    ),
    "sixty_ifs": (
        with_subscription("mapping: {value: " + "{'@if': {exists: 1, then: 1, else: " * 60 + "1" + "}}" * 60 + "}"),
        "8:19: destinations[0].subscriptions[0].mapping.value: is nested more than 100 levels deep",
    ),
    "four_hundred_objects": (
        with_subscription("mapping: {value: " + "{a: " * 400 + "1" + "}" * 400 + "}"),
        "8:802: this is nested more than 200 levels deep",
    ),
    "a_path_of_many_keys": (
        with_subscription("mapping: {value: {'@path': $" + ".a" * 5_000 + "}}"),
        "8:27: destinations[0].subscriptions[0].mapping.value.@path: has a path of more than 100 keys",
    ),
    "a_number_beyond_all": (
        with_subscription("trigger: 'properties.a > 1e999'"),
        "8:34: destinations[0].subscriptions[0].trigger: the number is too large (character 16)",
    ),
    "a_trigger_of_many_parentheses": (
        with_subscription("trigger: '" + "(" * 5_000 + "all" + ")" * 5_000 + "'"),
        "8:19: destinations[0].subscriptions[0].trigger: the trigger is nested too deeply (character 1)",
    ),
    "a_version_of_many_digits": (
        with_line("api_version: v" + "9" * 5_000 + ".0"),
        "5:5: destinations[0].api_version: must look like v25.0",
    ),
    "no_end_of_requests": (
        MINIMAL + "delivery: {requests_per_second: 1e999}\n",
        "8:12: delivery.requests_per_second: should be a finite number",
    ),
    # the root
    "no_destinations_key": ("delivery: {}\n", "1:1: destinations: is missing"),
    "destinations_empty": ("destinations: []\n", "1:1: destinations: must list at least one"),
    "destinations_no_list": ("destinations: {web: 1}\n", "1:1: destinations: must be a list"),
    "destination_no_object": ("destinations:\n  - web\n", "2:5: destinations[0]: must be an object of keys and values"),
    "unknown_root_key": (MINIMAL + "delivry: {}\n", "8:1: delivry: is unknown; did you mean delivery?"),
    "unknown_root_key_like_nothing": (MINIMAL + "zzz: 1\n", "8:1: zzz: is unknown"),
    # a destination
    "unknown_destination_key": (
        with_line("default_contry: US"),
        "5:5: destinations[0].default_contry: is unknown; did you mean default_country?",
    ),
    "no_name": (
        MINIMAL.replace("  - name: web\n    type", "  - type"),
        "2:5: destinations[0].name: is missing",
    ),
    "name_of_a_path": (MINIMAL.replace("name: web", "name: a/b"), f"2:5: destinations[0].name: {_NAME}"),
    "name_of_a_number": (MINIMAL.replace("name: web", "name: 5"), f"2:5: destinations[0].name: {_NAME}"),
    "unknown_type": (
        MINIMAL.replace("facebook_conversions_api", "facebook_conversion_api"),
        "3:5: destinations[0].type: must be one of facebook_conversions_api, facebook_offline_conversions; did you mean"
        " facebook_conversions_api?",
    ),
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
    "no_access_token": (
        MINIMAL.replace("    access_token: env:META_ACCESS_TOKEN\n", ""),
        "2:5: destinations[0].access_token: is missing",
    ),
    "literal_token": (
        MINIMAL.replace("env:META_ACCESS_TOKEN", TOKEN),
        f"5:5: destinations[0].access_token: {_TOKEN_PROBLEM}",
    ),
    "env_without_a_name": (
        MINIMAL.replace("env:META_ACCESS_TOKEN", '"env:"'),
        f"5:5: destinations[0].access_token: {_TOKEN_PROBLEM}",
    ),
    "api_version_no_version": (with_line("api_version: v25"), "5:5: destinations[0].api_version: must look like v25.0"),
    "api_version_a_number": (with_line("api_version: 25.0"), "5:5: destinations[0].api_version: must look like v25.0"),
    "api_version_v20_dead": (
        with_line("api_version: v20.0"),
        "5:5: destinations[0].api_version: v20.0 is dead: Meta ended it by 2026-09-24; use v25.0",
    ),
    "api_version_v19_dead": (
        with_line("api_version: v19.0"),
        "5:5: destinations[0].api_version: v19.0 is dead: Meta ended it by 2026-05-21; use v25.0",
    ),
    "api_version_v16_dead": (
        with_line("api_version: v16.0"),
        "5:5: destinations[0].api_version: v16.0 is dead: Meta ended it by 2025-05-14; use v25.0",
    ),
    "app_secret_itself": (
        with_line("app_secret: 0123456789abcdef0123456789abcdef"),
        "5:5: destinations[0].app_secret: must say where the secret is, and never be the secret itself: env:NAME,"
        " file:PATH or secret:projects/P/secrets/S/versions/V",
    ),
    "endpoint_no_url": (
        with_line("endpoint: graph.facebook.com"),
        "5:5: destinations[0].endpoint: must be a URL like https://graph.facebook.com",
    ),
    "endpoint_with_a_query": (
        with_line("endpoint: https://graph.facebook.com/?x=1"),
        "5:5: destinations[0].endpoint: must be a URL like https://graph.facebook.com",
    ),
    "endpoint_torn": (
        with_line('endpoint: "https://[bad"'),
        "5:5: destinations[0].endpoint: must be a URL like https://graph.facebook.com",
    ),
    "endpoint_with_an_impossible_port": (
        with_line("endpoint: https://graph.example.com:99999"),
        "5:5: destinations[0].endpoint: must be a URL like https://graph.facebook.com",
    ),
    "endpoint_in_the_clear": (
        with_line("endpoint: http://graph.example.com"),
        f"5:5: destinations[0].endpoint: {_HTTPS}",
    ),
    "endpoint_in_the_clear_that_looks_local": (
        with_line("endpoint: http://127.0.0.1.example.com"),
        f"5:5: destinations[0].endpoint: {_HTTPS}",
    ),
    "country_of_three_letters": (
        with_line("default_country: USA"),
        "5:5: destinations[0].default_country: must be an ISO 3166-1 alpha-2 country code such as US",
    ),
    "country_unknown": (
        with_line("default_country: XX"),
        "5:5: destinations[0].default_country: must be an ISO 3166-1 alpha-2 country code such as US",
    ),
    "allowed_keys_no_list": (
        with_line("allow_in_custom_data: city"),
        "5:5: destinations[0].allow_in_custom_data: must be a list",
    ),
    "allowed_key_no_text": (
        with_line("allow_in_custom_data: [city, 5]"),
        "5:34: destinations[0].allow_in_custom_data[1]: should be a valid string",
    ),
    "personal_data_neither_cut_nor_allowed": (
        with_line("personal_data_in_text: allowed"),
        "5:5: destinations[0].personal_data_in_text: must be one of cut, allow; did you mean allow?",
    ),
    "test_event_code_no_text": (
        with_line("test_event_code: 123"),
        "5:5: destinations[0].test_event_code: must be a code like TEST12345, without blanks",
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
    # a subscription
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
        "7:9: destinations[0].subscriptions[0].action: must be one of purchase, initiateCheckout, addToCart,"
        " viewContent, search, pageView, custom; did you mean viewContent?",
    ),
    "unknown_subscription_key": (
        with_subscription("triger: all"),
        "8:9: destinations[0].subscriptions[0].triger: is unknown; did you mean trigger?",
    ),
    "custom_without_a_trigger": (
        with_action("custom"),
        "7:9: destinations[0].subscriptions[0].trigger: is missing: the custom action has none of its own"
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
    # an offline destination
    "unknown_type_like_offline": (
        OFFLINE.replace("facebook_offline_conversions", "facebook_ofline_conversions"),
        "3:5: destinations[0].type: must be one of facebook_conversions_api, facebook_offline_conversions; did you mean"
        " facebook_offline_conversions?",
    ),
    "unknown_type_with_offline_settings": (
        OFFLINE.replace("facebook_offline_conversions", "stores"),
        "3:5: destinations[0].type: must be one of facebook_conversions_api, facebook_offline_conversions",
    ),
    "no_type_with_offline_settings": (
        OFFLINE.replace("    type: facebook_offline_conversions\n", ""),
        "2:5: destinations[0].type: is missing",
    ),
    "unknown_key_of_an_offline_destination": (
        OFFLINE + "    uploadtag: x\n",
        "6:5: destinations[0].uploadtag: is unknown; did you mean upload_tag?",
    ),
    "key_of_the_other_type": (
        OFFLINE + '    dataset_id: "1"\n',
        "6:5: destinations[0].dataset_id: is unknown; it is a setting of facebook_conversions_api",
    ),
    "key_of_the_offline_type": (
        with_line("upload_tag: x"),
        "5:5: destinations[0].upload_tag: is unknown; it is a setting of facebook_offline_conversions",
    ),
    "offline_id_with_letters": (
        OFFLINE.replace('"555"', "set-555"),
        "5:14: destinations[0].events.Order Completed: must be digits, as Meta's Events Manager shows the ID",
    ),
    "offline_id_in_a_list_with_letters": (
        OFFLINE.replace('"555"', '["555", "x"]'),
        "5:14: destinations[0].events.Order Completed: must be digits, as Meta's Events Manager shows the ID",
    ),
    "offline_id_negative": (
        OFFLINE.replace('"555"', "-555"),
        "5:14: destinations[0].events.Order Completed: must be digits, as Meta's Events Manager shows the ID",
    ),
    "offline_id_null": (
        OFFLINE.replace('"555"', "null"),
        "5:14: destinations[0].events.Order Completed: must be digits, as Meta's Events Manager shows the ID",
    ),
    "offline_ids_empty": (
        OFFLINE.replace('"555"', "[]"),
        "5:14: destinations[0].events.Order Completed: must list at least one ID",
    ),
    "event_mapped_twice_in_one_map": (
        OFFLINE.replace('{Order Completed: "555"}', '\n      Signed Up: "1"\n      Signed Up: "2"'),
        "7:7: the key 'Signed Up' stands here already, at line 6",
    ),
    "empty_map": (
        OFFLINE.replace('{Order Completed: "555"}', "{}"),
        "5:5: destinations[0].events: must name at least one event",
    ),
    "null_map_beside_a_full_one": (
        OFFLINE + "    lead_events:\n",
        "6:5: destinations[0].lead_events: must be an object of keys and values",
    ),
    "empty_map_beside_a_full_one": (
        OFFLINE + "    lead_events: {}\n",
        "6:5: destinations[0].lead_events: must name at least one event",
    ),
    "no_map": (
        OFFLINE.replace('    events: {Order Completed: "555"}\n', ""),
        "2:5: destinations[0].events: is missing: events, lead_events, complete_registration_events say which events"
        " are sent; give at least one",
    ),
    "map_no_object": (
        OFFLINE.replace('{Order Completed: "555"}', '[Order Completed, "555"]'),
        "5:5: destinations[0].events: must be an object of keys and values",
    ),
    "event_without_a_name": (
        OFFLINE.replace("Order Completed", '""'),
        "5:14: destinations[0].events.: has an event without a name",
    ),
    "value_field_unknown": (
        OFFLINE + "    value_field: prices\n",
        "6:5: destinations[0].value_field: must be one of value, price; did you mean price?",
    ),
    "value_field_revenue": (
        OFFLINE + "    value_field: revenue\n",
        "6:5: destinations[0].value_field: must be one of value, price; did you mean value?",
    ),
    "wire_unknown": (
        OFFLINE + "    wire: offline\n",
        "6:5: destinations[0].wire: must be one of conversions_api, offline_events; did you mean offline_events?",
    ),
    "upload_tag_empty": (
        OFFLINE + '    upload_tag: ""\n',
        "6:5: destinations[0].upload_tag: must be a text of one line",
    ),
    "upload_tag_with_a_tab": (
        OFFLINE + '    upload_tag: "a\\tb"\n',
        "6:5: destinations[0].upload_tag: must be a text of one line",
    ),
    "upload_tag_a_number": (
        OFFLINE + "    upload_tag: 5\n",
        "6:5: destinations[0].upload_tag: must be a text of one line",
    ),
    "partner_agent_too_long": (
        OFFLINE + f"    partner_agent: {'a' * 23}\n",
        "6:5: destinations[0].partner_agent: must be 2 to 22 characters of ASCII, 2 of them letters",
    ),
    "partner_agent_of_digits": (
        OFFLINE + "    partner_agent: a-123\n",
        "6:5: destinations[0].partner_agent: must be 2 to 22 characters of ASCII, 2 of them letters",
    ),
    "partner_agent_on_the_older_wire": (
        OFFLINE + "    partner_agent: acme\n    wire: offline_events\n",
        "6:5: destinations[0].partner_agent: is none of the wire offline_events",
    ),
    "upload_id_of_two_lines": (
        OFFLINE + '    upload_id: "a\\nb"\n',
        "6:5: destinations[0].upload_id: must be a text of one line",
    ),
    "upload_source_a_number": (
        OFFLINE + "    upload_source: 5\n",
        "6:5: destinations[0].upload_source: must be a text of one line",
    ),
    "dead_version_on_the_wire_of_today": (
        OFFLINE + "    api_version: v16.0\n",
        "6:5: destinations[0].api_version: v16.0 is dead: Meta ended it by 2025-05-14; use v25.0",
    ),
    "todays_version_on_the_older_wire": (
        OFFLINE + "    wire: offline_events\n    api_version: v25.0\n",
        "7:5: destinations[0].api_version: v25.0 has no wire offline_events; use v16.0 or older",
    ),
    "test_event_code_on_the_older_wire": (
        OFFLINE + "    wire: offline_events\n    test_event_code: TEST1\n",
        "7:5: destinations[0].test_event_code: is none of the wire offline_events",
    ),
    "offline_name_twice": (
        OFFLINE + OFFLINE.partition("\n")[2],
        "6:5: destinations[1].name: 'stores' is already the name of the destination at line 2",
    ),
    "too_many_events_of_an_offline_destination": (
        OFFLINE + "delivery:\n  max_batch_events: 1001\n",
        "7:3: delivery.max_batch_events: should be less than or equal to 1000",
    ),
    "too_many_events_of_the_older_wire": (
        OFFLINE + "    wire: offline_events\ndelivery:\n  max_batch_events: 2001\n",
        "8:3: delivery.max_batch_events: should be less than or equal to 2000",
    ),
    "too_many_events_where_one_wire_is_todays": (
        OFFLINE + "    wire: offline_events\n" + MINIMAL.partition("\n")[2] + "delivery: {max_batch_events: 2000}\n",
        "13:12: delivery.max_batch_events: should be less than or equal to 1000",
    ),
    # delivery
    "delivery_null": (MINIMAL + "delivery:\n", "8:1: delivery: must be an object of keys and values"),
    "unknown_delivery_key": (
        MINIMAL + "delivery:\n  concurency: 8\n",
        "9:3: delivery.concurency: is unknown; did you mean concurrency?",
    ),
    "too_many_events": (
        MINIMAL + "delivery:\n  max_batch_events: 1001\n",
        "9:3: delivery.max_batch_events: should be less than or equal to 1000",
    ),
    "too_many_events_in_quotes": (
        MINIMAL + 'delivery:\n  max_batch_events: "1001"\n',
        "9:3: delivery.max_batch_events: should be less than or equal to 1000",
    ),
    "too_few_events": (
        MINIMAL + "delivery:\n  max_batch_events: 0\n",
        "9:3: delivery.max_batch_events: should be greater than or equal to 1",
    ),
    "events_no_number": (
        MINIMAL + "delivery:\n  max_batch_events: many\n",
        "9:3: delivery.max_batch_events: should be a valid integer, unable to parse string as an integer",
    ),
    "too_few_bytes": (
        MINIMAL + "delivery:\n  max_batch_bytes: 1\n",
        "9:3: delivery.max_batch_bytes: should be greater than or equal to 1024",
    ),
    "no_concurrency": (
        MINIMAL + "delivery:\n  concurrency: 0\n",
        "9:3: delivery.concurrency: should be greater than or equal to 1",
    ),
    "no_requests_per_second": (
        MINIMAL + "delivery:\n  requests_per_second: 0\n",
        "9:3: delivery.requests_per_second: should be greater than 0",
    ),
    "rate_limit_service_without_a_port": (
        MINIMAL + "delivery:\n  rate_limit_service: localhost\n",
        "9:3: delivery.rate_limit_service: must be host:port, such as localhost:8081",
    ),
    "unknown_receipts": (
        MINIMAL + "delivery:\n  receipts: detail\n",
        "9:3: delivery.receipts: must be one of brief, detailed; did you mean detailed?",
    ),
    "duration_in_words": (
        MINIMAL + "delivery:\n  max_batch_delay: soon\n",
        "9:3: delivery.max_batch_delay: is no duration; write it like 10s, 500ms, 15m or 1h",
    ),
    "duration_true": (
        MINIMAL + "delivery:\n  max_batch_delay: true\n",
        "9:3: delivery.max_batch_delay: is no duration; write it like 10s, 500ms, 15m or 1h",
    ),
    "duration_too_long": (
        MINIMAL + "delivery:\n  retry_for: 8d\n",
        "9:3: delivery.retry_for: must be between 0 and 7d",
    ),
    "duration_negative": (
        MINIMAL + "delivery:\n  retry_for: -1\n",
        "9:3: delivery.retry_for: must be between 0 and 7d",
    ),
    # names
    "destination_name_twice": (
        MINIMAL + MINIMAL.partition("\n")[2],
        "8:5: destinations[1].name: 'web' is already the name of the destination at line 2",
    ),
    "subscription_name_twice": (
        MINIMAL + "        name: a\n      - action: search\n        name: a\n",
        "10:9: destinations[0].subscriptions[1].name: 'a' is already the name of the subscription at line 7",
    ),
    "action_twice_without_names": (
        MINIMAL + "      - action: purchase\n",
        "8:9: destinations[0].subscriptions[1].action: 'purchase' is already the name of the subscription at line 7;"
        " give it a name of its own",
    ),
    "name_that_is_another_ones_action": (
        MINIMAL + "      - action: search\n        name: purchase\n",
        "9:9: destinations[0].subscriptions[1].name: 'purchase' is already the name of the subscription at line 7",
    ),
}


@pytest.mark.parametrize("path", ["$.detail", "$.Records[0].Sns.Message", '$["a b"].c', "$.detail-type", "$.@message"])
def test_unwrap_is_a_path(path: str) -> None:
    assert job(f"{MINIMAL}unwrap: {path!r}\n").unwrap == path


@pytest.mark.parametrize(
    "path", ["$", "$.", "''", "detail", "5", "'{{detail}}'", "{'@path': $.detail}", "[$.a]", "'$. a'"]
)
def test_unwrap_is_nothing_else(path: str) -> None:
    (problem,) = problems(f"unwrap: {path}\n{MINIMAL}")
    assert problem == "job.yaml:1:1: unwrap: must be the path to the event in a message, for example $.detail"


@pytest.mark.parametrize(("text", "problem"), ONE_PROBLEM.values(), ids=ONE_PROBLEM.keys())
def test_one_mistake_is_one_problem_with_its_place(text: str, problem: str) -> None:
    assert problems(text) == (f"job.yaml:{problem}",)


def test_two_destinations_may_name_their_subscriptions_alike() -> None:
    text = MINIMAL + MINIMAL.partition("\n")[2].replace("name: web", "name: crm")

    assert [subscription.key for subscription in job(text).subscriptions] == ["web/purchase", "crm/purchase"]


def test_a_number_must_be_a_number() -> None:
    (problem,) = problems(MINIMAL + "delivery:\n  max_batch_events: true\n")

    assert problem.startswith("job.yaml:9:3: delivery.max_batch_events: ")


def test_a_request_must_have_some_time() -> None:
    (problem,) = problems(MINIMAL + "delivery:\n  timeout: 0s\n")

    assert problem.startswith("job.yaml:9:3: delivery.timeout: ")


def test_a_test_event_code_is_text_that_can_travel_in_a_key() -> None:
    (problem,) = problems(with_line('test_event_code: "TEST\\t1"'))

    assert problem.startswith("job.yaml:5:5: destinations[0].test_event_code: ")


def test_two_thousand_events_may_share_a_request_where_all_wires_are_the_older() -> None:
    made = job(OFFLINE + "    wire: offline_events\ndelivery: {max_batch_events: 2000}\n")

    assert made.delivery.max_batch_events == 2000


def test_all_problems_of_an_offline_destination_are_reported_together() -> None:
    text = OFFLINE.replace('"555"', "px").replace("env:META", "META") + "    lead_events: {}\n    value_field: total\n"

    assert problems(text + "    wire: offline_events\n    api_version: v24.0\n    colour: blue\n") == (
        f"job.yaml:4:5: destinations[0].access_token: {_TOKEN_PROBLEM}",
        "job.yaml:5:14: destinations[0].events.Order Completed: must be digits, as Meta's Events Manager shows the ID",
        "job.yaml:6:5: destinations[0].lead_events: must name at least one event",
        "job.yaml:7:5: destinations[0].value_field: must be one of value, price",
        "job.yaml:9:5: destinations[0].api_version: v24.0 has no wire offline_events; use v16.0 or older",
        "job.yaml:10:5: destinations[0].colour: is unknown",
    )


# --- all problems at once ---------------------------------------------------------------------------------------

BROKEN = f"""\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: pixel
    access_token: {TOKEN}
    api_version: v20.0
    subscriptions:
      - action: purchase
        mapping:
          value: {{"@pth": $.properties.total}}
          contents:
            "@arrayPath":
              - $.properties.products
              - id: {{"@case": {{operator: uper, value: {{"@path": $.id}}}}}}
      - action: custom
        trigger: type = "track" and propertis.x = 1
      - action: purchase
  - name: web
    type: facebook_conversions_api
    access_token: env:T
    subscriptions: []
    colour: blue
delivery:
  max_batch_events: 5000
  retry_for: long
"""


def test_all_problems_of_a_file_are_reported_together_in_its_order() -> None:
    assert problems(BROKEN) == (
        "job.yaml:4:5: destinations[0].dataset_id: must be digits, as Meta's Events Manager shows the ID",
        f"job.yaml:5:5: destinations[0].access_token: {_TOKEN_PROBLEM}",
        "job.yaml:6:5: destinations[0].api_version: v20.0 is dead: Meta ended it by 2026-09-24; use v25.0",
        "job.yaml:10:19: destinations[0].subscriptions[0].mapping.value.@pth: has an invalid directive: @pth, did you"
        " mean @path?",
        "job.yaml:14:32: destinations[0].subscriptions[0].mapping.contents.@arrayPath[1].id.@case.operator: should be"
        ' one of lower, upper but it is "uper"',
        "job.yaml:16:37: destinations[0].subscriptions[1].trigger: unknown field propertis.x; did you mean"
        " properties.x? (character 20)",
        "job.yaml:17:9: destinations[0].subscriptions[2].action: 'purchase' is already the name of the subscription at"
        " line 8; give it a name of its own",
        "job.yaml:18:5: destinations[1].dataset_id: is missing",
        "job.yaml:18:5: destinations[1].name: 'web' is already the name of the destination at line 2",
        "job.yaml:21:5: destinations[1].subscriptions: must list at least one",
        "job.yaml:22:5: destinations[1].colour: is unknown",
        "job.yaml:24:3: delivery.max_batch_events: should be less than or equal to 1000",
        "job.yaml:25:3: delivery.retry_for: is no duration; write it like 10s, 500ms, 15m or 1h",
    )


def test_a_dead_version_is_found_beside_any_other_mistake() -> None:
    assert problems(with_line("api_version: v20.0\n    colour: blue")) == (
        "job.yaml:5:5: destinations[0].api_version: v20.0 is dead: Meta ended it by 2026-09-24; use v25.0",
        "job.yaml:6:5: destinations[0].colour: is unknown",
    )


def test_a_destination_that_says_nothing_misses_everything() -> None:
    assert problems("destinations:\n  - {}\n") == tuple(
        f"job.yaml:2:5: destinations[0].{key}: is missing"
        for key in ("access_token", "dataset_id", "name", "subscriptions", "type")
    )


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL.replace("env:META_ACCESS_TOKEN", TOKEN),
        MINIMAL.replace("access_token: env:META_ACCESS_TOKEN", f"acess_token: {TOKEN}"),
        MINIMAL.replace("env:META_ACCESS_TOKEN", f"[{TOKEN}]"),
        MINIMAL.replace("env:META_ACCESS_TOKEN", f"{{value: {TOKEN}}}"),
        with_line(f"endpoint: https://graph.facebook.com/?access_token={TOKEN}"),
        with_line(f"endpoint: https://{TOKEN}@graph.facebook.com"),
        BROKEN,
    ],
    ids=["as_the_token", "at_a_mistyped_key", "in_a_list", "in_an_object", "in_a_query", "as_a_user", "among_others"],
)
def test_what_looks_like_a_token_is_never_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        job(text)

    assert TOKEN not in f"{caught.value} {caught.value!r} {caught.value.problems}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "a traceback must not show what pydantic says about its input"


# --- what is merely odd -----------------------------------------------------------------------------------------

ONE_WARNING = {
    "marketing_api_ended_for_v24": (
        with_line("api_version: v24.0"),
        "5:5: destinations[0].api_version: v24.0 is past the end of its Marketing API table (2026-10-06); a newer one"
        " is safer",
    ),
    "unknown_field": (
        with_subscription("mapping:\n  valeu: 5"),
        "9:11: destinations[0].subscriptions[0].mapping.valeu: is no field of purchase and is left out;"
        " did you mean value?",
    ),
    "unknown_key_of_user_data": (
        with_subscription("mapping:\n  user_data: {emial: {'@path': $.properties.email}}"),
        "9:23: destinations[0].subscriptions[0].mapping.user_data.emial: is no field of user_data and is left out;"
        " did you mean email?",
    ),
    "event_name_of_an_action_that_has_its_own": (
        with_subscription("mapping:\n  event_name: Order"),
        "9:11: destinations[0].subscriptions[0].mapping.event_name: is no field of purchase and is left out;"
        " the action sets it",
    ),
    "endpoint_with_a_path": (
        with_line("endpoint: https://gateway.example.com/meta"),
        "5:5: destinations[0].endpoint: has the path /meta, and Meta answers code 2500 to an unknown path",
    ),
    "endpoint_with_a_version": (
        with_line("endpoint: https://graph.facebook.com/v25.0"),
        "5:5: destinations[0].endpoint: has the path /v25.0, and Meta answers code 2500 to an unknown path; the"
        " version is set by api_version: v25.0",
    ),
    "required_fields_left_out": (
        with_subscription("use_default_mapping: false\nmapping: {value: 1, action_source: email}"),
        "9:9: destinations[0].subscriptions[0].mapping: leaves out event_time, user_data, currency, without which every"
        " event is rejected",
    ),
}


@pytest.mark.parametrize(("text", "warning"), ONE_WARNING.values(), ids=ONE_WARNING.keys())
def test_what_is_merely_odd_is_a_warning(text: str, warning: str) -> None:
    assert job(text).warnings == (f"job.yaml:{warning}",)


_END = f"3:5: destinations[0].type: {END_OF_OFFLINE_EVENTS}"


def test_the_end_of_the_offline_conversions_api_is_explained_once() -> None:
    second = OFFLINE.partition("\n")[2].replace("name: stores", "name: more")
    older = "    wire: offline_events\n    endpoint: https://archive.example.com\n"

    for text in (OFFLINE, OFFLINE + second, OFFLINE + older, OFFLINE + older + second):
        assert job(text).warnings == (f"job.yaml:{_END}",)
    for word in (
        "2025-05-14",
        "v16.0",
        "event sets became datasets",
        "dataset IDs",
        "physical_store",
        "docs/offline.md",
    ):
        assert word in END_OF_OFFLINE_EVENTS


def test_the_older_wire_to_meta_itself_is_a_warning_of_its_own() -> None:
    assert job(OFFLINE + "    wire: offline_events\n").warnings == (
        f"job.yaml:{_END}",
        "job.yaml:6:5: destinations[0].wire: offline_events to graph.facebook.com: Meta refuses every request; give the"
        " endpoint of a system that still speaks it, or leave wire out",
    )


@pytest.mark.parametrize(
    ("version", "today", "outcome"),
    [
        ("v26.0", date(2026, 11, 22), "fine"),
        ("v25.0", date(2026, 11, 22), "fine"),
        ("v25.0", date(2028, 7, 28), "fine"),
        ("v25.0", date(2028, 7, 29), "dead"),
        ("v24.0", date(2026, 10, 5), "fine"),
        ("v24.0", date(2026, 10, 6), "warned"),
        ("v24.0", date(2028, 2, 17), "warned"),
        ("v24.0", date(2028, 2, 18), "dead"),
        ("v20.0", date(2026, 9, 23), "fine"),
        ("v20.0", date(2026, 9, 24), "dead"),
        ("v19.0", date(2026, 5, 20), "fine"),
        ("v19.0", date(2026, 5, 21), "dead"),
        ("v18.0", date(2026, 11, 22), "dead"),
        ("v16.0", date(2025, 5, 14), "dead"),
        ("v2.0", date(2026, 11, 22), "dead"),
    ],
)
def test_a_version_lives_as_long_as_metas_tables_say(version: str, today: date, outcome: str) -> None:
    text = with_line(f"api_version: {version}")
    try:
        found = "warned" if parse_job(text, "job.yaml", today).warnings else "fine"
    except ConfigError:
        found = "dead"

    assert found == outcome


# --- files ------------------------------------------------------------------------------------------------------


def test_a_job_is_loaded_from_a_file_even_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "conversions.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())

    assert load_job(path, TODAY) == job(MINIMAL)


def test_windows_line_ends_are_line_ends() -> None:
    assert job(MINIMAL.replace("\n", "\r\n")) == job(MINIMAL)


def test_a_file_that_is_not_there_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_job(tmp_path / "none.yaml", TODAY)

    assert caught.value.problems == (f"{tmp_path}/none.yaml: cannot be read: No such file or directory",)


def test_a_directory_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_job(tmp_path, TODAY)

    assert caught.value.problems == (f"{tmp_path}: cannot be read: Is a directory",)


def test_a_file_that_is_no_text_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(b"name: \xff\xfe")

    with pytest.raises(ConfigError) as caught:
        load_job(tmp_path / "job.yaml", TODAY)

    assert caught.value.problems == (f"{tmp_path}/job.yaml: cannot be read: it is not UTF-8 text",)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_fine_without_a_warning_but_that_of_offline_conversions(path: Path) -> None:
    assert [warning for warning in load_job(path, TODAY).warnings if END_OF_OFFLINE_EVENTS not in warning] == []


def test_there_is_an_example() -> None:
    assert "conversions.yaml" in [path.name for path in EXAMPLES]


# --- a job as a value -------------------------------------------------------------------------------------------


def test_a_job_pickles_to_an_equal_one() -> None:
    for made in (job(WHOLE), job(OFFLINE)):
        assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize("part", ["job", "destination", "subscription", "delivery", "token"])
def test_a_job_is_frozen(part: str) -> None:
    made = job(MINIMAL)
    frozen: dict[str, tuple[Any, str]] = {
        "job": (made, "delivery"),
        "destination": (made.destinations[0], "api_version"),
        "subscription": (made.subscriptions[0], "trigger"),
        "delivery": (made.delivery, "timeout"),
        "token": (made.destinations[0].token, "text"),
    }
    target, name = frozen[part]

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(target, name, None)


@pytest.mark.parametrize(
    ("subscription", "unread"),
    [
        ("{action: purchase}", ["receivedAt", "sentAt", "originalTimestamp"]),
        ("{action: purchase, mapping: {event_time: {'@path': $.originalTimestamp}}}", ["receivedAt", "sentAt"]),
        ("{action: purchase, mapping: {event_time: {'@path': '$[\"sentAt\"]'}}}", ["receivedAt", "originalTimestamp"]),
        ("{action: purchase, mapping: {event_time: {'@template': '{{sentAt}}'}}}", ["receivedAt", "originalTimestamp"]),
        ("{action: purchase, mapping: {custom_data: {'@path': $.}}}", []),
        ("{action: purchase, mapping: {custom_data: {'@path': $}}}", ["receivedAt", "sentAt", "originalTimestamp"]),
    ],
)
def test_a_job_knows_the_clocks_that_nothing_reads(subscription: str, unread: list[str]) -> None:
    assert list(job(MINIMAL.replace("action: purchase", subscription)).unread()) == unread


# --- the schema for editors -------------------------------------------------------------------------------------


def schema_errors(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(yaml_source.read(text, "job.yaml").data)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "text",
    [MINIMAL, WHOLE, OFFLINE, *(path.read_text(encoding="utf-8") for path in EXAMPLES)],
    ids=["minimal", "whole", "offline", *(path.name for path in EXAMPLES)],
)
def test_the_schema_accepts_what_is_right(text: str) -> None:
    assert schema_errors(text) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (MINIMAL + "delivry: {}\n", "delivry"),
        (with_line("default_contry: US"), "default_contry"),
        (with_subscription("triger: all"), "triger"),
        (MINIMAL + "delivery: {concurency: 8}\n", "concurency"),
        (with_action("viewcontent"), "viewcontent"),
        (MINIMAL.replace("facebook_conversions_api", "facebook_conversion_api"), "facebook_conversion"),
        (MINIMAL.replace("env:META_ACCESS_TOKEN", "token"), "does not match"),
        (MINIMAL.replace('"123321"', "px"), "'px' is not valid under any of the given schemas"),
        (MINIMAL + "delivery: {max_batch_events: 2001}\n", "2001"),
        (MINIMAL + "delivery: {requests_per_second: 0}\n", "0"),
        (MINIMAL.replace("    access_token: env:META_ACCESS_TOKEN\n", ""), "'access_token' is a required property"),
        ("destinations: []\n", "[] "),
        (OFFLINE.replace("events:", "evnts:"), "evnts"),
        (OFFLINE.replace('"555"', "px"), "'px' does not match"),
        (OFFLINE.replace('"555"', "[]"), "[] "),
        (OFFLINE.replace('{Order Completed: "555"}', "{}"), "{} "),
        (OFFLINE + "    value_field: revenue\n", "revenue"),
        (OFFLINE + '    dataset_id: "1"\n', "dataset_id"),
        (with_subscription("mapping: [value]"), "['value'] is not of type 'object'"),
    ],
)
def test_the_schema_refuses_typos(text: str, word: str) -> None:
    (error,) = schema_errors(text)

    assert word in error
