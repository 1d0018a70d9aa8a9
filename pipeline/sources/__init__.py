"""Where events come from. `open_source` finds an input's kind by its scheme; each kind has a module of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from capybeam.pipeline.moments import as_text
from capybeam.pipeline.schemes import UnknownScheme, find_scheme, load_module, names_of
from capybeam.pipeline.sources.message_attributes import MessageAttributes

if TYPE_CHECKING:
    from capybeam.pipeline.sources.streams import Stream
    from capybeam.transforms.core.run_context import RunContext


class NoInput(Exception):
    """An input that cannot be read, or holds nothing: says which and why."""


class NoEvents(Exception):
    """What a file or a table holds are not events: says what it holds instead, or what was looked for."""


class UnreadableFile(Exception):
    """A file that cannot be read to its end: says which and why."""


class BrokenFile(UnreadableFile):
    """One whose content breaks off or is damaged: what there is can be had, and reading it again brings no more."""


@dataclasses.dataclass(frozen=True)
class TimeRange:
    """A stretch of time, in Unix seconds: from `since` up to, and without, `until`. None is open.

    Attributes:
        column: the column that has the time; None for that of the events.
        zone: the name of the time zone in which it was given, and in which columns of dates are meant.
        goes_on: whether an earlier stretch is continued: of a column of dates, the day of `since` is read once more.
    """

    since: float | None = None
    until: float | None = None
    column: str | None = None
    zone: str = "UTC"
    goes_on: bool = False

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None

    def sentence(self) -> str:
        """What it is, for people."""
        what = f"whose {self.column} is" if self.column else "whose events are"
        since = None if self.since is None else f"from {as_text(self.since, self.zone)}"
        until = None if self.until is None else f"until before {as_text(self.until, self.zone)}"
        return f"Rows are read {what} {' '.join(filter(None, (since, until)))}."


ANY_TIME = TimeRange()
NOT_ASKED = "not looked at"  # the extent of an input, where no cloud is asked


@dataclasses.dataclass(frozen=True)
class SinceLast:
    """Reading goes on where the last run that succeeded has ended.

    Attributes:
        overlap: seconds before that which are read once more, for rows that have landed late.
        first: Unix seconds from which an input is read of which no run is known; None to refuse it.
        now: when this run was asked for, Unix seconds. The next one goes on there, or at `until` if that is earlier.
    """

    overlap: float = 3600.0
    first: float | None = None
    now: float = 0.0


def _say_nothing(_sentence: str) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How to read an input.

    Attributes:
        time_range: the times of the events.
        attributes: of messages, for runners that stream.
        project: the Google Cloud project that pays for queries, if one is given.
        unread: keys at the root of an event that need not be there, where leaving them out saves reading.
        is_dry: whether nothing is read and nothing is charged: sizes, columns and estimates are looked at alone.
        is_offline: whether no cloud is asked, either; what only it knows stays open.
        max_bytes: that BigQuery may bill for each query, and that are read of a table; None for no limit.
        announce: shows a sentence before what it is about is done, such as a query that costs.
    """

    time_range: TimeRange = ANY_TIME
    attributes: MessageAttributes = dataclasses.field(default_factory=MessageAttributes)
    project: str | None = None
    unread: Collection[str] = ()
    is_dry: bool = False
    is_offline: bool = False
    max_bytes: int | None = None
    announce: Callable[[str], None] = dataclasses.field(default=_say_nothing, compare=False)


@dataclasses.dataclass(frozen=True)
class Size:
    """How much an input holds, as far as that is known before it is read."""

    files: int | None = None
    bytes: int | None = None
    rows: int | None = None


ROW: Final = 1500  # bytes that a row of a table counts for, where only their number is known


class Part(Protocol):
    """A part of an input, which one of several processes reads. Can be pickled.

    Attributes:
        size: how much it is, to compare parts of any inputs by; about its bytes.
    """

    @property
    def size(self) -> int: ...

    def read(self, run: RunContext) -> Iterator[Any]:
        """The same elements as the source's `read` has for this part; ends early on the run's shutdown."""
        ...


class Split(Protocol):
    """Cuts an input into parts, which together are all of it, each element once."""

    def __call__(self, size: int, workers: int) -> Sequence[Part]:
        """Parts of about `size` bytes for so many workers. Raises what opening the input raises."""
        ...


@dataclasses.dataclass(frozen=True)
class Source:
    """An input that has been looked at, and can be read.

    Attributes:
        name: as the user gave it.
        extent: how much there is, for people: "1.2 MB", "1,000 rows".
        paths: of the files that are read, so that nothing else is written there.
        read: the Beam transform from a pipeline to rows, one by one or in lists, as `transforms.parsing` takes them.
        stream: for an input that never ends.
        size: the same as `extent`, in numbers.
        is_query: whether the name holds a query, whose text may say anything.
        split: cuts it for several processes of this machine; None where one has to read it.
        is_unseen: whether it was not looked at, as no cloud was to be asked.
    """

    name: str
    extent: str
    read: Any
    paths: tuple[str, ...] = ()
    stream: Stream[Any] | None = None
    size: Size = Size()
    is_query: bool = False
    split: Split | None = None
    is_unseen: bool = False


class SourceModule(Protocol):
    """A kind of input: the module that a scheme names as its `source`."""

    def open_source(self, text: str, options: ReadOptions) -> Source:
        """Looks at an input of events. Raises NoInput."""
        ...

    def open_dead_letters(self, text: str, options: ReadOptions) -> Source:
        """Looks at dead letters that are to be replayed: its `read` yields (place, line). Raises NoInput."""
        ...


def open_source(text: str, options: ReadOptions | None = None) -> Source:
    """Looks at an input. Raises NoInput where it cannot be read or holds nothing.

    Args:
        text: ``bigquery:PROJECT.DATASET.TABLE``, ``bigquery:SELECT …``, ``pubsub:projects/P/subscriptions/S``, or a
            path, glob or URL of files, JSON lines or CSV by their names. A file that is called exactly so is meant
            even where the text could be read as a glob.
    """
    options = options or ReadOptions()
    return _module(text, options).open_source(text, options)


def open_dead_letters(text: str, options: ReadOptions | None = None) -> Source:
    """Looks at dead letters that are to be replayed. Raises NoInput where they cannot be read.

    Args:
        text: of ``--from``: ``bigquery:PROJECT.DATASET.TABLE``, ``pubsub:projects/P/subscriptions/S``, or a path, glob
            or URL of files.
    """
    options = options or ReadOptions()
    return _module(text, options).open_dead_letters(text, options)


def _module(text: str, options: ReadOptions) -> SourceModule:
    try:
        scheme = find_scheme(text)
    except UnknownScheme as error:
        raise NoInput(f"{text}: {error}") from None
    if scheme.source is None:
        names = names_of(lambda each: each.source is not None, "files")
        raise NoInput(f"{text}: cannot be read; inputs are {names}")
    if options.time_range and not scheme.has_time_ranges:
        names = names_of(lambda each: each.has_time_ranges)
        raise NoInput(f"{text}: --since and --until are for {names} inputs")
    if options.attributes and not scheme.has_attributes:
        names = names_of(lambda each: each.has_attributes)
        raise NoInput(f"{text}: --id-attribute and --timestamp-attribute are for {names} inputs")
    module: SourceModule = load_module(scheme.source)
    return module
