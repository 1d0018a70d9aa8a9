"""DropRepeats: of conversions with the same event_id and name for the same dataset, the first within a while."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
from apache_beam.coders import BooleanCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer

from capybeam.transforms.base import CountingDoFn, drop_by, run_of
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.recent_ids import repeat_key
from capybeam.transforms.core.run_context import RunHandle


@dataclasses.dataclass
class DropRepeats(beam.PTransform):
    """(destination key, line) → the same, without those that have come before. They are counted, not rejected.

    Outputs are as of `drop_by`.

    Args:
        window: seconds.
        streaming: whether the runner has timers and remembers what has come; otherwise each process does, for as long
            as its run lasts, which is for runners that repeat no bundle, such as FnApiRunner.
        clock: Unix seconds.
    """

    window: float
    streaming: bool
    clock: Callable[[], float] = time.time

    def expand(self, ready: beam.PCollection) -> Any:
        run = run_of(ready)
        step: _DropRepeats = _DropRecent(run, self.window, self.clock)
        if self.streaming:
            step = _DropSeen(run, self.window, self.clock)
            ready = ready | "Key" >> beam.Map(_keyed).with_output_types(tuple[bytes, tuple[str, bytes]])
        return drop_by(ready, step, "Drop")


def _keyed(ready: tuple[str, bytes]) -> tuple[bytes, tuple[str, bytes]]:
    return repeat_key(*ready), (ready[0], ready[1])


class _DropRepeats(CountingDoFn):
    def __init__(self, run: RunHandle, window: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self.run, self._window, self._clock = run, window, clock

    def drop(self, key: str, line: bytes) -> Iterable[Any]:
        event = Envelope.decode(line)
        self.enter(event.window)
        subscription = f"{Address.decode(key).destination}/{event.subscription}"
        self.counters[CounterKey("repeated", subscription).encode()] += 1
        return ()


class _DropRecent(_DropRepeats):
    """Remembers in this process, by the run's `recent_ids`."""

    def process(self, element: tuple[str, bytes]) -> Iterable[Any]:
        if self.context.recent_ids.add(repeat_key(*element), self._clock(), self._window):
            return (element,)
        return self.drop(*element)


_SEEN = ReadModifyWriteStateSpec("seen", BooleanCoder())
_OVER = TimerSpec("over", TimeDomain.REAL_TIME)
_SEEN_PARAM, _OVER_PARAM = beam.DoFn.StateParam(_SEEN), beam.DoFn.TimerParam(_OVER)


class _DropSeen(_DropRepeats):
    """Remembers by the runner's state and timers."""

    def process(
        self,
        element: tuple[bytes, tuple[str, bytes]],
        seen: Any = _SEEN_PARAM,
        over: Any = _OVER_PARAM,
    ) -> Iterable[Any]:
        if seen.read():
            return self.drop(*element[1])
        seen.write(True)
        over.set(self._clock() + self._window)
        return (element[1],)

    @on_timer(_OVER)
    def forget(self, seen: Any = _SEEN_PARAM) -> None:
        seen.clear()
