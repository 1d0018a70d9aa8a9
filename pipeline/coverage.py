"""What a job makes of a sample of events: subscriptions that take none, paths that are never there, fields that would
be missing, traits that are mapped nowhere, actions that would take more. Findings hold paths and counts, never a value
of an event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.job.presets import presets
from capybeam.pipeline.job.problems import Finding, Severity, dotted
from capybeam.pipeline.job.yaml_source import Document, Loc, value_at
from capybeam.pipeline.proposed_actions import proposed_action
from capybeam.pipeline.sample_paths import ITEM, Keys, PathCounts, paths_of
from capybeam.pipeline.sample_paths import dotted as dotted_path
from capybeam.transforms.core.conversions import Conversion, ignore
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.core.rejections import CODES, Rejected, as_rejected
from capybeam.transforms.engine.engine import Engine, Filtered, Refused, Withheld
from capybeam.transforms.language.inspection import Chain, Lookup, Text, finds, inspect_mapping
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.language.mappings import paths as mapping_paths
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.standards.javascript import MISSING

Rejection = tuple[str, str]  # its code and its message

MOST_UNMAPPED: Final = 30  # paths that are named
MOST_REJECTIONS: Final = 20  # of a subscription that are told apart
_OWN: Final = (("properties",), ("traits",), ("context", "traits"))  # what users put into events


class Coverage:
    """What becomes of the events of a sample, counted.

    Attributes:
        events: how many there have been.
        matched: how many of them a subscription takes.
    """

    def __init__(self, job: Job, document: Document) -> None:
        self._document = document
        self._engine = Engine(job.subscriptions, job.delivery.max_batch_bytes, job.unwrap)
        self._subscriptions = {
            subscription.key: _OfSubscription(subscription, _place_of(subscription, job, document), document)
            for subscription in job.subscriptions
        }
        self._unreadable: Counter[str] = Counter()
        self._paths = PathCounts()
        self._not_taken: Counter[str] = Counter()  # by the events' names
        self.events = self.matched = 0

    def add(self, row: Row) -> None:
        """Counts what a row holds."""
        for found in self._engine.parse(row, ignore):
            if isinstance(found, Rejected):
                self._unreadable[found.code] += 1
            else:
                self._add_event(found)

    def _add_event(self, event: Event) -> None:
        self.events += 1
        conversions: dict[str, Conversion | Refused] = {}
        for outcome in self._engine.conversions(event):
            if isinstance(outcome, Withheld):
                if outcome.subscription in self._subscriptions:
                    self._subscriptions[outcome.subscription].withheld[outcome.answer] += 1
            elif not isinstance(outcome, Filtered):
                conversions.setdefault(outcome.subscription, outcome)
            elif event.get("type") == "track" and isinstance(event.get("event"), str):
                self._not_taken[event["event"]] += 1
        if not conversions:
            return
        self.matched += 1
        paths = paths_of(event)
        self._paths.add(paths)
        for key, outcome in conversions.items():
            if key in self._subscriptions:
                self._subscriptions[key].add(event, outcome, paths, self._engine)

    def findings(self, name: str) -> Iterator[Finding]:
        """All that is to be said of the sample.

        Args:
            name: what the sample is called.
        """
        for code, count in sorted(self._unreadable.items()):
            said = f"{count:,} {'row is not an event' if count == 1 else 'rows are not events'}"
            yield self._finding((), "warning", f"{name}: {said}, {code}: {CODES.get(code, '')}")
        for each in self._subscriptions.values():
            for loc, severity, message in each.findings(self.events):
                yield self._finding(loc, severity, message)
        yield from self._proposals()
        unmapped = sorted(self._unmapped(), key=lambda found: (-found[1], found[0]))
        if unmapped:
            named = ", ".join(f"{dotted_path(keys)} ({count:,})" for keys, count in unmapped[:MOST_UNMAPPED])
            more = f" and {len(unmapped) - MOST_UNMAPPED} more" if len(unmapped) > MOST_UNMAPPED else ""
            yield self._finding(("destinations",), "info", f"mapped nowhere, of {self.matched:,} events: {named}{more}")

    def _proposals(self) -> Iterator[Finding]:
        """Actions that no destination has a subscription to, for events that are called as theirs are."""
        names = [each.event_name for each in self._subscriptions.values()]
        counts: Counter[str] = Counter()
        for name, count in self._not_taken.items():
            counts[proposed_action("track", name)] += count
        for action, count in sorted(counts.items()):
            if action and presets()[action].event_name not in names:
                message = (
                    f"{_counted(count, 'event')} taken by no subscription, by the name meant for `action: {action}`,"
                    f" which sends {presets()[action].event_name}"
                )
                yield self._finding(("destinations",), "info", message)

    def _unmapped(self) -> Iterator[tuple[Keys, int]]:
        used = frozenset(prefix for each in self._subscriptions.values() for prefix in each.used)
        for keys, count in self._paths.leaves():
            is_own = any(keys[: len(root)] == root for root in _OWN)
            if is_own and not is_mapped(keys, used):
                yield keys, count

    def _finding(self, loc: Loc, severity: Severity, message: str) -> Finding:
        line, column = self._document.position(loc)
        return Finding(self._document.source, line, column, severity, f"{dotted(loc)} {message}".strip())


class _OfSubscription:
    """The counts of one subscription.

    Attributes:
        event_name: at Meta, or the mapping of it.
        used: the paths that its mapping looks up.
        withheld: events that its trigger takes and that have no consent, by what they say.
    """

    def __init__(self, subscription: Subscription, loc: Loc, document: Document) -> None:
        self._subscription, self._loc = subscription, loc
        self.event_name = subscription.mapping.get("event_name")
        own = value_at(document.data, (*loc, "mapping"))
        self._own: Mapping[str, Any] = own if isinstance(own, dict) else {}
        preset = presets().get(str(value_at(document.data, (*loc, "action"))))
        self._defaults: Mapping[str, Any] = preset.defaults if preset else {}
        self.withheld: Counter[str] = Counter()
        self._values = MappedValues(subscription)
        inspected = list(inspect_mapping(subscription.mapping))
        lookups = [each for each in inspected if isinstance(each, Lookup) and each.chain[0]]
        self._with_constants = {_field_of(each.place) for each in inspected if isinstance(each, Text)}
        self._lookups = {each.place: each for each in lookups}
        self._found: set[Chain] = set()
        self._chains = {each.chain for each in lookups}
        self._missing: Counter[str] = Counter()
        self._rejected: Counter[Rejection] = Counter()
        self._paths = PathCounts()
        self._matched = 0
        self.used = mapped_paths(subscription)

    def add(self, event: Event, outcome: Conversion | Refused, paths: dict[Keys, bool], engine: Engine) -> None:
        self._matched += 1
        self._paths.add(paths)
        self._found.update([chain for chain in self._chains - self._found if finds(event, chain)])
        if isinstance(outcome, Refused):
            self._reject(outcome.cause)
            return
        cause = _rejection(outcome, engine)
        if cause is None:
            return
        if cause.code == "missing_required_field":
            self._missing.update(self._values.missing(event, outcome.event_name))
        else:
            self._reject(cause)

    def _reject(self, cause: Rejected) -> None:
        """Counts a rejection by its message, which names the field and no value; by its code where they are many."""
        found = (cause.code, cause.message)
        if found not in self._rejected and len(self._rejected) >= MOST_REJECTIONS:
            found = (cause.code, CODES.get(cause.code, ""))
        self._rejected[found] += 1

    def findings(self, events: int) -> Iterator[tuple[Loc, Severity, str]]:
        name = self._subscription.key
        withheld = sum(self.withheld.values())
        if withheld:
            taken = _counted(self._matched + withheld, "event")
            said = ", ".join(f"{answer} {count:,}" for answer, count in sorted(self.withheld.items()))
            message = f"{withheld:,} of {taken} would be filtered, for they have no consent: {said}"
            yield self._loc, "info" if self._matched else "warning", f"{name}: {message}"
        elif not self._matched:
            yield self._loc, "warning", f"{name} takes none of the {_counted(events, 'event')}"
        if not self._matched:
            return
        for field, count in sorted(self._missing.items()):
            message = f"{field}, which is required, would be missing in {count:,} of {_counted(self._matched, 'event')}"
            yield self._loc, "warning", f"{name}: {message}"
        for (code, why), count in sorted(self._rejected.items()):
            message = f"{count:,} of {_counted(self._matched, 'event')} would be rejected, {code}: {why}"
            yield self._loc, "warning", f"{name}: {message}"
        yield from self._never_there()

    def _never_there(self) -> Iterator[tuple[Loc, Severity, str]]:
        fields: dict[tuple[str | int, ...], list[Lookup]] = {}
        for lookup in self._lookups.values():
            fields.setdefault(_field_of(lookup.place), []).append(lookup)
        empty: list[str] = []
        for field, lookups in fields.items():
            absent = [each for each in lookups if each.chain not in self._found]
            if self._is_default(field):
                if len(absent) == len(lookups) and field not in self._with_constants:
                    empty.append(".".join(map(str, field)))
                continue
            severity: Severity = "warning" if len(absent) == len(lookups) else "info"
            for each in absent:
                yield (*self._loc, "mapping", *each.place), severity, self._said_of(each)
        if empty:
            message = f"the default mapping finds nothing for {', '.join(empty)}"
            yield self._loc, "info", f"{self._subscription.key}: {message}"

    def _is_default(self, field: tuple[str | int, ...]) -> bool:
        """Whether a part of the mapping is the default's, also where the job file repeats it to change another part."""
        whole, part = (value_at(self._own, keys) for keys in (field[:1], field))
        return field[0] not in self._own or any(
            node is not None and node == value_at(self._defaults, keys)
            for node, keys in ((whole, field[:1]), (part, field))
        )

    def _said_of(self, lookup: Lookup) -> str:
        keys = _keys_of(lookup.chain)
        near = [f"{dotted_path(found)} ({count:,})" for found, count in self._paths.nearest(keys)]
        hint = f"; nearest: {', '.join(near)}" if near else ""
        taken = f"{_counted(self._matched, 'event')} that {self._subscription.key} takes"
        return f"{dotted_path(keys)} is in none of the {taken}{hint}"


class MappedValues:
    """What a subscription's mapping finds in an event, before anything is checked or converted."""

    def __init__(self, subscription: Subscription) -> None:
        self._map = compile_mapping({n: node for n, node in subscription.mapping.items() if n != "event_name"})
        self._required = [field.name for field in subscription.fields if field.required and field.name != "event_name"]

    def of(self, event: Event) -> Mapping[str, Any] | None:
        """By field; None where the mapping cannot be applied."""
        try:
            values = self._map(event)
        except Rejected:
            return None
        return values if isinstance(values, dict) else {}

    def missing(self, event: Event, event_name: Any) -> Iterator[str]:
        """The required fields that have no value."""
        if is_nothing(event_name):
            yield "event_name"
        values = self.of(event)
        if values is not None:
            yield from (name for name in self._required if is_nothing(values.get(name)))


def is_nothing(value: Any) -> bool:
    """Whether a required field has no value."""
    return value is None or value is MISSING or value == ""


def mapped_paths(subscription: Subscription) -> frozenset[Keys]:
    """The paths that a subscription looks up in an event."""
    inspected = inspect_mapping(subscription.mapping)
    used = {_keys_of(each.chain) for each in inspected if isinstance(each, Lookup) and each.kind != "@arrayPath"}
    if subscription.routing:
        used.update(map(parse_path, mapping_paths(subscription.routing.mapping)))
    if subscription.value_fallback:
        used.add(parse_path(subscription.value_fallback))
    return frozenset(used)


def is_mapped(keys: Keys, used: frozenset[Keys]) -> bool:
    """Whether a path is looked up, or is inside of what is."""
    return any(keys[:length] in used for length in range(len(keys) + 1))


def _rejection(conversion: Conversion, engine: Engine) -> Rejected | None:
    """Why a conversion would be rejected, if it were sent right when it happened: a sample may be old."""
    try:
        mapped = engine.map(conversion, ignore)
        hashed = engine.hash(mapped, ignore)
        at = hashed.fields.get("event_time")
        engine.validate(hashed, float(at) if isinstance(at, (int, float)) else 0.0, ignore)
    except Exception as error:  # as in the steps
        return as_rejected(error)
    return None


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _field_of(place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The field, or the field of an object, that a part of a mapping belongs to."""
    field, *inner = place
    if inner[:2] == ["@arrayPath", 1]:
        inner = inner[2:]
    named = inner[:1]
    return (field, *named) if named and isinstance(named[0], str) and not named[0].startswith("@") else (field,)


def _keys_of(chain: Chain) -> Keys:
    first, *others = chain
    keys = list(first)
    for part in others:
        keys += [ITEM, *part]
    return tuple(ITEM if key.isdecimal() else key for key in keys)


def _place_of(subscription: Subscription, job: Job, document: Document) -> Loc:
    """Where a subscription is in the job file: its entry, its event in a map of events, or else its destination."""
    index = [destination.name for destination in job.destinations].index(subscription.destination)
    destination: Loc = ("destinations", index)
    listed = value_at(document.data, (*destination, "subscriptions"))
    for position, entry in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(entry, dict) and (entry.get("name") or entry.get("action")) == subscription.name:
            return (*destination, "subscriptions", position)
    setting, _, event = subscription.name.partition(": ")
    by_name: Loc = (*destination, setting, event)
    return by_name if event and by_name in document.keys else destination
