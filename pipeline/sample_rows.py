"""The rows of a sample: what `map` reads, or the first rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from capybeam.transforms.core.message_formats import Row

_TABLE: Final = "bigquery:"


@contextmanager
def sample_rows(text: str, most: int) -> Iterator[Iterator[Row]]:
    """The rows of a file, glob, URL or standard input, or at most `most` of a BigQuery table.

    Raises:
        NoInput, NoEvents, OSError, UnreadableFile: as `placed_rows` does.
    """
    if text.startswith(_TABLE):
        from capybeam.pipeline.sources.bigquery.samples import first_rows

        yield first_rows(text, most)
        return
    from capybeam.pipeline.sources.file_rows import placed_rows

    with placed_rows(text) as found:
        yield (row for _, row in found.rows)
