"""A type of destination is one entry in a table: a third one is known to everything that reads job files."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from capybeam.pipeline.job import loader, yaml_source
from capybeam.pipeline.job.destinations import DESTINATION_TYPES
from capybeam.pipeline.job.schema import json_schema
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.meta.destinations import MetaDestination
from tests.json_webhook import JSON_WEBHOOK, WebhookDestination
from tests.pipeline.job.job_files import MINIMAL, job, problems

WEBHOOK = """\
destinations:
  - name: hook
    type: json_webhook
    url: https://hook.example.com
    key: env:KEY
    routes:
      - trigger: type = "track"
"""


@pytest.fixture(autouse=True)
def webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DESTINATION_TYPES, "json_webhook", JSON_WEBHOOK)


def test_its_destinations_and_subscriptions_are_in_the_job_beside_others() -> None:
    made = job(WEBHOOK + MINIMAL.partition("\n")[2])

    assert made.destinations == (
        WebhookDestination("hook", TokenReference("env:KEY"), endpoint="https://hook.example.com"),
        MetaDestination("web", TokenReference("env:META_ACCESS_TOKEN")),
    )
    assert [(each.key, each.trigger) for each in made.subscriptions] == [
        ("hook/route 0", 'type = "track"'),
        ("web/purchase", 'type = "track" and event = "Order Completed"'),
    ]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("json_webhook", "json_webhok", "3:5: destinations[0].type: must be one of facebook_conversions_api,"
         " facebook_offline_conversions, json_webhook; did you mean json_webhook?"),
        ("    url:", "    rout: x\n    url:", "4:5: destinations[0].rout: is unknown; did you mean routes?"),
        ("    url:", "    upload_tag: x\n    url:", "4:5: destinations[0].upload_tag: is unknown; it is a setting of"
         " facebook_offline_conversions"),
        ("- trigger:", "- triger: all\n        trigger:", "7:9: destinations[0].routes[0].triger: is unknown; did you"
         " mean trigger?"),
        ("    url: https://hook.example.com\n", "", "2:5: destinations[0].url: is missing"),
        ('type = "track"', 'evnt = "x"', "7:18: destinations[0].routes[0].trigger: unknown field evnt; did you mean"
         " event? (character 1)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_is_found_by_its_model_and_its_own_check(before: str, after: str, problem: str) -> None:
    assert problems(WEBHOOK.replace(before, after)) == (f"job.yaml:{problem}",)


def test_its_warnings_are_the_jobs() -> None:
    assert job(WEBHOOK.replace("https:", "http:")).warnings == ("job.yaml:4:5: destinations[0].url: is not https",)


def test_its_limit_bounds_the_batches_of_the_job() -> None:
    assert problems(WEBHOOK + "delivery: {max_batch_events: 51}\n") == (
        "job.yaml:8:12: delivery.max_batch_events: should be less than or equal to 50",
    )
    assert job(WEBHOOK + "delivery: {max_batch_events: 50}\n").delivery.max_batch_events == 50


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (WEBHOOK, []),
        (MINIMAL, []),
        (WEBHOOK.replace("url:", "uri:"), ["Additional properties are not allowed ('uri' was unexpected)",
                                           "'url' is a required property"]),
    ],
    ids=["webhook", "conversions", "typo"],
)  # fmt: skip
def test_the_schema_for_editors_knows_it(text: str, errors: list[str]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    found = validator.iter_errors(yaml_source.read(text, "job.yaml").data)
    assert sorted(error.message for error in found) == sorted(errors)


def test_no_module_beside_the_types_knows_one_by_name() -> None:
    modules = sorted(Path(loader.__file__).parent.glob("*.py"))
    known = [(path.name, name) for path in modules for name in DESTINATION_TYPES if name in path.read_text()]
    assert len(modules) > 5
    assert known == []
