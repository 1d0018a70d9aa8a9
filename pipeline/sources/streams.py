"""Streams: inputs that never end. What a run asks of one, whichever scheme it has.

On this machine a stream is worked off in batches by its `StreamReader`: a batch is acknowledged when every event of it
is delivered, filtered or a dead letter, and given back if that fails, so that it is redelivered. A runner that streams
elsewhere (Dataflow) reads by the `read` of the source instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Protocol, TypeVar

from capybeam.pipeline.sources.message_attributes import MessageAttributes
from capybeam.transforms.core.run_context import RunContext

M = TypeVar("M", bound=Sized)  # messages that have come together, as their stream has them
M_co = TypeVar("M_co", bound=Sized, covariant=True)


class StreamLost(Exception):
    """A stream cannot be read any more: says which and why."""


class StreamBatch(Protocol[M_co]):
    """Messages that are settled together. They come while it is gone through, which is done once."""

    def __iter__(self) -> Iterator[M_co]:
        """The messages, as they come: at least one at a time. It ends when the batch is full, has waited long enough
        for more, or on the run's shutdown."""
        ...

    def acknowledge(self) -> None:
        """Acknowledges what has come, for good. A message that cannot be acknowledged is delivered again."""
        ...

    def give_back(self) -> None:
        """Returns what has come to the stream, which delivers it again."""
        ...


class StreamReader(Protocol[M_co]):
    """Reads batches while earlier ones are under way, and keeps all of their messages from other readers.

    A context manager: what has been read and is in no batch yet is given back at its end. Batches are settled from
    several threads, in any order, while others are under way.
    """

    def __enter__(self) -> StreamReader[M_co]: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def batches(self) -> Iterator[StreamBatch[M_co]]:
        """Batches, each as soon as it has a message; the next one is asked for when one has been gone through.

        It ends on the run's shutdown, or when nothing comes. Raises StreamLost.
        """
        ...


class Stream(Protocol[M]):
    """An input that never ends, and that has been looked at."""

    @property
    def attributes(self) -> MessageAttributes:
        """Those that a runner is asked to read."""
        ...

    @property
    def warning(self) -> str:
        """What should be known before events are held; "" for nothing."""
        ...

    @property
    def is_inspected(self) -> bool:
        """Whether it is known to be readable; otherwise only `try_to_pull` shows it."""
        ...

    def is_fed_by(self, output: str) -> bool:
        """Whether what a run writes to an output, such as ``pubsub:projects/P/topics/T``, would come back in it."""
        ...

    def elements(self, messages: M) -> Iterable[Any]:
        """What the graph is given for messages."""
        ...

    def try_to_pull(self) -> M:
        """Reads once, to see that it is allowed; what that brings is passed to `reader`, or given back. Raises NoInput.

        Given back at once it could stay away for long, and for good from a run that leaves before that.
        """
        ...

    def give_back(self, messages: M) -> None:
        """Returns messages that `try_to_pull` has brought. Raises NoInput."""
        ...

    def reader(
        self, run: RunContext, max_delay: float, until_idle: float | None = None, first: M | None = None
    ) -> StreamReader[M]:
        """What reads its batches.

        Args:
            run: whose progress it updates, and whose shutdown ends it.
            max_delay: seconds after its first message in which a batch takes more.
            until_idle: seconds without a message after which no further batch follows; None waits for ever.
            first: messages that `try_to_pull` has brought: the first of the first batch.
        """
        ...
