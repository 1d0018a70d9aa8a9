"""SkipProcessed: what has been processed is counted and goes no further."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.processed import Names, conversion_digest
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.resuming import HowProcessed, _SkipProcessed
from tests.transforms.envelopes import sealed

KEY = Address("web", "1", test_event_code="T1").encode()


class Known(dict[bytes, HowProcessed]):
    def find(self, digest: bytes) -> HowProcessed | None:
        return self.get(digest)

    def refresh(self) -> None:
        self.update(self.lately)

    lately: dict[bytes, HowProcessed]


@dataclasses.dataclass(frozen=True)
class LoadKnown:
    known: Known

    @property
    def key(self) -> Hashable:
        return "known"

    def __call__(self) -> Known:
        return self.known


def ready(event_id: str) -> tuple[str, bytes]:
    event = {"event_time": 1_795_000_000, "event_name": "Lead", "event_id": event_id, "action_source": "website"}
    return KEY, sealed(event)


def digest(event_id: str) -> bytes:
    return conversion_digest(Names("web", "1", "leads", "Lead"), event_id)


def skipped(known: Known, *event_ids: str) -> tuple[list[str], dict[str, int]]:
    """Which of the conversions go on, and what is counted."""
    run = RunContext()
    step = _SkipProcessed(run.handle, LoadKnown(known))
    step.setup()
    step.start_bundle()
    passed = [event_id for event_id in event_ids if list(step.process(ready(event_id)))]
    step.finish_bundle()
    return passed, run.progress.counts()


def test_what_is_processed_goes_no_further_and_is_counted_by_how() -> None:
    known = Known({digest("a"): "already_delivered", digest("b"): "already_dead_lettered"})
    known.lately = {digest("d"): "already_delivered"}  # by an attempt that failed
    assert skipped(known, "a", "b", "c", "d") == (
        ["c"],
        {"already_delivered:web/leads": 2, "already_dead_lettered:web/leads": 1},
    )


def test_where_nothing_is_processed_everything_passes_as_it_is() -> None:
    known = Known()
    known.lately = {}
    assert skipped(known, "a", "b") == (["a", "b"], {})
