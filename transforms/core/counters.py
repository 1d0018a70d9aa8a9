"""Counting what happens to events, for the report of a run.

A step counts into its own `Counters`, which costs a dictionary update per event, and flushes them at the end of a
bundle. Runners and dictionaries know a counter by its name; `CounterKey` is what the name says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, cast

CounterKind = Literal[
    "read",  # events
    "unparsable",
    "filtered",
    "taken",  # events that at least one trigger took
    "withheld",  # conversions for which there is no consent, with the answer
    "matched",  # conversions, of a subscription
    "delivered",
    "repeated",
    "already_delivered",  # by an earlier run
    "already_dead_lettered",
    "rejected",  # with a stage and a code
    "cause",  # the same once more, with the field or the destination's reason, where there is one
    "note",  # what was dropped or is worth knowing
    "unfinished",  # an input that breaks off, in a sentence
    "no_event",  # the first object in a process that is not an event, in a sentence
    "requests",  # that a destination took
    "tries",  # requests that were sent to a destination, those that failed or were refused included
    "bytes",  # of the bodies of all tries
    "throttled",  # seconds in which something waited for a rate limit
    "refused",  # events of a destination that refuses everything, by what is wrong with it, in a sentence
    "cure",  # the same by what somebody can do about it, in a sentence
    "first_event_time",  # Unix seconds, of what was ready to be sent to a destination
    "last_event_time",
]

EXTREMES: Final[Mapping[str, Callable[[int, int], int]]] = {"first_event_time": min, "last_event_time": max}
"""Kinds that are not added up: how two values become one."""


class CounterKey(NamedTuple):
    """What a counter counts.

    Attributes:
        subscription: "destination/subscription"; "" for what happens before any subscription.
        stage: of a rejection.
        detail: the code of a rejection, the name of a note, an answer about consent, or a sentence.
        about: of a cause, the field, or the destination's reason (`core.rejections.ANSWERED`); of what is refused, a
            sentence. Colons in it are escaped.
        destination: its name.
    """

    kind: CounterKind
    subscription: str = ""
    stage: str = ""
    detail: str = ""
    about: str = ""
    destination: str = ""

    def encode(self) -> str:
        """The name of the counter, for runners.

        >>> CounterKey("rejected", "web/orders", "map", "missing_required_field").encode()
        'rejected:web/orders:map:missing_required_field'
        >>> CounterKey("delivered", "web/orders").encode(), CounterKey("read").encode()
        ('delivered:web/orders', 'read')
        """
        quoted = self._replace(about=_quote(self.about)) if self.about else self
        return ":".join([self.kind, *(getattr(quoted, field) for field in _FIELDS[self.kind])])

    @classmethod
    def decode(cls, name: str) -> CounterKey | None:
        """The key of a counter's name; None for other counters, such as Beam's seconds of throttling.

        A subscription's name and a sentence may hold colons.

        >>> key = CounterKey.decode("rejected:stores/events: Order Completed:map:too_old")
        >>> key.subscription, key.stage, key.detail
        ('stores/events: Order Completed', 'map', 'too_old')
        """
        kind, *rest = name.split(":", 1)
        fields = _FIELDS.get(kind)
        if fields is None:
            return None
        values = rest[0].rsplit(":", len(fields) - 1) if fields and rest else rest
        if len(values) != len(fields):
            return None
        named = dict(zip(fields, values, strict=True))
        if "about" in named:
            named["about"] = _unquote(named["about"])
        return cls(cast(CounterKind, kind), **named)


def _quote(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")


def _unquote(text: str) -> str:
    return text.replace("%3A", ":").replace("%25", "%")


_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "read": (),
    "unparsable": (),
    "filtered": (),
    "taken": (),
    "withheld": ("subscription", "detail"),
    "matched": ("subscription",),
    "delivered": ("subscription",),
    "repeated": ("subscription",),
    "already_delivered": ("subscription",),
    "already_dead_lettered": ("subscription",),
    "rejected": ("subscription", "stage", "detail"),
    "note": ("subscription", "detail"),
    "unfinished": ("detail",),
    "no_event": ("detail",),
    "cause": ("subscription", "stage", "detail", "about"),
    "requests": ("destination",),
    "tries": ("destination",),
    "bytes": ("destination",),
    "throttled": (),
    "refused": ("destination", "about"),
    "cure": ("destination", "about"),
    "first_event_time": ("destination",),
    "last_event_time": ("destination",),
}


def extreme_of(name: str) -> Callable[[int, int], int] | None:
    """How two values of a counter of `EXTREMES` become one; None for one that is added up.

    >>> extreme_of("first_event_time:web"), extreme_of("read")
    (<built-in function min>, None)
    """
    return EXTREMES.get(name.partition(":")[0])


def add_counts(totals: dict[str, int], counts: Mapping[str, int]) -> None:
    """Takes counts into totals: adds them up, or keeps the lower or higher one, by their kinds."""
    for name, count in counts.items():
        if name in totals:
            extreme = extreme_of(name)
            totals[name] = totals[name] + count if extreme is None else extreme(totals[name], count)
        else:
            totals[name] = count


class NoteNames(dict[str, str]):
    """From the notes on a subscription's conversions to the names of their counters, each encoded once."""

    def __init__(self, subscription: str) -> None:
        super().__init__()
        self._subscription = subscription

    def __missing__(self, note: str) -> str:
        name = self[note] = CounterKey("note", self._subscription, detail=note).encode()
        return name


class Counters(dict[str, int]):
    """Counts since the last flush, by name: ``counters["read"] += 1``. Not for sharing between threads."""

    def __missing__(self, name: str) -> int:
        return 0

    def flush(self, *sinks: Callable[[Mapping[str, int]], None]) -> None:
        counts = dict(self)
        self.clear()
        if counts:
            for sink in sinks:
                sink(counts)
