"""What is found in a job file: errors and warnings with their positions, in the file's order."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from datetime import date
from typing import Literal

from capybeam.pipeline.job.yaml_source import Document, Loc, Position

Severity = Literal["error", "warning", "info"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that `check` says of a job file.

    Attributes:
        line: from 1; None where the file cannot be read at all, as is `column`.
        severity: an error keeps the job from running, a warning does not; info is nothing to be changed.
    """

    file: str
    line: int | None
    column: int | None
    severity: Severity
    message: str

    def __str__(self) -> str:
        place = "" if self.line is None else f":{self.line}:{self.column}"
        return f"{self.file}{place}: {self.message}"


class Problems:
    """Collects the errors and warnings of one document.

    Attributes:
        today: the date by which the end of an API version is judged.
    """

    def __init__(self, document: Document, today: date) -> None:
        self.document, self.today = document, today
        self._found: dict[tuple[Position, str, Severity], None] = {}
        self._places: set[Loc] = set()
        self._once: set[str] = set()
        for position, message in document.problems:
            self._found[position, message, "error"] = None

    def __bool__(self) -> bool:
        return any(severity == "error" for _, _, severity in self._found)

    def add(self, loc: Loc, message: str, position: Position | None = None) -> None:
        """Adds an error; `position` where it is more exact than that of `loc`."""
        self._add(loc, message, "error", position)

    def warn(self, loc: Loc, message: str, position: Position | None = None, *, once: bool = False) -> None:
        """Adds a warning; with `once` only if no other has the same message."""
        if once:
            if message in self._once:
                return
            self._once.add(message)
        self._add(loc, message, "warning", position)

    def has_finding(self, loc: Loc) -> bool:
        """Whether something has been added for exactly this place."""
        return loc in self._places

    def _add(self, loc: Loc, message: str, severity: Severity, position: Position | None) -> None:
        self._places.add(loc)
        at = position or self.document.position(loc)
        self._found[at, f"{dotted(loc)} {message}".strip(), severity] = None

    def findings(self) -> tuple[Finding, ...]:
        """All that has been found, in the file's order."""
        source = self.document.source
        return tuple(
            Finding(source, line, column, severity, message)
            for (line, column), message, severity in sorted(self._found)
        )


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The end of a message about an unknown name: what may have been meant, or ""."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def dotted(loc: Loc) -> str:
    """A place in a document as messages show it: ``destinations[0].name:``; "" for the root."""
    text = ""
    for key in loc:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return f"{text}:" if text else ""
