"""Subscriptions of Meta's two types of destination: the Conversions API, and offline conversions on either wire."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from capybeam.transforms.language.records import Shape
from capybeam.transforms.language.subscriptions import Encode, Hash, Revalidate, Validate
from capybeam.transforms.meta import bodies, direct_encoding, encoding, hashing
from capybeam.transforms.meta.settings import MetaSettings


@dataclasses.dataclass(frozen=True)
class MetaSubscription(MetaSettings):
    """Which events go to Meta, in which form, and how they become so."""

    def compile_hashing(self) -> Hash:
        return hashing.compile_hashing(self)

    def compile_validation(self, max_bytes: int, is_edited: bool = False) -> Validate:
        return encoding.compile_validation(self, max_bytes, is_edited)

    def compile_revalidation(self, max_bytes: int) -> Revalidate:
        return encoding.compile_revalidation(self, max_bytes)

    @property
    def encoding_key(self) -> str | None:
        if "test_event_code" in self.mapping:  # where an event goes depends on the event
            return None
        consent = self.consent if self.consent and self.consent.limits else None
        kept = dataclasses.replace(self, destination="", name="", trigger="", consent=consent)
        kept = dataclasses.replace(kept, dataset_ids=(), routing=None, test_event_code=None, upload_tag="")
        return repr(kept)  # not the values themselves: 1, 1.0 and true are equal, and are not the same bytes

    def compile_encoding(self, max_bytes: int, shape: Shape | None = None) -> Encode | None:
        return direct_encoding.compile_encoding(self, max_bytes, shape)

    def is_body(self, payload: Mapping[str, Any], is_encoded: bool) -> bool:
        return bodies.is_body(payload, is_encoded)

    def takes_body(self, body: Mapping[str, Any]) -> bool:
        return ("match_keys" in body) is (self.wire == "offline_events")
