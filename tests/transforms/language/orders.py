"""An order, and what mappings make of it."""

from __future__ import annotations

import json
from typing import Any

from capybeam.transforms.language.mappings import compile_mapping

ORDER: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u1",
    "properties": {
        "total": 25.5,
        "price": 0,
        "coupon": "",
        "gift": False,
        "note": None,
        "currency": "usd",
        "Sub Total": 20,
        "a.b": "dotted",
        "products": [{"id": "p1", "price": 10}, {"id": "p2"}],
        "tags": ["new", "red"],
        "none": [],
        "shipping": {"city": "Berlin", "box": {"w": 1, "h": 2}},
    },
}


def path(text: str) -> dict[str, str]:
    return {"@path": text}


def check_mapped(mapping: Any, result: Any) -> None:
    """Whether a mapping makes this of the order, which it does not change."""
    before = json.dumps(ORDER)
    mapped = compile_mapping(mapping)(ORDER)
    assert json.dumps(mapped, sort_keys=True) == json.dumps(result, sort_keys=True)  # 1 is not 1.0, nor true
    assert json.dumps(ORDER) == before
