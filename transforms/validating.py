"""ValidateConversions: the bytes that Meta will read, already known to be valid."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
from apache_beam import typehints

from capybeam.transforms.base import SubscriptionStepDoFn, with_rejections
from capybeam.transforms.core.conversions import Conversion, Ready
from capybeam.transforms.engine import conversions
from capybeam.transforms.engine.conversions import Subscription
from capybeam.transforms.meta.user_data import Count

Validate = Callable[[Conversion, float, Count], Ready]


@dataclasses.dataclass
class ValidateConversions(beam.PTransform):
    """Hashed conversions → ``ready``: (destination key, line) in str and bytes, and ``rejections``.

    A line is the subscription's name, a tab and the body (`split_line`): whatever comes after, shuffles
    included, carries bytes only, and an event is encoded once.

    Args:
        max_bytes: of one event; a larger one fits no batch.
        clock: Unix seconds, for the age limits.

    >>> import apache_beam as beam
    >>> from capybeam.transforms.meta.rules import DAY
    >>> leads = Subscription("web", "leads", "all", {}, (), ("1",))
    >>> fields = {"event_name": "Lead", "event_time": DAY, "event_id": "m", "action_source": "email"}
    >>> conversion = Conversion("web/leads", "Lead", "1", None, {**fields, "user_data": {"em": "6b" * 32}})
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     valid = pipeline | beam.Create([conversion]) | ValidateConversions((leads,), clock=lambda: DAY)
    ...     _ = valid.ready | beam.Map(lambda ready: print(ready[1][:30]))
    b'leads\\t{"event_time":86400,"eve'
    """

    subscriptions: tuple[Subscription, ...]
    max_bytes: int = 4 * 1024 * 1024
    clock: Callable[[], float] = time.time

    def expand(self, hashed: beam.PCollection) -> Any:
        validated = with_rejections(
            hashed, _ValidateConversions(self.subscriptions, self.max_bytes, self.clock), main="ready"
        )
        validated.ready.element_type = typehints.Tuple[str, bytes]
        return validated


class _ValidateConversions(SubscriptionStepDoFn[Validate]):
    stage = "validate"

    def __init__(self, subscriptions: tuple[Subscription, ...], max_bytes: int, clock: Callable[[], float]) -> None:
        super().__init__(subscriptions)
        self._max_bytes, self._clock = max_bytes, clock

    def compile(self) -> Validate:
        return conversions.compile_validation(self.subscriptions, self._max_bytes)

    def convert(self, element: Conversion) -> Iterable[Any]:
        return (self.machinery(element, self._clock(), self.notes[element.subscription]),)
