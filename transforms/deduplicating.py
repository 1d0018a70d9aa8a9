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

from capybeam.transforms.base import settle
from capybeam.transforms.core.counters import LIVE, Counters
from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.recent_ids import RECENT, repeat_key


@dataclasses.dataclass
class DropRepeats(beam.PTransform):
    """(destination key, line) → the same, without those that have come before. They are counted, not rejected.

    Args:
        window: seconds.
        streaming: whether the runner has timers and keeps what has come; otherwise this process does, in `RECENT`.
        clock: Unix seconds.
    """

    window: float
    streaming: bool
    clock: Callable[[], float] = time.time

    def expand(self, ready: beam.PCollection) -> beam.PCollection:
        if not self.streaming:
            recent = _DropRecent(self.window, self.clock)
            return ready | "Drop" >> beam.ParDo(recent).with_output_types(tuple[str, bytes])
        return (
            ready
            | "Key" >> beam.Map(_keyed).with_output_types(tuple[bytes, tuple[str, bytes]])
            | "Drop" >> beam.ParDo(_DropSeen(self.window, self.clock)).with_output_types(tuple[str, bytes])
        )


def _keyed(ready: tuple[str, bytes]) -> tuple[bytes, tuple[str, bytes]]:
    return repeat_key(*ready), (ready[0], ready[1])


class _Dropping(beam.DoFn):
    def __init__(self, window: float, clock: Callable[[], float]) -> None:
        self._window, self._clock = window, clock

    def start_bundle(self) -> None:
        self._counters = Counters()
        LIVE.watch(self._counters)

    def finish_bundle(self) -> None:
        settle(self._counters)

    def dropped(self, key: str, line: bytes) -> Iterable[Any]:
        name = f"{Address.decode(key).destination}/{Envelope.decode(line).subscription}"
        self._counters[f"repeated:{name}"] += 1
        return ()


class _DropRecent(_Dropping):
    def process(self, element: tuple[str, bytes]) -> Iterable[Any]:
        if RECENT.is_new(repeat_key(*element), self._clock(), self._window):
            return (element,)
        return self.dropped(*element)


_SEEN = ReadModifyWriteStateSpec("seen", BooleanCoder())
_OVER = TimerSpec("over", TimeDomain.REAL_TIME)
_SEEN_PARAM, _OVER_PARAM = beam.DoFn.StateParam(_SEEN), beam.DoFn.TimerParam(_OVER)


class _DropSeen(_Dropping):
    def process(
        self,
        element: tuple[bytes, tuple[str, bytes]],
        seen: Any = _SEEN_PARAM,
        over: Any = _OVER_PARAM,
    ) -> Iterable[Any]:
        if seen.read():
            return self.dropped(*element[1])
        seen.write(True)
        over.set(self._clock() + self._window)
        return (element[1],)

    @on_timer(_OVER)
    def forget(self, seen: Any = _SEEN_PARAM) -> None:
        seen.clear()
