"""What is set for the events of one of Meta's subscriptions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from capybeam.transforms.core.envelope import Address
from capybeam.transforms.language.consent import Consent
from capybeam.transforms.language.routing import Routing
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.meta.personal_data.cleaner import Cleaner, cleaner

Wire = Literal["conversions_api", "offline_events"]
InText = Literal["cut", "allow"]


@dataclasses.dataclass(frozen=True)
class MetaSettings(Subscription):
    """Which events go to Meta, and in which form.

    Attributes:
        needs_user_agent: whether a website event without client_user_agent is rejected.
        default_country, test_event_code, allow_in_custom_data, personal_data_in_text: the destination's settings.
        restricted: whether its events lose what Meta's core setup restricts; see `restricted`.
        wire: the form of its events: server events of the Conversions API, or the older Offline Conversions API's.
        upload_tag: goes out with each request, where it is not "".
        consent, routing: the destination's.
        value_fallback: path of the value of an event for which the mapping finds none; "" for none.
        has_fixed_mapping: whether the mapping is its type's, and a job file cannot change it.
    """

    needs_user_agent: bool = True
    default_country: str | None = None
    test_event_code: str | None = None
    allow_in_custom_data: frozenset[str] = frozenset()
    personal_data_in_text: InText = "cut"
    restricted: bool = False
    wire: Wire = "conversions_api"
    upload_tag: str = ""
    value_fallback: str = ""
    has_fixed_mapping: bool = False
    consent: Consent | None = None
    routing: Routing | None = None

    @property
    def limited_fields(self) -> Mapping[str, Any]:
        return {"data_processing_options": True}

    @property
    def cleaner(self) -> Cleaner:
        """What takes personal data out of its events."""
        return cleaner(self.allow_in_custom_data, self.personal_data_in_text == "cut")

    def address(self, dataset_id: str, test_event_code: str | None = None) -> Address:
        """Where its events for a dataset go; a mapping's test_event_code wins over the destination's."""
        code = self.test_event_code if test_event_code is None else test_event_code
        return Address(self.destination, dataset_id, code or "", self.upload_tag)
