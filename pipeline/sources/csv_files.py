"""Events from CSV files, a header in each; see `csv_rows` for what a row is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata

from pipeline.sources import NoInput
from pipeline.sources.csv_rows import BadHeader, rows_of
from pipeline.sources.files import CHUNK, UnreadableFile, check_input, matching, reading, spread_files
from transforms.events import Event, UnreadableRow


@dataclasses.dataclass
class ReadCsv(beam.PTransform):
    """The rows of all files that `pattern` matches: events, and an `UnreadableRow` for each row that makes none.

    A file is read by one worker, in a row: where a line begins inside quotes cannot be told from the middle.
    """

    pattern: str

    def expand(self, root: Any) -> beam.PCollection:
        return spread_files(root, self.pattern) | "Read" >> beam.ParDo(_ReadRows()).with_output_types(Any)


class _ReadRows(beam.DoFn):
    def process(self, element: FileMetadata) -> Iterator[Event | UnreadableRow]:
        with reading(element.path) as file:
            for _, row in rows_of(iter(functools.partial(file.read, CHUNK), b""), element.path.removeprefix("./")):
                yield row


def check_headers(pattern: str) -> None:
    """Reads the header of all files that `pattern` matches. Raises NoInput where one is bad, or there is none."""
    check_input(pattern)
    for path in matching(pattern):
        try:
            with reading(path) as file:
                next(rows_of(iter(functools.partial(file.read, CHUNK), b""), path), None)
        except BadHeader as error:
            raise NoInput(f"{path}: {error}") from None
        except UnreadableFile as error:
            raise NoInput(str(error)) from None
