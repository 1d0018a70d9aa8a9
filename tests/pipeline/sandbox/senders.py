"""Requests to the sandbox, and the events in them, for its tests."""

from __future__ import annotations

import hashlib
from typing import Any

import requests

from capybeam.pipeline.sandbox.server import SandboxServer

NOW = 1_790_000_000
DAY = 86_400
DATASET = "123321"
DIGEST = hashlib.sha256(b"jane@example.com").hexdigest()


Json = dict[str, Any]


class Clock:
    """Stands still at `now`, in Unix seconds, until a test moves it."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def _changed(made: Json, changes: Json) -> Json:
    """`made` with `changes`; None takes a field away, and a dotted name (with __) reaches inside."""
    for path, value in changes.items():
        *parents, name = path.split("__")
        target = made
        for parent in parents:
            target = target.setdefault(parent, {})
        if value is None:
            del target[name]
        else:
            target[name] = value
    return made


def event(**changes: Any) -> Json:
    """A valid Purchase with `changes`; None takes a field away, and a dotted name (with __) reaches inside."""
    return _changed(
        {
            "event_name": "Purchase",
            "event_time": NOW - 60,
            "event_id": "order-1",
            "action_source": "website",
            "event_source_url": "https://shop.example/thanks",
            "user_data": {"em": DIGEST, "client_user_agent": "Mozilla/5.0"},
            "custom_data": {"currency": "USD", "value": 12.5},
        },
        changes,
    )


def offline(**changes: Any) -> Json:
    """A valid Purchase in the older format with `changes`, as `event` has them."""
    return _changed(
        {
            "event_time": NOW - 60,
            "event_name": "Purchase",
            "match_keys": {"email": [DIGEST], "ln": DIGEST, "lead_id": 525645896321548},
            "value": 12.5,
            "currency": "USD",
            "content_type": "product",
            "content_ids": ["mug"],
            "order_id": "o-1",
            "custom_data": {"coupon": "SPRING"},
        },
        changes,
    )


def post(
    sandbox: SandboxServer, *events: Any, dataset: str = DATASET, version: str = "v25.0", **parameters: Any
) -> requests.Response:
    return requests.post(
        f"{sandbox.url}/{version}/{dataset}/events",
        json={"data": list(events), **parameters},
        headers={"Authorization": "Bearer a-token"},
        timeout=10,
    )


def upload(sandbox: SandboxServer, *events: Any, **parameters: Any) -> requests.Response:
    return post(sandbox, *events, **{"version": "v16.0", "upload_tag": "Segment", **parameters})


def refusal(response: requests.Response) -> tuple[int, int, int | None]:
    """(HTTP status, code, subcode) of an error answer."""
    error = response.json()["error"]
    return response.status_code, error["code"], error.get("error_subcode")


ACCEPTED = (200, None)
INVALID = (400, 2804019)
