"""Subscriptions that make the same line of the same event: it is made once, and goes to each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from capybeam.transforms.core.events import Event
from capybeam.transforms.language.records import Shape
from capybeam.transforms.language.routing import compile_routing
from capybeam.transforms.language.subscriptions import Encode, Subscription


class Target(NamedTuple):
    """A dataset, and the key of what is ready for it."""

    dataset_id: str
    ready_key: str


class Share(NamedTuple):
    """One subscription's share in what is made of an event.

    Attributes:
        encode: one function for all subscriptions that make the same line, by which they are recognised.
        name: the subscription's, where it is another than that in the line.
        targets: where its lines go; None where that cannot be told, or depends on the event.
        choose: from an event to where its line goes, None where that cannot be told; None where all go to the targets.
        alone: the only target's key, where each event makes one line, under the subscription's own name.
    """

    encode: Encode
    name: bytes | None
    targets: Sequence[Target] | None
    choose: Callable[[Event], Sequence[Target] | None] | None = None
    alone: str | None = None


class Sharing:
    """Finds the subscriptions that make the same line, one after the other.

    Args:
        max_bytes: of one event.
        shape: of events that are records.
    """

    def __init__(self, max_bytes: int, shape: Shape | None = None) -> None:
        self._max_bytes, self._shape = max_bytes, shape
        self._encodings: dict[str, tuple[Encode, str]] = {}  # and the name in its lines

    def share(self, subscription: Subscription) -> Share:
        """A subscription's share; `NO_SHARE` where what it makes of an event may be like nothing that others make."""
        encoding_key = subscription.encoding_key
        if encoding_key is None:
            return NO_SHARE
        if encoding_key not in self._encodings:
            encode = subscription.compile_encoding(self._max_bytes, self._shape) or _Stages()
            self._encodings[encoding_key] = encode, subscription.name
        encode, name = self._encodings[encoding_key]
        own_name = None if name == subscription.name else subscription.name.encode()
        targets = {each: Target(each, subscription.address(each).encode()) for each in subscription.dataset_ids}
        if subscription.routing is not None:
            return Share(encode, own_name, None, _choice(compile_routing(subscription.routing), targets))
        first, *others = targets.values()
        is_alone = own_name is None and not others and not isinstance(encode, _Stages)
        alone = first.ready_key if is_alone else None
        return Share(encode, own_name, (first, *others), alone=alone)


class _Stages:
    """In place of a function that encodes, where a subscription has none: each event takes the stages."""

    def __call__(self, *_: object) -> bytes:
        raise LookupError("no function encodes at once")


NO_SHARE: Final = Share(_Stages(), None, None)
"""Of a subscription whose events take the stages, each for itself."""


def _choice(
    datasets_of: Callable[[Event], tuple[str, ...]], targets: Mapping[str, Target]
) -> Callable[[Event], Sequence[Target] | None]:
    def chosen(event: Event) -> Sequence[Target] | None:
        try:
            return [targets[dataset_id] for dataset_id in datasets_of(event)]
        except Exception:
            return None

    return chosen
