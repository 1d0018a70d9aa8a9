"""What Segment's own engine has sent, against the rendering of it that `import segment --compare` compares with.

The recordings lie beside the repository's checkout, in ``shared/vectors`` (or where CAPYBEAM_SHARED says); without them
this module is skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline.segment import segments_output
from capybeam.pipeline.segment.segments_output import SegmentRefuses, SegmentSends, compile_segments_way
from capybeam.pipeline.segment.segments_triggers import compile_segments_trigger

SHARED = Path(os.environ.get("CAPYBEAM_SHARED") or Path(__file__).parents[3] / "shared")
VECTORS = SHARED / "vectors"

if not VECTORS.is_dir():
    pytest.skip(
        "the recorded cases are not here (CAPYBEAM_SHARED, or shared/ beside the checkout)", allow_module_level=True
    )

ACTIONS = json.loads((VECTORS / "segment_actions.json").read_text(encoding="utf-8"))


def rows(name: str) -> list[Any]:
    lines = (VECTORS / name).read_text(encoding="utf-8").splitlines()
    return [pytest.param(row, id=row["id"]) for row in map(json.loads, lines)]


@pytest.mark.parametrize("row", rows("segment_action_cases.jsonl"))
def test_an_event_is_sent_or_refused_as_segment_has_done_it(row: dict[str, Any]) -> None:
    fields = ACTIONS[row["action"]]["fields"] if row["useDefaultMappings"] else {}
    defaults = {name: spec["default"] for name, spec in fields.items() if "default" in spec}
    way = compile_segments_way(row["action"], {**defaults, **row["mapping"]}, row["settings"]["testEventCode"])

    made = way(row["event"])

    if not row["responses"]:
        assert isinstance(made, SegmentRefuses)
        return
    assert isinstance(made, SegmentSends)
    request = row["responses"][0]["json"]
    assert [{**made.event, "custom_data": made.event["custom_data"]}] == [
        {**event, "custom_data": event.get("custom_data", {})} for event in request["data"]
    ]
    assert made.test_event_code == request.get("test_event_code", "")


@pytest.mark.parametrize("row", rows("fql_cases.jsonl"))
def test_a_trigger_takes_what_segments_parser_has_taken(row: dict[str, Any]) -> None:
    if isinstance(row["event"], dict):
        assert compile_segments_trigger(row["fql"])(row["event"]) is row["match"]


TYPES = {"user_data": "object", "app_data": "object", "contents": "object", "strings": "string"}


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_has_segments_fields(action: str) -> None:
    known = segments_output._FIELDS[action]
    segments = ACTIONS[action]["fields"]

    assert {name: TYPES.get(kind, kind) for name, kind in known.items()} == {
        name: spec["type"] for name, spec in segments.items()
    }
    assert {name for name, kind in known.items() if kind in ("strings", "contents")} == {
        name for name, spec in segments.items() if spec.get("multiple")
    }
    assert {*segments_output._REQUIRED, *segments_output._ALSO_REQUIRED.get(action, ())} == {
        name for name, spec in segments.items() if spec.get("required")
    }
    inner = {"user_data": "_USER_DATA", "app_data_field": "_APP_DATA", "contents": "_ITEM"}
    for name in inner.keys() & segments.keys():
        if "properties" in segments[name]:
            table: dict[str, str] = getattr(segments_output, inner[name])
            assert {key: TYPES.get(kind, kind) for key, kind in table.items()} == {
                key: spec["type"] for key, spec in segments[name]["properties"].items()
            }
    for name, choices in segments_output._CHOICES.items():
        assert tuple(choices) == tuple(segments[name]["choices"])
