"""How every mistake in a job file is found at once, each with its place."""

from __future__ import annotations

import itertools

import pytest

from capybeam.pipeline.job.loader import ConfigError
from tests.pipeline.job.job_files import (
    MINIMAL,
    NAME_PROBLEM,
    OFFLINE,
    TOKEN,
    TOKEN_PROBLEM,
    job,
    problems,
    with_line,
    with_subscription,
)

ONE_PROBLEM = {
    "empty": ("", "1:1: the file is empty"),
    "a_list": ("- a\n", "1:1: must be an object of keys and values"),
    "a_word": ("destinations\n", "1:1: must be an object of keys and values"),
    "no_yaml": ("destinations: [\n", "2:1: this is not valid YAML: did not find expected node content"),
    "duplicate_key": (
        MINIMAL.replace("    type:", "    name: crm\n    type:"),
        "3:5: the key 'name' is already given at line 2",
    ),
    "anchor_in_itself": (
        with_subscription("mapping: {custom_data: &a {b: *a}}"),
        "8:32: an anchor must not contain itself",
    ),
    "aliases_of_aliases": (
        MINIMAL
        + "a: &a [x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 8)}]\n" for a, b in itertools.pairwise("abcdefgh")),
        "8:10: the file has more than 100,000 values at this point, counting aliases and merges",
    ),
    "merges_of_merges": (
        MINIMAL + "m0: &m0 {a: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 26)),
        "8:13: the file has more than 100,000 values at this point, counting aliases and merges",
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
    "no_destinations_key": ("delivery: {}\n", "1:1: destinations: is missing"),
    "destinations_empty": ("destinations: []\n", "1:1: destinations: must list at least one"),
    "destinations_no_list": ("destinations: {web: 1}\n", "1:1: destinations: must be a list"),
    "destination_no_object": ("destinations:\n  - web\n", "2:5: destinations[0]: must be an object of keys and values"),
    "unknown_root_key": (MINIMAL + "delivry: {}\n", "8:1: delivry: is unknown; did you mean delivery?"),
    "unknown_root_key_like_nothing": (MINIMAL + "zzz: 1\n", "8:1: zzz: is unknown"),
    "unknown_destination_key": (
        with_line("default_contry: US"),
        "5:5: destinations[0].default_contry: is unknown; did you mean default_country?",
    ),
    "no_name": (
        MINIMAL.replace("  - name: web\n    type", "  - type"),
        "2:5: destinations[0].name: is missing",
    ),
    "name_of_a_path": (MINIMAL.replace("name: web", "name: a/b"), f"2:5: destinations[0].name: {NAME_PROBLEM}"),
    "name_of_a_number": (MINIMAL.replace("name: web", "name: 5"), f"2:5: destinations[0].name: {NAME_PROBLEM}"),
    "unknown_type": (
        MINIMAL.replace("facebook_conversions_api", "facebook_conversion_api"),
        "3:5: destinations[0].type: must be one of facebook_conversions_api, facebook_offline_conversions; did you mean"
        " facebook_conversions_api?",
    ),
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
    "key_of_the_other_type": (
        OFFLINE + '    dataset_id: "1"\n',
        "6:5: destinations[0].dataset_id: is unknown; it is a setting of facebook_conversions_api",
    ),
    "key_of_the_offline_type": (
        with_line("upload_tag: x"),
        "5:5: destinations[0].upload_tag: is unknown; it is a setting of facebook_offline_conversions",
    ),
    "offline_name_twice": (
        OFFLINE + OFFLINE.partition("\n")[2],
        "6:5: destinations[1].name: 'stores' is already the name of the destination at line 2",
    ),
    "too_many_events_where_one_wire_is_todays": (
        OFFLINE + "    wire: offline_events\n" + MINIMAL.partition("\n")[2] + "delivery: {max_batch_events: 2000}\n",
        "13:12: delivery.max_batch_events: should be less than or equal to 1000",
    ),
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
        "9:3: delivery.max_batch_delay: is not a duration, for example 10s, 500ms, 15m or 1h",
    ),
    "duration_true": (
        MINIMAL + "delivery:\n  max_batch_delay: true\n",
        "9:3: delivery.max_batch_delay: is not a duration, for example 10s, 500ms, 15m or 1h",
    ),
    "duration_too_long": (
        MINIMAL + "delivery:\n  retry_for: 8d\n",
        "9:3: delivery.retry_for: must be between 0 and 7d",
    ),
    "duration_negative": (
        MINIMAL + "delivery:\n  retry_for: -1\n",
        "9:3: delivery.retry_for: must be between 0 and 7d",
    ),
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
        " give it another name",
    ),
    "name_that_is_another_ones_action": (
        MINIMAL + "      - action: search\n        name: purchase\n",
        "9:9: destinations[0].subscriptions[1].name: 'purchase' is already the name of the subscription at line 7",
    ),
}


@pytest.mark.parametrize(
    "path", ["$", "$.", "''", "detail", "5", "'{{detail}}'", "{'@path': $.detail}", "[$.a]", "'$. a'"]
)
def test_unwrap_is_nothing_else(path: str) -> None:
    (problem,) = problems(f"unwrap: {path}\n{MINIMAL}")
    assert problem == "job.yaml:1:1: unwrap: must be the path to the event in a message, for example $.detail"


@pytest.mark.parametrize(("text", "problem"), ONE_PROBLEM.values(), ids=ONE_PROBLEM.keys())
def test_one_mistake_is_one_problem_with_its_place(text: str, problem: str) -> None:
    assert problems(text) == (f"job.yaml:{problem}",)


def test_a_number_must_be_a_number() -> None:
    (problem,) = problems(MINIMAL + "delivery:\n  max_batch_events: true\n")

    assert problem.startswith("job.yaml:9:3: delivery.max_batch_events: ")


def test_a_request_must_have_some_time() -> None:
    (problem,) = problems(MINIMAL + "delivery:\n  timeout: 0s\n")

    assert problem.startswith("job.yaml:9:3: delivery.timeout: ")


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
        f"job.yaml:5:5: destinations[0].access_token: {TOKEN_PROBLEM}",
        "job.yaml:6:5: destinations[0].api_version: v20.0 has expired: Meta ended it by 2026-09-24; use v25.0",
        "job.yaml:10:19: destinations[0].subscriptions[0].mapping.value.@pth: has an invalid directive: @pth, did you"
        " mean @path?",
        "job.yaml:14:32: destinations[0].subscriptions[0].mapping.contents.@arrayPath[1].id.@case.operator: should be"
        ' one of lower, upper but it is "uper"',
        "job.yaml:16:37: destinations[0].subscriptions[1].trigger: unknown field propertis.x; did you mean"
        " properties.x? (character 20)",
        "job.yaml:17:9: destinations[0].subscriptions[2].action: 'purchase' is already the name of the subscription at"
        " line 8; give it another name",
        "job.yaml:18:5: destinations[1].dataset_id: is missing",
        "job.yaml:18:5: destinations[1].name: 'web' is already the name of the destination at line 2",
        "job.yaml:21:5: destinations[1].subscriptions: must list at least one",
        "job.yaml:22:5: destinations[1].colour: is unknown",
        "job.yaml:24:3: delivery.max_batch_events: should be less than or equal to 1000",
        "job.yaml:25:3: delivery.retry_for: is not a duration, for example 10s, 500ms, 15m or 1h",
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
