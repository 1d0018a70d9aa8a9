"""What all steps share: compiled once per process, counted, and never stopped by one event.

A step is a thin `StepDoFn` around pure functions: `compile` makes them from the frozen definitions that the step was
built with (what travels to the workers is the definitions), `convert` puts one element through them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar
from weakref import WeakKeyDictionary

import apache_beam as beam
from apache_beam import typehints
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from capybeam.transforms.core.conversions import Conversion, Count, split_key
from capybeam.transforms.core.counters import CounterKey, Counters, NoteNames, extreme_of
from capybeam.transforms.core.events import UnreadableRest
from capybeam.transforms.core.rejections import Rejected, Rejection, Stage, as_rejected, reject
from capybeam.transforms.core.run_context import RunHandle
from capybeam.transforms.core.windows import NO_WINDOW, WindowCounts, Windows, add_window_counts, window_counts_of
from capybeam.transforms.language.subscriptions import Subscription

REJECTIONS = "rejections"
WINDOW_COUNTS = "window_counts"
NAMESPACE = "capybeam"

M = TypeVar("M")
_log = logging.getLogger(__name__)
_HANDLES: WeakKeyDictionary[beam.Pipeline, RunHandle] = WeakKeyDictionary()


def share_run(pipeline: beam.Pipeline, run: RunHandle) -> None:
    """Makes the steps that are then added to a pipeline share the context of a run."""
    _HANDLES[pipeline] = run


def run_of(collection: Any) -> RunHandle:
    """The run that a step on a PCollection, or at a pipeline's root, belongs to.

    It is the pipeline's (`share_run`); in other pipelines each step has a run of its own.
    """
    return _HANDLES.get(collection.pipeline) or RunHandle()


def add_to_metrics(counts: Mapping[str, int]) -> None:
    """Adds counts to the runner's counters of the same names; extremes are those of its distributions."""
    for name, count in counts.items():
        if extreme_of(name) is None:
            Metrics.counter(NAMESPACE, name).inc(count)
        else:
            Metrics.distribution(NAMESPACE, name).update(count)


class CountingDoFn(beam.DoFn):
    """Counts into the progress of its run while it works, and into the runner's metrics at the end of each bundle.

    In a run that counts by windows it also counts into the window that it has last entered, and has what the bundle
    came to in its output `WINDOW_COUNTS`: (subscription key, `WindowCounts`). As elements they are dropped with a
    bundle that fails, which counters of most runners are not.

    Attributes:
        run: which it belongs to; by default one of its own.
        context: of the run in this process, once set up.
        counters: of the bundle.
    """

    _windows: Windows | None = None

    def __init__(self) -> None:
        self.run = RunHandle()

    def setup(self) -> None:
        self.context = self.run.context()
        self._windows = self.run.windows

    def start_bundle(self) -> None:
        failed = getattr(self, "counters", None)
        self.counters = Counters()
        self.context.progress.watch(self.counters, instead_of=failed)
        self._entered, self._open_until = NO_WINDOW, 0
        self._counted_before: Mapping[str, int] = {}  # when the window was entered
        self._booked: dict[str, WindowCounts] = {}

    def finish_bundle(self) -> Any:
        counts = self.window_counts()
        self.flush_counters()
        return counts

    def enter(self, window: int) -> None:
        """From here on what is counted belongs to this window."""
        if window == self._entered:
            return
        if self._entered != NO_WINDOW:
            before = self._counted_before
            counts = {
                name: count - before.get(name, 0)
                for name, count in self.counters.items()
                if count != before.get(name, 0)
            }
            for subscription, entries in window_counts_of(self._entered, counts):
                self.add_to_window(subscription, entries)
        self._entered, self._counted_before = window, dict(self.counters)

    def add_to_window(self, subscription: str, entries: WindowCounts) -> None:
        """Adds what is not in counters."""
        add_window_counts(self._booked.setdefault(subscription, {}), entries)

    def window_counts(self) -> list[TaggedOutput]:
        """What the bundle came to, to be yielded at its end, before counters are flushed."""
        self.enter(NO_WINDOW)
        window = GlobalWindow()
        return [
            TaggedOutput(WINDOW_COUNTS, WindowedValue(counted, window.max_timestamp(), [window]))
            for counted in self._booked.items()
        ]

    def flush_counters(self) -> None:
        add_to_metrics(self.counters)
        self.context.progress.flush(self.counters)

    def rejected(self, rejection: Rejection) -> TaggedOutput:
        """The rejection, counted, for the step's second output."""
        key = f"{rejection.destination}/{rejection.subscription}" if rejection.destination else ""
        self.counters[CounterKey("rejected", key, rejection.stage, rejection.code).encode()] += 1
        if rejection.about:
            about = self.context.reasons.bounded(key, rejection)
            self.counters[CounterKey("cause", key, rejection.stage, rejection.code, about).encode()] += 1
        return TaggedOutput(REJECTIONS, rejection)


class StepDoFn(CountingDoFn, Generic[M]):
    """A step of the way, around the functions that `compile` makes.

    Subclasses say what an element becomes (`convert`) and where a rejected one comes from (`origin`).
    """

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self._shared = Shared()

    def compile(self) -> M:
        raise NotImplementedError

    def convert(self, element: Any) -> Iterable[Any]:
        """The outputs for one element. Raises Rejected."""
        raise NotImplementedError

    def origin(self, element: Any) -> Mapping[str, Any]:
        """The fields of `Rejection` that identify where a rejected element comes from."""
        raise NotImplementedError

    def setup(self) -> None:
        super().setup()
        self.machinery: M = self._shared.acquire(self.compile)

    def process(self, element: Any) -> Iterable[Any]:
        if self._windows is not None:
            return self.process_in_window(element)
        try:
            return self.convert(element)
        except Exception as error:  # one event must never stop a run, nor its values reach a log
            return [self.refused(element, error)]

    def process_in_window(self, element: Any) -> Iterable[Any]:
        """As `process`, in a run that counts by windows: elements are pairs there, with the window of their event."""
        window, inner = element
        if window != self._entered:
            self.enter(window)
        try:
            outputs: Any = self.convert(inner)
        except Exception as error:
            return (self.refused(inner, error),)
        if len(outputs) == 1:
            return ((window, outputs[0]),)
        return [(window, output) for output in outputs]

    def process_arriving(self, element: Any) -> Iterable[Any]:
        """As `process_in_window`, of an element that arrives with it. Its outputs may hold rejections."""
        window = self.arrive()
        try:
            outputs = self.convert(element)
        except Exception as error:
            return (self.refused(element, error),)
        if type(outputs) is tuple:
            return [(window, output) for output in outputs]
        return (each if type(each) is TaggedOutput else self.with_window(window, each) for each in outputs)

    def arrive(self) -> int:
        """The window that is open now, entered."""
        assert self._windows is not None
        now = self._windows.clock()
        return self._entered if self.is_open(now) else self.open(self._windows, now)

    def is_open(self, now: float) -> bool:
        """Whether the window that has been entered is still that of a time, in Unix seconds."""
        return self._entered <= now < self._open_until

    def open(self, windows: Windows, now: float) -> int:
        """The window of a time, entered."""
        window = windows.at(now)
        self.enter(window)
        self._open_until = window + windows.seconds
        return window

    def with_window(self, window: int, output: Any) -> Any:
        """An output of a step in which elements arrive."""
        return window, output

    def refused(self, element: Any, error: Exception) -> TaggedOutput:
        """The rejection of an element, or of the part of it that the error has as its payload."""
        cause = as_rejected(error)
        return self.refused_at(self.stage, cause, self.origin(element))

    def refused_at(self, stage: Stage, cause: Rejected, origin: Mapping[str, Any]) -> TaggedOutput:
        """The same for a stage, and for the fields of `Rejection` that identify where it happened."""
        if cause.code == "internal_error":
            _log.error("%s: %s", stage, cause.message)
        if cause.payload is not None:
            origin = {**origin, "payload": cause.payload}
        return self.rejected(reject(stage, cause, **origin))

    def count_unfinished(self, row: Any) -> None:
        """Counts an input that has not been read to its end, under its message, for workers elsewhere."""
        if isinstance(row, UnreadableRest):
            self.counters[CounterKey("unfinished", detail=str(row.message)).encode()] += 1

    def show_not_an_event(self, cause: Rejected | Rejection) -> None:
        """Shows what the first object that is not an event looks like, at once and in the report, which workers
        elsewhere reach only by their counters. Later ones look alike, as a rule."""
        about = "parse/not_an_event"
        if cause.code == "not_an_event" and self.context.progress.remark(about, cause.message, once_for=about):
            self.counters[CounterKey("no_event", detail=cause.message).encode()] += 1


def origin_of(conversion: Conversion) -> Mapping[str, Any]:
    """The fields of `Rejection` that identify a conversion."""
    destination, subscription = split_key(conversion.subscription)
    event_id = conversion.fields.get("event_id")
    if event_id is None and conversion.event is not None:
        event_id = conversion.event.get("messageId")
    return {
        "destination": destination,
        "subscription": subscription,
        "dataset_id": conversion.dataset_id,
        "event_id": event_id if isinstance(event_id, str) else None,
        "payload": conversion.event if conversion.event is not None else conversion.fields,
    }


class SubscriptionStepDoFn(StepDoFn[M]):
    """A step whose functions are made from the job's subscriptions; its elements are conversions.

    Attributes:
        notes: by subscription key, or "" before one is known: the counter of what is left out, in a bundle.
    """

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        super().__init__()
        self.subscriptions = tuple(subscriptions)

    def setup(self) -> None:
        super().setup()
        self._note_names: dict[str, NoteNames] = {}

    def start_bundle(self) -> None:
        super().start_bundle()
        self.notes = NotesByKey(self.counters, self._note_names)

    def origin(self, element: Conversion) -> Mapping[str, Any]:
        return origin_of(element)


class NotesByKey(dict[str, Count]):
    """By a subscription's key: the counter of what is dropped on the way of its conversions.

    Args:
        counters: of the bundle.
        names: by key, the names of what was counted before; those that come are added.
    """

    def __init__(self, counters: Counters, names: dict[str, NoteNames]) -> None:
        super().__init__()
        self._counters, self._names = counters, names

    def __missing__(self, key: str) -> Count:
        counters, names = self._counters, self._names.setdefault(key, NoteNames(key))

        def note(name: str) -> None:
            counters[names[name]] += 1

        self[key] = note
        return note


def with_rejections(pcoll: beam.PCollection, step: CountingDoFn, main: str, label: str = "Convert") -> Any:
    """Applies a step: its results under the name `main`, its rejections under `REJECTIONS`.

    In a run that counts by windows, there is `WINDOW_COUNTS`, too.
    """
    step.run = run_of(pcoll)
    convert = beam.ParDo(step)
    convert.label = label  # it would be the class's name, and another one a step that a running job does not have
    return with_window_counts(pcoll, convert, step.run, REJECTIONS, main=main)


def drop_by(ready: beam.PCollection, step: CountingDoFn, label: str) -> Any:
    """Applies a step that drops some of what is ready: (destination key, line).

    What is left; in a run that counts by windows it is the output ``ready``, beside `WINDOW_COUNTS`.
    """
    convert = beam.ParDo(step).with_output_types(tuple[str, bytes])
    convert.label = label
    if step.run.windows is None:  # with outputs it would have another name, and an updated job forget what has come
        return ready | convert
    kept = with_window_counts(ready, convert, step.run, main="ready")
    kept.ready.element_type = typehints.Tuple[str, bytes]
    return kept


def with_window_counts(pcoll: beam.PCollection, convert: beam.ParDo, run: RunHandle, *tags: str, main: str) -> Any:
    """Applies a ParDo of a `CountingDoFn`, with the outputs that it has in its run."""
    if run.windows is None:
        return pcoll | convert.with_outputs(*tags, main=main)
    outputs = pcoll | convert.with_outputs(*tags, WINDOW_COUNTS, main=main)
    outputs[WINDOW_COUNTS].element_type = typehints.Tuple[str, typehints.Any]
    return outputs
