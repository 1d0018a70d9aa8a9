"""Where events come from. `open_source` knows which kind of input a text names; each kind has a module of its own."""

from __future__ import annotations

import dataclasses
from typing import Any


class NoInput(Exception):
    """There is nothing to read at an input: says which and why."""


@dataclasses.dataclass(frozen=True)
class Between:
    """A stretch of time, in Unix seconds: from `since` up to, and without, `until`. None is open."""

    since: float | None = None
    until: float | None = None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None


ALWAYS = Between()


@dataclasses.dataclass(frozen=True)
class Source:
    """An input that has been looked at, and can be read.

    Attributes:
        name: as the user gave it.
        extent: how much there is, for people: "1.2 MB", "1,000 rows".
        read: the Beam transform from a pipeline to lines of bytes or events, as `transforms.parsing` takes them.
    """

    name: str
    extent: str
    read: Any


BIGQUERY = "bigquery:"


def open_source(text: str, between: Between, project: str | None) -> Source:
    """Looks at an input. Raises NoInput where it cannot be read or holds nothing.

    Args:
        text: ``bigquery:PROJECT.DATASET.TABLE``, ``bigquery:SELECT …``, or a path, glob or URL of files.
        between: the times of the events to be read.
        project: the Google Cloud project that pays for queries, if one is given.
    """
    if text.startswith(BIGQUERY):
        from pipeline.sources import bigquery

        return bigquery.open_table(text, between, project)
    from pipeline.sources import files

    if between:
        raise NoInput(f"{text}: --since and --until are for {BIGQUERY} inputs")
    return Source(text, f"{files.check_input(text) / 1e6:,.1f} MB", files.ReadLines(text))
