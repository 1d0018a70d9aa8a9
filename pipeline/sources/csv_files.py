"""Events from CSV files, a header in each; see `csv_rows` for what a row is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata

from capybeam.pipeline.sources import NoInput, UnreadableFile
from capybeam.pipeline.sources.csv_rows import BadHeader, rows_of
from capybeam.pipeline.sources.files import check_input, chunks_of, matching, spread_files
from capybeam.transforms.base import run_of
from capybeam.transforms.core.events import Event, UnreadableRest, UnreadableRow
from capybeam.transforms.core.run_context import RunHandle


@dataclasses.dataclass
class ReadCsv(beam.PTransform):
    """The rows of all files that `pattern` matches: events, or JSON of them, and an `UnreadableRow` for each row that
    makes none.

    A file that breaks off ends with an `UnreadableRest`. A file is read by one worker, in a row: where a line begins
    inside quotes cannot be told from the middle.
    """

    pattern: str

    def expand(self, root: Any) -> beam.PCollection:
        return spread_files(root, self.pattern) | "Read" >> beam.ParDo(_ReadRows(run_of(root))).with_output_types(Any)


class _ReadRows(beam.DoFn):
    def __init__(self, run: RunHandle) -> None:
        self._run = run

    def setup(self) -> None:
        self._shutdown = self._run.context().shutdown

    def process(self, element: FileMetadata) -> Iterator[bytes | Event | UnreadableRow]:
        for _, row in rows_of(chunks_of(element.path), element.path.removeprefix("./"), self._shutdown):
            yield row


def check_headers(pattern: str) -> None:
    """Reads the header of all files that `pattern` matches. Raises NoInput where one is bad, or there is none."""
    check_input(pattern)
    for path in matching(pattern):
        try:
            _, first = next(rows_of(chunks_of(path), path), (0, None))
        except BadHeader as error:
            raise NoInput(f"{path}: {error}") from None
        except UnreadableFile as error:
            raise NoInput(str(error)) from None
        if isinstance(first, UnreadableRest):
            raise NoInput(str(first.message))
