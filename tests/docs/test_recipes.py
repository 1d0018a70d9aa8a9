"""docs/recipes.md: each ``json recipe`` is events, and what `map` says of each by the job file above it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.preview import preview
from capybeam.transforms.meta import restricted
from tests.docs.test_docs import DOCS, table

RECIPES = (DOCS / "recipes.md").read_text(encoding="utf-8")
HEADINGS = re.findall("^## (.*)$", RECIPES, re.MULTILINE)


def recipes() -> Iterator[Any]:
    """(job file, [{event, gives}]), by the heading above."""
    for found in re.finditer(r"^```json recipe\n(.*?)^```$", RECIPES, re.MULTILINE | re.DOTALL):
        above = RECIPES[: found.start()]
        *_, job = re.findall(r"^```yaml\n(.*?)^```$", above, re.MULTILINE | re.DOTALL)
        *_, heading = re.findall("^## (.*)$", above, re.MULTILINE)
        yield pytest.param(job, json.loads(found[1]), id=heading)


@pytest.mark.parametrize(("job", "examples"), recipes())
def test_a_recipe_makes_of_events_what_the_document_says(job: str, examples: list[dict[str, Any]]) -> None:
    for example in examples:
        at = datetime.fromisoformat(example["event"]["timestamp"].replace("Z", "+00:00")).timestamp()
        found = preview(parse_job(job), [orjson.dumps(example["event"])], at + 60)
        outcomes = [json.loads(orjson.dumps(outcome)) for outcome in found]

        shown = [
            {key: outcome.get(key) for key in expected}
            for outcome, expected in zip(outcomes, example["gives"], strict=True)
        ]
        assert shown == example["gives"]


def test_every_recipe_has_a_tested_example_and_is_listed() -> None:
    assert [recipe.id for recipe in recipes()] == HEADINGS
    assert re.findall(r"^- \[(.*)\]\(#", RECIPES, re.MULTILINE) == HEADINGS


def test_what_a_restricted_destination_sends_is_listed() -> None:
    rows = dict(table(RECIPES, "what"))
    assert re.findall("[a-z_]+", rows["custom_data"]) == list(restricted.STANDARD_PARAMETERS)
    assert re.findall("[a-z_]+", rows["an item of `contents"]) == list(restricted.ITEM_PARAMETERS)
    assert [name for name in restricted.FREE if not rows[name].startswith("nothing")] == []
