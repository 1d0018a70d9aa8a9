"""A run's counters in Prometheus' text format (``--metrics``), for as long as it runs on this machine.

They are read when they are asked for, so that a run counts no more than without. Labels come from closed sets: the
names of the job file, stages, codes and notes. What a counter of Beam's has besides, fields, Meta's words and
sentences, is in the run's report alone.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

from capybeam import __version__
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.beam_options import RunOptions
from capybeam.pipeline.run.progress import Watched
from capybeam.transforms.core.conversions import split_key
from capybeam.transforms.core.counters import CounterKey, CounterKind
from capybeam.transforms.core.progress import State
from capybeam.transforms.core.rejections import CODES, Stage

Label = Literal["destination", "subscription", "stage", "code", "note", "answer"]
OTHER: Final = "other"  # the label of a name that no closed set has, as of a dead letter of an older job file
MOST_NOTES: Final = 200

HOST: Final = "127.0.0.1"


class BadAddress(ValueError):
    """Nothing can be served there: says why."""


class Metric(NamedTuple):
    """A metric of Prometheus' that is made of Beam's counters of one kind.

    Attributes:
        name: without the suffix _total, which Prometheus' format adds to that of a counter.
    """

    name: str
    labels: tuple[Label, ...]
    help: str
    is_gauge: bool = False


_OF_CONVERSIONS: Final[tuple[Label, ...]] = ("destination", "subscription")

METRICS: Final[Mapping[CounterKind, Metric]] = {
    "read": Metric("capybeam_read", (), "Events that were read."),
    "unparsable": Metric("capybeam_unparsable", (), "Lines, and parts of lines, that are not events."),
    "filtered": Metric("capybeam_filtered", (), "Events that no trigger took."),
    "taken": Metric("capybeam_taken", (), "Events that at least one trigger took."),
    "matched": Metric("capybeam_matched", _OF_CONVERSIONS, "Conversions that a trigger took."),
    "delivered": Metric("capybeam_delivered", _OF_CONVERSIONS, "Conversions that Meta took."),
    "repeated": Metric("capybeam_repeated", _OF_CONVERSIONS, "Conversions that were dropped as repeats."),
    "already_delivered": Metric(
        "capybeam_already_delivered", _OF_CONVERSIONS, "Conversions that an earlier run has delivered."
    ),
    "already_dead_lettered": Metric(
        "capybeam_already_dead_lettered", _OF_CONVERSIONS, "Conversions that an earlier run has made dead letters of."
    ),
    "withheld": Metric(
        "capybeam_withheld", (*_OF_CONVERSIONS, "answer"), "Conversions for which there is no consent, by its answer."
    ),
    "rejected": Metric("capybeam_rejected", (*_OF_CONVERSIONS, "stage", "code"), "Dead letters."),
    "note": Metric("capybeam_note", (*_OF_CONVERSIONS, "note"), "What was dropped or is worth knowing."),
    "unfinished": Metric("capybeam_unfinished", (), "Inputs that break off."),
    "no_event": Metric("capybeam_no_event", (), "Processes that met an object that is not an event."),
    "requests": Metric("capybeam_requests", ("destination",), "Requests that Meta took."),
    "tries": Metric("capybeam_tries", ("destination",), "Requests that were sent."),
    "bytes": Metric("capybeam_bytes", ("destination",), "Bytes of the bodies of all requests that were sent."),
    "throttled": Metric("capybeam_throttled_seconds", (), "Seconds in which a rate limit held something up."),
    "refused": Metric("capybeam_refused", ("destination",), "Events of a destination that refuses everything."),
    "first_event_time": Metric(
        "capybeam_first_event_time_seconds",
        ("destination",),
        "Time of the oldest event that was ready to be sent, Unix seconds.",
        is_gauge=True,
    ),
    "last_event_time": Metric(
        "capybeam_last_event_time_seconds",
        ("destination",),
        "Time of the latest event that was ready to be sent, Unix seconds.",
        is_gauge=True,
    ),
}
"""By the kind of Beam's counter. Kinds that are not here say more about those that are: `cause`, `cure`."""

GAUGES: Final[Mapping[str, Metric]] = {
    "info": Metric("capybeam_info", (), "1, with the version as a label.", is_gauge=True),
    "state": Metric(
        "capybeam_destination_state", ("destination",), "1 for the state in which a destination is.", is_gauge=True
    ),
    "pause": Metric(
        "capybeam_destination_pause_seconds",
        ("destination",),
        "Seconds until the next request to a destination may start.",
        is_gauge=True,
    ),
    "in_flight": Metric(
        "capybeam_requests_in_flight",
        ("destination",),
        "Requests that are on their way or wait for their next try.",
        is_gauge=True,
    ),
    "share": Metric("capybeam_input_share", (), "Share of the input that has been read, 0 to 1.", is_gauge=True),
    "input_bytes": Metric("capybeam_input_bytes", (), "Bytes of the input's files, as they are stored.", is_gauge=True),
    "started": Metric("capybeam_start_time_seconds", (), "When the run started, Unix seconds.", is_gauge=True),
}
"""Of what is so now, and no counter of Beam's."""

_STAGES: Final = frozenset(get_args(Stage))
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class RunCollector:
    """Makes Prometheus' metrics of a run's counts when they are asked for."""

    def __init__(self, watched: Watched, job: Job, started: float) -> None:
        self._watched, self._started = watched, started
        self._subscriptions = frozenset(subscription.key for subscription in job.subscriptions)
        self._closed: Mapping[tuple[Label, ...], Sequence[tuple[str, ...]]] = {
            (): [()],
            ("destination",): [(name,) for name in watched.destinations],
            _OF_CONVERSIONS: [split_key(subscription.key) for subscription in job.subscriptions],
        }
        self._notes: set[str] = set()

    def collect(self) -> Iterator[Any]:
        counts = self._watched.progress.counts()
        yield from self._of_counters(counts)
        yield from self._of_now(counts)

    def _of_counters(self, counts: Mapping[str, int]) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        values: dict[CounterKind, Counter[tuple[str, ...]]] = {kind: Counter() for kind in METRICS}
        for name, count in counts.items():
            key = CounterKey.decode(name)
            if key is not None and key.kind in METRICS:
                metric = METRICS[key.kind]
                values[key.kind][tuple(self._label(key, label) for label in metric.labels)] += count
        for kind, metric in METRICS.items():
            family = GaugeMetricFamily if metric.is_gauge else CounterMetricFamily
            found = family(metric.name, metric.help, labels=metric.labels)
            if not metric.is_gauge:
                for labels in self._closed.get(metric.labels, ()):
                    values[kind][labels] += 0  # so that the first count is an increase
            for labels, count in values[kind].items():
                found.add_metric(labels, count)
            yield found

    def _label(self, key: CounterKey, label: Label) -> str:
        if label == "destination":
            name = key.destination or split_key(key.subscription)[0]
            return name if name in self._watched.destinations or not name else OTHER
        if label == "subscription":
            is_known = key.subscription in self._subscriptions or not key.subscription
            return split_key(key.subscription)[1] if is_known else OTHER
        if label == "stage":
            return key.stage if key.stage in _STAGES else OTHER
        if label == "code":
            return key.detail if key.detail in CODES else OTHER
        return self._word(key.detail)

    def _word(self, text: str) -> str:
        """A note or an answer, whose names are the program's own."""
        if text not in self._notes and (len(self._notes) >= MOST_NOTES or not _WORD.fullmatch(text)):
            return OTHER
        self._notes.add(text)
        return text

    def _of_now(self, counts: Mapping[str, int]) -> Iterator[Any]:
        import time

        progress, size = self._watched.progress, self._watched.size
        destinations = {name: progress.state(name) for name in self._watched.destinations}
        yield _gauge("info", {(__version__,): 1}, ("version",))
        yield _gauge("started", {(): self._started})
        states: dict[tuple[str, ...], float] = {
            (name, state): float(status.state == state)
            for name, status in destinations.items()
            for state in get_args(State)
        }
        yield _gauge("state", states, ("state",))
        now = time.time()
        yield _gauge(
            "pause",
            {(name,): max(0.0, status.until - now) if status.until else 0.0 for name, status in destinations.items()},
        )
        yield _gauge("in_flight", {(name,): progress.load(name) for name in destinations})
        share = self._watched.share(counts.get("read", 0))
        yield _gauge("share", {} if share is None else {(): share})
        yield _gauge("input_bytes", {} if size.bytes is None else {(): size.bytes})


def _gauge(name: str, values: Mapping[tuple[str, ...], float], more_labels: Collection[str] = ()) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    metric = GAUGES[name]
    found = GaugeMetricFamily(metric.name, metric.help, labels=(*metric.labels, *more_labels))
    for labels, value in values.items():
        found.add_metric(labels, value)
    return found


class MetricsServer(NamedTuple):
    """Serves what is registered with it.

    Attributes:
        url: where.
        registry: of prometheus-client.
    """

    url: str
    registry: Any


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``PORT`` or ``HOST:PORT``. Raises BadAddress.

    >>> parse_address("9464"), parse_address("0.0.0.0:9464"), parse_address("[::1]:9464")
    (('127.0.0.1', 9464), ('0.0.0.0', 9464), ('::1', 9464))
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    is_number = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if not is_number or (":" in text and not host) or (":" in host and not text.startswith("[")):
        raise BadAddress(f"--metrics {text}: is not PORT or HOST:PORT, for example 9464 or {HOST}:9464")
    return host or HOST, int(port)


@contextlib.contextmanager
def serve_metrics(address: str | None, options: RunOptions) -> Iterator[MetricsServer | None]:
    """Serves metrics at an address, if one is given. Raises BadAddress.

    Only the process that counts can serve them: workers elsewhere have their runner's metrics.
    """
    if address is None:
        yield None
        return
    host, port = parse_address(address)
    if not options.is_local:
        raise BadAddress(
            f"--metrics is for runs on this machine; {options.runner} has the same counters among its own metrics"
        )
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such host"
        raise BadAddress(f"--metrics {address}: cannot listen there: {reason}") from None
    shown = f"[{host}]" if ":" in host else host
    try:
        yield MetricsServer(f"http://{shown}:{server.server_port}/metrics", registry)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
