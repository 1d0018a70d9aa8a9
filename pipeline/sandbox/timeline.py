"""The last minutes in short steps: events, answers by kind, and how long answers took.

Its size is fixed: `STEPS` steps of `STEP` seconds, each with a histogram of latencies whose classes are 19 % apart.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal

from capybeam.pipeline.sandbox.refusals import Json

STEP: Final = 5  # seconds
STEPS: Final = 60
CLASSES: Final = 4  # of latencies, each time they double
PERCENTILES: Final = (50, 95, 99)

# accepted: 200; refused: by a rule; throttled: too many calls; failed: 5xx, a broken answer, or none.
AnswerKind = Literal["accepted", "refused", "throttled", "failed"]
ANSWER_KINDS: Final[tuple[AnswerKind, ...]] = ("accepted", "refused", "throttled", "failed")


@dataclass
class _Step:
    number: int
    events: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)

    def percentiles(self) -> list[float | None]:
        """Milliseconds, None where there were no answers; exact to a class of the histogram."""
        total, seen, found = self.latencies.total(), 0, []
        ordered = iter(sorted(self.latencies.items()))
        upper = 0.0
        for percentile in PERCENTILES:
            while seen < math.ceil(total * percentile / 100):
                number, count = next(ordered)
                seen, upper = seen + count, 2 ** ((number + 1) / CLASSES) / 1000
            found.append(round(upper, 3) if total else None)
        return found


class Timeline:
    """Answers of the last `STEP` × `STEPS` seconds."""

    def __init__(self) -> None:
        self._steps: dict[int, _Step] = {}

    def note(self, now: float, kind: AnswerKind, seconds: float, events: int) -> None:
        """An answer at Unix time `now` that took `seconds`; `events` that were accepted with it."""
        number = int(now // STEP)
        step = self._steps.get(number)
        if step is None:
            for old in [old for old in self._steps if old <= number - STEPS]:
                del self._steps[old]
            step = self._steps[number] = _Step(number)
        step.events += events
        step.answers[kind] += 1
        step.latencies[int(math.log2(max(1.0, seconds * 1e6)) * CLASSES)] += 1

    def show(self, now: float) -> Json:
        """Columns of `STEPS` rows, the last one the step that is over at `now`; events and answers are per second."""
        end = int(now // STEP)
        steps = [self._steps.get(number) or _Step(number) for number in range(end - STEPS, end)]
        latencies = [step.percentiles() for step in steps]
        return {
            "step": STEP,
            "end": end * STEP,
            "events": [step.events / STEP for step in steps],
            "answers": {kind: [step.answers[kind] / STEP for step in steps] for kind in ANSWER_KINDS},
            "latency": {f"p{p}": [row[i] for row in latencies] for i, p in enumerate(PERCENTILES)},
        }
