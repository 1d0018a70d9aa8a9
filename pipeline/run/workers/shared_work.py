"""A run whose work several processes share: its parts, its workers, and the books in windows that they add up to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam
import orjson

from capybeam.pipeline.run.request import RunRequest
from capybeam.pipeline.run.workers.choice import LARGE
from capybeam.pipeline.run.workers.partition import parts_of, size_of
from capybeam.pipeline.run.workers.team import Team
from capybeam.pipeline.sinks.window_books import WriteWindowBooks
from capybeam.pipeline.sources import Part, Source
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.core.windows import WindowRow, add_rows
from capybeam.transforms.resuming import LoadProcessed


@dataclasses.dataclass(frozen=True)
class SharedWork:
    """Work that is about to be shared.

    Attributes:
        workers: how many there are.
    """

    team: Team
    request: RunRequest
    parts: Sequence[Part]

    @property
    def workers(self) -> int:
        return min(self.team.size, len(self.parts))

    def carry_out(
        self, run: RunContext, processed: LoadProcessed | None
    ) -> tuple[Mapping[str, int], BaseException | None]:
        """Has the work done; what was counted, and what went wrong."""
        outputs = self.request.outputs
        result = self.team.work(run, self.request.job, self.parts, processed)
        failure: BaseException | None = result.failure
        if failure is None and outputs.window_books is not None:
            failure = _write_windows(result.window_rows, outputs.window_books)
        return result.counts, failure


def shared_work(team: Team, request: RunRequest, sources: Sequence[Source]) -> SharedWork | None:
    """The work on inputs that have been opened; None where one process does it, as they are too small, or cannot be
    divided. Raises what opening an input raises."""
    if request.workers is None and size_of(sources) <= LARGE:
        return None
    parts = parts_of(sources, team.size)
    return SharedWork(team, request, parts) if parts is not None and len(parts) > 1 else None


def _write_windows(lines: Iterable[bytes], place: str) -> BaseException | None:
    """Writes the rows that several processes have counted, added up; what went wrong."""
    rows = add_rows(WindowRow(**orjson.loads(line)) for line in lines)
    try:
        with beam.Pipeline("FnApiRunner") as pipeline:
            _ = pipeline | beam.Create(rows, reshuffle=False) | WriteWindowBooks(place)
    except Exception as error:
        return error
    return None
