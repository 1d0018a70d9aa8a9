"""Errors whose texts are written for users, found in what a runner makes of them.

A runner in this process raises the error itself. Others raise a text that holds Python's traceback, in which an error
counts only by the full name of its class, where a traceback has it. The text of any other error is never shown: it may
quote an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from capybeam.pipeline.sinks import SinkError
from capybeam.transforms.core.tokens import TokenError

Kind = type[BaseException]


class UnsupportedRunner(Exception):
    """A runner, or its cluster, that must not or cannot do this job: says why, and what to do."""


class UserError(NamedTuple):
    """The class of an error that is written for users, and its text."""

    kind: Kind
    text: str


def user_error(failure: BaseException, kinds: Sequence[Kind]) -> UserError | None:
    """The error of one of these classes that a failure is, was caused by, or quotes in a runner's text."""
    chain = list(_chain(failure))
    for error in chain:
        if isinstance(error, tuple(kinds)):
            return UserError(type(error), _without_step(str(error)))
    quoted = (user_error_in(str(error), kinds) for error in chain if _is_runners(error))
    return next((error for error in quoted if error), None)


def user_error_in(text: str, kinds: Sequence[Kind]) -> UserError | None:
    """The error of one of these classes in a text with tracebacks; the last, as it ends the outermost one.

    >>> line = "capybeam.pipeline.runners.errors.Lost: No way."
    >>> text = f"Traceback (most recent call last):\\n  File 'a.py', line 1\\n{line} [while ..."
    >>> lost = type("Lost", (Exception,), {"__module__": __name__})
    >>> user_error_in(text.replace("...", "running 'Send']"), [lost]).text
    'No way.'
    """
    by_name = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in _with_subclasses(kinds)}
    names = "|".join(map(re.escape, by_name))
    # The line of an error begins the text, or comes after a traceback's frame, which is indented.
    found = list(re.finditer(rf"(?:\A|^[ \t].*\n)(?:RuntimeError: )*({names}): (.*)", text, re.MULTILINE))
    return UserError(by_name[found[-1][1]], _without_step(found[-1][2])) if found else None


def explain(text: str) -> str | None:
    """What a cluster's error means, where the setup is at fault, so that a restart does not help."""
    own = user_error_in(text, _OWN_ERRORS)
    if own:
        return own.text
    for pattern, sentence in _SETUP_PROBLEMS:
        found = re.search(pattern, text)
        if found:
            return sentence.format(**found.groupdict())
    return None


_OWN_ERRORS: Final = (UnsupportedRunner, TokenError, SinkError)
_SETUP_PROBLEMS: Final = (
    (
        r"No module named 'capybeam",
        "The Python workers do not have capybeam. Install the same version there as here (docs/clusters.md)",
    ),
    (
        r"No module named '(?P<name>[\w.]+)'",
        "The Python workers lack the package {name}. Install capybeam there with all it needs (docs/clusters.md)",
    ),
    (
        r"Can't get (?:local )?(?:object|attribute)|unknown opcode|bad marshal data|unexpected keyword argument"
        r"|code\(\) (?:argument|takes)|unsupported pickle protocol",
        "The Python workers cannot read the job. Versions of Python, Beam and capybeam must be the same there as here"
        " (docs/clusters.md)",
    ),
    (
        r"NoResourceAvailableException|Could not acquire the minimum required resources",
        "Flink has too few free slots for the job. Start more TaskManagers, or lower --parallelism",
    ),
    (
        r"(?s)UNAVAILABLE: io exception.*(?:Connection refused|No route to host|UnknownHost)",
        "The TaskManagers cannot reach the pool of Python workers. Start it where --environment_config says, as seen"
        " from each TaskManager (docs/clusters.md)",
    ),
    (
        r"No files found based on the file pattern|FileNotFoundError",
        "The workers cannot find the input files. Give a URL (gs://…), or a folder that all of them have at"
        " the same path",
    ),
)


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """A failure and what led to it, in the order of a traceback."""
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
    """Without what Beam appends to the text of an error."""
    return text.partition(" [while running")[0].strip()
