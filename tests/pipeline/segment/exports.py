"""Exports in Segment's shapes, made up."""

from __future__ import annotations

import json
from typing import Any

TOKEN = "EAABsbCS1iHgBAExampleExampleExample"
TRACK = 'type = "track" and event = "Order Completed"'

PURCHASE: dict[str, Any] = {
    "action_source": "website",
    "event_time": {"@path": "$.timestamp"},
    "event_id": {"@template": "{{messageId}}"},
    "currency": {"@path": "$.properties.currency"},
    "value": {"@path": "$.properties.revenue"},
    "user_data": {
        "externalId": {"@path": "$.userId"},
        "email": {"@path": "$.context.traits.email"},
        "city": "",
        "fbc": {"@path": "$.properties.fbclid"},
        "client_user_agent": {"@path": "$.context.userAgent"},
    },
    "app_data_field": {"use_app_data": False, "anonId": {"@path": "$.anonymousId"}},
    "enable_batching": True,
    "batch_size": 1000,
    "__segment_internal_sync_mode": "add",
}


def subscription(**changes: Any) -> dict[str, Any]:
    return {
        "id": "sub-1",
        "name": "Purchase (Copy)",
        "actionId": "8whh4kyqahLHgTJqUwvEwh",
        "actionSlug": "purchase",
        "destinationId": "dest-1",
        "modelId": "",
        "enabled": True,
        "trigger": TRACK,
        "settings": PURCHASE,
        **changes,
    }


def destination(**changes: Any) -> dict[str, Any]:
    return {
        "id": "dest-1",
        "name": "Shop / web",
        "enabled": True,
        "sourceId": "src-1",
        "settings": {"pixelId": "123321", "testEventCode": "", "accessToken": TOKEN},
        "metadata": {
            "id": "meta-1",
            "name": "Facebook Conversions API (Actions)",
            "slug": "actions-facebook-conversions-api",
            "actions": [{"id": "an-id", "slug": "search", "name": "Search"}],
            "presets": [{"actionId": "an-id", "name": "Search", "trigger": "type = 'track'", "settings": {}}],
        },
        **changes,
    }


def answer(*subscriptions: dict[str, Any], **pagination: Any) -> bytes:
    """What GET /destinations/{id}/subscriptions answers."""
    return json.dumps(
        {"data": {"subscriptions": subscriptions, "pagination": {"current": "MA==", **pagination}}}
    ).encode()
