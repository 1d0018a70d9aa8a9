"""What a type of destination is to a job file. `destinations` has the table of those that there are.

A type is one `DestinationType`: its model, and the functions in which it differs from the others. Nothing else in
pipeline/job/ knows a type by name: the schema, the discriminator of the models, "did you mean" and all checks go by the
table. So a new type is a module with a `DestinationType`, its presets if it has any, and one entry in the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from capybeam.pipeline.job.models import DestinationModel
from capybeam.pipeline.job.problems import Problems
from capybeam.pipeline.job.yaml_source import Loc
from capybeam.transforms.delivery.destination import Destination
from capybeam.transforms.language.subscriptions import Subscription

M = TypeVar("M", bound=DestinationModel)


def _no_check(settings: Mapping[str, Any], loc: Loc, problems: Problems) -> None:
    """For a type whose model expresses all that is required."""


def _no_warnings(model: Any, loc: Loc, problems: Problems) -> None:
    """For a type whose valid settings are all fine."""


@dataclasses.dataclass(frozen=True)
class DestinationType(Generic[M]):
    """One type of destination, known by `name` in a job file's ``type``.

    The functions are given one destination of the type: as its validated model, or, for `check`, as the plain data of
    the file, which may be wrong in any way. `loc` is the destination's place in the file.

    Attributes:
        model: its settings. It has ``type: Literal[name]``.
        destination: where its requests go, for the sender.
        subscriptions: which events it takes and what becomes of them, in the order of the file.
        max_batch_events: how many events a request can hold at most, whatever the destination's settings.
        batch_limit: the same by the settings, as plain data; by default `max_batch_events`.
        check: adds the problems that the model cannot express. It runs after the model's validation, whether that
            succeeded or not, so that everything wrong with a file is reported at once.
        warn: adds warnings; runs only where the whole file is valid by its models.
    """

    name: str
    model: type[M]
    destination: Callable[[M], Destination]
    subscriptions: Callable[[M], Iterable[Subscription]]
    max_batch_events: int
    batch_limit: Callable[[Mapping[str, Any]], int] | None = None
    check: Callable[[Mapping[str, Any], Loc, Problems], None] = _no_check
    warn: Callable[[M, Loc, Problems], None] = _no_warnings

    def batch_events(self, settings: Mapping[str, Any]) -> int:
        """How many events a request of a destination with these settings can hold."""
        return self.batch_limit(settings) if self.batch_limit else self.max_batch_events
