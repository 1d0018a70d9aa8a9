"""Which paths a sample of events has, and how often: never a value of an event."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from capybeam.transforms.meta.masking import is_name

Keys = tuple[str, ...]

ITEM: Final = "[]"  # any item of an array
OTHER: Final = "*"  # keys that are not shown: they look like data, or are too many
MAX_PATHS: Final = 5_000  # that are counted
MAX_DEPTH: Final = 8
MAX_NODES: Final = 5_000  # of one event that are looked at
MAX_ITEMS: Final = 20  # of one array
MAX_KEYS: Final = 100  # of an object, over all events
MAX_INNER_KEYS: Final = 30  # the same below the third level, where keys are data more often


def paths_of(event: Any) -> dict[Keys, bool]:
    """The paths of an event that lead to something other than null → whether that is neither object nor array."""
    found: dict[Keys, bool] = {}
    left: list[tuple[Keys, Any]] = [((), event)]
    looked_at = 0
    while left and looked_at < MAX_NODES:
        keys, value = left.pop()
        looked_at += 1
        children: Iterable[tuple[str, Any]]
        if isinstance(value, dict):
            children = ((key if is_name(key) else OTHER, item) for key, item in value.items())
        elif isinstance(value, list):
            children = ((ITEM, item) for item in value[:MAX_ITEMS])
        else:
            if value is not None and value != "" and keys:
                found[keys] = True
            continue
        if keys:
            found.setdefault(keys, False)
        if len(keys) < MAX_DEPTH:
            left.extend(((*keys, key), item) for key, item in children)
    return found


class PathCounts:
    """In how many events each path is there, within a bound of paths."""

    def __init__(self) -> None:
        self._counts: Counter[Keys] = Counter()
        self._leaves: set[Keys] = set()
        self._children: Counter[Keys] = Counter()

    def add(self, paths: dict[Keys, bool]) -> None:
        """Counts the paths of one event."""
        for keys, is_leaf in paths.items():
            if keys not in self._counts:
                if len(self._counts) >= MAX_PATHS:
                    continue
                self._children[keys[:-1]] += 1
            self._counts[keys] += 1
            if is_leaf:
                self._leaves.add(keys)

    def leaves(self) -> Iterator[tuple[Keys, int]]:
        """Paths to values, each with the number of events that have it."""
        return ((keys, count) for keys, count in self._counts.items() if keys in self._leaves and self._is_shown(keys))

    def nearest(self, wanted: Keys) -> list[tuple[Keys, int]]:
        """Up to two paths that may have been meant: with the same last key, or else spelt alike."""
        shown = {dotted(keys): keys for keys in self._counts if self._is_shown(keys) and len(keys) > 1}
        last = plain(wanted[-1]) if wanted else ""
        alike = [keys for keys in shown.values() if plain(keys[-1]) == last]
        alike.sort(key=lambda keys: (-len(set(keys) & set(wanted)), -self._counts[keys], keys))
        if not alike:
            beside = {keys[-1]: keys for keys in shown.values() if keys[:-1] == wanted[:-1]}
            alike = [beside[key] for key in difflib.get_close_matches(wanted[-1] if wanted else "", beside, n=2)]
        if not alike:
            close = difflib.get_close_matches(dotted(wanted), shown, n=2, cutoff=0.8)
            alike = [shown[text] for text in close]
        return [(keys, self._counts[keys]) for keys in alike[:2]]

    def _is_shown(self, keys: Keys) -> bool:
        """Objects with very many keys have data for keys."""
        if OTHER in keys:
            return False
        return all(
            self._children[keys[:length]] <= (MAX_KEYS if length < 3 else MAX_INNER_KEYS) for length in range(len(keys))
        )


def plain(key: str) -> str:
    """A key however it is spelt: firstName and first_name are the same."""
    return key.replace("_", "").replace("-", "").lower()


def dotted(keys: Iterable[str]) -> str:
    """Keys as people write a path: ``$.properties.products[].sku``."""
    text = "$"
    for key in keys:
        text += key if key == ITEM else f".{key}" if re.fullmatch(r"[\w$-]+", key) else f'["{key}"]'
    return text
