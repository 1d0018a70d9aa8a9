"""Where events come from. `open_source` knows which kind of input a text names; each kind has a module of its own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.sources.pubsub import Attributes


class NoInput(Exception):
    """There is nothing to read at an input: says which and why."""


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


def open_letters(text: str) -> Source:
    """Looks at dead letters that are to be replayed. Raises NoInput where they cannot be read.

    Args:
        text: of ``--from``: ``pubsub:projects/P/subscriptions/S``, or a path, glob or URL of files.
    """
    from pipeline.sources import files, pubsub

    if text.startswith(pubsub.PUBSUB):
        return pubsub.open_subscription(text, pubsub.numbered_line_of)

    return files.as_source(text, files.ReadNumberedLines(text))


def open_source(text: str, attributes: Attributes | None = None) -> Source:
    """Looks at an input. Raises NoInput where it cannot be read.

    Args:
        attributes: of messages, for runners that stream.
        text: of ``--input``: ``pubsub:projects/P/subscriptions/S``, or a path, glob or URL of files, JSON lines or CSV
            by their names.
    """
    from pipeline.sources import csv_files, files, pubsub

    if text.startswith(pubsub.PUBSUB):
        return pubsub.open_subscription(text, attributes=attributes)
    if attributes:
        raise NoInput(f"{text}: --id-attribute and --timestamp-attribute are for {pubsub.PUBSUB} inputs")

    if csv_files.is_csv(text):
        csv_files.check_headers(text)
        return files.as_source(text, csv_files.ReadCsv(text))
    return files.as_source(text, files.ReadLines(text))
