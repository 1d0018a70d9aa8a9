"""The comparison with other programs is fair, and the documentation has what was measured."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import orjson
import pytest

from benchmarks.events import events
from benchmarks.loops import ready_conversions
from benchmarks.peers import by_hand, results
from benchmarks.peers.compare import KEYS
from capybeam.transforms.core.envelope import Envelope


def test_what_is_written_by_hand_sends_what_capybeam_sends() -> None:
    process = ready_conversions()
    for line in events(300, 7, datetime.now(timezone.utc)):
        (ready,) = process(line)
        ours = json.loads(Envelope.decode(ready.line).body)
        theirs = by_hand.payload(orjson.loads(line))
        ours["user_data"]["external_id"] = ours["user_data"]["external_id"][0]
        ours["custom_data"].pop("content_ids", None)
        assert theirs == ours


MEASURED = {
    "events": 1000,
    "rounds": 3,
    "versions": {"Python": "3.11.7", "facebook-business": "26.0.3"},
    "absent": {"@segment/action-destinations": "Node.js and npm are not here"},
    "ratios": {"limit": 1.0, "engine": 0.5, "facebook-business": 0.125, "run": 0.4, "naive Beam": 0.1},
    "digests": {"naive Beam": dict.fromkeys(KEYS, 1.0), "facebook-business": {**dict.fromkeys(KEYS, 1.0), "st": 0.53}},
}


def test_the_table_has_each_program_beside_capybeams_own_of_its_kind() -> None:
    rows = [[cell.strip() for cell in row.split("|")[1:4]] for row in results.table(MEASURED).splitlines()]
    assert [(row[0].split(":")[0].strip("`*"), *row[1:]) for row in rows[2:]] == [
        ("From the line's bytes to the bytes of a request, without Beam and network", "", ""),
        ("limit", "1.00", "0.5"),
        ("capybeam's engine", "0.50", "1.0"),
        ("Meta's `facebook-business", "0.12", "4.0"),
        ("Segment's engine with its destination for Meta", "not measured", ""),
        ("A whole Beam pipeline, from a file to a server, on one core", "", ""),
        ("capybeam run", "0.40", "1.0"),
        ("Map, `GroupIntoBatches`, a DoFn that sends", "0.10", "4.0"),
    ]


def test_equal_digests_are_listed_by_identifier() -> None:
    assert results.digests(MEASURED).splitlines()[-1].count("100%") == len(KEYS) - 1
    assert "| 53% |" in results.digests(MEASURED)


def test_the_chart_has_a_bar_for_each_program_that_was_measured() -> None:
    chart = results.chart(MEASURED)
    assert chart.count("<rect") == 1 + len(MEASURED["ratios"])  # type: ignore[arg-type]
    assert 'width="40"' in chart  # 0.125 of 320
    assert "Segment" not in chart


def test_results_take_the_place_of_earlier_ones_on_a_page() -> None:
    page = f"before\n{results.BEGIN}\nearlier\n{results.END}\nafter\n"
    published = results.published(page, MEASURED)
    assert published == f"before\n{results.BEGIN}\n\n{results.section(MEASURED)}\n\n{results.END}\nafter\n"
    assert results.published(published, MEASURED) == published


@pytest.mark.parametrize("name", [results.CHART, "performance.md"])
def test_the_documentation_has_the_results_that_are_kept(name: str) -> None:
    kept = json.loads(results.RESULTS.read_text())
    text = (results.DOCS / name).read_text()
    assert text == (results.chart(kept) if name == results.CHART else results.published(text, kept))
