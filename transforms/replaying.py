"""ReplayDeadLetters: dead letters → conversions that are ready once more."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam import typehints

from capybeam.transforms.base import SubscriptionStepDoFn, with_rejections
from capybeam.transforms.core.conversions import Count
from capybeam.transforms.core.dead_letters import DeadLetter, ReplayFilter, parse_dead_letter
from capybeam.transforms.core.envelope import Ready, in_window
from capybeam.transforms.core.events import UnreadableRow, is_blank
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.engine.replay import compile_body_check, compile_replay
from capybeam.transforms.language.subscriptions import Subscription

Replay = Callable[[DeadLetter, float, Count, Callable[[str], Count]], Iterator["Ready | Rejection"]]


@dataclasses.dataclass
class ReplayDeadLetters(beam.PTransform):
    """(place, line of dead letters) → ``ready``, as `ValidateConversions` has it, and ``rejections``.

    One step for what a first run does in six, by the same functions: where an event was rejected travels with it.

    Args:
        max_bytes: of one event; a larger one fits no batch.
        replay_filter: which dead letters; the others are counted as filtered.
        clock: Unix seconds, for the age limits.
        skip_blank, unwrap: as of `ParseEvents`.
    """

    subscriptions: tuple[Subscription, ...]
    max_bytes: int = 4 * 1024 * 1024
    replay_filter: ReplayFilter = dataclasses.field(default_factory=ReplayFilter)
    clock: Callable[[], float] = time.time
    skip_blank: bool = True
    unwrap: str | None = None

    def expand(self, dead_letters: beam.PCollection) -> Any:
        step = _ReplayDeadLetters(
            self.subscriptions, self.max_bytes, self.replay_filter, self.clock, self.skip_blank, self.unwrap
        )
        replayed = with_rejections(dead_letters, step, main="ready")
        replayed.ready.element_type = typehints.Tuple[str, bytes]
        return replayed


class _ReplayDeadLetters(SubscriptionStepDoFn[Replay]):
    stage = "parse"

    def __init__(
        self,
        subscriptions: tuple[Subscription, ...],
        max_bytes: int,
        replay_filter: ReplayFilter,
        clock: Callable[[], float],
        skip_blank: bool,
        unwrap: str | None,
    ) -> None:
        super().__init__(subscriptions)
        self._max_bytes, self._replay_filter, self._clock, self._skip_blank = (
            max_bytes,
            replay_filter,
            clock,
            skip_blank,
        )
        self._clock, self._skip_blank, self._unwrap = clock, skip_blank, unwrap

    def setup(self) -> None:
        super().setup()
        self._is_body = compile_body_check(self.subscriptions)

    def process_in_window(self, element: Any) -> Iterable[Any]:
        return self.process_arriving(element)

    def with_window(self, window: int, output: Ready) -> Ready:
        return in_window(output, window)

    def compile(self) -> Replay:
        return compile_replay(self.subscriptions, self._max_bytes, self._unwrap)

    def convert(self, element: tuple[str, bytes | UnreadableRow]) -> Iterable[Any]:
        place, line = element
        if isinstance(line, UnreadableRow):
            raise line.rejected()
        if self._skip_blank and is_blank(line):
            return ()
        dead_letter = parse_dead_letter(line, place, self._is_body)
        if not self._replay_filter.takes(dead_letter):
            self._count("read")
            self._count("filtered")
            return ()
        outcomes = self.machinery(dead_letter, self._clock(), self._count, self.notes.__getitem__)
        return [self._again(outcome) if isinstance(outcome, Rejection) else outcome for outcome in outcomes]

    def _again(self, outcome: Rejection) -> Any:
        self.show_not_an_event(outcome)
        return self.rejected(outcome)

    def origin(self, element: Any) -> Mapping[str, Any]:
        self._count("read")
        self._count("unparsable")
        self.count_unfinished(element[1])
        return {"payload": element[1]}

    def _count(self, name: str) -> None:
        self.counters[name] += 1
