"""Problems and warnings of a job file: messages with their positions, in the file's order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import date

from capybeam.pipeline.job.yaml_source import Document, Loc, Position


class Problems:
    """Collects the problems and warnings of one document.

    Attributes:
        today: the date by which the end of an API version is judged.
    """

    def __init__(self, document: Document, today: date) -> None:
        self.document, self.today = document, today
        self._problems: list[tuple[Position, str]] = list(document.problems)
        self._warnings: list[tuple[Position, str]] = []
        self._once: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._problems)

    def add(self, loc: Loc, message: str, position: Position | None = None) -> None:
        """Adds a problem; `position` where it is more exact than that of `loc`."""
        self._problems.append((position or self.document.position(loc), f"{dotted(loc)} {message}".strip()))

    def warn(self, loc: Loc, message: str, *, once: bool = False) -> None:
        """Adds a warning; with `once` only if no other has the same message."""
        if once:
            if message in self._once:
                return
            self._once.add(message)
        self._warnings.append((self.document.position(loc), f"{dotted(loc)} {message}"))

    def problems(self) -> tuple[str, ...]:
        """Lines ``file:line:column: what is wrong``."""
        return self._lines(self._problems)

    def warnings(self) -> tuple[str, ...]:
        """The warnings, in the same form."""
        return self._lines(self._warnings)

    def _lines(self, entries: Iterable[tuple[Position, str]]) -> tuple[str, ...]:
        return tuple(f"{self.document.source}:{line}:{column}: {text}" for (line, column), text in sorted(set(entries)))


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: what may have been meant, or ""."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def dotted(loc: Loc) -> str:
    """A place in a document as messages show it: ``destinations[0].name:``; "" for the root."""
    text = ""
    for key in loc:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return f"{text}:" if text else ""
