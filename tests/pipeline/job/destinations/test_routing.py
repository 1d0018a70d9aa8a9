"""`dataset_id` that is looked up in the event: which job files say it, and what becomes of events."""

from __future__ import annotations

from typing import Any

import jsonschema
import orjson
import pytest

from capybeam.pipeline.coverage import Coverage
from capybeam.pipeline.explain.explanation import Explainer
from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.loader import check_text, parse_job
from capybeam.pipeline.job.schema import json_schema
from capybeam.pipeline.preview import preview
from capybeam.transforms.language.routing import Routing
from tests.pipeline.job.job_files import MINIMAL, TODAY, problems

PATH = '{"@path": $.properties.brand}'


def routed(datasets: str = "", dataset_id: str = PATH, name: str = "dataset_id") -> str:
    listed = f"    dataset_ids: {datasets}\n" if datasets else ""
    return MINIMAL.replace('    dataset_id: "123321"\n', f"    {name}: {dataset_id}\n{listed}")


@pytest.mark.parametrize("name", ["dataset_id", "pixel_id"])
@pytest.mark.parametrize(
    ("datasets", "expected"),
    [
        ('["111", 222]', {"111": ("111",), "222": ("222",)}),
        ('{mugs: "111", hats: [222, "333"]}', {"mugs": ("111",), "hats": ("222", "333")}),
    ],
)
def test_the_datasets_are_a_list_or_named_by_the_events_value(
    name: str, datasets: str, expected: dict[str, Any]
) -> None:
    text = routed(datasets, name=name)
    (subscription,) = parse_job(text, today=TODAY).subscriptions

    assert subscription.routing == Routing({"@path": "$.properties.brand"}, expected)
    assert subscription.dataset_ids == tuple(each for listed in expected.values() for each in listed)
    jsonschema.validate(yaml_source.read(text, "job").data, json_schema())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            routed(),
            "4:5: destinations[0].dataset_id: is looked up in the event: dataset_ids must list the datasets that events"
            " may go to",
        ),
        (
            routed('["111"]', '"123321"'),
            "5:5: destinations[0].dataset_ids: needs a dataset_id that is looked up in the event, such as"
            ' {"@path": "$.properties.brand"}',
        ),
        (
            routed('["111"]', "{brand: mugs}"),
            '4:5: destinations[0].dataset_id: must be an ID, or a directive such as {"@path": "$.properties.brand"}',
        ),
        (
            routed("", "$.properties.brand"),
            '4:5: destinations[0].dataset_id: must be digits; to look the ID up, write {"@path": "$.properties.brand"}',
        ),
        (
            routed('["111"]', '{"@pth": $.properties.brand}'),
            "4:18: destinations[0].dataset_id.@pth: has an invalid directive: @pth, did you mean @path?",
        ),
        (
            routed('["111"]', '{"@literal": {a: 1}}'),
            "4:18: destinations[0].dataset_id.@literal: should be a string; it rejects every event",
        ),
        (routed("[]"), "5:5: destinations[0].dataset_ids: must list at least one ID"),
        (
            routed('{"": "111"}'),
            "5:5: destinations[0].dataset_ids: must have at least one value of the event, and no empty one",
        ),
        (
            routed("{mugs: eleven}"),
            "5:5: destinations[0].dataset_ids: must be digits, as Meta's Events Manager shows the ID",
        ),
    ],
)
def test_what_does_not_go_together_is_said(text: str, problem: str) -> None:
    assert problems(text) == (f"job.yaml:{problem}",)


def test_a_path_that_no_event_has_is_warned_of() -> None:
    (found,) = check_text(routed('["111"]', '{"@path": $.propertis.brand}'), "job.yaml").findings

    assert (found.severity, found.message) == (
        "warning",
        "destinations[0].dataset_id.@path: looks up propertis, which no event of Segment's spec has at its root; did"
        " you mean properties?",
    )


JOB = routed('{mugs: "111", hats: ["222", "333"]}')
NOW = 1_795_341_700


def order(brand: str) -> bytes:
    return orjson.dumps(
        {
            "type": "track",
            "event": "Order Completed",
            "messageId": "m-1",
            "timestamp": 1_795_341_600,
            "userId": "u-1",
            "properties": {"brand": brand, "revenue": 5, "currency": "EUR"},
            "context": {"userAgent": "Mozilla/5.0"},
        }
    )


def test_each_event_goes_to_its_datasets_and_one_without_is_rejected() -> None:
    outcomes = list(preview(parse_job(JOB), [order("mugs"), order("hats"), order("Jane Doe")], NOW))

    assert [(each["line"], each["status"], each.get("dataset_id")) for each in outcomes] == [
        (1, "ready", "111"),
        (2, "ready", "222"),
        (2, "ready", "333"),
        (3, "rejected", None),
    ]
    assert outcomes[3] == {
        "line": 3,
        "destination": "web",
        "subscription": "purchase",
        "status": "rejected",
        "stage": "name",
        "code": "unlisted_dataset",
        "message": "dataset_id has a value that dataset_ids does not list, so the event goes to no dataset"
        " (looked for $.properties.brand).",
    }


def test_an_explanation_shows_what_the_dataset_was_chosen_by() -> None:
    explainer = Explainer(parse_job(JOB), NOW)
    taken, refused = (explainer.explain(orjson.loads(order(brand)))["conversions"][0] for brand in ("mugs", "Jane Doe"))

    assert (taken["dataset_id"], taken["fields"][0]) == (
        "111",
        {
            "field": "dataset_id",
            "directives": ["@path"],
            "lookups": [{"path": "$.properties.brand", "found": True, "type": "string", "value": "mugs"}],
            "mapped": "mugs",
            "type": "string",
        },
    )
    assert [row["mapped"] for row in refused["fields"]] == ["Aaaa Aaa"]
    assert refused["advice"] == (
        "List the value under the destination's dataset_ids, or correct the path of its dataset_id."
    )


def test_a_sample_says_how_many_events_would_go_nowhere_and_the_value_is_in_use() -> None:
    checked = check_text(JOB, "job.yaml")
    assert checked.job
    coverage = Coverage(checked.job, checked.document)
    for brand in ("mugs", "shoes"):
        coverage.add(order(brand))

    messages = [each.message for each in coverage.findings("sample")]
    assert (
        "destinations[0].subscriptions[0]: web/purchase: 1 of 2 events would be rejected, unlisted_dataset: dataset_id"
        " has a value that dataset_ids does not list, so the event goes to no dataset (looked for $.properties.brand)."
        in messages
    )
    assert not any("mapped nowhere" in message and "brand" in message for message in messages)
