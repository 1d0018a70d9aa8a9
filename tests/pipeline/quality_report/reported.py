"""A job, events, and what a report counts of them, for the tests of reports."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.quality_report.collector import Collector
from capybeam.pipeline.quality_report.numbers import Group, JobNumbers

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
