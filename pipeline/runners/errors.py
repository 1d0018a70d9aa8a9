"""Errors whose texts are for people, found in what a runner makes of them.

A runner in this process raises the error itself. Others raise a text with Python's traceback in it, and there an error
counts only by the whole name of its class, in the place where a traceback has it. The text of any other error is never
shown: it may quote an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

Kind = type[BaseException]


class Told(NamedTuple):
    """What an error says to people, and its class."""

    kind: Kind
    text: str


def told_by(failure: BaseException, kinds: Sequence[Kind]) -> Told | None:
    """What an error of one of these classes says, be it the failure, what led to it, or in a runner's text of it."""
    chain = list(_chain(failure))
    for error in chain:
        if isinstance(error, tuple(kinds)):
            return Told(type(error), _without_step(str(error)))
    return next((told for error in chain if _is_runners(error) and (told := told_in(str(error), kinds))), None)


def told_in(text: str, kinds: Sequence[Kind]) -> Told | None:
    """What an error of one of these classes says in a text with tracebacks; the last, as it ends the outermost one.

    >>> line = "capybeam.pipeline.runners.errors.Lost: No way."
    >>> text = f"Traceback (most recent call last):\\n  File 'a.py', line 1\\n{line} [while ..."
    >>> told_in(text.replace("...", "running 'Send']"), [type("Lost", (Exception,), {"__module__": __name__})]).text
    'No way.'
    """
    by_name = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in _with_subclasses(kinds)}
    names = "|".join(map(re.escape, by_name))
    # The line of an error begins the text, or comes after a traceback's frame, which is indented.
    found = list(re.finditer(rf"(?:\A|^[ \t].*\n)(?:RuntimeError: )*({names}): (.*)", text, re.MULTILINE))
    return Told(by_name[found[-1][1]], _without_step(found[-1][2])) if found else None


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """A failure and what led to it, as a traceback has them."""
    error: BaseException | None = failure
    seen = set[int]()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_runners(error: BaseException) -> bool:
    """Whether an error is of the classes in which runners hand over a worker's traceback."""
    return type(error) is RuntimeError or type(error).__module__.startswith("apache_beam.")


def _with_subclasses(kinds: Iterable[Kind]) -> Iterator[Kind]:
    for kind in kinds:
        yield kind
        yield from _with_subclasses(kind.__subclasses__())


def _without_step(text: str) -> str:
    """Without what Beam writes behind the text of an error."""
    return text.partition(" [while running")[0].strip()
