"""Tables of figures, some of which have a target."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from statistics import median


class Figures:
    """Prints rows, and remembers whether one missed its target.

    Attributes:
        missed: whether one did so far.
    """

    def __init__(self) -> None:
        self.missed = False

    def row(
        self,
        name: str,
        figure: str,
        *,
        value: float | None = None,
        least: float | None = None,
        most: float = float("inf"),
    ) -> None:
        """Prints a row.

        Args:
            figure: as it is shown.
            value: the figure, where it has a target: `least`, or else `most`.
        """
        verdict = ""
        if value is not None:
            met = value <= most if least is None else least <= value
            self.missed = self.missed or not met
            verdict = f"target {f'≤ {most:g}' if least is None else f'≥ {least:g}'}: {'met' if met else 'MISSED'}"
        print(f"{name:<44}{figure:>16}   {verdict}".rstrip(), flush=True)


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """How quick others are, which took their seconds each in the same round as one: 1 is as quick."""
    return median(one / other for one, other in zip(ones, others, strict=True))


def rounds_of(rounds: int) -> Iterator[int]:
    """Their numbers, from 0; says which one it is."""
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} …", file=sys.stderr)
        yield number
