"""Subscriptions: which events a destination takes, how they are mapped, and how its type makes bytes of them."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from capybeam.transforms.core.conversions import Conversion, Count, Hashed
from capybeam.transforms.core.envelope import Address, Ready
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.language.consent import Consent
from capybeam.transforms.language.fields import Field
from capybeam.transforms.language.mappings import paths
from capybeam.transforms.language.records import Record, Shape
from capybeam.transforms.language.routing import Routing

Hash = Callable[[Conversion, Count], Hashed]
Encode = Callable[[Event | Record, float, int, Count], bytes]
Revalidate = Callable[[str, Mapping[str, Any], float, Count], Ready]


class Validate(Protocol):
    """From a hashed conversion to its envelope. Raises Rejected."""

    def __call__(self, conversion: Conversion, now: float, count: Count, window: int = 0, /) -> Ready: ...


@dataclasses.dataclass(frozen=True)
class Subscription(abc.ABC):
    """Which events a destination takes, and what becomes of them.

    Triggers, mapping and fields are the same for all destinations. A type of destination is a subclass, which has its
    settings and says how a mapped conversion is hashed, and how it becomes bytes. It is frozen and is pickled: compiled
    functions are made where they are used.

    Attributes:
        destination: the destination's name; with `name` it makes the `key` used in metrics and dead letters.
        trigger: FQL.
        mapping: field → mapping; the action's defaults are already merged in.
        fields: what the action knows; event_name among them.
        dataset_ids: where a conversion goes; one event may go to several. With a `routing`, all that it can go to.
    """

    destination: str
    name: str
    trigger: str
    mapping: Mapping[str, Any]
    fields: tuple[Field, ...]
    dataset_ids: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.destination}/{self.name}"

    @property
    def routing(self) -> Routing | None:
        """How an event's datasets are chosen among `dataset_ids`; None where it goes to all of them."""
        return None

    @property
    def consent(self) -> Consent | None:
        """What is asked of events before they are this subscription's; None for nothing."""
        return None

    @property
    def limited_fields(self) -> Mapping[str, Any]:
        """What a conversion's fields get where the event's consent allows only a limited use of its data."""
        return {}

    @property
    def value_fallback(self) -> str:
        """Path of the value of an event for which the mapping finds none; "" for none."""
        return ""

    @property
    def has_fixed_mapping(self) -> bool:
        """Whether the mapping is its type's, and a job file cannot change it."""
        return False

    def address(self, dataset_id: str) -> Address:
        """Where its events for a dataset go."""
        return Address(self.destination, dataset_id)

    @property
    def encoding_key(self) -> str | None:
        """Two subscriptions with the same one make the same lines of the same event, wherever these go; None where that
        is not known.
        """
        return None

    def compile_encoding(self, max_bytes: int, shape: Shape | None = None) -> Encode | None:
        """The function from an event at once to its line, an encoded `Envelope`; None where the type has none.

        It is given Unix seconds, the window in which the event arrived, and a way to count. It yields what the stages
        yield one after the other, and counts what they count. For an event that is not as most are it may raise any
        exception, and then has no other effect than to have counted: the event takes the stages then.

        Args:
            max_bytes: of one event.
            shape: of the events, where they are records.
        """
        return None

    def maps(self, key: str) -> bool:
        """Whether the mapping may read a key at an event's root. Only False is certain: any mention of it counts."""
        mappings = [self.mapping, *([self.routing.mapping] if self.routing else ())]
        whole = any(not parse_path(path) for path in paths(mappings))
        return whole or key in orjson.dumps(mappings).decode()

    @abc.abstractmethod
    def compile_hashing(self) -> Hash:
        """The function from a mapped conversion to one without raw personal data and without its event.

        It is given a way to count what it leaves out, and raises Rejected.
        """

    @abc.abstractmethod
    def compile_validation(self, max_bytes: int, is_edited: bool = False) -> Validate:
        """The function from a hashed conversion to its envelope, whose body the destination takes at `now`.

        It is given Unix seconds, a way to count and the window in which the event arrived, as of `core.windows`, and
        raises Rejected with any code of the validate stage.

        Args:
            max_bytes: of one event.
            is_edited: whether conversions may have been changed since they were hashed.
        """

    @abc.abstractmethod
    def compile_revalidation(self, max_bytes: int) -> Revalidate:
        """The function that makes an envelope of a body that was valid once: it may be too old now, or edited.

        It is given the dataset ID, the decoded body, Unix seconds and a way to count, and raises Rejected.
        """

    @abc.abstractmethod
    def is_body(self, payload: Mapping[str, Any], is_encoded: bool) -> bool:
        """Whether a dead letter's payload has all that `compile_revalidation` looks at, each of its type.

        Args:
            is_encoded: whether it was encoded once; otherwise it is the fields of a hashed conversion.
        """

    @abc.abstractmethod
    def takes_body(self, body: Mapping[str, Any]) -> bool:
        """Whether a body of a dead letter has the form of this subscription's events."""
