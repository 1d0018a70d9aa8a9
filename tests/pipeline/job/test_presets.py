"""The actions, as the preset files have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from capybeam.pipeline.job import presets as module
from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.presets import presets
from capybeam.pipeline.job.schema import json_schema
from tests.pipeline.job.job_files import job, problems, with_action

# What a new action is: an entry in the YAML file, and nothing else.
PLAN_CHOSEN = """
  choosePlan:
    event_name: PlanChosen
    trigger: type = "track" and event = "Plan Chosen"
    fields:
      <<: *fields
      plan: {type: string, required: true}
    defaults:
      <<: *defaults
      plan: {"@path": $.properties.plan}
"""

_COMMON_REQUIRED = {"event_name", "action_source", "event_time", "user_data"}


@pytest.mark.parametrize(
    ("action", "required"),
    [("purchase", _COMMON_REQUIRED | {"currency", "value"})]
    + [(action, _COMMON_REQUIRED) for action in presets() if action != "purchase"],
)
def test_an_action_requires_what_it_requires_at_segment_and_those_of_ours_what_meta_requires(
    action: str, required: set[str]
) -> None:
    assert {field.name for field in presets()[action].fields if field.required} == required


@pytest.fixture
def one_more_action(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    file = Path(module.__file__).parent / "facebook_conversions_api.yaml"
    data: dict[str, Any] = yaml_source.read(file.read_text(encoding="utf-8") + PLAN_CHOSEN, "presets").data
    monkeypatch.setattr(module, "read_preset", lambda name: data)
    presets.cache_clear()
    yield
    presets.cache_clear()


@pytest.mark.usefixtures("one_more_action")
def test_an_action_that_the_yaml_file_lists_is_known_to_job_files_and_their_schema() -> None:
    (subscription,) = job(with_action("choosePlan")).subscriptions
    assert (subscription.key, subscription.trigger, subscription.mapping["event_name"]) == (
        "web/choosePlan",
        'type = "track" and event = "Plan Chosen"',
        "PlanChosen",
    )
    assert subscription.mapping["plan"] == {"@path": "$.properties.plan"}
    assert problems(with_action("choosPlan")) == (
        "job.yaml:7:9: destinations[0].subscriptions[0].action: must be one of"
        f" {', '.join(presets())}; did you mean choosePlan?",
    )
    jsonschema.validate(yaml_source.read(with_action("choosePlan"), "job.yaml").data, json_schema())


@pytest.mark.usefixtures("one_more_action")
def test_an_action_without_a_trigger_is_one_whose_subscriptions_need_one(monkeypatch: pytest.MonkeyPatch) -> None:
    del module.read_preset("facebook_conversions_api")["actions"]["choosePlan"]["trigger"]

    assert problems(with_action("choosePlan")) == (
        "job.yaml:7:9: destinations[0].subscriptions[0].trigger: is missing: the choosePlan action has no default"
        " trigger (`all` takes every event)",
    )
    assert job(with_action("choosePlan", "trigger: all")).subscriptions[0].trigger == "all"


@pytest.mark.parametrize("name", ["facebook_conversions_api", "facebook_offline_conversions"])
def test_a_preset_means_the_same_as_a_job_file_would_in_the_same_order(name: str) -> None:
    text = resources.files("capybeam.pipeline.job.presets").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    document = yaml_source.read(text, name)
    assert (json.dumps(module.read_preset(name)), document.problems) == (json.dumps(document.data), ())
