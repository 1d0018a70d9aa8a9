"""SkipSettled: what an earlier run has delivered or dead-lettered is not sent again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, Protocol

import apache_beam as beam

from capybeam.transforms.base import CountingDoFn, drop_by, run_of
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.run_context import RunHandle
from capybeam.transforms.core.settled import Names, conversion_digest

Settlement = Literal["already_delivered", "already_dead_lettered"]


class Settled(Protocol):
    """The conversions that are settled. Safe to use from many threads."""

    def __len__(self) -> int: ...

    def find(self, digest: bytes) -> Settlement | None:
        """How a conversion is settled, by its `conversion_digest`."""
        ...

    def refresh(self) -> None:
        """Takes in what has been settled since, by attempts of this run that have failed."""
        ...


class LoadSettled(Protocol):
    """Loads what is settled, in each process that asks; is pickled.

    Attributes:
        key: the same for all that load the same.
    """

    @property
    def key(self) -> Hashable: ...

    def __call__(self) -> Settled: ...


@dataclasses.dataclass
class SkipSettled(beam.PTransform):
    """(destination key, line) → the same, without the conversions that are settled. They are counted, not rejected.

    Outputs are as of `drop_by`.
    """

    load: LoadSettled

    def expand(self, ready: beam.PCollection) -> Any:
        return drop_by(ready, _SkipSettled(run_of(ready), self.load), "Skip")


class _SkipSettled(CountingDoFn):
    def __init__(self, run: RunHandle, load: LoadSettled) -> None:
        super().__init__()
        self.run, self._load = run, load

    def setup(self) -> None:
        super().setup()
        load: Callable[[], Settled] = self._load
        self._settled = self.context.client(self._load.key, load)
        self._settled.refresh()

    def process(self, element: tuple[str, bytes]) -> Iterable[Any]:
        if not len(self._settled):
            return (element,)
        address, event = Address.decode(element[0]), Envelope.decode(element[1])
        names = Names(address.destination, address.dataset_id, event.subscription, event.event_name)
        settlement = self._settled.find(conversion_digest(names, event.identity))
        if settlement is None:
            return (element,)
        self.enter(event.window)
        self.counters[CounterKey(settlement, f"{address.destination}/{event.subscription}").encode()] += 1
        return ()
