"""MapEventNames: (event, subscription) → conversions with Meta's event name, one for each dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam

from capybeam.transforms.base import SubscriptionStepDoFn, with_rejections
from capybeam.transforms.core.conversions import Conversion
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.events import Event
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.language.subscriptions import Subscription


@dataclasses.dataclass
class MapEventNames(beam.PTransform):
    """(event, subscription key) → ``conversions`` with their event name and dataset, and ``rejections``.

    An event fans out where its subscription has several datasets. A name that the event does not have is found missing
    together with all else that is missing, in MapProperties.

    >>> import apache_beam as beam
    >>> from capybeam.transforms.meta.subscriptions import MetaSubscription
    >>> pages = MetaSubscription("web", "pages", "all", {"event_name": "PageView"}, (), ("1", "2"))
    >>> with beam.Pipeline("FnApiRunner") as pipeline:
    ...     named = pipeline | beam.Create([({"type": "page"}, "web/pages")]) | MapEventNames((pages,))
    ...     _ = named.conversions | beam.Map(lambda conversion: print(conversion.event_name, conversion.dataset_id))
    PageView 1
    PageView 2
    """

    subscriptions: tuple[Subscription, ...]

    def expand(self, matches: beam.PCollection) -> Any:
        return with_rejections(matches, _MapEventNames(self.subscriptions), main="conversions")


def matched_counters(subscriptions: Sequence[Subscription]) -> Mapping[str, str]:
    """By subscription key: the name of the counter of its conversions."""
    return {each.key: CounterKey("matched", each.key).encode() for each in subscriptions}


def unnamed(event: Event, key: str) -> Conversion:
    """What stands for an event's conversion that got no name."""
    return Conversion(key, None, "", event, {})


class _MapEventNames(SubscriptionStepDoFn[Callable[[Event, str], list[Conversion]]]):
    stage = "name"

    def setup(self) -> None:
        super().setup()
        self._matched = matched_counters(self.subscriptions)

    def compile(self) -> Callable[[Event, str], list[Conversion]]:
        return Engine(self.subscriptions).name

    def convert(self, element: tuple[Event, str]) -> Iterable[Any]:
        event, key = element
        named = self.machinery(event, key)
        self.counters[self._matched[key]] += len(named)
        return named

    def origin(self, element: Any) -> Mapping[str, Any]:
        event, key = element
        self.counters[self._matched[key]] += 1
        return super().origin(unnamed(event, key))
