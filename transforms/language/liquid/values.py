"""What values are in a template as LiquidJS has it: their text, their truth, how they compare, what stands below them.

LiquidJS takes most of it from JavaScript (`javascript`) and adds three literals that stand for more than one value:
``nil``, ``empty`` and ``blank``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING

Evaluate = Callable[["Rendering"], Any]

ROOM: Final = 10_000
"""Characters and list items that one rendering may make, over the following."""

ROOM_PER_CHARACTER: Final = 16
"""The same for each character of the event. A template has no loops: only one that multiplies text needs more."""

WORTH_COUNTING: Final = 200
"""Characters. Shorter results are not counted: a template of 1000 characters has room for a hundred of them at most."""


class Literal:
    """nil, empty or blank: `equals` is its ``==``, and `value` what it stands for everywhere else."""

    __slots__ = ("equals", "value")

    def __init__(self, value: Any, equals: Callable[[Any], bool]) -> None:
        self.value, self.equals = value, equals


def _is_nil(value: Any) -> bool:
    value = plain(value)
    return value is None or value is MISSING


def _is_empty(value: Any) -> bool:
    if value is EMPTY or value is BLANK:
        return False
    value = plain(value)
    return type(value) in (str, list, dict) and not value


def _is_blank(value: Any) -> bool:
    if value is False or _is_nil(value):
        return True
    return not value.strip(javascript.SPACE) if type(value) is str else _is_empty(value)


NIL: Final = Literal(None, _is_nil)
EMPTY: Final = Literal("", _is_empty)
BLANK: Final = Literal("", _is_blank)


def plain(value: Any) -> Any:
    """The value itself, where it may be a literal."""
    return value.value if type(value) is Literal else value


def shown(value: Any) -> str:
    """The text that ``{{ value }}`` writes. A list is written without anything between its items."""
    kind = type(value)
    if kind is str:
        return str(value)
    if value is None or value is MISSING:
        return ""
    if kind is list:
        return "".join(map(shown, value))
    return shown(value.value) if kind is Literal else javascript.text(value)


def numeric(value: Any) -> float:
    """A value as a filter of numbers takes it: what is not a number is 0."""
    kind = type(value)
    number = float(value) if kind is int or kind is float else javascript.number(plain(value))
    return number if number == number else 0.0


def is_true(value: Any) -> bool:
    """All is true but false, null and what is missing: 0 and "" are true as well."""
    value = plain(value)
    return not (value is False or value is None or value is MISSING)


def as_list(value: Any) -> list[Any]:
    value = plain(value)
    if type(value) is list:
        return value
    return [] if value is None or value is MISSING else [value]


def equal(left: Any, right: Any) -> bool:
    """``left == right``: without conversions, so that 1 is neither "1" nor true. Objects equal only themselves."""
    if type(left) is Literal:
        return bool(left.equals(right))
    if type(right) is Literal:
        return bool(right.equals(left))
    kind = type(left)
    if kind is list:
        return type(right) is list and len(left) == len(right) and all(map(equal, left, right))
    if kind is dict or left is None or left is MISSING:
        return left is right
    if kind is bool or type(right) is bool:
        return left is right
    return bool(left == right)


def less(left: Any, right: Any, or_equal: bool) -> bool:
    """``left < right`` or ``left <= right``: two texts by their characters, all else as numbers. Literals never are."""
    if type(left) is Literal or type(right) is Literal:
        return False
    if or_equal:
        return javascript.less(right, left) is False
    return javascript.less(left, right) is True


def contains(whole: Any, part: Any) -> bool:
    """``whole contains part``: an item of a list or a piece of a text."""
    whole = plain(whole)
    if type(whole) is list:
        return any(equal(item, part) for item in whole)
    return type(whole) is str and javascript.text(plain(part)) in whole


def below(value: Any, key: Any) -> Any:
    """What stands at a key or position of a value, with ``size``, ``first`` and ``last``; or `MISSING`."""
    if value is None or value is MISSING:
        return value
    kind = type(value)
    if type(key) is Literal:
        key = key.value
    if kind is dict:
        name = key if type(key) is str else javascript.text(key)
        found = value.get(name, MISSING)
        return len(value) if found is MISSING and key == "size" else found
    if kind is list:
        if type(key) is int or type(key) is float:
            return _item(value, len(value) + key if key < 0 else key)
        if key in ("size", "length"):
            return len(value)
        if key == "first":
            return _item(value, 0)
        return _item(value, len(value) - 1 if key == "last" else _position(key))
    if kind is str:
        if key in ("size", "length"):
            return javascript.length(value)
        return _item(javascript.units(value), key if type(key) is int or type(key) is float else _position(key))
    return MISSING


def _item(values: Any, position: float) -> Any:
    if 0 <= position < len(values) and position == int(position):
        return values[int(position)]
    return MISSING


def _position(key: Any) -> int:
    """The position that a text names as JavaScript does, "0" and not "00"; -1 for none."""
    text = javascript.text(key)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and str(int(text)) == text else -1


# --- one rendering ----------------------------------------------------------------------------------------------


class Room:
    """How much may still be made of an event."""

    __slots__ = ("_event", "_left", "_size")

    def __init__(self, event: Any) -> None:
        self._event = event
        self._left: float = ROOM
        self._size = 0  # of the event, once it is known: measuring takes time, and hardly any template needs it

    def take(self, count: float) -> None:
        """Says that so many characters or items are about to be made, or have been.

        Raises:
            Rejected: template_failed, where that is more than a template may make of such an event.
        """
        self._left -= count
        if self._left < 0 and not self._size:
            self._size = size(self._event)
            self._left += ROOM_PER_CHARACTER * self._size
        if not self._left >= 0:
            raise Rejected("template_failed", "The Liquid template makes too much text of this event.")

    def pass_on(self, count: int) -> None:
        """The same for a filter's result. One that is not longer than the event costs nothing."""
        if count > self._size:
            self.take(count)


class Rendering:
    """The event, and what the template has assigned and counted so far."""

    __slots__ = ("counters", "cycles", "event", "room", "scope", "stopped")

    def __init__(self, event: Any, room: Room | None = None) -> None:
        self.event = event
        self.room = room or Room(event)
        self.scope: dict[str, Any] = {}
        self.counters: dict[str, float] = {}
        self.cycles: dict[Any, int] = {}
        self.stopped = False  # by {% break %} or {% continue %}

    def counted(self, name: str) -> float:
        """The number that {% increment %} and {% decrement %} go on from: the event's own, or 0."""
        count = self.counters[name] if name in self.counters else below(self.event, name)
        return count if type(count) in (int, float) else 0

    def root(self, name: Any) -> Any:
        """What a name stands for: what was assigned to it, what was counted, or what the event has there."""
        if type(name) is not str:
            name = javascript.text(plain(name))
        if name in self.scope:
            return self.scope[name]
        if name in self.counters:
            return self.counters[name]
        if type(self.event) is dict and name in self.event:
            return self.event[name]
        return 0 if name == "size" else MISSING


def size(value: Any) -> int:
    """How much there is of a value: the characters of its texts and keys, and 8 for whatever else is in it."""
    total = 0
    waiting = [[value]]
    while waiting:
        parts = waiting.pop()
        total += 8 * len(parts)
        for part in parts:
            if type(part) is str:
                total += len(part)
            elif type(part) is list:
                waiting.append(part)
            elif type(part) is dict:
                waiting.append(list(part.values()))
                total += sum(map(len, part))
    return total
