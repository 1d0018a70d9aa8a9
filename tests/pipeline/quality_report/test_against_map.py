"""What a report counts against an independent count over the output of `map`, and how fast it does so."""

from __future__ import annotations

import json
import runpy
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from capybeam.pipeline.job.loader import load_job
from capybeam.pipeline.preview import preview
from capybeam.pipeline.quality_report.collector import Collector
from capybeam.pipeline.quality_report.numbers import Website
from tests.pipeline.quality_report.reported import NOW
from tests.timing import least_seconds

ROOT = Path(__file__).parents[3]
OFFLINE_NAMES = {"email": "em", "phone": "ph", "gen": "ge", "zip": "zp", "extern_id": "external_id"}


@pytest.fixture(scope="module")
def generated() -> list[bytes]:
    """The example's events, with purchases in cents and without a currency, and other things that go wrong."""
    made = runpy.run_path(str(ROOT / "examples" / "generate_events.py"))["events"]
    random, lines = Random(11), []
    for line in made(1_000, seed=5, now=datetime.fromtimestamp(NOW, timezone.utc)):
        try:
            event = json.loads(line)
            properties, context = event["properties"], event["context"]
        except (ValueError, TypeError, KeyError):
            lines.append(line)
            continue
        if random.random() < 0.3 and isinstance(properties.get("revenue"), float):
            properties["revenue"] = round(100 * properties["revenue"]) if random.random() < 0.5 else "free"
        if random.random() < 0.1:
            properties.pop("currency", None)
        if random.random() < 0.2:
            event.pop("messageId", None)
        if random.random() < 0.2 and isinstance(context.get("traits"), dict):
            context["traits"] |= {"phone": "99-99", "email": "jane@example"}
        lines += [json.dumps(event).encode()] * (2 if random.random() < 0.1 else 1)
    return [line for line in lines if line.strip()]


def test_the_numbers_are_those_of_a_count_over_the_output_of_map(generated: list[bytes]) -> None:
    job = load_job(ROOT / "examples" / "conversions.yaml")
    notes: Counter[str] = Counter()
    # What the last stage rejects has match keys, too, which `map` does not show: leave it out of both.
    refused = {each["line"] for each in preview(job, generated, NOW) if each.get("stage") == "validate"}
    lines = [line for number, line in enumerate(generated, 1) if number not in refused]
    outcomes = [orjson.loads(orjson.dumps(outcome)) for outcome in preview(job, lines, NOW, notes)]
    collector = Collector(job, NOW)
    for line in lines:
        collector.add(line)
    numbers = collector.numbers("conversions.yaml")

    statuses = Counter(each["status"] for each in outcomes)
    rejected = [each for each in outcomes if each["status"] == "rejected"]
    assert numbers.ready == statuses["ready"] > 800
    assert numbers.filtered == statuses["filtered"] > 0
    assert numbers.rejected == sum("subscription" in each for each in rejected) > 10
    unreadable = Counter(each["code"] for each in rejected if "subscription" not in each)
    assert {each.name: each.count for each in numbers.unreadable} == unreadable
    for destination in ("web", "crm", "stores", "archive"):
        codes = Counter(each["code"] for each in rejected if each.get("destination") == destination)
        found: Counter[str] = Counter()
        for each in numbers.groups:
            if each.destination == destination:
                found.update({reason.code: 0 for reason in each.rejections})
                for reason in each.rejections:
                    found[reason.code] += reason.count
        assert found == codes

    payloads: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for each in outcomes:
        if each["status"] == "ready":
            payload = each["payload"]
            at = (each["destination"], payload["event_name"])
            payloads.setdefault(at, []).append((each["dataset_id"], payload))
    shown = {(each.destination, each.event_name): each for each in numbers.groups if each.ready}
    assert shown.keys() == payloads.keys()
    for at, those in payloads.items():
        events, each = [payload for _, payload in those], shown[at]
        keys = [
            frozenset(OFFLINE_NAMES.get(key, key) for key in event.get("user_data", event.get("match_keys")))
            for event in events
        ]
        assert each.examined == each.ready == len(events)
        assert {found.key: found.count for found in each.keys} == Counter(key for some in keys for key in some)
        assert {frozenset(found.keys): found.count for found in each.combinations}.items() <= Counter(keys).items()
        assert sum(each.strength.values()) == len(events)
        strong = sum(bool(some & {"em", "ph", "external_id", "fbc", "fbp", "madid"}) for some in keys)
        assert each.strength["strong"] == strong
        ages = [NOW - event["event_time"] for event in events]
        assert each.ages["up to 2 hours"] + each.ages["in the future"] == sum(age <= 7_200 for age in ages)
        assert each.ages["2 to 24 hours"] == sum(7_200 < age <= 86_400 for age in ages)
        assert each.ages["1 to 7 days"] == sum(86_400 < age <= 7 * 86_400 for age in ages)
        website = [event for event in events if event.get("action_source") == "website"]
        assert each.website == Website(
            len(website),
            sum("fbp" in event["user_data"] for event in website),
            sum("fbc" in event["user_data"] for event in website),
            sum("event_source_url" not in event for event in website),
        )
        ids = Counter((dataset, event["event_id"]) for dataset, event in those if "event_id" in event)
        if ids:
            assert each.event_ids.repeats == ids.total() - len(ids)
        values: dict[str, list[float]] = {}
        for event in events:
            data = {**event, **event.get("custom_data", {})}
            if "value" in data:
                values.setdefault(data.get("currency", ""), []).append(data["value"])
        if len(values) <= 12:
            assert {v.currency: (v.count, v.minimum, v.maximum) for v in each.values} == {
                currency: (len(some), min(some), max(some)) for currency, some in values.items()
            }
            assert sum(v.total for v in each.values) == pytest.approx(sum(map(sum, values.values())), abs=0.1)
    dropped = Counter({found.note: 0 for each in numbers.groups for found in each.dropped})
    for each in numbers.groups:
        for found_ in each.dropped:
            dropped[found_.note] += found_.count
    for name in ("dropped_em", "dropped_ge", "dropped_db"):
        assert dropped[name] == notes[name] > 0


def test_a_report_is_about_as_fast_as_map(generated: list[bytes]) -> None:
    job = load_job(ROOT / "examples" / "conversions.yaml")
    collector = Collector(job, NOW)

    def report() -> None:
        for line in generated[:400]:
            collector.add(line)

    def map_() -> None:
        for outcome in preview(job, generated[:400], NOW):
            orjson.dumps(outcome)

    map_()  # what values are hashed to is remembered
    assert least_seconds(map_) / least_seconds(report) > 0.7  # about 1.4; the target is 0.8
