"""ValidateConversions: the bytes that Meta will read, already known to be valid."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
from apache_beam import typehints

from capybeam.transforms.base import SubscriptionStepDoFn, with_rejections
from capybeam.transforms.core.conversions import Conversion
from capybeam.transforms.engine.engine import MAX_BYTES, Engine
from capybeam.transforms.language.subscriptions import Subscription, Validate


@dataclasses.dataclass
class ValidateConversions(beam.PTransform):
    """Hashed conversions → ``ready``: (destination key, line) in str and bytes, and ``rejections``.

    A line is an encoded `core.envelope.Envelope`: whatever comes after, shuffles included, carries bytes only, and an
    event is encoded once.

    Args:
        max_bytes: of one event; a larger one fits no batch.
        clock: Unix seconds, for the age limits.

    >>> import apache_beam as beam
    >>> from capybeam.transforms.core.envelope import Envelope
    >>> from capybeam.transforms.meta.rules import DAY
    >>> from capybeam.transforms.meta.subscriptions import MetaSubscription
    >>> leads = MetaSubscription("web", "leads", "all", {}, (), ("1",))
    >>> fields = {"event_name": "Lead", "event_time": DAY, "event_id": "m", "action_source": "email"}
    >>> conversion = Conversion("web/leads", "Lead", "1", None, {**fields, "user_data": {"em": "6b" * 32}})
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     valid = pipeline | beam.Create([conversion]) | ValidateConversions((leads,), clock=lambda: DAY)
    ...     _ = valid.ready | beam.Map(lambda ready: print(Envelope.decode(ready[1]).body[:30]))
    b'{"event_time":86400,"event_nam'
    """

    subscriptions: tuple[Subscription, ...]
    max_bytes: int = MAX_BYTES
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
        return Engine(self.subscriptions, self._max_bytes).validate

    def process_in_window(self, element: tuple[int, Conversion]) -> Iterable[Any]:
        """As of any step, with the window in the envelope from here on."""
        window, conversion = element
        if window != self._entered:
            self.enter(window)
        try:
            return self.convert(conversion, window)
        except Exception as error:
            return (self.refused(conversion, error),)

    def convert(self, element: Conversion, window: int = 0) -> Iterable[Any]:
        return (self.machinery(element, self._clock(), self.notes[element.subscription], window),)
