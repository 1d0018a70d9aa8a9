"""An event on its way to a destination, before it is encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from capybeam.transforms.core.events import Event


class Conversion(NamedTuple):
    """An event on its way to one dataset. `event` is None from hashing on: no raw personal data exists then."""

    subscription: str
    event_name: Any
    dataset_id: str
    event: Event | None
    fields: dict[str, Any]


class Hashed(Conversion):
    """A conversion as the hash stage has made it: what has to be hashed in it is. Nothing else makes one."""

    __slots__ = ()


new_tuple: Final = tuple.__new__
"""Makes a named tuple of a tuple, ``new_tuple(Ready, (…))``, in a third of the time that its own constructor takes."""

Count = Callable[[str], None]
"""Called with the name of what is left out of an event that goes on, or of what comes from elsewhere than usual."""


def ignore(_: str) -> None:
    """Counts nothing."""
