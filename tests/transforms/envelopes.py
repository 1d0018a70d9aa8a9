"""Envelopes of events that a test writes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from capybeam.transforms.core.envelope import Envelope
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.batches import EncodedBatch
from capybeam.transforms.meta import rules
from capybeam.transforms.meta.destinations import MetaDestination


def sealed(event: Mapping[str, Any], subscription: str = "leads") -> bytes:
    """The line in which an event of Meta's travels."""
    source = "physical_store" if "match_keys" in event else event.get("action_source")
    what = str(event["event_name"]), event.get("event_id")
    return Envelope(subscription, *what, event["event_time"], rules.age_limit(source), orjson.dumps(event)).encode()


def pack(key: str, lines: Sequence[bytes]) -> EncodedBatch:
    """A batch for Meta."""
    return EncodedBatch.pack(MetaDestination("any", TokenReference("env:TOKEN")), key, lines)
