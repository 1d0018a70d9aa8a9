"""A job and its events, for the tests of whole runs."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

TOKEN = "EAAB-a-secret-token"
JANE = {"email": "jane.doe@example.com", "phone": "+44 20 7946 0123", "lastName": "Doe-Example"}


def job_file(endpoint: str, delivery: str = "{retry_for: 1s, timeout: 5s}", token: str = "env:TOKEN") -> str:
    return f"""
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: {token}
    endpoint: {endpoint}
    subscriptions:
      - action: purchase
      - {{action: pageView}}
  - name: crm
    type: facebook_conversions_api
    dataset_id: "456"
    access_token: {token}
    endpoint: {endpoint}
    subscriptions: [{{action: purchase, trigger: 'event = "Order Completed" and properties.revenue >= 100'}}]
delivery: {delivery}
"""


def order(number: int, **changes: Any) -> bytes:
    event = {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"order-{number}",
        "userId": f"user-{number}",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 600)),
        "properties": {"revenue": number, "currency": "EUR"},
        "context": {"ip": "192.0.2.7", "userAgent": "Mozilla/5.0", "traits": JANE},
        **changes,
    }
    return json.dumps(event).encode()


def rows(path: str) -> list[dict[str, Any]]:
    data = Path(path).read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if path.endswith(".gz") else data).splitlines()]
