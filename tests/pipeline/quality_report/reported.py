"""A job, events, and what a report counts of them, for the tests of reports."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.quality_report.collector import Collector
from capybeam.pipeline.quality_report.numbers import Group, JobNumbers
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.report_document import Ending, Input, Occasion, document

NOW = 1_795_341_600  # 2026-11-22T10:00:00Z
BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"
JOB = """\
destinations:
  - name: shop
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: purchase
      - action: pageView
"""
CUSTOM = """\
      - action: custom
        trigger: type = "track" and event != "Order Completed"
        mapping:
          event_name: {"@path": "$.event"}
"""


def order(number: int, **changes: Any) -> dict[str, Any]:
    """An order as a whole; a change to None takes a key out."""
    event: dict[str, Any] = {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"order-{number}",
        "timestamp": "2026-11-22T09:30:00Z",
        "properties": {
            "revenue": 24.9,
            "currency": "EUR",
            "order_id": f"o-{number}",
            "products": [{"product_id": "mug", "quantity": 1, "price": 24.9}],
        },
        "context": {
            "ip": "203.0.113.7",
            "userAgent": BROWSER,
            "page": {"url": "https://shop.example/thanks"},
            "traits": {"email": "jane.doe@example.com"},
        },
        **changes,
    }
    return {key: value for key, value in event.items() if value is not None}


def ended_run(config: str = "job.yaml", **counts: int) -> dict[str, Any]:
    """The report of a run that was refused by one of its destinations, and had everything else that can happen."""
    total = {
        "read": 12,
        "taken": 9,
        "filtered": 1,
        "unparsable": 2,
        "matched:shop/purchase": 7,
        "delivered:shop/purchase": 4,
        "rejected:shop/purchase:map:missing_required_field": 2,
        "cause:shop/purchase:map:missing_required_field:currency": 2,
        "rejected:shop/purchase:send:destination_refused": 1,
        "cause:shop/purchase:send:destination_refused:190/463 Session expired%3A yesterday": 1,
        "refused:shop:The token is dead.": 1,
        "cure:shop:Store a new one.": 1,
        "matched:shop/pageView": 2,
        "rejected:shop/pageView:map:missing_required_field": 1,
        "cause:shop/pageView:map:missing_required_field:currency": 1,
        "withheld:shop/pageView:refused": 1,
        "rejected::parse:invalid_json": 2,
        "requests:shop": 2,
        "tries:shop": 3,
        "bytes:shop": 40_000,
        "first_event_time:shop": NOW - 900,
        "last_event_time:shop": NOW,
        "throttled": 75,
        **counts,
    }
    folder = config.rpartition("/")[0]
    events = f"{folder}/my events.jsonl" if folder else "my events.jsonl"
    occasion = Occasion("run", NOW, parse_job(JOB), config, "FnApiRunner", (Input(events, files=1, bytes=9),))
    problems = (f"{events}: breaks off.", "shop: refuses everything.", "/home/jane/tmp/x: is full")
    replay = shlex.join(["capybeam", "replay", "--config", config, "--from", f"{folder}/dead letters.jsonl"])
    return document(occasion, RunReport.from_counts(total), Ending(3, problems, replay))


def row(event: Any) -> bytes:
    return json.dumps(event).encode()


def counted(events: Iterable[Any], job: str = JOB, now: float = NOW) -> JobNumbers:
    """What a report counts of events; bytes are rows as they are."""
    collector = Collector(parse_job(job), now)
    for event in events:
        collector.add(event if isinstance(event, bytes) else row(event))
    return collector.numbers("job.yaml")


def group(numbers: JobNumbers, event_name: str, destination: str = "shop") -> Group:
    (found,) = (each for each in numbers.groups if (each.destination, each.event_name) == (destination, event_name))
    return found
