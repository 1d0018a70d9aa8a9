"""What is compiled for a subscription when its first event comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from capybeam.transforms.language.subscriptions import Subscription

T = TypeVar("T")


class OnDemand(dict[str, T]):
    """By a subscription's key what is compiled for it, when it is first asked for; from then on it is a plain dict.

    Several threads may compile the same; the first that is done is kept.
    """

    def __init__(self, subscriptions: Iterable[Subscription], compiled: Callable[[Subscription], T]) -> None:
        super().__init__()
        self._subscriptions = {subscription.key: subscription for subscription in subscriptions}
        self._compiled = compiled

    def __missing__(self, key: str) -> T:
        return self.setdefault(key, self._compiled(self._subscriptions[key]))
