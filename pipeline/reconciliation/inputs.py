"""The rows of inputs without a pipeline, with their places: files that `map` reads, BigQuery tables and queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from capybeam.pipeline.schemes import NAMED_STDIN, STDIN
from capybeam.pipeline.sources import BrokenFile, NoInput, TimeRange
from capybeam.pipeline.sources.file_rows import placed_rows
from capybeam.transforms.core.events import is_blank
from capybeam.transforms.core.message_formats import Row

_TABLE: Final = "bigquery:"

PlacedRow = tuple[dict[str, Any], Row]


def rows_of(inputs: Sequence[str], between: TimeRange, broken: Callable[[str], None]) -> Iterator[PlacedRow]:
    """All rows, each with its place: ``{"file": "a.jsonl", "line": 3}``, ``{"table": "bigquery:…", "row": 3}``.

    Args:
        between: the times of the events, of tables.
        broken: is called with a sentence for an input that breaks off; the others are read all the same.

    Raises:
        NoInput, UnreadableFile, NoEvents, OSError
    """
    for text in inputs:
        if text.startswith(_TABLE):
            yield from _rows_of_table(text, between)
            continue
        if between:
            raise NoInput(f"{text}: --since and --until are for {_TABLE} inputs")
        with placed_rows(text) as found:
            name = NAMED_STDIN if text == STDIN else text
            try:
                for place, row in found.rows:
                    if not (isinstance(row, bytes) and is_blank(row)):
                        yield {"file": name, **place}, row
            except BrokenFile as error:
                broken(str(error))


def _rows_of_table(text: str, between: TimeRange) -> Iterator[PlacedRow]:
    from capybeam.pipeline.sources.bigquery.samples import all_rows

    for number, row in enumerate(all_rows(text, between), 1):
        yield {"table": text, "row": number}, row
