"""The datasets that a job sends to, and one way to ask Meta about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from capybeam.pipeline.job.loader import Job
from capybeam.transforms.delivery.answers import Answer
from capybeam.transforms.delivery.destination import Delivery, Reading
from capybeam.transforms.delivery.transport import Transport
from capybeam.transforms.meta.destinations import MetaDestination


class Asking:
    """Asks one destination. Raises TokenError where its token or secret cannot be read."""

    def __init__(self, destination: MetaDestination, delivery: Delivery) -> None:
        self.destination = destination
        self._transport = Transport((destination,), delivery)

    def read(self, path: str, parameters: Mapping[str, str]) -> Reading:
        return self._transport.read(
            self.destination.name, lambda secrets: self.destination.reading(path, parameters, secrets)
        )


class Target(NamedTuple):
    """A destination at Meta and the datasets that its subscriptions send to."""

    destination: MetaDestination
    dataset_ids: tuple[str, ...]


def targets(job: Job) -> Iterator[Target]:
    """The destinations at Meta, in the job file's order; those of other types are left out."""
    for destination in job.destinations:
        if isinstance(destination, MetaDestination):
            mine = [each for each in job.subscriptions if each.destination == destination.name]
            yield Target(destination, tuple(dict.fromkeys(id_ for each in mine for id_ in each.dataset_ids)))


def cure(answer: Answer) -> str:
    """What happened, and what to do about it where that is known; never in words that could quote what was sent."""
    todo = answer.meaning.todo
    if not todo and answer.kind == "throttled":
        wait = f" in {answer.wait:.0f} s" if answer.wait else " later"
        todo = f"Meta's rate limit is used up. Try again{wait}."
    return f"{answer.summary} {todo}".strip()
