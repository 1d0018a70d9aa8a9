"""SkipProcessed: what an earlier run has delivered or dead-lettered is not sent again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, Protocol

import apache_beam as beam

from capybeam.transforms.base import CountingDoFn, drop_by, run_of
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.processed import Names, conversion_digest
from capybeam.transforms.core.run_context import RunHandle

HowProcessed = Literal["already_delivered", "already_dead_lettered"]


class Processed(Protocol):
    """The conversions that have been processed. Safe to use from many threads."""

    def __len__(self) -> int: ...

    def find(self, digest: bytes) -> HowProcessed | None:
        """How a conversion was processed, by its `conversion_digest`."""
        ...

    def refresh(self) -> None:
        """Takes in what has been processed since, by attempts of this run that have failed."""
        ...


class LoadProcessed(Protocol):
    """Loads what has been processed, in each process that asks; is pickled.

    Attributes:
        key: the same for all that load the same.
    """

    @property
    def key(self) -> Hashable: ...

    def __call__(self) -> Processed: ...


@dataclasses.dataclass
class SkipProcessed(beam.PTransform):
    """(destination key, line) → the same, without what has been processed. That is counted, not rejected.

    Outputs are as of `drop_by`.
    """

    load: LoadProcessed

    def expand(self, ready: beam.PCollection) -> Any:
        return drop_by(ready, _SkipProcessed(run_of(ready), self.load), "Skip")


class _SkipProcessed(CountingDoFn):
    def __init__(self, run: RunHandle, load: LoadProcessed) -> None:
        super().__init__()
        self.run, self._load = run, load

    def setup(self) -> None:
        super().setup()
        load: Callable[[], Processed] = self._load
        self._processed = self.context.client(self._load.key, load)
        self._processed.refresh()

    def process(self, element: tuple[str, bytes]) -> Iterable[Any]:
        if not len(self._processed):
            return (element,)
        address, event = Address.decode(element[0]), Envelope.decode(element[1])
        names = Names(address.destination, address.dataset_id, event.subscription, event.event_name)
        how = self._processed.find(conversion_digest(names, event.identity))
        if how is None:
            return (element,)
        self.enter(event.window)
        self.counters[CounterKey(how, f"{address.destination}/{event.subscription}").encode()] += 1
        return ()
