"""Where events come from. `open_source` knows which kind of input a text names; each kind has a module of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capybeam.pipeline.sources.pubsub import Attributes


class NoInput(Exception):
    """There is nothing to read at an input: says which and why."""


class UnreadableFile(Exception):
    """A file that cannot be read to its end: says which and why."""


class BrokenFile(UnreadableFile):
    """One whose content breaks off or is damaged: what there is can be had, and reading it again brings no more."""


@dataclasses.dataclass(frozen=True)
class TimeRange:
    """A stretch of time, in Unix seconds: from `since` up to, and without, `until`. None is open."""

    since: float | None = None
    until: float | None = None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None


ANY_TIME = TimeRange()


@dataclasses.dataclass(frozen=True)
class Source:
    """An input that has been looked at, and can be read.

    Attributes:
        name: as the user gave it.
        extent: how much there is, for people: "1.2 MB", "1,000 rows".
        paths: of the files that are read, so that nothing else is written there.
        read: the Beam transform from a pipeline to lines of bytes or events, as `transforms.parsing` takes them.
        subscription: a `pubsub.Subscription`, for an input that never ends.
    """

    name: str
    extent: str
    read: Any
    paths: tuple[str, ...] = ()
    subscription: Any = None


BIGQUERY = "bigquery:"


def open_letters(text: str, project: str | None = None) -> Source:
    """Looks at dead letters that are to be replayed. Raises NoInput where they cannot be read.

    Args:
        text: of ``--from``: ``bigquery:PROJECT.DATASET.TABLE``, ``pubsub:projects/P/subscriptions/S``, or a path, glob
            or URL of files.
        project: as of `open_source`.
    """
    from capybeam.pipeline.sources import files, pubsub

    if text.startswith(BIGQUERY):
        from capybeam.pipeline.sources import bigquery

        return bigquery.open_letters(text, project)
    if text.startswith(pubsub.PUBSUB):
        return pubsub.open_subscription(text, pubsub.numbered_line_of)
    files.check_lines(text)
    return files.as_source(text, files.ReadNumberedLines(text))


def open_source(
    text: str,
    between: TimeRange = ANY_TIME,
    project: str | None = None,
    attributes: Attributes | None = None,
    unread: Collection[str] = (),
) -> Source:
    """Looks at an input. Raises NoInput where it cannot be read or holds nothing.

    Args:
        text: ``bigquery:PROJECT.DATASET.TABLE``, ``bigquery:SELECT …``, ``pubsub:projects/P/subscriptions/S``, or a
            path, glob or URL of files, JSON lines or CSV by their names. A file that is called exactly so is meant
            even where the text could be read as a glob.
        between: the times of the events to be read.
        project: the Google Cloud project that pays for queries, if one is given.
        attributes: of messages, for runners that stream.
        unread: keys at the root of an event that need not be there, where leaving them out saves reading.
    """
    from capybeam.pipeline.sources import csv_files, csv_rows, files, pubsub

    if between and not text.startswith(BIGQUERY):
        raise NoInput(f"{text}: --since and --until are for {BIGQUERY} inputs")
    if attributes and not text.startswith(pubsub.PUBSUB):
        raise NoInput(f"{text}: --id-attribute and --timestamp-attribute are for {pubsub.PUBSUB} inputs")
    if text.startswith(BIGQUERY):
        from capybeam.pipeline.sources import bigquery

        return bigquery.open_table(text, between, project, unread)
    if text.startswith(pubsub.PUBSUB):
        return pubsub.open_subscription(text, attributes=attributes)
    if csv_rows.is_csv(text):
        csv_files.check_headers(text)
        return files.as_source(text, csv_files.ReadCsv(text))
    files.check_lines(text)
    return files.as_source(text, files.ReadLines(text))
