"""FilterEvents: events → (event, subscription), one for each trigger that takes the event."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam

from capybeam.transforms.base import StepDoFn, with_rejections
from capybeam.transforms.core.counters import CounterKey, Counters
from capybeam.transforms.core.events import Event
from capybeam.transforms.engine.engine import Engine, Withhold
from capybeam.transforms.language.subscriptions import Subscription


@dataclasses.dataclass
class FilterEvents(beam.PTransform):
    """Events → ``matches``: (event, key of the subscription) for each trigger that takes it, and ``rejections``.

    Args:
        subscriptions: the job's, in the order in which their matches come out.

    >>> import apache_beam as beam
    >>> from capybeam.transforms.meta.subscriptions import MetaSubscription
    >>> pages = MetaSubscription("web", "pages", 'type = "page"', {}, (), ("1",))
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     matched = pipeline | beam.Create([{"type": "page"}, {"type": "track"}]) | FilterEvents((pages,))
    ...     _ = matched.matches | beam.Map(print)
    ({'type': 'page'}, 'web/pages')
    """

    subscriptions: tuple[Subscription, ...]

    def expand(self, events: beam.PCollection) -> Any:
        return with_rejections(events, _FilterEvents(self.subscriptions), main="matches")


def taken_by(engine: Engine, event: Event, counters: Counters) -> list[str]:
    """The keys of the subscriptions that take an event and may have it, counted. Raises what a trigger does."""
    keys, withhold = engine.match(event), engine.withhold
    if keys and withhold is not None:
        keys = consented(withhold, event, keys, counters)
    counters["taken" if keys else "filtered"] += 1
    return keys


def consented(withhold: Withhold, event: Event, keys: list[str], counters: Counters) -> list[str]:
    """The keys of the subscriptions that may have an event; the others are counted."""
    keys, withheld = withhold(event, keys)
    for key, answer in withheld:
        counters[CounterKey("withheld", key, detail=answer).encode()] += 1
    return keys


class _FilterEvents(StepDoFn[Engine]):
    stage = "filter"

    def __init__(self, subscriptions: tuple[Subscription, ...]) -> None:
        super().__init__()
        self._subscriptions = subscriptions

    def compile(self) -> Engine:
        engine = Engine(self._subscriptions)
        _ = engine.match, engine.withhold  # at setup, not with the first event
        return engine

    def convert(self, element: Event) -> Iterable[Any]:
        return [(element, key) for key in taken_by(self.machinery, element, self.counters)]

    def origin(self, element: Event) -> Mapping[str, Any]:
        return {"payload": element}
