"""HashUserData: from here on no raw personal data exists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam

from capybeam.transforms.base import SubscriptionStepDoFn, with_rejections
from capybeam.transforms.core.conversions import Conversion, Count
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.language.subscriptions import Subscription


@dataclasses.dataclass
class HashUserData(beam.PTransform):
    """Conversions → ``conversions`` whose user_data is normalised and hashed, without their event; ``rejections``.

    >>> import apache_beam as beam
    >>> from capybeam.transforms.meta.subscriptions import MetaSubscription
    >>> orders = MetaSubscription("web", "orders", "all", {}, (), ("1",))
    >>> conversion = Conversion("web/orders", "Lead", "1", {}, {"event_time": 0, "user_data": {"gender": "Female"}})
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     hashed = pipeline | beam.Create([conversion]) | HashUserData((orders,))
    ...     _ = hashed.conversions | beam.Map(lambda conversion: print(conversion.fields["user_data"]["ge"][:8]))
    252f10c8
    """

    subscriptions: tuple[Subscription, ...]

    def expand(self, mapped: beam.PCollection) -> Any:
        return with_rejections(mapped, _HashUserData(self.subscriptions), main="conversions")


class _HashUserData(SubscriptionStepDoFn[Callable[[Conversion, Count], Conversion]]):
    stage = "hash"

    def compile(self) -> Callable[[Conversion, Count], Conversion]:
        return Engine(self.subscriptions).hash

    def convert(self, element: Conversion) -> Iterable[Any]:
        return (self.machinery(element, self.notes[element.subscription]),)
