"""The JSON Schema for editors."""

from __future__ import annotations

import jsonschema
import pytest

from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.schema import json_schema
from tests.pipeline.job.job_files import (
    EXAMPLES,
    MINIMAL,
    OFFLINE,
    WHOLE,
    with_action,
    with_line,
    with_subscription,
)


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
