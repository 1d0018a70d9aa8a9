"""docs/report.md keeps its word."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline.quality_report import bounded, changes, collector, names, numbers, shapes
from capybeam.pipeline.quality_report.match_keys import STRONG

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
OBJECTS = {
    "the report": numbers.Report,
    "`job`, `compared`": numbers.JobNumbers,
    "of `groups`": numbers.Group,
    "of `keys`": numbers.KeyCoverage,
    "of `combinations`": numbers.Combination,
    "`event_ids`": numbers.EventIds,
    "`website`": numbers.Website,
    "of `values`": numbers.Values,
    "of `buckets`": numbers.ValueBucket,
    "of `outliers`": numbers.Outliers,
    "`purchases`": numbers.Purchases,
    "of `dropped`": numbers.Dropped,
    "of `rejections`": numbers.Rejections,
    "of `changes`": numbers.Change,
    "of `unreadable`, `filtered_names`, `withheld`, `notes`, `shapes`": numbers.Counted,
    "of `comparison`": numbers.ComparedGroup,
    "of `counts`, `shares`": numbers.Compared,
    "of `meta`": numbers.MetaDataset,
    "of `events`": numbers.MetaEventName,
    "of `keys` there": numbers.KeyAtMeta,
    "of `dedupe`": numbers.DedupeKey,
}
ROWS = dict(re.findall(r"^\| ([^|]+) \| (.*) \|$", PAGE.partition("## As JSON")[2], re.MULTILINE))


def test_every_object_of_the_json_is_listed() -> None:
    classes = {each for each in vars(numbers).values() if dataclasses.is_dataclass(each)}

    assert ROWS.keys() - {"object", "---"} == OBJECTS.keys()
    assert classes == set(OBJECTS.values())


@pytest.mark.parametrize("name", OBJECTS)
def test_every_key_of_an_object_is_listed(name: str) -> None:
    plain = re.sub(r"\([^)]*\)", "", ROWS[name])
    fields: Any = OBJECTS[name]

    assert re.findall(r"`(\w+)`", plain) == [field.name for field in dataclasses.fields(fields)]


def test_the_strong_match_keys_are_listed() -> None:
    (row,) = re.findall(r"^\| `strong` \|(.*)\|$", PAGE, re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", row)) == STRONG


@pytest.mark.parametrize(
    "sentence",
    [
        f"the {collector.SHOWN_GROUPS} most frequent of {names.MOST_GROUPS} that are told apart",
        {2: "once it has been there twice as often"}[names.TIMES_MORE],
        f"Up to {bounded.MOST_IDS:,} different IDs",
        f"the first {collector.ALL_PATHS_OF:,} events, and in one of {collector.ONE_IN} after them",
        f"the first {shapes.MOST_LOOKED_AT} conversions for each reason",
        {3: "up to three changes"}[changes.SHOWN],
    ],
)
def test_the_limits_are_stated(sentence: str) -> None:
    assert sentence in WORDS
