"""Destination type facebook_offline_conversions in a job file: event maps, problems, warnings."""

from __future__ import annotations

import pytest

from capybeam.pipeline.job.destinations.facebook_offline_conversions import END_OF_OFFLINE_EVENTS
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.meta.destinations import MetaDestination
from tests.pipeline.job.job_files import OFFLINE, TOKEN_PROBLEM, job, problems


def test_an_offline_destination_is_a_subscription_for_each_event_of_its_maps() -> None:
    made = job(
        OFFLINE.replace('{Order Completed: "555"}', '{Order Completed: 555, "Say \\"hi\\"": ["555", 556, "555"]}')
        + "    lead_events: {Order Completed: [777]}\n    upload_tag: läden 2026\n    default_country: us\n"
        + "    allow_in_custom_data: [name]\n    personal_data_in_text: allow\n    test_event_code: TEST1\n"
    )

    assert made.destinations == (MetaDestination("stores", TokenReference("env:META_ACCESS_TOKEN"), "v25.0"),)
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


ONE_PROBLEM = {
    "unknown_key_of_an_offline_destination": (
        OFFLINE + "    uploadtag: x\n",
        "6:5: destinations[0].uploadtag: is unknown; did you mean upload_tag?",
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
        "7:7: the key 'Signed Up' is already given at line 6",
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
        "2:5: destinations[0].events: is missing: events, lead_events, complete_registration_events define which events"
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
        "6:5: destinations[0].upload_tag: must be a single line of text",
    ),
    "upload_tag_with_a_tab": (
        OFFLINE + '    upload_tag: "a\\tb"\n',
        "6:5: destinations[0].upload_tag: must be a single line of text",
    ),
    "upload_tag_a_number": (
        OFFLINE + "    upload_tag: 5\n",
        "6:5: destinations[0].upload_tag: must be a single line of text",
    ),
    "partner_agent_on_the_older_wire": (
        OFFLINE + "    partner_agent: acme\n    wire: offline_events\n",
        "6:5: destinations[0].partner_agent: is not available with wire: offline_events",
    ),
    "dead_version_on_the_wire_of_today": (
        OFFLINE + "    api_version: v16.0\n",
        "6:5: destinations[0].api_version: v16.0 has expired: Meta ended it by 2025-05-14; use v25.0",
    ),
    "todays_version_on_the_older_wire": (
        OFFLINE + "    wire: offline_events\n    api_version: v25.0\n",
        "7:5: destinations[0].api_version: v25.0 does not support wire: offline_events; use v16.0 or older",
    ),
    "test_event_code_on_the_older_wire": (
        OFFLINE + "    wire: offline_events\n    test_event_code: TEST1\n",
        "7:5: destinations[0].test_event_code: is not available with wire: offline_events",
    ),
    "too_many_events_of_an_offline_destination": (
        OFFLINE + "delivery:\n  max_batch_events: 1001\n",
        "7:3: delivery.max_batch_events: should be less than or equal to 1000",
    ),
    "too_many_events_of_the_older_wire": (
        OFFLINE + "    wire: offline_events\ndelivery:\n  max_batch_events: 2001\n",
        "8:3: delivery.max_batch_events: should be less than or equal to 2000",
    ),
}


@pytest.mark.parametrize(("text", "problem"), ONE_PROBLEM.values(), ids=ONE_PROBLEM.keys())
def test_one_mistake_is_one_problem_with_its_place(text: str, problem: str) -> None:
    assert problems(text) == (f"job.yaml:{problem}",)


def test_all_problems_of_an_offline_destination_are_reported_together() -> None:
    text = OFFLINE.replace('"555"', "px").replace("env:META", "META") + "    lead_events: {}\n    value_field: total\n"

    assert problems(text + "    wire: offline_events\n    api_version: v24.0\n    colour: blue\n") == (
        f"job.yaml:4:5: destinations[0].access_token: {TOKEN_PROBLEM}",
        "job.yaml:5:14: destinations[0].events.Order Completed: must be digits, as Meta's Events Manager shows the ID",
        "job.yaml:6:5: destinations[0].lead_events: must name at least one event",
        "job.yaml:7:5: destinations[0].value_field: must be one of value, price",
        "job.yaml:9:5: destinations[0].api_version: v24.0 does not support wire: offline_events; use v16.0 or older",
        "job.yaml:10:5: destinations[0].colour: is unknown",
    )


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


def test_the_older_wire_to_meta_itself_is_a_separate_warning() -> None:
    assert job(OFFLINE + "    wire: offline_events\n").warnings == (
        f"job.yaml:{_END}",
        "job.yaml:6:5: destinations[0].wire: offline_events to graph.facebook.com: Meta refuses every request; give the"
        " endpoint of a system that still supports it, or remove wire",
    )
