"""One pass over the rows of an input, as `map` makes it: what becomes of each event, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import orjson

from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.quality_report.bounded import MOST_IDS, BoundedCounter, RepeatedIds
from capybeam.pipeline.quality_report.changes import Changes
from capybeam.pipeline.quality_report.groups import PURCHASE, GroupCounts
from capybeam.pipeline.quality_report.meta_events import MetaEvent, meta_event
from capybeam.pipeline.quality_report.names import ANOTHER_TYPE, GroupsByName
from capybeam.pipeline.quality_report.numbers import OTHERS, Counted, Group, JobNumbers
from capybeam.pipeline.quality_report.shapes import ShapeFinder
from capybeam.pipeline.sample_paths import Keys, paths_of
from capybeam.transforms.core.conversions import Conversion, ignore, split_key
from capybeam.transforms.core.envelope import Envelope
from capybeam.transforms.core.events import Event, event_id
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.recent_ids import repeat_key
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine, Filtered, Refused, Withheld

SHOWN_GROUPS: Final = 40  # of a report
_MOST_REASONS: Final = 200
_SHOWN_NAMES: Final = 10
ALL_PATHS_OF: Final = 2_000  # events; of later ones one in `ONE_IN`, as finding paths takes as long as all the rest
ONE_IN: Final = 16


class Collector:
    """Counts what a job makes of an input.

    Args:
        now: Unix seconds, for the age limits.
        most_ids: how many event_ids are remembered.
    """

    def __init__(self, job: Job, now: float, most_ids: int = MOST_IDS) -> None:
        self._job, self._now = job, now
        self._engine = Engine(job.subscriptions, job.delivery.max_batch_bytes, job.unwrap)
        self._finders = {each.key: ShapeFinder(each) for each in job.subscriptions}
        self._changes = Changes(job.subscriptions)
        self._ids = RepeatedIds(most_ids)
        self._groups = GroupsByName(self._ids.move)
        self._filtered = GroupsByName(lambda *_: None)  # of these only the numbers matter
        self._unreadable: BoundedCounter[str] = BoundedCounter(_MOST_REASONS)
        self._withheld: BoundedCounter[str] = BoundedCounter(_MOST_REASONS)
        self._random = Random(7)  # which events' paths are counted: the same ones each time
        self._events = self._taken = 0
        self._notes: list[str] = []

    # --- counting -----------------------------------------------------------------------------------------------------

    def add(self, row: Row) -> None:
        """Counts what becomes of a row."""
        for found in self._engine.parse(row, ignore):
            if isinstance(found, Rejected):
                self._unreadable.add(found.code)
            else:
                self._add_event(found)

    def _add_event(self, event: Event) -> None:
        self._events += 1
        paths: Mapping[Keys, bool] | None = None
        weight = -1  # not known yet
        for outcome in self._engine.conversions(event):
            if isinstance(outcome, Filtered):
                self._filtered.of("", _called(event), event).conversions += 1
                continue
            if isinstance(outcome, Withheld):
                self._withheld.add(outcome.answer)
                continue
            if weight < 0:
                weight = self._weight()
                paths = paths_of(event) if weight else None
            if isinstance(outcome, Refused):
                self._refuse(outcome, event)
                continue
            keys = self._convert(event, outcome)
            if paths is not None and keys is not None:
                self._changes.add(outcome.subscription, paths, keys, weight)

    def _weight(self) -> int:
        """How many events the paths of the next one stand for; 0 where they are not looked at."""
        self._taken += 1
        if self._taken <= ALL_PATHS_OF:
            return 1
        return ONE_IN if self._random.random() * ONE_IN < 1 else 0

    def _convert(self, event: Event, conversion: Conversion) -> tuple[str, ...] | None:
        """Counts a conversion; gives back its match keys, where they are known."""
        notes = self._notes
        notes.clear()
        result = self._engine.ready(conversion, self._now, notes.append)
        if isinstance(result, Refused):
            group, sent = self._refuse(result, event)
        else:
            envelope = Envelope.decode(result.line)
            group = self._group(conversion.subscription, envelope.event_name, event)
            group.conversions += 1
            group.ready += 1
            sent = self._examine(group, orjson.loads(envelope.body), envelope.event_name, event)
            self._ids.add(group, repeat_key(result.key, result.line))
        keys = None if sent is None else sent.keys
        for name in dict.fromkeys(notes):
            wanted = group.note(name, keys)
            if wanted is not None:
                wanted.add(self._finders[conversion.subscription].dropped(name, event))
        return keys

    def _examine(self, group: GroupCounts, body: Any, name: Any, event: Event) -> MetaEvent | None:
        """Counts what an event as it goes out has, where it has the form of Meta's."""
        sent = meta_event(body)
        if sent is not None:
            group.examine(sent, _is_derived(event, sent.event_id), self._now)
            if name == PURCHASE:
                group.purchase(sent.data)
        return sent

    def _refuse(self, refused: Refused, event: Event) -> tuple[GroupCounts, MetaEvent | None]:
        """Counts a rejection."""
        stage, cause, key, conversion, payload = refused
        body = payload if stage == "validate" and isinstance(payload, dict) else None
        name = (body.get("event_name") if body else None) or (conversion.event_name if conversion else None)
        group = self._group(key, name, event)
        group.conversions += 1
        finder = self._finders.get(key)
        wanted = group.reject((stage, cause.code, cause.field), cause.message)
        if wanted is not None and finder is not None:
            wanted.add(finder.refused(cause.field, event))
        sent = self._examine(group, body, name, event)
        if sent is None and name == PURCHASE and finder is not None:
            group.purchase(finder.values.of(event))
        return group, sent

    def _group(self, key: str, name: Any, event: Event) -> GroupCounts:
        destination, subscription = split_key(key) if key else ("", "")
        group = self._groups.of(destination, name, event)
        if subscription:
            group.subscriptions.add(subscription)
        return group

    # --- what came of it ----------------------------------------------------------------------------------------------

    def numbers(self, config: str) -> JobNumbers:
        """All that was counted.

        Args:
            config: what the job file is called.
        """
        groups = list(self._shown_groups())
        filtered = Counter({name: group.conversions for (_, name), group in self._filtered.items()})
        return JobNumbers(
            config=config,
            events=self._events,
            unreadable=_counted(self._unreadable),
            filtered=filtered.total(),
            filtered_names=_most_frequent(filtered),
            withheld=_counted(self._withheld),
            conversions=sum(group.conversions for group in groups),
            ready=sum(group.ready for group in groups),
            rejected=sum(group.rejected for group in groups),
            groups=tuple(groups),
            changes=self._changes.best(dict(self._groups.items()), is_estimate=self._taken > ALL_PATHS_OF),
        )

    def _shown_groups(self) -> list[Group]:
        ordered = sorted(self._groups.items(), key=lambda item: (item[0][1] == OTHERS, -item[1].frequency, item[0]))
        shown: dict[tuple[str, str], list[GroupCounts]] = {}
        for place, (at, counts) in enumerate(ordered):
            shown.setdefault(at if place < SHOWN_GROUPS else (at[0], OTHERS), []).append(counts)
        groups = []
        for (destination, name), parts in shown.items():
            repeats = sum(map(self._ids.repeats, parts))
            whole = parts[0]
            if len(parts) > 1:
                whole = GroupCounts()
                for part in parts:
                    whole.merge(part)
            groups.append(whole.numbers(destination, name, repeats, self._ids.sampled))
        places = {each.name: place for place, each in enumerate(self._job.destinations)}
        return sorted(groups, key=lambda each: (places.get(each.destination, -1), each.event_name == OTHERS))


_CALLS: Final = ("page", "identify", "screen", "group", "alias", "track")


def _called(event: Event) -> str:
    """The type of an event that is filtered, or a track call's name."""
    kind, name = event.get("type"), event.get("event")
    if kind == "track" and isinstance(name, str) and name:
        return name
    return kind if isinstance(kind, str) and kind in _CALLS else ANOTHER_TYPE


def _counted(counter: BoundedCounter[str]) -> tuple[Counted, ...]:
    found = [Counted(name, number) for name, number in counter.most_common()]
    return (*found, Counted(OTHERS, counter.others)) if counter.others else tuple(found)


def _most_frequent(counts: Counter[str]) -> tuple[Counted, ...]:
    named = sorted((name for name in counts if name != OTHERS), key=lambda name: (-counts[name], name))[:_SHOWN_NAMES]
    others = counts.total() - sum(counts[name] for name in named)
    return (*(Counted(name, counts[name]) for name in named), *([Counted(OTHERS, others)] if others else []))


def _is_derived(event: Event, given: str | None) -> bool:
    """Whether an event_id was made of the event's content, as there was no messageId."""
    message_id = event.get("messageId")
    if given is None or given == message_id or len(given) != _DERIVED:
        return False
    return given == event_id(event) and given != str(message_id)


_DERIVED: Final = 32  # characters
