"""The groups of a report by the names of events, of which there may be any number: the frequent ones are told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from capybeam.pipeline.initial_job import LONGEST_NAME, is_nameable
from capybeam.pipeline.quality_report.bounded import Frequent
from capybeam.pipeline.quality_report.groups import GroupCounts
from capybeam.pipeline.quality_report.numbers import OTHERS
from capybeam.transforms.core.events import Event
from capybeam.transforms.meta.masking import Mask, shape

MOST_GROUPS: Final = 200  # that are counted apart
MOST_CALLED: Final = 2_000  # names of events that are remembered, and as many that may become frequent
TIMES_MORE: Final = 2  # than the rarest group a name has to be there to take its place
NO_NAME: Final = "(no name)"
ANOTHER_TYPE: Final = "(another type)"
_OURS: Final = frozenset({NO_NAME, ANOTHER_TYPE})

Name = tuple[str, str]  # of a destination; and of an event, as it is shown or as events have it


class GroupsByName:
    """Groups by destination and event name.

    As long as there is room, each name has a group of its own. Later names are counted among `OTHERS` until they are
    twice as frequent as the rarest group. That one goes to `OTHERS` then; what was counted there of the new one stays
    there, and its group says how many these are (`earlier`). Names take places from each other a few times at most:
    each time takes twice as many conversions.

    Args:
        moved: is called with a group that goes, and the one that it is counted with from then on.
    """

    def __init__(self, moved: Callable[[GroupCounts, GroupCounts], None]) -> None:
        self._moved = moved
        self._groups: dict[Name, GroupCounts] = {}  # by names as they are shown
        self._others: dict[str, GroupCounts] = {}  # by destination
        self._known: dict[Name, Name] = {}  # names as events have them, the last used one last
        self._waiting: Frequent[Name] = Frequent(MOST_CALLED)
        self._least = 0  # the rarest group has as many at least

    def of(self, destination: str, name: Any, event: Event) -> GroupCounts:
        """The group of an event with this name."""
        cut = name[: LONGEST_NAME + 1] if isinstance(name, str) and name else NO_NAME
        called = (destination, cut)
        at = self._known.pop(called, None)
        if at is not None:
            self._known[called] = at
        elif len(self._known) < MOST_CALLED:
            at = self._known[called] = (destination, _shown(cut, event))
        elif not is_nameable(cut) and cut not in _OURS:
            at = (destination, shape(cut))
        if at is None:  # finding out whether a name may be somebody's takes longer than all the rest
            return self._waits(called, event)
        group = self._groups.get(at)
        if group is None and len(self._groups) < MOST_GROUPS:
            group = self._groups[at] = GroupCounts()
        return group or self._waits(at, event)

    def _waits(self, name: Name, event: Event) -> GroupCounts:
        """The group of a name that has none, or of which that is not known."""
        destination, cut = name
        count = self._waiting.add(name)
        if count >= max(2, TIMES_MORE * self._least):
            rarest = min(self._groups, key=lambda each: self._groups[each].frequency)
            self._least = self._groups[rarest].frequency if len(self._groups) >= MOST_GROUPS else 0
            if count >= TIMES_MORE * self._least:
                self._waiting.take(name)
                if len(self._known) >= MOST_CALLED:
                    del self._known[next(iter(self._known))]
                at = self._known[name] = (destination, _shown(cut, event))
                if at not in self._groups:
                    if len(self._groups) >= MOST_GROUPS:
                        self._goes(rarest)
                    self._groups[at] = GroupCounts(earlier=count - 1)
                return self._groups[at]
        return self._others.setdefault(destination, GroupCounts())

    def _goes(self, name: Name) -> None:
        group = self._groups.pop(name)
        others = self._others.setdefault(name[0], GroupCounts())
        others.merge(group)
        self._moved(group, others)
        self._waiting.add(name, group.frequency)

    def items(self) -> Iterator[tuple[Name, GroupCounts]]:
        """All groups, those of `OTHERS` last."""
        yield from self._groups.items()
        yield from (((destination, OTHERS), group) for destination, group in self._others.items())


def _shown(name: str, event: Event) -> str:
    """An event's name as it may be seen: cut where it is long, by its shape where it may be somebody's."""
    cut = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    if name in _OURS or (is_nameable(cut) and not Mask(event).is_personal(cut)):
        return cut
    return shape(cut)
