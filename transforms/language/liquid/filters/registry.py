"""The filters that there are, by name, and what several of them share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.liquid.expressions import Filter
from capybeam.transforms.language.liquid.values import plain
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import SPACE

_FILTERS: Final[dict[str, Filter]] = {}
FILTERS: Final[Mapping[str, Filter]] = _FILTERS

SPACES: Final = re.compile(f"[{SPACE}]+")


def filter_named(
    *names: str, most: int | None = 0, exactly: int | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the function of a filter, which takes the `Room`, the value and the arguments.

    Args:
        most: arguments; None for any number.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _FILTERS.update(dict.fromkeys(names, Filter(function, most, exactly)))
        return function

    return register


def failed(sentence: str) -> Rejected:
    return Rejected("template_failed", f"The Liquid template failed: {sentence}")


def loop_count(number: Any) -> int:
    """How often a loop runs that counts from 0 to below `number`."""
    count = javascript.number(plain(number))
    return math.ceil(min(count, javascript.LARGEST_LENGTH)) if count > 0 else 0


def integer(number: Any) -> int:
    """``ToIntegerOrInfinity``, within what a list can hold."""
    whole = javascript.number(plain(number))
    largest = javascript.LARGEST_LENGTH
    return int(min(max(whole, -largest), largest)) if whole == whole else 0
