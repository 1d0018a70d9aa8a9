"""MapProperties: conversions get their fields, by their subscription's mapping."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam

from capybeam.transforms.base import SubscriptionStepDoFn, with_rejections
from capybeam.transforms.core.conversions import Conversion
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.language.subscriptions import Subscription


@dataclasses.dataclass
class MapProperties(beam.PTransform):
    """Conversions → ``conversions`` with mapped, typed fields, and ``rejections`` (whose payload is the event).

    >>> import apache_beam as beam
    >>> from capybeam.transforms.meta.subscriptions import MetaSubscription
    >>> from capybeam.transforms.language.fields import Field
    >>> fields = (Field("event_name", "string"), Field("value", "number"))
    >>> orders = MetaSubscription("web", "orders", "all", {"value": {"@path": "$.properties.total"}}, fields, ("1",))
    >>> conversion = Conversion("web/orders", "Purchase", "1", {"messageId": "m", "properties": {"total": "9.5"}}, {})
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     mapped = pipeline | beam.Create([conversion]) | MapProperties((orders,))
    ...     _ = mapped.conversions | beam.Map(lambda conversion: print(conversion.fields))
    {'event_name': 'Purchase', 'value': 9.5, 'event_id': 'm'}
    """

    subscriptions: tuple[Subscription, ...]

    def expand(self, named: beam.PCollection) -> Any:
        return with_rejections(named, _MapProperties(self.subscriptions), main="conversions")


class _MapProperties(SubscriptionStepDoFn[Callable[..., Conversion]]):
    stage = "map"

    def compile(self) -> Callable[..., Conversion]:
        return Engine(self.subscriptions).map

    def convert(self, element: Conversion) -> Iterable[Any]:
        return (self.machinery(element, self.notes[element.subscription]),)
